"""Which stores have to come before which: what a recorded run needs, and nothing else.

Two records say it: of pairs that a compiler or a processor may turn round (proofs/recorded/*/orders.json), and of
neighbouring steps of the text that were swapped, where a run kills the swap (mutants.json).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache

from proofs.challenges import fates
from proofs.verdicts import recorded_folder

__all__ = ["before_pairs", "needed"]

_STANDS_FOR = {"split.notify.look": "split.notify.call", "packed.notify.look": "packed.notify.call"}
"""A load that has to come after a store: what is stored by what was read."""

_TO_THE_LAST = frozenset({"packed.supply.7"})
"""Steps of which only the last one counts where something has to come before: with it the driver may see all."""

_ANY_FLAGS = frozenset({"packed.supply.6a", "packed.supply.6b"})
"""Steps that have to come before any flags of the batch, not before the last ones alone."""


@cache
def needed(ring: str) -> frozenset[tuple[str, str]]:
    """Give the pairs of steps whose stores have to come in the order of the text."""
    rows = json.loads((recorded_folder(ring) / "orders.json").read_text(encoding="utf-8"))
    told = {
        (row["row"]["earlier"], row["row"]["later"])
        for row in rows
        if row.get("row", {}).get("kind") == "store, store" and any("run" in a for a in row["answers"].values())
    }
    swaps = [f.mutant.removeprefix("swap ").split(", ") for f in fates.load(ring) if f.kind == "swap" and f.killed_by]
    told |= {(_STANDS_FOR.get(one, one), _STANDS_FOR.get(other, other)) for one, other in swaps}
    return frozenset(told)


def before_pairs(ring: str, steps: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Give the pairs of numbers, of stores made by these steps in the order of the text, whose order is needed."""
    pairs = needed(ring)
    last = {step: number for number, step in enumerate(steps)}
    return tuple(
        (one, other)
        for other, later in enumerate(steps)
        for one, earlier in enumerate(steps[:other])
        if (earlier, later) in pairs and (later not in _TO_THE_LAST or earlier in _ANY_FLAGS or last[later] == other)
    )
