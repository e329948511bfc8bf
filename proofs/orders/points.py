"""Where a program must keep order, so that it may leave every other pair of accesses to compiler and processor.

A point is a store, or a load behind a full fence, that comes after every store before it (`after`); or a load that
comes before every load after it, or a store that comes before every store after it (`before`). That these are enough,
and that none is too many, is searched (`proofs.orders.table`); which C11 form each needs follows from that.
"""

from __future__ import annotations

from dataclasses import dataclass

from model.memory.accesses import BACK_END, Agent
from model.memory.kinds import Points
from model.protocol import Subject

__all__ = ["PARTS", "Part", "part", "points"]


@dataclass(frozen=True)
class Part:
    """A back-end: what is searched, and its points.

    `spare`: points of which no pair was shown to be needed by itself; all of them were kept where all else was free.
    """

    subject: Subject
    agent: Agent
    after: tuple[str, ...]
    before: tuple[str, ...]
    spare: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """The back-end, and the choices that differ from the defaults."""
        return " ".join([self.agent.name, *(f"{gap}={choice}" for gap, choice in self.subject.choices)])


_SPLIT, _PACKED = Subject("split", "merged"), Subject("packed", "hardened")
_BY_INDEX = Subject("packed", "hardened", (("event-kind", "index"),))

_PACKED_BACK_END = (
    "packed.init.5", "packed.reconnect.1c2", "packed.reconnect.1c3", "packed.reconnect.2a", "packed.fetch.7",
    "packed.supply.6a", "packed.supply.6b", "packed.supply.7", "packed.supply.8", "packed.supply.9a",
    "packed.supply.9b", "packed.supply.9c",
    "packed.notify.look driver_event.flags", "packed.idle.look ring.desc[].flags",
)  # fmt: skip
_SPARE = frozenset({
    "after packed.reconnect.1c3", "after packed.supply.6b", "after packed.supply.9a", "after packed.supply.9c",
    "before packed.supply.9b",
})  # fmt: skip
PARTS: tuple[Part, ...] = (
    Part(
        _SPLIT, BACK_END,
        ("split.init.3", "split.reconnect.1c", "split.fetch.2", "split.supply.5", "split.supply.6", "split.supply.7",
         "split.notify.look avail.used_event", "split.idle.look avail.idx"),
        ("split.supply.7", "split.fetch.look avail.idx", "split.idle.look avail.idx"),
    ),
    Part(
        _PACKED, BACK_END, _PACKED_BACK_END,
        ("packed.supply.9b", "packed.supply.9c", "packed.fetch.look ring.desc[].flags",
         "packed.idle.look ring.desc[].flags"),
        _SPARE,
    ),
    Part(
        _BY_INDEX, BACK_END, _PACKED_BACK_END,
        ("packed.supply.9b", "packed.supply.9c", "packed.fetch.look ring.desc[].flags",
         "packed.idle.look ring.desc[].flags", "packed.notify.look driver_event.flags"),
        _SPARE,
    ),
)  # fmt: skip
"""The back-ends of both rings; a driver of a packed ring may ask for one used element (gap event-kind)."""


def part(ring: str, name: str) -> Part:
    """Look a part up; raise `LookupError` if there is none of that name."""
    found = next((p for p in PARTS if p.subject.ring == ring and p.name == name), None)
    if found is None:
        raise LookupError(f"nothing of the {ring} ring that keeps orders is called {name!r}")
    return found


def points(of: Part) -> Points:
    """Give what a part keeps."""
    return Points(frozenset(of.after), frozenset(of.before))
