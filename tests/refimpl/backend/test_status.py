"""The device status: who may set it, what is answered, and that 0 is a reset."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from refimpl.backend import connection
from refimpl.choices import Choices
from refimpl.errors import FrontEndError
from refimpl.memory import SharedMemory
from refimpl.wire.codec import Request
from refimpl.wire.features import FEATURES, GENERATIONS, PROTOCOL_FEATURES, PROTOCOL_STATUS
from refimpl.wire.payload import NOTHING, Inflight, Number, Payload, VringState
from refimpl.wire.status import Status
from tests.refimpl.wire_peer import QUEUE_SIZE, Peer, peers

SIZE = 192
RUNNING = Status.ACKNOWLEDGE | Status.DRIVER | Status.FEATURES_OK | Status.DRIVER_OK
RESETS = [(Request.RESET_DEVICE, NOTHING), (Request.SET_STATUS, Number(0))]


@pytest.fixture(name="make_peer")
def peer_maker(tmp_path: Path) -> Iterator[Callable[..., Peer]]:
    """Make back-ends that offer the device status, under a front-end that accepts it; they leave nothing open."""
    with peers(tmp_path) as make:
        yield partial(make, status=True)


@pytest.fixture(name="steps")
def reported() -> list[str]:
    """Give what a back-end reported."""
    return []


@pytest.fixture(name="peer")
def one_peer(make_peer: Callable[..., Peer], steps: list[str]) -> Peer:
    """Give one with everything negotiated, that reports its steps."""
    peer = make_peer(hook=lambda step, _: steps.append(step))
    peer.negotiate(PROTOCOL_STATUS)
    return peer


def status(peer: Peer) -> int:
    """Ask for it."""
    return peer.number(Request.GET_STATUS)


def run_tracked(peer: Peer, memory: SharedMemory) -> None:
    """Start ring 0 with a region."""
    peer.say(Request.SET_INFLIGHT_FD, Inflight(SIZE, 0, 1, QUEUE_SIZE), memory.fd)
    peer.describe()
    peer.start()
    assert peer.backend.rings[0].queue is not None


def test_every_message_is_handled() -> None:
    """What the codec reads has somebody who does it."""
    assert set(connection._HANDLERS) == set(Request)


@pytest.mark.parametrize("offered", [False, True])
@pytest.mark.parametrize("generation", list(GENERATIONS))
def test_it_is_offered_on_demand(make_peer: Callable[..., Peer], generation: str, *, offered: bool) -> None:
    """In any generation, and nothing else changes."""
    wanted = PROTOCOL_FEATURES | GENERATIONS[generation] | (PROTOCOL_STATUS if offered else 0)
    assert make_peer(generation=generation, status=offered).number(Request.GET_PROTOCOL_FEATURES) == wanted


@pytest.mark.parametrize(("request_", "payload"), [(Request.GET_STATUS, NOTHING), (Request.SET_STATUS, Number(1))])
def test_it_has_to_be_negotiated(make_peer: Callable[..., Peer], request_: Request, payload: Payload) -> None:
    """Offered or not: the error names the bit."""
    for offered in (False, True):
        peer = make_peer(status=offered)
        peer.negotiate()
        with pytest.raises(FrontEndError, match=f"^the front-end: {request_.name} came though bit 16 was not negoti"):
            peer.say(request_, payload)


def test_what_was_set_is_answered(peer: Peer) -> None:
    """Any of eight bits, those that virtio does not name too; at first none."""
    assert status(peer) == 0
    for value in (1, 3, 11, RUNNING, Status.NEEDS_RESET, Status.FAILED, 0x30, 0xFF, 0):
        peer.say(Request.SET_STATUS, Number(value))
        assert status(peer) == value
    assert peer.ask(Request.SET_STATUS, Number(3), need_reply=True).message.payload == Number(0)


@pytest.mark.parametrize("value", [0x100, 0x10F, 1 << 63])
def test_more_than_eight_bits(peer: Peer, value: int) -> None:
    """It is the front-end's fault, and what was set before stays."""
    peer.say(Request.SET_STATUS, Number(RUNNING))
    told = f"^the front-end: SET_STATUS sets {value:#x}; a device status is 0xff at most$"
    with pytest.raises(FrontEndError, match=told):
        peer.say(Request.SET_STATUS, Number(value))
    assert status(peer) == RUNNING


def test_rings_do_not_wait_for_it(peer: Peer) -> None:
    """A ring runs once it has its kick fd and is enabled, whatever the status; nor does a status stop one."""
    peer.describe()
    peer.start()
    queue = peer.backend.rings[0].queue
    assert queue is not None
    for value in (RUNNING, Status.ACKNOWLEDGE, Status.FAILED):
        peer.say(Request.SET_STATUS, Number(value))
        assert peer.backend.rings[0].queue is queue


@pytest.mark.reaches("connection.reset")
@pytest.mark.parametrize(("request_", "payload"), RESETS)
@pytest.mark.parametrize("choice", ["renewed", "kept-alive"])
def test_0_is_a_reset(
    make_peer: Callable[..., Peer], steps: list[str], choice: str, request_: Request, payload: Payload
) -> None:
    """By either message rings stop, the region is forgotten (gap reset), the status is 0; and that is one step."""
    peer = make_peer(Choices(reset=choice), hook=lambda step, _: steps.append(step))
    peer.negotiate(PROTOCOL_STATUS)
    with SharedMemory.create(SIZE, "region") as memory:
        run_tracked(peer, memory)
        peer.say(Request.SET_STATUS, Number(RUNNING))
        peer.say(request_, payload)
        assert [(ring.queue, ring.enabled) for ring in peer.backend.rings] == [(None, False)] * 2
        assert (peer.backend.inflight is None) == (choice == "renewed")
        assert status(peer) == 0
        assert steps.count("connection.reset") == 1


def test_another_owner_is_no_reset_of_the_device(peer: Peer) -> None:
    """RESET_OWNER leaves the region, and so the status."""
    peer.say(Request.SET_STATUS, Number(RUNNING))
    peer.say(Request.RESET_OWNER)
    assert status(peer) == RUNNING


@pytest.mark.parametrize(("request_", "payload"), RESETS)
def test_a_reset_of_rings_that_are_stopped_is_no_step(
    peer: Peer, steps: list[str], request_: Request, payload: Payload
) -> None:
    """QEMU sends one or the other after each stop; region and base are given again by the next start."""
    with SharedMemory.create(SIZE, "region") as memory:
        run_tracked(peer, memory)
        peer.ask(Request.GET_VRING_BASE, VringState(0, 0))
        peer.say(request_, payload)
        assert "connection.reset" not in steps
        assert peer.backend.inflight is None


@pytest.mark.parametrize("generation", list(GENERATIONS))
def test_a_suspended_device_answers(make_peer: Callable[..., Peer], generation: str) -> None:
    """Its rings are stopped, and what was set is what is answered."""
    peer = make_peer(generation=generation)
    peer.negotiate(PROTOCOL_STATUS | GENERATIONS[generation])
    with SharedMemory.create(SIZE, "region") as memory:
        run_tracked(peer, memory)
        peer.say(Request.SET_STATUS, Number(RUNNING))
        stop = Request.GET_VRING_BASE_SKIP_DRAIN if generation == "skip-drain" else Request.GET_VRING_BASE
        peer.ask(stop, VringState(0, 0))
        assert all(ring.queue is None for ring in peer.backend.rings)
        assert status(peer) == RUNNING


def test_a_front_end_that_goes_on_where_it_was_asks_for_it(make_peer: Callable[..., Peer]) -> None:
    """QEMU 7.2 does after deaths in a pause, with nothing negotiated on this connection: it is taken as negotiated."""
    peer = make_peer(generation="skip-drain")
    peer.say(Request.SET_FEATURES, Number(FEATURES))
    assert status(peer) == 0
    assert peer.backend.protocol_features == PROTOCOL_FEATURES | PROTOCOL_STATUS
    peer.say(Request.SET_STATUS, Number(Status.FEATURES_OK))
    with SharedMemory.create(SIZE, "region") as memory:
        run_tracked(peer, memory)
