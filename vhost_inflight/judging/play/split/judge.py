"""The judge of the split ring: see vhost_inflight.judging.play.judge."""

from __future__ import annotations

from typing import Any

from refimpl.layout import VERSION
from vhost_inflight.judging.play.judge import Judge, Request
from vhost_inflight.judging.play.world import Work

__all__ = ["SplitJudge"]


class SplitJudge(Judge):
    """Judges one run on a split ring; a request is known by its head."""

    def reset(self) -> None:
        """Begin a new ring."""
        super().reset()
        self._at_head: dict[int, Request] = {}
        self.published = 0
        self._old_used = 0

    def _end(self) -> int:
        return len(self.made)

    # What the driver did

    def made_available(self, head: int, number: int) -> None:
        """Record that the driver made a request available."""
        request = Request(len(self.made), head, len(self.made), number)
        self.made.append(request)
        self._at_head[head] = request

    def used(self, head: int, length: int) -> None:
        """Judge what the driver read from the used ring."""
        request = self._fetched.get(head)
        if request is None or request.seen:
            self._violated("exactly-once", f"the driver reads head {head} as used, of no request or once more")
            return
        if length != request.content:
            what = f"the driver reads {length} as the length of request {request.number}"
            self._violated("intact", f"{what}, which has {request.content}")
        request.seen = True

    # What the back-end did

    def happened(self, step: str, choice: int | None, queue: Any) -> None:  # noqa: ARG002  # packed has use for both
        """Judge a step that the back-end has just taken."""
        ring = self.memory.ring
        match step:
            case "split.fetch.1":
                self._fetched_head(ring.avail.ring[(queue.last_avail - 1) % ring.size])
            case "split.fetch.submit":
                self._judge_order()
            case "split.supply.1":
                self._old_used = ring.used.idx
            case "split.supply.5":
                self._judge_published(self._old_used)
            case "split.supply.6" | "split.supply.6.untracked":
                self.device.cleared()
            case "split.supply.7":
                self._judge_form()
            case "split.reconnect.ready":
                self._judge_recovered(queue.last_avail)

    def _fetched_head(self, head: int) -> None:
        """Record that the back-end took the head from the available ring."""
        request = self._at_head.get(head)
        if request is not None:
            self._fetched[head] = request

    def submitted(self, head: int, again: bool, queue: Any) -> None:  # noqa: ARG002  # the packed one reads the queue
        """Judge what is about to be given to the device, ``again`` at recovery or after a fetch."""
        what = f"head {head}, {self._name(head)}"
        self._given(head, what)
        desc = self.memory.ring.desc[head]
        latest = self._at_head.get(head)
        if (desc.addr, desc.len, desc.flags) != (latest.content if latest else 0, 0, 0):
            self._violated("intact", f"{what}, is given to the device as {desc.addr}")
        if again:
            self.resubmitted.append(head)

    def _judge_published(self, old: int) -> None:
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
        what = f"a used element names head {head}, {self._name(head)}"
        finished = work in (Work.FINISHED, Work.IN_BATCH)
        if not finished or request is None or length != request.content:
            state = work.value if work else "nothing"
            self._violated("intact", f"{what}, length {length}; the device's state of it: {state}")
        at_work = work is Work.WORKING or head in self._twice
        if request is None or request.visible or head in named or at_work:
            self._violated("exactly-once", f"{what}, used before or still worked on")

    def _judge_recovered(self, last_avail: int) -> None:
        """Judge the end of recovery: the resubmit list, the position of the next fetch, the region."""
        memory = self.memory
        ahead = (memory.ring.avail.idx - last_avail) % 65536
        waiting = len(self._judge_outstanding(ahead))
        self._judge_order()
        self._judge_form()
        used = (memory.first + self.published) % 65536
        if memory.ring.used.idx != used:
            self._violated("ring-position", f"used.idx is {memory.ring.used.idx}, {used} is what the driver expects")
        if ahead != waiting:
            self._violated("ring-position", f"{ahead} requests are to be fetched, {waiting} wait for it")

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
