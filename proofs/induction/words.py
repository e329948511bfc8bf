"""Words that the invariants of both rings are written in."""

from __future__ import annotations

from dataclasses import dataclass

from model.steps import Guard
from model.terms import Operand, Term, all_of, any_of, ite, negate

__all__ = ["RESTS_ON", "Conjunct", "at", "iff", "implies", "rests_on"]

RESTS_ON = {"order": ("base", "counters", "order"), "restartable": ("base", "counters", "restartable")}
"""The groups that a property's proof rests on, where they are not the base and its own."""


def rests_on(group: str) -> tuple[str, ...]:
    """Give the groups whose sentences may be used, and have to be shown, for those of a group, or for a property."""
    return RESTS_ON.get(group, tuple(dict.fromkeys(("base", group))))


@dataclass(frozen=True)
class Conjunct:
    """One named sentence of the invariant.

    `group` says what it is for: ``base`` for every property, ``counters`` for `order` and `restartable`, ``order``,
    ``restartable`` or ``drains`` for those alone.
    """

    name: str
    holds: Guard
    group: str = "base"


def implies(condition: Term, then: Operand) -> Term:
    """Say that one thing follows from another."""
    return ite(condition, then, all_of())


def iff(one: Term, other: Term) -> Term:
    """Say that two things are the same."""
    return ite(one, other, negate(other))


def at(label: Term, *labels: str) -> Term:
    """Whether a label is one of some."""
    return any_of(*(label == name for name in labels))
