"""A guest whose device is stopped with requests in flight, and started again: by whom, where, and what it then sees.

Six writes are made available. The device finishes the three newest, newest first, and holds the others back: so what is
in flight is not what lies between two indexes. What came back is poisoned: a request that is done again writes what
nobody asked for. At the very end the back-end is told to end, which lets it finish all that it has: no time is waited.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from signal import SIGTERM
from types import TracebackType
from typing import Self

from refimpl.backend.blk import WRITE
from refimpl.backend.process import main
from refimpl.frontend.connection import FrontEnd
from refimpl.frontend.guest import Guest
from refimpl.frontend.memory import DATA_AT
from refimpl.wire.codec import Request
from tests.refimpl.wire_rig import make_image
from vhost_inflight.forked import ForkedBackEnd, held_signals

REQUESTS, KEPT, FRESH, SIZE = 6, 3, 7, 8
"""How many requests there are, how many of them are held back; the head of the one made after the start; the ring's."""

RINGS = {"split": ("--revision", "merged"), "packed": ("--packed", "--revision", "hardened")}
WAYS = ("same connection", "next process", "migrated")
DRIVER = {
    "split": ("next_avail", "next_used", "free", "chains", "outstanding"),
    "packed": ("next_avail", "avail_wrap", "next_used", "used_wrap", "free", "room", "lengths", "outstanding"),
}
"""What the driver knows, which is in the guest's memory too."""


def pattern(sector: int) -> bytes:
    """Return what is written to a sector."""
    return bytes([sector + 1]) * 512


@dataclass(frozen=True)
class Seen:
    """What the driver saw of its requests, by sector: how often each came back; and which sectors are not right."""

    times: Counter[int]
    wrong: frozenset[int]

    def __str__(self) -> str:
        """Say it as docs/stopping.md does."""
        sectors = [*range(REQUESTS), FRESH]
        lost = sum(self.times[sector] == 0 for sector in sectors)
        twice = sum(self.times[sector] > 1 for sector in sectors)
        told = [f"{lost} lost"] * bool(lost) + [f"{twice} twice"] * bool(twice)
        told += [f"{len(self.wrong)} wrong on the disk"] * bool(self.wrong)
        return ", ".join(told) or "all back once"


class BackEnds:
    """Back-ends of one generation on one image, as processes; those that live are ended with the block."""

    def __init__(self, folder: Path, ring: str, generation: str, *, idle: float = 3600) -> None:
        """Begin with none."""
        self.folder = folder
        self.image = make_image(folder)
        plan = {"hold": REQUESTS, "keep": KEPT, "order": "reverse", "batch": 1, "idle": idle}
        (folder / "schedule").write_text(json.dumps(plan))
        self._options = (*RINGS[ring], "--stop", generation, "--schedule", str(folder / "schedule"))
        self.processes: list[ForkedBackEnd] = []

    def start(self, socket: str, *more: str) -> ForkedBackEnd:
        """Start another one."""
        where = ("--socket", str(self.folder / socket), "--image", str(self.image))
        with held_signals(), (self.folder / "said").open("ab") as said:
            self.processes.append(ForkedBackEnd(lambda: main([*where, *self._options, *more]), said))
        return self.processes[-1]

    def end(self, process: ForkedBackEnd) -> None:
        """Tell one to end: it finishes what it has."""
        os.kill(process.pid, SIGTERM)
        assert process.ends_within(20)
        assert process.code == 0

    def __enter__(self) -> Self:
        """Return this."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End them."""
        for process in self.processes:
            process.close()


class Observed:
    """A guest that counts what comes back, and goes on whatever that is."""

    def __init__(self, guest: Guest) -> None:
        """Begin with nothing."""
        self.guest = guest
        self.times: Counter[int] = Counter()
        for driver in guest.drivers:
            driver.strict = False

    def make(self, sectors: Sequence[int], queue: int = 0) -> None:
        """Make one write available for each sector; its head is its sector's number."""
        for sector in sectors:
            self.guest.submit(WRITE, sector, pattern(sector), head=sector, queue=queue, indirect=True)

    def look(self, queue: int = 0) -> None:
        """Count what came back, and poison it."""
        for head, _ in self.guest.drivers[queue].use_all():
            self.times[head] += 1
            self.guest.pending.pop((queue, head), None)
            _, slot = self.guest.ram.slot(queue, head)
            slot[DATA_AT:] = b"\xee" * len(slot[DATA_AT:])

    def wait_for(self, count: int, queue: int = 0) -> None:
        """Wait until so many have come back."""
        deadline = time.monotonic() + 20
        while self.times.total() < count:
            assert time.monotonic() < deadline
            time.sleep(0.002)
            self.look(queue)


def asked(front_end: FrontEnd) -> None:
    """Wait until everything said before has been done, and rings that were started have fetched what there was."""
    front_end._ask_number(Request.GET_FEATURES)
