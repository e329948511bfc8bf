"""The back-end's state machine: each message by itself, in order and out of it, and what is refused."""

import ctypes
import fcntl
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from refimpl.choices import Choices
from refimpl.errors import FrontEndError
from refimpl.frontend.memory import GUEST_BASE, GuestRam
from refimpl.layout import region_at
from refimpl.memory import SharedMemory
from refimpl.split.queue import SplitQueue
from refimpl.wire.codec import Request
from refimpl.wire.payload import (
    NOTHING,
    ConfigSpace,
    Inflight,
    MemoryRegion,
    MemoryTable,
    Number,
    Payload,
    SingleRegion,
    VringFd,
    VringState,
)
from tests.refimpl.wire_peer import QUEUE_SIZE, Peer, peers
from tests.refimpl.wire_rig import open_fds

SIZE, STRIDE = 144, 192


@pytest.fixture(name="make_peer")
def peer_maker(tmp_path: Path) -> Iterator[Callable[..., Peer]]:
    """Make back-ends, which at the end have left nothing open."""
    with peers(tmp_path) as make:

        def negotiated(choices: Choices | None = None) -> Peer:
            peer = make(choices)
            peer.negotiate()
            return peer

        yield negotiated


@pytest.fixture(name="peer")
def one_peer(make_peer: Callable[[], Peer]) -> Peer:
    """Give a back-end with everything negotiated."""
    return make_peer()


def test_numbers(peer: Peer) -> None:
    """What is offered is what protocol.md lists."""
    virtio = 1 << 2 | 1 << 6 | 1 << 9 | 1 << 12
    assert peer.number(Request.GET_FEATURES) == 1 << 26 | 1 << 28 | 1 << 29 | 1 << 30 | 1 << 32 | virtio
    bits = [0, 1, 3, 5, 9, 12, 13, 15]
    assert peer.number(Request.GET_PROTOCOL_FEATURES) == sum(1 << bit for bit in bits)
    assert peer.number(Request.GET_QUEUE_NUM) == 2
    assert peer.number(Request.GET_MAX_MEM_SLOTS) == 64


def test_ack(peer: Peer) -> None:
    """need_reply is answered by 0, but only where there is no other reply, and only if negotiated."""
    assert peer.ask(Request.SET_OWNER, need_reply=True).message.payload == Number(0)
    assert peer.ask(Request.GET_QUEUE_NUM, need_reply=True).message.payload == Number(2)
    payload = Inflight(0, 0, 1, 4)
    with peer.ask(Request.GET_INFLIGHT_FD, payload, need_reply=True) as received:
        assert received.message.request == Request.GET_INFLIGHT_FD
    assert peer.ours.poll() is None
    peer.say(Request.SET_PROTOCOL_FEATURES, Number(0), need_reply=True)
    assert peer.ours.poll() is None


def test_config(peer: Peer) -> None:
    """A part of the configuration space of any size is answered by that size, an impossible one by none."""
    reply = peer.ask(Request.GET_CONFIG, ConfigSpace(0, 0, bytes(60))).message.payload
    assert isinstance(reply, ConfigSpace)
    assert len(reply.data) == 60
    assert reply.data[34] == 2
    assert peer.ask(Request.GET_CONFIG, ConfigSpace(200, 0, bytes(100))).message.payload == NOTHING
    peer.say(Request.SET_CONFIG, ConfigSpace(32, 0, b"\0"))
    assert peer.ask(Request.GET_CONFIG, ConfigSpace(32, 0, bytes(1))).message.payload == ConfigSpace(32, 0, b"\0")


@pytest.mark.parametrize("bits", [1 << 34, 1 << 35, 1 << 40])
def test_feature_that_was_not_offered(peer: Peer, bits: int) -> None:
    """Accepting what was not offered is refused."""
    with pytest.raises(FrontEndError, match="not offered"):
        peer.say(Request.SET_FEATURES, Number(bits))
    with pytest.raises(FrontEndError, match="not offered"):
        peer.say(Request.SET_PROTOCOL_FEATURES, Number(1 << 16))


def test_not_negotiated(peer: Peer) -> None:
    """A message whose protocol feature was not negotiated is refused, whether that is offered or not."""
    peer.say(Request.SET_PROTOCOL_FEATURES, Number(0))
    with pytest.raises(FrontEndError, match="bit 12 was not negotiated"):
        peer.say(Request.GET_INFLIGHT_FD, Inflight(0, 0, 1, 4))
    with pytest.raises(FrontEndError, match="bit 16 was not negotiated"):
        peer.say(Request.GET_STATUS)


@pytest.mark.parametrize(
    ("size", "queues", "revision", "wanted"),
    [(4, 1, "merged", 128), (128, 1, "merged", 2112), (1024, 2, "merged", 32896), (128, 2, "v6", 1152)],
)
def test_get_inflight(make_peer: Callable[..., Peer], size: int, queues: int, revision: str, wanted: int) -> None:
    """The shared buffer is a sealed file of zeros with a region of the known size for each queue."""
    peer = make_peer(Choices(revision=revision))
    with peer.ask(Request.GET_INFLIGHT_FD, Inflight(0, 0, queues, size)) as received:
        assert received.message.payload == Inflight(wanted, 0, queues, size)
        (fd,) = received.fds
        assert os.pread(fd, wanted + 1, 0) == bytes(wanted)
        seals = fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
        assert fcntl.fcntl(fd, fcntl.F_GET_SEALS) == seals


def test_initialised_before_hand_over(make_peer: Callable[..., Peer]) -> None:
    """With that choice of gap init-order the front-end never sees version 0."""
    peer = make_peer(Choices(init_order="before-hand-over"))
    with peer.ask(Request.GET_INFLIGHT_FD, Inflight(0, 0, 2, QUEUE_SIZE)) as received:
        data = os.pread(received.fds[0], 2 * STRIDE, 0)
    assert [data[8], data[10], data[STRIDE + 8], data[STRIDE + 10]] == [1, QUEUE_SIZE, 1, QUEUE_SIZE]


@pytest.mark.parametrize("payload", [Inflight(0, 0, 3, 8), Inflight(0, 0, 0, 8), Inflight(0, 0, 1, 0)])
def test_impossible_inflight(peer: Peer, payload: Inflight) -> None:
    """A shared buffer for queues that there are not, or of a size that cannot be, is refused in both directions."""
    with pytest.raises(FrontEndError, match="shared buffer for"):
        peer.say(Request.GET_INFLIGHT_FD, payload)
    with pytest.raises(FrontEndError, match="shared buffer for"):
        peer.say(Request.SET_INFLIGHT_FD, payload, peer.ram.memory.fd)


@pytest.mark.parametrize(
    ("payload", "rule"),
    [
        (Inflight(SIZE - 1, 0, 1, QUEUE_SIZE), "too few for 1 regions"),
        (Inflight(STRIDE, 0, 2, QUEUE_SIZE), "too few for 2 regions"),
        (Inflight(2 * STRIDE, STRIDE, 2, QUEUE_SIZE), "too short"),
        (Inflight(1 << 63, 0, 2, QUEUE_SIZE), "cannot be mapped"),
        (Inflight(STRIDE, 3, 1, QUEUE_SIZE), "not aligned"),
        (Inflight(0, 0, 1, QUEUE_SIZE), "too few"),
    ],
)
def test_wrong_set_inflight(peer: Peer, payload: Inflight, rule: str) -> None:
    """A shared buffer that is too small, not there, or misaligned is refused, and the buffer before it stays."""
    with SharedMemory.create(2 * STRIDE, "region") as memory:
        peer.say(Request.SET_INFLIGHT_FD, Inflight(STRIDE, 0, 1, QUEUE_SIZE), memory.fd)
        with pytest.raises(FrontEndError, match=rule):
            peer.say(Request.SET_INFLIGHT_FD, payload, memory.fd)
        peer.describe()
        peer.start()
        assert memory.view()[8] == 1


def test_offset_of_the_shared_buffer(peer: Peer) -> None:
    """An offset that is no multiple of a page is honoured, and each queue has the region at its stride."""
    with SharedMemory.create(64 + 2 * STRIDE, "region") as memory:
        peer.say(Request.SET_INFLIGHT_FD, Inflight(2 * STRIDE, 64, 2, QUEUE_SIZE), memory.fd)
        peer.describe(1)
        peer.start(1)
        data = bytes(memory.view())
    assert data[: 64 + STRIDE] == bytes(64 + STRIDE)
    assert data[64 + STRIDE + 8] == 1


@pytest.mark.parametrize("enable_first", [False, True])
def test_start_and_recovery(peer: Peer, enable_first: bool) -> None:
    """A queue recovers once it has its kick fd and is enabled, in either order, and not again at a second kick fd."""
    with SharedMemory.create(STRIDE, "region") as memory:
        region = region_at(memory.view(), "split", "merged", QUEUE_SIZE)
        peer.say(Request.SET_INFLIGHT_FD, Inflight(STRIDE, 0, 1, QUEUE_SIZE), memory.fd)
        peer.describe()
        if enable_first:
            peer.say(Request.SET_VRING_ENABLE, VringState(0, 1))
        else:
            peer.kick()
        assert region.version == 0
        if enable_first:
            peer.kick()
        else:
            peer.say(Request.SET_VRING_ENABLE, VringState(0, 1))
        assert region.version == 1
        queue = peer.backend.rings[0].queue
        region.version = 77  # another recovery would refuse it
        peer.kick()
        assert peer.backend.rings[0].queue is queue
        del region


@pytest.mark.parametrize("choice", ["once", "every-kick"])
def test_second_kick_fd(make_peer: Callable[..., Peer], choice: str) -> None:
    """With gap recovery-start=every-kick, a second kick fd recovers again, otherwise it does not."""
    peer = make_peer(Choices(recovery_start=choice))
    peer.describe()
    peer.start()
    queue = peer.backend.rings[0].queue
    assert isinstance(queue, SplitQueue)
    queue.last_avail = 7
    peer.kick()
    assert queue.last_avail == (0 if choice == "every-kick" else 7)


def test_stop(peer: Peer) -> None:
    """GET_VRING_BASE stops a ring and answers its position; a ring that never ran answers its base."""
    peer.describe()
    peer.ram.rings[0].used.idx = peer.ram.rings[0].avail.idx = 9
    peer.start()
    assert peer.ask(Request.GET_VRING_BASE, VringState(0, 0)).message.payload == VringState(0, 9)
    assert peer.backend.rings[0].queue is None
    peer.say(Request.SET_VRING_BASE, VringState(1, 5))
    assert peer.ask(Request.GET_VRING_BASE, VringState(1, 0)).message.payload == VringState(1, 5)


@pytest.mark.parametrize("request_", [Request.RESET_DEVICE, Request.RESET_OWNER])
def test_reset(peer: Peer, request_: Request) -> None:
    """A reset stops and disables the rings."""
    peer.describe()
    peer.start()
    peer.say(request_)
    assert peer.backend.rings[0].queue is None
    peer.kick()
    assert peer.backend.rings[0].queue is None


def test_wrong_version(peer: Peer, caplog: pytest.LogCaptureFixture) -> None:
    """A queue whose region has an unknown version does not start, and a queue without a region is refused."""
    with SharedMemory.create(STRIDE, "region") as memory:
        peer.say(Request.SET_INFLIGHT_FD, Inflight(STRIDE, 0, 1, QUEUE_SIZE), memory.fd)
        peer.describe()
        memory.view()[8] = 2
        peer.start()
        assert peer.backend.rings[0].queue is None
        assert caplog.messages == ["ring 0 stops: the region: version is 2; this back-end knows 1"]
    peer.describe(1)
    with pytest.raises(FrontEndError, match="not for 1"):
        peer.start(1)


def test_region_smaller_than_the_ring(make_peer: Callable[..., Peer]) -> None:
    """A region with fewer entries than the ring has is refused, unless gap region-size allows it."""
    payload = Inflight(128, 0, 1, QUEUE_SIZE // 2)
    with SharedMemory.create(128, "region") as memory:
        for choices in (Choices(), Choices(region_size="smaller")):
            peer = make_peer(choices)
            peer.say(Request.SET_INFLIGHT_FD, payload, memory.fd)
            peer.describe()
            if choices.region_size == "equal":
                with pytest.raises(FrontEndError, match="queue-size=1024"):
                    peer.start()
            else:
                peer.start()
                assert memory.view()[8] == 1


def test_not_while_running(peer: Peer) -> None:
    """Size, base, place and shared buffer of a ring that runs cannot be changed; whether it is logged can."""
    peer.describe()
    peer.start()
    place = peer.ram.ring_address(0)
    peer.say(Request.SET_VRING_ADDR, replace(place, flags=1, log=GUEST_BASE))
    for request, payload in (
        (Request.SET_VRING_NUM, VringState(0, 4)),
        (Request.SET_VRING_BASE, VringState(0, 4)),
        *((Request.SET_VRING_ADDR, replace(place, **{part: 0})) for part in ("desc", "used", "avail")),
    ):
        with pytest.raises(FrontEndError, match="runs"):
            peer.say(request, payload)
    with pytest.raises(FrontEndError, match="runs"):
        peer.say(Request.SET_INFLIGHT_FD, Inflight(4096, 0, 1, 8), peer.ram.memory.fd)


@pytest.mark.parametrize(
    ("request_", "payload", "rule"),
    [
        (Request.SET_VRING_NUM, VringState(0, 3), "power of two"),
        (Request.SET_VRING_NUM, VringState(0, 0), "power of two"),
        (Request.SET_VRING_NUM, VringState(0, 65536), "power of two"),
        (Request.SET_VRING_NUM, VringState(2, 8), "ring 2; there are 2"),
        (Request.SET_VRING_ENABLE, VringState(0, 2), "neither 0 nor 1"),
        (Request.SET_VRING_KICK, VringFd(0, has_fd=False), "polling"),
        (Request.GET_VRING_BASE, VringState(1 << 31, 0), "there are 2"),
        (Request.SET_CONFIG, ConfigSpace(0, 0, b"\1"), "wce alone"),
        (Request.SET_CONFIG, ConfigSpace(32, 0, b"\2"), "wce alone"),
        (Request.REM_MEM_REG, SingleRegion(MemoryRegion(0, 1, 0, 0)), "no region"),
    ],
)
def test_wrong_values(peer: Peer, request_: Request, payload: Payload, rule: str) -> None:
    """A value that cannot be is refused by name."""
    with pytest.raises(FrontEndError, match=rule):
        peer.say(request_, payload)


def test_start_without_description(peer: Peer) -> None:
    """A ring cannot start before its size and place are known, nor outside the memory."""
    with pytest.raises(FrontEndError, match="before its size"):
        peer.start()
    peer.say(Request.SET_VRING_NUM, VringState(1, QUEUE_SIZE))
    peer.say(Request.SET_VRING_ADDR, peer.ram.ring_address(1))
    with pytest.raises(FrontEndError, match="ring 1, descriptors"):
        peer.start(1)


def test_memory(peer: Peer) -> None:
    """Regions are added, replaced, refused when they overlap or are longer than their file, and removed."""
    region, fd = peer.ram.region, peer.ram.memory.fd
    peer.say(Request.SET_MEM_TABLE, MemoryTable((region,)), fd)
    peer.say(Request.ADD_MEM_REG, SingleRegion(region), fd)
    size = region.size
    for wrong in (
        MemoryRegion(region.guest_address + 4096, size, 0, 0),
        MemoryRegion(0x1000_0000, size, region.user_address + 8, 0),
        MemoryRegion(0x1000_0000, size, 0, 1),
        MemoryRegion((1 << 64) - 4096, size, 0, 0),
        MemoryRegion(0x1000_0000, 0, 0, 0),
    ):
        with pytest.raises(FrontEndError):
            peer.say(Request.ADD_MEM_REG, SingleRegion(wrong), fd)
        assert len(peer.backend.memory.guest.regions) == 1
    peer.describe()
    peer.start()
    with pytest.raises(FrontEndError, match="ring 0, descriptors"):
        peer.say(Request.REM_MEM_REG, SingleRegion(region))
    assert peer.backend.memory.guest.regions == []


def test_memory_changes_under_a_running_ring(peer: Peer) -> None:
    """After a new memory table the running ring is where the new memory has it."""
    peer.describe()
    peer.start()
    with GuestRam(2, QUEUE_SIZE, 512) as other:
        peer.say(Request.SET_MEM_TABLE, MemoryTable((other.region,)), other.memory.fd)
        other.rings[0].avail.idx = 1
        queue = peer.backend.rings[0].queue
        assert queue is not None
        queue.look()
        assert queue.available
        assert ctypes.sizeof(queue.ring.desc) == 16 * QUEUE_SIZE


def test_too_many_regions(peer: Peer) -> None:
    """There are 64 regions of memory, and no more."""
    fd = peer.ram.memory.fd
    for number in range(64):
        peer.say(Request.ADD_MEM_REG, SingleRegion(MemoryRegion(4096 * number, 4096, 4096 * number, 0)), fd)
    with pytest.raises(FrontEndError, match="more than 64"):
        peer.say(Request.ADD_MEM_REG, SingleRegion(MemoryRegion(1 << 40, 4096, 1 << 40, 0)), fd)


def test_fds_are_replaced(peer: Peer) -> None:
    """Call, err and request fds given twice are closed once they are replaced or taken back."""
    before = open_fds()
    fd = os.eventfd(0)
    for _ in range(2):
        peer.say(Request.SET_VRING_CALL, VringFd(0), fd)
        peer.say(Request.SET_VRING_ERR, VringFd(0), fd)
        peer.say(Request.SET_BACKEND_REQ_FD, NOTHING, fd)
    assert open_fds() == before + 4
    peer.backend.signal_errors()
    assert os.eventfd_read(fd) == 1
    peer.say(Request.SET_VRING_CALL, VringFd(0, has_fd=False))
    peer.say(Request.SET_VRING_ERR, VringFd(0, has_fd=False))
    os.close(fd)
    assert open_fds() == before + 1


def test_completed_without_a_call_fd(peer: Peer) -> None:
    """What came back while there was no call fd is told when one comes; while the ring is stopped, nothing is."""
    fd = os.eventfd(0, os.EFD_NONBLOCK)
    try:
        peer.say(Request.SET_VRING_CALL, VringFd(0), fd)
        with pytest.raises(BlockingIOError):
            os.eventfd_read(fd)
        peer.say(Request.SET_VRING_CALL, VringFd(0, has_fd=False))
        peer.describe()
        peer.start()
        peer.say(Request.SET_VRING_CALL, VringFd(0), fd)
        assert os.eventfd_read(fd) == 1
    finally:
        os.close(fd)


def test_ring_without_protocol_features_is_enabled(peer: Peer) -> None:
    """Without protocol features negotiated a ring starts by its kick fd alone."""
    peer.say(Request.SET_FEATURES, Number(1 << 32))
    peer.describe()
    peer.kick()
    assert peer.backend.rings[0].queue is not None
    assert not peer.backend.rings[0].queue.event_index
