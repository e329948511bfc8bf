"""What is proved of each profile, and what breaks the rest: ``python -m tools.profiles``. A campaign, not part of CI.

A profile is what a back-end of others does (docs/implementations.md). For each, and for each with its mend: search for
what it violates within the bounds here, prove what no run is known of, and write verdicts and runs. What neither breaks
nor can be proved is `bounded`. It goes on where it was stopped: what has an entry is left alone, unless it is named.

    python -m tools.profiles RING [NAME...]     those of a ring that have no entry yet, or the named ones, anew
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from rich.progress import track

from model import protocol
from model.properties import NAMES
from model.protocol import Subject
from proofs.induction.engine import prove_all
from proofs.induction.proof import Proof
from proofs.induction.show import TRIES, Query, Result, solve
from proofs.record import search
from proofs.search.bounds import Bounds
from proofs.verdicts import PROFILES, profiles, recorded_profiles
from proofs.workers import workers
from tools.beside import Beside

__all__ = ["bounds_of", "main"]

FOLDER = "profiles"
"""The folder of a ring's record with the runs."""

SAFE: Mapping[str, tuple[Bounds, ...]] = {
    "split": (Bounds(2, 2, 1, 0, 1), Bounds(2, 3, 1), Bounds(2, 2, 2, 0, 1)),
    "packed": (Bounds(1, 2, 2), Bounds(2, 2, 1), Bounds(2, 2, 1, 0, 3)),
}
"""The searches for every property but `drains`, by ring; rings that were in use have another first index than 0."""

DRAINS: Mapping[str, tuple[Bounds, ...]] = {
    "split": (Bounds(2, 1, 1, 0, 1),),
    "packed": (Bounds(1, 2, 1), Bounds(2, 1, 1, 0, 3)),
}
"""The searches for `drains`, whose notifications make many more states."""

MORE: Mapping[str, tuple[Bounds, ...]] = {"libvhost-user-kicked": (Bounds(2, 2, 1, 1),)}
"""Besides, for every property but `drains`, by profile, what it takes for a difference to show."""

MORE_DRAINS: Mapping[str, tuple[Bounds, ...]] = {"libvhost-user": (Bounds(2, 2, 1, 0, 1),)}
"""Besides, for `drains`, by profile."""

BASE = frozenset({"no-used-resubmitted", "nothing-lost", "intact", "exactly-once", "well-formed", "ring-position"})
"""Where one of these is violated nothing is proved: the sentences that all proofs rest on do not hold."""


def bounds_of(subject: Subject) -> list[tuple[Bounds, frozenset[str]]]:
    """Give the searches of a profile, and what is judged in each."""
    safe = (*SAFE[subject.ring], *MORE.get(subject.revision, ()))
    found = [
        *((b, frozenset(NAMES) - {"drains"}) for b in safe),
        *((b, frozenset({"drains"})) for b in (*DRAINS[subject.ring], *MORE_DRAINS.get(subject.revision, ()))),
    ]
    return [(b, names) for b, names in found if protocol.sizes(subject, b.size).entries]


def _chosen(ring: str, names: Sequence[str]) -> list[Subject]:
    known = {v.subject() for v in recorded_profiles(ring) if v.revision in protocol.profiles(ring)}
    if unknown := set(names) - set(protocol.profiles(ring)):
        sys.exit(f"no profile of the {ring} ring is called {', '.join(sorted(unknown))}")
    return [s for s in profiles(ring) if (s.revision in names if names else s not in known)]


def _twice(proof: Proof, wanted: list[Query], known: dict[str, list[str]]) -> list[Result]:
    """Ask twice alone: what is proved of a profile is proved so, and what is not takes long to be given up."""
    return solve(proof, wanted, known, tries=TRIES[:2])


def main(arguments: Sequence[str]) -> None:
    """Judge the profiles that are asked for, and write what came out after each."""
    ring, *names = arguments or ("",)
    if ring not in protocol.RINGS:
        sys.exit(f"which ring? {', '.join(protocol.RINGS)}")
    record, chosen = Beside(ring, PROFILES, FOLDER), _chosen(ring, names)
    jobs = [(s, b, p) for s in chosen for b, p in bounds_of(s)]
    with workers() as pool:
        results = iter(track(pool.map(search, jobs), "searching", len(jobs)))
        for subject in chosen:
            looked = [(b, p, next(results)) for b, p in bounds_of(subject)]
            broken = {name for _, _, found in looked for name in found.violations}
            wanted = set() if broken & BASE else set(NAMES) - broken
            proved = prove_all([subject], properties={subject: wanted}, by=_twice).properties(subject)
            told = [v for v in recorded_profiles(ring) if v.revision != subject.revision]
            told += record.verdicts(subject, looked, proved)
            record.write([v for v in told if v.revision in protocol.profiles(ring)], profiles(ring))
            print(subject.name, {v.property: v.verdict for v in told[-len(NAMES) :]}, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
