"""Messages in words: each kind by the names of the text, and nothing that a peer can send stops it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refimpl.wire.codec import HEADER, Message, Request, encode
from refimpl.wire.payload import (
    ConfigSpace,
    Inflight,
    LogArea,
    MemoryRegion,
    MemoryTable,
    Number,
    SingleRegion,
    VringAddress,
    VringFd,
    VringState,
)
from tests.refimpl.wire_rig import messages
from vhost_inflight.live.frames import Frame, Framer
from vhost_inflight.live.words import payload_of, told

REGION = MemoryRegion(0x1000, 0x2000, 0x7F00_0000_0000, 0x10)
WORDS = "guest 0x1000 size 0x2000 user 0x7f0000000000 offset 0x10"


def frame(message: Message) -> Frame:
    """Return a message as it passes by."""
    whole = Framer().feed(encode(message))
    assert whole is not None
    return whole


def test_every_bit_that_is_defined_has_a_name() -> None:
    """Of the rings, of block devices and of vhost-user itself; a reserved one has its number."""
    virtio = told(frame(Message(Request.SET_FEATURES, Number(2**64 - 1))), 0)
    unnamed = [int(number) for number in re.findall(r"bit (\d+)", virtio)]
    assert unnamed == [3, 8, *range(18, 24), 25, 31, *range(42, 64)]
    protocol = told(frame(Message(Request.SET_PROTOCOL_FEATURES, Number(2**24 - 1))), 0)
    assert [int(number) for number in re.findall(r"bit (\d+)", protocol)] == []
    assert " STATUS " in protocol
    assert "GET_VRING_BASE_INFLIGHT GPA_ADDRESSES SHMEM GET_VRING_BASE_SKIP_DRAIN)" in protocol
    assert " RING_RESET " in virtio


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (Message(Request.SET_OWNER), "SET_OWNER"),
        (Message(Request.SET_FEATURES, Number(1 << 34 | 1 << 3)), "SET_FEATURES: 0x400000008 (bit 3 RING_PACKED)"),
        (Message(Request.SET_PROTOCOL_FEATURES, Number(1 << 12)), "SET_PROTOCOL_FEATURES: 0x1000 (INFLIGHT_SHMFD)"),
        (Message(Request.SET_FEATURES, Number(0)), "SET_FEATURES: 0x0 (none)"),
        (Message(Request.GET_QUEUE_NUM, Number(4), reply=True), "the reply to GET_QUEUE_NUM: 4"),
        (
            Message(Request.SET_VRING_NUM, VringState(2, 128), need_reply=True),
            "SET_VRING_NUM: queue 2, 128 entries, wants a reply",
        ),
        (Message(Request.SET_VRING_BASE, VringState(0, 7)), "SET_VRING_BASE: queue 0, base 7"),
        (Message(Request.SET_VRING_BASE, VringState(0, 0x80008000)), "SET_VRING_BASE: queue 0, base 0x80008000"),
        (Message(Request.GET_VRING_BASE, VringState(3, 0)), "GET_VRING_BASE: queue 3"),
        (
            Message(Request.GET_VRING_BASE, VringState(3, 0), reply=True),
            "the reply to GET_VRING_BASE: queue 3, base 0",
        ),
        (Message(Request.GET_VRING_BASE, VringState(0, 1)), "GET_VRING_BASE: queue 0, num 1, which has to be 0"),
        (Message(Request.GET_VRING_BASE_SKIP_DRAIN, VringState(3, 0)), "GET_VRING_BASE_SKIP_DRAIN: queue 3"),
        (
            Message(Request.GET_VRING_BASE_SKIP_DRAIN, VringState(3, 7), reply=True),
            "the reply to GET_VRING_BASE_SKIP_DRAIN: queue 3, base 7",
        ),
        (Message(Request.SET_VRING_ENABLE, VringState(0, 1)), "SET_VRING_ENABLE: queue 0, enable 1"),
        (
            Message(Request.SET_VRING_ADDR, VringAddress(1, 0, 0x10, 0x30, 0x20, 0)),
            "SET_VRING_ADDR: queue 1, desc 0x10, avail 0x20, used 0x30",
        ),
        (
            Message(Request.SET_VRING_ADDR, VringAddress(1, 1, 0x10, 0x30, 0x20, 0x40)),
            "SET_VRING_ADDR: queue 1, desc 0x10, avail 0x20, used 0x30, flags 0x1, log 0x40",
        ),
        (Message(Request.SET_VRING_KICK, VringFd(1, has_fd=False)), "SET_VRING_KICK: queue 1, none: to be polled"),
        (Message(Request.SET_MEM_TABLE, MemoryTable((REGION,) * 2)), f"SET_MEM_TABLE: {WORDS}; {WORDS}"),
        (Message(Request.SET_MEM_TABLE, MemoryTable(())), "SET_MEM_TABLE: no region"),
        (Message(Request.ADD_MEM_REG, SingleRegion(REGION)), f"ADD_MEM_REG: {WORDS}"),
        (Message(Request.SET_LOG_BASE, LogArea(4096, 8)), "SET_LOG_BASE: 4096 bytes from 8"),
        (Message(Request.GET_CONFIG, ConfigSpace(0, 0, bytes(60))), "GET_CONFIG: 60 bytes from 0"),
        (Message(Request.SET_CONFIG, ConfigSpace(32, 0, b"\1")), "SET_CONFIG: 1 byte from 32: 01"),
        (
            Message(Request.SET_INFLIGHT_FD, Inflight(2112, 0, 1, 128)),
            "SET_INFLIGHT_FD: 1 queue of 128 entries, mmap size 2112, mmap offset 0",
        ),
    ],
)
def test_known(message: Message, words: str) -> None:
    """One for each kind of payload."""
    assert told(frame(message), 0) == words


def test_file_descriptors() -> None:
    """They are counted."""
    assert told(frame(Message(Request.SET_VRING_CALL, VringFd(0))), 1) == "SET_VRING_CALL: queue 0, 1 file descriptor"
    assert told(frame(Message(Request.SET_OWNER)), 2) == "SET_OWNER: 2 file descriptors"


def test_unknown() -> None:
    """By its number; a known one of the wrong size or contents as what it is."""
    assert told(Frame(99, 1, HEADER.pack(99, 1, 3) + bytes(3)), 1) == "message 99: 3 bytes, 1 file descriptor"
    assert told(Frame(99, 7, HEADER.pack(99, 7, 0)), 0) == "the reply to message 99: 0 bytes, of version 3"
    wrong = Frame(8, 1, HEADER.pack(8, 1, 7) + bytes(7))
    assert told(wrong, 0) == "SET_VRING_NUM: 7 bytes, not as the text has them"
    high = Frame(12, 1, HEADER.pack(12, 1, 8) + b"\xff" * 8)
    assert told(high, 0) == "SET_VRING_KICK: 8 bytes, not as the text has them"


@given(st.one_of(messages(replies=False), messages(replies=True)))
def test_any_message(message: Message) -> None:
    """Each message that the codec knows has words of its own, and keeps its payload."""
    one = frame(message)
    assert payload_of(one) == message.payload
    assert message.request.name in told(one, 0)
    assert "not as the text has them" not in told(one, 0)


@given(st.integers(0, 45), st.integers(0, 31), st.binary(max_size=80))
def test_any_bytes(number: int, flags: int, payload: bytes) -> None:
    """Any bytes have a line."""
    assert told(Frame(number, flags, HEADER.pack(number, flags, len(payload)) + payload), 0).count("\n") == 0
