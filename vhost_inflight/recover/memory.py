"""The bytes of an input in real shared memory, and the names of the fields in it."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from refimpl.errors import FrontEndError
from refimpl.layout import PackedDesc, PackedEvent, VringDesc, avail_type, region_at, region_type, used_type
from refimpl.memory import SharedMemory
from refimpl.packed.ring import EVENT_BYTES, PackedRing
from refimpl.split.ring import SplitRing
from vhost_inflight.recover.given import Given

__all__ = ["Field", "LaidMemory", "Place", "fields_at", "structures"]

_EVENT_INDEX: Final = 2  # bytes behind the two rings of a split ring, which need not be given
_APART: Final = 64


@dataclass(frozen=True, slots=True)
class Field:
    """A field of shared memory: its name (``desc[3].inflight``), its offset in its part and its width, in bytes."""

    name: str
    offset: int
    width: int


@dataclass(frozen=True, slots=True)
class Place:
    """A place that was stored to: which part, the offset in it in bytes, and the fields that lie there, in order."""

    memory: str
    offset: int
    fields: tuple[Field, ...]

    @property
    def where(self) -> str:
        """The name of the field with its part; of several fields the first and the last."""
        names = [self.fields[0].name, *([self.fields[-1].name] if len(self.fields) > 1 else [])]
        return "..".join(f"{self.memory}{'' if name.startswith('[') else '.'}{name}" for name in names)


class LaidMemory:
    """The parts of an input, each on its own in one mapping.

    ``split`` or ``packed`` is the ring, the other one None; ``region`` is the region, laid over the part ``region``.
    """

    def __init__(self, given: Given) -> None:
        """Lay the parts. Raises FrontEndError for sizes that are not allowed, do not fit, or are more than the bytes.

        A split ring may be given without its event indexes: recovery reads none.
        """
        self._given = given
        lengths = {"region": len(given.region)}
        for name, part in given.parts.items():
            lengths[name] = len(part) + (_EVENT_INDEX if name in {"available", "used"} else 0)
        self._views = _views(lengths)
        for name, part in (("region", given.region), *given.parts.items()):
            self._views[name][: len(part)] = part
        _check_parts(given)
        self.split: SplitRing | None = None
        self.packed: PackedRing | None = None
        views = self._views
        if given.ring == "packed":
            self.packed = PackedRing(
                given.queue_size, views["descriptors"], views["driver_event"], views["device_event"]
            )
        else:
            self.split = SplitRing(given.queue_size, views["descriptors"], views["available"], views["used"])
        self.region: Any = self._lay_region()
        self._structures = structures(given.ring, given.revision, given.queue_size, given.region_size)
        self._starts = {name: _address(view) for name, view in self._views.items() if len(view)}

    def _lay_region(self) -> Any:
        """Lay the region; its size is the front-end's word, as the bytes of the shared buffer are."""
        given = self._given
        entries, size = given.region_size, given.queue_size
        if entries == 0 or entries > 32768:
            raise FrontEndError(f"a region of {entries} entries is not allowed")
        if entries < size and given.choices.region_size != "smaller":
            raise FrontEndError(f"the ring has {size} entries, its region {entries}; it has to have as many")
        needed = ctypes.sizeof(region_type(given.ring, given.revision, entries))
        there = len(given.region)
        if there < needed:
            of_v6 = ctypes.sizeof(region_type(given.ring, "v6", entries)) <= there and given.revision != "v6"
            hint = " (a region of v6, which has smaller entries, has so many: --revision v6)" if of_v6 else ""
            raise FrontEndError(f"a region of {entries} entries needs {needed} bytes, there are {there}{hint}")
        return region_at(self._views["region"], given.ring, given.revision, entries)

    def place(self, address: int, width: int) -> Place:
        """Return the place of ``width`` bytes at an address of this process, which are inside one structure."""
        for name, start in self._starts.items():
            offset = address - start
            if 0 <= offset < len(self._views[name]):
                return Place(name, offset, tuple(fields_at(self._structures[name], "", 0, offset, offset + width)))
        raise AssertionError("a store outside the memory that was laid")

    def now(self) -> dict[str, bytes]:
        """Return the bytes of each part, as long as they were given."""
        parts = {"region": self._given.region, **self._given.parts}
        return {name: bytes(self._views[name][: len(part)]) for name, part in parts.items()}

    def put(self, part: str, offset: int, content: bytes) -> None:
        """Store bytes to a part, as somebody else does. Raises FrontEndError for a place outside of it."""
        view = self._views.get(part)
        if view is None or offset + len(content) > len(view):
            raise FrontEndError(f"{len(content)} bytes at byte {offset} of {part} are not all in it")
        view[offset : offset + len(content)] = content

    def header(self) -> dict[str, int]:
        """Return the numbers that a recovery turns on: the region's header, and the indexes of a split ring."""
        names = [name for name, kind in type(self.region)._fields_ if not hasattr(kind, "_length_")]
        found = {name: int(getattr(self.region, name)) for name in names}
        if self.split is not None:
            found |= {"used.idx": self.split.used.idx, "avail.idx": self.split.avail.idx}
        return found


def structures(ring: str, revision: str, queue_size: int, region_size: int) -> dict[str, Any]:
    """Return what lies at the beginning of each part, as ctypes has it.

    Raises UsageError for a ring, a revision or a number of entries that there is not.
    """
    region = {"region": region_type(ring, revision, region_size)}
    if ring == "packed":
        return region | {
            "descriptors": PackedDesc * queue_size,
            "driver_event": PackedEvent,
            "device_event": PackedEvent,
        }
    return region | {
        "descriptors": VringDesc * queue_size,
        "available": avail_type(queue_size),
        "used": used_type(queue_size),
    }


def _check_parts(given: Given) -> None:
    """Refuse parts of a ring with fewer bytes than its size needs. Raises FrontEndError."""
    size = given.queue_size
    needed = {"descriptors": 16 * size, "available": 4 + 2 * size, "used": 4 + 8 * size}
    needed |= dict.fromkeys(("driver_event", "device_event"), EVENT_BYTES)
    for name, part in given.parts.items():
        if len(part) < needed[name]:
            what = f"ring_memory.{name} of a {given.ring} ring of {size}"
            raise FrontEndError(f"{what} needs {needed[name]} bytes, there are {len(part)}")


def _views(lengths: dict[str, int]) -> dict[str, memoryview]:
    """Return a view for each part, in one new mapping that lives as long as they do."""
    starts, end = {}, 0
    for name, length in lengths.items():
        starts[name] = end
        end += -(-length // _APART) * _APART
    with SharedMemory.create(end + _APART, "vhost-inflight recover") as memory:
        return {name: memory.view(starts[name], length) for name, length in lengths.items()}


def _address(view: memoryview) -> int:
    """Return the address of the first byte of a view."""
    return ctypes.addressof(ctypes.c_char.from_buffer(view))


def fields_at(kind: Any, name: str, at: int, start: int, end: int) -> Iterator[Field]:
    """Yield the plain fields of a structure or array at offset ``at`` that have bytes from ``start`` to ``end``."""
    if at >= end or at + ctypes.sizeof(kind) <= start:
        return
    if hasattr(kind, "_length_"):
        width = ctypes.sizeof(kind._type_)
        first, last = max(0, (start - at) // width), min(kind._length_, -(-(end - at) // width))
        for number in range(first, last):
            yield from fields_at(kind._type_, f"{name}[{number}]", at + number * width, start, end)
    elif hasattr(kind, "_fields_"):
        for part, part_kind in kind._fields_:
            inner = f"{name}.{part}" if name else part
            yield from fields_at(part_kind, inner, at + getattr(kind, part).offset, start, end)
    else:
        yield Field(name, at, ctypes.sizeof(kind))
