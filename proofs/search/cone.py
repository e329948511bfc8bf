"""The cone of influence: the variables on which the guards of steps, and some predicates, depend at all.

What is outside of it (history, what descriptors say, fields that nobody compares) changes neither which steps are
possible nor what the predicates say. Without it there are fewer states and the same runs.
"""

from __future__ import annotations

from collections.abc import Iterable

from model.record import record_term
from model.steps import Guard, Recorded, Table
from model.terms import Term, walk

__all__ = ["cone", "read_by", "reads"]


def cone(table: Table, predicates: Iterable[Guard]) -> frozenset[str]:
    """Give the names of the variables that some predicates, and the guards of all steps, depend on."""
    steps = table.recorded()
    needed = {name for p in predicates for name in read_by(record_term(table.vars, p))}
    needed |= {name for step in steps for name in read_by(step.guard)}
    assigns = [a for step in steps for a in (*step.assigns, *step.history)]
    while True:
        terms = [t for a in assigns if a.name in needed for t in (a.value, a.index) if isinstance(t, Term)]
        more = {name for term in terms for name in read_by(term)} - needed
        if not more:
            return frozenset(needed)
        needed |= more


def reads(steps: Iterable[Recorded]) -> frozenset[str]:
    """Give the names of the variables that steps read, in their guards and in what they store."""
    terms = [t for s in steps for t in (s.guard, *(v for a in s.assigns for v in (a.value, a.index)))]
    return frozenset(name for term in terms if isinstance(term, Term) for name in read_by(term))


def read_by(term: Term) -> set[str]:
    """Give the names of the variables that a term reads."""
    return {str(node.args[0]) for node in walk(term) if node.op in ("var", "at")}
