"""Sentences taken apart: the atoms of the invariant, what a goal is, and how a step is written out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from model.steps import Recorded
from model.terms import Term, show, walk

__all__ = ["Atom", "Goal", "atoms", "reads", "text_of"]


@dataclass(frozen=True)
class Atom:
    """A part of a sentence of the invariant that can be shown, and used, alone."""

    name: str
    group: str
    term: Term


@dataclass(frozen=True)
class Goal:
    """One thing to show: its group, a name that a reader can find, its text, and how to make the Z3 expression."""

    group: str
    name: str
    text: str
    expr: Callable[[], Any]


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
    """Write a step out, so that two subjects that share it are seen to share it."""
    lines = [recorded.step.id, " ".join(sorted(recorded.step.tags)), str(recorded.step.choice), show(recorded.guard)]
    for assign in (*recorded.assigns, *recorded.history):
        index = show(assign.index) if isinstance(assign.index, Term) else assign.index
        lines.append(f"{assign.name} [{index}] {show(assign.value)}")
    return "\n".join(lines)
