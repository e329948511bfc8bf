"""Induction with Z3: runs the goals of `proofs.induction.goals`, each with no more of the invariant than it needs.

Which atoms of the invariant a goal needs was found once (an unsatisfiable core) and is recorded as a hint. A hint is
not trusted: a goal is proved from the hinted atoms by the solver, each time; if that fails, from all of them. Hints
keep queries small, so that they take milliseconds and do not depend on luck, and they let subjects that share a step
share the proof: two goals with the same step, the same text and the same hinted atoms are one query.

A model that the solver offers where a goal fails is no run of the protocol, so it is never called a counterexample.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import z3

from proofs.induction.atoms import Goal
from proofs.induction.goals import goals_of, works
from proofs.induction.proof import Proof
from proofs.induction.solver import tell
from proofs.induction.work import Work

__all__ = [
    "Query",
    "Result",
    "by_z3",
    "core_of",
    "given",
    "hint_key",
    "hints",
    "proof_works",
    "proves",
    "queries",
    "solve",
]

Tries = tuple[tuple[float, int], ...]

TRIES: Tries = ((1, 0), (1, 1), (2, 2), (4, 3), (8, 7), (16, 23))
"""Effort and seed of the tries at a goal: so many times `EFFORT`."""

HINTED = 3
"""How many of them from the hinted atoms alone, before the whole invariant: these are enough, the seed may be bad."""

EFFORT = 2_000_000
"""The solver's own count of what it does: what is proved does not depend on how busy the machine is."""

PATIENCE = 60_000
"""Milliseconds, for each time that effort, after which a try is given up whatever was counted."""


@dataclass(frozen=True)
class Query:
    """One goal of one subject: where it is shown (a step, ``initial``, ``any state``, ``drains``), group, kind, name.

    The same `key` is the same query, of whatever subject; `number` is its place among the goals of its work.
    """

    ring: str
    work: str
    group: str
    kind: str
    name: str
    key: str
    number: int


@dataclass(frozen=True)
class Result:
    """What came of a query: ``proved`` or ``unknown``, the seconds, and the atoms that were used.

    `shared`: it was proved from no more than the query's key names, so it holds for every subject with that key.
    """

    query: Query
    status: str
    seconds: float
    used: tuple[str, ...] = ()
    shared: bool = True
    beside: Any = None
    """What else was found about it (`proofs.second`)."""


def hints(ring: str) -> dict[str, list[str]]:
    """Read the recorded hints for a ring: goal to names of atoms."""
    path = resources.files("proofs") / "recorded" / ring / "hints.json"
    return dict(json.loads(path.read_text())) if path.is_file() else {}


def hint_key(work: str, goal_name: str) -> str:
    """Name a goal for the file of hints."""
    return f"{work} | {goal_name}"


def queries(proof: Proof, known: dict[str, list[str]]) -> list[Query]:
    """Give all queries of a subject, cheaply: nothing is translated yet."""
    found: list[Query] = []
    ring = proof.subject.ring
    everything = "".join(proof.texts.values())
    for work in proof_works(proof).values():
        for number, goal in enumerate(goals_of(work)):
            hinted = known.get(hint_key(work.id, goal.name))
            used = everything if hinted is None else "".join(proof.texts.get(a, a) for a in hinted)
            text = f"{ring}\n{work.id}\n{work.text}\n{goal.group}\n{goal.kind}\n{goal.name}\n{goal.text}\n{used}"
            key = hashlib.sha256(text.encode()).hexdigest()
            found.append(Query(ring, work.id, goal.group, goal.kind, goal.name, key, number))
    return found


def solve(
    proof: Proof,
    wanted: Iterable[Query],
    known: dict[str, list[str]],
    *,
    core: bool = False,
    tries: Tries | None = None,
) -> list[Result]:
    """Run queries of one subject; `core` also finds the atoms that each needs; `tries` may be other than `TRIES`."""
    results: list[Result] = []
    places, at = proof_works(proof), None
    for query in wanted:
        if at is None or at.work.id != query.work:
            at = _At(places[query.work], tries or TRIES)
        results.append(_solved(at, query, known, core))
    return results


class _At:
    """Where goals are shown, and a solver that knows what holds there: it is asked first, with what a goal has besides.

    What the solver makes of these facts serves every goal. A goal's own hypotheses are taken back when it is answered.
    """

    def __init__(self, work: Work, tries: Tries) -> None:
        """Take the tries: the effort and seed of the first are this solver's, and the others have one of their own."""
        self.work, self.goals, self._tries = work, goals_of(work), tries
        self._solver = _solver(*tries[0])
        tell(self._solver, work.facts)

    def proves(self, besides: Iterable[Any], goal: Goal, expr: Any, tries: int | None = None) -> bool:
        """Prove a goal in each case of its step, in so many tries; that there is no other case is a goal of its own."""
        cases = self.work.cases if goal.kind != "case" else [[]]
        return all(self._follows([*besides, *case], expr, self._tries[1:tries]) for case in cases)

    def _follows(self, besides: list[Any], expr: Any, tries: Tries) -> bool:
        assert self._solver.num_scopes() == 0, "what one goal was asked with is there for the next"
        self._solver.push()
        refuted = _refutes(self._solver, [*besides, z3.Not(expr)])
        self._solver.pop()
        return refuted or proves([*self.work.facts, *besides], expr, tries)


@cache
def proof_works(proof: Proof) -> dict[str, Work]:
    """Give where goals of a subject are shown, made once."""
    return works(proof)


def _solved(at: _At, query: Query, known: dict[str, list[str]], core: bool) -> Result:
    started = time.monotonic()
    work, goal = at.work, at.goals[query.number]
    expr, facts, usable = goal.expr(), goal.facts(), work.usable(goal)
    hinted = known.get(hint_key(query.work, goal.name))
    if hinted is not None:
        names = [n for n in hinted if n in usable]
        if at.proves([*facts, *(work.hypothesis(usable[n]) for n in names)], goal, expr, HINTED):
            return Result(query, "proved", time.monotonic() - started, tuple(hinted))
    hypotheses = {name: work.hypothesis(atom) for name, atom in usable.items()}
    proved = at.proves([*facts, *hypotheses.values()], goal, expr)
    cases = work.cases if goal.kind != "case" else [[]]
    given = [*work.facts, *facts]
    needed = (core_of([*given, *case], hypotheses, expr) for case in cases) if proved and core else (hypotheses,)
    used = tuple(dict.fromkeys(name for names in needed for name in names))
    return Result(query, "proved" if proved else "unknown", time.monotonic() - started, used, shared=hinted is None)


def proves(facts: Iterable[Any], goal: Any, tries: Iterable[tuple[float, int]] = TRIES) -> bool:
    """Whether the solver shows that a goal follows from facts, in one of some tries."""
    said = [*facts, z3.Not(goal)]
    return any(_refutes(_solver(effort, seed), said) for effort, seed in tries)


def by_z3(_name: str, facts: Sequence[Any], goal: Any) -> bool:
    """Ask Z3, once, for what is no goal of a step; a name is for who asks others too."""
    return proves(facts, goal, TRIES[:1])


def _refutes(solver: Any, said: Iterable[Any]) -> bool:
    """Whether the solver shows that what is said, and what it was told before, cannot all be true."""
    tell(solver, said)
    return bool(solver.check() == z3.unsat)


def _solver(effort: float, seed: int) -> Any:
    solver = z3.SimpleSolver()
    solver.set(
        "auto_config", False, "smt.mbqi", False, "rlimit", int(effort * EFFORT),
        "timeout", int(max(effort, 1) * PATIENCE), "smt.random_seed", seed,
    )  # fmt: skip
    return solver


def given(work: Work, goal: Goal) -> list[list[Any]]:
    """Give what a goal is shown from, in each of its cases: what its hint names, or the whole invariant."""
    usable = work.usable(goal)
    hinted = _hints(work.proof.subject.ring).get(hint_key(work.id, goal.name), usable)
    facts = [*work.facts, *goal.facts(), *(work.hypothesis(usable[n]) for n in hinted if n in usable)]
    return [[*facts, *case] for case in (work.cases if goal.kind != "case" else [[]])]


_hints = cache(hints)


def core_of(facts: Iterable[Any], hypotheses: dict[str, Any], goal: Any) -> list[str]:
    """Find atoms that are enough, then leave out one at a time those that are not needed, if they are not too many."""
    for effort, seed in TRIES[:1]:
        solver = _solver(effort, seed)
        solver.set("unsat_core", True)
        solver.add(*facts)
        for name, expr in hypotheses.items():
            solver.assert_and_track(expr, name)
        solver.add(z3.Not(goal))
        if solver.check() == z3.unsat:
            needed = [str(n) for n in solver.unsat_core()]
            break
    else:
        return list(hypotheses)
    for name in list(needed) if len(needed) < 30 else ():
        fewer = [n for n in needed if n != name]
        if proves([*facts, *(hypotheses[n] for n in fewer)], goal, ((0.02, 0),)):
            needed = fewer
    return needed
