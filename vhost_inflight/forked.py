"""A back-end's process, forked from this one: it has imported all that it needs, and serves at once."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import select
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Collection, Iterator
from typing import IO, Any, NoReturn

__all__ = ["ENDING", "ForkedBackEnd", "fork", "held_signals"]

_ENDED = 60.0
"""Seconds in which a process that was killed has ended."""

ENDING = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
"""What ends this program, by an exception."""


@contextlib.contextmanager
def held_signals() -> Iterator[None]:
    """Hold back what ends this program while it forks a process, and until somebody knows of that.

    Python ignores what is raised in the functions that it calls at a fork: a SIGTERM then would be lost. And Ctrl-C
    goes to every process of a terminal: to one that is not yet what it will be, too, which does not hear it. (A mask
    would not do: it is one thread's, and Python handles in the main thread what came to any.)
    """
    if threading.current_thread() is not threading.main_thread():  # which alone handles signals
        yield
        return
    came: list[int] = []
    before: dict[signal.Signals, Any] = {}
    try:
        for number in ENDING:
            before[number] = signal.signal(number, lambda sent, _: came.append(sent))
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for sent in dict.fromkeys(came):
            signal.raise_signal(sent)


class ForkedBackEnd:
    """A process, in a group of its own, that runs a back-end and exits with what ``run`` returns.

    Its standard error is ``said``; of the open files it has those named by ``keep`` and standard output. Raises
    OSError when the system refuses another process. To be made with signals held, and closed once it has ended.
    """

    def __init__(self, run: Callable[[], int], said: IO[bytes], keep: Collection[int] = ()) -> None:
        """Start it."""
        self.code: int | None = None
        self.pid = fork(run, said.fileno(), keep)
        try:
            self._ended = os.pidfd_open(self.pid)
        except OSError:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            raise

    def ends_within(self, seconds: float) -> bool:
        """Wait for its end; return whether it came. Then ``code`` is its exit status, or minus the signal's number."""
        if self.code is None:
            poll = select.poll()
            poll.register(self._ended, select.POLLIN)
            if poll.poll(seconds * 1000):
                self.code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.code is not None

    def dies(self) -> None:
        """Kill it, if it lives, and do not wait for its end."""
        if self.code is None:
            signal.pidfd_send_signal(self._ended, signal.SIGKILL)

    def kill(self) -> None:
        """Kill it, if it lives, and wait for its end."""
        self.dies()
        self.ends_within(_ENDED)

    def close(self) -> None:
        """Kill it, if it lives, and let go of it."""
        if self._ended >= 0:
            self.kill()
            os.close(self._ended)
            self._ended = -1


def fork(run: Callable[[], int], said: int, keep: Collection[int] = ()) -> int:
    """Start one as `ForkedBackEnd` says, and return its process, which is the caller's to wait for."""
    if not (pid := os.fork()):
        _be(run, said, keep)
    return pid


def _be(run: Callable[[], int], said: int, keep: Collection[int]) -> NoReturn:
    """Be the back-end from here on; nothing of the parent's runs any more."""
    code = 1
    try:
        _begin_anew(said, keep)
        code = run()
    except SystemExit as ends:
        code = ends.code if isinstance(ends.code, int) else 1
    except BaseException:  # noqa: BLE001  # whatever it is, it must not get into the parent's code
        traceback.print_exc()
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.flush()
    os._exit(code)


def _begin_anew(said: int, keep: Collection[int]) -> None:
    """Be as a process that was just started: nothing of the parent's is open, nor will be closed by what it left."""
    gc.freeze()
    os.setpgid(0, 0)
    os.dup2(said, 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208  # each life begins so: no path for each descriptor
        if (fd := int(name)) > 2 and fd not in keep:  # the streams
            _close(fd)
    # of their own: a thread of the parent's may have held the lock of the others
    sys.stdout, sys.stderr = (open(fd, "w", closefd=False) for fd in (1, 2))  # noqa: SIM115
    logging.getLogger().handlers.clear()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def _close(fd: int) -> None:
    try:
        os.close(fd)
    except OSError:
        return  # the one by which the folder was listed
