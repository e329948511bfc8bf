"""What a message of the front-end carries, checked as far as the message and what was negotiated can say.

SET_VRING_BASE and GET_VRING_BASE have two forms. Today's text reserves bits 16 to 31 of a split ring's base and the
number in a GET_VRING_BASE: both have to be 0. Texts before it did not say so. A front-end that has accepted
GET_VRING_BASE_INFLIGHT (bit 20) knows today's text, and what it sets there is its fault; what any other one sets there
is told of, and ignored.
"""

import logging
from typing import Final, TypeVar

from refimpl.errors import FrontEndError
from refimpl.wire.codec import Message, Request
from refimpl.wire.features import (
    GENERATIONS,
    MORE_FEATURES,
    PROTOCOL_GET_VRING_BASE_INFLIGHT,
    VHOST_USER_PROTOCOL_FEATURES,
)
from refimpl.wire.payload import Number, Payload, VringState
from refimpl.wire.status import STATUS_MAX
from refimpl.wire.transport import Received

_LOG: Final = logging.getLogger(__name__)

_GOES_ON: Final = frozenset({Request.GET_STATUS, Request.SET_INFLIGHT_FD})
"""What a front-end says after SET_FEATURES that goes on where it was with a back-end before this one."""

_P = TypeVar("_P", bound=Payload)


def payload_of(received: Received, kind: type[_P]) -> _P:
    """Return the payload, which the codec made to be of ``kind``."""
    payload = received.message.payload
    assert isinstance(payload, kind), f"{received.message} with {payload}"
    return payload


def accepted(received: Received, offered: int) -> int:
    """Return the feature bits of a message. Raises FrontEndError for one that was not offered."""
    value = payload_of(received, Number).value
    if wrong := value & ~offered:
        more = received.message.request is Request.SET_FEATURES and not wrong & ~MORE_FEATURES
        asked = f" (an earlier back-end may have done so: --offer {wrong:#x})" if more else ""
        raise FrontEndError(f"{received.message} accepts {wrong:#x}, which was not offered{asked}")
    return value


def status_given(received: Received) -> int:
    """Return the device status of a message. Raises FrontEndError for more than eight bits."""
    value = payload_of(received, Number).value
    if value > STATUS_MAX:
        raise FrontEndError(f"{received.message} sets {value:#x}; a device status is {STATUS_MAX:#x} at most")
    return value


def assumed(message: Message, missing: int, features: int, offered: int) -> int:
    """Return the protocol features that a front-end which negotiated none has, going on where it was.

    QEMU 7.2 does so when a back-end dies in a pause: it accepts protocol features (a bit of ``features``, which
    SET_FEATURES gave), says nothing of which, and asks for the device status or hands over a region. So what is offered
    is taken as negotiated; what it cannot know (GENERATIONS) is not among that. Raises FrontEndError for anything else.
    """
    goes_on = message.request in _GOES_ON and features & VHOST_USER_PROTOCOL_FEATURES
    if not goes_on or missing & ~offered:
        bits = " and ".join(str(bit) for bit in range(64) if missing >> bit & 1)
        raise FrontEndError(f"{message} came though bit {bits} was not negotiated")
    taken = offered & ~GENERATIONS["skip-drain"]
    _LOG.warning(
        "%s came with nothing negotiated on this connection, as QEMU 7.2 sends it when a back-end dies while the "
        "machine is paused: what is offered, %#x, is taken as negotiated", message, taken,
    )  # fmt: skip
    return taken


def base_given(received: Received, kind: str, protocol_features: int) -> int:
    """Return where a ring of ``kind`` goes on, as SET_VRING_BASE says it. Raises FrontEndError for reserved bits.

    Of a packed ring every bit means something; whether there is such a slot, its start finds out (used_place).
    """
    state = payload_of(received, VringState)
    if kind == "packed" or state.num <= 0xFFFF:
        return state.num
    rule = f"{received.message} of split ring {state.index} is {state.num:#x}: bits 16 to 31 have to be 0"
    _reserved(rule, protocol_features)
    return state.num & 0xFFFF


def ring_to_stop(received: Received, protocol_features: int) -> int:
    """Return the index of the ring that a message stops. Raises FrontEndError for a number beside it."""
    state = payload_of(received, VringState)
    if state.num:
        _reserved(f"{received.message} of ring {state.index} has num {state.num}, which has to be 0", protocol_features)
    return state.index


def _reserved(rule: str, protocol_features: int) -> None:
    """Raise FrontEndError of who knows today's text; tell of it else."""
    if protocol_features & PROTOCOL_GET_VRING_BASE_INFLIGHT:
        raise FrontEndError(rule)
    _LOG.warning("%s; it is ignored, as older texts did not say so", rule)
