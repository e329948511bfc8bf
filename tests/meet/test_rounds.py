"""Runs that go round for ever, on real memory: played some rounds, judged by what happened, and never a hang."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import refimpl.packed.recover
import refimpl.split.recover
from proofs.search.judges import UNFAIR
from vhost_inflight.judging.play.player import DivergenceError
from vhost_inflight.judging.play.replay import replay, run
from vhost_inflight.judging.play.rounds import MORE, NOT_OWED
from vhost_inflight.judging.play.schedule import Event, Schedule, ScheduleError, load, parse

RECORDED = Path(__file__).parents[2] / "proofs" / "recorded"
FILES = {"split": "split/rounds/merged-round-recovery.json", "packed": "packed/rounds/hardened-round-recovery.json"}
ALL = sorted(RECORDED.glob("*/rounds/*.json"))


def recorded(ring: str) -> Schedule:
    """Give the recorded run of a recovery that never ends, as one of the text."""
    return replace(load(RECORDED / FILES[ring]), mutant=None)


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the reference's recovery compare again and again, on either ring: its last commit stores nothing."""
    for module, last in (
        (refimpl.split.recover, "split.reconnect.1c"),
        (refimpl.packed.recover, "packed.reconnect.1c3"),
    ):
        commit = module._commit_last_batch

        def commit_nothing(state: Any, commit: Any = commit, last: str = last) -> None:
            usual = state.store

            def store_but_the_last(target: Any, field: str, value: int, step: str) -> None:
                if step == last:
                    state.report(step)
                else:
                    usual(target, field, value, step)

            state.store = store_but_the_last
            commit(state)
            while state.mismatch:
                commit(state)

        monkeypatch.setattr(module, "_commit_last_batch", commit_nothing)


def test_names_of_what_nobody_owes() -> None:
    """The two writings of it agree."""
    assert NOT_OWED == UNFAIR


@pytest.mark.parametrize("path", ALL, ids=lambda p: p.stem)
def test_on_the_model(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`replay` plays it, and says where the run repeats and from where."""
    told = load(path)
    assert run(path)
    said = capsys.readouterr().out
    assert f"after event {len(told.events)} the run repeats from event {told.repeats_from}" in said


@pytest.mark.usefixtures("endless")
@pytest.mark.parametrize("ring", FILES)
def test_on_real_memory(ring: str) -> None:
    """A reference that goes round: the same memory after each round, and a request that never comes back."""
    told = recorded(ring)
    played = replay(told)
    assert played.on == "real shared memory"
    assert played.reproduced, played.verdict()
    assert len(played.moments) == len(told.events)
    assert f"the run repeats from event {told.repeats_from}" in played.verdict()
    assert f"request 0, head 0 had not come back after {MORE} rounds more" in played.verdict()


@pytest.mark.usefixtures("endless")
@pytest.mark.parametrize("ring", FILES)
@pytest.mark.parametrize("cut", [0, 3])
def test_a_drain_without_an_end_is_given_up(ring: str, cut: int) -> None:
    """Where the schedule does not tell that it goes round, the player notices that there is no end."""
    told = recorded(ring)
    played = replay(replace(told, repeats_from=None, events=told.events[: len(told.events) - cut]))
    assert played.reproduced
    assert "there was no end of them" in played.verdict()


@pytest.mark.usefixtures("endless")
@pytest.mark.parametrize("ring", FILES)
def test_restartable_without_an_end_is_given_up(ring: str) -> None:
    """Recovery that is cut off and run again does not end either, nor does it without the crash: no difference."""
    told = recorded(ring)
    played = replay(replace(told, property="restartable", repeats_from=None, events=told.events[:-4]))
    assert not played.reproduced


@pytest.mark.parametrize("path", ALL, ids=lambda p: p.stem)
def test_the_reference_goes_round_in_none(path: Path) -> None:
    """As it is, it refuses a step, or could supply what the round leaves with the device: no violation either way."""
    try:
        played = replay(replace(load(path), mutant=None))
    except DivergenceError:
        return
    assert path.stem.endswith("round-rest")
    assert played.violations == ()


def served() -> list[list[Any]]:
    """Give a run of the split ring up to where a request is with the device, and the back-end rests."""
    told = load(RECORDED / "split/rounds/merged-round-rest.json").events
    end = next(n for n, event in enumerate(told) if event.step == "device.finish")
    return [[event.step] if event.choice is None else [event.step, event.choice] for event in told[:end]]


def schedule(events: list[list[Any]], again: int) -> Schedule:
    """Give a schedule whose last events are said to be a round."""
    return parse(
        {
            "format": "vhost-inflight schedule 1", "ring": "split", "revision": "merged", "property": "drains",
            "queue_size": 2, "region_size": 2, "first_index": 0, "notifications": True,
            "repeats_from": len(events) - again + 1, "schedule": events,
        }
    )  # fmt: skip


def test_a_round_by_crashes_is_none() -> None:
    """A back-end that dies as soon as it starts gives nothing back, and no one owes that."""
    crashing = [["crash"], ["split.start.adopt"]]
    asleep = [["driver.sleep.1"], ["driver.sleep.2"]]
    resting = [["driver.kick.look"], ["driver.kick.none"], *asleep, ["driver.wake"], *asleep]
    played = replay(schedule([*served(), *resting, *crashing, *crashing], 2))
    assert played.refused == ""
    assert not played.reproduced
    assert played.violations == ()


def test_a_round_that_leaves_the_device_out_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """A back-end that polls for ever while the device may finish and does not: that is not fair."""
    monkeypatch.setattr(refimpl.split.fetch, "look_again", lambda state: state.report("split.idle.look"))
    polling = [["split.fetch.look"], ["split.idle.arm"], ["split.idle.look"]]
    played = replay(schedule([*served(), *polling, *polling], 3))
    assert played.refused == ""
    assert not played.reproduced


def test_a_file_says_that_drains_is_violated() -> None:
    """A run that goes round is one of that property, and goes round from one of its events on."""
    document = {
        "format": "vhost-inflight schedule 1", "ring": "split", "revision": "merged", "property": "order",
        "queue_size": 2, "region_size": 2, "first_index": 0, "repeats_from": 1, "schedule": [["split.start.fresh"]],
    }  # fmt: skip
    for wrong in ({}, {"property": "drains", "repeats_from": 2}):
        with pytest.raises(ScheduleError, match="at repeats_from"):
            parse({**document, **wrong})
    assert parse({**document, "property": "drains"}).events == (Event("split.start.fresh"),)
