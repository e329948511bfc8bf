"""Which vectors fail which mistake: every mutant of the text with a run that kills it, and the known mistakes.

``python -m vhost_inflight.vectors.measure`` measures, and writes caught.json (minutes); ``... page`` prints
docs/vectors-mutants.md. A mistake is tried on the small set as a whole, and, if that misses it, on the standard one
until vectors catch it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Iterable
from itertools import islice
from pathlib import Path
from typing import Final

from model import protocol
from model.protocol import Subject
from model.terms import ModelError
from proofs.challenges import fates
from proofs.induction.kits import Mutant, kit
from vhost_inflight.vectors.checking.compare import judge
from vhost_inflight.vectors.form import Vector
from vhost_inflight.vectors.messages import Answered
from vhost_inflight.vectors.mistakes import SENTENCES, mistakes
from vhost_inflight.vectors.served import BackEnd, WedgedError
from vhost_inflight.vectors.sets import PROVED, vectors

__all__ = ["fails", "main", "measured", "mistaken", "mutants", "page", "recorded"]

RECORD: Final = Path(__file__).with_name("caught.json")
KEPT: Final = 3
"""Of how many vectors that a mistake fails the record keeps the ids."""


def _told(ring: str, revision: str) -> tuple[Mutant, ...]:
    mutation = kit(ring).mutation
    assert mutation is not None, ring
    return tuple(mutation.mutants(protocol.table(Subject(ring, revision))))


def mutants(ring: str, revision: str) -> dict[str, BackEnd]:
    """Give a back-end for each mutant of a revision that a recorded run kills, by a name that is unique."""
    killed = {f.mutant for f in fates.load(ring) if f.killed_by and f.revision == revision}
    subject = Subject(ring, revision)
    return {
        f"{ring} {revision}: {m.name}": BackEnd(subject, m.edits) for m in _told(ring, revision) if m.name in killed
    }


def fails(back_end: BackEnd, vector: Vector, choices: Collection[str] = ()) -> bool:
    """Whether a back-end that says these choices of itself fails a vector."""
    try:
        answer = back_end.answer(vector)
    except (WedgedError, ModelError):
        return True
    return judge(vector, Answered(answer), choices).bad


def measured(
    back_end: BackEnd, small: Iterable[Vector], standard: Iterable[Vector], ring: str, revision: str
) -> list[str]:
    """Give the ids of the vectors that a back-end fails."""

    def mine(v: Vector) -> bool:
        return (v.ring, v.revision) == (ring, revision) and "hostile" not in v.flags

    found = [v.id for v in small if mine(v) and fails(back_end, v)]
    return found or [v.id for v in islice((v for v in standard if mine(v) and fails(back_end, v)), KEPT)]


def main() -> int:
    """Measure; write the record. Return 0 if nothing is missed."""
    small, standard = list(vectors("small")), list(vectors("standard"))
    record: dict[str, list[str]] = {}
    for ring, revision in (*PROVED, ("split", "v6")):
        for name, back_end in mistaken(ring, revision).items():
            record[name] = measured(back_end, small, standard, ring, revision)[:KEPT]
            print(f"{name}: {' '.join(record[name]) or 'MISSED'}", flush=True)
    RECORD.write_text(json.dumps(record, indent=0) + "\n", encoding="utf-8")
    missed = [name for name, ids in record.items() if not ids]
    print(f"{len(record)} mistakes, {len(missed)} missed: {'; '.join(missed)}")
    return 1 if missed else 0


def mistaken(ring: str, revision: str) -> dict[str, BackEnd]:
    """Give every mistaken back-end of a ring and a revision."""
    field = {f"{ring} {revision}: mistake {name}": one for name, one in mistakes(ring, revision).items()}
    return mutants(ring, revision) | field


def recorded() -> dict[str, list[str]]:
    """Give the record: for each mistake, vectors that it fails."""
    record: dict[str, list[str]] = json.loads(RECORD.read_text(encoding="utf-8"))
    return record


def page() -> str:
    """Write docs/vectors-mutants.md."""
    sentences = {f"{ring} {revision}: {m.name}": m.sentence for ring, revision in (*PROVED, ("split", "v6"))
                 for m in _told(ring, revision)}  # fmt: skip
    lines = [_HEAD]
    for name, ids in recorded().items():
        about = sentences.get(name) or SENTENCES[name.rpartition("mistake ")[2]]
        lines.append(f"| {name} | {about} | {', '.join(f'`{i}`' for i in ids) or 'none'} |")
    return "\n".join(lines) + "\n"


_HEAD = """# Which vectors fail which mistake

Written by `python -m vhost_inflight.vectors.measure page` from vhost_inflight/vectors/caught.json, which
`python -m vhost_inflight.vectors.measure` measures anew. Each mutant of the text that a recorded run kills
([split](orders.md), [packed](orders-packed.md)), and each mistake that is known from the field, was put into a back-end
that answers the vectors: the model, with the changed table. Vectors are named that it fails, at most three; those of
the small set come first.

| mistake | what it does | vectors that it fails |
|---|---|---|"""


if __name__ == "__main__":
    if sys.argv[1:] == ["page"]:
        print(page(), end="")
        sys.exit(0)
    sys.exit(main())
