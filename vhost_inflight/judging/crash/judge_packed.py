"""The judge of the crash test on a packed ring: what the driver can see, and what recovery would make of the memory.

Nothing in a packed ring says how far it was used. So the driver's record says where it looks next, and what it can meet
is found by walking from there; and recovery is tried on a copy of the memory, to see whether it ends where the driver
is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from refimpl.errors import InflightError
from refimpl.hooks import silent
from refimpl.layout import VERSION
from refimpl.packed.queue import PackedQueue
from refimpl.packed.ring import is_used
from vhost_inflight.judging.crash.guest import Record
from vhost_inflight.judging.crash.judge_split import CrashJudge
from vhost_inflight.judging.play.packed.world import PackedMemory
from vhost_inflight.judging.play.restart import not_restartable

__all__ = ["PackedCrashJudge"]


class PackedCrashJudge(CrashJudge):
    """See CrashJudge; ``ring`` is a PackedRing."""

    resubmit: ClassVar[str] = "packed.reconnect.4.submit"
    fetch: ClassVar[str] = "packed.fetch.submit"

    def __post_init__(self) -> None:
        """Begin with a ring on which nothing has happened."""
        super().__post_init__()
        self._next = (0, 1)

    def _shown(self, record: Record) -> list[int]:
        """Return the ids in the used elements that the driver has not yet seen, as it would walk over them."""
        shown: list[int] = []
        slot, wrap = record.next_used, record.used_wrap
        while len(shown) < self.size and is_used(self.ring.desc[slot].flags, wrap):
            shown.append(self.ring.desc[slot].id)
            slot, wrap = self.ring.advance(slot, wrap, self._length(shown[-1]))
        self._next = slot, wrap
        return shown

    def _length(self, identity: int) -> int:
        """Return how many slots the driver goes on after a used element of an id."""
        number = self._at_head.get(identity)
        return 1 if number is None else self.lengths[number]

    def _judge_memory(self, region: Any) -> None:
        """Judge the memory that the next life finds: what recovery makes of a copy, and whether it can be cut off."""
        if region.version != VERSION:
            return
        memory = self._copy(region)
        if difference := not_restartable(memory, memory.image):
            self._violated("restartable", difference)
        resubmitted: list[int] = []
        queue = memory.queue(silent, resubmitted.append)
        try:
            queue.start()
        except InflightError as error:
            self._violated("well-formed", f"recovery of a copy breaks a rule: {error}")
            return
        self._judge_positions(memory.region, queue, [queue.id_of(entry) for entry in resubmitted])
        if wrong := "; ".join(_wrong(memory.region)):
            self._violated("well-formed", f"recovery of a copy ends with a region in which {wrong}")

    def _judge_positions(self, region: Any, queue: PackedQueue, resubmitted: list[int]) -> None:
        """Judge where recovery of a copy ends: the next used slot, and what is neither given nor to be fetched."""
        used = region.used_idx, region.used_wrap_counter
        if used != self._next:
            self._violated("ring-position", f"the next used slot and lap are {used}, the driver looks at {self._next}")
        outstanding = sorted(set(range(len(self.made))) - self.visible)
        behind = sum(self.lengths[number] for number in outstanding)
        slot, wrap = self.ring.advance(*self._next, behind)
        # over two laps each slot and wrap counter is one place: so many descriptors are to be fetched
        ahead = (slot - queue.avail_idx + (0 if wrap == queue.avail_wrap else self.size)) % (2 * self.size)
        for number in outstanding:
            again, later = self.made[number] in resubmitted, behind <= ahead
            if again == later:
                what = "both resubmitted and to be fetched" if again else "neither resubmitted nor to be fetched"
                self._violated("nothing-lost", f"request {number} is {what} when a copy is recovered")
            behind -= self.lengths[number]

    def _left(self, region: Any) -> str:
        """Say what is wrong with a region when everything has come back; nothing: it is empty and settled."""
        inflight = [f"entry {number} is marked" for number, entry in enumerate(region.desc) if entry.inflight]
        used = region.used_idx, region.used_wrap_counter
        wrong = [f"the next used slot and lap are {used}"] if used != self._next else []
        return "; ".join([*inflight, *wrong, *_wrong(region)])

    def _unsettled(self, region: Any) -> str:
        return "; ".join(_wrong(region))

    def _base(self) -> int:
        laps, slot = divmod(self.first, self.size)
        available = self.ring.advance(slot, 1 - laps % 2, sum(self.lengths[: self.given]))
        return sum((slot | wrap << 15) << shift for shift, (slot, wrap) in ((0, available), (16, self._next)))

    def _copy(self, region: Any) -> PackedMemory:
        """Return a copy of the ring and of a region, to try recovery on."""
        memory = PackedMemory(self.choices, self.size, len(region.desc))
        ring, mine = self.ring, memory.ring
        pairs = (
            (mine.desc, ring.desc),
            (mine.driver_event, ring.driver_event),
            (mine.device_event, ring.device_event),
            (memory.region, region),
        )
        for here, there in pairs:
            memoryview(here).cast("B")[:] = memoryview(there).cast("B")
        return memory


def _wrong(region: Any) -> Iterator[str]:
    """Say what is wrong with a region in which nothing is in progress: its old fields, its free list."""
    entries = len(region.desc)
    for name in ("free_head", "used_idx", "used_wrap_counter"):
        old, new = getattr(region, f"old_{name}"), getattr(region, name)
        if old != new:
            yield f"old_{name} is {old}, {name} is {new}"
    free: list[int] = []
    number = region.free_head
    while number < entries and number not in free:
        free.append(number)
        number = region.desc[number].next
    if number != entries:
        yield f"the free list leads to {number} again"
    taken = sum(entry.num for entry in region.desc if entry.inflight)
    if len(free) + taken != entries:
        yield f"{len(free)} entries are free and {taken} are in use, of {entries}"
