"""A live migration: the guest's memory and the shared buffer go to another front-end in another process.

The source's process writes its memory, the seed's stream and what the driver knows to files, and the destination's
process goes on from copies, with a back-end of its own on the same image.
"""

import json
import multiprocessing
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any, Self

import pytest

from refimpl.backend.blk import WRITE
from refimpl.frontend.connection import FrontEnd
from refimpl.frontend.guest import Guest, check
from refimpl.frontend.memory import GuestRam
from refimpl.layout import region_at
from tests.refimpl.wire_rig import make_image, spawn

SECTORS, SIZE = 6, 32
RINGS = {"split": ("--revision", "merged"), "packed": ("--packed", "--revision", "hardened")}
KEPT = {
    "split": ("next_avail", "next_used", "free", "chains", "outstanding"),
    "packed": ("next_avail", "avail_wrap", "next_used", "used_wrap", "free", "room", "lengths", "outstanding"),
}
"""What the driver knows, which is the guest's memory too."""


def pattern(sector: int) -> bytes:
    """Return what is written to a sector."""
    return bytes([sector + 1]) * 512


def destination(folder: Path, ring: str, known: dict[str, Any], expected: int) -> None:
    """Be the process that the guest comes to: take what was sent, start, and let everything come back."""
    with (
        GuestRam(1, SIZE, 512, packed=ring == "packed") as ram,
        FrontEnd(folder / "socket-2", ram, timeout=20) as front_end,
    ):
        ram.memory.view()[:] = (folder / "ram").read_bytes()
        with (folder / "stream").open("rb") as stream:
            front_end.held.load(stream, 1)
        front_end.connect()
        front_end.bases = [known["base"]]
        guest = Guest(front_end)
        for name in KEPT[ring]:
            setattr(guest.drivers[0], name, known["driver"][name])
        guest.pending = known["pending"]
        front_end.start()
        done = check(guest.wait())
        assert len(done) == expected
        for sector in range(SECTORS):
            assert guest.read(sector, 512) == pattern(sector)
        guest.write(SECTORS, pattern(SECTORS))
        front_end.stop()
        (folder / "report").write_text(json.dumps({"done": len(done), "reconnects": front_end.reconnects}))


def moved(folder: Path, guest: Guest, ring: str, expected: int) -> dict[str, int]:
    """Send everything to another process, and return what that reports."""
    front_end, driver = guest.front_end, guest.drivers[0]
    (folder / "ram").write_bytes(guest.ram.memory.view())
    with (folder / "stream").open("wb") as stream:
        front_end.held.save(stream)
    base = front_end.bases[0] if ring == "packed" else int(guest.ram.rings[0].used.idx)
    known = {"driver": {name: getattr(driver, name) for name in KEPT[ring]}, "pending": guest.pending, "base": base}
    context = multiprocessing.get_context("spawn")  # a process that shares nothing
    process = context.Process(target=destination, args=(folder, ring, known, expected))
    process.start()
    process.join(60)
    assert process.exitcode == 0
    report: dict[str, int] = json.loads((folder / "report").read_text())
    return report


PLACES = {
    ("split", "killed there"): "split.supply.6:2",
    ("split", "killed in recovery"): "split.reconnect.2:2",
    ("packed", "killed there"): "packed.supply.8:2",
    ("packed", "killed in recovery"): "packed.reconnect.4.submit:2",
}
"""Where the destination's first back-end dies."""


def wait_for_all(front_end: FrontEnd, ring: str) -> None:
    """Wait until every request is marked in the region."""
    assert front_end.inflight is not None
    region = region_at(front_end.inflight.view(), ring, "merged", SIZE)
    deadline = time.monotonic() + 20
    while sum(entry.inflight for entry in region.desc) < SECTORS:
        assert time.monotonic() < deadline
        time.sleep(0.002)


def plan(path: Path, hold: int, idle: float) -> str:
    """Write what a back-end holds back, and return the file's name."""
    path.write_text(json.dumps({"hold": hold, "order": "reverse", "idle": idle}))
    return str(path)


class BackEnds:
    """The back-ends of one test, on one image; those that live are ended with the block."""

    def __init__(self, folder: Path, ring: str) -> None:
        """Begin with none."""
        self.folder, self.ring = folder, ring
        self.image = make_image(folder)
        self.processes: list[subprocess.Popen[str]] = []

    def start(self, socket: str, *options: str) -> subprocess.Popen[str]:
        """Start another one."""
        self.processes.append(spawn(self.folder / socket, self.image, *RINGS[self.ring], *options))
        return self.processes[-1]

    def again(self, process: subprocess.Popen[str], *arguments: str) -> threading.Thread:
        """Start another one when one has died."""

        def wait_and_start() -> None:
            process.wait(30)
            self.start(*arguments)

        thread = threading.Thread(target=wait_and_start)
        thread.start()
        return thread

    def __enter__(self) -> Self:
        """Return this."""
        return self

    def __exit__(self, *_: object) -> None:
        """End them."""
        for process in self.processes:
            process.kill()
            process.wait()
            if process.stderr is not None:
                process.stderr.close()


@pytest.mark.parametrize("ring", list(RINGS))
@pytest.mark.parametrize("how", ["drained", "in flight", "killed there", "killed in recovery"])
def test_migration(tmp_path: Path, ring: str, how: str) -> None:
    """Everything comes back once at the destination, whatever died on the way, and the image has it."""
    drained, place = how == "drained", PLACES.get((ring, how))
    held = plan(tmp_path / "held.json", 1 if drained else 99, 0.01 if drained else 3600)
    served = plan(tmp_path / "served.json", 3, 0.01)
    with (
        BackEnds(tmp_path, ring) as back_ends,
        GuestRam(1, SIZE, 512, packed=ring == "packed") as ram,
        FrontEnd(tmp_path / "socket-1", ram, timeout=20) as front_end,
    ):
        first = back_ends.start("socket-1", "--schedule", held)
        front_end.connect()
        front_end.start()
        guest = Guest(front_end)
        for sector in range(SECTORS):
            guest.submit(WRITE, sector, pattern(sector))
        if drained:
            check(guest.wait())
            front_end.stop()
        else:
            wait_for_all(front_end, ring)
        first.kill()
        assert first.wait(20) == -signal.SIGKILL
        second = back_ends.start("socket-2", "--schedule", served, *(["--crash-at", place] if place else []))
        watcher = back_ends.again(second, "socket-2", "--schedule", served) if place else None
        report = moved(tmp_path, guest, ring, 0 if drained else SECTORS)
        if watcher is not None:
            watcher.join(20)
            assert second.wait(20) == -signal.SIGKILL
        assert report == {"done": 0 if drained else SECTORS, "reconnects": 1 if place else 0}
        written = back_ends.image.read_bytes()
    assert written[: 512 * (SECTORS + 1)] == b"".join(map(pattern, range(SECTORS + 1)))
