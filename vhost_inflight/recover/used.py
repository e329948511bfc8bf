"""What a ring shows as used although an answer gives it to the device again.

Only what is certain is told. A used element that names a request does not say that *this* request is used: the driver
may have met it, and have made another one available under the same head or id. How each ring tells the two apart stands
at the functions below.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from refimpl.layout import PackedDesc, avail_type, column, region_type, used_type
from refimpl.packed.ring import is_available, is_used
from vhost_inflight.recover.record import Recovery, Resubmitted

__all__ = ["ShownUsed", "shown_as_used"]


@dataclass(frozen=True, slots=True)
class ShownUsed:
    """A request that goes to the device again, and the ``slot`` of the ring that shows it as used.

    ``visible``: the driver meets it there now; else it does as soon as the slots before it are used.
    """

    request: Resubmitted
    slot: int
    visible: bool = True

    def text(self) -> str:
        """Say it in a sentence."""
        request, slot = self.request, self.slot
        if request.identity is None:
            return f"head {request.entry} goes to the device, and slot {slot} of the used ring shows it as used"
        when = "" if self.visible else " (the driver meets that as soon as the slots before it are used)"
        entry, identity = request.entry, request.identity
        return f"entry {entry} (id {identity}) goes to the device, and slot {slot} shows id {identity} as used{when}"


def shown_as_used(recovery: Recovery) -> list[ShownUsed]:
    """Return the requests that are resubmitted and that the ring, as it is then, shows as used; each once."""
    if recovery.refused is not None or not recovery.resubmitted:
        return []
    first: dict[int, ShownUsed] = {}
    for found in (_on_split if recovery.given.ring == "split" else _on_packed)(recovery):
        first.setdefault(found.request.entry, found)
    return list(first.values())


def _region(recovery: Recovery, content: bytes) -> Any:
    """Return a region's bytes as its fields."""
    given = recovery.given
    return region_type(given.ring, given.revision, given.region_size).from_buffer_copy(content)


def _on_split(recovery: Recovery) -> Iterator[ShownUsed]:
    """Find heads that the used ring names, and that were not made available again since.

    A driver makes a head available again only after it met it in the used ring. Both rings count requests from one
    beginning, and by then no fewer were made available than used: so the place in the available ring of a head that
    came again is past that of its used element. Where it is not, the element is about the request that is resubmitted.
    So it is, whatever the places, in a batch that was not settled when nothing was fetched meanwhile.
    """
    given, size = recovery.given, recovery.given.queue_size
    avail: Any = avail_type(size).from_buffer_copy(recovery.after["available"])
    used: Any = used_type(size).from_buffer_copy(recovery.after["used"])
    ahead = (avail.idx - used.idx) % 65536
    unsettled = (used.idx - _region(recovery, recovery.before["region"]).used_idx) % 65536
    if unsettled > size or given.choices.fetch_in_batch == "always" or given.choices.fresh_used_idx != "from-ring":
        unsettled = 0
    heads, ids = list(avail.ring), column(used.ring, "id")
    made_idx, used_idx = avail.idx, used.idx
    made: dict[int, int] = {}  # by head: so many requests ago it was made available last, if that is still to be seen
    for back in range(1, size + 1):
        made.setdefault(heads[(made_idx - back) % 65536 % size], back)
    requests = {request.entry: request for request in recovery.resubmitted}
    for back in range(1, size + 1):
        slot = (used_idx - back) % 65536 % size
        request = requests.pop(ids[slot], None)
        if request is None:
            continue
        since_used, since_made = ahead + back, made.get(request.entry)
        older = since_used <= size if since_made is None else since_made >= since_used
        if back <= unsettled or older:
            yield ShownUsed(request, slot)


def _on_packed(recovery: Recovery) -> Iterator[ShownUsed]:
    """Find ids that are named by slots marked used from the next used position on, or by the last one before it.

    Where recovery ends, no slot from the next used position on may be marked used: the driver would meet it, now or as
    soon as what stands before it is used. The last used element before that position was met before its id came again,
    if it did; then the first descriptor of the new request is still in the ring, available, since nothing past the used
    position was overwritten but ids and lengths.
    """
    size, region = recovery.given.queue_size, _region(recovery, recovery.after["region"])
    slots: Any = (PackedDesc * size).from_buffer_copy(recovery.after["descriptors"])
    flags, ids, addresses = (column(slots, name) for name in ("flags", "id", "addr"))
    requests = {request.identity: request for request in recovery.resubmitted}
    first, wrap = region.used_idx, region.used_wrap_counter
    lap = [(slot, wrap) for slot in range(first, size)] + [(slot, wrap ^ 1) for slot in range(first)]

    met = 0
    waiting = set()
    for position, (slot, wrap_there) in enumerate(lap):
        if is_available(flags[slot], wrap_there):
            waiting.add(addresses[slot])
        if is_used(flags[slot], wrap_there):
            request = requests.get(ids[slot])
            if request is not None:
                yield ShownUsed(request, slot, visible=position == met)
            if position == met:
                met += len(request.descriptors) if request is not None else 1
    last = next((slot for slot, wrap_there in reversed(lap) if is_used(flags[slot], wrap_there ^ 1)), None)
    request = requests.get(ids[last]) if last is not None else None
    if request is not None and last is not None and request.descriptors[0].address not in waiting:
        yield ShownUsed(request, last)
