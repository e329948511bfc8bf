"""The bytes of an input in real shared memory, and the names of the fields in it."""

from __future__ import annotations

import ctypes
from functools import lru_cache
from typing import Any, Final, NamedTuple

from refimpl.errors import FrontEndError
from refimpl.layout import PackedDesc, PackedEvent, VringDesc, avail_type, region_at, region_type, used_type
from refimpl.memory import SharedMemory
from refimpl.packed.ring import EVENT_BYTES, PackedRing
from refimpl.split.ring import SplitRing
from vhost_inflight.recover.given import Given

__all__ = ["Field", "LaidMemory", "Place", "fields_at", "place_in", "structures"]

_EVENT_INDEX: Final = 2  # bytes behind the two rings of a split ring, which need not be given
_APART: Final = 64


class Field(NamedTuple):
    """A field of shared memory: its name (``desc[3].inflight``), its offset in its part and its width, in bytes."""

    name: str
    offset: int
    width: int


class Place(NamedTuple):
    """A place that was stored to: which part, the offset in it in bytes, and the fields that lie there, in order.

    ``where`` is the name of the field with its part; of several fields the first and the last.
    """

    memory: str
    offset: int
    fields: tuple[Field, ...]
    where: str


class LaidMemory:
    """The parts of an input, each on its own in one mapping.

    ``split`` or ``packed`` is the ring, the other one None; ``region`` is the region, laid over the part ``region``;
    ``structures`` is what lies at the beginning of each part, as ctypes has it.
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
        self.structures = structures(given.ring, given.revision, given.queue_size, given.region_size)
        spans = ((name, _address(view), len(view)) for name, view in self._views.items() if len(view))
        self._spans = [(name, start, start + length) for name, start, length in spans]
        self._header = [name for name, kind in type(self.region)._fields_ if not hasattr(kind, "_length_")]

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

    def where(self, address: int) -> tuple[str, int]:
        """Return which part an address of this process is in, and the offset there in bytes."""
        for name, start, end in self._spans:
            if start <= address < end:
                return name, address - start
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
        found: dict[str, int] = {name: getattr(self.region, name) for name in self._header}
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


def place_in(structure: Any, part: str, offset: int, width: int) -> Place:
    """Return the place of ``width`` bytes at an offset of a part, where a structure lies."""
    fields = fields_at(structure, offset, offset + width)
    names = [fields[0].name, *([fields[-1].name] if len(fields) > 1 else [])]
    where = "..".join(f"{part}{'' if name.startswith('[') else '.'}{name}" for name in names)
    return Place(part, offset, fields, where)


@lru_cache(maxsize=1024)
def fields_at(kind: Any, start: int, end: int) -> tuple[Field, ...]:
    """Return the plain fields of a structure or array that have bytes from ``start`` to ``end``, in order.

    Those of an entry are the same in each entry of a table, which is why they are kept.
    """
    if hasattr(kind, "_length_"):
        width = ctypes.sizeof(kind._type_)
        first, last = max(0, start // width), min(kind._length_, -(-end // width))
        parts = [(f"[{number}]", number * width, kind._type_) for number in range(first, last)]
    elif hasattr(kind, "_fields_"):
        parts = [(name, getattr(kind, name).offset, part) for name, part in kind._fields_]
    else:
        return (Field("", 0, ctypes.sizeof(kind)),)
    found = []
    for name, at, part in parts:
        if at < end and start < at + ctypes.sizeof(part):
            for inner in fields_at(part, max(0, start - at), min(ctypes.sizeof(part), end - at)):
                dot = "." if inner.name and not inner.name.startswith("[") else ""
                found.append(Field(f"{name}{dot}{inner.name}", at + inner.offset, inner.width))
    return tuple(found)
