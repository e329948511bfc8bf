"""The invariant, evaluated on plain numbers along random runs: what holds for all sizes holds for small ones."""

from __future__ import annotations

import random

import pytest

from model import protocol
from model.interpret import Machine
from model.record import record_term
from proofs.judges import UNFAIR
from proofs.split.ghosts import with_ghosts
from proofs.split.invariant import invariant
from proofs.split.rank import rank

SHAPES = ((1, 0), (2, 65534), (4, 65533), (4, 0), (8, 1))


def _walk(machine: Machine, seed: int, length: int):  # type: ignore[no-untyped-def]  # noqa: ANN202
    """Yield states and the steps between them; crashes and resets are rare, so that something happens."""
    rng, state = random.Random(seed), machine.initial()
    crashes = rng.choice([0.002, 0.02, 0.1])
    rare = {"crash": crashes, "driver.reset": 0.05}
    for _ in range(length):
        events = [e for e in machine.enabled(state) if rng.random() < rare.get(e[0], 1)]
        if not events:
            return
        step_id, _, after = rng.choice(events)
        yield state, step_id, after
        state = after


@pytest.mark.parametrize("revision", ["v6", "merged"])
@pytest.mark.parametrize(("size", "first"), SHAPES)
def test_holds_along_random_runs(revision: str, size: int, first: int) -> None:
    """Every sentence holds in every state."""
    subject = protocol.Subject.of("split", revision, {})
    table = with_ghosts(protocol.table(subject))
    machine = Machine(table, protocol.sizes(subject, size, first), check=True)
    sentences = [(c.name, machine.predicate(c.holds)) for c in invariant(table)]
    for seed in range(12):
        for state, step_id, _ in _walk(machine, seed, 300):
            broken = [name for name, holds in sentences if not holds(state)]
            assert broken == [], (seed, step_id)


@pytest.mark.parametrize("revision", ["v6", "merged"])
def test_rank_falls_along_random_runs(revision: str) -> None:
    """A step that somebody owes lowers the rank, and its parts are natural numbers."""
    subject = protocol.Subject.of("split", revision, {})
    table = with_ghosts(protocol.table(subject))
    machine = Machine(table, protocol.sizes(subject, 4, 65533))
    parts = [machine.term(record_term(table.vars, part)) for part in rank(table)]
    compared = 0
    for seed in range(12):
        for state, step_id, after in _walk(machine, seed, 300):
            if step_id not in UNFAIR:
                old, new = [p(state) for p in parts], [p(after) for p in parts]
                assert new < old, (seed, step_id)
                assert min(new) >= 0, (seed, step_id, new)
                compared += 1
    assert compared > 1000


def test_invariant_is_not_always_true() -> None:
    """A state that no run reaches breaks it: a mark without a request."""
    subject = protocol.Subject.of("split", "merged", {})
    table = with_ghosts(protocol.table(subject))
    machine = Machine(table, protocol.sizes(subject, 2))
    state = list(machine.initial())
    state[machine.place["region.desc[].inflight"]] = (1, 0)
    names = [c.name for c in invariant(table) if not machine.predicate(c.holds)(tuple(state))]
    assert "marks" in names
