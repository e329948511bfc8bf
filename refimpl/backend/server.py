"""The serving loop of the back-end: the listening socket, one connection at a time, and the kicks of its rings.

A front-end or a driver that breaks a rule costs its connection, never the process.
"""

import contextlib
import errno
import logging
import os
import selectors
import socket
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from refimpl.backend.connection import Backend
from refimpl.backend.device import Device
from refimpl.backend.ring import Vring
from refimpl.errors import InflightError
from refimpl.names import counted
from refimpl.wire.codec import Request
from refimpl.wire.transport import Connection, Disconnected

Log = Callable[[str], None]
"""Takes one line about what happened."""

_LOG: Final = logging.getLogger(__name__)

PATH_MAX: Final = 107
"""Bytes of a unix socket's path on Linux, without the zero at its end."""

SILENCE: Final = 3.0
"""Seconds after which a front-end that has connected and said nothing is told of."""

_ACCEPT: Final = "accept"
_MESSAGE: Final = "message"
_STOP: Final = "stop"


def listen(path: Path) -> socket.socket:
    """Return a listening socket at ``path``. Raises InflightError as `bound` does."""
    sock = bound(path)
    with _saying_why(path, sock):
        sock.listen(1)
    return sock


def bound(path: Path) -> socket.socket:
    """Return a socket at ``path`` that does not listen yet; a socket file that a dead back-end left is replaced.

    Raises InflightError when another back-end listens there, when a file that is no socket is there, when the path is
    longer than PATH_MAX, and when the system refuses.
    """
    if len(os.fsencode(path)) > PATH_MAX:
        raise InflightError(f"socket {path}: longer than the {PATH_MAX} bytes that a socket's path may have")
    _remove_stale(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with _saying_why(path, sock):
        sock.setblocking(False)
        sock.bind(str(path))
    return sock


@contextlib.contextmanager
def _saying_why(path: Path, sock: socket.socket) -> Iterator[None]:
    """Close the socket and say why, when the system refuses it the path."""
    try:
        yield
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            raise InflightError(f"socket {path}: another back-end listens there") from error
        raise InflightError(f"socket {path}: {error.strerror or error}") from error


def _remove_stale(path: Path) -> None:
    """Remove a socket file that nobody listens at."""
    try:
        kind = path.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise InflightError(f"socket {path}: {error.strerror}") from error
    if not stat.S_ISSOCK(kind):
        raise InflightError(f"socket {path}: a file that is no socket is there")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        answer = probe.connect_ex(str(path))
    if answer in {0, errno.EAGAIN, errno.EINPROGRESS}:
        raise InflightError(f"socket {path}: another back-end listens there")
    if answer != errno.ECONNREFUSED:
        raise InflightError(f"socket {path}: {os.strerror(answer)}")
    path.unlink(missing_ok=True)


class Server:
    """Listens at a path and serves one front-end after the other with one device."""

    def __init__(self, path: Path, device: Device, log: Log) -> None:
        """Listen. Raises InflightError as ``listen`` does."""
        self.path = path
        self.device = device
        self.log = log
        self.backend: Backend | None = None
        self._stopping = False
        self._told_of_silence_at: float | None = None
        self._kicks: dict[int, Vring] = {}
        self._listener = listen(path)
        with contextlib.ExitStack() as stack:
            stack.callback(path.unlink)
            stack.enter_context(self._listener)
            self._stop_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            stack.pop_all()
        # not epoll: that goes on reporting a descriptor closed here as long as the front-end has the same file open
        self._selector = selectors.PollSelector()
        self._selector.register(self._listener, selectors.EVENT_READ, _ACCEPT)
        self._selector.register(self._stop_fd, selectors.EVENT_READ, _STOP)

    def stop(self) -> None:
        """Let ``serve`` return after its present turn; may be called by a signal handler or another thread."""
        self._stopping = True
        os.eventfd_write(self._stop_fd, 1)

    def serve(self) -> None:
        """Serve until ``stop``; then what is in flight is finished and supplied, and the connection closed."""
        while not self._stopping:
            for key, _ in self._selector.select(self._timeout()):
                self._event(key.data)
            self._tell_of_silence()
            self._guarded(self._turn)
        self._guarded(self._finish)
        self._disconnect()

    def close(self) -> None:
        """Close everything, and remove the socket file. A second call does nothing."""
        self._disconnect()
        if self._stop_fd >= 0:
            self._selector.close()
            self._listener.close()
            os.close(self._stop_fd)
            self._stop_fd = -1
            with contextlib.suppress(OSError):
                self.path.unlink()

    def __enter__(self) -> Self:
        """Return this server, to be closed at the end of the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()

    def _event(self, what: object) -> None:
        """Take one event: a connection, a message, or a kick."""
        if what == _ACCEPT:
            self._accept()
        elif what == _MESSAGE:
            self._guarded(self._message)
        elif isinstance(what, Vring) and what in self._kicks.values():
            self._guarded(what.woken)

    def _accept(self) -> None:
        """Take a connection, and no other until it ends."""
        try:
            sock, _ = self._listener.accept()
        except OSError:
            return  # it went away again
        connection = Connection(sock, replies=False)
        self.backend = Backend(connection, self.device)
        self._selector.unregister(self._listener)
        self._selector.register(connection, selectors.EVENT_READ, _MESSAGE)
        self._told_of_silence_at = time.monotonic() + SILENCE
        _LOG.info("a front-end connected")

    def _tell_of_silence(self) -> None:
        """Say what it is likely to be that a front-end connected and then said nothing; once."""
        if self._told_of_silence_at is not None and time.monotonic() >= self._told_of_silence_at:
            self._told_of_silence_at = None
            _LOG.warning(
                "the front-end has connected and said nothing for %.0f seconds. QEMU 7.2 does so while its machine is "
                "paused, until that goes on; and for ever, whoever serves, once a back-end died, or was refused by "
                "QEMU (its standard error says so), within the first messages of a connection: then QEMU has to be "
                "started again", SILENCE,
            )  # fmt: skip

    def _message(self) -> None:
        """Read what the front-end sent, and do it."""
        if self.backend is None:
            return
        received = self.backend.connection.poll()
        if received is not None:
            self._told_of_silence_at = None
            self.backend.handle(received)
            self._watch_kicks(self.backend)

    def _watch_kicks(self, backend: Backend) -> None:
        """Watch the kick file descriptors of the rings that run and are enabled, and no others."""
        running = (ring for ring in backend.rings if ring.queue is not None and ring.enabled)
        wanted = {ring.kick_fd: ring for ring in running if ring.kick_fd is not None}
        if wanted == self._kicks:
            return
        self._watch_no_kicks()
        for fd, ring in wanted.items():
            self._selector.register(fd, selectors.EVENT_READ, ring)
        self._kicks = wanted

    def _watch_no_kicks(self) -> None:
        """Watch no kick file descriptor; they may be closed already."""
        for fd in self._kicks:
            self._selector.unregister(fd)
        self._kicks = {}

    def _turn(self) -> None:
        """Let each ring do one turn of its main loop."""
        if self.backend is not None:
            for ring in self.backend.rings:
                ring.turn()
            self._watch_kicks(self.backend)  # one that its driver has stopped has no kick any more

    def _finish(self) -> None:
        """Finish what is in flight."""
        if self.backend is not None:
            self.backend.stop()

    def _timeout(self) -> float | None:
        """Return how long to wait for an event: not at all while a ring has work, else until one is due."""
        if self.backend is None:
            return None
        if any(ring.ready for ring in self.backend.rings):
            return 0.0
        deadlines = [ring.deadline for ring in self.backend.rings if ring.deadline is not None]
        waits = [max(0.0, deadline - self.device.clock()) for deadline in deadlines]
        if self._told_of_silence_at is not None:
            waits.append(max(0.0, self._told_of_silence_at - time.monotonic()))
        seconds = min(waits, default=None)
        if self.device.reins is None:
            return seconds
        if not any(ring.queue for ring in self.backend.rings):
            self.device.reins.say()
            return seconds
        return self.device.reins.rest(seconds)

    def _guarded(self, action: Callable[[], None]) -> None:
        """Do something for the connection; a broken rule is logged and ends it, as its orderly end does."""
        try:
            action()
        except Disconnected:
            self._say_why_it_left()
            self._disconnect()
        except InflightError as error:
            self.log(str(error))
            if self.backend is not None:
                self.backend.signal_errors()
            self._disconnect()

    def _say_why_it_left(self) -> None:
        """Log what an orderly end of the connection is likely to mean, where it would leave no word otherwise."""
        if self.backend is not None and self.backend.last == Request.GET_QUEUE_NUM:
            queues = self.device.disk.queues
            self.log(f"the front-end left when it was told of {counted(queues, 'queue')}: it may want more (--queues)")

    def _disconnect(self) -> None:
        """End the connection, if there is one, and listen for the next."""
        if self.backend is None:
            return
        if self.device.reins is not None:
            self.device.reins.say()
        self._watch_no_kicks()
        self._selector.unregister(self.backend.connection)
        self.backend.close()
        self.backend = None
        self._told_of_silence_at = None
        _LOG.info("the front-end is disconnected")
        self._selector.register(self._listener, selectors.EVENT_READ, _ACCEPT)
