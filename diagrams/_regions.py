"""A region's layout: its bytes in rows of eight, to scale, and beside each row what its fields are."""

from __future__ import annotations

from collections.abc import Sequence

from diagrams._dot import Graph
from diagrams._html import Palette, bold, cell, lines, mono, row, small, table
from model import layout
from model.layout import Field, Struct

__all__ = ["region_layout"]

_BYTES = 8
"""Bytes in a row."""

_BYTE = 58
"""The width of a byte in points."""


def region_layout(ring: str, revisions: Sequence[str] = layout.REVISIONS) -> str:
    """Draw the layouts of a ring's regions, as DOT, a revision above the other.

    Raise `ModelError` if there is no such ring.
    """
    graph = Graph(f"{ring} region", {"rankdir": "TB"})
    parts = [row(cell(_region(ring, revision))) for revision in revisions]
    graph.node("region", label=table(*parts, cellpadding=6), shape="plain")
    return graph.source()


def _region(ring: str, revision: str) -> str:
    shown = layout.region(ring, revision)
    title = f"{ring} region, {revision}: {shown.header.size} bytes, then {shown.entry.size} bytes for each descriptor"
    rows = [
        row(cell(bold(lines(title, 90)), colspan=_BYTES + 2)),
        row(cell(""), *(cell(small(f"+{n}"), width=_BYTE, align="center") for n in range(_BYTES)), cell("")),
        *_rows(shown.header, 0, Palette.label, "header"),
        *_rows(shown.entry, shown.offset(0), Palette.inserted, "desc[0]"),
        row(cell(""), cell(small(_sizes(ring, revision)), colspan=_BYTES + 1)),
    ]
    return table(*rows, cellpadding=4)


def _sizes(ring: str, revision: str) -> str:
    shown = layout.region(ring, revision)
    sizes = ", ".join(f"{shown.size(n)} for {n}" for n in (4, 128, 1024))
    return f"then desc[1] at {shown.offset(1)}, and so on; in all, rounded up to {layout.ALIGNMENT}: {sizes} entries"


def _rows(struct: Struct, start: int, colour: str, name: str) -> list[str]:
    """Draw a structure in rows of eight bytes, padding that C adds included."""
    return [
        row(
            cell(small(f"{name} {start + begin}"), align="right"),
            *_cells(struct, begin, colour),
            cell(small(lines(_notes(struct, begin), 44))),
        )
        for begin in range(0, struct.size, _BYTES)
    ]


def _pieces(struct: Struct, begin: int) -> list[tuple[Field | None, int]]:
    """Cut a row into the fields in it and their bytes there; None is padding that C adds."""
    pieces: list[tuple[Field | None, int]] = []
    end = min(begin + _BYTES, struct.size)
    while begin < end:
        here = next((f for f in struct.fields if f.offset <= begin < f.offset + f.width), None)
        following = [f.offset for f in struct.fields if f.offset > begin]
        until = here.offset + here.width if here else min([*following, struct.size])
        until = min(until, end)
        pieces.append((here, until - begin))
        begin = until
    return pieces


def _cells(struct: Struct, begin: int, colour: str) -> list[str]:
    """Draw a row, filled up to eight bytes with nothing where the structure ends before."""
    cells = []
    for field, width in _pieces(struct, begin):
        size = {"colspan": width, "width": width * _BYTE, "height": 28}
        style = {**size, "align": "center", "balign": "center", "border": 1, "color": Palette.line}
        if field is None or field.name == "padding":
            cells.append(cell(small("padding by C" if field is None else "padding"), **style))
        else:
            # A long name fits into the width of one byte only in several lines.
            name = field.name if width > 1 else field.name.replace("_", "_<BR/>")
            cells.append(cell(mono(name), bgcolor=colour, **style))
    missing = _BYTES - sum(width for _, width in _pieces(struct, begin))
    return [*cells, cell("", colspan=missing)] if missing else cells


def _notes(struct: Struct, begin: int) -> str:
    notes = [f"{f.name}: {f.doc}" for f, _ in _pieces(struct, begin) if f is not None and f.doc]
    return "; ".join(notes)
