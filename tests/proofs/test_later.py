"""Rings that are stopped, and reset: the record, what notices a wrong step, and the invariant along runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from model import protocol
from model.both.later import PAIR
from model.both.stopping import PAIRS, TAKEN_BACK
from model.interpret import Machine
from model.protocol import RINGS, Subject
from model.record import State, assign_initial
from model.steps import Edit, Replace
from model.terms import all_of
from proofs import verify
from proofs.challenges.selfcheck import as_if_shown, check, lemmas_of
from proofs.induction import show, stopped
from proofs.induction.goals import works
from proofs.induction.kits import induction_of
from proofs.induction.proof import Proof
from proofs.induction.show import hints, queries, solve
from proofs.search.bounds import Bounds
from proofs.search.breadth_first import explore
from proofs.split import invariant as split_invariant
from proofs.verdicts import later, load_schedule, recorded_folder, recorded_later, table_and_sizes
from tests.model.runs import random_run
from tests.proofs.proving import unproved
from vhost_inflight.judging.play.replay import replay
from vhost_inflight.judging.play.schedule import load
from vhost_inflight.judging.play.stopping import is_played

RECORD = {ring: recorded_later(ring) for ring in RINGS}
VIOLATED = [v for ring in RINGS for v in RECORD[ring] if v.verdict == "violated"]
DRAINS = "drain-under-drain"


def _file(verdict: Any) -> Path:
    return recorded_folder(verdict.ring) / str(verdict.counterexample)


@pytest.mark.parametrize("ring", RINGS)
def test_every_choice_has_its_verdicts(ring: str) -> None:
    """One for each property of each choice, a file for each that is violated, and no other file."""
    expected = [(subject, name) for subject in later(ring) for name in protocol.properties(subject)]
    assert [(v.subject(), v.property) for v in RECORD[ring]] == expected
    files = sorted(_file(v) for v in RECORD[ring] if v.verdict == "violated")
    assert files == sorted((recorded_folder(ring) / "later").iterdir())


@pytest.mark.parametrize("ring", RINGS)
def test_eight_pairs_are_proved(ring: str) -> None:
    """All ten properties of each pair but the one in which bit 20 has two meanings: that one loses requests."""
    told = {name: {v.property: v.verdict for v in RECORD[ring] if v.gaps == {"stop": name}} for name in PAIRS}
    lost = told.pop("may-suspend-under-skip-drain")
    assert {verdict for each in told.values() for verdict in each.values()} == {"proved"}
    doubled = {"no-used-resubmitted", "exactly-once", "ring-position"}
    assert {name for name, verdict in lost.items() if verdict == "violated"} > {"nothing-lost", *doubled}
    assert "proved" not in lost.values()


@pytest.mark.parametrize("ring", RINGS)
def test_what_no_invariant_speaks_of_is_not_proved(ring: str) -> None:
    """And the rest is."""
    for verdict in RECORD[ring]:
        if verdict.gaps.get("ring-reset") != "kept":
            unspoken = induction_of(ring).out_of_scope("hardened", verdict.gaps) is not None
            assert (verdict.verdict == "proved") != unspoken, verdict


def _once(verdict: Any) -> Any:
    """Leave most runs to `verify`, which plays each of them."""
    kept = verdict.property in ("suspended", "drains") or verdict.gaps.get("after-answer") == "works-on"
    return verdict if kept and verdict.ring == "split" else pytest.param(verdict, marks=pytest.mark.campaign)


@pytest.mark.parametrize(
    "verdict", [_once(v) for v in VIOLATED], ids=lambda v: f"{v.ring}-{v.subject().name}-{v.property}"
)
def test_a_run_violates(verdict: Any) -> None:
    """Its last event violates its property, as `replay` plays it: on the model what the reference does not do."""
    schedule = load_schedule(_file(verdict))
    assert (schedule.revision, schedule.gaps, schedule.property) == (verdict.revision, verdict.gaps, verdict.property)
    played = replay(load(_file(verdict)))
    on = "real shared memory" if all(is_played(*each) for each in verdict.gaps.items()) else "the model's interpreter"
    assert (played.on, played.reproduced) == (on, True)


def _only_the_label(_: State) -> None:
    """Answer, and go on."""


def _between(ring: str) -> Any:
    return lambda s: all_of(protocol.table(Subject.of(ring, "hardened", {"stop": PAIR})).step("stop.answer").when(s))


def _no_base(ring: str) -> Any:
    table = protocol.table(Subject.of(ring, "hardened", {"stop": DRAINS}))
    names = [v.name for v in table.vars.values() if v.kind == "volatile" and v.name != "stop.at"]
    return lambda s: assign_initial(s, names)


def _never(s: Any) -> Any:
    return s.recover.fresh == 2


def _marks_gone(ring: str) -> Any:
    answer = protocol.table(Subject.of(ring, "hardened", {"stop": PAIR})).step("stop.answer")

    def forget(s: Any) -> None:
        answer.do(s)
        s.region.desc[0].inflight = 0

    return forget


SABOTAGES: tuple[tuple[str, str, str, str, list[Edit]], ...] = tuple(
    (ring, name, pair, prop, [Replace("stop.answer", changes)])
    for ring in RINGS
    for name, pair, prop, changes in (
        ("does not wait", DRAINS, "nothing-lost", {"when": _between(ring)}),
        ("goes on after the answer", PAIR, "suspended", {"do": _only_the_label}),
        ("never answers", PAIR, "drains", {"when": _never}),
        ("takes a mark back", PAIR, "nothing-lost", {"do": _marks_gone(ring)}),
        *([("forgets the base", DRAINS, "ring-position", {"do": _no_base(ring)})] if ring == "packed" else []),
    )
)


@pytest.mark.parametrize(
    ("ring", "name", "pair", "prop", "edits"),
    [pytest.param(*s, marks=pytest.mark.campaign if s[0] == "packed" else ()) for s in SABOTAGES],
)
def test_a_wrong_answer_is_not_proved(ring: str, name: str, pair: str, prop: str, edits: list[Edit]) -> None:
    """A back-end that answers otherwise has a goal that fails."""
    assert unproved(Subject.of(ring, "hardened", {"stop": pair}), edits, prop), name


def _kept_linked(s: Any) -> None:
    s.supply.at, s.supply.open, s.supply.count, s.supply.slots = TAKEN_BACK, 0, 0, 0


def _taken_for_done(s: Any) -> None:
    s.supply.at, s.supply.open, s.supply.count = TAKEN_BACK, 0, 0
    s.region.desc[s.supply.head].inflight = 0


def _goes_on_building(s: Any) -> None:
    s.supply.open, s.supply.count, s.supply.at = 0, 0, "idle"


@pytest.mark.parametrize(
    ("ring", "do", "prop"),
    [
        ("packed", _kept_linked, "nothing-lost"), ("split", _taken_for_done, "nothing-lost"),
        ("split", _goes_on_building, "drains"),
    ],
)  # fmt: skip
def test_a_batch_that_is_taken_back_wrongly_is_not_proved(ring: str, do: Any, prop: str) -> None:
    """Its entries left on the free list, or cleared; or begun again for ever."""
    subject = Subject.of(ring, "hardened", {"stop": PAIR, "stop-batch": "taken-back"})
    assert unproved(subject, [Replace("stop.back", {"do": do})], prop)


@pytest.mark.campaign
@pytest.mark.parametrize("forgotten", ["sentences", "ghosts"])
def test_a_move_needs_what_is_said_of_a_stop(forgotten: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the sentences about a stop, or what a move does to the ghosts, its goals are not proved."""
    if forgotten == "sentences":
        monkeypatch.setattr(split_invariant, "sentences", lambda *_: [])
    else:
        told = stopped.ghosts
        monkeypatch.setattr(stopped, "ghosts", lambda *said: {n: e for n, e in told(*said).items() if n != "stop.move"})
    proof, known = Proof(Subject.of("split", "hardened", {"stop": DRAINS})), hints("split")
    asked = [query for query in queries(proof, known) if query.work == "stop.move"]
    assert [r for r in solve(proof, asked, known, tries=((0.3, 0),)) if r.status != "proved"]


@pytest.mark.parametrize("ring", ["split", pytest.param("packed", marks=pytest.mark.campaign)])
@pytest.mark.parametrize("step", ["stop.answer", "stop.move"])
def test_the_census_misses_what_is_not_shown_of_a_stop(ring: str, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It counts by itself what an answer, and a move, have to keep."""
    subjects = [Subject.of(ring, "hardened", {"stop": DRAINS})]
    lemmas = dict.fromkeys(lemmas_of(ring), True)
    assert check(ring, as_if_shown(ring, subjects), lemmas).faults == []
    monkeypatch.setattr(show, "works", lambda proof: {n: w for n, w in works(proof).items() if n != step})
    assert any(step in fault for fault in check(ring, as_if_shown(ring, subjects), lemmas).faults)


@pytest.mark.parametrize(
    ("ring", "choices"),
    [(ring, choices) for ring in RINGS for choices in ({"stop": DRAINS}, {"stop": PAIR, "stop-batch": "left"})],
)
def test_the_invariant_holds_along_random_runs(ring: str, choices: dict[str, str]) -> None:
    """All sentences, in runs in which the ring is stopped, moved and started again."""
    subject, been = Subject.of(ring, "hardened", choices), set[str]()
    table = induction_of(ring).with_ghosts(protocol.table(subject))
    machine = Machine(table, protocol.sizes(subject, 2, 0), check=True)
    sentences = [(c.name, machine.predicate(c.holds)) for c in induction_of(ring).invariant(table)]
    for step, _, state in (event for seed in range(4) for event in random_run(machine, seed, 200)):
        been.add(step)
        assert [name for name, holds in sentences if not holds(state)] == [], step
    assert {s for s in table.steps if s.startswith("stop.")} <= been


def test_a_late_store_is_found_by_a_search() -> None:
    """`suspended` is judged at the store itself."""
    subject = Subject.of("split", "hardened", {"stop": PAIR, "after-answer": "clears"})
    bounds, names = Bounds(1, 1, 0, 1), frozenset({"suspended"})
    table, sizes = table_and_sizes(subject, bounds, names)
    found = explore(table, sizes, bounds, names)
    assert found.violations["suspended"][-1][0] == "stop.late"
    with_none, sizes = table_and_sizes(Subject.of("split", "hardened", {"stop": PAIR}), bounds, names)
    nothing = explore(with_none, sizes, bounds, names)
    assert (nothing.violations, nothing.complete) == ({}, True)


@pytest.mark.parametrize("ring", RINGS)
def test_verify_judges_it_unless_a_revision_is_asked_for(ring: str) -> None:
    """All of it with everything else; one that is named, with what it says nothing without."""
    assert set(later(ring)) <= set(verify._subjects(ring, None, {}, False))
    assert not set(later(ring)) & set(verify._subjects(ring, "hardened", {}, False))
    left = Subject.of(ring, "hardened", {"stop": PAIR, "stop-batch": "left"})
    assert verify._subjects(ring, None, {"stop-batch": "left"}, False) == [left]
