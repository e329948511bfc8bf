"""States of rings that were stopped: what their back-ends left in flight, or drained, and what a destination finds.

An answer leaves in memory what a crash between two procedures leaves; what is new is the base, which is what was
answered. The text does not say whether it is behind what is in flight or before it, so both are here, and a right
back-end needs neither. Only at a destination whose region is fresh does a packed ring begin where the base says.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from vhost_inflight.vectors.form import Given, Recovered, Vector
from vhost_inflight.vectors.scripts import Script
from vhost_inflight.vectors.states import back_end, ended, outcomes, vector_of

__all__ = ["stopped_vectors"]

_LIVES: Final = {
    "split": (
        Script("two", "start;make 2;fetch;make 0;fetch;make 1;fetch;supply 0;use;make 0"),
        Script("wrap", "start;make 0;make 1;make 2;fetch;fetch;fetch;supply 1;use;make 1;fetch", 4, 65534),
        Script("again", "start;make 3;make 1;fetch;fetch;crash;start;make 0;fetch;supply 1;use", 4, 7),
    ),
    "packed": (
        Script("two", "start;make 2;fetch;make 0;fetch;make 1;fetch;supply 0;use;make 0"),
        Script("wrap", "start;make 0 2;make 1;fetch;fetch;supply 1;use;make 1;fetch", 3, 2),
        Script("again", "start;make 3;make 1 2;fetch;fetch;crash;start;make 0;fetch;supply 1;use", 4, 1),
    ),
}
"""By ring, lives at whose end the ring is stopped with requests in flight."""

_DRAINED: Final = {
    "split": Script("drained", "start;make 1;fetch;make 0;fetch;supply 0 1;use;make 0", 4, 65535),
    "packed": Script("drained", "start;make 1;fetch;make 0 2;fetch;supply 0 1;use;make 0", 4, 2),
}
"""By ring, a life at whose end it is stopped with nothing in flight."""

_NOTES: Final = {
    "behind": "a back-end that takes the base for used.idx and adds what is inflight goes on too far",
    "before": "a back-end that goes on at the base fetches again what it resubmits",
}


def stopped_vectors(ring: str, revision: str) -> Iterator[Vector]:
    """Give the states of a ring, each with the pair of generations by which it was stopped."""
    for script, generation in zip(_LIVES[ring], ("skip-drain", "skip-drain", "may-suspend"), strict=True):
        given = ended(ring, revision, script).given
        for base, name in zip(_bases(given), ("behind", "before"), strict=True):
            stopped = replace(given, base=base, stopped=f"{generation}-under-{generation}")
            about = f"The ring was stopped with requests in flight, and the base is {name} them: {_NOTES[name]}."
            yield _vector(f"{script.name}-{name}", stopped, about, "loses", "suspended", generation, f"base-{name}")
    given = ended(ring, revision, _DRAINED[ring]).given
    drained = replace(given, base=_bases(given)[0], stopped="drain-under-drain")
    about = "The ring was drained and stopped: nothing is resubmitted, and fetching goes on where it was."
    yield _vector("drained", drained, about, "corrupts", "drain")
    fresh = replace(drained, region=bytes(len(given.region)))
    about = "The ring was drained and went on elsewhere with a fresh region: that begins where the ring is, not at 0."
    yield _vector("drained-fresh", fresh, about, "hangs", "drain")


def _vector(name: str, given: Given, note: str, severity: str, *flags: str) -> Vector:
    """Make one, with its answers."""
    vector = vector_of(f"{given.ring}-{given.revision}-stopped-{name}", given, None, ("stopped", *flags))
    vector = replace(vector, note=note, severity=severity)
    return replace(vector, outcomes=outcomes(vector))


def _bases(given: Given) -> tuple[int, int]:
    """Give the base behind what is in flight, and the one before it."""
    answer = back_end(given.ring, given.revision).answer(vector_of("", given, None, ()))
    assert isinstance(answer, Recovered)
    if given.ring == "split":
        return answer.next_avail, answer.used
    behind, before = (slot | wrap << 15 for slot, wrap in (answer.next_avail, answer.used))
    return behind | before << 16, before | before << 16
