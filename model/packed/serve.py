"""Supply and notify on the packed ring, and the device: v6, with the defaults of the gaps."""

from __future__ import annotations

from typing import Any

from model.both.words import FINISHED, IN_BATCH, WORKING
from model.packed.fetch import BETWEEN
from model.packed.places import at, moved, wrapped
from model.steps import Procedure
from model.terms import Term, all_of, ite

__all__ = [
    "close_batch", "device", "element", "last_entry", "mark_used", "supply",
]  # fmt: skip

supply = Procedure("supply", guard=lambda s: at(s.fetch.at, *BETWEEN))
device = Procedure("device")


@device.step(
    "device.finish",
    choice="head",
    text="the device finishes requests in any order",
    when=lambda s, e: s.device.state[e] == WORKING,
)
def finish(s: Any, e: Term) -> None:
    """The device finishes a request."""
    s.device.state[e] = FINISHED


@supply.step(
    "packed.supply.1",
    at=("idle", "more"),
    to="element id",
    choice="head",
    text="v6 supplying, 1 and 2",
    when=lambda s, e: s.device.state[e] == FINISHED,
)
def get_used(s: Any, e: Term) -> None:
    """Get the entry of a request that is finished, e."""
    first = s.supply.open == 0
    s.supply.head = e
    s.supply.open = 1
    s.supply.batch[s.supply.count] = e
    s.supply.offset[s.supply.count] = s.supply.slots
    s.supply.start = ite(first, s.region.used_idx, s.supply.start)
    s.supply.start_wrap = ite(first, s.region.used_wrap_counter, s.supply.start_wrap)
    s.device.state[e] = IN_BATCH


def element(s: Any, offset: Term) -> Any:
    """Give the slot of the ring that is so many slots after the first one of the batch."""
    return s.ring.desc[moved(s.supply.start, offset)]


def last_entry(s: Any, e: Term) -> Any:
    """Give the entry of the chain's last descriptor."""
    return s.region.desc[s.region.desc[e].last]


@supply.step("packed.supply.id", at="element id", to="element len", text="virtio: used element; gap used-element")
def write_used_id(s: Any) -> None:
    """Write the buffer id, which is in the chain's last descriptor, to the next used slot."""
    element(s, s.supply.slots).id = last_entry(s, s.supply.head).id


@supply.step("packed.supply.len", at="element len", to="link", text="virtio: used element; gap used-element")
def write_used_len(s: Any) -> None:
    """Write there what the device wrote."""
    element(s, s.supply.slots).len = s.device.given[s.supply.head]


@supply.step("packed.supply.3", at="link", to="lead", text="v6 supplying, 3")
def link_chain(s: Any) -> None:
    """Set desc[e.last].next to free_head."""
    last_entry(s, s.supply.head).next = s.region.free_head


@supply.step("packed.supply.4", at="lead", to="more", text="v6 supplying, 4 and 5")
def lead_list(s: Any) -> None:
    """Set free_head to the index of e; there may be more in this batch."""
    s.region.free_head = s.supply.head
    s.supply.count = s.supply.count + 1
    s.supply.slots = s.supply.slots + s.region.desc[s.supply.head].num


@supply.step("packed.supply.6a", at="more", to="used wrap", text="v6 supplying, 6; gap batch-size; gap assignments")
def move_used_idx(s: Any) -> None:
    """Increase used_idx by the size of the batch."""
    s.region.used_idx = moved(s.supply.start, s.supply.slots)
    s.supply.cursor = s.supply.count


@supply.step(
    "packed.supply.6b",
    at="used wrap",
    to="flags",
    text="v6 supplying, 6",
    when=lambda s: wrapped(s.supply.start, s.supply.start_wrap, s.supply.slots) != s.supply.start_wrap,
)
def flip_used_wrap(s: Any) -> None:
    """It has passed the end of the ring: flip used_wrap_counter."""
    s.region.used_wrap_counter = 1 - s.supply.start_wrap


@supply.step(
    "packed.supply.6b.else",
    at="used wrap",
    to="flags",
    text="v6 supplying, 6",
    when=lambda s: wrapped(s.supply.start, s.supply.start_wrap, s.supply.slots) == s.supply.start_wrap,
)
def same_used_wrap(s: Any) -> None:
    """It has not: used_wrap_counter stays."""


def mark_used(s: Any, number: Term) -> None:
    """Mark the slot of one request of the batch as used."""
    offset = s.supply.offset[number]
    flags, wrap_counter = element(s, offset).flags, wrapped(s.supply.start, s.supply.start_wrap, offset)
    flags.next, flags.avail, flags.used = 0, wrap_counter, wrap_counter


@supply.step(
    "packed.supply.7",
    at="flags",
    text="v6 supplying, 7; gap flags-order",
    tags=("publish",),
    when=lambda s: s.supply.cursor > 0,
)
def update_flags(s: Any) -> None:
    """Update the flags of the next used element, the first of the batch last: with that one the driver may see all."""
    mark_used(s, s.supply.cursor - 1)
    s.supply.open = ite(s.supply.cursor == 1, 2, 1)
    s.supply.cursor = s.supply.cursor - 1


@supply.step(
    "packed.supply.8",
    at=("flags", "clear"),
    to="clear",
    text="v6 supplying, 8",
    when=lambda s: all_of(flags_updated(s), s.supply.cursor < s.supply.count),
)
def clear_entry(s: Any) -> None:
    """Set the inflight field of the next head entry in the batch to 0."""
    s.region.desc[in_hand(s)].inflight = 0
    forget(s)
    s.supply.cursor = s.supply.cursor + 1


def flags_updated(s: Any) -> Term:
    """Whether all flags of the batch are updated."""
    return ite(s.supply.at == "flags", s.supply.cursor == 0, all_of())


def in_hand(s: Any) -> Term:
    """Give the request at the cursor."""
    return s.supply.batch[s.supply.cursor]  # type: ignore[no-any-return]


def forget(s: Any) -> None:
    """Let the device forget the request at the cursor, unless the entry stands for another one by now."""
    e = in_hand(s)
    given_again = s.device.state[e] != IN_BATCH
    s.device.given[e] = ite(given_again, s.device.given[e], 0)
    s.device.state[e] = ite(given_again, s.device.state[e], 0)


@supply.step(
    "packed.supply.9a",
    at="clear",
    to="settle idx",
    text="v6 supplying, 9; gap assignments",
    when=lambda s: s.supply.cursor >= s.supply.count,
)
def settle_free_head(s: Any) -> None:
    """Set old_free_head to free_head."""
    s.region.old_free_head = s.region.free_head


@supply.step("packed.supply.9b", at="settle idx", to="settle wrap", text="v6 supplying, 9")
def settle_used_idx(s: Any) -> None:
    """Set old_used_idx to used_idx."""
    s.region.old_used_idx = s.region.used_idx


def close_batch(s: Any) -> None:
    """The batch is over."""
    s.supply.open = 0
    s.supply.count = 0
    s.supply.slots = 0


@supply.step("packed.supply.9c", at="settle wrap", to="notify", text="v6 supplying, 9", tags=("settled",))
def settle_wrap(s: Any) -> None:
    """Set old_used_wrap_counter to used_wrap_counter."""
    s.region.old_used_wrap_counter = s.region.used_wrap_counter
    close_batch(s)


@supply.step("packed.notify.look", at="notify", to="notified", text="virtio: used buffer notification; gap signal-when")
def look_whether_wanted(s: Any) -> None:
    """Read whether the driver wants to be notified."""
    s.supply.wanted = ite(s.driver_event.flags == 0, 1, 0)


@supply.step(
    "packed.notify.call", at="notified", to="idle", text="the call eventfd", when=lambda s: s.supply.wanted == 1
)
def call(s: Any) -> None:
    """Notify the driver."""
    s.call = 1


@supply.step(
    "packed.notify.none",
    at="notified",
    to="idle",
    text="virtio: notification suppression",
    when=lambda s: s.supply.wanted == 0,
)
def call_none(s: Any) -> None:
    """The driver does not want to be notified."""
