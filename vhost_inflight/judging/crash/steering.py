"""Steering: the two processes of a crash test as whoever steers them sees them, each at a step, waiting for an order.

Nobody moves but the one that was told to. So a run depends on the orders alone, and a process dies right where it is.
"""

from __future__ import annotations

import contextlib
import fcntl
import select
import socket
import termios
from collections.abc import Callable, Iterable
from multiprocessing.connection import Connection
from typing import Any, Protocol

from refimpl.backend.reins import PACKET, Order, packet, unpacked
from vhost_inflight.judging.crash.bystander import signalled
from vhost_inflight.judging.crash.faults import CrashTestError, GaveUpError

__all__ = ["PATIENCE", "WORDS", "BackEndReins", "DriverReins", "Reins", "answers"]

WORDS = frozenset({"turn", "rest", "next", "done", "which"})
"""What a process says besides the steps that it took."""

PATIENCE = 60
"""Seconds in which a process has to come to its next step; time in which this process is stopped does not count."""


class Reins(Protocol):
    """One process: ``at`` is what it said last, and it waits."""

    at: Order

    def go(self, *order: Any) -> Order:
        """Give an order, "go" if there is none; return what the process says next. Raises CrashTestError if nothing."""

    def run(self, moves: int) -> list[Order]:
        """Let it make so many moves, or fewer where somebody else may have something to do; return what it said."""


def answers(poll: select.poll, who: str) -> list[int]:
    """Wait until one of some descriptors is ready, and return those. Raises CrashTestError when none is."""
    for _ in range(PATIENCE):
        if ready := [fd for fd, _ in poll.poll(1000)]:
            return ready
    raise CrashTestError(f"{who} does not answer within {PATIENCE} seconds")


class BackEndReins:
    """The back-end's (refimpl.backend.reins); ``theirs`` is what the process is started with.

    ``gone`` says why one does not answer that nobody killed: it always raises.
    """

    def __init__(self, gone: Callable[[], None]) -> None:
        """Make the pair of sockets."""
        self._ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._gone = gone
        self._poll = select.poll()
        self._poll.register(self._ours, select.POLLIN)
        self._connection: set[int] = set()
        self._more: set[int] = set()
        self._kicked: list[int] = []
        self._owed = False
        self.at = Order("", None)

    def watch(self, connection: int, *more: int) -> None:
        """Take something to read there, the end of a connection, for the end of the back-end; likewise ``more``."""
        self._connection, self._more = {connection}, set(more)
        for fd in (connection, *more):
            self._poll.register(fd, select.POLLIN)

    def _ready(self) -> set[int]:
        """Wait for it, and return what there is to read. One that has ended did so before all that it says since."""
        ready = set(answers(self._poll, "the back-end"))
        if self._more & ready:
            self._gone()
        return ready

    def hear(self) -> list[Order]:
        """Wait until it waits, and return what it said."""
        ready = self._ready()
        with contextlib.suppress(ConnectionError):  # it died before it had read all
            if self._ours.fileno() in ready and (data := self._ours.recv(PACKET)):
                said = [unpacked(line) for line in data.split(b"\n")]
                self.at, self._owed = said[-1], False
                return said
        self._gone()
        raise CrashTestError("the back-end let go of the reins")

    def tell(self, what: str, choice: int | None = None) -> None:
        """Give an order."""
        self._owed = True
        with contextlib.suppress(ConnectionError):  # that it is gone is heard
            self._ours.send(packet(what, choice))

    def go(self, *order: Any) -> Order:
        """Give an order; return what it says next."""
        self.tell(*(order or ("go",)))
        self.hear()
        return self.at

    def go_or_answer(self, order: str = "go") -> Order | None:
        """Give an order; return what it says next, None where something comes by the connection that is watched.

        What comes there comes first, as it waits once it has said something by the reins. What it says then is owed,
        and heard before another order is given.
        """
        if not self._owed:
            self.tell(order)
        return self.listen()

    def listen(self) -> Order | None:
        """Wait for either, without an order."""
        ready = self._ready()
        if self._connection & ready:
            return None
        if self._ours.fileno() not in ready:
            self._gone()
        self.hear()
        return self.at

    def can_move(self, kicks: Iterable[int]) -> bool:
        """Return whether it has something to do: it does not rest, or was kicked, or has not read every message."""
        self._kicked = [kick for kick in kicks if signalled(kick)] if self.at.what == "rest" else []
        return self.at.what != "rest" or bool(self._kicked) or self._unread()

    def _unread(self) -> bool:
        """Return whether there are messages that it has not read."""
        return any(fcntl.ioctl(fd, termios.TIOCOUTQ, bytes(4)) != bytes(4) for fd in self._connection)

    def settled(self) -> bool:
        """Wait until it says something here, or there is something on the connection; return whether it is the former.

        What it says here is not heard.
        """
        poll = select.poll()
        for fd in (self._ours.fileno(), *self._connection):
            poll.register(fd, select.POLLIN)
        return self._ours.fileno() in answers(poll, "the back-end")

    def run(self, moves: int) -> list[Order]:
        """Let it make so many moves, or fewer (refimpl.backend.reins); return what it said after each.

        One that rests and was kicked (`can_move` has seen it) is not made to wait for that: it looks. Raises
        GaveUpError where the kick is there still, unless messages were to be read, which may say where kicks come.
        """
        if not self._kicked:
            self.tell("run", moves)
            return self.hear()
        unread = self._unread()
        self.tell("look")
        said = self.hear()
        if not unread and all(signalled(kick) for kick in self._kicked):
            raise GaveUpError("the back-end rests, and does not heed a kick")
        return said

    def close(self) -> None:
        """Let go."""
        self._ours.close()
        self.theirs.close()


class DriverReins:
    """The driver's (vhost_inflight.judging.crash.steered_guest)."""

    def __init__(self, control: Connection) -> None:
        """Wait for its first word."""
        self._control = control
        self._poll = select.poll()
        self._poll.register(control, select.POLLIN)
        self._hear()

    def _hear(self) -> list[Order]:
        answers(self._poll, "the driver")
        try:
            said = [Order(*report) for report in self._control.recv()]
        except (EOFError, ConnectionError) as error:
            raise CrashTestError("the driver ended by itself") from error
        self.at = said[-1]
        return said

    def _tell(self, order: Any) -> None:
        with contextlib.suppress(ConnectionError):  # that it is gone is heard
            self._control.send(order)

    def go(self, *order: Any) -> Order:
        """Give an order; return what it says next."""
        self._tell(order if len(order) > 1 else order[0] if order else "go")
        self._hear()
        return self.at

    def run(self, moves: int) -> list[Order]:
        """Let it make so many moves, or fewer; return what it said after each."""
        self._tell(moves)
        return self._hear()
