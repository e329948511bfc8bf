"""The witnesses: they hold, each shows what it is for, and a false one is found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from model import protocol
from model.interpret import Machine
from model.terms import ModelError
from proofs.challenges import witnesses
from proofs.challenges.witnesses import Witness, Witnessed
from proofs.packed.marks import MARKS as PACKED_MARKS
from proofs.split.marks import MARKS
from tests.model.runs import name_of

SUBJECTS = [subject for ring in protocol.RINGS for subject in witnesses.subjects(ring)]
FOUND: dict[str, Witnessed] = {}


def the(revision: str, name: str) -> Witness:
    """Look a witness up: of hardened on the packed ring, of the others on the split ring."""
    subject = protocol.Subject("packed" if revision == "hardened" else "split", revision)
    return next(w for w in witnesses.load(subject.ring) if (w.subject, w.name) == (subject, name))


def found(ring: str) -> Witnessed:
    """Play the witnesses of a ring, once."""
    if ring not in FOUND:
        FOUND[ring] = witnesses.check(ring)
    return FOUND[ring]


@pytest.mark.parametrize("ring", protocol.RINGS)
def test_every_witness_holds_and_nothing_is_without_one(ring: str) -> None:
    """The whole invariant at every state, every step taken, every property reached."""
    assert found(ring).faults == ()
    assert found(ring).states > 1000


@pytest.mark.parametrize("subject", SUBJECTS, ids=name_of)
def test_every_step_is_counted(subject: protocol.Subject) -> None:
    """The counts are over the steps of the table, all of them."""
    steps = found(subject.ring).steps[subject]
    assert set(steps) == set(protocol.table(subject).steps)
    assert min(steps.values()) > 0


def test_each_property_has_its_witness() -> None:
    """All nine of merged and of each form of hardened; of v6 all but the one that it violates where it is at stake."""
    shown: dict[str, set[str]] = {}
    for subject, name in (*found("split").shown, *found("packed").shown):
        shown.setdefault(name_of(subject), set()).add(name)
    assert shown.pop("split-v6") == set(MARKS) - {"order"}
    assert shown.pop("split-merged") == set(MARKS)
    forms = {"", "-settle=wide", "-event-kind=index"}
    assert shown == {f"packed-hardened{form}": set(PACKED_MARKS) for form in forms}


def test_marks_are_those_of_the_steps_that_there_are() -> None:
    """With settle=wide the fields are settled by one store: no crash comes after the second, which there is not."""
    plain, wide, _ = witnesses.subjects("packed")
    missing = {name: witnesses.marks_of(plain)[name] - marks for name, marks in witnesses.marks_of(wide).items()}
    assert {mark for marks in missing.values() for mark in marks} == {"a crash comes right after packed.reconnect.1c3"}


CUT_SHORT = [("merged", name, MARKS) for name in MARKS] + [("hardened", name, PACKED_MARKS) for name in PACKED_MARKS]


@pytest.mark.parametrize(("revision", "name", "marks"), CUT_SHORT)
def test_a_witness_cut_short_does_not_show_it(revision: str, name: str, marks: Mapping[str, tuple[str, ...]]) -> None:
    """Without its last event, a witness lacks a mark: it is no longer than it has to be."""
    witness = the(revision, name)
    assert witnesses.play(witness).marks >= set(marks[name])
    assert not witnesses.play(replace(witness, schedule=witness.schedule[:-1])).marks >= set(marks[name])


def test_a_run_is_put_together_of_walks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no walk shows all that is wanted, one goes on from the end of another."""
    subject = protocol.Subject("split", "merged")
    machine, judge, _ = witnesses._machine(subject, protocol.sizes(subject, 2))
    monkeypatch.setattr(witnesses, "EVENTS", 150)
    wanted = frozenset({"driver.reset", *MARKS["exactly-once"], "split.idle.wake"})
    run = witnesses._walk_on(machine, judge, wanted)
    assert run
    assert witnesses._shown(machine, run) >= wanted
    assert not witnesses._shown(machine, run[:-1]) >= wanted


def test_a_witness_that_is_missing_is_missed() -> None:
    """A property without its witness, and a step that no other takes."""
    rest = [w for w in witnesses.load("split") if w.subject.revision == "v6" or w.name == "nothing-lost"]
    assert "merged: no witness reaches order" in witnesses.check("split", rest).faults
    assert "merged: no witness takes driver.reset" in witnesses.check("split", rest).faults


def test_an_event_that_is_not_enabled_is_found() -> None:
    """The run stops there."""
    witness = the("merged", "order")
    wrong = replace(witness, schedule=(*witness.schedule[:3], ("split.supply.5",), *witness.schedule[3:]))
    seen = witnesses.play(wrong)
    assert seen.faults == ("event 3, split.supply.5, is not enabled",)
    assert seen.states == 4


def test_a_sentence_of_the_invariant_that_does_not_hold_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A false sentence among those of the invariant is a fault at each state at which it is false."""
    witness = the("v6", "exactly-once")
    machine, judge, _ = witnesses._machine(protocol.Subject("split", "v6"), witness.sizes)
    unmarked = {"unmarked": lambda state: not any(machine.get(state, "region.desc[].inflight"))}
    monkeypatch.setattr(witnesses, "_machine", lambda *_: (machine, judge, unmarked))
    faults = witnesses.play(witness).faults
    assert faults
    assert all(f.startswith("unmarked does not hold after ") for f in faults)


def test_a_violation_is_found() -> None:
    """A run of v6 that resubmits in the wrong order: played on, the property is a fault."""
    schedule = the("merged", "order").schedule
    later = tuple(e for e in schedule if e[0] not in ("split.counter", "split.fetch.counter", "split.fetch.bump"))
    at_stake = next(n for n, e in enumerate(schedule) if e[0] == "split.reconnect.2")
    wrong = Witness(protocol.Subject("split", "v6"), "order", the("merged", "order").sizes, later)
    seen = witnesses.play(wrong)
    assert at_stake > 0
    assert seen.faults


def test_a_witness_is_found_anew() -> None:
    """The walks are seeded: the recorded run of a cheap one is what is found."""
    subject = protocol.Subject("split", "v6")
    name = "nothing-lost"
    sizes = protocol.sizes(subject, 2, 0)
    assert the("v6", name) == witnesses._find(subject, name, sizes, frozenset(MARKS[name]))


def test_what_no_walk_shows_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """No seed leads there: an error that says to where."""
    monkeypatch.setattr(witnesses, "SEEDS", 1)
    monkeypatch.setattr(witnesses, "EVENTS", 10)
    subject = protocol.Subject("split", "v6")
    with pytest.raises(ModelError, match="no walk of 10 events shows drains"):
        witnesses._find(subject, "drains", protocol.sizes(subject, 2), frozenset(MARKS["drains"]))


def test_witnesses_start_from_the_initial_state() -> None:
    """The first event of each leaves the initial state of its machine."""
    for witness in witnesses.load("split"):
        machine = Machine(protocol.table(witness.subject), witness.sizes)
        first = {machine.steps[n].step.id for n, _, _ in machine.successors(machine.initial())}
        assert witness.schedule[0][0] in first
