"""Weakened guards of the packed ring: each conjunct left out, and those of whole procedures by hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from model.both.words import FINISHED, IN_BATCH, WORKING
from model.steps import Replace
from model.terms import Term, all_of, any_of, ite, parameter, variable
from proofs.challenges.mutating import BETWEEN_PROCEDURES, Guards, Weakened

__all__ = ["GUARDS", "SUPPLY_ANY"]

_cursor, _count, _left = variable("supply.cursor"), variable("supply.count"), variable("recover.left")
_ahead, _size = variable("recover.ahead"), parameter("size")


def _with_the_device(s: Any, e: Term) -> Term:
    return any_of(s.device.state[e] == FINISHED, s.device.state[e] == WORKING)


def _get_any(s: Any, e: Term) -> None:
    first, state = s.supply.open == 0, s.device.state[e]
    s.supply.head = e
    s.supply.open = 1
    s.supply.batch[s.supply.count] = e
    s.supply.offset[s.supply.count] = s.supply.slots
    s.supply.start = ite(first, s.region.used_idx, s.supply.start)
    s.supply.start_wrap = ite(first, s.region.used_wrap_counter, s.supply.start_wrap)
    s.device.state[e] = ite(state == FINISHED, IN_BATCH, state)


SUPPLY_ANY = Replace("packed.supply.1", {"when": _with_the_device, "do": _get_any})
"""A request is supplied, whether the device has finished it or not."""


def _by_hand() -> Iterator[Weakened]:
    yield (
        "packed.supply.1: or still worked on",
        "A request is supplied while the device still works on it, and goes on doing so.",
        SUPPLY_ANY,
    )
    yield (
        "packed.supply.8: stops early",
        "A batch is settled with one entry still to clear.",
        Replace("packed.supply.9a", {"when": lambda s: s.supply.cursor + 1 >= s.supply.count}),
    )


_WHOLE_RING = "the whole ring was looked at"
_END = "the free list has ended"

GUARDS = Guards(
    questions={
        ("packed.reconnect.3", "<="): _WHOLE_RING,
        ("packed.position", "<="): _WHOLE_RING,
        ("packed.position", "or"): _END,
        ("packed.reconnect.3", "not"): "the free list goes on",
        ("packed.reconnect.4", "forall"): "it is the next one in order",
        ("packed.reconnect.signal", "forall"): "nothing is left to resubmit",
        ("packed.supply.6b", "not"): "the batch has passed the end of the ring",
        ("packed.supply.6b.else", "=="): "the batch has not passed the end of the ring",
        ("packed.supply.8", "ite"): "all flags of the batch are updated",
    },
    one_too_far={
        "packed.reconnect.unmark.look: recover.ahead < size": (_ahead <= _size, "looks at one slot more than there is"),
        "packed.reconnect.unmark: recover.marked == 1": (_ahead < _size, "marks slots that are not marked used, too"),
        "packed.reconnect.4.desc: 0 < recover.left": (_left >= 0, "gathers one descriptor more than the chain has"),
        "packed.supply.8: supply.cursor < supply.count": (
            all_of(_cursor <= _count, _cursor < _size),
            "clears one entry more than it should",
        ),
    },
    left_alone=frozenset(
        {
            "packed.init.2: recover.entry < entries",
            "packed.reconnect.3: the free list goes on",
            "packed.supply.7: 0 < supply.cursor",
        }
    ),
    endless=frozenset(
        {
            "packed.reconnect.4: recover.resubmitted[choice] == 0",
            "packed.reconnect.unmark.look: recover.marked == 0",
        }
    ),
    by_hand=(*BETWEEN_PROCEDURES, *_by_hand()),
)
"""What is said of them.

Left alone: these go past the end of the table, of the free list, and below the first of the batch. That loops stop
early instead is among the guards of what follows them (packed.init.3, packed.position, packed.supply.8).
"""
