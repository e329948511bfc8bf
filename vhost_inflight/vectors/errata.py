"""The defects of docs/errata.md: the bytes in which each shows, the recovery from them, and the life where that errs.

The lives are those of the recorded runs, in the words of `lives`; a test holds them against the runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from model import protocol
from vhost_inflight.vectors.form import Vector
from vhost_inflight.vectors.scripts import Script
from vhost_inflight.vectors.states import cut_again, ended, outcomes, vector_of
from vhost_inflight.vectors.traces import life_vectors, recovering

__all__ = ["ERRATA", "Erratum", "errata_vectors"]


@dataclass(frozen=True)
class Erratum:
    """A life at whose end a defect shows: the defect's name, the words up to the crash, what it does to a guest.

    `again`: it shows where the next recovery dies, at its first store that changes something. `serving`: the life that
    goes on, where what serves is at fault.
    """

    name: str
    defect: str
    words: str
    size: int
    severity: str
    first: int = 0
    again: bool = False
    serving: str = ""


_TWO_LAPS: Final = "start;make 0 2;fetch;supply 0;use;make 0 2;fetch;"
_OVERTAKEN: Final = "start;make 0;fetch;make 1;fetch;supply 0;use;make 0;fetch"

ERRATA: Final = {
    "split": (
        Erratum("no-order", "no-order", "start;make 1;fetch;make 0;fetch", 2, "reorders", 1,
                serving="start;make 1;fetch;make 0;fetch;crash;start"),
    ),
    "packed": (
        Erratum("no-order", "no-order", _OVERTAKEN, 2, "reorders", serving=f"{_OVERTAKEN};crash;start"),
        Erratum("whole-ring", "whole-ring", "start;make 0 2;fetch;gather 0;publish 7", 2, "corrupts"),
        Erratum("whole-ring-lost", "whole-ring", "start;make 0 2;fetch;gather 0;publish 8;use;make 0 2", 2, "loses"),
        Erratum("marked-used", "marked-used", "start;make 0;fetch;make 1;fetch;gather 0 1;publish 7", 2, "corrupts"),
        Erratum("half-settled", "half-settled", f"{_TWO_LAPS}gather 0;publish 9b", 3, "corrupts",
                serving=f"{_TWO_LAPS}supply 0;crash;start"),
        Erratum("half-rolled-back", "half-rolled-back", "start;make 0;fetch;gather 0;publish 6b", 1, "hangs",
                again=True),
    ),
}  # fmt: skip
"""By ring; half-rolled-back is a defect of the half of a mend, not of a text."""


def errata_vectors(ring: str, revision: str) -> Iterator[Vector]:
    """Give for each defect the bytes with which a text that has it goes wrong, and traces where an order shows it."""
    for erratum in ERRATA[ring]:
        about = f"The defect {erratum.defect}: {protocol.errata()[erratum.defect].about}. See docs/errata.md."
        flags, name = ("erratum", erratum.defect), f"{ring}-{revision}-erratum-{erratum.name}"
        for vector in _states(ring, revision, erratum, name, flags):
            state = replace(vector, note=about, severity=erratum.severity)
            yield replace(state, outcomes=outcomes(state))
            trace = recovering(state)
            if trace is not None:
                yield replace(trace, note=about, severity=erratum.severity)
        if erratum.serving:
            script = Script(f"erratum-{erratum.name}", erratum.serving, erratum.size, erratum.first, flags=flags)
            for life in life_vectors(ring, revision, script):
                yield replace(life, note=about, severity=erratum.severity)


def _states(ring: str, revision: str, erratum: Erratum, name: str, flags: tuple[str, ...]) -> Iterator[Vector]:
    """Give what the life leaves, and what the next recovery leaves where it dies."""
    script = Script(erratum.name, erratum.words, erratum.size, erratum.first)
    cut = ended(ring, revision, script)
    yield vector_of(name, cut.given, cut.step, flags)
    if erratum.again:
        further = next(cut_again(cut))
        yield vector_of(f"{name}-{further.short}", further.given, further.step, (*flags, "recovery-cut"))
