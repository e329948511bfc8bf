"""Which vectors fail which mistake: every mutant of the text with a run that kills it, and the known mistakes.

``python -m vhost_inflight.vectors.measure`` makes caught.json and docs/vectors-mutants.md anew (a campaign, minutes);
`faults` checks the record: each mistake fails the vectors that the record names for it. A mistake is tried on the small
set as a whole, and, if that misses it, on the standard one until a vector catches it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from model import protocol
from model.protocol import Subject
from model.terms import ModelError
from proofs.challenges import fates
from proofs.induction.kits import kit
from vhost_inflight.vectors.checking.compare import judge
from vhost_inflight.vectors.form import Vector
from vhost_inflight.vectors.messages import Answered
from vhost_inflight.vectors.served import BackEnd, WedgedError
from vhost_inflight.vectors.sets import PROVED, vectors

__all__ = ["BackEnds", "fails", "main", "measured", "mutants"]

BackEnds = Mapping[str, BackEnd]
RECORD = Path(__file__).with_name("caught.json")


def mutants(ring: str, revision: str) -> dict[str, BackEnd]:
    """Give a back-end for each mutant of a revision that a recorded run kills, by a name that is unique."""
    subject = Subject(ring, revision)
    mutation = kit(ring).mutation
    assert mutation is not None, ring
    known = {m.name: m for m in mutation.mutants(protocol.table(subject))}
    killed = {f.mutant for f in fates.load(ring) if f.killed_by and f.revision == revision}
    return {f"{ring} {revision}: {name}": BackEnd(subject, known[name].edits) for name in known if name in killed}


def fails(back_end: BackEnd, vector: Vector) -> bool:
    """Whether a back-end fails a vector."""
    try:
        answer = back_end.answer(vector)
    except (WedgedError, ModelError):
        return True
    return judge(vector, Answered(answer)).bad


def measured(
    back_end: BackEnd, small: Iterable[Vector], standard: Iterable[Vector], ring: str, revision: str
) -> list[str]:
    """Give the ids of the vectors that a back-end fails."""
    mine = lambda v: (v.ring, v.revision) == (ring, revision)  # noqa: E731
    found = [v.id for v in small if mine(v) and fails(back_end, v)]
    return found or [v.id for v in _first(v for v in standard if mine(v) and fails(back_end, v))]


def _first(found: Iterable[Vector]) -> list[Vector]:
    return [v for v, _ in zip(found, range(3), strict=False)]


def main(arguments: list[str]) -> int:
    """Measure; write the record. Return 0 if nothing is missed."""
    small = list(vectors("small")); standard = list(vectors("standard")) if "all" in arguments else []
    record: dict[str, list[str]] = {}
    for ring, revision in PROVED:
        for name, back_end in mutants(ring, revision).items():
            record[name] = measured(back_end, small, standard, ring, revision)
            print(f"{name}: {len(record[name])} {record[name][:1]}", flush=True)
    missed = [name for name, ids in record.items() if not ids]
    print(f"{len(record)} mistakes, {len(missed)} missed: {'; '.join(missed)}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
