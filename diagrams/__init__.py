"""Pictures of the protocol, made from the model's own tables and never drawn by hand.

    names                 what there is to draw
    write(out)            every picture, as DOT and as SVG
    check(out)            which DOT files differ from what the tables give
    timeline(schedule)    a run as DOT, from a schedule file's contents
    stores(schedule)      the same run as rows of text: a step, and the fields that it stores to
    errata, erratum       the runs behind docs/errata.md, by name
    render(dot, "svg")    DOT to a picture

DOT is what is compared: it follows from the tables alone. How it is laid out depends on the Graphviz that renders it.
"""

from diagrams._all import check, draw, errata, erratum, names, write
from diagrams._regions import region_layout
from diagrams._render import RenderError, render
from diagrams._states import states
from diagrams._stores import Event, stores
from diagrams._timeline import DECISIONS, timeline

__all__ = [
    "DECISIONS",
    "Event",
    "RenderError",
    "check",
    "draw",
    "errata",
    "erratum",
    "names",
    "region_layout",
    "render",
    "states",
    "stores",
    "timeline",
    "write",
]
