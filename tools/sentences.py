"""Sentences as parts of documents: those of steps, by their ids, and those that the text should have.

Where a document quotes either, `tools.pages` puts it there, so that it cannot drift from the tables.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from model import protocol
from model.proposal import LISTS, Sentence, numbers
from model.protocol import Subject
from model.steps import Step

__all__ = ["bold", "part"]

Row = tuple[str, ...]

_EDGE = re.compile(r"^([\s,;.:(]*)(.*?)([\s,;.:)]*)$")


def part(name: str) -> tuple[Row, list[Row]] | None:
    """Give a part of a document as a table's head and rows, None where it is none of sentences.

    ``steps RING REVISION ID...``, ``proposed RING`` or ``mended NAME``; raise `LookupError` for what there is not.
    """
    kind, *rest = name.split()
    if kind == "steps" and len(rest) > 2:
        return ("place", "step", "sentence"), _steps(*rest)
    if kind == "proposed" and rest and rest[0] in protocol.RINGS:
        return ("place", "the text as it should be", "for"), _proposed(rest[0])
    if kind == "mended" and rest:
        return ("ring", "place", "the sentence, mended"), _mended(rest[0])
    return None


def _steps(ring: str, revision: str, *ids: str) -> list[Row]:
    """Give steps of a revision: place in the text, id, sentence; raise `LookupError` where there is none such."""
    if ring not in protocol.RINGS or revision not in protocol.revisions(ring):
        raise LookupError(f"there is no {ring} {revision}")
    table = protocol.table(Subject(ring, revision))
    if unknown := [name for name in ids if name not in table.steps]:
        raise LookupError(f"{ring} {revision} has no step {', '.join(unknown)}")
    return [(_place(table.step(name), revision), f"`{name}`", table.step(name).sentence) for name in ids]


def _place(step: Step, revision: str) -> str:
    listed, found = numbers(step.text, revision)
    return f"{listed}, {' and '.join(found)}" if listed else step.text.partition(";")[0]


def _mended(mend: str) -> list[Row]:
    """Give the sentences to which a mend adds, with what it adds in bold: ring, place, sentence."""
    if mend not in protocol.mends():
        raise LookupError(f"there is no mend {mend}")
    return [
        (ring, _at(sentence), bold(sentence, (mend,)))
        for ring in protocol.RINGS
        for sentence in protocol.sentences(ring)
        if mend in sentence.mends
    ]


def _at(sentence: Sentence) -> str:
    return f"{sentence.place}, {sentence.number}" if sentence.number else "behind the lists"


def bold(sentence: Sentence, mends: Sequence[str]) -> str:
    """Write a sentence with what some mends add, and that in bold."""
    parts: list[tuple[bool, str]] = []
    for words in sentence.words:
        new = words.mend is not None
        if new and words.mend not in mends:
            continue
        if parts and parts[-1][0] == new:
            parts[-1] = new, parts[-1][1] + words.text
        else:
            parts.append((new, words.text))
    return "".join(_bold(text) if new else text for new, text in parts).replace("``", "")


def _bold(text: str) -> str:
    """Put asterisks around words, inside of the blanks, commas and parentheses at their ends, as Markdown wants it."""
    found = _EDGE.match(text)
    assert found is not None, "it matches anything"
    before, words, after = found.groups()
    if words.count("(") > words.count(")") and after.startswith(")"):
        words, after = f"{words})", after[1:]
    return f"{before}**{words}**{after}"


def _proposed(ring: str) -> list[Row]:
    """Give the text of a ring as it should be: number, sentence with what is added in bold, the mends that add it.

    Where nothing is added the sentence is that of the steps, as the table has it.
    """
    rows = sorted(_items(ring), key=lambda row: (LISTS.index(row[0]), row[1]))
    notes = [s for s in protocol.sentences(ring) if not s.number]
    return [
        *((f"{listed}, {number}", text, mends) for listed, number, text, mends in rows),
        *(("behind the lists", bold(note, note.mends), ", ".join(note.mends)) for note in notes),
    ]


def _items(ring: str) -> Iterator[tuple[str, str, str, str]]:
    """Yield the items of a ring's lists: list, number, sentence, mends."""
    known = {(s.place, s.number): s for s in protocol.sentences(ring) if s.number and s.text()}
    for sentence in (s for s in protocol.sentences(ring) if s.number):
        yield sentence.place, sentence.number, bold(sentence, sentence.mends), ", ".join(sentence.mends)
    told: dict[tuple[str, str], list[str]] = {}
    for step in protocol.table(Subject(ring, "hardened")).steps.values():
        listed, found = numbers(step.text, "hardened")
        if left := [number for number in found if (listed, number) not in known]:
            told.setdefault((listed, " and ".join(left)), []).append(step.sentence)
    added = {(s.place, s.number) for s in protocol.sentences(ring) if s.number} - known.keys()
    for (listed, number), sentences in told.items():
        if (listed, number) not in added:
            yield listed, number, " ".join(sentences), ""
