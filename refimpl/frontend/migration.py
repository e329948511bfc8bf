"""The shared buffer in a migration's stream as QEMU has it since 2026: read in its public sources, run nowhere here.

QEMU writes it after the fields of its device vhost-user-blk, if the property inflight-migration is on, as a subsection:

    0x05, u8 length, "vhost-user-blk/inflight", be32 version 1
        be64 size, be16 queue size
        0x05, u8 length, "vhost-inflight-region/buffer", be32 version 0
            size bytes

What is here begins with the first 0x05 and ends with the last byte. Nothing in it says how many queues there are,
whether their rings are packed, where the regions begin in the sender's file, or of which version its layout is: so
``load`` is told the first two, makes a file of its own in which they begin at 0, and takes the size for the layout.
"""

import struct
from collections.abc import Iterator
from typing import BinaryIO, Final

from refimpl.errors import FrontEndError
from refimpl.frontend.inflight import BYTES_MAX, HeldInflight, read
from refimpl.layout import RING_SIZE_MAX, STRIDES, region_size
from refimpl.names import counted

SUBSECTION: Final = 5
DEVICE: Final = "vhost-user-blk/inflight", 1
BUFFER: Final = "vhost-inflight-region/buffer", 0
"""Names and versions of the two subsections, the second one in the first."""

_FIELDS: Final = struct.Struct(">QH")
_VERSION: Final = struct.Struct(">I")


def header(name: str, version: int) -> bytes:
    """Return what a subsection begins with."""
    return bytes([SUBSECTION, len(name)]) + name.encode("ascii") + _VERSION.pack(version)


def save(held: HeldInflight, stream: BinaryIO) -> None:
    """Write the shared buffer; nothing where none is held."""
    if held.memory is None or held.described is None:
        return
    stream.write(header(*DEVICE) + _FIELDS.pack(held.memory.size, held.described.queue_size) + header(*BUFFER))
    stream.write(held.memory.view())


def load(held: HeldInflight, stream: BinaryIO, queues: int, kind: str) -> bool:
    """Read the shared buffer for so many queues with rings of a ``kind``; return whether the stream brings one.

    It is held in a sealed memfd of its own. Raises FrontEndError, about the one that saved it, for a stream that ends
    too early, another subsection, a queue size that no ring has, and a size that is 0, more than BYTES_MAX, or not that
    of such queues in any layout that is known; nothing has changed then.
    """
    begin = stream.read(1)
    if not begin:
        return False
    _begin(begin + read(stream, 1), stream, *DEVICE)
    size, queue_size = _FIELDS.unpack(read(stream, _FIELDS.size))
    if not 0 < size <= BYTES_MAX:
        raise FrontEndError(f"a stream brings a shared buffer of {size} bytes, not of 1 to {BYTES_MAX}")
    if not 0 < queue_size <= RING_SIZE_MAX:
        raise FrontEndError(f"a stream brings a shared buffer for queues of {queue_size} entries")
    known = sorted(set(_sizes(queues, queue_size, kind)))
    if size not in known:
        wanted = ", ".join(map(str, known))
        raise FrontEndError(
            f"a stream brings a shared buffer of {size} bytes; {counted(queues, 'queue')} of {queue_size} entries with "
            f"{kind} rings have one of these sizes: {wanted}"
        )
    _begin(read(stream, 2), stream, *BUFFER)
    held.hold_copy(read(stream, size), queues, queue_size)
    return True


def _begin(start: bytes, stream: BinaryIO, name: str, version: int) -> None:
    """Read the rest of a subsection's header. Raises FrontEndError for that of another one."""
    if start[0] != SUBSECTION:
        raise FrontEndError(f"a stream has byte {start[0]:#04x} where the subsection {name} begins with 0x05")
    found = read(stream, start[1]).decode("ascii", "backslashreplace")
    if found != name:
        raise FrontEndError(f"a stream has a subsection {found!r} where {name!r} was expected")
    (number,) = _VERSION.unpack(read(stream, _VERSION.size))
    if number != version:
        raise FrontEndError(f"a stream has version {number} of the subsection {name}; version {version} is known")


def _sizes(queues: int, queue_size: int, kind: str) -> Iterator[int]:
    """Give the sizes that a shared buffer may have: by its layout, and by what a region is rounded up to."""
    for revision in ("v6", "merged"):
        for stride in STRIDES:
            yield queues * region_size(kind, revision, queue_size, stride)
