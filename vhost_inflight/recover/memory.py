"""The bytes of an input in memory, as a back-end has them mapped, and the names of the fields in it."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, NamedTuple

from refimpl.errors import FrontEndError
from refimpl.layout import PackedDesc, PackedEvent, VringDesc, avail_type, region_at, region_type, used_type
from refimpl.memory import place
from refimpl.packed.ring import EVENT_BYTES, PackedRing
from refimpl.split.ring import SplitRing
from vhost_inflight.recover.given import Given

__all__ = ["Field", "LaidMemory", "Layout", "Place", "entry_at", "fields_at", "numbers_of", "place_in", "structures"]

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


@dataclass(frozen=True, eq=False)
class Layout:
    """Where the parts of an input are in its memory, and what lies at the beginning of each, as ctypes has it.

    ``parts`` are their names, where they begin (the region first, at 0), and where they end. Inputs of the same sizes
    have the same one.
    """

    structures: Mapping[str, Any]
    parts: tuple[tuple[str, int, int], ...]

    def part_at(self, offset: int) -> tuple[str, int]:
        """Return which part a byte of the memory is in, and where the part begins."""
        for name, start, end in self.parts:
            if start <= offset < end:
                return name, start
        raise AssertionError("a store outside the memory that was laid")


class LaidMemory:
    """The parts of an input, each on its own in one piece of memory.

    ``split`` or ``packed`` is the ring, the other one None; ``region`` is the region, laid over the part ``region``.
    The memory begins at the address ``start`` of this process; ``layout`` says what is where in it.
    """

    def __init__(self, given: Given) -> None:
        """Lay the parts. Raises FrontEndError for sizes that are not allowed, do not fit, or are more than the bytes.

        A split ring may be given without its event indexes: recovery reads none.
        """
        self._given = given
        lengths = {"region": len(given.region)}
        for name, part in given.parts.items():
            lengths[name] = len(part) + (_EVENT_INDEX if name in {"available", "used"} else 0)
        parts = _parts_of(tuple(lengths.items()))
        self._views = _views(parts)
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
        self.start = ctypes.addressof(self.region)
        self.layout = _layout(given.ring, given.revision, given.queue_size, given.region_size, parts)
        indexes = (views["used"][2:4], views["available"][2:4]) if given.ring == "split" else ()
        self._numbers = (views["region"][: type(self.region).desc.offset], *indexes)

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

    def where(self, target: Any, field: str | int) -> tuple[str, int, int]:
        """Return where a field, or an array's element, is: its part, the offset there and its width, in bytes."""
        address, width = place(target, field)
        part, start = self.layout.part_at(address - self.start)
        return part, address - self.start - start, width

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

    def numbers(self) -> bytes:
        """Return the bytes of the numbers that a recovery turns on; `numbers_of` gives them their names."""
        return b"".join(self._numbers)


def numbers_of(given: Given, content: bytes) -> dict[str, int]:
    """Return the numbers that a recovery turns on: the region's header, and the indexes of a split ring."""
    region = region_type(given.ring, given.revision, given.region_size)
    found = {
        name: content[at : at + width] for name, at, width, kind in _parts(region) if not hasattr(kind, "_length_")
    }
    if given.ring == "split":
        found |= {"used.idx": content[-4:-2], "avail.idx": content[-2:]}
    return {name: int.from_bytes(stored, sys.byteorder) for name, stored in found.items()}


def structures(ring: str, revision: str, queue_size: int, region_size: int) -> Mapping[str, Any]:
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


@lru_cache(maxsize=64)
def _parts_of(lengths: tuple[tuple[str, int], ...]) -> tuple[tuple[str, int, int], ...]:
    """Return where each part begins and ends, given how long they are."""
    found, start = [], 0
    for name, length in lengths:
        found.append((name, start, start + length))
        start += -(-length // _APART) * _APART
    return tuple(found)


@lru_cache(maxsize=64)
def _layout(
    ring: str, revision: str, queue_size: int, region_size: int, parts: tuple[tuple[str, int, int], ...]
) -> Layout:
    """Return the layout of inputs of these sizes."""
    return Layout(structures(ring, revision, queue_size, region_size), parts)


def _views(parts: tuple[tuple[str, int, int], ...]) -> dict[str, memoryview]:
    """Return a view for each part, in one piece of memory that lives as long as they do.

    Nobody else sees this memory, so it is the process's own: a shared mapping takes a hundred times as long to get.
    """
    memory = memoryview(bytearray(parts[-1][2] + _APART))
    aligned = memory[-ctypes.addressof(ctypes.c_char.from_buffer(memory)) % _APART :]
    return {name: aligned[start:end] for name, start, end in parts}


def place_in(structure: Any, part: str, offset: int, width: int) -> Place:
    """Return the place of ``width`` bytes at an offset of a part, where a structure lies."""
    fields = fields_at(structure, offset, offset + width)
    names = [fields[0].name, *([fields[-1].name] if len(fields) > 1 else [])]
    where = "..".join(f"{part}{'' if name.startswith('[') else '.'}{name}" for name in names)
    return Place(part, offset, fields, where)


def entry_at(structure: Any, part: str, offset: int) -> int | None:
    """Return the number of the entry, or slot, that a place in a part is in; None in another part, or the header."""
    if part == "descriptors":
        return offset // 16
    if part == "region" and offset >= structure.desc.offset:
        table = _parts(structure)[-1]  # desc, the last field
        return (offset - table[1]) // ctypes.sizeof(table[3]._type_)
    return None


@lru_cache(maxsize=1024)
def fields_at(kind: Any, start: int, end: int) -> tuple[Field, ...]:
    """Return the plain fields of a structure or array that have bytes from ``start`` to ``end``, in order.

    Those of an entry are the same in each entry of a table, which is why they are kept.
    """
    if hasattr(kind, "_length_"):
        width = ctypes.sizeof(kind._type_)
        first, last = max(0, start // width), min(kind._length_, -(-end // width))
        parts = [(f"[{number}]", number * width, width, kind._type_) for number in range(first, last)]
    elif hasattr(kind, "_fields_"):
        parts = [part for part in _parts(kind) if part[1] < end and start < part[1] + part[2]]
    else:
        return (Field("", 0, ctypes.sizeof(kind)),)
    found = []
    for name, at, width, part in parts:
        for inner in fields_at(part, max(0, start - at), min(width, end - at)):
            dot = "." if inner.name and not inner.name.startswith("[") else ""
            found.append(Field(f"{name}{dot}{inner.name}", at + inner.offset, inner.width))
    return tuple(found)


@lru_cache(maxsize=64)
def _parts(structure: Any) -> list[tuple[str, int, int, Any]]:
    """Return each field of a structure: its name, where it begins, how many bytes it has, and what it is."""
    return [(name, getattr(structure, name).offset, ctypes.sizeof(kind), kind) for name, kind in structure._fields_]
