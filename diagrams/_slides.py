"""A procedure in pieces that can be read on a slide: from left to right, steps that follow each other in one box.

A label that one step alone reaches and one alone leaves is left out: its two steps stand in one box, one below the
other. What is left is cut by hand into pieces, each with a title of its own. A label on which another piece goes on is
dashed, with the number of that piece. Stores are coloured, and their sentences say what is stored; the whole formula is
in `diagrams._states`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from diagrams._dot import PAGE, Graph
from diagrams._flow import Flow
from diagrams._html import MONO, Palette, bold, cell, faint, lines, mono, row, table
from diagrams._states import caption, label_node, node_name
from model.steps import Step

__all__ = ["SLIDE", "pieces", "slides"]

SLIDE = (880, 495)
"""Points: as large as a piece may be, so that its text of 11 has 12 points or more on a slide of 13.3 by 7.5 inches."""

_WIDER = 1.1
"""So many more characters have room in the font of sentences than in that of conditions."""


@dataclass(frozen=True)
class _Piece:
    """What one slide shows: its title, the labels whose steps it has, and the characters of a line in a box."""

    title: str
    labels: tuple[str, ...]
    width: int = 32


_PIECES: Mapping[tuple[str, str], tuple[_Piece, ...]] = {
    ("split", "fetch"): (_Piece("wait for a request, and take it over", ("look", "take", "rest")),),
    ("split", "supply"): (
        _Piece("collect a batch, and publish it", ("idle", "more")),
        _Piece("settle the batch, and notify", ("clear", "notified")),
    ),
    ("split", "recover"): (
        _Piece("a region that is new, or another process's", ("dead", "compare")),
        _Piece("was a batch being settled?", ("compared", "clear")),
        _Piece("resubmit, and go on", ("position", "resubmit")),
    ),
    ("split", "driver"): (_Piece("make a request available, and kick", ("idle", "kick")),),
    ("split", "rest"): (_Piece("read used elements, and sleep", ("awake", "checking", "asleep")),),
    ("packed", "fetch"): (
        _Piece("wait for a request", ("look", "take", "rest"), width=31),
        _Piece("mark its head", ("head", "last?")),
        _Piece("copy its descriptors, one by one", ("count", "next")),
    ),
    ("packed", "supply"): (
        _Piece("collect a batch", ("idle", "more")),
        _Piece("publish it", ("used wrap", "flags")),
        _Piece("settle it, and notify", ("clear", "notified")),
    ),
    ("packed", "recover"): (
        _Piece("a region that is new, or another process's", ("dead", "compare")),
        _Piece("a new region", ("init next", "init wrap"), width=40),
        _Piece("was a batch in progress, and was it published?", ("compared", "submitted?")),
        _Piece("roll back, and clear what is free", ("roll back", "clear"), width=42),
        _Piece("resubmit, and go on", ("resubmit", "gather")),
    ),
    ("packed", "driver"): (_Piece("make a request available, and kick", ("idle", "described", "kick"), width=29),),
    ("packed", "rest"): (
        _Piece("read used elements, and wake", ("awake", "asleep")),
        _Piece("look again, and sleep", ("checking",)),
    ),
}
"""Cut by hand: where a piece ends, the reader can stop too."""


def pieces(ring: str, procedure: str) -> int:
    """Give the number of slides that a procedure takes."""
    return len(_PIECES[ring, procedure])


def slides(ring: str, revision: str, procedure: str) -> list[str]:
    """Draw a procedure of a revision as slides, each as DOT.

    Raise `ValueError` if it has no labels to draw, or if it has a label at which ways part that no piece has.
    """
    flow = Flow(ring, revision, procedure)
    known = _PIECES[ring, procedure]
    straight = {label for label in flow.order if _straight(flow, label, known)}
    listed = {label for piece in known for label in piece.labels}
    lost = {label for label in flow.order if flow.leaving(label)} - straight - listed
    if lost:
        raise ValueError(f"{ring} {revision} {procedure}: no slide has the labels {', '.join(sorted(lost))}")
    return [_Slide(flow, known, number, straight).draw() for number in range(len(known))]


def _straight(flow: Flow, label: str, known: tuple[_Piece, ...]) -> bool:
    """Say whether a label only joins two steps, one of which follows the other."""
    if any(label in piece.labels for piece in known) or label in (flow.initial, *(entry for _, entry in flow.entries)):
        return False
    leaving, reaching = flow.leaving(label), flow.reaching(label)
    return len(leaving) == len(reaching) == 1 and leaving[0].at == (label,) and leaving != reaching


@dataclass
class _Slide:
    """One piece, while it is drawn."""

    flow: Flow
    known: tuple[_Piece, ...]
    number: int
    straight: set[str]
    graph: Graph = field(init=False)

    def draw(self) -> str:
        """Draw the piece's labels, and the steps that leave them."""
        piece, boxes = self.known[self.number], list(self._boxes())
        drawn = [step for box in boxes for step in box]
        self.graph = Graph(
            f"{self.flow.ring} {self.flow.procedure} {self.number + 1}",
            {"rankdir": "LR", "nodesep": 0.13, "ranksep": 0.2, "label": self._caption(drawn), "labelloc": "t",
             "size": f"{PAGE},1000"},
        )  # fmt: skip
        for label in piece.labels:
            label_node(self.graph, label)
        for box in boxes:
            self._box(box)
        return self.graph.source()

    def _boxes(self) -> Iterator[list[Step]]:
        """Give the steps that leave the piece's labels, each with those that follow it straight."""
        for step in self.flow.steps:
            if any(label in self.known[self.number].labels for label in step.at):
                box = [step]
                while box[-1].to in self.straight:
                    box += self.flow.leaving(str(box[-1].to))
                yield box

    def _caption(self, drawn: list[Step]) -> str:
        flow, piece = self.flow, self.known[self.number]
        part = f" {self.number + 1} of {len(self.known)}" if len(self.known) > 1 else ""
        title = f"{flow.ring} ring: {flow.procedure}{part} ({flow.revision}): {piece.title}"
        begins = dict.fromkeys(label for _, label in flow.entries if label in piece.labels)
        after = {label: [step.id for step, entry in flow.entries if entry == label] for label in begins}
        said = "; ".join(f"begins at {label}, after {' or '.join(after[label])}" for label in begins)
        return caption(flow, title, drawn, beside=said)

    def _box(self, box: list[Step]) -> None:
        """Draw a box of steps: from the labels that it leaves, to those that it leads to."""
        flow, order, name = self.flow, self.flow.order, box[0].id
        rows = [text for step in box for text in self._rows(step, first=step is box[0], last=step is box[-1])]
        border = {"border": 1, "color": Palette.faint, "bgcolor": Palette.plain, "style": "rounded"}
        self.graph.node(name, label=table(*rows, cellpadding=2, **border), shape="plain")
        here = [label for label in box[0].at if label in self.known[self.number].labels]
        ends = here if box[-1].to is None else [box[-1].to]
        leads_on = any(order[label] < order[end] for label in here for end in ends)
        foremost = min(here, key=order.__getitem__)
        for label in here:
            # A box stands behind the first label that leads to it, and holds no other in its place.
            line = {"arrowhead": "vee", "arrowsize": 0.5, "headport": "in", "color": flow.colour(box[0])}
            self.graph.edge(node_name(label), name, **line, **({} if label == foremost else {"constraint": "false"}))
        for end in ends:
            self._arrow(box[-1], name, end, back=not leads_on)

    def _arrow(self, last: Step, name: str, end: str, *, back: bool) -> None:
        """Draw what leaves a box; `back`: it leads to an earlier label."""
        flow, piece = self.flow, self.known[self.number]
        stores = bool(flow.stores(last))
        target = node_name(end)
        line: dict[str, object] = {"color": Palette.crash if stores else flow.colour(last), "arrowsize": 0.7}
        if stores:
            line |= {"penwidth": 1.6, "dir": "both"}
        if end not in piece.labels:
            back = False
            self._elsewhere(end)
        if back:
            line |= {"arrowtail": "normal", "tailport": "_", "headport": "out"}
            line |= {"arrowhead": "dot"} if stores else {"dir": "back"}
            self.graph.edge(target, name, **line)
        else:
            line |= {"tailport": "out"} | ({"arrowtail": "dot"} if stores else {})
            self.graph.edge(name, target, **line)

    def _elsewhere(self, label: str) -> None:
        """Draw a label on which another piece goes on; one that no step leaves is drawn as it is."""
        place = next((n for n, piece in enumerate(self.known, start=1) if label in piece.labels), None)
        if place is None:
            label_node(self.graph, label)
        else:
            self.graph.node(node_name(label), label=f"{label} ({place})", shape="box", style="rounded,dashed",
                            fontname=MONO, height=0.3, margin="0.1,0.04")  # fmt: skip

    def _rows(self, step: Step, *, first: bool, last: bool) -> list[str]:
        """Write a step as rows; an edge to the box ends at its first row, one from it begins at its last."""
        flow, guard, width = self.flow, self.flow.guard(step), self.known[self.number].width
        fill = {"bgcolor": Palette.store} if flow.stores(step) else {}
        port = {"port": "in"} if first else {}
        rows = [row(cell(mono(bold(lines(step.id, width))), bgcolor=flow.fill(step), **port))]
        if guard:
            rows.append(row(cell(faint(mono(lines(guard, width))))))
        rows.append(row(cell(lines(step.sentence, round(width * _WIDER)), **fill, **({"port": "out"} if last else {}))))
        return rows
