"""Fetch, idle, supply and notify on the split ring, and the device: v6, with the defaults of the gaps."""

from __future__ import annotations

from typing import Any

from model.both.words import FINISHED, IN_BATCH, WORKING
from model.steps import Procedure
from model.terms import Term, all_of, any_of, ite, slot, wrap

__all__ = ["BETWEEN", "device", "fetch", "forget", "supply"]


BETWEEN = ("look", "take", "rest")
"""The labels of fetch at which no request is in hand: only there does a single-threaded back-end do something else."""


def _no_request_in_hand(s: Any) -> Term:
    return any_of(*(s.fetch.at == label for label in BETWEEN))


fetch = Procedure("fetch", guard=lambda s: s.supply.open == 0)  # gap fetch-in-batch
supply = Procedure("supply", guard=_no_request_in_hand)
device = Procedure("device")


@fetch.step("split.fetch.look", at="look", to="take", text="virtio: available ring")
def look(s: Any) -> None:
    """Read the idx value of the available ring."""
    s.fetch.seen_avail = s.avail.idx


@fetch.step(
    "split.fetch.1",
    at=("take", "rest"),
    to="mark",
    text="v6 receiving, 1",
    when=lambda s: s.fetch.seen_avail != s.fetch.last_avail,
)
def get_head(s: Any) -> None:
    """Get the next available head-descriptor index from the available ring, i."""
    s.fetch.head = s.avail.ring[slot(s.fetch.last_avail)]
    s.fetch.last_avail = wrap(s.fetch.last_avail + 1, 16)


@fetch.step("split.fetch.2", at="mark", to="submit", text="v6 receiving, 2; merged receiving, 4")
def mark_inflight(s: Any) -> None:
    """Mark the head as inflight."""
    s.region.desc[s.fetch.head].inflight = 1


@fetch.step("split.fetch.submit", at="submit", to="look", text="the device gets the request", tags=("given", "fetched"))
def submit(s: Any) -> None:
    """Give the request to the device."""
    s.device.state[s.fetch.head] = WORKING
    s.device.given[s.fetch.head] = s.table[s.fetch.head]


@fetch.step(
    "split.idle.arm",
    at="take",
    to="armed",
    text="virtio: available ring notification; gap event-fields",
    when=lambda s: s.fetch.seen_avail == s.fetch.last_avail,
)
def arm(s: Any) -> None:
    """Nothing is there: ask to be kicked for the next request."""
    s.used.avail_event = s.fetch.last_avail


@fetch.step("split.idle.look", at="armed", to="rest", text="virtio: look again after asking")
def look_again(s: Any) -> None:
    """Read the idx value of the available ring again: the driver may have read the old wish."""
    s.fetch.seen_avail = s.avail.idx


@fetch.step(
    "split.idle.wake",
    at="rest",
    to="look",
    text="the kick eventfd",
    when=lambda s: all_of(s.fetch.seen_avail == s.fetch.last_avail, s.kick == 1),
)
def wake(s: Any) -> None:
    """Take the kick, and look at the ring."""
    s.kick = 0
    s.fetch.rested = 1


@device.step(
    "device.finish",
    choice="head",
    text="the device finishes requests in any order",
    when=lambda s, i: s.device.state[i] == WORKING,
)
def finish(s: Any, i: Term) -> None:
    """The device finishes a request."""
    s.device.state[i] = FINISHED


@supply.step(
    "split.supply.1",
    at=("idle", "more"),
    to="element id",
    choice="head",
    text="v6 supplying, 1",
    when=lambda s, i: s.device.state[i] == FINISHED,
)
def get_used(s: Any, i: Term) -> None:
    """Get the head-descriptor index of a request that is finished, i."""
    s.supply.head = i
    s.supply.open = 1
    s.supply.batch[s.supply.count] = i
    s.device.state[i] = IN_BATCH


def used_slot(s: Any) -> Term:
    """Give the slot of the next element of the batch: behind the published ones and those of the batch so far."""
    return slot(wrap(s.used.idx + s.supply.count, 16))


@supply.step("split.supply.id", at="element id", to="element len", text="virtio: used ring; gap used-element")
def write_used_id(s: Any) -> None:
    """Write the used element's id."""
    s.used.ring[used_slot(s)].id = s.supply.head


@supply.step("split.supply.len", at="element len", to="link", text="virtio: used ring; gap used-element")
def write_used_len(s: Any) -> None:
    """Write the used element's len."""
    s.used.ring[used_slot(s)].len = s.device.given[s.supply.head]


@supply.step("split.supply.2", at="link", to="lead", text="v6 supplying, 2")
def link_entry(s: Any) -> None:
    """Set desc[i].next to the head of the batch list."""
    s.region.desc[s.supply.head].next = s.region.last_batch_head


@supply.step("split.supply.3", at="lead", to="more", text="v6 supplying, 3 and 4")
def lead_list(s: Any) -> None:
    """Set the head of the batch list to i; there may be more in this batch."""
    s.region.last_batch_head = s.supply.head
    s.supply.count = s.supply.count + 1


@supply.step("split.supply.5", at="more", to="clear", text="v6 supplying, 5; gap batch-size", tags=("publish",))
def publish(s: Any) -> None:
    """Increase the idx value of the used ring by the size of the batch: the driver may see it from here on."""
    s.supply.old_idx = s.used.idx
    s.used.idx = wrap(s.used.idx + s.supply.count, 16)
    s.supply.open = 2
    s.supply.cursor = 0


def in_hand(s: Any) -> Term:
    """Give the head at the cursor."""
    return s.supply.batch[s.supply.cursor]  # type: ignore[no-any-return]


def forget(s: Any) -> None:
    """Let the device forget the request at the cursor, unless the head stands for another one by now."""
    head = in_hand(s)
    given_again = s.device.state[head] != IN_BATCH
    s.device.given[head] = ite(given_again, s.device.given[head], 0)
    s.device.state[head] = ite(given_again, s.device.state[head], 0)


@supply.step("split.supply.6", at="clear", text="v6 supplying, 6", when=lambda s: s.supply.cursor < s.supply.count)
def clear_entry(s: Any) -> None:
    """Set the inflight field of the next entry in the batch to 0."""
    s.region.desc[in_hand(s)].inflight = 0
    forget(s)
    s.supply.cursor = s.supply.cursor + 1


@supply.step(
    "split.supply.7",
    at="clear",
    to="notify",
    text="v6 supplying, 7",
    tags=("settled",),
    when=lambda s: s.supply.cursor >= s.supply.count,
)
def settle(s: Any) -> None:
    """Set used_idx to the idx value of the used ring."""
    s.region.used_idx = s.used.idx
    s.supply.open = 0
    s.supply.count = 0


@supply.step("split.notify.look", at="notify", to="notified", text="virtio: used ring notification; gap signal-when")
def look_whether_wanted(s: Any) -> None:
    """Read whether the driver wants to be notified: does used_event lie among what was just published?"""
    passed = wrap(s.avail.used_event - s.supply.old_idx, 16)
    s.supply.wanted = ite(passed < wrap(s.used.idx - s.supply.old_idx, 16), 1, 0)


@supply.step(
    "split.notify.call", at="notified", to="idle", text="the call eventfd", when=lambda s: s.supply.wanted == 1
)
def call(s: Any) -> None:
    """Notify the driver."""
    s.call = 1


@supply.step(
    "split.notify.none",
    at="notified",
    to="idle",
    text="virtio: notification suppression",
    when=lambda s: s.supply.wanted == 0,
)
def call_none(s: Any) -> None:
    """The driver does not want to be notified."""
