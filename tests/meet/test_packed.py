"""The packed ring: what the model finds violated is violated on real memory, and what lock-step would notice."""

import json
import random
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from model import protocol
from model.interpret import StateTuple
from model.protocol import Subject
from proofs.search.breadth_first import Bounds, explore, table_for
from refimpl.hooks import PACKED_BACKEND_STORES
from refimpl.layout import DESC_AVAIL, DESC_NEXT, DESC_USED
from refimpl.packed.state import PackedState
from tests.meet.lockstep import Both, Run
from vhost_inflight.judging.play.flags import lap_words, words
from vhost_inflight.judging.play.moments import Change
from vhost_inflight.judging.play.player import DivergenceError
from vhost_inflight.judging.play.replay import replay, run
from vhost_inflight.judging.play.schedule import parse

TEXT = ("no-used-resubmitted", "nothing-lost", "intact", "exactly-once", "well-formed", "ring-position", "restartable")
"""What the text violates on a packed ring within SMALL, in v6 and in merged."""

SMALL = Bounds(2, 2, 1, 0, 0)
CHOICES = [
    ("v6", {"resubmit-order": "any"}, "order", Bounds(2, 2, 2, 0, 0)),
    ("merged", {"flags-order": "in-order"}, "no-used-resubmitted", SMALL),
    ("merged", {"batch-size": "requests"}, "ring-position", SMALL),
    ("merged", {"fetch-position": "used-position"}, "nothing-lost", Bounds(1, 1, 1, 0, 0)),
    ("merged", {"first-wrap": "zero"}, "nothing-lost", Bounds(1, 1, 1, 0, 0)),
    ("merged", {"free-list": "zeroed"}, "well-formed", Bounds(1, 1, 1, 0, 0)),
    ("merged", {"signal-at-start": "never"}, "drains", Bounds(1, 1, 1, 0, 0)),
    ("merged", {"ring-at-start": "wait"}, "drains", Bounds(1, 1, 1, 0, 0)),
]


def document(subject: Subject, name: str, size: int, events: tuple[Any, ...]) -> dict[str, Any]:
    """Give the contents of a file for a schedule that a search found."""
    sizes = protocol.sizes(subject, size)
    return {
        "format": "vhost-inflight schedule 1",
        "ring": "packed",
        "revision": subject.revision,
        "gaps": dict(subject.choices),
        "property": name,
        "queue_size": sizes.size,
        "region_size": sizes.entries,
        "first_index": 0,
        "notifications": name == "drains",
        "schedule": [list(event) for event in events],
    }


@cache
def found(revision: str) -> dict[str, tuple[Any, ...]]:
    """Search for a shortest counterexample of each property of TEXT."""
    subject, names = Subject.of("packed", revision, {}), frozenset(TEXT)
    return explore(table_for(subject, names), protocol.sizes(subject, 2), SMALL, names, every=True).violations


@pytest.mark.parametrize("revision", ["v6", "merged"])
@pytest.mark.parametrize("name", TEXT)
def test_found(revision: str, name: str) -> None:
    """A counterexample of the text as it is, is reproduced at its last event, and not before."""
    events = found(revision)[name]
    played = replay(parse(document(Subject.of("packed", revision, {}), name, 2, events)))
    assert played.reproduced, played.verdict()
    assert {v.event for v in played.violations if v.property == name} == {len(events)}
    assert not played.refused


@pytest.mark.parametrize(("revision", "gaps", "name", "bounds"), CHOICES)
def test_choices(revision: str, gaps: dict[str, str], name: str, bounds: Bounds) -> None:
    """The same of other choices."""
    subject, names = Subject.of("packed", revision, gaps), frozenset({name})
    result = explore(table_for(subject, names), protocol.sizes(subject, bounds.size), bounds, names)
    assert result.schedule, "the model finds nothing: another bound?"
    played = replay(parse(document(subject, name, bounds.size, result.schedule)))
    assert played.reproduced, played.verdict()


def test_print(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Flags are printed in words; slots, positions and the free list are shown at each crash and at the end."""
    events = found("merged")["nothing-lost"]
    path = tmp_path / "lost.json"
    path.write_text(json.dumps(document(Subject.of("packed", "merged", {}), "nothing-lost", 2, events)))
    assert run(path)
    printed = " ".join(capsys.readouterr().out.split())
    assert printed.startswith("packed, merged, the defaults of all gaps; queue size 2")
    assert "AVAIL USED, used in lap 1" in printed
    assert "available in lap 0)" in printed
    assert "free_head: 0 → 1 → the end; old_free_head: the end" in printed
    assert run(path, json_file=Path("-"))
    shown = [event for event in json.loads(capsys.readouterr().out)["events"] if "memory" in event]
    assert [event["step"] for event in shown] == ["crash", "packed.reconnect.ready"]
    assert shown[0]["memory"][2] == "used_idx 0, lap 0"


def test_words() -> None:
    """Flags are named, and say in which lap a slot is what."""
    assert words(0) == "no flags"
    assert words(DESC_AVAIL | DESC_NEXT) == "AVAIL NEXT"
    said = [lap_words(flags) for flags in (DESC_AVAIL, DESC_USED, DESC_AVAIL | DESC_USED, 0)]
    assert said == ["available in lap 1", "available in lap 0", "used in lap 1", "used in lap 0"]
    assert (
        Change("ring.desc[0].flags", 0, DESC_USED).text() == "ring.desc[0].flags: no flags → USED, available in lap 0"
    )


@cache
def walk_with(step: str) -> tuple[Both, list[tuple[str, int]], list[StateTuple]]:
    """Give a random run of the interpreter that takes a step, and a little more."""
    both = both_of("hardened")
    for seed in range(1000):
        dice, state = random.Random(seed), both.machine.initial()
        events, states = [], [state]
        for _ in range(600):
            enabled = list(both.machine.enabled(state))
            common = [event for event in enabled if event[0] not in ("crash", "driver.reset", "connection.reset")]
            name, chosen, state = dice.choice(common * 6 + enabled)
            events.append((name, chosen))
            states.append(state)
            if name == step and len(events) > 1:
                return both, events, states
    raise AssertionError(f"no run takes {step}")


@cache
def both_of(revision: str) -> Both:
    """Compile the model for a ring of two that has been in use."""
    return Both(Subject.of("packed", revision, {}), 2, 1)


@pytest.mark.parametrize("step", sorted(PACKED_BACKEND_STORES))
@pytest.mark.campaign
def test_a_store_dropped(step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reference that writes something else in any one store is found out by a run that takes it."""
    both, events, states = walk_with(step)
    run_of = Run(both, events, states=states)
    run_of.play()
    store = PackedState.store

    def wrong(self: PackedState, target: Any, field: str | int, value: int, reported: str) -> None:
        store(self, target, field, value ^ (reported == step), reported)

    again = Run(both, events, states=states)
    monkeypatch.setattr(PackedState, "store", wrong)
    with pytest.raises((AssertionError, DivergenceError)):
        again.play()
