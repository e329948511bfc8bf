"""Control flow: at every label some step's guard holds, or the procedure waits there on purpose."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from model import protocol
from model.interpret import Machine, StateTuple
from model.protocol import Subject
from tests.model.runs import SUBJECTS, name_of

WAITS = {
    ("fetch", "rest"): "for a kick",
    ("supply", "idle"): "for a request that the device has finished",
    ("driver", "idle"): "for a free head, or for wanting something",
    ("rest", "asleep"): "for a notification",
}
"""The labels that a procedure may stay at without a step of its own to take, and what it waits for."""

WAITS_PACKED = {
    ("fetch", "take"): "for a free entry: there is one where the driver keeps to the ring and recovery is right",
    ("fetch", "next"): "likewise",
    ("recover", "gather"): "for an entry that there is: where the region is broken, recovery goes no further",
    ("supply", "flags"): "for nothing: a batch has a request, which arbitrary states leave out",
    ("supply", "flags store"): "for nothing: the cursor is not 0 there, which arbitrary states leave out",
}
"""Likewise, on the packed ring alone."""

IN_THE_RING = ("fetch.avail_idx", "driver.used_idx")
"""Indexes by which guards read the ring: always in range."""

MAY_BE_THE_END = ("region.free_head", "region.old_free_head", "recover.entry")
"""Indexes of entries which may be the number of entries too: the end of the free list."""

ENDS = {"recover": {"running"}, "fetch": {"off"}, "supply": {"off"}}
"""The labels that no step of the procedure leaves: recovery has ended, or has not yet."""


def labels(subject: Subject) -> dict[str, set[str]]:
    """Give the labels of each procedure: those that are left, gone to, or a variable's first value."""
    table = protocol.table(subject)
    found: dict[str, set[str]] = {}
    for step in table.steps.values():
        if step.at:
            first = str(table.vars[f"{step.procedure}.at"].initial)
            found.setdefault(step.procedure, {first}).update(step.at, [step.to] if step.to else [])
    for recorded in table.recorded():
        for assign in recorded.assigns:
            if assign.name.endswith(".at") and assign.value.op == "const":
                found[assign.name.removesuffix(".at")].add(str(assign.value.args[0]))
    return found


def arbitrary_states(machine: Machine, rng: random.Random, number: int) -> Iterator[StateTuple]:
    """Yield states of small numbers that need not be reachable: what holds of them holds of the reachable ones."""
    heads = machine.sizes.heads
    ranges: list[tuple[int, int | None]] = []  # of each variable: its numbers, and how many elements, None: it is one
    for var in machine.table.vars.values():
        top = heads if var.width in (0, 16, 32, 64) else 1 << var.width
        if machine.table.ring == "packed":
            top = machine.sizes.size if var.name in IN_THE_RING else top + (var.name in MAY_BE_THE_END)
        ranges.append((min(top, heads + 1), machine.compiler.number(var.limit) if var.limit else None))
    draw = rng.random
    for _ in range(number):
        yield tuple(
            int(draw() * top) if count is None else tuple([int(draw() * top) for _ in range(count)])
            for top, count in ranges
        )


def waits(subject: Subject) -> set[tuple[str, str]]:
    """Give the labels at which a procedure may wait."""
    if subject.ring == "split":
        return set(WAITS)
    found = set(WAITS) | set(WAITS_PACKED)
    if subject.choice("signal-when") == "after-publish":
        found.remove(("supply", "flags"))  # the notification is looked at there
    if subject.choice("used-element") != "with-flags":
        found.remove(("supply", "flags store"))
    return found


@pytest.mark.parametrize("subject", SUBJECTS, ids=name_of)
def test_guards_at_a_label_are_exhaustive_or_waiting_is_meant(subject: Subject) -> None:
    """In any state at all some step leaves each label, but those that may wait, at which some state leaves none."""
    machine = Machine(protocol.table(subject), protocol.sizes(subject, 3))
    rng = random.Random(1)
    states = list(arbitrary_states(machine, rng, 300))
    waiting: set[tuple[str, str]] = set()
    for procedure, names in labels(subject).items():
        for label in names - ENDS.get(procedure, set()):
            leaving = [s for s in machine.table.of(procedure) if label in s.at]
            guards = [machine.predicate(s.when, with_choice=bool(s.choice)) for s in leaving]
            place = machine.place[f"{procedure}.at"]
            there = [(*s[:place], label, *s[place + 1 :]) for s in states]
            if not all(any(g(s, c) for g in guards for c in range(machine.sizes.heads)) for s in there):
                waiting.add((procedure, label))
    assert waits(subject) == waiting


@pytest.mark.parametrize("subject", SUBJECTS, ids=name_of)
def test_procedures_end_where_they_should(subject: Subject) -> None:
    """No step leads to a label that nothing leaves, except where the procedure ends."""
    table = protocol.table(subject)
    dead_ends: dict[str, set[str]] = {}
    for procedure, names in labels(subject).items():
        left = {label for step in table.of(procedure) for label in step.at}
        if names - left:
            dead_ends[procedure] = names - left
    assert dead_ends == ENDS
