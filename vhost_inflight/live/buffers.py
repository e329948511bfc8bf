"""What a shared buffer holds: the layout of its regions, how many there are, where each begins. No I/O.

The bytes do not say what they are: each layout that is known is tried, and those remain under which every field makes
sense. One that nobody is known to use is believed only where no other is left.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from refimpl.choices import RINGS, Choices
from refimpl.layout import HEADER_PADDING, RING_SIZE_MAX, VERSION, column, region_type
from refimpl.names import counted
from refimpl.packed.padding import begins_early
from vhost_inflight.recover.raw import EARLY, strides

__all__ = ["LAYOUTS", "Known", "Reading", "readings", "sure"]

LAYOUTS: Final = ("merged", "v6")
"""The layouts of the text, by the revision that has it first; that of all back-ends that are known is the first."""

_PAGE: Final = 4096
_HEADER: Final = slice(8, 12)  # version and desc_num, in every layout
_BEGUN: Final = struct.pack("=QH", 0, VERSION)  # no features, and the version
_PLACES_MAX: Final = 1000


@dataclass(frozen=True, slots=True)
class Known:
    """What somebody says of a buffer, None where nobody does; ``stride`` is from one region to the next, in bytes."""

    ring: str | None = None
    layout: str | None = None
    entries: int | None = None
    queues: int | None = None
    stride: int | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """A way to read a buffer: ``queues`` regions of ``entries`` entries, ``stride`` bytes apart, which ``apart`` names.

    ``rank`` is how much has to be believed for it, least first.
    """

    ring: str
    layout: str
    entries: int
    queues: int
    stride: int
    apart: str
    rank: tuple[int, int, int]

    @property
    def choices(self) -> Choices:
        """What `recover` is to follow, if nobody says otherwise: what is proved for the ring and has this layout."""
        return Choices(ring=self.ring, revision="v6" if self.layout == "v6" else "")

    @property
    def words(self) -> str:
        """Say what it is, for a table."""
        said = f"{self.ring} ring, layout of {self.layout}, {counted(self.queues, 'queue')} of {self.entries} entries"
        if self.queues == 1 and self.apart != EARLY:
            return said
        return f"{said}, {self.stride} bytes apart ({self.apart})"

    def region(self, content: bytes, queue: int) -> Any:
        """Return a copy of one queue's region; of one without C's padding the bytes as they are, and zeros behind."""
        structure: Any = region_type(self.ring, self.layout, self.entries)
        size, begin = ctypes.sizeof(structure), queue * self.stride
        taken = content[begin : begin + size - (HEADER_PADDING if self.apart == EARLY else 0)]
        return structure.from_buffer_copy(taken.ljust(size, b"\0"))

    def table(self, content: bytes) -> list[dict[str, Any]]:
        """Return of each queue where its region is, the fields of its header, and the entries marked inflight."""
        return [self._row(content, queue) for queue in range(self.queues)]

    def _row(self, content: bytes, queue: int) -> dict[str, Any]:
        region = self.region(content, queue)
        names = [name for name, kind in region._fields_ if not hasattr(kind, "_length_")]  # no padding, no entries
        marks = column(_entries(region, early=self.apart == EARLY), "inflight")
        return {
            "queue": queue,
            "offset": queue * self.stride,
            **{name: getattr(region, name) for name in names},
            "inflight": [number for number, mark in enumerate(marks) if mark],
        }


def readings(content: bytes, known: Known | None = None, *, fresh: bool = False) -> list[Reading]:
    """Return each way to read a shared buffer that makes sense, the one that takes least to be believed first.

    One region at least has to be initialised, unless ``fresh`` says that the buffer is known to be one. Then it may be
    damaged, too: where nothing makes sense, what has the right size is returned.
    """
    if not fresh and not any(content):
        return []
    tried = sorted(_tried(content, known or Known()), key=lambda reading: reading.rank)
    found = [reading for reading in tried if _makes_sense(reading, content, fresh=fresh)]
    return found or (tried if fresh else [])


def sure(found: list[Reading]) -> bool:
    """Return whether the first of some readings takes less to be believed than all others."""
    return len(found) == 1 or (len(found) > 1 and found[0].rank < found[1].rank)


def _begun(content: bytes) -> list[tuple[int, int]]:
    """Return where initialised regions may begin, with their desc_num: the first one, or later ones where it is fresh.

    Of a file in which there are a thousand such places, none is the beginning of a region.
    """
    version, number = _said(content, 0)
    if version:
        return [(0, number)] if version == VERSION else []
    found, at = list[tuple[int, int]](), content.find(_BEGUN)
    while at >= 0 and len(found) < _PLACES_MAX:
        found.append((at, _said(content, at)[1]))
        at = content.find(_BEGUN, at + 1)
    return found if at < 0 else []


def _sizes(begun: list[tuple[int, int]], ring: str, layout: str) -> list[int]:
    """Return the numbers of entries that regions may have which begin there."""
    possible = ((at, number) for at, number in begun if 1 <= number <= RING_SIZE_MAX)
    return sorted({n for at, n in possible if not at or any(not at % each for each in strides(ring, layout, n))})


def _said(content: bytes, begin: int) -> tuple[int, int]:
    """Return version and desc_num of the region that begins there."""
    version, number = memoryview(content[begin : begin + 12][_HEADER].ljust(4, b"\0")).cast("H")
    return version, number


def _tried(content: bytes, known: Known) -> Iterator[Reading]:
    """Yield the readings that a buffer is long enough for."""
    begun = [] if known.entries else _begun(content)
    for ring in (known.ring,) if known.ring else RINGS:
        for rank, layout in enumerate(LAYOUTS):
            if known.layout in {None, layout}:
                for entries in (known.entries,) if known.entries else _sizes(begun, ring, layout):
                    yield from _apart(content, (ring, layout, entries), rank, known)


def _apart(content: bytes, shape: tuple[str, str, int], rank: int, known: Known) -> Iterator[Reading]:
    """Yield the readings of one shape (ring, layout, entries), one for each stride."""
    alone = False
    for order, (stride, apart) in enumerate(_strides(shape, known.stride).items()):
        plain = ctypes.sizeof(region_type(*shape)) - (HEADER_PADDING if apart == EARLY else 0)
        exact = _exact(len(content), stride, plain)
        queues = known.queues or exact or _in_pages(content, stride)
        if not queues or (queues - 1) * stride + plain > len(content):
            continue
        if queues == 1 and alone and apart != EARLY:
            continue  # the same region, whatever the stride
        alone = alone or queues == 1
        yield Reading(*shape, queues, stride, apart, (rank, exact != queues, order))


def _strides(shape: tuple[str, str, int], told: int | None) -> dict[int, str]:
    """Return the strides to try, each with its name: those that are known, or the one that is told."""
    known = strides(*shape)
    return known if told is None else {told: known.get(told, "as told")}


def _exact(size: int, stride: int, plain: int) -> int:
    """Return how many regions fill a buffer, the last one rounded up or not; 0: no number does."""
    if size % stride == 0:
        return size // stride
    return (size - plain) // stride + 1 if size >= plain and (size - plain) % stride == 0 else 0


def _in_pages(content: bytes, stride: int) -> int:
    """Return how many regions there are in a buffer of whole pages, with nothing but zeros behind the last."""
    queues = len(content) // stride
    return queues if not len(content) % _PAGE and not any(content[queues * stride :]) else 0


def _makes_sense(reading: Reading, content: bytes, *, fresh: bool) -> bool:
    """Return whether the regions can be what a back-end left, and one of them is initialised, or may be fresh."""
    early = reading.apart == EARLY
    regions = [reading.region(content, queue) for queue in range(reading.queues)]
    begun = [region for region in regions if region.version]
    if not (begun or fresh) or not all(_possible(region, early=early) for region in regions):
        return False
    if reading.ring == "split" or not begun:
        return True
    lacks = any(begins_early(region) for region in begun)
    exact = not reading.rank[1]
    return (lacks or exact) if early else not lacks


def _possible(region: Any, *, early: bool) -> bool:
    """Return whether every field has a value that it may have, in whatever step a back-end died."""
    table, number = _entries(region, early=early), len(region.desc)
    if region.features or region.version not in {0, VERSION}:
        return False
    if region.desc_num != number and (region.version or region.desc_num):
        return False
    if hasattr(region, "free_head"):
        heads = max(region.free_head, region.old_free_head)
        wraps = max(region.used_wrap_counter, region.old_used_wrap_counter)
        places = max(region.used_idx, region.old_used_idx)
        if heads > number or wraps > 1 or places >= RING_SIZE_MAX or any(region.padding):
            return False
        limits = {"inflight": 1, "next": number, "last": number, "num": number}
    else:
        if region.last_batch_head >= number:
            return False
        limits = {"inflight": 1, "next": number - 1}
    return all(max(column(table, name)) <= limit for name, limit in limits.items()) and _padded(table)


def _padded(table: Any) -> bool:
    """Return whether the padding of each entry is zero."""
    entry, content = table._type_, bytes(table)
    begin, width = entry.padding.offset, entry.padding.size
    size = ctypes.sizeof(entry)
    return not any(any(content[at::size]) for at in range(begin, begin + width))


def _entries(region: Any, *, early: bool) -> Any:
    """Return the entries of a region, as they are where C's padding before them is missing."""
    begin = type(region).desc.offset - HEADER_PADDING
    return type(region.desc).from_buffer_copy(bytes(region), begin) if early else region.desc
