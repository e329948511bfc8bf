"""The proposed sentences put into a copy of the text, mend by mend, and each mend as a unified diff."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from difflib import unified_diff
from textwrap import wrap

from model import protocol
from model.proposal import Mend, Sentence, literals
from vhost_inflight.mend.places import Item, ShapeError, flat, notes_end, numbered_list

__all__ = ["HEAD", "mended", "missing", "series", "split_lines"]

HEAD = "For all of these steps:"
"""What stands before the sentences that belong to no item, behind a ring's last list."""

_WIDTH = 72


def split_lines(text: str) -> list[str]:
    """Split a text into lines with their ends, at line feeds alone."""
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def series(lines: Sequence[str], mends: Iterable[Mend], name: str) -> Iterator[tuple[Mend, str]]:
    """Yield each mend with its unified diff of a file of that name, against the copy with those before it made.

    The diff is empty where the copy has the sentences already. Raise `ShapeError` where the copy has not the places.
    """
    before = list(lines)
    for mend in mends:
        after = mended(before, mend)
        diff = unified_diff(before, after, f"a/{name}", f"b/{name}")
        yield mend, "".join(_diff_line(line, mend.name) for line in diff)
        before = after


def _diff_line(line: str, mend: str) -> str:
    """Name the mend behind a hunk's numbers, and say of a last line that it does not end."""
    if line.startswith("@@ "):
        return f"{line.rstrip()} {mend}\n"
    return line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"


def missing(lines: Sequence[str], mends: Iterable[Mend]) -> list[str]:
    """Say of each place that the mends need and the copy has not, what was looked for, each once."""
    found: dict[str, None] = {}
    for mend in mends:
        for ring, sentence in _sentences(mend):
            try:
                _with_sentence(list(lines), ring, sentence, mend)
            except ShapeError as error:
                found[str(error)] = None
    return list(found)


def mended(lines: Sequence[str], mend: Mend) -> list[str]:
    """Give a copy with one more mend; raise `ShapeError` where a place for it is not found."""
    now = list(lines)
    for ring, sentence in _sentences(mend):
        now = _with_sentence(now, ring, sentence, mend)
    return now


def _sentences(mend: Mend) -> Iterator[tuple[str, Sentence]]:
    for ring in protocol.RINGS:
        yield from ((ring, sentence) for sentence in protocol.sentences(ring) if mend.name in sentence.mends)


def _with_sentence(lines: list[str], ring: str, sentence: Sentence, mend: Mend) -> list[str]:
    return _with_item(lines, ring, sentence, mend) if sentence.number else _with_note(lines, ring, sentence)


def _with_item(lines: list[str], ring: str, sentence: Sentence, mend: Mend) -> list[str]:
    """Write an item anew, with the words of this mend and of those that it has already, or add a paragraph to it."""
    listed = numbered_list(lines, ring, sentence.place)
    item = listed.item(sentence.number)
    if not sentence.text():
        return _with_paragraph(lines, item, sentence.text(sentence.mends))
    made = [m for m in sentence.mends if all(flat(words) in item.words for words in sentence.added(m))]
    if mend.name in made:
        return lines
    _check_names(item, sentence, mend, f"item {item.number} of {listed.name}")
    text = sentence.text({*made, mend.name})
    return [*lines[: item.first], *_wrapped(lines, text, item.lead, item.hang), *lines[item.last :]]


def _with_paragraph(lines: list[str], item: Item, text: str) -> list[str]:
    """Add a paragraph behind an item's first one, unless it is there."""
    if flat(text) in flat("".join(lines[item.last : item.last + len(wrap(text, _WIDTH)) + 2])):
        return lines
    before = _ended(lines[: item.last])
    return [*before, _line_end(lines), *_wrapped(lines, text, item.hang, item.hang), *lines[item.last :]]


def _check_names(item: Item, sentence: Sentence, mend: Mend, called: str) -> None:
    """Raise `ShapeError` where the item does not name what it should, or names what only the mend would add."""
    expected = literals([sentence.text()])
    where = f"line {item.first + 1}, {called}"
    if missing := [name for name in expected if not _names(item, name)]:
        raise ShapeError(f"{where}: looked for a sentence about {', '.join(expected)}; it lacks {', '.join(missing)}")
    if early := [n for n in literals(sentence.added(mend.name)) if n not in expected and _names(item, n)]:
        raise ShapeError(f"{where}: names {', '.join(early)} already, so it may be mended in other words ({mend.name})")


def _names(item: Item, name: str) -> bool:
    return re.search(rf"(?<![\w.]){re.escape(name)}(?!\w)", item.words) is not None


def _with_note(lines: list[str], ring: str, sentence: Sentence) -> list[str]:
    """Add a bullet behind the ring's last list, unless it is there."""
    text = sentence.text(sentence.mends)
    end = numbered_list(lines, ring, "reconnecting").end
    last = notes_end(lines, end, HEAD)
    if last is not None and flat(text) in flat("".join(lines[end:last])):
        return lines
    blank, at = _line_end(lines), last or end
    head = [] if last else [blank, *_wrapped(lines, HEAD, "", "")]
    return [*_ended(lines[:at]), *head, blank, *_wrapped(lines, text, "* ", "  "), *lines[at:]]


def _wrapped(lines: Sequence[str], text: str, lead: str, hang: str) -> list[str]:
    """Break a sentence into lines as the copy has them: its line ends, and no backticks where it has none."""
    words = text if any("``" in line for line in lines) else text.replace("``", "")
    broken = wrap(words, _WIDTH, initial_indent=lead, subsequent_indent=hang, break_on_hyphens=False)
    return [line + _line_end(lines) for line in broken]


def _ended(lines: list[str]) -> list[str]:
    """Give lines of which the last one has its end, too: the file may end with it, and have none."""
    return [*lines[:-1], lines[-1].rstrip("\r\n") + _line_end(lines)]


def _line_end(lines: Sequence[str]) -> str:
    return "\r\n" if lines[0].endswith("\r\n") else "\n"
