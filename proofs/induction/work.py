"""Where goals are shown: the initial state, any state, before and after a step, where nothing that is owed can happen.

A work says what is known there (`facts`), how an atom of the invariant reads there (`hypothesis`), and in which cases
its goals are shown. What stands for a whole loop in a term (a count, a total, a greatest, a walk) is exchanged for a
constant or a sentence here; that it may be is a goal of its own (`proofs.induction.goals`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import z3

from model.record import Assign, State, record_term
from model.steps import Guard, Recorded
from model.terms import Term, cell, substitute, walk
from proofs.induction.atoms import Atom, Goal, text_of
from proofs.induction.proof import Proof
from proofs.induction.solver import ARRAY, INT, Translator
from proofs.induction.walks import resolve, written
from proofs.induction.words import rests_on
from proofs.search.judges import UNFAIR

__all__ = ["AnyState", "Rest", "StepWork", "Work", "part"]


def part(term: Term, number: int) -> Term:
    """Give an operand of a term that is a term."""
    found = term.args[number]
    assert isinstance(found, Term)
    return found


class Work:
    """A state of the invariant: its constants, what is known of it, its atoms."""

    def __init__(self, proof: Proof, name: str, text: str) -> None:
        """Take the proof; Z3 terms are made when they are first needed. `text` tells works of one name apart."""
        self.proof, self.ring, self.table = proof, proof.ring, proof.table
        self.id, self.text = name, text + proof.entries
        self._usable: dict[str, dict[str, Atom]] = {}

    @cached_property
    def translator(self) -> Translator:
        """Make the translator."""
        return self.proof.translator()

    @cached_property
    def before(self) -> dict[str, Any]:
        """Make the state, ring indexes as the invariant has them."""
        return self.proof.before(self.translator)

    @cached_property
    def initially(self) -> tuple[dict[str, Any], list[Any]]:
        """Make the initial state, and give what is known of it."""
        index, values, known = z3.Int("index"), dict[str, Any](), list[Any]()
        for var in self.table.vars.values():
            value = self.translator.expr(var.start(Term("bound", ("index",))), {}, {"index": index})
            if var.limit is None:
                values[var.name] = value
                continue
            # a constant that is equal to it: the solver takes no pattern with an array's rule in it
            array = values[var.name] = z3.Const(f"initially {var.name}", ARRAY)
            known.append(z3.ForAll([index], array[index] == value, patterns=[array[index]]))
        return values, known

    @cached_property
    def facts(self) -> list[Any]:
        """Give what holds whatever the invariant says."""
        return self.proof.axioms(self.translator)

    @property
    def cases(self) -> list[list[Any]]:
        """Give the cases in which each goal is shown, as what is known besides: one, of nothing, if nothing is said."""
        return [[]]

    def usable(self, goal: Goal) -> dict[str, Atom]:
        """Give the atoms of the invariant that a goal may use here: none where the invariant is yet to be shown."""
        if goal.group not in self._usable:
            groups = rests_on(goal.group) if self.id != "initial" else ()
            self._usable[goal.group] = {name: a for name, a in self.proof.atoms.items() if a.group in groups}
        return self._usable[goal.group]

    def hypothesis(self, atom: Atom) -> Any:
        """Translate an atom of the invariant."""
        return self.proof.hypothesis(atom)

    def not_enabled(self, recorded: Recorded) -> Any:
        """Say that a step cannot be taken here, whatever is chosen."""
        guard = self.translator.expr(recorded.guard, self.before)
        if not recorded.step.choice:
            return z3.Not(guard)
        head = self.translator.fresh("head", INT)
        chosen = z3.substitute(guard, (self.translator.choice, head))
        inside = z3.And(head >= 0, head < self.translator.heads, chosen)
        patterns = [self.before[name][head] for name in self.ring.triggers]
        return z3.ForAll([head], z3.Not(inside), patterns=patterns)


class AnyState(Work):
    """Any state of the invariant, every variable as it is: nothing is written as a function of positions."""

    @cached_property
    def before(self) -> dict[str, Any]:
        """Make the state."""
        return self.translator.world("")

    def hypothesis(self, atom: Atom) -> Any:
        """Translate an atom of the invariant."""
        return self.translator.expr(atom.term, self.before)


class Rest(Work):
    """A state in which nothing that is owed can happen."""

    @cached_property
    def facts(self) -> list[Any]:
        """Give that, and what the ring knows of any finite set."""
        owed = [r for r in self.proof.steps if r.step.id not in UNFAIR]
        known = [*super().facts, *(self.not_enabled(r) for r in owed)]
        return [*known, *self.ring.stuck_facts(self.translator, self.before)]


class StepWork(Work):
    """The states before and after one step."""

    def __init__(self, proof: Proof, recorded: Recorded) -> None:
        """Take the step as recorded."""
        walked = written(proof.ring.walks.get(recorded.step.id), proof.table.vars)
        super().__init__(proof, recorded.step.id, text_of(recorded) + walked)
        self.recorded, self.step = recorded, recorded.step

    @cached_property
    def rewritten(self) -> dict[str, Any]:
        """Make the state before the step, with what is a function of positions here written so."""
        return self.translator.with_indexes(self.before, self.positions)

    @property
    def positions(self) -> dict[str, Guard]:
        """Give the variables of the table that are a function of a position where the step is taken."""
        told = self.ring.rewrites.get(self.id, {})
        return {name: index for name, index in told.items() if name in self.table.vars}

    @cached_property
    def _transition(self) -> tuple[dict[str, Any], list[Any]]:
        assigns = tuple(replace(a, value=self.plain(a)) for a in self.recorded.assigns)
        history = tuple(replace(a, value=self._walked(a.value, self.id)) for a in self.recorded.history)
        return self.translator.transition(replace(self.recorded, assigns=assigns, history=history), self.rewritten)

    @property
    def after(self) -> dict[str, Any]:
        """Give the state after the step."""
        return self._transition[0]

    def world(self, *, before: bool) -> dict[str, Any]:
        """Give the state before or after the step."""
        return self.before if before else self.after

    @cached_property
    def facts(self) -> list[Any]:
        """Give what holds at the step whatever the invariant says: sizes, the guard, what the step does."""
        translator = self.translator
        known = list(self._transition[1])
        guard = translator.expr(self.recorded.guard, self.before)
        chosen = [translator.choice >= 0, translator.choice < translator.heads] if self.step.choice else []
        axioms = self.proof.axioms(translator)
        return [*axioms, guard, *chosen, *known, *translator.facts, *self._mentioned()]

    @cached_property
    def cases(self) -> list[list[Any]]:
        """Give the cases that the kit says for the step."""
        told = self.ring.cases.get(self.id, ())
        return [[self.translator.expr(record_term(self.table.vars, case), self.before)] for case in told] or [[]]

    def _mentioned(self) -> Iterator[Any]:
        """Name the slots of some positions, so that the solver thinks of them; nothing is assumed."""
        for position in self.ring.mentions.get(self.id, lambda _: ())(State(self.table.vars)):
            place = self.translator.expr(cell(position), self.before)
            yield self.translator.fresh("slot", INT) == place

    # What stands for a loop

    def plain(self, assign: Assign) -> Term:
        """Give the value that is assigned, with everything that stands for a loop exchanged."""
        return self.resolved(assign.value, self.id, self.before)

    def resolved(self, term: Term, where: str, world: dict[str, Any]) -> Term:
        """Exchange counts, totals and greatests for constants, and walks for what they pass.

        `where` is the step's id or a property: the kit says by it which array has the sums, and what a walk passes.
        """

        def exchange(node: Term) -> Term | None:
            if node.op in ("count", "total"):
                return constant(self.sum_of(node, where, world)[0])
            if node.op == "greatest":
                return constant(self._greatest(node, world))
            return None

        def constant(value: Any) -> Term:
            name = f"#{len(world)}"
            world[name] = self.rewritten[name] = value
            return Term("var", (name,))

        return substitute(self._walked(term, where), exchange)

    def _walked(self, term: Term, where: str) -> Term:
        return resolve(term, self.ring.walks.get(where), self.table.vars)

    def sum_of(self, node: Term, where: str, world: Mapping[str, Any]) -> tuple[Any, ...]:
        """Give the element of the array of sums that a count (or total) is, and what makes it that.

        That is: the first element is 0; for any number below the limit that the term itself has, the next one is one
        more (or the value
        more) where the condition holds; and the limit is not negative.
        """
        translator, array = self.translator, world[self.ring.counts[where]]
        limit, k = translator.expr(part(node, 1), world), translator.fresh("k", INT)
        flag, *value = (translator.expr(part(node, n), world, {str(node.args[0]): k}) for n in range(2, len(node.args)))
        more = z3.If(flag, value[0] if value else 1, 0)
        counts_on = z3.Implies(z3.And(k >= 0, k < limit), array[k + 1] == array[k] + more)
        return array[limit], array[0] == 0, counts_on, limit >= 0

    def _greatest(self, node: Term, world: dict[str, Any]) -> Any:
        """Give a constant that is the greatest, and know of it what its definition says."""
        translator = self.translator
        value, q = translator.fresh("greatest", INT), translator.fresh("q", INT)
        inner = {str(node.args[0]): q}
        limit, condition, of, otherwise = (part(node, n) for n in range(1, 5))
        inside = z3.And(q >= 0, q < translator.expr(limit, world), translator.expr(condition, world, inner))
        bound = translator.expr(of, world, inner)
        arrays = dict.fromkeys(str(n.args[0]) for t in (condition, of) for n in walk(t) if n.op == "at")
        patterns = [world[name][q] for name in arrays]
        some = z3.Exists([q], z3.And(inside, bound == value))
        none = z3.ForAll([q], z3.Not(inside), patterns=patterns)
        translator.facts += [
            z3.ForAll([q], z3.Implies(inside, bound <= value), patterns=patterns),
            z3.Or(some, z3.And(none, value == translator.expr(otherwise, world))),
        ]
        return value
