"""What Graphviz calls HTML-like labels: tables of text, built from plain strings."""

from __future__ import annotations

import html
import textwrap
from dataclasses import dataclass

__all__ = ["FONT", "MONO", "Palette", "bold", "cell", "coloured", "lines", "mono", "row", "small", "table"]

FONT = "DejaVu Sans,Verdana,sans-serif"
"""The font of sentences: a wide one first, so that text measured with it fits where another is shown."""

MONO = "DejaVu Sans Mono,monospace"
"""The font of step ids, labels and stores."""


@dataclass(frozen=True)
class Palette:
    """The colours of all pictures; none says anything that is not said in words too."""

    text: str = "#1f2328"
    faint: str = "#57606a"
    line: str = "#8c959f"
    label: str = "#eaeef2"
    plain: str = "#ffffff"
    inserted: str = "#ddf4ff"
    replaced: str = "#fff8c5"
    store: str = "#ffebe9"
    crash: str = "#cf222e"
    changed: str = "#ffd8b5"
    good: str = "#dafbe1"


def _escaped(text: str) -> str:
    return html.escape(text, quote=False)


def lines(text: str, width: int) -> str:
    """Escape text and break it into lines of at most `width` characters, aligned to the left."""
    broken = textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]
    if len(broken) == 1:
        return _escaped(broken[0])
    return "".join(f'{_escaped(line)}<BR ALIGN="LEFT"/>' for line in broken)


def _font(inner: str, **attributes: object) -> str:
    # Graphviz reads an empty element as an error, so an empty text stays without a font.
    if not inner:
        return inner
    return f"<FONT {_attributes(attributes)}>{inner}</FONT>"


def _attributes(attributes: dict[str, object]) -> str:
    return " ".join(f'{name.upper().replace("_", "-")}="{value}"' for name, value in sorted(attributes.items()))


def mono(inner: str) -> str:
    """Set escaped text in the font of ids and stores."""
    return _font(inner, face=MONO)


def small(inner: str) -> str:
    """Set escaped text small and faint."""
    return _font(inner, color=Palette.faint, point_size=9)


def coloured(inner: str, colour: str) -> str:
    """Set escaped text in a colour."""
    return _font(inner, color=colour)


def bold(inner: str) -> str:
    """Set escaped text bold."""
    return f"<B>{inner}</B>" if inner else inner


def cell(inner: str, **attributes: object) -> str:
    """Make a cell of a table; it is aligned to the left unless `align` says otherwise."""
    return f"<TD {_attributes({'align': 'left', 'balign': 'left', **attributes})}>{inner}</TD>"


def row(*cells: str) -> str:
    """Make a row of cells."""
    return f"<TR>{''.join(cells)}</TR>"


def table(*rows: str, **attributes: object) -> str:
    """Make a table of rows: a whole HTML-like label, or something to put into a cell."""
    settled = {"border": 0, "cellborder": 0, "cellspacing": 0, "cellpadding": 3, **attributes}
    return f"<TABLE {_attributes(settled)}>{''.join(rows)}</TABLE>"
