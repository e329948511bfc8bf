"""What is proved of each reading of the packed ring, and what breaks the rest: ``python -m tools.readings_verdicts``.

A reading is a choice that a revision does not leave open (docs/gaps.md). For each: search for what it violates within
the bounds here, prove what no run is known of, and write verdicts and runs. What neither breaks nor can be proved is
`bounded`. It goes on where it was stopped: what has an entry is left alone; to do it again, remove the entry.

    python -m tools.readings_verdicts [SUBSTRING]     those whose name has that in it
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from model.properties import NAMES
from model.protocol import Subject
from proofs.induction.engine import prove_all
from proofs.record import search
from proofs.search.bounds import Bounds
from proofs.verdicts import READINGS, readings, recorded_readings
from tools import readings as searched
from tools.beside import Beside

__all__ = ["bounds_of", "main"]

RECORD = Beside("packed", READINGS, "readings")

SAFE = frozenset(NAMES) - {"drains"}

SERVING = (Bounds(1, 2, 2), Bounds(2, 2, 1))
"""The searches of what only the readings have: orders of stores, and of flags; batches and chains of one."""

THREE = (Bounds(3, 2, 1),)
"""Besides, for the orders of supplying 9: what goes wrong there takes a third slot to show."""


def bounds_of(subject: Subject) -> list[tuple[Bounds, frozenset[str]]]:
    """Give the searches of a reading: for every property but `drains`, and for that one as far as it was done."""
    ((name, choice),) = subject.choices
    of_gaps = {(gap.name, one.name): (gap, one) for gap, one in searched.open_readings()}
    if (name, choice) in of_gaps:
        return [(b, SAFE) for b in searched.safe_bounds(*of_gaps[name, choice])]
    more = THREE if name == "settle-order" else ()
    drains = ((b, frozenset({"drains"})) for b in searched.DRAINS[:1])
    return [*((b, SAFE) for b in (*SERVING, *more)), *drains]


def main(arguments: Sequence[str]) -> None:
    """Judge each reading that has no entry yet, and write what came out."""
    told = list(recorded_readings("packed"))
    known = {v.subject() for v in told}
    for subject in readings("packed"):
        if subject in known or (arguments and arguments[0] not in subject.name):
            continue
        looked = [(b, names, search((subject, b, names))) for b, names in bounds_of(subject)]
        hang = searched.drains().get(subject.choices[0], []) if subject.revision == "hardened" else []
        broken = {name for _, _, found in looked for name in found.violations}
        broken |= {"drains"} if any("schedule" in e for e in hang) else set()
        proved = prove_all([subject], properties={subject: set(NAMES) - broken}).properties(subject)
        told += RECORD.verdicts(subject, looked, proved, hang)
        RECORD.write(told, readings("packed"))
        print(subject.name, {v.property: v.verdict for v in told[-len(NAMES) :]}, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
