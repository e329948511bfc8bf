"""Gaps: what the text leaves open, each a named parameter with alternatives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from model.steps import Edit, Table
from model.terms import ModelError

__all__ = ["Alternative", "Gap", "apply", "check"]

Edits = Callable[[Table], list[Edit]]


@dataclass(frozen=True)
class Alternative:
    """One way to read the text: a name, what it means, and the edits that say it (none for the default)."""

    name: str
    meaning: str
    edits: Edits = lambda _: []


@dataclass(frozen=True)
class Gap:
    """What is open, where in the text, the alternatives (the default first), and why that one is the default."""

    name: str
    question: str
    alternatives: tuple[Alternative, ...]
    reason: str
    revisions: tuple[str, ...] = ()
    """The revisions in which it is open; empty: all."""
    judged: tuple[str, ...] = ()
    """The revisions that close it, of which it is judged all the same what another choice would do: readings."""
    along: tuple[tuple[str, str], ...] = ()
    """Choices of other gaps without which it says nothing: with them it is judged."""

    @property
    def default(self) -> str:
        """The name of the default."""
        return self.alternatives[0].name

    def alternative(self, name: str) -> Alternative:
        """Look an alternative up; raise `ModelError` naming those there are."""
        for alternative in self.alternatives:
            if alternative.name == name:
                return alternative
        names = ", ".join(a.name for a in self.alternatives)
        raise ModelError(f"gap {self.name} has no choice {name!r}; it has: {names}")

    def open_in(self, revision: str) -> bool:
        """Whether the revision leaves it open."""
        return not self.revisions or revision in self.revisions

    def judged_in(self, revision: str) -> bool:
        """Whether its choices are judged of the revision: it leaves the gap open, or each choice is a reading of it."""
        return self.open_in(revision) or revision in self.judged


def check(gaps: Mapping[str, Gap], revision: str, choices: Mapping[str, str]) -> None:
    """Raise `ModelError` if a choice names no gap, no alternative, or a gap that nobody judges of the revision."""
    for name, chosen in choices.items():
        if name not in gaps:
            raise ModelError(f"there is no gap {name!r}; there are: {', '.join(gaps)}")
        gaps[name].alternative(chosen)
        if not gaps[name].judged_in(revision) and chosen != gaps[name].default:
            raise ModelError(f"revision {revision} does not leave {name} open")


def apply(table: Table, gaps: Mapping[str, Gap], choices: Mapping[str, str]) -> Table:
    """Apply the chosen alternatives, in the order of the gaps."""
    for name, gap in gaps.items():
        table = table.edited(gap.alternative(choices.get(name, gap.default)).edits(table))
    return table
