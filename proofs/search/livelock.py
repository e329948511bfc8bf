"""Runs that go on for ever and never give a request back: rounds of what is owed, under fairness.

Fair: whoever can act again and again does act again and again (the driver as it makes a request, the driver as it reads
what is used, each procedure of the back-end, the device with each of its requests). A fair run without an end goes
round, from some state on, in a strongly connected component of what is owed. Where somebody could act there and never
does, it can only go round in what is left of the component without the states in which they could.

States are compared in what the guards of steps depend on (`proofs.search.cone`): a round in which something grows that
nobody reads is one.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from model.interpret import Machine, Sizes, StateTuple, Successor
from model.steps import Table
from proofs.search.bounds import Event
from proofs.search.cone import cone
from proofs.search.judges import UNFAIR
from proofs.search.runs import runs

__all__ = ["Edge", "Owed", "Round", "is_round", "round_among"]

Edge = tuple[StateTuple, Successor]
"""A state, and a step that leaves it."""

_Party = tuple[str, int]
"""Who acts: a procedure; the device with one of its requests."""


class Owed:
    """What somebody owes in a state; nothing once the driver has everything back.

    ``machine`` has those variables alone that this depends on, and that searching needs.
    """

    def __init__(self, table: Table, sizes: Sizes) -> None:
        """Compile the steps that are owed."""
        told = runs(table.ring)
        self.machine = Machine(
            table, sizes, kept=cone(table, (told.all_seen, told.beyond(table), lambda s: s.driver.requests))
        )
        self._procedures = [recorded.step.procedure for recorded in self.machine.steps]
        self._fair = self.machine.only(lambda r: r.step.id not in UNFAIR)
        self._all_seen = self.machine.predicate(told.all_seen)

    def view(self, machine: Machine) -> Callable[[StateTuple], StateTuple]:
        """Give what takes a state of a machine, with more variables perhaps, for one of this machine."""
        if machine is self.machine:
            return lambda state: state
        places = [machine.place[name] for name in self.machine.vars]
        return lambda state: tuple(state[place] for place in places)

    def steps(self, state: StateTuple) -> list[Successor]:
        """Give the steps that are owed."""
        return [] if self._all_seen(state) else self._fair(state)

    def party(self, step: Successor) -> _Party:
        """Say who takes a step."""
        procedure = self._procedures[step[0]]
        return procedure, step[1] if procedure == "device" else -1

    def able(self, state: StateTuple) -> set[_Party]:
        """Say who can act."""
        return {self.party(step) for step in self.steps(state)}


@dataclass(frozen=True)
class Round:
    """A run that goes round: where it begins to, and the steps of one round, by place in `Machine.steps` and choice."""

    begins: StateTuple
    steps: tuple[tuple[int, int], ...]


def round_among(owed: Owed, states: Sequence[StateTuple]) -> Round | None:
    """Find a fair run that goes round among these states: the one that begins first in their order."""
    fair = [part for component in _components(owed, states) for part in _fair_parts(owed, component)]
    if not fair:
        return None
    place = {state: number for number, state in enumerate(states)}
    begins, part = min(((min(p, key=place.__getitem__), p) for p in fair), key=lambda found: place[found[0]])
    edges = _shortest_round(owed, begins, frozenset(part))
    return Round(begins, tuple((number, chosen) for _, (number, chosen, _) in edges))


def is_round(machine: Machine, states: Sequence[StateTuple], events: Sequence[Event]) -> bool:
    """Whether these events, taken again and again, are a fair run of what is owed that never gives a request back.

    `states` are those of a machine before each event, and after the last one.
    """
    owed = Owed(machine.table, machine.sizes)
    seen = [owed.view(machine)(state) for state in states]
    if not events or seen[0] != seen[-1]:
        return False
    taken = [(owed.machine.index[event[0]], event[1] if len(event) > 1 else -1) for event in events]
    edges = [(state, (*step, after)) for state, step, after in zip(seen[:-1], taken, seen[1:], strict=True)]
    return all(step in owed.steps(state) for state, step in edges) and not _starving(owed, edges)


def _starving(owed: Owed, edges: Iterable[Edge]) -> set[_Party]:
    """Say who could act at some point of a round, and never does."""
    edges = list(edges)
    return {p for state, _ in edges for p in owed.able(state)} - {owed.party(step) for _, step in edges}


# Components


def _components(owed: Owed, states: Sequence[StateTuple]) -> Iterator[list[StateTuple]]:
    """Give the strongly connected components of what is owed among some states, those in which something goes round."""
    place = {state: number for number, state in enumerate(states)}
    begin, targets = array("q", [0]), array("q")  # of state n: targets[begin[n] : begin[n + 1]]
    for state in states:
        targets.extend(place[after] for _, _, after in owed.steps(state) if after in place)
        begin.append(len(targets))
    for component in _tarjan(begin, targets):
        if len(component) > 1 or component[0] in targets[begin[component[0]] : begin[component[0] + 1]]:
            yield [states[number] for number in component]


def _tarjan(begin: Sequence[int], targets: array[int]) -> Iterator[list[int]]:
    """Give the strongly connected components of a graph (Tarjan's algorithm, with a path of its own)."""
    size = len(begin) - 1
    entered, low = array("q", [0]) * size, array("q", [0]) * size  # 0: not yet
    count, waiting = 0, list[int]()
    for root in range(size):
        new, path = -1 if entered[root] else root, list[tuple[int, Iterator[int]]]()
        while path or new >= 0:
            if new >= 0:
                count += 1
                entered[new] = low[new] = count
                waiting.append(new)
                path.append((new, iter(targets[begin[new] : begin[new + 1]])))
            node, following = path[-1]
            new = -1
            for after in following:
                if not entered[after]:
                    new = after
                    break
                low[node] = min(low[node], low[after])
            if new < 0:
                path.pop()
                if path:
                    low[path[-1][0]] = min(low[path[-1][0]], low[node])
                if low[node] == entered[node]:
                    yield _closed(node, low, waiting)


def _closed(node: int, low: array[int], waiting: list[int]) -> list[int]:
    """Take the component that was entered at a node off the stack; nobody's `low` follows from it any more."""
    component: list[int] = []
    while not component or component[-1] != node:
        component.append(waiting.pop())
        low[component[-1]] = len(low) + 1
    return component


def _fair_parts(owed: Owed, component: list[StateTuple]) -> Iterator[list[StateTuple]]:
    """Give the parts of a component in which a fair run can go round everywhere."""
    inside = frozenset(component)
    edges = [(state, step) for state in component for step in owed.steps(state) if step[2] in inside]
    starving = _starving(owed, edges)
    if not starving:
        yield component
        return
    rest = [state for state in component if not owed.able(state) & starving]
    for part in _components(owed, rest):
        yield from _fair_parts(owed, part)


# One round


def _shortest_round(owed: Owed, begins: StateTuple, part: frozenset[StateTuple]) -> list[Edge]:
    """Give a fair round from a state through a part: a short one, made longer by who would starve on it."""
    needed: set[_Party] = set()
    while True:
        edges = _tour(owed, begins, part, needed)
        starving = _starving(owed, edges)
        if not starving:
            return edges
        needed |= starving


def _tour(owed: Owed, begins: StateTuple, part: frozenset[StateTuple], needed: set[_Party]) -> list[Edge]:
    """Go from a state to the nearest step of each of these, and back."""
    edges: list[Edge] = []
    here, missing = begins, set(needed)
    while missing or not edges or here != begins:
        edges += _way(owed, here, part, missing, begins)
        here, missing = edges[-1][1][2], missing - {owed.party(step) for _, step in edges}
    return edges


def _way(owed: Owed, here: StateTuple, part: frozenset[StateTuple], missing: set[_Party], to: StateTuple) -> list[Edge]:
    """Give a shortest way within a part that ends with a step of somebody who is missing or, if nobody is, at `to`."""
    ways: dict[StateTuple, list[Edge]] = {here: []}
    for state in (todo := [here]):
        for step in owed.steps(state):
            if step[2] not in part:
                continue
            way = [*ways[state], (state, step)]
            if owed.party(step) in missing if missing else step[2] == to:
                return way
            if step[2] not in ways:
                ways[step[2]] = way
                todo.append(step[2])
    raise LookupError("a strongly connected part has a way from everywhere to everywhere")
