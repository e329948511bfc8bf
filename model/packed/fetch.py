"""Fetch and idle on the packed ring: v6, with the defaults of the gaps."""

from __future__ import annotations

from typing import Any

from model.both.words import ENTRIES, WORKING
from model.packed.places import advanced, is_available
from model.steps import Procedure
from model.terms import all_of, ite

__all__ = ["BETWEEN", "fetch"]

BETWEEN = ("look", "take", "rest")
"""The labels of fetch at which no request is in hand: only there does a single-threaded back-end do something else."""

fetch = Procedure("fetch", guard=lambda s: s.supply.open == 0)  # gap fetch-in-batch


def _d(s: Any) -> Any:
    """Give the descriptor in hand."""
    return s.ring.desc[s.fetch.avail_idx]


def _head(s: Any) -> Any:
    """Give the entry of the chain's head, as the text names it."""
    return s.region.desc[s.region.old_free_head]


def _entry(s: Any) -> Any:
    """Give the entry of the descriptor in hand."""
    return s.region.desc[s.region.free_head]


@fetch.step("packed.fetch.look", at="look", to="take", text="virtio: descriptor ring")
def look(s: Any) -> None:
    """Read the flags of the next slot: is its descriptor available?"""
    s.fetch.available = ite(is_available(_d(s).flags, s.fetch.avail_wrap), 1, 0)


@fetch.step(
    "packed.fetch.1",
    at=("take", "rest"),
    to="head",
    text="v6 receiving, 1; an entry has to be free",
    when=lambda s: all_of(s.fetch.available == 1, s.region.free_head < ENTRIES, s.region.old_free_head < ENTRIES),
)
def get_descriptor(s: Any) -> None:
    """Get the next available descriptor, d: it is the head of a chain."""
    s.fetch.head = s.region.old_free_head


@fetch.step("packed.fetch.2a", at="head", to="mark", text="v6 receiving, 2(a)")
def reset_num(s: Any) -> None:
    """d is the head: set desc[old_free_head].num to 0."""
    _head(s).num = 0


@fetch.step("packed.fetch.2b", at="mark", to="last?", text="v6 receiving, 2(b); merged receiving, 2(d)")
def mark_inflight(s: Any) -> None:
    """Set desc[old_free_head].inflight to 1."""
    _head(s).inflight = 1


@fetch.step("packed.fetch.3", at="last?", to="count", text="v6 receiving, 3", when=lambda s: _d(s).flags.next == 0)
def link_last(s: Any) -> None:
    """d is the last descriptor: set desc[old_free_head].last to free_head."""
    _head(s).last = s.region.free_head
    s.fetch.last = 1


@fetch.step("packed.fetch.3.else", at="last?", to="count", text="v6 receiving, 3", when=lambda s: _d(s).flags.next != 0)
def not_last(s: Any) -> None:
    """d is not the last descriptor."""
    s.fetch.last = 0


@fetch.step("packed.fetch.4", at="count", to="copy addr", text="v6 receiving, 4")
def count_descriptor(s: Any) -> None:
    """Increase desc[old_free_head].num by 1."""
    _head(s).num = _head(s).num + 1


@fetch.step("packed.fetch.5a", at="copy addr", to="copy len", text="v6 receiving, 5; gap assignments")
def copy_addr(s: Any) -> None:
    """Set desc[free_head].addr to d.addr."""
    _entry(s).addr = _d(s).addr


@fetch.step("packed.fetch.5b", at="copy len", to="copy flags", text="v6 receiving, 5")
def copy_len(s: Any) -> None:
    """Set desc[free_head].len to d.len."""
    _entry(s).len = _d(s).len


@fetch.step("packed.fetch.5c", at="copy flags", to="copy id", text="v6 receiving, 5")
def copy_flags(s: Any) -> None:
    """Set desc[free_head].flags to d.flags."""
    flags, d = _entry(s).flags, _d(s).flags
    flags.next, flags.avail, flags.used = d.next, d.avail, d.used


@fetch.step("packed.fetch.5d", at="copy id", to="advance", text="v6 receiving, 5")
def copy_id(s: Any) -> None:
    """Set desc[free_head].id to d.id."""
    _entry(s).id = _d(s).id


@fetch.step("packed.fetch.6", at="advance", to="next", text="v6 receiving, 6", tags=("copied",))
def advance_free_head(s: Any) -> None:
    """Set free_head to desc[free_head].next; the next slot of the ring follows."""
    s.region.free_head = _entry(s).next
    s.fetch.avail_idx, s.fetch.avail_wrap = advanced(s.fetch.avail_idx, s.fetch.avail_wrap, 1)


@fetch.step(
    "packed.fetch.more",
    at="next",
    to="last?",
    text="v6 receiving, 1; an entry has to be free",
    when=lambda s: all_of(s.fetch.last == 0, s.region.free_head < ENTRIES),
)
def get_next(s: Any) -> None:
    """The chain goes on: get its next descriptor, d."""


@fetch.step("packed.fetch.7", at="next", to="submit", text="v6 receiving, 7", when=lambda s: s.fetch.last == 1)
def commit_free_head(s: Any) -> None:
    """d was the last descriptor: set old_free_head to free_head."""
    s.region.old_free_head = s.region.free_head


@fetch.step(
    "packed.fetch.submit", at="submit", to="look", text="the device gets the request", tags=("given", "fetched")
)
def submit(s: Any) -> None:
    """Give the request to the device."""
    s.device.state[s.fetch.head] = WORKING
    s.device.given[s.fetch.head] = s.region.desc[s.fetch.head].addr


@fetch.step(
    "packed.idle.arm",
    at="take",
    to="armed",
    text="virtio: available buffer notification; gap event-fields",
    when=lambda s: s.fetch.available == 0,
)
def arm(s: Any) -> None:
    """Nothing is there: ask to be kicked."""
    s.device_event.flags = 0


@fetch.step("packed.idle.look", at="armed", to="rest", text="virtio: look again after asking")
def look_again(s: Any) -> None:
    """Read the flags of the next slot again: the driver may have read the old wish."""
    s.fetch.available = ite(is_available(_d(s).flags, s.fetch.avail_wrap), 1, 0)


@fetch.step(
    "packed.idle.wake",
    at="rest",
    to="disarm",
    text="the kick eventfd",
    when=lambda s: all_of(s.fetch.available == 0, s.kick == 1),
)
def wake(s: Any) -> None:
    """Take the kick."""
    s.kick = 0
    s.fetch.rested = 1


@fetch.step("packed.idle.disarm", at="disarm", to="look", text="virtio: available buffer notification")
def disarm(s: Any) -> None:
    """Ask not to be kicked as long as there is something to do, and look at the ring."""
    s.device_event.flags = 1
