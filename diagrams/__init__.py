"""Pictures of the protocol, made from the model's own tables and never drawn by hand.

    names                 what there is to draw
    write(out)            every picture, as DOT and as SVG
    check(out)            which DOT files differ from what the tables give
    timeline(schedule)    a run as DOT, from a schedule file's contents
    render(dot, "svg")    DOT to a picture

DOT is what is compared: it follows from the tables alone. How it is laid out depends on the Graphviz that renders it.
"""

from diagrams._all import check, draw, names, write
from diagrams._regions import region_layout
from diagrams._render import RenderError, render
from diagrams._states import states
from diagrams._timeline import timeline

__all__ = ["RenderError", "check", "draw", "names", "region_layout", "render", "states", "timeline", "write"]
