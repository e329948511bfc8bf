"""The pictures: they say what the tables say, are the same each time, and those in docs/ are up to date."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import diagrams
from diagrams._all import counterexample
from diagrams._play import Run, play
from model import layout, protocol
from model.protocol import Subject
from model.record import SHARED
from model.steps import Remove, Replace
from model.terms import ModelError
from proofs.search.breadth_first import Bounds, explore, table_for

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
SCHEDULES = sorted((DOCS / "thread").glob("*.json"))
PROCEDURES = ("recover", "fetch", "supply", "driver", "rest")
WIDEST = 800
"""Points: what is still legible when it is shown at the width of a page."""


def load(name: str) -> dict[str, Any]:
    """Read one of the thread's schedules."""
    return dict(json.loads((DOCS / "thread" / f"{name}.json").read_text(encoding="utf-8")))


def nodes(dot: str) -> set[str]:
    """Give the names of a graph's nodes."""
    return set(re.findall(r'^  "([^"]*)" \[', dot, re.MULTILINE))


def edges(dot: str) -> list[tuple[str, str, str]]:
    """Give the edges of a graph, with their attributes, turned as they are drawn."""
    found = re.findall(r'^  "([^"]*)" -> "([^"]*)" \[(.*)\];$', dot, re.MULTILINE)
    backwards = ('dir="back"', 'arrowhead="dot"')
    return [(b, a, text) if any(word in text for word in backwards) else (a, b, text) for a, b, text in found]


def test_docs_are_up_to_date() -> None:
    """What is checked in is what the tables give now; `make docs` writes it anew."""
    assert diagrams.check(DOCS / "diagrams") == []
    assert {p.stem for p in (DOCS / "diagrams").glob("*.svg")} == set(diagrams.names())


def test_same_text_in_another_process() -> None:
    """DOT depends on no hash seed and on no order in which things happen to be drawn."""
    script = "import diagrams; print(''.join(diagrams.draw(n) for n in reversed(diagrams.names())), end='')"
    other = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": str(ROOT)},
    )
    assert other.stdout == "".join(diagrams.draw(name) for name in reversed(diagrams.names()))


@pytest.mark.parametrize("revision", ["v6", "merged", "hardened"])
@pytest.mark.parametrize("procedure", PROCEDURES)
@pytest.mark.parametrize("ring", protocol.RINGS)
def test_every_step_and_label_is_drawn(ring: str, revision: str, procedure: str) -> None:
    """A state diagram has each step of the table, each label, and arrows from step to label that the table has."""
    dot = diagrams.states(ring, revision, procedure)
    table = protocol.table(Subject(ring, revision))
    steps = table.of(procedure)
    labels = {label for s in steps for label in (*s.at, s.to) if label is not None}
    assert {s.id for s in steps} | {f"at {label}" for label in labels} <= nodes(dot)
    arrows = {(a, b) for a, b, text in edges(dot) if '"vee"' not in text}
    assert {(s.id, f"at {target}") for s in steps for target in ([s.to] if s.to else s.at)} <= arrows
    assert all(a.startswith("from ") or a == "start" or a in table.steps for a, _ in arrows)


@pytest.mark.parametrize("procedure", PROCEDURES)
@pytest.mark.parametrize("ring", protocol.RINGS)
def test_crash_points_are_the_stores(ring: str, procedure: str) -> None:
    """What leaves a step is drawn as a crash point if, and only if, the step stores to shared memory."""
    table = protocol.table(Subject(ring, "merged"))
    storing = {
        r.step.id
        for r in table.recorded()
        if r.step.procedure == procedure and any(table.vars[a.name].kind in SHARED for a in r.assigns)
    }
    drawn = {a for a, _, text in edges(diagrams.states(ring, "merged", procedure)) if '"dot"' in text}
    assert drawn == storing


def test_differences_from_v6_are_marked() -> None:
    """What merged inserted or replaced is marked, and nothing in v6 is, since nothing comes before it."""
    merged = {p: diagrams.states("split", "merged", p) for p in PROCEDURES}
    # Each number is that of the steps, and one more for the legend.
    inserted = {p: dot.count("inserted by merged") for p, dot in merged.items()}
    assert inserted == {"recover": 1 + 1, "fetch": 2 + 1, "supply": 0, "driver": 0, "rest": 0}
    assert merged["recover"].count("replaced by merged") == 1 + 1
    assert all(" by " not in diagrams.states("split", "v6", p).replace("by the size", "") for p in PROCEDURES)


def test_what_hardened_changes_is_marked() -> None:
    """On the packed ring hardened inserts three steps of recovery and replaces some; elsewhere it changes nothing."""
    hardened = {p: diagrams.states("packed", "hardened", p) for p in PROCEDURES}
    # Each number is that of the steps, and one more for the legend.
    assert hardened["recover"].count("inserted by hardened") == 3 + 1
    replaced = {f"packed.{name}" for name in ("reconnect.1", "reconnect.1a", "reconnect.2a", "reconnect.3", "position")}
    assert hardened["recover"].count("replaced by hardened") == len(replaced) + 1
    assert all("by hardened" not in dot for procedure, dot in hardened.items() if procedure != "recover")


def test_unknown_procedure() -> None:
    """A procedure that has no labels cannot be drawn."""
    with pytest.raises(ValueError, match="crash cannot be drawn; there are: recover, fetch, supply, driver, rest"):
        diagrams.states("split", "merged", "crash")


@pytest.mark.parametrize("ring", layout.RINGS)
def test_region_has_every_field_in_its_width(ring: str) -> None:
    """Each row of a region's picture is eight bytes wide, and the fields' cells add up to their widths."""
    dot = diagrams.region_layout(ring)
    for text in re.findall(r"<TR>(<TD ALIGN=\"right\".*?)</TR>", dot):
        assert sum(int(span) for span in re.findall(r'COLSPAN="(\d+)"', text)) == 8
    for revision in layout.REVISIONS:
        shown = layout.region(ring, revision)
        for field in (*shown.header.fields, *shown.entry.fields):
            name = field.name if field.width > 1 else field.name.replace("_", "_<BR/>")
            assert f">{name}</FONT></TD>" in dot
        assert f"{shown.header.size} bytes, then {shown.entry.size} bytes for each descriptor" in dot


def test_counterexample_as_timeline() -> None:
    """The timeline of v6's counterexample has its crash, its stores, and the property that it violates."""
    schedule = counterexample("split", "v6", "order")
    dot = diagrams.timeline(schedule)
    crashes = [n for n, event in enumerate(schedule["schedule"], start=1) if event[0] == "crash"]
    assert crashes
    assert all(f">{n}  the back-end is killed" in dot for n in crashes)
    assert "violates order: " in dot
    run = play(schedule)
    assert all(store.text() in dot for moment in run.moments for store in moment.stores)


def cells(dot: str, number: int) -> list[str]:
    """Give the cells of the row of an event of a timeline, without their markup."""
    found = re.search(rf">{number}</FONT></TD>(.*?)</TR>", dot)
    assert found, number
    plain = (re.sub(r"<BR/>", " ", text) for text in re.findall(r"<TD.*?>(.*?)</TD>", found[1]))
    return [re.sub(r"<.*?>", "", text) for text in plain]


def test_packed_timeline_shows_slots_and_lists() -> None:
    """A packed run has the slots' flags in words, the free list walked, and indexes with their wrap counters."""
    dot = diagrams.timeline(diagrams.erratum("marked-used"))
    inflight, no_list, start = "1 1", "-", "0/1"
    # Event 69 marks the later slot of a batch of two: then comes the crash, and nothing takes the mark back.
    assert cells(dot, 69)[2:] == [
        "ring.desc[1].flags := AVAIL USED", "0 AVAIL", "1 AVAIL USED", inflight, "1 0", no_list, "0/0", start,
        start, "-",
    ]  # fmt: skip
    assert ">70  the back-end is killed" in dot
    assert cells(dot, 95)[2:8] == [
        "ring.desc[0].flags := AVAIL USED", "0 AVAIL USED", "1 AVAIL USED", inflight, "0", no_list,
    ]  # fmt: skip
    assert "packed.init" not in dot


def test_stores_of_a_run() -> None:
    """The same run as rows: what a step stores, from which value to which, the flags of a slot as one field."""
    events = {e.number: e for e in diagrams.stores(diagrams.erratum("marked-used"))}
    (flags,) = events[69].changes
    assert (events[69].step, flags.field, flags.old, flags.new) == (
        "packed.supply.7", "ring.desc[1].flags", "AVAIL", "AVAIL USED",
    )  # fmt: skip
    (idx,) = events[75].changes
    assert (events[75].step, idx.field, idx.old, idx.new) == ("packed.reconnect.2b", "region.used_idx", "0", "0")


def test_run_of_a_mutant_is_drawn() -> None:
    """A schedule of a mutant is played on the changed table, and the picture says so."""
    dot = diagrams.timeline(diagrams.erratum("half-rolled-back"))
    assert "hardened, mutant edit roll-back-free-head-last" in dot
    assert "violates nothing-lost" in dot


def test_recorded_counterexample_is_drawn() -> None:
    """What is drawn violates what it should; where nothing is recorded, that is said."""
    assert play(counterexample("split", "v6", "order")).violated == "order"
    with pytest.raises(LookupError, match="no violation of order is recorded for split merged"):
        counterexample("split", "merged", "order")


def test_timeline_marks_what_changed() -> None:
    """A cell is marked where a store changed it, and nowhere else."""
    run = play(load("b-used-v6"))
    columns = ("avail.ring", "avail.idx", "region.desc[].inflight", "region.last_batch_head", "used.ring[].id",
               "used.idx", "region.used_idx")  # fmt: skip
    changes = sum(run.value(m.before, c) != run.value(m.after, c) for m in run.moments for c in columns)
    device = sum(m.id in ("split.fetch.submit", "split.reconnect.2", "device.finish") for m in run.moments)
    assert diagrams.timeline(load("b-used-v6")).count('BGCOLOR="#ffd8b5"') == changes + device


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "another"}, "not a schedule: its format is 'another'"),
        ({"mutant": "drop no.such.step"}, "there is no mutant 'drop no.such.step' of split v6"),
        ({"schedule": [["split.start.adopt"]]}, "event 1 of the schedule: split.start.adopt is not enabled here"),
        ({"schedule": [["driver.make.1", 9]]}, "driver.make.1 9 is not enabled here"),
        ({"revision": "v7"}, "there is no revision 'v7'"),
    ],
)
def test_bad_schedules(change: dict[str, Any], message: str) -> None:
    """What cannot be played is refused with the reason."""
    with pytest.raises(ModelError, match=re.escape(message)):
        diagrams.timeline({**load("b-used-v6"), **change})


def test_impossible_notification() -> None:
    """A schedule with notifications is not played without them when it goes wrong."""
    with pytest.raises(ModelError, match=re.escape("event 1 of the schedule: driver.wake is not enabled here")):
        diagrams.timeline({**load("b-used-v6"), "schedule": [["driver.wake"]]})


def test_write_and_check(tmp_path: Path) -> None:
    """What was just written is up to date; what was changed, is missing or is of no table is named."""
    out = tmp_path / "new" / "diagrams"
    written = diagrams.write(out, render=False)
    assert written == sorted(out / f"{name}.dot" for name in diagrams.names())
    assert diagrams.check(out) == []
    (out / "split-fetch.dot").write_text("digraph {}\n", encoding="utf-8")
    (out / "split-rest.dot").unlink()
    (out / "old.dot").write_text("digraph {}\n", encoding="utf-8")
    assert diagrams.check(out) == ["old.dot", "split-fetch.dot", "split-rest.dot"]


def test_pictures_fit_a_page(tmp_path: Path) -> None:
    """Every picture is rendered, and none is wider than a page."""
    written = diagrams.write(tmp_path)
    assert len(written) == 2 * len(diagrams.names())
    for path in written:
        if path.suffix == ".svg":
            width = re.search(r'<svg width="(\d+)pt"', path.read_text(encoding="utf-8"))
            assert width is not None
            assert int(width[1]) <= WIDEST, path.name


def test_bad_dot_is_refused() -> None:
    """What Graphviz cannot read is our error, with what Graphviz says."""
    with pytest.raises(diagrams.RenderError, match="refused a picture"):
        diagrams.render("this is no graph")


def test_dot_on_path_is_preferred(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is a `dot`, it renders; what it complains of is passed on."""
    fake = tmp_path / "dot"
    fake.write_text('#!/bin/sh\nread line\n[ "$line" = bad ] && { echo broken >&2; exit 3; }\necho "$1 $line"\n')
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert diagrams.render("digraph {}\n", "png") == b"-Tpng digraph {}\n"
    with pytest.raises(diagrams.RenderError, match="broken"):
        diagrams.render("bad\n")


def test_without_any_graphviz(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing can render, the error says what to install."""

    def missing(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr("shutil.which", lambda _: None)
    monkeypatch.setattr("importlib.import_module", missing)
    with pytest.raises(diagrams.RenderError, match="apt-get install graphviz"):
        diagrams.render("digraph {}")


# docs/thread.md: what it says is what the model does.

HEADS = {"A": 2, "B": 1, "C": 0}


def memory(run: Run, number: int) -> str:
    """Write the memory after an event as docs/thread.md shows it."""
    state = run.moments[number - 1].after
    fields = ["inflight", "next", *(["counter"] if run.subject.revision == "merged" else [])]
    rows = [
        f"| after event {number} | " + " | ".join(f"{name} (head {head})" for name, head in HEADS.items()) + " |",
        "|---|" + "---|" * len(HEADS),
    ]
    for field in fields:
        values = run.value(state, f"region.desc[].{field}")
        rows.append(f"| desc[].{field} | " + " | ".join(str(values[h]) for h in HEADS.values()) + " |")
    scalars = ("region.last_batch_head", "region.used_idx", "used.idx", "avail.idx")
    rows.append("\n" + ", ".join(f"`{name}` {run.value(state, name)}" for name in scalars) + ".")
    return "\n".join(rows)


MEMORY = [
    ("b-used-v6", 34),
    ("b-used-v6", 43),
    ("b-used-merged", 41),
    ("used-not-cleared", 48),
    ("used-not-cleared", 55),
    ("batch-of-three", 60),
    ("b-twice", 62),
]


@pytest.mark.parametrize(("name", "number"), MEMORY)
def test_memory_in_the_thread(name: str, number: int) -> None:
    """Each table of memory in docs/thread.md is what the model has there."""
    assert memory(play(load(name)), number) in (DOCS / "thread.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "violated", "again"),
    [
        ("b-twice", None, []),
        ("b-used-merged", None, ["A", "C"]),
        ("b-used-v6", "order", ["C", "A"]),
        ("batch-of-three", None, []),
        ("not-published", None, ["A", "B", "C"]),
        ("used-and-reused", None, ["A", "C"]),
        ("used-not-cleared", None, ["A", "C"]),
    ],
)
def test_resubmission_in_the_thread(name: str, violated: str | None, again: list[str]) -> None:
    """Each of the thread's runs resubmits what docs/thread.md says, in that order, and violates only what it says."""
    run = play(load(name))
    assert run.violated == violated
    assert [m.choice for m in run.moments if m.id == "split.reconnect.2"] == [HEADS[who] for who in again]


def test_every_schedule_of_the_thread_is_used() -> None:
    """No schedule lies about that docs/thread.md does not speak of."""
    text = (DOCS / "thread.md").read_text(encoding="utf-8")
    assert [p.name for p in SCHEDULES if f"thread/{p.name}" not in text] == []


@pytest.mark.parametrize(
    ("what", "edits", "violated"),
    [
        ("next is not stored", [Remove("split.supply.2")], "no-used-resubmitted"),
        ("next is not stored, one request a batch",
         [Remove("split.supply.2"), Replace("split.supply.1", {"at": ("idle",)})], None),
        ("a mismatch is not repaired", [Replace("split.reconnect.1a", {"to": "position"})], "no-used-resubmitted"),
    ],
)  # fmt: skip
def test_what_the_batch_list_is_for(what: str, edits: list[Any], violated: str | None) -> None:
    """Without `next` a batch of two is done twice after a crash, a batch of one is not; without the repair, either."""
    subject, wanted = Subject("split", "v6"), frozenset({"no-used-resubmitted"})
    bounds = Bounds(2, 3, 1)
    found = explore(table_for(subject, wanted).edited(edits), protocol.sizes(subject, 2), bounds, wanted)
    assert found.violated == violated, what
    assert found.complete
