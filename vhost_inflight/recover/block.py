"""What a request asks of a block device, read from its header where the guest's memory was given."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from refimpl.backend import blk
from refimpl.errors import DriverError, FrontEndError
from refimpl.layout import DESC_WRITE
from refimpl.split.chain import GuestMemory
from vhost_inflight.recover.chains import Descriptor

__all__ = ["block_request"]

_TYPES: Final = {
    blk.READ: "read",
    blk.WRITE: "write",
    blk.FLUSH: "flush",
    blk.GET_ID: "get-id",
    blk.DISCARD: "discard",
    blk.WRITE_ZEROES: "write-zeroes",
}
_STATUS_BYTES: Final = 1


def block_request(descriptors: Sequence[Descriptor], memory: GuestMemory) -> dict[str, Any] | None:
    """Return type, sector and bytes of data of a request of virtio-blk; None where its header was not given.

    The header is the first 16 bytes that the device reads, the status the last byte that it writes; the data are the
    others. Another device's requests have no such header: what stands there is told as if they had.
    """
    listed = [inner for desc in descriptors for inner in (desc.table if desc.table is not None else (desc,))]
    header = b"".join(_read(listed, memory))
    if len(header) < blk.HEADER.size:
        return None
    kind, _, sector = blk.HEADER.unpack(header)
    data = sum(desc.length for desc in listed) - blk.HEADER.size - _STATUS_BYTES
    return {"type": _TYPES.get(kind, kind), "sector": sector, "bytes": max(0, data)}


def _read(listed: Sequence[Descriptor], memory: GuestMemory) -> Iterator[bytes]:
    """Yield the bytes of the header, as far as they are there."""
    left = blk.HEADER.size
    for desc in listed:
        if not left or desc.flags & DESC_WRITE:
            return
        length = min(left, desc.length)
        try:
            yield b"".join(memory.pieces(desc.address, length))
        except (DriverError, FrontEndError):
            return
        left -= length
