"""Start, initialise, reconnect and resubmit on the split ring: v6, with the defaults of the gaps."""

from __future__ import annotations

from typing import Any

from model.both.counters import pending
from model.both.words import DEAD, ENTRIES, RUNNING
from model.record import State, assign_initial
from model.split.variables import VARS
from model.steps import Procedure
from model.terms import Term, all_of, count, forall, ite, negate, wrap

__all__ = ["crash", "recover", "resubmit"]


recover = Procedure("recover")
crash = Procedure("crash")


@recover.step(
    "split.start.fresh",
    at=DEAD,
    to="init",
    text="seed: a version of zero is an uninitialised buffer",
    when=lambda s: s.region.version == 0,
)
def start_fresh(s: Any) -> None:
    """The process starts and finds a region that nobody has initialised."""
    s.recover.fresh = 1


@recover.step(
    "split.start.adopt",
    at=DEAD,
    to="compare",
    text="seed: SET_INFLIGHT_FD hands the region back",
    when=lambda s: s.region.version != 0,
)
def start_adopt(s: Any) -> None:
    """The process starts and finds the region of the one before it."""
    s.recover.fresh = 0


@recover.step("split.init.1", at="init", to="init used_idx", text="QueueRegionSplit: desc_num")
def init_desc_num(s: Any) -> None:
    """Set desc_num to the number of entries."""
    s.region.desc_num = ENTRIES


@recover.step(
    "split.init.2", at="init used_idx", to="init version", text="QueueRegionSplit: used_idx; gap fresh-used-idx"
)
def init_used_idx(s: Any) -> None:
    """Set used_idx to the idx value of the used ring, which may have been in use before."""
    s.region.used_idx = s.used.idx


@recover.step("split.init.3", at="init version", to="compare", text="QueueRegionSplit: version; gap init-order")
def init_version(s: Any) -> None:
    """Set version to 1: from here on the region counts."""
    s.region.version = 1


@recover.step("split.reconnect.1", at="compare", to="compared", text="v6 reconnecting, 1")
def compare_used_idx(s: Any) -> None:
    """Does used_idx match the idx value of the used ring?"""
    s.recover.mismatch = mismatch(s)


def mismatch(s: Any) -> Term:
    """1 if region.used_idx is not used.idx."""
    return ite(s.region.used_idx == s.used.idx, 0, 1)


@recover.step(
    "split.reconnect.1.else",
    at="compared",
    to="position",
    text="v6 reconnecting, 1",
    when=lambda s: s.recover.mismatch == 0,
)
def nothing_to_repair(s: Any) -> None:
    """They match: no batch was in progress."""


@recover.step(
    "split.reconnect.1a",
    at="compared",
    to="clear",
    text="v6 reconnecting, 1(a)",
    when=lambda s: s.recover.mismatch == 1,
)
def count_in_progress(s: Any) -> None:
    """Subtract used_idx from the idx value of the used ring: so many entries are in progress, from the list's head."""
    s.recover.left = wrap(s.used.idx - s.region.used_idx, 16)
    s.recover.entry = s.region.last_batch_head


@recover.step("split.reconnect.1b", at="clear", text="v6 reconnecting, 1(b)", when=lambda s: s.recover.left > 0)
def clear_in_progress(s: Any) -> None:
    """Set the inflight field of the next in-progress entry to 0."""
    s.region.desc[s.recover.entry].inflight = 0
    s.recover.entry = s.region.desc[s.recover.entry].next
    s.recover.left = s.recover.left - 1


@recover.step(
    "split.reconnect.1c", at="clear", to="position", text="v6 reconnecting, 1(c)", when=lambda s: s.recover.left <= 0
)
def commit_used_idx(s: Any) -> None:
    """Set used_idx to the idx value of the used ring."""
    s.region.used_idx = s.used.idx


@recover.step("split.position", at="position", to="resubmit", text="gap fetch-position")
def find_position(s: Any) -> None:
    """Fetching goes on where the used ring is, plus the requests that are inflight."""
    s.fetch.last_avail = wrap(s.used.idx + count(ENTRIES, lambda h: s.region.desc[h].inflight == 1), 16)


def _first_in_table(s: Any, i: Term) -> Term:
    return all_of(pending(s, i), forall(i, lambda h: negate(pending(s, h))))


@recover.step(
    "split.reconnect.2",
    at="resubmit",
    choice="head",
    tags=("resubmit", "given"),
    text="v6 reconnecting, 2; gap resubmit-order",
    when=lambda s, i: all_of(i < ENTRIES, _first_in_table(s, i)),
)
def resubmit(s: Any, i: Term) -> None:
    """Resubmit an inflight entry (in the order of the table: the text names none)."""
    s.recover.resubmitted[i] = 1
    s.device.state[i] = 1
    s.device.given[i] = s.table[i]


@recover.step(
    "split.reconnect.signal",
    at="resubmit",
    to="signalled",
    text="gap signal-at-start",
    when=lambda s: forall(ENTRIES, lambda h: negate(pending(s, h))),
)
def signal_at_start(s: Any) -> None:
    """Notify the driver: the process before may have died between publishing and notifying."""
    s.call = 1


@recover.step("split.reconnect.ready", at="signalled", to=RUNNING, tags=("recovered",), text="gap ring-at-start")
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
