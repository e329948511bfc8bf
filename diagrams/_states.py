"""State diagrams: the labels of a procedure, and its steps between them, all of it in one picture.

A step is a box on the edge that it is, with the condition under which it can be taken. A step that stores to shared
memory shows its store, and what leaves it is red and starts with a dot: the back-end may die there, after this store
and before the next. `diagrams._slides` has the same in pieces that fit a slide.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from diagrams._dot import PAGE, Graph
from diagrams._flow import Flow, targets
from diagrams._html import MONO, Palette, bold, cell, coloured, faint, lines, mono, row, small, table
from model.steps import Step

__all__ = ["caption", "label_node", "node_name", "states"]

_WIDTH = 36
"""Characters of a line in a step's box; a box whose store has a longer word is as wide as that."""


def states(ring: str, revision: str, procedure: str) -> str:
    """Draw a procedure of a revision, as DOT; what differs from the revision before it is marked.

    Raise `ModelError` if there is no such ring or revision, `ValueError` if the procedure has no labels to draw.
    """
    return _Picture(Flow(ring, revision, procedure)).draw()


@dataclass
class _Picture:
    """One state diagram, while it is drawn."""

    flow: Flow
    graph: Graph = field(init=False)

    def draw(self) -> str:
        """Draw labels, steps, and what comes from outside."""
        flow = self.flow
        title = f"{flow.ring} ring: {flow.procedure} ({flow.revision})"
        label = caption(flow, title, flow.steps, below=f"only while {flow.condition()}" if flow.condition() else "")
        self.graph = Graph(
            f"{flow.ring} {flow.procedure}",
            {
                "rankdir": "TB",
                "nodesep": 0.25,
                "ranksep": 0.28,
                "label": label,
                "labelloc": "t",
                "size": f"{PAGE},1000",
            },
        )
        for name in flow.order:
            label_node(self.graph, name)
        for step in flow.steps:
            self._step(step)
        self.graph.node("start", label="", shape="circle", width=0.13, style="filled", fillcolor=Palette.text)
        self.graph.edge("start", node_name(flow.initial))
        for outside, name in flow.entries:
            self._entry(outside, name)
        return self.graph.source()

    def _step(self, step: Step) -> None:
        """Draw a step: from each label that it leaves to its box, and from there to where it goes."""
        order, stores = self.flow.order, self.flow.stores(step)
        self.graph.node(step.id, label=self._box(step, stores), shape="plain")
        first = min(order[target] for target in targets(step))
        leads_on = any(order[label] < first for label in step.at)
        for label in step.at:
            # A box stands behind the labels that come before its target; from the others one comes back to it.
            line: dict[str, object] = {"color": self.flow.colour(step), "arrowsize": 0.5}
            if order[label] < first or not leads_on:
                self.graph.edge(node_name(label), step.id, arrowhead="vee", **line)
            else:
                self.graph.edge(step.id, node_name(label), arrowtail="vee", dir="back", **line)
        for target in targets(step):
            self._arrow(step, node_name(target), stores=bool(stores), back=not leads_on)

    def _arrow(self, step: Step, target: str, *, stores: bool, back: bool) -> None:
        """Draw what leaves a step's box; `stores`: a crash may come there; `back`: it leads to an earlier label."""
        line: dict[str, object] = {"color": self.flow.colour(step), "dir": "back" if back else "forward"}
        if stores:
            line = {"color": Palette.crash, "penwidth": 1.6, "arrowsize": 0.7, "dir": "both"}
            line.update({"arrowhead": "dot", "arrowtail": "normal"} if back else {"arrowtail": "dot"})
        tail, head = (target, step.id) if back else (step.id, target)
        self.graph.edge(tail, head, **line)

    def _box(self, step: Step, stores: str) -> str:
        flow, guard = self.flow, self.flow.guard(step)
        width = max(_WIDTH, *(len(word) for word in stores.split() or [""]))
        rows = [row(cell(mono(bold(lines(step.id, width)))))]
        if flow.mark(step):
            rows.append(row(cell(small(lines(flow.mark(step), width)))))
        if guard:
            rows.append(row(cell(small(mono(lines(guard, width))))))
        rows.append(row(cell(lines(step.sentence, width))))
        if stores:
            rows.append(row(cell(mono(lines(stores, width)), bgcolor=Palette.store)))
        return table(*rows, border=1, color=flow.colour(step), bgcolor=flow.fill(step), style="rounded")

    def _entry(self, outside: Step, label: str) -> None:
        """Draw a step of another procedure that moves this one: a start, a crash, a reset."""
        text = table(row(cell(mono(lines(outside.id, _WIDTH)))), row(cell(small(lines(outside.sentence, 24)))))
        colour = Palette.crash if outside.id == "crash" else Palette.faint
        self.graph.node(f"from {outside.id}", label=text, shape="box", style="dashed", color=colour, margin="0.02")
        self.graph.edge(f"from {outside.id}", node_name(label), style="dashed", color=colour)


def node_name(label: str) -> str:
    """Name the node of a label, so that it is not taken for a step's."""
    return f"at {label}"


def label_node(graph: Graph, label: str) -> None:
    """Draw a label."""
    graph.node(node_name(label), label=label, shape="box", style="rounded,filled", fillcolor=Palette.label,
               fontname=MONO, height=0.3, margin="0.14,0.04")  # fmt: skip


def caption(flow: Flow, title: str, steps: list[Step], *, below: str = "", beside: str = "") -> str:
    """Write the head of a picture of some steps: title, what its colours mean, a remark `below` it or `beside` them."""
    rows = [row(cell(bold(lines(title, 100)), align="center"))]
    if below:
        rows.append(row(cell(faint(mono(lines(below, 80))), align="center")))
    swatches = []
    if any(flow.stores(step) for step in steps):
        swatches.append(cell(faint("a store to shared memory"), bgcolor=Palette.store))
        swatches.append(cell(coloured("●→", Palette.crash) + faint(" the back-end may die after it"), align="center"))
    for mark, fill in (("inserted", Palette.inserted), ("replaced", Palette.replaced)):
        if any(flow.mark(step).startswith(mark) for step in steps):
            swatches.append(cell(faint(f"{mark} by {flow.revision}"), bgcolor=fill))
    if beside:
        swatches.append(cell(faint(lines(beside, 60))))
    if swatches:
        rows.append(row(cell(table(row(*swatches), cellspacing=2), align="center")))
    return table(*rows)
