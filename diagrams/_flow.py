"""A procedure as a flow of steps between labels: what every picture of it says, however it is laid out.

Labels are numbered in the order in which a run first meets them, so that a step leads to a greater one unless it closes
a loop. Pictures write an edge that leads back from the earlier label to the later one, and draw it backwards: no edge
of the DOT closes a cycle, and the layout hangs on the table rather than on the order of the lines.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from itertools import accumulate

from diagrams._fields import field
from diagrams._html import Palette
from model import protocol
from model.protocol import Subject
from model.record import SHARED, Assign, record_term
from model.steps import Guard, Recorded, Step, Table
from model.terms import Term, choice, show

__all__ = ["Flow", "procedures", "targets"]

_LONGEST_STORE = 240
"""A store that is longer is named in a picture, without what is stored."""

_LONGEST_INDEX = 48
"""Likewise an index: three dots stand for it."""


def procedures(ring: str, revision: str) -> tuple[str, ...]:
    """Give the procedures that have labels, in the order of the table: those that can be drawn."""
    return tuple(dict.fromkeys(s.procedure for s in _table(ring, revision).steps.values() if s.at))


@cache
def _table(ring: str, revision: str) -> Table:
    return protocol.table(Subject(ring, revision))


@cache
def _recorded(ring: str, revision: str) -> dict[str, Recorded]:
    return {r.step.id: r for r in _table(ring, revision).recorded()}


@dataclass(frozen=True)
class Flow:
    """One procedure of a revision of a ring; raise `ValueError` where it has no labels to draw."""

    ring: str
    revision: str
    procedure: str

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn."""
        known = procedures(self.ring, self.revision)
        if self.procedure not in known:
            raise ValueError(f"{self.procedure} cannot be drawn; there are: {', '.join(known)}")

    @property
    def table(self) -> Table:
        """The table that the procedure belongs to."""
        return _table(self.ring, self.revision)

    @cached_property
    def before(self) -> Table | None:
        """The table of the revision before; None for the first."""
        known = protocol.revisions(self.ring)
        place = known.index(self.revision)
        return _table(self.ring, known[place - 1]) if place else None

    @property
    def recorded(self) -> dict[str, Recorded]:
        """Every step of the table as it was recorded, by id."""
        return _recorded(self.ring, self.revision)

    @cached_property
    def steps(self) -> list[Step]:
        """The procedure's steps."""
        return self.table.of(self.procedure)

    @cached_property
    def initial(self) -> str:
        """The label that the procedure has at first."""
        return str(self.table.vars[f"{self.procedure}.at"].initial)

    @cached_property
    def entries(self) -> list[tuple[Step, str]]:
        """The steps of other procedures that set this one's label, with the label that they set."""
        name = f"{self.procedure}.at"
        return [
            (r.step, str(a.value.args[0]))
            for r in self.recorded.values()
            for a in r.assigns
            if a.name == name and r.step.procedure != self.procedure
        ]

    @cached_property
    def order(self) -> dict[str, int]:
        """Each label's number, such that a step leads to a greater one unless it closes a loop."""
        finished: list[str] = []
        entered: set[str] = set()

        def visit(label: str) -> None:
            entered.add(label)
            for step in self.leaving(label):
                if step.to is not None and step.to not in entered:
                    visit(step.to)
            finished.append(label)

        for label in (self.initial, *(entry for _, entry in self.entries)):
            if label not in entered:
                visit(label)
        return {label: number for number, label in enumerate(reversed(finished))}

    def leaving(self, label: str) -> list[Step]:
        """Give the steps that leave a label."""
        return [step for step in self.steps if label in step.at]

    def reaching(self, label: str) -> list[Step]:
        """Give the steps that lead to a label, those that stay there too."""
        return [step for step in self.steps if label in targets(step)]

    def guard(self, step: Step) -> str:
        """Write when a step can be taken; nothing where it always can, and no other step leaves its labels."""
        text = self._written(step.when, *((choice(),) if step.choice else ()))
        if text:
            return f"if {text}"
        return "always possible" if any(len(self.leaving(label)) > 1 for label in step.at) else ""

    def condition(self) -> str:
        """Write what has to hold for each step of the procedure; nothing where there is no such thing."""
        return self._written(self.table.guards[self.procedure])

    def _written(self, guard: Guard, *args: Term) -> str:
        term = record_term(self.table.vars, guard, *args)
        return _bare(term) if term.args else ""

    def stores(self, step: Step) -> str:
        """Write a step's store to shared memory, as ``field := value``; nothing where it makes none."""
        made = [a for a in self.recorded[step.id].assigns if self.table.vars[a.name].kind in SHARED]
        text = "; ".join(f"{_target(a, a.name)} := {_bare(a.value)}" for a in made)
        if len(text) <= _LONGEST_STORE:
            return text
        return "; ".join(dict.fromkeys(_target(a, field(a.name)) for a in made))

    def mark(self, step: Step) -> str:
        """Say how a step came to differ from the revision before."""
        if self.before is None:
            return ""
        old = self.before.steps.get(step.id)
        if old is None:
            return f"inserted by {self.revision}"
        same = (old.do, old.when, old.sentence, old.text) == (step.do, step.when, step.sentence, step.text)
        return "" if same else f"replaced by {self.revision}"

    def fill(self, step: Step) -> str:
        """Give the colour of a step's box, which says how it differs from the revision before."""
        mark = self.mark(step).partition(" ")[0]
        return {"inserted": Palette.inserted, "replaced": Palette.replaced}.get(mark, Palette.plain)

    def colour(self, step: Step) -> str:
        """Give the colour of a step's lines, likewise."""
        return Palette.new if self.mark(step).startswith("inserted") else Palette.faint


def targets(step: Step) -> tuple[str, ...]:
    """Give the labels that a step may lead to."""
    return step.at if step.to is None else (step.to,)


def _target(assign: Assign, name: str) -> str:
    if not isinstance(assign.index, Term):
        return name
    index = _bare(assign.index)
    array, _, rest = name.partition("[]")
    return f"{array}[{index if len(index) <= _LONGEST_INDEX else '...'}]{rest}"


def _bare(term: Term) -> str:
    """Write a term without the parentheses around the whole of it."""
    text = show(term)
    depth = list(accumulate((c == "(") - (c == ")") for c in text))
    closed_early = 0 in depth[:-1]
    return text[1:-1] if text.startswith("(") and not closed_early else text
