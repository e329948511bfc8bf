"""Where the numbered items of the text stand in somebody's copy of it (reStructuredText), by chapter, ring and list.

A line is a string with its line end. Only the shape is looked at: a title that says inflight tracking, a paragraph that
begins ``For split virtqueue`` (or packed), and lists behind ``When receiving``, ``When supplying``, ``When
reconnecting``, numbered by hand (``1.``, ``(a)``) or by ``#.``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

__all__ = ["Item", "NumberedList", "ShapeError", "flat", "notes_end", "numbered_list"]

_UNDERLINE = re.compile(r"([!-/:-@\[-`{-~])\1{2,}\s*$")
_CHAPTER = re.compile(r"inflight\b.*\btrack", re.IGNORECASE)
_RING_HEADS = {r: re.compile(rf"\s*For {r} virtqueue", re.IGNORECASE) for r in ("split", "packed")}
_ENUMERATOR = re.compile(r"(?P<lead>(?P<indent> *)(?P<mark>\(?(?:#|\d+|[a-z])[.)]) +)(?=\S)")
_BULLET = re.compile(r"[*+-] ")


class ShapeError(Exception):
    """The copy is not shaped as the text is known to be: what was looked for, and what is there."""


@dataclass(frozen=True)
class Item:
    """An item of a list: its number (``1(c)``), the lines of its first paragraph, how that is indented, its words."""

    number: str
    first: int
    last: int
    lead: str
    hang: str
    words: str


@dataclass(frozen=True)
class NumberedList:
    """A list: what it is called in a message, its items, and the line after its last one."""

    name: str
    items: tuple[Item, ...]
    end: int

    def item(self, number: str) -> Item:
        """Look an item up; raise `ShapeError` if there is none."""
        for item in self.items:
            if item.number == number:
                return item
        numbers = ", ".join(item.number for item in self.items) or "no item"
        raise ShapeError(f"looked for item {number} of {self.name}, which has {numbers}")


def flat(text: str) -> str:
    """Give the words alone, so that two writings of one sentence are equal: without marks, breaks and outer commas."""
    return " ".join(text.replace("`", "").split()).strip(" ,;:.")


def numbered_list(lines: Sequence[str], ring: str, name: str) -> NumberedList:
    """Find a ring's list by the word behind ``When``; raise `ShapeError` saying what was not found."""
    begin, end = _part(lines, ring)
    called = f"the list behind {f'When {name} ...:'!r}, for the {ring} virtqueue"
    head = re.compile(rf"\s*When {name}\b", re.IGNORECASE)
    at = next((n for n in range(begin, end) if head.match(lines[n])), None)
    if at is None:
        raise ShapeError(f"looked for {called} in lines {begin + 1} to {end}, and found none")
    while at < end and lines[at].strip():
        at += 1
    items = tuple(_items(lines, at, end))
    if not items:
        raise ShapeError(f"looked for {called}: there is no numbered list behind line {at}")
    for item in items:
        _check_number(item, called)
    return NumberedList(called, items, _end(lines, items, end))


def notes_end(lines: Sequence[str], after: int, head: str) -> int | None:
    """Give the line after the last bullet of the list behind the paragraph `head`, if that comes next; else None."""
    at = _skip_blank(lines, after)
    if at == len(lines) or flat(lines[at]) != flat(head):
        return None
    end = at + 1
    while (at := _skip_blank(lines, end)) < len(lines) and (_BULLET.match(lines[at]) or lines[at].startswith(" ")):
        end = at + 1
    return end


def _titles(lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Yield the line of each title, with the character that underlines it."""
    for n, (title, under) in enumerate(pairwise(lines)):
        found, text = _UNDERLINE.match(under), title.rstrip()
        if found and text and not title[0].isspace() and len(under.rstrip()) >= len(text):
            yield n, found[1]


def _chapter(lines: Sequence[str]) -> tuple[int, int]:
    """Give where the chapter begins and ends: at the next title of its level or a higher one."""
    titles = list(_titles(lines))
    levels = list(dict.fromkeys(mark for _, mark in titles))
    for place, (begin, mark) in enumerate(titles):
        if _CHAPTER.search(lines[begin]):
            above = levels[: levels.index(mark) + 1]
            return begin, next((n for n, other in titles[place + 1 :] if other in above), len(lines))
    raise ShapeError(f"looked for a chapter on inflight tracking among {len(titles)} underlined titles, and found none")


def _part(lines: Sequence[str], ring: str) -> tuple[int, int]:
    """Give where the chapter speaks of a ring: up to where it speaks of the other, or to its end."""
    begin, end = _chapter(lines)
    heads = {
        other: next(
            (n for n in range(begin, end) if re.match(rf"\s*For {other} virtqueue", lines[n], re.IGNORECASE)), None
        )
        for other in ("split", "packed")
    }
    here = heads[ring]
    if here is None:
        what = f"a paragraph that begins 'For {ring} virtqueue'"
        raise ShapeError(f"looked for {what} in the chapter of lines {begin + 1} to {end}, and found none")
    return here, min((n for n in heads.values() if n is not None and n > here), default=end)


def _items(lines: Sequence[str], at: int, end: int) -> Iterator[Item]:
    """Yield the items of a list, those of lists within it too, until something else comes at its margin."""
    levels: list[tuple[int, int]] = []  # indentation, and how many items there were
    while (at := _skip_blank(lines, at)) < end:
        found = _ENUMERATOR.match(lines[at])
        margin = len(lines[at]) - len(lines[at].lstrip())
        if found is None and (not levels or margin <= levels[0][0]):
            return
        last = _paragraph(lines, at, end)
        if found is not None:
            while levels and levels[-1][0] > margin:
                levels.pop()
            if levels and levels[-1][0] == margin:
                levels[-1] = margin, levels[-1][1] + 1
            else:
                levels.append((margin, 1))
            yield _item(lines, (at, last), found["lead"], [count for _, count in levels])
        at = last


def _item(lines: Sequence[str], where: tuple[int, int], lead: str, counts: list[int]) -> Item:
    first, last = where
    number = str(counts[0]) + "".join(f"({chr(ord('a') + count - 1)})" for count in counts[1:])
    second = lines[first + 1] if last > first + 1 else ""
    hang = second[: len(second) - len(second.lstrip())]
    if len(hang) <= len(lead) - len(lead.lstrip()):  # one line, or a second one at the margin: as it should be
        hang = " " * len(lead)
    return Item(number, first, last, lead, hang, flat("".join(lines[first:last])[len(lead) :]))


def _check_number(item: Item, called: str) -> None:
    """Raise `ShapeError` where an item is numbered by hand, and otherwise than one counts."""
    mark = item.lead.strip().strip("().")
    counted = item.number.rpartition("(")[2].rstrip(")")
    if mark not in ("#", counted):
        raise ShapeError(f"line {item.first + 1}: numbered {mark} where item {item.number} of {called} should be")


def _paragraph(lines: Sequence[str], at: int, end: int) -> int:
    """Give the line after the paragraph that begins at a line; another item ends it."""
    last = at + 1
    while last < end and lines[last].strip() and not _ENUMERATOR.match(lines[last]):
        last += 1
    return last


def _skip_blank(lines: Sequence[str], at: int) -> int:
    while at < len(lines) and not lines[at].strip():
        at += 1
    return at


def _end(lines: Sequence[str], items: Sequence[Item], end: int) -> int:
    """Give the line after the last item, further paragraphs of it too."""
    margin = len(items[0].lead) - len(items[0].lead.lstrip())
    last = items[-1].last
    while (at := _skip_blank(lines, last)) < end and len(lines[at]) - len(lines[at].lstrip()) > margin:
        last = _paragraph(lines, at, end)
    return last
