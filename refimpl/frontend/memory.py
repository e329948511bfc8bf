"""The memory of a small guest: one memfd with a ring, indirect tables and buffers for each queue."""

from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from refimpl.both.driver import IndirectTables
from refimpl.memory import SharedMemory, store
from refimpl.packed.ring import PackedRing, base_at, packed_parts, packed_ring_bytes
from refimpl.split.chain import Buffer
from refimpl.split.ring import SplitRing, parts, ring_bytes
from refimpl.wire.payload import VRING_LOG, MemoryRegion, VringAddress

GUEST_BASE: Final = 0x1_0000
"""Guest address of the first byte."""

USER_BASE: Final = 0x7F00_0000_0000
"""The front-end's own address of the first byte; it differs, so that nobody takes one for the other unnoticed."""

HEADER_BYTES: Final = 16
STATUS_AT: Final = 16
DATA_AT: Final = 64
"""Where a slot's header, status byte and data are."""

TABLE_ENTRIES: Final = 3
"""Entries of a head's indirect table: header, data, status."""


@dataclass(frozen=True, slots=True)
class QueuePlace:
    """Where the parts of one queue are, in bytes from the beginning of the memory."""

    ring: int
    tables: int
    slots: int
    end: int


class GuestRam:
    """The memfd and what is where in it: ``queues`` queues of ``queue_size`` entries, one slot of buffers a head.

    On ``packed`` rings, what is said of a head here is true of a buffer id. The rings are in ``rings`` when they are
    split ones, else in ``packed_rings``.
    """

    def __init__(self, queues: int, queue_size: int, data_bytes: int, *, packed: bool = False) -> None:
        """Create the memory; ``data_bytes`` is the room for data in a slot. Raises UsageError for a size of no use."""
        self.packed = packed
        self.queues = queues
        self.queue_size = queue_size
        self.data_bytes = data_bytes
        self.slot_bytes = _round_up(DATA_AT + data_bytes, 64)
        self.places: list[QueuePlace] = []
        end = 0
        bytes_of_ring = packed_ring_bytes(queue_size) if packed else ring_bytes(queue_size)
        for _ in range(queues):
            tables = _round_up(end + bytes_of_ring, 4096)
            slots = _round_up(tables + 16 * TABLE_ENTRIES * queue_size, 4096)
            place = QueuePlace(end, tables, slots, _round_up(slots + self.slot_bytes * queue_size, 4096))
            self.places.append(place)
            end = place.end
        self.memory = SharedMemory.create(end, "guest")
        views = [self.memory.view(place.ring) for place in self.places]
        self.rings = [] if packed else [SplitRing.at(view, queue_size) for view in views]
        self.packed_rings = [PackedRing.at(view, queue_size) for view in views] if packed else []
        self.start = 0, 1

    @property
    def region(self) -> MemoryRegion:
        """The memory as SET_MEM_TABLE describes it."""
        return MemoryRegion(GUEST_BASE, self.memory.size, USER_BASE, 0)

    def begin_at(self, slot: int, wrap: int) -> int:
        """Let the packed rings have been in use up to a slot, and return what SET_VRING_BASE says of that."""
        self.start = slot, wrap
        for ring in self.packed_rings:
            ring.begin_at(slot, wrap)
        return base_at(slot, wrap)

    def count_from(self, index: int) -> None:
        """Let the split rings have been in use up to an index: the next one to make and the next one to use."""
        for ring in self.rings:
            for target, field in ((ring.avail, "idx"), (ring.used, "idx"), (ring.used_event, "event")):
                store(target, field, index)
            store(ring.avail_event, "event", index)

    def ring_address(self, queue: int, *, logged: bool = False) -> VringAddress:
        """Return where a queue's ring is, as SET_VRING_ADDR says it; packed, its event areas are in the last two."""
        ring = self.places[queue].ring
        avail, used = packed_parts(self.queue_size) if self.packed else parts(self.queue_size)
        start, log = USER_BASE + ring, GUEST_BASE + ring + used
        return VringAddress(queue, VRING_LOG if logged else 0, start, start + used, start + avail, log if logged else 0)

    def tables(self, queue: int) -> IndirectTables:
        """Return the room for a queue's indirect tables."""
        place = self.places[queue]
        view = self.memory.view(place.tables, 16 * TABLE_ENTRIES * self.queue_size)
        return IndirectTables(view, GUEST_BASE + place.tables, TABLE_ENTRIES)

    def slot(self, queue: int, head: int) -> tuple[int, memoryview]:
        """Return the guest address and the bytes of the slot that belongs to a head."""
        offset = self.places[queue].slots + head * self.slot_bytes
        return GUEST_BASE + offset, self.memory.view(offset, DATA_AT + self.data_bytes)

    def chain(self, queue: int, head: int, length: int, *, device_writes: bool) -> list[Buffer]:
        """Return the buffers of a request of ``length`` bytes of data in a head's slot."""
        address, _ = self.slot(queue, head)
        data = [Buffer(address + DATA_AT, length, device_writes)] if length else []
        return [Buffer(address, HEADER_BYTES), *data, Buffer(address + STATUS_AT, 1, writable=True)]

    def close(self) -> None:
        """Give up the memory. A second call does nothing."""
        self.rings, self.packed_rings = [], []
        self.memory.close()

    def __enter__(self) -> Self:
        """Return this memory, to be closed at the end of the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()


def _round_up(number: int, step: int) -> int:
    """Return the least multiple of ``step`` that is not below ``number``."""
    return -(-number // step) * step
