"""Several crash tests at once, each in a process of its own, with a seed of its own.

A life is mostly the system's work (a fork, its pages, its end), and one process waits for another: one test leaves a
second core half idle. Each of these tests is what it would be alone, event by event.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from typing import Final, Self

from refimpl.errors import InflightError
from vhost_inflight.forked import ENDING
from vhost_inflight.judging.crash.faults import CrashTestError
from vhost_inflight.judging.crash.outcome import Outcome
from vhost_inflight.judging.crash.plan import Kill

__all__ = ["side_by_side"]

Test = Callable[[int, Callable[[Kill], None]], Outcome]
"""Runs the crash test of a seed, and tells of each kill."""

_ENDED: Final = 60.0
"""Seconds in which a test that was interrupted has ended."""

_FORK: Final = multiprocessing.get_context("fork")


def side_by_side(test: Test, seeds: Sequence[int], progress: Callable[[Kill], None]) -> list[Outcome]:
    """Run the test of each seed at the same time; return their outcomes in order.

    ``progress`` is called with the kills of all. Ctrl-C interrupts all, and each gives what there is. Raises what the
    first that failed raised, and CrashTestError for one that died; whatever is raised here, none is left running.
    """
    with contextlib.ExitStack() as stack:
        tests = [stack.enter_context(_Running(test, seed)) for seed in seeds]
        try:
            _listen(tests, progress)
        except KeyboardInterrupt:
            for one in tests:
                one.interrupt()
            _listen(tests, lambda _kill: None)
        return [one.outcome for one in tests if one.outcome is not None]


class _Running:
    """A test in a process; ``outcome`` is None until it has told."""

    def __init__(self, test: Test, seed: int) -> None:
        """Start it."""
        self.outcome: Outcome | None = None
        self.heard, tells = _FORK.Pipe(duplex=False)
        self._process = _FORK.Process(target=_run, args=(test, seed, tells))
        before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)  # and so they stay in it
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        tells.close()

    def hear(self) -> Kill | None:
        """Take a message, and give it if it is a kill; raise what it says was raised."""
        try:
            said: Kill | Outcome | Exception = self.heard.recv()
        except EOFError as ended:
            raise CrashTestError("one of the tests that run side by side ended without a word") from ended
        if isinstance(said, Exception):
            raise said
        if isinstance(said, Kill):
            return said
        self.outcome = said
        return None

    def interrupt(self) -> None:
        """Interrupt it as Ctrl-C does, if it still runs."""
        if self._process.is_alive() and self._process.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGINT)

    def __enter__(self) -> Self:
        """Return it, to be ended at the end of the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Interrupt it, and wait for its end."""
        self.heard.close()
        self.interrupt()
        self._process.join(_ENDED)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._process.close()


def _listen(tests: Sequence[_Running], progress: Callable[[Kill], None]) -> None:
    """Listen to all until each has told its outcome."""
    while waiting := {one.heard: one for one in tests if one.outcome is None}:
        for heard in wait(list(waiting)):
            assert isinstance(heard, Connection)
            if (kill := waiting[heard].hear()) is not None:
                progress(kill)


def _run(test: Test, seed: int, tells: Connection) -> None:
    """Be the process: run the test, and tell of it. Ctrl-C at a terminal is for the parent, which passes it on.

    What ends it is looked for after each kill, and held back otherwise: what it tells is told whole.
    """
    os.setpgid(0, 0)
    ends = {signal.SIGINT, *(number for number in ENDING if signal.getsignal(number) != signal.SIG_IGN)}
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # one that waits is forgotten when it is set to be ignored once more

    def progress(kill: Kill) -> None:
        if signal.sigpending() & ends:
            raise KeyboardInterrupt
        tells.send(kill)

    with contextlib.suppress(BrokenPipeError):  # nobody may want to know any more
        try:
            tells.send(test(seed, progress))
        except (InflightError, OSError) as error:
            tells.send(error)
