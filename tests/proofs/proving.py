"""Proves of a changed table what is proved of a subject: only the goals that the change touches are asked."""

from __future__ import annotations

from collections.abc import Sequence

from model import protocol
from model.protocol import Subject
from model.steps import Edit
from proofs.induction.proof import Proof
from proofs.induction.show import Query, hints, queries, solve
from proofs.induction.words import rests_on

__all__ = ["HARDENED", "MERGED", "unproved"]

MERGED = Subject("split", "merged")
HARDENED = Subject("packed", "hardened")


def unproved(subject: Subject, edits: Sequence[Edit], prop: str) -> list[Query]:
    """Give the goals that a property rests on, that an edited table has and its subject has not, and that fail."""
    known = hints(subject.ring)
    before = {q.key for q in queries(Proof(subject), known)}
    proof = Proof(subject, protocol.table(subject).edited(edits))
    asked = [q for q in queries(proof, known) if q.key not in before and q.group in rests_on(prop)]
    assert asked, "the edit changes no goal"
    return [r.query for r in solve(proof, asked, known, tries=((0.3, 0),)) if r.status != "proved"]
