"""State diagrams: the labels of a procedure, and its steps between them.

A step is a box on the edge that it is. A step that stores to shared memory shows its store, and what leaves it is red
and starts with a dot: a crash may come there, after this store and before the next.

Labels are numbered in the order in which a run first meets them, and an edge that leads back is written from the
earlier to the later and drawn backwards. So no edge of the DOT closes a cycle, and the layout hangs on the table
rather than on the order of the lines.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

from diagrams._dot import PAGE, Graph
from diagrams._fields import field
from diagrams._html import MONO, Palette, bold, cell, coloured, lines, mono, row, small, table
from model import protocol
from model.protocol import Subject
from model.record import SHARED, record_term
from model.steps import Recorded, Step, Table
from model.terms import Term, choice, show

__all__ = ["procedures", "states"]

_WIDTH = 36
"""Characters of a line in a step's box."""

_LONGEST_GUARD = 72
"""A guard that is longer says nothing in a picture that the step's sentence does not say better."""


_LONGEST_STORE = 240
"""A store that is longer is named in a picture, without what is stored."""


def procedures(ring: str, revision: str) -> tuple[str, ...]:
    """Give the procedures that have labels, in the order of the table: those that can be drawn."""
    steps = protocol.table(Subject(ring, revision)).steps.values()
    return tuple(dict.fromkeys(s.procedure for s in steps if s.at))


def states(ring: str, revision: str, procedure: str) -> str:
    """Draw a procedure of a revision, as DOT; what differs from the revision before it is marked.

    Raise `ModelError` if there is no such ring or revision, `ValueError` if the procedure has no labels to draw.
    """
    if procedure not in procedures(ring, revision):
        raise ValueError(f"{procedure} cannot be drawn; there are: {', '.join(procedures(ring, revision))}")
    return _Picture(ring, revision, procedure).draw()


@dataclass
class _Picture:
    """One state diagram, while it is drawn."""

    ring: str
    revision: str
    procedure: str

    def draw(self) -> str:
        """Draw labels, steps, and what comes from outside."""
        self.table = protocol.table(Subject(self.ring, self.revision))
        self.before = self._revision_before()
        self.recorded = {r.step.id: r for r in self.table.recorded()}
        self.steps = self.table.of(self.procedure)
        self.order = self._order()
        self.graph = Graph(
            f"{self.ring} {self.procedure}",
            {"rankdir": "TB", "nodesep": 0.25, "ranksep": 0.28, "label": self._caption(), "labelloc": "t",
             "size": f"{PAGE},1000"},
        )  # fmt: skip
        for label in self.order:
            self.graph.node(_label(label), label=label, shape="box", style="rounded,filled",
                            fillcolor=Palette.label, fontname=MONO, height=0.3, margin="0.14,0.04")  # fmt: skip
        for step in self.steps:
            self._step(step)
        self._start()
        for outside, label in self._entries():
            self._entry(outside, label)
        return self.graph.source()

    def _revision_before(self) -> Table | None:
        known = protocol.revisions(self.ring)
        place = known.index(self.revision)
        return protocol.table(Subject(self.ring, known[place - 1])) if place else None

    def _entries(self) -> list[tuple[Step, str]]:
        """Give the steps of other procedures that set this one's label, with the label that they set."""
        name = f"{self.procedure}.at"
        return [
            (r.step, str(a.value.args[0]))
            for r in self.recorded.values()
            for a in r.assigns
            if a.name == name and r.step.procedure != self.procedure
        ]

    def _initial(self) -> str:
        return str(self.table.vars[f"{self.procedure}.at"].initial)

    def _order(self) -> dict[str, int]:
        """Give each label a number, such that a step leads to a greater one unless it closes a loop."""
        finished: list[str] = []
        entered: set[str] = set()

        def visit(label: str) -> None:
            entered.add(label)
            for step in self.steps:
                if label in step.at and step.to is not None and step.to not in entered:
                    visit(step.to)
            finished.append(label)

        for label in (self._initial(), *(entry for _, entry in self._entries())):
            if label not in entered:
                visit(label)
        return {label: number for number, label in enumerate(reversed(finished))}

    def _step(self, step: Step) -> None:
        """Draw a step: from each label that it leaves to its box, and from there to where it goes."""
        stores = _stores(self.table, self.recorded[step.id])
        self.graph.node(step.id, label=self._box(step, stores), shape="plain")
        targets = step.at if step.to is None else (step.to,)
        first = min(self.order[target] for target in targets)
        leads_on = any(self.order[label] < first for label in step.at)
        for label in step.at:
            # A box stands behind the labels that come before its target; from the others one comes back to it.
            behind = self.order[label] < first or not leads_on
            tail, head = (_label(label), step.id) if behind else (step.id, _label(label))
            self.graph.edge(tail, head, dir="none", color=self._colour(step))
        for target in targets:
            self._arrow(step, _label(target), crash=bool(stores), back=not leads_on)

    def _arrow(self, step: Step, target: str, *, crash: bool, back: bool) -> None:
        """Draw what leaves a step's box; `crash`: a crash may come there; `back`: it leads to an earlier label."""
        line: dict[str, object] = {"color": self._colour(step), "dir": "back" if back else "forward"}
        if crash:
            line = {"color": Palette.crash, "penwidth": 1.6, "arrowsize": 0.7, "dir": "both"}
            line.update({"arrowhead": "dot", "arrowtail": "normal"} if back else {"arrowtail": "dot"})
        tail, head = (target, step.id) if back else (step.id, target)
        self.graph.edge(tail, head, **line)

    def _box(self, step: Step, stores: str) -> str:
        head = mono(bold(lines(step.id, _WIDTH)))
        mark = self._mark(step)
        if mark:
            head += f"  {small(lines(mark, _WIDTH))}"
        rows = [row(cell(head)), row(cell(lines(step.sentence, _WIDTH)))]
        guard = _guard(self.table, step)
        if guard:
            rows.append(row(cell(small(mono(lines(f"if {guard}", _WIDTH))))))
        if stores:
            rows.append(row(cell(mono(lines(stores, _WIDTH)), bgcolor=Palette.store)))
        return table(*rows, border=1, color=self._colour(step), bgcolor=self._fill(step), style="rounded")

    def _mark(self, step: Step) -> str:
        """Say how a step came to differ from the revision before."""
        if self.before is None:
            return ""
        old = self.before.steps.get(step.id)
        if old is None:
            return f"inserted by {self.revision}"
        same = (old.do, old.when, old.sentence, old.text) == (step.do, step.when, step.sentence, step.text)
        return "" if same else f"replaced by {self.revision}"

    def _fill(self, step: Step) -> str:
        mark = self._mark(step).partition(" ")[0]
        return {"inserted": Palette.inserted, "replaced": Palette.replaced}.get(mark, Palette.plain)

    def _colour(self, step: Step) -> str:
        return "#0969da" if self._mark(step).startswith("inserted") else Palette.faint

    def _start(self) -> None:
        self.graph.node("start", label="", shape="circle", width=0.13, style="filled", fillcolor=Palette.text)
        self.graph.edge("start", _label(self._initial()))

    def _entry(self, outside: Step, label: str) -> None:
        """Draw a step of another procedure that moves this one: a start, a crash, a reset."""
        text = table(row(cell(mono(lines(outside.id, _WIDTH)))), row(cell(small(lines(outside.sentence, 24)))))
        colour = Palette.crash if outside.id == "crash" else Palette.faint
        self.graph.node(f"from {outside.id}", label=text, shape="box", style="dashed", color=colour, margin="0.02")
        self.graph.edge(f"from {outside.id}", _label(label), style="dashed", color=colour)

    def _caption(self) -> str:
        guard = _written(record_term(self.table.vars, self.table.guards[self.procedure]))
        rows = [row(cell(bold(lines(f"{self.ring} ring: {self.procedure} ({self.revision})", 60)), align="center"))]
        if guard:
            rows.append(row(cell(small(mono(lines(f"only while {guard}", 80))), align="center")))
        crash = coloured("●→", Palette.crash) + small(" stores to shared memory; a crash may come here")
        swatches = [cell(crash, align="center")]
        for mark, fill in (("inserted", Palette.inserted), ("replaced", Palette.replaced)):
            if any(self._mark(s).startswith(mark) for s in self.steps):
                swatches += [cell(small(f"{mark} by {self.revision}"), bgcolor=fill)]
        rows.append(row(cell(table(row(*swatches)), align="center")))
        return table(*rows)


def _label(label: str) -> str:
    return f"at {label}"


def _guard(shown: Table, step: Step) -> str:
    """Write a step's own guard; nothing where it has none, or where it is too long for a picture."""
    args = (choice(),) if step.choice else ()
    text = _written(record_term(shown.vars, step.when, *args))
    return text if len(text) <= _LONGEST_GUARD else ""


def _written(guard: Term) -> str:
    """Write a guard; nothing where it always holds."""
    return _bare(guard) if guard.args else ""


def _stores(shown: Table, recorded: Recorded) -> str:
    """Write a step's store to shared memory, as ``field := value``; nothing where it makes none."""
    parts = []
    for assign in recorded.assigns:
        if shown.vars[assign.name].kind in SHARED:
            target = Term("at", (assign.name, assign.index)) if isinstance(assign.index, Term) else None
            parts.append(f"{show(target) if target is not None else assign.name} := {_bare(assign.value)}")
    text = "; ".join(parts)
    if len(text) <= _LONGEST_STORE:
        return text
    return "; ".join(dict.fromkeys(field(a.name) for a in recorded.stores(shown.vars)))


def _bare(term: Term) -> str:
    """Write a term without the parentheses around the whole of it."""
    text = show(term)
    depth = list(accumulate((c == "(") - (c == ")") for c in text))
    closed_early = 0 in depth[:-1]
    return text[1:-1] if text.startswith("(") and not closed_early else text
