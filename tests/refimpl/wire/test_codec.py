"""The messages of vhost-user as bytes: what is sent is what is read, and nothing else is taken."""

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refimpl.errors import BackEndError, FrontEndError, UsageError
from refimpl.wire.codec import HEADER, KINDS, Message, Parser, Request, encode, expected_fds
from refimpl.wire.payload import (
    MAX_REGIONS,
    NOTHING,
    ConfigSpace,
    Inflight,
    MemoryRegion,
    MemoryTable,
    Number,
    SingleRegion,
    VringAddress,
    VringFd,
    VringState,
)
from tests.refimpl.wire_rig import messages

LARGEST = HEADER.size + 12 + 256


def raw(request: int, flags: int, payload: bytes, size: int | None = None) -> bytes:
    """Return a message as bytes, true or not."""
    return struct.pack("=III", request, flags, len(payload) if size is None else size) + payload


@pytest.mark.parametrize("replies", [False, True])
@given(data=st.data())
def test_round_trip(data: st.DataObject, replies: bool) -> None:
    """A stream of messages comes out as it went in, however it is cut into pieces."""
    sent = data.draw(st.lists(messages(replies=replies), min_size=1, max_size=4))
    stream = b"".join(encode(message) for message in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    parser = Parser(replies=replies)
    received = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        received += parser.feed(stream[start:end])
        assert parser.buffered < LARGEST
    assert sent == received
    assert parser.buffered == 0


@given(message=messages(replies=False))
def test_needed(message: Message) -> None:
    """Reading ``needed`` bytes at a time ends at the message's last byte, never past it."""
    stream = encode(message)
    parser = Parser(replies=False)
    position = 0
    got: list[Message] = []
    while not got:
        step = parser.needed
        got = parser.feed(stream[position : position + step])
        position += step
    assert got == [message]
    assert position == len(stream)


@given(garbage=st.binary(max_size=400), replies=st.booleans())
def test_garbage(garbage: bytes, replies: bool) -> None:
    """Garbage gives messages or the sender's error, nothing else, and is never piled up."""
    parser = Parser(replies=replies)
    with contextlib.suppress(BackEndError if replies else FrontEndError):
        parser.feed(garbage)
    assert parser.buffered < LARGEST


@given(message=messages(replies=False), flipped=st.integers(0, 95))
def test_flipped_header(message: Message, flipped: int) -> None:
    """A header with one bit flipped is another message, an incomplete one, or the front-end's error."""
    stream = bytearray(encode(message))
    stream[flipped // 8] ^= 1 << flipped % 8
    parser = Parser(replies=False)
    try:
        parser.feed(bytes(stream))
    except FrontEndError:
        return
    assert parser.buffered < LARGEST


def test_known_bytes() -> None:
    """Messages whose bytes are known: the 24 bytes of the shared buffer, used before avail, the padding of a region."""
    inflight = encode(Message(Request.SET_INFLIGHT_FD, Inflight(128, 64, 2, 4)))
    assert inflight == raw(32, 1, struct.pack("=QQHHI", 128, 64, 2, 4, 0))
    assert len(inflight) == 12 + 24
    address = encode(Message(Request.SET_VRING_ADDR, VringAddress(1, 0, desc=10, used=20, avail=30, log=40)))
    assert address == raw(9, 1, struct.pack("=IIQQQQ", 1, 0, 10, 20, 30, 40))
    region = MemoryRegion(1, 2, 3, 4)
    assert encode(Message(Request.ADD_MEM_REG, SingleRegion(region))) == raw(
        37, 1, struct.pack("=QQQQQ", 0, 1, 2, 3, 4)
    )
    table = encode(Message(Request.SET_MEM_TABLE, MemoryTable((region,)), need_reply=True))
    assert table == raw(5, 9, struct.pack("=IIQQQQ", 1, 0, 1, 2, 3, 4))
    assert encode(Message(Request.SET_VRING_CALL, VringFd(3, has_fd=False))) == raw(13, 1, struct.pack("=Q", 0x103))
    assert encode(Message(Request.GET_FEATURES, Number(5), reply=True)) == raw(1, 5, struct.pack("=Q", 5))


@pytest.mark.parametrize(
    ("stream", "rule"),
    [
        (raw(1, 0, b""), "version 0"),
        (raw(1, 2, b""), "version 2"),
        (raw(1, 5, b""), "flags"),
        (raw(1, 0x11, b""), "flags"),
        (raw(99, 1, b""), "no message 99"),
        (raw(1, 1, bytes(8)), "GET_FEATURES has a payload of 8 bytes, not of 0"),
        (raw(2, 1, bytes(4)), "SET_FEATURES has a payload of 4 bytes, not of 8"),
        (raw(32, 1, bytes(20)), "SET_INFLIGHT_FD has a payload of 20 bytes, not of 24"),
        (raw(5, 1, b"", size=8 + 9 * 32), "SET_MEM_TABLE"),
        (raw(5, 1, struct.pack("=II", 2, 0) + bytes(32)), "2 regions"),
        (raw(24, 1, struct.pack("=III", 0, 61, 0) + bytes(60)), "61 bytes of configuration"),
        (raw(24, 1, b"", size=12 + 257), "GET_CONFIG"),
        (raw(12, 1, struct.pack("=Q", 0x200)), "above bit 8"),
        (raw(1, 1, b"", size=0xFFFFFFFF), "GET_FEATURES"),
    ],
)
def test_refused_request(stream: bytes, rule: str) -> None:
    """A request that breaks a rule is the front-end's error and names the rule; the parser is dead then."""
    parser = Parser(replies=False)
    with pytest.raises(FrontEndError, match=rule):
        parser.feed(stream)
    with pytest.raises(FrontEndError, match=rule):
        parser.feed(encode(Message(Request.GET_FEATURES)))


@pytest.mark.parametrize(
    ("stream", "rule"),
    [
        (raw(1, 1, bytes(8)), "flags"),
        (raw(1, 13, bytes(8)), "flags"),
        (raw(31, 5, bytes(20)), "20 bytes, not of 24"),
        (raw(1, 5, b""), "0 bytes, not of 8"),
        (raw(5, 5, b""), "0 bytes, not of 8"),
    ],
)
def test_refused_reply(stream: bytes, rule: str) -> None:
    """A reply that breaks a rule is the back-end's error."""
    with pytest.raises(BackEndError, match=rule):
        Parser(replies=True).feed(stream)


def test_size_is_checked_before_the_payload_comes() -> None:
    """A header with a wrong size is refused at once: nothing waits for a payload that would not end."""
    with pytest.raises(FrontEndError):
        Parser(replies=False).feed(raw(2, 1, b"", size=1 << 30))


def test_empty_reply_is_an_error_report() -> None:
    """GET_CONFIG alone may be answered by no bytes."""
    (message,) = Parser(replies=True).feed(raw(24, 5, b""))
    assert message.payload == NOTHING


@pytest.mark.parametrize(
    "message",
    [
        Message(Request.GET_FEATURES, Number(1)),
        Message(Request.SET_FEATURES),
        Message(Request.SET_FEATURES, Number(1 << 64)),
        Message(Request.SET_VRING_NUM, VringState(-1, 0)),
        Message(Request.SET_VRING_KICK, VringFd(256)),
        Message(Request.GET_CONFIG, ConfigSpace(0, 0, bytes(257))),
        Message(Request.SET_MEM_TABLE, MemoryTable((MemoryRegion(0, 0, 0, 0),) * 9)),
        Message(Request.SET_INFLIGHT_FD, Inflight(0, 0, 65536, 0)),
    ],
)
def test_encode_refuses(message: Message) -> None:
    """What the wire cannot carry is refused before it is sent."""
    with pytest.raises(UsageError):
        encode(message)


def test_expected_fds() -> None:
    """How many file descriptors belong to a message, where the payload says it."""
    region = MemoryRegion(0, 1, 0, 0)
    assert expected_fds(Message(Request.SET_MEM_TABLE, MemoryTable((region,) * 3))) == (3, 3)
    assert expected_fds(Message(Request.SET_VRING_KICK, VringFd(0))) == (1, 1)
    assert expected_fds(Message(Request.SET_VRING_KICK, VringFd(0, has_fd=False))) == (0, 0)
    assert expected_fds(Message(Request.GET_INFLIGHT_FD, Inflight(1, 0, 1, 1), reply=True)) == (0, 1)
    assert expected_fds(Message(Request.GET_INFLIGHT_FD, Inflight(1, 0, 1, 1))) == (0, 0)


def test_table_is_whole() -> None:
    """Every request has its row, and no row promises more file descriptors than are ever received."""
    assert set(KINDS) == set(Request)
    assert max(kind.fds[1] for kind in KINDS.values()) == MAX_REGIONS
