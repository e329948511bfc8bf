"""What a proof says of in-order use in the same words for both rings (`model.both.in_order`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from model.both.words import FINISHED, HEADS, WORKING
from model.steps import Guard, Table
from model.terms import Term, all_of, any_of, forall, negate

__all__ = ["first_has_its_turn", "used_in_order"]


def used_in_order(table: Table) -> bool:
    """Whether a table's requests are used in order: its driver takes one after the other, up to the one named."""
    return "driver.use.last" in table.steps


def first_has_its_turn(first: Callable[[Any], Term]) -> list[tuple[str, Guard]]:
    """Give the links of the chain to `drains` that say whose turn it would be, if anything were in flight.

    `first`: the head, or entry, of the request at the position of the first that is not visible.
    """

    def its_turn(s: Any) -> Term:
        here = first(s)
        ready = all_of(s.device.turn[here] == 1, s.device.state[here] == FINISHED)
        return any_of(s.history.used_pos == s.proof.marked_pos, ready)

    def working(s: Any) -> Term:
        return forall(HEADS, lambda h: negate(s.device.state[h] == WORKING), lambda h: s.device.state[h])

    return [("the device works on nothing", working), ("the first in flight has its turn", its_turn)]
