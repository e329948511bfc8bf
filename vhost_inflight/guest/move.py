"""A guest is taken from one QEMU to another, each with a back-end of its own on the same image: a live migration.

The back-ends die on the way too: the source's while its memory is copied, by what several processes logged, and the
destination's at the first stores to the fresh region, which it makes for rings in use. QEMU does not take the region
along, so when the guest is stopped for the last part the source's back-end has to live: it drains its rings then. Until
the kills are done the copying is kept slow, and the guest writes to its memory all the time, so that it does not end.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import count
from typing import Any, Final

from vhost_inflight.guest.back_end import Served
from vhost_inflight.guest.machine import GuestError, Machine
from vhost_inflight.guest.plan import UNREACHED
from vhost_inflight.guest.sides import Side, Sides
from vhost_inflight.judging.crash.plan import Kill, known_steps, stores

__all__ = ["Moves", "arrive", "copy"]

KILLS: Final = 4
"""How often the source's back-end dies while the memory is copied."""

_MEGABYTE: Final = 1 << 20
_BULK: Final = 64 * _MEGABYTE
_CRAWL: Final = _MEGABYTE // 2
_AT_ONCE: Final = 1024 * _MEGABYTE
"""Bytes a second at which memory is copied: all of it once, while back-ends die, and when the guest is to arrive."""

_TIME: Final = 120.0
"""Seconds in which a part of a migration has to be done."""


class Moves:
    """When the guest of a campaign of ``kills`` moves, and how; ``side`` makes the next machine that waits for it."""

    def __init__(self, number: int, kills: int, ring: str, revision: str, side: Sides[Served]) -> None:
        """Plan ``number`` moves, evenly among the kills."""
        self._begin = [max(1, kills * (n + 1) // (number + 1)) for n in range(number)]
        self._side, self._numbers = side, count(1)
        first = [step for step in UNREACHED if step in stores(ring, revision)]  # without a move
        self._arrivals = [Kill(step) for step in dict.fromkeys([*first, *known_steps(ring).fresh])]
        self._other: Side[Served] | None = None
        self._end = 0
        self.done = 0

    def due(self, kills: int) -> bool:
        """Whether something is to be done after so many kills."""
        return kills >= self._end if self._other is not None else bool(self._begin) and kills >= self._begin[0]

    @property
    def under_way(self) -> bool:
        """Whether the guest is being copied."""
        return self._other is not None

    @property
    def left(self) -> bool:
        """Whether a move is still to be made, or to be ended."""
        return self.under_way or bool(self._begin)

    def begin(self, machine: Machine, kills: int) -> None:
        """Let another machine wait, and begin to copy the memory; the guest goes on. Raises GuestError."""
        self._begin.pop(0)
        number = next(self._numbers)
        other = self._side(number, self._arrivals[(number - 1) % len(self._arrivals)])
        copy(machine, other)
        self._other, self._end = other, kills + KILLS

    def end(self, machine: Machine) -> Side[Served]:
        """Let the guest arrive, whose back-end has to live; return where it is now. Raises GuestError."""
        assert self._other is not None
        other, self._other = self._other, None
        arrive(machine)
        self.done += 1
        return other


def copy(machine: Machine, other: Side[Served]) -> None:
    """Copy a guest's memory to another machine, which waits; the guest goes on. Raises GuestError.

    When this returns all was copied once, and copying is kept so slow from then on that it does not end.
    """
    _until(lambda: other.incoming is not None and other.incoming.exists(), "a machine to wait for the guest")
    machine.monitor("migrate-set-parameters", **{"max-bandwidth": _BULK, "downtime-limit": 1})
    machine.monitor("migrate", uri=f"unix:{other.incoming}")
    _until(lambda: _passes(machine) > 1, "all of the memory to be copied once")
    machine.monitor("migrate-set-parameters", **{"max-bandwidth": _CRAWL})


def arrive(machine: Machine) -> None:
    """Let a guest whose memory is copied leave, and arrive where it is copied to. Raises GuestError."""
    _passes(machine)
    machine.monitor("migrate-set-parameters", **{"max-bandwidth": _AT_ONCE, "downtime-limit": 10_000})
    _until(lambda: _migration(machine)["status"] == "completed", "the guest to arrive")


def _migration(machine: Machine) -> dict[str, Any]:
    """Ask how a migration is. Raises GuestError when it failed."""
    told: dict[str, Any] = machine.monitor("query-migrate")
    if told.get("status") in {"failed", "cancelled"}:
        raise GuestError(f"the migration {told['status']}: {told.get('error-desc', 'QEMU does not say why')}")
    return told


def _passes(machine: Machine) -> int:
    """Return how often all that was written has been looked for. Raises GuestError when the guest has left already."""
    told = _migration(machine)
    if told.get("status") == "completed":
        raise GuestError("the guest left before it was told to, perhaps while its back-end was dead")
    return int(told.get("ram", {}).get("dirty-sync-count", 0))


def _until(condition: Callable[[], bool], what: str) -> None:
    """Wait for something. Raises GuestError when it does not come."""
    deadline = time.monotonic() + _TIME
    while not condition():
        if time.monotonic() > deadline:
            raise GuestError(f"{_TIME:.0f} seconds were too short for {what}")
        time.sleep(0.05)
