"""The crashes of a schedule file, for real: processes killed where it says, as far as processes can be steered.

What is taken from the file, life by life: which requests the driver makes and how long their chains are, how many of
them the device holds back and in which order it finishes them, the size of the first batch, and the step after which
the process is killed; the last one right after the last step of the file. When the driver sees what comes back, and
what is fetched before what, is left to the processes.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any

from refimpl.errors import BackEndError, UsageError
from refimpl.hooks import BACKEND_STEPS_OF
from vhost_inflight.judging.crash.guest import Record
from vhost_inflight.judging.crash.judge_split import Broken
from vhost_inflight.judging.crash.outcome import Outcome, end
from vhost_inflight.judging.crash.plan import Kill
from vhost_inflight.judging.crash.rig import Rig
from vhost_inflight.judging.play.schedule import Event, Schedule

__all__ = ["Life", "crashes_of", "lives"]

PATIENCE = 2.0
"""Seconds in which a process has to come to its step, and the driver to do what it does meanwhile."""

_NEVER = 3600.0


@dataclass
class Life:
    """One life of the back-end: what the driver makes before and in it, what the device does, and how it ends.

    ``requests`` are heads with the number of elements that each takes; ``held`` is how many the device has when it
    finishes the first, ``order`` the requests in the order in which they are supplied (packed: by entry), ``batch`` how
    many of them come in the first batch.
    """

    requests: list[tuple[int, int]] = field(default_factory=list)
    held: int = 0
    order: list[int] = field(default_factory=list)
    batch: int = 0
    kill: Kill = field(default_factory=lambda: Kill(seconds=PATIENCE))

    def plan(self) -> dict[str, Any]:
        """Give the back-end's plan: nothing is finished before as much is held back as in the schedule."""
        if not self.order:
            return {"hold": 1 << 16, "idle": _NEVER}
        return {"hold": max(self.held, 1), "order": self.order, "batch": self.batch, "idle": PATIENCE / 4}


def lives(schedule: Schedule) -> list[Life]:
    """Cut a schedule at its crashes; the life after the last ends with the schedule."""
    cut: list[list[Event]] = [[]]
    for event in schedule.events:
        if event.step == "crash":
            cut.append([])
        else:
            cut[-1].append(event)
    return [_life(schedule.ring, events) for events in cut]


def _life(ring: str, events: list[Event]) -> Life:
    steps = [event.step for event in events]
    given = f"{ring}.fetch.submit", f"{ring}.reconnect.4.submit", "split.reconnect.2"
    supplied = [number for number, step in enumerate(steps) if step == f"{ring}.supply.1"]
    life = Life(requests=list(_requests(events)))
    if supplied:
        life.held = sum(step in given for step in steps[: supplied[0]])
        life.order = [events[number].choice or 0 for number in supplied]
        rest = takewhile(lambda step: step not in ("packed.supply.6a", "split.supply.5"), steps[supplied[0] :])
        life.batch = sum(step == f"{ring}.supply.1" for step in rest)
    own = [step for step in steps if step in BACKEND_STEPS_OF[ring]]
    if own:
        # the device has what is resubmitted when its chain is gathered, and only then is it seen
        last = "packed.reconnect.4.submit" if own[-1] == "packed.reconnect.4" else own[-1]
        life.kill = Kill(last, own.count(own[-1]))
    return life


def _requests(events: list[Event]) -> Iterator[tuple[int, int]]:
    """Give the requests that the driver makes: head, and elements of the ring."""
    head, length = 0, 0
    for event in events:
        if event.step == "driver.make.1":
            head, length = event.choice or 0, 1
        elif event.step == "driver.make.desc":
            length += 1
        elif event.step in ("driver.make.3", "driver.make.head"):
            yield head, length


def crashes_of(schedule: Schedule, file: Path) -> Outcome:
    """Play the crashes of a schedule with real processes, and judge each life, and what comes after the last.

    ``file`` is where the schedule is from. Raises UsageError for a mutant, a reset of the VM, and a ring that is too
    small for a disk.
    """
    if schedule.mutant is not None:
        raise UsageError("the reference has no mutants: only `replay` plays this file, on the model")
    if any(event.step.endswith(".reset") for event in schedule.events):
        raise UsageError("no process here resets its VM: only `replay` plays this file")
    if schedule.size < 2:
        raise UsageError("a request to a disk takes two descriptors at least, and a ring of 1 has no room for them")
    outcome = Outcome(schedule.ring, schedule.revision, schedule.size, 0, file=file, gaps=schedule.choices().changed())
    started = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="vhost-inflight-") as folder,
        Rig(Path(folder), schedule.choices(), schedule.size, 0, scripted=True) as rig,
    ):
        judge = rig.judge()
        outcome.broken = judge.broken
        try:
            for life in lives(schedule):
                _live(rig, life, outcome)
                record = _rested(rig, len(life.requests))
                judge.died(outcome.kills, life.kill.text(), record, rig.lines(), rig.region())
            if not outcome.lost:
                rig.plan({"hold": 1, "idle": 0.01})
                end(rig, judge, outcome)
        except BackEndError as error:
            judge.broken.append(Broken("drains", outcome.kills + 1, "by itself", f"the back-end gave up: {error}"))
        outcome.requests, outcome.resubmitted = judge.completed, judge.resubmitted
    outcome.seconds = time.monotonic() - started
    return outcome


def _live(rig: Rig, life: Life, outcome: Outcome) -> None:
    """Let the driver make its requests, and a back-end live until it is killed."""
    rig.order(life.requests)
    rig.plan(life.plan())
    rig.start(outcome.kills, life.kill)
    reached = rig.wait(PATIENCE)
    rig.kill()
    outcome.kills += 1
    outcome.steps[life.kill.step if reached else f"not reached: {life.kill.step}"] += 1


def _rested(rig: Rig, wanted: int) -> Record:
    """Wait until the driver has made what it was told to, or cannot; return what it did, and let it rest."""
    whole = rig.record()
    deadline = time.monotonic() + PATIENCE
    while len(whole.made) < wanted and time.monotonic() < deadline:
        rig.control.send("go")
        time.sleep(0.01)
        more = rig.record()
        more.made, more.lengths, more.used = (
            whole.made + more.made,
            whole.lengths + more.lengths,
            whole.used + more.used,
        )
        more.errors = whole.errors + more.errors
        whole = more
    return whole
