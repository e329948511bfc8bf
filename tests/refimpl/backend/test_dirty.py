"""The log of dirty pages: every page that a back-end writes is in it, whatever the back-end dies of."""

import ctypes
import fcntl
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from refimpl.backend.blk import FLUSH, GET_ID, READ, WRITE
from refimpl.backend.dirty import PAGE, DirtyLog, RingLog
from refimpl.backend.disk import BlkRequest, Disk
from refimpl.backend.disk_queue import Schedule
from refimpl.choices import Choices
from refimpl.errors import FrontEndError
from refimpl.frontend.connection import FrontEnd
from refimpl.frontend.dirty import DirtyPages
from refimpl.frontend.guest import Guest
from refimpl.frontend.memory import GUEST_BASE, GuestRam
from refimpl.memory import SharedMemory
from refimpl.split.driver import SplitDriver
from refimpl.wire.codec import Request
from refimpl.wire.features import FEATURES, PROTOCOL_FEATURES, PROTOCOL_LOG_SHMFD, RING_PACKED
from refimpl.wire.payload import NOTHING, LogArea, Number
from tests.refimpl.wire_peer import Peer
from tests.refimpl.wire_rig import make_image

SIZE = 1024
"""Slots of a ring whose parts lie on several pages."""

START = 600
"""Where a split ring begins: its used elements are on another page than its indexes."""

RINGS = {"split": Choices(), "packed": Choices(ring="packed", revision="hardened")}


class Bench:
    """A back-end with one ring that runs, a guest on its memory, and a log; nothing runs by itself."""

    def __init__(self, disk: Disk, choices: Choices) -> None:
        """Start the ring, and log what it writes."""
        packed = choices.ring == "packed"
        self.peer = Peer(disk, choices)
        self.ram = self.peer.ram = GuestRam(1, SIZE, 3 * PAGE, packed=packed)
        self.log = DirtyPages(GUEST_BASE + self.ram.memory.size)
        self.front_end = FrontEnd(Path("/nowhere"), self.ram)
        self.front_end.features = 0 if packed else 1 << 29
        self.ring = self.peer.backend.rings[0]
        self.ring.device = replace(self.ring.device, schedule=Schedule(hold=1, order="fifo", batch=1))
        peer = self.peer
        peer.say(Request.SET_PROTOCOL_FEATURES, Number(PROTOCOL_FEATURES))
        peer.say(Request.SET_FEATURES, Number((FEATURES | RING_PACKED) & ~(1 << 29) if packed else FEATURES))
        with peer.ask(Request.SET_LOG_BASE, self.log.area, self.log.memory.fd) as reply:
            assert reply.message.payload == Number(0)
        if not packed:
            self.ram.rings[0].avail.idx = self.ram.rings[0].used.idx = START
        peer.describe(size=SIZE, logged=True)
        peer.start()
        self.guest = Guest(self.front_end)
        driver = self.guest.drivers[0]
        if isinstance(driver, SplitDriver):
            driver.next_avail = driver.next_used = START

    def image(self) -> bytes:
        """Return the guest's memory."""
        return bytes(self.ram.memory.view())

    def watch(self, action: Callable[[], None]) -> tuple[set[int], set[int]]:
        """Return the pages whose bytes an action of the back-end changed, and those that it logged."""
        self.log.take()
        before = self.image()
        action()
        now = self.image()
        starts = range(0, len(now), PAGE)
        changed = {GUEST_BASE + n for n in starts if now[n : n + PAGE] != before[n : n + PAGE]}
        return changed, self.log.take()

    def serve(self) -> None:
        """Let the back-end do all it can."""
        while self.ring.ready:
            self.ring.turn()

    def ask(self, kind: int, length: int) -> tuple[set[int], set[int]]:
        """Let the driver make a request, and the back-end take the kick and do it, and watch that."""
        self.guest.collect()
        data = bytes([7]) * length if kind == WRITE else b""
        self.guest.submit(kind, 0, data, length=length, indirect=True)
        woken = self.watch(self.ring.woken)
        served = self.watch(self.serve)
        return woken[0] | served[0], woken[1] | served[1]

    def close(self) -> None:
        """Close everything."""
        self.front_end.close()
        self.peer.close()
        self.log.close()


@pytest.fixture(name="bench", params=RINGS)
def make_bench(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Bench]:
    """Give a bench on a disk that has something on each sector."""
    image = make_image(tmp_path)
    image.write_bytes(os.urandom(image.stat().st_size))
    with Disk(image) as disk:
        bench = Bench(disk, RINGS[request.param])
        yield bench
        bench.close()


KINDS = ((READ, 3 * PAGE), (FLUSH, 0), (GET_ID, 20), (WRITE, 512), (READ, 512), (99, 100), (READ, 100))
"""Requests of each kind: type, and bytes of data, or of the room for it."""


def missed(bench: Bench) -> set[int]:
    """Let requests of each kind come and go; return the pages that were changed and not logged."""
    bench.serve()
    found: set[int] = set()
    for kind, length in KINDS:
        changed, logged = bench.ask(kind, length)
        found |= changed - logged
    return found


def test_each_page_that_is_written_is_logged(bench: Bench) -> None:
    """Data, status bytes, used elements, indexes and event fields: there is no page whose bytes changed unlogged."""
    assert missed(bench) == set()


def test_no_page_is_logged_that_is_not_written(bench: Bench) -> None:
    """What is logged was changed, but for fields of the ring that are stored as they were."""
    bench.serve()
    for kind, length in KINDS:
        changed, logged = bench.ask(kind, length)
        assert all(page < GUEST_BASE + bench.ram.places[0].tables for page in logged - changed)


def leave_out(cls: type, name: str, when: Callable[..., bool]) -> Callable[[pytest.MonkeyPatch], None]:
    """Return what lets a method do nothing in some cases."""
    method = getattr(cls, name)

    def change(monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cls, name, lambda self, *args: None if when(*args) else method(self, *args))

    return change


def but(extents: Callable[[list[tuple[int, int]]], list[tuple[int, int]]]) -> Callable[[pytest.MonkeyPatch], None]:
    """Return what lets a request tell less than it wrote."""
    written = BlkRequest.written

    def change(monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(BlkRequest, "written", lambda self: extents(list(written(self))))

    return change


@pytest.mark.parametrize(
    ("bench", "change"),
    [
        ("split", leave_out(RingLog, "wrote", lambda _target, field: field == "idx")),
        ("split", leave_out(RingLog, "wrote", lambda _target, field: field in {"id", "len"})),
        ("split", leave_out(RingLog, "wrote", lambda _target, field: field == "event")),
        ("packed", leave_out(RingLog, "wrote", lambda target, _field: ctypes.sizeof(target) == 16)),
        ("packed", leave_out(RingLog, "wrote", lambda target, _field: ctypes.sizeof(target) == 4)),
        ("split", but(lambda extents: extents[:-1])),
        ("split", but(lambda extents: extents[-1:])),
        ("packed", but(lambda extents: [(address, min(length, PAGE)) for address, length in extents])),
        ("packed", but(lambda extents: [(address + length - 1, 1) for address, length in extents])),
    ],
    indirect=["bench"],
    ids=["idx", "elements", "avail_event", "descriptors", "event area", "status", "data", "first page", "last byte"],
)
def test_what_is_left_out_is_missed(
    bench: Bench, change: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check above can fail: each kind of store that is not logged leaves a page that is."""
    change(monkeypatch)
    assert bench.ring.queue is not None
    bench.ring.queue.wrote = bench.ring.ring_log.wrote
    assert missed(bench)


def test_a_bit_is_set_after_the_store(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands there when a page is logged is what was stored: a page copied before is copied again."""
    found: list[tuple[int, bytes]] = []
    mark = DirtyLog.mark

    def seen(self: DirtyLog, address: int, length: int) -> None:
        found.append((address, bytes(bench.ram.memory.view(address - GUEST_BASE, length))))
        mark(self, address, length)

    monkeypatch.setattr(DirtyLog, "mark", seen)
    bench.ask(READ, 512)
    again = range(bench.ram.ring_address(0, logged=True).log, GUEST_BASE + bench.ram.places[0].tables)
    once = [(address - GUEST_BASE, data) for address, data in found if not bench.ram.packed or address not in again]
    assert len(once) > 4  # a packed ring's event area is stored to more than once
    assert all(bench.image()[at:].startswith(data) for at, data in once)


def test_two_switches(bench: Bench) -> None:
    """The ring's own flag says whether the ring is logged, the feature whether data is; both while it runs."""
    peer, ram = bench.peer, bench.ram
    ring = {GUEST_BASE + n for n in range(0, ram.places[0].tables, PAGE)}
    for logged, everything in ((True, False), (False, True), (False, False), (True, True)):
        peer.say(Request.SET_VRING_ADDR, ram.ring_address(0, logged=logged))
        features = peer.backend.features & ~(1 << 26)
        peer.say(Request.SET_FEATURES, Number(features | everything << 26))
        _, log = bench.ask(READ, 512)
        assert (bool(log & ring), bool(log - ring)) == (logged, everything)


def test_a_log_that_comes_later(bench: Bench) -> None:
    """What was to be logged before there was a log is in the first one; another takes the place of the one before."""
    bench.ring.log._unmap()
    wanted, logged = bench.ask(READ, 3 * PAGE)
    assert logged == set()
    bench.peer.ask(Request.SET_LOG_BASE, bench.log.area, bench.log.memory.fd).close()
    assert bench.log.take() >= wanted
    other = DirtyPages(GUEST_BASE + bench.ram.memory.size)
    bench.peer.ask(Request.SET_LOG_BASE, other.area, other.memory.fd).close()
    wanted, logged = bench.ask(READ, 3 * PAGE)
    assert logged == set()
    assert other.take() >= wanted
    other.close()


def test_log_fd(bench: Bench) -> None:
    """It is signalled for what is logged; one that is full is no reason to lose a page, one of no use is named."""
    fd = os.eventfd(0, os.EFD_NONBLOCK)
    bench.peer.say(Request.SET_LOG_FD, NOTHING, fd)
    bench.ask(WRITE, 512)
    assert os.eventfd_read(fd) >= 3
    os.eventfd_write(fd, (1 << 64) - 2)
    changed, logged = bench.ask(WRITE, 512)
    assert changed <= logged
    reading, writing = os.pipe()
    bench.peer.say(Request.SET_LOG_FD, NOTHING, reading)
    with pytest.raises(FrontEndError, match=r"page .* cannot be logged: .*Bad file descriptor"):
        bench.ask(WRITE, 512)
    for each in (fd, reading, writing):
        os.close(each)


@pytest.mark.parametrize("seals", [0, 2], ids=["not sealed", "sealed against shrinking"])
@pytest.mark.parametrize(
    ("area", "rule"),
    [
        (LogArea(0, 0), "cannot be mapped"),
        (LogArea(PAGE + 1, 0), "too short"),
        (LogArea(PAGE, 1), "too short"),
        (LogArea(1 << 63, 0), "cannot be mapped"),
        (LogArea(1, (1 << 64) - 1), "cannot be mapped"),
    ],
)
def test_wrong_logs(bench: Bench, area: LogArea, rule: str, seals: int) -> None:
    """A log that is not all in its file is refused, and the one before stays."""
    fd = os.memfd_create("log", os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, PAGE)
    if seals:
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    with pytest.raises(FrontEndError, match=rule):
        bench.peer.say(Request.SET_LOG_BASE, area, fd)
    os.close(fd)
    changed, logged = bench.ask(WRITE, 512)
    assert changed <= logged


def test_a_log_that_is_too_small(bench: Bench) -> None:
    """What is past its end cannot be logged: that ends the connection, as it must not pass for logged."""
    with SharedMemory.create(1, "log") as memory:
        bench.peer.ask(Request.SET_LOG_BASE, LogArea(1, 0), memory.fd).close()
    with pytest.raises(FrontEndError, match=r"the log of dirty pages has 1 bytes, too few for page 0x[12]\w"):
        bench.ask(READ, 512)


def test_a_log_that_was_cut(bench: Bench) -> None:
    """A file that is cut after it was mapped costs the connection, not the process."""
    fd = os.memfd_create("log")
    os.ftruncate(fd, PAGE)
    bench.peer.ask(Request.SET_LOG_BASE, LogArea(PAGE, 0), fd).close()
    os.ftruncate(fd, 0)
    os.close(fd)
    with pytest.raises(FrontEndError, match=r"page .* cannot be logged: .*Bad address"):
        bench.ask(READ, 512)


def test_not_negotiated(bench: Bench) -> None:
    """Without LOG_SHMFD there is no file to map."""
    bench.peer.say(Request.SET_PROTOCOL_FEATURES, Number(PROTOCOL_FEATURES & ~PROTOCOL_LOG_SHMFD))
    with pytest.raises(FrontEndError, match="bit 1 was not negotiated"):
        bench.peer.say(Request.SET_LOG_BASE, bench.log.area, bench.log.memory.fd)


def test_an_address_that_is_logged_nowhere(bench: Bench) -> None:
    """A log address past every page is the front-end's, who is told when something is to be logged there."""
    place = bench.ram.ring_address(0, logged=True)
    bench.peer.say(Request.SET_VRING_ADDR, replace(place, log=(1 << 64) - 1))
    with pytest.raises(FrontEndError, match=r"too few for page 0x1000000000000\d"):
        bench.ask(WRITE, 512)
