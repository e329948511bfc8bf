"""Schedules on a kind of memory: the model plays them, says so, and refuses what it cannot play."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from refimpl.errors import UsageError
from vhost_inflight.judging.crash import script
from vhost_inflight.judging.play.replay import replay, run
from vhost_inflight.judging.play.schedule import ScheduleError, parse

FILE = Path(__file__).parents[2] / "proofs/recorded/split/orders/compiler-split.supply.6-split.supply.7.json"


def document(**changes: Any) -> dict[str, Any]:
    """Give the contents of a file, with other values; those of ``memory`` by their names there."""
    told: dict[str, Any] = json.loads(FILE.read_text())
    told["memory"] |= {name: value for name, value in changes.items() if name in told["memory"]}
    return told | {name: value for name, value in changes.items() if name not in told["memory"]}


def test_it_is_played_by_the_model(capsys: pytest.CaptureFixture[str]) -> None:
    """What is printed says on which memory, and which two it may turn round."""
    assert run(FILE)
    printed = capsys.readouterr().out
    assert "The back-end's accesses are on the memory of compiler, played by the model." in printed
    assert "It may turn these two round: split.supply.6, split.supply.7." in printed
    assert "memory.store" in printed
    assert printed.splitlines()[-1].startswith("reproduced on the model's interpreter: no-used-resubmitted is violated")
    assert run(FILE, json_file=Path("-"))
    assert json.loads(capsys.readouterr().out)["memory"]["free"] == ["split.supply.6", "split.supply.7"]


def test_without_a_property_it_is_only_played() -> None:
    """Nothing is judged."""
    assert replay(parse(document(property=None))).reproduced


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"kind": "alpha"}, "at memory: there is no memory 'alpha'; there are: program order, compiler, "),
        ({"side": "front-end"}, "at memory: nothing of the split ring that keeps orders is called 'front-end'"),
        ({"free": ["split.supply.6", "split.supply.77"]}, "at memory: there is no access 'split.supply.77'; perhaps: "),
        ({"past": ["split.fetch.look"]}, "at memory: there is no access 'split.fetch.look'; perhaps: "),
        ({"revision": "v6"}, "at memory: the back-end is that of merged, not of this revision and gaps"),
        ({"region_size": 3}, "at region_size: on a kind of memory it is 1 here"),
        ({"mutant": "drop split.fetch.2"}, "at memory: a schedule is of a mutant or of a memory, not of both"),
        ({"free": ["split.supply.6"]}, "at memory.free"),
    ],
)
def test_what_cannot_be_played(changes: dict[str, Any], complaint: str) -> None:
    """The place is named, and what would do."""
    with pytest.raises(ScheduleError) as refused:
        replay(parse(document(**changes)))
    assert complaint in str(refused.value)


def test_real_processes_do_not_play_it() -> None:
    """They have no say in what a compiler or a processor does."""
    with pytest.raises(UsageError, match="only `replay` plays this file"):
        script._check(parse(document()))  # what the command asks before it starts anything
