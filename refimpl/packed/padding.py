"""A packed region that lacks C's padding between its header and its entries, as one library makes it."""

from itertools import compress
from typing import Any

from refimpl.layout import HEADER_PADDING, column

__all__ = ["begins_early"]


def begins_early(region: Any) -> bool:
    """Return whether the entries make sense where the header's fields end, at byte 29, and do not at 32.

    A region that was damaged makes sense at neither place.
    """
    heads = {region.free_head, region.old_free_head}
    begin, content, array = type(region).desc.offset, bytes(region), type(region.desc)
    early = array.from_buffer_copy(content, begin - HEADER_PADDING)
    return _make_sense(early, heads) and not _make_sense(region.desc, heads)


def _make_sense(entries: Any, heads: set[int]) -> bool:
    """Return whether each entry is free or a request's, if the free list begins at one of ``heads``."""
    following, marks, lengths = (column(entries, name) for name in ("next", "inflight", "num"))
    return any(_add_up(following, marks, lengths, head) for head in heads)


def _add_up(following: list[int], marks: list[int], lengths: list[int], head: int) -> bool:
    """Return whether the free list from ``head`` ends, and has just those entries that no request has."""
    free: set[int] = set()
    while head < len(following):
        if head in free:
            return False
        free.add(head)
        head = following[head]
    taken = [number for number in compress(range(len(marks)), marks) if number not in free]
    right = all(marks[number] == 1 for number in taken)
    return right and len(free) + sum(lengths[number] for number in taken) == len(following)
