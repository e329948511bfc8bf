"""A schedule played by the model's interpreter: for mutants of the text, which the reference does not have."""

from __future__ import annotations

from model import protocol
from model.interpret import Machine, Sizes, StateTuple
from model.protocol import Subject
from model.record import SHARED
from model.steps import Table
from model.terms import ModelError
from proofs.induction.kits import kit
from proofs.search.judges import Judge
from proofs.search.runs import runs
from refimpl.names import no_such
from vhost_inflight.judging.play.judge import Violation
from vhost_inflight.judging.play.model_reasons import Reasons
from vhost_inflight.judging.play.moments import Change, Moment, Replay
from vhost_inflight.judging.play.schedule import Schedule, ScheduleError

__all__ = ["SIZE_MAX", "replay_on_model"]

SIZE_MAX = 1024
"""Most descriptors of the ring, and entries of the region: a state of the model has all of them."""


def replay_on_model(schedule: Schedule) -> Replay:
    """Play a schedule on the model, over numbers, and judge its property as the model does.

    Raises ScheduleError when there is no such mutant, or when the ring or the region is larger than the model plays;
    ModelError, naming the event, when one is not possible in its place.
    """
    if max(schedule.size, schedule.entries) > SIZE_MAX:
        what = f"{schedule.size} and {schedule.entries}"
        raise ScheduleError(f"at queue_size or region_size: {what}, but the model plays up to {SIZE_MAX} of each")
    machine = Machine(_table(schedule), Sizes(schedule.size, schedule.entries, schedule.first), check=True)
    judge = Judge(machine, protocol.judgements(schedule.ring), [schedule.property] if schedule.property else [])
    reasons = Reasons(machine)
    state, moments, violations = machine.initial(), [], []
    before = _fields(machine, state)
    for number, event in enumerate(schedule.events, start=1):
        chosen = -1 if event.choice is None else event.choice
        try:
            after = machine.take(state, event.step, chosen)
        except ModelError as error:
            raise ModelError(f"event {number}, {event.text()}: {error}") from error
        reasons.happens(event.step, state)
        if schedule.property in judge.event(state, (machine.index[event.step], chosen, after)):
            step = machine.table.steps[event.step]
            why = reasons.of_event(schedule.property, step, chosen, state, after)
            violations.append(Violation(schedule.property, number, why))
        now = _fields(machine, after)
        changes = tuple(Change(name, before[name], value) for name, value in now.items() if value != before[name])
        moments.append(Moment(number, event, changes))
        state, before = after, now
    if not violations and schedule.property and schedule.property in judge.state(state):
        violations.append(Violation(schedule.property, len(moments), reasons.of_state(schedule.property, state)))
    reproduced = bool(violations) or schedule.property is None
    return Replay("the model's interpreter", schedule.property, reproduced, tuple(moments), tuple(violations))


def _table(schedule: Schedule) -> Table:
    """Give the table of the schedule's revision, choices and mutant."""
    subject = Subject.of(schedule.ring, schedule.revision, schedule.gaps)
    table = protocol.table(subject)
    if schedule.mutant is not None:
        mutation = kit(schedule.ring).mutation
        known = {mutant.name: mutant for mutant in mutation.mutants(table)} if mutation is not None else {}
        if schedule.mutant not in known:
            raise ScheduleError(no_such("mutant", schedule.mutant, sorted(known)))
        table = table.edited(known[schedule.mutant].edits)
    return table if schedule.notifications else runs(schedule.ring).quiet(table)


def _fields(machine: Machine, state: StateTuple) -> dict[str, int]:
    """Give every field of shared memory with its value."""
    found: dict[str, int] = {}
    for place, var in enumerate(machine.table.vars.values()):
        if var.kind not in SHARED or var.kind == "eventfd":
            continue
        if var.limit is None:
            found[var.name] = state[place]
            continue
        array, _, rest = var.name.partition("[]")
        found |= {f"{array}[{number}]{rest}": value for number, value in enumerate(state[place])}
    return found
