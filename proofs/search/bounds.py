"""What a search is limited to, and which searches a ring's record rests on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Bounds", "Campaign", "Event", "Level"]

Event = tuple[str] | tuple[str, int]
"""A step's id and, where it has one, its choice."""


@dataclass(frozen=True)
class Bounds:
    """What a search is limited to.

    Queue size, requests the driver makes, crashes, rare events (resets, second kick fds, other queues' fetches), first
    index; and the number of states at which it gives up.
    """

    size: int
    requests: int
    crashes: int
    rare: int = 0
    first: int = 0
    states: int = 20_000_000

    @property
    def again(self) -> bool:
        """Whether the search is quick enough to be done each time, not in the campaign alone."""
        return self.rare == 0 and (self.size == 1 or (self.size == 2 and self.requests * self.crashes <= 2))

    def tells(self, name: str) -> bool:
        """Whether a search within says anything of a property: one request alone is in order whatever is done."""
        return name != "order" or self.requests > 1

    def text(self) -> str:
        """Say them in words."""
        rare = f", {self.rare} rare event{'s' * (self.rare != 1)}" if self.rare else ""
        requests = f"{self.requests} request{'s' * (self.requests != 1)}"
        crashes = f"{self.crashes} crash{'es' * (self.crashes != 1)}"
        return f"queue size {self.size}, {requests}, {crashes}{rare}, first index {self.first}"


@dataclass(frozen=True)
class Level:
    """One search for what kills a mutant: its bounds, and whether the steps of notification are part of it."""

    bounds: Bounds
    notifications: bool = False

    def text(self) -> str:
        """Say it in words."""
        return self.bounds.text() + (", with notifications" if self.notifications else "")


@dataclass(frozen=True)
class Campaign:
    """The searches that the record of a ring's verdicts rests on.

    `bounds`: for every property but `drains`. `counters`: besides, for the gaps of the global counter, which need a
    second crash to show. `in_use`: besides, for the gaps of a fresh region, on a ring that has been in use, and for the
    proved revision. `laps`: besides, for the gap of the first wrap counters, on rings that go on with the other one.
    `drains`: for `drains`, where notifications make many more states. `batches`: besides, for `drains` and the gaps of
    a batch, which need two requests at once. `wide`: besides, for the defaults. `wide_drains`: besides, for `drains`
    under the defaults and for the gaps of events, which need a second request to show; not for `hardened`, which is
    proved: where nothing is stuck, a search this wide ends with the machine's memory. `further`: besides, for `drains`,
    by gap and choice, where the shortest run needs more than that.
    """

    bounds: tuple[Bounds, ...]
    counters: tuple[Bounds, ...]
    in_use: tuple[Bounds, ...]
    laps: tuple[Bounds, ...]
    drains: tuple[Bounds, ...]
    batches: tuple[Bounds, ...]
    wide: tuple[Bounds, ...]
    wide_drains: tuple[Bounds, ...]
    further: Mapping[tuple[str, str], tuple[Bounds, ...]] = field(default_factory=dict)
