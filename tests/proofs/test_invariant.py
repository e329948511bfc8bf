"""The invariants, evaluated on plain numbers along random runs: what holds for all sizes holds for small ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from model import protocol
from model.interpret import Machine, Sizes, StateTuple
from model.protocol import Subject
from model.record import SHARED, State, record_term
from model.steps import Replace, Table
from model.terms import Term
from proofs.induction.kits import induction_of
from proofs.search.judges import UNFAIR
from tests.model.runs import name_of, random_run

SHAPES = {"split": ((1, 0), (2, 65534), (4, 65533), (4, 0), (8, 1)), "packed": ((1, 0), (2, 3), (3, 2), (4, 0))}
"""By ring: queue sizes and first indexes (of a packed ring, positions)."""

IN_ORDER = (
    ("split", "elements"),
    ("split", "one-element"),
    ("packed", "elements"),
    ("packed", "one-element"),
    ("packed", "one-element-all-flags"),
)

SUBJECTS = (
    Subject("split", "v6"),
    Subject("split", "merged"),
    Subject("packed", "hardened"),
    Subject.of("packed", "hardened", {"settle": "wide"}),
    Subject.of("packed", "hardened", {"event-kind": "index"}),
    *(Subject.of(ring, "hardened", {"in-order": choice}) for ring, choice in IN_ORDER),
)
"""What the invariants speak of, but for other choices of gaps."""

RUNS = {"split": (12, 300), "packed": (24, 400)}
"""By ring: how many runs of each shape, and how many events."""

UNNOTICED = {
    "split.idle.wake": "the kick is taken: it comes again and again, which the rank alone forbids",
    "packed.idle.wake": "likewise",
    "packed.idle.disarm": "asks for no more kicks: without it there are kicks that nobody needs",
}
"""Stores without which every sentence still holds, and why."""

UNTAKEN = {
    "elements": {"driver.use.broken", "driver.use.skipped"},
    "one-element": {"driver.use.broken", "packed.reconnect.unmark"},
    "one-element-all-flags": {"driver.use.broken"},
}
"""Of in-order use, steps of a driver whose back-end goes wrong, or that no element asks for; where one slot alone is
marked, none is left."""

Sentences = list[tuple[str, Callable[..., bool]]]


def ghosted(subject: Subject) -> Table:
    """Give the table with the proof's ghost state."""
    return induction_of(subject.ring).with_ghosts(protocol.table(subject))


def machines(subject: Subject) -> Iterator[tuple[Machine, Sentences]]:
    """Give a machine of each shape, and the sentences of the invariant for it."""
    table = ghosted(subject)
    for size, first in SHAPES[subject.ring]:
        machine = Machine(table, protocol.sizes(subject, size, first), check=True)
        sentences = [(c.name, machine.predicate(c.holds)) for c in induction_of(subject.ring).invariant(table)]
        yield machine, sentences


def runs(subject: Subject, machine: Machine) -> Iterator[tuple[int, StateTuple, str, StateTuple]]:
    """Yield the steps of random runs: the seed, the state before, the step, the state after."""
    seeds, events = RUNS[subject.ring]
    for seed in range(seeds):
        state = machine.initial()
        for step_id, _, after in random_run(machine, seed, events, rarely=(0.002, 0.01, 0.05)[seed % 3]):
            yield seed, state, step_id, after
            state = after


@pytest.mark.parametrize("subject", SUBJECTS, ids=name_of)
@pytest.mark.campaign
def test_holds_along_random_runs(subject: Subject) -> None:
    """Every sentence holds in every state, and the runs of all shapes together take every step."""
    taken: set[str] = set()
    for machine, sentences in machines(subject):
        for seed, _, step_id, after in runs(subject, machine):
            broken = [name for name, holds in sentences if not holds(after)]
            assert broken == [], (machine.sizes, seed, step_id)
            taken.add(step_id)
        assert [name for name, holds in sentences if not holds(machine.initial())] == []
    steps = set(ghosted(subject).steps)
    assert steps - taken == UNTAKEN.get(subject.chosen.get("in-order", ""), set()) & steps


@pytest.mark.parametrize("subject", SUBJECTS, ids=name_of)
def test_rank_falls_along_random_runs(subject: Subject) -> None:
    """A step that somebody owes lowers the rank, and its parts are natural numbers."""
    table = ghosted(subject)
    size, first = SHAPES[subject.ring][2]
    machine = Machine(table, protocol.sizes(subject, size, first))
    parts = [machine.term(record_term(table.vars, part)) for part in induction_of(subject.ring).rank(table)]
    compared = 0
    for seed, state, step_id, after in runs(subject, machine):
        if step_id not in UNFAIR:
            old, new = [p(state) for p in parts], [p(after) for p in parts]
            assert new < old, (seed, step_id)
            assert min(new) >= 0, (seed, step_id, new)
            compared += 1
    assert compared > 1000


def stores(subject: Subject) -> list[str]:
    """Name the steps of the back-end that store to what outlives it."""
    table = protocol.table(subject)
    back_end = ("recover", "fetch", "supply")
    return [r.step.id for r in table.recorded() if r.step.procedure in back_end and r.stores(table.vars)]


def without(subject: Subject, step_id: str) -> Table:
    """Give the table with the proof's ghost state, one step doing all it did but its store."""
    table = protocol.table(subject)
    step = table.step(step_id)

    def do(s: State, *args: Term) -> None:
        step.do(s, *args)
        s._assigns[:] = [a for a in s._assigns if table.vars[a.name].kind not in SHARED]

    return induction_of(subject.ring).with_ghosts(table.edited([Replace(step_id, {"do": do})]))


def breaks(table: Table, sizes: Sizes) -> str | None:
    """Give a sentence of the invariant that random runs of a table break, if there is one."""
    machine = Machine(table, sizes)
    sentences = [(c.name, machine.predicate(c.holds)) for c in induction_of(table.ring).invariant(table)]

    def holds(sentence: Callable[..., bool], state: StateTuple) -> bool:
        try:
            return sentence(state)
        except IndexError:  # it speaks of an element that there is not, which it says is there
            return False

    for seed in range(40):
        for _, _, state in random_run(machine, seed, 400, rarely=0.01):
            broken = [name for name, sentence in sentences if not holds(sentence, state)]
            if broken:
                return broken[0]
    return None


@pytest.mark.parametrize(
    ("subject", "step_id"),
    [(subject, step_id) for subject in (SUBJECTS[1], SUBJECTS[2]) for step_id in stores(subject)],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.campaign
def test_a_dropped_store_breaks_a_sentence(subject: Subject, step_id: str) -> None:
    """What holds along the runs of the text does not along those of a text with one store less: it is not empty."""
    size, first = SHAPES[subject.ring][2]
    broken = breaks(without(subject, step_id), protocol.sizes(subject, size, first))
    assert (broken is None) == (step_id in UNNOTICED), broken


@pytest.mark.parametrize("subject", SUBJECTS[1:3], ids=name_of)
def test_invariant_is_not_always_true(subject: Subject) -> None:
    """A state that no run reaches breaks it: a mark without a request."""
    table = ghosted(subject)
    machine = Machine(table, protocol.sizes(subject, 2))
    state = list(machine.initial())
    state[machine.place["region.desc[].inflight"]] = (1, 0)
    invariant = induction_of(subject.ring).invariant(table)
    names = [c.name for c in invariant if not machine.predicate(c.holds)(tuple(state))]
    assert "marks" in names
