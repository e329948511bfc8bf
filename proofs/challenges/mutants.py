"""Mutants: is each store, each order and each guard of the text needed? Each is killed by a run, or explained.

A mutant is dead when a concrete run from the initial state violates a named property; the shortest is searched for, and
recorded. `check` plays each recorded run again, on the mutant and on the text: the text must refuse it or survive it,
so that the mutant is to blame and not the run. What survives is not needed within the bounds searched, and the ring's
reasons say why. What the mutants of a ring are, and how they are searched, is in its kit
(`proofs.induction.kits.Mutation`).

``python -m proofs.challenges.mutants record [RING]`` searches anew (minutes), ``reasons`` only writes the reasons into
the record anew, ``check`` plays the record (seconds), ``orders`` prints the page about it (docs/orders.md for the split
ring, which is meant where no ring is named, docs/orders-packed.md for the packed one).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache

from model import protocol
from model.interpret import Machine, Sizes, StateTuple
from model.properties import NAMES
from model.protocol import Subject
from model.steps import Recorded, Step, Table
from model.terms import ModelError
from proofs.challenges.fates import Fate, load, write
from proofs.induction.kits import Mutant, Mutation, kit
from proofs.search.bounds import Event, Level
from proofs.search.breadth_first import explore
from proofs.search.judges import Judge
from proofs.search.livelock import is_round
from proofs.search.runs import runs

__all__ = [
    "Checked", "Fate", "Remembering", "check", "find", "load", "mutants_of", "mutation_of", "orders", "record",
    "subjects",
]  # fmt: skip

SAFETY = frozenset(NAMES) - {"drains"}
DRAINS = frozenset({"drains"})


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


def subjects(ring: str) -> tuple[Subject, ...]:
    """Give what is mutated: revisions, under the defaults of the gaps."""
    return tuple(Subject(ring, revision) for revision in mutation_of(ring).revisions)


def mutation_of(ring: str) -> Mutation:
    """Give the mutants of a ring, and how they are searched; raise `ModelError` where it has none."""
    told = kit(ring).mutation
    if told is None:
        raise ModelError(f"the {ring} ring has no mutants")
    return told


def _broken(subject: Subject) -> frozenset[str]:
    return mutation_of(subject.ring).broken.get(subject.revision, frozenset())


@cache
def mutants_of(subject: Subject) -> Mapping[str, Mutant]:
    """Give the mutants of what is mutated, by name."""
    return {m.name: m for m in mutation_of(subject.ring).mutants(protocol.table(subject))}


class Remembering(Table):
    """A table that records a step once for all mutants that leave it, its procedure's guard and its history alone."""

    def record(self, step: Step) -> Recorded:
        """Record a step as terms, or give what was recorded of it in another table of the ring."""
        key = (self.ring, step, self.guards[step.procedure], self.history.get(step.id))
        if key not in _RECORDED:
            _RECORDED[key] = super().record(step)
        return _RECORDED[key]


_RECORDED: dict[tuple[object, ...], Recorded] = {}


def _table(subject: Subject, mutant: Mutant | None, notifications: bool) -> Table:
    table = protocol.table(subject).edited(mutant.edits if mutant else ())
    table = table if notifications else runs(subject.ring).quiet(table)
    return Remembering(table.ring, table.vars, table.steps, table.guards, table.history)


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
    return wanted - _broken(subject)


def find(
    subject: Subject, mutant: Mutant, only: frozenset[str] | None = None, levels: Iterable[Level] | None = None
) -> Fate:
    """Search for the shortest run that kills a mutant (by one of `only`), level by level, small ones first.

    `levels` are those of the ring and what the mutant needs further, if left out; `_alone` comes last.
    """
    searched: list[str] = []
    for level in (*mutation_of(subject.ring).levels, *mutant.further) if levels is None else levels:
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
                found.repeats_from if found.violated == "drains" else None,
            )  # fmt: skip
    alone = None if only else _alone(subject, mutant)
    searched.append("the back-end alone")
    if alone:
        return Fate(subject.revision, mutant.name, mutant.kind, *alone, 2, 2, 0, mutant.notifies, None, searched[-1])
    because = mutation_of(subject.ring).reasons.get(mutant.name, "")
    return Fate(
        subject.revision, mutant.name, mutant.kind, None, (), 2, 2, 0, mutant.notifies, because, "; ".join(searched)
    )


def _alone(subject: Subject, mutant: Mutant) -> tuple[str, tuple[Event, ...]] | None:
    """Search what the back-end does to an idle ring, for the first 2,000 states; give the property and the schedule.

    `explore` goes no further where more is fetched than the ring holds, which is just what some mutants do.
    """
    machine = Machine(_table(subject, mutant, mutant.notifies), Sizes(2, 2))
    judge = Judge(machine, protocol.judgements(subject.ring), SAFETY - {"restartable"} - _broken(subject))
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


def record(ring: str, progress: Callable[[str], None] = print) -> list[Fate]:
    """Search for every mutant of each revision of a ring; then, for a property that killed none, among the dead.

    A mutant has one record by the first property found, and perhaps another by one that would otherwise kill nothing.
    Each is written as soon as it is known.
    """
    fates: list[Fate] = []
    for subject in subjects(ring):
        for mutant in mutants_of(subject).values():
            fates.append(find(subject, mutant))
            write(ring, fates)
            progress(f"{fates[-1].revision}: {mutant.name}: {fates[-1].killed_by or 'survives'}")
    for name in NAMES:
        if not any(f.killed_by == name for f in fates):
            fates += _first_killed_by(ring, name)
            progress(f"{name}: {fates[-1].mutant if fates[-1].killed_by == name else 'kills none'}")
    return fates


def _first_killed_by(ring: str, name: str) -> list[Fate]:
    """Find a mutant of the latest revision that this property kills."""
    subject = subjects(ring)[-1]
    for level in mutation_of(ring).levels[:2]:
        for mutant in mutants_of(subject).values():
            fate = find(subject, mutant, frozenset({name}), (level,))
            if fate.killed_by:
                return [fate]
    return []


def explained(ring: str, fates: Iterable[Fate]) -> list[Fate]:
    """Give the fates with the reasons that the ring gives now for those that survive."""
    reasons = mutation_of(ring).reasons
    return [f if f.killed_by else replace(f, survives_because=reasons.get(f.mutant, "")) for f in fates]


# Checking


def violated_at(machine: Machine, judge: Judge, fate: Fate) -> int | None:
    """Play the schedule of a mutant; give the number of the event by which, or after which, a property is violated.

    It is the first such event; of a schedule that goes round for ever, the last one. Raise `ModelError` where an event
    is not enabled.
    """
    states = [machine.initial()]
    for number, event in enumerate(fate.schedule):
        step, chosen = event if len(event) > 1 else (event[0], -1)
        successor = machine.successor(states[-1], step, chosen)
        if successor is None:
            raise ModelError(f"event {number}, {step}, is not enabled")
        if judge.event(states[-1], successor) or judge.state(successor[2]):
            return number
        states.append(successor[2])
    begin = len(fate.schedule) if fate.repeats_from is None else fate.repeats_from - 1
    return len(fate.schedule) - 1 if is_round(machine, states[begin:], fate.schedule[begin:]) else None


@cache
def _played(subject: Subject, sizes: Sizes, notifies: bool, name: str) -> tuple[Machine, Judge]:
    machine = Machine(_table(subject, None, notifies), sizes)
    return machine, Judge(machine, protocol.judgements(subject.ring), {name})


def _fault(ring: str, fate: Fate) -> str | None:
    """Say what is wrong with a record, if anything."""
    subject = Subject(ring, fate.revision)
    mutant = mutants_of(subject).get(fate.mutant)
    if mutant is None:
        return "there is no such mutant"
    if fate.killed_by is None:
        reason = mutation_of(ring).reasons.get(fate.mutant)
        return None if reason and fate.survives_because == reason else "survives, and nobody says why"
    if fate.killed_by in _broken(subject):
        return f"{fate.killed_by} is violated without it"
    sizes = Sizes(fate.queue_size, fate.region_size, fate.first_index)
    machine = Machine(_table(subject, mutant, fate.notifications), sizes)
    judge = Judge(machine, protocol.judgements(ring), {fate.killed_by})
    try:
        at = violated_at(machine, judge, fate)
    except ModelError as refused:
        return f"its schedule is none: {refused}"
    if at != len(fate.schedule) - 1:
        return f"{fate.killed_by} is violated {'nowhere' if at is None else f'by event {at}, before the end'}"
    try:
        innocent = violated_at(*_played(subject, sizes, fate.notifications, fate.killed_by), fate) is None
    except ModelError:
        innocent = True
    return None if innocent else f"the text violates {fate.killed_by} by this schedule too"


def check(ring: str, fates: Iterable[Fate] | None = None) -> Checked:
    """Play every record of a ring again, on the mutant and on the text.

    Find what has no record, and survivors unexplained.
    """
    told = load(ring) if fates is None else tuple(fates)
    faults = [f"{f.revision}, {f.mutant}: {fault}" for f in told if (fault := _fault(ring, f))]
    for subject in subjects(ring):
        known = {f.mutant for f in told if f.revision == subject.revision}
        faults += [f"{subject.revision}, {name}: not recorded" for name in mutants_of(subject) if name not in known]
    dead = {(f.revision, f.mutant) for f in told if f.killed_by}
    survivors = tuple((f.revision, f.mutant, str(f.survives_because)) for f in told if not f.killed_by)
    killers = {name: sum(f.killed_by == name for f in told) for name in NAMES}
    idle = tuple(name for name, number in killers.items() if not number)
    return Checked(len(dead), survivors, killers, idle, tuple(faults))


# The page


def _rows(ring: str, fates: Iterable[Fate], kind: str) -> Iterator[str]:
    by_name: dict[str, dict[str, Fate]] = {}
    for fate in fates:
        if fate.kind == kind:
            by_name.setdefault(fate.mutant, {}).setdefault(fate.revision, fate)
    sentences = {m.name: m.sentence for subject in subjects(ring) for m in mutants_of(subject).values()}
    for name, told in by_name.items():
        cells = [_verdict(told.get(s.revision)) for s in subjects(ring)]
        reason = next((f.survives_because for f in told.values() if f.survives_because), "")
        yield f"| {sentences[name]} | {' | '.join(cells)} | {reason} |"


def _verdict(fate: Fate | None) -> str:
    if fate is None:
        return "-"
    if fate.killed_by is None:
        return "nothing"
    again = "" if fate.repeats_from is None else f", again and again from event {fate.repeats_from}"
    return f"{fate.killed_by}, {len(fate.schedule)} events{again}"


def orders(ring: str, fates: Iterable[Fate] | None = None) -> str:
    """Write the page of a ring: which stores, orders and guards are needed, from the record."""
    told = load(ring) if fates is None else tuple(fates)
    revisions = [s.revision for s in subjects(ring)]
    lines = [mutation_of(ring).introduction]
    broken = " | ".join(f"{r} breaks" for r in revisions)
    for kind, title in TITLES.items():
        if not any(fate.kind == kind for fate in told):
            continue
        lines += [f"## {title}", "", f"| change | {broken} | why it is not needed |"]
        lines += ["|" + "---|" * (len(revisions) + 2), *_rows(ring, told, kind), ""]
    return "\n".join(lines)


TITLES = {
    "edit": "Edits of the revision",
    "swap": "Orders",
    "drop": "Stores",
    "guard": "Guards",
    "round": "Rounds without an end",
}


def main(arguments: list[str]) -> int:
    """Run a command: record, reasons, check, orders, each with a ring or for split. Return 0 if the record holds."""
    command, ring = (*arguments, "split")[:2] if arguments else ("check", "split")
    if command == "record":
        write(ring, record(ring, lambda line: print(line, flush=True)))
    elif command == "reasons":
        write(ring, explained(ring, load(ring)))
    elif command == "orders":
        print(orders(ring), end="")
        return 0
    result = check(ring)
    idle = ", ".join(result.idle) or "none"
    summary = f"{result.dead} dead, {len(result.survivors)} explained, properties that kill nothing: {idle}"
    print("\n".join(result.faults) or summary)
    return int(not result.holds)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
