"""A message in words: its name, and its payload by the names of the text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from refimpl.names import counted
from refimpl.wire import features
from refimpl.wire.codec import VERSION, VERSION_MASK, Request, payload_type
from refimpl.wire.payload import (
    ConfigSpace,
    Inflight,
    LogArea,
    Malformed,
    MemoryRegion,
    MemoryTable,
    Number,
    Payload,
    SingleRegion,
    VringAddress,
    VringFd,
    VringState,
)
from vhost_inflight.live.frames import Frame

__all__ = ["name_of", "payload_of", "region_words", "told"]


def _names(*, protocol: bool) -> dict[int, str]:
    """Return the names of single feature bits."""
    known = {name: value for name, value in vars(features).items() if isinstance(value, int) and value.bit_count() == 1}
    return {value: name for name, value in known.items() if name.startswith("PROTOCOL_") == protocol}


_MORE_VIRTIO: Final[Mapping[int, str]] = MappingProxyType(
    {
        0: "BLK_BARRIER",
        4: "BLK_GEOMETRY",
        5: "BLK_RO",
        7: "BLK_SCSI",
        15: "BLK_LIFETIME",
        16: "BLK_SECURE_ERASE",
        17: "BLK_ZONED",
        24: "NOTIFY_ON_EMPTY",
        27: "ANY_LAYOUT",
        33: "ACCESS_PLATFORM",
        35: "IN_ORDER",
        36: "ORDER_PLATFORM",
        37: "SR_IOV",
        38: "NOTIFICATION_DATA",
        39: "NOTIF_CONFIG_DATA",
        40: "RING_RESET",
        41: "ADMIN_VQ",
    }
)
"""Feature bits by their numbers that virtio defines, for its rings and its block device, and nothing of ours offers."""

_MORE_PROTOCOL: Final[Mapping[int, str]] = MappingProxyType(
    {
        2: "RARP",
        4: "NET_MTU",
        6: "CROSS_ENDIAN",
        7: "CRYPTO_SESSION",
        8: "PAGEFAULT",
        10: "BACKEND_SEND_FD",
        11: "HOST_NOTIFIER",
        14: "INBAND_NOTIFICATIONS",
        16: "STATUS",
        17: "XEN_MMAP",
        18: "SHARED_OBJECT",
        19: "DEVICE_STATE",
        21: "GPA_ADDRESSES",
        22: "SHMEM",
    }
)
"""Likewise those of vhost-user."""

_VIRTIO: Final = _names(protocol=False) | {1 << bit: name for bit, name in _MORE_VIRTIO.items()}
_PROTOCOL: Final = _names(protocol=True) | {1 << bit: name for bit, name in _MORE_PROTOCOL.items()}
_BITS: Final[Mapping[Request, Mapping[int, str]]] = MappingProxyType(
    {
        Request.GET_FEATURES: _VIRTIO,
        Request.SET_FEATURES: _VIRTIO,
        Request.GET_PROTOCOL_FEATURES: _PROTOCOL,
        Request.SET_PROTOCOL_FEATURES: _PROTOCOL,
    }
)
_STATE: Final[Mapping[Request, str]] = MappingProxyType(
    {
        Request.SET_VRING_NUM: "{} entries",
        Request.SET_VRING_BASE: "base {}",
        Request.GET_VRING_BASE: "base {}",
        Request.GET_VRING_BASE_SKIP_DRAIN: "base {}",
        Request.SET_VRING_ENABLE: "enable {}",
    }
)

_ASKS_BASE: Final = frozenset({Request.GET_VRING_BASE, Request.GET_VRING_BASE_SKIP_DRAIN})


def name_of(number: int) -> str:
    """Return the name of a request, or its number where it has none that is known."""
    return Request(number).name if number in Request.__members__.values() else f"message {number}"


def payload_of(frame: Frame) -> Payload | None:
    """Return a message's payload, None for one that is not known or not formed as the text says."""
    if frame.number not in Request.__members__.values():
        return None
    size = len(frame.payload)
    kind = payload_type(Request(frame.number), reply=frame.is_reply, size=size)
    if not kind.sizes()[0] <= size <= kind.sizes()[1]:
        return None
    try:
        return kind.unpack(frame.payload)
    except Malformed:
        return None


def told(frame: Frame, fds: int) -> str:
    """Say in a line what a message is; ``fds`` is how many file descriptors came with it."""
    what = [f"the reply to {name_of(frame.number)}" if frame.is_reply else name_of(frame.number)]
    payload = payload_of(frame)
    if payload is None:
        known = frame.number in Request.__members__.values()
        what.append(counted(len(frame.payload), "byte") + (", not as the text has them" if known else ""))
    elif type(payload) is not Payload:
        what.append(_WORDS[type(payload)](frame, payload))
    what += [counted(fds, "file descriptor")] * bool(fds)
    what += ["wants a reply"] * frame.wants_reply
    if frame.flags & VERSION_MASK != VERSION:
        what.append(f"of version {frame.flags & VERSION_MASK}")
    return f"{what[0]}: {', '.join(what[1:])}" if what[1:] else what[0]


def region_words(region: MemoryRegion) -> str:
    """Say where a region of memory is."""
    return (
        f"guest {region.guest_address:#x} size {region.size:#x} user {region.user_address:#x} "
        f"offset {region.mmap_offset:#x}"
    )


def _number(frame: Frame, payload: Any) -> str:
    names = _BITS.get(Request(frame.number))
    if names is None:
        return str(payload.value)
    bits = [bit for bit in range(64) if payload.value >> bit & 1]
    listed = " ".join(names.get(1 << bit, f"bit {bit}").removeprefix("PROTOCOL_") for bit in bits)
    return f"{payload.value:#x} ({listed or 'none'})"


def _state(frame: Frame, payload: Any) -> str:
    said = _STATE.get(Request(frame.number), "{}")
    if frame.number in _ASKS_BASE and not frame.is_reply:
        return f"queue {payload.index}" + (f", num {payload.num}, which has to be 0" if payload.num else "")
    number = f"{payload.num:#x}" if "base" in said and payload.num > 0xFFFF else str(payload.num)
    return f"queue {payload.index}, {said.format(number)}"


def _address(_: Frame, payload: Any) -> str:
    log = f", flags {payload.flags:#x}, log {payload.log:#x}" if payload.flags else ""
    return f"queue {payload.index}, desc {payload.desc:#x}, avail {payload.avail:#x}, used {payload.used:#x}{log}"


def _fd(_: Frame, payload: Any) -> str:
    return f"queue {payload.index}" + ("" if payload.has_fd else ", none: to be polled")


def _config(frame: Frame, payload: Any) -> str:
    content = f": {payload.data.hex()}" if frame.number == Request.SET_CONFIG else ""
    return f"{counted(len(payload.data), 'byte')} from {payload.offset}{content}"


def _inflight(_: Frame, payload: Any) -> str:
    return (
        f"{counted(payload.num_queues, 'queue')} of {payload.queue_size} entries, mmap size {payload.mmap_size}, "
        f"mmap offset {payload.mmap_offset}"
    )


_WORDS: Final[Mapping[type[Payload], Callable[[Frame, Any], str]]] = MappingProxyType(
    {
        Number: _number,
        VringState: _state,
        VringAddress: _address,
        VringFd: _fd,
        MemoryTable: lambda _, table: "; ".join(region_words(region) for region in table.regions) or "no region",
        SingleRegion: lambda _, payload: region_words(payload.region),
        LogArea: lambda _, payload: f"{payload.size} bytes from {payload.offset}",
        ConfigSpace: _config,
        Inflight: _inflight,
    }
)
