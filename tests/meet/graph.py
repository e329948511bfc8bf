"""The whole graph of the interpreter within bounds, and walks from its root that take every edge at least once."""

from collections.abc import Iterator
from dataclasses import dataclass

from model.interpret import Machine, StateTuple

Key = tuple[StateTuple, int, int]
"""A state, with the crashes and the rare events that led to it."""

RARE = ("driver.reset", "connection.reset", "connection.kick", "queue.other")


@dataclass(frozen=True)
class Walk:
    """Events from the root, the states they go through, and how many of the events only lead to where it begins."""

    events: list[tuple[str, int]]
    states: list[StateTuple]
    prefix: int


class Graph:
    """Every state within bounds: requests that the driver makes, crashes, rare events."""

    def __init__(self, machine: Machine, *, requests: int, crashes: int, rare: int = 0) -> None:
        """Visit them all, breadth first."""
        self.machine = machine
        self._limits = requests, crashes, rare
        self.root: Key = (machine.initial(), 0, 0)
        self._parents: dict[Key, tuple[Key, tuple[str, int]] | None] = {self.root: None}
        self._left: dict[Key, list[tuple[tuple[str, int], Key]]] = {}
        self.edges = 0
        frontier = [self.root]
        while frontier:
            following: list[Key] = []
            for key in frontier:
                self._left[key] = edges = list(self._from(key))
                self.edges += len(edges)
                for event, after in edges:
                    if after not in self._parents:
                        self._parents[after] = (key, event)
                        following.append(after)
            frontier = following
        self.states = len(self._parents)

    def _from(self, key: Key) -> Iterator[tuple[tuple[str, int], Key]]:
        state, crashes, rarely = key
        requests, most_crashes, most_rare = self._limits
        for step, choice, after in self.machine.enabled(state):
            if step == "driver.make.1" and self.machine.get(state, "driver.requests") > requests:
                continue
            now = crashes + (step == "crash"), rarely + (step in RARE)
            if now[0] <= most_crashes and now[1] <= most_rare:
                yield (step, choice), (after, *now)

    def walks(self) -> Iterator[Walk]:
        """Give walks: the shortest way to a state with an edge not yet taken, and on along such edges."""
        for key in list(self._parents):
            while self._left[key]:
                yield self._walk(key)

    def _walk(self, key: Key) -> Walk:
        events: list[tuple[str, int]] = []
        keys = [key]
        link = self._parents[key]
        while link is not None:
            keys.append(link[0])
            events.append(link[1])
            link = self._parents[link[0]]
        events.reverse()
        keys.reverse()
        prefix = len(events)
        while self._left[keys[-1]]:
            event, after = self._left[keys[-1]].pop()
            events.append(event)
            keys.append(after)
        return Walk(events, [k[0] for k in keys], prefix)
