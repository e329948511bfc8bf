"""Finds out of each pair of accesses on which memories it is needed.

With nothing kept but what the points keep, a search finds no violation: so whatever no point keeps is not needed, all
of it at once, within the bounds of the search. Of a pair that a point keeps, one access is let past the other: a search
finds a shortest run that violates a property; or none within its bounds, and the point keeps more there than it must.
(Past what lies between the two as well, as far as that was found not to be needed: see `Pairs`.)

A processor's order matters to the other side alone, for a crash loses nothing that was executed. Of a store to the
region no other core can tell when it is seen: no step of the other side reads the region (`unseen`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, as_completed
from functools import cache
from typing import Any

from model import protocol
from model.memory.accesses import Agent, fields_read, made
from model.memory.kinds import ARM, COMPILER, LOAD_LOAD, STORE_LOAD, X86, Memory, Moved, Orders, is_load
from model.memory.machine import MemoryMachine
from model.properties import NAMES
from model.protocol import Subject
from model.terms import ModelError
from proofs.orders.answers import Answer, Joint, Level, Told, write
from proofs.orders.judging import MemoryJudge
from proofs.orders.pairs import Row, rows
from proofs.orders.points import PARTS, Part, points
from proofs.orders.runs import MemoryRun
from proofs.search.bounds import Bounds
from proofs.search.breadth_first import Found, explore_with
from proofs.workers import workers

__all__ = ["JOINT", "Pairs", "joint", "parts", "record", "ring_rows", "unseen"]

ALL = frozenset(NAMES)
SAFETY = ALL - {"drains"}

PAIRS = ((Bounds(2, 2, 1), False), (Bounds(2, 2, 1, first=3), False), (Bounds(2, 1, 0), True))
"""Within which bounds pairs come about; the second: on a ring that has been in use, whose region is made anew."""

JOINT = (
    Level(Bounds(1, 2, 1)),
    Level(Bounds(2, 1, 1)),
    Level(Bounds(1, 1, 1), 3),
    Level(Bounds(1, 1, 0, states=150_000), 2, notifications=True),
    Level(Bounds(1, 1, 1, states=60_000), 2, notifications=True),
)
"""What is searched with all but the points left to the memory; the first ones to their end."""

EACH = Level(Bounds(2, 2, 1, states=40_000))
"""What is searched for each access, which moves as far as the points let it, while all others stay."""

SAFE = {
    "split": (
        Level(Bounds(1, 2, 1)),
        Level(Bounds(2, 2, 1, states=40_000)),
        Level(Bounds(2, 1, 1, first=3)),
        Level(Bounds(2, 3, 1, states=60_000)),
    ),
    "packed": (
        Level(Bounds(1, 2, 1, states=40_000)),
        Level(Bounds(2, 1, 1, first=3, states=40_000)),
        Level(Bounds(2, 2, 1, states=60_000)),
    ),
}
NOTIFYING = {
    ring: (
        Level(Bounds(1, 1, 0, states=40_000), 4, notifications=True),
        Level(Bounds(2, 1, 0, states=40_000), 4, notifications=True),
        Level(Bounds(1, 2, 0, states=states), 4, notifications=True),
    )
    for ring, states in (("split", 200_000), ("packed", 150_000))
}
"""What is searched with one access moved, small ones first: without and with the steps of notification."""


def parts(ring: str) -> tuple[Part, ...]:
    """Give the back-ends of a ring that are searched."""
    return tuple(p for p in PARTS if p.subject.ring == ring)


def ring_rows(ring: str) -> Iterator[tuple[Part, Row]]:
    """Yield the pairs of a ring; what a choice does not change is not looked at again under it."""
    known = set[tuple[str, str]]()
    for one in parts(ring):
        for row in rows(one, PAIRS):
            if (row.earlier, row.later) not in known:
                known.add((row.earlier, row.later))
                yield one, row


def search(one: Part, memory: Memory, level: Level, orders: Orders) -> Found:
    """Search a part on a memory, with what is kept."""
    table = protocol.table(one.subject, quiet=not level.notifications)
    sizes = protocol.sizes(one.subject, level.bounds.size, level.bounds.first)
    machine = MemoryMachine(table, sizes, memory, orders, one.agent, window=level.window)
    return explore_with(MemoryJudge(machine, ALL if level.notifications else SAFETY), level.bounds)


def joint(one: Part, level: Level, moves: str = "") -> Joint:
    """Search with all but the points left to the compiler, which may do all that a processor may, and lose stores too.

    `moves`: the only access that does so; all of them where there is none. Raise `ModelError` where a property is
    violated: the points are not enough then.
    """
    orders = Moved(points(one), ("", moves) if is_load(moves) else (moves, "")) if moves else points(one)
    found = search(one, COMPILER, level, orders)
    if found.violated:
        raise ModelError(f"{one.subject.ring} {one.name}: the points do not keep {found.violated}: {found.schedule}")
    return Joint(one.name, level, moves, found.states, found.complete)


def _quiet_names(one: Part) -> tuple[str, ...]:
    """Name the accesses of the steps that are none of notification."""
    quiet = made(protocol.table(one.subject, quiet=True), one.agent)
    return tuple(access.name for m in quiet.values() for access in m.all)


def unseen(one: Part, row: Row) -> str:
    """Say why no other core can tell in which order two accesses were made; nothing if it can.

    The region is the back-end's alone while it lives. That a driver of ours does not read a field of the ring is no
    reason: others may.
    """
    ours = _unread(one)
    hidden = [name for name in (row.earlier, row.later) if name in ours]
    return f"proved: no step of the driver reads what {hidden[0]} stores" if hidden else ""


def _unread(one: Part) -> tuple[str, ...]:
    """Name the stores to the region, less those that a step of the driver would read."""
    return _unread_by_peers(one.subject, one.agent)


@cache
def _unread_by_peers(subject: Subject, agent: Agent) -> tuple[str, ...]:
    table = protocol.table(subject)
    read = {name for r in table.recorded() if r.step.procedure in agent.peers for name in fields_read(r)}
    stores = [m.store for m in made(table, agent).values() if m.store]
    return tuple(s.name for s in stores if all(f.startswith("region.") and f not in read for f in s.fields))


class Pairs:
    """Asks of one pair after the other; what an access was found not to need counts as left to the memory from then on.

    Without that, two orders of which each makes up for the other would both count as not needed.
    """

    def __init__(self) -> None:
        """Begin with nothing found."""
        self._past: dict[tuple[Memory, str], list[str]] = {}

    def answers(self, one: Part, row: Row) -> dict[str, Answer]:
        """Find out of a kept pair on which memories it is needed: each can do no more than the one before it."""
        told: dict[str, Answer] = {}
        needed = True
        moved, other = _moved(row)
        for memory in (COMPILER, ARM, X86):
            past = self._past.setdefault((memory, moved), [*_unread(one)] if is_load(moved) else [])
            if row.kind not in memory.turns:
                told[memory.name] = Answer(None, "by itself: this processor keeps such a pair")
                continue
            # a crash loses stores, so the next process can tell which of two came first; of a load it cannot
            if (memory is not COMPILER or row.kind == STORE_LOAD) and (reason := unseen(one, row)):
                told[memory.name] = Answer(None, reason)
            else:
                told[memory.name] = _looked(one, memory, row, tuple(past)) if needed else told[COMPILER.name]
                needed = told[memory.name].run is not None
            if told[memory.name].run is None and other not in past:
                past.append(other)
        return told


def _moved(row: Row) -> tuple[str, str]:
    """Name the access of a pair that moves (a load early, else a store late), and the other one."""
    return (row.later, row.earlier) if is_load(row.later) else (row.earlier, row.later)


def _levels(one: Part, row: Row) -> tuple[Level, ...]:
    """Give the searches that can tell: with the steps of notification where the pair is one of theirs."""
    return (
        SAFE[one.subject.ring]
        if {row.earlier, row.later} <= {*_quiet_names(one)} and row.kind != STORE_LOAD
        else NOTIFYING[one.subject.ring]
    )


def _looked(one: Part, memory: Memory, row: Row, past: tuple[str, ...]) -> Answer:
    searched, pair = [], (row.earlier, row.later)
    for level in _levels(one, row):
        found = search(one, memory, level, Moved(points(one), pair, frozenset(past)))
        if found.violated:
            run = MemoryRun(
                one.subject.ring, one.name, memory.name, pair, past, level.window, found.violated, level.bounds.size,
                level.bounds.first, level.notifications, found.schedule,
            )  # fmt: skip
            return Answer(run, "")
        searched.append(level.text() + ("" if found.complete else f", the first {level.bounds.states} states"))
    return Answer(None, "bounded: " + "; ".join(searched))


def _asked(pairs: Sequence[tuple[Part, Row]]) -> list[Told]:
    """Ask of the pairs of one moved access, one after the other; of a load, first which stores it may pass."""
    asked = Pairs()
    ordered = sorted(pairs, key=lambda pair: pair[1].kind == LOAD_LOAD)
    return [Told(one.name, row, asked.answers(one, row) if row.kept else {}) for one, row in ordered]


def record(ring: str, progress: Callable[[str], None], levels: Iterable[Level] = JOINT) -> None:
    """Search everything of a ring anew, on all cores, and write the record."""
    first = parts(ring)[0]
    searches = [(one, level, "") for level in levels for one in parts(ring)]
    searches += [(first, EACH, name) for name in _quiet_names(first)]
    pairs = list(ring_rows(ring))
    groups: dict[str, list[tuple[Part, Row]]] = {}
    for one, row in pairs:
        groups.setdefault(_moved(row)[0] if row.kept else "", []).append((one, row))
    with workers() as pool:
        together = [pool.submit(joint, *todo) for todo in searches]
        apart = [pool.submit(_asked, group) for group in groups.values()]
        every: list[Future[Any]] = [*together, *apart]
        for done, ended in enumerate(as_completed(every), start=1):
            ended.result()
            progress(f"{ring}: {done} of {len(every)} searches")
    told = {(t.row.earlier, t.row.later): t for job in apart for t in job.result()}
    write(ring, [job.result() for job in together], [told[row.earlier, row.later] for _, row in pairs])
