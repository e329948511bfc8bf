"""Descriptor chains of a split ring, checked, and the guest's memory that their addresses point into."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from refimpl.errors import DriverError, FrontEndError, UsageError
from refimpl.layout import DESC_INDIRECT, DESC_NEXT, DESC_WRITE, RING_SIZE_MAX, VringDesc
from refimpl.split.ring import SplitRing


@dataclass(frozen=True, slots=True)
class GuestRegion:
    """A piece of the guest's memory: its first address, and a view of its bytes."""

    address: int
    view: memoryview

    @property
    def end(self) -> int:
        """The address after the last byte."""
        return self.address + len(self.view)


TABLE_MAX: Final = RING_SIZE_MAX
"""Descriptors of an indirect table at most.

virtio wants no chain longer than the ring, in a table neither. But Linux fills a table with as many segments as the
device's seg_max allows, whatever size the ring has, and no device is known to refuse that.
"""


class GuestMemory:
    """The guest's memory: mapped regions that do not overlap.

    It serves any address space that has regions: guest addresses, and the front-end's own for ring addresses.
    """

    def __init__(self, regions: Iterable[GuestRegion] = ()) -> None:
        """Take the regions. Raises FrontEndError when two overlap, or one is empty or leaves 64 bits."""
        self.regions: list[GuestRegion] = []
        for region in regions:
            self.add(region)

    def add(self, region: GuestRegion) -> None:
        """Add a region. Raises FrontEndError when it overlaps another, is empty or leaves 64 bits."""
        if not (region.address >= 0 and region.address < region.end <= 1 << 64):
            raise FrontEndError(f"a region of {len(region.view)} bytes at {region.address:#x} is not possible")
        for other in self.regions:
            if region.address < other.end and other.address < region.end:
                raise FrontEndError(f"the regions at {region.address:#x} and {other.address:#x} overlap")
        self.regions.append(region)

    def remove(self, address: int, size: int) -> GuestRegion:
        """Take out the region of ``size`` bytes at ``address`` and return it. Raises FrontEndError without one."""
        for region in self.regions:
            if (region.address, len(region.view)) == (address, size):
                self.regions.remove(region)
                return region
        raise FrontEndError(f"there is no region of {size} bytes at {address:#x}")

    def translate(self, address: int, length: int) -> memoryview:
        """Return ``length`` bytes (0 too) at ``address``, which have to be in one region.

        Raises DriverError when they are not, or when address plus length leaves 64 bits. A buffer may lie in several:
        see ``pieces``.
        """
        if address + length > 1 << 64:
            raise DriverError(f"{length} bytes at {address:#x} leave the 64 bits of an address")
        for region in self.regions:
            if region.address <= address and address + length <= region.end:
                return region.view[address - region.address :][:length]
        raise DriverError(f"{length} bytes at {address:#x} are not inside one region of the guest's memory")

    def pieces(self, address: int, length: int) -> list[memoryview]:
        """Return ``length`` bytes at ``address`` as one view, or as several where they cross into adjoining regions.

        Raises DriverError when some of them are in no region, or when address plus length leaves 64 bits.
        """
        try:
            return [self.translate(address, length)]
        except DriverError:
            for region in self.regions:
                if region.address <= address < region.end < address + length:
                    first = region.end - address
                    return [self.translate(address, first), *self.pieces(region.end, length - first)]
            raise


@dataclass(frozen=True, slots=True)
class Buffer:
    """One buffer of a request: guest address, length in bytes, and whether the device writes it (else it reads it)."""

    address: int
    length: int
    writable: bool = False


class MappedBuffer(NamedTuple):
    """A buffer whose bytes were found: as `Buffer`, and ``view``."""

    address: int
    length: int
    writable: bool
    view: memoryview


def read_chain(ring: SplitRing, memory: GuestMemory, head: int) -> list[MappedBuffer]:
    """Return the buffers of the chain at ``head``, in order, following one level of indirect table.

    Each descriptor is read once. Raises DriverError, naming the head and the rule, for a chain that is longer than
    the ring or loops (which makes it longer), a ``next`` past the table, a descriptor both indirect and with a next, an
    indirect table inside another, of no descriptors or a length that is no multiple of 16, an address outside the
    guest's memory, an address and length that leave 64 bits, and a buffer to be read after one to be written. Raises
    UsageError for a head that is not in the ring.
    """
    if not 0 <= head < ring.size:
        raise UsageError(f"there is no head {head} in a ring of {ring.size}")
    try:
        return _Reader(ring, memory).read(head)
    except DriverError as error:
        raise DriverError(f"head {head}: {error.rule}") from error


class _Reader:
    """The reading of one chain."""

    def __init__(self, ring: SplitRing, memory: GuestMemory) -> None:
        """Begin with no buffer."""
        self.ring = ring
        self.memory = memory
        self.buffers: list[MappedBuffer] = []

    def read(self, head: int) -> list[MappedBuffer]:
        """Read the chain in the ring's own table."""
        self._follow(self.ring.desc, head, indirect_allowed=True)
        return self.buffers

    def _follow(self, table: Any, first: int, *, indirect_allowed: bool) -> None:
        """Follow the links in one table of descriptors, from entry ``first``."""
        entry: int | None = first
        followed = 0
        while entry is not None:
            if entry >= len(table):
                raise DriverError(f"next is {entry} in a table of {len(table)} descriptors")
            if followed >= len(table):
                what = "the ring's {} entries" if indirect_allowed else "its table of {} descriptors"
                raise DriverError(f"the chain is longer than {what.format(len(table))}, or loops")
            followed += 1
            desc = VringDesc.from_buffer_copy(table[entry])  # a copy: the driver may change it after the checks
            entry = desc.next if desc.flags & DESC_NEXT else None
            if desc.flags & DESC_INDIRECT:
                if not indirect_allowed:
                    raise DriverError("an indirect table is inside an indirect table")
                self._indirect(desc)
            else:
                self._buffer(desc)

    def _indirect(self, desc: VringDesc) -> None:
        """Read the table that an indirect descriptor points to."""
        if desc.flags & DESC_NEXT:
            raise DriverError("a descriptor is both indirect and followed by a next")
        if desc.len == 0 or desc.len % 16:
            raise DriverError(f"an indirect table has {desc.len} bytes, not a multiple of 16")
        number = desc.len // 16
        if number > TABLE_MAX:
            raise DriverError(f"an indirect table has {number} descriptors, more than {TABLE_MAX}")
        table = b"".join(self.memory.pieces(desc.addr, desc.len))
        self._follow((VringDesc * number).from_buffer_copy(table), 0, indirect_allowed=False)

    def _buffer(self, desc: VringDesc) -> None:
        """Take one buffer."""
        writable = bool(desc.flags & DESC_WRITE)
        if not writable and self.buffers and self.buffers[-1].writable:
            raise DriverError("a buffer to be read comes after one to be written")
        self.buffers += mapped(desc, self.memory)


def mapped(desc: Any, memory: GuestMemory) -> Iterator[MappedBuffer]:
    """Yield the buffer that a descriptor of either ring describes; one that crosses into another region is several.

    Raises DriverError as ``pieces`` does.
    """
    address, writable = desc.addr, bool(desc.flags & DESC_WRITE)
    for view in memory.pieces(desc.addr, desc.len):
        yield MappedBuffer(address, len(view), writable, view)
        address += len(view)
