"""Who wakes the driver of a packed ring: the back-end, which reads how it asked (gap event-kind)."""

from __future__ import annotations

from typing import Any

from model.packed.event_index import supplied
from model.packed.places import moved
from model.terms import Term, all_of, any_of, negate
from proofs.packed.words import Conjunct, Places, at, implies, running

__all__ = ["driver_sleeps"]


def _behind(s: Any) -> Term:
    """Whether the driver sleeps and has not seen all."""
    return all_of(s.rest.at == "asleep", s.history.used_pos > s.history.seen_pos)


def _recovery_will_call(s: Any) -> Term:
    return all_of(negate(running(s)), negate(s.recover.at == "signalled"))


def _will_call(s: Any) -> Term:
    """Whether the process is past its look, and will notify."""
    return all_of(s.supply.at == "notified", s.supply.wanted == 1)


def _by_flags(p: Places, s: Any) -> Term:
    if p.calls_early:
        will_look = all_of(s.supply.open == 2, s.supply.at == "flags")
    else:
        will_look = any_of(s.supply.open == 2, s.supply.at == "notify")
    will_call = any_of(_recovery_will_call(s), all_of(running(s), any_of(will_look, _will_call(s))))
    return all_of(
        implies(at(s.rest.at, "checking", "asleep"), any_of(s.driver_event.flags == 0)),
        implies(_behind(s), any_of(s.call == 1, will_call)),
    )


def _by_index(s: Any) -> Term:
    d, asked = s.driver, s.driver_event.off_wrap
    first_of_the_batch = all_of(s.supply.start == d.used_idx, s.supply.start_wrap == d.used_wrap)
    will_look = any_of(s.supply.open == 2, s.supply.at == "notify", all_of(s.supply.at == "which", s.supply.one == 1))
    looks = any_of(all_of(will_look, first_of_the_batch), _will_call(s))
    will_call = any_of(_recovery_will_call(s), all_of(running(s), looks))
    return all_of(
        implies(
            at(s.rest.at, "asking", "checking", "asleep"), all_of(asked.slot == d.used_idx, asked.wrap == d.used_wrap)
        ),
        implies(at(s.rest.at, "checking", "asleep"), any_of(s.driver_event.flags == 2)),
        implies(_behind(s), any_of(s.call == 1, will_call)),
    )


def _some_supplied(s: Any) -> Term:
    """Say that what the back-end compares off_wrap with is the batch, and not empty."""
    marking = all_of(s.supply.at == "flags", s.supply.open == 1)
    moved_both = any_of(marking, s.supply.open == 2, at(s.supply.at, "notify", "which"))
    return all_of(
        implies(s.supply.at == "used wrap", s.region.used_idx == moved(s.supply.start, s.supply.slots)),
        implies(moved_both, supplied(s) > 0),
        implies(s.supply.at == "which", any_of(s.supply.wanted == 0, s.supply.wanted == 1)),
    )


def driver_sleeps(p: Places) -> list[Conjunct]:
    """Give the sentences that say how the driver asked, and that it will be told."""
    if not p.by_index:
        return [Conjunct("driver sleeps", lambda s: _by_flags(p, s), "drains")]
    return [Conjunct("driver sleeps", _by_index, "drains"), Conjunct("some supplied", _some_supplied, "drains")]
