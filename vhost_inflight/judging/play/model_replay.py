"""A schedule played by the model's interpreter: for mutants of the text and kinds of memory.

The reference has no mutants, and no say in what a compiler or a processor does.
"""

from __future__ import annotations

from model import protocol
from model.interpret import Machine, Sizes, StateTuple
from model.memory.accesses import made
from model.protocol import Subject
from model.record import SHARED
from model.steps import Table
from model.terms import ModelError
from proofs.induction.kits import kit
from proofs.orders.runs import MemoryRun, judge_of
from proofs.search.judges import Judge
from proofs.search.livelock import is_round
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

    Raises ScheduleError when there is no such mutant or memory, or when the ring or the region is larger than the model
    plays; ModelError, naming the event, when one is not possible in its place.
    """
    if max(schedule.size, schedule.entries) > SIZE_MAX:
        what = f"{schedule.size} and {schedule.entries}"
        raise ScheduleError(f"at queue_size or region_size: {what}, but the model plays up to {SIZE_MAX} of each")
    judge = _judge_under(schedule) if schedule.memory else _judge(schedule)
    machine = judge.machine
    reasons = Reasons(machine)
    states, moments, violations = [machine.initial()], [], []
    before = _fields(machine, states[0])
    for number, event in enumerate(schedule.events, start=1):
        chosen = -1 if event.choice is None else event.choice
        state = states[-1]
        try:
            after = machine.take(state, event.step, chosen)
        except ModelError as error:
            raise ModelError(f"event {number}, {event.text()}: {error}") from error
        reasons.happens(event.step, state)
        if schedule.property in judge.event(state, (machine.index[event.step], chosen, after)):
            step = machine.table.steps.get(event.step)
            why = reasons.of_event(schedule.property, step, chosen, state, after) if step else "as others see it now"
            violations.append(Violation(schedule.property, number, why))
        now = _fields(machine, after)
        changes = tuple(Change(name, before[name], value) for name, value in now.items() if value != before[name])
        moments.append(Moment(number, event, changes))
        states.append(after)
        before = now
    if schedule.repeats_from is not None:
        begin = schedule.repeats_from - 1
        steps = [(e.step,) if e.choice is None else (e.step, e.choice) for e in schedule.events[begin:]]
        if is_round(machine, states[begin:], steps):
            why = f"{schedule.round()}; {reasons.waiting(states[-1])} never comes back"
            violations.append(Violation("drains", len(moments), why))
    elif not violations and schedule.property and schedule.property in judge.state(states[-1]):
        violations.append(Violation(schedule.property, len(moments), reasons.of_state(schedule.property, states[-1])))
    reproduced = bool(violations) or schedule.property is None
    return Replay("the model's interpreter", schedule.property, reproduced, tuple(moments), tuple(violations))


def _judge(schedule: Schedule) -> Judge:
    machine = Machine(_table(schedule), Sizes(schedule.size, schedule.entries, schedule.first), check=True)
    return Judge(machine, protocol.judgements(schedule.ring), [schedule.property] if schedule.property else [])


def _judge_under(schedule: Schedule) -> Judge:
    """Give the judge of a schedule on a kind of memory, with the pair that the file leaves to it."""
    assert schedule.memory is not None
    told = schedule.memory
    events = tuple((e.step,) if e.choice is None else (e.step, e.choice) for e in schedule.events)
    run = MemoryRun(
        schedule.ring, told["side"], told["kind"], tuple(told["free"]), tuple(told["past"]), told["window"],
        schedule.property or "", schedule.size, schedule.first, schedule.notifications, events,
    )  # fmt: skip
    try:
        side, judge = run.side, judge_of(run)
    except (LookupError, ModelError) as unknown:
        raise ScheduleError(f"at memory: {unknown}") from unknown
    machine = judge.under
    if Subject.of(schedule.ring, schedule.revision, schedule.gaps) != side.subject:
        raise ScheduleError(f"at memory: the {run.part} is that of {side.subject.name}, not of this revision and gaps")
    if machine.sizes.entries != schedule.entries:
        raise ScheduleError(f"at region_size: on a kind of memory it is {machine.sizes.entries} here")
    known = sorted(a.name for m in made(protocol.table(side.subject), side.agent).values() for a in m.all)
    for name in (*run.free, *run.past):
        if name not in known:
            raise ScheduleError(f"at memory: {no_such('access', name, known)}")
    return judge


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
