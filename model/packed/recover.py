"""Start, initialise, reconnect and resubmit on the packed ring: v6, with the defaults of the gaps."""

from __future__ import annotations

from typing import Any

from model.both.counters import pending
from model.both.words import DEAD, ENTRIES, RUNNING, WORKING
from model.packed.places import advanced, is_available
from model.packed.variables import BASE, BASE_WRAP, VARS
from model.record import State, assign_initial
from model.steps import Procedure
from model.terms import Term, all_of, any_of, forall, ite, negate, total

__all__ = ["begin_walk", "crash", "list_ended", "recover", "resubmit", "slots_inflight"]

recover = Procedure("recover")
crash = Procedure("crash")


@recover.step(
    "packed.start.fresh",
    at=DEAD,
    to="init",
    text="seed: a version of zero is an uninitialised buffer",
    when=lambda s: s.region.version == 0,
)
def start_fresh(s: Any) -> None:
    """The process starts and finds a region that nobody has initialised."""
    s.recover.fresh = 1
    s.recover.entry = 0


@recover.step(
    "packed.start.adopt",
    at=DEAD,
    to="compare",
    text="seed: SET_INFLIGHT_FD hands the region back",
    when=lambda s: s.region.version != 0,
)
def start_adopt(s: Any) -> None:
    """The process starts and finds the region of the one before it."""
    s.recover.fresh = 0


@recover.step("packed.init.1", at="init", to="init next", text="QueueRegionPacked: desc_num")
def init_desc_num(s: Any) -> None:
    """Set desc_num to the number of entries."""
    s.region.desc_num = ENTRIES


@recover.step(
    "packed.init.2",
    at="init next",
    text="DescStatePacked: next; gap free-list",
    when=lambda s: s.recover.entry < ENTRIES,
)
def init_next(s: Any) -> None:
    """Set desc[i].next to i + 1, entry by entry: all are free, and desc_num is the end of the list."""
    s.region.desc[s.recover.entry].next = s.recover.entry + 1
    s.recover.entry = s.recover.entry + 1


@recover.step(
    "packed.init.6",
    at="init next",
    to="init old idx",
    text="QueueRegionPacked: used_idx; gap fresh-used-idx",
    when=lambda s: all_of(s.recover.entry >= ENTRIES, negate(BASE == 0)),
)
def init_used_idx(s: Any) -> None:
    """The ring has been in use: set used_idx to the used slot that SET_VRING_BASE says (a fresh region has slot 0)."""
    s.region.used_idx = BASE


@recover.step(
    "packed.init.7", at="init old idx", to="init wrap", text="QueueRegionPacked: old_used_idx; gap fresh-used-idx"
)
def init_old_used_idx(s: Any) -> None:
    """Set old_used_idx to it."""
    s.region.old_used_idx = BASE


@recover.step(
    "packed.init.3",
    at=("init next", "init wrap"),
    to="init old wrap",
    text="QueueRegionPacked: used_wrap_counter; gap first-wrap",
    when=lambda s: any_of(s.recover.at == "init wrap", all_of(s.recover.entry >= ENTRIES, BASE == 0)),
)
def init_wrap(s: Any) -> None:
    """Set used_wrap_counter to what SET_VRING_BASE says: 1 on a new ring, as virtio's begins."""
    s.region.used_wrap_counter = BASE_WRAP


@recover.step(
    "packed.init.4",
    at="init old wrap",
    to="init version",
    text="QueueRegionPacked: old_used_wrap_counter; gap first-wrap",
)
def init_old_wrap(s: Any) -> None:
    """Set old_used_wrap_counter to it."""
    s.region.old_used_wrap_counter = BASE_WRAP


@recover.step("packed.init.5", at="init version", to="compare", text="QueueRegionPacked: version; gap init-order")
def init_version(s: Any) -> None:
    """Set version to 1: from here on the region counts."""
    s.region.version = 1


@recover.step("packed.reconnect.1", at="compare", to="compared", text="v6 reconnecting, 1")
def compare_used_idx(s: Any) -> None:
    """Does used_idx match old_used_idx?"""
    s.recover.mismatch = ite(s.region.used_idx == s.region.old_used_idx, 0, 1)


@recover.step(
    "packed.reconnect.1.else",
    at="compared",
    to="roll back",
    text="v6 reconnecting, 1",
    when=lambda s: s.recover.mismatch == 0,
)
def nothing_in_progress(s: Any) -> None:
    """They match: no batch was in progress."""


@recover.step(
    "packed.reconnect.1a",
    at="compared",
    to="submitted?",
    text="v6 reconnecting, 1(a), 1(b), and the test of 1(c); gap flags-compare",
    when=lambda s: s.recover.mismatch == 1,
)
def look_at_d(s: Any) -> None:
    """Get the descriptor at old_used_idx, d: are d.flags not the available flags of old_used_wrap_counter?"""
    flags = s.ring.desc[s.region.old_used_idx].flags
    s.recover.submitted = ite(is_available(flags, s.region.old_used_wrap_counter), 0, 1)


@recover.step(
    "packed.reconnect.1c.else",
    at="submitted?",
    to="roll back",
    text="v6 reconnecting, 1(c)",
    when=lambda s: s.recover.submitted == 0,
)
def not_submitted(s: Any) -> None:
    """They are equal: the batch was not submitted."""


@recover.step(
    "packed.reconnect.1c1",
    at="submitted?",
    to="commit idx",
    text="v6 reconnecting, 1(c); gap assignments",
    when=lambda s: s.recover.submitted == 1,
)
def commit_free_head(s: Any) -> None:
    """Set old_free_head to free_head."""
    s.region.old_free_head = s.region.free_head


@recover.step("packed.reconnect.1c2", at="commit idx", to="commit wrap", text="v6 reconnecting, 1(c)")
def commit_used_idx(s: Any) -> None:
    """Set old_used_idx to used_idx."""
    s.region.old_used_idx = s.region.used_idx


@recover.step("packed.reconnect.1c3", at="commit wrap", to="roll back", text="v6 reconnecting, 1(c)")
def commit_wrap(s: Any) -> None:
    """Set old_used_wrap_counter to used_wrap_counter."""
    s.region.old_used_wrap_counter = s.region.used_wrap_counter


def begin_walk(s: Any) -> None:
    """Begin to walk over the free list."""
    s.recover.entry = s.region.old_free_head
    s.recover.left = ENTRIES


@recover.step("packed.reconnect.2a", at="roll back", to="roll back idx", text="v6 reconnecting, 2; gap assignments")
def roll_back_free_head(s: Any) -> None:
    """Set free_head to old_free_head."""
    s.region.free_head = s.region.old_free_head
    begin_walk(s)


@recover.step("packed.reconnect.2b", at="roll back idx", to="roll back wrap", text="v6 reconnecting, 2")
def roll_back_used_idx(s: Any) -> None:
    """Set used_idx to old_used_idx."""
    s.region.used_idx = s.region.old_used_idx


@recover.step("packed.reconnect.2c", at="roll back wrap", to="clear", text="v6 reconnecting, 2")
def roll_back_wrap(s: Any) -> None:
    """Set used_wrap_counter to old_used_wrap_counter."""
    s.region.used_wrap_counter = s.region.old_used_wrap_counter


def list_ended(s: Any) -> Term:
    """Whether the walk is at the end of the free list (which no list of more than all entries can have)."""
    return any_of(s.recover.entry >= ENTRIES, s.recover.left <= 0)


@recover.step(
    "packed.reconnect.3",
    at="clear",
    text="v6 reconnecting, 3 (each free entry); merged: each entry in the free list",
    when=lambda s: negate(list_ended(s)),
)
def clear_free(s: Any) -> None:
    """Set the inflight field of the next entry of the free list to 0."""
    s.region.desc[s.recover.entry].inflight = 0
    s.recover.entry = s.region.desc[s.recover.entry].next
    s.recover.left = s.recover.left - 1


def slots_inflight(s: Any) -> Term:
    """Give the slots that the chains of the inflight entries take."""
    return total(ENTRIES, lambda e: s.region.desc[e].inflight == 1, lambda e: s.region.desc[e].num)


@recover.step("packed.position", at="clear", to="resubmit", text="gap fetch-position", when=list_ended)
def find_position(s: Any) -> None:
    """Fetching goes on at the used slot, plus the slots of the requests that are inflight."""
    s.fetch.avail_idx, s.fetch.avail_wrap = advanced(s.region.used_idx, s.region.used_wrap_counter, slots_inflight(s))


def _first_in_table(s: Any, e: Term) -> Term:
    return all_of(pending(s, e), forall(e, lambda x: negate(pending(s, x))))


@recover.step(
    "packed.reconnect.4",
    at="resubmit",
    to="gather",
    choice="head",
    tags=("resubmit", "given"),
    text="v6 reconnecting, 4; gap resubmit-order",
    when=lambda s, e: all_of(e < ENTRIES, _first_in_table(s, e)),
)
def resubmit(s: Any, e: Term) -> None:
    """Resubmit an inflight entry (in the order of the table: the text names none): begin with its num descriptors."""
    s.recover.resubmitted[e] = 1
    s.recover.head = e
    s.recover.entry = e
    s.recover.left = s.region.desc[e].num


@recover.step(
    "packed.reconnect.4.desc",
    at="gather",
    tags=("gather",),
    text="v6 reconnecting, 4: the copies of the chain's descriptors; an entry that there is",
    when=lambda s: all_of(s.recover.left > 0, s.recover.entry < ENTRIES),
)
def gather(s: Any) -> None:
    """Take the copy of the chain's next descriptor from its entry."""
    s.recover.entry = s.region.desc[s.recover.entry].next
    s.recover.left = s.recover.left - 1


@recover.step(
    "packed.reconnect.4.submit",
    at="gather",
    to="resubmit",
    tags=("gathered",),
    text="v6 reconnecting, 4",
    when=lambda s: s.recover.left <= 0,
)
def submit_again(s: Any) -> None:
    """Give the request to the device."""
    s.device.state[s.recover.head] = WORKING
    s.device.given[s.recover.head] = s.region.desc[s.recover.head].addr


@recover.step(
    "packed.reconnect.signal",
    at="resubmit",
    to="signalled",
    text="gap signal-at-start",
    when=lambda s: forall(ENTRIES, lambda e: negate(pending(s, e))),
)
def signal_at_start(s: Any) -> None:
    """Notify the driver: the process before may have died between publishing and notifying."""
    s.call = 1


@recover.step("packed.reconnect.ready", at="signalled", to=RUNNING, tags=("recovered",), text="gap ring-at-start")
def ready(s: Any) -> None:
    """Recovery ends; look at the ring at once, since the process before may have taken a kick and died."""
    s.fetch.at = "look"
    s.supply.at = "idle"


@crash.step(
    "crash",
    text="the process is killed; its own I/O dies with it",
    world=True,
    when=lambda s: s.recover.at != DEAD,
    tags=("crash",),
)
def crash_now(s: State) -> None:
    """The back-end dies: what only it knew is gone, shared memory stays as its stores left it."""
    assign_initial(s, [v.name for v in VARS.values() if v.kind == "volatile"])
