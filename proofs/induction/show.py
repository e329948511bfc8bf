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
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import resources
from typing import Any

import z3

from model.record import record_term
from proofs.induction.atoms import Goal
from proofs.induction.goals import Proof, StepWork
from proofs.induction.solver import INT, Translator
from proofs.search.judges import UNFAIR

__all__ = ["Query", "Result", "hints", "queries", "solve"]

TRIES = ((3000, 0), (3000, 1), (3000, 2), (3000, 3), (10000, 7), (20000, 23))
"""Milliseconds and seed of the tries at a goal."""

ASSISTS = {"order": ("base", "counters", "order"), "restartable": ("base", "counters")}
"""The groups whose atoms a goal may use, where they are not the base and its own."""


@dataclass(frozen=True)
class Query:
    """One goal of one subject: its step (or ``initial``, ``drains``), group, name and key (same key: same query)."""

    ring: str
    work: str
    group: str
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
    for work, text, goals in _works(proof):
        for number, goal in enumerate(goals):
            hinted = known.get(hint_key(work, goal.name))
            used = (
                ""
                if work == "initial"
                else everything
                if hinted is None
                else "".join(proof.texts.get(a, a) for a in hinted)
            )
            key = hashlib.sha256(f"{ring}\n{work}\n{text}\n{goal.group}\n{goal.text}\n{used}".encode()).hexdigest()
            found.append(Query(ring, work, goal.group, goal.name, key, number))
    fair = "".join(w.text for w in proof.works.values()) + everything
    key = hashlib.sha256(f"{ring}\ndrains {fair}".encode()).hexdigest()
    found.append(Query(ring, "drains", "drains", "nothing is stuck", key, 0))
    return found


def _works(proof: Proof) -> Iterator[tuple[str, str, list[Goal]]]:
    yield "initial", proof.entries, proof.initial_goals()
    for step_id, work in proof.works.items():
        yield step_id, work.text, work.goals()


def solve(
    proof: Proof, wanted: Iterable[Query], known: dict[str, list[str]], *, core: bool = False, tries: int = len(TRIES)
) -> list[Result]:
    """Run queries of one subject; `core` also finds the atoms that each needs; `tries` says how often to try."""
    results: list[Result] = []
    goals: dict[str, list[Goal]] = {}
    for query in wanted:
        if query.work == "drains":
            results.append(_stuck(proof, query, TRIES[:tries]))
            continue
        work = proof.works.get(query.work)
        if query.work not in goals:
            goals[query.work] = proof.initial_goals() if work is None else work.goals()
        goal = goals[query.work][query.number]
        results.append(_initial(proof, query, goal) if work is None else _step(work, query, goal, known, core, tries))
    return results


def _initial(proof: Proof, query: Query, goal: Goal) -> Result:
    started = time.monotonic()
    proved = _proves(proof.axioms(Translator(proof.table, proof.entries)), goal.expr())
    return Result(query, "proved" if proved else "unknown", time.monotonic() - started)


def _step(  # noqa: PLR0917
    work: StepWork, query: Query, goal: Goal, known: dict[str, list[str]], core: bool, tries: int
) -> Result:
    started = time.monotonic()
    groups = ASSISTS.get(goal.group, ("base", goal.group))
    usable = {name: atom for name, atom in work.proof.atoms.items() if atom.group in groups}
    expr = goal.expr()
    hinted = known.get(hint_key(query.work, goal.name))
    if hinted is not None:
        names = [n for n in hinted if n in usable]
        if _proves_cases(work, [work.hypothesis(usable[n]) for n in names], expr, TRIES[:1]):
            return Result(query, "proved", time.monotonic() - started, tuple(hinted))
    hypotheses = {name: work.hypothesis(atom) for name, atom in usable.items()}
    proved = _proves_cases(work, hypotheses.values(), expr, TRIES[:tries])
    needed = (
        (_core([*work.facts, *case], hypotheses, expr) for case in work.cases) if proved and core else (hypotheses,)
    )
    used = tuple(dict.fromkeys(name for names in needed for name in names))
    return Result(query, "proved" if proved else "unknown", time.monotonic() - started, used, shared=hinted is None)


def _proves_cases(work: StepWork, known: Iterable[Any], goal: Any, tries: Iterable[tuple[int, int]]) -> bool:
    """Prove a goal in each case of its step, and that there is no other case."""
    facts, tries = [*work.facts, *known], tuple(tries)
    return all(_proves([*facts, *case], goal, tries) for case in work.cases) and (
        len(work.cases) < 2 or _proves(facts, z3.Or([z3.And(case) for case in work.cases]), tries)
    )


def _proves(facts: Iterable[Any], goal: Any, tries: Iterable[tuple[int, int]] = TRIES) -> bool:
    for timeout, seed in tries:
        solver = _solver(timeout, seed)
        solver.add(*facts)
        solver.add(z3.Not(goal))
        if solver.check() == z3.unsat:
            return True
    return False


def _solver(timeout: int, seed: int) -> Any:
    solver = z3.SimpleSolver()
    solver.set("auto_config", False)
    solver.set("smt.mbqi", False)
    solver.set("timeout", timeout)
    solver.set("smt.random_seed", seed)
    return solver


def _core(facts: Iterable[Any], hypotheses: dict[str, Any], goal: Any) -> list[str]:
    """Find atoms that are enough, then leave out one at a time those that are not needed, if they are not too many."""
    for timeout, seed in TRIES[:1]:
        solver = _solver(timeout, seed)
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
        if _proves([*facts, *(hypotheses[n] for n in fewer)], goal, ((150, 0),)):
            needed = fewer
    return needed


def _stuck(proof: Proof, query: Query, tries: Iterable[tuple[int, int]]) -> Result:
    """Show that where nothing that is owed can happen, the driver has seen everything: a chain of small goals."""
    started = time.monotonic()
    translator = Translator(proof.table, proof.entries)
    world = proof.before(translator)
    facts = proof.axioms(translator)
    facts += [translator.expr(a.term, world) for a in proof.atoms.values() if a.group in ("base", "drains")]
    facts += [_not_enabled(proof, translator, world, step_id) for step_id in proof.works if step_id not in UNFAIR]
    facts += proof.ring.stuck_facts(translator, world)
    proved = True
    for name, holds in proof.ring.stuck():
        lemma = proof.ring.stuck_lemma(name, translator, world)
        if lemma is not None:
            to_show, follows = lemma
            proved = proved and _proves(facts, to_show, tries)
            facts.append(follows)
        goal = translator.expr(record_term(proof.table.vars, holds), world)
        proved = proved and _proves(facts, goal, tries)
        facts.append(goal)
    return Result(query, "proved" if proved else "unknown", time.monotonic() - started)


def _not_enabled(proof: Proof, translator: Translator, world: Any, step_id: str) -> Any:
    recorded = proof.works[step_id].recorded
    guard = translator.expr(recorded.guard, world)
    if not recorded.step.choice:
        return z3.Not(guard)
    head = translator.fresh("head", INT)
    inside = z3.And(head >= 0, head < translator.region_size, z3.substitute(guard, (translator.choice, head)))
    patterns = [world[name][head] for name in proof.ring.triggers]
    return z3.ForAll([head], z3.Not(inside), patterns=patterns)
