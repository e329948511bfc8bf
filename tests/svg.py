"""What a reader sees of a rendered picture: texts, and the boxes that they stand in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from diagrams._measure import text_width

__all__ = ["Box", "Picture", "Text", "contrast"]

_SVG = "{http://www.w3.org/2000/svg}"


@dataclass(frozen=True)
class Text:
    """A line of text: from where to where it goes, its base line, size and colour."""

    left: float
    right: float
    base: float
    size: float
    colour: str
    content: str


@dataclass(frozen=True)
class Box:
    """A shape, as the rectangle around it; `fill` is None where one sees through it."""

    left: float
    top: float
    right: float
    bottom: float
    fill: str | None

    def has(self, text: Text) -> bool:
        """Say whether a text begins, or is centred, in it."""
        middle = (text.left + text.right) / 2
        height = text.base - text.size / 3
        return self.left <= middle <= self.right and self.top <= height <= self.bottom

    @property
    def area(self) -> float:
        """Its area."""
        return (self.right - self.left) * (self.bottom - self.top)


class Picture:
    """A rendered picture."""

    def __init__(self, svg: str) -> None:
        """Read the SVG that Graphviz writes."""
        root = ET.fromstring(svg)  # noqa: S314 # our own file
        self.width, self.height = (float(root.attrib[name].removesuffix("pt")) for name in ("width", "height"))
        group = root.find(f"{_SVG}g")
        assert group is not None
        scale = re.match(r"scale\(([\d.]+)", group.attrib["transform"])
        assert scale is not None
        self.scale = float(scale[1])
        self.texts = [_text(e) for e in root.iter(f"{_SVG}text")]
        self.boxes = list(_boxes(root))

    def box(self, text: Text) -> Box:
        """Give the smallest box that a text stands in: at least the page."""
        return min((b for b in self.boxes if b.has(text)), key=lambda box: box.area)

    def ground(self, text: Text) -> str:
        """Give the colour behind a text."""
        filled = [b for b in self.boxes if b.has(text) and b.fill]
        return str(min(filled, key=lambda box: box.area).fill)

    def overflowing(self) -> list[str]:
        """Give the texts that are cut by the border of the box that they stand in, or touch it."""
        return [t.content for t in self.texts if not _within(t, self.box(t))]

    def smallest(self) -> float:
        """Give the size of its smallest text, in points as drawn."""
        return min(t.size for t in self.texts) * self.scale


_MARGIN = 1.5
"""Points between a text and the border of its box: with less, it touches the line."""


def _within(text: Text, box: Box) -> bool:
    return box.left + _MARGIN <= text.left and text.right + _MARGIN <= box.right


def _text(element: ET.Element) -> Text:
    said = element.attrib
    content, size = element.text or "", float(said["font-size"])
    width = text_width(content, size, mono="Mono" in said["font-family"], bold=said.get("font-weight") == "bold")
    x = float(said["x"])
    left = x - width / 2 if said["text-anchor"] == "middle" else x
    return Text(left, left + width, float(said["y"]), size, said["fill"], content)


def _boxes(root: ET.Element) -> Iterator[Box]:
    for element in root.iter():
        text = element.attrib.get("points" if element.tag == f"{_SVG}polygon" else "d", "")
        places = [float(number) for number in re.findall(r"-?[\d.]+", text)]
        closed = len(places) > 4 and places[:2] == places[-2:]  # what is not closed is the line of an arrow
        if closed and element.tag in (f"{_SVG}polygon", f"{_SVG}path"):
            fill = element.attrib["fill"]
            yield Box(min(places[::2]), min(places[1::2]), max(places[::2]), max(places[1::2]), _seen(fill))


def _seen(fill: str) -> str | None:
    return {"none": None, "white": "#ffffff"}.get(fill, fill)


def contrast(one: str, other: str) -> float:
    """Give the contrast of two colours as WCAG 2 defines it: from 1 to 21."""
    bright, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
