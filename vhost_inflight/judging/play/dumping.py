"""The memory at one moment of a run, as a state that the command ``recover`` reads."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from refimpl.backend.dump import state_of
from refimpl.errors import InflightError, UsageError
from vhost_inflight.judging.play.player import DivergenceError, Player
from vhost_inflight.judging.play.schedule import Schedule, load
from vhost_inflight.telling import STDIO, write_json

__all__ = ["run", "state_at"]


def state_at(schedule: Schedule, moment: str) -> dict[str, Any]:
    """Play a schedule up to a moment, and return what the ring and the region hold then.

    ``moment`` is the number of an event, from 1, as `replay` prints them: right after it; ``crash``, right after the
    last crash, or ``crash:2`` the second one; or ``end``. Raises UsageError for a moment that the run does not have,
    and for a run of a mutant or of a memory of its own, which is played without the bytes of a ring; DivergenceError
    where the run cannot be followed up to there.
    """
    if schedule.mutant is not None or schedule.memory is not None:
        raise UsageError(
            "--dump-at: a run of a mutant, or on a memory of its own, is played by the model: it has no bytes"
        )
    last = _event(schedule, moment)
    found: dict[str, Any] = {}

    def note(place: int) -> None:
        if place + 1 == last:
            memory = player.memory
            found.update(state_of(memory.ring, memory.region, choices=memory.choices, base=memory.base))
            if schedule.events[place].step == "stop.answer":
                found["stopped"] = schedule.gaps["stop"]

    player = Player(schedule, after=note)
    try:
        player.play()
    except DivergenceError:
        if not found:
            raise
    except InflightError as error:
        if not found:
            raise UsageError(
                f"--dump-at {moment}: the run ends before, where a rule is found broken: {error}"
            ) from error
    return found


def _event(schedule: Schedule, moment: str) -> int:
    """Return the number of the event, from 1, that a moment comes after."""
    events, crashes = len(schedule.events), [n for n, e in enumerate(schedule.events, 1) if e.step == "crash"]
    if moment == "end":
        return events
    if moment.isdecimal() and 1 <= int(moment) <= events:
        return int(moment)
    told = re.fullmatch(r"crash(?::([1-9][0-9]*))?", moment)
    number = int(told[1] or len(crashes)) if told else 0
    if told and 1 <= number <= len(crashes):
        return crashes[number - 1]
    what = f"the number of one of its {events} events, end" + (", crash or crash:N" if crashes else "")
    many = f" (it has {len(crashes)} crashes)" if told else ""
    raise UsageError(f"--dump-at {moment}: no moment of this run{many}; there are: {what}")


def run(file: Path, moment: str, *, json_file: Path | None = None) -> bool:
    """Write the state at a moment of a schedule to ``json_file`` or to standard output (``replay --dump-at``)."""
    write_json(json_file or STDIO, state_at(load(file), moment))
    return True
