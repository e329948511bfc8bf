"""The record of what `conformance` finds: it is whole, nothing in it is proved otherwise, its cases find it again."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from refimpl.choices import Choices
from tests.conformance import c
from tools import conformance as measuring
from tools.conformance import FILE, MISTAKES, Row, foreign, rows
from tools.measured import WHY, measurements, predicted, told_otherwise
from vhost_inflight.conformance.campaign import Campaign
from vhost_inflight.conformance.command import Asked
from vhost_inflight.conformance.life import Setup
from vhost_inflight.conformance.points import Case
from vhost_inflight.conformance.process import Command
from vhost_inflight.conformance.report import Report, Ring

MEASURED: dict[str, dict[str, Any]] = json.loads(FILE.read_text(encoding="utf-8"))
ROWS = list(rows())
FOUND = [row for row in ROWS if row.mistake and MEASURED[row.name]["found"]]


def test_each_row_is_measured() -> None:
    assert list(MEASURED) == [row.name for row in (*ROWS, *foreign())]


def test_the_page_gives_the_command_that_measures_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its options are those that the rows of other people's back-ends were measured with."""
    asked: list[Asked] = []

    def kept(one: Asked) -> Report:
        asked.append(one)
        return Report(one.command, [Ring("split", "merged")])

    monkeypatch.setattr(measuring, "tried", kept)
    monkeypatch.setattr(measuring, "backend_command", lambda _name: "x {socket} {image}")
    measuring.measured(next(foreign()))
    page = (Path(__file__).parents[2] / "docs" / "implementations.md").read_text(encoding="utf-8")
    (line,) = [line for line in page.splitlines() if "conformance --backend-cmd '...' --ring split --second" in line]
    (one,) = asked
    told = f"--second {one.second} --failures {one.failures} --patience {one.patience:g} --jobs {one.jobs}"
    assert line.endswith(f"--ring {one.ring} {told}")


def test_each_mistake_of_the_source_has_a_row() -> None:
    """Those of a ring are tried on that ring; the recovery's own source has them."""
    text = (c.SOURCE.parents[1] / "vectors" / "adapters" / "recover.c").read_text(encoding="utf-8")
    assert set(re.findall(r"MISTAKE_([A-Z_]+)\b(?!\.)", text)) == {
        name for names in MISTAKES.values() for name in names
    }


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_what_is_found_is_not_proved(row: Row) -> None:
    assert told_otherwise(row, MEASURED[row.name]["found"]) == []


def test_what_is_predicted_and_not_found_says_what_it_takes() -> None:
    """And nobody else does."""
    missed = {
        choice
        for row, measured in measurements()
        if not measured["found"] and predicted(row) not in {"nothing", "not in the model"}
        for choice in row.gaps.items()
    }
    assert missed == set(WHY)


def test_what_is_proved_would_be_noticed() -> None:
    """The judge of the test before can say no."""
    assert told_otherwise(Row("split", "merged"), {"order": "split-mixed-1-after"}) == ["order"]


@pytest.mark.parametrize(
    "row",
    [row for row in ROWS if row.mistake == "" or (not row.gaps and row.revision == "hardened" and row.mistake is None)],
    ids=lambda row: row.name,
)
def test_what_is_right_passes(row: Row) -> None:
    counts = MEASURED[row.name]["counts"]
    assert set(counts) <= {"pass", "skip"}
    assert counts.get("skip", 0) <= counts["pass"] // 50


@pytest.mark.parametrize("row", FOUND, ids=lambda row: row.name)
def test_each_mistake_is_found_again_by_its_case(programs: Path, row: Row) -> None:
    """By the shortest case that found it; the right back-end passes that, or has no such store."""
    assert row.mistake
    broken, name = next(iter(MEASURED[row.name]["found"].items()))
    choices = Choices(ring=row.ring)
    verdict, right = (
        Campaign(Setup(Command(c.command(programs, mistake)), choices, 0.5)).run(Case.read(name))
        for mistake in (row.mistake, "")
    )
    assert broken in {one.property for one in verdict.broken}, (verdict.word, verdict.why)
    assert right.word in {"pass", "skip"}, (right.broken, right.why)
