"""A soak: ``python -m tools.soak [RING] [--seconds N]``: is anything leaked, if it goes on for long.

Two back-ends at a time. One is killed again and again, by a store's number or from outside, under one guest that writes
and reads back. The other lives as long as the soak, while front-ends come, work, come again, and leave, in order or in
the middle of things. File descriptors, mappings and memory of this process and of the one that lives are counted after
a warm-up and at the end: exit 1 if there is more of anything than a few pages.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Final, Self

from refimpl.backend.blk import WRITE
from refimpl.frontend.connection import FrontEnd
from refimpl.frontend.guest import Guest, check
from refimpl.frontend.memory import GuestRam
from refimpl.hooks import BACKEND_STORES, PACKED_BACKEND_STORES

WARM: Final = 0.1
"""The part of the time after which the first count is made."""

SLACK: Final = 4096
"""KiB of memory by which a process may grow: an allocator's doing, not a request's."""

SECTORS: Final = 64
ROUND: Final = 12


class Count:
    """What a process holds: file descriptors, mappings, and resident memory in KiB."""

    def __init__(self, pid: int) -> None:
        """Count it."""
        at = Path(f"/proc/{pid}")
        self.fds = len(list((at / "fd").iterdir()))
        self.maps = len((at / "maps").read_text().splitlines())
        resident = next(line for line in (at / "status").read_text().splitlines() if line.startswith("VmRSS"))
        self.kib = int(resident.split()[1])

    def grew(self, before: Self) -> bool:
        """Return whether there is more than before; a few mappings come and go with the allocator."""
        return self.fds > before.fds or self.maps > before.maps + 8 or self.kib > before.kib + SLACK

    def __str__(self) -> str:
        """Say it."""
        return f"{self.fds} file descriptors, {self.maps} mappings, {self.kib} KiB"


class Soak:
    """The two back-ends of one ring, and who talks to them."""

    def __init__(self, ring: str, folder: Path, dice: random.Random) -> None:
        """Make the images; start the back-end that lives."""
        self.folder, self.dice, self.packed = folder, dice, ring == "packed"
        stores = PACKED_BACKEND_STORES if self.packed else BACKEND_STORES
        self.stores = sorted(step for step in stores if step.partition(".")[2].startswith(("fetch", "supply")))
        self.written = [0] * SECTORS
        self.kills = self.requests = self.sessions = self.lived = 0
        for name in ("mortal", "lasting"):
            (folder / f"{name}.image").write_bytes(bytes(512 * SECTORS))
        self.lasting = self._start("lasting")
        self.mortal = self._start("mortal")
        self._over = threading.Event()
        self._supervisor = threading.Thread(target=self._supervise)
        self._supervisor.start()

    def _start(self, name: str, *options: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "refimpl.backend.process", "--socket", str(self.folder / name), *options]
        command += ["--image", str(self.folder / f"{name}.image"), *(["--packed"] if self.packed else [])]
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen([*command, "--revision", "hardened"], stderr=log)

    def ram(self) -> GuestRam:
        """Return the memory of a guest."""
        return GuestRam(1, 24 if self.packed else 32, 512, packed=self.packed)

    def killed(self, guest: Guest) -> None:
        """Do a round of writes, whenever their back-end dies, and check what the disk has."""
        for sector in self.dice.sample(range(SECTORS), ROUND):
            self.written[sector] += 1
            guest.submit(WRITE, sector, self._stamp(sector), indirect=True)
        check(guest.wait(timeout=60))
        sector = self.dice.randrange(SECTORS)
        if guest.read(sector, 512) != self._stamp(sector):
            sys.exit(f"sector {sector} is not what was written")
        self.requests += ROUND + 1

    def _supervise(self) -> None:
        """Kill the back-end that is to die, if no store does, and start it again."""
        dice = random.Random(self.dice.random())  # noqa: S311  # when to kill, no secret
        deadline = 0.0
        while not self._over.wait(0.002):
            if self.mortal.poll() is None and time.monotonic() < deadline:
                continue
            self.mortal.kill()
            if self.mortal.wait() != -signal.SIGKILL:
                return  # the guest's patience ends soon
            self.kills += 1
            where = f"{dice.choice(self.stores)}:{dice.randrange(1, 200)}"
            self.mortal = self._start("mortal", *(["--crash-at", where] if dice.random() < 0.5 else []))
            deadline = time.monotonic() + dice.uniform(0.2, 1.0)

    def _stamp(self, sector: int) -> bytes:
        return (
            (self.written[sector] * SECTORS + sector).to_bytes(8, "little") * 64 if self.written[sector] else bytes(512)
        )

    def session(self) -> None:
        """Let a front-end come to the back-end that lives, work, perhaps come again, and leave."""
        with self.ram() as ram, FrontEnd(self.folder / "lasting", ram) as front_end:
            front_end.connect()
            front_end.start()
            guest = Guest(front_end)
            for _ in range(self.dice.randrange(1, 4)):
                for sector in range(ROUND):
                    guest.submit(WRITE, sector, bytes(512), indirect=sector % 2 == 0)
                    self.lived += 1
                if self.dice.random() < 0.5:
                    front_end.disconnect()  # in the middle of it
                    front_end.reconnect()
                check(guest.wait())
            ending = self.dice.randrange(3)
            if ending == 0:
                front_end.stop()
            elif ending == 1:
                guest.submit(WRITE, 0, bytes(512))  # and is gone before it is done
        self.sessions += 1

    def end(self) -> None:
        """End both back-ends."""
        self._over.set()
        self._supervisor.join()
        for process in (self.lasting, self.mortal):
            process.kill()
            process.wait()


def soak(ring: str, seconds: float, seed: int) -> bool:
    """Soak, print the counts, and return whether nothing was leaked."""
    dice = random.Random(seed)  # noqa: S311  # when to kill, no secret
    with tempfile.TemporaryDirectory(prefix="vhost-inflight-soak-") as name:
        it = Soak(ring, Path(name), dice)
        mine: dict[str, list[Count]] = {"this process (front-ends)": [], "the back-end that lives": []}
        started, warm = time.monotonic(), False
        try:
            with it.ram() as ram, FrontEnd(it.folder / "mortal", ram, timeout=30) as front_end:
                front_end.connect()
                front_end.start()
                guest = Guest(front_end)
                while time.monotonic() - started < seconds:
                    it.killed(guest)
                    it.session()
                    if not warm and time.monotonic() - started > seconds * WARM:
                        warm = True
                        _count(mine, it)
                    if sys.stderr.isatty():
                        left = seconds - (time.monotonic() - started)
                        print(f"\r{ring}: {it.kills} kills, {left:.0f} seconds left ", end="", file=sys.stderr)
                _count(mine, it)
        finally:
            it.end()
        said = (it.folder / "lasting.log").read_text() + (it.folder / "mortal.log").read_text()
    print(
        f"{ring}: {seconds:.0f} seconds: {it.kills} kills under {it.requests} requests; "
        f"{it.sessions} front-ends with {it.lived} requests at a back-end that lived"
    )
    for who, counts in mine.items():
        print(f"{who}: {counts[0]} -> {counts[-1]}")
    if said:
        print(f"a back-end said: {said}")
    return not said and not any(counts[-1].grew(counts[0]) for counts in mine.values())


def _count(mine: dict[str, list[Count]], it: Soak) -> None:
    """Count both processes, when what a front-end left behind has been noticed."""
    time.sleep(0.2)
    for counts, pid in zip(mine.values(), (os.getpid(), it.lasting.pid), strict=True):
        counts.append(Count(pid))


def main() -> None:
    """Soak one ring."""
    parser = argparse.ArgumentParser(prog="python -m tools.soak", description=__doc__)
    parser.add_argument("ring", nargs="?", choices=["split", "packed"], default="packed")
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    sys.exit(not soak(asked.ring, asked.seconds, asked.seed))


if __name__ == "__main__":
    main()
