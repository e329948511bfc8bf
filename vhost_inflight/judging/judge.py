"""The reference's own judge: the properties of the split ring, judged by what really happened.

It knows what the driver did (its own record), what the device was really given, what really stands in the ring and the
region, and nothing of the model. Positions count the requests of a ring and never wrap.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from refimpl.layout import VERSION
from vhost_inflight.judging.world import Device, Memory, Work

__all__ = ["Judge", "Request", "Violation"]


@dataclass(frozen=True, slots=True)
class Violation:
    """A property that was violated: at which event (counted from 1), and what was seen."""

    property: str
    event: int
    reason: str

    def text(self) -> str:
        """Write it as a sentence."""
        return f"{self.property} is violated at event {self.event}: {self.reason}"


@dataclass(eq=False, slots=True)
class Request:
    """One request that the driver made available: its number (the content), its head, its position in the ring.

    ``visible``: a used element that names it was published. ``seen``: the driver has read that.
    """

    number: int
    head: int
    position: int
    visible: bool = False
    seen: bool = False


@dataclass
class Judge:
    """Judges one run; whoever plays it tells what happened, in order, and sets ``event`` before."""

    memory: Memory
    device: Device
    event: int = 0
    violations: list[Violation] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Begin with a ring on which nothing has happened."""
        self.reset()

    def reset(self) -> None:
        """Begin a new ring."""
        self.made: list[Request] = []
        self._at_head: dict[int, Request] = {}
        self._fetched: dict[int, Request] = {}
        self.published = 0
        self._seen = 0
        self.died()

    def died(self) -> None:
        """Forget what the process had given to the device: a new process begins with nothing."""
        self.resubmitted: list[int] = []
        self._last_given = -1
        self._in_order = True
        self._twice: set[int] = set()

    def outstanding(self) -> list[Request]:
        """Return the requests made available and not visible as used, in the order in which they were made."""
        return [request for request in self.made if not request.visible]

    def _violated(self, name: str, reason: str) -> None:
        self.violations.append(Violation(name, self.event, reason))

    # What the driver did

    def made_available(self, head: int, number: int) -> None:
        """Record that the driver made a request available."""
        request = Request(number, head, len(self.made))
        self.made.append(request)
        self._at_head[head] = request

    def used(self, head: int, length: int) -> None:
        """Judge what the driver read from the used ring."""
        request = self._fetched.get(head)
        if request is None or request.seen:
            self._violated("exactly-once", f"the driver reads head {head} as used, of no request or once more")
            return
        if length != request.number:
            self._violated("intact", f"the driver reads {length} as the length of request {request.number}")
        request.seen = True

    # What the back-end did

    def fetched(self, head: int) -> None:
        """Record that the back-end took the head from the available ring."""
        request = self._at_head.get(head)
        if request is not None:
            self._fetched[head] = request

    def submitted(self, head: int, again: bool) -> None:
        """Judge what is about to be given to the device, ``again`` at recovery or after a fetch.

        A head that it works on already is worked on twice from now on: when one of both is done, the other is not.
        """
        request = self._fetched.get(head)
        what = f"head {head}, request {request.number if request else 'none'}"
        if request is None or request.visible:
            self._violated("no-used-resubmitted", f"{what}, is given to the device, and is visible as used")
        desc = self.memory.ring.desc[head]
        latest = self._at_head.get(head)
        if (desc.addr, desc.len, desc.flags) != (latest.number if latest else 0, 0, 0):
            self._violated("intact", f"{what}, is given to the device as {desc.addr}")
        if self.device.work.get(head) is Work.WORKING:
            self._twice.add(head)
        position = request.position if request else -1
        self._in_order = self._in_order and self._last_given < position
        self._last_given = position
        if again:
            self.resubmitted.append(head)

    def submit_done(self) -> None:
        """Judge the order after a fetched request was given to the device."""
        self._judge_order()

    def recovery_begins(self) -> None:
        """Record that recovery starts over in a living process."""
        self.resubmitted = []

    def published_batch(self, old: int) -> None:
        """Judge the used elements between ``old`` and the used index: the driver can see them from now on."""
        ring = self.memory.ring
        count = (ring.used.idx - old) % 65536
        named: set[int] = set()
        for position in range(old, old + count):
            element = ring.used.ring[position % 65536 % ring.size]
            self._judge_element(element.id, element.len, named)
            named.add(element.id)
        self.published += count
        for head in named & self._fetched.keys():
            self._fetched[head].visible = True

    def _judge_element(self, head: int, length: int, named: set[int]) -> None:
        request, work = self._fetched.get(head), self.device.work.get(head)
        what = f"a used element names head {head}, request {request.number if request else 'none'}"
        finished = work in (Work.FINISHED, Work.IN_BATCH)
        if not finished or request is None or length != request.number:
            state = work.value if work else "nothing"
            self._violated("intact", f"{what}, length {length}; the device's state of it: {state}")
        at_work = work is Work.WORKING or head in self._twice
        if request is None or request.visible or head in named or at_work:
            self._violated("exactly-once", f"{what}, used before or still worked on")

    def settled(self) -> None:
        """Judge the region after a batch."""
        self._judge_form()

    def recovered(self, last_avail: int) -> None:
        """Judge the end of recovery: the resubmit list, the position of the next fetch, the region."""
        memory, outstanding = self.memory, self.outstanding()
        ahead = (memory.ring.avail.idx - last_avail) % 65536
        again = [r for r in outstanding if r.head in self.resubmitted and self._fetched.get(r.head) is r]
        for request in outstanding:
            later = len(self.made) - request.position <= ahead
            if later == (request in again):
                both = "both resubmitted and to be fetched" if later else "neither resubmitted nor to be fetched"
                self._violated("nothing-lost", f"request {request.number}, head {request.head}, is {both}")
        self._judge_order()
        self._judge_form()
        used = (memory.first + self.published) % 65536
        if memory.ring.used.idx != used:
            self._violated("ring-position", f"used.idx is {memory.ring.used.idx}, {used} is what the driver expects")
        if ahead != len(outstanding) - len(again):
            waiting = len(outstanding) - len(again)
            self._violated("ring-position", f"{ahead} requests are to be fetched, {waiting} wait for it")

    def _judge_order(self) -> None:
        if not self._in_order:
            self._violated("order", "a request was given to the device after one that was made available later")

    def _judge_form(self) -> None:
        memory, region = self.memory, self.memory.region
        wrong = [
            f"{name} is {getattr(region, name)}, not {wanted}"
            for name, wanted in (
                ("version", VERSION),
                ("desc_num", memory.entries),
                ("used_idx", memory.ring.used.idx),
            )
            if getattr(region, name) != wanted
        ]
        if region.last_batch_head >= memory.entries:
            wrong.append(f"last_batch_head is {region.last_batch_head}")
        for number, entry in enumerate(region.desc):
            if entry.next >= memory.entries or entry.inflight > 1:
                wrong.append(f"entry {number} has next {entry.next}, inflight {entry.inflight}")
        if wrong:
            self._violated("well-formed", "; ".join(wrong))
