"""What came of a schedule that was played: what happened, moment by moment, and which properties were violated."""

from __future__ import annotations

from dataclasses import dataclass

from vhost_inflight.judging.play.flags import lap_words, words
from vhost_inflight.judging.play.judge import Violation
from vhost_inflight.judging.play.schedule import Event

__all__ = ["Change", "Moment", "Replay"]


@dataclass(frozen=True, slots=True)
class Change:
    """A field of shared memory that an event changed, with its value before and after."""

    field: str
    old: int
    new: int

    def text(self) -> str:
        """Write it as ``field: old → new``; the flags of a packed descriptor in words."""
        if self.field.startswith(("ring.", "region.")) and self.field.endswith("].flags"):
            return f"{self.field}: {words(self.old)} → {words(self.new)}, {lap_words(self.new)}"
        return f"{self.field}: {self.old} → {self.new}"


@dataclass(frozen=True, slots=True)
class Moment:
    """One event that happened, its number (from 1), and what it changed in shared memory.

    ``picture`` shows what stands in the memory then, line by line: of a packed ring, at each crash and at the end.
    """

    number: int
    event: Event
    changes: tuple[Change, ...]
    picture: tuple[str, ...] = ()


@dataclass(frozen=True)
class Replay:
    """A schedule that was played: on what, what happened, which violations were seen, and how it ended.

    ``wanted`` is the property that the schedule names. ``reproduced``: that one was violated; of a witness: it was
    played to its end, and what it is a witness of holds; of any other schedule: nothing was violated. ``refused`` is
    the rule that one side found broken by the other at the end, if any.
    """

    on: str
    wanted: str | None
    reproduced: bool
    moments: tuple[Moment, ...]
    violations: tuple[Violation, ...]
    refused: str = ""

    def verdict(self) -> str:
        """Say in a sentence what came of it."""
        seen = [v.text() for v in self.violations if v.property == self.wanted] or [v.text() for v in self.violations]
        what = seen[0] if seen else "nothing is violated"
        return f"{'reproduced' if self.reproduced else 'NOT reproduced'} on {self.on}: {what}"
