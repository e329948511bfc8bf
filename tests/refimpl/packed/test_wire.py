"""A back-end that offers packed rings, against the front-end and its guest: data, stops, kills, and what is refused."""

import itertools
import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from refimpl.backend.blk import READ, WRITE
from refimpl.backend.disk_queue import Schedule
from refimpl.choices import Choices
from refimpl.errors import BackEndError
from refimpl.frontend.connection import PACKED_BASE, FrontEnd
from refimpl.frontend.guest import Guest, check
from refimpl.frontend.memory import GuestRam
from refimpl.hooks import PACKED_BACKEND_STORES
from refimpl.wire.features import EVENT_IDX, INDIRECT_DESC, PROTOCOL_INFLIGHT_SHMFD, WANTED, WANTED_PROTOCOL
from refimpl.wire.transport import Disconnected
from tests.refimpl.backend.test_server import wait_for
from tests.refimpl.wire_rig import Served, Spawn, open_fds, serving, spawning

PACKED = Choices(revision="hardened", ring="packed")


def pattern(number: int) -> bytes:
    """Return a sector's worth of bytes that tells which one it is."""
    return number.to_bytes(8, "little") * 64


def read_back(guest: Guest, sectors: range) -> list[bytes]:
    """Return the content of some sectors, read all at once."""
    for sector in sectors:
        guest.submit(READ, sector, length=512, indirect=True)
    content = {done.asked.sector: done.data for done in check(guest.wait())}
    return [content[sector] for sector in sectors]


@pytest.mark.parametrize("features", [WANTED, WANTED & ~EVENT_IDX & ~INDIRECT_DESC])
@pytest.mark.parametrize("order", ["shuffle", "reverse"])
def test_many_requests(tmp_path: Path, order: str, features: int) -> None:
    """Many rounds on two queues of 13, in chains and in tables, in any order: every sector holds what was written."""
    before = open_fds()
    indirect = bool(features & INDIRECT_DESC)
    with (
        serving(tmp_path, 2, PACKED, Schedule(hold=3, order=order)) as served,
        GuestRam(2, 13, 512, packed=True) as ram,
    ):
        with FrontEnd(served.path, ram, features=features) as front_end:
            front_end.connect()
            front_end.start()
            guest = Guest(front_end)
            for start in range(0, 120, 8):
                for sector in range(start, start + 8):
                    guest.submit(WRITE, sector, pattern(sector), queue=sector % 2, indirect=indirect)
                assert len(check(guest.wait())) == 8
            guest.flush()
            for sector in range(120):
                guest.submit(READ, sector, length=512, queue=sector % 2)
                for done in check(guest.wait()):
                    assert (done.data, done.used_len) == (pattern(sector), 513)
        image = served.image.read_bytes()
        assert served.log == []
    assert image[: 512 * 120] == b"".join(pattern(sector) for sector in range(120))
    assert before == open_fds()


@pytest.mark.parametrize("tracked", [True, False])
def test_stop_and_start(tmp_path: Path, *, tracked: bool) -> None:
    """After a stop nothing is in flight; a new start goes on where it was, by the region or by SET_VRING_BASE."""
    protocol = WANTED_PROTOCOL if tracked else WANTED_PROTOCOL & ~PROTOCOL_INFLIGHT_SHMFD
    with (
        serving(tmp_path, choices=PACKED) as served,
        GuestRam(1, 8, 512, packed=True) as ram,
        FrontEnd(served.path, ram, protocol_features=protocol) as front_end,
    ):
        front_end.connect()
        front_end.start()
        guest = Guest(front_end)
        for sector in range(3):
            guest.write(sector, pattern(sector))
        front_end.stop()
        assert front_end.bases == [1 | 1 << 16]  # nine descriptors: slot 1 of the second lap
        if tracked:
            front_end.bases = [PACKED_BASE]  # a stale one
        guest.submit(WRITE, 6, pattern(6))
        front_end.start()
        guest.wait()
        assert guest.read(6, 512) == pattern(6)
        assert served.log == []


def heard(served: Served, words: str) -> None:
    """Wait until the back-end has logged it."""
    wait_for(lambda: any(words in line for line in served.log))


def test_base_of_a_ring_that_did_not_run(tmp_path: Path) -> None:
    """A packed ring that never started has wrap counters of 1; a base outside the ring costs the connection."""
    protocol = WANTED_PROTOCOL & ~PROTOCOL_INFLIGHT_SHMFD
    with (
        serving(tmp_path, choices=PACKED) as served,
        GuestRam(1, 8, 512, packed=True) as ram,
        FrontEnd(served.path, ram, protocol_features=protocol) as front_end,
    ):
        for base, words in ((8, "slot 8 is the next available one"), (9 << 16, "slot 9 is the next used one")):
            front_end.connect()
            front_end.bases = [base]
            front_end.start()
            with pytest.raises(BackEndError):
                Guest(front_end).wait(1, timeout=0.2)
            heard(served, words)
            front_end.bases = [PACKED_BASE]


@pytest.mark.reaches("device.finish")
def test_split_rings_are_served_too(tmp_path: Path) -> None:
    """A guest that does not accept packed rings, as firmware does not, gets split ones with the same revision."""
    with (
        serving(tmp_path, choices=PACKED) as served,
        GuestRam(1, 8, 512) as ram,
        FrontEnd(served.path, ram) as front_end,
    ):
        front_end.connect()
        front_end.start()
        guest = Guest(front_end)
        guest.write(3, pattern(3))
        assert guest.read(3, 512) == pattern(3)
        assert front_end.inflight is not None
        assert front_end.inflight.size == 192
        assert served.log == []


def test_packed_is_not_offered(tmp_path: Path) -> None:
    """Without choices of the packed ring, RING_PACKED is not offered."""
    with (
        serving(tmp_path) as served,
        GuestRam(1, 8, 512, packed=True) as ram,
        FrontEnd(served.path, ram) as front_end,
        pytest.raises(BackEndError, match="0x400000000 are not offered"),
    ):
        front_end.connect()


def test_region_of_the_other_ring(tmp_path: Path) -> None:
    """Features that change between the shared buffer and the start make it one for the wrong ring."""
    with (
        serving(tmp_path, choices=PACKED) as served,
        GuestRam(1, 8, 512, packed=True) as ram,
        FrontEnd(served.path, ram, timeout=2) as front_end,
    ):
        front_end.connect()
        assert front_end.connection is not None
        front_end.held.get(front_end.connection, 1, 8)  # before SET_FEATURES: for a split ring, too small for a packed
        with pytest.raises(Disconnected):
            front_end.start()
        front_end.connect()
        handed = front_end.held.message()
        assert handed is not None
        assert front_end.connection is not None
        front_end.connection.send(handed[0], [handed[1]])
        front_end.protocol_features &= ~PROTOCOL_INFLIGHT_SHMFD
        front_end.start()
        with pytest.raises(BackEndError):
            Guest(front_end).wait(1, timeout=0.2)
        heard(served, "the shared buffer is for split rings")
        assert "too few" in served.log[0]


@pytest.fixture(name="start")
def starter(tmp_path: Path) -> Iterator[Spawn]:
    """Start back-end processes on one socket and one image, which holds 4 requests back and finishes 3 of them."""
    plan = tmp_path / "schedule.json"
    plan.write_text(json.dumps({"hold": 4, "order": "shuffle", "batch": 3, "idle": 0.05}))
    common = ("--packed", "--revision", "hardened", "--schedule", str(plan), "--trace", str(tmp_path / "trace"))
    with spawning(tmp_path, *common) as start:
        yield start


# Every store that a first life reaches, and some more than once.
CRASHES = sorted(
    f"{step}:{2 if step.startswith(('packed.supply', 'packed.fetch')) else 1}"
    for step in PACKED_BACKEND_STORES
    if not step.startswith("packed.reconnect.1c")
    and step
    not in {
        "packed.init.6",
        "packed.init.7",
        "packed.reconnect.unmark",
        "packed.idle.arm",
        "packed.idle.disarm",
        "packed.supply.6b",
    }
)


@pytest.mark.parametrize("where", CRASHES)
def test_killed_and_back(tmp_path: Path, start: Spawn, where: str) -> None:
    """After a kill at any store, every request comes back once, the disk holds every write, and the ring goes on."""
    first = start("--crash-at", where)
    with GuestRam(1, 20, 512, packed=True) as ram, FrontEnd(tmp_path / "socket", ram, timeout=20) as front_end:
        front_end.connect()
        front_end.start()
        guest = Guest(front_end)
        for sector in range(8):
            guest.submit(WRITE, sector, pattern(sector), head=sector + 4, indirect=sector > 3)
        assert first.wait(20) == -signal.SIGKILL, "the step was reached"
        used = {done.asked.sector for done in check(guest.collect())}
        second = start()
        assert len(check(guest.wait())) == 8 - len(used)
        lines = [json.loads(line) for line in (tmp_path / "trace").read_text().splitlines()]
        again = {line["id"] for line in lines if line["step"] == "packed.reconnect.4.submit"}
        assert not again & {sector + 4 for sector in used}
        assert read_back(guest, range(8)) == [pattern(sector) for sector in range(8)]
        front_end.stop()
        assert front_end.reconnects == 1
    second.terminate()
    assert second.wait(20) == 0
    assert second.stderr is not None
    assert second.stderr.read() == ""


@pytest.mark.parametrize("choice", ["until-publish", "always"])
def test_fetch_in_batch(tmp_path: Path, choice: str) -> None:
    """With fetch-in-batch, the main loop looks for more inside a batch."""
    choices = Choices(revision="merged", ring="packed", fetch_in_batch=choice)
    steps: list[str] = []
    with (
        serving(tmp_path, choices=choices, hook=lambda step, _: steps.append(step)) as served,
        GuestRam(1, 8, 512, packed=True) as ram,
        FrontEnd(served.path, ram) as front_end,
    ):
        front_end.connect()
        front_end.start()
        Guest(front_end).write(0, pattern(0))
        assert served.log == []
    after = {before for before, step in itertools.pairwise(steps) if step == "packed.fetch.look"}
    assert {"packed.supply.4", *(["packed.supply.8"] if choice == "always" else [])} <= after
