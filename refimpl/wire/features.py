"""Feature bits: of vhost-user itself (protocol features), and of virtio; and which message needs which."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from refimpl.wire.codec import Request

PROTOCOL_MQ: Final = 1 << 0
PROTOCOL_LOG_SHMFD: Final = 1 << 1
PROTOCOL_REPLY_ACK: Final = 1 << 3
PROTOCOL_BACKEND_REQ: Final = 1 << 5
PROTOCOL_CONFIG: Final = 1 << 9
PROTOCOL_INFLIGHT_SHMFD: Final = 1 << 12
PROTOCOL_RESET_DEVICE: Final = 1 << 13
PROTOCOL_CONFIGURE_MEM_SLOTS: Final = 1 << 15
PROTOCOL_STATUS: Final = 1 << 16
PROTOCOL_GET_VRING_BASE_INFLIGHT: Final = 1 << 20
PROTOCOL_GET_VRING_BASE_SKIP_DRAIN: Final = 1 << 23

PROTOCOL_FEATURES: Final = (
    PROTOCOL_MQ
    | PROTOCOL_LOG_SHMFD
    | PROTOCOL_REPLY_ACK
    | PROTOCOL_BACKEND_REQ
    | PROTOCOL_CONFIG
    | PROTOCOL_INFLIGHT_SHMFD
    | PROTOCOL_RESET_DEVICE
    | PROTOCOL_CONFIGURE_MEM_SLOTS
)
"""The protocol features that the back-end offers, whatever its generation; PROTOCOL_STATUS too, on demand."""

SUSPEND: Final = PROTOCOL_GET_VRING_BASE_INFLIGHT | PROTOCOL_INFLIGHT_SHMFD
"""What has to be negotiated before a stopped ring may leave requests in flight, recorded in the region."""

SKIP_DRAIN: Final = PROTOCOL_GET_VRING_BASE_SKIP_DRAIN | SUSPEND
"""What has to be negotiated before a front-end may ask for that."""

DEPENDENT: Final[Mapping[int, int]] = MappingProxyType(
    {PROTOCOL_GET_VRING_BASE_INFLIGHT: SUSPEND, PROTOCOL_GET_VRING_BASE_SKIP_DRAIN: SKIP_DRAIN}
)
"""Protocol features that mean nothing without others, and all that has to be there."""

GENERATIONS: Final[Mapping[str, int]] = MappingProxyType(
    {
        "drain": 0,
        "may-suspend": PROTOCOL_GET_VRING_BASE_INFLIGHT,
        "skip-drain": PROTOCOL_GET_VRING_BASE_INFLIGHT | PROTOCOL_GET_VRING_BASE_SKIP_DRAIN,
    }
)
"""How the text has rings stopped, by generation: the protocol features that one of it offers or accepts besides."""

BLK_SEG_MAX: Final = 1 << 2
BLK_SIZE_MAX: Final = 1 << 1
BLK_SIZE: Final = 1 << 6
BLK_FLUSH: Final = 1 << 9
BLK_TOPOLOGY: Final = 1 << 10
BLK_CONFIG_WCE: Final = 1 << 11
BLK_MQ: Final = 1 << 12
BLK_DISCARD: Final = 1 << 13
BLK_WRITE_ZEROES: Final = 1 << 14
VHOST_LOG_ALL: Final = 1 << 26
INDIRECT_DESC: Final = 1 << 28
EVENT_IDX: Final = 1 << 29
VHOST_USER_PROTOCOL_FEATURES: Final = 1 << 30
VERSION_1: Final = 1 << 32
RING_PACKED: Final = 1 << 34

FEATURES: Final = (
    BLK_SEG_MAX
    | BLK_SIZE
    | BLK_FLUSH
    | BLK_MQ
    | VHOST_LOG_ALL
    | INDIRECT_DESC
    | EVENT_IDX
    | VHOST_USER_PROTOCOL_FEATURES
    | VERSION_1
)
"""The features that the back-end offers; RING_PACKED too, when it is to serve packed rings."""

MORE_FEATURES: Final = BLK_SIZE_MAX | BLK_TOPOLOGY | BLK_CONFIG_WCE | BLK_DISCARD | BLK_WRITE_ZEROES
"""Features that it offers on demand: a driver that got them from an earlier back-end keeps them."""

WANTED: Final = EVENT_IDX | INDIRECT_DESC | VERSION_1 | VHOST_USER_PROTOCOL_FEATURES
"""The features that the front-end accepts when they are offered; RING_PACKED too, when its guest's rings are packed."""

NEEDED: Final = VERSION_1 | VHOST_USER_PROTOCOL_FEATURES
"""The features that it cannot do without; RING_PACKED too, when the guest's rings are packed."""

WANTED_PROTOCOL: Final = PROTOCOL_FEATURES | PROTOCOL_STATUS
"""The protocol features that the front-end accepts when they are offered, whatever its generation."""

NEEDS: Final[Mapping[Request, int]] = MappingProxyType(
    {
        Request.GET_QUEUE_NUM: PROTOCOL_MQ,
        Request.SET_LOG_BASE: PROTOCOL_LOG_SHMFD,
        Request.SET_BACKEND_REQ_FD: PROTOCOL_BACKEND_REQ,
        Request.GET_CONFIG: PROTOCOL_CONFIG,
        Request.SET_CONFIG: PROTOCOL_CONFIG,
        Request.GET_INFLIGHT_FD: PROTOCOL_INFLIGHT_SHMFD,
        Request.SET_INFLIGHT_FD: PROTOCOL_INFLIGHT_SHMFD,
        Request.RESET_DEVICE: PROTOCOL_RESET_DEVICE,
        Request.GET_MAX_MEM_SLOTS: PROTOCOL_CONFIGURE_MEM_SLOTS,
        Request.ADD_MEM_REG: PROTOCOL_CONFIGURE_MEM_SLOTS,
        Request.REM_MEM_REG: PROTOCOL_CONFIGURE_MEM_SLOTS,
        Request.SET_STATUS: PROTOCOL_STATUS,
        Request.GET_STATUS: PROTOCOL_STATUS,
        Request.GET_VRING_BASE_SKIP_DRAIN: SKIP_DRAIN,
    },
)
"""The protocol features that have to be negotiated before a message may be sent."""


def in_effect(protocol_features: int) -> int:
    """Return the protocol features without those that mean nothing, as others that they need are missing.

    To accept one of those is no fault: no text says that it must not be. So it is taken as not negotiated.
    """
    return protocol_features & ~sum(bit for bit, needed in DEPENDENT.items() if needed & ~protocol_features)
