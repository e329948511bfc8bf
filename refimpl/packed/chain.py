"""Descriptor chains of a packed ring, checked; the guest's memory that they point into is in refimpl.split.chain."""

from collections.abc import Sequence
from ctypes import sizeof

from refimpl.errors import DriverError
from refimpl.layout import DESC_INDIRECT, DESC_WRITE, PackedDesc
from refimpl.split.chain import TABLE_MAX, GuestMemory, MappedBuffer, mapped


def read_packed_chain(
    descriptors: Sequence[PackedDesc], memory: GuestMemory, entry: int, size: int
) -> list[MappedBuffer]:
    """Return the buffers of a chain, in order, following one level of indirect table.

    ``descriptors`` are the copies that were made when the request was fetched (``PackedState.given``), so nobody
    changes them; ``entry`` is the region's entry of the first, to be named in errors; ``size`` is the ring's. In an
    indirect table the descriptors are in order; of their flags WRITE alone means something.

    Raises DriverError for a chain longer than the ring, a table longer than TABLE_MAX, an indirect descriptor that is
    not alone in its chain, an indirect table inside another, of no descriptors or a length that is no multiple of 16,
    an address outside the guest's memory, an address and length that leave 64 bits, and a buffer to be read after one
    to be written.
    """
    try:
        if any(desc.flags & DESC_INDIRECT for desc in descriptors):
            return _buffers(_table(descriptors, memory), memory)
        return _buffers(_short(descriptors, size), memory)
    except DriverError as error:
        raise DriverError(f"entry {entry}: {error.rule}") from error


def _short(descriptors: Sequence[PackedDesc], size: int) -> Sequence[PackedDesc]:
    """Return the descriptors of a chain that is not longer than the ring."""
    if len(descriptors) > size:
        raise DriverError(f"the chain is longer than the ring's {size} slots")
    return descriptors


def _table(descriptors: Sequence[PackedDesc], memory: GuestMemory) -> Sequence[PackedDesc]:
    """Return a copy of the table that an indirect descriptor points to: the driver may change it after the checks."""
    if len(descriptors) != 1:
        raise DriverError("an indirect descriptor is not alone in its chain")
    width = sizeof(PackedDesc)
    address, length = descriptors[0].addr, descriptors[0].len
    if length == 0 or length % width:
        raise DriverError(f"an indirect table has {length} bytes, not a multiple of {width}")
    if length // width > TABLE_MAX:
        raise DriverError(f"an indirect table has {length // width} descriptors, more than {TABLE_MAX}")
    table = (PackedDesc * (length // width)).from_buffer_copy(b"".join(memory.pieces(address, length)))
    if any(desc.flags & DESC_INDIRECT for desc in table):
        raise DriverError("an indirect table is inside an indirect table")
    return list(table)


def _buffers(descriptors: Sequence[PackedDesc], memory: GuestMemory) -> list[MappedBuffer]:
    """Return the buffers that descriptors, none of them indirect, describe."""
    buffers: list[MappedBuffer] = []
    for desc in descriptors:
        writable = bool(desc.flags & DESC_WRITE)
        if not writable and buffers and buffers[-1].writable:
            raise DriverError("a buffer to be read comes after one to be written")
        buffers += mapped(desc, memory)
    return buffers
