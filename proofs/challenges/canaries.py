"""Canaries: goals that are known to be false, made from real ones, which must not be proved.

A prover that lies is quiet: it proves everything, or everything of a kind, or everything for small rings. So each run
of `verify` also asks it, for each ring and each kind of goal, what is false:

- the negation of a real goal, from all that the goal may use: it is proved only where that is a contradiction;
- a goal of the kind that is wrong in one place: a sum that counts one too many, a rank that must rise, a width that is
  one bit short, a chain of reasons without its first;
- at some steps, that sizes or positions are small: it is proved only where something assumes that they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import z3

from model.protocol import Subject
from model.record import record_term
from proofs.induction.atoms import KINDS, Goal
from proofs.induction.goals import goals_of
from proofs.induction.kits import induction_of
from proofs.induction.proof import Proof
from proofs.induction.show import given, proof_works, proves
from proofs.induction.work import Rest, StepWork, Work

__all__ = ["SUBJECTS", "Canary", "canaries", "proves", "sings"]

SUBJECTS = {"split": Subject("split", "merged"), "packed": Subject("packed", "hardened")}
"""The subjects whose goals canaries are made from: those that hold."""

RESETS = ("driver.reset", "connection.reset")
"""Steps that store a 0, which fits in any number of bits."""

EFFORT = ((0.3, 0),)
"""How long a false goal is tried; real ones are mostly proved with much less."""

EACH = 3
"""How many goals of a kind are negated: some from the beginning, the middle and the end."""


@dataclass(frozen=True)
class Canary:
    """A false goal: the kind, what is wrong with it, what may be used, and the goal."""

    ring: str
    kind: str
    name: str
    facts: Sequence[Any]
    goal: Any


def sings(canary: Canary) -> bool:
    """Whether it is proved, as it must not be."""
    return proves(canary.facts, canary.goal, EFFORT)


@cache
def _proof(ring: str) -> Proof:
    return Proof(SUBJECTS[ring])


def canaries(ring: str) -> Iterator[Canary]:
    """Give the canaries of a ring, at least one for each kind of goal."""
    works = proof_works(_proof(ring))
    goals = [(work, goal) for work in works.values() for goal in goals_of(work)]
    for kind in KINDS:
        mine = [(work, goal) for work, goal in goals if goal.kind == kind]
        chosen = {id(goal): (work, goal) for n in range(EACH) for work, goal in mine[n * len(mine) // EACH :][:1]}
        for work, goal in chosen.values():
            name = f"not: {work.id}, {goal.name}"
            yield Canary(ring, kind, name, given(work, goal)[0], z3.Not(goal.expr()))
    yield from _wrong(ring, works, goals)
    yield from _small(ring, works)


def _everything(work: Work) -> list[Any]:
    """Give all that anything may be shown from: the facts, and the whole invariant."""
    return [*work.facts, *(work.hypothesis(atom) for atom in work.proof.atoms.values())]


def _wrong(ring: str, works: dict[str, Work], goals: Sequence[tuple[Work, Goal]]) -> Iterator[Canary]:
    """Make goals that are wrong in one place."""
    for work, goal in goals:
        if goal.kind == "sum" and goal.name.endswith("counts on") and isinstance(work, StepWork):
            yield from _one_too_many(ring, work, goal)
        if goal.kind == "case" and isinstance(work, StepWork):
            fewer = z3.Or([z3.And(case) for case in work.cases[:-1]])
            yield Canary(ring, "case", f"{work.id}: without the last", given(work, goal)[0], fewer)
        if goal.kind == "rank" and isinstance(work, StepWork) and work.id in ("device.finish", "driver.use"):
            yield Canary(ring, "rank", f"{work.id}: every part is lower", _everything(work), _each_lower(work))
        if goal.kind == "fits" and goal.name in ("used.idx fits", "region.used_idx fits") and work.id not in RESETS:
            yield Canary(ring, "fits", f"{work.id}: {goal.name} in fewer bits", given(work, goal)[0], _narrow(goal))
    rest = works["drains"]
    assert isinstance(rest, Rest)
    alone = _proof(ring).axioms(rest.translator)
    known = [rest.hypothesis(a) for a in rest.proof.atoms.values() if a.group in ("base", "drains")]
    for name, holds in induction_of(ring).stuck(rest.table)[:3]:
        said = rest.translator.expr(record_term(rest.table.vars, holds), rest.before)
        yield Canary(ring, "stuck", f"{name}, though something may happen", [*alone, *known], said)
    anywhere = works["any state"]
    for name, index in induction_of(ring).indexes.items():
        ahead = anywhere.before[name] == anywhere.translator.index(index, anywhere.before) + 1
        yield Canary(ring, "index", f"{name} is one ahead", _everything(anywhere), ahead)


def _one_too_many(ring: str, work: StepWork, goal: Goal) -> Iterator[Canary]:
    said = goal.expr()
    more = z3.Implies(said.arg(0), said.arg(1).arg(0) == said.arg(1).arg(1) + 1)
    yield Canary(ring, "sum", f"{work.id}: {goal.name}, one too many", given(work, goal)[0], more)


def _each_lower(work: StepWork) -> Any:
    ranks = work.proof.ranks
    return z3.And([work.translator.expr(r, work.after) < work.translator.expr(r, work.before) for r in ranks])


def _narrow(goal: Goal) -> Any:
    said = goal.expr()
    low, high = said.arg(0), said.arg(1)
    return z3.And(low, high.arg(0) < 2)


def _small(ring: str, works: dict[str, Work]) -> Iterator[Canary]:
    """Say at a few steps that sizes and positions are small."""
    for work in works.values():
        if work.id not in ("crash", "driver.use", f"{ring}.fetch.1", "any state", "drains"):
            continue
        size, first = work.translator.size, work.translator.first
        facts = _everything(work)
        for name, said in {"size <= 16384": size <= 16384, "first <= 65000": first <= 65000}.items():
            yield Canary(ring, "kept", f"{work.id}: {name}", facts, said)
        position = work.before["history.avail_pos"]
        yield Canary(ring, "kept", f"{work.id}: positions below 65530", facts, position < 65530)
