"""Processes that share a work: one for each core, started by fork, so that what was made before is not made again.

Ctrl-C at a terminal goes to every process that runs there. Here the one that started the others hears it alone, and
takes them with it: a worker that was interrupted too would print where it was.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

__all__ = ["workers"]


@contextlib.contextmanager
def workers() -> Iterator[ProcessPoolExecutor]:
    """Give the processes; whatever ends the block early (Ctrl-C, an error of one of them) ends them at once."""
    before = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(mp_context=multiprocessing.get_context("fork"))
    try:
        held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # whoever is forked now never hears it
        try:
            pool.submit(int).result()  # with the first job all of them are
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, held)
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)  # what nobody waits for is dropped before they die
        for process in set(multiprocessing.active_children()) - before:
            process.kill()
            process.join()
        raise
    pool.shutdown()
