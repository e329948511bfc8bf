"""What the crash test kills: at every storing step first, then at random."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from model.protocol import Subject, table
from refimpl.hooks import BACKEND_STORES_OF

__all__ = ["Kill", "Plan", "stores"]


@dataclass(frozen=True, slots=True)
class Steps:
    """What there is to kill on a ring.

    ``fresh``: steps that only the first life of a region takes, in their order. ``repair``: steps that only a life
    after an interrupted batch takes, by the step that the batch has to be interrupted after. ``once``: steps that a
    life takes so seldom that only the first one is worth waiting for. ``looped``: the repair that is a loop over the
    batch.
    """

    fresh: tuple[str, ...]
    repair: Mapping[str, tuple[str, ...]]
    once: frozenset[str]
    looped: frozenset[str]


_STEPS: Mapping[str, Steps] = MappingProxyType(
    {
        "split": Steps(
            fresh=tuple(f"split.init.{n}" for n in (1, 2, 3)),
            repair={"split.supply.5": ("split.reconnect.1b", "split.reconnect.1c")},
            once=frozenset({"split.idle.arm", "split.supply.5"}),
            looped=frozenset({"split.reconnect.1b"}),
        ),
        "packed": Steps(
            fresh=tuple(f"packed.init.{n}" for n in (1, 2, 6, 7, 3, 4, 5)),
            repair={
                "packed.supply.7": ("packed.reconnect.unmark",),
                "packed.supply.8": ("packed.reconnect.1c1",),
                "packed.supply.9a": ("packed.reconnect.1c2", "packed.reconnect.1c3"),
            },
            once=frozenset(
                {
                    "packed.idle.arm",
                    "packed.idle.disarm",
                    *(f"packed.reconnect.2{part}" for part in "abc"),
                    *(f"packed.supply.{part}" for part in ("6a", "6b", "9a", "9b", "9c")),
                }
            ),
            looped=frozenset({"packed.reconnect.unmark"}),
        ),
    }
)


@dataclass(frozen=True, slots=True)
class Kill:
    """One kill: right after the ``occurrence``-th store of ``step``, or (no step) after ``seconds`` from outside."""

    step: str = ""
    occurrence: int = 1
    seconds: float | None = None

    def text(self) -> str:
        """Write it as ``--crash-at`` has it."""
        return f"{self.step}:{self.occurrence}" if self.step else "a random time"


def known_steps(ring: str) -> Steps:
    """Give what is known of the steps of a ring."""
    return _STEPS[ring]


def stores(ring: str, revision: str, gaps: Mapping[str, str] | None = None) -> list[str]:
    """Give the steps of the back-end that store to shared memory in a revision of a ring's text.

    ``gaps`` are choices other than the defaults: some leave steps out.
    """
    taken = table(Subject.of(ring, revision, gaps or {}))
    storing = {recorded.step.id for recorded in taken.recorded() if recorded.stores(taken.vars)}
    return sorted(BACKEND_STORES_OF[ring] & storing)


class Plan:
    """Says at which step the next life ends; ``fresh`` are those that only the first life of a region takes."""

    def __init__(
        self, ring: str, revision: str, size: int, dice: random.Random, gaps: Mapping[str, str] | None = None
    ) -> None:
        """Plan for a ring of ``size``: requests in a batch are at most as many."""
        self._of_ring = _STEPS[ring]
        steps = stores(ring, revision, gaps)
        self.fresh = [step for step in self._of_ring.fresh if step in steps]
        repairs = [step for those in self._of_ring.repair.values() for step in those]
        self._repairs = [step for step in repairs if step in steps]
        self._served = [step for step in steps if step not in (*self.fresh, *self._repairs)]
        self._size, self._dice = size, dice
        self._first = self._sweep()

    def _sweep(self) -> Iterator[Kill]:
        """Give a kill at each storing step, those of a fresh region first, those that repair when there is a cause."""
        known = self._of_ring
        yield from (Kill(step) for step in self.fresh)
        for occurrence in sorted({1, min(2, self._size)}):
            for step in self._served:
                yield Kill(step, 1 if step in known.once else occurrence)
                for repair in known.repair.get(step, ()):
                    if repair in self._repairs:
                        yield Kill(repair)

    def next(self, in_progress: int) -> Kill:
        """Give the next kill; ``in_progress`` is how many requests of a batch the next life has to clear."""
        planned = next(self._first, None)
        if planned is not None:
            return planned
        dice = self._dice
        if dice.random() < 0.15:
            return Kill(seconds=dice.uniform(0, 0.02))
        if in_progress and dice.random() < 0.3:
            step = dice.choice(self._repairs)
            return Kill(step, dice.randint(1, in_progress) if step in self._of_ring.looped else 1)
        step = dice.choice(self._served)
        return Kill(step, dice.randint(1, 1 if step in self._of_ring.once else 2 * self._size))
