"""A disk client: what a guest's virtio-blk driver does on its rings, through the crashes of a back-end."""

import os
import select
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from refimpl.backend.blk import FLUSH, GET_ID, HEADER, READ, WRITE
from refimpl.backend.disk import ID_BYTES, OK
from refimpl.errors import BackEndError, UsageError
from refimpl.frontend.connection import FrontEnd, drain
from refimpl.frontend.memory import DATA_AT, STATUS_AT, GuestRam
from refimpl.hooks import Hook, silent
from refimpl.packed.driver import PackedDriver
from refimpl.split.driver import SplitDriver

NO_STATUS: Final = 0xFF
"""What the status byte holds until the device writes it."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that was made available, known by its ``head`` until it is used; ``length`` is its data's, in bytes.

    On a packed ring ``head`` is the buffer id.
    """

    queue: int
    head: int
    type: int
    sector: int
    length: int


@dataclass(frozen=True, slots=True)
class Done:
    """A request that came back: what was asked, the status byte, the used length, and the data of a read."""

    asked: Asked
    status: int
    used_len: int
    data: bytes


class Guest:
    """A driver for each queue of ``front_end``, and the requests on their way (``pending``, by queue and head).

    The front-end has to be connected already; it is made to reconnect here whenever the back-end is lost.
    """

    def __init__(self, front_end: FrontEnd, hook: Hook = silent) -> None:
        """Begin with rings that have nothing outstanding. The hook is told of each of the driver's steps."""
        self.front_end = front_end
        self.ram: GuestRam = front_end.ram
        self.pending: dict[tuple[int, int], Asked] = {}
        self.drivers = [self._driver(queue, hook) for queue in range(self.ram.queues)]

    def _driver(self, queue: int, hook: Hook) -> SplitDriver | PackedDriver:
        """Return the driver of one ring."""
        kick, call = self.front_end.kicks[queue], self.front_end.calls[queue]
        if self.ram.packed:
            return PackedDriver(
                self.ram.packed_rings[queue],
                hook,
                kick=lambda: os.eventfd_write(kick, 1),
                call_taken=lambda: drain(call),
                event_index=self.front_end.event_index,
                tables=self.ram.tables(queue),
            )
        return SplitDriver(
            self.ram.rings[queue],
            hook,
            kick=lambda: os.eventfd_write(kick, 1),
            call_taken=lambda: drain(call),
            event_index=self.front_end.event_index,
            tables=self.ram.tables(queue),
        )

    # Without waiting

    def submit(
        self,
        kind: int,
        sector: int = 0,
        data: bytes = b"",
        *,
        length: int | None = None,
        queue: int = 0,
        head: int | None = None,
        indirect: bool = False,
    ) -> Asked:
        """Make one request available, and kick if wanted.

        ``data`` is what a write brings, ``length`` the room for what the device returns; ``head`` is the first free one
        by default. Raises UsageError for more data than a slot holds, and when too few descriptors are free.
        """
        driver = self.drivers[queue]
        size = len(data) if length is None else length
        if size > self.ram.data_bytes:
            raise UsageError(f"{size} bytes of data; there is room for {self.ram.data_bytes}")
        if head is None:
            if not driver.free:
                raise UsageError("no descriptor is free")
            head = driver.free[0]
        if head not in driver.free:
            raise UsageError(f"head {head} is not free")
        _, slot = self.ram.slot(queue, head)
        slot[: HEADER.size] = HEADER.pack(kind, 0, sector)
        slot[STATUS_AT] = NO_STATUS
        slot[DATA_AT : DATA_AT + size] = data.ljust(size, b"\0")
        asked = Asked(queue, head, kind, sector, size)
        self.pending[queue, head] = asked
        try:
            driver.make(self.ram.chain(queue, head, size, device_writes=kind != WRITE), head, indirect=indirect)
        except UsageError:
            del self.pending[queue, head]
            raise
        return asked

    def collect(self) -> list[Done]:
        """Use everything that came back. Raises BackEndError for a used element that is wrong, or without a status."""
        return [
            self._done(queue, head, length)
            for queue, driver in enumerate(self.drivers)
            for head, length in driver.use_all()
        ]

    def _done(self, queue: int, head: int, used_len: int) -> Done:
        """Check one request that came back."""
        asked = self.pending.pop((queue, head))
        _, slot = self.ram.slot(queue, head)
        status = slot[STATUS_AT]
        if status == NO_STATUS:
            raise BackEndError(f"head {head} of queue {queue} came back without a status")
        returned = 0 if asked.type == WRITE else asked.length
        if used_len > returned + 1:
            raise BackEndError(f"head {head} of queue {queue}: {used_len} bytes written to a room of {returned + 1}")
        return Done(asked, status, used_len, bytes(slot[DATA_AT : DATA_AT + returned]))

    # Waiting

    def wait(self, count: int | None = None, timeout: float = 20.0) -> list[Done]:
        """Wait until ``count`` requests came back (default: all), asleep until notified; return them in their order.

        Reconnects when the back-end is lost. Raises BackEndError when they do not come within ``timeout`` seconds, and
        as ``collect`` and ``FrontEnd.reconnect`` do.
        """
        count = len(self.pending) if count is None else count
        deadline = time.monotonic() + timeout
        done = self.collect()
        while len(done) < count:
            if self._sleep():
                self._wait_for_event(deadline, f"{count - len(done)} of {count} requests did not come back")
            done += self.collect()
        return done

    def _sleep(self) -> bool:
        """Let each driver ask for a notification; return whether all are asleep, that is, nothing came meanwhile."""
        asleep = [driver.try_sleep() for driver in self.drivers]
        return all(asleep)

    def _wait_for_event(self, deadline: float, failure: str) -> None:
        """Wait for a call or the loss of the back-end."""
        if self.front_end.lost():
            self.front_end.reconnect()
        poll = select.poll()
        calls = dict(zip(self.front_end.calls, self.drivers, strict=True))
        for fd in calls:
            poll.register(fd, select.POLLIN)
        if self.front_end.connection is not None:
            poll.register(self.front_end.connection.fileno(), select.POLLIN)
        left = deadline - time.monotonic()
        if left <= 0:
            raise BackEndError(f"{failure} in time")
        for fd, _ in poll.poll(left * 1000):
            if fd in calls:
                driver = calls[fd]
                driver.wake()
                if isinstance(driver, PackedDriver):
                    driver.wake_quiet()

    # One request at a time

    def write(self, sector: int, data: bytes, queue: int = 0) -> None:
        """Write ``data`` at a sector, and wait. Raises BackEndError when the device fails."""
        self._one(self.submit(WRITE, sector, data, queue=queue))

    def read(self, sector: int, length: int, queue: int = 0) -> bytes:
        """Return ``length`` bytes from a sector. Raises BackEndError when the device fails."""
        return self._one(self.submit(READ, sector, length=length, queue=queue)).data

    def flush(self, queue: int = 0) -> None:
        """Let everything written be on the disk. Raises BackEndError when the device fails."""
        self._one(self.submit(FLUSH, queue=queue))

    def identity(self, queue: int = 0) -> bytes:
        """Return the disk's name. Raises BackEndError when the device fails."""
        return self._one(self.submit(GET_ID, length=ID_BYTES, queue=queue)).data

    def _one(self, asked: Asked) -> Done:
        """Wait for one request, the only one on its way, which has to succeed."""
        (done,) = check(self.wait())
        if done.asked != asked:
            raise BackEndError(f"head {done.asked.head} came back, not {asked.head}")
        return done


def check(done: Sequence[Done]) -> Sequence[Done]:
    """Return ``done``. Raises BackEndError for a status other than success."""
    for one in done:
        if one.status != OK:
            raise BackEndError(f"request {one.asked} failed with status {one.status}")
    return done
