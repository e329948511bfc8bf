"""Witnesses: recorded runs that violate nothing, take every step, and reach what every property speaks of.

A proof about what never happens proves nothing. So each property has, for each revision, a run in which it was at
stake: the `MARKS` say what counts as that. At every state of every witness the whole invariant holds.

``python -m proofs.witnesses record`` finds them anew: random walks with fixed seeds, cut down to what they are for.
"""

from __future__ import annotations

import json
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from model import protocol
from model.interpret import Machine, Sizes, StateTuple
from model.properties import NAMES
from model.protocol import Subject
from model.split.recover import RUNNING
from model.split.variables import DEAD
from model.terms import ModelError
from proofs.judges import UNFAIR, Judge
from proofs.search import Event
from proofs.split.ghosts import with_ghosts
from proofs.split.invariant import invariant

__all__ = ["MARKS", "Seen", "Witness", "Witnessed", "check", "find", "load", "play", "subjects"]

FORMAT = "vhost-inflight schedule 1"
FOLDER = ("recorded", "split", "witnesses")

CRASH_AFTER = ("split.init.1", "split.init.2", "split.init.3", "split.reconnect.1b", "split.reconnect.1c",
               "split.reconnect.signal")  # fmt: skip
"""The stores of recovery."""

MARKS: Mapping[str, tuple[str, ...]] = {
    "no-used-resubmitted": ("a request is resubmitted where another became visible in the batch that the crash cut",),
    "nothing-lost": ("recovery ends with a request resubmitted and another still to be fetched",),
    "order": ("two requests are resubmitted after a second crash, the one of the higher head first",),
    "intact": ("a request is resubmitted at a head that stood for another one before, and published afterwards",),
    "exactly-once": ("a batch of two is published",),
    "well-formed": ("recovery ends where two entries were in progress",),
    "ring-position": ("recovery ends with an index that has wrapped and a request still to be fetched",),
    "restartable": tuple(f"a crash comes right after {store}" for store in CRASH_AFTER),
    "drains": ("the driver slept, was notified, and has seen all", "the back-end rested and took a kick"),
}
"""When a property is reached non-trivially: all of these happen in its witness."""

UNREACHED: Mapping[str, frozenset[str]] = {"v6": frozenset({"order"})}
"""What a revision violates exactly where it is at stake: it has no witness."""


@dataclass(frozen=True)
class Witness:
    """A recorded run: what it is for (a property, or ``steps``), its sizes, its schedule, notifications too."""

    name: str
    revision: str
    sizes: Sizes
    schedule: tuple[Event, ...]

    def document(self) -> dict[str, object]:
        """Give it as the contents of a schedule file."""
        return {
            "format": FORMAT, "ring": "split", "revision": self.revision, "gaps": {}, "mutant": None, "property": None,
            "kind": "witness", "witness": self.name, "queue_size": self.sizes.size, "region_size": self.sizes.entries,
            "first_index": self.sizes.first, "notifications": True, "schedule": [list(e) for e in self.schedule],
        }  # fmt: skip


@dataclass(frozen=True)
class Seen:
    """What a run showed: the states it passed, how often it took each step, the marks it reached, what was wrong."""

    states: int
    steps: Mapping[str, int]
    marks: frozenset[str]
    faults: tuple[str, ...]


@dataclass(frozen=True)
class Witnessed:
    """What `check` found of all witnesses.

    `shown`: for each (revision, property), its witness and the states that it passes. `steps`: for each revision, how
    often all its witnesses together take each step. `states`: all states at which the invariant was evaluated.
    """

    shown: Mapping[tuple[str, str], tuple[str, int]]
    steps: Mapping[str, Mapping[str, int]]
    states: int
    faults: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether every witness shows what it should, and nothing is left without one."""
        return not self.faults


def subjects() -> tuple[Subject, ...]:
    """Give what has witnesses: both revisions, under the defaults of the gaps."""
    return tuple(Subject("split", revision) for revision in protocol.revisions("split"))


# What is reached


class Marker:
    """Follows a run and collects marks."""

    def __init__(self, machine: Machine) -> None:
        """Start before the first event."""
        self._get = machine.get
        self._size = machine.sizes.size
        self._crashes, self._again, self._order = 0, set[int](), list[int]()
        self._before, self._slept, self._left = "", False, 0
        self.marks: set[str] = set()

    def follow(self, before: StateTuple, step: str, chosen: int, after: StateTuple) -> None:
        """Take one event in."""
        if step == "crash":
            self._crashed()
        elif step == "split.reconnect.1a":
            self._left = self._get(after, "recover.left")
        elif step == "split.reconnect.2":
            self._resubmitted(before, chosen)
        elif step == "split.reconnect.ready":
            self._recovered(after)
        elif step == "split.supply.5":
            self._published(before)
        elif step == "split.idle.wake":
            self._reach("drains", 1)
        self._slept = self._slept or step == "driver.wake"
        if self._slept and self._get(after, "driver.num_free") == self._size:
            self._reach("drains")
        self._before = step

    def _crashed(self) -> None:
        self._crashes += 1
        self._order, self._left = [], 0
        if self._before in CRASH_AFTER:
            self._reach("restartable", CRASH_AFTER.index(self._before))

    def _published(self, before: StateTuple) -> None:
        count = self._get(before, "supply.count")
        if count > 1:
            self._reach("exactly-once")
        if self._again & set(self._get(before, "supply.batch")[:count]):
            self._reach("intact")

    def _reach(self, name: str, number: int = 0) -> None:
        self.marks.add(MARKS[name][number])

    def _resubmitted(self, before: StateTuple, head: int) -> None:
        done = self._get(before, "history.done")
        self._order.append(head)
        if self._left:
            self._reach("no-used-resubmitted")
        if done[head] >= 0:
            self._again.add(head)

    def _recovered(self, after: StateTuple) -> None:
        get = self._get
        waiting = get(after, "avail.idx") != get(after, "fetch.last_avail")
        if waiting and self._order:
            self._reach("nothing-lost")
        if self._crashes > 1 and len(self._order) > 1 and self._order != sorted(self._order):
            self._reach("order")
        if self._left > 1:
            self._reach("well-formed")
        if waiting and get(after, "history.used_pos") > 65535:
            self._reach("ring-position")


# Playing


@cache
def _machine(subject: Subject, sizes: Sizes) -> tuple[Machine, Judge, Mapping[str, Callable[[StateTuple], bool]]]:
    table = with_ghosts(protocol.table(subject))
    machine = Machine(table, sizes, check=True)
    conjuncts = {c.name: machine.predicate(c.holds) for c in invariant(table)}
    return machine, Judge(machine, protocol.judgements("split"), NAMES), conjuncts


def play(witness: Witness) -> Seen:
    """Play a witness: at every state evaluate the invariant, at every event and state every property."""
    machine, judge, conjuncts = _machine(Subject("split", witness.revision), witness.sizes)
    marker, steps, faults = Marker(machine), Counter[str](), list[str]()

    def judged(state: StateTuple, number: int, more: Iterable[str] = ()) -> None:
        wrong = [*more, *judge.state(state), *(name for name, holds in conjuncts.items() if not holds(state))]
        faults.extend(f"{name} does not hold after {number} events" for name in wrong)

    state = machine.initial()
    judged(state, 0)
    for number, event in enumerate(witness.schedule):
        step, chosen = event if len(event) > 1 else (event[0], -1)
        successor = next((s for s in machine.successors(state) if s[:2] == (machine.index.get(step), chosen)), None)
        if successor is None:
            faults.append(f"event {number}, {step}, is not enabled")
            break
        judged(successor[2], number + 1, judge.event(state, successor))
        marker.follow(state, step, chosen, successor[2])
        steps[step] += 1
        state = successor[2]
    return Seen(steps.total() + 1, steps, frozenset(marker.marks), tuple(faults))


def check(witnesses: Iterable[Witness] | None = None) -> Witnessed:
    """Play all witnesses; find steps that none takes, and properties that none reaches."""
    shown: dict[tuple[str, str], tuple[str, int]] = {}
    steps = {s.revision: Counter[str](dict.fromkeys(protocol.table(s).steps, 0)) for s in subjects()}
    faults: list[str] = []
    states = 0
    for witness in load() if witnesses is None else witnesses:
        seen = play(witness)
        states += seen.states
        steps[witness.revision].update(seen.steps)
        faults += [f"{witness.revision}, {witness.name}: {fault}" for fault in seen.faults]
        if witness.name in MARKS and seen.marks >= set(MARKS[witness.name]):
            shown[witness.revision, witness.name] = (witness.name, seen.states)
    for revision, taken in steps.items():
        faults += [f"{revision}: no witness takes {step}" for step, number in taken.items() if not number]
        wanted = set(MARKS) - UNREACHED.get(revision, frozenset())
        faults += [f"{revision}: no witness reaches {p}" for p in MARKS if p in wanted and (revision, p) not in shown]
    return Witnessed(shown, steps, states, tuple(faults))


# The record


def _folder() -> Path:
    return Path(str(files("proofs").joinpath(*FOLDER)))


def load() -> tuple[Witness, ...]:
    """Read the recorded witnesses, in the order of their files' names."""
    return tuple(_read(path) for path in sorted(_folder().glob("*.json")))


def _read(path: Path) -> Witness:
    told = json.loads(path.read_text(encoding="utf-8"))
    sizes = Sizes(told["queue_size"], told["region_size"], told["first_index"])
    schedule = tuple((e[0], e[1]) if len(e) > 1 else (e[0],) for e in told["schedule"])
    return Witness(told["witness"], told["revision"], sizes, schedule)


def write(witness: Witness) -> None:
    """Write a witness to its file."""
    told = witness.document()
    schedule = ",\n  ".join(json.dumps(e) for e in witness.schedule)
    head = json.dumps({k: v for k, v in told.items() if k != "schedule"})
    text = f'{head[:-1]},\n "schedule": [\n  {schedule}]}}\n'
    _folder().mkdir(parents=True, exist_ok=True)
    (_folder() / f"{witness.revision}-{witness.name}.json").write_text(text, encoding="utf-8")


# Finding

EVENTS = 700
SEEDS = 150
"""How long a walk is, and how many are tried at least."""


def find(subject: Subject) -> Iterator[Witness]:
    """Find a witness for each property that the revision keeps, then one that takes all steps."""
    for name, marks in MARKS.items():
        if name not in UNREACHED.get(subject.revision, ()):
            sizes = protocol.sizes(subject, 2, 65535 if name == "ring-position" else 0)
            yield _find(subject, name, sizes, frozenset(marks))
    yield _find(subject, "steps", protocol.sizes(subject, 4, 65534), frozenset(protocol.table(subject).steps))


def _find(subject: Subject, name: str, sizes: Sizes, wanted: frozenset[str]) -> Witness:
    """Walk at random until runs show what is wanted, then cut out of the shortest what it does not need.

    Raise `ModelError` if no seed leads there.
    """
    machine, judge, _ = _machine(subject, sizes)
    runs: list[tuple[Event, ...]] = []
    for seed in range(10 * SEEDS):
        runs += [run for run in [_walk(machine, judge, seed, wanted)] if run]
        if runs and seed >= SEEDS:
            break
    if not runs:
        raise ModelError(f"no walk of {EVENTS} events shows {name}")
    return Witness(name, subject.revision, sizes, _cut(machine, judge, min(runs, key=len), wanted))


def _walk(machine: Machine, judge: Judge, seed: int, wanted: frozenset[str]) -> tuple[Event, ...]:
    """Give a random run that shows what is wanted and violates nothing, or nothing.

    What nobody owes is taken rarely; a crash less rarely in recovery, which is short.
    """
    rng = random.Random(seed)  # noqa: S311
    marker, taken, state = Marker(machine), list[Event](), machine.initial()
    for _ in range(EVENTS):
        possible = machine.successors(state)
        rare = [s for s in possible if machine.steps[s[0]].step.id in UNFAIR - {"driver.make.1"}]
        usual = [s for s in possible if s not in rare]
        rarely = 0.03 if machine.get(state, "recover.at") in (DEAD, RUNNING) else 0.15
        successor = rng.choice(rare if rare and (not usual or rng.random() < rarely) else usual)
        if judge.event(state, successor):
            return ()
        step, chosen = machine.steps[successor[0]].step.id, successor[1]
        marker.follow(state, step, chosen, successor[2])
        state = successor[2]
        taken.append((step,) if chosen < 0 else (step, chosen))
        if wanted <= marker.marks | {event[0] for event in taken}:
            return tuple(taken)
    return ()


def _cut(machine: Machine, judge: Judge, schedule: tuple[Event, ...], wanted: frozenset[str]) -> tuple[Event, ...]:
    """Leave out pieces of a run, as long as it shows what is wanted and violates nothing.

    A piece is a stretch of the run, or of what one procedure does in it: a request comes and goes in several hands.
    """
    steps = machine.table.steps
    for length in (100, 50, 25, 12, 8, 6, 5, 4, 3, 2, 1):
        for strand in ("", *machine.table.guards):
            start = 0
            while True:
                places = [n for n, event in enumerate(schedule) if strand in ("", steps[event[0]].procedure)]
                gone = set(places[start : start + length])
                if not gone:
                    break
                shorter = tuple(event for n, event in enumerate(schedule) if n not in gone)
                if _shows(machine, judge, shorter, wanted):
                    schedule = shorter
                else:
                    start += max(1, length // 2)
    return schedule


def _shows(machine: Machine, judge: Judge, schedule: tuple[Event, ...], wanted: frozenset[str]) -> bool:
    marker, state = Marker(machine), machine.initial()
    for event in schedule:
        step, chosen = event if len(event) > 1 else (event[0], -1)
        successor = next((s for s in machine.successors(state) if s[:2] == (machine.index[step], chosen)), None)
        if successor is None or judge.event(state, successor):
            return False
        marker.follow(state, step, chosen, successor[2])
        state = successor[2]
    return wanted <= marker.marks | {event[0] for event in schedule}


if __name__ == "__main__":
    if sys.argv[1:] == ["record"]:
        for subject in subjects():
            for witness in find(subject):
                write(witness)
                print(f"{witness.revision}: {witness.name}: {len(witness.schedule)} events", flush=True)
    result = check()
    print("\n".join(result.faults) or f"every witness holds, over {result.states} states")
    sys.exit(not result.holds)
