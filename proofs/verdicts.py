"""Verdicts: what is known of each property of each subject, and the record of them that ships with the program."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

from model import protocol
from model.interpret import Machine
from model.terms import ModelError
from proofs.search.bounds import Bounds, Event
from proofs.search.breadth_first import Found, table_for
from proofs.search.judges import Judge
from proofs.search.livelock import is_round
from proofs.search.runs import runs

__all__ = [
    "LATER",
    "PROFILES",
    "READINGS",
    "Schedule",
    "Verdict",
    "later",
    "load_schedule",
    "profiles",
    "readings",
    "recorded",
    "recorded_folder",
    "recorded_later",
    "recorded_profiles",
    "recorded_readings",
    "subjects",
    "violates",
]

READINGS = "readings-verdicts.json"
"""The file of a ring's record that has the verdicts of readings, in the form of the others."""

PROFILES = "profiles.json"
"""The file of a ring's record that has the verdicts of what back-ends of others do, in the form of the others."""

LATER = "later.json"
"""The file of a ring's record that has the verdicts of what came later, in the form of the others."""

ANY = "any"


@dataclass(frozen=True)
class Verdict:
    """One verdict. `bounds` are those of the searches behind it; `counterexample` is a file of the record."""

    ring: str
    revision: str
    gaps: dict[str, str]
    property: str
    verdict: str
    bounds: tuple[Bounds, ...] = ()
    counterexample: str | None = None

    def subject(self) -> protocol.Subject:
        """Give what it is about."""
        return protocol.Subject.of(self.ring, self.revision, self.gaps)

    def answer(self, seconds: float, found: Schedule | None = None) -> dict[str, Any]:
        """Give it in the form of design.md, for programs; `found` is a counterexample that is not in the record."""
        scope: dict[str, Any] = dict.fromkeys(("queue_size", "requests", "crashes", "batch", "chain"), ANY)
        counterexample: dict[str, Any] | None = None
        method = {"proved": "induction", "violated": "counterexample", "bounded": "search"}.get(self.verdict, "none")
        if self.verdict == "bounded":
            scope = {"queue_size": max(b.size for b in self.bounds), "requests": max(b.requests for b in self.bounds),
                     "crashes": max(b.crashes for b in self.bounds), "batch": ANY, "chain": ANY}  # fmt: skip
        if self.counterexample or found:
            recorded_file = recorded_folder(self.ring) / str(self.counterexample)
            schedule = found or load_schedule(recorded_file)
            events = [e[0] for e in schedule.events]
            scope = {"queue_size": schedule.queue_size, "requests": events.count(runs(self.ring).made),
                     "crashes": events.count("crash"), "batch": ANY, "chain": ANY}  # fmt: skip
            counterexample = {
                "path": schedule.file_name(),
                "stores": schedule.stores(),
                "crashes": events.count("crash"),
            }
        return {
            "ring": self.ring, "revision": self.revision, "gaps": self.gaps, "property": self.property,
            "verdict": self.verdict, "method": method, "scope": scope, "seconds": round(seconds, 3),
            "counterexample": counterexample,
        }  # fmt: skip


@dataclass(frozen=True)
class Schedule:
    """A schedule file: the choices and the events, never stores or states.

    `repeats_from`: the number of the event from which the run goes round for ever, if it does.
    """

    ring: str
    revision: str
    gaps: dict[str, str]
    property: str | None
    queue_size: int
    region_size: int
    first_index: int
    notifications: bool
    events: tuple[Event, ...]
    repeats_from: int | None = None

    @staticmethod
    def found(subject: protocol.Subject, name: str, bounds: Bounds, result: Found) -> Schedule:
        """Make one of what a search within some bounds found of a property."""
        sizes = protocol.sizes(subject, bounds.size, bounds.first)
        drains = name == "drains"
        return Schedule(
            subject.ring, subject.revision, dict(subject.choices), name, bounds.size, sizes.entries, bounds.first,
            notifications=drains, events=result.violations[name], repeats_from=result.repeats_from if drains else None,
        )  # fmt: skip

    def machine(self) -> Machine:
        """Build the machine that plays it."""
        subject = protocol.Subject.of(self.ring, self.revision, self.gaps)
        return _machine(subject, self.notifications, self.queue_size, self.first_index)

    def stores(self) -> int:
        """Count the stores of the back-end to shared memory."""
        machine = self.machine()
        storing = {r.step.id for r in machine.steps if r.stores(machine.table.vars) and r.step.procedure in BACK_END}
        return sum(e[0] in storing for e in self.events)

    def file_name(self) -> str:
        """Give the name of its file: what is violated, and by what."""
        return "-".join([self.revision, *(f"{g}-{c}" for g, c in self.gaps.items()), f"{self.property}.json"])

    def json(self) -> dict[str, Any]:
        """Give it in the form of a schedule file."""
        data = asdict(self)
        events = [list(e) for e in data.pop("events")]
        if self.repeats_from is None:
            del data["repeats_from"]
        head = {"format": "vhost-inflight schedule 1", "kind": "counterexample", "mutant": None}
        return {**head, **data, "schedule": events}


BACK_END = ("recover", "fetch", "supply")


@dataclass(frozen=True)
class Judged:
    """A verdict as it came out now, the recorded one, and the seconds that it took."""

    now: Verdict
    was: Verdict | None
    seconds: float
    found: Schedule | None = None
    """A counterexample that was found now, and is not in the record."""

    @property
    def differs(self) -> bool:
        """Whether the record says something else."""
        return self.was is not None and self.was.verdict != self.now.verdict

    @property
    def good(self) -> bool:
        """Whether it is as recorded; without a record, whether it is a verdict, and not that a property is violated."""
        if self.was is not None:
            return not self.differs
        return self.now.verdict in ("proved", "bounded")


def recorded_folder(ring: str) -> Path:
    """Give the folder of the record."""
    return Path(str(resources.files("proofs"))) / "recorded" / ring


def load_schedule(path: Path) -> Schedule:
    """Read a schedule file; raise `ModelError` if it is none."""
    data = json.loads(path.read_text())
    if data.get("format") != "vhost-inflight schedule 1":
        raise ModelError(f"{path.name} is no schedule file")
    events = tuple((str(e[0]), int(e[1])) if len(e) > 1 else (str(e[0]),) for e in data["schedule"])
    keep = {k: data[k] for k in ("ring", "revision", "gaps", "property", "queue_size", "region_size", "first_index")}
    return Schedule(
        **keep,
        notifications=data.get("notifications", True),
        events=events,
        repeats_from=data.get("repeats_from"),
    )


@lru_cache(maxsize=16)  # what is recorded of one choice is played one after the other
def _machine(subject: protocol.Subject, notifications: bool, size: int, first: int) -> Machine:
    table = protocol.table(subject, quiet=not notifications)
    return Machine(table, protocol.sizes(subject, size, first), check=True)


def violates(schedule: Schedule) -> bool:
    """Play a schedule on the interpreter: whether its last event, and none before it, violates its property.

    One that goes round violates it if it may do so for ever. Raise `ModelError` if an event is not possible where it
    stands.
    """
    machine = schedule.machine()
    name = str(schedule.property)
    judge = Judge(machine, protocol.judgements(schedule.ring), {name})
    states = [machine.initial()]
    for place, event in enumerate(schedule.events):
        chosen = event[1] if len(event) > 1 else -1
        after = machine.take(states[-1], event[0], chosen)
        if name in {*judge.event(states[-1], (machine.index[event[0]], chosen, after)), *judge.state(after)}:
            return place == len(schedule.events) - 1 and schedule.repeats_from is None
        states.append(after)
    if schedule.repeats_from is None or name != "drains":
        return False
    begin = schedule.repeats_from - 1
    return is_round(machine, states[begin:], schedule.events[begin:])


def recorded(ring: str) -> list[Verdict]:
    """Read the recorded verdicts."""
    return _recorded(recorded_folder(ring) / "verdicts.json")


def recorded_readings(ring: str) -> list[Verdict]:
    """Read the recorded verdicts of readings: none where a ring has none."""
    return _recorded(recorded_folder(ring) / READINGS)


def recorded_profiles(ring: str) -> list[Verdict]:
    """Read the recorded verdicts of what back-ends of others do."""
    return _recorded(recorded_folder(ring) / PROFILES)


def recorded_later(ring: str) -> list[Verdict]:
    """Read the recorded verdicts of what came into the specification later."""
    return _recorded(recorded_folder(ring) / LATER)


def _recorded(path: Path) -> list[Verdict]:
    if not path.is_file():
        return []
    return [_verdict(entry) for entry in json.loads(path.read_text())]


def _verdict(entry: dict[str, Any]) -> Verdict:
    bounds = tuple(Bounds(**b) for b in entry.pop("bounds", ()))
    return Verdict(bounds=bounds, **entry)


def subjects(ring: str, revisions: Iterable[str] | None = None) -> Iterator[protocol.Subject]:
    """Give what is judged: each revision under the defaults, and under each single deviation."""
    for revision in revisions or protocol.revisions(ring):
        yield protocol.Subject.of(ring, revision, {})
        for gap in protocol.gaps(ring).values():
            if gap.open_in(revision):
                for alternative in gap.alternatives[1:]:
                    yield protocol.Subject.of(ring, revision, {gap.name: alternative.name})


def readings(ring: str, revisions: Iterable[str] | None = None) -> Iterator[protocol.Subject]:
    """Give what is judged besides: each revision under each single choice that it does not leave open."""
    for revision in revisions or protocol.revisions(ring):
        for gap in (*protocol.gaps(ring).values(), *protocol.readings(ring).values()):
            if gap.judged_in(revision) and not gap.open_in(revision):
                for alternative in gap.alternatives[1:]:
                    yield protocol.Subject.of(ring, revision, {gap.name: alternative.name})


def later(ring: str, revisions: Iterable[str] | None = None) -> Iterator[protocol.Subject]:
    """Give what is judged of what came later: each choice with those that it says nothing without."""
    for revision in revisions or protocol.revisions(ring):
        for gap in (gap for gap in protocol.later(ring).values() if gap.judged_in(revision)):
            for alternative in gap.alternatives[1:]:
                yield protocol.Subject.of(ring, revision, {**dict(gap.along), gap.name: alternative.name})


def profiles(ring: str, names: Iterable[str] | None = None) -> Iterator[protocol.Subject]:
    """Give what back-ends of others do on a ring, each followed by itself with its mend."""
    for name in protocol.profiles(ring):
        if names is None or name in names:
            yield protocol.Subject(ring, name)


def table_and_sizes(subject: protocol.Subject, bounds: Bounds, properties: frozenset[str]) -> tuple[Any, Any]:
    """Build what a search needs."""
    return table_for(subject, properties), protocol.sizes(subject, bounds.size, bounds.first)
