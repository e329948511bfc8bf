"""What a driver or a region has wrong stops its ring: the others go on, and so does the connection."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from refimpl.backend.blk import WRITE
from refimpl.choices import Choices
from refimpl.errors import BackEndError
from refimpl.frontend.connection import FrontEnd
from refimpl.frontend.guest import Guest
from refimpl.frontend.memory import GuestRam
from refimpl.layout import DESC_AVAIL, DESC_NEXT, DESC_WRITE, region_at
from refimpl.memory import store
from refimpl.wire.codec import Request
from refimpl.wire.payload import VringState
from tests.refimpl.backend.test_server import wait_for
from tests.refimpl.wire_rig import serving

RINGS = ("split", "packed")
SAID = {
    ("split", "no status"): "ring 0 stops: the driver: head 0: no byte for the status",
    ("packed", "no status"): "ring 0 stops: the driver: head 0: no byte for the status",
    ("split", "twice"): "ring 0 stops: the driver: head 0 was made available while it is inflight",
    ("packed", "twice"): "ring 0 stops: the driver: buffer id 0 was made available while it is inflight",
}


def spoil(front_end: FrontEnd, fault: str) -> None:
    """Let the driver of queue 0 make available what no driver may, and kick."""
    ram = front_end.ram
    address, _ = ram.slot(0, 0)
    header = (address, 16, DESC_NEXT if fault == "twice" else 0)
    status = (address + 16, 1, DESC_WRITE)
    chain = [header, status] if fault == "twice" else [header]
    if ram.packed:
        written = chain * (2 if fault == "twice" else 1)
        for slot, (addr, length, flags) in reversed(list(enumerate(written))):
            desc = ram.packed_rings[0].desc[slot]
            desc.addr, desc.len, desc.id = addr, length, 0
            desc.flags = flags | DESC_AVAIL
    else:
        ring = ram.rings[0]
        for entry, (addr, length, flags) in enumerate(chain):
            desc = ring.desc[entry]
            desc.addr, desc.len, desc.flags, desc.next = addr, length, flags, entry + 1
        ring.avail.ring[0] = ring.avail.ring[1] = 0
        ring.avail.idx = 2 if fault == "twice" else 1
    os.eventfd_write(front_end.kicks[0], 1)


@pytest.fixture(name="front_end", params=RINGS)
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FrontEnd]:
    """Give a front-end with two queues, connected and started."""
    packed = request.param == "packed"
    choices = Choices(ring=request.param, revision="hardened" if packed else "merged")
    with (
        serving(tmp_path, queues=2, choices=choices) as back_end,
        GuestRam(2, 8, 512, packed=packed) as ram,
        FrontEnd(back_end.path, ram, timeout=20) as front_end,
    ):
        front_end.connect()
        front_end.start()
        yield front_end
    assert back_end.log == []


def inflight(front_end: FrontEnd) -> list[int]:
    """Return the inflight fields of queue 0."""
    assert front_end.inflight is not None
    region = region_at(front_end.inflight.view(), "packed" if front_end.ram.packed else "split", "merged", 8)
    return [entry.inflight for entry in region.desc]


@pytest.mark.parametrize("fault", ["no status", "twice"])
def test_a_malformed_request(front_end: FrontEnd, fault: str, caplog: pytest.LogCaptureFixture) -> None:
    """Its ring stops, the log says whose fault it is, the front-end is told; the other ring and the connection go on.

    So it is after each reconnect, since the request stays in the region, until the driver has reset the ring.
    """
    guest = Guest(front_end)
    spoil(front_end, fault)
    wait_for(lambda: front_end.given_up(0))
    guest.write(1, b"\1" * 512, queue=1)
    assert not front_end.lost()
    assert inflight(front_end)[0] == 1
    front_end.reconnect()
    wait_for(lambda: front_end.given_up(0))
    guest.write(2, b"\2" * 512, queue=1)
    assert [guest.read(sector, 512, queue=1)[0] for sector in (1, 2)] == [1, 2]
    ring = "packed" if front_end.ram.packed else "split"
    assert [record.getMessage() for record in caplog.records] == [SAID[ring, fault]] * 2
    front_end.stop()
    for driver in guest.drivers:
        driver.reset()
    front_end.renew()
    front_end.start()
    guest = Guest(front_end)
    guest.write(3, b"\3" * 512, queue=0)
    assert guest.read(3, 512, queue=1) == b"\3" * 512
    assert not front_end.given_up(0)
    assert not front_end.given_up(1)


def test_a_ring_that_stopped_costs_no_time(front_end: FrontEnd) -> None:
    """Its kicks wake nobody: the back-end waits, and does not spin."""
    spoil(front_end, "no status")
    wait_for(lambda: front_end.given_up(0))
    begun = time.process_time()
    for _ in range(50):
        os.eventfd_write(front_end.kicks[0], 1)
        time.sleep(0.01)
    assert time.process_time() - begun < 0.25


def test_a_ring_that_stopped_starts_with_a_kick_fd_alone(front_end: FrontEnd) -> None:
    """Enabling it again is not enough: nothing is said of why it should go better."""
    spoil(front_end, "no status")
    wait_for(lambda: front_end.given_up(0))
    for number in (0, 1):
        front_end._send(Request.SET_VRING_ENABLE, VringState(0, number))
    Guest(front_end).write(1, bytes(512), queue=1)
    assert not front_end.given_up(0)


def test_a_wrong_region(front_end: FrontEnd, caplog: pytest.LogCaptureFixture) -> None:
    """A region that nobody can have left keeps its own ring from starting, and no other."""
    front_end.stop()
    assert front_end.inflight is not None
    store(region_at(front_end.inflight.view(), "split", "merged", 8), "version", 7)
    front_end.start()
    wait_for(lambda: front_end.given_up(0))
    guest = Guest(front_end)
    guest.submit(WRITE, 0, bytes(512), queue=0)
    guest.submit(WRITE, 1, bytes(512), queue=1)
    assert [done.asked.queue for done in guest.wait(1)] == [1]
    with pytest.raises(BackEndError, match="did not come back in time"):
        guest.wait(1, timeout=0.2)
    assert [record.getMessage() for record in caplog.records] == [
        "ring 0 stops: the region: version is 7; this back-end knows 1"
    ]
