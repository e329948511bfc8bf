"""A proxy between a front-end and a back-end: it passes on, says what passes, and writes down region and rings.

It listens only while its back-end does: a front-end is refused where it would be without the proxy. (QEMU 7.2 does not
go on after a connection that is closed early: docs/peers.md.) So a connection to the back-end is made first, and kept
for the next front-end.
"""

from __future__ import annotations

import json
import os
import select
import socket
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from refimpl.backend.server import PATH_MAX, bound, listen
from refimpl.errors import InflightError, UsageError
from vhost_inflight.live.frames import Frame
from vhost_inflight.live.lane import Lane, LaneError
from vhost_inflight.live.watch import Watch
from vhost_inflight.live.words import name_of, told

__all__ = ["Proxy"]

Log = Callable[[str], None]
"""Takes one line about what happened."""

_RETRY: Final = 100  # milliseconds


class Proxy:
    """Serves one front-end after the other at ``front``, each with a connection of its own to ``back``.

    ``out`` is the folder for what is written down: when a request named ``dump_at`` is about to be passed on, when
    ``ask_for_dump`` was called, and when the back-end's side closes. ``status`` is a file that says where all is; with
    ``quiet`` no message is told of.
    """

    def __init__(
        self,
        front: Path,
        back: Path,
        log: Log,
        *,
        out: Path | None = None,
        dump_at: Sequence[str] = (),
        status: Path | None = None,
        quiet: bool = False,
    ) -> None:
        """Look whether it can listen. Raises InflightError as ``bound`` does, and for a path that is too long."""
        if len(os.fsencode(back)) > PATH_MAX:
            raise InflightError(f"socket {back}: longer than the {PATH_MAX} bytes that a socket's path may have")
        self.front, self.back = front, back
        self.log = log
        self.out, self.dump_at, self.status, self.quiet = out, dump_at, status, quiet
        self.watch = Watch()
        bound(front).close()  # it does not listen before the back-end is there, not for a moment
        front.unlink(missing_ok=True)
        self._listener: socket.socket | None = None
        self._sockets: dict[str, socket.socket] = {}
        self._lanes: list[Lane] = []
        self._dumps = 0
        self._waiting = False
        self._resting = False  # for a moment: who dies closes one socket after the other
        self._stopping = self._asked = False
        self._wake_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    # What a signal handler may call

    def stop(self) -> None:
        """Let ``serve`` return."""
        self._stopping = True
        os.eventfd_write(self._wake_fd, 1)

    def ask_for_dump(self) -> None:
        """Let region and rings be written down soon."""
        self._asked = True
        os.eventfd_write(self._wake_fd, 1)

    # The loop

    def serve(self) -> None:
        """Pass on until ``stop``. Raises InflightError when it cannot listen again."""
        while not self._stopping:
            if "back" not in self._sockets and not self._resting:
                self._seek()
            self._resting = False
            self._turn()
            if self._asked:
                self._asked = False
                self._dump("asked for by a signal")

    def close(self) -> None:
        """Close everything, and remove the socket and the status file. A second call does nothing."""
        self._disconnect()
        self.watch.close()
        self._stop_listening()
        if self._wake_fd >= 0:
            os.close(self._wake_fd)
            self._wake_fd = -1
            if self.status is not None:
                self.status.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        """Return this proxy, to be closed at the end of the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def _seek(self) -> None:
        """Connect to the back-end, and listen if it is there."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.setblocking(False)
        try:
            sock.connect(str(self.back))
        except OSError as error:
            sock.close()
            self._stop_listening()
            if not self._waiting:
                self._waiting = True
                self.log(f"waiting for a back-end at {self.back}: {error.strerror}")
            return
        self._waiting = False
        self._sockets["back"] = sock
        if self._listener is None:
            self._listener = listen(self.front)
        self.log(f"the back-end at {self.back} is there; listening at {self.front}")

    def _stop_listening(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None
            self.front.unlink(missing_ok=True)

    def _turn(self) -> None:
        """Wait for something, and do it."""
        events = self._poll()
        if self._wake_fd in events:
            os.eventfd_read(self._wake_fd)
        if self._lanes:
            self._pass_on(events)
        elif "back" in self._sockets and self._sockets["back"].fileno() in events:
            self._lose_back_end()  # it left before anybody came
        elif self._listener is not None and self._listener.fileno() in events:
            self._accept(self._listener)

    def _poll(self) -> dict[int, int]:
        """Wait, and return what there is, by file descriptor."""
        poll = select.poll()
        poll.register(self._wake_fd, select.POLLIN)
        wanted: dict[int, int] = {}
        for lane in self._lanes:
            sock, event = (lane.target, select.POLLOUT) if lane.full else (lane.source, select.POLLIN)
            wanted[sock.fileno()] = wanted.get(sock.fileno(), 0) | event
        if not self._lanes and "back" in self._sockets:
            wanted[self._sockets["back"].fileno()] = select.POLLRDHUP
            if self._listener is not None:
                wanted[self._listener.fileno()] = select.POLLIN
        for fd, event in wanted.items():
            poll.register(fd, event)
        return dict(poll.poll(None if "back" in self._sockets else _RETRY))

    def _accept(self, listener: socket.socket) -> None:
        """Take a front-end, and no other until it ends."""
        try:
            sock, _ = listener.accept()
        except OSError:
            return  # it went away again
        sock.setblocking(False)
        self._sockets["front"] = sock
        self.watch.close()
        self.log("a front-end connected")
        back = self._sockets["back"]
        self._lanes = [Lane(sock, back, self._passing_front), Lane(back, sock, self._passing_back)]
        self._write_status()

    def _pass_on(self, events: dict[int, int]) -> None:
        """Move what can be moved, and end the connection with the first side that ends it."""
        try:
            for lane in self._lanes:
                if lane.full and events.get(lane.target.fileno(), 0):
                    lane.write()
                elif not lane.full and events.get(lane.source.fileno(), 0):
                    lane.read()
        except LaneError as error:
            self.log(f"the connection is ended: {error}")
            self._disconnect()
            return
        gone = [lane.gone for lane in self._lanes if lane.gone is not None]
        if gone:
            self._end("the back-end" if self._sockets["back"] in gone or not self._alive() else "the front-end")

    def _alive(self) -> bool:
        """Return whether the back-end's side is open."""
        poll = select.poll()
        poll.register(self._sockets["back"], select.POLLRDHUP)
        return not poll.poll(0)

    def _end(self, who: str) -> None:
        """End the connection that one side has closed, when what it sent before has been passed on."""
        lane = self._lanes[who == "the back-end"]
        try:
            while lane.gone is None and not lane.full:
                lane.read()
        except LaneError as error:
            self.log(f"{who}'s last bytes are not passed on: {error}")
            lane.close()
        if lane.missing:
            self.log(f"{who} closed the connection in the middle of a message, {lane.missing} bytes missing")
        lane.flush()
        self.log(f"{who} closed the connection")
        if who == "the back-end":
            self._dump("the back-end's side closed")
            self._lose_back_end()
        else:
            self._disconnect()

    def _lose_back_end(self) -> None:
        """Listen no more until there is a back-end again."""
        self._stop_listening()
        self._disconnect()
        self._resting = True

    def _disconnect(self) -> None:
        """Close both sides; what was seen of memory, region and rings is kept until the next front-end comes."""
        for lane in self._lanes:
            lane.close()
        self._lanes = []
        for sock in self._sockets.values():
            sock.close()
        self._sockets = {}

    # What passes

    def _passing_front(self, frame: Frame, fds: Sequence[int]) -> None:
        self._passing("front-end", frame, fds)

    def _passing_back(self, frame: Frame, fds: Sequence[int]) -> None:
        self._passing("back-end", frame, fds)

    def _passing(self, who: str, frame: Frame, fds: Sequence[int]) -> None:
        """Say what passes, and learn from it; from a reply of the front-end or a request of the back-end, nothing."""
        if not self.quiet:
            self.log(f"{who}: {told(frame, len(fds))}")
        if frame.is_reply == (who == "back-end"):
            try:
                changed = self.watch.take(frame, fds)
            except OSError as error:
                self.log(f"a file descriptor cannot be kept, so this message is not known to `dump`: {error.strerror}")
                changed = True
            if changed:
                self._write_status()
        if who == "front-end" and name_of(frame.number) in self.dump_at:
            self._dump(f"before {name_of(frame.number)} is passed on")

    # What is written down

    def _write_status(self) -> None:
        """Write where everything is; a file that cannot be written ends no connection."""
        if self.status is not None:
            self._try_to_write(self.status, self.watch.seen.document)

    def _dump(self, why: str) -> None:
        """Write each ring whose place is known, with its region; say so, or why not."""
        if self.out is None:
            return
        self._dumps += 1
        self.log(f"dump {self._dumps:03}, {why}")
        seen = self.watch.seen
        try:
            seen.buffer(self.watch.opened)
        except InflightError as error:
            self.log(f"not written: {_said(error)}")
            return
        if not seen.rings:
            self.log("not written: nobody has said yet where a ring is")
        for queue in sorted(seen.rings):
            path = self.out / f"{self._dumps:03}-queue{queue}.json"
            if self._try_to_write(path, partial(seen.state, queue, self.watch.opened)):
                self.log(f"wrote queue {queue} and its region to {path}")

    def _try_to_write(self, path: Path, document: Callable[[], object]) -> bool:
        """Write a document so that whoever reads it finds all of it; return whether that went well, or say why not."""
        unfinished = path.with_name(f"{path.name}.part")
        try:
            unfinished.write_text(json.dumps(document(), indent=1) + "\n", encoding="ascii")
            unfinished.replace(path)
        except InflightError as error:
            self.log(f"not written: {_said(error)}")
        except OSError as error:
            unfinished.unlink(missing_ok=True)
            self.log(f"not written: {path}: {error.strerror}")
        else:
            return True
        return False


def _said(error: InflightError) -> str:
    """Return what an error says; of something that is not known yet there is nobody to blame."""
    return error.rule if isinstance(error, UsageError) else str(error)
