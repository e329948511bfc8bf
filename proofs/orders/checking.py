"""Plays the record of orders again: each run, with its pair left to the memory and kept; which points keep what."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

from model import protocol
from model.memory.accesses import Agent, made
from model.protocol import Subject
from model.terms import ModelError
from proofs.orders.answers import Told
from proofs.orders.points import PARTS, Part, points
from proofs.orders.runs import MemoryRun, turned_round
from proofs.orders.searching import parts, unseen

__all__ = ["Checked", "check", "fault"]


@dataclass(frozen=True)
class Checked:
    """What `check` found: how many pairs are needed, each by a run played again; what is wrong."""

    needed: int
    faults: tuple[str, ...]


def check(ring: str, told: Iterable[Told]) -> Checked:
    """Play every recorded run again; compare what is recorded as proved, and the points, with what the tables give."""
    told = tuple(told)
    runs = dict.fromkeys(a.run for t in told for a in t.answers.values() if a.run)
    faults = [f"{run.file_name}: {wrong}" for run in runs if (wrong := fault(run))]
    faults += [wrong for t in told for wrong in _unsupported(ring, t)]
    for one in parts(ring):
        faults += [f"{one.name}: there is no access {name}" for name in _points_of(one) - _names(one)]
    after, before = ({getattr(t.row, end) for t in told if t.needed} for end in ("later", "earlier"))
    shown = {*(f"after {name}" for name in after), *(f"before {name}" for name in before)}
    kept = {f"after {p}" for one in parts(ring) for p in one.after}
    kept |= {f"before {p}" for one in parts(ring) for p in one.before}
    spare = frozenset[str]().union(*(one.spare for one in parts(ring)))
    faults += [f"nothing is shown to need what comes {point}" for point in sorted(kept - shown - spare)]
    faults += [
        f"what comes {point} is needed, or not kept: it is not spare" for point in sorted(spare - (kept - shown))
    ]
    return Checked(sum(t.needed for t in told), tuple(faults))


def _points_of(one: Part) -> set[str]:
    return {*one.after, *one.before}


def _names(one: Part) -> frozenset[str]:
    return _names_of(one.subject, one.agent)


@cache
def _names_of(subject: Subject, agent: Agent) -> frozenset[str]:
    return frozenset(access.name for m in made(protocol.table(subject), agent).values() for access in m.all)


def _unsupported(ring: str, told: Told) -> Iterator[str]:
    """Name what a row says and nothing bears out: a needed pair that no point keeps, a proof that there is not."""
    one = next(p for p in PARTS if p.subject.ring == ring and p.name == told.part)
    row, pair = told.row, f"{told.row.earlier} before {told.row.later}"
    if points(one).keeps(row.kind, row.earlier, row.later) != row.kept:
        yield f"{pair}: {'no' if row.kept else 'a'} point keeps it now"
    if bool(told.answers) != row.kept:
        yield f"{pair}: {'nothing is said of it' if row.kept else 'something is said of it, though no point keeps it'}"
    for memory, answer in told.answers.items():
        if answer.because.startswith("proved") and answer.because != unseen(one, row):
            yield f"{pair}, {memory}: not {answer.because}"
        if answer.run and (answer.run.memory, answer.run.free) != (memory, (row.earlier, row.later)):
            yield f"{pair}, {memory}: its run is one of {answer.run.memory}, {answer.run.free}"


def fault(run: MemoryRun) -> str:
    """Say what is wrong with a run, if anything: it violates its property at its end, and only because of its pair."""
    try:
        at = turned_round(run)
    except ModelError as refused:
        return f"it is no run: {refused}"
    if at != len(run.events) - 1:
        return f"{run.violates} is violated {'nowhere' if at is None else f'by event {at}, before the end'}"
    try:
        return "" if turned_round(run, kept=True) is None else "it goes wrong with its pair kept, too"
    except ModelError:
        return ""
