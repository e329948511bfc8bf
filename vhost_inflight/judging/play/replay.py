"""Replay: a schedule file played, each store printed with the memory that it changes, and the violation judged.

A schedule is played by the reference on real shared memory and judged by what really happened there. The reference
follows the texts and the choices of the gaps, but no mutants of them: a schedule of a mutant is played by the model's
interpreter instead, and what is printed says so.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refimpl.errors import InflightError
from vhost_inflight.judging.play.drain import drain
from vhost_inflight.judging.play.flags import lap_words, words
from vhost_inflight.judging.play.judges.both import Violation
from vhost_inflight.judging.play.player import DivergenceError, Player
from vhost_inflight.judging.play.restart import not_restartable
from vhost_inflight.judging.play.schedule import Event, Schedule, load

__all__ = ["Change", "Moment", "Replay", "replay", "run"]


@dataclass(frozen=True, slots=True)
class Change:
    """A field of shared memory that an event changed, with its value before and after."""

    field: str
    old: int
    new: int

    def text(self) -> str:
        """Write it as ``field: old → new``; the flags of a packed descriptor in words."""
        if self.field.startswith(("ring.", "region.")) and self.field.endswith("].flags"):
            return f"{self.field}: {words(self.old)} → {words(self.new)}, {lap_words(self.new)}"
        return f"{self.field}: {self.old} → {self.new}"


@dataclass(frozen=True, slots=True)
class Moment:
    """One event that happened, its number (from 1), and what it changed in shared memory.

    ``picture`` shows what stands in the memory then, line by line: of a packed ring, at each crash and at the end.
    """

    number: int
    event: Event
    changes: tuple[Change, ...]
    picture: tuple[str, ...] = ()


@dataclass(frozen=True)
class Replay:
    """A schedule that was played: on what, what happened, which violations were seen, and how it ended.

    ``wanted`` is the property that the schedule names. ``reproduced``: that one was violated; of a witness: it was
    played to its end, and what it is a witness of holds; of any other schedule: nothing was violated. ``refused`` is
    the rule that one side found broken by the other at the end, if any.
    """

    on: str
    wanted: str | None
    reproduced: bool
    moments: tuple[Moment, ...]
    violations: tuple[Violation, ...]
    refused: str = ""

    def verdict(self) -> str:
        """Say in a sentence what came of it."""
        seen = [v.text() for v in self.violations if v.property == self.wanted] or [v.text() for v in self.violations]
        what = seen[0] if seen else "nothing is violated"
        return f"{'reproduced' if self.reproduced else 'NOT reproduced'} on {self.on}: {what}"


def replay(schedule: Schedule) -> Replay:
    """Play a schedule where it can be played, and judge it.

    Raises DivergenceError when the reference does otherwise than the schedule says, ScheduleError for a mutant that
    does not exist.
    """
    if schedule.mutant is not None:
        from vhost_inflight.judging.play.model_replay import replay_on_model  # noqa: PLC0415  # it imports this module

        return replay_on_model(schedule)
    return _replay_on_memory(schedule)


def _replay_on_memory(schedule: Schedule) -> Replay:
    """Play on the reference, over real shared memory."""
    moments: list[Moment] = []
    player = Player(schedule, to_end="drains" in (schedule.property, schedule.witness))
    before = player.memory.fields()

    def note(place: int) -> None:
        nonlocal before
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
    if not refused:
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
    if "drains" in judged and (stuck := drain(player)):
        player.judge.violations.append(Violation("drains", end, stuck))
    if "restartable" in judged:
        for image in player.starts:
            if difference := not_restartable(player.memory, image):
                player.judge.violations.append(Violation("restartable", end, difference))
                return


def run(file: Path, *, as_json: bool = False) -> bool:
    """Play a schedule file and print it; return whether what it names was reproduced (the command ``replay``).

    Raises ScheduleError for a file that is no schedule, DivergenceError when it cannot be followed.
    """
    schedule = load(file)
    played = replay(schedule)
    if as_json:
        print(json.dumps(_document(schedule, played), indent=2))
    else:
        _print(schedule, played)
    return played.reproduced


def _document(schedule: Schedule, played: Replay) -> dict[str, Any]:
    return {
        "ring": schedule.ring,
        "revision": schedule.revision,
        "gaps": dict(schedule.gaps),
        "mutant": schedule.mutant,
        "property": schedule.property,
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
    from rich.console import Console  # noqa: PLC0415  # what prints needs it, what imports this may not
    from rich.table import Table  # noqa: PLC0415

    console = Console(highlight=False, soft_wrap=True)
    choices = ", ".join(f"{gap}={choice}" for gap, choice in schedule.gaps.items()) or "the defaults of all gaps"
    mutant = f", mutant {schedule.mutant}" if schedule.mutant is not None else ""
    console.print(
        f"{schedule.ring}, {schedule.revision}{mutant}, {choices}; queue size {schedule.size}, on {played.on}"
    )
    if schedule.mutant is not None:
        console.print("The reference has no mutants: the model's interpreter played it.")
    wrong = {violation.event: violation for violation in played.violations}
    table = Table("", "step", "memory that it changes", box=None, pad_edge=False)
    for moment in played.moments:
        style = "red" if moment.number in wrong else "bold" if moment.event.step == "crash" else ""
        changes = "\n".join(change.text() for change in moment.changes)
        table.add_row(str(moment.number), moment.event.text(), changes, style=style)
        for line in moment.picture:
            table.add_row("", "", f"  {line}", style="dim")
    console.print(table)
    for violation in played.violations:
        console.print(f"{violation.text()}", style="red")
    if played.refused:
        console.print(f"It ended because a rule was found broken: {played.refused}")
    console.print(played.verdict(), style="green" if played.reproduced else "bold red")
