"""The judge of the packed ring: see vhost_inflight.judging.play.judge.

The driver's record says what stands in each slot, so that a back-end that fetches from a wrong one is found out. What
is visible is found as the driver would find it: by walking, from where it looks next, over slots that are marked used,
each as many slots long as the chain of its id.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from refimpl.errors import UsageError
from refimpl.layout import DESC_NEXT, VERSION, PackedDesc
from refimpl.packed.ring import is_used
from vhost_inflight.judging.play.judge import Judge, Request
from vhost_inflight.judging.play.world import Work

__all__ = ["PackedJudge"]


class PackedJudge(Judge):
    """Judges one run on a packed ring; a request is known by the entry of its first descriptor, or by its id."""

    def reset(self) -> None:
        """Begin a new ring."""
        super().reset()
        self._position = self.memory.first  # of the next descriptor that the driver makes available
        self._met = self.memory.first  # of the next one that the driver would not meet as used
        self._making: Request | None = None
        self._of_id: dict[int, Request] = {}
        self._in_slot: dict[int, tuple[Request, int]] = {}
        self._held: dict[int, Request] = {}
        self._copying = (0, 0)

    def _end(self) -> int:
        return self._position

    # What the driver did

    def begun(self, identity: int, number: int) -> None:
        """Record that the driver writes the first descriptor of a request, with this number."""
        self._making = Request(len(self.made), identity, self._position, number)
        self.goes_on(number)

    def goes_on(self, number: int) -> None:
        """Record that it writes the next one. Raises UsageError when it has begun no request."""
        request = self._begun()
        slot, _ = self._place(request.position + len(request.descriptors))
        self._in_slot[slot] = request, len(request.descriptors)
        request.descriptors.append(number)

    def made_available(self) -> None:
        """Record that the driver makes the request available. Raises UsageError as `goes_on` does."""
        request = self._begun()
        self.made.append(request)
        self._of_id[request.head] = request
        self._position += len(request.descriptors)

    def _begun(self) -> Request:
        if self._making is None:
            raise UsageError("no request was begun")
        return self._making

    def used(self, identity: int, length: int) -> None:
        """Judge what the driver read as used."""
        request = self._of_id.get(identity)
        if request is None or request.seen:
            self._violated("exactly-once", f"the driver reads id {identity} as used, of no request or once more")
            return
        if length != request.content:
            what = f"the driver reads {length} as the length of request {request.number}"
            self._violated("intact", f"{what}, which has {request.content}")
        request.seen = True

    def _place(self, position: int) -> tuple[int, int]:
        """Return the slot of a position, and the wrap counter of its lap, the first of which has 1."""
        lap, slot = divmod(position, self.memory.size)
        return slot, 1 - lap % 2

    # What the back-end did

    def happened(self, step: str, choice: int | None, queue: Any) -> None:
        """Judge a step that the back-end has just taken."""
        region = self.memory.region
        judged: dict[str, Callable[[], None]] = {
            "packed.fetch.1": lambda: self._fetch_begins(queue.avail_idx, region.old_free_head),
            "packed.fetch.4": lambda: self._copy_begins(region.free_head, queue.avail_idx),
            "packed.fetch.6": lambda: self._judge_copy(region.old_free_head, len(queue.given) - 1),
            "packed.fetch.submit": self._judge_order,
            "packed.reconnect.4": lambda: self._judge_resubmission(-1 if choice is None else choice),
            "packed.reconnect.4.desc": lambda: self._judge_given(self.resubmitted[-1], queue.given),
            "packed.supply.7": self._judge_visible,
            "packed.supply.8": self.device.cleared,
            "packed.reconnect.ready": lambda: self._judge_recovered(queue.avail_idx, queue.avail_wrap),
        }
        if step in judged:
            judged[step]()
        elif step.startswith("packed.supply.9") and queue.batch == "none":
            self._judge_form()

    def _copy_begins(self, entry: int, slot: int) -> None:
        """Remember to which entry a descriptor is copied, and from which slot."""
        self._copying = entry, slot

    def _fetch_begins(self, slot: int, entry: int) -> None:
        """Record which request the back-end takes from a slot to an entry; none, where no chain begins there."""
        request, number = self._in_slot.get(slot, (None, 0))
        self._held = {x: other for x, other in self._held.items() if other is not request}
        if request is None or number:
            self._fetched.pop(entry, None)
        else:
            self._fetched[entry] = request

    def _judge_copy(self, head: int, number: int) -> None:
        """Judge the copy of a descriptor that the region now has, and the slot that it is of: the Nth of the chain."""
        (entry, slot), request = self._copying, self._fetched.get(head)
        copy = self.memory.region.desc[entry]
        if not _is_descriptor(copy, request, number) or self._in_slot.get(slot) != (request, number):
            self._violated("intact", f"entry {entry} has len {copy.len}, id {copy.id}: not as {self._name(head)} is")
        if request is not None:
            self._held[entry] = request

    def _judge_resubmission(self, entry: int) -> None:
        """Judge that recovery begins to give a request to the device again."""
        self._given(entry, f"entry {entry}, {self._name(entry)}")
        self.resubmitted.append(entry)

    def _judge_given(self, head: int, given: list[PackedDesc]) -> None:
        """Judge the latest of the descriptors that are gathered for the device."""
        latest, number = given[-1], len(given) - 1
        if not _is_descriptor(latest, self._fetched.get(head), number):
            what = f"descriptor {number} of entry {head}, {self._name(head)}"
            self._violated("intact", f"{what}, is given to the device with len {latest.len}, id {latest.id}")

    def submitted(self, head: int, again: bool, queue: Any) -> None:
        """Judge what is about to be given to the device, ``again`` at recovery or after a fetch."""
        request = self._fetched.get(head)
        if not again:
            self._given(head, f"entry {head}, {self._name(head)}")
        if request is None or len(queue.given) != len(request.descriptors):
            self._violated("intact", f"entry {head}, {self._name(head)}, is given with {len(queue.given)} descriptors")
        elif not again and not self._first_copy_in(head, request):
            copy = self.memory.region.desc[head]
            self._violated(
                "intact", f"entry {head}, {self._name(head)}, has len {copy.len}, id {copy.id} in the region"
            )

    def _first_copy_in(self, head: int, request: Request) -> bool:
        """Whether the head's entry is the one that holds the request's first descriptor."""
        # its other fields were judged as they were copied
        held = self._held.get(head) is request
        return held and self.memory.region.desc[head].addr == request.descriptors[0]

    def _judge_visible(self) -> None:
        """Judge what the driver can meet since the flags of a slot were updated."""
        newly = list(self._walk())
        identities = [element.id for _, element in newly]
        for place, (_, element) in enumerate(newly):
            self._judge_element(element.id, element.len, again=element.id in identities[:place])
        if newly:
            position, element = newly[-1]
            self._met = position + self._length(element.id)
        for identity in identities:
            if identity in self._of_id:
                self._of_id[identity].visible = True

    def _walk(self) -> Iterator[tuple[int, Any]]:
        """Give position and element of each slot that the driver can newly meet as used."""
        position = self._met
        for _ in range(self.memory.size):
            slot, wrap = self._place(position)
            element = self.memory.ring.desc[slot]
            if not is_used(element.flags, wrap):
                return
            yield position, element
            position += self._length(element.id)

    def _length(self, identity: int) -> int:
        """Return how many slots the driver goes on after a used element."""
        request = self._of_id.get(identity)
        return len(request.descriptors) if request else 1

    def _judge_element(self, identity: int, length: int, *, again: bool) -> None:
        request = self._of_id.get(identity)
        entries = [entry for entry, fetched in self._fetched.items() if fetched is request]
        works = {entry: self.device.work.get(entry) for entry in entries}
        what = f"a used element names id {identity}, {f'request {request.number}' if request else 'no request'}"
        finished = request is not None and request.number in self._ready and Work.IN_BATCH in works.values()
        if request is None or length != request.content or not finished:
            states = ", ".join(work.value if work else "nothing" for work in works.values()) or "nothing"
            self._violated("intact", f"{what}, length {length}; the device's state of it: {states}")
        at_work = Work.WORKING in works.values() or any(entry in self._twice for entry in entries)
        if request is None or request.visible or again or at_work:
            self._violated("exactly-once", f"{what}, used before or still worked on")

    def _judge_recovered(self, slot: int, wrap: int) -> None:
        """Judge the end of recovery: the resubmit list, the position of the next fetch, the region."""
        region, size = self.memory.region, self.memory.size
        end_slot, end_wrap = self._place(self._position)
        # over two laps each slot and wrap counter is one place: so many descriptors lie ahead
        ahead = (end_slot - slot + (0 if end_wrap == wrap else size)) % (2 * size)
        waiting = self._judge_outstanding(ahead)
        self._judge_order()
        self._judge_form()
        used = self._place(self._met)
        if (region.used_idx, region.used_wrap_counter) != used:
            told = region.used_idx, region.used_wrap_counter
            self._violated("ring-position", f"the next used one is {_at(told)}, the driver looks at {_at(used)}")
        first = min((request.position for request in waiting), default=self._position)
        if self._position - ahead != first:
            wanted = self._place(first)
            what = f"fetching goes on at {_at((slot, wrap))}, what waits first is at {_at(wanted)}"
            self._violated("ring-position", what)

    def _judge_form(self) -> None:
        region = self.memory.region
        limits = {"version": {VERSION}, "desc_num": {self.memory.entries}, "used_wrap_counter": {0, 1}}
        wrong = [
            f"{name} is {getattr(region, name)}" for name, those in limits.items() if getattr(region, name) not in those
        ]
        if region.used_idx >= self.memory.size:
            wrong.append(f"used_idx is {region.used_idx}")
        for name in ("free_head", "used_idx", "used_wrap_counter"):
            old, new = getattr(region, f"old_{name}"), getattr(region, name)
            if old != new:
                wrong.append(f"old_{name} is {old}, {name} is {new}")
        wrong += self._wrong_entries()
        if wrong:
            self._violated("well-formed", "; ".join(wrong))

    def _wrong_entries(self) -> Iterator[str]:
        """Say what is wrong with the entries: those of the free list, and those that a request has."""
        region, entries = self.memory.region, self.memory.entries
        free: list[int] = []
        number = region.free_head
        while number < entries and len(free) < entries:
            free.append(number)
            number = region.desc[number].next
        if number != entries:
            yield f"the free list leads to {number}, and not to its end"
        owners = [self._fetched.get(head) for head, entry in enumerate(region.desc) if entry.inflight == 1]
        inflight = [request for request in owners if request is not None and not request.visible]
        for number, entry in enumerate(region.desc):
            if entry.next > entries or entry.inflight > 1:
                yield f"entry {number} has next {entry.next}, inflight {entry.inflight}"
            owned = self._held.get(number) in inflight
            if owned == (number in free):
                yield f"entry {number} is {'owned and free' if owned else 'neither owned nor free'}"
            if number in free and entry.inflight:
                yield f"entry {number} is free and inflight"


def _at(place: tuple[int, int]) -> str:
    """Write a slot and the wrap counter of its lap."""
    return f"slot {place[0]}, wrap counter {place[1]}"


def _is_descriptor(copy: Any, request: Request | None, number: int) -> bool:
    """Return whether a copy says what the driver wrote in the Nth descriptor of a request."""
    if request is None or number >= len(request.descriptors):
        return False
    content = request.descriptors[number]
    goes_on = number + 1 < len(request.descriptors)
    same = (copy.addr, copy.len, copy.id) == (content, content, request.head)
    return same and bool(copy.flags & DESC_NEXT) == goes_on
