"""Front-ends that do not begin at the beginning: silent ones, and one that goes on where another back-end was."""

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from refimpl.backend import server
from refimpl.errors import FrontEndError
from refimpl.layout import region_at
from refimpl.memory import SharedMemory
from refimpl.wire.codec import Request
from refimpl.wire.features import FEATURES, VHOST_USER_PROTOCOL_FEATURES
from refimpl.wire.payload import Inflight, MemoryTable, Number, VringState
from tests.refimpl.backend.test_server import wait_for
from tests.refimpl.wire_peer import QUEUE_SIZE, Peer, peers
from tests.refimpl.wire_rig import serving

SIZE = 144


@pytest.mark.parametrize("speaks", [False, True])
def test_silence_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, *, speaks: bool
) -> None:
    """One that connects and says nothing is told of once, with what it is likely to be; one that speaks is not."""
    monkeypatch.setattr(server, "SILENCE", 0.2)
    with serving(tmp_path) as served, socket.socket(socket.AF_UNIX) as front_end:
        front_end.connect(str(served.path))
        if speaks:
            front_end.sendall(bytes((1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0)))
            assert front_end.recv(20)
            time.sleep(0.6)
        else:
            wait_for(lambda: "said nothing" in caplog.text)
            time.sleep(0.5)
    told = [record.message for record in caplog.records if "said nothing for" in record.message]
    assert len(told) == (0 if speaks else 1)
    assert all("machine is paused" in line and "within the first messages" in line for line in told)


@pytest.fixture(name="make_peer")
def peer_maker(tmp_path: Path) -> Iterator[Callable[[], Peer]]:
    """Make back-ends with two queues to which nothing was said."""
    with peers(tmp_path) as make:
        yield make


@pytest.fixture(name="region")
def handed_region(make_peer: Callable[[], Peer]) -> Iterator[SharedMemory]:
    """Give the region of a ring that an earlier back-end started."""
    with SharedMemory.create(SIZE, "region") as memory:
        peer = make_peer()
        peer.negotiate()
        peer.say(Request.SET_INFLIGHT_FD, Inflight(SIZE, 0, 1, QUEUE_SIZE), memory.fd)
        peer.describe()
        peer.start()
        assert region_at(memory.view(), "split", "merged", QUEUE_SIZE).version == 1
        yield memory


def go_on(peer: Peer, region: SharedMemory) -> None:
    """Say what QEMU 7.2 says when the machine goes on after a pause in which a back-end died."""
    peer.say(Request.SET_FEATURES, Number(FEATURES))
    peer.say(Request.SET_INFLIGHT_FD, Inflight(SIZE, 0, 1, QUEUE_SIZE), region.fd)


def test_nothing_negotiated(make_peer: Callable[[], Peer], region: SharedMemory) -> None:
    """What is offered is taken as negotiated: the ring starts with its region, and acks are given."""
    peer = make_peer()
    go_on(peer, region)
    peer.say(Request.SET_FEATURES, Number(FEATURES))
    table = MemoryTable((peer.ram.region,))
    assert peer.ask(Request.SET_MEM_TABLE, table, peer.ram.memory.fd, need_reply=True).message.payload == Number(0)
    peer.say(Request.SET_VRING_NUM, VringState(0, QUEUE_SIZE))
    peer.say(Request.SET_VRING_ADDR, peer.ram.ring_address(0))
    peer.start()
    ring = peer.backend.rings[0]
    assert ring.queue is not None
    assert peer.backend.inflight is not None


def test_no_memory(make_peer: Callable[[], Peer], region: SharedMemory) -> None:
    """A front-end that gave memory region by region does not repeat it: that, and what helps, is said."""
    peer = make_peer()
    go_on(peer, region)
    peer.say(Request.SET_VRING_NUM, VringState(0, QUEUE_SIZE))
    peer.say(Request.SET_VRING_ADDR, peer.ram.ring_address(0))
    with pytest.raises(FrontEndError, match=r"no memory was given on this connection .*--mem-slots 0"):
        peer.start()


def test_not_plain(make_peer: Callable[[], Peer], region: SharedMemory) -> None:
    """Without SET_FEATURES, without protocol features in it, or after others were negotiated, it is refused as ever."""
    payload = Inflight(SIZE, 0, 1, QUEUE_SIZE)
    for features in (None, FEATURES & ~VHOST_USER_PROTOCOL_FEATURES):
        peer = make_peer()
        if features is not None:
            peer.say(Request.SET_FEATURES, Number(features))
        with pytest.raises(FrontEndError, match="bit 12 was not negotiated"):
            peer.say(Request.SET_INFLIGHT_FD, payload, region.fd)
    peer = make_peer()
    peer.say(Request.SET_FEATURES, Number(FEATURES))
    with pytest.raises(FrontEndError, match="bit 12 was not negotiated"):
        peer.say(Request.GET_INFLIGHT_FD, Inflight(0, 0, 1, QUEUE_SIZE))
    peer.say(Request.SET_PROTOCOL_FEATURES, Number(0))
    with pytest.raises(FrontEndError, match="bit 12 was not negotiated"):
        peer.say(Request.SET_INFLIGHT_FD, payload, region.fd)
