"""What a schedule does to a ring besides a crash: it is stopped and started again, or reset (docs/stopping.md).

The reference does both as behind its socket: where a ring is stopped, its queue is thrown away between two procedures,
and a position is kept; where one is reset and its back-end is told, nothing is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from refimpl.meetings import MEETINGS

__all__ = ["PLAYED", "Stopping", "is_played"]

PLAYED: Final = frozenset({"stop", "stop-batch", "stop-scope", "ring-reset"})
"""Choices of what came later that are of the world around the back-end, not of its steps: they can be played.

But for a batch that is taken back: that is a step of a back-end, and this one finishes what it has begun.
"""


def is_played(gap: str, choice: str) -> bool:
    """Say whether the reference can be asked for a choice."""
    return gap in PLAYED and (gap, choice) != ("stop-batch", "taken-back")


class Stopping:
    """What is chosen of stopping and resetting a ring, and what the front-end has asked for.

    ``drains``: all that was fetched is used before the answer; ``at_once``: the answer waits for no procedure to end.
    ``reset`` says what becomes of a ring that is reset, "" where none is. ``asked``: the front-end waits for an answer.
    """

    def __init__(self, gaps: Mapping[str, str]) -> None:
        """Take the choices of a schedule, those that are played."""
        met = MEETINGS.get(gaps.get("stop", "never"))
        self.drains = met is not None and not met.suspends
        self.at_once = gaps.get("stop-batch") == "left"
        self.reset = gaps.get("ring-reset", "")
        self.asked = False

    @property
    def of_world(self) -> frozenset[str]:
        """The steps that happen whatever the back-end does."""
        untold = {"ring.reset"} if self.reset == "untold" else set()
        return frozenset(
            {"stop.ask", "stop.move", "stop.other"} | untold | ({"stop.answer"} if self.at_once else set())
        )
