"""What `verify` prints and leaves in files: tables on a terminal, a verdict a line elsewhere, and the answer always."""

from __future__ import annotations

import re
import subprocess
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import z3
from rich.console import Console

from model import protocol
from model.properties import NAMES
from proofs import report, verify
from proofs.challenges import canaries, selfcheck
from proofs.challenges.hypotheses import Believed
from proofs.induction import engine, show
from proofs.induction.engine import Outcome
from proofs.induction.work import Work
from proofs.record import _verdict as record_of
from proofs.search.bounds import Bounds
from proofs.search.breadth_first import Found
from proofs.verdicts import Judged, Schedule, Verdict, load_schedule, recorded, recorded_folder
from proofs.written import FOLDER, counterexamples
from tools.beside import Beside
from vhost_inflight.telling import write_json

ROOT = Path(__file__).parents[2]
RECORD = [Judged(v, v, 0.1) for ring in protocol.RINGS for v in recorded(ring)]
BROKEN = [one for one in RECORD if one.now.counterexample and not one.now.gaps]
NEW = Schedule("split", "v6", {"reset": "kept"}, "order", 2, 2, 0, False, (("split.start.fresh",),))
FOUND = Judged(Verdict("split", "v6", {"reset": "kept"}, "order", "violated", (Bounds(2, 1, 1),)), None, 0.1, NEW)


def shown(capsys: pytest.CaptureFixture[str], *, terminal: bool, judged: list[Judged] = RECORD) -> list[str]:
    """Print verdicts on what is a terminal or is not."""
    console = Console(soft_wrap=True, force_terminal=terminal, width=80, color_system=None)
    report.show(console, judged, ["a note"], 1.0)
    return capsys.readouterr().out.splitlines()


# Lines.


@pytest.mark.campaign
def test_off_a_terminal_each_verdict_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Ring, revision, choices and property, a colon, what is known: no name is broken, no line is padded."""
    lines = shown(capsys, terminal=False)
    assert len(lines) > len(RECORD)
    for one, line in zip(RECORD, lines, strict=False):
        v = one.now
        gaps = "".join(f" {g}={c}" for g, c in v.gaps.items())
        assert line.startswith(f"{v.ring} {v.revision}{gaps} {v.property}: {v.verdict}")
    assert "split merged fetch-position=used-idx no-used-resubmitted: violated (" in "\n".join(lines)
    assert "split hardened drains: proved" in lines
    assert not any(line != line.rstrip() for line in lines)


def test_a_difference_is_a_line_that_names_both(capsys: pytest.CaptureFixture[str]) -> None:
    """What was recorded, and what came out."""
    was = RECORD[0].now
    now = Verdict(was.ring, was.revision, was.gaps, was.property, "unknown")
    (line,) = (x for x in shown(capsys, terminal=False, judged=[Judged(now, was, 0.1)]) if "DIFFERS" in x)
    assert line == f"DIFFERS from the record: split v6 {was.property}: unknown, was {was.verdict}"


def test_on_a_terminal_there_are_tables(capsys: pytest.CaptureFixture[str]) -> None:
    """One of the defaults and one of the deviations, for each ring."""
    text = "\n".join(shown(capsys, terminal=True))
    assert [text.count(f"{ring} ring, every gap at its default") for ring in protocol.RINGS] == [1, 1]
    assert [text.count(f"{ring} ring, one gap at another choice") for ring in protocol.RINGS] == [1, 1]
    assert not re.search(r"^split v6", text, re.MULTILINE)


# Files.


def test_what_is_recorded_stays_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a folder nothing is written but what is in no record."""
    monkeypatch.chdir(tmp_path)
    files = counterexamples([*BROKEN, RECORD[0], FOUND], None)
    assert [path.name for path in files if path] == [
        *(Path(str(one.now.counterexample)).name for one in BROKEN), NEW.file_name()
    ]  # fmt: skip
    assert files[len(BROKEN)] is None
    assert [str(path) for path in tmp_path.rglob("*.json")] == [str(tmp_path / FOLDER / NEW.file_name())]
    assert load_schedule(FOLDER / NEW.file_name()) == NEW


def test_all_are_written_to_a_folder(tmp_path: Path) -> None:
    """It is made; both rings have a revision v6, and their runs are two files."""
    folder = tmp_path / "a" / "b"
    files = counterexamples([*BROKEN, FOUND], folder)
    assert sorted(path for path in files if path) == sorted(folder.iterdir())
    assert {"v6-order.json", "packed-v6-order.json"} <= {path.name for path in folder.iterdir()}
    source = recorded_folder("packed") / "counterexamples" / "v6-order.json"
    assert (folder / "packed-v6-order.json").read_text() == source.read_text()


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a folder in which nothing can be written, and go there; root may write anywhere, so a file is in the way."""
    monkeypatch.chdir(tmp_path)
    Path(FOLDER).write_text("in the way")
    (tmp_path / "out").write_text("in the way")
    return tmp_path / "out"


def test_what_cannot_be_written_is_said_once(refused: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One warning, on standard error; what is in the record can still be shown from there."""
    assert counterexamples([*BROKEN, FOUND], refused) == [None] * (len(BROKEN) + 1)
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert said[0].startswith(f"warning: {refused} cannot be written: ")
    assert counterexamples([*BROKEN, FOUND], None)[-1] is None
    assert None not in counterexamples(BROKEN, None)


@pytest.mark.usefixtures("refused")
@pytest.mark.parametrize("out", [None, Path("out")])
def test_the_answer_comes_first_and_stands(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], out: Path | None
) -> None:
    """A folder that cannot be written changes neither what is printed nor the exit code, nor does a JSON file."""
    monkeypatch.setattr(verify, "_judge", lambda run, *_: run.judged.extend(BROKEN))
    asked: dict[str, Any] = {"ring": "packed", "revision": None, "property_name": None, "gaps": {}, "search": False}
    assert verify.run(**asked, write=partial(write_json, Path("out/x.json")), out=out)
    told = capsys.readouterr()
    assert f"{len(BROKEN)} of {len(BROKEN)} as recorded" in told.out
    assert "out/x.json cannot be written" in told.err


def test_json_says_where_a_run_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file that was written, or that of the record."""
    monkeypatch.setattr(verify, "_judge", lambda run, *_: run.judged.extend(BROKEN))
    asked: dict[str, Any] = {"ring": "packed", "revision": None, "property_name": None, "gaps": {}, "search": False}
    for out in (None, tmp_path / "out"):
        answers: list[dict[str, Any]] = []
        verify.run(**asked, write=answers.extend, out=out)
        paths = [Path(answer["counterexample"]["path"]) for answer in answers]
        assert len(paths) == len(BROKEN)
        assert all(path.is_file() for path in paths)
        folders = {recorded_folder(ring) / "counterexamples" for ring in protocol.RINGS}
        assert {path.parent for path in paths} == ({out} if out else folders)
    assert len({answer["property"] for answer in answers}) == len(NAMES)


@pytest.mark.parametrize("ring", protocol.RINGS)
def test_what_is_not_recorded_is_searched_with_rare_events(ring: str) -> None:
    """A choice that only a reset or a second kick turns on is not called bounded without one."""
    for name in NAMES:
        bounds = verify.default_bounds(ring, name)
        assert max(b.rare for b in bounds) == 1
        assert max(b.crashes for b in bounds) >= 1


def test_drains_is_searched_again_within_the_quickest_bounds() -> None:
    """With notifications a search has many states: the others are the campaign's, and --search's."""
    subject = protocol.Subject.of("split", "merged", {"fetch-in-batch": "always"})
    record = {(v.subject(), v.property): v for v in recorded("split")}
    assert len(record[subject, "drains"].bounds) > 1
    again = verify._search_again([(subject, "drains")], record, False, Outcome())
    assert set(again) == {(subject, Bounds(2, 1, 1))}


@pytest.mark.parametrize("ring", protocol.RINGS)
def test_order_is_not_called_bounded_by_one_request(monkeypatch: pytest.MonkeyPatch, ring: str) -> None:
    """One request alone is in order whatever is done: no record names such a search, and none is done again."""
    record = {(v.subject(), v.property): v for v in verify._all_recorded(ring)}
    bounded = [key for key, v in record.items() if key[1] == "order" and v.verdict == "bounded"]
    assert len(bounded) > 10
    assert [b for key in bounded for b in record[key].bounds if b.requests < 2] == []
    found = Found(frozenset({"order"}), {}, 0, 0, 0, 0, complete=True)
    monkeypatch.setattr(ProcessPoolExecutor, "map", lambda _self, _search, jobs: [found for _ in jobs])
    again = verify._search_again(bounded, record, False, Outcome())
    assert {subject for subject, _ in again} == {subject for subject, _ in bounded}
    assert min(b.requests for _, b in again) == 2
    assert all(b.tells("order") for b in verify.default_bounds(ring, "order"))
    told = Beside(ring, "none.json", "none")  # what makes the record leaves them out
    subject, both = bounded[0][0], [Bounds(1, 1, 1, 1), Bounds(2, 2, 1, 1)]
    runs = [(b, frozenset({"order"}), found) for b in both]
    assert told._verdict(subject, "order", runs, False, ()).bounds == record_of(subject, "order", runs, False).bounds
    assert record_of(subject, "order", runs, False).bounds == (both[1],)


def test_clean_removes_what_verify_leaves() -> None:
    """The folder is one that `make clean` names."""
    told = subprocess.run(["make", "-n", "clean"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert str(FOLDER) in told.split()


# What would notice if the prover lied.

ORDER: dict[str, Any] = {"ring": "split", "revision": "hardened", "property_name": "order", "gaps": {}, "search": False}


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what is recorded of mutants and witnesses, and ask what is false anew."""
    monkeypatch.setattr(verify, "_records", lambda *_: [])
    verify._believed.cache_clear()


@pytest.mark.usefixtures("alone")
def test_goals_are_the_census_s(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What is printed is counted from the tables; a goal that was not shown is missed, though all others are proved."""
    monkeypatch.setattr(engine, "queries", lambda *args: [q for q in show.queries(*args) if q.work != "crash"])
    assert not verify.run(**ORDER)
    told = capsys.readouterr().out
    assert "each proved by Z3 now" in told
    assert re.search(r"those of the census.*: \d+ of the initial state, \d+ that a step keeps a sentence", told)
    assert re.search(r"\d{2} falsehoods, some of each kind of goal, were put to it: none proved", told)
    assert "wrong: split hardened: no such goal was shown: crash, " in told


@pytest.mark.usefixtures("alone")
def test_a_solver_that_agrees_to_everything(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All goals are there and shown, and what is false is proved as well."""
    monkeypatch.setattr(canaries, "proves", lambda *_: True)
    assert not verify.run(**ORDER)
    told = capsys.readouterr().out
    assert "1 of 1 as recorded" in told
    assert "wrong: proved, and false: " in told


def test_a_recorded_run_that_violates_nothing_is_no_violation(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Recorded runs are played each time: what one does not show any more is unknown, and not as recorded."""
    monkeypatch.setattr(verify, "_records", lambda *_: [])
    asked = {**ORDER, "revision": "v6"}
    assert verify.run(**asked)
    told = load_schedule
    monkeypatch.setattr(verify, "load_schedule", lambda path: replace(told(path), events=told(path).events[:-1]))
    capsys.readouterr()
    assert not verify.run(**asked)
    assert re.search(r"order.*unknown.*violated", capsys.readouterr().out)


def test_verify_fails_where_what_is_assumed_is_true_of_nothing() -> None:
    """Whatever follows from a contradiction is no proof."""
    found = verify.Run()
    fault = "split merged: crash: not true of a witness's state: size < 1"
    verify._check_hypotheses(found, [Believed(50, 2000, 9), Believed(7, 300, 2, [fault])], 3)
    assert not found.good
    assert found.notes[0].startswith(
        "what goals are shown from is no contradiction: 57 sets of hypotheses, of 2300 goals"
    )
    assert fault in found.notes[0]
    assert found.notes[1].startswith("no witness tells that of 3 tables with choices of their own")


@pytest.mark.usefixtures("alone")
def test_verify_notices_a_contradiction_by_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every goal follows from what is true of no state: all is proved, and `verify` fails."""
    told = Work.hypothesis
    monkeypatch.setattr(Work, "hypothesis", lambda self, atom: z3.And(told(self, atom), self.translator.size < 1))
    monkeypatch.setattr(verify, "_believed", lambda _: selfcheck.Checked())
    monkeypatch.setattr(verify, "_subjects", lambda *_: [protocol.Subject("split", "merged")])
    assert not verify.run(**ORDER)
    said = capsys.readouterr().out
    assert "1 of 1 as recorded" in said
    assert re.search(r"what goals are shown from .*wrong: .*not true of a witness's state", said, re.DOTALL)
