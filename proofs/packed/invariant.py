"""The invariant of the packed ring (of `hardened`, in both forms), as named sentences.

Each is a predicate in the model's terms, so that it is evaluated on plain numbers and proved by Z3 from one writing.
Words: *live* is fetched whole and not visible; *waiting* is available and not fetched whole; an entry is *free* that is
in the chain of no live request. `proofs.packed.ghosts` says what the free list's places and the phases of a batch are.
"""

from __future__ import annotations

from model.steps import Table
from model.terms import all_of
from proofs.induction.left import restarting
from proofs.induction.stopped import sentences
from proofs.packed.in_order import in_order
from proofs.packed.obligations import key
from proofs.packed.process import counters, fetching, recovery
from proofs.packed.rank import drains
from proofs.packed.region import at_base, region
from proofs.packed.ring import ring
from proofs.packed.supplying import supplying
from proofs.packed.turns import turns
from proofs.packed.words import Conjunct, Places, live, phase

__all__ = ["invariant"]


def invariant(table: Table) -> list[Conjunct]:
    """Give the invariant for a table: its sentences, in order."""
    p = Places(table)
    restart = restarting(table, live, lambda s, e: s.proof.live[e], key(table))
    stopping = sentences(table, lambda s: all_of(s.history.used_pos == s.proof.marked_pos, phase(s, 0), at_base(p, s)))
    parts = (*ring(p), *region(p), *recovery(p), *fetching(p), *supplying(p), *counters(p), *stopping)
    ordered = [*in_order(), *turns(p)] if p.in_order else []
    return [*parts, *ordered, *drains(p), *restart]
