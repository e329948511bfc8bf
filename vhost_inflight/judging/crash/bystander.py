"""A ring beside the one that is stopped and killed by plan: its driver, which moves a turn at a time, and its judge.

The driver is no process: it is moved by whoever holds the reins of the others, and is the same from seed to seed.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from vhost_inflight.judging.crash.guest import Client, Place
from vhost_inflight.judging.crash.judge_split import Broken, CrashJudge

__all__ = ["Bystander", "Bystanders", "signalled"]

_BETWEEN = 40
"""Moves of others between two turns, at most."""


class Bystander(Client):
    """The driver of a ring beside, and its ``judge``; ``left`` is how many moves others make before its next turn."""

    def __init__(self, places: Sequence[Place], image: Path, judge: CrashJudge, seed: int, *, by_index: bool) -> None:
        """Begin with nothing outstanding."""
        super().__init__(places, image, seed + (places[0].queue << 32), by_index=by_index)
        self.judge = judge
        self.left = self.dice.randint(1, _BETWEEN)

    @property
    def came_back(self) -> int:
        """How many requests came back since the record was taken."""
        return len(self.record.used)

    def moves(self, *, idle: bool) -> bool:
        """Take a turn if it is time, or others are ``idle``; return whether it did.

        Asleep, it has to be notified; with nothing on the way it has not, and goes on if it is to make requests.
        """
        if self.left > 0 and not idle:
            return False
        asleep = self.driver.asleep and (bool(self.pending) or not self.making)
        can = not self.broken and (not asleep or signalled(self.places[0].call))
        if can or self.left <= 0:
            self.left = self.dice.randint(1, _BETWEEN)
        if not can:
            return False
        if self.driver.asleep:
            self.wake()
        self.turn()
        return True

    def move(self) -> None:
        """Go on in the memory of the next place; so does the judge."""
        super().move()
        self.judge.ring = self.driver.ring

    def close(self) -> None:
        """Let go of the disk."""
        os.close(self.disk)


class Bystanders(list[Bystander]):
    """Those of all rings beside; of one ring alone there are none."""

    def move(self, *, idle: bool, stopped: Collection[int] = ()) -> bool:
        """Let each move whose time it is, or that can where others are ``idle``; return whether one did.

        Those of rings that are ``stopped`` rest.
        """
        moved = [one.moves(idle=idle) for one in self if one.queue not in stopped]
        return any(moved)

    def until(self, most: int) -> int:
        """Return how many moves others can make before somebody's turn, ``most`` at most."""
        return min([most, *(one.left for one in self)])

    def passed(self, moves: int) -> None:
        """Count moves of others."""
        for one in self:
            one.left -= moves

    def tell(self, broken: list[Broken]) -> list[Broken]:
        """Let each judge tell there what was violated; return it."""
        for one in self:
            one.judge.broken = broken
        return broken

    def served(self) -> tuple[int, int]:
        """Return how many requests came back, and how many were resubmitted."""
        return sum(one.judge.completed for one in self), sum(one.judge.resubmitted for one in self)

    def make(self, *, more: bool) -> None:
        """Let all make more requests, or nobody."""
        for one in self:
            one.making = more

    def begin_watch(self) -> Callable[[], list[bool]]:
        """Return what says of each whether it has had back since now what it waits for, and something at least."""
        then = [(one.came_back, set(one.pending.values())) for one in self]

        def had() -> list[bool]:
            return [
                one.came_back > came and not waited & set(one.pending.values())
                for one, (came, waited) in zip(self, then, strict=True)
            ]

        return had


def signalled(fd: int) -> bool:
    """Return whether an eventfd has been signalled."""
    return bool(select.select([fd], [], [], 0)[0])
