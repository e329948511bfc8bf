"""The revisions of the packed ring's text: v6 as a table, merged as edits of it, hardened as edits of that."""

from __future__ import annotations

from typing import Any

from model.both.counters import bump, least_counter, restore_counter
from model.both.words import SIZE
from model.packed.driver import driver, reset, rest
from model.packed.fetch import fetch
from model.packed.history import history
from model.packed.places import is_used, moved, wrapped
from model.packed.recover import crash, list_ended, recover
from model.packed.serve import device, supply
from model.packed.variables import VARS
from model.steps import Add, After, Before, Edit, Procedure, Replace, Table
from model.terms import Term, all_of, ite, negate

__all__ = ["HARDENED", "MERGED", "REVISIONS", "V6"]

V6 = Table.of_procedures("packed", VARS, [recover, fetch, supply, device, driver, rest, crash, reset], history)

_merged = Procedure("merged")


@_merged.step("packed.fetch.counter", text="merged receiving, 2(b)")
def stamp(s: Any) -> None:
    """Set desc[old_free_head].counter to the global counter."""
    s.region.desc[s.region.old_free_head].counter = s.counter


_bump = bump(_merged, "packed.fetch.bump", "merged receiving, 2(c)")
_restore_counter = restore_counter(_merged, "packed.counter")

MERGED: tuple[Edit, ...] = (
    Before("packed.fetch.2b", stamp),
    Before("packed.fetch.2b", _bump),
    After("packed.position", _restore_counter),
    Replace(
        "packed.reconnect.4",
        {
            "when": least_counter,
            "text": "merged reconnecting, 4",
            "sentence": "Resubmit the inflight entries in the order of their counter: begin with its num descriptors.",
        },
    ),
)
"""What the public specification changed a week later: a counter for each request, and the order of resubmission."""

# hardened


def _compare_wrap_counters() -> list[Edit]:
    def compare(s: Any) -> None:
        r = s.region
        same = all_of(r.used_idx == r.old_used_idx, r.used_wrap_counter == r.old_used_wrap_counter)
        s.recover.mismatch = ite(same, 0, 1)

    sentence = "Do used_idx and used_wrap_counter match old_used_idx and old_used_wrap_counter?"
    return [Replace("packed.reconnect.1", {"do": compare, "sentence": sentence, "text": "hardened reconnecting, 1"})]


_hardened = Procedure("recover")


@_hardened.step(
    "packed.reconnect.1.settled",
    at="compared",
    to="submitted?",
    text="hardened reconnecting, 1(c)",
    when=lambda s: all_of(s.recover.mismatch == 1, s.region.free_head == s.region.old_free_head),
)
def being_settled(s: Any) -> None:
    """free_head is old_free_head: the batch was being settled, so commit, whatever d says."""
    s.recover.submitted = 1


def _settled_by_free_head() -> list[Edit]:
    differs = lambda s: all_of(s.recover.mismatch == 1, s.region.free_head != s.region.old_free_head)  # noqa: E731
    text = "hardened reconnecting, 1(a), 1(b), and the test of 1(c)"
    return [
        Add(being_settled),
        Replace("packed.reconnect.1a", {"when": differs, "text": text}),
    ]


def _roll_back_free_head_last() -> list[Edit]:
    return [
        Replace("packed.reconnect.2b", {"at": ("roll back",)}),
        Replace("packed.reconnect.2c", {"to": "roll back free head"}),
        Replace(
            "packed.reconnect.2a", {"at": ("roll back free head",), "to": "clear", "text": "hardened reconnecting, 2"}
        ),
    ]


def _slot_ahead(s: Any) -> tuple[Any, Term]:
    """Give the slot that is looked at, and its wrap counter."""
    used, ahead = s.region.used_idx, s.recover.ahead
    return s.ring.desc[moved(used, ahead)], wrapped(used, s.region.used_wrap_counter, ahead)


def _looked_round(s: Any) -> Term:
    """Whether no slot is left to look at."""
    return all_of(s.recover.ahead >= SIZE, s.recover.marked == 0)


@_hardened.step(
    "packed.reconnect.unmark.look",
    at="clear",
    text="hardened reconnecting, 2",
    when=lambda s: all_of(s.recover.ahead < SIZE, s.recover.marked == 0),
)
def look_ahead(s: Any) -> None:
    """Read the flags of the next slot after the used one, once round the ring: is it marked used?"""
    slot, wrap_counter = _slot_ahead(s)
    marked = is_used(slot.flags, wrap_counter)
    s.recover.ahead, s.recover.marked = ite(marked, s.recover.ahead, s.recover.ahead + 1), ite(marked, 1, 0)


@_hardened.step(
    "packed.reconnect.unmark", at="clear", text="hardened reconnecting, 2", when=lambda s: s.recover.marked == 1
)
def unmark(s: Any) -> None:
    """It is, and the driver has not met it: mark it available again."""
    slot, wrap_counter = _slot_ahead(s)
    slot.flags.next, slot.flags.avail, slot.flags.used = 0, wrap_counter, 1 - wrap_counter
    s.recover.marked, s.recover.ahead = 0, s.recover.ahead + 1


def _unmark_used() -> list[Edit]:
    return [
        Add(look_ahead),
        Add(unmark),
        Replace("packed.reconnect.3", {"when": lambda s: all_of(_looked_round(s), negate(list_ended(s)))}),
        Replace("packed.position", {"when": lambda s: all_of(_looked_round(s), list_ended(s))}),
    ]


HARDENED_EDITS: dict[str, tuple[Edit, ...]] = {
    "compare-wrap-counters": tuple(_compare_wrap_counters()),
    "settled-by-free-head": tuple(_settled_by_free_head()),
    "roll-back-free-head-last": tuple(_roll_back_free_head_last()),
    "unmark-used": tuple(_unmark_used()),
}
"""The edits of merged that make it hold, by name."""

HARDENED: tuple[Edit, ...] = tuple(e for edits in HARDENED_EDITS.values() for e in edits)

REVISIONS: dict[str, tuple[Edit, ...]] = {"v6": (), "merged": MERGED, "hardened": (*MERGED, *HARDENED)}
"""Each revision as edits of V6."""
