"""The bytes of shared memory that the model's state stands for, the state that bytes stand for, and a step's stores.

The model says a descriptor in one number; here it becomes an address. `Style` says what else is in a descriptor: the
model knows no lengths, no write flags, no chains of a split ring and no indirect tables, since nothing in the text
turns on them. They are made here, and read past again.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Literal

from model import layout
from model.interpret import Machine, StateTuple
from model.record import Assign, c_field
from model.terms import Term
from vhost_inflight.vectors.form import PARTS, Store

__all__ = ["RAW", "STYLES", "Images", "Style", "Where"]

_BITS = {"next": 0, "avail": 7, "used": 15}
_OFF_WRAP = {"slot": 0, "wrap": 15}
_NEXT, _WRITE, _INDIRECT = 1, 2, 4
_BUFFERS, _TABLES, _ABOVE = 0x100000, 0x40000000, 0x123400000000
_LENGTH, _LONG = 512, 0x10000


@dataclass(frozen=True)
class Style:
    """What a descriptor is besides its number.

    `plain`: one buffer for the device to write to. `chain` (split): a buffer to read, in the head, and one to write, in
    the entry after it. `indirect`: a table in the guest's memory, with as many buffers as the number says. `mixed`
    (split): a buffer to read, in the head, and such a table, in the entry after it. `wide`: as `plain`, at an address
    that needs more than 32 bits, of a length that needs more than 16. `raw`: the number alone, as an address.
    """

    name: str

    @property
    def far(self) -> bool:
        """Whether descriptors lead to tables in the guest's memory."""
        return self.name in ("indirect", "mixed")

    def address(self, number: int) -> int:
        """Give the address that a number stands for; 0 stands for itself."""
        if self.name == "raw" or not number:
            return number
        return {"indirect": _TABLES, "wide": _ABOVE}.get(self.name, _BUFFERS) + number * 4096

    def number(self, address: int) -> int:
        """Give the number that an address stands for."""
        if self.name == "raw" or not address:
            return address
        above = _ABOVE if self.name == "wide" else _BUFFERS
        return (address - (_TABLES if _TABLES <= address < _ABOVE else above)) // 4096

    def length(self, number: int) -> int:
        """Give the length that a packed ring's len of a number is: of a table, 16 bytes a descriptor."""
        return number * 16 if self.far else number + self._more()

    def number_of_length(self, length: int) -> int:
        """Give the number that a len of a packed ring stands for."""
        return length // 16 if self.far else length - self._more()

    def _more(self) -> int:
        return _LONG if self.name == "wide" else 0

    def flags(self, number: int, *, more: bool) -> int:
        """Give the flags of a descriptor besides NEXT, AVAIL and USED; `more`: the chain goes on."""
        if self.name == "raw" or not number:
            return 0
        return _INDIRECT if self.name == "indirect" else 0 if more else _WRITE

    def head(self, head: int, number: int) -> list[tuple[int, bytes]]:
        """Give the entries of a split ring's descriptor table for a head: the number of each, and its bytes."""
        if self.name == "raw" or not number:
            return [(head, struct.pack("<QIHH", number, 0, 0, 0))]
        address = self.address(number)
        if self.name == "mixed":
            table = struct.pack("<QIHH", _TABLES + number * 4096, self.length(number), _INDIRECT, 0)
            return [(head + 1, table), (head, struct.pack("<QIHH", address, _LENGTH, _NEXT, head + 1))]
        if self.name == "chain":
            return [(head + 1, struct.pack("<QIHH", address + _LENGTH, 1, _WRITE, 0)),
                    (head, struct.pack("<QIHH", address, _LENGTH, _NEXT, head + 1))]  # fmt: skip
        length = _LENGTH if self.name == "plain" else self.length(number)
        return [(head, struct.pack("<QIHH", address, length, self.flags(number, more=False), 0))]

    def memory(self, numbers: Iterable[int], ring: str) -> tuple[tuple[int, bytes], ...]:
        """Give the pieces of the guest's memory that descriptors lead to."""
        if not self.far:
            return ()
        return tuple((_TABLES + number * 4096, _table(number, ring)) for number in sorted(set(numbers) - {0}))


def _table(number: int, ring: str) -> bytes:
    """Give the indirect table of a descriptor: buffers to read, and a last one to write. A packed one has no links."""
    made = b""
    for entry in range(1, number + 1):
        flags, following = (_NEXT, entry) if entry < number else (_WRITE, 0)
        last = (flags, following) if ring == "split" else (0, flags & _WRITE)
        made += struct.pack("<QIHH", _BUFFERS + number * 4096 + 64 * entry, 64, *last)
    return made


RAW = Style("raw")
STYLES = {name: Style(name) for name in ("plain", "chain", "indirect", "mixed", "wide")}


@dataclass(frozen=True, slots=True)
class Where:
    """Where a C field lies: its part, the offset of the first of its kind, how far the next one is, its width."""

    part: str
    start: int
    step: int
    width: int

    def offset(self, index: int) -> int:
        """Give the offset of one of them; of a field that is no array, number 0."""
        return self.start + index * self.step


_ENTRY = "region.desc[]."
_OF_STYLE = ("desc[].addr", "desc[].len", "desc[].flags")
_CODES = {1: "B", 2: "H", 4: "I", 8: "Q"}

Numbers = list[tuple[int, int, int | None]]
"""What a C field is made of: the place of each variable in a state, how far it is shifted, which of its elements."""


def _places(ring: str, size: int, region: layout.Region) -> dict[str, Where]:
    """Give each C field's place, by its name in the model."""
    places = {_region_name(f.name): Where("region", f.offset, 0, f.width) for f in region.header.fields}
    for f in region.entry.fields:
        places[_ENTRY + f.name] = Where("region", region.offset(0) + f.offset, region.entry.size, f.width)
    if ring == "split":
        return places | {
            "table": Where("descriptors", 0, 16, 16),
            "avail.idx": Where("available", 2, 0, 2),
            "avail.ring": Where("available", 4, 2, 2),
            "avail.used_event": Where("available", 4 + 2 * size, 0, 2),
            "used.idx": Where("used", 2, 0, 2),
            "used.ring[].id": Where("used", 4, 8, 4),
            "used.ring[].len": Where("used", 8, 8, 4),
            "used.avail_event": Where("used", 4 + 8 * size, 0, 2),
        }
    fields = {"addr": (0, 8), "len": (8, 4), "id": (12, 2), "flags": (14, 2)}
    return (
        places
        | {f"ring.desc[].{name}": Where("descriptors", at, 16, width) for name, (at, width) in fields.items()}
        | {
            "driver_event.off_wrap": Where("driver_event", 0, 0, 2),
            "driver_event.flags": Where("driver_event", 2, 0, 2),
            "device_event.flags": Where("device_event", 2, 0, 2),
        }
    )


def _region_name(field: str) -> str:
    return f"region.{'last_batch_head' if field == 'process_head' else field}"


class Images:
    """The bytes of one machine's states; `order` is that of the bytes of a number."""

    def __init__(
        self, machine: Machine, region: layout.Region, style: Style, order: Literal["little", "big"] = "little"
    ) -> None:
        """Find where each variable lies."""
        self.machine, self.region, self.style, self.order = machine, region, style, order
        self.ring, self.size, self.entries = machine.table.ring, machine.sizes.size, machine.sizes.entries
        self.places = _places(self.ring, self.size, region)
        self.fields = list(self._fields())
        self._members = {field: members for field, _, members, _ in self.fields}
        self._indexes: dict[tuple[int, str], Any] = {}
        self._plain = {part: self._laid_out(part, length) for part, length in self.lengths().items()}

    def _is_plain(self, field: str) -> bool:
        """Whether the bytes of a field are its numbers; those of descriptors depend on the style, unless it is raw."""
        return field != "table" and (self.style.name == "raw" or not field.endswith(_OF_STYLE))

    def _laid_out(self, part: str, length: int) -> tuple[struct.Struct, list[Numbers]]:
        """Give how the plain fields of a part lie in it, and the numbers that each is made of, in that order."""
        found: list[tuple[int, int, Numbers]] = []
        for field, where, of, count in self.fields:
            if where.part == part and self._is_plain(field):
                for index in range(count):
                    element = index if where.step else None
                    numbers = [(place, shift, element) for place, shift, _ in of]
                    found.append((where.offset(index), where.width, numbers))
        found.sort(key=itemgetter(0))
        codes, end = "<" if self.order == "little" else ">", 0
        for offset, width, _ in found:
            codes, end = f"{codes}{offset - end}x{_CODES[width]}", offset + width
        return struct.Struct(f"{codes}{length - end}x"), [numbers for *_, numbers in found]

    def _fields(self) -> Iterator[tuple[str, Where, list[tuple[int, int, int]], int]]:
        """Give each field that the model has: its name, where, its variables (place, shift, width), how many."""
        members: dict[str, list[tuple[int, int, int]]] = {}
        for name, var in self.machine.vars.items():
            field, bit = c_field(name), name.rpartition(".")[2]
            shift = {**_BITS, **_OFF_WRAP}[bit] if field != name else 0
            if field in self.places and var.kind in ("region", "ring"):
                members.setdefault(field, []).append((self.machine.place[name], shift, var.width))
        for field, found in members.items():
            of_region = self.places[field].part == "region"
            count = 1 if not self.places[field].step else self.entries if of_region else self.size
            yield field, self.places[field], found, count

    def lengths(self) -> dict[str, int]:
        """Give how long each part is."""
        ring = {
            "split": {"descriptors": 16 * self.size, "available": 6 + 2 * self.size, "used": 6 + 8 * self.size},
            "packed": {"descriptors": 16 * self.size, "driver_event": 4, "device_event": 4},
        }[self.ring]
        return {"region": self.region.size(self.entries)} | ring

    def parts(self, state: StateTuple) -> dict[str, bytes]:
        """Give the bytes of each part."""
        made: dict[str, bytearray] = {}
        for part, (layout_of_it, numbers) in self._plain.items():
            values = []
            for of in numbers:
                value = 0
                for place, shift, index in of:
                    held = state[place]
                    value |= (held if index is None else held[index]) << shift
                values.append(value)
            made[part] = bytearray(layout_of_it.pack(*values))
        for field, where, _, count in self.fields:
            if self._is_plain(field):
                continue
            into = made[where.part]
            for index in range(count):
                for offset, data in self._written(field, state, index):
                    into[offset : offset + len(data)] = data
        return {name: bytes(data) for name, data in made.items()}

    def _written(self, field: str, state: StateTuple, index: int) -> list[tuple[int, bytes]]:
        """Give the bytes of one field, and where in its part they are."""
        place, where = self.machine.place, self.places[field]
        if field == "table":
            number = state[place["table"]][index]
            return [(16 * at, data) for at, data in self.style.head(index, number)] if number else []
        value = self._value(field, state, index)
        if field.endswith("desc[].addr"):
            value = self.style.address(value)
        if field.endswith("desc[].len"):
            value = self.style.length(value)
        if field.endswith("desc[].flags"):
            desc = field.removesuffix("flags")
            bit = {b: state[place[f"{field}.{b}"]][index] for b in _BITS}
            if bit["avail"] != bit["used"]:  # the driver's, not a used element's
                value |= self.style.flags(state[place[f"{desc}addr"]][index], more=bool(bit["next"]))
        return [(where.offset(index), value.to_bytes(where.width, self.order))]

    def _value(self, field: str, state: StateTuple, index: int) -> int:
        value = 0
        for place, shift, _ in self._members[field]:
            held = state[place]
            value |= (held[index] if isinstance(held, tuple) else held) << shift
        return value

    def read(self, state: StateTuple, parts: Mapping[str, bytes | bytearray]) -> StateTuple:
        """Give the state with what these bytes say."""
        new = list(state)
        for field, where, members, count in self.fields:
            data = parts[where.part]
            values = [self._read(field, where, data, index) for index in range(count)]
            for place, shift, width in members:
                held = [value >> shift & ((1 << width) - 1) for value in values]
                new[place] = (*held, *state[place][count:]) if isinstance(state[place], tuple) else held[0]
        return tuple(new)

    def _read(self, field: str, where: Where, data: bytes | bytearray, index: int) -> int:
        at, width = where.offset(index), 8 if field == "table" else where.width
        value = int.from_bytes(data[at : at + width], self.order)
        if field.endswith("desc[].len"):
            return self.style.number_of_length(value)
        return self.style.number(value) if field == "table" or field.endswith("desc[].addr") else value

    def stores(self, number: int, chosen: int, before: StateTuple, after: StateTuple) -> list[Store]:
        """Give what a step stores, by its number in the machine; a store that changes nothing too."""
        found: list[Store] = []
        for field, index in self._stored(number, chosen, before):
            if field == "call":
                found.append(Store("call", 0, b"\1"))
            else:
                found += [Store(self.places[field].part, *one) for one in self._written(field, after, index)]
        return found

    def _stored(self, number: int, chosen: int, before: StateTuple) -> list[tuple[str, int]]:
        seen: dict[tuple[str, int], None] = {}
        for assign in self.machine.steps[number].assigns:
            field = c_field(assign.name)
            if field in self.places or field == "call":
                seen[field, self._index(number, assign, before, chosen)] = None
        return list(seen)

    def _index(self, number: int, assign: Assign, before: StateTuple, chosen: int) -> int:
        if not isinstance(assign.index, Term):
            return 0
        key = (number, assign.name)
        if key not in self._indexes:
            self._indexes[key] = self.machine.term(assign.index)
        return int(self._indexes[key](before, chosen))

    def numbers(self, state: StateTuple) -> list[int]:
        """Give the numbers of all descriptors that memory speaks of."""
        names = ("table",) if self.ring == "split" else ("ring.desc[].addr", "region.desc[].addr")
        return [n for name in names for n in state[self.machine.place[name]]]


def ring_parts(ring: str, parts: Mapping[str, bytes]) -> dict[str, bytes]:
    """Give the parts that are the ring's."""
    return {name: parts[name] for name in PARTS[ring]}
