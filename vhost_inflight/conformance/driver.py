"""The driver and its disk: requests that are known by number, what came back of them, and what is on the disk then.

Each write has a sector of its own, and data that says which request it is. Once a request is used its buffer holds
other bytes, *poison*: should the device get the request once more, they are on the disk, or gone from the buffer.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from refimpl.backend.blk import FLUSH, HEADER, READ, WRITE
from refimpl.backend.disk import OK
from refimpl.errors import BackEndError
from refimpl.frontend.connection import FrontEnd, drain
from refimpl.frontend.memory import DATA_AT, HEADER_BYTES, STATUS_AT, GuestRam
from refimpl.memory import store
from refimpl.packed.driver import PackedDriver
from refimpl.packed.ring import is_used
from refimpl.split.chain import Buffer
from refimpl.split.driver import SplitDriver
from refimpl.wire.features import BLK_FLUSH, INDIRECT_DESC
from vhost_inflight.conformance.load import Ask, Load

__all__ = ["SECTOR", "Client", "Disk", "Request", "next_place"]

SECTOR: Final = 512
_SECTORS: Final = 256
_KINDS: Final = {"write": WRITE, "read": READ, "flush": FLUSH}
_NO_STATUS: Final = 0xFF
_MARK: Final = struct.Struct("<8sII")


def content(what: bytes, number: int) -> bytes:
    """Return a sector that says what it is, and of which request or sector."""
    return _MARK.pack(what.ljust(8, b"."), number, SECTOR) * (SECTOR // _MARK.size)


class Disk:
    """The image file: each sector says its number, until a request writes there."""

    def __init__(self, path: Path) -> None:
        """Make it anew."""
        self.path = path
        path.write_bytes(b"".join(content(b"initial", sector) for sector in range(_SECTORS)))

    def sector(self, number: int) -> bytes:
        """Return what is in a sector."""
        with self.path.open("rb") as image:
            return os.pread(image.fileno(), SECTOR, number * SECTOR)

    def changed(self) -> Iterator[int]:
        """Give the numbers of the sectors that something was written to."""
        image = self.path.read_bytes()
        for number in range(_SECTORS):
            if image[number * SECTOR : (number + 1) * SECTOR] != content(b"initial", number):
                yield number


@dataclass(eq=False, slots=True)
class Request:
    """One request: its number in the order of being made available, and what became of it.

    ``head`` is its head, on a packed ring its buffer id; ``position`` the index, or slot and wrap counter, at which it
    was made available; ``chain`` what the ring says of it. ``gone``: it was used, and its head belongs to another one.
    ``looked``: what came back was judged.
    """

    number: int
    ask: Ask
    head: int
    sector: int
    position: tuple[int, ...]
    chain: tuple[Buffer, ...]
    indirect: bool
    used: bool = False
    gone: bool = False
    looked: bool = False

    def __str__(self) -> str:
        """Say which it is."""
        where = f" of queue {self.ask.queue}" if self.ask.queue else ""
        return f"request {self.number} ({self.ask.kind}, head {self.head}{where})"


class Client:
    """The drivers of all queues, and all requests so far, in the order in which they were made.

    ``in_order``: the device finishes requests in the order in which it is given them, so that what comes back tells in
    which order they were resubmitted, too.
    """

    def __init__(self, ram: GuestRam, front_end: FrontEnd, load: Load, *, in_order: bool = False) -> None:
        """Begin with rings on which nothing is outstanding."""
        self.ram, self.front_end, self.load, self.in_order = ram, front_end, load, in_order
        self.requests: list[Request] = []
        self.made: list[list[list[Request]]] = [[]]
        """What was made available at once, by life of the back-end; between two lives is the time without one."""
        self.wrong: list[tuple[str, str]] = []
        self._at: dict[tuple[int, int], Request] = {}
        self.drivers: list[SplitDriver | PackedDriver] = []

    def begin(self) -> None:
        """Make the drivers, once it is known what was negotiated."""
        indexed = self.front_end.event_index
        for queue, (kick, call) in enumerate(zip(self.front_end.kicks, self.front_end.calls, strict=True)):
            tables = self.ram.tables(queue)
            tell, told = (lambda fd=kick: os.eventfd_write(fd, 1)), (lambda fd=call: drain(fd))
            if self.ram.packed:
                ring = self.ram.packed_rings[queue]
                start = self.ram.start
                self.drivers.append(
                    PackedDriver(ring, kick=tell, call_taken=told, event_index=indexed, tables=tables, start=start)
                )
            else:
                self.drivers.append(
                    SplitDriver(self.ram.rings[queue], kick=tell, call_taken=told, event_index=indexed, tables=tables)
                )

    # Making requests

    def make(self, asked: Sequence[Ask]) -> None:
        """Make requests available as far as there is room, ask to be notified of the last, and kick where wanted."""
        begin = len(self.requests)
        for ask in asked:
            self._make(ask)
        self.made[-1].append(self.requests[begin:])
        self.arm()
        for queue, driver in enumerate(self.drivers):
            if any(ask.queue == queue for ask in asked):
                driver.kick_if_wanted()

    def _make(self, ask: Ask) -> None:
        driver = self.drivers[ask.queue]
        if ask.kind == "flush" and not self.front_end.features & BLK_FLUSH:
            ask = replace(ask, kind="write")
        indirect = ask.indirect and bool(self.front_end.features & INDIRECT_DESC)
        needed = 1 if indirect else 2 if ask.kind == "flush" else 3
        room = driver.room if isinstance(driver, PackedDriver) else len(driver.free)
        if room < needed or not driver.free:
            return
        head, number = driver.free[0], len(self.requests)
        sector = 0 if ask.kind == "flush" else number % _SECTORS
        size = 0 if ask.kind == "flush" else SECTOR
        address, slot = self.ram.slot(ask.queue, head)
        slot[:HEADER_BYTES] = HEADER.pack(_KINDS[ask.kind], 0, sector)
        slot[STATUS_AT] = _NO_STATUS
        slot[DATA_AT : DATA_AT + size] = content(b"written" if ask.kind == "write" else b"room", number)[:size]
        data = [Buffer(address + DATA_AT, size, ask.kind == "read")] if size else []
        chain = (Buffer(address, HEADER_BYTES), *data, Buffer(address + STATUS_AT, 1, writable=True))
        request = Request(number, ask, head, sector, next_place(driver), chain, indirect)
        before = self._at.get((ask.queue, head))
        if before is not None:
            before.gone = True
        self.requests.append(request)
        self._at[ask.queue, head] = request
        for _ in driver.making(chain, head, indirect=indirect):
            pass

    def arm(self) -> None:
        """Ask to be notified of the last of what is outstanding; without event indexes, of everything."""
        for driver in self.drivers:
            if isinstance(driver, SplitDriver) and driver.event_index:
                last = driver.next_used + max(len(driver.outstanding), 1) - 1
                store(driver.ring.used_event, "event", last % 65536)
                continue
            if isinstance(driver, PackedDriver) and driver.event_index:
                left = sum(driver.lengths[identity] for identity in driver.outstanding)
                slot, wrap = driver.ring.advance(driver.next_used, driver.used_wrap, max(left, 1) - 1)
                store(driver.ring.driver_event, "off_wrap", slot | wrap << 15)
            driver.sleep_store()

    # What comes back

    @property
    def outstanding(self) -> list[Request]:
        """The requests that did not come back, in the order in which they were made."""
        return [request for request in self.requests if not request.used]

    def collect(self, queue: int) -> None:
        """Use what came back on a queue. What is wrong with it is noted; after that, the queue is of no more use."""
        driver = self.drivers[queue]
        try:
            for head, _ in driver.use_all():
                self._used(self._at[queue, head])
        except BackEndError as error:
            self.wrong.append(("exactly-once", error.rule))

    def _used(self, request: Request) -> None:
        request.used = True
        first = next((one for one in self.outstanding if one.ask.queue == request.ask.queue), None)
        if self.in_order and first is not None and first.number < request.number:
            self.wrong.append(("order", f"{request} came back before {first}, which was made available earlier"))
        self.look(request)

    def look(self, request: Request) -> None:
        """Judge what a visible request brought, once, and poison its buffer: it is the driver's from now on."""
        if request.looked:
            return
        request.looked = True
        _, slot = self.ram.slot(request.ask.queue, request.head)
        status = slot[STATUS_AT]
        if status == _NO_STATUS:
            self.wrong.append(("intact", f"{request} came back, and the device did not finish it"))
        elif status != OK:
            self.wrong.append(("intact", f"{request} came back with status {status}"))
        elif request.ask.kind == "read" and slot[DATA_AT : DATA_AT + SECTOR] != content(b"initial", request.sector):
            self.wrong.append(("intact", f"{request} came back, and what it read is not what the sector holds"))
        slot[DATA_AT : DATA_AT + SECTOR] = content(b"poison", request.number)

    def visible(self, queue: int) -> Iterator[Request]:
        """Give the requests that the driver would see as used, and has not used; whatever is wrong is left out."""
        driver = self.drivers[queue]
        seen: set[int] = set()
        for head in _shown(driver):
            request = self._at.get((queue, head))
            if request is None or request.used or head in seen:
                return
            seen.add(head)
            yield request

    # The end

    def judge_disk(self, disk: Disk) -> None:
        """Judge what is on the disk, and in the buffers of what was read, when all has come back."""
        for request in self.requests:
            if not request.used:
                continue
            if request.ask.kind == "write":
                self._judge_write(request, disk.sector(request.sector))
            elif request.ask.kind == "read" and not request.gone:
                _, slot = self.ram.slot(request.ask.queue, request.head)
                if bytes(slot[DATA_AT : DATA_AT + SECTOR]) != content(b"poison", request.number):
                    self._again(request)
        asked = {request.sector for request in self.requests if request.ask.kind == "write"}
        if unasked := sorted(set(disk.changed()) - asked):
            more = f", and {len(unasked) - 1} more," if len(unasked) > 1 else ""
            self.wrong.append(("intact", f"sector {unasked[0]}{more} was written to, and no request asks for that"))

    def _judge_write(self, request: Request, found: bytes) -> None:
        if found == content(b"written", request.number):
            return
        if content(b"poison", request.number)[:16] in found:
            self._again(request)
        elif found == content(b"initial", request.sector):
            self.wrong.append(("intact", f"{request} came back, and its data is not on the disk"))
        else:
            self.wrong.append(("intact", f"{request} came back, and its sector holds something else, or a part of it"))

    def _again(self, request: Request) -> None:
        self.wrong.append(("no-used-resubmitted", f"{request} was done once more after it had come back"))


def next_place(driver: SplitDriver | PackedDriver) -> tuple[int, ...]:
    """Return where the next request is made available: the index, or slot and wrap counter."""
    return (driver.next_avail, driver.avail_wrap) if isinstance(driver, PackedDriver) else (driver.next_avail,)


def _shown(driver: SplitDriver | PackedDriver) -> Iterator[int]:
    """Give the heads, or ids, in the used elements that a driver would meet, without using them."""
    if isinstance(driver, SplitDriver):
        ring = driver.ring
        waiting = (ring.used.idx - driver.next_used) % 65536
        for number in range(min(waiting, ring.size)):
            yield ring.used.ring[(driver.next_used + number) % 65536 % ring.size].id
        return
    slot, wrap, met = driver.next_used, driver.used_wrap, 0
    while met < driver.ring.size and is_used(driver.ring.desc[slot].flags, wrap):
        head = driver.ring.desc[slot].id
        yield head
        length = driver.lengths.get(head, 1)
        met += length
        slot, wrap = driver.ring.advance(slot, wrap, length)
