"""Processes that share a work end together, and whoever starts them alone says so."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from proofs.workers import workers

PROGRAM = """
import os, signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background has it ignored
from proofs.workers import workers

def work(number):
    os.write(1, b"at work\\n")
    time.sleep(60)

with workers() as pool:
    list(pool.map(work, range(JOBS)))
"""


@pytest.mark.parametrize("jobs", [1, 8])
def test_interrupt(jobs: int) -> None:
    """Ctrl-C reaches every process of a terminal: workers say nothing and are gone, what waits for them says it."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM.replace("JOBS", str(jobs))],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "at work\n"
        for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
            os.kill(int(child), signal.SIGINT)
        time.sleep(0.5)  # one that hears it has time to say so
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=20)
    assert said.count("Traceback (most recent call last)") == 1
    assert said.endswith("KeyboardInterrupt\n")
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_killed(number: signal.Signals) -> None:
    """Whatever ends the one who waits, its workers end with it."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM.replace("JOBS", "8")], stdout=subprocess.PIPE, text=True, process_group=0
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "at work\n"
        process.send_signal(number)
        process.wait(20)
        end = time.monotonic() + 20
        while time.monotonic() < end:
            try:
                os.killpg(process.pid, 0)
            except ProcessLookupError:
                return
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGKILL)
        pytest.fail("a worker is left")


def fails(number: int) -> int:
    """Fail, or take long."""
    if number:
        time.sleep(60)
    raise ZeroDivisionError


def test_error() -> None:
    """An error in one worker ends the others at once."""
    started = time.monotonic()
    with pytest.raises(ZeroDivisionError), workers() as pool:
        list(pool.map(fails, range(4)))
    assert time.monotonic() - started < 20


def test_work() -> None:
    """All of it is done, in order; signals are as they were."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    with workers() as pool:
        assert list(pool.map(abs, [-1, 2, -3])) == [1, 2, 3]
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
