"""What is true of rings that are stopped, and reset, as the specification has it by now: ``python -m tools.later``.

For each choice (docs/stopping.md): search for what it violates within the bounds here, prove what no run is known of,
and write verdicts and runs. What neither breaks nor can be proved is `bounded`. It goes on where it was stopped: what
has an entry is left alone; to do it again, remove the entry.

    python -m tools.later RING [SUBSTRING]     those whose name has that in it
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from model import protocol
from proofs.induction.engine import prove_all
from proofs.record import search
from proofs.search.bounds import Bounds
from proofs.verdicts import LATER, later, recorded_later
from tools.beside import Beside

__all__ = ["bounds_of", "main"]

QUICK = Bounds(1, 1, 1, 1)
"""What `verify` searches again of what is bounded; with notifications, `QUICK_DRAINS`."""

QUICK_DRAINS = Bounds(1, 1, 0, 1)

SAFE = {
    "split": (QUICK, Bounds(2, 2, 1, 1)),
    "packed": (QUICK, Bounds(1, 2, 1, 1), Bounds(2, 2, 1, 1, states=400_000)),
}
"""By ring: the searches for every property but `drains`."""

DRAINS = {
    "split": (QUICK_DRAINS, Bounds(1, 2, 0, 1), Bounds(2, 1, 1, 1)),
    "packed": (QUICK_DRAINS, Bounds(1, 2, 0, 1), Bounds(1, 2, 1, 1)),
}
"""By ring: the searches for `drains`, with notifications."""


FURTHER = {("packed", "in-order", "table-order"): (Bounds(2, 3, 1, states=200_000),)}
"""Besides, by ring, question and choice: what needs a third request to show."""


HANGS = {("split", "stop", "may-suspend-under-skip-drain"): (Bounds(2, 2, 0, 1),)}
"""Besides, for `drains`: what takes two requests at once."""


def bounds_of(subject: protocol.Subject) -> list[tuple[Bounds, frozenset[str]]]:
    """Give the searches for what a choice violates."""
    safe = frozenset(protocol.properties(subject)) - {"drains"}
    names = [(subject.ring, gap, choice) for gap, choice in subject.choices]
    further, hangs = ([b for name in names for b in more.get(name, ())] for more in (FURTHER, HANGS))
    drains = [(b, frozenset({"drains"})) for b in (*DRAINS[subject.ring], *hangs)]
    return [*((b, safe) for b in (*SAFE[subject.ring], *further)), *drains]


def main(arguments: Sequence[str]) -> None:
    """Judge each choice of a ring that has no entry yet, and write what came out."""
    ring, *wanted = arguments
    record, told = Beside(ring, LATER, "later"), list(recorded_later(ring))
    known = {v.subject() for v in told}
    for subject in later(ring):
        if subject in known or (wanted and wanted[0] not in subject.name):
            continue
        names = protocol.properties(subject)
        proved = prove_all([subject], properties={subject: set(names)}).properties(subject)
        looked = [(b, open_, search((subject, b, open_))) for b, s in bounds_of(subject) if (open_ := s - proved)]
        told += record.verdicts(subject, looked, proved)
        record.write(told, later(ring))
        print(subject.name, {v.property: v.verdict for v in told[-len(names) :]}, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
