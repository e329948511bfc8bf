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
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from multiprocessing.connection import Connection
from pathlib import Path

from refimpl.backend.blk import HEADER, WRITE
from refimpl.backend.disk import OK
from refimpl.errors import InflightError
from refimpl.frontend.connection import drain
from refimpl.frontend.memory import DATA_AT, STATUS_AT, GuestRam
from refimpl.packed.driver import PackedDriver
from refimpl.split.chain import Buffer
from refimpl.split.driver import SplitDriver

__all__ = ["MADE", "SECTOR", "Client", "CrashGuest", "Place", "Record"]

SECTOR = 512
"""Bytes of a sector, and of the data of each request."""

MADE = frozenset({"driver.make.3", "driver.make.head"})
"""The steps that make a request available."""

_NO_STATUS = 0xFF
_HEADER_AT = DATA_AT - HEADER.size
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


@dataclass(frozen=True, slots=True)
class Place:
    """Where a driver is: the guest's memory, and which queue is its own, with the eventfds of that."""

    ram: GuestRam
    kick: int
    call: int
    queue: int = 0


class Client:
    """The driver of a queue at the first of ``places``; told to ``move``, it goes on at the next one.

    ``seed`` says what it makes. By index, the driver of a packed ring says of which used element it wants to be
    notified (gap event-kind). Each queue has sectors of its own.
    """

    def __init__(self, places: Sequence[Place], image: Path, seed: int, *, by_index: bool) -> None:
        """Begin with nothing outstanding."""
        self.places = list(places)
        self.queue = self.places[0].queue
        self.dice = random.Random(seed)  # noqa: S311  # which heads are used next, no secret
        self.driver = self._driver(by_index=by_index)
        self.disk = os.open(image, os.O_RDONLY | os.O_CLOEXEC)
        self.number = 0
        self.pending: dict[int, bytes] = {}
        self.making = True
        self.broken = False
        self.record = Record()
        self._described = (0, 0)

    @property
    def ram(self) -> GuestRam:
        """The memory that the driver is in."""
        return self.places[0].ram

    def move(self) -> None:
        """Go on in the memory of the next place, which is a copy, with its eventfds; what the driver knows it keeps."""
        self.places.append(self.places.pop(0))
        driver = self.driver
        if isinstance(driver, PackedDriver):
            driver.ring = self.ram.packed_rings[self.queue]
        else:
            driver.ring = self.ram.rings[self.queue]
        driver.tables = self.ram.tables(self.queue)

    def pause(self, step: str, choice: int | None = None) -> None:
        """Do nothing; see SteeredGuest."""

    def turn(self) -> None:
        """Use what came back, make requests, and ask to be notified, unless asleep."""
        if not self.driver.asleep and not self.broken:
            self._use()
            if self.making and not self.broken:
                self._make()
            self.driver.try_sleep()

    def wake(self) -> None:
        """Take the notification, and sleep no longer."""
        self.driver.wake()
        if isinstance(self.driver, PackedDriver):
            self.driver.wake_quiet()

    def taken(self) -> Record:
        """Return the record, and begin a new one."""
        taken, self.record = self.record, Record()
        taken.next_used, taken.pending = self.driver.next_used, len(self.pending)
        if isinstance(self.driver, PackedDriver):
            taken.used_wrap = self.driver.used_wrap
        return taken

    def _make(self) -> None:
        """Make requests of most of the free heads, in any order, as long as there is room; of all, of one at times.

        One alone is what a back-end that waits for more, or for another one, is not kicked for.
        """
        free = list(self.driver.free)
        self.dice.shuffle(free)
        spared = self.dice.choice((0, 0, 1) if len(free) < self.ram.queue_size else (0, 0, 0, len(free) - 1))
        for head in free[spared:]:
            length = self._length()
            if length:
                self.driver.make(*self.described(head, length), indirect=length == 1)

    def _length(self) -> int:
        """Choose how many elements of the ring the next request takes; 0: there is no room."""
        if isinstance(self.driver, PackedDriver):
            return self.dice.randint(1, min(self.driver.room, _PIECES)) if self.driver.room else 0
        return 1

    def described(self, head: int, length: int) -> tuple[list[Buffer], int]:
        """Write what a request has, and return its buffers and the head: it writes the head's sector.

        It is an indirect table where its length is 1, else (packed) a chain of so many buffers.
        """
        data = self.number.to_bytes(8, "big") * (SECTOR // 8)
        self.number += 1
        address, slot = self.ram.slot(self.queue, head)
        slot[_HEADER_AT:DATA_AT] = HEADER.pack(WRITE, 0, self._sector(head))
        slot[STATUS_AT] = _NO_STATUS
        slot[DATA_AT : DATA_AT + SECTOR] = data
        self.pending[head] = data
        self._described = head, length
        # a table has 2: a chain must not be longer than the ring, and this one fits into the smallest
        out = _cut(address + _HEADER_AT, HEADER.size + SECTOR, max(length - 1, 1))
        return [*out, Buffer(address + STATUS_AT, 1, writable=True)], head

    def _sector(self, head: int) -> int:
        """Return the sector that belongs to a head."""
        return self.queue * self.ram.queue_size + head

    def _reported(self, step: str, choice: int | None) -> None:
        """Take the report of a step of the driver, which has been made."""
        if step in MADE:
            head, length = self._described
            self.record.made.append(head)
            self.record.lengths.append(length)
        if step != "driver.use":  # what came back is looked at first
            self.pause(step, choice)

    def _use(self) -> None:
        """Use everything that came back."""
        while self.driver.used_waiting and not self.broken:
            self.use_one()

    def use_one(self) -> None:
        """Use what came back first, and compare what it should have done."""
        try:
            head, length = self.driver.use()
        except InflightError as error:
            self.record.errors.append(("exactly-once", str(error)))
            self.broken = True
            return
        self.record.used.append(head)
        data = self.pending.pop(head)
        _, slot = self.ram.slot(self.queue, head)
        if slot[STATUS_AT] != OK or length != 1:
            self._wrong(f"head {head} came back with status {slot[STATUS_AT]}, length {length}")
        if os.pread(self.disk, SECTOR, self._sector(head) * SECTOR) != data:
            self._wrong(f"head {head} came back, but its sector does not hold what it wrote")
        self.pause("driver.use")

    def _wrong(self, reason: str) -> None:
        self.record.errors.append(("intact", reason))

    def _driver(self, *, by_index: bool) -> SplitDriver | PackedDriver:
        """Return the driver of the queue; of a packed one, by_index says how it asks to be notified."""

        def kick() -> None:
            os.eventfd_write(self.places[0].kick, 1)

        def take_call() -> None:
            drain(self.places[0].call)

        ram, tables = self.ram, self.ram.tables(self.queue)
        if ram.packed:
            return PackedDriver(
                ram.packed_rings[self.queue],
                self._reported,
                kick=kick,
                call_taken=take_call,
                event_index=by_index,
                tables=tables,
                start=ram.start,
            )
        return SplitDriver(ram.rings[self.queue], self._reported, kick=kick, call_taken=take_call, tables=tables)


class CrashGuest(Client):
    """One that is a process; orders come over ``control``."""

    def __init__(self, places: Sequence[Place], image: Path, control: Connection, seed: int, *, by_index: bool) -> None:
        """Begin with nothing outstanding."""
        self.control = control
        super().__init__(places, image, seed, by_index=by_index)

    def run(self) -> None:
        """Make, use and sleep until the order ``stop``, or until the other end of ``control`` is gone.

        Orders: ``record`` is answered by a Record, and the driver rests; ``go`` and ``drain`` let it go on, with and
        without making new requests.
        """
        with contextlib.suppress(EOFError, ConnectionError):
            self.loop()

    def loop(self) -> None:
        """Use, make and sleep, until told to stop."""
        while True:
            self.turn()
            if not self.wait():
                return

    def wait(self) -> bool:
        """Wait for a notification (if asleep) or an order; return False when told to stop."""
        poll = select.poll()
        poll.register(self.control, select.POLLIN)
        if self.driver.asleep:
            poll.register(self.places[0].call, select.POLLIN)
        ready = {fd for fd, _ in poll.poll(None if self.driver.asleep or self.broken else 0)}
        if self.places[0].call in ready:
            self.wake()
        return self.control.fileno() not in ready or self._obey()

    def _obey(self) -> bool:
        """Hand the record over and rest until told to go on; return False when told to stop."""
        while True:
            order = self.control.recv()
            if order == "record":
                self.hand_over()
                continue
            self.making = order != "drain"
            return bool(order != "stop")

    def hand_over(self) -> None:
        """Hand the record over, and begin a new one."""
        self.control.send(self.taken())


def _cut(address: int, length: int, pieces: int) -> list[Buffer]:
    """Cut what the device reads into buffers, none of them empty."""
    ends = [length * n // pieces for n in range(pieces + 1)]
    return [Buffer(address + start, end - start) for start, end in pairwise(ends)]
