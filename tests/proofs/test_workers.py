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
        assert not left(process)


# The program that is killed here says "at work" as soon as one worker is; to another it has said nothing yet. Time
# for its death to come first.
LATE = """
import ctypes, os, time
from pathlib import Path
os.cpu_count = lambda: 2
real, first = ctypes.CDLL, Path(FIRST)

def late(name):
    try:
        first.touch(exist_ok=False)
    except FileExistsError:
        os.write(1, b"late\\n")
        time.sleep(1)
    return real(name)

ctypes.CDLL = late
"""


def test_killed_at_start(tmp_path: Path) -> None:
    """A worker whose parent is gone before the kernel was asked to end it then ends itself."""
    program = LATE.replace("FIRST", repr(str(tmp_path / "first"))) + PROGRAM.replace("JOBS", "8")
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, process_group=0
    ) as process:
        assert process.stdout is not None
        while process.stdout.readline() != "late\n":
            assert process.poll() is None
        process.kill()
        assert not left(process)


def left(process: subprocess.Popen[str]) -> bool:
    """Return whether any of a process's group still runs 20 s after its own end; then end that."""
    process.wait(20)
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return False
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    return True


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
