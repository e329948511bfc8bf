"""A region and its ring as the input of ``recover``, read from files that somebody else has mapped."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from refimpl.backend.dump import state_of_parts
from refimpl.errors import FrontEndError, UsageError
from refimpl.layout import RING_SIZE_MAX
from refimpl.packed.ring import EVENT_BYTES
from refimpl.wire.payload import MemoryRegion
from vhost_inflight.live.buffers import Reading
from vhost_inflight.live.processes import read

__all__ = ["PeerMemory", "Ring", "state"]

_SPLIT: Final = ("descriptors", "available", "used")
_PACKED: Final = ("descriptors", "driver_event", "device_event")


class Ring(NamedTuple):
    """Where a ring is: its entries, and the addresses of its parts, as SET_VRING_NUM and SET_VRING_ADDR say them.

    On a packed ring ``avail`` is the driver's event area, ``used`` the device's. ``base`` is what SET_VRING_BASE said
    last, None where that is not known.
    """

    size: int
    desc: int
    avail: int
    used: int
    base: int | None = None


class PeerMemory:
    """The guest's memory, read from files: each region with the descriptor of its file, which stays the caller's."""

    def __init__(self, pieces: Iterable[tuple[MemoryRegion, int]]) -> None:
        """Take the regions."""
        self._pieces = list(pieces)

    def translate(self, address: int, length: int) -> memoryview:
        """Return bytes at a guest address. Raises FrontEndError when they are not in one region."""
        return memoryview(self._read(address, length, self._places("guest_address", address, length)))

    def at(self, address: int, length: int, what: str) -> bytes:
        """Return bytes at a user address of the front-end or a guest address, whichever it is.

        Raises FrontEndError, naming ``what`` they are, for an address of neither kind; UsageError for one of both.
        """
        user = self._places("user_address", address, length)
        guest = self._places("guest_address", address, length)
        if {*user} ^ {*guest} and user and guest:
            raise UsageError(
                f"{what}: {address:#x} is a user address and a guest address: give the memory other user addresses"
            )
        if not user and not guest:
            raise FrontEndError(f"{what}: {length} bytes at {address:#x} are in no region of the guest's memory")
        return self._read(address, length, user or guest, what)

    def _places(self, kind: str, address: int, length: int) -> list[tuple[int, int]]:
        """Return file descriptor and offset of the region in which an address is."""
        found = []
        for region, fd in self._pieces:
            begin = address - getattr(region, kind)
            if 0 <= begin <= region.size - length:
                found.append((fd, region.mmap_offset + begin))
        return found[:1]

    def _read(
        self, address: int, length: int, places: list[tuple[int, int]], what: str = "the guest's memory"
    ) -> bytes:
        if not places:
            raise FrontEndError(f"{length} bytes at {address:#x} are not inside one region of the guest's memory")
        fd, offset = places[0]
        return read(fd, offset, length, what)


def state(reading: Reading, content: bytes, queue: int, ring: Ring, memory: PeerMemory) -> dict[str, Any]:
    """Return the document of one queue's state. Raises UsageError for a size that is none, and as ``PeerMemory.at``."""
    size, packed = ring.size, reading.ring == "packed"
    if not 1 <= size <= RING_SIZE_MAX or (not packed and size & (size - 1)):
        rule = "1" if packed else "a power of two"
        raise UsageError(f"queue {queue}: a {reading.ring} ring has {rule} to {RING_SIZE_MAX} entries, not {size}")
    names = _PACKED if packed else _SPLIT
    lengths = (16 * size, EVENT_BYTES, EVENT_BYTES) if packed else (16 * size, 6 + 2 * size, 6 + 8 * size)
    parts = {
        name: memory.at(address, length, f"queue {queue}, {name}")
        for name, length, address in zip(names, lengths, (ring.desc, ring.avail, ring.used), strict=True)
    }
    region = reading.region(content, queue)
    return state_of_parts(parts, region, size=size, choices=reading.choices, memory=memory, base=ring.base)
