"""What the text should say: sentences of ours, each with the number of the text that it belongs to and its step ids.

A *mend* is what one patch of the text is about: a defect of it, a choice that it leaves open, or the order of its
stores. A `Sentence` is a numbered item of the text (or, without a number, one that follows the lists), in words of
ours: words without a mend say what the text says now, words with one are added by that mend. No mend takes words or
numbers away, so that a number means the same in the text and in the proposal.

docs/errata.md, `mend` and `explain` are made from these sentences; tests hold them against the tables of `merged` and
`hardened`, against the mutants that a run kills, and against the recorded verdicts of the gaps.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

__all__ = ["LISTS", "Mend", "Sentence", "Words", "literals", "numbers"]

LISTS = ("receiving", "supplying", "reconnecting")
"""The numbered lists of the text, by the word that begins them."""

_REVISIONS = ("v6", "merged", "hardened")
_NUMBER = re.compile(r"\d(?:\([a-z]\))?")
_LITERAL = re.compile(r"``([^`]+)``")


@dataclass(frozen=True)
class Mend:
    """A name, what it is about, and its kind: ``erratum``, ``order``, or ``gap`` (a choice that needs a default)."""

    name: str
    kind: str
    about: str
    edit: str = ""
    """The edit of `hardened` that does to the table what it does to the text."""
    needs: tuple[str, ...] = ()
    """Mends without which this one does harm."""


@dataclass(frozen=True)
class Words:
    """Part of a sentence: with a mend, it is added by that.

    `orders` are those of stores (and of reads that race with them) that it states: the first of a pair comes before
    the second. `steps` are those that it changes or rests on, where it states no order.
    """

    text: str
    mend: str | None = None
    orders: tuple[tuple[str, str], ...] = ()
    steps: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sentence:
    """An item of a list, by its number (``1(c)``), a paragraph that is added to one, or a sentence of none."""

    place: str
    words: tuple[Words, ...]
    number: str = ""

    @property
    def mends(self) -> tuple[str, ...]:
        """The mends that add to it, in the order of its words."""
        return tuple(dict.fromkeys(w.mend for w in self.words if w.mend is not None))

    @property
    def steps(self) -> tuple[str, ...]:
        """The ids of the steps that it speaks of."""
        return tuple(dict.fromkeys(s for w in self.words for s in (*w.steps, *(s for pair in w.orders for s in pair))))

    def text(self, mends: Collection[str] = ()) -> str:
        """Give it with what some mends add (none: what the text says now), literals between double backticks."""
        return "".join(w.text for w in self.words if w.mend is None or w.mend in mends)

    def added(self, mend: str) -> tuple[str, ...]:
        """Give the words that a mend adds."""
        return tuple(w.text for w in self.words if w.mend == mend)


def literals(texts: Iterable[str]) -> tuple[str, ...]:
    """Give the names between double backticks, each once, in their order."""
    return tuple(dict.fromkeys(name for text in texts for name in _LITERAL.findall(text)))


def numbers(text: str, revision: str) -> tuple[str, tuple[str, ...]]:
    """Give the list and the numbers in it that a step's place names for a revision; nothing if it names none.

    A place is written ``v6 receiving, 2(b); merged receiving, 2(d)``: a revision's numbers hold until a later one has
    others.
    """
    found: tuple[str, tuple[str, ...]] = ("", ())
    for part in text.split(";"):
        of, _, rest = part.strip().partition(" ")
        listed, _, where = rest.partition(", ")
        if of in _REVISIONS and listed in LISTS and _REVISIONS.index(of) <= _REVISIONS.index(revision):
            found = listed, tuple(_NUMBER.findall(where.partition(":")[0]))
    return found
