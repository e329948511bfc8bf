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

from refimpl.backend.process import main
from refimpl.backend.reins import Order
from refimpl.choices import Choices
from refimpl.memory import SharedMemory, store
from vhost_inflight import forked
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
    """Return the processes, but this one's child, whose temporary directory the folder is."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            inherited = f"TMPDIR={folder}" in path.read_text("utf-8", "replace").split("\0")
            parent = (path.parent / "stat").read_text().rpartition(")")[2].split()[1]
        except OSError:
            continue
        if inherited and int(parent) != os.getpid():
            found.append(path.parent.name)
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
    monkeypatch.setattr("vhost_inflight.judging.crash.rig._ENDS", 0.5)
    with pytest.raises(CrashTestError, match="the back-end does not serve: "):
        crash_test(revision="merged", kills=1, free=True)


def says(_: object) -> int:
    """Say why, and end."""
    print("no such module", file=sys.stderr)
    return 1


def dies(number: int) -> Callable[[object], NoReturn]:
    """Give a back-end that dies by a signal."""

    def kills(_: object) -> NoReturn:
        os.kill(os.getpid(), number)
        raise AssertionError

    return kills


def breaks(_: object) -> NoReturn:
    """End as a mistake in the code does."""
    raise KeyError("nowhere")


STUBS: dict[str, tuple[Callable[[object], object], str]] = {
    "ends": (lambda _: 3, "it ended by itself with 3; it says: nothing"),
    "says": (says, "it ended by itself with 1; it says: no such module"),
    "breaks": (breaks, "it ended by itself with 1; it says: KeyError: 'nowhere'"),
    "stopped": (dies(signal.SIGTERM), "it ended by itself with -15"),
    "killed": (dies(signal.SIGKILL), "it ended by itself with -9"),
    "deaf": (lambda _: time.sleep(600), "it does not listen"),
}


@pytest.mark.parametrize("name", STUBS)
@pytest.mark.parametrize("free", [False, True])
def test_back_end_that_does_not_start(monkeypatch: pytest.MonkeyPatch, name: str, *, free: bool) -> None:
    """Whatever becomes of the process before it serves is no verdict."""
    instead, message = STUBS[name]
    monkeypatch.setattr("vhost_inflight.judging.crash.rig.told", instead)
    monkeypatch.setattr("vhost_inflight.judging.crash.rig.PATIENCE", 2)
    monkeypatch.setattr("vhost_inflight.judging.crash.rig._ENDS", 0.5)
    with pytest.raises(CrashTestError, match=message):
        crash_test(revision="merged", kills=1, free=free)
    assert multiprocessing.active_children() == []


def test_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system has no process left; or none that can be watched, which is then not left running."""
    pids, fork = [], os.fork

    def refuses(*_: object) -> NoReturn:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    def notes() -> int:
        pids.append(fork())
        return pids[-1]

    monkeypatch.setattr(os, "pidfd_open", refuses)
    monkeypatch.setattr(os, "fork", notes)
    with pytest.raises(BlockingIOError, match="temporarily unavailable"):
        crash_test(revision="merged", kills=1)
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    monkeypatch.setattr(os, "fork", refuses)
    with pytest.raises(BlockingIOError, match="temporarily unavailable"):
        crash_test(revision="merged", kills=1)


def test_a_signal_at_a_fork_is_neither_lost_nor_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGTERM right after the fork is heard once somebody has the process, so that it is ended."""
    pids, fork = [], os.fork

    def notes() -> int:
        if pid := fork():
            pids.append(pid)
            os.kill(os.getpid(), signal.SIGTERM)
        return pid

    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    monkeypatch.setattr(os, "fork", notes)
    try:
        with pytest.raises(SystemExit, match="143"):
            crash_test(revision="merged", kills=1)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert pids
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def test_nothing_of_the_parent_s_is_open(tmp_path: Path) -> None:
    """A back-end has its own files, its streams, and what it is told to keep: none of those that the parent has."""
    read, write = os.pipe()
    with (tmp_path / "said").open("wb") as said, (tmp_path / "other").open("wb"):
        options = ["--socket", str(tmp_path / "socket"), "--image", str(tmp_path / "image")]
        (tmp_path / "image").write_bytes(bytes(512))
        back_end = forked.ForkedBackEnd(lambda: main(options), said, [write])
    try:
        os.close(write)
        while not (tmp_path / "socket").exists():
            assert not back_end.ends_within(0.01), (tmp_path / "said").read_text()
        names = {path.readlink() for path in Path(f"/proc/{back_end.pid}/fd").iterdir()}
        assert tmp_path / "other" not in names
        assert Path(f"/proc/self/fd/{read}").readlink() in names
        assert {tmp_path / "said", tmp_path / "image"} <= names
        assert os.getpgid(back_end.pid) == back_end.pid
    finally:
        back_end.close()
        os.close(read)
    assert back_end.code == -signal.SIGKILL


@pytest.mark.parametrize("free", [False, True])
def test_driver_that_ends(*, free: bool) -> None:
    """Someone kills the driver's process."""

    def kills(_: Kill) -> None:
        for process in multiprocessing.active_children():
            assert process.name == "driver"
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


def test_a_ring_that_stops_in_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a back-end did before it found the ring wrong is told, though it makes no move any more."""
    steered = Steered()
    try:
        monkeypatch.setattr(steering, "PATIENCE", 2)
        avail = steered.rig.ram.rings[0].avail
        while not steered.reins.at.what.endswith(".ready"):
            steered.reins.go()
        store(avail, "idx", avail.idx + 1000)
        assert steered.reins.run(50) == [Order("turn", None)]
        with pytest.raises(CrashTestError, match="the back-end does not answer"):
            steered.reins.run(50)
        assert blames_memory(steered.rig.said())
    finally:
        steered.close()


def test_the_next_one_begins_while_the_last_one_ends() -> None:
    """It is the one that is asked for, or else it goes; who was killed has ended, and nothing is left at the end."""
    steered = Steered()
    rig, pids = steered.rig, []
    try:
        for ahead, start in (((1, ("a",)), (1, ("a",))), ((2, ()), (3, ())), ((4, ()), (4, ("b",)))):
            assert rig.back_end is not None
            pids.append(rig.back_end.pid)
            rig.kill(ahead)
            assert not Path(f"/proc/{pids[-1]}").exists()
            begun = rig.back_end.pid
            rig.start_steered(*start)
            assert (rig.back_end.pid == begun) == (ahead == start)
            pids += [begun, rig.back_end.pid]
        rig.kill((5, ()))
        assert rig.back_end is not None
        pids.append(rig.back_end.pid)
        assert Path(f"/proc/{pids[-1]}").exists()
    finally:
        steered.close()
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


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


def ended_by(folder: Path, send: Callable[[int], None], *options: str) -> tuple[int, str, str]:
    """Run a crash test without an end, and end it when some were killed; give exit status, output and errors."""
    with subprocess.Popen(
        [*COMMAND, "--kills", "100000", *options],
        env=os.environ | {"TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
        preexec_fn=as_at_a_terminal,  # noqa: PLW1509  # no threads here
    ) as process:
        try:
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline and not (killed_some(folder) and left(folder)):
                time.sleep(0.01)
            send(process.pid)
            out, said = process.communicate(timeout=60)
        finally:
            process.kill()
    return process.returncode, out, said.strip()


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=str
)
@pytest.mark.parametrize("options", [(), ("--free",)])
def test_signals(tmp_path: Path, number: signal.Signals, code: int, options: tuple[str, ...]) -> None:
    """At a terminal each process gets the signal: all end, nothing is left, and Ctrl-C shows what was found."""
    ended, out, said = ended_by(tmp_path, lambda pid: os.killpg(pid, number), *options)
    assert (ended, said) == (code, "")
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
