"""A schedule file played on the model: the states that it goes through, and the property that it violates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from model import protocol
from model.interpret import Machine, Sizes, StateTuple
from model.protocol import Subject
from model.record import SHARED
from model.steps import Recorded, Table
from model.terms import ModelError, Term
from proofs.induction.kits import kit
from proofs.search.judges import Judge
from proofs.search.livelock import is_round
from proofs.search.runs import runs

__all__ = ["FORMAT", "Moment", "Run", "Store", "play"]

FORMAT = "vhost-inflight schedule 1"


@dataclass(frozen=True)
class Store:
    """A store that was made: the variable, the index in it (None: no array), the number stored."""

    name: str
    index: int | None
    value: int

    def text(self) -> str:
        """Write it as ``field := number``."""
        array, _, rest = self.name.partition("[]")
        target = self.name if self.index is None else f"{array}[{self.index}]{rest}"
        return f"{target} := {self.value}"


@dataclass(frozen=True)
class Moment:
    """One event of a run: its place (from 1), its step, its choice (-1: none), the states before and after it."""

    number: int
    recorded: Recorded
    choice: int
    before: StateTuple
    after: StateTuple
    stores: tuple[Store, ...]
    violates: str | None

    @property
    def id(self) -> str:
        """The step's id."""
        return self.recorded.step.id


@dataclass(frozen=True)
class Run:
    """A schedule that was played; `repeats_from` is the number of the event from which it goes round for ever."""

    subject: Subject
    machine: Machine
    moments: tuple[Moment, ...]
    mutant: str | None
    property: str | None
    violated: str | None
    repeats_from: int | None = None

    def value(self, state: StateTuple, name: str) -> Any:
        """Read a variable by its full name."""
        return self.machine.get(state, name)


def play(schedule: Mapping[str, Any]) -> Run:
    """Play the contents of a schedule file.

    A schedule with or without the notifications is played on the table that it was made for, and so is one of a mutant.
    Raise `ModelError` if it is no such file, if there is no such mutant, or if an event is not possible in its place.
    """
    if schedule.get("format") != FORMAT:
        raise ModelError(f"not a schedule: its format is {schedule.get('format')!r}, not {FORMAT!r}")
    subject = Subject.of(schedule["ring"], schedule["revision"], schedule.get("gaps", {}))
    sizes = Sizes(schedule["queue_size"], schedule["region_size"], schedule["first_index"])
    try:
        return _run(subject, sizes, schedule, quiet=False)
    except ModelError:
        # Searches that do not depend on notifications leave them out; if this is no such schedule either, it is wrong.
        if any(event[0] not in _table(subject, schedule, quiet=True).steps for event in schedule["schedule"]):
            raise
        return _run(subject, sizes, schedule, quiet=True)


def _run(subject: Subject, sizes: Sizes, schedule: Mapping[str, Any], *, quiet: bool) -> Run:
    machine = Machine(_table(subject, schedule, quiet=quiet), sizes, check=True)
    wanted = schedule.get("property")
    judge = Judge(machine, protocol.judgements(subject.ring), [wanted] if wanted else [])
    moments = tuple(_moments(machine, judge, schedule["schedule"]))
    violated = next((m.violates for m in moments if m.violates), None)
    begin = schedule.get("repeats_from")
    if begin is not None:
        round_ = [tuple(event) for event in schedule["schedule"][begin - 1 :]]
        states = [moments[begin - 1].before, *(m.after for m in moments[begin - 1 :])]
        violated = violated or ("drains" if is_round(machine, states, round_) else None)
    elif violated is None and moments:
        violated = next(iter(judge.state(moments[-1].after)), None)
    return Run(subject, machine, moments, schedule.get("mutant"), wanted, violated, begin)


def _table(subject: Subject, schedule: Mapping[str, Any], *, quiet: bool) -> Table:
    """Give the table of the subject, changed as the schedule's mutant says, if it is about one."""
    name = schedule.get("mutant")
    if name is None:
        return protocol.table(subject, quiet=quiet)
    told = protocol.table(subject)
    mutation = kit(subject.ring).mutation
    known = {mutant.name: mutant for mutant in mutation.mutants(told)} if mutation else {}
    if name not in known:
        raise ModelError(f"there is no mutant {name!r} of {subject.ring} {subject.revision}")
    changed = told.edited(known[name].edits)
    return runs(subject.ring).quiet(changed) if quiet else changed


def _moments(machine: Machine, judge: Judge, events: Iterable[list[Any]]) -> Iterable[Moment]:
    state = machine.initial()
    for number, event in enumerate(events, start=1):
        step_id, chosen = str(event[0]), int(event[1]) if len(event) > 1 else -1
        try:
            after = machine.take(state, step_id, chosen)
        except ModelError as error:
            raise ModelError(f"event {number} of the schedule: {error}") from error
        place = machine.index[step_id]
        recorded = machine.steps[place]
        violates = next(iter(judge.event(state, (place, chosen, after))), None)
        yield Moment(number, recorded, chosen, state, after, _stores(machine, recorded, state, chosen), violates)
        state = after


def _stores(machine: Machine, recorded: Recorded, state: StateTuple, chosen: int) -> tuple[Store, ...]:
    """Give what a step stores to shared memory in a state; what all of memory becomes at a reset is no store."""
    if recorded.step.world:
        return ()
    made = []
    for assign in recorded.assigns:
        if machine.table.vars[assign.name].kind in SHARED:
            index = int(machine.term(assign.index)(state, chosen)) if isinstance(assign.index, Term) else None
            made.append(Store(assign.name, index, int(machine.term(assign.value)(state, chosen))))
    return tuple(made)
