"""The parts of the split ring's proof, put together for `proofs.induction.kits`."""

from __future__ import annotations

from collections.abc import Mapping

from proofs.induction import stopped
from proofs.induction.kits import Induction, Kit, Mutation
from proofs.search.bounds import Bounds, Level
from proofs.split.at_once import at_once
from proofs.split.bounded import BOUNDED
from proofs.split.ghosts import with_ghosts
from proofs.split.in_order import otherwise
from proofs.split.invariant import invariant
from proofs.split.marks import REVISIONS, WITNESSING
from proofs.split.mutants import mutants
from proofs.split.obligations import COUNTS, NO_WRAP, REWRITES, key, leaves, while_idle
from proofs.split.rank import rank, stuck
from proofs.split.reasons import REASONS
from proofs.split.slips import SLIPS
from proofs.split.slots import INDEXES, axioms, questions, slot_lemma
from proofs.split.stuck import TRIGGERS, least, nothing_live

__all__ = ["KIT", "LEVELS"]

BROKEN: Mapping[str, frozenset[str]] = {"v6": frozenset({"order"})}
"""What a revision violates unchanged: no mutant of it is killed by that."""

LEVELS: tuple[Level, ...] = (
    Level(Bounds(2, 2, 1, states=60_000)),
    Level(Bounds(2, 2, 1, first=3, states=60_000)),
    Level(Bounds(2, 1, 1, states=200_000), notifications=True),
    Level(Bounds(2, 2, 0, states=400_000), notifications=True),
    Level(Bounds(2, 3, 2, states=200_000)),
    Level(Bounds(2, 2, 1, first=65535, states=60_000)),
)
"""What is searched, small ones first, until a run is found; the back-end alone comes last
(`proofs.challenges.mutants.find`).

A first index up to twice the queue's size lets recovery walk all of a list that was never begun; beyond, the search
cuts the walk short (proofs.search.breadth_first), and `restartable` cannot be judged. The limits of states are for
mutants that go on for ever; a record says where a search stopped at one.
"""

INTRODUCTION = """# Which stores, orders and guards of the split ring are needed

Written by `python -m proofs.challenges.mutants orders` from proofs/recorded/split/mutants.json; do not edit.

The text does not say which of its stores a compiler or a processor must keep in order. Here each two neighbouring
stores of the back-end are swapped, each with the value that it has in the order of the text; each store is dropped;
each guard is weakened. A change breaks a property where a run from the initial state violates it: its name, and the
events of the shortest run found. Where nothing is broken within the bounds that the record names, the last column says
why. That is said of each change alone, not of several at once, and of a back-end with one thread. What v6 breaks
unchanged (`order`) is not judged for its changes.
"""

SCOPE = (
    "proved: by induction, for every queue size (powers of two to 32768), any number of requests,",
    "  batches and crashes, 16-bit indexes that wrap; a chain is one content, read through its head",
    "drains: from any point on at which the driver makes no more requests; that recovery ends belongs to it",
)
"""What `proved` says of the split ring."""


KIT = Kit(
    induction=Induction(
        with_ghosts=with_ghosts,
        invariant=invariant,
        rank=rank,
        stuck=stuck,
        leaves=leaves,
        key=key,
        while_idle=while_idle,
        counts=COUNTS,
        indexes=INDEXES,
        rewrites=REWRITES,
        axioms=axioms,
        lemmas={"slots": slot_lemma},
        questions=questions,
        stuck_facts=least,
        stuck_lemmas=nothing_live,
        triggers=TRIGGERS,
        scope=SCOPE,
        reductions={"several requests made available by one store of avail.idx are as one after the other": at_once},
        otherwise=otherwise,
        no_wrap=NO_WRAP,
        out_of_scope=lambda _, choices: stopped.out_of_scope(choices, ("elements", "one-element")),
    ),
    mutation=Mutation(REVISIONS, mutants, REASONS, LEVELS, BROKEN, INTRODUCTION, "docs/orders.md", SLIPS),
    witnessing=WITNESSING,
    bounded=BOUNDED,
)
