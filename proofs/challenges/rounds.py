"""Mutants of either ring that go round for ever: what a search for `drains` has to find besides what gets stuck."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from model.steps import GuardOf, Replace, Table
from model.terms import Term
from proofs.induction.kits import Mutant
from proofs.search.bounds import Bounds, Level

__all__ = ["rounds"]

COMMITS = {"split": "split.reconnect.1c", "packed": "packed.reconnect.1c3"}
"""By ring, the last step of committing a batch that was published."""


def _nothing(_: Any) -> None:
    """Do nothing."""


def _wanted(s: Any) -> None:
    s.supply.wanted = 1


def _at_rest(s: Any) -> Term:
    return s.fetch.at == "rest"  # type: ignore[no-any-return]


def rounds(table: Table) -> Iterator[Mutant]:
    """Give the mutants of a table: recovery, resting and notifying, each without an end."""
    ring = table.ring
    yield Mutant(
        "round recovery",
        "round",
        f"{COMMITS[ring]} commits nothing, and recovery goes back to comparing.",
        (Replace(COMMITS[ring], {"do": _nothing, "to": "compare"}),),
        ends=False,
        further=(Level(Bounds(1, 1, 1), notifications=True),),
    )
    yield Mutant(
        "round rest",
        "round",
        f"The back-end looks again instead of resting ({ring}.idle.look), and would supply only when it rests.",
        (Replace(f"{ring}.idle.look", {"to": "look"}), GuardOf("supply", _at_rest)),
        notifies=True,
        further=(Level(Bounds(1, 1, 0), notifications=True),),
    )
    yield Mutant(
        "round notify",
        "round",
        f"After notifying ({ring}.notify.call) the back-end notifies again, whatever the driver wants.",
        (Replace(f"{ring}.notify.look", {"do": _wanted}), Replace(f"{ring}.notify.call", {"to": "notify"})),
        notifies=True,
        further=(Level(Bounds(1, 2, 0), notifications=True),),
    )
