"""The revisions of the split ring's text: v6 as a table, merged as edits of it, hardened as merged with no gap open."""

from __future__ import annotations

from typing import Any

from model.split.driver import driver, reset, rest
from model.split.history import history
from model.split.recover import ENTRIES, crash, pending, recover
from model.split.serve import device, fetch, supply
from model.split.variables import VARS
from model.steps import After, Before, Edit, Procedure, Replace, Table
from model.terms import Term, all_of, forall, greatest, ite

__all__ = ["MERGED", "REVISIONS", "V6", "first_counter"]

V6 = Table.of_procedures("split", VARS, [recover, fetch, supply, device, driver, rest, crash, reset], history)

_merged = Procedure("merged")


@_merged.step("split.fetch.counter", text="merged receiving, 2")
def stamp(s: Any) -> None:
    """Set desc[i].counter to the global counter."""
    s.region.desc[s.fetch.head].counter = s.counter


@_merged.step("split.fetch.bump", text="merged receiving, 3")
def bump(s: Any) -> None:
    """Increase the global counter by 1."""
    s.counter = s.counter + 1


def first_counter(s: Any, start: int) -> Term:
    """Give the counter after the greatest of the inflight entries, or `start` if nothing is inflight."""
    return greatest(ENTRIES, lambda h: s.region.desc[h].inflight == 1, lambda h: s.region.desc[h].counter + 1, start)


@_merged.step("split.counter", text="gap counter-after-reconnect; gap counter-start")
def restore_counter(s: Any) -> None:
    """Set the global counter past the greatest of the inflight entries, or to 0 if nothing is inflight."""
    s.counter = first_counter(s, 0)


def _least_counter(s: Any, i: Term) -> Term:
    """Whether an entry is the next in the order of the counters."""
    return all_of(
        i < ENTRIES,
        pending(s, i),
        forall(ENTRIES, lambda h: ite(pending(s, h), s.region.desc[i].counter <= s.region.desc[h].counter, all_of())),
    )


MERGED: tuple[Edit, ...] = (
    Before("split.fetch.2", stamp),
    Before("split.fetch.2", bump),
    After("split.position", restore_counter),
    Replace(
        "split.reconnect.2",
        {
            "when": _least_counter,
            "text": "merged reconnecting, 2",
            "sentence": "Resubmit the inflight entries in the order of their counter.",
        },
    ),
)
"""What the public specification changed a week later: a counter for each entry, and the order of resubmission."""

REVISIONS: dict[str, tuple[Edit, ...]] = {"v6": (), "merged": MERGED, "hardened": MERGED}
"""Each revision as edits of V6. On this ring `hardened` changes no step of `merged`: it closes the gaps."""
