"""A virtio block device on a file: what one request asks for, and doing it by plain system calls.

A request is a header of 16 bytes that the device reads (type u32, reserved u32, sector u64, little-endian), data, and a
status byte that it writes, the last one of all it may write. How these are cut into buffers is the driver's business.
The system calls are pread, pwrite and fdatasync: once the process is dead, none of them goes on.
"""

import os
import stat
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from refimpl.backend.blk import DISCARD, FLUSH, GET_ID, HEADER, READ, WRITE, WRITE_ZEROES
from refimpl.errors import DriverError, InflightError
from refimpl.split.chain import MappedBuffer
from refimpl.wire.features import BLK_DISCARD, BLK_SIZE_MAX, BLK_WRITE_ZEROES

SECTOR: Final = 512
"""Bytes in a sector, whatever the block size is."""

OK: Final = 0
IO_ERROR: Final = 1
UNSUPPORTED: Final = 2

SEGMENT: Final = struct.Struct("<QII")
"""What DISCARD and WRITE_ZEROES name: sector, number of sectors, flags (bit 0: the sectors may be unmapped)."""

SEGMENTS_MAX: Final = 32
"""Most of these in one request."""

SECTORS_MAX: Final = 1 << 16
"""Most sectors of one of these: as much as is written at a time."""

CONFIG_BYTES: Final = 60
"""Bytes of the configuration space that QEMU 7.2 reads; what others ask for beyond is zero."""

CONFIG_SPACE: Final = 256
"""Where the configuration space ends."""

SIZE_MAX: Final = 1 << 22
"""Most bytes of a data buffer, as SIZE_MAX tells; longer ones are served as well."""

SEG_MAX: Final = 126
"""Most data buffers in one request: a chain of 128 with header and status."""

IOV_MAX: Final = os.sysconf("SC_IOV_MAX")
"""Most buffers of one system call."""

WCE_OFFSET: Final = 32
"""Where the byte is that says whether there is a write cache."""

ID_BYTES: Final = 20
IDENTITY: Final = b"vhost-inflight".ljust(ID_BYTES, b"\0")
"""The answer to GET_ID."""


_FEATURE_OF: Final = {DISCARD: BLK_DISCARD, WRITE_ZEROES: BLK_WRITE_ZEROES}


class Disk:
    """The file behind the device, shared by its queues."""

    def __init__(self, image: Path, queues: int = 1, features: int = 0) -> None:
        """Open ``image``, a file whose size in sectors is the disk's capacity; a last part of a sector is left out.

        ``features`` are those of MORE_FEATURES that are offered.

        Raises InflightError when it cannot be read and written, is neither a file nor a block device, or is empty.
        """
        self.queues = queues
        self.features = features
        try:
            self.fd = os.open(image, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise InflightError(f"image {image}: {error.strerror}") from error
        kind = os.fstat(self.fd).st_mode
        if not (stat.S_ISREG(kind) or stat.S_ISBLK(kind)):
            os.close(self.fd)
            raise InflightError(f"image {image}: neither a file nor a block device")
        self.capacity = os.lseek(self.fd, 0, os.SEEK_END) // SECTOR
        if not self.capacity:
            os.close(self.fd)
            raise InflightError(f"image {image}: it has less than one sector of {SECTOR} bytes")
        self.write_cache = 1

    def config(self, offset: int, size: int) -> bytes | None:
        """Return ``size`` bytes from ``offset`` of the configuration space, or None when they are not all in it."""
        if offset + size > CONFIG_SPACE:
            return None
        space = bytearray(CONFIG_SPACE)
        struct.pack_into("<Q", space, 0, self.capacity)
        struct.pack_into("<I", space, 12, SEG_MAX)
        struct.pack_into("<I", space, 20, SECTOR)
        struct.pack_into("<B", space, WCE_OFFSET, self.write_cache)
        struct.pack_into("<H", space, 34, self.queues)
        if self.features & BLK_SIZE_MAX:
            struct.pack_into("<I", space, 8, SIZE_MAX)
        for feature, place in ((BLK_DISCARD, 36), (BLK_WRITE_ZEROES, 48)):
            if self.features & feature:
                struct.pack_into("<II", space, place, SECTORS_MAX, SEGMENTS_MAX)
        if self.features & BLK_DISCARD:
            struct.pack_into("<I", space, 44, 1)  # discard_sector_alignment
        return bytes(space[offset : offset + size])

    def close(self) -> None:
        """Close the file. A second call does nothing."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __enter__(self) -> Self:
        """Return this disk, to be closed at the end of the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()


class BlkRequest:
    """One request, read from its chain when the device got it: ``type``, ``sector``, and the buffers.

    ``incoming`` is what the driver wrote after the header, ``outgoing`` what the device may write before the status.
    """

    def __init__(self, head: int, chain: Sequence[MappedBuffer], identity: int | None = None) -> None:
        """Read the header; ``identity`` is the buffer id, on a split ring the head.

        Raises DriverError for a chain without room for a header or a status byte.
        """
        self.head = head
        self.identity = head if identity is None else identity
        readable = [buffer.view for buffer in chain if not buffer.writable]
        writable = [buffer.view for buffer in chain if buffer.writable]
        if _length(readable) < HEADER.size:
            raise DriverError(f"head {head}: {_length(readable)} bytes are no header of {HEADER.size}")
        if not _length(writable):
            raise DriverError(f"head {head}: no byte for the status")
        header, self.incoming = _cut(readable, HEADER.size)
        self.type, _, self.sector = HEADER.unpack(b"".join(header))
        self.outgoing, self._status = _cut(writable, _length(writable) - 1)
        self._room = [(buffer.address, buffer.length) for buffer in chain if buffer.writable]
        self._filled = 0

    @property
    def length(self) -> int:
        """Bytes of data, in the direction of the request."""
        return _length(self.incoming if self.type == WRITE else self.outgoing)

    @property
    def tag(self) -> str:
        """The first 8 bytes of what is to be written, in hexadecimal: by these a judge knows one write from another."""
        return b"".join(self.incoming)[:8].hex() if self.type == WRITE else ""

    def perform(self, disk: Disk) -> int:
        """Do it, write the status, and return how many bytes were written to the guest's memory."""
        try:
            status, written = self._do(disk)
        except OSError:
            status, written = IO_ERROR, 0
        next(view for view in self._status if len(view))[0] = status
        # the status byte lies behind all the room for data: with less data than room, only what is known is counted
        return written + 1 if written == _length(self.outgoing) else written

    def written(self) -> Iterator[tuple[int, int]]:
        """Give the guest addresses and lengths of what was written, or may have been in part: data, and the status."""
        yield from _extents(self._room, 0, self._filled)
        yield from _extents(self._room, sum(length for _, length in self._room) - 1, 1)

    def _do(self, disk: Disk) -> tuple[int, int]:
        """Do it; return the status and how many bytes of data were written to the guest's memory."""
        if self.type in {READ, WRITE}:
            return self._transfer(disk)
        if self.type == FLUSH:
            os.fdatasync(disk.fd)
            return OK, 0
        if self.type == GET_ID:
            self._filled = _fill(self.outgoing, IDENTITY)
            return OK, self._filled
        if self.type in _FEATURE_OF and disk.features & _FEATURE_OF[self.type]:
            return self._zero(disk), 0
        return UNSUPPORTED, 0

    def _transfer(self, disk: Disk) -> tuple[int, int]:
        """Read or write; without a write cache, what was written is on the disk then. Return as ``_do``."""
        if not self._in_range(disk):
            return IO_ERROR, 0
        if self.type == READ:
            self._filled = self.length
            _read(disk.fd, self.outgoing, self.sector * SECTOR)
            return OK, self.length
        _write(disk.fd, self.incoming, self.sector * SECTOR)
        if not disk.write_cache:
            os.fdatasync(disk.fd)
        return OK, 0

    def _zero(self, disk: Disk) -> int:
        """Write zeros where the segments of a request say; what is discarded may stay as it is. Return the status."""
        data = b"".join(self.incoming)
        if not data or len(data) % SEGMENT.size or len(data) > SEGMENTS_MAX * SEGMENT.size:
            return IO_ERROR
        segments = list(SEGMENT.iter_unpack(data))
        if any(flags & ~(self.type == WRITE_ZEROES) for _, _, flags in segments):
            return UNSUPPORTED
        if any(sectors > SECTORS_MAX or sector + sectors > disk.capacity for sector, sectors, _ in segments):
            return IO_ERROR
        if self.type == WRITE_ZEROES:
            for sector, sectors, _ in segments:
                _write(disk.fd, [memoryview(bytes(sectors * SECTOR))], sector * SECTOR)
            if not disk.write_cache:
                os.fdatasync(disk.fd)
        return OK

    def _in_range(self, disk: Disk) -> bool:
        """Return whether the data is whole sectors inside the disk."""
        return self.length % SECTOR == 0 and self.sector + self.length // SECTOR <= disk.capacity


def _length(views: Sequence[memoryview]) -> int:
    """Return how many bytes there are in all."""
    return sum(len(view) for view in views)


def _cut(views: Sequence[memoryview], size: int) -> tuple[list[memoryview], list[memoryview]]:
    """Return the first ``size`` bytes of some buffers, and the rest."""
    first, rest = [], []
    for view in views:
        taken = min(size, len(view))
        first.append(view[:taken])
        rest.append(view[taken:])
        size -= taken
    return first, rest


def _extents(room: Sequence[tuple[int, int]], start: int, size: int) -> Iterator[tuple[int, int]]:
    """Give the addresses and lengths of ``size`` bytes from ``start`` on, in places that follow each other."""
    for address, length in room:
        first, end = max(start, 0), min(start + size, length)
        if first < end:
            yield address + first, end - first
        start -= length


def _read(fd: int, views: Sequence[memoryview], position: int) -> None:
    """Fill ``views`` from ``position`` of the file. Raises OSError when the file ends before."""
    left = [view for view in views if view]
    while left:
        done = os.preadv(fd, left[:IOV_MAX], position)
        if done == 0:
            raise OSError("the file has become shorter")
        position += done
        left = [view for view in _cut(left, done)[1] if view]


def _write(fd: int, views: Sequence[memoryview], position: int) -> None:
    """Write ``views`` at ``position`` of the file."""
    left = [view for view in views if view]
    while left:
        done = os.pwritev(fd, left[:IOV_MAX], position)
        position += done
        left = [view for view in _cut(left, done)[1] if view]


def _fill(views: Sequence[memoryview], data: bytes) -> int:
    """Copy as much of ``data`` as there is room for; return how much."""
    done = 0
    for view in views:
        piece = data[done : done + len(view)]
        view[: len(piece)] = piece
        done += len(piece)
    return done
