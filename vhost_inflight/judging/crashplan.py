"""What the crash test kills: at every storing step first, then at random."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from refimpl.hooks import BACKEND_STORES

__all__ = ["Kill", "Plan", "stores"]

_FRESH = ("split.init.1", "split.init.2", "split.init.3")
"""Steps that only the first life of a region takes, in their order."""

_REPAIR = ("split.reconnect.1b", "split.reconnect.1c")
"""Steps that only a life after an interrupted batch takes."""

_ONLY_MERGED = "split.fetch.counter"


@dataclass(frozen=True, slots=True)
class Kill:
    """One kill: right after the ``occurrence``-th store of ``step``, or (no step) after ``seconds`` from outside."""

    step: str = ""
    occurrence: int = 1
    seconds: float | None = None

    def text(self) -> str:
        """Write it as ``--crash-at`` has it."""
        return f"{self.step}:{self.occurrence}" if self.step else "a random time"


def stores(revision: str) -> list[str]:
    """Give the steps of the back-end that store to shared memory in a revision."""
    return sorted(BACKEND_STORES - ({_ONLY_MERGED} if revision == "v6" else set()))


class Plan:
    """Says at which step the next life ends."""

    def __init__(self, revision: str, size: int, dice: random.Random) -> None:
        """Plan for a ring of ``size``: requests in a batch are at most as many."""
        self._steps = stores(revision)
        self._served = [step for step in self._steps if step not in (*_FRESH, *_REPAIR)]
        self._size, self._dice = size, dice
        self._first = self._sweep()

    def _sweep(self) -> Iterator[Kill]:
        """Give a kill at each storing step, those of a fresh region first, those that repair when there is a cause."""
        yield from (Kill(step) for step in _FRESH)
        for occurrence in sorted({1, min(2, self._size)}):
            for step in self._served:
                yield Kill(step, occurrence if step not in ("split.idle.arm", "split.supply.5") else 1)
                if step == "split.supply.5":
                    yield from (Kill(repair) for repair in _REPAIR)

    def next(self, in_progress: int) -> Kill:
        """Give the next kill; ``in_progress`` is how many requests of a batch the next life has to clear."""
        planned = next(self._first, None)
        if planned is not None:
            return planned
        dice = self._dice
        if dice.random() < 0.15:
            return Kill(seconds=dice.uniform(0, 0.02))
        if in_progress and dice.random() < 0.3:
            step = dice.choice(_REPAIR)
            return Kill(step, dice.randint(1, in_progress) if step == "split.reconnect.1b" else 1)
        return Kill(dice.choice(self._served), dice.randint(1, 2 * self._size))
