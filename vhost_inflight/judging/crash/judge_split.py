"""The judge of the crash test: every property, by what processes really did.

It knows the driver's own record, the back-end's trace of what its device really got and finished, and the shared memory
as it was when the back-end had just died and the driver rested. A request is known by its number: the driver counts
them, and writes the number as data, which is how it appears in the trace.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, ClassVar

from refimpl.choices import Choices
from refimpl.layout import VERSION
from refimpl.names import counted
from vhost_inflight.judging.crash.guest import Record
from vhost_inflight.judging.play.restart import not_restartable
from vhost_inflight.judging.play.split.world import SplitMemory

__all__ = ["FINISH", "Broken", "CrashJudge"]

FINISH = "device.finish"
"""The step of a trace that says that the device is done with a request."""


@dataclass(frozen=True, slots=True)
class Broken:
    """A property that was violated: by the back-end that died at kill number ``kill``, at ``step``."""

    property: str
    kill: int
    step: str
    reason: str


@dataclass
class CrashJudge:
    """Judges one life of the back-end after the other; `died` after each death, `ended` when all is done.

    ``first`` is the index at which a split ring begins, of a packed one the slot, counted on over laps; ``given`` is
    how many requests the device was given, at one time or another: those that were made first. ``queue`` is the ring's:
    each has as many sectors as it has entries.
    This is the judge of a split ring; vhost_inflight.judging.crash.judge_packed has what is otherwise on a packed one.
    """

    choices: Choices
    ring: Any
    size: int
    resubmit: ClassVar[str] = "split.reconnect.2"
    fetch: ClassVar[str] = "split.fetch.submit"
    made: list[int] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    visible: set[int] = field(default_factory=set)
    broken: list[Broken] = field(default_factory=list)
    completed: int = 0
    resubmitted: int = 0
    first: int = 0
    given: int = 0
    queue: int = 0

    def __post_init__(self) -> None:
        """Begin with a ring on which nothing has happened."""
        self._at_head: dict[int, int] = {}
        self._seen = 0
        self._kill, self._step = 0, ""

    def _violated(self, name: str, reason: str) -> None:
        whose = f"ring {self.queue}: " if self.queue else ""
        self.broken.append(Broken(name, self._kill, self._step, whose + reason))

    def died(self, kill: int, step: str, record: Record, trace: Iterable[Mapping[str, Any]], region: Any) -> None:
        """Judge the life that ended: the driver's record since the death before, the trace of this life, the memory."""
        self._kill, self._step = kill, step
        visible_before = set(self.visible)
        self.follow(record)
        given, finished = self._read(trace)
        self._judge_given(given, visible_before)
        for number in sorted(self.visible - visible_before):
            if number not in finished:
                self._violated("intact", f"request {number} is visible as used, and the device has not finished it")
                self._violated("exactly-once", f"request {number} is visible while the device still works on it")
        self._judge_memory(region)

    def stopped(
        self,
        kill: int,
        step: str,
        record: Record,
        trace: Iterable[Mapping[str, Any]],
        region: Any,
        *,
        base: int,
        drained: bool,
    ) -> int:
        """Judge the life that ended with a ring that was stopped; return how many requests are in flight.

        ``base`` is what was answered; ``drained``: nothing may be in flight.
        """
        self.died(kill, step, record, trace, region)
        left = self.given - len([number for number in self.visible if number < self.given])
        if unsettled := self._unsettled(region):
            self._violated("well-formed", f"the ring was stopped in the middle of a batch: {unsettled}")
        elif drained and left:
            self._violated("drains", f"the ring was to be drained, and {counted(left, 'request')} did not come back")
        elif not left and (wrong := self._left(region)):
            self._violated("well-formed", f"nothing is inflight, but {wrong}")
        if base != (expected := self._base()):
            self._violated("ring-position", f"the ring was stopped at {base:#x}, the driver's next is {expected:#x}")
        return left

    def _unsettled(self, region: Any) -> str:
        """Say what of a batch is not settled; nothing: no batch is open."""
        used = self.ring.used.idx
        return f"used_idx is {region.used_idx}, used.idx {used}" if region.used_idx != used else ""

    def _base(self) -> int:
        """Return where fetching goes on, as GET_VRING_BASE says it."""
        return (self.first + self.given) % 65536

    def follow(self, record: Record) -> None:
        """Follow the driver, and find what is visible: what it has seen, and what it would see next."""
        for name, reason in record.errors:
            self._violated(name, reason)
        # a head is made again only after it was seen: what was used belongs to the oldest request of the head
        waiting: dict[int, list[int]] = {head: [number] for head, number in self._at_head.items()}
        for head in record.made:
            waiting.setdefault(head, []).append(len(self.made))
            self.made.append(head)
        self.lengths += record.lengths
        for head in record.used:
            self.visible.add(waiting[head].pop(0))
        self.completed += len(record.used)
        self._at_head = {head: numbers[0] for head, numbers in waiting.items() if numbers}
        shown = self._shown(record)
        for place, head in enumerate(shown):
            if head not in self._at_head or head in shown[:place]:
                self._violated("exactly-once", f"a used element names head {head}, used before or never made")
            else:
                self.visible.add(self._at_head[head])

    def _shown(self, record: Record) -> list[int]:
        """Return the heads in the used elements that the driver has not yet seen, in the order of the ring."""
        used = self.ring.used
        elements = range(record.next_used, record.next_used + (used.idx - record.next_used) % 65536)
        return [used.ring[position % 65536 % self.ring.size].id for position in elements]

    def _read(self, trace: Iterable[Mapping[str, Any]]) -> tuple[list[tuple[str, int]], set[int]]:
        """Give what the device was given, in order, by recovery or by fetch, and what it finished."""
        given: list[tuple[str, int]] = []
        finished: set[int] = set()
        working: set[int] = set()
        for line in trace:
            number = int(line["tag"], 16)
            sector = line["sector"] - self.queue * self.size
            if number >= len(self.made) or not line["id"] == sector == self.made[number]:
                self._violated("intact", f"the device got {dict(line)}, which is no request that the driver made")
                continue
            if line["step"] == FINISH:
                if number not in working:
                    self._violated("intact", f"the device finished request {number}, which it does not have")
                working.discard(number)
                finished.add(number)
            else:
                given.append((line["step"], number))
                working.add(number)
        self.resubmitted += sum(step == self.resubmit for step, _ in given)
        return given, finished

    def _judge_given(self, given: list[tuple[str, int]], visible_before: set[int]) -> None:
        again = [number for step, number in given if step == self.resubmit]
        fetched = [number for step, number in given if step == self.fetch]
        for step, number in given:
            if number in visible_before:
                self._violated("no-used-resubmitted", f"request {number} was visible as used before {step}")
        for number in sorted(set(again) & set(fetched)):
            self._violated("nothing-lost", f"request {number} was both resubmitted and fetched")
        for number in [n for numbers in (again, fetched) for n, times in Counter(numbers).items() if times > 1]:
            self._violated("exactly-once", f"request {number} was given to the device twice")
        numbers = [*again, *fetched]
        self.given = max([self.given, *(number + 1 for number in numbers)])
        wrong = [(before, after) for before, after in pairwise(numbers) if before > after]
        if wrong:
            self._violated("order", f"request {wrong[0][1]} was given to the device after {wrong[0][0]}")
        # who fetches has recovered: whatever was made before the last fetched one was given to the device, or is used
        for number in sorted(set(range(max(fetched, default=0))) - visible_before - set(numbers)):
            self._violated("nothing-lost", f"request {number} was neither resubmitted nor fetched")

    def _judge_memory(self, region: Any) -> None:
        """Judge the memory that the next life finds: positions, the region's form, whether recovery can be cut off."""
        ring = self.ring
        indexes = (self.first + len(self.visible)) % 65536, (self.first + len(self.made)) % 65536
        if (ring.used.idx, ring.avail.idx) != indexes:
            self._violated("ring-position", f"used.idx is {ring.used.idx}, {len(self.visible)} requests are visible")
        if region.version != VERSION:
            return
        for number, entry in enumerate(region.desc):
            if entry.next >= len(region.desc) or entry.inflight > 1:
                self._violated("well-formed", f"entry {number} has next {entry.next}, inflight {entry.inflight}")
        if region.last_batch_head >= len(region.desc) or region.desc_num != len(region.desc):
            self._violated("well-formed", f"last_batch_head {region.last_batch_head}, desc_num {region.desc_num}")
        memory = copy_of(self.choices, ring, region)
        if difference := not_restartable(memory, memory.image):
            self._violated("restartable", difference)

    def ended(self, region: Any, *, in_time: bool) -> None:
        """Judge the end: no more crashes, everything had its time to come back."""
        self._step = "the end, without a crash"
        if not in_time or len(self.visible) != len(self.made):
            missing = [n for n in range(len(self.made)) if n not in self.visible]
            what = (
                f"requests {missing} did not come back" if missing else "the driver was not notified of what came back"
            )
            self._violated("drains", what)
            return
        if wrong := self._left(region):
            self._violated("well-formed", f"nothing is inflight, but {wrong}")

    def _left(self, region: Any) -> str:
        """Say what is wrong with a region when everything has come back; nothing: it is empty and settled."""
        inflight = [number for number, entry in enumerate(region.desc) if entry.inflight]
        wrong = inflight or region.used_idx != self.ring.used.idx
        return f"{inflight} are marked, used_idx {region.used_idx}" if wrong else ""


def copy_of(choices: Choices, ring: Any, region: Any) -> SplitMemory:
    """Return a copy of a ring's indexes and of a region, to try recovery on."""
    memory = SplitMemory(choices, ring.size, len(region.desc), 0)
    parts = ((memory.ring.avail, ring.avail), (memory.ring.used, ring.used), (memory.region, region))
    for mine, theirs in parts:
        memoryview(mine).cast("B")[:] = memoryview(theirs).cast("B")
    return memory
