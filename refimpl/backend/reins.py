"""The reins of a back-end that is steered: it reports each step that it takes, and goes on when it is told to.

What happens when then depends neither on time nor on who is quicker: whoever holds the other end of the socket pair
decides which process moves next, and can kill this one right after any step. A packet is lines of text: a word, and a
number where it has one. This end asks, and each question is answered by one order:

- a step's id and its choice: the step was just taken; at ``go`` the next one is; of a ring other than the first, its
  number comes before (``1:split.fetch.1``), and nothing but ``go`` is ordered there;
- ``turn``: the main loop is at its top; ``go`` is a turn of its own, ``listen`` lets it read what the front-end sent;
- ``rest``: there is nothing to do, 1: but something is due later. ``go`` says that a kick or a message has come,
  ``later`` that so much time has passed, ``look`` that it may look whether anything has come;
- ``next``: a batch is open, which one comes next? ``done``: what was ordered inside a batch is done;
- ``which``: of several requests any may be resubmitted next; an order's number says which.

``run`` and a number is ``go`` so many times in advance: each report that is not waited for is kept, and sent in one
packet with the one at which this process waits again. That is the last of them, or an earlier one: at ``rest``, at a
step of ``stops``, and where another process may have something to do since (`wait_next`).

Other orders (refimpl.backend.steered) are steps of a schedule, and ``free``: nothing is reported any more.
"""

import contextlib
import socket
import sys
import time
from collections.abc import Callable, Collection
from typing import NamedTuple

PACKET = 1 << 16
"""Bytes of a packet of reports at most."""

_ORDER = 256
_KEPT = 1000
"""Reports that are kept at most, so that they are a packet."""


class Order(NamedTuple):
    """What this process is told to do: a word or a step's id, and a number, None where it has none."""

    what: str
    choice: int | None


def packet(what: str, choice: int | None) -> bytes:
    """Write a message of either direction."""
    return (what if choice is None else f"{what} {choice}").encode()


def unpacked(data: bytes) -> Order:
    """Read a message of either direction."""
    what, _, choice = data.decode().partition(" ")
    return Order(what, int(choice) if choice else None)


_GO = Order("go", None)


class Reins:
    """This process's end. ``obey`` does what is ordered other than to go on; a ring that is steered sets it."""

    def __init__(self, fd: int, stops: Collection[str] = ()) -> None:
        """Own ``fd``, one of a pair of sockets that keep packets apart; ``stops`` are steps to wait at in any case."""
        self._socket = socket.socket(fileno=fd)
        self._stops = {"rest", *stops}
        self._ahead = 0
        self._kept: list[bytes] = []
        self._now = 0.0
        self._free = False
        self.obey: Callable[[Order], None] = lambda _order: None

    def ask(self, what: str, choice: int | None = None) -> Order:
        """Say where this process is, and wait for an order. Ends the process when nobody is there to give one."""
        if self._free:
            return _GO
        self._kept.append(packet(what, choice))
        if self._ahead and what not in self._stops:
            self._ahead -= 1
            return _GO
        self.say()
        try:
            order = unpacked(self._socket.recv(_ORDER))
        except OSError:
            order = Order("", None)
        if not order.what:
            sys.exit("back-end: who held the reins is gone")
        self._free = order.what == "free"
        self._ahead = min(order.choice or 1, _KEPT) - 1 if order.what == "run" else 0
        return _GO if order.what in ("free", "run") else order

    def say(self) -> None:
        """Send the reports that were kept; to be called before this process waits for anything else, or hangs up."""
        kept, self._kept = self._kept, []
        if kept:
            with contextlib.suppress(OSError):  # that nobody is there is noticed when an order is waited for
                self._socket.send(b"\n".join(kept))

    def wait_next(self) -> None:
        """Wait for an order at the next report: somebody else has something to do since this one."""
        self._ahead = 0

    def close(self) -> None:
        """Let go. A second call does nothing."""
        self._socket.close()

    def hook(self, step: str, choice: int | None) -> None:
        """Report a step, and do what is ordered until it is to go on."""
        order = self.ask(step, choice)
        while order.what != "go":
            self.obey(order)
            order = self.ask("done")

    def clock(self) -> float:
        """Return the time in seconds, which passes when it is told to."""
        return time.monotonic() if self._free else self._now

    def rest(self, seconds: float | None) -> float | None:
        """Ask how to rest when there is nothing to do before ``seconds`` have passed; None: before anything comes.

        Return how long to wait for a kick or a message.
        """
        what = self.ask("rest", int(seconds is not None)).what
        if what == "later" and seconds is not None:
            self._now += seconds
        if what == "look" or (what == "later" and seconds is not None):
            return 0.0
        return seconds if self._free else None
