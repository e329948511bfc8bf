"""The player: a schedule played on the reference, on real memory, in one process and without threads.

The reference reports each step to a hook. In the hook the player lets everybody else do what the schedule has next (the
driver, the device, a crash, a fetch inside an open batch), until the next event belongs to the procedure that waits in
the hook; then the hook returns, and the procedure goes on to its next step. A crash is an exception that nothing in the
reference catches: the queue object is thrown away, its memory stays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from refimpl.backend.queue import Queue, position
from refimpl.errors import InflightError, UsageError
from refimpl.hooks import DRIVER_STEPS_OF
from refimpl.split.queue import SplitQueue
from vhost_inflight.judging.play.driving import Driving
from vhost_inflight.judging.play.rings import judge_of, memory_of
from vhost_inflight.judging.play.schedule import NOTIFICATIONS, Event, Schedule
from vhost_inflight.judging.play.stopping import Stopping
from vhost_inflight.judging.play.world import Device

__all__ = ["FETCH", "DivergenceError", "EndlessError", "Player"]

FETCH: Final = ("fetch.look", "fetch.1", "idle.arm", "idle.unarmed", "idle.look", "idle.wake")
"""The steps, without the ring's name, with which the main loop begins to fetch or to rest."""


class DivergenceError(InflightError):
    """The reference did not do what the schedule has next. Raised at the first such step; the text names both."""


class _CrashError(BaseException):
    """The back-end dies. Nothing in the reference catches it."""


class _AnsweredError(BaseException):
    """The back-end answers that the ring is stopped, whatever it was doing. Nothing in the reference catches it."""


class _OverError(BaseException):
    """The schedule is over while a procedure waits in the hook."""


class EndlessError(BaseException):
    """More has happened since the schedule was over than any end takes. Nothing in the reference catches it."""


class Player:
    """Plays one schedule; see `play`.

    ``after`` is called after each event, with its place (from 0). ``to_end``: let the procedure that waits go on when
    the schedule is over, rather than stop; `play` then returns at the top of the back-end's loop. ``judge`` judges what
    happens. ``starts`` are copies of the memory at each start of a process, ``driving`` is its driver, ``stopping``
    what the front-end wants. ``endless``: after how many steps without a schedule the player gave up, 0 if it did not.
    """

    def __init__(self, schedule: Schedule, *, to_end: bool = False, after: Callable[[int], None] | None = None) -> None:
        """Make the world. Raises UsageError for choices and sizes that do not exist."""
        self.events: Sequence[Event] = schedule.events
        self.choices = schedule.choices()
        ring = schedule.ring
        self._silent = frozenset[str]() if schedule.notifications else NOTIFICATIONS[ring]
        self.stopping = Stopping(schedule.gaps)
        self._of_world = DRIVER_STEPS_OF[ring] | {"device.finish", "crash", "queue.other"} | self.stopping.of_world
        self._of_fetch = {f"{ring}.{name}" for name in FETCH}
        self._supplying = f"{ring}.supply.", f"{ring}.notify."
        self.memory = memory_of(self.choices, schedule.size, schedule.entries, schedule.first)
        self.device = Device()
        self.judge = judge_of(self.memory, self.device)
        self.place = 0
        self.queue: Queue | None = None
        self.starts: list[bytes] = []
        self.kicked = self.called = False
        self.after = after
        self._to_end = to_end
        self._free = False
        self._patience = self._left = 100 * (schedule.size + schedule.entries + len(schedule.events) + 100)
        self.endless = 0
        self._as_fresh = False
        self._recovering = False
        self._new_driver()

    def _new_driver(self) -> None:
        hook, taken = self._hook_of_driver, self._call_taken
        self.driving = Driving(self.memory, self.judge, hook, kick=self._kick, call_taken=taken)

    # The schedule

    @property
    def over(self) -> bool:
        """Whether every event has happened."""
        return self.place >= len(self.events)

    def play(self) -> None:
        """Play the schedule. Raises DivergenceError, and what the reference raises when it finds a rule broken."""
        while not self.over:
            try:
                self._next(self.events[self.place])
            except (_OverError, EndlessError):
                return
            except _CrashError:
                self._die()
            except _AnsweredError:
                self.answer()
                self._done(Event("stop.answer"))
        self._free = True

    def _next(self, event: Event) -> None:
        """Let the one whose turn it is begin: no procedure waits."""
        if event.step in self._of_world:
            self._world(event)
            return
        try:
            self._begin(event)
        except UsageError as error:
            raise DivergenceError(f"{self._where(event)}: the reference refuses: {error.rule}") from error

    def _begin(self, event: Event) -> None:
        if event.step.endswith((".start.fresh", ".start.adopt")) and self.queue is None:
            self.start()
            return
        queue = self._alive(event)
        if event.step in self._of_fetch:
            self._fetch(queue, event)
        elif event.step == "connection.kick":
            self.judge.recovery_begins()
            self._recovering = True
            queue.kick_fd_again()
        elif event.step in ("connection.reset", "ring.reset", "stop.answer"):
            self._end(event)
        elif event.step.endswith(".supply.1"):
            queue.supply(self._next_finished)
        elif event.step.endswith(".fetch.broken"):
            self._take_for_broken(queue, event)
        else:
            raise DivergenceError(f"{self._where(event)}: no procedure of the reference begins with it")
        if self.place < len(self.events) and self.events[self.place] is event:
            raise DivergenceError(f"{self._where(event)}: the reference did nothing")

    def _end(self, event: Event) -> None:
        """Let the back-end be done with the ring, between two procedures."""
        if event.step == "stop.answer":
            if self.stopping.drains and self.device.work:
                raise DivergenceError(f"{self._where(event)}: the device has not given back all that was fetched")
            self.answer()
            self._done(event)
            return
        self._stop()
        told = self.stopping.reset == "told" if event.step == "ring.reset" else self.choices.reset != "kept-alive"
        self._renew(event, region=told)

    @property
    def serving(self) -> Queue | None:
        """The back-end, if there is one and its recovery has ended."""
        return None if self._recovering else self.queue

    def _alive(self, event: Event) -> Queue:
        if self.queue is None:
            raise DivergenceError(f"{self._where(event)}: there is no back-end")
        return self.queue

    def _where(self, event: Event) -> str:
        return f"event {self.place + 1}, {event.text()}"

    def start(self) -> None:
        """Start a back-end process: recover, resubmit, be ready."""
        self._as_fresh = self.memory.hand_over()
        self._recovering = True
        self.starts.append(self.memory.image)
        self.queue = self.memory.queue(
            self._hook,
            self._submit,
            call=self._call,
            kick_taken=self._kick_taken,
            used_len=self.device.used_len,
            choose=self._choose,
        )
        self.queue.start()

    def _fetch(self, queue: Queue, event: Event) -> None:
        """Let the main loop take its next step of fetching or resting."""
        if self.stopping.asked and not event.step.endswith(".idle.look"):  # it asked to be kicked, and looks once more
            raise DivergenceError(f"{self._where(event)}: a back-end that is asked to stop fetches no more")
        match event.step.partition(".")[2]:
            case "fetch.look":
                queue.look()
            case "fetch.1":
                queue.take()
            case "idle.look":
                queue.look_again()
            case "idle.wake":
                queue.wake()
            case _:
                queue.arm()

    def _take_for_broken(self, queue: Queue, event: Event) -> None:
        """Let the back-end believe its driver no more, as it does behind its socket."""
        if isinstance(queue, SplitQueue) and (queue.seen_avail - queue.last_avail) % 65536 > queue.ring.size:
            queue.strict = True
            self._done(event)

    # What is reported

    def _hook(self, step: str, choice: int | None) -> None:
        """Take a report of the back-end, and let others act before it goes on."""
        if self._free:
            self.judge.event = self.place + 1
            self._tell(step, choice)
            self.spend()
            return
        if step in self._silent:
            return
        self._report(step, choice)
        if step != "queue.other":  # another queue's step, in which nothing of this one waits
            self._others_act(step)

    def spend(self) -> None:
        """Count a step without a schedule; raise EndlessError when there were too many."""
        self._left -= 1
        if self._left < 0:
            self.endless = self._patience
            raise EndlessError

    def _hook_of_driver(self, step: str, choice: int | None) -> None:
        if self._free or step in self._silent:
            return
        self._report(step, choice)

    def _report(self, step: str, choice: int | None) -> None:
        """Compare what was done with what the schedule has."""
        event = self.events[self.place]
        if self._as_fresh and step.endswith(".start.adopt"):
            self._as_fresh, step = False, event.step  # the front-end found it fresh, the back-end does not
        agreed = step == event.step and (choice is None or choice == event.choice)
        if not agreed:
            did = Event(step, choice).text()
            raise DivergenceError(f"{self._where(event)}: the reference did {did}")
        self._done(event)

    def _done(self, event: Event) -> None:
        """Judge what has happened, and go on to the next event."""
        self.judge.event = self.place + 1
        self._tell(event.step, event.choice)
        self.place += 1
        if self.after is not None:
            self.after(self.place - 1)

    def _tell(self, step: str, choice: int | None) -> None:
        """Let the judge judge a step, while there is a back-end."""
        if self.queue is None:
            return
        if step.endswith(".reconnect.ready"):
            self._recovering = False
        self.judge.happened(step, choice, self.queue)

    def _others_act(self, step: str) -> None:
        """Play what the schedule has for others than the procedure that waits after ``step``."""
        in_supply = step.startswith(self._supplying)
        while not self.over:
            event = self.events[self.place]
            if event.step in self._of_world:
                self._world(event)
            elif in_supply and event.step in self._of_fetch:
                self._fetch(self._alive(event), event)
            else:
                return
        if not self._to_end:
            raise _OverError
        self._free = True

    # What the back-end calls

    def _submit(self, head: int) -> None:
        assert self.queue is not None
        self.judge.event = self.place + 1
        self.judge.submitted(head, self._recovering, self.queue)
        self.device.submit(head, self.memory.told(head))

    def _choose(self, candidates: Sequence[int]) -> int:
        """Say which of the heads is resubmitted next: the schedule's, else the first."""
        wanted = None if self._free else self.events[self.place].choice
        return wanted if wanted is not None and wanted in candidates else candidates[0]

    def _next_finished(self) -> int | None:
        """Give the next head of the batch that the schedule builds; None when the next step is to publish it."""
        if self._free or not self.events[self.place].step.endswith(".supply.1"):
            return None
        event = self.events[self.place]
        if event.choice is None or not self.device.take(event.choice):
            raise DivergenceError(f"{self._where(event)}: the device has not finished it")
        return event.choice

    def _kick(self) -> None:
        self.kicked = True

    def _kick_taken(self) -> None:
        if not self.kicked:
            raise UsageError("there is no kick to take")
        self.kicked = False

    def _call(self) -> None:
        self.called = True

    def _call_taken(self) -> None:
        if not self.called:
            raise UsageError("there is no notification to take")
        self.called = False

    # The driver, the device, the end of a process

    def _world(self, event: Event) -> None:
        """Play one event of the world around the back-end."""
        if event.step == "crash":
            raise _CrashError
        if event.step == "driver.reset":
            self._renew(event, region=self.choices.reset != "kept")
        elif event.step == "device.finish":
            if not self.device.finish(event.choice if event.choice is not None else -1):
                raise DivergenceError(f"{self._where(event)}: the device does not work on it")
            self.judge.finished(event.choice if event.choice is not None else -1)
            self._done(event)
        elif event.step == "queue.other":
            self._other_queue(event)
        elif event.step == "ring.reset":
            self._renew(event, region=False)
        elif event.step.startswith("stop."):
            self._stops(event)
        else:
            self.drive(event)

    def _stops(self, event: Event) -> None:
        """Let the front-end ask for the ring to be stopped, or take it elsewhere without its region."""
        if event.step == "stop.answer":
            self._alive(event)
            raise _AnsweredError
        if event.step == "stop.ask":
            self._alive(event)
            self.stopping.asked = True
        elif event.step == "stop.other":
            self._alive(event)
            self._drop_work()
        else:
            self.memory.forget_region()
        self._done(event)

    def answer(self) -> None:
        """Stop the ring: what only the back-end knew of it is gone, and the front-end keeps where it is."""
        assert self.queue is not None
        if not self._recovering:
            self.memory.base = position(self.queue)
        self._stop()
        self.judge.died()

    def _die(self) -> None:
        self._stop()
        self.judge.died()
        self._done(Event("crash"))

    def _stop(self) -> None:
        """Let what only the back-end knew of the ring be gone."""
        self.queue = None
        self.stopping.asked = False
        self._drop_work()

    def _drop_work(self) -> None:
        """Let the device have nothing to do."""
        self.device.work.clear()
        self.device.given.clear()
        self.device.batch.clear()

    def _renew(self, event: Event, *, region: bool) -> None:
        """Give the ring a new driver, as a reset of the VM or of the ring does, and with ``region`` a fresh region."""
        self.memory.clear(region=region)
        self.kicked = self.called = False
        self.judge.reset()
        self._new_driver()
        self._done(event)

    def _other_queue(self, event: Event) -> None:
        """Let another queue count on in the counter that they share, or set it as its own recovery ends."""
        queue, number = self._alive(event), event.choice or 0
        counts_on = self.choices.counter_scope == "device-greatest"
        queue.other_queue(queue.counter.value + 1 + number if counts_on else number)

    def drive(self, event: Event) -> None:
        """Let the driver take a step. Raises DivergenceError when it is not its turn."""
        self.judge.event = self.place + 1
        try:
            self.driving.step(event.step, event.choice)
        except UsageError as error:
            raise DivergenceError(f"{self._where(event)}: the driver refuses: {error.rule}") from error
