"""Witnesses: recorded runs that violate nothing, take every step, and reach what every property speaks of.

A proof about what never happens proves nothing. So each property has, for each revision, a run in which it was at
stake: the ring's marks (`proofs.induction.kits.Witnessing`) say what counts as that. At every state of every witness
the whole invariant holds.

``python -m proofs.challenges.witnesses record [RING]`` finds them anew (for the split ring, where none is named):
random walks with fixed seeds, cut down to what they are for.
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
from model.both.words import DEAD, RUNNING
from model.interpret import Machine, Sizes, StateTuple
from model.properties import NAMES
from model.protocol import Subject
from model.terms import ModelError
from proofs.induction.kits import Marker, Witnessing, kit
from proofs.search.bounds import Event
from proofs.search.judges import UNFAIR, Judge

__all__ = ["Seen", "Witness", "Witnessed", "check", "find", "load", "play", "subjects"]

FORMAT = "vhost-inflight schedule 1"


@dataclass(frozen=True)
class Witness:
    """A recorded run: of what, what for (a property, or ``steps``), its sizes, its schedule with notifications."""

    subject: Subject
    name: str
    sizes: Sizes
    schedule: tuple[Event, ...]

    def document(self) -> dict[str, object]:
        """Give it as the contents of a schedule file."""
        return {
            "format": FORMAT, "ring": self.subject.ring, "revision": self.subject.revision,
            "gaps": dict(self.subject.choices), "mutant": None, "property": None, "kind": "witness",
            "witness": self.name, "queue_size": self.sizes.size, "region_size": self.sizes.entries,
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

    `shown`: for each subject and property, its witness and the states that it passes. `steps`: for each subject, how
    often all its witnesses together take each step. `states`: all states at which the invariant was evaluated.
    """

    shown: Mapping[tuple[Subject, str], tuple[str, int]]
    steps: Mapping[Subject, Mapping[str, int]]
    states: int
    faults: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether every witness shows what it should, and nothing is left without one."""
        return not self.faults


def subjects(ring: str) -> tuple[Subject, ...]:
    """Give what has witnesses: revisions, with the choices of the gaps."""
    return _witnessing(ring).subjects


def marks_of(subject: Subject) -> dict[str, frozenset[str]]:
    """Give what a witness of each property has to reach; none for one that is violated where it is at stake."""
    told, steps = _witnessing(subject.ring), protocol.table(subject).steps
    return {
        name: frozenset(mark for mark in marks if told.about.get(mark, next(iter(steps))) in steps)
        for name, marks in told.marks.items()
        if name not in told.unreached.get(subject.revision, ())
    }


def _witnessing(ring: str) -> Witnessing:
    told = kit(ring).witnessing
    if told is None:
        raise ModelError(f"nothing says what a witness of the {ring} ring has to reach")
    return told


# Playing


@cache
def _machine(subject: Subject, sizes: Sizes) -> tuple[Machine, Judge, Mapping[str, Callable[[StateTuple], bool]]]:
    table, proof = protocol.table(subject), kit(subject.ring).induction
    table = table if proof is None else proof.with_ghosts(table)
    machine = Machine(table, sizes, check=True)
    conjuncts = {c.name: machine.predicate(c.holds) for c in (() if proof is None else proof.invariant(table))}
    return machine, Judge(machine, protocol.judgements(subject.ring), NAMES), conjuncts


def _marker(machine: Machine) -> Marker:
    return _witnessing(machine.table.ring).marker(machine)


def play(witness: Witness) -> Seen:
    """Play a witness: at every state evaluate the invariant, at every event and state every property."""
    machine, judge, conjuncts = _machine(witness.subject, witness.sizes)
    marker, steps, faults = _marker(machine), Counter[str](), list[str]()

    def judged(state: StateTuple, number: int, more: Iterable[str] = ()) -> None:
        wrong = [*more, *judge.state(state), *(name for name, holds in conjuncts.items() if not holds(state))]
        faults.extend(f"{name} does not hold after {number} events" for name in wrong)

    state = machine.initial()
    judged(state, 0)
    for number, event in enumerate(witness.schedule):
        step, chosen = event if len(event) > 1 else (event[0], -1)
        successor = machine.successor(state, step, chosen)
        if successor is None:
            faults.append(f"event {number}, {step}, is not enabled")
            break
        judged(successor[2], number + 1, judge.event(state, successor))
        marker.follow(state, step, chosen, successor[2])
        steps[step] += 1
        state = successor[2]
    return Seen(steps.total() + 1, steps, frozenset(marker.marks), tuple(faults))


def check(ring: str, witnesses: Iterable[Witness] | None = None) -> Witnessed:
    """Play all witnesses of a ring; find steps that none takes, and properties that none reaches."""
    shown: dict[tuple[Subject, str], tuple[str, int]] = {}
    marks = {s: marks_of(s) for s in subjects(ring)}
    steps = {s: Counter[str](dict.fromkeys(protocol.table(s).steps, 0)) for s in subjects(ring)}
    faults: list[str] = []
    states = 0
    for witness in load(ring) if witnesses is None else witnesses:
        seen = play(witness)
        states += seen.states
        of = witness.subject
        steps[of].update(seen.steps)
        faults += [f"{of.name}, {witness.name}: {fault}" for fault in seen.faults]
        if witness.name in marks[of] and seen.marks >= marks[of][witness.name]:
            shown[of, witness.name] = (witness.name, seen.states)
    for of, taken in steps.items():
        faults += [f"{of.name}: no witness takes {step}" for step, number in taken.items() if not number]
        faults += [f"{of.name}: no witness reaches {name}" for name in marks[of] if (of, name) not in shown]
    return Witnessed(shown, steps, states, tuple(faults))


# The record


def _folder(ring: str) -> Path:
    return Path(str(files("proofs"))) / "recorded" / ring / "witnesses"


def load(ring: str) -> tuple[Witness, ...]:
    """Read the recorded witnesses of a ring, in the order of their files' names."""
    return tuple(_read(path) for path in sorted(_folder(ring).glob("*.json")))


def _read(path: Path) -> Witness:
    told = json.loads(path.read_text(encoding="utf-8"))
    sizes = Sizes(told["queue_size"], told["region_size"], told["first_index"])
    schedule = tuple((e[0], e[1]) if len(e) > 1 else (e[0],) for e in told["schedule"])
    return Witness(Subject.of(told["ring"], told["revision"], told["gaps"]), told["witness"], sizes, schedule)


def write(witness: Witness) -> None:
    """Write a witness to its file."""
    told = witness.document()
    schedule = ",\n  ".join(json.dumps(e) for e in witness.schedule)
    head = json.dumps({k: v for k, v in told.items() if k != "schedule"})
    text = f'{head[:-1]},\n "schedule": [\n  {schedule}]}}\n'
    folder = _folder(witness.subject.ring)
    folder.mkdir(parents=True, exist_ok=True)
    file_name = witness.subject.name.replace(" ", "-").replace("=", "-")
    (folder / f"{file_name}-{witness.name}.json").write_text(text, encoding="utf-8")


# Finding

EVENTS = 700
SEEDS = 150
"""How long a walk is, and how many are tried at least."""


def find(subject: Subject) -> Iterator[Witness]:
    """Find a witness for each property that the revision keeps, then one that takes all steps."""
    told = _witnessing(subject.ring)
    wanted = marks_of(subject) | {"steps": frozenset(protocol.table(subject).steps)}
    for name, marks in wanted.items():
        yield _find(subject, name, protocol.sizes(subject, *told.sizes.get(name, (2, 0))), marks)


def _find(subject: Subject, name: str, sizes: Sizes, wanted: frozenset[str]) -> Witness:
    """Walk at random until runs show what is wanted, then cut out of the shortest what it does not need.

    Where no walk shows all of it, one goes on from the end of another. Raise `ModelError` if no seed leads further.
    """
    machine, judge, _ = _machine(subject, sizes)
    walks = (_walk(machine, judge, seed, wanted) for seed in range(SEEDS))
    runs = [run for run in walks if run]
    run = min(runs, key=len) if runs else _walk_on(machine, judge, wanted)
    if not run:
        raise ModelError(f"no walk of {EVENTS} events shows {name}")
    return Witness(subject, name, sizes, _cut(machine, judge, run, wanted))


def _walk_on(machine: Machine, judge: Judge, wanted: frozenset[str]) -> tuple[Event, ...]:
    """Give a run put together of walks, each of which shows one thing more of what is wanted, or nothing."""
    run: tuple[Event, ...] = ()
    missing = wanted
    while missing:
        further = (_walk(machine, judge, seed, missing, run) for seed in range(100 * SEEDS))
        run = next((walk for walk in further if walk), ())
        if not run:
            return ()
        missing = wanted - _shown(machine, run)
    return run


def _walk(
    machine: Machine, judge: Judge, seed: int, wanted: frozenset[str], begun: tuple[Event, ...] | None = None
) -> tuple[Event, ...]:
    """Give a random run that shows what is wanted and violates nothing, or nothing.

    Where it goes on from a run that was `begun`, one thing of what is wanted is enough. What nobody owes is taken
    rarely; a crash less rarely in recovery, which is short.
    """
    rng = random.Random(seed)  # noqa: S311
    marker, state = _marker(machine), machine.initial()
    taken = list(begun or ())
    for event in taken:
        state = _follow(machine, marker, state, event)
    shown = {event[0] for event in taken}
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
        shown.add(step)
        if wanted <= marker.marks | shown or (begun is not None and wanted & (marker.marks | shown)):
            return tuple(taken)
    return ()


def _follow(machine: Machine, marker: Marker, state: StateTuple, event: Event) -> StateTuple:
    """Take an event that is enabled, and let the marker see it; raise `ModelError` where it is not."""
    step, chosen = event if len(event) > 1 else (event[0], -1)
    after = machine.take(state, step, chosen)
    marker.follow(state, step, chosen, after)
    return after


def _shown(machine: Machine, schedule: tuple[Event, ...]) -> frozenset[str]:
    """Give the marks that a run reaches and the steps that it takes."""
    marker, state = _marker(machine), machine.initial()
    for event in schedule:
        state = _follow(machine, marker, state, event)
    return frozenset(marker.marks) | {event[0] for event in schedule}


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
    marker, state = _marker(machine), machine.initial()
    for event in schedule:
        step, chosen = event if len(event) > 1 else (event[0], -1)
        successor = machine.successor(state, step, chosen)
        if successor is None or judge.event(state, successor):
            return False
        marker.follow(state, step, chosen, successor[2])
        state = successor[2]
    return wanted <= marker.marks | {event[0] for event in schedule}


if __name__ == "__main__":
    recording = sys.argv[1:2] == ["record"]
    ring_asked = sys.argv[2] if recording and len(sys.argv) > 2 else "split"
    if recording:
        for subject in subjects(ring_asked):
            for witness in find(subject):
                write(witness)
                print(f"{witness.subject.name}: {witness.name}: {len(witness.schedule)} events", flush=True)
    result = check(ring_asked)
    print("\n".join(result.faults) or f"every witness holds, over {result.states} states")
    sys.exit(not result.holds)
