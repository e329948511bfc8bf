"""How a front-end of each generation stops its rings, message by message, and what it then believes."""

import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from refimpl.errors import BackEndError
from refimpl.frontend.connection import FrontEnd
from refimpl.frontend.memory import GuestRam
from refimpl.wire.codec import Request
from refimpl.wire.features import GENERATIONS, PROTOCOL_INFLIGHT_SHMFD, WANTED_PROTOCOL
from refimpl.wire.payload import Inflight, Number, VringState
from tests.refimpl.frontend.test_connection import ALL, Answer, Scripted, buffer, make_scripted

__all__ = ["make_scripted"]

BIT20, BIT23 = GENERATIONS["may-suspend"], GENERATIONS["skip-drain"] & ~GENERATIONS["may-suspend"]
MIGRATED = 201
"""Bytes of a stream that brings a region of 128: with the headers of two subsections."""


def answers(number: int) -> Callable[[], Answer]:
    """Return what answers GET_PROTOCOL_FEATURES."""
    return lambda: (Request.GET_PROTOCOL_FEATURES, Number(number), [])


def based(request: Request, base: int) -> Callable[[], Answer]:
    """Return what answers a message that stops a ring."""
    return lambda: (request, VringState(0, base), [])


@pytest.mark.parametrize(
    ("generation", "offered", "told"),
    [
        ("drain", ALL, (0, 11, True)),
        ("may-suspend", ALL, (BIT20, 11, False)),
        ("may-suspend", ALL & ~BIT20, (0, 11, False)),
        ("may-suspend", ALL & ~PROTOCOL_INFLIGHT_SHMFD, (0, 11, False)),
        ("skip-drain", ALL, (BIT20 | BIT23, 45, False)),
        ("skip-drain", ALL & ~BIT23, (BIT20, 11, True)),
        ("skip-drain", ALL & ~BIT20, (0, 11, True)),
        ("skip-drain", ALL & ~PROTOCOL_INFLIGHT_SHMFD, (0, 11, True)),
    ],
)
def test_stop(scripted: Scripted, tmp_path: Path, generation: str, offered: int, told: tuple[int, int, bool]) -> None:
    """What it accepts, by which message it stops, and whether it takes everything for completed then.

    The base that answers is what the next start says, and the stream brings the region unless all is complete.
    """
    accepted, message, complete = told
    fd = buffer(128)
    scripted.overrides[Request.GET_INFLIGHT_FD] = lambda: (Request.GET_INFLIGHT_FD, Inflight(128, 0, 1, 4), [fd])
    scripted.overrides[Request.GET_PROTOCOL_FEATURES] = answers(offered)
    for request in (Request.GET_VRING_BASE, Request.GET_VRING_BASE_SKIP_DRAIN):
        scripted.overrides[request] = based(request, 5)
    with GuestRam(1, 4, 512) as ram, FrontEnd(tmp_path / "socket", ram, generation=generation) as front_end:
        front_end.connect()
        assert front_end.protocol_features & (BIT20 | BIT23) == accepted
        front_end.start()
        assert not front_end.complete
        front_end.stop()
        assert scripted.ids[-4:] == [18, 39, 18, message]
        assert scripted.seen[-1].message.payload == VringState(0, 0)
        assert (front_end.bases, front_end.complete) == ([5], complete)
        stream = io.BytesIO()
        front_end.save(stream)
        tracked = bool(offered & PROTOCOL_INFLIGHT_SHMFD)
        assert len(stream.getvalue()) == (MIGRATED if tracked and not complete else 0)
        held = front_end.inflight
        front_end.start()
        assert front_end.inflight is held  # where the memory stays, the region does, whatever is believed
        front_end.stop()
        said = [seen.message.payload for seen in scripted.seen if seen.message.request is Request.SET_VRING_BASE]
        assert said == [VringState(0, 0), VringState(0, 5)]
    os.close(fd)


def test_protocol_features_that_were_left_out(scripted: Scripted, tmp_path: Path) -> None:
    """A front-end that is not to know of regions accepts nothing that means nothing without them."""
    wanted = WANTED_PROTOCOL & ~PROTOCOL_INFLIGHT_SHMFD
    with (
        GuestRam(1, 4, 512) as ram,
        FrontEnd(tmp_path / "socket", ram, protocol_features=wanted, generation="skip-drain") as front_end,
    ):
        front_end.connect()
        assert front_end.protocol_features == wanted
    assert Request.SET_PROTOCOL_FEATURES in scripted.ids


@pytest.mark.parametrize(("offered", "refused"), [(ALL, True), (ALL & ~BIT20, False)])
@pytest.mark.parametrize("packed", [False, True])
def test_reserved_bits_of_a_base(
    scripted: Scripted, tmp_path: Path, offered: int, *, refused: bool, packed: bool
) -> None:
    """Of a split ring a back-end that knows bit 20 sets none; an older one's are left out. A packed ring has none."""
    scripted.overrides[Request.GET_PROTOCOL_FEATURES] = answers(offered)
    scripted.overrides[Request.GET_INFLIGHT_FD] = lambda: (Request.GET_INFLIGHT_FD, Inflight(0, 0, 1, 4), [])
    scripted.overrides[Request.GET_VRING_BASE] = based(Request.GET_VRING_BASE, 0x10005)
    with (
        GuestRam(1, 4, 512, packed=packed) as ram,
        FrontEnd(tmp_path / "socket", ram, generation="may-suspend") as front_end,
    ):
        front_end.connect()
        front_end.start()
        if refused and not packed:
            with pytest.raises(BackEndError, match="ring 0 stopped at 0x10005: bits 16 to 31 of a split ring's base"):
                front_end.stop()
        else:
            front_end.stop()
            assert front_end.bases == [0x10005 if packed else 5]
