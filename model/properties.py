"""The properties: what must hold of every run, and when it is judged.

Most are predicates of one state, written in the model's terms: those judged ``at`` a step speak of the state before it
(and of its choice), those judged ``after`` a step of the state after it. `restartable` compares two ways to go on from
one state, and `drains` looks for a state in which nothing more happens, and for a run that goes round for ever;
proofs.search.breadth_first and proofs.induction.show each say how they judge them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from model.steps import Guard

__all__ = ["ALL", "NAMES", "SENTENCES", "WHERE_STOPPED", "Judgement"]

SENTENCES: Mapping[str, str] = {
    "no-used-resubmitted": "a request that is visible to the driver as used is never given to the device again",
    "nothing-lost": "each request made available and not visible as used is in the resubmit list, or at or after the "
    "recovered fetch position: exactly one of both",
    "order": "requests are resubmitted in the order in which they were made available, before anything fetched later, "
    "after the second and third crash too",
    "intact": "what is resubmitted is what the driver made available; a used element names a request that the device "
    "has finished since it last got it",
    "exactly-once": "no request becomes visible as used twice, nor while the device still works on it",
    "well-formed": "indexes are in range, and the lists of the region have an end",
    "ring-position": "the next used slot, and the next request to fetch, are those the driver expects",
    "restartable": "recovery cut off by a crash at any store and run again, the driver idle, ends in the same region, "
    "resubmit list, fetch position and counter",
    "drains": "after recovery, with no more crashes, a fair device and a driver that may sleep, every request becomes "
    "visible and the driver wakes",
    "suspended": "from the answer that stops a ring until it is started again, no store to guest memory, none to the "
    "region, no notification",
}
"""Each property in a sentence."""

WHERE_STOPPED: frozenset[str] = frozenset({"suspended"})
"""What is judged only where rings are stopped."""

NAMES: tuple[str, ...] = tuple(name for name in SENTENCES if name not in WHERE_STOPPED)
"""What is judged everywhere."""

ALL: tuple[str, ...] = tuple(SENTENCES)


@dataclass(frozen=True)
class Judgement:
    """One place at which a property is judged.

    `tag` names the steps (all that carry it). `before`: the predicate speaks of the state before the step and is given
    the step's choice, if it has one, or else the head in hand; otherwise of the state after it.
    """

    property: str
    tag: str
    before: bool
    predicate: Guard
