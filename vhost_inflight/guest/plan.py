"""Where a back-end that serves a guest is killed next."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final, Protocol

from vhost_inflight.judging.crash.plan import Kill, known_steps, stores

__all__ = ["EACH", "UNREACHED", "Deaths", "GuestPlan"]

EACH: Final = 3
"""How often a back-end should die at each storing step."""

TRIES: Final = 12
"""How often a step is tried at most, before kills at random take over."""

UNREACHED: Final[Mapping[str, str]] = {
    "packed.init.6": "a fresh region for a ring in use: a Linux guest resets the ring with the region; see --moves",
    "packed.init.7": "a fresh region for a ring in use: a Linux guest resets the ring with the region; see --moves",
}
"""Storing steps that no guest of this kind reaches as long as it stays where it is, and why."""


class Deaths(Protocol):
    """Where the lives of a back-end end, and where they have ended."""

    deaths: Counter[str]

    @property
    def fresh_missing(self) -> bool:
        """Whether a store that only a fresh region has is still to be seen."""

    def of_fresh(self) -> Iterator[Kill]:
        """Give a kill at each of those, in their order."""

    def next(self) -> list[Kill]:
        """Give the next kills, of lives that follow each other."""


class GuestPlan:
    """Says at which step the next life ends: each storing step several times first, then any, or any moment."""

    def __init__(self, ring: str, revision: str, dice: random.Random, always: Kill | None = None) -> None:
        """Plan for a ring and a revision of its text; ``always``: one place alone, again and again."""
        self._always = always
        steps = [step for step in stores(ring, revision) if step not in UNREACHED]
        told = known_steps(ring)
        self.fresh = tuple(step for step in told.fresh if step in steps)
        self._causes = {repair: cause for cause, those in told.repair.items() for repair in those}
        self.served = [step for step in steps if step not in self.fresh]
        dice.shuffle(self.served)
        self._once, self._dice = told.once, dice
        self.deaths: Counter[str] = Counter()
        self._tried: Counter[str] = Counter()

    @property
    def fresh_missing(self) -> bool:
        """Whether a step of initialising a region is still to be seen often enough; that needs a fresh region."""
        return self._always is None and any(
            self.deaths[step] < EACH and self._tried[step] < TRIES for step in self.fresh
        )

    def of_fresh(self) -> Iterator[Kill]:
        """Give a kill at each step of initialising a region, in their order: all are of one fresh region."""
        for step in self.fresh:
            self._tried[step] += 1
            yield Kill(step)

    def next(self) -> list[Kill]:
        """Give the next kills, of lives that follow each other: a step of recovery has a cause in the life before."""
        if self._always is not None:
            return [self._always]
        wanted = [step for step in self.served if self.deaths[step] < EACH and self._tried[step] < TRIES]
        if wanted:
            step = min(wanted, key=lambda s: self._tried[s])
            self._tried[step] += 1
            cause = [Kill(self._causes[step])] if step in self._causes else []
            return [*cause, Kill(step, 1 if cause else self._occurrence(step))]
        if self._dice.random() < 0.3:
            return [Kill(seconds=self._dice.uniform(0.5, 2.5))]
        step = self._dice.choice([step for step in self.served if step not in self._causes])
        return [Kill(step, self._occurrence(step))]

    def _occurrence(self, step: str) -> int:
        if step in self._once or ".reconnect." in step:
            return 1
        return self._dice.choice((1, 2, 5, 20, 60))
