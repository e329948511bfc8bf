"""What induction has to show for one subject (ring, revision, choices), goal by goal.

For each step: the atoms of the invariant that the step may change hold after it; each store fits its field; each
judgement made at the step holds; recovery depends on nothing that it changes; the rank falls. Each goal is a small
query of its own. Goals come in groups: ``base`` carries every property, the others only the property that they are
named after (`order` and `restartable` rest on ``counters`` too), so that a deviation that breaks one property leaves
the others provable.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

import z3

from model import protocol
from model.record import SHARED, Assign, State, record_term
from model.steps import Guard, Recorded
from model.terms import Term, cell, show, substitute, walk
from proofs.induction.atoms import Atom, Goal, atoms, reads, text_of
from proofs.induction.kits import induction_of
from proofs.induction.solver import ARRAY, INT, Translator
from proofs.induction.walks import BOUND, resolve, walk_goals
from proofs.search.judges import UNFAIR

__all__ = ["Proof", "StepWork"]


class Proof:
    """A subject's table, with the proof's ghost state, and its invariant, as terms."""

    def __init__(self, subject: protocol.Subject) -> None:
        """Record them; raise `NoProofError` if the ring has no invariant, ValueError if the subject is out of scope."""
        self.ring = induction_of(subject.ring)
        if (why := self.ring.out_of_scope(subject.revision, dict(subject.choices))) is not None:
            raise ValueError(why)
        self.subject = subject
        self.table = self.ring.with_ghosts(protocol.table(subject))
        self.steps = self.table.recorded()
        self.entries = subject.choice("region-size")
        self.atoms: dict[str, Atom] = {}
        for sentence in self.ring.invariant(self.table):
            term = record_term(self.table.vars, sentence.holds)
            for number, part in enumerate(atoms(term)):
                name = f"{sentence.name}:{number}"
                self.atoms[name] = Atom(name, sentence.group, part)
        self.texts = {name: hashlib.sha256(show(a.term).encode()).hexdigest()[:16] for name, a in self.atoms.items()}
        self.ranks = [record_term(self.table.vars, part) for part in self.ring.rank(self.table)]

    @cached_property
    def works(self) -> dict[str, StepWork]:
        """Give the work at each step, by its id."""
        return {r.step.id: StepWork(self, r) for r in self.steps}

    def axioms(self, translator: Translator) -> list[Any]:
        """Give what is assumed of the sizes, and of the ring's functions of positions."""
        return [*translator.sizes(), *self.ring.axioms(translator)]

    def before(self, translator: Translator) -> dict[str, Any]:
        """Make the state before a step: ring indexes as the invariant has them, functions of positions."""
        return translator.with_indexes(translator.world(""), self.ring.indexes)

    def initial_goals(self) -> list[Goal]:
        """Say that the invariant holds in the initial state."""
        translator = Translator(self.table, self.entries)
        index = z3.Int("index")

        def holds(atom: Atom) -> Any:
            values: dict[str, Any] = {}
            known = []
            for var in self.table.vars.values():
                value = translator.expr(var.start(Term("bound", ("index",))), {}, {"index": index})
                if not callable(var.initial):
                    values[var.name] = value if var.limit is None else z3.K(INT, value)
                    continue
                # a constant that is equal to it: the solver takes no pattern with an array's rule in it
                array = values[var.name] = z3.Const(f"initially {var.name}", ARRAY)
                known.append(z3.ForAll([index], array[index] == value, patterns=[array[index]]))
            return z3.Implies(z3.And(known), translator.expr(atom.term, values))

        def goal(atom: Atom) -> Goal:
            return Goal(atom.group, atom.name, f"initially {show(atom.term)}", lambda: holds(atom))

        return [goal(atom) for atom in self.atoms.values()]


class StepWork:
    """The goals of one step, and what may be assumed in showing them."""

    def __init__(self, proof: Proof, recorded: Recorded) -> None:
        """Take the step as recorded; Z3 terms are made when they are first needed."""
        self.proof, self.recorded, self.table, self.ring = proof, recorded, proof.table, proof.ring
        self.id = recorded.step.id
        self.text = text_of(recorded) + proof.entries

    @cached_property
    def translator(self) -> Translator:
        """Make the translator."""
        return Translator(self.table, self.proof.entries)

    @cached_property
    def before(self) -> dict[str, Any]:
        """Make the state before the step."""
        return self.proof.before(self.translator)

    @cached_property
    def rewritten(self) -> dict[str, Any]:
        """Make the state before the step, with what is a function of positions here written so."""
        return self.translator.with_indexes(self.before, self.ring.rewrites.get(self.id, {}))

    @cached_property
    def _transition(self) -> tuple[dict[str, Any], list[Any]]:
        assigns = tuple(replace(a, value=self._plain(a)) for a in self.recorded.assigns)
        history = tuple(replace(a, value=self._walked(a.value, self.id)) for a in self.recorded.history)
        return self.translator.transition(replace(self.recorded, assigns=assigns, history=history), self.rewritten)

    def _walked(self, term: Term, where: str) -> Term:
        return resolve(term, self.ring.walks.get(where), self.table.vars)

    def _plain(self, assign: Assign) -> Term:
        return self._resolved(assign.value, self.id, self.before)

    @property
    def after(self) -> dict[str, Any]:
        """Give the state after the step."""
        return self._transition[0]

    @cached_property
    def facts(self) -> list[Any]:
        """Give what holds at the step whatever the invariant says: sizes, the guard, what the step does."""
        translator = self.translator
        known = list(self._transition[1])
        guard = translator.expr(self.recorded.guard, self.before)
        chosen = (
            [translator.choice >= 0, translator.choice < translator.region_size] if self.recorded.step.choice else []
        )
        return [*self.proof.axioms(translator), guard, *chosen, *known, *translator.facts, *self._mentioned()]

    @cached_property
    def cases(self) -> list[list[Any]]:
        """Give the cases in which each goal is shown, as what is known besides: one, of nothing, if nothing is said."""
        told = self.ring.cases.get(self.id, ())
        return [[self.translator.expr(record_term(self.table.vars, case), self.before)] for case in told] or [[]]

    def _mentioned(self) -> Iterator[Any]:
        """Name the slots of some positions, so that the solver thinks of them; nothing is assumed."""
        for position in self.ring.mentions.get(self.id, lambda _: ())(State(self.table.vars)):
            place = self.translator.expr(cell(position), self.before)
            yield self.translator.fresh("slot", INT) == place

    def hypothesis(self, atom: Atom) -> Any:
        """Translate an atom of the invariant, before the step."""
        return self.translator.expr(atom.term, self.before)

    def goals(self) -> list[Goal]:
        """Give everything that is to be shown at this step."""
        return [
            *self._rewrites(), *self._counts(), *self._walks(), *self._kept(), *self._fits(), *self._judged(),
            *self._restarts(), *self._falls(),
        ]  # fmt: skip

    def _rewrites(self) -> Iterator[Goal]:
        for name, index in self.ring.rewrites.get(self.id, {}).items():
            text = f"{name} {show(record_term(self.table.vars, index))}"
            yield Goal("base", f"{name} is a position", text, partial(self._is_position, name, index))

    def _is_position(self, name: str, index: Guard) -> Any:
        return self.before[name] == self.translator.index(index, self.before)

    def _from_0(self, array: str, before: bool) -> Any:
        return self._world(before)[array][0] == 0

    def _counts_on(self, node: Term, where: str, before: bool) -> Any:
        return self._count(node, where, self._world(before))[1]

    def _counts(self) -> Iterator[Goal]:
        """Show that each count is an element of an array of sums: by induction over the heads."""
        terms = [(a.value, self.id, True) for a in self.recorded.assigns]
        terms += [(term, prop, before) for prop, before, term in self._judgements()]
        for term, where, before in terms:
            for node in walk(term):
                if node.op in ("count", "total"):
                    array, _ = self.ring.counts[where]
                    yield Goal("base", f"{array} counts from 0", array, partial(self._from_0, array, before))
                    text = f"{array} {show(node)}"
                    yield Goal("base", f"{array} counts on", text, partial(self._counts_on, node, where, before))

    def _walks(self) -> Iterator[Goal]:
        """Show what each walk passes."""
        terms = [(a.value, self.id, True) for a in self.recorded.history]
        terms += [(term, prop, before) for prop, before, term in self._judgements()]
        seen: set[tuple[str, str]] = set()
        for term, where, before in terms:
            told = self.ring.walks.get(where)
            for name, said in walk_goals(term, told, self.table.vars) if told else ():
                text = f"{before} {show(said)}"
                if (name, text) not in seen:
                    seen.add((name, text))
                    yield Goal("base", f"{where}: {name}", text, partial(self._said_of_walk, said, before))

    def _said_of_walk(self, said: Term, before: bool) -> Any:
        bound = {name: self.translator.fresh(name, INT) for name in BOUND}
        return self.translator.expr(said, self._world(before), bound)

    def _world(self, before: bool) -> dict[str, Any]:
        return self.before if before else self.after

    def _count(self, node: Term, where: str, world: dict[str, Any]) -> tuple[Any, Any]:
        """Give the element of the array of sums that a count (or total) is, and what makes the array one of sums."""
        array_name, limit_name = self.ring.counts[where]
        array, translator = world[array_name], self.translator
        limit = translator.size if limit_name == "size" else translator.region_size
        k = translator.fresh("k", INT)
        flag, *value = (translator.expr(a, world, {str(node.args[0]): k}) for a in node.args[2:] if isinstance(a, Term))
        more = z3.If(flag, value[0] if value else 1, 0)
        return array[limit], z3.Implies(z3.And(k >= 0, k < limit), array[k + 1] == array[k] + more)

    def _greatest(self, node: Term, world: dict[str, Any]) -> Any:
        translator = self.translator
        value, q = translator.fresh("greatest", INT), translator.fresh("q", INT)
        inner = {str(node.args[0]): q}
        limit, condition, of, otherwise = (a for a in node.args[1:] if isinstance(a, Term))
        inside = z3.And(q >= 0, q < translator.expr(limit, world), translator.expr(condition, world, inner))
        bound = translator.expr(of, world, inner)
        arrays = dict.fromkeys(str(n.args[0]) for t in (condition, of) for n in walk(t) if n.op == "at")
        patterns = [world[name][q] for name in arrays]
        translator.facts.append(z3.ForAll([q], z3.Implies(inside, bound <= value), patterns=patterns))
        least = z3.Or(value == translator.expr(otherwise, world), z3.Exists([q], z3.And(inside, bound == value)))
        translator.facts.append(least)
        return value

    def _resolved(self, term: Term, where: str, world: dict[str, Any]) -> Term:
        """Exchange counts, totals and greatests for constants, and walks for what they pass."""

        def exchange(node: Term) -> Term | None:
            if node.op in ("count", "total"):
                return constant(self._count(node, where, world)[0])
            if node.op == "greatest":
                return constant(self._greatest(node, world))
            return None

        def constant(value: Any) -> Term:
            name = f"#{len(world)}"
            world[name] = self.rewritten[name] = value
            return Term("var", (name,))

        return substitute(self._walked(term, where), exchange)

    def _said(self, term: Term, before: bool) -> Any:
        return self.translator.expr(term, self._world(before))

    def _kept(self) -> Iterator[Goal]:
        writes = {a.name for a in (*self.recorded.assigns, *self.recorded.history)}
        for atom in self.proof.atoms.values():
            if reads(atom.term) & writes:
                text = f"kept {self.proof.texts[atom.name]}"
                yield Goal(atom.group, atom.name, text, partial(self._still, atom.term))

    def _still(self, term: Term) -> Any:
        """Say that an atom holds after the step: of any numbers, where the kit says what to think of besides them."""
        beside = self.ring.beside.get(self.id)
        if beside is None:
            return self._said(term, False)
        bound: dict[str, Any] = {}
        inside: list[Any] = []
        while term.op == "forall":
            name, low, limit, body, _ = term.args
            assert isinstance(low, Term)
            assert isinstance(limit, Term)
            assert isinstance(body, Term)
            number = bound[str(name)] = self.translator.fresh("any", INT)
            inside += [self.translator.expr(low, self.after, bound) <= number]
            inside += [number < self.translator.expr(limit, self.after, bound)]
            for told in beside(State(self.table.vars), Term("bound", (str(name),))):
                inside.append(self.translator.fresh("beside", INT) == self.translator.expr(told, self.before, bound))
            term = body
        return z3.Implies(z3.And(inside), self.translator.expr(term, self.after, bound))

    def _fits(self) -> Iterator[Goal]:
        for assign in self.recorded.assigns:
            var = self.table.vars[assign.name]
            if (
                var.kind not in SHARED
                or not var.width
                or var.name in self.ring.no_wrap
                or isinstance(assign.index, str)
            ):
                continue

            def fits(a: Assign = assign, width: int = var.width) -> Any:
                value = self.translator.expr(self._plain(a), self.rewritten)
                return z3.And(value >= 0, value < (1 << width))

            yield Goal("base", f"{var.name} fits", f"{var.name} {var.width}", fits)
            if isinstance(assign.index, Term):

                def inside(index: Term = assign.index, limit: str | None = var.limit) -> Any:
                    at = self.translator.expr(index, self.rewritten)
                    end = self.translator.size if limit == "size" else self.translator.region_size
                    return z3.And(at >= 0, at < end)

                yield Goal("base", f"{var.name} has the element", f"index {var.name}", inside)

    def _judgements(self) -> Iterator[tuple[str, bool, Term]]:
        step = self.recorded.step
        for judgement in protocol.judgements(self.proof.subject.ring):
            if judgement.tag in step.tags:
                args = (Term("choice"),) if judgement.before and step.choice else ()
                yield judgement.property, judgement.before, record_term(self.table.vars, judgement.predicate, *args)

    def _judged(self) -> Iterator[Goal]:
        for name, before, term in self._judgements():
            for number, part in enumerate(atoms(term)):

                def expr(p: Term = part, b: bool = before, n: str = name) -> Any:
                    world = self._world(b)
                    return self.translator.expr(self._resolved(p, n, world), world)

                yield Goal(name, f"{name}:{number}", f"judged {before} {show(part)}", expr)

    def _restarts(self) -> Iterator[Goal]:
        """Recovery is a function of what it finds, and what it finds is not touched by it."""
        step = self.recorded.step
        if step.procedure == "recover" or step.id == "crash":
            touched = {a.name for a in (*self.recorded.assigns, *self.recorded.history)} & set(self.ring.untouched)
            yield Goal("restartable", "touches nothing", f"touches {sorted(touched)}", lambda: z3.BoolVal(not touched))
        found = {a.name: reads(a.value) for a in self.recorded.assigns if a.name in self.ring.ends}
        if "resubmit" in step.tags:
            found["the next request"] = reads(self.recorded.guard)
        for name, read in found.items():
            other = sorted(read - set(self.ring.found) - set(self.ring.untouched))
            if step.procedure == "recover":
                text = f"{name} {sorted(read)}"
                yield Goal("restartable", f"{name} follows from what was found", text, partial(z3.BoolVal, not other))
        if "recovered" in step.tags:
            for number, part in enumerate(atoms(record_term(self.table.vars, self.ring.outcome))):
                text = f"outcome {show(part)}"
                yield Goal("restartable", f"outcome:{number}", text, partial(self._said, part, True))
        if step.procedure == "recover":
            yield from self._deterministic()

    def _deterministic(self) -> Iterator[Goal]:
        step = self.recorded.step
        for other in self.proof.steps:
            if other.step.procedure == "recover" and other.step.id > step.id and set(other.step.at) & set(step.at):
                text = f"not {show(other.guard)}"
                yield Goal("restartable", f"not where {other.step.id}", text, partial(self._not_enabled, other))
        if step.choice:
            yield Goal("restartable", "only one is next", "only one", self._only_one)

    def _not_enabled(self, other: Recorded) -> Any:
        return z3.Not(self._guard_for_some_head(other))

    def _guard_for_some_head(self, other: Recorded) -> Any:
        translator = self.translator
        guard = translator.expr(other.guard, self.before)
        if not other.step.choice:
            return guard
        head = translator.fresh("head", INT)
        return z3.And(z3.substitute(guard, (translator.choice, head)), head >= 0, head < translator.region_size)

    def _only_one(self) -> Any:
        translator = self.translator
        head = translator.fresh("head", INT)
        again = z3.substitute(translator.expr(self.recorded.guard, self.before), (translator.choice, head))
        inside = z3.And(head >= 0, head < translator.region_size, again)
        return z3.Implies(inside, head == translator.choice)

    def _falls(self) -> Iterator[Goal]:
        """Every step that is owed lowers the rank."""
        if self.id in UNFAIR:
            return

        def falls() -> Any:
            same, lower = z3.BoolVal(True), []
            for part in self.proof.ranks:
                old, new = self.translator.expr(part, self.before), self.translator.expr(part, self.after)
                lower.append(z3.And(same, new < old, new >= 0))
                same = z3.And(same, new == old)
            return z3.Or(lower)

        yield Goal("drains", "the rank falls", "rank " + " ".join(show(p) for p in self.proof.ranks), falls)
