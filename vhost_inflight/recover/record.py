"""The reference's recovery, run over the bytes of an input, with a record of each step and each store."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from ctypes import addressof
from dataclasses import dataclass, field
from functools import cached_property
from itertools import compress, groupby, repeat
from operator import attrgetter, getitem, itemgetter
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from refimpl.errors import DriverError, FrontEndError, InflightError, RegionError
from refimpl.layout import column, region_type
from refimpl.memory import field_at, store, store_alone
from refimpl.packed.queue import PackedQueue
from refimpl.packed.ring import PackedRing, used_place
from refimpl.split.queue import SplitQueue
from refimpl.split.ring import SplitRing
from vhost_inflight.recover.chains import Descriptor, PiecesOfMemory, packed_chain, split_chain
from vhost_inflight.recover.given import Given
from vhost_inflight.recover.memory import LaidMemory, Layout, Place, entry_at, numbers_of, place_in

__all__ = ["Change", "Event", "Inflight", "Recovery", "Resubmitted", "Store", "recover"]


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


_FOR_EACH: Final = frozenset(
    {
        "split.reconnect.2",
        "packed.reconnect.unmark.look",
        *(f"packed.reconnect.4{end}" for end in ("", ".desc", ".submit")),
    }
)
"""Steps that are taken for each entry or slot."""


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


_STORES: Final[dict[tuple[Any, ...], Store]] = {}
"""Stores that were made before, since most are made by many recoveries: asked for by hand, in a third of the time that
functools.lru_cache takes; forgotten when there are too many."""

_STORES_MAX: Final = 1 << 16  # the largest ring has half as many


def _store(layout: Layout, step: str, base: int, kind: Any, name: str | int, old: int, new: int) -> Store:  # noqa: PLR0917
    """Return a store to a field of what lies at ``base`` of the memory."""
    offset, width = field_at(kind, name)
    part, start = layout.part_at(base + offset)
    return Store(step, layout.structures[part], part, base + offset - start, width, Change(old, new))


def _number(stored: bytes) -> int:
    """Return the number that bytes of memory are."""
    return int.from_bytes(stored, sys.byteorder)


def _record(queue: SplitQueue | PackedQueue, memory: LaidMemory, recovery: Recovery) -> None:
    """Let a queue note its steps and stores in a recovery, where it would report them to a hook.

    As cheaply as can be, since there are hundreds of them and few are asked about: what they mean is found out later.
    """
    taken, stores, layout, start = recovery.taken, recovery.stores, memory.layout, memory.start
    note, keep, known, each = taken.append, stores.append, _STORES.get, _FOR_EACH

    def report(step: str, choice: int | None = None) -> None:
        here = len(stores)
        note((step, choice, here, here, None if step in each else (memory.numbers(), _known(queue))))

    def make(target: Any, field: str | int, value: int, step: str) -> None:
        make_each((target,), field, value, step)

    def make_each(targets: Iterable[Any], field: Any, value: int, step: str) -> None:
        read, write = (getattr, store_alone) if isinstance(field, str) else (getitem, store)
        for target in targets:
            old = read(target, field)
            if old != value:  # few are: the free list's marks are 0 already
                write(target, field, value)
            base = addressof(target) - start
            key = layout, step, base, field, old, value
            made = known(key)
            if made is None:
                if len(_STORES) >= _STORES_MAX:
                    _STORES.clear()
                made = _STORES[key] = _store(layout, step, base, target.__class__, field, old, value)
            keep(made)

    queue.report, queue.store = report, make  # type: ignore[method-assign]
    if isinstance(queue, PackedQueue):
        queue.store_each = make_each  # type: ignore[method-assign]
        _record_packed(queue, recovery)


def _record_packed(queue: PackedQueue, recovery: Recovery) -> None:
    """Let a packed queue note what it does many times, or with several stores, in a recovery."""
    taken, stores, make = recovery.taken, recovery.stores, queue.store

    def looks(step: str, found: Iterable[bool]) -> Iterator[int]:
        seen, done = list(found), 0  # nobody acts between two looks here, and what is stored is looked at no more
        for number in compress(range(len(seen)), seen):
            looked(step, number + 1 - done)
            done = number + 1
            yield number
        looked(step, len(seen) - done)

    def looked(step: str, times: int) -> None:
        here = len(stores)
        taken.extend(repeat((step, None, here, here, None), times))

    def make_together(step: str, target: Any, values: dict[str, int]) -> None:
        begin = len(stores)
        for name, value in values.items():
            make(target, name, value, step)
        taken.append((step, None, begin, len(stores), None))

    queue.store_together, queue.looks = make_together, looks  # type: ignore[method-assign]


def _known(queue: SplitQueue | PackedQueue) -> tuple[int, ...]:
    """Return what the back-end knows of positions and the counter."""
    if isinstance(queue, SplitQueue):
        return queue.last_avail, queue.counter.value
    return queue.avail_idx, queue.avail_wrap, queue.counter.value


def recover(given: Given, *, recorded: bool = True) -> Recovery:
    """Run the reference's recovery over the bytes of an input, and look whether it has a request to fetch then.

    Without ``recorded`` what it ends with is all that is told. Bytes that break a rule are no exception: the recovery
    says in ``refused`` which rule, and how far it came.
    """
    recovery = Recovery(given, {}, {})
    try:
        memory = LaidMemory(given)
        pieces = PiecesOfMemory(given.pieces)
    except FrontEndError as error:
        recovery.refused = error
        return recovery
    recovery.before = {"region": given.region, **given.parts}
    try:
        if memory.split is not None:
            _run_split(memory, memory.split, pieces, recovery, recorded=recorded)
        elif memory.packed is not None:
            _run_packed(memory, memory.packed, pieces, recovery, recorded=recorded)
    except (RegionError, DriverError, FrontEndError) as error:
        recovery.refused = error
    recovery.after = memory.now()
    return recovery


def _run_split(
    memory: LaidMemory, ring: SplitRing, pieces: PiecesOfMemory, recovery: Recovery, *, recorded: bool
) -> None:
    """Run the recovery of a split queue."""
    entries = memory.region.desc

    def submit(head: int) -> None:
        counter = entries[head].counter if queue.merged else None
        recovery.resubmitted.append(Resubmitted(head, None, counter, split_chain(ring, pieces, head)))

    def call() -> None:
        recovery.signalled = True

    queue = SplitQueue(ring, memory.region, recovery.given.choices, submit=submit, call=call)
    if recorded:
        _record(queue, memory, recovery)
    _start(queue, recovery, lambda: (queue.last_avail,))


def _run_packed(
    memory: LaidMemory, ring: PackedRing, pieces: PiecesOfMemory, recovery: Recovery, *, recorded: bool
) -> None:
    """Run the recovery of a packed queue."""
    choices, entries = recovery.given.choices, memory.region.desc

    def submit(entry: int) -> None:
        counter = entries[entry].counter if choices.counted else None
        descriptors = packed_chain(queue.given, pieces, entry, ring.size)
        recovery.resubmitted.append(Resubmitted(entry, queue.id_of(entry), counter, descriptors))

    def call() -> None:
        recovery.signalled = True

    # only a fresh region is told by it where the ring is
    said = recovery.given.base
    base = used_place(said, ring.size) if said is not None and not memory.region.version else (0, 1)
    queue = PackedQueue(ring, memory.region, choices, submit=submit, call=call, base=base)
    if recorded:
        _record(queue, memory, recovery)
    _start(queue, recovery, lambda: (queue.avail_idx, queue.avail_wrap))


def _start(queue: SplitQueue | PackedQueue, recovery: Recovery, position: Callable[[], tuple[int, ...]]) -> None:
    """Recover, and look for a request; tell where fetching goes on, and with which counter."""
    try:
        _ask(queue, recovery, position)
    finally:
        vars(queue).clear()  # it and what it calls have each other: nothing would be freed before the collector comes


def _ask(queue: SplitQueue | PackedQueue, recovery: Recovery, position: Callable[[], tuple[int, ...]]) -> None:
    queue.start()
    recovery.position = position()
    recovery.counter = queue.counter.value if recovery.given.choices.counted else None
    if not queue.resting:
        queue.look()
        recovery.available = queue.available
