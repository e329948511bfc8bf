"""What the messages that pass by tell of memory, regions and rings, and the files that are needed to read them."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from dataclasses import replace
from types import TracebackType
from typing import Final, Self

from refimpl.wire.codec import Request
from refimpl.wire.features import RING_PACKED
from refimpl.wire.payload import (
    Inflight,
    MemoryRegion,
    MemoryTable,
    Number,
    Payload,
    SingleRegion,
    VringAddress,
    VringState,
)
from vhost_inflight.live.frames import Frame
from vhost_inflight.live.processes import FileId, identity
from vhost_inflight.live.seen import Seen
from vhost_inflight.live.words import payload_of

__all__ = ["REGIONS_MAX", "Watch"]

REGIONS_MAX: Final = 512
"""Regions of memory that are kept of one connection; no front-end has more."""

_QUEUES_MAX: Final = 1024


class Watch:
    """One connection's ``seen``, and a descriptor of our own for each file in it, closed as soon as it is not."""

    def __init__(self) -> None:
        """Begin with nothing seen."""
        self.seen = Seen()
        self.files: dict[FileId, int] = {}

    def take(self, frame: Frame, fds: Sequence[int]) -> bool:
        """Take a message on its way; the descriptors stay the caller's. Return whether what is known has changed.

        Raises OSError when a descriptor cannot be kept; then nothing is learnt from the message.
        """
        before = self.seen
        try:
            self.seen = self._after_reply(frame, fds) if frame.is_reply else self._after_request(frame, fds)
        finally:
            self._forget_others()
        return self.seen != before

    def opened(self, file: FileId) -> int:
        """Return the descriptor of a file that was seen."""
        return self.files[file]

    def close(self) -> None:
        """Forget everything, and close every descriptor."""
        self.seen = Seen()
        self._forget_others()

    def __enter__(self) -> Self:
        """Return this, to be closed at the end of the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def _after_reply(self, frame: Frame, fds: Sequence[int]) -> Seen:
        """Learn of a fresh buffer as soon as it is made: it is what the front-end will hand over."""
        payload = payload_of(frame)
        if frame.number == Request.GET_INFLIGHT_FD and isinstance(payload, Inflight) and fds and payload.mmap_size:
            return replace(self.seen, inflight=(payload, self._keep(fds[0])))
        return self.seen

    def _after_request(self, frame: Frame, fds: Sequence[int]) -> Seen:
        seen, payload = self.seen, payload_of(frame)
        match frame.number, payload:
            case Request.SET_FEATURES, Number(value):
                return replace(seen, packed=bool(value & RING_PACKED))
            case Request.SET_INFLIGHT_FD, Inflight() if fds:
                return replace(seen, inflight=(payload, self._keep(fds[0])))
            case Request.SET_MEM_TABLE, MemoryTable(regions) if len(fds) == len(regions):
                pieces = zip(regions, fds, strict=True)
                return replace(seen, memory=tuple((region, self._keep(fd)) for region, fd in pieces))
            case Request.ADD_MEM_REG, SingleRegion(region) if fds and len(seen.memory) < REGIONS_MAX:
                return replace(seen, memory=(*self._without(region), (region, self._keep(fds[0]))))
            case Request.REM_MEM_REG, SingleRegion(region):
                return replace(seen, memory=self._without(region))
        return self._after_ring(frame.number, payload)

    def _after_ring(self, number: int, payload: Payload | None) -> Seen:
        match number, payload:
            case Request.SET_VRING_NUM, VringState(index, num) if index < _QUEUES_MAX:
                return self.seen.ring(index, size=num)
            case Request.SET_VRING_BASE, VringState(index, num) if index < _QUEUES_MAX:
                return self.seen.ring(index, base=num)
            case Request.SET_VRING_ADDR, VringAddress(index, _, desc, used, avail) if index < _QUEUES_MAX:
                return self.seen.ring(index, desc=desc, avail=avail, used=used)
        return self.seen

    def _without(self, gone: MemoryRegion) -> tuple[tuple[MemoryRegion, FileId], ...]:
        """Return the memory without a region, which its addresses and its size tell."""
        return tuple(piece for piece in self.seen.memory if _place(piece[0]) != _place(gone))

    def _keep(self, fd: int) -> FileId:
        """Keep a descriptor of a file, unless there is one already, and return which file it is."""
        file = identity(fd)
        if file not in self.files:
            self.files[file] = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 0)
        return file

    def _forget_others(self) -> None:
        """Close the descriptors of files that nothing is in any more."""
        for file in self.files.keys() - self.seen.files:
            os.close(self.files.pop(file))


def _place(region: MemoryRegion) -> tuple[int, int, int]:
    return region.guest_address, region.size, region.user_address
