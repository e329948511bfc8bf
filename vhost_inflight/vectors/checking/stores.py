"""Whether the stores of a trace are those of the text, and in an order that is safe.

What counts is what an op *changes*, byte by byte and under the mask: a back-end may store a field twice on the way (as
the text does where it counts descriptors), store two fields at once, and store what nobody reads as it likes. What has
to come before what is said by stores of the text: the last change of the one comes before the other has its new value.

What the text does not change in an op may be changed where nobody reads it once the op is over; so may the wish to be
kicked, to what makes the driver kick at once. Of counters it is their order that counts (`counted`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from vhost_inflight.vectors.checking import places
from vhost_inflight.vectors.checking.counted import Counted, CountedError
from vhost_inflight.vectors.checking.read import read_mask
from vhost_inflight.vectors.form import Given, Lived, Op, Place, Store, Vector

__all__ = ["difference"]


@dataclass(frozen=True, slots=True)
class _Change:
    """A byte that was changed, to what, by the how manieth store of an op."""

    to: int
    store: int


_Changes = Mapping[Place, Sequence[_Change]]


@dataclass(slots=True)
class _Memory:
    """The parts of a vector's memory, as stores leave them; `mask` says which bits count."""

    parts: dict[str, bytearray]
    mask: Mapping[str, bytes]
    pending: list[tuple[Place, Sequence[Store]]] = field(default_factory=list)

    @staticmethod
    def of(vector: Vector) -> _Memory:
        """Give the memory in which a vector's life begins."""
        given = vector.given
        parts = {"region": bytearray(given.region), "call": bytearray(1)}
        return _Memory(parts | {name: bytearray(c) for name, c in given.ring_memory.items()}, vector.mask)

    def holds(self, store: Store) -> bool:
        """Whether there is memory where a store goes."""
        return store.offset + len(store.data) <= len(self.parts.get(store.part, b""))

    def begin(self, op: Op) -> None:
        """Begin an op: no notification was made in it, and the driver will do what it does during it."""
        self.parts["call"][:] = b"\0"
        self.pending = [(meanwhile.before, meanwhile.stores) for meanwhile in op.meanwhile]

    def put(self, store: Store) -> None:
        """Make a store that is not looked at."""
        self.parts[store.part][store.offset : store.offset + len(store.data)] = store.data

    def play(self, stores: Sequence[Store]) -> _Changes:
        """Make the stores of an op; give what they changed, by place."""
        changes: dict[Place, list[_Change]] = defaultdict(list)
        for number, store in enumerate(stores):
            self._meanwhile(store)
            for offset, new in enumerate(store.data, store.offset):
                counts = self.counts(store.part, offset)
                if (self.parts[store.part][offset] ^ new) & counts:
                    changes[store.part, offset].append(_Change(new & counts, number))
            self.put(store)
        return changes

    def counts(self, part: str, offset: int) -> int:
        """Give the bits of a byte that count."""
        mask = self.mask.get(part, b"")
        return mask[offset] if offset < len(mask) else 0

    def at(self, place: Place) -> int:
        """Give what a byte is, as far as it counts."""
        return self.parts[place[0]][place[1]] & self.counts(*place)

    def _meanwhile(self, store: Store) -> None:
        """Let the driver do what it does right before this store."""
        for pending in list(self.pending):
            (part, offset), stores = pending
            if part == store.part and store.offset <= offset < store.offset + len(store.data):
                self.pending.remove(pending)
                for one in stores:
                    self.put(one)


def difference(vector: Vector, expected: Sequence[Lived], lived: Sequence[Lived]) -> str | None:
    """Say the first thing in which an answer to a trace is not as it has to be; None: it is right."""
    right, there = _Memory.of(vector), _Memory.of(vector)
    asked = [op for op in vector.ops if op.op != "driver"]
    if len(lived) != len(asked):
        return f"the answer has {len(lived)} ops, the trace {len(asked)} of the back-end"
    turns = zip(expected, lived, strict=True)
    counted, fetched = Counted(vector.given), _first(vector.given)
    for number, op in enumerate(vector.ops):
        if op.op == "driver":
            for store in op.stores:
                right.put(store)
                there.put(store)
            continue
        right.begin(op)
        there.begin(op)
        must, did = next(turns)
        fetched += must.fetched is not None
        try:
            did = counted.as_the_text(must, did, there.parts["region"])
            wrong = next(_in_op(vector.given, (right, must), (there, did), fetched % 65536), None)
        except CountedError as error:
            wrong = str(error)
        if wrong:
            return f"at op {number}, {op.op}: {wrong}"
    return None


def _first(given: Given) -> int:
    """Give where fetching goes on in a split ring of which nothing is in flight."""
    return int.from_bytes(given.ring_memory["used"][2:4], "little") if given.ring == "split" else 0


def _in_op(given: Given, right: tuple[_Memory, Lived], there: tuple[_Memory, Lived], fetched: int) -> Iterator[str]:
    """Yield what is wrong in one op, after which so many requests were fetched from a split ring, modulo 65536."""
    must, did = right[1], there[1]
    if did.fetched != must.fetched:
        yield f"it fetched {_fetched(did.fetched)}, and has to fetch {_fetched(must.fetched)}"
    for store in did.stores:
        if not there[0].holds(store):
            yield f"a store of {len(store.data)} bytes to {store.part}, byte {store.offset}: outside of it"
            return
    wanted, made = right[0].play(must.stores), there[0].play(did.stores)
    free = _Free(given, right[0], there[0], fetched, looks_again=must.fetched is not None)
    for place in dict.fromkeys([*made, *wanted]):
        if free.may_be_anything(place, wanted=place in wanted):
            continue
        yield from _changed(given, place, (right[0].at(place), place in wanted), (there[0].at(place), place in made))
    yield from _out_of_order(given, must, wanted, made)


class _Free:
    """Which bytes a back-end may change though the text does not, when an op is over."""

    def __init__(self, given: Given, right: _Memory, there: _Memory, fetched: int, *, looks_again: bool) -> None:
        """Find out who will read what of the region, and whether a back-end that looks again needs no kick."""
        self._read = read_mask(given, right.parts["region"])
        self._wish = 4 + 8 * given.queue_size if given.ring == "split" else None
        used = there.parts.get("used", b"")
        self._asks = looks_again or used[-2:] == fetched.to_bytes(2, "little")

    def may_be_anything(self, place: Place, *, wanted: bool) -> bool:
        """Whether it does not matter what a byte is now, which the text changes or not."""
        part, offset = place
        if part == "region":
            return not wanted and not self._read[offset]
        return part == "used" and self._wish is not None and offset >= self._wish and self._asks


def _fetched(request: int | None) -> str:
    return "nothing" if request is None else str(request)


def _changed(given: Given, place: Place, right: tuple[int, bool], there: tuple[int, bool]) -> Iterator[str]:
    """Say that a byte is not what it has to be after an op; each comes with whether it was changed."""
    (must, wanted), (did, made) = right, there
    what = places.name(given, *place)
    if must == did:
        return
    if place[0] == "call":
        yield f"{what} {'has to be made, and is not' if wanted else 'is made, and nobody asked for it'}"
    elif not made:
        yield f"{what} is not stored: it stays {did:02x}, and has to become {must:02x}"
    else:
        yield f"{what} becomes {did:02x}, and has to {'become' if wanted else 'stay'} {must:02x}"


def _out_of_order(given: Given, must: Lived, wanted: _Changes, made: _Changes) -> Iterator[str]:
    """Say which stores moved before others that they must not move before."""
    last, first = dict[int, int](), dict[int, int]()  # by store of the text: when it was made, last and first
    for place, changes in wanted.items():
        end = changes[-1]
        times = [change.store for change in made.get(place, ())]
        reached = [change.store for change in made.get(place, ()) if change.to == end.to]
        if reached:
            last[end.store] = max(last.get(end.store, -1), *times)
            first[end.store] = min(first.get(end.store, reached[0]), reached[0])
    for one, other in must.before:
        if one in last and other in first and last[one] > first[other]:
            names = [places.name(given, s.part, s.offset) for s in (must.stores[one], must.stores[other])]
            yield f"{names[1]} is stored before {names[0]}, and must not move before it"
