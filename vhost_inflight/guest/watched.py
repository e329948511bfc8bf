"""A guest at its load, watched: whether it gets on, what it finds wrong, and in the end whether the image is right."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from typing import Final

from refimpl.errors import UsageError
from vhost_inflight.guest.back_end import GuestOutcome, Served
from vhost_inflight.guest.machine import GuestError, is_packed
from vhost_inflight.guest.prepare import QEMU_VARIABLE
from vhost_inflight.guest.sides import Side

__all__ = ["PATIENCE", "Watched"]

PATIENCE: Final = 20.0
"""Seconds in which a guest whose back-end is left alone has to get on, before it counts as hung."""

_COMPLAINTS: Final = ("I/O error", "is not a head", "virtio_blk", "BUG", "Kernel panic")


class _KilledError(GuestError):
    """Somebody else killed a back-end that was to live: nothing follows for what was tested."""


class Watched:
    """A guest and its back-end, wherever they are; what it finds goes to ``outcome``.

    ``load`` is the order for its console that begins the load, ``moved`` when writes came back last.
    """

    def __init__(self, side: Side[Served], outcome: GuestOutcome, writers: int) -> None:
        """Begin on a side where nothing has booted; ``writers`` write to the disk at a time."""
        self.machine, self.back_end = side.machine, side.back_end
        self.outcome = outcome
        self.load = f"load verify /dev/vda {writers}"
        self.moved = time.monotonic()
        self._writes, self._steps = 0, 0

    def lives_through(self, run: Callable[[], None]) -> None:
        """Run a test, and note in the outcome what it broke, that it was interrupted, and what the guest said last."""
        started = time.monotonic()
        try:
            run()
        except _KilledError as error:
            self.outcome.unjudged.append(str(error))
        except GuestError as error:
            self.outcome.broken.append(f"{error}; the back-end said: {self.back_end.said()}")
        except KeyboardInterrupt:
            self.outcome.interrupted = True
        list(self.machine.lines())
        self.outcome.console = self.machine.console[-12:]
        self.outcome.seconds = time.monotonic() - started

    def boot(self) -> None:
        """Let the guest boot, with a back-end that lives on. Raises UsageError when it does not come up as asked."""
        try:
            self._boot()
        except GuestError as error:  # nobody was killed yet
            raise UsageError(f"{self._unbooted()}; {error}; the back-end said: {self.back_end.said()}") from error

    def _unbooted(self) -> str:
        """Say who has to mend what when the guest does not come up: a back-end that serves may hang it."""
        qemu = f"what QEMU runs in, or name another QEMU (--qemu, {QEMU_VARIABLE})"
        if not self.outcome.disk and self.machine.is_served():
            return (
                "the guest did not get its disk from a back-end that serves it, so nothing was judged: look at the "
                "back-end, which may hang the guest (try it without one: `conformance --backend-cmd`, of our own "
                f"crash-test without --guest), or at {qemu}"
            )
        return f"the guest did not boot, so nothing was judged: mend {qemu}"

    def _boot(self) -> None:
        self.back_end.start()
        self.outcome.disk = self.machine.booted(self.back_end.complain)
        if is_packed(self.outcome.disk) != (self.outcome.ring == "packed"):
            raise GuestError(f"the guest does not use the {self.outcome.ring} ring: {self.outcome.disk}")

    def gets_on(self) -> None:
        """Leave the back-end, which runs, alone until the guest gets on. Raises GuestError when it does not.

        It gets on when it says so twice: once it may say what came back before.
        """
        wanted, deadline = self._steps + 2, time.monotonic() + PATIENCE
        while self._steps < wanted:
            self.watch()
            self.has_to_live()
            if time.monotonic() > deadline:
                raise GuestError(f"hung: nothing moved for {PATIENCE:.0f} seconds with a back-end that lives")
            time.sleep(0.05)

    def has_to_live(self) -> None:
        """Raise GuestError when a back-end that nobody kills has ended: it is not the guest that hangs then."""
        if self.back_end.died():
            raise _KilledError(
                "somebody else killed the back-end (the system, if memory is short?), so nothing was judged; try again"
            )

    def watch(self) -> None:
        """Read the guest's console. Raises GuestError for what it found wrong, or complains about."""
        for line in self.machine.lines():
            if line.startswith("LOAD"):
                writes = int(line.split()[3])
                if writes != self._writes:
                    self.moved = time.monotonic()
                    self._steps += 1
                self._writes = writes
            elif line.startswith("RESULT") or any(word in line for word in _COMPLAINTS):
                raise GuestError(line)

    def stop(self) -> None:
        """Let the guest's jobs end. Raises GuestError when they found something wrong."""
        self.machine.say("stop")
        result = self.machine.wait_for("RESULT", 90.0, self.has_to_live)
        if not result.startswith("RESULT ok"):
            raise GuestError(result)
        self.outcome.rounds += int(result.split()[2])
        self.outcome.writes += int(result.split()[4])

    def compare(self) -> None:
        """Compare what the guest reads with the image. Raises GuestError when that is not the same."""
        self.machine.say("md5")
        told = self.machine.wait_for("MD5", 60.0, self.has_to_live).split()[1]
        wanted = hashlib.md5(self.back_end.image.read_bytes(), usedforsecurity=False).hexdigest()
        if told != wanted:
            raise GuestError(f"the guest reads {told}, the image is {wanted}")
