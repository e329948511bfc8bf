"""The readings of the packed ring: what was searched for `drains`, and that its runs are runs."""

from __future__ import annotations

from typing import Any

import pytest

from model.interpret import Machine
from proofs.search.bounds import Bounds
from proofs.search.judges import Judge
from proofs.verdicts import readings as all_readings
from proofs.verdicts import recorded_readings
from tools import pages, readings

FOUND = [e for entries in readings.drains().values() for e in entries if "schedule" in e]
HOLDS = ("drains", "proved")

READINGS = {(gap.name, choice.name): (gap, choice) for gap, choice in readings.open_readings()}


def test_every_reading_is_searched() -> None:
    """Within all bounds for it, to the end, up to the first that finds a run."""
    told = readings.drains()
    assert set(told) == set(READINGS)
    for key, entries in told.items():
        wanted = readings.drains_bounds(*READINGS[key])
        done = [Bounds(**e["bounds"]) for e in entries]
        assert done == wanted[: len(done)], key
        assert not any("schedule" in e for e in entries[:-1]), key
        assert "schedule" in entries[-1] or done == wanted, key
        assert all(e["complete"] for e in entries), key


def test_a_row_says_what_was_searched() -> None:
    """The record of all other properties has the bounds within which those were searched, and no others."""
    told = {(e["gap"], e["choice"]): e["bounds"] for e in readings.recorded()}
    assert told == {
        key: [readings.words(b) for b in readings.safe_bounds(*reading)] for key, reading in READINGS.items()
    }


def test_a_row_of_the_page_says_what_was_searched_for_drains() -> None:
    """Every complete search of a reading that hangs in none of them, and that this is bounded, unless it is proved."""
    keys = [subject.choices[0] for subject in all_readings("packed", ["hardened"])]
    rows = dict(zip(keys, pages.block("readings").splitlines()[2:], strict=True))
    proved = {v.subject().choices[0] for v in recorded_readings("packed") if (v.property, v.verdict) == HOLDS}
    for key, entries in readings.drains().items():
        said = rows[key].split(" | ")[-1]
        if "schedule" in entries[-1]:
            assert said.startswith(f"**violated**: {len(entries[-1]['schedule'])} events (ring of ")
        elif key in proved:
            assert said == "proved |"
        else:
            assert said.startswith("bounded: ring of ")
            assert said.count("ring of") == len(entries)


def test_the_two_records_agree() -> None:
    """What is violated by one is violated by the other."""
    violated = {(e["gap"], e["choice"]) for e in FOUND}
    assert violated == {(e["gap"], e["choice"]) for e in readings.recorded() if "drains" in e["violated"]}


def test_what_a_ring_of_one_cannot_show() -> None:
    """A chain of two descriptors, and two requests at once, hang two readings."""
    lengths = {
        (e["gap"], e["choice"]): (len(e["schedule"]), e["bounds"]["requests"], e["bounds"]["size"]) for e in FOUND
    }
    assert lengths["flags-compare", "whole"] == (88, 1, 2)
    assert lengths["batch-size", "requests"] == (114, 2, 2)
    rows = pages.block("readings").splitlines()
    for name, said in (
        ("whole: all", "**violated**: 88 events (ring of 2, 1 request, 1 crash, 1 rare)"),
        ("requests: requests", "**violated**: 114 events (ring of 2, 2 requests, no crash)"),
    ):
        (row,) = (row for row in rows if f"| {name}" in row)
        assert said in row


@pytest.mark.parametrize("entry", FOUND, ids=lambda e: f"{e['gap']}-{e['choice']}")
def test_a_run_gets_stuck_where_it_ends(entry: dict[str, Any]) -> None:
    """Played on `hardened` read so: nothing owed can happen at its end, and something can before."""
    assert "repeats_from" not in entry
    gap, choice = READINGS[entry["gap"], entry["choice"]]
    machine = Machine(
        readings.hardened_with(choice), readings.sizes(gap, choice, Bounds(**entry["bounds"])), check=True
    )
    judge, state = Judge(machine, (), {"drains"}), machine.initial()
    for number, (step, *chosen) in enumerate(entry["schedule"], start=1):
        state = machine.take(state, step, *chosen)
        assert judge.stuck(state) == (number == len(entry["schedule"]))


@pytest.mark.parametrize("key", [("ring-at-start", "wait"), ("signal-at-start", "never")], ids="-".join)
def test_a_search_finds_what_is_recorded(key: tuple[str, str]) -> None:
    """The quickest ones are done again."""
    (told,) = readings.drains()[key]
    found = readings.search_drains((*key, Bounds(**told["bounds"])))
    assert (len(found["schedule"]), found["states"]) == (len(told["schedule"]), told["states"])
