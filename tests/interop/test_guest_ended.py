"""A test with a guest that is ended: what was found is told, and neither QEMU nor a back-end is left."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conformance import c
from tests.interop.test_guest import parts
from tests.refimpl.backend.test_server import wait_for
from vhost_inflight.guest import crash
from vhost_inflight.guest.back_end import GuestOutcome

__all__ = ["parts"]


def at_work(folder: Path) -> list[str]:
    """Return the programs that run with something in a folder: QEMU, and back-ends."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode().split("\0")
        except OSError:
            continue
        found += [words[0]] * any(str(folder) in word and "socket" in word for word in words)
    return found


def heard() -> None:
    """Hear Ctrl-C, which a shell's background ignores."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.mark.needs("qemu-system-x86_64")
@pytest.mark.usefixtures("parts")
@pytest.mark.parametrize(
    ("number", "options", "code"),
    [
        (signal.SIGINT, ["--kills", "1000"], 130),
        (signal.SIGTERM, ["--kills", "0", "--moves", "20"], 143),
        (signal.SIGINT, ["--kills", "1000", "--backend-cmd"], 130),
    ],
)
def test_ended_by_a_signal(tmp_path: Path, number: int, options: list[str], code: int) -> None:
    """As Ctrl-C at a terminal does it, to a group: QEMU is not of that group, and does not end first."""
    options = [*options, c.command(tmp_path)] if options[-1] == "--backend-cmd" else options
    folder = Path(tempfile.gettempdir())
    command = [sys.executable, "-m", "vhost_inflight", "crash-test", "--guest", *options]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heard,  # noqa: PLW1509  # this process has no thread
        process_group=0,
    ) as ran:
        try:
            wait_for(lambda: len(at_work(folder)) > 1 or ran.poll() is not None)
            assert ran.poll() is None
            os.killpg(ran.pid, number)
            printed, complained = ran.communicate(timeout=60)
        finally:
            ran.kill()
    assert (ran.returncode, complained) == (code, "")
    assert ("interrupted: this is what was found so far" in printed) == (number == signal.SIGINT)
    assert "nothing was lost" not in printed
    assert "broken" not in printed
    assert at_work(folder) == []
    assert list(folder.iterdir()) == []


def test_an_end_that_was_lost_is_no_verdict() -> None:
    """Python ignores what is raised in a finalizer, or at a fork: the signal is remembered."""

    def asked(_progress: Callable[[str], None]) -> GuestOutcome:
        with contextlib.suppress(SystemExit):
            os.kill(os.getpid(), signal.SIGTERM)
        return GuestOutcome("split", "merged", 16, 1, 0)

    with pytest.raises(SystemExit, match="143"):
        crash.with_a_bar(asked, 1, None)
