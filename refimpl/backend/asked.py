"""What a message of the front-end carries, checked as far as the message and what was negotiated can say.

SET_VRING_BASE and GET_VRING_BASE have two forms. Today's text reserves bits 16 to 31 of a split ring's base and the
number in a GET_VRING_BASE: both have to be 0. Texts before it did not say so. A front-end that has accepted
GET_VRING_BASE_INFLIGHT (bit 20) knows today's text, and what it sets there is its fault; what any other one sets there
is told of, and ignored.
"""

import logging
from typing import Final, TypeVar

from refimpl.errors import FrontEndError
from refimpl.wire.codec import Request
from refimpl.wire.features import MORE_FEATURES, PROTOCOL_GET_VRING_BASE_INFLIGHT
from refimpl.wire.payload import Number, Payload, VringState
from refimpl.wire.transport import Received

_LOG: Final = logging.getLogger(__name__)

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
