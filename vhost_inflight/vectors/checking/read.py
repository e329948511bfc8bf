"""What of a region somebody will read where no batch is open, told from its bytes."""

from __future__ import annotations

from collections.abc import Iterator
from ctypes import sizeof
from typing import Any

from refimpl.layout import region_type
from vhost_inflight.vectors.form import Given

__all__ = ["place_of", "read_mask"]

_COPIES = ("addr", "len", "id", "flags")
_HEADER_UNREAD = ("features", "padding", "last_batch_head", "process_head", "desc")


def place_of(kind: Any, entry: int, field: str) -> tuple[int, int]:
    """Give where a field of an entry is in a region, as ctypes has that, and its width, in bytes."""
    of_entry = dict(kind._fields_)["desc"]._type_
    place = getattr(of_entry, field)
    return kind.desc.offset + entry * sizeof(of_entry) + place.offset, place.size


def read_mask(given: Given, content: bytes | bytearray) -> bytes:
    """Give the bytes of a region that somebody will read, as a mask; those past its entries nobody reads.

    The header; `inflight` of every entry; of an inflight request its counter, and on a packed ring its chain's copies,
    its length and its end; the links of the free list. Raises UsageError for sizes that there are not.
    """
    kind: Any = region_type(given.ring, given.revision, given.region_size)
    region = kind.from_buffer_copy(content)
    made = bytearray(len(content))
    places = [(getattr(kind, name).offset, getattr(kind, name).size) for name, *_ in kind._fields_
              if name not in _HEADER_UNREAD]  # fmt: skip
    places += [place_of(kind, entry, field) for entry, field in _read(given, region)]
    for offset, width in places:
        made[offset : offset + width] = b"\xff" * width
    return bytes(made)


def _read(given: Given, region: Any) -> Iterator[tuple[int, str]]:
    """Yield each entry with a field of it that somebody will read."""
    counted = given.revision != "v6"
    for number, entry in enumerate(region.desc):
        yield number, "inflight"
        if not entry.inflight:
            continue
        if counted:
            yield number, "counter"
        if given.ring == "packed":
            yield from ((number, field) for field in ("last", "num"))
            chain = list(_walk(region, number, entry.num))
            yield from ((one, field) for one in chain for field in _COPIES)
            yield from ((one, "next") for one in chain[:-1])
    if given.ring == "packed":
        yield from ((one, "next") for one in _walk(region, region.free_head, given.region_size))


def _walk(region: Any, start: int, limit: int) -> Iterator[int]:
    while start < len(region.desc) and limit > 0:
        yield start
        start, limit = region.desc[start].next, limit - 1
