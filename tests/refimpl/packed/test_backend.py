"""The back-end's state machine with packed rings: the messages in which they differ from split ones."""

import ctypes
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from refimpl.backend.disk import Disk
from refimpl.choices import Choices
from refimpl.errors import FrontEndError
from refimpl.frontend.memory import GuestRam
from refimpl.layout import region_at
from refimpl.memory import SharedMemory
from refimpl.packed.queue import PackedQueue
from refimpl.split.chain import Buffer
from refimpl.wire.codec import Request
from refimpl.wire.features import FEATURES, RING_PACKED
from refimpl.wire.payload import Inflight, MemoryTable, Number, VringState
from tests.refimpl.wire_peer import QUEUE_SIZE, Peer
from tests.refimpl.wire_rig import make_image, open_fds

PACKED = Choices(revision="hardened", ring="packed")
BEGINNING = 1 << 15 | 1 << 31


@pytest.fixture(name="make_peer")
def peers(tmp_path: Path) -> Iterator[Callable[..., Peer]]:
    """Make back-ends that offer packed rings, which at the end have left nothing open."""
    before = open_fds()
    made: list[Peer] = []
    with Disk(make_image(tmp_path), queues=2) as disk:

        def make(choices: Choices = PACKED) -> Peer:
            peer = Peer(disk, choices)
            made.append(peer)
            peer.ram.close()
            peer.ram = GuestRam(2, QUEUE_SIZE, 512, packed=True)
            peer.negotiate()
            peer.say(Request.SET_FEATURES, Number(FEATURES | RING_PACKED))
            return peer

        yield make
        for peer in made:
            peer.close()
    assert before == open_fds()


def base(peer: Peer, queue: int = 0) -> int:
    """Ask for the base, which stops the ring."""
    payload = peer.ask(Request.GET_VRING_BASE, VringState(queue, 0)).message.payload
    assert isinstance(payload, VringState)
    return payload.num


def test_offer(make_peer: Callable[..., Peer]) -> None:
    """RING_PACKED is offered besides the others."""
    assert make_peer().number(Request.GET_FEATURES) == FEATURES | RING_PACKED


@pytest.mark.parametrize(("number", "allowed"), [(1, True), (13, True), (32768, True), (0, False), (32769, False)])
def test_sizes(make_peer: Callable[..., Peer], number: int, *, allowed: bool) -> None:
    """A packed ring may have any size; split rings on the same back-end may not."""
    peer = make_peer()
    if allowed:
        peer.say(Request.SET_VRING_NUM, VringState(0, number))
        assert peer.backend.rings[0].size == number
    else:
        with pytest.raises(FrontEndError, match=f"SET_VRING_NUM {number} is not 1 to 32768"):
            peer.say(Request.SET_VRING_NUM, VringState(0, number))
    peer.say(Request.SET_FEATURES, Number(FEATURES))
    with pytest.raises(FrontEndError, match="no power of two"):
        peer.say(Request.SET_VRING_NUM, VringState(0, 13))


def test_bases(make_peer: Callable[..., Peer]) -> None:
    """A ring that has not run is at its beginning, after a reset too; one that has been given a base is there."""
    peer = make_peer()
    assert base(peer) == BEGINNING
    peer.say(Request.SET_VRING_BASE, VringState(0, 3 | 2 << 16 | 1 << 31))
    peer.describe()
    peer.start()
    assert base(peer) == 3 | 2 << 16 | 1 << 31
    peer.say(Request.RESET_DEVICE)
    assert base(peer) == BEGINNING


@pytest.mark.parametrize("order", ["version-last", "before-hand-over"])
def test_regions(make_peer: Callable[..., Peer], order: str) -> None:
    """The shared buffer has packed regions, initialised when the gap says so; the ring adopts its own."""
    peer = make_peer(Choices(ring="packed", revision="merged", init_order=order))
    with peer.ask(Request.GET_INFLIGHT_FD, Inflight(0, 0, 2, QUEUE_SIZE)) as received:
        payload = received.message.payload
        assert payload == Inflight(640, 0, 2, QUEUE_SIZE)  # 32 + 8 * 32, rounded up to 320
        peer.say(Request.SET_INFLIGHT_FD, payload, received.fds[0])
        with SharedMemory.map(received.fds[0], 640) as memory:
            view = memory.view(320)
    region = region_at(view, "packed", "merged", QUEUE_SIZE)
    assert region.version == (order == "before-hand-over")
    peer.describe(1)
    peer.start(1)
    assert (region.version, region.desc_num, region.used_wrap_counter) == (1, QUEUE_SIZE, 1)
    assert [entry.next for entry in region.desc] == list(range(1, QUEUE_SIZE + 1))


def test_region_smaller_than_the_ring(make_peer: Callable[..., Peer]) -> None:
    """A packed ring is not served with fewer entries than it has slots; which size helps is said."""
    peer = make_peer()
    with peer.ask(Request.GET_INFLIGHT_FD, Inflight(0, 0, 2, QUEUE_SIZE - 1)) as received:
        payload = received.message.payload
        peer.say(Request.SET_INFLIGHT_FD, payload, received.fds[0])
    peer.describe()
    with pytest.raises(FrontEndError, match=r"ring 0 has 8 entries, its region 7: .*queue-size=1024"):
        peer.start()


def test_memory_changes_under_a_running_ring(make_peer: Callable[..., Peer]) -> None:
    """After a new memory table the running ring is where the new memory has it."""
    peer = make_peer()
    peer.describe()
    peer.start()
    with GuestRam(2, QUEUE_SIZE, 512, packed=True) as other:
        peer.say(Request.SET_MEM_TABLE, MemoryTable((other.region,)), other.memory.fd)
        other.packed_rings[0].desc[0].flags = 1 << 7
        queue = peer.backend.rings[0].queue
        assert isinstance(queue, PackedQueue)
        queue.look()
        assert queue.available
        assert ctypes.sizeof(queue.ring.desc) == 16 * QUEUE_SIZE


def test_kind_is_fixed_while_a_ring_runs(make_peer: Callable[..., Peer]) -> None:
    """Features that change under a running ring do not change what it is."""
    peer = make_peer()
    peer.describe()
    peer.start()
    peer.say(Request.SET_FEATURES, Number(FEATURES))
    assert [ring.kind for ring in peer.backend.rings] == ["packed", "split"]


def test_buffers_of_a_packed_guest(make_peer: Callable[..., Peer]) -> None:
    """The guest's memory has slots by buffer id; closed, it has no ring."""
    ram = make_peer().ram
    address, _ = ram.slot(1, 3)
    assert ram.chain(1, 3, 0, device_writes=True)[0] == Buffer(address, 16)
    ram.close()
    assert (ram.rings, ram.packed_rings) == ([], [])
