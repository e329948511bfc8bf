"""The mutants of `hardened` in its other forms: settle=wide and event-kind=index need what the plain form needs.

The recorded runs are of the plain form; here they are played on the others, each step as it is there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from model import protocol
from model.interpret import Machine, Sizes
from model.packed.quiet import NOTIFICATIONS
from model.packed.serve import close_batch
from model.protocol import Subject
from model.steps import Replace, Table
from model.terms import ModelError
from proofs.challenges import mutants
from proofs.challenges.fates import Fate, load
from proofs.challenges.mutating import drops, guards
from proofs.induction.kits import Mutant
from proofs.packed.guards import GUARDS
from proofs.packed.mutants import SECOND_CRASH
from proofs.packed.serving_swaps import fetching_swaps, notification_swaps, supplying_swaps
from proofs.packed.swaps import recovery_swaps, start_swaps
from proofs.search.bounds import Event
from proofs.search.judges import Judge
from proofs.search.runs import runs

WIDE = Subject.of("packed", "hardened", {"settle": "wide"})
INDEX = Subject.of("packed", "hardened", {"event-kind": "index"})

OTHERWISE = {
    WIDE: {
        "drop packed.reconnect.1c2": "one store of both fields: narrowed below",
        "drop packed.supply.9b": "likewise",
        "drop packed.reconnect.1c3": "there is no such step",
        "drop packed.supply.9c": "there is no such step",
        "drop packed.reconnect.2b": "another run kills it: below",
        "drop packed.reconnect.2c": "another run kills it: below",
        "swap packed.reconnect.2c, packed.reconnect.2a": "wide rolls back in the order of the text",
        "swap packed.supply.4, packed.supply.6a": "its run comes to the test of free_head, which wide does not have",
        "swap packed.supply.7, packed.notify.look": "it moves the store that settles, which is another one here",
        "swap packed.idle.arm, packed.idle.look": "made after the swap before, which there is not",
        "guard packed.reconnect.1a: region.free_head != region.old_free_head": "there is no such guard",
        "guard packed.reconnect.1.settled: region.free_head == region.old_free_head": "there is no such step",
    },
    INDEX: {},
}
"""The mutants that are dead in the plain form and are not played in another one, and why."""


def _made(made: Iterable[Mutant]) -> Iterator[Mutant]:
    """Yield mutants until one is of a step that the form does not have."""
    with contextlib.suppress(ModelError):  # no step packed....: those that it leaves out are in OTHERWISE
        yield from made


def mutants_of(table: Table) -> dict[str, Mutant]:
    """Give the mutants of a form, by name; the edits of hardened are of the plain form alone."""
    kinds = (
        drops(table, NOTIFICATIONS, "packed.supply.7"), start_swaps(table), recovery_swaps(table),
        fetching_swaps(table), supplying_swaps(table), notification_swaps(table), guards(table, NOTIFICATIONS, GUARDS),
    )  # fmt: skip
    return {mutant.name: mutant for made in kinds for mutant in _made(made)}


def as_wide(schedule: Iterable[Event]) -> Iterator[Event]:
    """Settle by one store, look at d whatever free_head is, and roll back free_head first."""
    rolled_back = 0
    for event in schedule:
        step = event[0]
        if step.startswith("packed.start."):
            rolled_back = 0
        if step in ("packed.reconnect.2a", "packed.reconnect.2b", "packed.reconnect.2c"):
            yield (f"packed.reconnect.2{'abc'[rolled_back % 3]}",)
            rolled_back += 1
        elif step == "packed.reconnect.1.settled":
            yield ("packed.reconnect.1a",)
        elif step not in ("packed.supply.9c", "packed.reconnect.1c3"):
            yield event


def by_index(schedule: Iterable[Event]) -> Iterator[Event]:
    """Say of which used element, before flags say so, and read it after them."""
    for event in schedule:
        if event[0] == "driver.sleep.1":
            yield ("driver.sleep.index",)
        yield event
        if event[0] == "packed.notify.look":
            yield ("packed.notify.index",)


FORMS: dict[Subject, Callable[[Iterable[Event]], Iterator[Event]]] = {WIDE: as_wide, INDEX: by_index}


def violated(subject: Subject, fate: Fate, mutant: Mutant | None) -> bool:
    """Play a recorded run on a mutant of a form, or on the form: whether what killed the plain mutant is violated."""
    table = protocol.table(subject).edited(mutant.edits if mutant else ())
    table = table if fate.notifications else runs("packed").quiet(table)
    schedule = tuple(event for event in FORMS[subject](fate.schedule) if event[0] in table.steps)
    machine = Machine(table, Sizes(fate.queue_size, fate.region_size, fate.first_index))
    judge = Judge(machine, protocol.judgements("packed"), {str(fate.killed_by)})
    return mutants.violated_at(machine, judge, replace(fate, schedule=schedule)) is not None


@pytest.mark.parametrize("subject", FORMS, ids=lambda s: "-".join(s.choices[0]))
@pytest.mark.campaign
def test_what_kills_the_plain_form_kills_this_one(subject: Subject) -> None:
    """Every mutant with a recorded run is dead here too, but for those that OTHERWISE names; the mutant is to blame.

    A run that goes round is no run of another form: its round has other steps there.
    """
    made = mutants_of(protocol.table(subject))
    dead = [fate for fate in load("packed") if fate.killed_by and fate.kind not in ("edit", "round")]
    names = {fate.mutant for fate in dead}
    assert len(names) > 80
    left = names - {f.mutant for f in dead if f.mutant in made and f.mutant not in OTHERWISE[subject]
                    and violated(subject, f, made[f.mutant])}  # fmt: skip
    assert left == set(OTHERWISE[subject])
    for fate in dead:
        with contextlib.suppress(ModelError):  # the form itself refuses the run: an event is not enabled
            assert not violated(subject, fate, None), fate.mutant


def _idx_alone(s: Any) -> None:
    s.region.old_used_idx = s.region.used_idx


def _wrap_counter_alone(s: Any) -> None:
    s.region.old_used_wrap_counter = s.region.used_wrap_counter


def _settling(store: Callable[[Any], None]) -> Callable[[Any], None]:
    def settle(s: Any) -> None:
        store(s)
        close_batch(s)

    return settle


def _nothing(_: Any) -> None:
    """Store nothing."""


CHANGED = [
    ("packed.reconnect.1c2", _idx_alone), ("packed.reconnect.1c2", _wrap_counter_alone),
    ("packed.supply.9b", _settling(_idx_alone)), ("packed.supply.9b", _settling(_wrap_counter_alone)),
    ("packed.reconnect.2b", _nothing), ("packed.reconnect.2c", _nothing),
]  # fmt: skip
"""Stores of wide that are narrowed to one field, or dropped."""


@pytest.mark.parametrize(("step", "does"), CHANGED)
def test_what_wide_stores_is_needed(step: str, does: Callable[[Any], None]) -> None:
    """The wide store is needed whole, and a run from the initial state shows it; so are those that roll back."""
    mutant = Mutant("changed", "drop", "changed", (Replace(step, {"do": does}),), further=SECOND_CRASH)
    assert mutants.find(WIDE, mutant).killed_by
