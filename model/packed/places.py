"""Slots and wrap counters of a packed ring: moving on, and what a descriptor's flags say at a place."""

from __future__ import annotations

from typing import Any

from model.both.words import SIZE
from model.terms import Operand, Term, all_of, any_of, ite

__all__ = ["advanced", "at", "is_available", "is_used", "moved", "to_fetch", "wrapped"]


def moved(idx: Term, by: Operand) -> Term:
    """Give the slot that is some slots further, at most once round the ring."""
    return ite(idx + by >= SIZE, idx + by - SIZE, idx + by)


def wrapped(idx: Term, wrap_counter: Term, by: Operand) -> Term:
    """Give the wrap counter of that slot: it flips where the ring begins again."""
    return ite(idx + by >= SIZE, 1 - wrap_counter, wrap_counter)


def is_available(flags: Any, wrap_counter: Operand) -> Term:
    """Whether flags say available in a lap: AVAIL is its wrap counter, and USED is not."""
    return all_of(flags.avail == wrap_counter, flags.used != wrap_counter)


def is_used(flags: Any, wrap_counter: Operand) -> Term:
    """Whether flags say used in a lap: AVAIL and USED are its wrap counter."""
    return all_of(flags.avail == wrap_counter, flags.used == wrap_counter)


def advanced(idx: Term, wrap_counter: Term, by: Operand) -> tuple[Term, Term]:
    """Give both, of the slot that is some slots further."""
    return moved(idx, by), wrapped(idx, wrap_counter, by)


def to_fetch(s: Any) -> Term:
    """Give how many slots the driver is ahead of the next one to fetch, by slots and wrap counters alone.

    From 0 to the ring's size; more only where fetching goes on at a slot that the driver has not come to.
    """
    ahead = s.driver.avail_idx - s.fetch.avail_idx
    same_lap = s.driver.avail_wrap == s.fetch.avail_wrap
    return ite(same_lap, ite(ahead < 0, ahead + SIZE + SIZE, ahead), ahead + SIZE)


def at(label: Term, *labels: str) -> Term:
    """Whether a label is one of some."""
    return any_of(*(label == name for name in labels))
