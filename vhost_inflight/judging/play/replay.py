"""Replay: a schedule file played, each store printed with the memory that it changes, and the violation judged.

A schedule is played by the reference on real shared memory and judged by what really happened there. The reference
follows the texts and the choices of the gaps, but no mutants of them: a schedule of a mutant is played by the model's
interpreter instead, and what is printed says so; so is one of a choice that its revision does not leave open, one of
what a back-end of others does, and one on a memory that does not keep the order of the program.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from refimpl.errors import InflightError
from vhost_inflight.judging.play.drain import drain
from vhost_inflight.judging.play.judge import Violation
from vhost_inflight.judging.play.model_replay import replay_on_model
from vhost_inflight.judging.play.moments import Change, Moment, Replay
from vhost_inflight.judging.play.player import DivergenceError, Player
from vhost_inflight.judging.play.restart import not_restartable
from vhost_inflight.judging.play.rounds import Rounds, longer
from vhost_inflight.judging.play.schedule import Schedule, load
from vhost_inflight.telling import STDIO, write_json

__all__ = ["replay", "run"]


def replay(schedule: Schedule) -> Replay:
    """Play a schedule where it can be played, and judge it.

    Raises DivergenceError when the reference does otherwise than the schedule says, ScheduleError for a mutant or a
    memory that does not exist.
    """
    if schedule.mutant is not None or schedule.memory is not None or schedule.is_the_models_alone():
        return replay_on_model(schedule)
    return _replay_on_memory(schedule)


def _replay_on_memory(schedule: Schedule) -> Replay:
    """Play on the reference, over real shared memory; a run that goes round, for some rounds more."""
    moments: list[Moment] = []
    goes_round = schedule.repeats_from is not None
    player = Player(longer(schedule), to_end=not goes_round and "drains" in (schedule.property, schedule.witness))
    rounds = Rounds(schedule, player)
    before = player.memory.fields()

    def note(place: int) -> None:
        nonlocal before
        if goes_round:
            rounds.look(place)
        if place >= len(schedule.events):
            return
        now = player.memory.fields()
        changes = tuple(Change(name, before[name], value) for name, value in now.items() if value != before[name])
        shown = schedule.events[place].step == "crash" or place + 1 == len(schedule.events)
        picture = tuple(player.memory.picture()) if shown else ()
        moments.append(Moment(place + 1, schedule.events[place], changes, picture))
        before = now

    player.after = note
    refused = ""
    try:
        player.play()
    except DivergenceError:
        raise
    except InflightError as error:
        refused = str(error)
    if goes_round and (never := rounds.judged()):
        player.judge.violations.append(Violation("drains", len(schedule.events), never))
    elif not refused:
        _judge_the_end(schedule, player)
    violations = tuple(player.judge.violations)
    reproduced = _reproduced(schedule, violations, refused)
    return Replay("real shared memory", schedule.property, reproduced, tuple(moments), violations, refused)


def _reproduced(schedule: Schedule, violations: tuple[Violation, ...], refused: str) -> bool:
    names = {violation.property for violation in violations}
    if schedule.property is not None:
        return schedule.property in names
    if schedule.witness is not None:
        return not refused and schedule.witness not in names
    return not refused and not names


def _judge_the_end(schedule: Schedule, player: Player) -> None:
    """Judge what shows when the schedule is over: what never comes back, and whether recovery can be cut off."""
    end, judged = len(schedule.events), (schedule.property, schedule.witness)
    if "drains" in judged and schedule.repeats_from is None and (stuck := drain(player)):
        player.judge.violations.append(Violation("drains", end, stuck))
    if "restartable" in judged:
        dead = schedule.events[-1].step == "crash"  # what a successor would find
        for image in (*player.starts, *([player.memory.image] if dead else ())):
            if difference := not_restartable(player.memory, image):
                player.judge.violations.append(Violation("restartable", end, difference))
                return


def run(file: Path, *, json_file: Path | None = None) -> bool:
    """Play a schedule file and print it; return whether what it names was reproduced (the command ``replay``).

    The stores are written as JSON to ``json_file`` too, or with ``-`` to standard output instead. Raises ScheduleError
    for a file that is no schedule, DivergenceError when it cannot be followed.
    """
    schedule = load(file)
    played = replay(schedule)
    if json_file != STDIO:
        _print(schedule, played)
    if json_file is not None:
        write_json(json_file, _document(schedule, played))
    return played.reproduced


def _document(schedule: Schedule, played: Replay) -> dict[str, Any]:
    return {
        "ring": schedule.ring,
        "revision": schedule.revision,
        "gaps": dict(schedule.gaps),
        "mutant": schedule.mutant,
        "memory": dict(schedule.memory) if schedule.memory else None,
        "property": schedule.property,
        "repeats_from": schedule.repeats_from,
        "on": played.on,
        "reproduced": played.reproduced,
        "refused": played.refused or None,
        "violations": [{"property": v.property, "event": v.event, "reason": v.reason} for v in played.violations],
        "events": [
            {
                "event": moment.number,
                "step": moment.event.step,
                "choice": moment.event.choice,
                "stores": [{"field": c.field, "old": c.old, "new": c.new} for c in moment.changes],
                **({"memory": list(moment.picture)} if moment.picture else {}),
            }
            for moment in played.moments
        ],
    }


def _print(schedule: Schedule, played: Replay) -> None:
    """Print what was played: on a terminal as a table, elsewhere a line for each store, which a program can search."""
    from rich.console import Console  # noqa: PLC0415  # what prints needs it, what imports this may not

    console = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)
    choices = ", ".join(f"{gap}={choice}" for gap, choice in schedule.gaps.items()) or "the defaults of all gaps"
    mutant = f", mutant {schedule.mutant}" if schedule.mutant is not None else ""
    console.print(
        f"{schedule.ring}, {schedule.revision}{mutant}, {choices}; queue size {schedule.size}, on {played.on}"
    )
    if schedule.mutant is not None:
        console.print("The reference has no mutants: the model's interpreter played it.")
    if why := schedule.not_the_references():
        console.print(f"{why}: the model's interpreter played it.")
    if schedule.memory is not None:
        told = schedule.memory
        console.print(f"The {told['side']}'s accesses are on the memory of {told['kind']}, played by the model.")
        console.print(f"It may turn these two round: {told['free'][0]}, {told['free'][1]}.")
        console.print("memory.store N: others see the Nth store that waits; memory.load N: a load is made early.")
    if console.is_terminal:
        console.print(_table(played))
    else:
        for line in _lines(played):
            print(line)
    for violation in played.violations:
        if violation.text() not in played.verdict():
            console.print(violation.text(), style="red")
    if played.refused:
        console.print(f"It ended because a rule was found broken: {played.refused}")
    console.print(played.verdict(), style="green" if played.reproduced else "bold red")


def _table(played: Replay) -> Any:
    """Return a row for each event: its number, its step, the memory that it changes."""
    from rich.table import Table  # noqa: PLC0415  # as above

    wrong = {violation.event for violation in played.violations}
    table = Table("", "step", "memory that it changes", box=None, pad_edge=False)
    for moment in played.moments:
        style = "red" if moment.number in wrong else "bold" if moment.event.step == "crash" else ""
        changes = "\n".join(change.text() for change in moment.changes)
        table.add_row(str(moment.number), moment.event.text(), changes, style=style)
        for line in moment.picture:
            table.add_row("", "", f"  {line}", style="dim")
    return table


def _lines(played: Replay) -> Iterator[str]:
    """Yield a line for each store (and for each event without one): the event's number and step, and the change.

    What stands in the memory at a crash and at the end follows, each line with the event's number and step too.
    """
    for moment in played.moments:
        event = f"{moment.number} {moment.event.text()}"
        told = [change.text() for change in moment.changes] or [""]
        yield from (f"{event} {text}".rstrip() for text in (*told, *(f"| {line}".rstrip() for line in moment.picture)))
