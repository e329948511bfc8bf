"""A profile: one implementation's recovery and tracking, as named differences from a revision of the text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from model import gaps as gap_rules
from model.gaps import Gap
from model.steps import Edit, Table
from model.terms import ModelError

__all__ = ["MENDED", "Difference", "Profile", "by_name"]

MENDED = "-mended"
"""What the name of a mended profile ends with."""

Edits = Callable[[Table], list[Edit]]


@dataclass(frozen=True)
class Difference:
    """One thing that an implementation does otherwise than its base, or a mend of it.

    `function` is where it is in its source; `says` is what it does, in a sentence. It is a gap's choice (`choices`), or
    edits of the table, or both.
    """

    name: str
    function: str
    says: str
    choices: tuple[tuple[str, str], ...] = ()
    edits: Edits = lambda _: []


@dataclass(frozen=True)
class Profile:
    """What one implementation does on one ring: `differences` from `base`, a revision, in the order of application.

    `program` is what it is, `read` the version and the files that were read. Its mend leaves out the differences that
    `without` names, and adds those of `mend`; what is left differs from `mended_base`.
    `besides` are sentences about what the table does not say: what stands for something else in it, what was not read.
    """

    name: str
    ring: str
    program: str
    read: str
    differences: tuple[Difference, ...]
    without: frozenset[str] = frozenset()
    mend: tuple[Difference, ...] = ()
    base: str = "merged"
    mended_base: str = "hardened"
    besides: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raise `ModelError` where a name comes twice, or the mend leaves out what is not there."""
        names = [d.name for d in (*self.differences, *self.mend)]
        if len(set(names)) != len(names):
            raise ModelError(f"profile {self.name} has two differences of one name")
        if unknown := self.without - set(names):
            raise ModelError(f"the mend of {self.name} leaves out what it does not have: {', '.join(sorted(unknown))}")

    def mended(self) -> Profile:
        """Give what it would be with its mend; what the mend adds comes last."""
        kept = tuple(d for d in self.differences if d.name not in self.without)
        return Profile(
            self.name + MENDED, self.ring, self.program, self.read, (*kept, *self.mend), base=self.mended_base,
            besides=self.besides,
        )  # fmt: skip

    def choices(self) -> dict[str, str]:
        """Give the choices of gaps that differ from the default."""
        return {gap: choice for difference in self.differences for gap, choice in difference.choices}

    def applied(self, base: Table, gaps: Mapping[str, Gap]) -> Table:
        """Give the table of its base with the gaps' choices, and then its own edits."""
        table = gap_rules.apply(base, gaps, self.choices())
        for difference in self.differences:
            table = table.edited(difference.edits(table))
        return table


def by_name(profiles: Iterable[Profile]) -> dict[str, Profile]:
    """Give profiles by name, each one that has a mend followed by itself mended."""
    there = ((p, p.mended()) if p.without or p.mend else (p,) for p in profiles)
    return {p.name: p for both in there for p in both}
