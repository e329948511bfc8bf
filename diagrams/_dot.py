"""DOT as text: statements collected, sorted, and written one a line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from diagrams._html import FONT, Palette

__all__ = ["PAGE", "Graph"]

PAGE = 10.6
"""Inches: what is wider is drawn smaller, to be legible at the width of a page and enlarged by who wants to."""


def _quoted(value: object) -> str:
    text = str(value)
    if text.startswith("<"):
        return f"<{text}>"
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _list(attributes: Mapping[str, object]) -> str:
    return ", ".join(f"{name}={_quoted(value)}" for name, value in sorted(attributes.items()))


@dataclass
class Graph:
    """A directed graph. A value of an attribute that begins with ``<`` is an HTML-like label."""

    name: str
    attributes: Mapping[str, object] = field(default_factory=dict)
    _nodes: dict[str, str] = field(default_factory=dict)
    _edges: list[str] = field(default_factory=list)

    def node(self, name: str, **attributes: object) -> None:
        """Add a node; one of the same name is replaced."""
        self._nodes[name] = f"  {_quoted(name)} [{_list(attributes)}];"

    def edge(self, tail: str, head: str, **attributes: object) -> None:
        """Add an edge."""
        self._edges.append(f"  {_quoted(tail)} -> {_quoted(head)} [{_list(attributes)}];")

    def source(self) -> str:
        """Write it: nodes by name, then edges, so that a change of the tables is a small change of the text."""
        settings = {"bgcolor": "white", "fontname": FONT, "fontsize": 11, "fontcolor": Palette.text, **self.attributes}
        plain = {"fontname": FONT, "fontsize": 11, "fontcolor": Palette.text}
        return "\n".join(
            [
                f"digraph {_quoted(self.name)} {{",
                f"  graph [{_list(settings)}];",
                f"  node [{_list({**plain, 'color': Palette.line})}];",
                f"  edge [{_list({**plain, 'color': Palette.faint})}];",
                *(self._nodes[name] for name in sorted(self._nodes)),
                *sorted(self._edges),
                "}",
                "",
            ]
        )
