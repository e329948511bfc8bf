"""Exhaustive search: every schedule within bounds, breadth first, so that the first violation is a shortest one."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from model import protocol
from model.interpret import Machine, Sizes, StateTuple
from model.split.recover import RUNNING
from model.steps import Table
from model.terms import Term, all_of, parameter, wrap
from proofs.judges import Judge

__all__ = ["Bounds", "Event", "Found", "explore", "table_for"]

Event = tuple[str] | tuple[str, int]
"""A step's id and, where it has one, its choice."""


@dataclass(frozen=True)
class Bounds:
    """What a search is limited to: queue size, requests the driver makes, crashes, rare events (resets, second
    kick fds, other queues' fetches), first index; and the number of states at which it gives up."""

    size: int
    requests: int
    crashes: int
    rare: int = 0
    first: int = 0
    states: int = 20_000_000

    def text(self) -> str:
        """Say them in words."""
        rare = f", {self.rare} rare events" if self.rare else ""
        return f"queue size {self.size}, {self.requests} requests, {self.crashes} crashes{rare}, first index {self.first}"


@dataclass(frozen=True)
class Found:
    """What a search found: the violated property and a shortest schedule, or neither; and how much it saw.

    `complete`: every state within the bounds was seen (always so when nothing was found and it did not give up).
    """

    property: str | None
    schedule: tuple[Event, ...]
    states: int
    transitions: int
    depth: int
    seconds: float
    complete: bool


def table_for(subject: protocol.Subject, properties: frozenset[str]) -> Table:
    """Build the table that a search for these properties needs: notifications only for `drains`."""
    return protocol.table(subject, quiet="drains" not in properties)


RARE = ("driver.reset", "connection.kick", "queue.other")

_Key = tuple[StateTuple, int, int]
_Parents = dict[_Key, tuple[_Key, int, int] | None]


def _schedule(machine: Machine, parents: _Parents, key: _Key) -> list[Event]:
    events: list[Event] = []
    link = parents[key]
    while link is not None:
        key, number, chosen = link
        events.append(_event(machine, number, chosen))
        link = parents[key]
    return events[::-1]


def _event(machine: Machine, number: int, chosen: int) -> Event:
    step_id = machine.steps[number].step.id
    return (step_id,) if chosen < 0 else (step_id, chosen)


def beyond_the_ring(s: Any) -> Term:
    """Whether a back-end that has gone wrong is about to fetch more requests than the ring holds.

    A search goes no further there: every back-end must take that for a broken driver.
    """
    ahead = wrap(s.avail.idx - s.fetch.last_avail, 16)
    return all_of(s.recover.at == RUNNING, ahead > parameter("size"))


def explore(  # noqa: C901, PLR0912
    table: Table,
    sizes: Sizes,
    bounds: Bounds,
    properties: frozenset[str],
    *,
    ring: str = "split",
    visit: Callable[[StateTuple], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Found:
    """Search; `visit` is called with each new state, `progress` with depth and number of states now and then."""
    started = time.monotonic()
    machine = Machine(table, sizes)
    judge = Judge(machine, protocol.judgements(ring), properties)
    make, crash = machine.index["driver.make.1"], machine.index["crash"]
    rare = {machine.index[name] for name in RARE if name in machine.index}
    requests = machine.place["driver.requests"]
    start: _Key = (machine.initial(), 0, 0)
    parents: _Parents = {start: None}
    frontier, depth, transitions = [start], 0, 0

    def found(name: str | None, schedule: list[Event], complete: bool) -> Found:
        seconds = time.monotonic() - started
        return Found(name, tuple(schedule), len(parents), transitions, depth, seconds, complete)

    def within(key: _Key, number: int, after: StateTuple) -> _Key | None:
        state, crashes, rarely = key
        if number == make and state[requests] > bounds.requests:
            return None
        crashes += number == crash
        rarely += number in rare
        return None if crashes > bounds.crashes or rarely > bounds.rare else (after, crashes, rarely)

    beyond = machine.predicate(beyond_the_ring)
    judge_states = judge.properties & {"drains", "restartable"}
    while frontier:
        following: list[_Key] = []
        for key in frontier:
            state = key[0]
            if visit:
                visit(state)
            if judge_states and (name := judge.state(state)):
                return found(name, _schedule(machine, parents, key), complete=False)
            for number, chosen, after in machine.successors(state):
                new = within(key, number, after)
                if new is None:
                    continue
                transitions += 1
                if name := judge.event(state, (number, chosen, after)):
                    schedule = [*_schedule(machine, parents, key), _event(machine, number, chosen)]
                    return found(name, schedule, complete=False)
                if new not in parents and not beyond(after):
                    parents[new] = (key, number, chosen)
                    following.append(new)
        frontier = following
        depth += 1
        if progress:
            progress(depth, len(parents))
        if len(parents) > bounds.states:
            return found(None, [], complete=False)
    return found(None, [], complete=True)
