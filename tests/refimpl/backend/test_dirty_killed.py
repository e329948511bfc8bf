"""A migration through the deaths of back-ends: what the log says is copied, and that is all that was written."""

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from refimpl.backend.blk import FLUSH, READ
from refimpl.backend.dirty import PAGE
from refimpl.backend.disk import Disk
from refimpl.backend.disk_queue import Schedule
from refimpl.frontend.connection import FrontEnd
from refimpl.frontend.dirty import DirtyPages
from refimpl.frontend.guest import Guest
from refimpl.frontend.memory import GUEST_BASE, GuestRam
from refimpl.memory import SharedMemory
from refimpl.packed.ring import is_used
from refimpl.split.driver import SplitDriver
from refimpl.wire.codec import Request
from refimpl.wire.features import EVENT_IDX, FEATURES, PROTOCOL_FEATURES, RING_PACKED
from refimpl.wire.payload import Inflight, Number
from tests.refimpl.backend.test_dirty import RINGS, SIZE, START
from tests.refimpl.backend.test_server import wait_for
from tests.refimpl.wire_peer import Peer
from tests.refimpl.wire_rig import make_image, spawning

STRIDE = 65536


class Migration:
    """A copy of a guest's memory, kept up with it by what the log says."""

    def __init__(self, ram: GuestRam) -> None:
        """Begin with all of it."""
        self.ram = ram
        self.log = DirtyPages(GUEST_BASE + ram.memory.size)
        self.copy = bytearray(ram.memory.view())

    def follow(self) -> None:
        """Copy what was logged since the last time."""
        for address in self.log.take():
            at = address - GUEST_BASE
            self.copy[at : at + PAGE] = self.ram.memory.view(at, PAGE)

    def complete(self) -> bool:
        """Whether the copy is all of it, once what was logged last is copied too."""
        self.follow()
        return self.copy == self.ram.memory.view()


class CrashError(BaseException):
    """The end of a back-end; nothing in the reference catches it."""


TO_THE_RING = {
    *(f"split.{step}" for step in ("supply.id", "supply.len", "supply.5", "idle.arm")),
    *(f"packed.{step}" for step in ("supply.id", "supply.len", "supply.7", "idle.arm", "idle.disarm")),
}
"""The steps that store to the guest's memory."""


class Life:
    """A back-end of one ring, on a guest's memory and a region that others had before it; its steps are kept."""

    def __init__(self, disk: Disk, ring: str, migration: Migration, region: SharedMemory) -> None:
        """Describe everything; ``run`` starts it."""
        self.peer = peer = Peer(disk, RINGS[ring])
        peer.ram.close()
        peer.ram, self.migration, self.steps = migration.ram, migration, list[str]()
        self.at: Callable[[], None] = lambda: None
        device = replace(peer.backend.device, hook=self._hook, schedule=Schedule(hold=3, order="fifo", batch=3, idle=0))
        for vring in peer.backend.rings:
            vring.device = device
        packed = ring == "packed"
        peer.say(Request.SET_PROTOCOL_FEATURES, Number(PROTOCOL_FEATURES))
        peer.say(Request.SET_FEATURES, Number((FEATURES | RING_PACKED) & ~EVENT_IDX if packed else FEATURES))
        peer.ask(Request.SET_LOG_BASE, migration.log.area, migration.log.memory.fd).close()
        peer.say(Request.SET_INFLIGHT_FD, Inflight(STRIDE, 0, 1, SIZE), region.fd)
        peer.describe(size=SIZE, logged=True)

    def _hook(self, step: str, _choice: int | None) -> None:
        self.steps.append(step)
        self.at()

    def run(self) -> None:
        """Start, take a kick, and do all there is to do."""
        self.peer.start()
        ring = self.peer.backend.rings[0]
        for _ in range(2):
            while ring.ready:
                ring.turn()
            ring.woken()

    def end(self) -> None:
        """Close both ends; the memory stays."""
        self.peer.backend.close()
        self.peer.ours.close()


def through_a_death(disk: Disk, ring: str, number: int) -> list[str]:
    """Follow right before a step, kill the back-end after it, and let another end what it began; 0: nobody dies.

    Return the steps of the last life. Asserts that nothing is missing in the copy.
    """
    with GuestRam(1, SIZE, 512, packed=ring == "packed") as ram, SharedMemory.create(STRIDE, "region") as region:
        front_end = FrontEnd(Path("/nowhere"), ram)
        front_end.features = 0 if ring == "packed" else EVENT_IDX
        guest = Guest(front_end)
        driver = guest.drivers[0]
        if isinstance(driver, SplitDriver):
            ram.rings[0].avail.idx = ram.rings[0].used.idx = driver.next_avail = driver.next_used = START
        for kind, length in ((READ, 512), (FLUSH, 0), (READ, 512)):
            guest.submit(kind, 0, length=length, indirect=True)
        migration = Migration(ram)
        life = Life(disk, ring, migration, region)

        def at() -> None:
            if len(life.steps) == number - 1:
                migration.follow()
            elif len(life.steps) == number:
                raise CrashError

        life.at = at
        try:
            life.run()
        except CrashError:
            life.end()
            life = Life(disk, ring, migration, region)
            life.run()
        life.end()
        assert migration.complete(), f"killed after step {number}"
        assert len(guest.collect()) == 3
        migration.log.close()
        front_end.close()
        return life.steps


@pytest.mark.parametrize("ring", RINGS)
def test_killed_after_each_store(tmp_path: Path, ring: str) -> None:
    """Whichever store nobody came to log, and however soon before it all else was copied, its page is copied later."""
    image = make_image(tmp_path)
    image.write_bytes(os.urandom(image.stat().st_size))
    with Disk(image) as disk:
        steps = through_a_death(disk, ring, 0)
        assert {step for step in TO_THE_RING if step.startswith(ring)} <= set(steps)
        for number, step in enumerate(steps, start=1):
            if step in TO_THE_RING:
                through_a_death(disk, ring, number)


@pytest.mark.parametrize(("ring", "place"), [("split", "supply.5"), ("packed", "supply.7:2")])
def test_killed_processes(tmp_path: Path, ring: str, place: str) -> None:
    """The same with a process that is really killed, and a front-end that gives the log to the next one."""
    options = ("--packed", "--revision", "hardened") if ring == "packed" else ()
    with (
        spawning(tmp_path, *options) as start,
        GuestRam(1, SIZE, 512, packed=ring == "packed") as ram,
        FrontEnd(tmp_path / "socket", ram, timeout=20) as front_end,
    ):
        (tmp_path / "image").write_bytes(os.urandom(256 * 512))
        first = start("--crash-at", f"{ring}.{place}")
        front_end.connect()
        guest = Guest(front_end)
        for _ in range(6):
            guest.submit(READ, 3, length=512, indirect=True)
        migration = Migration(ram)
        front_end.log = migration.log
        front_end.start()
        assert first.wait(20) == -signal.SIGKILL
        migration.follow()
        start()
        front_end.reconnect()
        wait_for(lambda: came_back(ram, 6))
        front_end.stop()
        assert migration.complete()
        assert len(guest.collect()) == 6
        migration.log.close()


def came_back(ram: GuestRam, number: int) -> bool:
    """Whether so many requests are used, from the first slot on; nothing is written."""
    if ram.packed:
        return is_used(ram.packed_rings[0].desc[number - 1].flags, 1)
    return int(ram.rings[0].used.idx) == number


@pytest.mark.parametrize("ring", RINGS)
def test_begun_and_ended_while_it_runs(tmp_path: Path, ring: str) -> None:
    """A front-end that begins to migrate tells the back-end, and that it is over."""
    options = ("--packed", "--revision", "hardened") if ring == "packed" else ()
    with (
        spawning(tmp_path, *options) as start,
        GuestRam(1, 8, 512, packed=ring == "packed") as ram,
        FrontEnd(tmp_path / "socket", ram, timeout=20) as front_end,
    ):
        start()
        front_end.connect()
        front_end.start()
        guest = Guest(front_end)
        log = DirtyPages(GUEST_BASE + ram.memory.size)
        for wanted in (log, None, log):
            front_end.log_to(wanted)
            front_end._ask_number(Request.GET_FEATURES)  # all before it has been handled when it is answered
            log.take()
            guest.read(0, 512)
            assert bool(log.take()) == (wanted is not None)
        front_end.stop()
        log.close()
