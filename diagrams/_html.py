"""What Graphviz calls HTML-like labels: tables of text, built from plain strings."""

from __future__ import annotations

import html
import math
import re
import textwrap
from dataclasses import dataclass

from diagrams._measure import text_width

__all__ = [
    "FONT",
    "MONO",
    "SIZE",
    "Palette",
    "balanced",
    "bold",
    "cell",
    "coloured",
    "faint",
    "lines",
    "mono",
    "row",
    "small",
    "table",
]

FONT = "DejaVu Sans,Verdana,sans-serif"
"""The font of sentences: a wide one first, so that text measured with it fits where another is shown."""

MONO = "DejaVu Sans Mono,monospace"
"""The font of step ids, labels and stores."""

SIZE = 11
"""Points: the size of text."""

_SMALL = 10
"""Points: the size of small text."""

_PADDING = 3
"""Points between a cell's text and its border, unless its table says otherwise."""


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
    new: str = "#0969da"


def _escaped(text: str) -> str:
    return html.escape(text, quote=False)


def lines(text: str, width: int) -> str:
    """Escape text and break it into lines of at most `width` characters, aligned to the left."""
    broken = textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) or [""]
    if len(broken) == 1:
        return _escaped(broken[0])
    return "".join(f'{_escaped(line)}<BR ALIGN="LEFT"/>' for line in broken)


def balanced(text: str, width: int) -> str:
    """Escape text and break it into as many lines as `lines` would, but lines of about one length."""
    count = math.ceil(len(text) / width)
    return lines(text, width if count == 1 else math.ceil(len(text) / count) + 6)


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
    return _font(inner, color=Palette.faint, point_size=_SMALL)


def faint(inner: str) -> str:
    """Set escaped text faint, in the size of the text around it."""
    return _font(inner, color=Palette.faint)


def coloured(inner: str, colour: str) -> str:
    """Set escaped text in a colour."""
    return _font(inner, color=colour)


def bold(inner: str) -> str:
    """Set escaped text bold."""
    return f"<B>{inner}</B>" if inner else inner


def cell(inner: str, **attributes: object) -> str:
    """Make a cell of a table, as wide as its text at least; it is aligned to the left unless `align` says otherwise.

    Text without a size of its own is measured in that of `points`.
    """
    points = float(str(attributes.pop("points", SIZE)))
    width = math.ceil(_width(inner, points)) + 2 * _PADDING
    settled: dict[str, object] = {"align": "left", "balign": "left", "width": width}
    return f"<TD {_attributes(settled | attributes)}>{inner}</TD>"


def _width(inner: str, size: float) -> float:
    """Measure the longest line of a cell's text; a table in a cell is measured cell by cell, not here."""
    if "<TABLE" in inner:
        return 0
    longest = line = 0.0
    fonts: list[tuple[float, bool]] = [(size, False)]
    is_bold = False
    for tag, text in re.findall(r"<([^>]*)>|([^<]+)", inner):
        if text:
            points, is_mono = fonts[-1]
            line += text_width(html.unescape(text), points, mono=is_mono, bold=is_bold)
        elif tag.startswith("BR"):
            line = 0.0
        elif tag.startswith("FONT"):
            points, is_mono = fonts[-1]
            asked = re.search(r'POINT-SIZE="(\d+)"', tag)
            fonts.append((float(asked[1]) if asked else points, is_mono or MONO in tag))
        elif tag == "/FONT":
            fonts.pop()
        else:
            is_bold = tag == "B"
        longest = max(longest, line)
    return longest


def row(*cells: str) -> str:
    """Make a row of cells."""
    return f"<TR>{''.join(cells)}</TR>"


def table(*rows: str, **attributes: object) -> str:
    """Make a table of rows: a whole HTML-like label, or something to put into a cell."""
    settled = {"border": 0, "cellborder": 0, "cellspacing": 0, "cellpadding": _PADDING, **attributes}
    return f"<TABLE {_attributes(settled)}>{''.join(rows)}</TABLE>"
