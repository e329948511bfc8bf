"""A vhost-user connection on a unix socket: messages with their file descriptors.

File descriptors travel with a message's first byte. Every one that arrives is owned here until it is taken, and closed
whatever goes wrong. No read goes past the end of a message, so that descriptors are never taken for another one's.
"""

import array
import contextlib
import logging
import os
import select
import socket
import time
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Final, Self

from refimpl.errors import InflightError
from refimpl.wire.codec import Message, Parser, encode, expected_fds
from refimpl.wire.payload import MAX_REGIONS

_INT: Final = array.array("i").itemsize
_FDS_MAX: Final = MAX_REGIONS + 1  # one more than is ever allowed, so that too many are noticed
_LOG: Final = logging.getLogger(__name__)
_ANCILLARY: Final = socket.CMSG_SPACE(_FDS_MAX * _INT)


class Disconnected(InflightError):  # noqa: N818  # an end, not a fault
    """The other side closed the connection between two messages; no rule is broken by that.

    Raised by ``Connection.poll``, ``Connection.receive`` and ``Connection.send``.
    """


def close_fds(fds: Iterable[int]) -> None:
    """Close each of ``fds``, whatever the others do."""
    for fd in fds:
        with contextlib.suppress(OSError):
            os.close(fd)


class Received:
    """A message that arrived, and the file descriptors that came with it, which it owns until they are taken."""

    def __init__(self, message: Message, fds: Sequence[int]) -> None:
        """Own ``fds``."""
        self.message = message
        self.fds = list(fds)

    def take_fd(self) -> int:
        """Hand over the first file descriptor that is left; the caller has to close it."""
        return self.fds.pop(0)

    def close(self) -> None:
        """Close the file descriptors that were not taken."""
        fds, self.fds = self.fds, []
        close_fds(fds)

    def __enter__(self) -> Self:
        """Return this, to be closed at the end of the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close what was not taken."""
        self.close()


class Connection:
    """One end of a connection. ``replies`` says that the other end is the back-end, which sends nothing but replies.

    ``timeout`` is how many seconds ``receive`` and ``send`` wait for the other side to go on; None is for ever.
    """

    def __init__(self, sock: socket.socket, *, replies: bool, timeout: float | None = 10.0) -> None:
        """Own ``sock``, which becomes non-blocking."""
        sock.setblocking(False)
        self.timeout = timeout
        self._sock = sock
        self._parser = Parser(replies=replies)
        self._fds: list[int] = []

    @classmethod
    def connect(cls, path: str, timeout: float | None = 10.0) -> Self:
        """Connect a front-end to the back-end that listens at ``path``. Raises OSError when none does."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(timeout)
            sock.connect(path)
            return cls(sock, replies=True, timeout=timeout)
        except BaseException:
            sock.close()
            raise

    def fileno(self) -> int:
        """Return the socket's descriptor, for a selector; -1 once closed."""
        return self._sock.fileno()

    def poll(self) -> Received | None:
        """Read what is there, without waiting, to the end of one message at most; return the message if complete.

        Raises FrontEndError or BackEndError (the other side's) for a message that breaks a rule, for file descriptors
        that are too many, missing, or not with the first byte, and when the other side goes away in the middle of a
        message; Disconnected when it does so between two. All file descriptors received are closed then.
        """
        try:
            return self._read()
        except BaseException:
            self._drop_fds()
            raise

    def receive(self) -> Received:
        """Wait for one message, and return it. Raises as ``poll`` does, and the other side's error on a timeout."""
        deadline = None if self.timeout is None else time.monotonic() + self.timeout
        while True:
            received = self.poll()
            if received is not None:
                return received
            self._wait(select.POLLIN, deadline, f"sent no more of {self._parser.name}")

    def send(self, message: Message, fds: Sequence[int] = ()) -> None:
        """Send ``message``, with copies of ``fds`` at its first byte.

        Raises Disconnected when the other side is gone, its error when it takes nothing for too long, and UsageError
        for a payload that the message cannot have.
        """
        data = memoryview(encode(message))
        if _LOG.isEnabledFor(logging.DEBUG):
            _LOG.debug("sent %s, %d file descriptors: %s", message, len(fds), data.hex(" "))
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        deadline = None if self.timeout is None else time.monotonic() + self.timeout
        while data:
            try:
                data = data[self._sock.sendmsg([data], ancillary, socket.MSG_NOSIGNAL) :]
                ancillary = []
            except BlockingIOError:
                self._wait(select.POLLOUT, deadline, f"did not take {message}")
            except OSError as error:
                raise Disconnected(f"the connection was closed before {message} was sent: {error}") from error

    def close(self) -> None:
        """Close the socket and every file descriptor that was received and belongs to no message yet."""
        self._drop_fds()
        self._sock.close()

    def __enter__(self) -> Self:
        """Return this connection, to be closed at the end of the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()

    def _drop_fds(self) -> None:
        """Close the file descriptors of a message that will not be completed."""
        fds, self._fds = self._fds, []
        close_fds(fds)

    def _wait(self, event: int, deadline: float | None, failure: str) -> None:
        """Wait until the socket can go on. Raises the other side's error when ``deadline`` passes."""
        poll = select.poll()
        poll.register(self._sock, event)
        left = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
        if not poll.poll(left):
            raise self._parser.error(f"{failure} for {self.timeout} seconds")

    def _read(self) -> Received | None:
        """Read piece by piece until a message is complete or nothing is there."""
        while True:
            first = self._parser.buffered == 0
            try:
                data, ancillary, flags, _ = self._sock.recvmsg(
                    self._parser.needed,
                    _ANCILLARY,
                    socket.MSG_CMSG_CLOEXEC,
                )
            except BlockingIOError:
                return None
            except ConnectionResetError:
                data, ancillary, flags = b"", [], 0
            if _LOG.isEnabledFor(logging.DEBUG):
                _LOG.debug("received %s", data.hex(" ") or "the end")
            self._take_ancillary(ancillary, flags, first=first)
            if not data:
                self._end()
            messages = self._parser.feed(data)
            if messages:
                return self._complete(messages[0])

    def _take_ancillary(self, ancillary: Iterable[tuple[int, int, bytes]], flags: int, *, first: bool) -> None:
        """Own the file descriptors of one read, then check that they may be there."""
        arrived = array.array("i")
        for level, kind, data in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                arrived.frombytes(data[: len(data) // _INT * _INT])
        self._fds += arrived
        if flags & socket.MSG_CTRUNC:
            raise self._parser.error(f"more than {MAX_REGIONS} file descriptors came with {self._parser.name}")
        if arrived and not first:
            raise self._parser.error(f"file descriptors came after the first byte of {self._parser.name}")

    def _complete(self, message: Message) -> Received:
        """Join a message with its file descriptors. Raises the other side's error when their number is wrong."""
        low, high = expected_fds(message)
        if not low <= len(self._fds) <= high:
            wanted = f"{low}" if low == high else f"{low} to {high}"
            raise self._parser.error(f"{message} came with {len(self._fds)} file descriptors, not {wanted}")
        fds, self._fds = self._fds, []
        return Received(message, fds)

    def _end(self) -> None:
        """Raise what the end of the stream means."""
        if self._parser.buffered:
            missing = self._parser.needed
            raise self._parser.error(f"disconnected in the middle of {self._parser.name}, {missing} bytes missing")
        raise Disconnected(f"{self._parser.error.culprit} closed the connection")
