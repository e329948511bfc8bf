"""The campaign: one subject after another goes into the record, and nothing else of it changes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from model import protocol
from model.properties import NAMES
from model.protocol import Subject
from proofs import record, verdicts
from proofs.induction import show as induction
from proofs.record import Looked, searches
from proofs.search.bounds import Bounds
from proofs.search.runs import runs

SUBJECT = Subject.of("split", "merged", {"fetch-position": "used-idx"})
SAFE = frozenset(NAMES) - {"drains"}
SMALL = Bounds(2, 1, 1)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a copy of the record, which the campaign takes for the record."""
    copy = tmp_path / "split"
    shutil.copytree(verdicts.recorded_folder("split"), copy)
    monkeypatch.setattr(record, "recorded_folder", lambda _: copy)
    return copy


def looked(properties: frozenset[str] = SAFE) -> Looked:
    """Search the subject within the smallest bounds."""
    return [(SMALL, properties, record.search((SUBJECT, SMALL, properties)))]


def test_one_subject_is_exchanged(folder: Path) -> None:
    """Its verdicts are new, those of all others are as they were, in the same order."""
    before = json.loads((folder / "verdicts.json").read_text())
    record.write(SUBJECT, looked(), set())
    after = json.loads((folder / "verdicts.json").read_text())
    mine = [n for n, e in enumerate(before) if (e["revision"], e["gaps"]) == ("merged", dict(SUBJECT.choices))]
    assert len(mine) == len(NAMES)
    assert [e["property"] for e in after] == [e["property"] for e in before]
    assert [e for n, e in enumerate(after) if n not in mine] == [e for n, e in enumerate(before) if n not in mine]
    assert {after[n]["verdict"] for n in mine} == {"violated", "bounded"}
    assert [b for n in mine for b in after[n].get("bounds", ()) if b["size"] != 2] == []
    seen = [e for e in json.loads((folder / "searches.json").read_text()) if e["gaps"] == dict(SUBJECT.choices)]
    assert [e["bounds"]["requests"] for e in seen if e["revision"] == "merged"] == [1]


def test_the_record_is_written_as_it_is(folder: Path) -> None:
    """What is kept is kept to the byte: an exchange of a subject for itself changes nothing."""
    path = folder / "verdicts.json"
    before = path.read_text()
    mine = [e for e in json.loads(before) if (e["revision"], e["gaps"]) == ("merged", dict(SUBJECT.choices))]
    record._exchange(path, SUBJECT, mine)
    assert path.read_text() == before


def test_counterexamples_are_those_that_a_verdict_names(folder: Path) -> None:
    """A new one is written, and one that no verdict names any more is gone."""
    (folder / "counterexamples" / "stray.json").write_text("{}")
    record.write(SUBJECT, looked(frozenset({"exactly-once"})), set(SAFE - {"exactly-once"}))
    told = json.loads((folder / "verdicts.json").read_text())
    named = {Path(e["counterexample"]).name for e in told if "counterexample" in e}
    assert named == {path.name for path in (folder / "counterexamples").iterdir()}
    assert "merged-fetch-position-used-idx-exactly-once.json" in named
    assert "merged-fetch-position-used-idx-intact.json" not in named


def test_a_first_subject_makes_the_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ring without a record gets one."""
    monkeypatch.setattr(record, "recorded_folder", lambda _: tmp_path / "new")
    record.write(SUBJECT, looked(), set())
    assert len(json.loads((tmp_path / "new" / "verdicts.json").read_text())) == len(NAMES)


@pytest.mark.usefixtures("folder")
def test_proved_and_violated_stops_the_campaign() -> None:
    """One of the two is wrong, and nothing is recorded."""
    with pytest.raises(SystemExit, match="the proof is wrong"):
        record.write(SUBJECT, looked(), set(NAMES))


def test_hints_are_added(folder: Path) -> None:
    """Those of other goals stay."""
    before = induction.hints("split")
    record.write_hints("split", {"no such step | no such goal": ["a", "b"]})
    after = json.loads((folder / "hints.json").read_text())
    assert after == before | {"no such step | no such goal": ["a", "b"]}
    assert list(after) == sorted(after)


def test_only_some_are_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a part of the name; a part that no name has is an error, before anything is done."""
    proved: list[Subject] = []

    def prove(chosen: list[Subject], **_: object) -> None:
        proved.extend(chosen)
        raise KeyboardInterrupt

    monkeypatch.setattr(record, "prove_all", prove)
    with pytest.raises(KeyboardInterrupt):
        record.main(["split", "--only", "merged fetch-position=used"])
    assert [s.name for s in proved] == ["merged fetch-position=used-idx"]
    with pytest.raises(SystemExit, match="no subject of the split ring has 'v7'"):
        record.main(["--only", "v7"])


@pytest.mark.parametrize("ring", protocol.RINGS)
def test_searches_are_those_of_the_ring(ring: str) -> None:
    """Every subject is searched for every property; the defaults more widely than a deviation."""
    told = runs(ring).campaign
    defaults = Subject(ring, "merged")
    deviation = Subject.of(ring, "merged", {"reset": "kept"})
    for subject in (defaults, deviation):
        assert frozenset[str]().union(*(p for _, p in searches(subject))) == set(NAMES)
    assert {b for b, _ in searches(defaults)} >= {*told.bounds, *told.wide, *told.drains, *told.wide_drains}
    assert not {b for b, _ in searches(deviation)} & set(told.wide)
    proved = {b for b, p in searches(Subject(ring, "hardened")) if "drains" in p}
    assert proved == set(told.drains)
    batch = {b for b, p in searches(Subject.of(ring, "merged", {"fetch-in-batch": "always"})) if "drains" in p}
    assert batch == {*told.drains, *told.batches}


def drains_of(folder: Path, name: str, gaps: dict[str, str]) -> list[dict[str, object]]:
    """Give what a file of the record has of merged with some choices, as far as it is about `drains`."""
    told = json.loads((folder / name).read_text())
    mine = [e for e in told if (e["revision"], e["gaps"]) == ("merged", gaps)]
    return [e for e in mine if "drains" in e.get("properties", [e.get("property")])]


def forget(folder: Path, gaps: dict[str, str], bounds: Bounds, verdict: str) -> None:
    """Take one search for `drains` out of the record, and what it found."""
    told = json.loads((folder / "drains.json").read_text())
    kept = [e for e in told if (e["revision"], e["gaps"], Bounds(**e["bounds"])) != ("merged", gaps, bounds)]
    assert len(kept) == len(told) - 1
    (folder / "drains.json").write_text(json.dumps(kept))
    verdicts_ = json.loads((folder / "verdicts.json").read_text())
    for entry in verdicts_:
        if (entry["revision"], entry["gaps"], entry["property"]) == ("merged", gaps, "drains"):
            entry["verdict"] = verdict
            entry.pop("counterexample", None)
    (folder / "verdicts.json").write_text(json.dumps(verdicts_))


def test_a_search_for_drains_changes_a_verdict(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What has an entry is not searched again; a run that is found goes into the record, and is said."""
    kept, bounds = {"reset": "kept"}, Bounds(2, 1, 1, 1)
    before = (folder / "verdicts.json").read_text()
    run = folder / "counterexamples" / "merged-reset-kept-drains.json"
    told = run.read_text()
    forget(folder, kept, bounds, "bounded")
    run.unlink()
    record.search_for_drains([Subject.of("split", "merged", kept)])
    said = capsys.readouterr().out.splitlines()
    assert said[-1] == "merged reset=kept: drains was bounded, and is violated by 53 events"
    assert (folder / "verdicts.json").read_text() == before
    assert run.read_text() == told
    seen = drains_of(folder, "drains.json", kept)
    assert len(seen) == len(runs("split").campaign.drains)
    record.search_for_drains([Subject.of("split", "merged", kept)])
    assert drains_of(folder, "drains.json", kept) == seen


@pytest.mark.campaign  # as long as a search
def test_a_search_for_drains_widens_what_is_bounded(folder: Path) -> None:
    """What was searched, and found nothing, is among the bounds; nothing else of the verdict changes."""
    choice, quick = {"fetch-in-batch": "always"}, Bounds(1, 2, 1)
    before = (folder / "verdicts.json").read_text()
    told = json.loads(before)
    (mine,) = (e for e in told if (e["revision"], e["gaps"], e["property"]) == ("merged", choice, "drains"))
    mine["bounds"] = [b for b in mine["bounds"] if Bounds(**b) != quick]
    assert json.dumps(told) != json.dumps(json.loads(before))
    forget(folder, choice, quick, "bounded")
    (folder / "verdicts.json").write_text(json.dumps(told))
    record.search_for_drains([Subject.of("split", "merged", choice)])
    assert (folder / "verdicts.json").read_text() == before


def test_a_shorter_run_takes_the_place_of_a_longer_one(folder: Path) -> None:
    """The record has the shortest that was found."""
    kept, run = {"reset": "kept"}, folder / "counterexamples" / "merged-reset-kept-drains.json"
    before = run.read_text()
    told = json.loads(before)
    forget(folder, kept, Bounds(2, 1, 1, 1), "violated")
    verdicts_ = json.loads((folder / "verdicts.json").read_text())
    for entry in verdicts_:
        if (entry["revision"], entry["gaps"], entry["property"]) == ("merged", kept, "drains"):
            entry["counterexample"] = f"counterexamples/{run.name}"
    (folder / "verdicts.json").write_text(json.dumps(verdicts_))
    run.write_text(json.dumps({**told, "schedule": [*told["schedule"], ["driver.wake"]]}))
    record.search_for_drains([Subject.of("split", "merged", kept)])
    assert run.read_text() == before


def test_a_search_that_breaks_a_proof_stops(folder: Path) -> None:
    """One of the two is wrong."""
    forget(folder, {"reset": "kept"}, Bounds(2, 1, 1, 1), "proved")
    with pytest.raises(SystemExit, match="the proof is wrong"):
        record.search_for_drains([Subject.of("split", "merged", {"reset": "kept"})])


def test_a_run_that_was_found_otherwise(folder: Path, tmp_path: Path) -> None:
    """What is bounded is violated then, without bounds; what violates nothing, or is no news, is refused."""
    subject = Subject.of("split", "merged", {"region-size": "smaller"})
    path = folder / "counterexamples" / "merged-region-size-smaller-drains.json"
    run = tmp_path / "run.json"
    run.write_text(path.read_text())
    with pytest.raises(SystemExit, match="is violated"):
        record.take_run(run)
    entries = record._verdicts(subject)
    was = next(e for e in entries if e["property"] == "drains")
    open_again = {**{k: v for k, v in was.items() if k != "counterexample"}, "verdict": "bounded", "bounds": []}
    record._exchange(folder / "verdicts.json", subject, [open_again if e is was else e for e in entries])
    told = json.loads(run.read_text())
    shorter = tmp_path / "shorter.json"
    shorter.write_text(json.dumps({**told, "schedule": told["schedule"][:-1]}))
    with pytest.raises(SystemExit, match="does not violate"):
        record.take_run(shorter)
    record.take_run(run)
    assert next(e for e in record._verdicts(subject) if e["property"] == "drains") == was
    assert path.read_text() == run.read_text()
