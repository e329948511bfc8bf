"""The messages of vhost-user as values and as bytes; no I/O.

Every message is a header of three u32 (request, flags, size) and a payload of ``size`` bytes, all in native byte order.
Flags: bits 0-1 the version, which is 1; bit 2 says that this is a reply; bit 3 asks for a reply to a request that has
none of its own (``need_reply``). A reply repeats the request's id. ``KINDS`` is the table of what each request carries,
what answers it, and how many file descriptors travel with it; nothing else in this package knows the wire.

``Parser`` turns a stream of bytes into messages. It checks a header as soon as it has one, so that it never waits for,
nor keeps, more than the longest payload that the request may have.
"""

import dataclasses
import enum
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from refimpl.errors import BackEndError, FrontEndError, InflightError, UsageError
from refimpl.wire.payload import (
    MAX_REGIONS,
    NOTHING,
    ConfigSpace,
    Inflight,
    LogArea,
    Malformed,
    MemoryTable,
    Number,
    Payload,
    SingleRegion,
    VringAddress,
    VringFd,
    VringState,
)

VERSION: Final = 1
VERSION_MASK: Final = 0b0011
REPLY: Final = 0b0100
NEED_REPLY: Final = 0b1000

HEADER: Final = struct.Struct("=III")
"""Request, flags and size of the payload."""


class Request(enum.IntEnum):
    """The ids of the requests that a front-end sends."""

    GET_FEATURES = 1
    SET_FEATURES = 2
    SET_OWNER = 3
    RESET_OWNER = 4
    SET_MEM_TABLE = 5
    SET_LOG_BASE = 6
    SET_LOG_FD = 7
    SET_VRING_NUM = 8
    SET_VRING_ADDR = 9
    SET_VRING_BASE = 10
    GET_VRING_BASE = 11
    SET_VRING_KICK = 12
    SET_VRING_CALL = 13
    SET_VRING_ERR = 14
    GET_PROTOCOL_FEATURES = 15
    SET_PROTOCOL_FEATURES = 16
    GET_QUEUE_NUM = 17
    SET_VRING_ENABLE = 18
    SET_BACKEND_REQ_FD = 21
    GET_CONFIG = 24
    SET_CONFIG = 25
    GET_INFLIGHT_FD = 31
    SET_INFLIGHT_FD = 32
    RESET_DEVICE = 34
    GET_MAX_MEM_SLOTS = 36
    ADD_MEM_REG = 37
    REM_MEM_REG = 38
    SET_STATUS = 39
    GET_STATUS = 40
    GET_VRING_BASE_SKIP_DRAIN = 45


@dataclass(frozen=True, slots=True)
class Kind:
    """What a request carries and what answers it.

    ``reply`` is None where the only answer is the ``ack``, a Number sent on need_reply. ``fds`` and ``reply_fds`` are
    the least and the greatest number of file descriptors; ``expected_fds`` narrows them by what a payload says. With
    ``empty_reply`` a reply without payload reports an error.
    """

    payload: type[Payload] = Payload
    reply: type[Payload] | None = None
    fds: tuple[int, int] = (0, 0)
    reply_fds: tuple[int, int] = (0, 0)
    empty_reply: bool = False


KINDS: Final[Mapping[Request, Kind]] = MappingProxyType(
    {
        Request.GET_FEATURES: Kind(reply=Number),
        Request.SET_FEATURES: Kind(Number),
        Request.SET_OWNER: Kind(),
        Request.RESET_OWNER: Kind(),
        Request.SET_MEM_TABLE: Kind(MemoryTable, fds=(0, MAX_REGIONS)),
        Request.SET_LOG_BASE: Kind(LogArea, reply=Number, fds=(1, 1)),
        Request.SET_LOG_FD: Kind(fds=(1, 1)),
        Request.SET_VRING_NUM: Kind(VringState),
        Request.SET_VRING_ADDR: Kind(VringAddress),
        Request.SET_VRING_BASE: Kind(VringState),
        Request.GET_VRING_BASE: Kind(VringState, reply=VringState),
        Request.SET_VRING_KICK: Kind(VringFd, fds=(0, 1)),
        Request.SET_VRING_CALL: Kind(VringFd, fds=(0, 1)),
        Request.SET_VRING_ERR: Kind(VringFd, fds=(0, 1)),
        Request.GET_PROTOCOL_FEATURES: Kind(reply=Number),
        Request.SET_PROTOCOL_FEATURES: Kind(Number),
        Request.GET_QUEUE_NUM: Kind(reply=Number),
        Request.SET_VRING_ENABLE: Kind(VringState),
        Request.SET_BACKEND_REQ_FD: Kind(fds=(1, 1)),
        Request.GET_CONFIG: Kind(ConfigSpace, reply=ConfigSpace, empty_reply=True),
        Request.SET_CONFIG: Kind(ConfigSpace),
        # That a reply brings no fd is for the front-end to judge: its text says what it wanted the fd for.
        Request.GET_INFLIGHT_FD: Kind(Inflight, reply=Inflight, reply_fds=(0, 1)),
        Request.SET_INFLIGHT_FD: Kind(Inflight, fds=(1, 1)),
        Request.RESET_DEVICE: Kind(),
        Request.GET_MAX_MEM_SLOTS: Kind(reply=Number),
        Request.ADD_MEM_REG: Kind(SingleRegion, fds=(1, 1)),
        Request.REM_MEM_REG: Kind(SingleRegion, fds=(0, 1)),
        Request.SET_STATUS: Kind(Number),
        Request.GET_STATUS: Kind(reply=Number),
        Request.GET_VRING_BASE_SKIP_DRAIN: Kind(VringState, reply=VringState),
    },
)
"""Every message, in both directions."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message, without the file descriptors that travel with it."""

    request: Request
    payload: Payload = NOTHING
    reply: bool = False
    need_reply: bool = False

    def __str__(self) -> str:
        """Return the message's name, for errors."""
        return f"the reply to {self.request.name}" if self.reply else self.request.name


def payload_type(request: Request, *, reply: bool, size: int) -> type[Payload]:
    """Return what the payload of ``size`` bytes of a request, or of its reply, must be."""
    kind = KINDS[request]
    if not reply:
        return kind.payload
    return Payload if kind.empty_reply and size == 0 else kind.reply or Number


def expected_fds(message: Message) -> tuple[int, int]:
    """Return the least and the greatest number of file descriptors that travel with ``message``."""
    kind = KINDS[message.request]
    if message.reply:
        return kind.reply_fds
    if isinstance(message.payload, MemoryTable):
        return len(message.payload.regions), len(message.payload.regions)
    if isinstance(message.payload, VringFd):
        return int(message.payload.has_fd), int(message.payload.has_fd)
    return kind.fds


def encode(message: Message) -> bytes:
    """Return the bytes of ``message``. Raises UsageError for a payload that the request does not have, or too wide."""
    try:
        payload = message.payload.pack()
        wanted = payload_type(message.request, reply=message.reply, size=len(payload))
        if type(message.payload) is not wanted or not wanted.sizes()[0] <= len(payload) <= wanted.sizes()[1]:
            raise UsageError(f"{message} has no payload {message.payload}")
        flags = VERSION | (REPLY if message.reply else 0) | (NEED_REPLY if message.need_reply else 0)
        return HEADER.pack(message.request, flags, len(payload)) + payload
    except struct.error as error:
        raise UsageError(f"{message} cannot carry {message.payload}: {error}") from error


class Parser:
    """Turns the bytes that one side sent into messages, in pieces of any size.

    With ``replies`` the sender is the back-end and all its messages are replies, else it is the front-end and they are
    requests. What it sends wrong raises BackEndError or FrontEndError, and the parser takes no more after that.
    """

    def __init__(self, *, replies: bool) -> None:
        """Start between two messages."""
        self.error: type[InflightError] = BackEndError if replies else FrontEndError
        self._replies = replies
        self._buffer = bytearray()
        self._header: Message | None = None
        self._size = 0
        self._broken: InflightError | None = None

    @property
    def needed(self) -> int:
        """How many bytes are missing to the end of the header, or once that is there, of the message; never 0."""
        goal = HEADER.size if self._header is None else HEADER.size + self._size
        return goal - len(self._buffer)

    @property
    def buffered(self) -> int:
        """How many bytes of a message that is not complete are kept; 0 between two messages."""
        return len(self._buffer)

    @property
    def name(self) -> str:
        """The name of the message of which a part is there, for errors."""
        return "a message" if self._header is None else str(self._header)

    def feed(self, data: bytes) -> list[Message]:
        """Take the next bytes; return the messages that they complete.

        Raises FrontEndError or BackEndError for an unknown id, a wrong version or flag, a size that the message cannot
        have, or a payload that contradicts itself, and again at each later call.
        """
        if self._broken is not None:
            raise self._broken
        messages = []
        start = 0
        while start < len(data):
            piece = data[start : start + self.needed]
            start += len(piece)
            self._buffer += piece
            try:
                message = self._advance()
            except InflightError as error:
                self._broken = error
                raise
            if message is not None:
                messages.append(message)
        return messages

    def _advance(self) -> Message | None:
        """Check the header once it is there, and return the message when it is complete."""
        if self._header is None and len(self._buffer) == HEADER.size:
            self._header, self._size = self._read_header(*HEADER.unpack(self._buffer))
        if self._header is None or len(self._buffer) < HEADER.size + self._size:
            return None
        header, data = self._header, bytes(self._buffer[HEADER.size :])
        self._buffer.clear()
        self._header = None
        try:
            payload = payload_type(header.request, reply=header.reply, size=len(data)).unpack(data)
        except Malformed as error:
            raise self.error(f"{header}: {error}") from error
        return dataclasses.replace(header, payload=payload)

    def _read_header(self, number: int, flags: int, size: int) -> tuple[Message, int]:
        """Return the message that begins, still without payload, and its payload's size."""
        if flags & VERSION_MASK != VERSION:
            raise self.error(f"message {number} has version {flags & VERSION_MASK}, not {VERSION}")
        if number not in Request.__members__.values():
            raise self.error(f"there is no message {number}")
        header = Message(Request(number), reply=self._replies, need_reply=bool(flags & NEED_REPLY))
        allowed = VERSION | (REPLY if self._replies else NEED_REPLY)
        if flags & ~allowed or (self._replies and not flags & REPLY):
            raise self.error(f"{header} cannot have the flags {flags:#x}")
        low, high = payload_type(header.request, reply=header.reply, size=size).sizes()
        if not low <= size <= high:
            wanted = f"{low}" if low == high else f"{low} to {high}"
            raise self.error(f"{header} has a payload of {size} bytes, not of {wanted}")
        return header, size
