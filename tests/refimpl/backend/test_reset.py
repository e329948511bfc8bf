"""RESET_DEVICE in a back-end that lives: the driver has forgotten its requests, and so has to be the shared buffer."""

import logging
from pathlib import Path

import pytest

from refimpl.backend.blk import WRITE
from refimpl.backend.disk_queue import Schedule
from refimpl.choices import Choices
from refimpl.errors import BackEndError
from refimpl.frontend.connection import FrontEnd
from refimpl.frontend.guest import Guest, check
from refimpl.frontend.memory import GuestRam
from refimpl.layout import region_at
from refimpl.wire.codec import Request
from refimpl.wire.features import PROTOCOL_INFLIGHT_SHMFD, PROTOCOL_STATUS
from refimpl.wire.payload import NOTHING, Number, Payload, VringState
from tests.refimpl.backend.test_server import wait_for
from tests.refimpl.wire_peer import peers
from tests.refimpl.wire_rig import serving

RESETS = [(Request.RESET_DEVICE, NOTHING), (Request.RESET_OWNER, NOTHING), (Request.SET_STATUS, Number(0))]
"""What stops every ring, and finishes nothing."""

HELD = Schedule(hold=4, order="fifo", batch=4, idle=3600)
"""Nothing is finished before there are four."""


def reset(front_end: FrontEnd, request: Request) -> Guest:
    """Make three requests, and once they are fetched reset the device; return the new driver.

    The front-end says nothing of a shared buffer from then on, so the back-end uses the one it has, if any.
    """
    ram = front_end.ram
    front_end.connect()
    front_end.start()
    before = Guest(front_end)
    for sector in range(3):
        before.submit(WRITE, sector, b"\1" * 512, indirect=True)
    assert front_end.inflight is not None
    region = region_at(front_end.inflight.view(), "packed" if ram.packed else "split", "merged", 8)
    wait_for(lambda: sum(entry.inflight for entry in region.desc) == 3)
    front_end._send(request)
    before.drivers[0].reset()
    front_end.renew()
    front_end.protocol_features &= ~PROTOCOL_INFLIGHT_SHMFD
    return Guest(front_end)


@pytest.mark.reaches("connection.reset")
@pytest.mark.parametrize("ring", ["split", "packed"])
def test_the_buffer_is_forgotten(tmp_path: Path, ring: str, caplog: pytest.LogCaptureFixture) -> None:
    """The new driver's requests are served from the first on, and none of the old one's is done."""
    caplog.set_level(logging.INFO)
    with (
        serving(tmp_path, choices=Choices(ring=ring), schedule=HELD) as served,
        GuestRam(1, 8, 512, packed=ring == "packed") as ram,
        FrontEnd(served.path, ram, timeout=20) as front_end,
    ):
        guest = reset(front_end, Request.RESET_DEVICE)
        front_end.start()
        for sector in range(4, 8):
            guest.submit(WRITE, sector, b"\4" * 512, indirect=True)
        assert len(check(guest.wait())) == 4
        assert served.image.read_bytes()[: 8 * 512] == bytes(4 * 512) + b"\4" * 4 * 512
    assert "starts with no tracking: 0 requests resubmitted" in "\n".join(caplog.messages)


@pytest.mark.parametrize(
    ("choices", "request_"),
    [
        (Choices(ring="split", reset="kept-alive"), Request.RESET_DEVICE),
        (Choices(revision="merged", ring="packed", reset="kept-alive"), Request.RESET_DEVICE),
        (Choices(ring="split"), Request.RESET_OWNER),
        (Choices(ring="packed"), Request.RESET_OWNER),
    ],
    ids=lambda value: getattr(value, "ring", getattr(value, "name", "")),
)
def test_a_buffer_that_is_kept(
    tmp_path: Path, choices: Choices, request_: Request, caplog: pytest.LogCaptureFixture
) -> None:
    """The old driver's requests are done again on the new one's ring, and its own are not seen, or it is blamed.

    RESET_OWNER resets no device: a front-end that sends it goes on with the same driver.
    """
    caplog.set_level(logging.INFO)
    with (
        serving(tmp_path, choices=choices, schedule=HELD) as served,
        GuestRam(1, 8, 512, packed=choices.ring == "packed") as ram,
        FrontEnd(served.path, ram, timeout=20) as front_end,
    ):
        guest = reset(front_end, request_)
        guest.submit(WRITE, 5, b"\5" * 512, head=5, indirect=True)
        front_end.start()
        if choices.ring == "split":
            wait_for(lambda: front_end.given_up(0))
        else:
            with pytest.raises(BackEndError, match="did not come back in time"):
                guest.wait(timeout=0.5)
    said = "\n".join(caplog.messages)
    if choices.ring == "split":
        assert "ring 0 stops: the driver: " in said
    else:
        assert "starts with the region that it left: 3 requests resubmitted" in said


@pytest.mark.parametrize(("request_", "payload"), RESETS)
def test_every_ring_stops(tmp_path: Path, request_: Request, payload: Payload) -> None:
    """Both of two rings that run, one that is stopped already, and what was said of where they go on: nothing stays."""
    with peers(tmp_path, 3) as make:
        peer = make(status=True)
        peer.negotiate(PROTOCOL_STATUS)
        for queue in range(2):
            peer.describe(queue)
            peer.say(Request.SET_VRING_BASE, VringState(queue, 5 + queue))
            peer.start(queue)
        peer.say(Request.SET_VRING_BASE, VringState(2, 7))
        assert [ring.queue is not None for ring in peer.backend.rings] == [True, True, False]
        peer.say(request_, payload)
        for queue in range(3):
            ring = peer.backend.rings[queue]
            assert (ring.queue, ring.blk, ring.kick_fd, ring.enabled) == (None, None, None, False)
            assert peer.ask(Request.GET_VRING_BASE, VringState(queue, 0)).message.payload == VringState(queue, 0)


@pytest.mark.parametrize(("request_", "payload"), RESETS)
def test_a_ring_begins_anew(tmp_path: Path, request_: Request, payload: Payload) -> None:
    """A base that was given before a reset is none: fetching begins at the ring's begin, if no other one is given."""
    with peers(tmp_path, 2) as make:
        peer = make(status=True)
        peer.negotiate(PROTOCOL_STATUS)
        peer.describe()
        peer.say(Request.SET_VRING_BASE, VringState(0, 5))
        peer.start()
        peer.say(request_, payload)
        peer.start()
        assert peer.ask(Request.GET_VRING_BASE, VringState(0, 0)).message.payload == VringState(0, 0)
