"""Back-ends as real processes: killed at chosen steps, started again, and refused with a clear word."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from refimpl.backend.blk import READ, WRITE
from refimpl.backend.process import main, run_backend
from refimpl.choices import parse_gaps
from refimpl.errors import InflightError, UsageError
from refimpl.frontend.connection import FrontEnd
from refimpl.frontend.guest import Guest, check
from refimpl.frontend.memory import GuestRam
from refimpl.hooks import BACKEND_STORES
from tests.refimpl.wire_rig import Spawn, killed_and_next, make_image

PUBLISHED = {
    f"split.supply.{step}:{number}"
    for step, number in (
        *((step, number) for step in (5, 6, 7) for number in (1, 2)),
        *((step, 4) for step in ("id", "len", 2, 3)),
    )
}
"""Where a process is killed after its first publish."""


@pytest.fixture(name="start")
def starter(tmp_path: Path) -> Iterator[Spawn]:
    """Start back-ends on one image, which write to one trace."""
    with killed_and_next(tmp_path, "--trace", str(tmp_path / "trace")) as start:
        yield start


def pattern(number: int) -> bytes:
    """Return a sector's worth of bytes that tells which one it is."""
    return number.to_bytes(8, "little") * 64


def trace(tmp_path: Path) -> list[dict[str, object]]:
    """Return the lines of the trace."""
    return [json.loads(line) for line in (tmp_path / "trace").read_text().splitlines()]


def read_back(guest: Guest, sectors: range) -> list[bytes]:
    """Return the content of some sectors, read all at once."""
    for sector in sectors:
        guest.submit(READ, sector, length=512, indirect=True)
    content = {done.asked.sector: done.data for done in check(guest.wait())}
    return [content[sector] for sector in sectors]


def resubmitted(tmp_path: Path, what: str) -> list[object]:
    """Return a field of each request that was resubmitted, in their order."""
    return [line[what] for line in trace(tmp_path) if line["step"] == "split.reconnect.2"]


# Steps made once for each request of a batch: the fourth is in the second batch.
BUILDING = {"split.supply.id", "split.supply.len", "split.supply.2", "split.supply.3"}

# Every store that a first life reaches; those of a recovery are in the test after the next.
CRASHES = [
    (revision, f"{step}:{number}")
    for revision in ("merged", "v6")
    for step in sorted(BACKEND_STORES - {"split.reconnect.1b", "split.reconnect.1c", "split.idle.arm"})
    for number in ((1,) if "init" in step else (1, 4) if step in BUILDING else (1, 2))
    if (revision, step) != ("v6", "split.fetch.counter")
]


@pytest.mark.parametrize(("revision", "where"), CRASHES)
def test_killed_and_back(tmp_path: Path, start: Spawn, revision: str, where: str) -> None:
    """After a kill at any store, every request comes back once, the disk holds every write, and the ring goes on.

    What was published before the kill (a batch of 3, when it was killed in or after the first publish) is never given
    to the device again.
    """
    first = start("--crash-at", where, "--revision", revision)
    with GuestRam(1, 16, 512) as ram, FrontEnd(tmp_path / "socket", ram, timeout=20) as front_end:
        front_end.connect()
        front_end.start()
        guest = Guest(front_end)
        for sector in range(8):
            guest.submit(WRITE, sector, pattern(sector), head=sector + 4, indirect=True)
        assert first.wait(20) == -signal.SIGKILL, "the step was reached"
        used = {done.asked.sector for done in check(guest.collect())}
        assert bool(used) == (where in PUBLISHED)
        second = start("--revision", revision)
        assert len(check(guest.wait())) == 8 - len(used)
        assert not used & set(resubmitted(tmp_path, "sector"))
        assert read_back(guest, range(8)) == [pattern(sector) for sector in range(8)]
        front_end.stop()
        assert front_end.bases == [16]
        assert front_end.reconnects == 1
    second.terminate()
    assert second.wait(20) == 0
    assert second.stderr is not None
    assert second.stderr.read() == ""


@pytest.mark.parametrize(
    "where", ["split.reconnect.1b:1", "split.reconnect.1b:2", "split.reconnect.1c", "split.position"]
)
def test_killed_in_recovery(tmp_path: Path, start: Spawn, where: str) -> None:
    """After a kill between publish and clear, and another in the recovery, the third process makes it good."""
    first = start("--crash-at", "split.supply.5")
    with GuestRam(1, 16, 512) as ram, FrontEnd(tmp_path / "socket", ram, timeout=20) as front_end:
        front_end.connect()
        front_end.start()
        guest = Guest(front_end)
        for sector in range(8):
            guest.submit(WRITE, sector, pattern(sector), indirect=True)
        assert first.wait(20) == -signal.SIGKILL
        used = {done.asked.sector for done in check(guest.collect())}
        assert len(used) == 3
        second = start("--crash-at", where)
        statuses: list[int] = []

        def follow() -> None:
            statuses.append(second.wait(20))
            start()

        watcher = threading.Thread(target=follow)
        watcher.start()
        assert len(check(guest.wait())) == 5
        watcher.join()
        assert statuses == [-signal.SIGKILL]
        assert not used & set(resubmitted(tmp_path, "sector"))
        assert read_back(guest, range(8)) == [pattern(sector) for sector in range(8)]


def test_order_of_resubmission(tmp_path: Path, start: Spawn) -> None:
    """Merged resubmits in the order of fetching, v6 in that of the table; heads 1 then 0 tell them apart."""
    orders = {}
    for revision in ("merged", "v6"):
        (tmp_path / "trace").unlink(missing_ok=True)
        first = start("--crash-at", "split.fetch.submit:2", "--revision", revision)
        with GuestRam(1, 4, 512) as ram, FrontEnd(tmp_path / "socket", ram, timeout=20) as front_end:
            front_end.connect()
            front_end.start()
            guest = Guest(front_end)
            for head in (1, 0):
                guest.submit(WRITE, head, pattern(head), head=head, indirect=True)
            assert first.wait(20) == -signal.SIGKILL
            second = start("--revision", revision)
            guest.wait()
        second.terminate()
        assert second.wait(20) == 0
        orders[revision] = resubmitted(tmp_path, "head")
    assert orders == {"merged": [1, 0], "v6": [0, 1]}


def test_two_queues_killed_at_random(tmp_path: Path, start: Spawn) -> None:
    """Two queues at work, killed again and again from outside: everything comes back and the disk is right."""
    process = start("--queues", "2", "--seed", "5")
    with GuestRam(2, 16, 512) as ram, FrontEnd(tmp_path / "socket", ram, timeout=20) as front_end:
        front_end.connect()
        front_end.start()
        guest = Guest(front_end)
        for turn in range(6):
            for number in range(20):
                guest.submit(WRITE, turn * 20 + number, pattern(number), queue=number % 2, indirect=True)
            time.sleep(0.002 * turn)
            process.kill()
            process.wait(20)
            process = start("--queues", "2", "--seed", str(turn))
            assert len(check(guest.wait())) == 20
        for first in range(0, 120, 12):
            wanted = [pattern(sector % 20) for sector in range(first, first + 12)]
            assert read_back(guest, range(first, first + 12)) == wanted
        assert 0 < front_end.reconnects <= 6


def test_terminated(tmp_path: Path, start: Spawn) -> None:
    """SIGTERM finishes what is held back, and removes the socket."""
    process = start()
    with GuestRam(1, 8, 512) as ram, FrontEnd(tmp_path / "socket", ram, timeout=20) as front_end:
        front_end.connect()
        front_end.start()
        guest = Guest(front_end)
        guest.submit(WRITE, 0, pattern(1))
        while ram.rings[0].avail_event.event != 1:
            time.sleep(0.001)
        process.terminate()
        assert process.wait(20) == 0
        assert len(check(guest.collect())) == 1
    assert not (tmp_path / "socket").exists()


def test_started_without_solver() -> None:
    """A back-end starts with nothing of the model, the solver or the terminal libraries imported."""
    code = "import sys, refimpl.backend.process; print(*sys.modules)"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "refimpl.backend.process" in output
    assert not {"z3", "rich", "typer", "model", "proofs", "diagrams", "vhost_inflight", "hypothesis"} & set(output)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--crash-at", "split.nowhere"], "there is no step"),
        (["--crash-at", "split.fetch.2:0"], "no positive number"),
        (["--gap", "colour=red"], "there is no gap"),
        (["--gap", "reset"], "--gap wants NAME=CHOICE"),
        (["--revision", "v7"], "there is no revision"),
        (["--queues", "0"], "there can be 1 to 64"),
        (["--schedule", "/nowhere"], "schedule"),
        (["--trace", "/nowhere/trace"], "trace"),
        (["--image", "/nowhere"], "No such file"),
        (["--image", "/"], "Is a directory"),
        (["--image", "/dev/null"], "neither a file nor a block device"),
        (["--image", "empty"], "less than one sector of 512 bytes"),
        (["--socket", "/nowhere/socket"], "No such file"),
        (["--socket", "/dev"], "a file that is no socket"),
        (["--socket", "/" + "s" * 107], "longer than the 107 bytes"),
        (["--log-level", "loud"], "there are: error, info, debug"),
        (["--dump", "empty"], "File exists"),
        (["--packed", "--gap", "fresh-used-idx=from-ring"], "its choices are from-base, zero"),
        (["--crash-at", "packed.fetch.2b"], "packed rings are not offered"),
    ],
)
def test_wrong_arguments(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    word: str,
) -> None:
    """An argument of no use ends the process with status 2 and a line that says which; no socket is left."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").touch()
    socket = tmp_path / "socket"
    given = ["--socket", str(socket), "--image", str(make_image(tmp_path)), *arguments]
    assert main(given) == 2
    assert word in capsys.readouterr().err
    assert not socket.exists()


def test_busy_socket(tmp_path: Path, start: Spawn) -> None:
    """A second back-end at the same socket is refused, and the first one goes on."""
    start()
    with GuestRam(1, 8, 512) as ram, FrontEnd(tmp_path / "socket", ram, timeout=20) as front_end:
        front_end.connect()
        front_end.start()
        with pytest.raises(InflightError, match="another back-end listens"):
            run_backend(tmp_path / "socket", tmp_path / "image")
        Guest(front_end).write(0, pattern(1))


def test_parse_gaps() -> None:
    """Gaps are given as pairs."""
    assert parse_gaps(["reset=kept", "batch-size=signed"]) == {"reset": "kept", "batch-size": "signed"}
    for pair in ("reset", "reset=", "=kept", ""):
        with pytest.raises(UsageError, match=f"--gap wants NAME=CHOICE, not '{pair}'"):
            parse_gaps([pair])
    assert parse_gaps(["reset=kept", "reset=kept"]) == {"reset": "kept"}
    with pytest.raises(UsageError, match="--gap reset is given twice: kept and renewed"):
        parse_gaps(["reset=kept", "reset=renewed"])
