"""What goes wrong in the crash test's environment is said and is exit 2; it is no verdict, and nothing is left."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from refimpl.choices import Choices
from refimpl.memory import SharedMemory
from vhost_inflight.judging.crash import command, steering
from vhost_inflight.judging.crash.campaign import crash_test
from vhost_inflight.judging.crash.faults import CrashTestError, blames_memory
from vhost_inflight.judging.crash.outcome import Outcome
from vhost_inflight.judging.crash.plan import Kill
from vhost_inflight.judging.crash.rig import Rig, Shape
from vhost_inflight.judging.crash.steered_guest import SteeredGuest

COMMAND = [sys.executable, "-m", "vhost_inflight", "crash-test"]


def ran(*options: str, limit: tuple[int, int] | None = None, **environment: str) -> tuple[int, str]:
    """Run the command, with a limit of the system's; return exit code and what it said. Nothing of it is left."""

    def limited() -> None:
        if limit is not None:
            resource.setrlimit(limit[0], (limit[1], limit[1]))

    done = subprocess.run(
        [*COMMAND, *options],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=limited,
    )
    assert "Traceback" not in done.stderr
    assert "violated" not in done.stdout.replace("no property was violated", "")
    return done.returncode, done.stderr


def left(folder: Path) -> list[str]:
    """Return the command lines of processes that have the folder in them."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_text().replace("\0", " ")
        except OSError:
            continue
        if f"{folder}/" in line:
            found.append(line)
    return found


@pytest.mark.parametrize("options", [[], ["--free"], ["--schedule"]])
def test_long_temporary_directory(tmp_path: Path, options: list[str]) -> None:
    """A socket's path has room for 107 bytes: said before anything starts, with what to do."""
    folder = tmp_path / ("long" * 25)
    folder.mkdir()
    if options == ["--schedule"]:
        options = ["--schedule", "proofs/recorded/split/counterexamples/v6-order.json"]
    code, said = ran(*options, "--kills", "1", TMPDIR=str(folder))
    assert code == 2
    assert said.startswith(
        "vhost-inflight: the name of the temporary directory is too long, say a shorter one (TMPDIR="
    )
    assert list(folder.iterdir()) == []


def test_no_room() -> None:
    """A full disk, seen by this program or by the back-end as it writes its trace."""
    assert ran("--kills", "2", limit=(resource.RLIMIT_FSIZE, 100)) == (2, "vhost-inflight: [Errno 27] File too large\n")
    code, said = ran("--kills", "500", limit=(resource.RLIMIT_FSIZE, 1 << 14))
    assert code == 2
    assert said.startswith("vhost-inflight: the back-end does not serve: it ")
    assert said.endswith("; it says: OSError: [Errno 27] File too large\n")


def test_too_few_descriptors() -> None:
    """However few file descriptors there may be: it works, or the limit is what is said."""
    codes = {}
    for number in (7, 10, 13, 16, 19, 40):
        code, said = ran("--kills", "2", limit=(resource.RLIMIT_NOFILE, number))
        codes[number] = code
        assert code in (0, 2), said
        assert said.count("\n") <= 1
    assert codes[7] == 2
    assert codes[40] == 0


def test_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """No memfd to be had."""

    def refuses(*_: object, **__: object) -> NoReturn:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(os, "memfd_create", refuses)
    with pytest.raises(Exception, match=r"no memfd: .*Cannot allocate memory"):
        crash_test(revision="merged", kills=1)
    monkeypatch.undo()
    monkeypatch.setattr(SharedMemory, "map", refuses)
    with pytest.raises(CrashTestError, match="the back-end does not serve: "):
        crash_test(revision="merged", kills=1, free=True)


STUBS = {
    "ends": ("exit 3", "it ended by itself with 3; it says: nothing"),
    "says": ("echo 'no such module' >&2; exit 1", "it ended by itself with 1; it says: no such module"),
    "stopped": ("kill -TERM $$", "it ended by itself with -15"),
    "killed": ("kill -KILL $$", "it ended by itself with -9"),
    "deaf": ("exec sleep 600", "it does not listen"),
}


@pytest.mark.parametrize("name", STUBS)
@pytest.mark.parametrize("free", [False, True])
def test_back_end_that_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, *, free: bool
) -> None:
    """Whatever becomes of the process before it serves is no verdict."""
    program, (script, message) = tmp_path / "python", STUBS[name]
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setattr("vhost_inflight.judging.crash.rig.PATIENCE", 2)
    monkeypatch.setattr("vhost_inflight.judging.crash.rig._ENDS", 0.5)
    with pytest.raises(CrashTestError, match=message):
        crash_test(revision="merged", kills=1, free=free)


def test_no_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """An interpreter that is not there any more."""
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(FileNotFoundError, match="/nowhere/python"):
        crash_test(revision="merged", kills=1)


@pytest.mark.parametrize("free", [False, True])
def test_driver_that_ends(*, free: bool) -> None:
    """Someone kills the driver's process."""

    def kills(_: Kill) -> None:
        for process in multiprocessing.active_children():
            process.kill()
            process.join()

    with pytest.raises(CrashTestError, match="the driver ended by itself"):
        crash_test(revision="merged", kills=3, free=free, progress=kills)


class Steered:
    """A rig with a steered back-end that has taken its first step."""

    def __init__(self) -> None:
        """Start it."""
        self.folder = tempfile.TemporaryDirectory()
        self.rig = Rig(Path(self.folder.name), Shape(Choices(), 4, 4), 0, SteeredGuest)
        self.reins = self.rig.start_steered(0)

    def go_on(self) -> None:
        """Let the back-end take its next steps."""
        for _ in range(100):
            self.reins.go()

    def close(self) -> None:
        """End it."""
        self.rig.__exit__(None, None, None)
        self.folder.cleanup()


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda rig: os.kill(rig.back_end.pid, signal.SIGKILL), "it ended by itself with -9"),
        (lambda rig: os.kill(rig.back_end.pid, signal.SIGSEGV), "it ended by itself with -11"),
        (lambda rig: os.kill(rig.back_end.pid, signal.SIGSTOP), "the back-end does not answer within 1 seconds"),
    ],
)
def test_back_end_that_is_harmed(monkeypatch: pytest.MonkeyPatch, harm: Callable[[Rig], None], message: str) -> None:
    """A steered back-end dies where it is killed, and by nobody else."""
    steered = Steered()
    try:
        monkeypatch.setattr(steering, "PATIENCE", 1)
        harm(steered.rig)
        with pytest.raises(CrashTestError, match=message):
            steered.go_on()
    finally:
        steered.close()


def test_who_is_blamed() -> None:
    """A back-end that finds fault with region or ring gives a verdict on its earlier lives; other last words do not."""
    assert blames_memory("back-end: the region: version is 7; this back-end knows 1")
    assert blames_memory("back-end: the driver: head 0: 0 bytes are no header of 16")
    assert not blames_memory("back-end: the front-end: SET_VRING_KICK without a file descriptor")
    assert not blames_memory("back-end: image x: No such file or directory")
    assert not blames_memory("OSError: [Errno 24] Too many open files")


def as_at_a_terminal() -> None:
    """Hear the signals, which a shell's background, and nohup, ignore."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def killed_some(folder: Path) -> bool:
    """Return whether requests were served in a folder."""
    return any(path.stat().st_size for path in folder.glob("*/trace"))


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=str
)
@pytest.mark.parametrize("options", [(), ("--free",)])
def test_signals(tmp_path: Path, number: signal.Signals, code: int, options: tuple[str, ...]) -> None:
    """At a terminal each process gets the signal: all end, nothing is left, and Ctrl-C shows what was found."""
    with subprocess.Popen(
        [*COMMAND, "--kills", "100000", *options],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
        preexec_fn=as_at_a_terminal,  # noqa: PLW1509  # no threads here
    ) as process:
        try:
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline and not (killed_some(tmp_path) and left(tmp_path)):
                time.sleep(0.01)
            os.killpg(process.pid, number)
            out, said = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, said.strip()) == (code, "")
    assert ("interrupted: this is what was found so far\nno property was violated\n" in out) == (code == 130)
    assert list(tmp_path.iterdir()) == []
    assert left(tmp_path) == []


def test_what_was_found_so_far(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After Ctrl-C a violation that was found is printed, and written."""
    kills: list[Kill] = []

    def interrupts(kill: Kill) -> None:
        kills.append(kill)
        if len(kills) == 12:
            raise KeyboardInterrupt

    def interrupted(**options: Any) -> Outcome:
        return crash_test(**{**options, "progress": interrupts})

    monkeypatch.setattr(command, "crash_test", interrupted)
    with pytest.raises(KeyboardInterrupt):
        command.run(ring="split", revision="v6", queue_size=4, kills=40, seed=0, json_file=tmp_path / "answer")
    said = capsys.readouterr().out
    assert ": 12 kills in " in said
    assert "interrupted: this is what was found so far\norder was violated, " in said
    assert '"interrupted": true' in (tmp_path / "answer").read_text()
