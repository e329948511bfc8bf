"""Induction with Z3: the invariant holds at the start and survives each step; each property follows from it.

For one subject (ring, revision, choices) the work is a list of *goals* for each step, each its own small query: an atom
of a sentence of the invariant after the step, the width of a store, a judgement, a lemma. All goals of a step share one
set of hypotheses: the invariant and the step's guard before it, the step's assignments.

Goals come in groups. ``base`` carries every property; ``order`` and ``drains`` only those whose names they bear, so that a
deviation that breaks the order leaves the other properties provable.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import z3

from model import protocol
from model.record import SHARED, Assign, record_term
from model.steps import Recorded
from model.terms import Term, show, substitute, walk
from proofs.judges import UNFAIR
from proofs.solver import INT, Translator
from proofs.split.ghosts import with_ghosts
from proofs.split.invariant import invariant
from proofs.split.obligations import COUNTS, REWRITES, UNTOUCHED, outcome
from proofs.split.rank import fair_steps, rank, stuck
from proofs.split.words import Places

__all__ = ["Goal", "Proof", "Result"]

NO_WRAP = frozenset({"region.desc[].counter", "counter", "table", "driver.requests", "device.given", "used.ring[].len"})
"""Fields whose width is an assumption, printed in the scope: 64-bit counters do not wrap; contents are tokens."""

TIMEOUTS = ((2000, 0), (10000, 7), (20000, 23))
"""Milliseconds and seed of the tries at a goal."""


@dataclass(frozen=True)
class Goal:
    """One thing to show at a step: its group, a name that a reader can find, and the Z3 expression."""

    group: str
    name: str
    expr: Any


@dataclass(frozen=True)
class Result:
    """What the solver said of a goal: ``proved`` or ``unknown`` (a model that it offers is no run, so not believed)."""

    step: str
    group: str
    name: str
    status: str
    seconds: float


def atoms(term: Term) -> Iterator[Term]:
    """Split a sentence into parts that can be shown one at a time."""
    if term.op == "and":
        for arg in term.args:
            assert isinstance(arg, Term)
            yield from atoms(arg)
    elif term.op == "forall":
        name, low, limit, body, hints = term.args
        assert isinstance(body, Term)
        for part in atoms(body):
            yield Term("forall", (name, low, limit, part, hints))
    elif term.op == "ite" and _is_true(term.args[2]):
        assert isinstance(term.args[1], Term)
        for part in atoms(term.args[1]):
            yield Term("ite", (term.args[0], part, term.args[2]))
    else:
        yield term


def _text(assign: Assign) -> str:
    index = show(assign.index) if isinstance(assign.index, Term) else assign.index
    return f"{assign.name} [{index}] {show(assign.value)}"


def _is_true(term: object) -> bool:
    return isinstance(term, Term) and term.op == "and" and not term.args


def names(term: Term) -> set[str]:
    """Give the variables that a term reads."""
    return {str(n.args[0]) for n in walk(term) if n.op in ("var", "at")}


class Proof:
    """All goals of one subject."""

    def __init__(self, subject: protocol.Subject) -> None:
        """Record the table and the invariant as terms."""
        self.subject = subject
        self.table = with_ghosts(protocol.table(subject))
        self.steps = self.table.recorded()
        self.sentences = [(c.name, c.group, record_term(self.table.vars, c.holds)) for c in invariant(self.table)]
        self.entries = subject.choice("region-size")

    def digests(self) -> dict[str, str]:
        """Name the work at each step by its content, so that subjects that share it share the result."""
        base = "\n".join(f"{g} {n} {show(t)}" for n, g, t in self.sentences) + self.entries
        judged = "".join(j.property + j.tag for j in protocol.judgements(self.subject.ring))
        result = {"initial": hashlib.sha256(("initial" + base).encode()).hexdigest()}
        for r in self.steps:
            assigns = "\n".join(_text(a) for a in (*r.assigns, *r.history))
            text = "\n".join([r.step.id, show(r.guard), assigns, " ".join(sorted(r.step.tags)), judged, base])
            result[r.step.id] = hashlib.sha256(text.encode()).hexdigest()
        fair = "\n".join(show(r.guard) for r in self.steps)
        result["drains"] = hashlib.sha256(("drains" + fair + base).encode()).hexdigest()
        return result

    def prove(self, work: str) -> list[Result]:
        """Do the work of one name that `digests` gives."""
        if work == "initial":
            return self._initial()
        if work == "drains":
            return self._stuck()
        (recorded,) = (r for r in self.steps if r.step.id == work)
        return _Step(self, recorded).results()

    def _initial(self) -> list[Result]:
        """The invariant holds in the initial state."""
        translator = Translator(self.table, self.entries)
        world: dict[str, Any] = {}
        for var in self.table.vars.values():
            value = translator.expr(Term("const", (var.initial,)) if not isinstance(var.initial, Term) else var.initial, {})
            world[var.name] = value if var.limit is None else z3.K(INT, value)
        goals = [Goal(group, f"{name} {n}", translator.expr(part, world))
                 for name, group, term in self.sentences for n, part in enumerate(atoms(term))]  # fmt: skip
        return list(_check("initial", translator.axioms(), goals))

    def hypotheses(self, translator: Translator, world: Any, *groups: str) -> list[Any]:
        """Give the invariant's sentences of some groups, of a state."""
        return [translator.expr(term, world) for _, group, term in self.sentences if group in groups]

    def _stuck(self) -> list[Result]:
        """Where nothing that is owed can happen, the driver has seen everything."""
        translator = Translator(self.table, self.entries)
        world = translator.before()
        facts = [*translator.axioms(), *self.hypotheses(translator, world, "base", "drains")]
        for recorded in fair_steps(self.steps):
            guard = translator.expr(recorded.guard, world)
            if recorded.step.choice:
                head = translator.fresh("head", INT)
                inside = z3.And(head >= 0, head < translator.region_size, z3.substitute(guard, (translator.choice, head)))
                hints = [world["device.state"][head], world["proof.marked"][head]]
                facts.append(z3.ForAll([head], z3.Not(inside), patterns=hints))
            else:
                facts.append(z3.Not(guard))
        facts.append(self._least(translator, world))
        results: list[Result] = []
        for name, holds in stuck(Places(self.table)):
            goal = translator.expr(record_term(self.table.vars, holds), world)
            if name == "everything is visible":
                results += _check("drains", facts, [Goal("drains", "the sum over nothing is 0", self._empty(translator, world))])
                facts.append(world["proof.live_sum"][translator.region_size] == 0)
            results += _check("drains", facts, [Goal("drains", name, goal)])
            facts.append(goal)
        return results

    def _least(self, translator: Translator, world: Any) -> Any:
        """Say that some request is the next to be resubmitted, if any is pending: a finite set has a least element."""
        (recorded,) = (r for r in self.steps if r.step.id == "split.reconnect.2")
        head, other = translator.fresh("least", INT), translator.fresh("h", INT)
        label = world["recover.at"] == translator.label("resubmit")
        marks, done = world["region.desc[].inflight"], world["recover.resubmitted"]
        inside = z3.And(other >= 0, other < translator.region_size, marks[other] == 1, done[other] == 0)
        none = z3.ForAll([other], z3.Not(inside), patterns=[marks[other], done[other]])
        guard = z3.substitute(translator.expr(recorded.guard, world), (translator.choice, head))
        return z3.Implies(label, z3.Or(none, z3.And(guard, head >= 0, head < translator.region_size)))

    def _empty(self, translator: Translator, world: Any) -> Any:
        """Where nothing is live, the sum of live entries stays 0 from one entry to the next."""
        sums, k = world["proof.live_sum"], translator.fresh("k", INT)
        said = z3.And(k >= 0, k < translator.region_size, sums[k] == 0, world["proof.marked"][k] >= -1)
        return z3.Implies(said, sums[k + 1] == 0)


class _Step:
    """The goals of one step."""

    def __init__(self, proof: Proof, recorded: Recorded) -> None:
        self.proof, self.table = proof, proof.table
        self.translator = Translator(proof.table, proof.entries)
        self.world: dict[str, Any] = self.translator.before()
        self.facts: list[Any] = []
        self.lemmas: list[Goal] = []
        rewrites = REWRITES.get(recorded.step.id, {})
        for name, position in rewrites.items():
            self.lemmas.append(Goal("base", f"{name} is a position", self.world[name] == self.world[position] % 65536))
        self.plain = dict(self.world)
        self.recorded = replace(
            recorded,
            assigns=tuple(replace(a, value=self._resolved(a.value, recorded.step.id)) for a in recorded.assigns),
        )
        for name, position in rewrites.items():
            self.world[name] = self.world[position] % 65536
        self.guard = self.translator.expr(recorded.guard, self.plain)
        self.after, self.known = self.translator.transition(self.recorded, self.world)

    def _resolved(self, term: Term, where: str, world: dict[str, Any] | None = None) -> Term:
        """Exchange counts and greatests for constants, with what is known of them and the lemmas that it takes."""
        of = self.plain if world is None else world

        def exchange(node: Term) -> Term | None:
            if node.op == "count":
                return self._constant(self._count(node, where, of), of)
            if node.op == "greatest":
                return self._constant(self._greatest(node, of), of)
            return None

        return substitute(term, exchange)

    def _constant(self, value: Any, world: dict[str, Any]) -> Term:
        name = f"#{len(self.world)}.{len(self.facts)}"
        world[name] = self.world[name] = value
        return Term("var", (name,))

    def _count(self, node: Term, where: str, world: dict[str, Any]) -> Any:
        array_name, limit_name = COUNTS[where]
        array, translator = world[array_name], self.translator
        limit = translator.size if limit_name == "size" else translator.region_size
        k = translator.fresh("k", INT)
        body = node.args[2]
        assert isinstance(body, Term)
        flag = translator.expr(body, world, {str(node.args[0]): k})
        rises = z3.Implies(z3.And(k >= 0, k < limit), array[k + 1] == array[k] + z3.If(flag, 1, 0))
        self.lemmas.append(Goal("base", f"{array_name} counts from 0", array[0] == 0))
        self.lemmas.append(Goal("base", f"{array_name} counts on", rises))
        return array[limit]

    def _greatest(self, node: Term, world: dict[str, Any]) -> Any:
        translator = self.translator
        value, q = translator.fresh("greatest", INT), translator.fresh("q", INT)
        inner = {str(node.args[0]): q}
        limit, condition, of, otherwise = (a for a in node.args[1:] if isinstance(a, Term))
        inside = z3.And(q >= 0, q < translator.expr(limit, world), translator.expr(condition, world, inner))
        bound = translator.expr(of, world, inner)
        patterns = [world["region.desc[].inflight"][q], world["region.desc[].counter"][q]]
        other = translator.expr(otherwise, world)
        self.facts.append(z3.ForAll([q], z3.Implies(inside, bound <= value), patterns=patterns))
        self.facts.append(z3.Or(value == other, z3.Exists([q], z3.And(inside, bound == value))))
        return value

    def results(self) -> list[Result]:
        """Show everything that is to be shown at this step."""
        found: list[Result] = []
        made = list(self._goals())
        for group in sorted({g.group for g in made}):
            goals = [g for g in made if g.group == group]
            if goals:
                groups = {"base", "order" if group == "restartable" else group}
                facts = [*self.translator.axioms(), *self.proof.hypotheses(self.translator, self.plain, *groups),
                         self.guard, *self.facts, *self.known]  # fmt: skip
                if self.recorded.step.choice:
                    facts += [self.translator.choice >= 0, self.translator.choice < self.translator.region_size]
                found += _check(self.recorded.step.id, facts, goals)
        return found

    def _goals(self) -> Iterator[Goal]:
        yield from (*self._kept(), *self._fits(), *self._judged(), *self._restarts(), *self._falls())
        yield from self.lemmas

    def _kept(self) -> Iterator[Goal]:
        writes = {a.name for a in (*self.recorded.assigns, *self.recorded.history)}
        for name, group, term in self.proof.sentences:
            for number, part in enumerate(atoms(term)):
                if names(part) & writes:
                    yield Goal(group, f"{name} {number}", self.translator.expr(part, self.after))

    def _fits(self) -> Iterator[Goal]:
        for assign in self.recorded.assigns:
            var = self.table.vars[assign.name]
            if var.kind in SHARED and var.width and var.name not in NO_WRAP and not isinstance(assign.index, str):
                value = self.translator.expr(assign.value, self.world)
                yield Goal("base", f"{var.name} fits {var.width} bits", z3.And(value >= 0, value < (1 << var.width)))
                if isinstance(assign.index, Term):
                    index = self.translator.expr(assign.index, self.world)
                    limit = self.translator.size if var.limit == "size" else self.translator.region_size
                    yield Goal("base", f"{var.name} has the element", z3.And(index >= 0, index < limit))

    def _judged(self) -> Iterator[Goal]:
        for judgement in protocol.judgements(self.proof.subject.ring):
            step = self.recorded.step
            if judgement.tag not in step.tags:
                continue
            args = (Term("choice"),) if judgement.before and step.choice else ()
            term = record_term(self.table.vars, judgement.predicate, *args)
            world = self.plain if judgement.before else self.after
            resolved = self._resolved(term, judgement.property, world)
            for number, part in enumerate(atoms(resolved)):
                yield Goal(judgement.property, f"{judgement.tag} {number}", self.translator.expr(part, world))

    def _restarts(self) -> Iterator[Goal]:
        """Recovery is a function of what it finds, and what it finds is not touched by it."""
        step = self.recorded.step
        if step.procedure == "recover" or step.id == "crash":
            touched = {a.name for a in (*self.recorded.assigns, *self.recorded.history)} & set(UNTOUCHED)
            yield Goal("restartable", f"touches {', '.join(sorted(touched)) or 'nothing'}", z3.BoolVal(not touched))
        if "recovered" in step.tags:
            term = record_term(self.table.vars, outcome)
            for number, part in enumerate(atoms(term)):
                yield Goal("restartable", f"outcome {number}", self.translator.expr(part, self.plain))
        if step.procedure == "recover":
            yield from self._deterministic()

    def _deterministic(self) -> Iterator[Goal]:
        translator, step = self.translator, self.recorded.step
        for other in self.proof.steps:
            if other.step.procedure == "recover" and other.step.id > step.id and set(other.step.at) & set(step.at):
                guard = translator.expr(other.guard, self.plain)
                if other.step.choice:
                    head = translator.fresh("head", INT)
                    guard = z3.And(z3.substitute(guard, (translator.choice, head)), head >= 0, head < translator.region_size)
                yield Goal("restartable", f"not where {other.step.id} can be taken", z3.Not(guard))
        if step.choice:
            head = translator.fresh("head", INT)
            again = z3.substitute(self.guard, (translator.choice, head))
            inside = z3.And(head >= 0, head < translator.region_size)
            yield Goal("restartable", "only one request is the next", z3.Implies(z3.And(inside, again), head == translator.choice))

    def _falls(self) -> Iterator[Goal]:
        """Every step that is owed lowers the rank."""
        if self.recorded.step.id in UNFAIR:
            return
        parts = rank(self.table)
        old = [self.translator.expr(record_term(self.table.vars, p), self.plain) for p in parts]
        new = [self.translator.expr(record_term(self.table.vars, p), self.after) for p in parts]
        same, lower = z3.BoolVal(True), []
        for before, after in zip(old, new, strict=True):
            lower.append(z3.And(same, after < before, after >= 0))
            same = z3.And(same, after == before)
        yield Goal("drains", "the rank falls", z3.Or(lower))


def _check(step: str, facts: Iterable[Any], goals: Iterable[Goal]) -> Iterator[Result]:
    solver = _solver(facts)
    for goal in goals:
        started = time.monotonic()
        status = "unknown"
        for timeout, seed in TIMEOUTS:
            solver.set("timeout", timeout)
            solver.set("smt.random_seed", seed)
            solver.push()
            solver.add(z3.Not(goal.expr))
            answer = solver.check()
            solver.pop()
            if answer == z3.unsat:
                status = "proved"
                break
        yield Result(step, goal.group, goal.name, status, time.monotonic() - started)


def _solver(facts: Iterable[Any]) -> Any:
    solver = z3.SimpleSolver()
    solver.set("auto_config", False)
    solver.set("smt.mbqi", False)
    solver.add(*facts)
    return solver

