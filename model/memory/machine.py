"""The interpreter under a kind of memory: one agent's stores wait until others see them, its loads may be made early.

A state is that of `model.interpret` (its shared variables as *others* see them) with two more elements: the stores that
the agent has made and nobody else sees, in the order of the text, and one load that it has made before its turn. The
agent itself sees all its stores. Two more events have a choice each, and are the memory's, not the agent's:

- ``memory.store N``: the Nth of the stores that wait is seen by others;
- ``memory.load N``: the Nth of `loads` is made now; its step uses what was found.

Joining neighbouring stores needs no event: others can see nothing that they do not see when the two follow each other
at once. A store that changes nothing is none.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from typing import Any

from model.interpret import Machine, Sizes, StateTuple, Successor
from model.memory.accesses import Agent, Made, made, shows
from model.memory.kinds import LOAD_LOAD, STORE_LOAD, STORE_STORE, Access, Memory, Orders
from model.record import SHARED, c_field
from model.steps import Recorded, Step, Table
from model.terms import Term, any_of, constant

__all__ = ["LOAD", "RESETS", "STORE", "MemoryMachine", "Waiting"]

STORE, LOAD = "memory.store", "memory.load"
"""The events of the memory."""

RESETS = ("driver.reset", "connection.reset")
"""Steps that come when nothing waits: the front-end sends messages, or waits for the one that answers them."""

_CHOOSERS = {"recover": "back-end", "fetch": "back-end", "supply": "back-end", "device": "device", "crash": "crash"}


@dataclass(frozen=True)
class Waiting:
    """A store that others do not see yet.

    `after` are the places, among those that wait, of the stores that have to be seen before it; `own` is what the agent
    held then, where the store is what makes a request visible.
    """

    number: int
    chosen: int
    writes: tuple[tuple[int, int, Any], ...]
    after: frozenset[int]
    own: tuple[Any, ...]


def _pseudo(name: str, sentence: str) -> Recorded:
    """Give an event of the memory the form of a step that no table takes."""
    step = Step(name, "memory", (), None, "", sentence, choice="place")
    return Recorded(step, any_of(), (), ())


class MemoryMachine(Machine):
    """A table with sizes on a kind of memory, for the accesses of one agent; the others are in program order."""

    def __init__(
        self, table: Table, sizes: Sizes, memory: Memory, orders: Orders, agent: Agent, *, window: int = 2,
        check: bool = False,
    ) -> None:  # fmt: skip
        """Record and compile. At most `window` stores wait at a time."""
        super().__init__(table, sizes, check=check)
        self.memory, self.agent, self.window = memory, agent, window
        self._rest = len(table.vars)
        self._shared = [n for n, v in enumerate(table.vars.values()) if v.kind in SHARED]
        self._field = {n: c_field(v.name) for n, v in enumerate(table.vars.values())}
        self._own = [n for n, v in enumerate(table.vars.values()) if v.name.startswith(agent.own)]
        known = made(table, agent)
        self._made = [known.get(r.step.id) for r in self.steps]
        self.accesses = [access for m in known.values() for access in m.all]
        self.loads = [a for a in self.accesses if a.kind == "load"]
        each = list(zip(self.steps, self._made, strict=True))
        self._writes = [self._compiled_writes(r) if m and m.store else [] for r, m in each]
        self._shows = [m is not None and shows(r) for r, m in each]
        self._history = [self._compiled_history(r) if m and shows(r) else None for r, m in each]
        self._read = [[n for n, f in self._field.items() if f in a.fields] for a in self.loads]
        self._theirs = self.only(lambda r: r.step.procedure not in agent.procedures)
        self._mine = self.only(lambda r: r.step.procedure in agent.procedures)
        self._one = {a.step: self._only_one(a.step) for a in self.loads}
        self._crash, self._resets = self.index["crash"], {self.index[n] for n in RESETS if n in self.index}
        self._store, self._load = len(self.steps), len(self.steps) + 1
        self.steps = [*self.steps, _pseudo(STORE, "A store is seen by others."), _pseudo(LOAD, "A load is made early.")]
        self.index |= {STORE: self._store, LOAD: self._load}
        self._relate(orders)

    # What may pass what.

    def _relate(self, orders: Orders) -> None:
        """Find out which stores may be passed, and where which loads may be made early."""
        self.orders = orders
        self._passed = {a.name: self._may_be_passed(a) for a in self.accesses if a.kind == "store"}
        self._labels = [self._places(a) for a in self.loads]
        self.successors = self._under_memory

    def keeping(self, orders: Orders) -> MemoryMachine:
        """Give the same machine for a program that asks for other orders; nothing is compiled anew."""
        other = copy(self)
        other._relate(orders)  # noqa: SLF001  # it is one of ours
        return other

    def _keeps(self, kind: str, earlier: str, later: str) -> bool:
        return self.memory.keeps(self.orders, kind, earlier, later)

    def _may_be_passed(self, store: Access) -> bool:
        kinds = {"store": STORE_STORE, "load": STORE_LOAD}
        return any(not self._keeps(kinds[a.kind], store.name, a.name) for a in self.accesses if a is not store)

    def _sources(self, load: Access) -> list[Access]:
        """Give the loads that this one may come before."""
        return [
            a for a in self.accesses
            if a.kind == "load" and a.fields != load.fields and not self._keeps(LOAD_LOAD, a.name, load.name)
        ]  # fmt: skip

    def _places(self, load: Access) -> list[tuple[int, frozenset[str]]]:
        """Give where a load may be made early: at the labels of the loads that it may come before."""
        steps = [self.table.steps[a.step] for a in self._sources(load)]
        return [(self.place[f"{step.procedure}.at"], frozenset(step.at)) for step in steps]

    # Compiled parts.

    def _only_one(self, step: str) -> Callable[[StateTuple], list[Successor]]:
        return self.only(lambda r: r.step.id == step)

    def _compiled_writes(self, recorded: Recorded) -> list[tuple[int, Callable[..., Any], Callable[..., Any]]]:
        found = []
        for assign in recorded.stores(self.table.vars):
            index = assign.index if isinstance(assign.index, Term) else constant(-1)
            found.append((self.place[assign.name], self.term(index), self.term(assign.value)))
        return found

    def _compiled_history(self, recorded: Recorded) -> Callable[[StateTuple], StateTuple]:
        """Compile a step's history alone."""
        alone = Recorded(recorded.step, Term("and", ()), (), recorded.history)
        return self._build_of(alone)

    def _build_of(self, recorded: Recorded) -> Callable[[StateTuple], StateTuple]:
        number = len(self.steps)
        self.steps = [*self.steps, recorded]
        try:
            compiled = self._build([number])
        finally:
            self.steps = self.steps[:-1]
        return lambda state: compiled(state)[0][2]

    # States.

    def successor(self, state: StateTuple, step_id: str, chosen: int = -1) -> Successor | None:
        """Take one step; what it stores may wait, and what it loads may have been loaded early."""
        wanted = self.index.get(step_id), chosen
        return next((one for one in self.successors(state) if one[:2] == wanted), None)

    def initial(self) -> StateTuple:
        """Give the state before everything: nothing waits, nothing was loaded early."""
        return (*super().initial(), (), None)

    def waiting(self, state: StateTuple) -> tuple[Waiting, ...]:
        """Give the stores that others do not see yet."""
        return state[self._rest]  # type: ignore[no-any-return]

    def seen_by_agent(self, state: StateTuple) -> StateTuple:
        """Give the state as the agent sees it: with all its stores made."""
        waiting = self.waiting(state)
        if not waiting:
            return state
        new = list(state)
        for entry in waiting:
            _write(new, entry.writes)
        return tuple(new)

    def made_visible(self, state: StateTuple, position: int) -> tuple[Waiting, StateTuple]:
        """Give a store that waits, and the state that it is judged by: what others see, what the agent held."""
        entry = self.waiting(state)[position]
        new = list(state)
        for place, value in zip(self._own, entry.own, strict=False):
            new[place] = value
        return entry, tuple(new)

    def is_deferred(self, state: StateTuple, number: int, after: StateTuple) -> bool:
        """Whether a step's store makes a request visible, and waits."""
        return number < self._store and self._shows[number] and len(self.waiting(after)) > len(self.waiting(state))

    def is_agents(self, number: int) -> bool:
        """Whether a step is the agent's."""
        return number < self._store and self._made[number] is not None

    def chooser(self, number: int) -> str:
        """Say whose choice it is that an event happens now."""
        procedure = self.steps[number].step.procedure
        return self.memory.whose if procedure == "memory" else _CHOOSERS.get(procedure, "driver")

    def found_by_next(self, state: StateTuple) -> StateTuple:
        """Give the state as the next process finds it after a crash here."""
        return state if self.memory.loses else self.seen_by_agent(state)

    # Events.

    def _under_memory(self, state: StateTuple) -> list[Successor]:
        found: list[Successor] = []
        view = self.seen_by_agent(state)
        if state[self._rest + 1] is not None:
            self._take_early(found, state, view)
        else:
            self._load_early(found, state, view)
        # a step whose load was made early uses that: to load again is as if it had not been made, another run
        early = {(number, chosen) for number, chosen, _ in found}
        for successor in self._mine(view):
            if successor[:2] not in early:
                self._take(found, state, successor, view, None)
        found += self._by_others(state)
        for position, entry in enumerate(self.waiting(state)):
            if not entry.after:
                found.append((self._store, position, self._visible(state, position)))
        return found

    def _by_others(self, state: StateTuple) -> list[Successor]:
        """Give what others do. A crash loses what waits, or comes when all of it is seen."""
        found: list[Successor] = []
        for number, chosen, after in self._theirs(state):
            if number == self._crash:
                if self.memory.loses or not self.waiting(state):
                    found.append((number, chosen, (*after[: self._rest], (), None)))
            elif number not in self._resets or not self.waiting(state):
                found.append((number, chosen, after))
        return found

    def _load_early(self, found: list[Successor], state: StateTuple, view: StateTuple) -> None:
        waiting = self.waiting(state)
        for position, places in enumerate(self._read):
            if not any(state[place] in labels for place, labels in self._labels[position]):
                continue
            if self._loads_may_pass((self.loads[position],), waiting, None):
                value = tuple(view[place] for place in places)
                found.append((self._load, position, (*state[: self._rest + 1], (position, value))))

    def _take_early(self, found: list[Successor], state: StateTuple, view: StateTuple) -> None:
        position, value = state[self._rest + 1]
        load = self.loads[position]
        known = self._made[self.index[load.step]]
        assert known is not None
        earlier = known.loads[: known.loads.index(load)]
        if any(self._keeps(LOAD_LOAD, a.name, load.name) for a in earlier):
            return
        seen = list(view)
        for place, old in zip(self._read[position], value, strict=True):
            seen[place] = old
        for successor in self._one[load.step](tuple(seen)):
            self._take(found, state, successor, tuple(seen), load)

    def _take(
        self, found: list[Successor], state: StateTuple, successor: Successor, view: StateTuple, used: Access | None
    ) -> None:
        """Take a step of the agent, if its loads and its store need not wait; `used` is a load that was made early."""
        number, chosen, after = successor
        known, waiting, early = self._made[number], state[self._rest], state[self._rest + 1]
        assert known is not None
        if waiting and (known.system or not self._loads_may_pass(known.loads, waiting, used)):
            return
        writes = self._changes(number, chosen, view)
        if early is not None:
            early = None if known.system or not self._stays_early(known, early[0]) else self._forwarded(early, writes)
        new = list(after)
        if waiting or used or (writes and known.store and self._passed[known.store.name]):
            for place in self._shared:
                new[place] = state[place]
        if writes and known.store and (waiting or self._passed[known.store.name]):
            if len(waiting) >= self.window:
                return
            waiting = (*waiting, self._entry(number, chosen, writes, waiting, view))
            for assign in self.steps[number].history if self._shows[number] else ():
                new[self.place[assign.name]] = state[self.place[assign.name]]
        elif used:
            _write(new, writes)
        new[self._rest], new[self._rest + 1] = waiting, early
        found.append((number, chosen, tuple(new)))

    def _loads_may_pass(self, loads: tuple[Access, ...], waiting: tuple[Waiting, ...], used: Access | None) -> bool:
        names = [self._store_of(entry) for entry in waiting]
        return not any(self._keeps(STORE_LOAD, name, a.name) for a in loads if a is not used for name in names)

    def _stays_early(self, known: Made, position: int) -> bool:
        """Whether a step leaves a load where it was made: neither its loads nor its store have to come before it."""
        load = self.loads[position]
        if known.store and self._keeps(STORE_LOAD, known.store.name, load.name):
            return False
        return not any(a is load or self._keeps(LOAD_LOAD, a.name, load.name) for a in known.loads)

    def _forwarded(self, early: tuple[int, Any], writes: tuple[tuple[int, int, Any], ...]) -> tuple[int, Any]:
        """Give a load that was made early as the agent finds it after a store of its own: it never misses that."""
        position, value = early
        places = self._read[position]
        found = dict(zip(places, value, strict=True))
        for place, index, new in writes:
            if place in found:
                old = found[place]
                found[place] = new if index < 0 else (*old[:index], new, *old[index + 1 :])
        return position, tuple(found[place] for place in places)

    def _store_of(self, entry: Waiting) -> str:
        known = self._made[entry.number]
        assert known is not None
        assert known.store is not None
        return known.store.name

    def _changes(self, number: int, chosen: int, view: StateTuple) -> tuple[tuple[int, int, Any], ...]:
        found = []
        for place, index, value in self._writes[number]:
            at, new = index(view, chosen), value(view, chosen)
            if (view[place] if at < 0 else view[place][at]) != new:
                found.append((place, at, new))
        return tuple(found)

    def _entry(
        self, number: int, chosen: int, writes: tuple[tuple[int, int, Any], ...], waiting: tuple[Waiting, ...],
        view: StateTuple,
    ) -> Waiting:  # fmt: skip
        known = self._made[number]
        assert known is not None
        assert known.store is not None
        where = {(self._field[place], at) for place, at, _ in writes}
        after = frozenset(
            n for n, entry in enumerate(waiting)
            if where & {(self._field[place], at) for place, at, _ in entry.writes}
            or self._keeps(STORE_STORE, self._store_of(entry), known.store.name)
        )  # fmt: skip
        own = tuple(view[place] for place in self._own) if self._shows[number] else ()
        return Waiting(number, chosen, writes, after, own)

    def _visible(self, state: StateTuple, position: int) -> StateTuple:
        """Let others see a store that waits."""
        entry, judged = self.made_visible(state, position)
        new = list(state)
        history = self._history[entry.number]
        if history is not None:
            then = history(judged)
            for assign in self.steps[entry.number].history:
                new[self.place[assign.name]] = then[self.place[assign.name]]
        _write(new, entry.writes)
        rest = [e for n, e in enumerate(self.waiting(state)) if n != position]
        new[self._rest] = tuple(
            Waiting(e.number, e.chosen, e.writes, frozenset(n - (n > position) for n in e.after - {position}), e.own)
            for e in rest
        )
        return tuple(new)


def _write(state: list[Any], writes: tuple[tuple[int, int, Any], ...]) -> None:
    for place, index, value in writes:
        old = state[place]
        state[place] = value if index < 0 else (*old[:index], value, *old[index + 1 :])
