"""What a ring and its region hold when a back-end starts with them: a file that the command ``recover`` reads.

Written before anything is changed, so that somebody can ask afterwards what a back-end had to make of these bytes.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from ctypes import sizeof
from pathlib import Path
from typing import Any, Protocol

from refimpl.backend.blk import HEADER
from refimpl.choices import Choices
from refimpl.errors import DriverError, FrontEndError, InflightError
from refimpl.layout import DESC_INDIRECT, DESC_WRITE, VringDesc
from refimpl.packed.ring import PackedRing
from refimpl.split.chain import TABLE_MAX, GuestMemory, GuestRegion
from refimpl.split.ring import SplitRing


class Translating(Protocol):
    """Memory of a guest, such as GuestMemory, of which bytes are had by their guest address."""

    def translate(self, address: int, length: int) -> memoryview:
        """Return the bytes. Raises DriverError or FrontEndError when they are not there."""


def dump_state(
    folder: Path,
    number: int,
    ring: SplitRing | PackedRing,
    region: Any,
    *,
    choices: Choices,
    memory: GuestMemory,
    base: int,
) -> Path:
    """Write what ring ``number`` and its region hold to ``folder``/ring-NUMBER.json, and return that path.

    ``base`` is what SET_VRING_BASE said. The indirect tables of what is marked inflight are written too, and the 16
    bytes that say what it asks of a disk, as far as they are in the guest's ``memory``. Raises InflightError when the
    file cannot be written.
    """
    document = state_of(ring, region, choices=choices, memory=memory, base=base)
    path = folder / f"ring-{number}.json"
    unfinished = path.with_suffix(".part")
    try:
        unfinished.write_text(json.dumps(document, indent=1) + "\n", encoding="ascii")
        unfinished.replace(path)  # whoever reads it finds all of it, wherever this process is killed
    except OSError as error:
        raise InflightError(f"state of ring {number}: {path}: {error.strerror}") from error
    return path


def state_of(
    ring: SplitRing | PackedRing,
    region: Any,
    *,
    choices: Choices,
    memory: Translating | None = None,
    base: int | None = None,
) -> dict[str, Any]:
    """Return what a ring and its region hold, as ``recover`` reads it, with tables and headers in ``memory``.

    ``base`` is what SET_VRING_BASE said, None if that is not known.
    """
    return state_of_parts(ring_parts(ring), region, size=ring.size, choices=choices, memory=memory, base=base)


def state_of_parts(
    parts: Mapping[str, bytes],
    region: Any,
    *,
    size: int,
    choices: Choices,
    memory: Translating | None = None,
    base: int | None = None,
) -> dict[str, Any]:
    """Likewise, of a ring of ``size`` entries of which there are the bytes, by the names of `ring_parts`."""
    table = (VringDesc * size).from_buffer_copy(parts["descriptors"])
    pieces = _pieces(_marked(choices.ring, table, region), memory or GuestMemory())
    told = {
        "format": "vhost-inflight state 1",
        "ring": choices.ring,
        "revision": choices.revision,
        "gaps": choices.changed(),
        "queue_size": size,
        "region_size": len(region.desc),
        "region": bytes(region).hex(),
        "ring_memory": {name: part.hex() for name, part in parts.items()},
        "memory": [{"address": address, "bytes": piece.hex()} for address, piece in pieces.items()],
    }
    return told if base is None else told | {"base": base}


def ring_parts(ring: SplitRing | PackedRing) -> dict[str, bytes]:
    """Return the bytes of each part of a ring, by the name that ``recover`` has for it."""
    if isinstance(ring, PackedRing):
        names = ("driver_event", "device_event")
        return {"descriptors": bytes(ring.desc)} | {name: bytes(getattr(ring, name)) for name in names}
    available = bytes(ring.avail) + bytes(ring.used_event)
    return {"descriptors": bytes(ring.desc), "available": available, "used": bytes(ring.used) + bytes(ring.avail_event)}


def _pieces(marked: Iterable[Any], memory: Translating) -> dict[int, bytes]:
    """Return the indirect tables and the headers of what is marked by their guest addresses.

    A wrong one is for the recovery to find. Of two that overlap the first is there, since a state has each byte of the
    guest's memory once. A header is what the device reads first, of one buffer.
    """
    found = GuestMemory()

    def took(address: int, length: int) -> bytes:
        with suppress(DriverError, FrontEndError):
            piece = memory.translate(address, length)
            found.add(GuestRegion(address, piece))
            return bytes(piece)
        return b""

    headers: list[Any] = []
    for desc in marked:
        if not desc.flags & DESC_INDIRECT:
            headers.append(desc)
        elif desc.len <= TABLE_MAX * sizeof(VringDesc) and len(table := took(desc.addr, desc.len)) >= sizeof(VringDesc):
            headers.append(VringDesc.from_buffer_copy(table))
    for desc in headers:
        if not desc.flags & (DESC_WRITE | DESC_INDIRECT) and desc.len:
            took(desc.addr, min(desc.len, HEADER.size))
    return {at.address: bytes(at.view) for at in found.regions}


def _marked(ring: str, table: Any, region: Any) -> Iterator[Any]:
    """Yield the first descriptor of each request that is marked inflight, or the packed region's copy of it."""
    for number, entry in enumerate(region.desc):
        if entry.inflight and ring == "packed":
            yield entry
        elif entry.inflight and number < len(table):
            yield table[number]
