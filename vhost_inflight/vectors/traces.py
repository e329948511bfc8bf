"""Trace vectors: a whole life op by op; a recovery's stores alone; and the two races of notifications."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from vhost_inflight.vectors.form import Given, Lived, Meanwhile, Op, Outcome, Store, Vector
from vhost_inflight.vectors.images import Where
from vhost_inflight.vectors.lives import Life, Phase
from vhost_inflight.vectors.machines import layout_of
from vhost_inflight.vectors.masks import trace_mask
from vhost_inflight.vectors.notes import LIVED
from vhost_inflight.vectors.scripts import Script
from vhost_inflight.vectors.states import Memory, back_end, lived, matched_choices

__all__ = ["life_vectors", "race_vectors", "recovering"]


def life_vectors(ring: str, revision: str, script: Script) -> Iterator[Vector]:
    """Give the trace vector of a script: its life from a zeroed region on, or from the start after its last `count`."""
    if "gather" in script.words or script.gaps:
        return
    life, sizes = lived(ring, revision, script)
    begin = _begin([phase.word for phase in life.phases])
    if begin is None:
        return
    memory = Memory(life.images.parts(life.machine.initial()))
    for phase in life.phases[:begin]:
        memory.store(phase.stores)
    given = memory.given(ring, revision, sizes, life.images)
    if life.images.style.far:
        given = replace(given, memory=life.images.style.memory(life.images.numbers(life.state), ring))
    ops = _ops(life.phases[begin:])
    if script.far_ids:
        ops = [replace(op, stores=_far_ids(op.stores, script.size)) for op in ops]
    if script.wishes:
        ops = list(_wished(ops, script, life.images.places["avail.used_event"]))
    length = life.images.style.length
    ops = [replace(op, batch=tuple((entry, length(got)) for entry, got in op.batch)) for op in ops]
    yield _answered(f"{ring}-{revision}-life-{script.name}", given, tuple(ops), script.flags, script.notifications)


def _begin(words: list[str]) -> int | None:
    """Give the line at which the trace of a life begins, if it can: no op counts on, but memory says who counted."""
    counted = [number for number, word in enumerate(words) if word == "count"]
    if not counted:
        return 0
    return words.index("start", counted[-1]) if "start" in words[counted[-1] :] else None


def _ops(phases: Iterable[Phase]) -> list[Op]:
    return [op for phase in phases if (op := _op(phase)) is not None]


def _far_ids(stores: tuple[Store, ...], more: int) -> tuple[Store, ...]:
    """Give what the driver stores with a larger buffer id in the last descriptor of a chain, where alone it counts.

    The model's driver has ids below the ring's size, and the same in all descriptors of a chain. The model's back-end
    knows ids below the region's entries: there have to be so many more of them than slots.
    """
    ids = [number for number, s in enumerate(stores) if s.part == "descriptors" and s.offset % 16 == _ID]
    made = list(stores)
    for last in ids[-1:]:
        buffer_id = int.from_bytes(stores[last].data, "little") + more
        made[last] = replace(stores[last], data=buffer_id.to_bytes(2, "little"))
    return tuple(made)


_ID = 12
"""Where a packed descriptor's buffer id is in it."""


def _wished(ops: Iterable[Op], script: Script, used_event: Where) -> Iterator[Op]:
    """Let the driver ask before each batch for a notification of a used element that is as far on as it wishes.

    The model's driver asks for that of the next one alone; one that wants fewer notifications asks for a later one.
    """
    wishes, used = iter(script.wishes), script.first
    for op in ops:
        if op.op == "supply":
            asked = (used + next(wishes)) % 65536
            yield Op("driver", (Store(used_event.part, used_event.start, asked.to_bytes(2, "little")),))
            used += len(op.batch)
        yield op


def _op(phase: Phase) -> Op | None:
    """Give a line of a script as an op; None where it stores nothing and no back-end is asked."""
    if phase.word in ("start", "fetch"):
        return Op(phase.word)
    if phase.word == "supply":
        got = [e for e in phase.events if e.step == "device.finish"]
        return Op("supply", batch=tuple((e.chosen, e.value or 0) for e in got))
    return Op("driver", tuple(phase.stores)) if phase.stores else None


def _answered(name: str, given: Given, ops: tuple[Op, ...], flags: tuple[str, ...], notifications: bool) -> Vector:
    ring, revision = given.ring, given.revision
    parts = {"region": given.region, **given.ring_memory}
    mask = trace_mask(ring, layout_of(ring, revision), parts, notifications=notifications)
    vector = Vector(name, "trace", "receiving, supplying, reconnecting", None, flags, *LIVED, given, (), ops, mask)
    answer = back_end(ring, revision).answer(vector)
    assert isinstance(answer, tuple), name
    return replace(vector, outcomes=(Outcome({}, tuple(_masked(one, mask) for one in answer)),))


def _masked(one: Lived, mask: dict[str, bytes]) -> Lived:
    """Leave out what is not compared, and number the pairs anew."""
    kept = [n for n, s in enumerate(one.stores) if any(mask.get(s.part, b"")[s.offset : s.offset + len(s.data)])]
    place = {number: new for new, number in enumerate(kept)}
    pairs = tuple((place[a], place[b]) for a, b in one.before if a in place and b in place)
    return Lived(one.fetched, tuple(one.stores[n] for n in kept), pairs)


def recovering(state: Vector) -> Vector | None:
    """Give the trace of the recovery from a state, where the order of its stores is needed; else None."""
    name = state.id.replace(f"-{state.revision}-", f"-{state.revision}-stores-", 1)
    trace = _answered(name, state.given, (Op("start"),), state.flags, notifications=False)
    (one,) = trace.outcomes[0].answer  # type: ignore[misc]  # of a trace it is a tuple
    if not one.before:
        return None
    matched = _matched(trace)
    note = "Recovery's own stores: one that comes too early is all that the next process finds if this one dies there."
    return replace(trace, section="reconnecting", step=state.step, note=note, outcomes=(*trace.outcomes, *matched))


def _matched(trace: Vector) -> Iterator[Outcome]:
    """Give the stores of recoveries that match another way to serve, where the text's do not allow them."""
    for gaps in matched_choices(trace.ring, trace.revision):
        answer = back_end(trace.ring, trace.revision, gaps).answer(trace)
        assert isinstance(answer, tuple), trace.id
        answer = tuple(_masked(one, dict(trace.mask)) for one in answer)
        if not all(map(_allows, trace.outcomes[0].answer, answer)):  # type: ignore[arg-type]  # of a trace it is a tuple
            yield Outcome(dict(gaps), answer, said=True)


def _allows(right: Lived, other: Lived) -> bool:
    """Whether other stores are the right ones, in an order that is allowed."""
    place = {store: number for number, store in enumerate(other.stores)}
    order = [place.get(store, -1) for store in right.stores]
    return set(right.stores) == set(other.stores) and all(order[one] < order[two] for one, two in right.before)


# Races


@dataclass(frozen=True)
class Race:
    """What the driver does while a back-end is at an op: a life up to it, the op, a place, and the driver's words."""

    name: str
    words: str
    op: str
    before: str
    driver: str
    note: str


_KICK: Final = (
    "The driver makes a request available just before it is asked to kick, and so does not: a back-end that looked at "
    "the ring before it asked, or does not ask, sleeps for ever."
)
_CALL: Final = (
    "The driver goes to sleep just before the batch becomes visible: a back-end that read whether it wants a "
    "notification before that, or does not notify, lets it sleep for ever."
)

_RACES: Final = {
    "split": (
        Race("race-kick", "start;make 0;fetch;supply 0;use", "fetch", "used.avail_event", "make 1", _KICK),
        Race("race-call", "start;make 0;fetch;supply 0;use;make 1;fetch", "supply 1", "used.idx", "sleep", _CALL),
    ),
    "packed": (
        Race(
            "race-kick",
            "start;make 0;fetch;supply 0;use;fetch;make 1;fetch;supply 1;use",
            "fetch",
            "device_event.flags",
            "make 0",
            _KICK,
        ),
        Race(
            "race-call",
            "start;make 0;fetch;sleep;supply 0;use;make 1;fetch",
            "supply 1",
            "ring.desc[].flags",
            "sleep",
            _CALL,
        ),
    ),
}


def race_vectors(ring: str, revision: str) -> Iterator[Vector]:
    """Give the vectors in which the driver acts between two stores of the back-end."""
    for race in _RACES[ring]:
        script = Script(race.name, race.words, 2)
        life, sizes = lived(ring, revision, script)
        memory = Memory(life.images.parts(life.machine.initial()))
        given = memory.given(ring, revision, sizes, life.images)
        ops = _ops(life.phases)
        driver = _driver(life, race.driver)
        ops.append(replace(_last(life, race.op), meanwhile=(Meanwhile(_place(life, race), driver),)))
        flags = ("notification", "meanwhile")
        vector = _answered(f"{ring}-{revision}-{race.name}", given, tuple(ops), flags, notifications=True)
        yield replace(vector, note=race.note, severity="hangs", section="virtio: notifications")


def _driver(life: Life, words: str) -> tuple[Store, ...]:
    before = life.state
    stores = tuple(life.play(words).phases.pop().stores)
    life.state = before
    return stores


def _last(life: Life, words: str) -> Op:
    op = _op(life.play(words).phases[-1])
    assert op is not None, words
    return op


def _place(life: Life, race: Race) -> tuple[str, int]:
    """Give where the back-end's store is that the driver comes before: the last one there."""
    where = life.images.places[race.before]
    stores = [s for s in life.phases[-1].stores if s.part == where.part and len(s.data) == where.width]
    found = [s for s in stores if not where.step or (s.offset - where.start) % where.step == 0]
    found = [s for s in found if where.step or s.offset == where.start]
    return (found[-1].part, found[-1].offset)
