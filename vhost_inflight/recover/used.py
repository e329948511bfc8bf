"""What a ring shows as used although an answer gives it to the device again.

Only what is certain is told. A used element that names a request does not say that *this* request is used: the driver
may have met it, and have made another one available under the same head or id. How each ring tells the two apart stands
at the functions below.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from refimpl.layout import DESC_AVAIL, DESC_USED, PackedDesc, avail_type, column, region_type, used_type
from refimpl.packed.ring import available_flags, used_flags
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
    heads, ids = _newest_first(avail.ring[:], avail.idx), _newest_first(column(used.ring, "id"), used.idx)
    # by head: so many requests ago it was made available last (the newest is put last), if that is still to be seen
    made = dict(zip(reversed(heads), range(size, 0, -1), strict=True))
    requests = {request.entry: request for request in recovery.resubmitted}
    for back, head in enumerate(ids, 1):
        if head not in requests:
            continue
        request = requests.pop(head)
        since_used, since_made = ahead + back, made.get(head)
        older = since_used <= size if since_made is None else since_made >= since_used
        if back <= unsettled or older:
            yield ShownUsed(request, (used.idx - back) % size)


def _newest_first(elements: list[int], idx: int) -> list[int]:
    """Return the elements of a ring, the one that was put there last first; its size divides 65536, as idx wraps."""
    after = idx % len(elements)
    return elements[:after][::-1] + elements[after:][::-1]


def _on_packed(recovery: Recovery) -> Iterator[ShownUsed]:
    """Find ids that are named by slots marked used from the next used position on, or by the last one before it.

    Where recovery ends, no slot from the next used position on may be marked used: the driver would meet it, now or as
    soon as what stands before it is used. The last used element before that position was met before its id came again,
    if it did; then the first descriptor of the new request is still in the ring, available, since nothing past the used
    position was overwritten but ids and lengths.
    """
    size, region = recovery.given.queue_size, _region(recovery, recovery.after["region"])
    content = recovery.after["descriptors"][: ctypes.sizeof(PackedDesc) * size]
    slots: Any = (PackedDesc * size).from_buffer_copy(content)
    marks, requests = _marks(content), {request.identity: request for request in recovery.resubmitted}
    first, wrap = region.used_idx, region.used_wrap_counter
    lap = ((first, size, wrap), (0, first, wrap ^ 1))  # from the next used position on: to the end, and from slot 0

    met = 0
    for slot in [slot for start, end, there in lap for slot in _marked(marks, used_flags(there), start, end)]:
        request, position = requests.get(slots[slot].id), (slot - first) % size
        if request is not None:
            yield ShownUsed(request, slot, visible=position == met)
        if position == met:
            met += len(request.descriptors) if request is not None else 1
    before = (marks.rfind(_mark(used_flags(there ^ 1)), start, end) for start, end, there in reversed(lap))
    last = next((slot for slot in before if slot >= 0), None)
    request = requests.get(slots[last].id) if last is not None else None
    if request is None or last is None:
        return
    waiting = (slot for start, end, there in lap for slot in _marked(marks, available_flags(there), start, end))
    if request.descriptors[0].address not in {slots[slot].addr for slot in waiting}:
        yield ShownUsed(request, last)


def _mark(flags: int) -> int:
    """Return AVAIL and USED of a descriptor's flags as bits 0 and 1."""
    return bool(flags & DESC_AVAIL) | bool(flags & DESC_USED) << 1


_OF_LOW: Final = bytes(_mark(low) for low in range(256))
_OF_HIGH: Final = bytes(_mark(high << 8) for high in range(256))


def _marks(content: bytes) -> bytes:
    """Return the mark of each slot of a ring, a byte each.

    All at once, since this is asked of each answer, and slot by slot it took a tenth of the time that answers may take:
    the low and the high bytes of the flags are translated, and joined as two large numbers.
    """
    width, at = ctypes.sizeof(PackedDesc), PackedDesc.flags.offset
    halves = content[at::width], content[at + 1 :: width]
    low, high = halves if sys.byteorder == "little" else halves[::-1]
    joined = int.from_bytes(low.translate(_OF_LOW), "big") | int.from_bytes(high.translate(_OF_HIGH), "big")
    return joined.to_bytes(len(low), "big")


def _marked(marks: bytes, flags: int, start: int, end: int) -> Iterator[int]:
    """Yield the slots from ``start`` to ``end`` that are marked as flags say."""
    mark = _mark(flags)
    while (slot := marks.find(mark, start, end)) >= 0:
        yield slot
        start = slot + 1
