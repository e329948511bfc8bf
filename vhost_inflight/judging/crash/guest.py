"""The driver of the crash test, a process of its own: it keeps a ring full, and records what it did and what it saw.

It is what a guest is to a back-end: it goes on while the back-end is dead, sleeps until it is notified, and uses a head
(on a packed ring: a buffer id) again only after it has seen it come back. Every request writes one sector, that of its
head, with data that no other request has; when it comes back, the sector has to hold it. On a packed ring a request is
a chain of any length that there is room for, or an indirect table.
"""

from __future__ import annotations

import contextlib
import os
import random
import select
from dataclasses import dataclass, field
from itertools import pairwise
from multiprocessing.connection import Connection
from pathlib import Path

from refimpl.backend.disk import HEADER, OK, WRITE
from refimpl.errors import InflightError
from refimpl.frontend.connection import drain
from refimpl.frontend.memory import DATA_AT, STATUS_AT, GuestRam
from refimpl.packed.driver import PackedDriver
from refimpl.split.chain import Buffer
from refimpl.split.driver import SplitDriver

__all__ = ["SECTOR", "CrashGuest", "Record"]

SECTOR = 512
"""Bytes of a sector, and of the data of each request."""

_NO_STATUS = 0xFF
_HEADER_AT = DATA_AT - HEADER.size
_LOOK_AGAIN = 2  # milliseconds after which a driver that never sleeps looks again
_PIECES = 64  # of a chain at most, however large the ring is


@dataclass
class Record:
    """What the driver did since it was asked last.

    ``made`` are heads in the order in which their requests were made available, ``lengths`` how many elements of the
    ring each took (of a split ring, one), ``used`` heads in the order in which they were seen as used; ``next_used`` is
    the next element that it will read (split: 16 bits, packed: a slot, in a lap with wrap counter ``used_wrap``).
    ``errors``: property and reason of what it found wrong by itself.
    """

    made: list[int] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    used: list[int] = field(default_factory=list)
    next_used: int = 0
    used_wrap: int = 1
    pending: int = 0
    errors: list[tuple[str, str]] = field(default_factory=list)


class CrashGuest:
    """The driver of the first queue of ``ram``.

    ``fds`` are the queue's eventfds, kick and call; orders come over ``control``. Without a ``seed`` it makes what it
    is ordered to and nothing else, and never sleeps. By index, the driver of a packed ring says of which used element
    it wants to be notified (gap event-kind).
    """

    def __init__(
        self,
        ram: GuestRam,
        fds: tuple[int, int],
        image: Path,
        control: Connection,
        seed: int | None,
        *,
        by_index: bool,
    ) -> None:
        """Begin with nothing outstanding."""
        kick, call = fds
        self.ram, self.control, self.call = ram, control, call
        self.dice = random.Random(seed)  # noqa: S311  # which heads are used next, no secret
        self.driver = _driver_of(ram, kick, call, by_index=by_index)
        self.disk = os.open(image, os.O_RDONLY | os.O_CLOEXEC)
        self.number = 0
        self.script: list[tuple[int, int]] | None = [] if seed is None else None
        self.pending: dict[int, bytes] = {}
        self.making = True
        self.broken = False
        self.record = Record()

    def run(self) -> None:
        """Make, use and sleep until the order ``stop``, or until the other end of ``control`` is gone.

        Orders: ``record`` is answered by a Record, and the driver rests; ``go`` and ``drain`` let it go on, with and
        without making new requests; a list of (head, length) goes on and makes these.
        """
        with contextlib.suppress(EOFError, BrokenPipeError, KeyboardInterrupt):
            self._loop()

    def _loop(self) -> None:
        while True:
            if not self.driver.asleep and not self.broken:
                self._use()
                if self.making and not self.broken:
                    self._make()
                if self.script is None:  # one that follows a script looks at the ring all the time
                    self.driver.try_sleep()
            if not self._wait():
                return

    def _wait(self) -> bool:
        """Wait for a notification (if asleep) or an order; return False when told to stop."""
        poll = select.poll()
        poll.register(self.control, select.POLLIN)
        if self.driver.asleep:
            poll.register(self.call, select.POLLIN)
        awake = 0 if self.script is None else _LOOK_AGAIN
        ready = {fd for fd, _ in poll.poll(None if self.driver.asleep or self.broken else awake)}
        if self.call in ready:
            self.driver.wake()
            if isinstance(self.driver, PackedDriver):
                self.driver.wake_quiet()
        return self.control.fileno() not in ready or self._obey()

    def _obey(self) -> bool:
        """Hand the record over and rest until told to go on; return False when told to stop."""
        while True:
            order = self.control.recv()
            if order == "record":
                self.record.next_used, self.record.pending = self.driver.next_used, len(self.pending)
                if isinstance(self.driver, PackedDriver):
                    self.record.used_wrap = self.driver.used_wrap
                self.control.send(self.record)
                self.record = Record()
                continue
            if isinstance(order, list):
                self.script = [*(self.script or ()), *order]
            self.making = order != "drain"
            return bool(order != "stop")

    def _make(self) -> None:
        """Make requests of most of the free heads, in any order, as long as there is room; or those of the script."""
        if self.script is not None:
            self._follow(self.script)
            return
        free = list(self.driver.free)
        self.dice.shuffle(free)
        spared = self.dice.choice((0, 0, 1)) if len(free) < self.ram.queue_size else 0
        for head in free[spared:]:
            length = self._length()
            if length:
                self._make_one(head, length)

    def _follow(self, script: list[tuple[int, int]]) -> None:
        """Make what the script has next, as far as heads are free and the ring has room."""
        while script and script[0][0] in self.driver.free:
            if isinstance(self.driver, PackedDriver) and script[0][1] > self.driver.room:
                return
            self._make_one(*script.pop(0))

    def _length(self) -> int:
        """Choose how many elements of the ring the next request takes; 0: there is no room."""
        if isinstance(self.driver, PackedDriver):
            return self.dice.randint(1, min(self.driver.room, _PIECES)) if self.driver.room else 0
        return 1

    def _make_one(self, head: int, length: int) -> None:
        """Make a request that writes the head's sector: an indirect table, or a chain of ``length`` buffers."""
        data = self.number.to_bytes(8, "big") * (SECTOR // 8)
        self.number += 1
        address, slot = self.ram.slot(0, head)
        slot[_HEADER_AT:DATA_AT] = HEADER.pack(WRITE, 0, head)
        slot[STATUS_AT] = _NO_STATUS
        slot[DATA_AT : DATA_AT + SECTOR] = data
        self.pending[head] = data
        self.record.made.append(head)
        self.record.lengths.append(length)
        # a table has 2: a chain must not be longer than the ring, and this one fits into the smallest
        out = _cut(address + _HEADER_AT, HEADER.size + SECTOR, max(length - 1, 1))
        self.driver.make([*out, Buffer(address + STATUS_AT, 1, writable=True)], head, indirect=length == 1)

    def _use(self) -> None:
        """Use what came back, and compare what it should have done."""
        while self.driver.used_waiting:
            try:
                head, length = self.driver.use()
            except InflightError as error:
                self.record.errors.append(("exactly-once", str(error)))
                self.broken = True
                return
            self.record.used.append(head)
            data = self.pending.pop(head)
            _, slot = self.ram.slot(0, head)
            if slot[STATUS_AT] != OK or length != 1:
                self._wrong(f"head {head} came back with status {slot[STATUS_AT]}, length {length}")
            if os.pread(self.disk, SECTOR, head * SECTOR) != data:
                self._wrong(f"head {head} came back, but its sector does not hold what it wrote")

    def _wrong(self, reason: str) -> None:
        self.record.errors.append(("intact", reason))


def _driver_of(ram: GuestRam, kick: int, call: int, *, by_index: bool) -> SplitDriver | PackedDriver:
    """Return the driver of the first queue; of a packed one, by_index says how it asks to be notified."""

    def wake_device() -> None:
        os.eventfd_write(kick, 1)

    def take_call() -> None:
        drain(call)

    if ram.packed:
        ring = ram.packed_rings[0]
        return PackedDriver(
            ring,
            kick=wake_device,
            call_taken=take_call,
            event_index=by_index,
            tables=ram.tables(0),
            start=ram.start,
        )
    return SplitDriver(ram.rings[0], kick=wake_device, call_taken=take_call, tables=ram.tables(0))


def _cut(address: int, length: int, pieces: int) -> list[Buffer]:
    """Cut what the device reads into buffers, none of them empty."""
    ends = [length * n // pieces for n in range(pieces + 1)]
    return [Buffer(address + start, end - start) for start, end in pairwise(ends)]
