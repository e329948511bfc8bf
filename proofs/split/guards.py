"""Weakened guards of the split ring: each conjunct left out, and those of whole procedures by hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from model.both.words import FINISHED, IN_BATCH, WORKING
from model.steps import Replace
from model.terms import Term, all_of, any_of, ite, parameter, variable
from proofs.challenges.mutating import BETWEEN_PROCEDURES, Guards, Weakened

__all__ = ["GUARDS"]

_cursor, _count, _left = variable("supply.cursor"), variable("supply.count"), variable("recover.left")

_ONE_MORE = "clears one entry more than it should"


def _by_hand() -> Iterator[Weakened]:
    def working(head: Term) -> Term:
        return any_of(head == FINISHED, head == WORKING)

    def get_any(s: Any, i: Term) -> None:
        state = s.device.state[i]
        s.supply.head = i
        s.supply.open = 1
        s.supply.batch[s.supply.count] = i
        s.device.state[i] = ite(state == FINISHED, IN_BATCH, state)

    yield (
        "split.supply.1: or still worked on",
        "A request is supplied while the device still works on it, and goes on doing so.",
        Replace("split.supply.1", {"when": lambda s, i: working(s.device.state[i]), "do": get_any}),
    )
    yield (
        "split.reconnect.1b: stops early",
        "Recovery commits with one entry still to clear.",
        Replace("split.reconnect.1c", {"when": lambda s: s.recover.left <= 1}),
    )
    yield (
        "split.supply.7: settles early",
        "A batch is settled with one entry still to clear.",
        Replace("split.supply.7", {"when": lambda s: s.supply.cursor + 1 >= s.supply.count}),
    )


GUARDS = Guards(
    questions={
        ("split.reconnect.2", "forall"): "it is the next one in order",
        ("split.reconnect.signal", "forall"): "nothing is left to resubmit",
    },
    one_too_far={
        "split.supply.6: supply.cursor < supply.count": (
            all_of(_cursor <= _count, _cursor < parameter("size")),
            _ONE_MORE,
        ),
        "split.reconnect.1b: 0 < recover.left": (_left >= 0, _ONE_MORE),
    },
    endless=frozenset({"split.reconnect.2: recover.resubmitted[choice] == 0"}),
    by_hand=(*BETWEEN_PROCEDURES, *_by_hand()),
)
"""What is said of them."""
