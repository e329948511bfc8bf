"""Leaving the notifications out is sound: the sentence in the docstring of model.split.quiet, checked."""

from __future__ import annotations

import pytest

from model import protocol
from model.interpret import Machine, StateTuple
from model.packed.quiet import NOTIFICATIONS as PACKED_NOTIFICATIONS
from model.protocol import Subject
from model.record import record_term
from model.split.quiet import NOTIFICATIONS as SPLIT_NOTIFICATIONS
from model.split.quiet import OF_PROFILES
from model.steps import Recorded, Table
from model.terms import Term
from tests.model.runs import SUBJECTS, name_of, operands, random_run, reads, writes

PROFILES = tuple(Subject(ring, name) for ring in protocol.RINGS for name in protocol.profiles(ring))

NOTIFICATIONS = {"split": (*SPLIT_NOTIFICATIONS, *OF_PROFILES), "packed": PACKED_NOTIFICATIONS}
"""By ring: the steps that are left out."""

LESS = {
    "split": {"fetch.seen_avail": "a back-end that is about to rest reads avail.idx again, as the first look may do"},
    "packed": {"fetch.available": "a back-end that is about to rest reads the flags again, as the first look may do"},
}
"""By ring: what a removed step writes and a kept one reads, and why that is no more than a kept step does."""

KICKS = {"kick"}
"""What the recovery of some profiles stores as it is; only a kick that is taken reads it, and that is left out."""

LOOKS = {
    "split": ("split.idle.look", "split.fetch.look"),
    "packed": ("packed.idle.look", "packed.fetch.look"),
}
"""By ring: the second look at the ring, which is left out, and the first."""


def split(table: Table) -> tuple[list[Recorded], list[Recorded]]:
    """Give the recorded steps that are left out, and those that stay."""
    recorded = table.recorded()
    left_out = NOTIFICATIONS[table.ring]
    return [r for r in recorded if r.step.id in left_out], [r for r in recorded if r.step.id not in left_out]


def read_by(kept: list[Recorded], table: Table) -> set[str]:
    """Name what guards, stores, history and judgements of the kept steps read."""
    found: set[str] = set()
    for recorded in kept:
        found |= reads([recorded.guard, *operands((*recorded.assigns, *recorded.history))])
    for judgement in protocol.judgements(table.ring):
        for recorded in kept:
            if judgement.tag in recorded.step.tags:
                chosen = judgement.before and recorded.step.choice
                arguments = (Term("choice"),) if chosen else ()
                found |= reads([record_term(table.vars, judgement.predicate, *arguments)])
    return found


@pytest.mark.parametrize("subject", [*SUBJECTS, *PROFILES], ids=name_of)
def test_what_is_left_out_writes_nothing_that_matters(subject: Subject) -> None:
    """No guard, store or judgement that remains reads what a removed step writes, except what LESS explains."""
    table = protocol.table(subject)
    gone, kept = split(table)
    written = {name for recorded in gone for name in writes(recorded)}
    assert set(LESS[subject.ring]) == (written & read_by(kept, table)) - KICKS


@pytest.mark.parametrize("subject", [*SUBJECTS, *PROFILES], ids=name_of)
def test_the_quiet_table_has_every_run_of_the_other(subject: Subject) -> None:
    """A random run with its notifications cut out is a run of the quiet table, through the same states.

    A driver that wants to sleep during recovery disturbs it, and a quiet one does not: it is judged all the more.
    """
    sizes = protocol.sizes(subject, 2, 1)
    full = Machine(protocol.table(subject), sizes)
    quiet = Machine(protocol.table(subject, quiet=True), sizes)
    gone, _ = split(full.table)
    ignored = {name for recorded in gone for name in writes(recorded)} - set(LESS[subject.ring])
    compared = [
        full.place[v.name] for v in full.table.vars.values() if v.name not in ignored and not v.name.endswith(".at")
    ]
    state = quiet.initial()
    for step_id, chosen, expected in random_run(full, 3, 1500):
        state = follow(quiet, state, step_id, chosen)
        assert [expected[n] for n in compared] == [state[n] for n in compared], step_id
        assert full.get(expected, "history.undisturbed") <= quiet.get(state, "history.undisturbed")


def follow(quiet: Machine, state: StateTuple, step_id: str, chosen: int) -> StateTuple:
    """Take the event on the quiet table: a second look at the ring is a look, other notifications are nothing."""
    second, first = LOOKS[quiet.table.ring]
    if step_id == second:
        return quiet.take(state, first)
    if step_id in NOTIFICATIONS[quiet.table.ring]:
        return state
    return quiet.take(state, step_id, chosen)


@pytest.mark.parametrize("ring", protocol.RINGS)
def test_what_is_left_out_exists(ring: str) -> None:
    """Each name in NOTIFICATIONS is a step, so that none is left out by a misspelt name."""
    more = {"event-kind": "index"} if ring == "packed" else {}
    left = protocol.table(Subject.of(ring, "v6", {"event-fields": "left", **more}))
    theirs = {step for name in protocol.profiles(ring) for step in protocol.table(Subject(ring, name)).steps}
    own = set(OF_PROFILES) if ring == "split" else set()
    assert set(NOTIFICATIONS[ring]) - own <= set(left.steps)
    assert own <= theirs - set(left.steps)
