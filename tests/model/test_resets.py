"""A reset of the VM: what begins anew, where there is no back-end and where one lives."""

from __future__ import annotations

import pytest

from model import protocol
from model.interpret import Machine, StateTuple
from model.protocol import Subject
from tests.model.runs import random_run

REGION = {"renewed": (), "kept": ("driver.reset",), "kept-alive": ("connection.reset",)}
"""By choice of the gap: the resets that leave the region as it is."""


def resets(machine: Machine, step: str) -> list[tuple[StateTuple, StateTuple]]:
    """Give the states before and after some resets of one kind, in random runs."""
    found = []
    for seed in range(8):
        before = machine.initial()
        for name, _, after in random_run(machine, seed, 600, rarely=0.06):
            if name == step:
                found.append((before, after))
            before = after
    return found


@pytest.mark.parametrize("ring", protocol.RINGS)
@pytest.mark.parametrize("choice", REGION)
@pytest.mark.parametrize("step", ["driver.reset", "connection.reset"])
def test_what_begins_anew(ring: str, choice: str, step: str) -> None:
    """Everything, history too; but for the region where the choice keeps it."""
    subject = Subject.of(ring, "merged", {"reset": choice})
    machine = Machine(protocol.table(subject), protocol.sizes(subject, 2, 1))
    region = [n for n, var in enumerate(machine.table.vars.values()) if var.kind == "region"]
    kept = region if step in REGION[choice] else []
    found = resets(machine, step)
    assert found
    for before, after in found:
        assert after == tuple(before[n] if n in kept else value for n, value in enumerate(machine.initial()))
    assert any(before[n] != value for before, _ in found for n, value in enumerate(machine.initial()) if n in region)


@pytest.mark.parametrize("ring", protocol.RINGS)
def test_a_back_end_that_lives_is_told_between_two_procedures(ring: str) -> None:
    """Not in recovery, not with a request in hand and not in a batch: then it is busy; and not where there is none."""
    machine = Machine(protocol.table(Subject(ring, "merged")), protocol.sizes(Subject(ring, "merged"), 2))
    idle, busy = 0, 0
    for seed in range(4):
        for _, _, state in random_run(machine, seed, 600):
            at = {name: machine.get(state, f"{name}.at") for name in ("recover", "fetch", "supply")}
            free = at["recover"] == "running" and at["fetch"] in ("look", "take", "rest") and at["supply"] == "idle"
            enabled = {event[0] for event in machine.enabled(state)}
            assert ("connection.reset" in enabled) == free
            assert ("driver.reset" in enabled) == (at["recover"] == "dead")
            idle, busy = idle + free, busy + (not free)
    assert min(idle, busy) > 100
