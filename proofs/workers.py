"""Processes that share a work: one for each core, started by fork, so that what was made before is not made again.

Ctrl-C at a terminal goes to every process that runs there. Here the one that started the others hears it alone, and
takes them with it: a worker that was interrupted too would print where it was.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Final

__all__ = ["workers"]

_PR_SET_PDEATHSIG: Final = 1
"""Of prctl(2)."""


@contextlib.contextmanager
def workers() -> Iterator[ProcessPoolExecutor]:
    """Give the processes; whatever ends the block early (Ctrl-C, an error of one of them) ends them at once."""
    before = set(multiprocessing.active_children())
    threads = set(threading.enumerate())
    context = multiprocessing.get_context("fork")
    pool = ProcessPoolExecutor(mp_context=context, initializer=_die_with_parent, initargs=(os.getpid(),))
    try:
        held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # whoever is forked now never hears it
        try:
            pool.submit(int).result()  # with the first job all of them are
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, held)
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        _dropped(pool)
        for process in set(multiprocessing.active_children()) - before:
            process.kill()
            process.join()
        for thread in set(threading.enumerate()) - threads:
            thread.join(10)  # the pool's: it would close what Python writes to when it exits
        raise
    pool.shutdown()


def _die_with_parent(parent: int) -> None:
    """Have the kernel end this process when the one that started it is gone, however that ended."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # gone before that was said
        os._exit(1)


def _dropped(pool: ProcessPoolExecutor) -> None:
    """Wait until the pool has dropped what nobody waits for, a second at most.

    A thread of its own does that. If it saw the processes die first, it would end jobs that are cancelled already, and
    print a traceback. Nothing public says when it is done.
    """
    for _ in range(100):
        if not getattr(pool, "_cancel_pending_futures", False):
            return
        time.sleep(0.01)
