"""The log of dirty pages: which pages of the guest's memory a back-end has written, for a live migration.

The front-end gives a bitmap with a bit for each page of 4 KiB of the guest's addresses (SET_LOG_BASE), and clears a bit
before it copies the page. Two switches say what is logged: VHOST_F_LOG_ALL among the features, the data that the device
writes; VHOST_VRING_F_LOG in a ring's addresses, what it writes to that ring. Regions are not the guest's memory.

A bit is set after the store that it tells of, so that a page copied in between is copied again. A process that is
killed in between leaves a page that is not in the log. Of data that does no harm: its request is not used yet, so the
next process does it again. Of a ring nobody can tell, so each start logs all of it that a device writes.
"""

import ctypes
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from refimpl.atomics import set_bit
from refimpl.errors import FrontEndError
from refimpl.memory import SharedMemory, place
from refimpl.wire.payload import LogArea, Number
from refimpl.wire.transport import Received

_LOG: Final = logging.getLogger(__name__)

PAGE: Final = 4096
"""Bytes of the guest's memory that a bit stands for, whatever its pages are."""


class DirtyLog:
    """One connection's log; ``everything`` is whether VHOST_F_LOG_ALL was accepted.

    What is to be logged before there is a log waits for it.
    """

    def __init__(self) -> None:
        """Begin without a log."""
        self.everything = False
        self._bits: SharedMemory | None = None
        self._address = 0
        self._waiting: set[int] = set()
        self._fd: int | None = None

    def take(self, received: Received) -> Number:
        """Map the bitmap of a SET_LOG_BASE, in the place of the one before, and return the reply.

        Raises FrontEndError when it is not all in its file, or cannot be mapped.
        """
        area = received.message.payload
        assert isinstance(area, LogArea), f"{received.message} with {area}"
        bits = SharedMemory.map(received.fds[0], area.size, area.offset, blame=FrontEndError)
        self._unmap()
        self._bits, self._address = bits, ctypes.addressof(ctypes.c_char.from_buffer(bits.view()))
        waiting, self._waiting = self._waiting, set()
        for page in sorted(waiting):
            self._set(page)
        _LOG.info("got a log of dirty pages, %d bytes", area.size)
        return Number(0)

    def take_fd(self, received: Received) -> None:
        """Own the eventfd of a SET_LOG_FD, which is signalled for each page that is logged; close the one before."""
        if self._fd is not None:
            os.close(self._fd)
        self._fd = received.take_fd()
        os.set_blocking(self._fd, False)

    def mark(self, address: int, length: int) -> None:
        """Log the pages of ``length`` bytes at a guest address, which have been written.

        Raises FrontEndError when the log ends before them, or its file does by now: what cannot be logged must not pass
        for logged.
        """
        if length:
            for page in range(address // PAGE, (address + length - 1) // PAGE + 1):
                self._set(page)

    def _set(self, page: int) -> None:
        """Set the bit of one page."""
        if self._bits is None:
            self._waiting.add(page)
            return
        if page // 8 >= self._bits.size:
            raise FrontEndError(f"the log of dirty pages has {self._bits.size} bytes, too few for page {page:#x}")
        try:
            set_bit(self._address, page)
            if self._fd is not None:
                os.write(self._fd, (1).to_bytes(8, "little"))
        except BlockingIOError:
            pass  # an eventfd that is full is signalled already
        except OSError as error:
            raise FrontEndError(f"page {page:#x} cannot be logged: {error}") from error

    def _unmap(self) -> None:
        """Give the bitmap up."""
        if self._bits is not None:
            self._bits.close()
            self._bits = None

    def close(self) -> None:
        """Give everything up."""
        self._unmap()
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


@dataclass(frozen=True, slots=True)
class Area:
    """A part of a ring that the device writes: its address in this process, its bytes, its guest address."""

    here: int
    size: int
    guest: int


class RingLog:
    """What of one ring is logged: ``areas``, none of them as long as the ring is not to be logged."""

    def __init__(self, log: DirtyLog) -> None:
        """Begin with nothing."""
        self.log = log
        self.areas: Sequence[Area] = ()

    def wrote(self, target: Any, field: str | int) -> None:
        """Log a store to a field, as of ``store``, if it is one of the areas'."""
        if not self.areas:
            return
        address, width = place(target, field)
        for area in self.areas:
            if area.here <= address < area.here + area.size:
                self.log.mark(area.guest + address - area.here, width)

    def wrote_all(self) -> None:
        """Log all areas: a process before may have been killed between a store and its bit."""
        for area in self.areas:
            self.log.mark(area.guest, area.size)
