"""What came of a recovery: each step and each store of the reference's, and what it ended with."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from operator import attrgetter, itemgetter
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from refimpl.errors import InflightError
from refimpl.layout import column, region_type
from vhost_inflight.recover.chains import Descriptor
from vhost_inflight.recover.given import Given
from vhost_inflight.recover.memory import Place, entry_at, numbers_of, place_in

__all__ = ["Change", "Event", "Inflight", "Recovery", "Resubmitted", "Store"]


class Change(NamedTuple):
    """The value of a field before and after a store, which may be the same."""

    old: int
    new: int


@dataclass(frozen=True, eq=False)
class Store:
    """One store: the step, the part of memory, the offset in it and the width in bytes, the numbers before and after.

    ``structure`` is what lies at the beginning of the part. What follows from these is worked out when somebody asks:
    an answer has hundreds of stores, of which few are looked at.
    """

    step: str
    structure: Any
    memory: str
    offset: int
    width: int
    change: Change

    @cached_property
    def place(self) -> Place:
        """The place, with the names of its fields."""
        return place_in(self.structure, self.memory, self.offset, self.width)

    @cached_property
    def entry(self) -> int | None:
        """The entry of the region's table that it lies in, or the slot of a packed ring; None elsewhere."""
        return entry_at(self.structure, self.memory, self.offset)

    @cached_property
    def fields(self) -> Mapping[str, Change]:
        """The fields stored to, by their names without their part: one, unless the store is wider."""
        before, after = (number.to_bytes(self.width, sys.byteorder) for number in self.change)
        found = {}
        for one in self.place.fields:
            begin = one.offset - self.offset
            end = begin + one.width
            found[one.name] = Change(_number(before[begin:end]), _number(after[begin:end]))
        return MappingProxyType(found)


class Event(NamedTuple):
    """One step that was taken, its choice (an entry) if it has one, and its stores.

    ``numbers`` are those that a recovery turns on, as they are after the step: the region's header by its field names,
    ``used.idx`` and ``avail.idx`` of a split ring, and what the back-end knows by its names in the reference. Empty
    after a step that stored, since what it changed is in its stores, and after one that is taken for each entry or
    slot, since it changes none of them.
    """

    step: str
    choice: int | None
    stores: tuple[Store, ...]
    numbers: Mapping[str, int]


Taken = tuple[str, int | None, int, int, tuple[bytes, tuple[int, ...]] | None]
"""A step as it is noted: the step, its choice, the numbers of its first store and of the one after its last, and the
bytes of `LaidMemory.numbers` with what the back-end knows (None where an event has no numbers)."""


class Inflight(NamedTuple):
    """An entry that is inflight once the last batch is settled: its counter, and its descriptors on a packed ring."""

    entry: int
    counter: int | None
    length: int


class Resubmitted(NamedTuple):
    """A request that was given to the device again.

    ``entry`` is its head, on a packed ring the entry of its first descriptor; ``identity`` its buffer id (packed) and
    ``counter`` its counter (merged, hardened), else None.
    """

    entry: int
    identity: int | None
    counter: int | None
    descriptors: tuple[Descriptor, ...]


@dataclass
class Recovery:
    """What came of a recovery.

    ``refused``: the rule that the bytes break, None if none; then ``position`` is where fetching goes on (the index, on
    a packed ring slot and wrap counter), ``counter`` the next value of the global counter (None in v6), ``available``
    whether a request is seen there (None: it is not looked for before a kick). ``inflight`` is what there is to
    resubmit, in the table's order. ``before`` and ``after`` are the bytes of the region and of each part of the ring.
    ``stores`` are all stores, in order, ``taken`` the steps that were taken besides, of which `events` is made when
    somebody asks; of a recovery that was not recorded there are none.
    """

    given: Given
    before: Mapping[str, bytes]
    after: Mapping[str, bytes]
    taken: list[Taken] = field(default_factory=list)
    stores: list[Store] = field(default_factory=list)
    resubmitted: list[Resubmitted] = field(default_factory=list)
    signalled: bool = False
    position: tuple[int, ...] = ()
    counter: int | None = None
    available: bool | None = None
    refused: InflightError | None = None

    @cached_property
    def events(self) -> list[Event]:
        """The steps, in order."""
        return list(_events(self))

    @cached_property
    def stored_by(self) -> dict[str, list[Store]]:
        """The stores by their steps, both in order."""
        found: dict[str, list[Store]] = {}
        for step, stores in groupby(self.stores, attrgetter("step")):
            found.setdefault(step, []).extend(stores)
        return found

    def stores_of(self, step: str) -> list[Store]:
        """Return the stores of a step, in order."""
        return self.stored_by.get(step, [])

    @cached_property
    def steps(self) -> set[str]:
        """The ids of the steps that were taken."""
        return set(map(itemgetter(0), self.taken)) | self.stored_by.keys()

    @cached_property
    def inflight(self) -> tuple[Inflight, ...]:
        """What there is to resubmit, in the table's order: no store of a recovery changes it any more from there on."""
        found = any(step.endswith(".position") for step in self.steps)
        return tuple(_inflight(self.given, self.after["region"])) if found else ()

    @property
    def used_place(self) -> tuple[int, ...]:
        """Where the next used element goes: the index in the used ring; on a packed ring slot and wrap counter."""
        given = self.given
        if given.ring == "split":
            return (int.from_bytes(self.after["used"][2:4], sys.byteorder),)
        after: Any = region_type(given.ring, given.revision, given.region_size).from_buffer_copy(self.after["region"])
        return after.used_idx, after.used_wrap_counter

    def numbers_after(self, step: str) -> Mapping[str, int]:
        """Return the numbers after a step, as an event has them. Raises StopIteration when it was not taken."""
        return next(_numbers(self.given, taken[4]) for taken in self.taken if taken[0] == step)


_NAMES: Final = {"split": ("last_avail", "counter"), "packed": ("avail_idx", "avail_wrap", "counter")}
"""What a back-end knows of positions and the counter, by its names in the reference."""

_NO_NUMBERS: Final[Mapping[str, int]] = MappingProxyType({})


def _events(recovery: Recovery) -> Iterator[Event]:
    """Yield the steps: each store is a step of its own, unless a step is noted that made it."""
    stores, done = recovery.stores, 0
    for step, choice, begin, end, noted in recovery.taken:
        yield from (Event(store.step, None, (store,), _NO_NUMBERS) for store in stores[done:begin])
        yield Event(step, choice, tuple(stores[begin:end]), _numbers(recovery.given, noted))
        done = end
    yield from (Event(store.step, None, (store,), _NO_NUMBERS) for store in stores[done:])


def _numbers(given: Given, noted: tuple[bytes, tuple[int, ...]] | None) -> Mapping[str, int]:
    """Return what was noted at a step as numbers with names."""
    if noted is None:
        return _NO_NUMBERS
    content, known = noted
    return numbers_of(given, content) | dict(zip(_NAMES[given.ring], known, strict=True))


def _inflight(given: Given, content: bytes) -> Iterator[Inflight]:
    """Yield the inflight entries of a region."""
    region: Any = region_type(given.ring, given.revision, given.region_size).from_buffer_copy(content)
    for number, mark in enumerate(column(region.desc, "inflight")):
        if mark:
            entry = region.desc[number]
            yield Inflight(number, getattr(entry, "counter", None), getattr(entry, "num", 1))


def _number(stored: bytes) -> int:
    """Return the number that bytes of memory are."""
    return int.from_bytes(stored, sys.byteorder)
