"""Layouts: the C structures of the text and of virtio, as ctypes structures with the text's names.

They have native byte order and natural alignment, as the C structures have; a test compares every size and offset with
those that a C compiler gives. A structure is laid over memory by ``from_buffer`` of a view of it, which keeps the
mapping alive for as long as the structure lives.
"""

import ctypes
from collections.abc import Mapping
from ctypes import c_uint8, c_uint16, c_uint32, c_uint64
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

from refimpl.choices import REVISIONS, RINGS
from refimpl.errors import UsageError

STRIDES: Final = ("64", "none")
"""How far a queue's region is from the next one's: rounded up to 64 bytes (the default), or not rounded."""

VERSION: Final = 1
"""The version of an initialised region; 0 is that of a fresh one. All revisions call themselves 1."""

HEADER_PADDING: Final = 3
"""Bytes of C's padding in a packed region's header: its fields end at 29, its entries begin at 32."""

RING_SIZE_MAX: Final = 32768
"""The most entries a ring can have."""

DESC_NEXT: Final = 1
"""Flag of a descriptor: the chain goes on at ``next``."""

DESC_WRITE: Final = 2
"""Flag of a descriptor: the device writes the buffer (otherwise it reads it)."""

DESC_INDIRECT: Final = 4
"""Flag of a descriptor: the buffer is a table of descriptors."""

DESC_AVAIL: Final = 1 << 7
"""Flag of a packed descriptor: with USED it says, by the wrap counter of its lap, whether it is available or used."""

DESC_USED: Final = 1 << 15
"""Flag of a packed descriptor: see DESC_AVAIL."""

EVENT_ENABLE: Final = 0
"""Flags of an event suppression area: every notification is wanted."""

EVENT_DISABLE: Final = 1
"""Flags of an event suppression area: none is wanted."""

EVENT_DESC: Final = 2
"""Flags of an event suppression area: one is wanted for the descriptor at ``off_wrap`` (with RING_EVENT_IDX)."""

AVAIL_NO_INTERRUPT: Final = 1
"""Flag of the available ring: the driver wants no notification (a hint, without event indexes)."""

USED_NO_NOTIFY: Final = 1
"""Flag of the used ring: the device wants no kick (a hint, without event indexes)."""


class InflightPayload(ctypes.Structure):
    """The payload of messages 31 and 32: 24 bytes, the last 4 of them padding."""

    _fields_ = (
        ("mmap_size", c_uint64),
        ("mmap_offset", c_uint64),
        ("num_queues", c_uint16),
        ("queue_size", c_uint16),
    )


class DescStateSplitV6(ctypes.Structure):
    """An entry of a split region in v6: 4 bytes."""

    _fields_ = (("inflight", c_uint8), ("padding", c_uint8), ("next", c_uint16))


class DescStateSplitMerged(ctypes.Structure):
    """An entry of a split region in merged: 16 bytes."""

    _fields_ = (("inflight", c_uint8), ("padding", c_uint8 * 5), ("next", c_uint16), ("counter", c_uint64))


class DescStatePackedV6(ctypes.Structure):
    """An entry of a packed region in v6: 24 bytes."""

    _fields_ = (
        ("inflight", c_uint8),
        ("padding", c_uint8),
        ("next", c_uint16),
        ("last", c_uint16),
        ("num", c_uint16),
        ("id", c_uint16),
        ("flags", c_uint16),
        ("len", c_uint32),
        ("addr", c_uint64),
    )


class DescStatePackedMerged(ctypes.Structure):
    """An entry of a packed region in merged: 32 bytes."""

    _fields_ = (
        ("inflight", c_uint8),
        ("padding", c_uint8),
        ("next", c_uint16),
        ("last", c_uint16),
        ("num", c_uint16),
        ("counter", c_uint64),
        ("id", c_uint16),
        ("flags", c_uint16),
        ("len", c_uint32),
        ("addr", c_uint64),
    )


_SPLIT_START: Final = (("features", c_uint64), ("version", c_uint16), ("desc_num", c_uint16))
_PACKED_HEADER: Final = (
    ("features", c_uint64),
    ("version", c_uint16),
    ("desc_num", c_uint16),
    ("free_head", c_uint16),
    ("old_free_head", c_uint16),
    ("used_idx", c_uint16),
    ("old_used_idx", c_uint16),
    ("used_wrap_counter", c_uint8),
    ("old_used_wrap_counter", c_uint8),
    ("padding", c_uint8 * 7),
)
_HEADERS: Final[Mapping[tuple[str, str], tuple[tuple[str, Any], ...]]] = MappingProxyType(
    {
        ("split", "v6"): (*_SPLIT_START, ("process_head", c_uint16), ("used_idx", c_uint16)),
        ("split", "merged"): (*_SPLIT_START, ("last_batch_head", c_uint16), ("used_idx", c_uint16)),
        ("packed", "v6"): _PACKED_HEADER,
        ("packed", "merged"): _PACKED_HEADER,
    },
)
_ENTRIES: Final[Mapping[tuple[str, str], type[ctypes.Structure]]] = MappingProxyType(
    {
        ("split", "v6"): DescStateSplitV6,
        ("split", "merged"): DescStateSplitMerged,
        ("packed", "v6"): DescStatePackedV6,
        ("packed", "merged"): DescStatePackedMerged,
    },
)


@lru_cache(maxsize=64)
def region_type(ring: str, revision: str, entries: int) -> type[ctypes.Structure]:
    """Return the structure of one queue's region: the text's header, and ``desc`` with ``entries`` entries.

    The list head of a split region is called ``last_batch_head`` in every revision; in v6 it also has its name in the
    text, ``process_head``. Raises UsageError for a ring, revision or number of entries that does not exist.
    """
    if ring not in RINGS:
        raise UsageError(f"there is no ring {ring!r}; the rings are {', '.join(RINGS)}")
    if revision not in REVISIONS:
        raise UsageError(f"there is no revision {revision!r}; the revisions are {', '.join(REVISIONS)}")
    if not 1 <= entries <= RING_SIZE_MAX:
        raise UsageError(f"a region of {entries} entries is not allowed")
    memory = "merged" if revision == "hardened" else revision  # hardened changes steps, not the memory
    fields = (*_HEADERS[ring, memory], ("desc", _ENTRIES[ring, memory] * entries))
    name = f"QueueRegion{ring.title()}{revision.title()}"
    made: Any = type(name, (ctypes.Structure,), {"_fields_": fields, "__doc__": f"A {ring} region of {entries}."})
    if hasattr(made, "process_head"):
        made.last_batch_head = made.process_head  # the same field under the name that the engine uses
    structure: type[ctypes.Structure] = made
    return structure


def region_size(ring: str, revision: str, entries: int, stride: str = "64") -> int:
    """Return how many bytes one queue's region takes in the shared buffer, rounded up as ``stride`` says.

    Without rounding it is what C calls the structure's size, a multiple of 8, so that the next region stays aligned.
    Raises UsageError as ``region_type`` does, and for a stride that does not exist.
    """
    if stride not in STRIDES:
        raise UsageError(f"there is no stride {stride!r}; the strides are {', '.join(STRIDES)}")
    size = ctypes.sizeof(region_type(ring, revision, entries))
    return -(-size // 64) * 64 if stride == "64" else size


def region_at(view: memoryview, ring: str, revision: str, entries: int) -> Any:
    """Lay one queue's region over the beginning of ``view``.

    Raises UsageError when the view is too short or misaligned, and as ``region_type`` does.
    """
    return overlay(region_type(ring, revision, entries), view, f"a region of {entries} entries")


_CODES: Final[Mapping[int, Any]] = MappingProxyType({1: "B", 2: "H", 4: "I", 8: "Q"})


def column(table: Any, field: str) -> list[int]:
    """Return one field of each structure in an array of them, in order: read as one copy, for what nobody else writes.

    Structure by structure the same takes ten times as long.
    """
    return _column(bytes(table), table._type_, field).tolist()


def live_column(table: Any, field: str) -> memoryview:
    """Return one field of each structure in an array of them, to be read as it is at that moment.

    Entry by entry the same takes five times as long.
    """
    return _column(table, table._type_, field).toreadonly()


def _column(content: Any, kind: Any, field: str) -> memoryview:
    """Return the numbers that a field has in each of the structures that bytes are."""
    place: Any = getattr(kind, field)
    numbers = memoryview(content).cast("B").cast(_CODES[place.size])
    return numbers[place.offset // place.size :: ctypes.sizeof(kind) // place.size]


class VringDesc(ctypes.Structure):
    """A descriptor: 16 bytes, in the table of a split ring and in an indirect table."""

    _fields_ = (("addr", c_uint64), ("len", c_uint32), ("flags", c_uint16), ("next", c_uint16))


class VringUsedElem(ctypes.Structure):
    """A used element: the head that is given back, and how many bytes the device wrote."""

    _fields_ = (("id", c_uint32), ("len", c_uint32))


class PackedDesc(ctypes.Structure):
    """A descriptor of a packed ring, or of an indirect table of one: 16 bytes. It is a used element as well."""

    _fields_ = (("addr", c_uint64), ("len", c_uint32), ("id", c_uint16), ("flags", c_uint16))


class PackedEvent(ctypes.Structure):
    """An event suppression area of a packed ring: 4 bytes; ``off_wrap`` is a slot, and in bit 15 its wrap counter."""

    _fields_ = (("off_wrap", c_uint16), ("flags", c_uint16))


class VringEvent(ctypes.Structure):
    """The event index at the end of a ring: ``used_event`` behind the available one, ``avail_event`` the used one.

    It is a structure of its own because a used ring that held it would have two bytes of tail padding, which belong to
    whatever the driver placed there.
    """

    _fields_ = (("event", c_uint16),)


@lru_cache(maxsize=64)
def avail_type(size: int) -> type[ctypes.Structure]:
    """Return the structure of an available ring of ``size`` entries, without its event index."""
    fields = (("flags", c_uint16), ("idx", c_uint16), ("ring", c_uint16 * size))
    return type("VringAvail", (ctypes.Structure,), {"_fields_": fields, "__doc__": f"An available ring of {size}."})


@lru_cache(maxsize=64)
def used_type(size: int) -> type[ctypes.Structure]:
    """Return the structure of a used ring of ``size`` entries, without its event index."""
    fields = (("flags", c_uint16), ("idx", c_uint16), ("ring", VringUsedElem * size))
    return type("VringUsed", (ctypes.Structure,), {"_fields_": fields, "__doc__": f"A used ring of {size}."})


def overlay(structure: Any, view: memoryview, what: str) -> Any:
    """Lay a ctypes structure or array over the beginning of ``view``; ``what`` it is, for an error.

    Raises UsageError when the view is too short, or its address not a multiple of the structure's alignment.
    """
    if len(view) < ctypes.sizeof(structure):
        raise UsageError(f"{what} needs {ctypes.sizeof(structure)} bytes, there are {len(view)}")
    laid = structure.from_buffer(view)
    if ctypes.addressof(laid) % ctypes.alignment(structure):
        raise UsageError(f"{what} is not aligned to {ctypes.alignment(structure)} bytes")
    return laid
