"""Mixed lives: a region that one program left is found by another. Every such run within bounds, breadth first.

What only a process knew is gone when it dies, and the variables are those of the ring: a state that a crash left under
one table is one that the other table begins from. So the first life is the one table's, and all after it the other's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from model import protocol
from model.interpret import Machine, StateTuple, Successor
from model.properties import NAMES
from model.terms import ModelError
from proofs.search.bounds import Bounds, Event
from proofs.search.breadth_first import RARE, table_for
from proofs.search.judges import Judge
from proofs.search.runs import runs

__all__ = ["SAFE", "Mixed", "Pair", "first_broken"]

SAFE: frozenset[str] = frozenset(NAMES) - {"drains", "restartable"}
"""What is judged without notifications. `restartable` is of one recovery and itself again, whoever left the region."""

_Key = tuple[StateTuple, int]


@dataclass(frozen=True)
class Mixed:
    """What came of a pair: the property that was broken first, and by which run; None and nothing: none within bounds.

    `complete`: every run within the bounds was seen, or one that breaks something.
    """

    property: str | None
    events: tuple[Event, ...]
    states: int
    complete: bool


class Pair:
    """Whose region it is, and who finds it; what the first one breaks by itself is not judged, and not gone on from."""

    def __init__(
        self, before: protocol.Subject, after: protocol.Subject, bounds: Bounds, properties: frozenset[str]
    ) -> None:
        """Compile both. Raises ModelError where they are not of one ring."""
        if before.ring != after.ring:
            raise ModelError(f"a region of the {before.ring} ring is none for the {after.ring} ring")
        self.bounds = bounds
        sizes = protocol.sizes(after, bounds.size, bounds.first)
        judgements = protocol.judgements(after.ring)
        machines = [Machine(table_for(subject, properties), sizes) for subject in (before, after)]
        if [*machines[0].vars.values()] != [*machines[1].vars.values()]:
            raise ModelError(f"{before.name} and {after.name} have other variables")
        self.judges = [
            Judge(machine, judgements, properties - {"drains"} if first else properties)
            for machine, first in zip(machines, (True, False), strict=True)
        ]
        self._beyond = [machine.predicate(runs(after.ring).beyond(machine.table)) for machine in machines]
        self._rare = [{machine.index[name] for name in RARE if name in machine.index} for machine in machines]
        self._requests = machines[0].place["driver.requests"]
        self.start: _Key = (machines[0].initial(), 0)

    def successors(self, key: _Key) -> list[Successor]:
        """Give what is possible in a state, within bounds or not."""
        return self.judges[min(key[1], 1)].machine.successors(key[0])

    def moves(self, key: _Key, successors: Iterable[Successor]) -> Iterator[tuple[Event, _Key, list[str]]]:
        """Give those within the bounds: each with what comes of it, and what it breaks in a life of the second.

        What the first one breaks is left out.
        """
        state, crashes = key
        second = min(crashes, 1)
        judge = self.judges[second]
        for successor in successors:
            event = _event(judge.machine, successor)
            died = crashes + (event[0] == "crash")
            if successor[0] in self._rare[second] or died > self.bounds.crashes:
                continue
            if event[0] == "driver.make.1" and state[self._requests] > self.bounds.requests:
                continue
            broken = judge.event(state, successor)
            if broken and not second:
                continue
            yield event, (successor[2], died), broken

    def rests(self, key: _Key, successors: Iterable[Successor]) -> list[str]:
        """Name what a state itself breaks, in a life of the second."""
        return self.judges[1].state(key[0], successors) if key[1] else []

    def goes_on(self, key: _Key) -> bool:
        """Whether a search goes on from there."""
        return not self._beyond[min(key[1], 1)](key[0])

    def play(self, events: Iterable[Event]) -> list[str]:
        """Play a run; give what its last event, or the state after it, breaks. Raises ModelError where it cannot be."""
        key = self.start
        broken: list[str] = []
        for event in events:
            moves = self.moves(key, self.successors(key))
            found = [(after, names) for taken, after, names in moves if taken == tuple(event)]
            if not found:
                raise ModelError(f"{' '.join(map(str, event))} is not possible here")
            key, broken = found[0]
        return broken + self.rests(key, self.successors(key))


def first_broken(pair: Pair) -> Mixed:
    """Search for the shortest run in which the second one breaks something."""
    parents: dict[_Key, tuple[_Key, Event] | None] = {pair.start: None}
    frontier = [pair.start]
    while frontier:
        following: list[_Key] = []
        for key in frontier:
            successors = pair.successors(key)
            if names := pair.rests(key, successors):
                return Mixed(names[0], _run(parents, key), len(parents), complete=True)
            for event, after, broken in pair.moves(key, successors):
                if broken:
                    return Mixed(broken[0], (*_run(parents, key), event), len(parents), complete=True)
                if after not in parents and pair.goes_on(after):
                    parents[after] = (key, event)
                    following.append(after)
        if len(parents) > pair.bounds.states:
            return Mixed(None, (), len(parents), complete=False)
        frontier = following
    return Mixed(None, (), len(parents), complete=True)


def _event(machine: Machine, successor: Successor) -> Event:
    step_id = machine.steps[successor[0]].step.id
    return (step_id,) if successor[1] < 0 else (step_id, successor[1])


def _run(parents: dict[_Key, tuple[_Key, Event] | None], key: _Key) -> tuple[Event, ...]:
    events: list[Event] = []
    while (link := parents[key]) is not None:
        key, event = link
        events.append(event)
    return tuple(events[::-1])
