"""The benchmark: it names what `verify` does, and measures it against the fixed loop."""

from __future__ import annotations

import json
import re

import pytest

from proofs.search.breadth_first import Bounds
from tests.test_recover import answered
from tools import bench


def test_parts_are_those_of_verify() -> None:
    """The split ring is proved, searched, and has counterexamples, mutants and witnesses to play."""
    names = [re.sub(r"\d+", "N", name) for name in bench.parts("split")]
    assert names == [
        "split: proving, N subjects",
        "split: searching, N searches",
        "split: playing N counterexamples",
        "split: playing what kills mutants",
        "split: playing witnesses",
    ]


def test_a_part_does_something() -> None:
    """Playing the counterexamples plays each, and each violates what it should."""
    (play,) = (part for name, part in bench.parts("split").items() if "counterexamples" in name)
    played = play()
    assert isinstance(played, list)
    assert len(played) > 100
    assert all(played)


def test_what_recover_is_asked() -> None:
    """A state of each ring in which there is something to settle and something to resubmit."""
    for line in bench.states(16).values():
        found = answered(json.loads(line))
        assert len(found["resubmit"]) in {6, 8}  # the last batch was published, or not
        assert found["stores"]


def test_the_rates_of_recover_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """A line for each ring, in states a second; nothing else is measured."""
    bench.main(["--quick", "--recover"])
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [re.findall(r"^  (\w+), size (\d+): +[\d.]+ states/s", line) for line in lines] == [
        [("split", "256")],
        [("packed", "256")],
    ]


def test_growth_is_printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A line for each search, in seconds and in loops; --quick leaves out what is larger than a long one."""
    monkeypatch.setattr(bench, "GROWTH", (("split", (Bounds(1, 1, 1), Bounds(2, 1, 1), Bounds(2, 2, 1))),))
    monkeypatch.setattr(bench, "LONG", 500)
    monkeypatch.setattr(bench, "parts", lambda _: {"nothing": lambda: None})
    bench.main(["--quick"])
    lines = [line for line in capsys.readouterr().out.splitlines() if "requests:" in line]
    assert [re.findall(r"size (\d+), (\d+) requests: +([\d,]+) states", line) for line in lines] == [
        [("1", "1", "458")],
        [("2", "1", "927")],
    ]
    assert all("loops" in line for line in lines)
