"""Conjuncts of the properties' predicates: is each of them needed? For each there is a run that it alone notices.

A property is a conjunction: what each used element says, what each entry of the region says. A conjunct that no run
breaks alone could be left out of the predicate, by a slip too, and nobody would see it. So of each conjunct of each
judgement a run is recorded after whose last event the judgement is violated, and is not if the conjunct is left out.
It is a run of a text that is wrong: a gap's other choice, a mutant, or a slip (`proofs.induction.kits.Slip`).

``python -m proofs.challenges.conjuncts [record] [split|packed]`` checks the record (of both rings, where none is
named). ``record`` first looks for runs of those conjuncts that have none, among the recorded runs, then by a search of
the slips and of the mutants (minutes).
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

from model import protocol
from model.interpret import Machine, Sizes, StateTuple, Successor
from model.properties import Judgement
from model.protocol import Subject
from model.record import record_term
from model.steps import Edit, Table
from model.terms import ModelError, Term, all_of, any_of, choice, ite, negate, show, substitute, walk
from proofs.challenges import fates
from proofs.challenges.mutants import Remembering, mutants_of, mutation_of
from proofs.search.bounds import Bounds, Event
from proofs.search.breadth_first import explore_with
from proofs.search.judges import Judge
from proofs.search.runs import runs
from proofs.verdicts import load_schedule, recorded, recorded_folder

__all__ = [
    "Alone", "Checked", "Conjunct", "check", "check_some", "conjuncts", "conjuncts_of", "load", "record", "weakened",
]  # fmt: skip

BODY = {"forall": (True, 3), "exists": (False, 3), "met": (False, 5)}
"""Quantified terms that are a conjunction if they hold, or if they do not; and where their body stands."""

Part = tuple[Term, Term]
"""A conjunct of a sentence, and the sentence less it."""


def weakened(term: Term, holds: bool = True) -> Iterator[Part]:
    """Give each conjunct of a sentence, with the sentence less it; without `holds`, of the sentence's negation.

    What stands in a disjunction, a condition or a quantifier counts where the whole is a conjunction of as many
    sentences: *a or (b and c)* has two. A sentence that cannot be taken apart is its own conjunct.
    """
    if not _nothing(term, holds):
        yield from list(_apart(term, holds)) or [(term, all_of()) if holds else (negate(term), any_of())]


def _nothing(term: Term, holds: bool) -> bool:
    """Whether a sentence says nothing."""
    return term.op == ("and" if holds else "or") and not term.args


def _apart(term: Term, holds: bool) -> Iterator[Part]:
    """Give the conjuncts of a sentence that can be taken apart."""
    op, args = term.op, term.args
    if op == "not":
        yield from _in(term, 0, _apart(_arg(term, 0), not holds))
    elif op in ("and", "or"):
        of = weakened if (op == "and") == holds else _apart
        for place in range(len(args)):
            yield from _in(term, place, of(_arg(term, place), holds))
    elif op == "ite":
        for place in (1, 2):
            yield from _in(term, place, weakened(_arg(term, place), holds))
    elif op in BODY and BODY[op][0] == holds:
        yield from _in(term, BODY[op][1], _apart(_arg(term, BODY[op][1]), holds))
    elif op == "==" and holds and _arg(term, 1).op == "ite":
        condition, then, otherwise = (_arg(_arg(term, 1), place) for place in range(3))
        yield from _apart(ite(condition, _arg(term, 0) == then, _arg(term, 0) == otherwise), holds)


def _arg(term: Term, place: int) -> Term:
    arg = term.args[place]
    assert isinstance(arg, Term)
    return arg


def _in(term: Term, place: int, parts: Iterable[Part]) -> Iterator[Part]:
    """Give conjuncts of an argument as those of the term."""
    for part, rest in parts:
        yield part, Term(term.op, (*term.args[:place], rest, *term.args[place + 1 :]))


@dataclass(frozen=True)
class Conjunct:
    """A conjunct of one judgement: in words, the judgement's sentence, and that sentence less the conjunct."""

    judgement: Judgement
    text: str
    whole: Term
    rest: Term

    @property
    def name(self) -> str:
        """Name it: property, where that is judged, what it says."""
        return f"{self.judgement.property}, {self.judgement.tag}: {self.text}"

    def alone(self) -> Judgement:
        """Give the judgement that is violated where this conjunct is false and no other."""
        sentence = any_of(self.whole, negate(self.rest))
        return Judgement(self.name, self.judgement.tag, self.judgement.before, lambda *_: sentence)


OF_READINGS = frozenset({"publish others", "stores", "publish in order", "publish one in order"})
"""Where only a reading of `hardened`, or what came later, is judged: their own records have the runs."""


@cache
def conjuncts(ring: str) -> tuple[Conjunct, ...]:
    """Give the conjuncts of every judgement of a ring but those of readings alone."""
    return tuple(conjuncts_of(ring, (j for j in protocol.judgements(ring) if j.tag not in OF_READINGS)))


def conjuncts_of(ring: str, judgements: Iterable[Judgement]) -> Iterator[Conjunct]:
    """Give the conjuncts of some judgements."""
    variables = protocol.table(Subject(ring, protocol.revisions(ring)[-1])).vars
    for judgement in judgements:
        needed = [p for p in inspect.signature(judgement.predicate).parameters.values() if p.default is p.empty]
        chosen = (choice(),) if sum(p.kind is not p.VAR_POSITIONAL for p in needed) == 2 else ()
        whole = record_term(variables, judgement.predicate, *chosen)
        for part, rest in weakened(whole):
            yield Conjunct(judgement, _words(part), whole, rest)


def _words(term: Term) -> str:
    """Write a conjunct as a reader would, with letters for the numbers that it is said of."""
    bound: dict[object, str] = {}

    def lettered(node: Term) -> Term | None:
        return Term("bound", (bound.setdefault(node.args[0], "ijkl"[len(bound)]),)) if node.op == "bound" else None

    inner = {n.args[0] for n in walk(term) if n.op in (*BODY, "count", "total", "greatest", "follow")}
    free = substitute(term, lambda n: lettered(n) if n.op == "bound" and n.args[0] not in inner else None)
    return show(free).removeprefix("(").removesuffix(")")


# Runs


@dataclass(frozen=True)
class Alone:
    """A run after whose last event one conjunct is false, and no other of its judgement.

    `changed`: the mutant or the slip of the text with these choices, if it is one of a changed text.
    """

    conjunct: str
    revision: str
    gaps: Mapping[str, str]
    changed: str | None
    notifications: bool
    queue_size: int
    region_size: int
    first_index: int
    schedule: tuple[Event, ...]

    def machine(self, ring: str) -> Machine:
        """Build the machine that plays it, of its own steps alone; raise `ModelError` where there is no such change."""
        subject = Subject.of(ring, self.revision, self.gaps)
        table = _changed(subject, self.changed, self.notifications)
        taken = {event[0] for event in self.schedule}
        table = replace(table, steps={name: step for name, step in table.steps.items() if name in taken})
        return Machine(table, Sizes(self.queue_size, self.region_size, self.first_index))


def _changed(subject: Subject, change: str | None, notifications: bool) -> Table:
    """Give the table of a subject with a mutant's or a slip's edits."""
    edits = _edits(subject.ring, subject.revision)
    if change is not None and change not in edits:
        raise ModelError(f"there is no mutant and no slip {change!r} of {subject.revision}")
    table = protocol.table(subject).edited(() if change is None else edits[change])
    table = table if notifications else runs(subject.ring).quiet(table)
    return Remembering(table.ring, table.vars, table.steps, table.guards, table.history)


@cache
def _edits(ring: str, revision: str) -> Mapping[str, Sequence[Edit]]:
    """Give the edits of what is changed in a revision, by name."""
    told = mutation_of(ring)
    mutants = mutants_of(Subject(ring, revision)).values() if revision in told.revisions else ()
    return {change.name: change.edits for change in (*mutants, *told.slips)}


def load(ring: str, folder: Path | None = None) -> tuple[Alone, ...]:
    """Read the record of a ring."""
    path = (folder or recorded_folder(ring)) / "conjuncts.json"
    told = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    return tuple(Alone(**{**entry, "schedule": fates.events(entry["schedule"])}) for entry in told)


def write(ring: str, found: Iterable[Alone], folder: Path | None = None) -> None:
    """Write the record of a ring, an entry a line."""
    lines = ",\n ".join(json.dumps(asdict(alone)) for alone in found)
    ((folder or recorded_folder(ring)) / "conjuncts.json").write_text(f"[{lines}]\n", encoding="utf-8")


# Checking


@dataclass(frozen=True)
class Checked:
    """What `check` found: how many conjuncts a ring's judgements have, and what is wrong."""

    conjuncts: int
    faults: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether each conjunct has a run that breaks it alone."""
        return not self.faults

    def text(self) -> str:
        """Say it in a line, and what is wrong in lines of their own."""
        faults = "".join(f"\n    wrong: {fault}" for fault in self.faults)
        return f"{self.conjuncts} conjuncts, {'not ' * bool(faults)}each broken alone by a recorded run{faults}"


def check(ring: str, told: Iterable[Alone] | None = None) -> Checked:
    """Play the recorded runs; find which conjunct has none that breaks it alone, and which run is of no conjunct."""
    told = load(ring) if told is None else tuple(told)
    names, recorded_of = [c.name for c in conjuncts(ring)], {alone.conjunct for alone in told}
    missing = [f"{name}: no run is recorded that breaks it alone" for name in names if name not in recorded_of]
    return Checked(len(names), (*check_some(ring, told), *missing))


def check_some(ring: str, told: Iterable[Alone]) -> list[str]:
    """Play some runs; say what is wrong with those that do not break their conjunct alone."""
    known = {c.name: c for c in conjuncts(ring)}
    return [f"{alone.conjunct}: {fault}" for alone in told if (fault := _fault(ring, known, alone))]


def _fault(ring: str, known: Mapping[str, Conjunct], alone: Alone) -> str | None:
    """Say what is wrong with a record, if anything."""
    if alone.conjunct not in known:
        return "no judgement has such a conjunct"
    try:
        machine = alone.machine(ring)
        state, last = _before_last(machine, alone.schedule)
    except ModelError as refused:
        return f"its run is none: {refused}"
    judge = Judge(machine, [known[alone.conjunct].alone()], {alone.conjunct})
    return None if judge.event(state, last) else "its run does not break it, or breaks more than it"


def _before_last(machine: Machine, schedule: Sequence[Event]) -> tuple[StateTuple, Successor]:
    """Play a schedule; give the state before its last event, and that event with the state after it."""
    before = after = machine.initial()
    number = chosen = -1
    for event in schedule:
        number, chosen, before = machine.index.get(event[0], -1), event[1] if len(event) > 1 else -1, after
        after = machine.take(before, event[0], chosen)
    return before, (number, chosen, after)


# Searching


def _recorded_runs(ring: str) -> Iterator[Alone]:
    """Give the runs that are recorded for other reasons: counterexamples, and those that kill mutants."""
    for verdict in recorded(ring):
        if verdict.counterexample:
            s = load_schedule(recorded_folder(ring) / verdict.counterexample)
            yield Alone(
                "", s.revision, s.gaps, None, s.notifications, s.queue_size, s.region_size, s.first_index, s.events
            )
    for fate in fates.load(ring):
        yield Alone(
            "", fate.revision, {}, fate.mutant, fate.notifications, fate.queue_size, fate.region_size, fate.first_index,
            fate.schedule,
        )  # fmt: skip


def _broken_alone(ring: str, run: Alone, left: Sequence[Conjunct]) -> Iterator[Alone]:
    """Give the shortest part of a run that breaks each of some conjuncts alone."""
    machine = run.machine(ring)
    judge = Judge(machine, [c.alone() for c in left], {c.name for c in left})
    state, seen = machine.initial(), set()
    for number, event in enumerate(run.schedule, start=1):
        chosen = event[1] if len(event) > 1 else -1
        after = machine.take(state, event[0], chosen)
        for name in judge.event(state, (machine.index[event[0]], chosen, after)):
            if name not in seen:
                yield replace(run, conjunct=name, schedule=run.schedule[:number])
                seen.add(name)
        state = after


def _search(subject: Subject, change: str, bounds: Bounds, entries: int, left: Sequence[Conjunct]) -> Iterator[Alone]:
    """Search a changed text for runs; an index that leaves its array ends the search."""
    sizes = Sizes(bounds.size, entries, bounds.first)
    machine = Machine(_changed(subject, change, notifications=False), sizes)
    judge = Judge(machine, [c.alone() for c in left], {c.name for c in left})
    try:
        found = explore_with(judge, bounds, every=True).violations
    except IndexError:
        found = {}
    for name, schedule in found.items():
        yield Alone(
            name, subject.revision, dict(subject.choices), change, False, sizes.size, entries, sizes.first, schedule
        )


def _runs(ring: str, left: Mapping[str, Conjunct]) -> Iterator[Alone]:
    """Give runs that break conjuncts alone: recorded ones, then those of slips, then those of mutants.

    `left` may lose conjuncts meanwhile: they are looked for no more.
    """
    for run in _recorded_runs(ring):
        yield from _broken_alone(ring, run, list(left.values()))
    told = mutation_of(ring)
    for slip in told.slips:
        subject = _latest(ring, slip.choices)
        for bounds in slip.bounds:
            yield from _search(subject, slip.name, bounds, slip.entries or bounds.size, list(left.values()))
    few = replace(told.levels[0].bounds, states=20_000)
    subject = Subject(ring, told.revisions[-1])
    for name, mutant in mutants_of(subject).items():
        if left and mutant.kind != "round":
            yield from _search(subject, name, few, few.size, list(left.values()))


def _latest(ring: str, choices: Mapping[str, str]) -> Subject:
    """Give the latest revision that leaves some gaps open, with these choices."""
    open_in = [r for r in protocol.revisions(ring) if all(protocol.gaps(ring)[gap].open_in(r) for gap in choices)]
    return Subject.of(ring, open_in[-1], choices)


def record(ring: str, told: Iterable[Alone] = (), progress: Callable[[str], None] = print) -> list[Alone]:
    """Look for runs of the conjuncts of which nothing that was told holds; write each as soon as it is known."""
    known = {c.name: c for c in conjuncts(ring)}
    found = {alone.conjunct: alone for alone in told if not _fault(ring, known, alone)}
    left = {name: conjunct for name, conjunct in known.items() if name not in found}
    for alone in _runs(ring, left):
        if alone.conjunct in left:
            del left[alone.conjunct]
            found[alone.conjunct] = alone
            write(ring, (found[name] for name in known if name in found))
            progress(f"{alone.conjunct}: {alone.changed or alone.revision}, {len(alone.schedule)} events")
    return list(found.values())


def main(arguments: list[str]) -> int:
    """Check the record of the rings that are named, or of both; search before that with `record`."""
    names = [a for a in arguments if a != "record"] or list(protocol.RINGS)
    good = True
    for ring in names:
        if "record" in arguments:
            record(ring, load(ring), lambda line: print(line, flush=True))
        checked = check(ring)
        print(f"{ring}: {checked.text()}")
        good = good and checked.holds
    return int(not good)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
