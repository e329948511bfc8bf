"""Mutants: is each store, each order and each guard of the text needed? Each is killed by a run, or explained.

A mutant is dead when a concrete run from the initial state violates a named property; the shortest is searched for, and
recorded. `check` plays each recorded run again, on the mutant and on the text: the text must refuse it or survive it,
so that the mutant is to blame and not the run. What survives is not needed within the bounds searched, and `REASONS`
says why.

``python -m proofs.mutants record`` searches anew (minutes), ``check`` plays the record (seconds), ``orders`` prints
docs/orders.md.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from model import protocol
from model.interpret import Machine, Sizes, StateTuple
from model.properties import NAMES
from model.protocol import Subject
from model.split.quiet import quiet
from model.steps import Table
from model.terms import ModelError
from proofs.judges import Judge
from proofs.search import Bounds, Event, explore
from proofs.split.mutants import Mutant, mutants
from proofs.split.reasons import REASONS

__all__ = ["Checked", "Fate", "check", "find", "load", "orders", "record", "subjects"]

RECORD = ("recorded", "split", "mutants.json")

SAFETY = frozenset(NAMES) - {"drains"}
DRAINS = frozenset({"drains"})
BROKEN: Mapping[str, frozenset[str]] = {"v6": frozenset({"order"})}
"""What a revision violates unchanged: no mutant of it is killed by that."""


@dataclass(frozen=True)
class Level:
    """One search: its bounds, and whether the steps of notification are part of it."""

    bounds: Bounds
    notifications: bool = False

    def text(self) -> str:
        """Say it in words."""
        return self.bounds.text() + (", with notifications" if self.notifications else "")


LEVELS: tuple[Level, ...] = (
    Level(Bounds(2, 2, 1, states=60_000)),
    Level(Bounds(2, 2, 1, first=3, states=60_000)),
    Level(Bounds(2, 1, 1, states=200_000), notifications=True),
    Level(Bounds(2, 2, 0, states=400_000), notifications=True),
    Level(Bounds(2, 3, 2, states=200_000)),
    Level(Bounds(2, 2, 1, first=65535, states=60_000)),
)
"""What is searched, small ones first, until a run is found; `_alone` comes last.

A first index up to twice the queue's size lets recovery walk all of a list that was never begun; beyond, the search
cuts the walk short (proofs.search), and `restartable` cannot be judged. The limits of states are for mutants that go
on for ever; a record says where a search stopped at one.
"""


@dataclass(frozen=True)
class Fate:
    """What became of a mutant: the property that killed it and the shortest schedule found, or why it survives."""

    revision: str
    mutant: str
    kind: str
    killed_by: str | None
    schedule: tuple[Event, ...]
    queue_size: int
    region_size: int
    first_index: int
    notifications: bool
    survives_because: str | None
    searched: str


@dataclass(frozen=True)
class Checked:
    """What `check` found: how many mutants are dead, which survive and why, which properties kill, what is wrong.

    `survivors`: (revision, mutant, reason). `killers`: for each property, how many records name it; `idle`: those that
    kill nothing. `faults`: empty when the record holds.
    """

    dead: int
    survivors: tuple[tuple[str, str, str], ...]
    killers: Mapping[str, int]
    idle: tuple[str, ...]
    faults: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether every record holds, and every mutant has one."""
        return not self.faults


def subjects() -> tuple[Subject, ...]:
    """Give what is mutated: both revisions, under the defaults of the gaps."""
    return tuple(Subject("split", revision) for revision in protocol.revisions("split"))


@cache
def _all(subject: Subject) -> Mapping[str, Mutant]:
    table = protocol.table(subject)
    return {m.name: m for m in mutants(table)}


def _table(subject: Subject, mutant: Mutant | None, notifications: bool) -> Table:
    table = protocol.table(subject).edited(mutant.edits if mutant else ())
    return table if notifications else quiet(table)


# Searching


def _properties(subject: Subject, mutant: Mutant, level: Level) -> frozenset[str]:
    """Say which properties a level judges: a mutant of the notifications has no other level, so all of them."""
    if level.notifications:
        wanted = DRAINS | (SAFETY if mutant.notifies else frozenset())
        wanted = wanted if mutant.notifies or level.bounds.crashes else frozenset()
    else:
        wanted = frozenset() if mutant.notifies else SAFETY
    if level.bounds.first > 2 * level.bounds.size or not mutant.ends:
        wanted -= {"restartable"}
    return wanted - BROKEN.get(subject.revision, frozenset())


def find(
    subject: Subject, mutant: Mutant, only: frozenset[str] | None = None, levels: Iterable[Level] = LEVELS
) -> Fate:
    """Search for the shortest run that kills a mutant (by one of `only`), level by level, small ones first."""
    searched: list[str] = []
    for level in levels:
        wanted = _properties(subject, mutant, level)
        wanted &= wanted if only is None else only
        if not wanted:
            continue
        sizes = protocol.sizes(subject, level.bounds.size, level.bounds.first)
        found = explore(_table(subject, mutant, level.notifications), sizes, level.bounds, wanted)
        searched.append(level.text() + ("" if found.complete else f" (the first {found.states} states)"))
        if found.violated:
            return Fate(
                subject.revision, mutant.name, mutant.kind, found.violated, found.schedule, sizes.size, sizes.entries,
                sizes.first, level.notifications, None, searched[-1],
            )  # fmt: skip
    alone = None if only else _alone(subject, mutant)
    searched.append("the back-end alone")
    if alone:
        return Fate(subject.revision, mutant.name, mutant.kind, *alone, 2, 2, 0, mutant.notifies, None, searched[-1])
    because = REASONS.get(mutant.name, "")
    return Fate(
        subject.revision, mutant.name, mutant.kind, None, (), 2, 2, 0, mutant.notifies, because, "; ".join(searched)
    )


def _alone(subject: Subject, mutant: Mutant) -> tuple[str, tuple[Event, ...]] | None:
    """Search what the back-end does to an idle ring, for the first 2,000 states; give the property and the schedule.

    `explore` goes no further where more is fetched than the ring holds, which is just what some mutants do.
    """
    machine = Machine(_table(subject, mutant, mutant.notifies), Sizes(2, 2))
    judge = Judge(
        machine, protocol.judgements("split"), SAFETY - {"restartable"} - BROKEN.get(subject.revision, frozenset())
    )
    successors = machine.only(lambda r: r.step.procedure in ("recover", "fetch"))
    runs: dict[StateTuple, tuple[Event, ...]] = {machine.initial(): ()}
    todo = list(runs)
    for state in todo:
        for number, chosen, after in successors(state):
            step = machine.steps[number].step.id
            run: tuple[Event, ...] = (*runs[state], (step,) if chosen < 0 else (step, chosen))
            if broken := judge.event(state, (number, chosen, after)):
                return broken[0], run
            if after not in runs and len(todo) < 2000:
                runs[after] = run
                todo.append(after)
    return None


def record(progress: Callable[[str], None] = print) -> list[Fate]:
    """Search for every mutant of both revisions; then, for a property that killed none, among the dead.

    A mutant has one record by the first property found, and perhaps another by one that would otherwise kill nothing.
    """
    fates: list[Fate] = []
    for subject in subjects():
        for mutant in _all(subject).values():
            fates.append(find(subject, mutant))
            progress(f"{fates[-1].revision}: {mutant.name}: {fates[-1].killed_by or 'survives'}")
    for name in NAMES:
        if not any(f.killed_by == name for f in fates):
            fates += _first_killed_by(name)
            progress(f"{name}: {fates[-1].mutant if fates[-1].killed_by == name else 'kills none'}")
    return fates


def _first_killed_by(name: str) -> list[Fate]:
    """Find a mutant of the latest revision that this property kills."""
    subject = subjects()[-1]
    for level in LEVELS[:2]:
        for mutant in _all(subject).values():
            fate = find(subject, mutant, frozenset({name}), (level,))
            if fate.killed_by:
                return [fate]
    return []


# The record


def _path() -> Path:
    return Path(str(files("proofs").joinpath(*RECORD)))


def load() -> tuple[Fate, ...]:
    """Read the record. Raise `ValueError` or `TypeError` where it is none."""
    return tuple(_read(entry) for entry in json.loads(_path().read_text(encoding="utf-8")))


def _read(entry: dict[str, Any]) -> Fate:
    return Fate(**{**entry, "schedule": tuple((e[0], e[1]) if len(e) > 1 else (e[0],) for e in entry["schedule"])})


def write(fates: Iterable[Fate]) -> None:
    """Write the record: an entry a line."""
    lines = ",\n ".join(json.dumps(asdict(fate)) for fate in fates)
    _path().write_text(f"[{lines}]\n", encoding="utf-8")


# Checking


def violated_at(machine: Machine, judge: Judge, schedule: tuple[Event, ...]) -> int | None:
    """Play a schedule; give the number of the first event by which, or after which, a property is violated.

    Raise `ModelError` where an event is not enabled.
    """
    state = machine.initial()
    for number, event in enumerate(schedule):
        step, chosen = event if len(event) > 1 else (event[0], -1)
        wanted = (machine.index.get(step), chosen)
        successor = next((s for s in machine.successors(state) if s[:2] == wanted), None)
        if successor is None:
            raise ModelError(f"event {number}, {step}, is not enabled")
        if judge.event(state, successor) or judge.state(successor[2]):
            return number
        state = successor[2]
    return None


@cache
def _played(subject: Subject, sizes: Sizes, notifies: bool, name: str) -> tuple[Machine, Judge]:
    machine = Machine(_table(subject, None, notifies), sizes)
    return machine, Judge(machine, protocol.judgements("split"), {name})


def _fault(fate: Fate) -> str | None:
    """Say what is wrong with a record, if anything."""
    subject = Subject("split", fate.revision)
    mutant = _all(subject).get(fate.mutant)
    if mutant is None:
        return "there is no such mutant"
    if fate.killed_by is None:
        reason = REASONS.get(fate.mutant)
        return None if reason and fate.survives_because == reason else "survives, and nobody says why"
    if fate.killed_by in BROKEN.get(fate.revision, ()):
        return f"{fate.killed_by} is violated without it"
    sizes = Sizes(fate.queue_size, fate.region_size, fate.first_index)
    machine = Machine(_table(subject, mutant, fate.notifications), sizes)
    judge = Judge(machine, protocol.judgements("split"), {fate.killed_by})
    try:
        at = violated_at(machine, judge, fate.schedule)
    except ModelError as refused:
        return f"its schedule is none: {refused}"
    if at != len(fate.schedule) - 1:
        return f"{fate.killed_by} is violated {'nowhere' if at is None else f'by event {at}, before the end'}"
    try:
        innocent = violated_at(*_played(subject, sizes, fate.notifications, fate.killed_by), fate.schedule) is None
    except ModelError:
        innocent = True
    return None if innocent else f"the text violates {fate.killed_by} by this schedule too"


def check(fates: Iterable[Fate] | None = None) -> Checked:
    """Play every record again, on the mutant and on the text; find what has no record and survivors unexplained."""
    told = load() if fates is None else tuple(fates)
    faults = [f"{f.revision}, {f.mutant}: {fault}" for f in told if (fault := _fault(f))]
    for subject in subjects():
        known = {f.mutant for f in told if f.revision == subject.revision}
        faults += [f"{subject.revision}, {name}: not recorded" for name in _all(subject) if name not in known]
    dead = {(f.revision, f.mutant) for f in told if f.killed_by}
    survivors = tuple((f.revision, f.mutant, str(f.survives_because)) for f in told if not f.killed_by)
    killers = {name: sum(f.killed_by == name for f in told) for name in NAMES}
    idle = tuple(name for name, number in killers.items() if not number)
    return Checked(len(dead), survivors, killers, idle, tuple(faults))


# The page


def _rows(fates: Iterable[Fate], kind: str) -> Iterator[str]:
    by_name: dict[str, dict[str, Fate]] = {}
    for fate in fates:
        if fate.kind == kind:
            by_name.setdefault(fate.mutant, {}).setdefault(fate.revision, fate)
    sentences = {m.name: m.sentence for subject in subjects() for m in _all(subject).values()}
    for name, told in by_name.items():
        cells = [_verdict(told.get(s.revision)) for s in subjects()]
        reason = next((f.survives_because for f in told.values() if f.survives_because), "")
        yield f"| {sentences[name]} | {' | '.join(cells)} | {reason} |"


def _verdict(fate: Fate | None) -> str:
    if fate is None:
        return "-"
    return f"{fate.killed_by}, {len(fate.schedule)} events" if fate.killed_by else "nothing"


def orders(fates: Iterable[Fate] | None = None) -> str:
    """Write docs/orders.md: which stores, orders and guards are needed, from the record."""
    told = load() if fates is None else tuple(fates)
    revisions = [s.revision for s in subjects()]
    lines = [INTRODUCTION]
    broken = " | ".join(f"{r} breaks" for r in revisions)
    for kind, title in TITLES.items():
        lines += [f"## {title}", "", f"| change | {broken} | why it is not needed |"]
        lines += ["|" + "---|" * (len(revisions) + 2), *_rows(told, kind), ""]
    return "\n".join(lines)


TITLES = {"swap": "Orders", "drop": "Stores", "guard": "Guards"}

INTRODUCTION = """# Which stores, orders and guards of the split ring are needed

Written by `python -m proofs.mutants orders` from proofs/recorded/split/mutants.json; do not edit.

The text does not say which of its stores a compiler or a processor must keep in order. Here each two neighbouring
stores of the back-end are swapped, each with the value that it has in the order of the text; each store is dropped;
each guard is weakened. A change breaks a property where a run from the initial state violates it: its name, and the
events of the shortest run found. Where nothing is broken within the bounds that the record names, the last column says
why. That is said of each change alone, not of several at once, and of a back-end with one thread. What v6 breaks
unchanged (`order`) is not judged for its changes.
"""


def main(arguments: list[str]) -> int:
    """Run a command: record, check, orders. Return 0 if the record holds."""
    if arguments == ["record"]:
        write(record())
    elif arguments == ["orders"]:
        print(orders(), end="")
        return 0
    result = check()
    idle = ", ".join(result.idle) or "none"
    summary = f"{result.dead} dead, {len(result.survivors)} explained, properties that kill nothing: {idle}"
    print("\n".join(result.faults) or summary)
    return int(not result.holds)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
