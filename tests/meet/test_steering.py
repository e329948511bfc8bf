"""Steered processes: the same seed does the same, a schedule is played event by event, and what happened is one."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest

from refimpl.backend.reins import Order
from vhost_inflight.judging.crash import dice
from vhost_inflight.judging.crash.campaign import crash_test
from vhost_inflight.judging.crash.command import run
from vhost_inflight.judging.crash.faults import CrashTestError
from vhost_inflight.judging.crash.outcome import Outcome
from vhost_inflight.judging.crash.script import crashes_of
from vhost_inflight.judging.crash.steering import BackEndReins, DriverReins
from vhost_inflight.judging.play.player import Player
from vhost_inflight.judging.play.replay import replay
from vhost_inflight.judging.play.schedule import load, parse

ROOT = Path(__file__).parents[2]
RECORDED = ROOT / "proofs" / "recorded"


def told(outcome: Outcome) -> dict[str, Any]:
    """Return all that an outcome says, but for the time that it took."""
    return {**outcome.document(), "seconds": 0, "events": outcome.events}


@pytest.mark.parametrize(
    ("options", "broken"),
    [
        ({"revision": "v6", "kills": 8}, {"order"}),
        ({"revision": "merged", "kills": 6, "gaps": {"fetch-position": "used-idx"}}, {"nothing-lost"}),
        ({"ring": "packed", "revision": "hardened", "kills": 10, "gaps": {"event-kind": "index"}}, set()),
    ],
    ids=("v6", "a gap", "hardened"),
)
def test_the_same_seed_does_the_same(options: dict[str, Any], broken: set[str]) -> None:
    """Each step of driver, device and back-end, each death, and what is found."""
    first, second = crash_test(**options, seed=0), crash_test(**options, seed=0)
    assert set(first.properties) == broken
    assert told(first) == told(second)
    assert len(first.events) > 100


@pytest.mark.parametrize(
    "options",
    [{"revision": "merged", "kills": 25}, {"ring": "packed", "revision": "hardened", "kills": 30}],
    ids=("split", "packed"),
)
def test_in_runs_as_step_by_step(monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]) -> None:
    """Who is told to make many moves at once makes those that it makes when it is told each, and dies where it does."""
    runs: list[int] = []
    run_of = BackEndReins.run

    def counted(reins: BackEndReins, moves: int) -> list[Order]:
        said = run_of(reins, moves)
        runs.append(len(said))
        return said

    monkeypatch.setattr(BackEndReins, "run", counted)
    in_runs = crash_test(**options, seed=2)
    assert max(runs) > 10
    for reins in (BackEndReins, DriverReins):
        monkeypatch.setattr(reins, "run", lambda self, _moves: [self.go()])
    assert told(crash_test(**options, seed=2)) == told(in_runs)
    assert in_runs.kills == options["kills"]


def test_luck() -> None:
    """What is drawn ahead of time is what would have been drawn before each move, and no more is left drawn."""
    ahead, each = random.Random(5), random.Random(5)
    luck, moves = dice.Luck(ahead, 0.5), []
    for most, stops_after in ((100, 2), (1, 1), (3, 9), (100, 1), (100, 9)):
        who, turns = luck.turns(most)
        assert 1 <= turns <= most
        made = min(turns, stops_after)
        luck.took(made)
        moves += [who] * made
    luck.give_back()
    assert moves == [int(each.random() >= 0.5) for _ in moves]
    assert len(set(moves)) == 2
    assert ahead.getstate() == each.getstate()


def test_another_seed_does_something_else() -> None:
    """From the first steps on."""
    first, second = (crash_test(revision="merged", kills=1, seed=seed).events for seed in (0, 1))
    assert first[:40] != second[:40]


@pytest.mark.parametrize(
    ("ring", "revision", "options", "broken"),
    [
        ("split", "merged", {"queue_size": 4, "seed": 1, "kills": 10}, None),
        ("split", "v6", {"queue_size": 4, "seed": 1, "kills": 8}, "order"),
        ("packed", "hardened", {"queue_size": 4, "seed": 1, "kills": 12}, None),
        pytest.param(
            "packed", "merged", {"queue_size": 2, "seed": 3, "kills": 24}, "ring-position", marks=pytest.mark.campaign
        ),
        ("packed", "merged", {"queue_size": 4, "seed": 0, "kills": 30}, "restartable"),  # found where the run ends
    ],
)
def test_what_happened_is_a_schedule(
    tmp_path: Path, ring: str, revision: str, options: dict[str, Any], broken: str | None
) -> None:
    """It is played again by the reference in one process, and by real processes, and shows the same."""
    path = tmp_path / "schedule.json"
    assert run(ring=ring, revision=revision, record=path, **options) == (broken is None)
    schedule = load(path)
    assert schedule.property == broken
    assert sum(event.step == "crash" for event in schedule.events) > 5
    assert replay(schedule).reproduced
    again = crashes_of(schedule, path)
    assert again.left == ""
    assert set(again.properties) >= ({broken} if broken else set())
    assert bool(again.broken) == bool(broken)


# Every file that a document offers for `crash-test --schedule`.


def offered() -> list[str]:
    """Return the paths, from the documents' commands."""
    texts = [path.read_text() for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"))]
    return sorted({path for text in texts for path in re.findall(r"crash-test --schedule (\S+\.json)", text)})


UNSEEN = {"half-settled.json": {"ring-position", "drains"}}
"""What is seen in place of the property that the file names: the device refuses half of an old request."""


def test_something_is_offered() -> None:
    """The files behind the errata; but for that of a mutant, which no real back-end has."""
    runs = {str(path.relative_to(ROOT)) for path in (RECORDED / "packed" / "errata").glob("*.json")}
    mutants = {path for path in runs if json.loads((ROOT / path).read_text()).get("mutant")}
    assert mutants == {"proofs/recorded/packed/errata/half-rolled-back.json"}
    assert set(offered()) >= (runs - mutants) | {"proofs/recorded/split/counterexamples/v6-order.json"}


@pytest.mark.parametrize("path", offered())
def test_offered(path: str) -> None:
    """Each shows what it is offered for, each time, and no process leaves it."""
    schedule = load(ROOT / path)
    first, second = (crashes_of(schedule, Path(path)) for _ in range(2))
    assert told(first) == told(second)
    assert first.left == ""
    assert set(first.properties) >= UNSEEN.get(Path(path).name, {schedule.property})


SAMPLE = [
    *sorted((RECORDED / "split" / "witnesses").glob("*-no-used-resubmitted.json")),
    RECORDED / "packed" / "witnesses" / "hardened-event-kind-index-drains.json",
    RECORDED / "packed" / "witnesses" / "hardened-settle-wide-order.json",
]


@pytest.mark.parametrize("path", SAMPLE, ids=lambda path: path.stem)
def test_witness(path: Path) -> None:
    """A run that violates nothing is played to its end, and violates nothing."""
    outcome = crashes_of(load(path), path)
    assert (outcome.broken, outcome.left) == ([], "")
    assert outcome.kills > 0


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("split/counterexamples/merged-recovery-start-every-kick-exactly-once.json", "nothing-lost"),
        ("split/counterexamples/v6-resubmit-order-any-order.json", "order"),
        ("split/counterexamples/merged-batch-size-signed-no-used-resubmitted.json", "no-used-resubmitted"),
        ("split/counterexamples/v6-region-size-smaller-intact.json", "intact"),
        ("split/counterexamples/v6-fetch-in-batch-always-order.json", "order"),
        ("packed/counterexamples/v6-region-size-smaller-nothing-lost.json", "nothing-lost"),
        ("packed/counterexamples/merged-fetch-position-base-restartable.json", "restartable"),
        pytest.param(
            "split/counterexamples/merged-event-fields-left-drains.json", "drains", marks=pytest.mark.campaign
        ),
    ],
)
def test_choices_and_shapes(name: str, seen: str) -> None:
    """Kick descriptors that come again, chosen orders, indexes that wrap, other regions, fetches in a batch, sleep."""
    outcome = crashes_of(load(RECORDED / name), Path(name))
    assert seen in outcome.properties
    assert outcome.left == ""


def test_a_process_that_leaves_the_schedule(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """What it did instead is said, and that the property was not seen: that is no verdict."""
    document = json.loads((RECORDED / "split" / "counterexamples" / "v6-order.json").read_text())
    place = next(n for n, event in enumerate(document["schedule"]) if event[0] == "split.fetch.2")
    document["schedule"].insert(place, ["split.fetch.counter"])
    path = tmp_path / "schedule.json"
    path.write_text(json.dumps(document))
    with pytest.raises(CrashTestError, match="no verdict: the processes left the schedule"):
        run(ring="split", revision="v6", queue_size=2, kills=1, seed=0, schedule=path)
    said = capsys.readouterr().out
    assert (
        f"left the schedule at event {place + 1}, split.fetch.counter: split.fetch.2 came instead; what comes" in said
    )
    assert "order, which the schedule violates on the model, was not seen to be violated here" in said


@pytest.mark.parametrize("step", ["split.fetch.1", "split.supply.1", "driver.use", "split.idle.wake", "device.finish"])
def test_a_step_whose_turn_it_is_not(step: str) -> None:
    """It is not taken, and that is said."""
    document = json.loads((RECORDED / "split" / "counterexamples" / "v6-order.json").read_text())
    place = next(n for n, event in enumerate(document["schedule"]) if event[0] == "split.reconnect.ready") + 1
    event = [step, 0] if step in ("split.supply.1", "device.finish") else [step]
    schedule = parse({**document, "schedule": [*document["schedule"][:place], event]})
    outcome = crashes_of(schedule, Path())
    assert outcome.left.startswith(f"event {place + 1}, {' '.join(map(str, event))}: ")
    assert outcome.broken == []


def test_free_has_no_schedule() -> None:
    """Who moved when is not known of processes that run free; the player has nothing to play."""
    outcome = crash_test(revision="merged", kills=2, seed=0, free=True)
    assert outcome.events == []
    assert Player(parse({**outcome.schedule()})).over
