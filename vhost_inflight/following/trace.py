"""What a back-end stored in the lives of one case, and what its driver asked for: as JSON, and from a back-end."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from refimpl.errors import InflightError
from vhost_inflight.conformance.campaign import Campaign
from vhost_inflight.conformance.driver import Request
from vhost_inflight.conformance.life import Setup
from vhost_inflight.conformance.load import LOADS, QUEUE_SIZE
from vhost_inflight.conformance.points import Case, Point
from vhost_inflight.conformance.trying import last_life

__all__ = ["Life", "Trace", "record"]

_USED: Final = re.compile(r"(?<=^used\.ring\[\d\])\.(id|len)$")

_STORE: Final = re.compile(r' ?(\{"(?!back_end))')

Made = tuple[int, int]
"""A request: its head, or buffer id, and how many descriptors of the ring it takes."""

Store = tuple[tuple[str, int], ...]
"""An instruction: the fields that it changed, with the value of each after it."""


@dataclass(frozen=True)
class Life:
    """One life. `dead` was made before it, `rounds` in it, each when all before it had come back.

    `looked`: the driver used what was visible before the life began. `end`: all came back and it rested (done); it
    rested, and did not give back all (hung); else it was killed, or ended by itself (died).
    """

    looked: bool
    dead: tuple[Made, ...]
    rounds: tuple[tuple[Made, ...], ...]
    stores: tuple[Store, ...]
    end: str


@dataclass(frozen=True)
class Trace:
    """The lives of a case on one queue; `first` is the index, or position, at which the ring began.

    `event_index`: event indexes were negotiated; on a split ring flags say otherwise who wants to be kicked.
    """

    back_end: str
    ring: str
    case: str
    size: int
    first: int
    event_index: bool
    lives: tuple[Life, ...]

    @staticmethod
    def read(text: str) -> Trace:
        """Read JSON."""
        told = json.loads(text)
        lives = (
            Life(
                life["looked"], _made(life["dead"]), tuple(_made(each) for each in life["rounds"]),
                tuple(tuple((field, value) for field, value in store.items()) for store in life["stores"]),
                life["end"],
            )
            for life in told["lives"]
        )  # fmt: skip
        return Trace(**{**told, "lives": tuple(lives)})

    def text(self) -> str:
        """Write JSON, a store a line."""
        words = ("back_end", "ring", "case", "size", "first", "event_index")
        told = {**{name: getattr(self, name) for name in words}, "lives": list(map(_life, self.lives))}
        return _STORE.sub(r"\n\1", json.dumps(told)) + "\n"


def _life(life: Life) -> dict[str, Any]:
    return {
        "looked": life.looked, "dead": life.dead, "rounds": life.rounds, "end": life.end,
        "stores": [dict(store) for store in life.stores],
    }  # fmt: skip


def _made(told: Sequence[Sequence[int]]) -> tuple[Made, ...]:
    return tuple((head, length) for head, length in told)


def record(name: str, setup: Setup, case: Case) -> Trace:
    """Live the lives of a case, and give what was stored. Raises InflightError where that does not come to its end."""
    load = LOADS[case.load]
    if load.queues > 1:
        raise InflightError("a trace is of one queue")
    campaign = Campaign(setup)
    before = [campaign.points(load, case.deaths[:number]) for number in range(len(case.deaths))]
    aims = [points[store - 1] for points, (store, _) in zip(before, case.deaths, strict=True)]
    told = last_life(setup, case, aims)
    ends = [store - (end == "before") for store, end in case.deaths]
    if not told.how:
        raise InflightError(f"{case}: a life did not come to its end")
    known = [*(points[:end] for points, end in zip(before, ends, strict=True)), told.points]
    lives = []
    for number, points in enumerate(known):
        dead = told.made[2 * number - 1] if number else []
        lives.append(
            Life(
                number > 0 and case.deaths[number - 1][1] == "after",
                tuple(one for made in dead for one in _requests(made)),
                tuple(_requests(made) for made in told.made[2 * number]),
                _stores(points),
                told.how if number == len(ends) and told.how in {"done", "hung"} else "died",
            )
        )
    first = load.first[setup.ring == "packed"]
    return Trace(name, setup.ring, str(case), QUEUE_SIZE, first, told.event_index, tuple(lives))


def _requests(made: Sequence[Request]) -> tuple[Made, ...]:
    return tuple((each.head, 1 if each.indirect else len(each.chain)) for each in made)


def _stores(points: Sequence[Point]) -> tuple[Store, ...]:
    """Give the stores; those to one used element as one, since a compiler puts its two fields in any order.

    What is in no field has no name in a table either.
    """
    found: list[Store] = []
    for point in points:
        store = tuple((said.field, said.new) for said in point.said if said.in_a_field)
        both = (*found[-1], *store) if found else store
        if len(both) > len(store) and len({_USED.sub("", field) for field, _ in both}) == 1 and _is_used(both):
            found[-1] = both
        else:
            found.append(store)
    return tuple(found)


def _is_used(store: Store) -> bool:
    return all(_USED.search(field) for field, _ in store)
