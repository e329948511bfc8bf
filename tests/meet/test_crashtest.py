"""The crash test: real processes, killed, and judged by what they did."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from refimpl.backend.ring import Vring
from refimpl.backend.server import Server
from refimpl.choices import Choices
from refimpl.errors import UsageError
from refimpl.memory import store
from refimpl.split import fetch as split_fetch
from vhost_inflight.judging.crash.campaign import crash_test
from vhost_inflight.judging.crash.command import run
from vhost_inflight.judging.crash.guest import Record
from vhost_inflight.judging.crash.judge_split import CrashJudge
from vhost_inflight.judging.crash.plan import Kill, Plan, stores
from vhost_inflight.judging.crash.stops import Pair
from vhost_inflight.judging.play.split.world import SplitMemory as Memory


def test_merged_survives(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Killed at every storing step, merged violates nothing; the command says so, on paper and in JSON."""
    path = tmp_path / "answer.json"
    assert run(ring="split", revision="merged", queue_size=4, kills=40, seed=5, json_file=path)
    printed, answer = capsys.readouterr().out, json.loads(path.read_text())
    assert printed.endswith("no property was violated\n")
    assert (answer["kills"], answer["violations"], answer["again"]) == (40, [], None)
    assert set(stores("split", "merged")) <= set(answer["steps"])
    assert answer["requests"] > 40
    assert answer["resubmitted"] > 10


@pytest.mark.campaign
def test_merged_survives_at_its_own_pace() -> None:
    """Likewise when driver and back-end run at once, each when it can."""
    outcome = crash_test(revision="merged", kills=40, seed=5, free=True)
    assert (outcome.kills, outcome.broken, outcome.events) == (40, [], [])
    assert outcome.requests > 40
    assert outcome.resubmitted > 10


def test_v6_breaks_the_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What the model says of v6 is seen for real: order is violated, and nothing else is."""
    path = tmp_path / "answer.json"
    assert not run(ring="split", revision="v6", queue_size=4, kills=30, seed=1, json_file=path)
    printed, answer = capsys.readouterr().out, json.loads(path.read_text())
    assert [violation["property"] for violation in answer["violations"]] == ["order"]
    assert "order was violated" in printed
    assert f"to run it again: {answer['again']}" in printed
    assert "--revision v6" in answer["again"]


LOST = "nobody has anything to do, and the driver waits for its requests"
HANGS: dict[str, tuple[type, str, Callable[..., None], str]] = {
    "no kick is heeded": (
        Server, "_watch_kicks", lambda *_: None, "the back-end rests, and does not heed a kick"
    ),
    "a kick is taken and forgotten": (Vring, "woken", Vring._take_kick, LOST),
    "nobody is notified": (Vring, "_call", lambda *_: None, LOST),
}  # fmt: skip


def test_a_kick_that_is_asked_for_too_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """A back-end that asks to be kicked for the request after the next one waits while one comes alone."""
    arm = split_fetch.arm

    def late(state: Any) -> None:
        state.last_avail += 1
        try:
            arm(state)
        finally:
            state.last_avail -= 1

    monkeypatch.setattr(split_fetch, "arm", late)
    outcome = crash_test(revision="merged", kills=60, seed=3)
    assert [(broken.property, broken.reason) for broken in outcome.broken] == [("drains", LOST)]


@pytest.mark.parametrize("ring", ["split", "packed"])
@pytest.mark.parametrize("pair", [None, Pair("drain", "drain"), Pair("skip-drain", "skip-drain")])
@pytest.mark.parametrize("what", HANGS)
def test_a_life_that_hangs(monkeypatch: pytest.MonkeyPatch, ring: str, pair: Pair | None, what: str) -> None:
    """It is seen at once, where it happens, though the next life would make it good."""
    owner, name, broken, said = HANGS[what]
    monkeypatch.setattr(owner, name, broken)
    outcome = crash_test(ring=ring, revision="hardened", kills=40, seed=3, pair=pair)
    assert [(broken.property, broken.reason) for broken in outcome.broken] == [("drains", said)]
    assert outcome.kills < 30


@pytest.mark.parametrize(
    ("gaps", "expected"),
    [
        ({"fetch-position": "used-idx"}, "nothing-lost"),
        ({"used-element": "after-publish"}, "exactly-once"),
        ({"counter-after-reconnect": "zero"}, "order"),
    ],
)
def test_deviations_are_seen(gaps: dict[str, str], expected: str) -> None:
    """A choice that the model finds wrong is found wrong here too."""
    outcome = crash_test(revision="merged", kills=40, seed=3, gaps=gaps)
    assert expected in outcome.properties
    assert set(outcome.document()["steps"]) == set(outcome.steps)


def test_two_entries() -> None:
    """The smallest ring that a disk can have survives too; a smaller one is refused."""
    outcome = crash_test(revision="merged", queue_size=2, kills=20, seed=4)
    assert (outcome.kills, outcome.broken) == (20, [])
    with pytest.raises(UsageError, match="a request to a disk takes two descriptors at least"):
        crash_test(revision="merged", queue_size=1)


def test_no_such_ring() -> None:
    """A ring that does not exist is refused before anything is started."""
    with pytest.raises(UsageError, match="no ring 'round'"):
        run(ring="round", revision="merged", queue_size=4, kills=1, seed=0)


def test_plan() -> None:
    """Every storing step is planned, a repair only when a batch was interrupted, and the same seed plans the same."""
    plan = Plan("split", "merged", 4, random.Random(0))
    kills = [plan.next(2 if number % 2 else 0) for number in range(300)]
    assert {kill.step for kill in kills} == {*stores("split", "merged"), ""}
    again = Plan("split", "merged", 4, random.Random(0))
    assert [again.next(2 if number % 2 else 0) for number in range(300)] == kills
    repairs = [kill for number, kill in enumerate(kills) if "reconnect" in kill.step and number > 60]
    assert all(kills.index(kill) >= 0 and kill.occurrence <= 2 for kill in repairs)
    assert Kill("split.supply.5", 2).text() == "split.supply.5:2"
    assert "split.fetch.counter" not in stores("split", "v6")


class Scene:
    """A judge of a ring on which requests 0, 1, 2 were made at heads 2, 0, 1 and nothing has happened yet."""

    def __init__(self) -> None:
        """Make the ring, and a life in which all three were fetched."""
        self.memory = Memory(Choices(), 4, 4, 0)
        store(self.memory.ring.avail, "idx", 3)
        self.judge = CrashJudge(Choices(), self.memory.ring, 4)
        self.heads = [2, 0, 1]
        self.life([("split.fetch.submit", number) for number in range(3)], Record(made=self.heads))
        assert self.found() == []

    def life(self, steps: list[tuple[str, int]], record: Record | None = None) -> None:
        """Let a life end, of which this is the trace."""
        trace = [
            {"step": step, "id": self.heads[n], "sector": self.heads[n], "tag": n.to_bytes(8, "big").hex()}
            for step, n in steps
        ]
        self.judge.died(7, "split.supply.5:1", record or Record(), trace, self.memory.region)

    def publish(self, *heads: int) -> None:
        """Publish used elements."""
        used: Any = self.memory.ring.used
        for place, head in enumerate(heads):
            store(used.ring[place], "id", head)
        store(used, "idx", len(heads))

    def found(self) -> list[str]:
        """Give the properties that were violated, each once."""
        return sorted({broken.property for broken in self.judge.broken})


AGAIN = "split.reconnect.2"
FETCHED = "split.fetch.submit"
DONE = "device.finish"


@pytest.mark.parametrize(
    ("steps", "published", "expected"),
    [
        ([(AGAIN, 0), (AGAIN, 1), (AGAIN, 2)], [], []),
        ([(AGAIN, 0), (AGAIN, 1), (AGAIN, 2), (DONE, 1)], [0], []),
        ([(AGAIN, 1), (AGAIN, 0)], [], ["order"]),
        ([(AGAIN, 0), (AGAIN, 0)], [], ["exactly-once"]),
        ([(AGAIN, 0), (FETCHED, 2)], [], ["nothing-lost"]),
        ([(AGAIN, 0), (FETCHED, 0)], [], ["nothing-lost"]),
        ([(AGAIN, 0), (DONE, 1)], [], ["intact"]),
        ([(AGAIN, 0)], [2], ["exactly-once", "intact"]),
        ([(AGAIN, 0), (DONE, 0)], [2, 2], ["exactly-once", "ring-position"]),
        ([(AGAIN, 0), (DONE, 0)], [3], ["exactly-once", "ring-position"]),
    ],
)
def test_judge(steps: list[tuple[str, int]], published: list[int], expected: list[str]) -> None:
    """The judge of a life sees each property, in what the device was given and in what the driver can see."""
    scene = Scene()
    scene.publish(*published)
    scene.life(steps)
    assert scene.found() == expected


def test_judge_resubmitted_again() -> None:
    """A request that the driver could see as used is not to be resubmitted by the next life."""
    scene = Scene()
    scene.publish(2)
    scene.life([(AGAIN, 0), (DONE, 0)])
    scene.life([(AGAIN, 0)])
    assert scene.found() == ["no-used-resubmitted"]


def test_judge_unknown() -> None:
    """What the driver never made is not to be given to the device."""
    scene = Scene()
    scene.heads.append(3)
    scene.life([(AGAIN, 3)])
    assert scene.found() == ["intact"]


@pytest.mark.parametrize(
    ("field", "value", "expected"), [("last_batch_head", 4, "well-formed"), ("desc_num", 3, "well-formed")]
)
def test_judge_region(field: str, value: int, expected: str) -> None:
    """A region whose fields lead outside it is seen."""
    scene = Scene()
    for name, sound in (("version", 1), ("desc_num", 4)):
        store(scene.memory.region, name, sound)
    store(scene.memory.region, field, value)
    scene.life([])
    assert expected in scene.found()


def test_judge_end() -> None:
    """At the end everything has come back, and nothing is marked any more."""
    scene = Scene()
    scene.judge.ended(scene.memory.region, in_time=True)
    assert scene.found() == ["drains"]
    scene = Scene()
    scene.publish(2, 0, 1)
    scene.life([(AGAIN, n) for n in range(3)] + [(DONE, n) for n in range(3)])
    scene.judge.ended(scene.memory.region, in_time=True)
    assert scene.found() == ["well-formed"]
    store(scene.memory.region, "used_idx", 3)
    scene.judge.broken.clear()
    scene.judge.ended(scene.memory.region, in_time=True)
    assert scene.found() == []
