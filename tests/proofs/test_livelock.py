"""Runs that go round for ever: found where a fair one gives a request never back, and nowhere else."""

from __future__ import annotations

from array import array
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model import protocol
from model.interpret import Machine
from model.properties import NAMES
from model.protocol import Subject
from model.steps import Edit, GuardOf, Replace, Table
from model.terms import Term
from proofs.challenges.fates import load
from proofs.challenges.rounds import rounds
from proofs.search import livelock
from proofs.search.bounds import Bounds
from proofs.search.breadth_first import Found, explore
from proofs.search.cone import cone
from proofs.search.livelock import is_round
from proofs.search.runs import runs
from proofs.verdicts import Schedule, violates

DRAINS = frozenset({"drains"})
SUBJECTS = {"split": Subject("split", "merged"), "packed": Subject("packed", "hardened")}
BOUNDS = {"round recovery": Bounds(1, 1, 1), "round rest": Bounds(1, 1, 0), "round notify": Bounds(1, 2, 0)}
CASES = [(ring, name) for ring in SUBJECTS for name in BOUNDS]


def text(ring: str, *edits: Edit) -> Table:
    """Give the proved table of a ring, edited."""
    return protocol.table(SUBJECTS[ring]).edited(edits)


def mutant(ring: str, name: str) -> Table:
    """Give a mutant that goes round."""
    return text(ring, *next(m.edits for m in rounds(text(ring)) if m.name == name))


def search(table: Table, bounds: Bounds, properties: frozenset[str] = DRAINS) -> Found:
    """Search a table with notifications."""
    found = explore(table, protocol.sizes(SUBJECTS[table.ring], bounds.size), bounds, properties, every=True)
    assert found.complete
    return found


def at_rest(s: Any) -> Term:
    """Whether the back-end rests."""
    return s.fetch.at == "rest"  # type: ignore[no-any-return]


@pytest.mark.parametrize(("ring", "name"), CASES)
def test_a_run_that_goes_round_is_found(ring: str, name: str) -> None:
    """Recovery, resting and notifying without an end: as long a run as the one on record; the text has none."""
    found = search(mutant(ring, name), BOUNDS[name])
    (told,) = (f for f in load(ring) if f.mutant == name and f.revision == SUBJECTS[ring].revision)
    length, again = len(found.violations["drains"]), found.repeats_from or 0
    assert length - again == len(told.schedule) - (told.repeats_from or 0)
    assert again <= (told.repeats_from or 0)
    assert search(text(ring), BOUNDS[name]).violations == {}


@pytest.mark.parametrize("ring", SUBJECTS)
def test_nothing_is_stuck_there(ring: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Recovery without an end violates nothing where only what gets stuck is looked for, as all searches once did."""
    monkeypatch.setattr("proofs.search.breadth_first.round_among", lambda *_: None)
    assert search(mutant(ring, "round recovery"), BOUNDS["round recovery"]).violations == {}


def test_it_is_found_beside_other_properties() -> None:
    """Then states have everything that the other properties are judged by, history too."""
    both = DRAINS | {"nothing-lost", "exactly-once"}
    alone, beside = (search(mutant("split", "round rest"), BOUNDS["round rest"], p) for p in (DRAINS, both))
    assert set(beside.violations) == {"drains"}
    assert beside.repeats_from == alone.repeats_from
    assert beside.states > alone.states


def test_restartable_comes_to_an_end() -> None:
    """Recovery that never ends has no outcome; asking for it ends all the same."""
    safe = frozenset(NAMES) - DRAINS
    assert search(runs("split").quiet(mutant("split", "round recovery")), Bounds(1, 1, 1), safe).violations == {}


# Fairness.


def test_a_back_end_that_polls_drains() -> None:
    """It looks at the ring again and again and never rests, yet supplies in between: going round starves somebody."""
    assert search(text("split", Replace("split.idle.look", {"to": "look"})), Bounds(1, 1, 1)).violations == {}


def test_who_could_act_between_two_steps_is_not_left_out() -> None:
    """A device that never finishes, as long as the back-end polls, would be unfair: not so without the device."""
    polling = Replace("split.idle.look", {"to": "look"})
    never = Replace("device.finish", {"when": lambda s, i: s.device.state[i] == 7})
    found = search(text("split", polling, never), Bounds(1, 1, 0))
    assert {e[0] for e in found.violations["drains"][(found.repeats_from or 0) - 1 :]} == {
        "split.fetch.look", "split.idle.arm", "split.idle.look"
    }  # fmt: skip


def test_a_round_has_whoever_could_act_in_it() -> None:
    """A driver that is notified again and again wakes and sleeps again and again: its steps are part of the round."""
    found = search(mutant("split", "round notify"), BOUNDS["round notify"])
    steps = {e[0] for e in found.violations["drains"][(found.repeats_from or 0) - 1 :]}
    assert {"split.notify.look", "split.notify.call", "driver.wake", "driver.sleep.1", "driver.sleep.2"} == steps


def test_what_nobody_owes_makes_no_round() -> None:
    """The text goes round by crashes for ever, and by nothing else."""
    assert search(text("split"), Bounds(1, 1, 2)).violations == {}


def test_a_round_in_which_something_grows_that_nobody_reads() -> None:
    """It comes back to where it was in all that matters; the search ends though the number has no end."""
    commits = "split.reconnect.1c"

    def count(s: Any) -> None:
        s.device.given[0] = s.device.given[0] + 1

    found = search(text("split", Replace(commits, {"do": count, "to": "compare"})), Bounds(1, 1, 1))
    assert found.repeats_from is not None
    assert commits in {e[0] for e in found.violations["drains"][found.repeats_from - 1 :]}


# A schedule of a run that goes round.


def schedule(found: Found, **changes: Any) -> tuple[Machine, Schedule]:
    """Give a machine of the mutant whose recovery has no end, and what was found as a schedule."""
    told = Schedule.found(SUBJECTS["split"], "drains", Bounds(1, 1, 1), found)
    machine = Machine(mutant("split", "round recovery"), protocol.sizes(SUBJECTS["split"], 1), check=True)
    return machine, replace(told, **changes)


def test_a_schedule_says_where_it_repeats(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was found violates, played again; with the end or the beginning of the round elsewhere it does not."""
    found = search(mutant("split", "round recovery"), Bounds(1, 1, 1))
    again = found.repeats_from or 0
    events = found.violations["drains"]
    for told, holds in (
        ({}, True), ({"repeats_from": again + 1}, False), ({"repeats_from": again - 1}, False),
        ({"repeats_from": None}, False), ({"events": events[:-1]}, False),
        ({"events": (*events, *events[again - 1 :])}, True),
    ):  # fmt: skip
        machine, said = schedule(found, **told)
        monkeypatch.setattr(Schedule, "machine", lambda _, machine=machine: machine)
        assert violates(said) == holds, told
    assert schedule(found)[1].json()["repeats_from"] == again
    assert "repeats_from" not in schedule(found, repeats_from=None)[1].json()


@pytest.mark.parametrize("finishes", [True, False])
def test_a_round_that_leaves_somebody_out_is_no_violation(finishes: bool) -> None:
    """A back-end that polls while the device works: it could finish, so the round is not fair; if it cannot, it is."""
    polling = Replace("split.idle.look", {"to": "look"})
    never = () if finishes else (Replace("device.finish", {"when": lambda s, i: s.device.state[i] == 7}),)
    machine = Machine(text("split", polling, *never), protocol.sizes(SUBJECTS["split"], 1))
    found = search(text("split", polling, Replace("device.finish", {"when": lambda s, i: s.device.state[i] == 7})),
                   Bounds(1, 1, 0))  # fmt: skip
    states, begin = [machine.initial()], (found.repeats_from or 0) - 1
    for step, *chosen in found.violations["drains"]:
        states.append(machine.take(states[-1], step, *chosen))
    assert is_round(machine, states[begin:], found.violations["drains"][begin:]) == (not finishes)


def test_going_round_by_a_crash_is_no_violation() -> None:
    """Nobody owes a crash."""
    machine = Machine(text("split"), protocol.sizes(SUBJECTS["split"], 1))
    state = machine.initial()
    for step in ("split.start.fresh", "split.init.1", "split.init.2", "split.init.3"):
        state = machine.take(state, step)
    state = machine.take(state, "driver.make.1", 0)
    crashed = machine.take(state, "crash")
    adopted = machine.take(crashed, "split.start.adopt")
    states = [crashed, adopted, machine.take(adopted, "crash")]
    assert states[0] == states[-1]
    assert not is_round(machine, states, [("split.start.adopt",), ("crash",)])


# The graph.


@given(st.integers(1, 7).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.tuples(*[st.integers(0, n - 1)] * 2)))))
def test_components(graph: tuple[int, set[tuple[int, int]]]) -> None:
    """Two nodes are in one component if there is a way there and back."""
    size, edges = graph
    reach = {(a, b) for a, b in product(range(size), repeat=2) if a == b or (a, b) in edges}
    for middle, a, b in product(range(size), repeat=3):
        if (a, middle) in reach and (middle, b) in reach:
            reach.add((a, b))
    begin, targets = array("q", [0]), array("q")
    for node in range(size):
        targets.extend(b for a, b in sorted(edges) if a == node)
        begin.append(len(targets))
    found = [frozenset(component) for component in livelock._tarjan(begin, targets)]
    assert sum(len(component) for component in found) == size
    assert set(found) == {
        frozenset(b for b in range(size) if {(a, b), (b, a)} <= reach) for a in range(size)
    }  # fmt: skip


# The cone.


@pytest.mark.parametrize("ring", SUBJECTS)
def test_what_is_left_out_makes_no_difference(ring: str) -> None:
    """Without what no guard depends on, each state of the search has the same steps; history is among it."""
    table, told = text(ring), runs(ring)
    kept = cone(table, (told.all_seen,))
    assert not [name for name in kept if table.vars[name].kind == "ghost"]
    assert {"recover.at", "driver.owns", "kick", "call"} <= kept
    sizes = protocol.sizes(SUBJECTS[ring], 1)
    whole, part = Machine(table, sizes), Machine(table, sizes, kept=kept)
    view = [whole.place[name] for name in part.vars]
    todo = [whole.initial()]
    for state in todo:
        less = tuple(state[place] for place in view)
        after = whole.successors(state)
        expected = [(number, chosen, tuple(s[place] for place in view)) for number, chosen, s in after]
        assert part.successors(less) == expected
        if len(todo) < 500:
            todo += [s for _, _, s in after]


def test_a_cone_has_what_it_is_asked_for() -> None:
    """What a predicate depends on, and what that depends on."""
    table = text("split")
    assert "table" not in cone(table, ())
    assert {"table", "driver.requests"} <= cone(table, (lambda s: s.table[0] == 1,))


def test_polling_guard_is_what_makes_the_round() -> None:
    """The mutant that rests in a round is one by both of its edits: a guard that only rests supplies drains too."""
    assert search(text("split", GuardOf("supply", at_rest)), Bounds(1, 1, 0)).violations == {}
