"""The alternative of the gap event-kind: a driver that says of which used element it wants to be notified."""

from __future__ import annotations

from typing import Any

from model.both.words import SIZE
from model.packed.driver import next_used
from model.steps import Add, Edit, Procedure, Replace, Table
from model.terms import Term, all_of, ite, negate

__all__ = ["by_index", "supplied"]

_rest, _supply = Procedure("rest"), Procedure("supply")


@_rest.step(
    "driver.sleep.index",
    at="awake",
    to="asking",
    text="virtio: driver event suppression; gap event-kind",
    when=lambda s: negate(next_used(s)),
)
def say_which(s: Any) -> None:
    """Nothing is there: say that the next used element is the one to be notified of."""
    s.driver_event.off_wrap.slot, s.driver_event.off_wrap.wrap = s.driver.used_idx, s.driver.used_wrap


def _ask(s: Any) -> None:
    s.driver_event.flags = 2


def _look(s: Any) -> None:
    s.supply.wanted = ite(s.driver_event.flags == 0, 1, 0)
    s.supply.one = ite(s.driver_event.flags == 2, 1, 0)


def _ahead(s: Any, slot: Term, wrap_counter: Term) -> Term:
    """Give how far a slot is ahead of the first one of the batch, by slots and wrap counters alone."""
    return ite(wrap_counter == s.supply.start_wrap, slot - s.supply.start, slot - s.supply.start + SIZE)


def supplied(s: Any) -> Term:
    """Give how many slots were given back with the batch: used_idx and used_wrap_counter have moved so far."""
    return _ahead(s, s.region.used_idx, s.region.used_wrap_counter)


@_supply.step("packed.notify.index", at="which", to="notified", text="virtio: driver event suppression; gap event-kind")
def look_which(s: Any) -> None:
    """Read of which used element, if the driver wants to be notified of one: is it of the batch?"""
    ahead = _ahead(s, s.driver_event.off_wrap.slot, s.driver_event.off_wrap.wrap)
    among = ite(all_of(ahead >= 0, ahead < supplied(s)), 1, 0)
    s.supply.wanted = ite(s.supply.one == 1, among, s.supply.wanted)


def by_index(_: Table) -> list[Edit]:
    """Let the driver store off_wrap and then flags, and the back-end read flags and then off_wrap."""
    ask = {"at": ("asking",), "do": _ask, "when": lambda _: all_of(), "sentence": "Ask to be notified of that one."}
    look = {"do": _look, "to": "which", "sentence": "Read whether the driver wants to be notified, and of what."}
    return [
        Add(say_which),
        Replace("driver.sleep.1", ask),
        Replace("packed.notify.look", look),
        Add(look_which),
    ]
