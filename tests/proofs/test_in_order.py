"""In-order use: what its proof notices, and that its sentences hold along runs of a driver that takes several."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from model import protocol
from model.both.words import FINISHED
from model.packed import in_order as packed
from model.packed.places import moved
from model.packed.serve import last_entry
from model.protocol import Subject
from model.split import in_order as split
from model.steps import Edit, Replace, Table
from model.terms import Term, all_of, ite, slot
from proofs.induction.kits import induction_of
from tests.proofs.proving import unproved

Edits = Callable[[Table], list[Edit]]


def subject_of(ring: str, choice: str) -> Subject:
    """Give a subject."""
    return Subject.of(ring, "hardened", {"in-order": choice})


def any_that_is_finished(table: Table) -> list[Edit]:
    """Take any request that is finished, whose turn it may not be."""
    step = protocol.table(Subject(table.ring, "hardened")).step(f"{table.ring}.supply.1")
    return [Replace(step.id, {"when": step.when})]


def nobody_moves_up(table: Table) -> list[Edit]:
    """Take one out of the queue, and leave the others where they are."""
    step = protocol.table(Subject(table.ring, "hardened")).step(f"{table.ring}.supply.1")

    def do(s: Any, i: Term) -> None:
        step.do(s, i)
        s.device.turn[i] = 0

    return [Replace(step.id, {"do": do})]


def resubmitted_last_first(table: Table) -> list[Edit]:
    """Put what is resubmitted at the head of the queue."""
    step_id = {"split": "split.reconnect.2", "packed": "packed.reconnect.4.submit"}[table.ring]
    step = protocol.table(Subject(table.ring, "hardened")).step(step_id)

    def do(s: Any, *args: Term) -> None:
        step.do(s, *args)
        here = args[0] if args else s.recover.head
        s.device.turn.each(lambda x: ite(x == here, 1, ite(s.device.turn[x] > 0, s.device.turn[x] + 1, 0)))

    return [Replace(step_id, {"do": do})]


def frees_all(table: Table) -> list[Edit]:
    """Let the driver go on behind the request that the element names."""
    step = table.step("driver.use.last")
    return [Replace(step.id, {"to": "taking"})]


def names_the_first(_: Table) -> list[Edit]:
    """Let the one element of a batch name its first request."""

    def do(s: Any) -> None:
        s.used.ring[slot(s.used.idx)].id = s.supply.batch[0]

    return [Replace("split.supply.id", {"do": do})]


def names_what_comes_next(_: Table) -> list[Edit]:
    """Write the one element behind the batch's first slot."""

    def do(s: Any) -> None:
        s.used.ring[slot(s.used.idx + 1)].id = s.supply.head

    return [Replace("split.supply.id", {"do": do})]


def flags_before_the_element(_: Table) -> list[Edit]:
    """Publish a complete batch before its one element has its length."""
    return [Replace("packed.supply.len", {"do": lambda _: None})]


def at_the_next_slot(_: Table) -> list[Edit]:
    """Write the one element's id behind the batch's first slot."""

    def do(s: Any) -> None:
        s.ring.desc[moved(s.supply.start, 1)].id = last_entry(s, s.supply.head).id

    return [Replace("packed.supply.id", {"do": do})]


SABOTAGES: tuple[tuple[str, str, Edits, str], ...] = (
    ("split", "elements", any_that_is_finished, "intact"),
    ("split", "elements", nobody_moves_up, "drains"),
    ("split", "elements", resubmitted_last_first, "exactly-once"),
    ("split", "elements", frees_all, "drains"),
    ("split", "one-element", any_that_is_finished, "exactly-once"),
    ("split", "one-element", names_the_first, "intact"),
    ("split", "one-element", names_what_comes_next, "intact"),
    ("split", "one-element", frees_all, "drains"),
    ("split", "one-element", split.linked_once, "no-used-resubmitted"),
    ("split", "one-element", split.linked_once, "ring-position"),
    ("split", "one-element", split.cleared_once, "no-used-resubmitted"),
    ("split", "one-element", split.counted_once, "intact"),
    ("split", "one-element", split.counted_once, "exactly-once"),
    ("split", "one-element", split.table_order, "order"),
    ("split", "one-element", split.table_order, "intact"),
    ("packed", "elements", any_that_is_finished, "intact"),
    ("packed", "elements", nobody_moves_up, "drains"),
    ("packed", "elements", resubmitted_last_first, "exactly-once"),
    ("packed", "elements", frees_all, "drains"),
    ("packed", "one-element", any_that_is_finished, "exactly-once"),
    ("packed", "one-element", flags_before_the_element, "intact"),
    ("packed", "one-element", at_the_next_slot, "intact"),
    ("packed", "one-element-all-flags", frees_all, "drains"),
    ("packed", "one-element", packed.linked_once, "well-formed"),
    ("packed", "one-element", packed.cleared_once, "well-formed"),
    ("packed", "one-element", packed.counted_once, "ring-position"),
    ("packed", "one-element", packed.table_order, "order"),
)
"""Wrong steps, and the choices that a run refutes: each with a property that it breaks."""


LONG = {split.linked_once, split.cleared_once, packed.linked_once, packed.cleared_once}
"""What fails late: many goals are tried to the end."""


@pytest.mark.parametrize(
    ("ring", "choice", "edits", "prop"),
    [pytest.param(*s, marks=pytest.mark.campaign if s[2] in LONG else ()) for s in SABOTAGES],
)
def test_a_wrong_step_is_not_proved(ring: str, choice: str, edits: Edits, prop: str) -> None:
    """A goal that the property rests on fails."""
    subject = subject_of(ring, choice)
    assert unproved(subject, edits(protocol.table(subject)), prop)


def test_the_same_said_otherwise_is_proved() -> None:
    """What fails above fails for what was changed: a guard that says the same in other words has no goal that fails."""
    subject = subject_of("split", "one-element")

    def its_turn(s: Any, i: Term) -> Term:
        return all_of(s.device.turn[i] > 0, s.device.turn[i] <= 1, s.device.state[i] == FINISHED)

    edits = [Replace("split.supply.1", {"when": its_turn})]
    assert [unproved(subject, edits, prop) for prop in ("intact", "drains")] == [[], []]


@pytest.mark.parametrize("ring", protocol.RINGS)
def test_what_no_invariant_speaks_of(ring: str) -> None:
    """The choices that a run refutes, and what fetches again from the ring."""
    spoken = {choice for of, choice, *_ in SABOTAGES if of == ring}
    for alternative in protocol.later(ring)["in-order"].alternatives[1:]:
        told = induction_of(ring).out_of_scope("hardened", {"in-order": alternative.name})
        assert (told is None) == (alternative.name in spoken), alternative.name
