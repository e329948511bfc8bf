"""The parts of the packed ring's proof, put together for `proofs.induction.kits`."""

from __future__ import annotations

from collections.abc import Mapping

from model.both.stopping import PAIRS
from proofs.induction import stopped
from proofs.induction.kits import Induction, Kit, Mutation
from proofs.packed.bounded import BOUNDED
from proofs.packed.ghosts import with_ghosts
from proofs.packed.in_order import otherwise
from proofs.packed.invariant import invariant
from proofs.packed.marks import REVISIONS, WITNESSING
from proofs.packed.mutants import mutants
from proofs.packed.obligations import BESIDE, CASES, COUNTS, MENTIONS, NO_WRAP, WALKS, key, leaves
from proofs.packed.rank import rank, stuck
from proofs.packed.reasons import REASONS
from proofs.packed.slips import SLIPS
from proofs.packed.slots import INDEXES, axioms, place_lemma, questions
from proofs.packed.stuck import TRIGGERS, least, nothing_live
from proofs.search.bounds import Bounds, Level

__all__ = ["KIT"]

SCOPE = (
    "proved (packed): by induction, for every queue size (1 to 32768), any number of requests, chains and batches of",
    "  any length, any number of crashes; a position, which never wraps, is size * laps + slot",
    "drains: from any point on at which the driver makes no more requests; that recovery ends belongs to it",
)
"""What `proved` says of the packed ring."""


LEVELS: tuple[Level, ...] = (
    Level(Bounds(2, 2, 1, states=60_000)),
    Level(Bounds(2, 1, 1, states=60_000), notifications=True),
    Level(Bounds(1, 2, 2)),
    Level(Bounds(3, 1, 1, states=60_000)),
)
"""What is searched, small ones first, until a run is found; the back-end alone comes last
(`proofs.challenges.mutants.find`).

Some are searched further (`proofs.packed.mutants`). A record says where a search stopped at its limit of states.
"""

INTRODUCTION = """# Which stores, orders and guards of the packed ring are needed

Written by `python -m proofs.challenges.mutants orders packed` from proofs/recorded/packed/mutants.json; do not edit.

What is changed is `hardened`, which holds; `v6` and `merged` break most properties unchanged. Each named edit is left
out; each two neighbouring stores of the back-end are swapped, each with the value that it has in the order of the text;
each store is dropped; each guard is weakened. A change breaks a property where a run from the initial state violates
it: its name, and the events of the shortest run found. Where nothing is broken within the bounds that the record names,
the last column says why. That is said of each change alone, not of several at once, and of a back-end with one thread.
"""


IN_ORDER = ("elements", "one-element", "one-element-all-flags")

SPEAKS_OF: Mapping[str, tuple[str, ...]] = {
    "settle": ("wide",),
    "event-kind": ("index",),
    "counter-start": ("one",),
    "counter-after-reconnect": ("zero", "count"),
    "counter-scope": ("device-greatest", "device-last"),
    "used-element": ("with-flags",),
    "flags-compare": ("used",),
    "assignments": ("one",),
    "ring-at-start": ("wait",),
    "signal-at-start": ("on-mismatch", "never"),
    "signal-when": ("after-publish",),
    "event-fields": ("left",),
    "region-size": ("larger",),
    "settle-order": ("head-wrap-idx",),
    "flags-of-others": ("in-order",),
    "batches": ("one",),
    "chains": ("one",),
    "stop": tuple(PAIRS),
    "stop-batch": ("left", "taken-back"),
    "ring-reset": ("told",),
    "in-order": IN_ORDER,
}
"""Choices of which the invariant speaks, in `hardened`. Where its base holds, so does what else is not violated."""


def out_of_scope(revision: str, choices: Mapping[str, str]) -> str | None:
    """Say why the proof does not speak of a revision, or of one of its readings."""
    if revision != "hardened":
        return f"{revision} breaks the invariant: searches judge it"
    if (why := stopped.out_of_scope(choices, IN_ORDER)) is not None:
        return why
    for gap, choice in choices.items():
        if choice not in SPEAKS_OF.get(gap, ()):
            return f"{gap}={choice} breaks the invariant: searches judge it"
    return None


KIT = Kit(
    induction=Induction(
        with_ghosts=with_ghosts,
        invariant=invariant,
        rank=rank,
        stuck=stuck,
        leaves=leaves,
        key=key,
        counts=COUNTS,
        indexes=INDEXES,
        rewrites={},
        axioms=axioms,
        lemmas={"places": place_lemma},
        questions=questions,
        stuck_facts=least,
        stuck_lemmas=nothing_live,
        triggers=TRIGGERS,
        scope=SCOPE,
        walks=WALKS,
        otherwise=otherwise,
        mentions=MENTIONS,
        beside=BESIDE,
        cases=CASES,
        no_wrap=NO_WRAP,
        out_of_scope=out_of_scope,
    ),
    mutation=Mutation(
        revisions=REVISIONS,
        mutants=mutants,
        reasons=REASONS,
        levels=LEVELS,
        broken={},
        introduction=INTRODUCTION,
        page="docs/orders-packed.md",
        slips=SLIPS,
    ),
    witnessing=WITNESSING,
    bounded=BOUNDED,
)
