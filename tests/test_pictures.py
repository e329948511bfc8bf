"""The pictures in docs/ as a reader sees them: no text is cut, a slide can be read, nothing is hidden."""

from __future__ import annotations

import html
import re
from collections import Counter
from pathlib import Path

import pytest

import diagrams
from diagrams import _slides
from diagrams._flow import procedures
from diagrams._play import play
from diagrams._slides import pieces, slides
from model import protocol
from model.protocol import Subject
from model.record import record_term
from model.steps import Step, Table
from model.terms import choice, show
from tests.svg import Picture, contrast

DOCS = Path(__file__).parent.parent / "docs"
SVGS = sorted((DOCS / "diagrams").glob("*.svg"))
FOR_SLIDES = [p for p in SVGS if "-slide-" in p.stem or p.stem.endswith("-end")]

SLIDE = (960, 540)
"""Points: a slide of 13.3 by 7.5 inches."""

DRAWN = [
    *((ring, "merged", procedure) for ring in protocol.RINGS for procedure in procedures(ring, "merged")),
    ("packed", "hardened", "recover"),
]
"""The procedures that there are pictures of."""


def picture(path: Path) -> Picture:
    """Read a picture."""
    return Picture(path.read_text(encoding="utf-8"))


def enlarged(drawn: Picture) -> float:
    """Give the size in points of a picture's smallest text where the picture fills a slide."""
    return drawn.smallest() * min(SLIDE[0] / drawn.width, SLIDE[1] / drawn.height)


def fits(path: Path) -> bool:
    """Say whether a picture can be read on a slide."""
    return enlarged(picture(path)) >= 10


def words(text: str) -> str:
    """Give text without its markup, its line breaks and its spaces."""
    return re.sub(r"\s", "", html.unescape(re.sub(r"<[^>]*>", "", text)))


def labels(dot: str) -> list[str]:
    """Give the words of a graph's labels, with and without markup."""
    return [words(a or b) for a, b in re.findall(r'\blabel=(?:<(<.*?>)>|"([^"]*)")[,\]]', dot)]


@pytest.mark.parametrize("path", SVGS, ids=lambda p: p.stem)
def test_no_text_is_cut(path: Path) -> None:
    """Each text keeps within the box that it stands in, and does not touch its border."""
    assert picture(path).overflowing() == []


@pytest.mark.parametrize("path", SVGS, ids=lambda p: p.stem)
def test_every_text_stands_out(path: Path) -> None:
    """Each text has the contrast with what is behind it that WCAG 2 asks for."""
    drawn = picture(path)
    assert {(t.colour, drawn.ground(t)) for t in drawn.texts if contrast(t.colour, drawn.ground(t)) < 4.5} == set()


@pytest.mark.parametrize("path", SVGS, ids=lambda p: p.stem)
def test_what_is_rendered_is_what_is_compared(path: Path) -> None:
    """A picture says what its DOT says; only the DOT is compared with the tables."""
    dot = path.with_suffix(".dot").read_text(encoding="utf-8")
    shown = Counter("".join(words(t.content) for t in picture(path).texts))
    assert shown == Counter("".join(labels(dot)))


@pytest.mark.parametrize("path", FOR_SLIDES, ids=lambda p: p.stem)
def test_slides_can_be_read(path: Path) -> None:
    """On a slide, steps have 12 points at least, tables of runs and regions 10; and no picture is higher than wide."""
    drawn = picture(path)
    table = path.stem.endswith("-end") or "-region-" in path.stem
    assert enlarged(drawn) >= (10 if table else 12)
    assert drawn.width >= drawn.height


def test_long_pictures_have_a_form_for_slides() -> None:
    """What does not fit a slide, text of 10 points and all, has another form that does."""
    names = {p.stem for p in FOR_SLIDES}
    without = [p.stem for p in SVGS if not fits(p) and not {f"{p.stem}-slide-1", f"{p.stem}-end"} & names]
    assert without == []


def expected_guard(table: Table, step: Step) -> str:
    """Write the condition of a step, by a way of its own, as a picture has to show it."""
    term = record_term(table.vars, step.when, *((choice(),) if step.choice else ()))
    if term.args:
        return words(f"if {show(term)[1:-1]}")
    shared = any(other is not step and set(other.at) & set(step.at) for other in table.of(step.procedure))
    return "alwayspossible" if shared else ""


@pytest.mark.parametrize(("ring", "revision", "procedure"), DRAWN)
def test_every_choice_shows_its_condition(ring: str, revision: str, procedure: str) -> None:
    """Where several steps leave a label, one sees of each when it is taken: in the whole picture and on a slide."""
    table = protocol.table(Subject(ring, revision))
    whole = labels(diagrams.states(ring, revision, procedure))
    on_slides = [label for dot in slides(ring, revision, procedure) for label in labels(dot)]
    for step in table.of(procedure):
        said = expected_guard(table, step)
        assert any(step.id in label and said in label for label in whole), step.id
        assert any(step.id + said in label for label in on_slides), step.id


def test_unmark_comes_first() -> None:
    """At `clear` of the packed recovery of hardened, all four steps show that slots are unmarked before the rest."""
    (label,) = [label for label in labels(slides("packed", "hardened", "recover")[3]) if "packed.position" in label]
    assert "size<=recover.aheadandrecover.marked==0" in label
    dot = diagrams.states("packed", "hardened", "recover")
    said = {name: next(label for label in labels(dot) if label.startswith(f"packed.{name}")) for name in (
        "position", "reconnect.3", "reconnect.unmark.look", "reconnect.unmarkinserted",
    )}  # fmt: skip
    assert all("recover.marked==" in text for text in said.values())


@pytest.mark.parametrize(("ring", "revision", "procedure"), DRAWN)
def test_slides_leave_nothing_out(ring: str, revision: str, procedure: str) -> None:
    """Each step is on a slide with its sentence, and a dashed label says on which slide it goes on."""
    table = protocol.table(Subject(ring, revision))
    drawn = slides(ring, revision, procedure)
    assert len(drawn) == pieces(ring, procedure)
    said = "".join(label for dot in drawn for label in labels(dot))
    assert all(step.id in said and words(step.sentence) in said for step in table.of(procedure))
    for number, dot in enumerate(drawn, start=1):
        for name, place in re.findall(r'^  "at ([^"]+)" \[.*label="[^"]* \((\d+)\)".*dashed', dot, re.MULTILINE):
            assert int(place) != number
            assert f'label="{name}", margin' in drawn[int(place) - 1]


def test_a_slide_without_a_place_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A label at which ways part, and that no piece has, is an error and not a step that nobody sees."""
    known = _slides._PIECES
    first, *rest = known["split", "recover"]
    monkeypatch.setitem(known, ("split", "recover"), (first, *rest[1:]))
    with pytest.raises(ValueError, match="split merged recover: no slide has the labels clear, compared"):
        slides("split", "merged", "recover")


@pytest.mark.parametrize("name", diagrams.errata())
def test_slots_show_every_flag(name: str) -> None:
    """A slot's column has the flags that a store sets, NEXT as well."""
    run = play(diagrams.erratum(name))
    dot = diagrams.timeline(diagrams.erratum(name))
    for event in diagrams.stores(diagrams.erratum(name)):
        for change in event.changes:
            slot = re.fullmatch(r"ring\.desc\[(\d)\]\.flags", change.field)
            row = re.search(rf">{event.number}</FONT></TD>(.*?)</TR>", dot)
            if slot and row and change.new != "no flags":
                cells = [re.sub(r"<.*?>", "", text) for text in re.findall(r"<TD.*?>(.*?)</TD>", row[1])]
                assert cells[2] == f"{change.field} := {change.new}"
                assert cells[3 + int(slot[1])].partition(" ")[2] == change.new
    assert run.violated


def test_next_is_shown() -> None:
    """The run of a chain of two has a slot that is NEXT and AVAIL."""
    assert "NEXT AVAIL</B>" in diagrams.timeline(diagrams.erratum("whole-ring"))


@pytest.mark.parametrize("name", diagrams.errata())
def test_end_of_a_run(name: str) -> None:
    """The short form has the last 15 rows as the long one has them, and a row that says what came before."""
    schedule = diagrams.erratum(name)
    rows = [re.findall(r"<TR>.*?</TR>", diagrams.timeline(schedule, last)) for last in (None, 15)]
    whole, end = rows
    assert end[-16:] == whole[-16:]
    assert len(end) == 15 + 4  # and the title, the columns' names, what came before, what is violated
    before = words(end[2])
    numbers = re.findall(r'SIZE="10">(\d+)</FONT></TD>|>(\d+)  the', "".join(whole[2:-16]))
    cut = [int(one or other) for one, other in numbers]
    (first, last) = map(int, re.findall(r"before,inevents(\d+)to(\d+):", before)[0])
    assert first <= cut[0]
    assert last == cut[-1]
    events = [e for e in diagrams.stores(schedule) if first <= e.number <= last]
    for what, step in (
        ("madeavailable", "driver.make.head"),
        ("fetched", "packed.fetch.submit"),
        ("finishedbythedevice", "device.finish"),
        ("seenbythedriverasused", "driver.use"),
    ):
        told = re.findall(rf"(\d+)(?:requests?)?{what}", before)
        assert sum(map(int, told)) == sum(e.step == step for e in events), what
    assert before.count("theback-endkilledafter") == sum(e.step == "crash" for e in events)


def test_a_short_run_has_no_end() -> None:
    """What has no more rows than asked for is drawn as it is."""
    schedule = diagrams.erratum("whole-ring")
    assert diagrams.timeline(schedule, 19) == diagrams.timeline(schedule)


def test_every_picture_has_a_page() -> None:
    """No picture lies about that no document shows or links."""
    pages = [*DOCS.glob("*.md"), DOCS.parent / "README.md"]
    text = "".join(page.read_text(encoding="utf-8") for page in pages)
    assert [name for name in diagrams.names() if f"diagrams/{name}.svg" not in text] == []


def test_pages_show_what_fits() -> None:
    """What a document shows, and does not only link, can be read at a glance: it fits a slide."""
    pages = [*DOCS.glob("*.md"), DOCS.parent / "README.md"]
    shown = {
        name for page in pages for name in re.findall(r"!\[[^]]*\]\([^)]*/([\w-]+)\.svg\)", page.read_text("utf-8"))
    }
    assert shown
    assert [name for name in sorted(shown) if not fits(DOCS / "diagrams" / f"{name}.svg")] == []
