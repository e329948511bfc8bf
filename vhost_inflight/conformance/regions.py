"""Where each queue's region lies in the shared buffer of somebody's back-end, which alone says how large that is.

How far one is from the next is open (docs/gaps.md): rounded up to 64 bytes or not, with room at the end or not. A
back-end that has served tells: it has written version and desc_num to each region.
"""

from __future__ import annotations

import struct
from typing import Final

from refimpl.layout import HEADER_PADDING, region_size

__all__ = ["stride_in"]

_SAYS: Final = slice(8, 12)
"""Where version and desc_num are in a region, of whichever ring and revision."""


def stride_in(buffer: bytes, queues: int, ring: str, revision: str, entries: int) -> int | None:
    """Return how many bytes lie between the beginnings of two regions, None where that cannot be seen.

    ``entries`` are those of each ring, at least.
    """
    said = buffer[_SAYS]
    if len(said) < 4 or not any(said[:2]):
        return None
    (told,) = struct.unpack("=H", said[2:])
    least = region_size(ring, revision, max(told, entries), "none") - (HEADER_PADDING if ring == "packed" else 0)
    for stride in range(least, len(buffer) // queues + 1):
        starts = range(stride, stride * queues, stride)
        if all(buffer[start + _SAYS.start : start + _SAYS.stop] == said for start in starts):
            return stride
    return None
