"""The parts of the packed ring's proof, put together for `proofs.kits`."""

from __future__ import annotations

from collections.abc import Mapping

from proofs.kits import Induction, Kit
from proofs.packed.ghosts import with_ghosts
from proofs.packed.invariant import invariant
from proofs.packed.obligations import BESIDE, CASES, COUNTS, ENDS, FOUND, MENTIONS, NO_WRAP, UNTOUCHED, WALKS, outcome
from proofs.packed.rank import rank, stuck
from proofs.packed.slots import INDEXES, axioms, place_lemma
from proofs.packed.stuck import TRIGGERS, least, nothing_live

__all__ = ["KIT"]

SCOPE = (
    "proved (packed): by induction, for every queue size (1 to 32768), any number of requests, chains and batches of",
    "  any length, any number of crashes; positions are size * slot + lap, and never wrap",
    "assumed: a crash keeps the stores in program order; the device's own I/O dies with the process;",
    "  a 64-bit counter does not wrap; event flags, not event indexes; a region is made with its ring, at slot 0",
    "drains: from any point on at which the driver makes no more requests; that recovery ends belongs to it",
)
"""What `proved` says of the packed ring."""


def out_of_scope(revision: str, _choices: Mapping[str, str]) -> str | None:
    """Say why the proof does not speak of a revision."""
    return None if revision == "hardened" else f"{revision} breaks the invariant: searches judge it"


KIT = Kit(
    induction=Induction(
        with_ghosts=with_ghosts,
        invariant=invariant,
        rank=rank,
        stuck=stuck,
        outcome=outcome,
        ends=ENDS,
        found=FOUND,
        untouched=UNTOUCHED,
        counts=COUNTS,
        indexes=INDEXES,
        rewrites={},
        axioms=axioms,
        lemmas={"places": place_lemma},
        stuck_facts=least,
        stuck_lemma=nothing_live,
        triggers=TRIGGERS,
        scope=SCOPE,
        walks=WALKS,
        mentions=MENTIONS,
        beside=BESIDE,
        cases=CASES,
        no_wrap=NO_WRAP,
        out_of_scope=out_of_scope,
    ),
)
