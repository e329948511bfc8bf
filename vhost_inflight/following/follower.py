"""Follows what a back-end stored through a table: some way through its steps has to make each store, and no other.

A set of states is kept: all those in which the model can be after the stores so far. What the driver does is known, so
it is done where it was done; the device finishes what it likes. A step that stores nothing, or what is there already,
is silent, as the traced program's is. What a number stands for differs in some fields: see `LOOSE`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from model.interpret import Machine, Sizes, StateTuple
from model.record import c_field
from model.steps import Recorded, Table
from model.terms import Term
from vhost_inflight.following.trace import Life, Made, Store, Trace

__all__ = ["LOOSE", "Astray", "Follower", "follow"]

LOOSE: Final = frozenset({
    "region.desc[].addr", "region.desc[].len", "region.desc[].flags", "ring.desc[].len", "used.ring[].len",
})  # fmt: skip
"""Fields whose bits the model has fewer of, or other numbers in: the place of a store counts, and whether it changed
anything is not known."""

_BITS: Final = {"next": 0, "avail": 7, "used": 15}
_PARTS: Final = {"descriptors": "ring.desc", "avail_event": "used.avail_event"}
_BACK_END: Final = frozenset({"recover", "fetch", "supply", "device"})

Place = tuple[str, int]
"""A field as C has it, in the model's words, and its index; -1 where it has none."""


@dataclass(frozen=True)
class Astray:
    """Where a program stored what the table does not: the life and the store, from 1, and what the table would store.

    ``store`` is empty where the program ended, and the table has more to store.
    """

    life: int
    number: int
    store: Store
    expected: tuple[str, ...]

    def __str__(self) -> str:
        """Say it."""
        said = ", ".join(f"{field} := {value}" for field, value in self.store) or "nothing, or nothing that has a name"
        expected = "; ".join(self.expected) or "nothing"
        return f"life {self.life}, store {self.number}: the program stores {said}; the profile: {expected}"


@dataclass(frozen=True)
class _Way:
    """A state, the rounds that were made so far, and what is left of an instruction that stores several fields."""

    state: StateTuple
    rounds: int
    left: frozenset[tuple[Place, int]] = frozenset()


@dataclass(frozen=True)
class _Target:
    """A field that a step stores to, its index by state and choice, and the variables that are parts of it."""

    field: str
    index: Callable[[StateTuple, int], int]
    parts: tuple[str, ...]


class Follower:
    """A table with the sizes of a trace."""

    def __init__(self, table: Table, trace: Trace, without: frozenset[str] = frozenset()) -> None:
        """Compile it; a region has as many entries as its ring. What is stored to fields `without` is let pass."""
        self.machine = Machine(table, Sizes(trace.size, trace.size, trace.first))
        self._split = table.ring == "split"
        wish = () if trace.event_index else ("used.avail_event",)
        self._without = without
        self._loose = LOOSE.union(wish, without)
        self._steps = self.machine.only(lambda r: r.step.procedure in _BACK_END)
        self._crash = self.machine.only(lambda r: r.step.id == "crash")
        self._use = self.machine.only(lambda r: r.step.id == "driver.use")
        self._targets = [self._target(r) for r in self.machine.steps]
        self._owns, self._device = self.machine.place["driver.owns"], self.machine.place["device.state"]
        self._kick = self.machine.place["kick"]

    def _target(self, recorded: Recorded) -> tuple[_Target, ...]:
        """Give the fields that a step stores to; none for what is done to all of memory, before anybody looks."""
        variables = self.machine.table.vars
        stores = [a for a in recorded.stores(variables) if variables[a.name].kind != "eventfd"]
        if any(isinstance(a.index, str) for a in stores):
            return ()
        fields: dict[tuple[str, Term | None], list[str]] = {}
        for assign in stores:
            index = assign.index
            assert not isinstance(index, str)
            fields.setdefault((c_field(assign.name), index), []).append(assign.name)
        return tuple(
            _Target(field, (lambda _, __: -1) if index is None else self.machine.term(index), tuple(parts))
            for (field, index), parts in fields.items()
        )

    def start(self) -> set[_Way]:
        """Give the state of a fresh ring."""
        return {_Way(self.machine.initial(), 0)}

    # The driver

    def used(self, state: StateTuple) -> StateTuple:
        """Let the driver use all that is visible."""
        while after := self._use(state):
            state = after[0][2]
        return state

    def made(self, state: StateTuple, requests: Iterable[Made]) -> StateTuple:
        """Let the driver make requests available, and kick."""
        take = self.machine.take
        for head, length in requests:
            state = take(state, "driver.make.1", head)
            if self._split:
                state = take(take(state, "driver.make.2"), "driver.make.3")
            else:
                for _ in range(length - 1):
                    state = take(take(state, "driver.make.more"), "driver.make.desc")
                state = take(take(state, "driver.make.last"), "driver.make.head")
            state = take(state, "driver.kick.look")
            (kicked,) = (
                s for step, _, s in self.machine.enabled(state) if step in {"driver.kick.1", "driver.kick.none"}
            )
            state = kicked
        return (*state[: self._kick], 1, *state[self._kick + 1 :])

    # A life

    def live(self, ways: set[_Way], life: Life, number: int) -> set[_Way] | Astray:
        """Follow a life; give where the table can be at its end, or where the program went astray."""
        begun = set()
        for way in ways:
            state = self.used(way.state) if life.looked else way.state
            begun.add(_Way(self.made(state, life.dead) if life.dead else state, 0))
        ways = begun
        for at, store in enumerate(life.stores, 1):
            wanted = frozenset(_place(field, value) for field, value in store if not self._passes(field))
            if store and not wanted:
                continue
            if not wanted:
                return Astray(number, at, store, ())
            following, seen = self._through({_Way(w.state, w.rounds, wanted) for w in ways}, life)
            if not following:
                return Astray(number, at, store, tuple(sorted(seen)))
            ways = following
        if life.end != "died":
            rest, seen = self._through(ways, life)
            ways = {
                way for way in rest if (life.end == "hung" or self._is_done(way, life)) and not self._owes(way, life)
            }
            if not ways:
                return Astray(number, len(life.stores) + 1, (), tuple(sorted(seen)))
        return ways

    def _passes(self, field: str) -> bool:
        """Whether a store is no matter of ours: the driver's, seen together with one of the back-end, or let pass."""
        return field.startswith(("driver_event", "used_event", "available")) or field in self._without

    def died(self, ways: set[_Way], life: Life) -> set[_Way]:
        """Give where the table can be after a death at the end of a life."""
        rest, _ = self._through(ways, life)
        return {_Way(self._crash(way.state)[0][2], 0) for way in rest}

    def _is_done(self, way: _Way, life: Life) -> bool:
        """Whether all was made, and came back."""
        return way.rounds == len(life.rounds) and not any(self.used(way.state)[self._owns])

    def _owes(self, way: _Way, life: Life) -> bool:
        """Whether a process at rest would still store something, whatever way it took."""
        _, seen = self._through({way}, life)
        return bool(seen)

    def _through(self, ways: set[_Way], life: Life) -> tuple[set[_Way], set[str]]:
        """Take silent steps, and those that store what is left; give where nothing is left, and what else was stored.

        Where nothing was wanted from the first, that is all that silent steps lead to.
        """
        todo, been, found = list(ways), set(ways), set()
        others: set[str] = set()
        while todo:
            way = todo.pop()
            if not way.left:
                found.add(way)
                if any(w.left for w in ways):
                    continue
            for after in self._next(way, life, others):
                if after not in been:
                    been.add(after)
                    todo.append(after)
        return found, others

    def _next(self, way: _Way, life: Life, others: set[str]) -> Iterable[_Way]:
        state = way.state
        for number, chosen, after in self._steps(state):
            if self.machine.steps[number].step.id == "device.finish" and 2 in state[self._device]:
                continue  # one after the other: what is finished is given back before the next is
            lefts = {way.left}
            for target in self._targets[number]:
                place = (target.field, target.index(state, chosen))
                lefts = {x for left in lefts for x in self._stored(target, place, state, after, left)}
                if self._changes(target, state, after) and not any(item[0] == place for item in way.left):
                    value = self._value(after, target.field, place[1], target.parts)
                    others.add(f"{_said(place)} := {value} ({self.machine.steps[number].step.id})")
            for left in lefts:
                yield _Way(after, way.rounds, left)
        if way.rounds < len(life.rounds):
            used = self.used(state)
            if not any(used[self._owns]):
                yield _Way(self.made(used, life.rounds[way.rounds]), way.rounds + 1, way.left)

    def _changes(self, target: _Target, state: StateTuple, after: StateTuple) -> bool:
        """Whether a store has to be seen: it changes what is there, in a field where that is known."""
        places = [self.machine.place[name] for name in target.parts]
        return target.field not in self._loose and any(state[n] != after[n] for n in places)

    def _stored(
        self, target: _Target, place: Place, state: StateTuple, after: StateTuple, left: frozenset[tuple[Place, int]]
    ) -> Iterable[frozenset[tuple[Place, int]]]:
        """Give what may be left of an instruction after a store: all where it is silent, the others where it is it."""
        if not self._changes(target, state, after):
            yield left
        value = self._value(after, target.field, place[1], target.parts)
        matched = {item for item in left if item[0] == place and self._same(item[1], value, target.field)}
        if matched:
            yield left - matched

    def _value(self, state: StateTuple, field: str, index: int, parts: tuple[str, ...]) -> int:
        def of(name: str) -> int:
            value: Any = state[self.machine.place[name]]
            return int(value if index < 0 else value[index])

        if not field.endswith(".flags") or len(parts) == 1:
            return of(parts[0])
        return sum(of(f"{field}.{bit}") << at for bit, at in _BITS.items())

    def _same(self, seen: int, value: int, field: str) -> bool:
        if field.endswith("[].flags"):
            mask = sum(1 << at for at in _BITS.values())
            return seen & mask == value
        return field in self._loose or seen == value


def follow(table: Table, trace: Trace, without: frozenset[str] = frozenset()) -> Astray | None:
    """Follow a trace through a table; None where it can be followed to its end. Fields `without` are let pass."""
    follower = Follower(table, trace, without)
    ways = follower.start()
    for number, life in enumerate(trace.lives, 1):
        told = follower.live(ways, life, number)
        if isinstance(told, Astray):
            return told
        ways = follower.died(told, life) if number < len(trace.lives) else told
    return None


def _place(field: str, value: int) -> tuple[Place, int]:
    """Give the place of a field as `conformance` names it, and its value."""
    head, bracket, rest = field.partition("[")
    for name, ours in _PARTS.items():
        head = ours if head == name else head
    if not bracket:
        return (head, -1), value
    index, _, rest = rest.partition("]")
    return (f"{head}[]{rest}", int(index)), value


def _said(place: Place) -> str:
    field, index = place
    return field if index < 0 else field.replace("[]", f"[{index}]", 1)
