"""The front-end sets the device status as QEMU does, and a reset by it loses nothing that is given again."""

from pathlib import Path

import pytest

from refimpl.errors import BackEndError
from refimpl.frontend.connection import FrontEnd
from refimpl.frontend.guest import Guest
from refimpl.frontend.memory import GuestRam
from refimpl.wire.codec import Message, Request
from refimpl.wire.features import GENERATIONS, PROTOCOL_STATUS
from refimpl.wire.payload import Inflight, Number, VringState
from tests.refimpl.frontend.test_connection import ALL, Scripted, make_front_end, make_scripted
from tests.refimpl.frontend.test_stopping import migrate
from tests.refimpl.stopping_rig import FRESH, KEPT, REQUESTS, RINGS, SIZE, BackEnds, Observed, asked, pattern

__all__ = ["make_front_end", "make_scripted"]


def untracked(scripted: Scripted) -> None:
    """Let a scripted back-end give no region, and a base."""
    scripted.overrides[Request.GET_INFLIGHT_FD] = lambda: (Request.GET_INFLIGHT_FD, Inflight(0, 0, 1, 8), [])
    scripted.overrides[Request.GET_VRING_BASE] = lambda: (Request.GET_VRING_BASE, VringState(0, 3), [])


def statuses(scripted: Scripted) -> list[int]:
    """Return what it was set to."""
    said = [seen.message for seen in scripted.seen if seen.message.request is Request.SET_STATUS]
    return [message.payload.value for message in said if isinstance(message.payload, Number)]


def test_what_is_set(scripted: Scripted, front_end: FrontEnd) -> None:
    """FEATURES_OK with the features, the rest once the rings are described; 0 before another start, not at a stop."""
    untracked(scripted)
    front_end.connect()
    front_end.start()
    front_end.stop()
    assert statuses(scripted) == [8, 15]
    front_end.start()
    front_end.stop()
    assert statuses(scripted) == [8, 15, 0, 8, 15]
    front_end.connect(again=True)  # nothing was set there
    front_end.start()
    front_end.stop()
    assert statuses(scripted) == [8, 15, 0, 8, 15, 8, 15]


@pytest.mark.parametrize(("first", "said"), [(64, [64 | 8, 64 | 15]), (64 | 8, [64 | 15])])
def test_what_is_set_already_stays(scripted: Scripted, front_end: FrontEnd, first: int, said: list[int]) -> None:
    """It adds to what the back-end says."""
    untracked(scripted)
    scripted.first_status = first
    front_end.connect()
    front_end.start()
    front_end.stop()
    assert statuses(scripted) == said


def test_a_back_end_that_is_lost_as_its_rings_start(scripted: Scripted, front_end: FrontEnd) -> None:
    """It is noticed later, as without a status, whether the last message came through or not."""
    untracked(scripted)
    front_end.connect()
    front_end.start()
    connection = front_end.connection
    assert connection is not None
    scripted.close_after = Request.GET_FEATURES
    connection.send(Message(Request.GET_FEATURES))
    scripted.closed.wait(10)
    front_end._runs()
    assert front_end.lost()


def test_where_it_is_not_offered(scripted: Scripted, front_end: FrontEnd) -> None:
    """Nothing is said of it."""
    untracked(scripted)
    offered = Number(ALL & ~PROTOCOL_STATUS)
    scripted.overrides[Request.GET_PROTOCOL_FEATURES] = lambda: (Request.GET_PROTOCOL_FEATURES, offered, [])
    front_end.connect()
    for _ in range(2):
        front_end.start()
        front_end.stop()
    assert not {Request.SET_STATUS, Request.GET_STATUS} & set(scripted.ids)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (0x100, "its device status is 0x100; 0xff is the greatest"),
        (0, "it does not take the features 0x170000000: its device status is 0x0"),
        (0x80, "it does not take the features 0x170000000: its device status is 0x80"),
    ],
)
def test_a_status_that_cannot_be(scripted: Scripted, front_end: FrontEnd, value: int, told: str) -> None:
    """More than eight bits, and FEATURES_OK that is gone when it is looked at again: the back-end's error."""
    untracked(scripted)
    scripted.overrides[Request.GET_STATUS] = lambda: (Request.GET_STATUS, Number(value), [])
    front_end.connect()
    with pytest.raises(BackEndError, match=f"{told}$"):
        front_end.start()
    assert front_end.connection is None


def started(folder: Path, back_ends: BackEnds, ram: GuestRam, generation: str) -> tuple[FrontEnd, Observed]:
    """Return a front-end with three of six requests in flight."""
    back_ends.start("socket", "--status")
    front_end = FrontEnd(folder / "socket", ram, timeout=20, generation=generation)
    front_end.connect()
    assert front_end.has(PROTOCOL_STATUS)
    front_end.start()
    observed = Observed(Guest(front_end))
    observed.make(range(REQUESTS))
    observed.wait_for(REQUESTS - KEPT)
    return front_end, observed


def end(back_ends: BackEnds, front_end: FrontEnd, observed: Observed) -> bool:
    """Make another request, end the back-end, which finishes what it has; return whether all came back once."""
    with front_end:
        asked(front_end)
        observed.make([FRESH])
        asked(front_end)
        back_ends.end(back_ends.processes[-1])
        observed.look()
    image = back_ends.image.read_bytes()
    sectors = [*range(REQUESTS), FRESH]
    right = all(image[512 * sector :][:512] == pattern(sector) for sector in sectors)
    return right and observed.times == dict.fromkeys(sectors, 1)


@pytest.mark.parametrize("when", ["before the stop", "after the stop", "at the next start"])
@pytest.mark.parametrize("generation", list(GENERATIONS))
@pytest.mark.parametrize("ring", list(RINGS))
def test_a_reset_loses_nothing_where_all_is_given_again(tmp_path: Path, ring: str, generation: str, when: str) -> None:
    """Where QEMU 7.2, QEMU 10 and this front-end set 0, on the same connection: region and bases are given again."""
    with BackEnds(tmp_path, ring, generation) as back_ends, GuestRam(1, SIZE, 512, packed=ring == "packed") as ram:
        front_end, observed = started(tmp_path, back_ends, ram, generation)
        if when == "before the stop":
            front_end._set_status(0)
        front_end.stop()
        if when == "after the stop":
            front_end._set_status(0)
        observed.look()
        front_end.start()
        assert end(back_ends, front_end, observed)


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("ring", list(RINGS))
def test_a_reset_before_the_stop_loses_requests_in_a_move(tmp_path: Path, ring: str, *, before: bool) -> None:
    """So does QEMU 7.2, as it takes what is stopped for drained: that is why the status is offered on demand alone."""
    packed = ring == "packed"
    with (
        BackEnds(tmp_path, ring, "drain") as back_ends,
        GuestRam(1, SIZE, 512, packed=packed) as ram,
        GuestRam(1, SIZE, 512, packed=packed) as other,
    ):
        front_end, observed = started(tmp_path, back_ends, ram, "drain")
        with front_end:
            if before:
                front_end._set_status(0)
            front_end.stop()
            observed.look()
            there = migrate(tmp_path, back_ends, front_end, other, observed)
            assert end(back_ends, there, observed) != before
