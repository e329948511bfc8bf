"""The driver of the crash test, steered: it stops after each of its steps until it is told to go on.

Each report is a pair, a step's id and its choice, or ``("turn", None)``: which step comes next? ``("rest", 0)``: it
sleeps, and ``("rest", 1)``: it has found the back-end wrong. It sends reports, in one list, where it waits, and is
answered by an order: ``go``; a number, that is ``go`` so many times in advance, though it waits at ``rest`` and at a
kick in any case, since the back-end may move then; ``record`` and ``move``, after which it waits on; ``free``, after
which it goes on unsteered and makes nothing more; and to ``turn`` a step's id, with the head and the length of the
chain where it is the first of a request.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from refimpl.errors import UsageError
from refimpl.packed.driver import PackedDriver
from vhost_inflight.judging.crash.guest import MADE, CrashGuest

__all__ = ["ScriptedGuest", "SteeredGuest"]


_STOPS = frozenset({"rest", "driver.kick.1"})


class SteeredGuest(CrashGuest):
    """See CrashGuest: it decides itself what it does, but not when."""

    free = False
    _ahead = 0
    _kept: tuple[tuple[str, int | None], ...] = ()

    def pause(self, step: str, choice: int | None = None) -> None:
        """Report a step, and wait until it is to go on."""
        self.ask(step, choice)

    def ask(self, step: str, choice: int | None = None) -> Any:
        """Report a step, and return what is ordered; ``go`` when free. Raises EOFError when it is to stop."""
        if self.free:
            return "go"
        self._kept += ((step, choice),)
        if self._ahead and step not in _STOPS:
            self._ahead -= 1
            return "go"
        self.control.send(self._kept)
        self._kept = ()
        while (order := self.control.recv()) in ("record", "move"):
            if order == "move":
                self.move()
            else:
                self.hand_over()
        if isinstance(order, int):
            self._ahead = order - 1
            return "go"
        self._ahead = 0
        if order == "stop":
            raise EOFError
        if order == "free":
            self.free, self.making = True, False
            return "go"
        return order

    def wait(self) -> bool:
        """Wait to be woken, if asleep; return False when told to stop."""
        if self.free:
            return super().wait()
        if self.driver.asleep or self.broken:
            self.pause("rest", int(self.broken))
            if not (self.free or self.broken):
                self.wake()
        return True


class ScriptedGuest(SteeredGuest):
    """One that takes no step but those that it is ordered to; one whose turn it is not is not taken."""

    _request: Iterator[None] = iter(())
    _kick_due = False

    def loop(self) -> None:
        """Do what is ordered; then, when free, end what was begun and go on as others do."""
        while not self.free:
            order = self.ask(*(("rest", 1) if self.broken else ("turn", None)))
            if order != "go":
                with contextlib.suppress(UsageError):
                    self._take(*order)
        for _ in self._request:
            self._kick_due = True
        if self._kick_due:
            self.driver.kick_if_wanted()
        super().loop()

    def _take(self, step: str, head: int = 0, length: int = 0) -> None:
        """Take a step. Raises UsageError when it is not its turn."""
        driver = self.driver
        if step == "driver.make.1":
            self._request = driver.making(*self.described(head, length), indirect=length == 1)
        if step.startswith("driver.make."):
            next(self._request, None)
            self._kick_due = self._kick_due or step in MADE
            return
        if step == "driver.use":
            if driver.used_waiting:
                self.use_one()
            return
        self._kick_due = self._kick_due and step not in ("driver.kick.1", "driver.kick.none")
        steps = {
            "driver.kick.look": driver.kick_look,
            "driver.kick.1": driver.kick,
            "driver.kick.none": driver.kick_none,
            "driver.sleep.1": driver.sleep_store,
            "driver.sleep.again": driver.sleep_again,
            "driver.sleep.2": driver.sleep,
            "driver.wake": driver.wake,
        }
        if isinstance(driver, PackedDriver):
            steps |= {"driver.sleep.index": driver.sleep_index, "driver.wake.quiet": driver.wake_quiet}
        steps[step]()
