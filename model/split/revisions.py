"""The revisions of the split ring's text: v6 as a table, merged as edits of it, hardened as merged with no gap open."""

from __future__ import annotations

from typing import Any

from model.both.counters import bump, least_counter, restore_counter
from model.split.driver import driver, reset, rest
from model.split.history import history
from model.split.recover import crash, recover
from model.split.serve import device, fetch, supply
from model.split.variables import VARS
from model.steps import After, Before, Edit, Procedure, Replace, Table

__all__ = ["MERGED", "REVISIONS", "V6"]

V6 = Table.of_procedures("split", VARS, [recover, fetch, supply, device, driver, rest, crash, reset], history)

_merged = Procedure("merged")


@_merged.step("split.fetch.counter", text="merged receiving, 2")
def stamp(s: Any) -> None:
    """Set desc[i].counter to the global counter."""
    s.region.desc[s.fetch.head].counter = s.counter


_bump = bump(_merged, "split.fetch.bump", "merged receiving, 3")
_restore_counter = restore_counter(_merged, "split.counter")

MERGED: tuple[Edit, ...] = (
    Before("split.fetch.2", stamp),
    Before("split.fetch.2", _bump),
    After("split.position", _restore_counter),
    Replace(
        "split.reconnect.2",
        {
            "when": least_counter,
            "text": "merged reconnecting, 2",
            "sentence": "Resubmit the inflight entries in the order of their counter.",
        },
    ),
)
"""What the public specification changed a week later: a counter for each entry, and the order of resubmission."""

REVISIONS: dict[str, tuple[Edit, ...]] = {"v6": (), "merged": MERGED, "hardened": MERGED}
"""Each revision as edits of V6. On this ring `hardened` changes no step of `merged`: it closes the gaps."""
