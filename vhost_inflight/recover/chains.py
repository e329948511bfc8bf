"""The descriptors of a request, listed as the device gets them and checked by the reference."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from ctypes import sizeof
from typing import Any, Final, NamedTuple

from refimpl.errors import DriverError
from refimpl.layout import DESC_INDIRECT, DESC_NEXT, PackedDesc, VringDesc
from refimpl.packed.chain import read_packed_chain
from refimpl.split.chain import GuestMemory, GuestRegion, read_chain
from refimpl.split.ring import SplitRing

__all__ = ["Descriptor", "PiecesOfMemory", "packed_chain", "split_chain"]


class Descriptor(NamedTuple):
    """One descriptor: guest address, length in bytes, flags, and on a packed ring the buffer id.

    ``table`` are the descriptors of an indirect one's table, None where its bytes were not given.
    """

    address: int
    length: int
    flags: int
    identity: int | None = None
    table: tuple[Descriptor, ...] | None = None


class _NotGivenError(Exception):
    """The bytes of an indirect table were not given, so nothing in it can be checked."""


_NOTHING: Final = memoryview(b"")


class PiecesOfMemory(GuestMemory):
    """The pieces of the guest's memory that an input has: enough to follow indirect tables, not to move data.

    ``tables`` are address and length of the tables that are to be followed; all other bytes may be missing.
    """

    def __init__(self, pieces: Iterable[tuple[int, bytes]]) -> None:
        """Take the pieces. Raises FrontEndError when two overlap, or one is empty or leaves 64 bits."""
        super().__init__(GuestRegion(address, memoryview(content)) for address, content in pieces)
        self.tables: set[tuple[int, int]] = set()

    def has(self, address: int, length: int) -> bool:
        """Return whether the bytes are in one piece."""
        return any(piece.address <= address and address + length <= piece.end for piece in self.regions)

    def translate(self, address: int, length: int) -> memoryview:
        """Return the bytes of a table, and none for a buffer: the data is nobody's here.

        Raises DriverError when they leave the 64 bits of an address; a table that was not given ends the reading.
        """
        if address + length > 1 << 64:
            raise DriverError(f"{length} bytes at {address:#x} leave the 64 bits of an address")
        if (address, length) not in self.tables:
            return _NOTHING
        if not self.has(address, length):
            raise _NotGivenError
        return super().translate(address, length)


def split_chain(ring: SplitRing, memory: PiecesOfMemory, head: int) -> tuple[Descriptor, ...]:
    """Return the descriptors of the chain at ``head``, in order; an indirect table is followed where it was given.

    Raises DriverError, as ``read_chain`` of the reference does, for a chain that breaks a rule.
    """
    found = [_listed(desc) for desc in _linked(ring.desc, head, ring.size)]
    tables = {(desc.address, desc.length) for desc in found if desc.flags & DESC_INDIRECT}
    memory.tables = tables
    with contextlib.suppress(_NotGivenError):
        read_chain(ring, memory, head)
    return tuple(found if not tables else (desc._replace(table=_split_table(desc, memory)) for desc in found))


def _linked(table: Any, first: int, limit: int) -> Iterator[VringDesc]:
    """Yield the descriptors that the links of a table lead to, no more than ``limit``, as far as there are any."""
    entry = first
    for _ in range(limit):
        if entry >= len(table):
            return
        desc = table[entry]
        yield desc
        if not desc.flags & DESC_NEXT:
            return
        entry = desc.next


def _split_table(desc: Descriptor, memory: PiecesOfMemory) -> tuple[Descriptor, ...] | None:
    """Return the descriptors of an indirect table that was checked."""
    if not desc.flags & DESC_INDIRECT or not memory.has(desc.address, desc.length):
        return None
    number = desc.length // sizeof(VringDesc)
    table = (VringDesc * number).from_buffer_copy(memory.translate(desc.address, desc.length))
    return tuple(_listed(inner) for inner in _linked(table, 0, number))


def packed_chain(given: Sequence[PackedDesc], memory: PiecesOfMemory, entry: int, size: int) -> tuple[Descriptor, ...]:
    """Return the descriptors of a request that the region has copies of; an indirect table is followed if given.

    Raises DriverError, as ``read_packed_chain`` of the reference does, for a chain that breaks a rule.
    """
    found = [_listed_packed(desc) for desc in given]
    tables = {(desc.address, desc.length) for desc in found if desc.flags & DESC_INDIRECT}
    memory.tables = tables
    with contextlib.suppress(_NotGivenError):
        read_packed_chain(given, memory, entry, size)
    return tuple(found if not tables else (desc._replace(table=_packed_table(desc, memory)) for desc in found))


def _packed_table(desc: Descriptor, memory: PiecesOfMemory) -> tuple[Descriptor, ...] | None:
    """Return the descriptors of an indirect table that was checked."""
    if not desc.flags & DESC_INDIRECT or not memory.has(desc.address, desc.length):
        return None
    number = desc.length // sizeof(PackedDesc)
    table = (PackedDesc * number).from_buffer_copy(memory.translate(desc.address, desc.length))
    return tuple(_listed_packed(inner) for inner in table)


def _listed(desc: VringDesc) -> Descriptor:
    """Return a copy of one descriptor of a split ring, which has no id."""
    return Descriptor(desc.addr, desc.len, desc.flags)


def _listed_packed(desc: PackedDesc) -> Descriptor:
    """Return a copy of one descriptor of a packed ring."""
    return Descriptor(desc.addr, desc.len, desc.flags, desc.id)
