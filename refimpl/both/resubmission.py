"""The order in which inflight requests are resubmitted, on either ring."""

from collections.abc import Callable, Iterator, Mapping
from itertools import groupby

from refimpl.errors import UsageError


def resubmission(counters: Mapping[int, int], choose: Callable[[list[int]], int] | None) -> Iterator[int]:
    """Yield the inflight entries in the order of their counters, which are given in table order.

    Among equal counters ``choose`` names the next one, None takes them in table order. Raises UsageError when what it
    names is none of those that were left.
    """
    for _, equal in groupby(sorted(counters, key=counters.__getitem__), key=counters.__getitem__):
        left = list(equal)
        while left:
            chosen = left[0] if choose is None else choose(left)
            if chosen not in left:
                raise UsageError(f"{chosen} was chosen to be resubmitted next, out of {left}")
            left.remove(chosen)
            yield chosen
