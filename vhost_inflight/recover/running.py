"""Runs the reference's recovery over the bytes of an input, and notes each step and each store.

As cheaply as can be, since there are hundreds of them and few are asked about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from ctypes import addressof, sizeof
from functools import lru_cache
from itertools import compress, repeat
from operator import getitem
from typing import Any, Final

from refimpl.errors import DriverError, FrontEndError, RegionError
from refimpl.layout import column
from refimpl.memory import field_at, store, store_alone
from refimpl.packed.queue import PackedQueue
from refimpl.packed.ring import PackedRing, used_place
from refimpl.split.queue import SplitQueue
from refimpl.split.ring import SplitRing
from vhost_inflight.recover.chains import PiecesOfMemory, packed_chain, split_chain
from vhost_inflight.recover.given import Given
from vhost_inflight.recover.memory import LaidMemory, Layout
from vhost_inflight.recover.record import Change, Recovery, Resubmitted, Store

__all__ = ["recover"]

_FOR_EACH: Final = frozenset(
    {
        "split.reconnect.2",
        "packed.reconnect.unmark.look",
        *(f"packed.reconnect.4{end}" for end in ("", ".desc", ".submit")),
    }
)
"""Steps that are taken for each entry or slot."""


_STORES: Final[dict[tuple[Any, ...], Store]] = {}
"""Stores that were made before, since most are made by many recoveries: asked for by hand, in a third of the time that
functools.lru_cache takes; forgotten when there are too many."""

_STORES_MAX: Final = 1 << 16  # the largest ring has half as many


def _store(layout: Layout, step: str, base: int, kind: Any, name: str | int, old: int, new: int) -> Store:  # noqa: PLR0917
    """Return a store to a field of what lies at ``base`` of the memory."""
    offset, width = field_at(kind, name)
    part, start = layout.part_at(base + offset)
    return Store(step, layout.structures[part], part, base + offset - start, width, Change(old, new))


class _Unchanged(dict[int, Store]):
    """Stores of one step that leave a field of a table's entry as it is, by the entry; made when they are asked for."""

    def __init__(self, *what: Any) -> None:
        """Begin with none: `what` are layout, step, where the table lies, its entries' structure, field and value."""
        super().__init__()
        self._what = what

    def __missing__(self, number: int) -> Store:
        """Make one."""
        layout, step, base, kind, name, value = self._what
        made = self[number] = _store(layout, step, base + number * sizeof(kind), kind, name, value, value)
        return made


_unchanged: Final = lru_cache(maxsize=8)(_Unchanged)
"""The stores that leave something unchanged: made once for a layout, step, field and value."""


def _record(queue: SplitQueue | PackedQueue, memory: LaidMemory, recovery: Recovery) -> None:
    """Let a queue note its steps and stores in a recovery, where it would report them to a hook.

    As cheaply as can be, since there are hundreds of them and few are asked about: what they mean is found out later.
    """
    taken, stores, layout, start = recovery.taken, recovery.stores, memory.layout, memory.start
    note, keep, known, each = taken.append, stores.append, _STORES.get, _FOR_EACH

    def report(step: str, choice: int | None = None) -> None:
        here = len(stores)
        note((step, choice, here, here, None if step in each else (memory.numbers(), _known(queue))))

    def make(target: Any, field: Any, value: int, step: str) -> None:
        read, write = (getattr, store_alone) if isinstance(field, str) else (getitem, store)
        old = read(target, field)
        if old != value:
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
        queue.store_each = _storing_each(memory, stores, make)  # type: ignore[method-assign]
        _record_packed(queue, recovery)


def _storing_each(memory: LaidMemory, stores: list[Store], make: Callable[..., None]) -> Callable[..., None]:
    """Return what makes the same store to each entry, most of which have the value already."""
    layout, start = memory.layout, memory.start

    def make_each(table: Any, numbers: Iterable[int], field: str, value: int, step: str) -> None:
        found: list[int] = []
        same = _unchanged(layout, step, addressof(table) - start, table._type_, field, value)
        try:
            found += numbers  # those up to a rule that is broken, too: no store here changes which one is next
        finally:
            olds, done = column(table, field), 0
            for at in (*[at for at, number in enumerate(found) if olds[number] != value], len(found)):
                stores.extend([same[number] for number in found[done:at]])  # most: the free list's marks are 0 already
                if at < len(found):
                    make(table[found[at]], field, value, step)
                done = at + 1

    return make_each


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
