"""Notifications by event index on the packed ring: what the comparison and its order are needed for."""

from __future__ import annotations

from typing import Any

import pytest

from model import protocol
from model.protocol import Subject
from model.steps import Edit, Replace, Table
from model.terms import all_of, ite, negate
from proofs.search.bounds import Bounds
from proofs.search.breadth_first import Found, explore

SUBJECT = Subject.of("packed", "hardened", {"event-kind": "index"})
DRAINS = frozenset({"drains"})


def search(*edits: Edit) -> Found:
    """Search hardened with event indexes, after edits, for a run that gets stuck."""
    table: Table = protocol.table(SUBJECT).edited(edits)
    return explore(table, protocol.sizes(SUBJECT, 1), Bounds(1, 2, 0), DRAINS)


def _nothing(_: Any) -> None:
    """Store nothing."""


def _slot_alone(s: Any) -> None:
    """Compare slots, whatever the wrap counters are."""
    ahead = s.driver_event.off_wrap.slot - s.supply.start
    among = ite(all_of(ahead > 0, ahead < s.region.used_idx), 1, 0)
    s.supply.wanted = ite(s.supply.one == 1, among, s.supply.wanted)


def _other_lap(s: Any) -> None:
    """Name the slot of the lap before."""
    s.driver_event.off_wrap.slot, s.driver_event.off_wrap.wrap = s.driver.used_idx, 1 - s.driver.used_wrap


def _used(s: Any) -> Any:
    flags, wrap_counter = s.ring.desc[s.driver.used_idx].flags, s.driver.used_wrap
    return all_of(flags.avail == wrap_counter, flags.used == wrap_counter)


MUTANTS: dict[str, tuple[Edit, ...]] = {
    "off_wrap is not stored": (Replace("driver.sleep.index", {"do": _nothing}),),
    "off_wrap has the other wrap counter": (Replace("driver.sleep.index", {"do": _other_lap}),),
    "the end of the batch is compared, and no lap": (Replace("packed.notify.index", {"do": _slot_alone}),),
    "the driver sleeps without looking again": (
        Replace("driver.sleep.2", {"when": lambda _: all_of()}),
        Replace("driver.sleep.again", {"when": lambda s: all_of(_used(s), negate(_used(s)))}),
    ),
    "off_wrap is stored after the driver has looked again": (
        Replace("driver.sleep.index", {"at": ("late",), "to": "asleep", "when": lambda _: all_of()}),
        Replace("driver.sleep.1", {"at": ("awake",), "when": lambda s: negate(_used(s))}),
        Replace("driver.sleep.2", {"to": "late"}),
    ),
}
"""What is changed, and how."""


def test_it_drains() -> None:
    """Unchanged, no run within the bounds gets stuck, and the search sees all of them."""
    found = search()
    assert found.complete
    assert not found.violations


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_hangs(name: str) -> None:
    """Each change has a run, from the initial state, after which the driver sleeps for ever."""
    assert set(search(*MUTANTS[name]).violations) == DRAINS
