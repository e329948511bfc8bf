"""Sentences taken apart: the atoms of the invariant, what a goal is, and how a step is written out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from model.steps import Recorded
from model.terms import Term, show, walk

__all__ = ["KINDS", "Atom", "Goal", "atoms", "reads", "text_of"]

KINDS = {
    "initial": "an atom of the invariant holds in the initial state",
    "index": "a ring index is the function of a position that it is written as, in every state",
    "rewrite": "a variable is the function of a position that it is written as, where a step is taken",
    "case": "the cases in which a step's goals are shown are all that there are",
    "sum": "a count, or a total, is an element of an array of sums",
    "walk": "a walk passes what the kit says, and ends where it says",
    "kept": "an atom of the invariant holds after a step",
    "fits": "what is stored has the width of its field, and the element is there",
    "judged": "an atom of a property's predicate holds where it is judged",
    "restart": "what recovery leaves is determined by what recovery and crashes keep",
    "rank": "a step that somebody owes lowers the rank",
    "stuck": "where nothing that is owed can happen, the driver has everything back",
}
"""What goals there are, each in a sentence."""


@dataclass(frozen=True)
class Atom:
    """A part of a sentence of the invariant that can be shown, and used, alone."""

    name: str
    group: str
    term: Term

    @cached_property
    def reads(self) -> frozenset[str]:
        """The variables that it speaks of."""
        return frozenset(reads(self.term))


@dataclass(frozen=True)
class Goal:
    """One thing to show: its group and kind, a name that a reader can find, its text, how to make the Z3 expression.

    With its step and kind the name is the goal's alone. ``facts`` gives what it may use besides what holds at its step.
    """

    group: str
    kind: str
    name: str
    text: str
    expr: Callable[[], Any]
    facts: Callable[[], list[Any]] = list


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


def _is_true(term: object) -> bool:
    return isinstance(term, Term) and term.op == "and" and not term.args


def reads(term: Term) -> set[str]:
    """Give the variables that a term reads."""
    return {str(n.args[0]) for n in walk(term) if n.op in ("var", "at")}


def text_of(recorded: Recorded) -> str:
    """Write a step out, so that two subjects that share it are seen to share it.

    What is judged at it (its tags) is not part of it: that is in the goals' own texts.
    """
    lines = [recorded.step.id, str(recorded.step.choice), show(recorded.guard)]
    for assign in (*recorded.assigns, *recorded.history):
        index = show(assign.index) if isinstance(assign.index, Term) else assign.index
        lines.append(f"{assign.name} [{index}] {show(assign.value)}")
    return "\n".join(lines)
