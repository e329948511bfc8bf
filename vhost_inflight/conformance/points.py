"""Crash points: the stores of a life, in the field's terms, and the cases that are made of them."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from refimpl.errors import UsageError
from refimpl.packed.ring import packed_parts
from refimpl.split.ring import parts
from vhost_inflight.conformance.load import LOADS, QUEUE_SIZE
from vhost_inflight.conformance.tracer import Aim, Change, Seen
from vhost_inflight.recover.memory import fields_at, structures

__all__ = ["CALM", "ENDS", "RANDOM", "Case", "Deaths", "Point", "Said", "points", "stores"]

Deaths = tuple[tuple[int, str], ...]
"""Where lives end: numbers of stores, each with one of ENDS."""

ENDS: Final = ("before", "after", "asleep")
"""A death before a store, or after it; with the third the driver sleeps on, and with the second it looks at once.

Before a store it sleeps on, too: what was published by then can only be found out by a notification.
"""

CALM: Final = "calm"
"""The case without a crash."""

RANDOM: Final = "random"
"""Cases that die at a random time."""

_NOWHERE: Final = " (no field)"
"""What is said of a place that is in no field: padding, or behind the last one."""

_NUMBER: Final = re.compile("[1-9][0-9]{0,8}")
"""A number in a name: each case has one name, so no leading zeros, and no digits of other scripts."""


@dataclass(frozen=True, slots=True)
class Said:
    """One field that was changed: ``region.desc[3].inflight`` of a queue, and its value before and after.

    Of what is in no field it is the place, in bytes: ``region+0xb4 (no field)``.
    """

    queue: int
    field: str
    old: int
    new: int

    @property
    def in_a_field(self) -> bool:
        """Whether it is in one that has a name."""
        return not self.field.endswith(_NOWHERE)

    def __str__(self) -> str:
        """Say it as an assignment."""
        return f"{f'queue {self.queue}: ' if self.queue else ''}{self.field} := {self.new}"


@dataclass(frozen=True, slots=True)
class Point:
    """A store of a life: its number there, from 1; of those of its instruction it is the ``occurrence``-th."""

    number: int
    occurrence: int
    module: str
    offset: int
    said: tuple[Said, ...]

    def aim(self, end: str) -> Aim:
        """Give where a process has to die."""
        return Aim(self.module, self.offset, self.occurrence, end != "before")

    @property
    def instruction(self) -> tuple[str, int]:
        """Give the file that the instruction is in, and where in it."""
        return self.module, self.offset

    def __str__(self) -> str:
        """Say what is stored."""
        return ", ".join(map(str, self.said))


@dataclass(frozen=True, slots=True)
class Case:
    """A case: a ring, a load, and where the lives end: numbers of stores, each with one of ENDS.

    One that is ``random`` dies at a time that the number draws, instead of at a store.
    """

    ring: str
    load: str
    deaths: Deaths = ()
    random: bool = False

    def __str__(self) -> str:
        """Give its name, which `read` reads."""
        if self.random:
            return f"{self.ring}-{self.load}-{RANDOM}-{self.deaths[0][0]}"
        ends = [f"{number}-{end}" for number, end in self.deaths]
        return "-".join([self.ring, self.load, *(ends or [CALM])])

    @classmethod
    def drawn(cls, ring: str, load: str, number: int) -> Case:
        """Give the case that dies at a time drawn by a number."""
        return cls(ring, load, ((number, ENDS[1 + number % 2]),), random=True)

    @classmethod
    def read(cls, name: str) -> Case:
        """Read a name. Raises UsageError for what is none."""
        ring, _, rest = name.partition("-")
        load = next((load for load in LOADS if rest.startswith(f"{load}-")), None)
        words = rest[len(load or "") + 1 :].split("-")
        ends = list(zip(words[::2], words[1::2], strict=False))
        known = all(_NUMBER.fullmatch(number) and end in ENDS for number, end in ends)
        if ring not in {"split", "packed"} or load is None:
            raise UsageError(f"{name} is no case: a name is like split-mixed-23-after; loads are {', '.join(LOADS)}")
        if words == [CALM]:
            return cls(ring, load)
        if len(words) == 2 and words[0] == RANDOM and _NUMBER.fullmatch(words[1]):
            return cls.drawn(ring, load, int(words[1]))
        if len(words) % 2 or not known:
            raise UsageError(f"{name} is no case: wanted is a store's number and {', '.join(ENDS)}, like 23-after")
        return cls(ring, load, tuple((int(number), end) for number, end in ends))


def points(seen: Sequence[Seen], ring: str, revision: str, entries: int = QUEUE_SIZE) -> list[Point]:
    """Give the stores of a life as crash points."""
    counts: Counter[tuple[str, int]] = Counter()
    found = []
    for number, store in enumerate(seen, 1):
        counts[store.module, store.offset] += 1
        told = tuple(stores(store.changes, ring, revision, entries))
        found.append(Point(number, counts[store.module, store.offset], store.module, store.offset, told))
    return found


def stores(changes: Sequence[Change], ring: str, revision: str, entries: int = QUEUE_SIZE) -> Iterator[Said]:
    """Give the fields that an instruction changed; where it changed none, the place: ``region+0xb4 (no field)``."""
    layout = structures(ring, revision, QUEUE_SIZE, entries)
    for change in changes:
        area, _, queue = change.area.partition(" ")
        whole = {"region": (0, len(change.new))}
        places = whole if area == "region" else _ring_places(ring, len(change.new))
        told = [
            said
            for part, (start, end) in places.items()
            for said in _fields(layout.get(part), part, int(queue), change.old[start:end], change.new[start:end])
        ]
        yield from told or _outside(area, int(queue), change)


def _outside(area: str, queue: int, change: Change) -> Iterator[Said]:
    """Give what was changed in no field, padding or what lies behind the last one: pieces of up to eight bytes."""
    differ = [at for at, (a, b) in enumerate(zip(change.old, change.new, strict=True)) if a != b]
    end = differ[-1] + 1
    for start in range(differ[0], end, 8):
        before, after = (content[start : min(start + 8, end)] for content in (change.old, change.new))
        if before != after:
            numbers = (int.from_bytes(content, sys.byteorder) for content in (before, after))
            yield Said(queue, f"{area}+{start:#x}{_NOWHERE}", *numbers)


def _ring_places(ring: str, length: int) -> Mapping[str, tuple[int, int]]:
    """Give where the parts of a ring lie in its memory."""
    if ring == "packed":
        driver, device = packed_parts(QUEUE_SIZE)
        return {"descriptors": (0, driver), "driver_event": (driver, device), "device_event": (device, length)}
    avail, used = parts(QUEUE_SIZE)
    used_event, avail_event = avail + 4 + 2 * QUEUE_SIZE, used + 4 + 8 * QUEUE_SIZE
    return {
        "descriptors": (0, avail),
        "available": (avail, used_event),
        "used_event": (used_event, used_event + 2),
        "used": (used, avail_event),
        "avail_event": (avail_event, avail_event + 2),
    }


def _fields(kind: Any, part: str, queue: int, old: bytes, new: bytes) -> Iterator[Said]:
    """Give the fields of a part that differ."""
    if old == new:
        return
    if kind is None:  # an event index alone
        yield Said(queue, part, int.from_bytes(old, sys.byteorder), int.from_bytes(new, sys.byteorder))
        return
    differ = [at for at, (a, b) in enumerate(zip(old, new, strict=True)) if a != b]
    for field in fields_at(kind, differ[0], differ[-1] + 1):
        before, after = (content[field.offset : field.offset + field.width] for content in (old, new))
        if before != after:
            name = f"{part}{'' if field.name.startswith('[') else '.'}{field.name}"
            numbers = (int.from_bytes(content, sys.byteorder) for content in (before, after))
            yield Said(queue, name, *numbers)
