"""The reference's recovery, run over the bytes of an input, with a record of each step and each store."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from refimpl.errors import DriverError, FrontEndError, InflightError, RegionError
from refimpl.layout import column
from refimpl.memory import place
from refimpl.packed.queue import PackedQueue
from refimpl.packed.ring import PackedRing
from refimpl.split.queue import SplitQueue
from refimpl.split.ring import SplitRing
from vhost_inflight.recover.chains import Descriptor, PiecesOfMemory, packed_chain, split_chain
from vhost_inflight.recover.given import Given
from vhost_inflight.recover.memory import LaidMemory, Place, place_in

__all__ = ["Change", "Event", "Inflight", "Recovery", "Resubmitted", "Store", "recover"]


class Change(NamedTuple):
    """The value of a field before and after a store, which may be the same."""

    old: int
    new: int


class Store(NamedTuple):
    """One store: the step, the place, its width in bytes, the numbers there before and after.

    ``entry`` is the entry of the region's table that it lies in, or the slot of a packed ring; None elsewhere.
    ``fields`` are the fields stored to, by their names without their part: one, unless a store is wider.
    """

    step: str
    place: Place
    width: int
    change: Change
    entry: int | None
    fields: Mapping[str, Change]


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
    ``events`` are the steps, ``stores`` all their stores, in order; of a recovery that was not recorded there are none.
    """

    given: Given
    before: Mapping[str, bytes]
    after: Mapping[str, bytes]
    events: list[Event] = field(default_factory=list)
    stores: list[Store] = field(default_factory=list)
    inflight: tuple[Inflight, ...] = ()
    resubmitted: list[Resubmitted] = field(default_factory=list)
    signalled: bool = False
    position: tuple[int, ...] = ()
    counter: int | None = None
    available: bool | None = None
    refused: InflightError | None = None

    @property
    def steps(self) -> set[str]:
        """The ids of the steps that were taken."""
        return {event.step for event in self.events}


_FOR_EACH: Final = frozenset(
    {
        "split.reconnect.2",
        "packed.reconnect.unmark.look",
        *(f"packed.reconnect.4{end}" for end in ("", ".desc", ".submit")),
    }
)
"""Steps that are taken for each entry or slot."""


_NO_NUMBERS: Final[Mapping[str, int]] = MappingProxyType({})


class _Recorder:
    """Notes each store before it is made, and each step when the reference reports it."""

    def __init__(self, memory: LaidMemory, recovery: Recovery) -> None:
        """Begin with nothing noted; ``queue`` is set before the queue starts."""
        self.memory = memory
        self.queue: SplitQueue | PackedQueue | None = None
        self.recovery = recovery
        self._pending: list[Store] = []

    def hook(self, step: str, choice: int | None) -> None:
        """Note a step, with the stores that were noted since the one before it."""
        if self._pending:
            self.recovery.events.append(Event(step, choice, tuple(self._pending), _NO_NUMBERS))
            self._pending.clear()
        elif step in _FOR_EACH:
            self.recovery.events.append(Event(step, choice, (), _NO_NUMBERS))
        else:
            self.recovery.events.append(Event(step, choice, (), {**self.memory.header(), **self._known()}))
            if step.endswith(".position"):
                self.recovery.inflight = tuple(self._inflight())

    def call(self) -> None:
        """Note that the driver is notified."""
        self.recovery.signalled = True

    def note(self, step: str, target: Any, name: str | int, value: int) -> None:
        """Note one store that is about to be made."""
        address, width = place(target, name)
        part, offset = self.memory.where(address)
        old = getattr(target, name) if isinstance(name, str) else target[name]
        store = _store(step, self.memory.structures[part], part, offset, width, old, value)
        self._pending.append(store)
        self.recovery.stores.append(store)

    def _known(self) -> dict[str, int]:
        """Return what the back-end knows of positions and the counter."""
        queue = self.queue
        if isinstance(queue, SplitQueue):
            return {"last_avail": queue.last_avail, "counter": queue.counter.value}
        assert queue is not None, "a step before the queue was made"
        return {"avail_idx": queue.avail_idx, "avail_wrap": queue.avail_wrap, "counter": queue.counter.value}

    def _inflight(self) -> Iterator[Inflight]:
        """Yield the entries that are inflight now."""
        entries = self.memory.region.desc
        for number, mark in enumerate(column(entries, "inflight")):
            if mark:
                entry = entries[number]
                yield Inflight(number, getattr(entry, "counter", None), getattr(entry, "num", 1))


@lru_cache(maxsize=1 << 14)
def _store(step: str, structure: Any, part: str, offset: int, width: int, old: int, new: int) -> Store:  # noqa: PLR0917
    """Return a store to ``structure``, which lies in a part; most stores of a recovery were those of another one."""
    stored = place_in(structure, part, offset, width)
    before, after = (number.to_bytes(width, sys.byteorder) for number in (old, new))
    fields = {}
    for one in stored.fields:
        begin = one.offset - offset
        end = begin + one.width
        fields[one.name] = Change(_number(before[begin:end]), _number(after[begin:end]))
    return Store(step, stored, width, Change(old, new), _entry(structure, stored), MappingProxyType(fields))


def _entry(structure: Any, stored: Place) -> int | None:
    """Return the number of the entry, or slot, that a place is in."""
    if stored.memory == "descriptors":
        return stored.offset // 16
    if stored.memory == "region" and stored.offset >= structure.desc.offset:
        number: int = (stored.offset - structure.desc.offset) // ctypes.sizeof(dict(structure._fields_)["desc"]._type_)
        return number
    return None


def _number(stored: bytes) -> int:
    """Return the number that bytes of memory are."""
    return int.from_bytes(stored, sys.byteorder)


class _RecordedSplit(SplitQueue):
    """A split queue of the reference that notes its stores."""

    recorder: _Recorder

    def store(self, target: Any, field: str | int, value: int, step: str) -> None:
        """Note the store, and make it."""
        self.recorder.note(step, target, field, value)
        super().store(target, field, value, step)


class _RecordedPacked(PackedQueue):
    """A packed queue of the reference that notes its stores."""

    recorder: _Recorder

    def store(self, target: Any, field: str | int, value: int, step: str) -> None:
        """Note the store, and make it."""
        self.recorder.note(step, target, field, value)
        super().store(target, field, value, step)

    def store_together(self, step: str, target: Any, values: dict[str, int]) -> None:
        """Note the stores, and make them."""
        for name, value in values.items():
            self.recorder.note(step, target, name, value)
        super().store_together(step, target, values)


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
    recovery.before = memory.now()
    try:
        if memory.split is not None:
            _run_split(memory, memory.split, pieces, recovery, recorded=recorded)
        elif memory.packed is not None:
            _run_packed(memory, memory.packed, pieces, recovery, recorded=recorded)
    except (RegionError, DriverError) as error:
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

    queue: SplitQueue
    choices = recovery.given.choices
    if recorded:
        recorder = _Recorder(memory, recovery)
        queue = recorder.queue = _RecordedSplit(
            ring, memory.region, choices, recorder.hook, submit=submit, call=recorder.call
        )
        queue.recorder = recorder
    else:
        queue = SplitQueue(ring, memory.region, choices, submit=submit)
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

    queue: PackedQueue
    if recorded:
        recorder = _Recorder(memory, recovery)
        queue = recorder.queue = _RecordedPacked(
            ring, memory.region, choices, recorder.hook, submit=submit, call=recorder.call
        )
        queue.recorder = recorder
    else:
        queue = PackedQueue(ring, memory.region, choices, submit=submit)
    _start(queue, recovery, lambda: (queue.avail_idx, queue.avail_wrap))


def _start(queue: SplitQueue | PackedQueue, recovery: Recovery, position: Callable[[], tuple[int, ...]]) -> None:
    """Recover, and look for a request; tell where fetching goes on, and with which counter."""
    queue.start()
    recovery.position = position()
    recovery.counter = queue.counter.value if recovery.given.choices.counted else None
    if not queue.resting:
        queue.look()
        recovery.available = queue.available
