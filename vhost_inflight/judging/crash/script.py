"""A schedule file played by real processes: each takes its steps in the file's order, and dies where the file says.

Both processes are steered (vhost_inflight.judging.crash.steering), so that each event happens where the file has it,
every time. What differs from `replay`: the processes, the socket, the memory, the death; and the requests, which write
sectors of a disk. A chain of one descriptor is an indirect table: a disk's request has two at least.
"""

from __future__ import annotations

import tempfile
import time
from itertools import takewhile
from pathlib import Path
from typing import Any, NoReturn

from refimpl.backend.disk_queue import Schedule as Held
from refimpl.backend.reins import Order
from refimpl.errors import UsageError
from refimpl.hooks import BACKEND_STEPS_OF, DRIVER_STEPS_OF
from vhost_inflight.judging.crash.faults import GaveUpError
from vhost_inflight.judging.crash.judge_split import FINISH, Broken, CrashJudge
from vhost_inflight.judging.crash.outcome import Outcome, drained, end
from vhost_inflight.judging.crash.plan import Kill
from vhost_inflight.judging.crash.rig import Rig, Shape
from vhost_inflight.judging.crash.steered_guest import ScriptedGuest
from vhost_inflight.judging.crash.steering import WORDS, BackEndReins, DriverReins, Reins
from vhost_inflight.judging.play.player import FETCH
from vhost_inflight.judging.play.schedule import NOTIFICATIONS, Event, Schedule

__all__ = ["crashes_of"]

_ALONE = frozenset(
    {
        "driver.reset",
        "connection.reset",
        "queue.other",
        "ring.reset",
        "stop.ask",
        "stop.answer",
        "stop.move",
        "stop.other",
    }
)
"""Events of a device with more than this has: another queue, a guest that takes it anew, a ring that is stopped."""


class _LeftError(Exception):
    """A process does not take the step that the schedule has next. The text says where, and what it did."""


class _Play:
    """The processes, and how far the schedule is played; ``life`` has what the back-end did since its start."""

    def __init__(self, rig: Rig, schedule: Schedule, judge: CrashJudge, outcome: Outcome) -> None:
        """Begin at the first event."""
        assert rig.driver is not None
        self.rig, self.judge, self.outcome = rig, judge, outcome
        self.driver: DriverReins = rig.driver
        self.back_end: BackEndReins | None = None
        self.life: list[str] = []
        self.events, self.place = schedule.events, 0
        self.ring = schedule.ring
        self._silent = frozenset[str]() if schedule.notifications else NOTIFICATIONS[self.ring]
        self._own_way = False
        self._fetch = {f"{self.ring}.{name}" for name in FETCH}
        self._in_batch = f"{self.ring}.supply.", f"{self.ring}.notify.", "done"

    def play(self) -> None:
        """Play it. A back-end that recovers otherwise (the file of another revision) does so in its own way.

        Whoever else leaves the schedule is not followed further. Raises GaveUpError as the rig does.
        """
        try:
            for place, event in enumerate(self.events):
                self.place = place
                if event.step == "crash":
                    self.die()
                elif self._own_way and _in_recovery(event.step):
                    self._go_on_recovering(event)
                else:
                    self._take(event)
        except _LeftError as left:
            self.outcome.left, self.outcome.cut = f"{left}; what comes after that was not played", True

    def die(self) -> None:
        """Kill the back-end, and judge its life."""
        if self.back_end is None:
            return
        while self.life[-1] in ("packed.reconnect.4", "packed.reconnect.4.desc"):
            self._report(self.back_end.go())  # what is resubmitted is seen once the device has it
        self._own_way = False
        kill = Kill(self.life[-1], self.life.count(self.life[-1]))
        self.rig.kill()
        self.back_end = None
        self.outcome.kills += 1
        self.outcome.steps[kill.step] += 1
        self.judge.died(self.outcome.kills, kill.text(), self.rig.record(), self.rig.lines(), self.rig.region())

    def _take(self, event: Event) -> None:
        """Let the one whose event it is take that step. Raises _LeftError when it takes another, or none."""
        if event.step in DRIVER_STEPS_OF[self.ring]:
            said = self._until_it_steps(self.driver, self._order_of_driver(event))
        elif self.back_end is None:
            self.life = []
            self.back_end = self.rig.start_steered(0)
            said = self.back_end.at
            if event.step.endswith(".start.fresh") and said.what.endswith(".start.adopt"):
                said = Order(event.step, None)  # the front-end found it fresh, the back-end does not
        elif event.step == "connection.kick":
            said = self._kick_again(self.back_end)
        else:
            said = self._until_it_steps(self.back_end, (event.step, event.choice))
        self._report(said)
        if said.what == event.step and said.choice in (None, event.choice):
            return
        if not (_in_recovery(said.what) and _in_recovery(event.step)):
            self._leave(f"{said.what} came instead")
        where = f"event {self.place + 1}, {event.text()}: {said.what} came instead"
        self.outcome.left = self.outcome.left or f"{where}; the back-end recovered in its own way"
        self._own_way = not said.what.endswith(".ready")
        self._go_on_recovering(event)

    def _go_on_recovering(self, event: Event) -> None:
        """Let the back-end end its recovery where the schedule has the end of one."""
        if event.step.endswith(".reconnect.ready") and self.back_end is not None:
            while self._own_way:
                said = self.back_end.go()
                self._report(said)
                self._own_way = not said.what.endswith(".reconnect.ready")

    def _report(self, said: Order) -> None:
        if said.what in BACKEND_STEPS_OF[self.ring]:
            self.life.append(said.what)

    def _until_it_steps(self, reins: Reins, order: tuple[Any, ...]) -> Order:
        """Let a process go on to its next step that the schedule has; where it asks which, give the order."""
        ordered = False
        while True:
            if self._asks(reins, order[0]):
                if ordered:
                    self._leave("nothing came")
                ordered = True
                said = reins.go(*order)
            else:
                said = reins.go()
            if said.what not in WORDS and said.what not in self._silent:
                return said

    def _kick_again(self, back_end: BackEndReins) -> Order:
        """Give the kick file descriptor once more, when the main loop is at its top."""
        while back_end.at.what != "turn":
            said = back_end.go()
            if said.what not in WORDS and said.what not in self._silent:
                self._leave(f"{said.what} came instead")
        self.rig.front_end.give_kick(0)
        return back_end.go("listen")

    def _asks(self, reins: Reins, step: str) -> bool:
        """Whether a process is where a step is to be ordered, rather than where it follows by itself."""
        at = reins.at.what
        if at == "rest":
            self._leave("it rests")
        if at == "turn":
            return True
        if reins is self.driver:
            return False
        if at in ("next", "which"):
            return step.endswith(".supply.1") == (at == "next")
        return step == FINISH or (step in self._fetch and at.startswith(self._in_batch))

    def _order_of_driver(self, event: Event) -> tuple[Any, ...]:
        """Say to the driver which step comes, and of a new request, how many elements of the ring it takes."""
        if event.step != "driver.make.1":
            return event.step, 0
        rest = takewhile(lambda e: e.step != "driver.make.head", self.events[self.place :])
        return event.step, event.choice, 1 + sum(e.step == "driver.make.desc" for e in rest)

    def _leave(self, what: str) -> NoReturn:
        event = self.events[self.place]
        raise _LeftError(f"event {self.place + 1}, {event.text()}: {what}")


def _in_recovery(step: str) -> bool:
    """Return whether a step is one of a back-end's start."""
    return step.partition(".")[2].partition(".")[0] in ("start", "init", "reconnect", "position", "counter")


def crashes_of(schedule: Schedule, file: Path) -> Outcome:
    """Play a schedule with real processes, and judge each life, and what comes after the last.

    The back-end dies after the last event, and a last one lets everything come back; if the schedule is one that does
    not drain, it lives on and has to. ``file`` is where the schedule is from. Raises UsageError for a mutant, a ring
    that is too small for a disk, and events that this test has not; CrashTestError and OSError when it cannot go on.
    """
    _check(schedule)
    shape = Shape(schedule.choices(), schedule.size, schedule.entries, schedule.first)
    outcome = Outcome(shape, 0, file=file, wanted=schedule.property)
    started = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="vhost-inflight-") as folder,
        Rig(Path(folder), shape, 0, ScriptedGuest) as rig,
    ):
        rig.plan = Held(hold=1 << 16, idle=3600)  # nothing is finished but what the schedule has
        judge = rig.judge()
        outcome.broken = judge.broken
        play = _Play(rig, schedule, judge, outcome)
        try:
            play.play()
            _end(rig, play, schedule)
        except GaveUpError as error:
            judge.broken.append(Broken("drains", outcome.kills + 1, "by itself", str(error)))
        except KeyboardInterrupt:
            outcome.interrupted = True
        outcome.requests, outcome.resubmitted = judge.completed, judge.resubmitted
    outcome.seconds = time.monotonic() - started
    return outcome


def _check(schedule: Schedule) -> None:
    """Raise UsageError for a schedule that real processes cannot play."""
    if schedule.mutant is not None:
        raise UsageError("the reference has no mutants: only `replay` plays this file, on the model")
    if why := schedule.not_the_references():
        raise UsageError(f"{why}: only `replay` plays it, on the model")
    if schedule.memory is not None:
        raise UsageError(
            "real processes do not choose what a compiler or a processor does: only `replay` plays this file"
        )
    if schedule.size < 2:
        raise UsageError("a request to a disk takes two descriptors at least, and a ring of 1 has no room for them")
    alone = sorted({event.step for event in schedule.events} & _ALONE)
    if alone:
        raise UsageError(f"only `replay` plays {' and '.join(alone)}")


def _end(rig: Rig, play: _Play, schedule: Schedule) -> None:
    """Let everything come back, with the last back-end or one after it."""
    judge, outcome = play.judge, play.outcome
    lives_on = schedule.property == "drains" and play.back_end is not None and not outcome.left
    if not lives_on:
        play.die()
    if outcome.lost:
        return
    rig.plan = Held(hold=1, idle=0.01)
    rig.free_driver()
    if lives_on:
        rig.free_back_end()
        drained(rig, judge)
    else:
        end(rig, judge, outcome)
