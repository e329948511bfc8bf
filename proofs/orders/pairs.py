"""Which pairs of accesses there are: those that follow one another, and those that a point keeps and none between.

Read off the runs: every state within bounds is visited in program order, with what the agent did before. A system call
(on an eventfd) stands between what comes before and after it on every memory, so no pair reaches across one.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from model import protocol
from model.interpret import Machine, StateTuple
from model.memory.accesses import Made, made
from model.memory.kinds import LOAD_LOAD, STORE_LOAD, STORE_STORE, Access
from model.memory.machine import RESETS
from model.steps import Table
from proofs.orders.points import Part, points
from proofs.search.bounds import Bounds

__all__ = ["Row", "rows"]


@dataclass(frozen=True)
class Row:
    """A pair of accesses of one agent: their kind, whether one follows the other, whether a point keeps them."""

    earlier: str
    later: str
    kind: str
    neighbours: bool
    kept: bool


@dataclass(frozen=True)
class _Past:
    """What an agent did: its last store, its last one that others look at, its last load; since the last point."""

    last: tuple[Access, ...] = ()
    stores: frozenset[Access] = frozenset()
    loads: frozenset[Access] = frozenset()


@dataclass
class _Pairs:
    part: Part
    table: Table
    known: dict[str, Made]
    near: set[tuple[Access, Access]] = field(default_factory=set)
    kept: set[tuple[Access, Access]] = field(default_factory=set)

    def after(self, past: _Past, step: str) -> _Past:
        """Note the pairs that a step makes with what came before; give what came before the next one."""
        what = self.known[step]
        if what.system:
            return _Past()
        for access in what.all:
            past = self._one(past, access)
        return past

    def _one(self, past: _Past, access: Access) -> _Past:
        is_store, name = access.kind == "store", access.name
        self.near |= {(a, access) for a in past.last if a.kind == "store" or not is_store}
        if name in self.part.after:
            self.kept |= {(a, access) for a in past.stores}
        self.kept |= {(a, access) for a in (past.stores if is_store else past.loads) if a.name in self.part.before}
        stores, loads = past.stores, past.loads
        if is_store:
            stores = frozenset({access}) if name in self.part.after else stores | {access}
        else:
            loads = frozenset({access}) if name in self.part.before else loads
        return _Past(self._last(past.last, access), stores, loads)

    def _last(self, last: tuple[Access, ...], access: Access) -> tuple[Access, ...]:
        """Keep the last of each kind: loads, stores that others look at, other stores."""
        return (*(a for a in last if self._sort(a) != self._sort(access)), access)

    def _sort(self, access: Access) -> str:
        if access.kind == "load":
            return "load"
        return "seen" if not any(f.startswith("region.") for f in access.fields) else "region"


def rows(part: Part, levels: tuple[tuple[Bounds, bool], ...]) -> tuple[Row, ...]:
    """Give the pairs of a part that come about within bounds, each with or without the steps of notification."""
    near: dict[tuple[Access, Access], None] = {}
    kept: dict[tuple[Access, Access], None] = {}
    for bounds, notifications in levels:
        table = protocol.table(part.subject, quiet=not notifications)
        found = _Pairs(part, table, made(table, part.agent))
        _visit(found, bounds)
        near |= dict.fromkeys(found.near)
        kept |= dict.fromkeys(found.kept)
    order = {name: n for n, name in enumerate(protocol.table(part.subject).steps)}
    everything = [pair for pair in {**near, **kept} if pair[0] != pair[1] or pair in near]
    everything.sort(key=lambda pair: (order[pair[1].step], pair[1].name, order[pair[0].step], pair[0].name))
    return tuple(
        Row(a.name, b.name, _kind(a, b), (a, b) in near, points(part).keeps(_kind(a, b), a.name, b.name))
        for a, b in everything
        if a.kind != "load" or a.fields != b.fields
    )


def _kind(a: Access, b: Access) -> str:
    if a.kind == "load":
        return LOAD_LOAD
    return STORE_STORE if b.kind == "store" else STORE_LOAD


def _visit(found: _Pairs, bounds: Bounds) -> None:
    """Visit every state within bounds, with what the agent did before."""
    sizes = protocol.sizes(found.part.subject, bounds.size, bounds.first)
    machine = Machine(found.table, sizes)
    requests = machine.place["driver.requests"]
    start: tuple[StateTuple, int, _Past] = (machine.initial(), 0, _Past())
    seen, todo = {start}, [start]
    while todo:
        state, crashes, past = todo.pop()
        for number, _, after in machine.successors(state):
            step = machine.steps[number].step.id
            died = crashes + (step == "crash")
            if after[requests] > bounds.requests + 1 or died > bounds.crashes or step in RESETS:
                continue
            then = found.after(past, step) if step in found.known else past
            then = _Past() if step == "crash" else then
            if (key := (after, died, then)) not in seen:
                seen.add(key)
                todo.append(key)
