"""Which stores have to come before which: what a recorded run or a recovery needs, and nothing else.

Three records say it: of pairs that a compiler or a processor may turn round (proofs/recorded/*/orders.json), of
neighbouring steps of the text that were swapped, where a run kills the swap (mutants.json), and of any two stores of an
op, what recovery makes of a crash with the later one made and the earlier one not (early.json, by `tools.early`).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from functools import cache
from pathlib import Path
from typing import Final

from proofs.challenges import fates
from proofs.verdicts import recorded_folder

__all__ = ["EARLY", "Pair", "before_pairs", "needed", "recorded"]

Pair = tuple[str, str]
"""Two steps: the one whose store comes first, and the other."""

EARLY: Final = Path(__file__).with_name("early.json")

_STANDS_FOR = {"split.notify.look": "split.notify.call", "packed.notify.look": "packed.notify.call"}
"""A load that has to come after a store: what is stored by what was read."""

_TO_THE_LAST = frozenset({"packed.supply.7"})
"""Steps of which only the last one counts where something has to come before: with it the driver may see all."""

_ANY_FLAGS = frozenset({"packed.supply.6a", "packed.supply.6b"})
"""Steps that have to come before any flags of the batch, not before the last ones alone."""


@cache
def recorded(ring: str) -> frozenset[Pair]:
    """Give the pairs of steps whose stores have to come in the order of the text, as recorded runs show."""
    rows = json.loads((recorded_folder(ring) / "orders.json").read_text(encoding="utf-8"))
    told = {
        (row["row"]["earlier"], row["row"]["later"])
        for row in rows
        if row.get("row", {}).get("kind") == "store, store" and any("run" in a for a in row["answers"].values())
    }
    swaps = [f.mutant.removeprefix("swap ").split(", ") for f in fates.load(ring) if f.kind == "swap" and f.killed_by]
    told |= {(_STANDS_FOR.get(one, one), _STANDS_FOR.get(other, other)) for one, other in swaps}
    return frozenset(told)


@cache
def needed(ring: str) -> frozenset[Pair]:
    """Give all pairs of steps whose stores have to come in the order of the text."""
    rows = json.loads(EARLY.read_text(encoding="utf-8"))
    return recorded(ring) | {(row["earlier"], row["later"]) for row in rows if row["ring"] == ring}


def before_pairs(steps: Sequence[str], pairs: Collection[Pair]) -> tuple[tuple[int, int], ...]:
    """Give the pairs of numbers, of stores made by these steps in the order of the text, that have to come so."""
    last = {step: number for number, step in enumerate(steps)}
    return tuple(
        (one, other)
        for other, later in enumerate(steps)
        for one, earlier in enumerate(steps[:other])
        if (earlier, later) in pairs and (later not in _TO_THE_LAST or earlier in _ANY_FLAGS or last[later] == other)
    )
