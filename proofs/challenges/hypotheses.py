"""Whether what goals are proved from is true of something: of a state of a run, evaluated, no solver asked.

From a contradiction everything follows. So what is known at each place (facts, axioms, the guard, what the step does,
the atoms of the invariant, each case) is evaluated on the states of recorded witnesses before the step is taken, with
its choice; and on the same runs played on a ring of hundreds of entries, of which small sizes say nothing. The Z3
expressions themselves are worked out, by Python on plain numbers: a constant is what the state has, a slot what the
interpreter makes of a position, a number without bounds runs over all that are near. What the solver was told as a name
for something (`stored!7 == ...`) is what it is equal to; any other constant (a greatest) may be any number that fits.

``python -m proofs.challenges.selfcheck hypotheses`` says what came of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import z3

from model import protocol
from model.interpret import Machine, Sizes, StateTuple
from model.protocol import Subject
from proofs.challenges import witnesses
from proofs.challenges.expressions import Source
from proofs.challenges.numbers import near
from proofs.induction.engine import proof_of
from proofs.induction.goals import goals_of
from proofs.induction.proof import Proof
from proofs.induction.show import proof_works
from proofs.induction.work import Work
from proofs.search.bounds import Event
from proofs.search.judges import UNFAIR

__all__ = ["Believed", "believable", "subjects"]

State = Mapping[str, Any]
WIDE = 256
"""The size of the larger ring."""
MANY_STATES = 50
"""In how many states what is known of finite sets is looked at."""


@dataclass
class Believed:
    """How many sets of hypotheses are each true of a state, of how many goals; and those that are of none."""

    sets: int = 0
    goals: int = 0
    states: int = 0
    faults: list[str] = field(default_factory=list)

    def add(self, other: Believed) -> None:
        """Add what was found of another subject."""
        self.sets, self.goals, self.states = (
            self.sets + other.sets,
            self.goals + other.goals,
            self.states + other.states,
        )
        self.faults += other.faults


def subjects(ring: str) -> tuple[Subject, ...]:
    """Give what is proved and has witnesses; `hardened` on the split ring has those of merged, being the same steps."""
    more = (Subject("split", "hardened"),) if ring == "split" else ()
    return (*witnesses.subjects(ring), *more)


def believable(subject: Subject) -> Believed:
    """Evaluate what the goals of a subject are proved from."""
    proof, found = proof_of(subject), Believed()
    evaluator, works = _Evaluator(proof), proof_works(proof)
    wanted = {(name, n) for name, work in works.items() for n in range(len(work.cases))}
    for work, sizes, state, atoms in _states(proof, wanted):
        found.states += 1
        told = evaluator.untrue(work, sizes, state, atoms=atoms)
        if told is not None:
            text = " ".join(str(told).split())
            found.faults.append(
                f"{subject.ring} {subject.name}: {work.id}: not true of a witness's state: {text}"[:300]
            )
            break
        for number, case in enumerate(work.cases):
            if atoms and all(evaluator.true(said, {**state, **evaluator.functions(sizes)}) for said in case):
                wanted.discard((work.id, number))
    for name, work in works.items():
        goals = goals_of(work)
        found.goals += len(goals)
        found.sets += sum((name, n) not in wanted for n in range(len(work.cases)))
    found.faults += [f"{subject.ring} {subject.name}: {fault}" for fault in _of_finite_sets(proof, evaluator)]
    for name, number in sorted(wanted):
        found.faults.append(f"{subject.ring} {subject.name}: {name}, case {number + 1}: true of no witness's state")
    return found


def _of_finite_sets(proof: Proof, evaluator: _Evaluator) -> Iterator[str]:
    """Evaluate what a ring knows of any finite set of requests, where it has two or more: no stuck state has any."""
    work = proof_works(proof)["drains"]
    facts, seen = proof.ring.stuck_facts(work.translator, work.before), 0
    for witness in (w for w in witnesses.load(proof.subject.ring) if w.subject == _witnessed(proof.subject)):
        machine = Machine(proof.table, witness.sizes)
        marks, done = machine.place["region.desc[].inflight"], machine.place["recover.resubmitted"]
        for state, _ in _played(machine, witness.schedule):
            pending = sum(m == 1 and not d for m, d in zip(state[marks], state[done], strict=True))
            if pending > 1 and seen < MANY_STATES:
                seen += 1
                known = {**evaluator.functions(witness.sizes), **_numbers(machine, proof, state, -1)}
                if not all(evaluator.holds(said, known) for said in evaluator.defined(evaluator.said(facts), known)):
                    yield f"drains: not true of two requests or more: {' '.join(str(facts).split())}"[:300]
                    return
    if not seen:
        yield "drains: no witness has two requests in flight"


def _witnessed(subject: Subject) -> Subject:
    """Give whose witnesses are played."""
    return Subject("split", "merged") if subject == Subject("split", "hardened") else subject


def _states(proof: Proof, wanted: set[tuple[str, int]]) -> Iterator[tuple[Work, Sizes, State, bool]]:
    """Give states of witnesses with the place at which each is to be looked at; whether the atoms are, too.

    Of each run the first state before each step, and others as long as a case is wanted of the step.
    """
    of = _witnessed(proof.subject)
    works = proof_works(proof)
    for witness in (w for w in witnesses.load(of.ring) if w.subject == of):
        machine, seen = Machine(proof.table, witness.sizes), set[str]()
        for state, step in _played(machine, witness.schedule):
            chosen = step[1] if len(step) > 1 else -1
            for name in (*step[:1], *(("any state",) if "any state" not in seen else ()),
                         *(("initial",) if not seen else ()), *(() if step else ("drains",))):  # fmt: skip
                if name not in seen or any((name, n) in wanted for n in range(len(works[name].cases))):
                    seen.add(name)
                    yield works[name], witness.sizes, _numbers(machine, proof, state, chosen), True
        if witness.name == "steps":
            yield from _wide(proof, witness.schedule)


def _wide(proof: Proof, schedule: Sequence[Event]) -> Iterator[tuple[Work, Sizes, State, bool]]:
    """Give the first state before each step of a run of a large ring, at positions past 65535."""
    works, seen = proof_works(proof), set[str]()
    sizes = protocol.sizes(proof.subject, WIDE, 65535)
    machine = Machine(proof.table, sizes)
    for state, step in _stretched(machine, schedule):
        for name in (step[0], *(("initial", "any state") if not seen else ())):
            if name not in seen:
                seen.add(name)
                chosen = step[1] if len(step) > 1 else -1
                yield works[name], sizes, _numbers(machine, proof, state, chosen), False


def _played(machine: Machine, schedule: Sequence[Event]) -> Iterator[tuple[StateTuple, Event | tuple[()]]]:
    """Play a schedule, then what is owed, until nothing is."""
    owed = machine.only(lambda r: r.step.id not in UNFAIR)
    state = machine.initial()
    for event in schedule:
        yield state, event
        state = machine.take(state, *event)
    while following := owed(state):
        number, chosen, after = following[0]
        here = machine.steps[number].step.id
        yield state, ((here, chosen) if chosen >= 0 else (here,))
        state = after
    yield state, ()


def _stretched(machine: Machine, schedule: Sequence[Event]) -> Iterator[tuple[StateTuple, Event]]:
    """Play a run of a small ring on a large one: loops take longer there, and what cannot be done is left out."""
    alone = cache(lambda step: machine.only(lambda r: r.step.id == step))
    of = cache(lambda name: machine.only(lambda r: r.step.procedure == name))
    state = machine.initial()
    for step, *wanted in schedule:
        for _ in range(4 * machine.sizes.size):
            possible = alone(step)(state) or of(machine.table.step(step).procedure)(state)
            if not possible:
                break
            number, chosen, after = next((s for s in possible if s[1] in wanted), possible[0])
            here = machine.steps[number].step.id
            yield state, ((here, chosen) if chosen >= 0 else (here,))
            state = after
            if here == step:
                break


def _numbers(machine: Machine, proof: Proof, state: StateTuple, chosen: int) -> dict[str, Any]:
    """Give what the solver's constants are: numbers, and arrays as functions (0 where there is no element)."""
    sizes, labels = machine.sizes, proof.labels
    found: dict[str, Any] = {"size": sizes.size, "first": sizes.first, "entries": sizes.entries, "chosen": chosen}
    for name, value in zip(machine.vars, state, strict=True):
        if isinstance(value, tuple):
            found[name] = _array(value)
        else:
            found[name] = labels.setdefault(value, len(labels)) if isinstance(value, str) else int(value)
    return found


def _array(values: tuple[Any, ...]) -> Callable[[int], int]:
    return lambda i: int(values[i]) if 0 <= i < len(values) else 0


# Working out what the solver is told


@dataclass(frozen=True)
class _Said:
    """An expression, compiled, and the constants that it speaks of; where it gives a name to something, both."""

    expr: Any
    code: Any
    names: frozenset[str]
    defines: str = ""
    value: _Said | None = None
    rule: bool = False


class _Evaluator:
    """Works out Z3 expressions on numbers."""

    def __init__(self, proof: Proof) -> None:
        self.proof = proof
        self._said: dict[int, _Said] = {}
        self._of_sizes: dict[tuple[int, Sizes], bool] = {}
        self._told: dict[str, tuple[list[_Said], list[_Said]]] = {}

    def untrue(self, work: Work, sizes: Sizes, state: State, *, atoms: bool) -> str | None:
        """Give what is known at a place and not true of a state, its cases left out."""
        if work.id not in self._told:
            goals = goals_of(work)
            usable = {name: atom for goal in goals for name, atom in work.usable(goal).items()}
            besides = {f.get_id(): f for goal in goals for f in goal.facts()}
            known_there = self.said([*work.facts, *besides.values()])
            self._told[work.id] = known_there, self.said(work.hypothesis(a) for a in usable.values())
        facts, hypotheses = self._told[work.id]
        known = {**self.functions(sizes), **state}
        checked = self.defined(facts, known)
        said = (*checked, *(hypotheses if atoms else ()))
        return next((one.expr for one in said if not self.holds(one, known, sizes)), None)

    @staticmethod
    def functions(sizes: Sizes) -> dict[str, Any]:
        """Give what the functions of positions are, as the interpreter has them, and the numbers that are near."""
        size = sizes.size
        return {"near": near(size), "slot": lambda x: x % size, "place": lambda x: (x & 65535) % size,
                "cell": lambda x: x % size, "lap": lambda x: 1 - x // size % 2}  # fmt: skip

    def defined(self, facts: Iterable[_Said], known: dict[str, Any]) -> list[_Said]:
        """Give a meaning to each constant that the solver was told as a name, and what is left to be looked at."""
        left = list(facts)
        while left:
            found = {
                fact.defines: fact
                for fact in reversed(left)
                if fact.value and fact.defines not in known and (fact.rule or fact.value.names <= known.keys())
            }
            for name, fact in found.items():
                known[name] = eval(fact.value.code, {"e": known}) if fact.value else None  # noqa: S307
            free = sorted({name for fact in left if not fact.defines for name in fact.names - known.keys()})
            done = {id(fact) for fact in found.values()}
            left = [fact for fact in left if id(fact) not in done]
            if not found and not free:
                break
            if not found:
                about = [fact for fact in left if fact.names - known.keys() == {free[0]}]
                numbers = sorted({*known["near"], *range(known["size"] + 2)})
                fits = (v for v in numbers if all(self.holds(f, {**known, free[0]: v}) for f in about))
                known[free[0]] = next(fits, 0)
        return left

    def true(self, expr: Any, known: State) -> bool:
        """Whether an expression is true."""
        return all(self.holds(said, known) for said in self.said([expr]))

    def holds(self, said: _Said, known: State, sizes: Sizes | None = None) -> bool:
        """Whether what is said is true; if it speaks of sizes alone, that is worked out once for each."""
        if sizes is None or not said.names <= SIZES:
            return bool(eval(said.code, {"e": known}))  # noqa: S307
        key = id(said), sizes
        if key not in self._of_sizes:
            self._of_sizes[key] = bool(eval(said.code, {"e": known}))  # noqa: S307
        return self._of_sizes[key]

    def said(self, exprs: Iterable[Any]) -> list[_Said]:
        """Compile expressions, each once; it is kept, so that its number stays its own."""
        return [self._said.get(expr.get_id()) or self._compiled(expr) for expr in exprs]

    def _compiled(self, expr: Any) -> _Said:
        writer = Source()
        code = compile(writer.text(expr, ()), "z3", "eval")
        name, value = ("", None) if z3.is_quantifier(expr) and expr.is_lambda() else _definition(expr)
        given = self.said([value])[0] if name else None
        said = _Said(expr, code, frozenset(writer.names), name, given, bool(name) and z3.is_quantifier(value))
        self._said[expr.get_id()] = said
        return said


SIZES = frozenset({"size", "first", "entries"})


def _definition(fact: Any) -> tuple[str, Any]:
    """Give the name that a fact gives to something, and the something: a number, or an array's rule; else nothing."""
    rule = z3.is_quantifier(fact) and fact.is_forall() and fact.num_vars() == 1
    said = fact.body() if rule else fact
    for this, that in ((0, 1), (1, 0)) if z3.is_eq(said) else ():
        one, other = said.arg(this), said.arg(that)
        if rule and z3.is_select(one) and z3.is_var(one.arg(1)) and _is_new(one.arg(0)):
            index = z3.Int("each")
            return str(one.arg(0).decl().name()), z3.Lambda([index], z3.substitute_vars(other, index))
        if not rule and _is_new(one):
            return str(one.decl().name()), other
    return "", None


def _is_new(expr: Any) -> bool:
    return bool(z3.is_const(expr)) and expr.decl().kind() == z3.Z3_OP_UNINTERPRETED and "!" in str(expr.decl().name())
