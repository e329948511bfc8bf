"""What speaks against a ring that was stopped: what its back-end left and answered, and what becomes of it elsewhere.

A stopped ring is recovered as after a crash: ring and region say all of it (docs/stopping.md). What is told here is
whether its back-end was allowed to stop it there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from refimpl.meetings import MEETINGS
from vhost_inflight.recover.record import Recovery
from vhost_inflight.recover.words import among

__all__ = ["KINDS", "against_stop"]

KINDS: Final = ("not-drained", "left-behind", "wrong-base")
"""What can be told: requests are in flight that had to be completed; no region comes along to a destination, and
something is in flight; the base that was answered is no place of this ring."""


def against_stop(recovery: Recovery) -> Iterator[tuple[str, str]]:
    """Give kind and sentence of all that speaks against how a ring was stopped; nothing, where its back-end died."""
    given = recovery.given
    if not given.stopped or recovery.refused is not None:
        return
    met, pair = MEETINGS[given.stopped], given.stopped.replace("-under-", " under ")
    things = ("head", "heads") if given.ring == "split" else ("entry", "entries")
    if recovery.resubmitted:
        left = among([request.entry for request in recovery.resubmitted], *things)
        what = f"the ring was stopped ({pair}) with {left} in flight"
        fresh = "at the destination of a migration there is a fresh region, which does not have that"
        if not met.suspends:
            yield "not-drained", f"{what}: its back-end had to complete all first"
        elif met.believes:
            yield "left-behind", f"{what}, and the front-end takes all for completed: {fresh}"
    if given.base is not None and given.base not in _bases(recovery):
        yield "wrong-base", f"{_said(given.base, given.ring)}; {_right(recovery)}"


def _bases(recovery: Recovery) -> set[int]:
    """Return what may be answered: the text does not say whether a base is behind what is in flight, or before it."""
    if recovery.given.ring == "split":
        return {*recovery.position, recovery.used_place[0]}
    behind, before = (slot | wrap << 15 for slot, wrap in (recovery.position, recovery.used_place))
    return {behind | before << 16, before | before << 16}


def _said(base: int, ring: str) -> str:
    if ring == "split":
        return f"the base that was answered is {base}"
    halves = (f"slot {half & 0x7FFF}, wrap counter {half >> 15 & 1}" for half in (base, base >> 16))
    available, used = halves
    return f"the base that was answered says {available}, for the next available and {used}, for the next used"


def _right(recovery: Recovery) -> str:
    if recovery.given.ring == "split":
        return f"fetching goes on at {recovery.position[0]}, and the used ring at {recovery.used_place[0]}"
    places = (recovery.position, recovery.used_place)
    behind, before = (f"slot {slot}, wrap counter {wrap}" for slot, wrap in places)
    return f"fetching goes on at {behind}, and the next used element goes to {before}"
