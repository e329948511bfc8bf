"""Recorded runs by name, and the memory at a moment of one as an input of `recover`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from refimpl.errors import UsageError
from tests.test_recover import answered
from tests.test_recover_doubt import RECORDED, found_at_the_last_start
from vhost_inflight import cli
from vhost_inflight.judging.play.dumping import state_at
from vhost_inflight.judging.play.recorded import named, names
from vhost_inflight.judging.play.schedule import load
from vhost_inflight.recover import schema

SPLIT = "split/counterexamples/v6-order"
WHOLE = "packed/errata/whole-ring"
ERRATA = [name for name in names() if "/errata/" in name and load(Path(name)).mutant is None]


def test_every_recorded_run_has_a_name() -> None:
    """Each file that `replay` plays, and no other."""
    found = names()
    schedules = {
        path for path in RECORDED.rglob("*.json") if '"vhost-inflight schedule 1"' in path.read_text()[:200]
    }  # fmt: skip
    assert set(found.values()) == schedules
    assert found[WHOLE] == RECORDED / "packed/errata/whole-ring.json"


def test_a_name_is_taken_for_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of the same name comes first; what is neither is refused with the names near it."""
    monkeypatch.chdir(tmp_path)
    assert load(Path(WHOLE)) == load(RECORDED / f"{WHOLE}.json")
    with pytest.raises(UsageError, match="no recorded run 'whole-rung'"):
        named(Path("whole-rung"))
    with pytest.raises(FileNotFoundError):
        load(Path("nowhere.json"))
    Path("whole-rung").write_text("{}")
    assert named(Path("whole-rung")) == Path("whole-rung")


@pytest.mark.parametrize("name", [*ERRATA, SPLIT])
def test_the_memory_at_the_last_crash(name: str) -> None:
    """It is what the last back-end finds, in what the driver did not write since; a state, and `recover` answers."""
    schedule = load(Path(name))
    document = state_at(schedule, "crash")
    Draft202012Validator(schema("input")).validate(document)
    answered(document)
    steps = [event.step for event in schedule.events]
    last = len(steps) - steps[::-1].index("crash")
    starts = [n for n, step in enumerate(steps) if ".start." in step]
    between = steps[last : starts[-1]] if starts[-1] >= last else ["something"]
    if not between:
        told = found_at_the_last_start(RECORDED / f"{name}.json")
        assert document["region"] == told["region"]
        assert document["ring_memory"] == told["ring_memory"]


def test_each_event_has_its_memory() -> None:
    """From one event to the next what the event stored has changed; the end is the last event's."""
    schedule = load(Path(WHOLE))
    states = [state_at(schedule, str(number)) for number in range(1, len(schedule.events) + 1)]
    moments = [event.step for event in schedule.events]
    assert len({json.dumps(state) for state in states}) > 20
    for number, step in enumerate(moments):
        if step == "crash" and number:
            assert states[number] == states[number - 1]
    assert all(states)
    assert states[-1] == state_at(schedule, "end")
    made = moments.index("packed.init.1")  # which stores desc_num, that is 2, at byte 10
    assert [states[number]["region"][20:24] for number in (made - 1, made)] == [
        "0000",
        (2).to_bytes(2, sys.byteorder).hex(),
    ]
    first = moments.index("crash")
    assert states[first] == state_at(schedule, "crash:1")


@pytest.mark.parametrize("moment", ["0", "66", "crash:9", "crash:0", "soon", "", "-1", "²"])
def test_a_moment_that_there_is_none_of(moment: str) -> None:
    """It is refused, and what there is is said."""
    with pytest.raises(UsageError, match="65 events, end, crash or crash:N"):
        state_at(load(Path(WHOLE)), moment)


def test_a_run_without_bytes() -> None:
    """That of a mutant, or on a memory of its own."""
    with pytest.raises(UsageError, match="played by the model"):
        state_at(load(Path(next(name for name in names() if "/orders/" in name))), "end")


def asked(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run the command in this process."""
    monkeypatch.setattr(sys, "argv", ["vhost-inflight", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def test_list(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A line for each run; as JSON with what it is of."""
    assert asked(monkeypatch, "list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(names())
    assert f"{WHOLE} merged: violates no-used-resubmitted" in [" ".join(line.split()) for line in lines]
    assert asked(monkeypatch, "list", "--json", "-") == 0
    told: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in told] == list(names())


def test_from_a_run_to_an_answer(tmp_path: Path) -> None:
    """`replay NAME --dump-at crash | recover`, in an empty folder."""
    command = [sys.executable, "-P", "-m", "vhost_inflight"]
    dumped = subprocess.run(
        [*command, "replay", SPLIT, "--dump-at", "crash"], cwd=tmp_path, capture_output=True, check=True
    )
    answer = subprocess.run([*command, "recover"], cwd=tmp_path, input=dumped.stdout, capture_output=True, check=False)
    assert json.loads(answer.stdout)["ring"] == "split"
    assert not list(tmp_path.iterdir())
