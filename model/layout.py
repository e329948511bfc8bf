"""Layouts: the structures of the text as tables of fields, with the offsets that C gives them.

Offsets and sizes are written out rather than computed: a table is what a reader compares with a memory dump, and
a test compares each number with what a C compiler says of the same declarations. All numbers are in native byte order.

The packed header has 29 bytes of fields; its entries start at 32, because C aligns them to 8. The payload has 20 bytes
of fields and takes 24, because C pads its tail.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from model.terms import ModelError

__all__ = ["ALIGNMENT", "C_ALIGNMENT", "PAYLOAD", "REVISIONS", "RINGS", "Field", "Region", "Struct", "region"]

ALIGNMENT = 64
"""Bytes to which a queue's region is rounded up, so that the next one starts on a cache line: DPDK, libvhost-user."""

C_ALIGNMENT = 8
"""Bytes to which C rounds a region's structure up, as it has fields of 64 bits: it keeps the next region aligned."""

RINGS: tuple[str, ...] = ("split", "packed")
REVISIONS: tuple[str, ...] = ("v6", "merged")

_WIDTHS: Mapping[str, int] = {"uint8_t": 1, "uint16_t": 2, "uint32_t": 4, "uint64_t": 8}


@dataclass(frozen=True)
class Field:
    """One field: its offset and its whole width in bytes, its C type, and how many of it an array has (1: no array)."""

    name: str
    offset: int
    ctype: str
    doc: str
    count: int = 1

    @property
    def width(self) -> int:
        """The width in bytes; of an array, that of all its elements."""
        return _WIDTHS[self.ctype] * self.count


@dataclass(frozen=True)
class Struct:
    """A C structure: its name in the text, its fields in order, its size in bytes with all padding (C's `sizeof`)."""

    name: str
    size: int
    fields: tuple[Field, ...]

    def field(self, name: str) -> Field:
        """Look a field up; raise `ModelError` if there is none of that name."""
        for field in self.fields:
            if field.name == name:
                return field
        raise ModelError(f"{self.name} has no field {name!r}; it has: {', '.join(f.name for f in self.fields)}")


@dataclass(frozen=True)
class Region:
    """One queue's part of the shared buffer: a header, then an entry for each descriptor of the ring.

    `header.size` is the offset of the first entry.
    """

    ring: str
    revision: str
    header: Struct
    entry: Struct

    def offset(self, index: int) -> int:
        """Give the offset in bytes of the entry at `index`."""
        return self.header.size + index * self.entry.size

    def size(self, entries: int, *, alignment: int = ALIGNMENT) -> int:
        """Give the bytes of a region of so many entries, rounded up to `alignment` (1: not at all)."""
        exact = self.offset(entries)
        return exact + -exact % alignment

    def start(self, queue: int, entries: int, *, alignment: int = ALIGNMENT) -> int:
        """Give the offset in the shared buffer of a queue's region; each queue's has so many entries."""
        return queue * self.size(entries, alignment=alignment)

    def buffer(self, queues: int, entries: int, *, alignment: int = ALIGNMENT) -> int:
        """Give the bytes of the least buffer for so many queues: it ends where the last one's structure does."""
        last = self.start(queues - 1, entries, alignment=alignment)
        return last + self.size(entries, alignment=min(alignment, C_ALIGNMENT))


PAYLOAD = Struct(
    "VhostUserInflight",
    24,
    (
        Field("mmap_size", 0, "uint64_t", "bytes of the shared buffer"),
        Field("mmap_offset", 8, "uint64_t", "where it starts in the file"),
        Field("num_queues", 16, "uint16_t", "queues, each with a region of its own"),
        Field("queue_size", 18, "uint16_t", "entries of a region"),
    ),
)
"""The payload of GET_INFLIGHT_FD and SET_INFLIGHT_FD."""


def _split_header(last_batch_head: str) -> Struct:
    return Struct(
        "QueueRegionSplit",
        16,
        (
            Field("features", 0, "uint64_t", "0"),
            Field("version", 8, "uint16_t", "0: not initialised yet; 1: initialised"),
            Field("desc_num", 10, "uint16_t", "number of entries"),
            Field(last_batch_head, 12, "uint16_t", "head of the list of the last batch"),
            Field("used_idx", 14, "uint16_t", "used.idx when the last batch was complete"),
        ),
    )


_INFLIGHT = "1: fetched and not yet given back"
_LAST = "the entry before this one in the batch list"

_SPLIT_V6 = Struct(
    "DescStateSplit",
    4,
    (
        Field("inflight", 0, "uint8_t", _INFLIGHT),
        Field("padding", 1, "uint8_t", ""),
        Field("next", 2, "uint16_t", _LAST),
    ),
)

_SPLIT_MERGED = Struct(
    "DescStateSplit",
    16,
    (
        Field("inflight", 0, "uint8_t", _INFLIGHT),
        Field("padding", 1, "uint8_t", "", 5),
        Field("next", 6, "uint16_t", _LAST),
        Field("counter", 8, "uint64_t", "when it was fetched, as a global count"),
    ),
)

_PACKED_HEADER = Struct(
    "QueueRegionPacked",
    32,
    (
        Field("features", 0, "uint64_t", "0"),
        Field("version", 8, "uint16_t", "0: not initialised yet; 1: initialised"),
        Field("desc_num", 10, "uint16_t", "number of entries"),
        Field("free_head", 12, "uint16_t", "head of the free list"),
        Field("old_free_head", 14, "uint16_t", "head of the free list when the last batch was complete"),
        Field("used_idx", 16, "uint16_t", "the next used slot of the ring"),
        Field("old_used_idx", 18, "uint16_t", "the next used slot when the last batch was complete"),
        Field("used_wrap_counter", 20, "uint8_t", "the wrap counter of the next used slot"),
        Field("old_used_wrap_counter", 21, "uint8_t", "the wrap counter when the last batch was complete"),
        Field("padding", 22, "uint8_t", "", 7),
    ),
)

_PACKED_START = (
    Field("inflight", 0, "uint8_t", "1: fetched and not yet given back (on a head)"),
    Field("padding", 1, "uint8_t", ""),
    Field("next", 2, "uint16_t", "the next entry of the free list, or of the chain"),
    Field("last", 4, "uint16_t", "the last entry of the chain (on a head)"),
    Field("num", 6, "uint16_t", "entries of the chain (on a head)"),
)


def _packed_end(start: int) -> tuple[Field, ...]:
    return (
        Field("id", start, "uint16_t", "the descriptor's buffer id"),
        Field("flags", start + 2, "uint16_t", "the descriptor's flags"),
        Field("len", start + 4, "uint32_t", "the descriptor's length"),
        Field("addr", start + 8, "uint64_t", "the descriptor's address"),
    )


_COUNTER = Field("counter", 8, "uint64_t", "when it was fetched, as a global count (on a head)")
_PACKED_V6 = Struct("DescStatePacked", 24, (*_PACKED_START, *_packed_end(8)))
_PACKED_MERGED = Struct("DescStatePacked", 32, (*_PACKED_START, _COUNTER, *_packed_end(16)))

_REGIONS: Mapping[tuple[str, str], Region] = {
    (r.ring, r.revision): r
    for r in (
        Region("split", "v6", _split_header("process_head"), _SPLIT_V6),
        Region("split", "merged", _split_header("last_batch_head"), _SPLIT_MERGED),
        Region("packed", "v6", _PACKED_HEADER, _PACKED_V6),
        Region("packed", "merged", _PACKED_HEADER, _PACKED_MERGED),
    )
}


def region(ring: str, revision: str) -> Region:
    """Look a layout up; raise `ModelError` if there is no such ring or revision."""
    if (ring, revision) not in _REGIONS:
        known = ", ".join(f"{r} {v}" for r, v in _REGIONS)
        raise ModelError(f"there is no layout of {ring} {revision}; there are: {known}")
    return _REGIONS[ring, revision]
