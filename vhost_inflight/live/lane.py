"""One direction of a connection that is passed on: whole messages, each with its file descriptors, no byte changed.

One message at a time is kept: nothing is read before it has been taken. No read goes past the end of a message, so that
file descriptors stay with the one they came with.
"""

from __future__ import annotations

import array
import socket
from collections.abc import Callable, Sequence
from typing import Final

from refimpl.wire.transport import close_fds
from vhost_inflight.live.frames import Frame, Framer, OversizeError

__all__ = ["Lane", "LaneError"]

FDS_MAX: Final = 253
"""File descriptors that Linux takes with one message (SCM_MAX_FD)."""

_INT: Final = array.array("i").itemsize
_ANCILLARY: Final = socket.CMSG_SPACE(FDS_MAX * _INT)

Passing = Callable[[Frame, Sequence[int]], None]
"""Is told of each message, with its file descriptors, before it is passed on."""


class LaneError(Exception):
    """Something that cannot be passed on; the text says what."""


class Lane:
    """From ``source`` to ``target``; both stay the caller's, and do not block. ``gone`` is the one that has ended."""

    def __init__(self, source: socket.socket, target: socket.socket, passing: Passing) -> None:
        """Begin with nothing on its way."""
        self.source, self.target = source, target
        self.gone: socket.socket | None = None
        self._passing = passing
        self._framer = Framer()
        self._left = memoryview(b"")
        self._fds: list[int] = []

    @property
    def full(self) -> bool:
        """Whether a message waits to be taken by the target."""
        return bool(self._left)

    @property
    def missing(self) -> int:
        """How many bytes are missing to the end of a message of which a part is there; 0: none is begun."""
        return self._framer.needed if self._framer.buffer else 0

    def read(self) -> None:
        """Read what is there, to the end of one message at most, and pass that on.

        Raises LaneError for a message that is too long, and for file descriptors that could not be received.
        """
        while not self.full and self.gone is None:
            try:
                data, ancillary, flags, _ = self.source.recvmsg(
                    self._framer.needed, _ANCILLARY, socket.MSG_CMSG_CLOEXEC
                )
            except BlockingIOError:
                return
            except OSError:  # reset by who closed it with something unread
                data, ancillary, flags = b"", [], 0
            for level, kind, content in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    self._fds += array.array("i", content[: len(content) // _INT * _INT])
            if flags & socket.MSG_CTRUNC:
                raise LaneError("file descriptors came that could not be received: too many are open in this process")
            if not data:
                self.gone = self.source
            elif self._feed(data):
                return

    def write(self) -> None:
        """Let the target take what it takes now. A target that is gone ends the lane."""
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", self._fds))] if self._fds else []
        while self._left:
            try:
                taken = self.target.sendmsg([self._left], ancillary, socket.MSG_NOSIGNAL)
            except BlockingIOError:
                return
            except OSError:
                self.gone = self.target
                self.close()
                return
            self._left, ancillary = self._left[taken:], []
            self._drop_fds()

    def flush(self) -> None:
        """Pass on the beginning of a message that its sender left unfinished, as far as it is taken at once."""
        if not self.full and self._framer.buffer:
            self._left = memoryview(bytes(self._framer.buffer))
            self._framer.buffer.clear()
            self.write()

    def close(self) -> None:
        """Drop what is on its way, and what has come of a message."""
        self._left = memoryview(b"")
        self._framer.buffer.clear()
        self._drop_fds()

    def _feed(self, data: bytes) -> bool:
        """Take bytes, and pass a message on that they complete; return whether they did."""
        try:
            frame = self._framer.feed(data)
        except OversizeError as error:
            raise LaneError(str(error)) from error
        if frame is None:
            return False
        self._passing(frame, self._fds)
        self._left = memoryview(frame.content)
        self.write()
        return True

    def _drop_fds(self) -> None:
        fds, self._fds = self._fds, []
        close_fds(fds)
