"""Exhaustive search: every schedule within bounds, breadth first, so that the first violation is a shortest one."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from model import protocol
from model.interpret import Machine, Sizes, StateTuple
from model.steps import Table
from proofs.search.bounds import Bounds, Event
from proofs.search.judges import Judge
from proofs.search.livelock import Owed, round_among
from proofs.search.runs import runs

__all__ = ["Bounds", "Event", "Found", "explore", "explore_with", "table_for"]


@dataclass(frozen=True)
class Found:
    """What a search found: for each violated property a shortest schedule; and how much it saw.

    `drains` is violated by a run to where nothing more happens or, where there is none, by one that goes round for ever
    (`proofs.search.livelock`): its last events, from the one with the number `repeats_from`, are the round. The run up
    to there is a shortest one. `complete`: every state within the bounds was seen, or every property asked for was
    violated.
    """

    judged: frozenset[str]
    violations: dict[str, tuple[Event, ...]]
    states: int
    transitions: int
    depth: int
    seconds: float
    complete: bool
    repeats_from: int | None = None

    @property
    def violated(self) -> str | None:
        """Give the property that was violated first, if any."""
        return next(iter(self.violations), None)

    @property
    def schedule(self) -> tuple[Event, ...]:
        """Give the schedule that violates it, or nothing."""
        return next(iter(self.violations.values()), ())


def table_for(subject: protocol.Subject, properties: frozenset[str]) -> Table:
    """Build the table that a search for these properties needs: notifications only for `drains`."""
    return protocol.table(subject, quiet="drains" not in properties)


RARE = ("driver.reset", "connection.reset", "connection.kick", "queue.other", "stop.ask", "stop.other", "ring.reset")
"""Events that `Bounds.rare` limits; the same on both rings, where a table has them."""

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


def explore(
    table: Table,
    sizes: Sizes,
    bounds: Bounds,
    properties: frozenset[str],
    *,
    every: bool = False,
    pruned: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Found:
    """Search until a property is violated, or, with `every`, until each is or all has been seen.

    `pruned`: go no further where one is violated, so that each is found only where it is violated before all others, or
    by the same event. `progress` is called with depth and number of states after each depth.
    """
    owed = Owed(table, sizes) if "drains" in properties else None
    alone = owed is not None and len(properties) == 1  # then what else there is makes no difference
    machine = owed.machine if owed and alone else Machine(table, sizes)
    judge = Judge(machine, protocol.judgements(machine.table.ring), properties)
    return explore_with(judge, bounds, owed, every=every, pruned=pruned, progress=progress)


def explore_with(
    judge: Judge,
    bounds: Bounds,
    owed: Owed | None = None,
    *,
    every: bool = False,
    pruned: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Found:
    """Search as `explore` does, with a judge's machine and properties; without ``owed`` not for what goes round."""
    started = time.monotonic()
    search = _Search(judge, bounds, owed, every=every, pruned=pruned)
    frontier, depth = [search.start], 0
    while frontier and not search.enough and len(search.parents) <= bounds.states:
        following: list[_Key] = []
        for key in frontier:
            search.expand(key, following)
            if search.enough:
                break
        frontier = following
        depth += 1
        if progress:
            progress(depth, len(search.parents))
    if not search.enough:
        search.go_round()
    complete = search.enough or not frontier
    seconds = time.monotonic() - started
    return Found(
        judge.properties, search.violations, len(search.parents), search.transitions, depth, seconds, complete,
        search.repeats_from,
    )  # fmt: skip


class _Search:
    """The states seen so far, and what was violated."""

    def __init__(self, judge: Judge, bounds: Bounds, owed: Owed | None, *, every: bool, pruned: bool) -> None:
        self.judge, self.machine, self._owed = judge, judge.machine, owed
        self.bounds, self._every, self._pruned = bounds, every, pruned
        machine, properties = judge.machine, judge.properties
        self._beyond = machine.predicate(runs(machine.table.ring).beyond(machine.table))
        self._make, self._crash = machine.index["driver.make.1"], machine.index["crash"]
        self._rare = {machine.index[name] for name in RARE if name in machine.index}
        self._requests = machine.place["driver.requests"]
        self._judge_states = bool(properties & {"drains", "restartable"})
        self.start: _Key = (machine.initial(), 0, 0)
        self.parents: _Parents = {self.start: None}
        self.violations: dict[str, tuple[Event, ...]] = {}
        self.transitions = 0
        self.repeats_from: int | None = None

    @property
    def enough(self) -> bool:
        """Whether there is nothing more to look for."""
        return len(self.violations) >= (len(self.judge.properties) if self._every else 1)

    def _within(self, key: _Key, number: int, after: StateTuple) -> _Key | None:
        state, crashes, rarely = key
        if number == self._make and state[self._requests] > self.bounds.requests:
            return None
        crashes += number == self._crash
        rarely += number in self._rare
        return None if crashes > self.bounds.crashes or rarely > self.bounds.rare else (after, crashes, rarely)

    def _violated(self, names: list[str], key: _Key, *last: Event) -> None:
        for name in names:
            if name not in self.violations:
                self.violations[name] = (*_schedule(self.machine, self.parents, key), *last)

    def expand(self, key: _Key, following: list[_Key]) -> None:
        """Judge a state and the events that leave it; append the states that are new."""
        state = key[0]
        successors = self.machine.successors(state)
        if self._judge_states and (names := self.judge.state(state, successors)):
            self._violated(names, key)
            if self._pruned:
                return
        for number, chosen, after in successors:
            new = self._within(key, number, after)
            if new is None:
                continue
            self.transitions += 1
            if names := self.judge.event(state, (number, chosen, after)):
                self._violated(names, key, _event(self.machine, number, chosen))
                if self._pruned:
                    continue
            if new not in self.parents and not self._beyond(after):
                self.parents[new] = (key, number, chosen)
                following.append(new)

    def go_round(self) -> None:
        """Look for a run that never ends and violates `drains`, among all states seen so far."""
        if self._owed is None or "drains" in self.violations:
            return
        view = self._owed.view(self.machine)
        first: dict[StateTuple, _Key] = {}
        for key in self.parents:
            first.setdefault(view(key[0]), key)
        if found := round_among(self._owed, list(first)):
            to = _schedule(self.machine, self.parents, first[found.begins])
            self.violations["drains"] = (*to, *(_event(self.machine, *step) for step in found.steps))
            self.repeats_from = len(to) + 1
