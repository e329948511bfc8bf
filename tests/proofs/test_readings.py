"""Readings: what a revision does not leave open is judged all the same, and proved of it where it holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from model import protocol
from model.interpret import Machine
from model.packed import alternatives as alt
from model.packed.alternatives_supply import forwards
from model.properties import NAMES
from model.protocol import Subject
from model.steps import Edit, Replace
from model.terms import ModelError
from proofs import verify
from proofs.challenges.selfcheck import as_if_shown, check
from proofs.induction.kits import induction_of
from proofs.induction.proof import Proof
from proofs.packed.kit import SPEAKS_OF
from proofs.record import search
from proofs.search.bounds import Bounds
from proofs.verdicts import load_schedule, readings, recorded_folder, recorded_readings, violates
from refimpl.errors import UsageError
from tests.model.runs import random_run
from tests.proofs.proving import unproved
from vhost_inflight.judging.crash import script
from vhost_inflight.judging.play.replay import replay
from vhost_inflight.judging.play.schedule import load

RECORD = recorded_readings("packed")
VIOLATED = [v for v in RECORD if v.verdict == "violated"]


def _left(verdict: Any) -> Any:
    """Leave the runs of what is a gap of other revisions to the campaigns; those that only readings have are few."""
    few = set(verdict.gaps) <= set(protocol.readings("packed"))
    return verdict if few else pytest.param(verdict, marks=pytest.mark.campaign)


def _file(verdict: Any) -> Path:
    return recorded_folder("packed") / str(verdict.counterexample)


def test_every_reading_has_its_verdicts() -> None:
    """One for each property of each reading, and a file for each that is violated, and no other file."""
    expected = [(subject, name) for subject in readings("packed") for name in NAMES]
    assert [(v.subject(), v.property) for v in RECORD] == expected
    assert all(v.subject().is_reading for v in RECORD)
    assert sorted(_file(v) for v in VIOLATED) == sorted((recorded_folder("packed") / "readings").iterdir())
    for verdict in RECORD:
        assert (verdict.verdict == "proved") <= (not verdict.bounds), verdict
        assert (verdict.verdict == "bounded") <= bool(verdict.bounds), verdict


def test_what_is_proved_is_what_the_invariant_speaks_of() -> None:
    """Where it speaks of a reading, everything that is not violated is proved; elsewhere nothing is."""
    for verdict in RECORD:
        ((gap, choice),) = verdict.gaps.items()
        spoken_of = verdict.revision == "hardened" and choice in SPEAKS_OF.get(gap, ())
        assert verdict.verdict == "violated" or (verdict.verdict == "proved") == spoken_of, verdict


@pytest.mark.parametrize("verdict", [_left(v) for v in VIOLATED], ids=lambda v: f"{v.subject().name}-{v.property}")
def test_a_run_violates(verdict: Any) -> None:
    """Its last event violates its property, on the interpreter and as `replay` plays it: on the model too."""
    schedule = load_schedule(_file(verdict))
    assert (schedule.revision, schedule.gaps, schedule.property) == (verdict.revision, verdict.gaps, verdict.property)
    assert violates(schedule)
    played = replay(load(_file(verdict)))
    assert (played.on, played.reproduced) == ("the model's interpreter", True)


def test_real_processes_refuse_a_reading() -> None:
    """Nobody can ask the reference for what its revision does not leave open."""
    with pytest.raises(UsageError, match="hardened does not leave open what this file chooses"):
        script._check(load(next(_file(v) for v in VIOLATED if v.revision == "hardened")))


def test_a_reading_is_of_the_revisions_that_it_is_judged_of() -> None:
    """It is no gap, of no revision: neither v6 nor the reference has it."""
    assert not set(protocol.readings("packed")) & set(protocol.gaps("packed"))
    assert protocol.readings("split") == {}
    for gap in protocol.readings("packed").values():
        assert not any(gap.open_in(revision) for revision in protocol.revisions("packed")), gap.name
        with pytest.raises(ModelError, match=f"revision v6 does not leave {gap.name} open"):
            Subject.of("packed", "v6", {gap.name: gap.alternatives[1].name})


def _store(step_id: str, field: str | None) -> list[Edit]:
    """Drop the store of a step: it does nothing, or stores to the region's field what is there."""

    def nothing(s: Any, *_: Any) -> None:
        if field is not None:
            setattr(s.region, field, getattr(s.region, field))

    return [Replace(step_id, {"do": nothing})]


def _counter(value: Callable[[Any], Any]) -> list[Edit]:
    def restore(s: Any) -> None:
        s.counter = value(s)

    return [Replace("packed.counter", {"do": restore})]


def _backwards(s: Any, i: Any) -> None:
    s.counter = i


def _not_marked(s: Any) -> None:
    """Mark nothing."""
    s.region.desc[s.region.old_free_head].inflight = 0


def _not_settled(s: Any) -> None:
    s.region.old_used_idx = s.region.used_idx
    s.region.old_used_wrap_counter = s.region.used_wrap_counter
    s.supply.open = s.supply.count = s.supply.slots = 0


def _early_len(s: Any) -> None:
    s.ring.desc[s.supply.start].len = s.device.given[s.supply.batch[0]]


SABOTAGES: dict[tuple[str, str], tuple[Sequence[Edit], str]] = {
    ("counter-start", "one"): (_counter(lambda _: 1), "order"),
    ("counter-scope", "device-greatest"): ([Replace("queue.other", {"do": _backwards})], "order"),
    ("counter-scope", "device-last"): ([Replace("packed.fetch.2b", {"do": _not_marked})], "intact"),
    ("counter-after-reconnect", "zero"): (_store("packed.supply.9b", "old_used_idx"), "nothing-lost"),
    ("counter-after-reconnect", "count"): (_store("packed.reconnect.3", None), "nothing-lost"),
    ("used-element", "with-flags"): ([Replace("packed.supply.len", {"do": _early_len})], "intact"),
    ("flags-compare", "used"): (alt.compare("avail"), "nothing-lost"),
    ("assignments", "one"): ([Replace("packed.supply.9a", {"do": _not_settled})], "well-formed"),
    ("ring-at-start", "wait"): (alt.used_position(protocol.table(Subject("packed", "hardened"))), "nothing-lost"),
    ("signal-at-start", "on-mismatch"): (_store("packed.reconnect.1c1", "old_free_head"), "nothing-lost"),
    ("signal-at-start", "never"): (_store("packed.reconnect.2a", "free_head"), "well-formed"),
    ("signal-when", "after-publish"): (_store("packed.supply.9c", "old_used_wrap_counter"), "drains"),
    ("event-fields", "left"): (_store("packed.reconnect.2b", "used_idx"), "ring-position"),
    ("region-size", "larger"): (_store("packed.init.1", "desc_num"), "well-formed"),
    ("settle-order", "head-wrap-idx"): (_store("packed.supply.9c", "old_used_wrap_counter"), "no-used-resubmitted"),
    ("flags-of-others", "in-order"): (forwards(protocol.table(Subject("packed", "hardened"))), "exactly-once"),
    ("batches", "one"): (_store("packed.supply.9a", "old_free_head"), "restartable"),
    ("chains", "one"): (_store("packed.fetch.7", "old_free_head"), "exactly-once"),
}
"""For each reading of which something is proved: a change of it, and a property that is not proved any more."""


QUICK = ("counter-start", "assignments", "signal-at-start", "event-fields")
"""Readings whose sabotages do not take long; those of the others are campaigns."""


def test_each_proved_reading_has_a_sabotage() -> None:
    """Nothing is proved that nobody has tried to break."""
    proved = {next(iter(v.gaps.items())) for v in RECORD if v.verdict == "proved"}
    assert proved == set(SABOTAGES)


@pytest.mark.parametrize(
    "key",
    [pytest.param(key, marks=() if key[0] in QUICK else pytest.mark.campaign) for key in SABOTAGES],
    ids="=".join,
)
def test_a_sabotage_is_noticed(key: tuple[str, str]) -> None:
    """A changed reading has a goal that fails."""
    edits, name = SABOTAGES[key]
    assert unproved(Subject.of("packed", "hardened", dict([key])), edits, name)


@pytest.mark.campaign
@pytest.mark.parametrize("key", [k for k in SABOTAGES if k[0] != "region-size"], ids="=".join)
def test_the_invariant_holds_along_random_runs(key: tuple[str, str]) -> None:
    """In the groups that are proved."""
    subject = Subject.of("packed", "hardened", dict([key]))
    table, proved = induction_of("packed").with_ghosts(protocol.table(subject)), {"base"}
    proved |= {v.property for v in RECORD if v.subject() == subject and v.verdict == "proved"}
    proved |= {"counters"} if "order" in proved else set()
    machine = Machine(table, protocol.sizes(subject, 2, 0), check=True)
    sentences = [
        (c.name, machine.predicate(c.holds)) for c in induction_of("packed").invariant(table) if c.group in proved
    ]
    for step, _, state in (event for seed in range(3) for event in random_run(machine, seed, 150)):
        assert [name for name, holds in sentences if not holds(state)] == [], step


@pytest.mark.campaign
def test_the_census_knows_the_goals_of_readings() -> None:
    """Those whose sentences, ghosts or labels are others than the default's."""
    chosen = [("settle-order", "head-wrap-idx"), ("used-element", "with-flags"), ("assignments", "one")]
    subjects = [Subject.of("packed", "hardened", dict([key])) for key in chosen]
    assert check("packed", as_if_shown("packed", subjects), {"places": True}).faults == []


@pytest.mark.campaign
@pytest.mark.parametrize(
    ("bounds", "broken"),
    [
        (Bounds(1, 2, 2), {"no-used-resubmitted", "nothing-lost", "intact", "well-formed", "ring-position"}),
        (Bounds(2, 2, 1), {"ring-position", "restartable"}),
    ],
    ids=("whole-ring", "half-way"),
)
def test_neither_batching_nor_chaining_does_not_save_merged(bounds: Bounds, broken: set[str]) -> None:
    """A request is the whole ring of 1; on a ring of 2, a batch that is half settled or rolled back is misread."""
    subject = Subject.of("packed", "merged", {"batches": "one", "chains": "one"})
    found = search((subject, bounds, frozenset(NAMES) - {"drains"}))
    assert (set(found.violations), found.complete) == (broken, True)


def test_what_the_invariant_does_not_speak_of_has_no_proof() -> None:
    """It says so, and which choice it is."""
    with pytest.raises(ValueError, match="flags-order=in-order breaks the invariant: searches judge it"):
        Proof(Subject.of("packed", "hardened", {"flags-order": "in-order"}))


def test_verify_judges_readings_when_it_is_asked_to() -> None:
    """By the option all of them; one that is named with its revision, or that is open nowhere, without it."""
    default = verify._subjects("packed", "hardened", {}, False)
    assert not any(subject.is_reading for subject in default)
    assert set(verify._subjects("packed", "hardened", {}, True)) - set(default) == set(readings("packed", ["hardened"]))
    in_order = {"flags-order": "in-order"}
    assert [s.revision for s in verify._subjects("packed", None, in_order, False)] == ["v6", "merged"]
    assert [s.revision for s in verify._subjects("packed", None, in_order, True)] == ["v6", "merged", "hardened"]
    assert [s.revision for s in verify._subjects("packed", "hardened", in_order, False)] == ["hardened"]
    assert [s.revision for s in verify._subjects("packed", None, {"batches": "one"}, False)] == ["merged", "hardened"]
