"""Messages as they pass by: what is needed to keep them apart, and no rule that a peer may break; no I/O.

The parser of `refimpl.wire.codec` refuses what is not known, which is for an end of a connection to do. Who stands in
between passes on all that has a header and a size that can be kept.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from refimpl.wire.codec import HEADER, NEED_REPLY, REPLY

__all__ = ["PAYLOAD_MAX", "Frame", "Framer", "OversizeError"]

PAYLOAD_MAX: Final = 64 << 10
"""Bytes of a payload that are passed on; the longest that is known has some hundred."""


class OversizeError(ValueError):
    """A header that announces a longer payload than is passed on."""


class Frame(NamedTuple):
    """One message: the number of the request, the flags, and all its bytes, header included."""

    number: int
    flags: int
    content: bytes

    @property
    def payload(self) -> bytes:
        """The bytes behind the header."""
        return self.content[HEADER.size :]

    @property
    def is_reply(self) -> bool:
        """Whether it says that it is a reply."""
        return bool(self.flags & REPLY)

    @property
    def wants_reply(self) -> bool:
        """Whether it asks for a reply that it would not have otherwise."""
        return bool(self.flags & NEED_REPLY)


class Framer:
    """Cuts the bytes of one direction into messages."""

    def __init__(self) -> None:
        """Begin between two messages."""
        self.buffer = bytearray()

    @property
    def needed(self) -> int:
        """How many bytes are missing to the end of the header, or of the message; never 0."""
        return self._goal() - len(self.buffer)

    def feed(self, data: bytes) -> Frame | None:
        """Take the next bytes, no more than are needed; return the message that they complete. Raises OversizeError."""
        self.buffer += data
        if len(self.buffer) < self._goal():  # the header says how much, once it is there
            return None
        content = bytes(self.buffer)
        self.buffer.clear()
        number, flags, _ = HEADER.unpack_from(content)
        return Frame(number, flags, content)

    def _goal(self) -> int:
        if len(self.buffer) < HEADER.size:
            return HEADER.size
        number, _, size = HEADER.unpack_from(self.buffer)
        size = int(size)
        if size > PAYLOAD_MAX:
            raise OversizeError(
                f"message {number} announces {size} bytes, more than the {PAYLOAD_MAX} that are passed on"
            )
        return HEADER.size + size
