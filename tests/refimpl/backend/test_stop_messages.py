"""The messages that stop a ring, one by one: who may say what, what the ring then does, and the two forms of a base."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from refimpl.backend.disk import Disk
from refimpl.choices import Choices
from refimpl.errors import FrontEndError
from refimpl.frontend.memory import GuestRam
from refimpl.layout import region_at
from refimpl.memory import SharedMemory
from refimpl.packed.driver import PackedDriver
from refimpl.split.chain import Buffer
from refimpl.split.driver import SplitDriver
from refimpl.wire.codec import Request
from refimpl.wire.features import (
    FEATURES,
    GENERATIONS,
    PROTOCOL_FEATURES,
    PROTOCOL_GET_VRING_BASE_INFLIGHT,
    PROTOCOL_GET_VRING_BASE_SKIP_DRAIN,
    PROTOCOL_INFLIGHT_SHMFD,
    RING_PACKED,
    in_effect,
)
from refimpl.wire.payload import Inflight, Number, VringState
from tests.refimpl.wire_peer import QUEUE_SIZE, Peer
from tests.refimpl.wire_rig import make_image, open_fds

BIT20, BIT23 = PROTOCOL_GET_VRING_BASE_INFLIGHT, PROTOCOL_GET_VRING_BASE_SKIP_DRAIN
GET, SKIP = Request.GET_VRING_BASE, Request.GET_VRING_BASE_SKIP_DRAIN


@pytest.fixture(name="make_peer")
def peers(tmp_path: Path) -> Iterator[Callable[..., Peer]]:
    """Make back-ends of any generation, under a front-end that accepts ``more``; they leave nothing open."""
    before = open_fds()
    made: list[Peer] = []
    with Disk(make_image(tmp_path), queues=2) as disk:

        def make(generation: str, more: int | None = None, *, packed: bool = False) -> Peer:
            choices = Choices(ring="packed", revision="hardened") if packed else None
            peer = Peer(disk, choices, generation)
            made.append(peer)
            if packed:
                peer.ram.close()
                peer.ram = GuestRam(2, QUEUE_SIZE, 512, packed=True)
            peer.negotiate(GENERATIONS[generation] if more is None else more)
            peer.say(Request.SET_FEATURES, Number(FEATURES | (RING_PACKED if packed else 0)))
            return peer

        yield make
        for peer in made:
            peer.close()
    assert before == open_fds()


def offered(peer: Peer) -> int:
    """Return which of the two bits are offered."""
    return peer.number(Request.GET_PROTOCOL_FEATURES) & (BIT20 | BIT23)


def serving(peer: Peer, *, tracked: bool = True) -> SharedMemory | None:
    """Run ring 0 with three requests that the device holds back; return the file of its region."""
    memory = None
    if tracked:
        memory = SharedMemory.create(192, "region")
        peer.say(Request.SET_INFLIGHT_FD, Inflight(192, 0, 1, QUEUE_SIZE), memory.fd)
    busy(peer)
    return memory


def busy(peer: Peer, queue: int = 0) -> SplitDriver | PackedDriver:
    """Run a ring with three requests that the device holds back; return its driver."""
    peer.describe(queue)
    ram = peer.ram
    driver = (
        PackedDriver(ram.packed_rings[queue], event_index=True)
        if ram.packed
        else SplitDriver(ram.rings[queue], event_index=True)
    )
    for head in (0, 2, 4):
        address, slot = ram.slot(queue, head)
        slot[:16] = bytes(16)
        driver.make([Buffer(address, 16), Buffer(address + 16, 1, writable=True)], head)
    peer.start(queue)
    peer.backend.rings[queue].turn()
    return driver


def marks(memory: SharedMemory) -> int:
    """Count what is in flight."""
    return sum(entry.inflight for entry in region_at(memory.view(), "split", "merged", QUEUE_SIZE).desc)


def test_what_is_offered(make_peer: Callable[..., Peer]) -> None:
    """By generation; nothing else changes."""
    assert [offered(make_peer(generation)) for generation in GENERATIONS] == [0, BIT20, BIT20 | BIT23]
    assert {make_peer(name).number(Request.GET_PROTOCOL_FEATURES) & ~(BIT20 | BIT23) for name in GENERATIONS} == {
        PROTOCOL_FEATURES
    }


def test_bits_that_need_others() -> None:
    """Bit 20 means nothing without 12, and 23 nothing without both."""
    everything = PROTOCOL_FEATURES | BIT20 | BIT23
    assert in_effect(everything) == everything
    assert in_effect(everything & ~PROTOCOL_INFLIGHT_SHMFD) == PROTOCOL_FEATURES & ~PROTOCOL_INFLIGHT_SHMFD
    assert in_effect(everything & ~BIT20) == PROTOCOL_FEATURES
    assert in_effect(PROTOCOL_FEATURES | BIT20) == PROTOCOL_FEATURES | BIT20


@pytest.mark.parametrize(
    ("accepted", "bits"),
    [
        (0, "20 and 23"),
        (PROTOCOL_FEATURES, "20 and 23"),
        (PROTOCOL_FEATURES | BIT20, "23"),
        (PROTOCOL_FEATURES | BIT23, "20"),
        ((PROTOCOL_FEATURES | BIT20 | BIT23) & ~PROTOCOL_INFLIGHT_SHMFD, "12"),
    ],
)
def test_45_needs_all_three(make_peer: Callable[..., Peer], accepted: int, bits: str) -> None:
    """Without one of them it is the front-end's fault, which says what is missing; to accept some alone is none."""
    peer = make_peer("skip-drain")
    peer.say(Request.SET_PROTOCOL_FEATURES, Number(accepted))
    named = bits if accepted else f"12 and {bits}"
    with pytest.raises(FrontEndError, match=f"^the front-end: {SKIP.name} came though bit {named} was not negotiated$"):
        peer.say(SKIP, VringState(0, 0))


@pytest.mark.parametrize(
    ("generation", "request_", "accepted", "left"),
    [
        ("drain", GET, 0, 0),
        ("may-suspend", GET, BIT20, 3),
        ("may-suspend", GET, 0, 0),
        ("skip-drain", GET, BIT20, 0),
        ("skip-drain", GET, BIT20 | BIT23, 0),
        ("skip-drain", SKIP, BIT20 | BIT23, 3),
    ],
)
def test_what_stays_in_flight(
    make_peer: Callable[..., Peer], generation: str, request_: Request, accepted: int, left: int
) -> None:
    """What is suspended stays marked; what is drained is used. The base is where fetching goes on, in either case."""
    peer = make_peer(generation, accepted)
    memory = serving(peer)
    assert memory is not None
    with memory:
        assert marks(memory) == 3
        assert peer.ask(request_, VringState(0, 0)).message.payload == VringState(0, 3)
        assert (marks(memory), peer.ram.rings[0].used.idx) == (left, 3 - left)
        assert peer.backend.rings[0].queue is None
        assert peer.ask(request_, VringState(0, 0)).message.payload == VringState(0, 3)


def test_bit_20_without_bit_12_suspends_nothing(make_peer: Callable[..., Peer]) -> None:
    """What nothing can be recorded for is finished."""
    peer = make_peer("may-suspend")
    peer.say(Request.SET_PROTOCOL_FEATURES, Number((PROTOCOL_FEATURES | BIT20) & ~PROTOCOL_INFLIGHT_SHMFD))
    serving(peer, tracked=False)
    peer.ask(GET, VringState(0, 0))
    assert peer.ram.rings[0].used.idx == 3


@pytest.mark.parametrize("queue", [0, 1])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("generation", "request_", "told"),
    [
        ("drain", GET, False),
        ("may-suspend", GET, True),
        ("skip-drain", GET, False),
        ("skip-drain", SKIP, True),
    ],
)
def test_a_ring_without_a_region_is_drained(
    *,
    make_peer: Callable[..., Peer],
    caplog: pytest.LogCaptureFixture,
    generation: str,
    request_: Request,
    told: bool,
    packed: bool,
    queue: int,
) -> None:
    """All is negotiated, and no region was handed over: nothing would tell of the requests, so they are finished.

    Whichever ring it is, by whichever message; it is told of where the message asks for something else.
    """
    peer = make_peer(generation, packed=packed)
    driver = busy(peer, queue)
    peer.ask(request_, VringState(queue, 0))
    assert sorted(head for head, _ in driver.use_all()) == [0, 2, 4]
    warned = f"ring {queue} has no region to leave its requests in, so it is drained" in caplog.messages
    assert warned == told


@pytest.mark.parametrize("generation", ["may-suspend", "skip-drain"])
def test_what_nobody_negotiated_is_not_taken_for_it(make_peer: Callable[..., Peer], generation: str) -> None:
    """QEMU 7.2 may go on without negotiating; it does not know that requests may stay in flight, so they do not."""
    peer = make_peer(generation)
    fresh = Peer(peer.backend.device.disk, generation=generation)
    with SharedMemory.create(192, "region") as memory:
        fresh.say(Request.SET_FEATURES, Number(FEATURES))
        fresh.say(Request.SET_INFLIGHT_FD, Inflight(192, 0, 1, QUEUE_SIZE), memory.fd)
        assert fresh.backend.protocol_features == PROTOCOL_FEATURES
    fresh.close()


def test_reset_after_suspending(make_peer: Callable[..., Peer]) -> None:
    """RESET_DEVICE forgets the region, as it does of rings that run: the driver has forgotten its requests too."""
    peer = make_peer("skip-drain")
    memory = serving(peer)
    assert memory is not None
    with memory:
        peer.ask(SKIP, VringState(0, 0))
        peer.say(Request.RESET_DEVICE)
        assert peer.backend.inflight is None
        peer.ram.rings[0].avail.idx = 0
        peer.start()
        assert peer.ask(SKIP, VringState(0, 0)).message.payload == VringState(0, 0)
        assert marks(memory) == 3


# The two forms of a base


@pytest.mark.parametrize(("request_", "accepted"), [(GET, BIT20), (GET, BIT20 | BIT23), (SKIP, BIT20 | BIT23)])
def test_the_number_beside_the_index(make_peer: Callable[..., Peer], request_: Request, accepted: int) -> None:
    """Who knows bit 20 knows that it has to be 0."""
    peer = make_peer("skip-drain", accepted)
    with pytest.raises(FrontEndError, match=f"{request_.name} of ring 1 has num 1, which has to be 0"):
        peer.say(request_, VringState(1, 1))


def test_the_number_of_an_older_front_end(make_peer: Callable[..., Peer], caplog: pytest.LogCaptureFixture) -> None:
    """It is told of, and means nothing: in particular not that nothing should be drained."""
    peer = make_peer("skip-drain", 0)
    memory = serving(peer)
    assert memory is not None
    with memory:
        assert peer.ask(GET, VringState(0, 1)).message.payload == VringState(0, 3)
        assert marks(memory) == 0
    assert "GET_VRING_BASE of ring 0 has num 1, which has to be 0; it is ignored, as older texts did not say so" in (
        caplog.messages
    )


def test_reserved_bits_of_a_split_base(make_peer: Callable[..., Peer], caplog: pytest.LogCaptureFixture) -> None:
    """Refused of who knows today's text, else left out: they are not given back, either."""
    rule = "SET_VRING_BASE of split ring 0 is 0x10005: bits 16 to 31 have to be 0"
    with pytest.raises(FrontEndError, match=rule):
        make_peer("may-suspend").say(Request.SET_VRING_BASE, VringState(0, 0x10005))
    peer = make_peer("may-suspend", 0)
    peer.say(Request.SET_VRING_BASE, VringState(0, 0x10005))
    assert f"{rule}; it is ignored, as older texts did not say so" in caplog.messages
    assert peer.ask(GET, VringState(0, 0)).message.payload == VringState(0, 5)


def test_every_bit_of_a_packed_base_counts(make_peer: Callable[..., Peer]) -> None:
    """Next available and used slot, each with its wrap counter."""
    peer = make_peer("skip-drain", packed=True)
    base = 3 | 1 << 15 | 2 << 16 | 0 << 31
    peer.say(Request.SET_VRING_BASE, VringState(0, base))
    assert peer.ask(SKIP, VringState(0, 0)).message.payload == VringState(0, base)


def test_a_packed_base_past_the_ring(make_peer: Callable[..., Peer]) -> None:
    """A free-running index, as the text has it, cannot be told from a wrong one: it is refused at the start."""
    peer = make_peer("skip-drain", packed=True)
    peer.describe()
    peer.say(Request.SET_VRING_BASE, VringState(0, QUEUE_SIZE | 1 << 15 | QUEUE_SIZE << 16))
    with pytest.raises(FrontEndError, match="SET_VRING_BASE says slot 8 is the next available one, in a ring of 8"):
        peer.start()
