"""The timeline of a case as a picture: SVG that stands in an HTML file and loads nothing.

From top to bottom goes time. At the left is a bar for each life, which ends where the process was killed; beside it
each store, by which function, and a column for each field with the value that it has then, coloured where it changes.
Of a long life what comes last before the death is drawn, of the life after it what comes first: that is recovery. The
rules that were broken stand below. `diagrams` draws runs of the model; this knows no model, and needs no Graphviz.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise
from typing import Any, Final

from vhost_inflight.conformance.lives import title
from vhost_inflight.conformance.report import HOW
from vhost_inflight.telling import printable

__all__ = ["picture"]

_BEFORE: Final = 12
"""Stores of a life that are drawn, up to its death."""

_AFTER: Final = 16
"""Stores of the life after the last death that are drawn."""

_FIELDS: Final = 8
"""Columns of fields: those of the stores at which it died, and those that change most often."""

_LINE, _SIZE, _LETTER, _PAD = 19, 11, 6.7, 8.0
_BAR: Final = 34
_TEXT, _FAINT, _GRID, _DEAD, _CHANGED, _WRONG, _LIFE = (
    "#1f2328", "#57606a", "#d0d7de", "#cf222e", "#ffd8b5", "#ffebe9", "#57606a",
)  # fmt: skip


@dataclass
class _Row:
    """A line of the picture: a store, a death, or words; ``life`` is the life that it is of, 0 for none."""

    kind: str
    life: int
    text: str
    by: str = ""
    changes: Sequence[Mapping[str, Any]] = field(default_factory=list)


def picture(document: Mapping[str, Any]) -> str:
    """Draw a case (`lives.as_case`) as an SVG element."""
    rows = list(_rows(document))
    fields = _fields(rows)
    widths = _widths(rows, fields)
    width = _BAR + sum(widths)
    body = [*_bars(rows), *_heading(fields, widths), *_lines(rows, fields, widths, width)]
    height = _LINE * (len(rows) + 2) + 8
    name = escape(printable(f"timeline of {title(document)}"))
    size = f'viewBox="0 0 {width:.0f} {height}" width="{width:.0f}" height="{height}"'
    font = f'font-family="DejaVu Sans Mono,Menlo,Consolas,monospace" font-size="{_SIZE}"'
    return f'<svg {size} role="img" {font}><title>{name}</title>{"".join(body)}</svg>'


def _rows(document: Mapping[str, Any]) -> Iterator[_Row]:
    """Give the lines, from the first life's last stores to the rules that were broken."""
    for number, life in enumerate(document["lives"], 1):
        stores, end = life["stores"], life["end"]
        shown = stores[-_BEFORE - 1 :] if end else stores[:_AFTER]
        if end and len(shown) < len(stores):
            yield _Row("words", number, f"... {len(stores) - len(shown)} stores before these")
        for place, store in enumerate(shown, 1):
            last = end is not None and place == len(shown)
            if last and end == "before":
                yield _Row("death", number, "SIGKILL before this store:")
            text = ", ".join(f"{one['field']} := {one['new']}" for one in store["changes"])
            kind = "undone" if last and end == "before" else "store"
            yield _Row(kind, number, f"{store['number']:3} {text}", store["by"], store["changes"])
            if last and end != "before":
                yield _Row("death", number, f"SIGKILL {HOW[end].format('this store')}")
        if end is None:
            if len(shown) < len(stores):
                yield _Row("words", number, f"... {len(stores) - len(shown)} stores after these")
            if not stores:
                yield _Row("words", number, "this life makes no store, or was not looked at")
    for one in document["broken"]:
        told = f"{one['property']} ({one['seen_by']}): {one['text']}"
        yield from (_Row("broken", 0, line) for line in textwrap.wrap(told, 110))
        yield from (_Row("words", 0, line) for line in textwrap.wrap(f"rule: {one['rule']} ({one['section']})", 110))


def _fields(rows: Sequence[_Row]) -> list[str]:
    """Give the fields that have a column, in the order in which they change first; those of deaths are among them."""
    counts = Counter(one["field"] for row in rows for one in row.changes)
    dying = [one["field"] for row, after in pairwise(rows) for one in row.changes if after.kind == "death"]
    dying += [one["field"] for row in rows if row.kind == "undone" for one in row.changes]
    often = list(dict.fromkeys([*dying, *(name for name, _ in counts.most_common())]))[:_FIELDS]
    return [name for name in counts if name in often]


def _widths(rows: Sequence[_Row], fields: Sequence[str]) -> list[float]:
    """Give the widths of the columns: stores, functions, fields."""

    def wide(texts: Sequence[str]) -> float:
        return max((len(text) for text in texts), default=0) * _LETTER + 2 * _PAD

    stores = [row.text for row in rows if row.kind != "broken" and row.life]
    told = wide(stores), wide([row.by for row in rows])
    values = [
        wide([*_split(name), *(str(one[key]) for row in rows for one in row.changes if one["field"] == name
                               for key in ("old", "new"))])
        for name in fields
    ]  # fmt: skip
    words = wide([row.text for row in rows])
    return [max(told[0], words - told[1] - sum(values)), told[1], *values]


def _split(name: str) -> tuple[str, str]:
    """Break a field's name into two lines."""
    front, dot, last = name.rpartition(".")
    return (front, dot + last) if dot else ("", name)


def _y(line: float) -> float:
    return _LINE * (line + 2)


def _bars(rows: Sequence[_Row]) -> Iterator[str]:
    """Draw a bar for each life, and a cross where it ends."""
    for life in sorted({row.life for row in rows if row.life}):
        own = [number for number, row in enumerate(rows) if row.life == life]
        death = next((number for number in own if rows[number].kind == "death"), None)
        top, bottom = _y(own[0]) + 3, _y(own[-1] + 1 if death is None else death + 0.5)
        yield f'<rect x="14" y="{top:.1f}" width="7" height="{bottom - top:.1f}" rx="3" fill="{_LIFE}"/>'
        yield f'<text x="1" y="{top + 9:.1f}" fill="{_FAINT}">{life}</text>'
        if death is not None:
            x, y = 17.5, bottom
            cross = f"M{x - 6} {y - 6:.1f}l12 12M{x + 6} {y - 6:.1f}l-12 12"
            yield f'<path d="{cross}" stroke="{_DEAD}" stroke-width="3"/>'


def _heading(fields: Sequence[str], widths: Sequence[float]) -> Iterator[str]:
    """Write what the columns are."""
    yield _text(_BAR, _LINE * 1.3, "store", _FAINT) + _text(_BAR + widths[0], _LINE * 1.3, "by", _FAINT)
    x = _BAR + widths[0] + widths[1]
    for name, wide in zip(fields, widths[2:], strict=True):
        yield from (_text(x + _PAD, _LINE * (0.6 + 0.7 * line), part, _FAINT) for line, part in enumerate(_split(name)))
        x += wide


def _lines(rows: Sequence[_Row], fields: Sequence[str], widths: Sequence[float], width: float) -> Iterator[str]:
    """Write each line, and the values of all fields at that time."""
    known = {}
    for row in reversed(rows):  # what a field was before it was first stored to
        known.update({one["field"]: one["old"] for one in row.changes})
    for number, row in enumerate(rows):
        top = _y(number)
        base = top + 13.5
        if row.kind in {"death", "broken"}:
            colour = _DEAD if row.kind == "death" else _WRONG
            yield f'<rect x="{_BAR - 4}" y="{top}" width="{width - _BAR + 4:.1f}" height="{_LINE}" fill="{colour}"/>'
            yield _text(_BAR, base, row.text, "#ffffff" if row.kind == "death" else _TEXT, bold=True)
            continue
        faint = row.kind != "store"
        yield _text(_BAR, base, row.text, _FAINT if faint else _TEXT, struck=row.kind == "undone")
        yield _text(_BAR + widths[0], base, row.by, _FAINT)
        if row.kind == "words":
            continue
        yield f'<path d="M{_BAR} {top}H{width:.0f}" stroke="{_GRID}"/>'
        stored = {one["field"]: one["new"] for one in row.changes} if row.kind == "store" else {}
        known.update(stored)
        x = _BAR + widths[0] + widths[1]
        for name, wide in zip(fields, widths[2:], strict=True):
            if name in stored:
                yield f'<rect x="{x:.1f}" y="{top}" width="{wide:.1f}" height="{_LINE}" fill="{_CHANGED}"/>'
            yield _text(x + _PAD, base, str(known[name]), _TEXT, bold=name in stored)
            x += wide


def _text(x: float, y: float, text: str, colour: str, *, bold: bool = False, struck: bool = False) -> str:
    more = (' font-weight="bold"' if bold else "") + (' text-decoration="line-through"' if struck else "")
    kept = escape(printable(text)).replace("  ", "\u00a0\u00a0")
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}"{more}>{kept}</text>' if text else ""
