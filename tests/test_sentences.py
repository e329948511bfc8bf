"""Documents take sentences from the tables, by ids: none is written down a second time, and bold is what is added."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from model import protocol
from model.proposal import LISTS
from model.protocol import Subject
from tools import pages
from tools.sentences import bold, part
from vhost_inflight.mend.places import flat

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
WRITTEN_ELSEWHERE = {"orders.md", "orders-packed.md"}
"""Written from the record of the mutants as a whole."""

SENTENCES = [(ring, s) for ring in protocol.RINGS for s in protocol.sentences(ring)]


def by_hand(text: str) -> str:
    """Give the words of a document that are neither generated nor code."""
    text = re.sub(r"<!-- generated: .*?<!-- end -->", "", text, flags=re.DOTALL)
    return flat("\n".join(line for line in text.splitlines() if not line.startswith("    "))).lower()


def quoted(text: str) -> set[str]:
    """Give the ids of the steps whose sentence, or what should be said of them, stands in a document."""
    words = by_hand(text)
    subjects = [Subject(ring, revision) for ring in protocol.RINGS for revision in protocol.revisions(ring)]
    tables = [protocol.table(subject) for subject in subjects]
    steps = {(step.sentence, step.id) for table in tables for step in table.steps.values()}
    mends = {(words, mend) for _, s in SENTENCES for mend in s.mends for words in s.added(mend)}
    return {name for sentence, name in steps | mends if len(said := flat(sentence).lower()) > 25 and said in words}


@pytest.mark.parametrize("page", [p for p in DOCUMENTS if p.name not in WRITTEN_ELSEWHERE], ids=lambda p: p.name)
def test_no_sentence_is_written_twice(page: Path) -> None:
    """A quotation would drift: `tools.pages` has parts for it."""
    assert quoted(page.read_text(encoding="utf-8")) == set()


def test_a_quotation_is_found() -> None:
    """Over a line's end, and with marks; code and generated parts may have it."""
    sentence = "Set the inflight field of the next\nentry of the `free` list to 0"
    assert quoted(f"It says: *{sentence}*.".replace("*", "")) == {"packed.reconnect.3"}
    assert quoted(f"<!-- generated: x -->\n{sentence}\n<!-- end -->") == set()
    assert quoted("text, free_head after the other two; text") == {"half-rolled-back"}


def test_bold_is_what_is_added() -> None:
    """Without what is bold a sentence says what it says without any mend; the bold words are those of the mends."""
    for _, sentence in SENTENCES:
        written = bold(sentence, sentence.mends)
        assert letters(re.sub(r"\*\*.*?\*\*", "", written)) == letters(sentence.text())
        spans = "".join(re.findall(r"\*\*(.*?)\*\*", written))
        added = "".join(w.text for w in sentence.words if w.mend is not None)
        assert letters(spans) == letters(added)


def letters(text: str) -> str:
    """Give a text without blanks and punctuation, which stand on either side of the asterisks."""
    return re.sub(r"\W", "", text)


def test_bold_is_rendered() -> None:
    """Markdown wants no blank inside of the asterisks, and no letter next to one that punctuation follows."""
    for _, sentence in SENTENCES:
        for found in re.finditer(r"(^|.)\*\*(.*?)\*\*(.|$)", bold(sentence, sentence.mends)):
            before, inside, after = found.groups()
            assert inside == inside.strip()
            assert inside[0].isalnum() or not before.isalnum()
            assert inside[-1].isalnum() or not after.isalnum()


def test_one_mend_alone() -> None:
    """Other mends of the same item are left out."""
    _, rows = part("mended flags-compare") or ((), [])
    ((ring, place, text),) = rows
    assert (ring, place) == ("packed", "reconnecting, 1(c)")
    assert "**AVAIL and USED are compared, and no other bit**" in text
    assert "settled" not in text


@pytest.mark.parametrize(
    "name",
    [
        "steps packed merged packed.reconnect.unmark",
        "steps packed draft packed.reconnect.1",
        "steps round merged x",
        "steps packed merged",
        "proposed round",
        "mended no-order",
        "mended",
    ],
)
def test_what_there_is_not(name: str) -> None:
    """A part that asks for a step of another revision, or for no mend, is an error, not an empty table."""
    with pytest.raises(LookupError):
        pages.block(name)


def test_the_text_as_it_should_be_is_whole() -> None:
    """Each numbered step of the table is in it, in the order of the lists, and each sentence of the proposal."""
    for ring in protocol.RINGS:
        _, rows = part(f"proposed {ring}") or ((), [])
        text = flat(" ".join(row[1] for row in rows).replace("**", ""))
        table = protocol.table(Subject(ring, "hardened"))
        spoken = {step for s in protocol.sentences(ring) for w in s.words for step in w.steps if s.number}
        numbered = [s for s in table.steps.values() if re.match(r"(v6|merged|hardened) \w+, \d", s.text)]
        assert [s.id for s in numbered if flat(s.sentence) not in text and s.id not in spoken] == []
        assert [s for s in protocol.sentences(ring) if flat(s.text(s.mends)) not in text] == []
        places = [row[0] for row in rows if row[0] != "behind the lists"]
        assert places == sorted(places, key=lambda place: (LISTS.index(place.partition(",")[0]), place))
