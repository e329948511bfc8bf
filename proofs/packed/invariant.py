"""The invariant of the packed ring (of `hardened`, in both forms), as named sentences.

Each is a predicate in the model's terms, so that it is evaluated on plain numbers and proved by Z3 from one writing.
Words: *live* is fetched whole and not visible; *waiting* is available and not fetched whole; an entry is *free* that is
in the chain of no live request. `proofs.packed.ghosts` says what the free list's places and the phases of a batch are.
"""

from __future__ import annotations

from model.steps import Table
from proofs.induction.left import restarting
from proofs.packed.obligations import key
from proofs.packed.process import counters, fetching, recovery
from proofs.packed.rank import drains
from proofs.packed.region import region
from proofs.packed.ring import ring
from proofs.packed.supplying import supplying
from proofs.packed.words import Conjunct, Places, live

__all__ = ["invariant"]


def invariant(table: Table) -> list[Conjunct]:
    """Give the invariant for a table: its sentences, in order."""
    p = Places(table)
    restart = restarting(table, live, lambda s, e: s.proof.live[e], key(table))
    return [*ring(p), *region(p), *recovery(p), *fetching(p), *supplying(p), *counters(p), *drains(p), *restart]
