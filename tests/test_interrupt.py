"""Ctrl-C, whenever it comes: exit 130, and not a word of Python's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
INTERRUPTS = "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(60)\n"

HALF_MADE = """
import sys
from vhost_inflight import explain
from vhost_inflight.__main__ import main


class Context:  # as that of z3, whose constructor was interrupted
    def __init__(self):
        raise KeyboardInterrupt

    def __del__(self):
        self.owner


explain.index = lambda ring: Context()
print("so far")
main()
"""


def as_at_a_terminal() -> None:
    """Hear the signal, which a shell's background ignores."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def ran(*command: str, path: Path = ROOT) -> tuple[int, str, str]:
    """Run Python so; give exit code, output and errors."""
    done = subprocess.run(
        [sys.executable, *command],
        cwd=path,
        env=os.environ | {"PYTHONPATH": f"{path}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=as_at_a_terminal,
        timeout=20,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("command", "module"),
    [
        ("backend", "refimpl"),
        ("recover", "refimpl"),
        ("explain", "refimpl"),
        ("explain", "typer"),
        ("explain", "model"),
        ("verify", "z3"),
        ("crash-test", "rich"),
    ],
)
def test_while_it_imports(tmp_path: Path, command: str, module: str) -> None:
    """A module that is imported first of all, before the command line is read, and by a command."""
    (tmp_path / f"{module}.py").write_text(INTERRUPTS)
    assert ran("-m", "vhost_inflight", command, path=tmp_path) == (130, "", "")


def test_what_was_half_made() -> None:
    """What was interrupted in its constructor has no time to complain; what was printed is there."""
    assert ran("-c", HALF_MADE, "explain") == (130, "so far\n", "")
