"""The crash test on a packed ring: hardened survives, the text does not, each counterexample is seen for real."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from model.protocol import Subject
from refimpl.choices import Choices
from refimpl.errors import UsageError
from refimpl.layout import VERSION
from refimpl.memory import store
from refimpl.packed.recover import prepare_packed_region
from refimpl.packed.ring import used_flags
from tests.meet.test_packed import TEXT, document, found
from vhost_inflight.judging.crash.campaign import crash_test
from vhost_inflight.judging.crash.command import run
from vhost_inflight.judging.crash.guest import Record
from vhost_inflight.judging.crash.judge_packed import PackedCrashJudge
from vhost_inflight.judging.crash.plan import Plan, stores
from vhost_inflight.judging.crash.script import crashes_of
from vhost_inflight.judging.play.packed.world import PackedMemory
from vhost_inflight.judging.play.schedule import parse


def test_hardened_survives(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Killed at nearly every storing step, the new ones of its recovery too, hardened violates nothing."""
    path = tmp_path / "answer.json"
    assert run(ring="packed", revision="hardened", queue_size=4, kills=80, seed=1, json_file=path)
    assert capsys.readouterr().out.endswith("no property was violated\n")
    answer = json.loads(path.read_text())
    assert (answer["ring"], answer["kills"], answer["violations"]) == ("packed", 80, [])
    assert len(set(stores("packed", "hardened")) & set(answer["steps"])) > 30
    assert answer["resubmitted"] > 20


@pytest.mark.campaign
def test_hardened_survives_at_its_own_pace() -> None:
    """Likewise when driver and back-end run at once, each when it can."""
    outcome = crash_test(ring="packed", revision="hardened", kills=60, seed=1, free=True)
    assert (outcome.kills, outcome.broken, outcome.events) == (60, [], [])
    assert outcome.resubmitted > 15


@pytest.mark.parametrize("revision", ["v6", "merged"])
def test_the_text_does_not(revision: str) -> None:
    """What the model says of the text is seen for real: a batch of the whole ring is enough."""
    outcome = crash_test(ring="packed", revision=revision, kills=60, seed=1)
    assert {"ring-position", "well-formed"} & set(outcome.properties)
    assert outcome.again().startswith(f"vhost-inflight crash-test --ring packed --revision {revision} ")


def test_any_size() -> None:
    """A packed ring may have any size from 2."""
    outcome = crash_test(ring="packed", revision="hardened", queue_size=3, kills=20, seed=2)
    assert (outcome.kills, outcome.broken) == (20, [])
    with pytest.raises(UsageError, match="a ring of 1 has no room"):
        crash_test(ring="packed", revision="hardened", queue_size=1)


@pytest.mark.parametrize("gap", [{"settle": "wide"}, {"event-kind": "index"}], ids=str)
@pytest.mark.campaign
def test_what_hardened_leaves_open(gap: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    """Both forms of settling, and both ways in which the driver asks to be notified, are killed for real."""
    assert run(ring="packed", revision="hardened", queue_size=3, kills=45, seed=4, gaps=gap)
    ((name, choice),) = gap.items()
    said = capsys.readouterr().out
    assert said.startswith(f"packed, hardened, {name}={choice}, queue size 3, seed 4: 45 kills ")
    left_out = set(stores("packed", "hardened")) - set(stores("packed", "hardened", gap))
    assert left_out == ({"packed.reconnect.1c3", "packed.supply.9c"} if name == "settle" else set())
    assert not [step for step in left_out if step in said]


def test_a_choice_that_breaks_it() -> None:
    """A deviation that the model finds wrong is seen to be wrong, and the command that shows it names the choice."""
    outcome = crash_test(ring="split", revision="merged", kills=30, seed=1, gaps={"fetch-position": "used-idx"})
    assert "nothing-lost" in outcome.properties
    assert " --revision merged --gap fetch-position=used-idx --queue-size " in outcome.again()


def test_split_hardened() -> None:
    """The split ring's hardened is merged with no gap open, and survives as that does."""
    outcome = crash_test(ring="split", revision="hardened", kills=20, seed=2)
    assert (outcome.kills, outcome.broken) == (20, [])


@pytest.mark.parametrize("name", TEXT)
def test_counterexample(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each counterexample of merged, its crashes made with real processes, violates what it names."""
    path, answer = tmp_path / "schedule.json", tmp_path / "answer.json"
    path.write_text(json.dumps(document(Subject.of("packed", "merged", {}), name, 2, found("merged")[name])))
    settings: dict[str, Any] = {"ring": "split", "revision": "merged", "queue_size": 4, "kills": 1, "seed": 0}
    assert not run(**settings, schedule=path, json_file=answer)
    assert name in [violation["property"] for violation in json.loads(answer.read_text())["violations"]]
    assert f"to run it again: vhost-inflight crash-test --schedule {path}\n" in capsys.readouterr().out


def test_hardened_survives_a_counterexample() -> None:
    """The same crashes do hardened no harm: it recovers in its own way, each time, and all comes back."""
    for name in ("nothing-lost", "no-used-resubmitted"):
        schedule = document(Subject.of("packed", "hardened", {}), name, 2, found("merged")[name])
        outcome = crashes_of(parse(schedule), Path())
        assert outcome.broken == []
        assert outcome.left.endswith("packed.reconnect.2b came instead; the back-end recovered in its own way")
        assert "packed.supply.7" in outcome.steps or "packed.supply.8" in outcome.steps
        assert outcome.requests > 0


def test_what_is_not_played() -> None:
    """Mutants, rings without room for a disk's request, and a guest that takes the device anew are refused."""
    text = document(Subject.of("packed", "merged", {}), "order", 2, ())
    for wrong, message in (
        ({"mutant": "x"}, "only `replay` plays this file"),
        ({"queue_size": 1, "region_size": 1}, "a ring of 1 has no room"),
        ({"schedule": [["driver.reset"]]}, "only `replay` plays driver.reset"),
        ({"gaps": {"reset": "kept-alive"}, "schedule": [["connection.reset"]]}, "only `replay` plays connection.reset"),
    ):
        with pytest.raises(UsageError, match=message):
            crashes_of(parse({**text, **wrong}), Path())


def test_plan() -> None:
    """Every storing step is planned, those of one revision in that alone."""
    for revision in ("v6", "merged", "hardened"):
        plan = Plan("packed", revision, 4, random.Random(0))
        kills = [plan.next(number % 2) for number in range(600)]
        assert {kill.step for kill in kills} == {*stores("packed", revision), ""}
    assert "packed.reconnect.unmark" not in stores("packed", "merged")
    assert "packed.fetch.counter" not in stores("packed", "v6")


class Scene:
    """A judge of a ring of four on which request 0 (id 2, two slots) and request 1 (id 0, one slot) were fetched."""

    def __init__(self) -> None:
        """Make the ring, and a life in which both were fetched."""
        self.memory = PackedMemory(Choices(ring="packed", revision="hardened"), 4, 4)
        region = self.memory.region
        prepare_packed_region(region)
        fetched = {0: (1, 1, 2, 0, 2), 2: (1, 3, 1, 1, 0)}
        for number, values in fetched.items():
            for name, value in zip(("inflight", "next", "num", "counter", "id"), values, strict=True):
                store(region.desc[number], name, value)
        for number, last, identity in ((0, 1, 2), (2, 2, 0)):
            store(region.desc[number], "last", last)
            store(region.desc[last], "id", identity)
        for name in ("free_head", "old_free_head"):
            store(region, name, 3)
        self.judge = PackedCrashJudge(self.memory.choices, self.memory.ring, 4)
        self.ids = [2, 0]
        self.life([("packed.fetch.submit", 0), ("packed.fetch.submit", 1)], Record(made=self.ids, lengths=[2, 1]))
        assert self.found() == []

    def life(self, steps: list[tuple[str, int]], record: Record | None = None) -> None:
        """Let a life end, of which this is the trace."""
        trace = [
            {"step": step, "head": 9, "id": self.ids[n], "sector": self.ids[n], "tag": n.to_bytes(8, "big").hex()}
            for step, n in steps
        ]
        self.judge.died(7, "packed.supply.8:1", record or Record(), trace, self.memory.region)

    def found(self) -> list[str]:
        """Give the properties that were violated, each once."""
        return sorted({broken.property for broken in self.judge.broken})


def test_judge_visible() -> None:
    """What is marked used where the driver looks next is visible; nothing is finished, and recovery is elsewhere."""
    scene = Scene()
    store(scene.memory.ring.desc[0], "id", 2)
    store(scene.memory.ring.desc[0], "flags", used_flags(1))
    scene.life([("packed.reconnect.4.submit", 0), ("packed.reconnect.4.submit", 1)])
    assert scene.judge.visible == {0}
    assert scene.found() == ["exactly-once", "intact", "ring-position"]


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("used_idx", 3, ["nothing-lost", "ring-position"]),
        ("used_wrap_counter", 0, ["nothing-lost", "ring-position"]),
        ("old_used_idx", 1, []),
        ("old_free_head", 2, []),
    ],
)
def test_judge_region(field: str, value: int, expected: list[str]) -> None:
    """A region from which recovery makes something else than the driver has is seen; what it mends is not."""
    scene = Scene()
    assert scene.memory.region.version == VERSION
    store(scene.memory.region, field, value)
    scene.life([])
    assert scene.found() == expected


def test_judge_list() -> None:
    """A free list that cycles is seen."""
    scene = Scene()
    store(scene.memory.region.desc[3], "next", 3)
    scene.life([])
    assert scene.found() == ["well-formed"]


def test_judge_end() -> None:
    """At the end everything has come back, and the region is empty."""
    scene = Scene()
    scene.judge.ended(scene.memory.region, in_time=True)
    assert scene.found() == ["drains"]
    scene = Scene()
    scene.judge.visible = {0, 1}
    scene.judge.ended(scene.memory.region, in_time=True)
    assert scene.found() == ["well-formed"]
