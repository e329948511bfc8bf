"""Rings that no driver may leave: what a recovery, or the look for the next request, meets of them.

A chain of a request in flight is read again: from the descriptor table (split), from the copies in the region (packed).
What only a fetch meets is in no vector: a life has no refusals.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from vhost_inflight.vectors.form import Given
from vhost_inflight.vectors.lives import Life

__all__ = ["drivers_faults"]

Fault = tuple[str, Given, str]
"""A name, what a back-end finds, and what that does to one that does not look."""

_NEXT, _WRITE, _INDIRECT = 1, 2, 4
_AT: Final = 0x100000
_FAR: Final = 2**64 - 256

_LONG: Final = "An indirect table of more descriptors than virtio allows a ring."

_HEAD: Final = 2
"""The head of a split ring that is in flight, and whose chain is changed."""


def drivers_faults(life: Life, given: Given, *, tersely: bool) -> Iterator[Fault]:
    """Give the faults of a driver, after a life that left requests in flight; `tersely`: the first ones alone."""
    if given.ring == "packed":
        if not tersely:
            yield from _copies(life, given)
        return
    yield from _tables(given)
    if not tersely:
        yield from _more_tables(given)
        yield from _ahead(given)


def _tables(given: Given) -> Iterator[Fault]:
    for name, entry, note in (
        ("chain-outside", (_AT, 512, _NEXT, 4), "The chain of an inflight head goes on past the table."),
        (
            "chain-loop",
            (_AT, 512, _NEXT, _HEAD),
            "The chain of an inflight head leads back to it: who walks it never ends.",
        ),
        ("table-half", (_AT, 24, _INDIRECT, 0), "An indirect table of one descriptor and a half."),
        ("table-empty", (_AT, 0, _INDIRECT, 0), "An indirect table of no descriptors."),
    ):
        yield name, _with(given, {_HEAD: entry}), note


def _more_tables(given: Given) -> Iterator[Fault]:
    """Give those that are rarer: each is refused by a check of its own."""
    read, write = (_AT, 512, 0, 0), (_AT, 512, _WRITE | _NEXT, 3)
    for name, entries, note in (
        (
            "table-and-next",
            {_HEAD: (_AT, 16, _INDIRECT | _NEXT, 3), 3: read},
            "A table that has a descriptor after it.",
        ),
        ("read-after-write", {_HEAD: write, 3: read}, "A buffer to be read comes after one to be written."),
        ("table-long", {_HEAD: (_AT, 16 * 32769, _INDIRECT, 0)}, _LONG),
        ("table-far", {_HEAD: (_FAR, 512, _INDIRECT, 0)}, "An indirect table leaves the 64 bits of an address."),
        ("address-far", {_HEAD: (_FAR, 512, 0, 0)}, "A buffer leaves the 64 bits of an address: its end is before it."),
    ):
        yield name, _with(given, entries), note
    inner = {
        "table-outside": (_AT, 512, _NEXT, 2),
        "table-loop": (_AT, 512, _NEXT, 0),
        "table-in-table": (_AT, 16, 4, 0),
    }
    for name, first in inner.items():
        table = struct.pack("<QIHH", *first) + struct.pack("<QIHH", _AT, 512, 0, 0)
        bad = replace(_with(given, {_HEAD: (_AT, len(table), _INDIRECT, 0)}), memory=((_AT, table),))
        yield name, bad, "An indirect table whose descriptors lead outside, round, or to another table."


def _with(given: Given, entries: Mapping[int, tuple[int, int, int, int]]) -> Given:
    table = bytearray(given.ring_memory["descriptors"])
    for number, entry in entries.items():
        table[16 * number : 16 * number + 16] = struct.pack("<QIHH", *entry)
    return replace(given, ring_memory={**given.ring_memory, "descriptors": bytes(table)})


def _ahead(given: Given) -> Iterator[Fault]:
    """Give available indexes that no driver may have: more requests than the ring has room for."""
    taken = int.from_bytes(given.ring_memory["available"][2:4], "little")
    for name, more in (("avail-ahead", given.queue_size + 1), ("avail-behind", 65536 - 1)):
        ring = bytearray(given.ring_memory["available"])
        ring[2:4] = ((taken + more) % 65536).to_bytes(2, "little")
        bad = replace(given, ring_memory={**given.ring_memory, "available": bytes(ring)})
        note = "The available index is further than the ring is long: who believes it fetches requests that are none."
        yield name, bad, note


def _copies(life: Life, given: Given) -> Iterator[Fault]:
    """Give chains whose copies in the region no driver may have made."""
    marks, lengths, following = (life.get(f"region.desc[].{name}") for name in ("inflight", "num", "next"))
    chain = next(entry for entry, mark in enumerate(marks) if mark and lengths[entry] == 2)
    alone = next(entry for entry, mark in enumerate(marks) if mark and lengths[entry] == 1)
    for name, changes, note in (
        (
            "table-not-alone",
            {chain: {"flags": _INDIRECT | _NEXT, "addr": _AT, "len": 16}},
            "An indirect table is one of two descriptors of its chain.",
        ),
        (
            "table-in-table",
            {alone: {"flags": _INDIRECT, "addr": _AT + 16, "len": 16}},
            "An indirect table leads to another table.",
        ),
        (
            "read-after-write",
            {chain: {"flags": _WRITE | _NEXT}, following[chain]: {"flags": 0}},
            "A buffer to be read comes after one to be written.",
        ),
        ("table-long", {alone: {"flags": _INDIRECT, "len": 16 * 32769}}, _LONG),
        (
            "table-far",
            {alone: {"flags": _INDIRECT, "addr": _FAR, "len": 512}},
            "An indirect table leaves the 64 bits of an address.",
        ),
        ("table-half", {alone: {"flags": _INDIRECT, "len": 24}}, "An indirect table of one descriptor and a half."),
        ("table-empty", {alone: {"flags": _INDIRECT, "len": 0}}, "An indirect table of no descriptors."),
        (
            "address-far",
            {alone: {"flags": 0, "addr": _FAR, "len": 512}},
            "A buffer leaves the 64 bits of an address: its end is before it.",
        ),
    ):
        region = bytearray(given.region)
        for entry, fields in changes.items():
            for field, value in fields.items():
                where = life.images.places[f"region.desc[].{field}"]
                at = where.offset(entry)
                region[at : at + where.width] = value.to_bytes(where.width, "little")
        # two tables: one that is right, and one that has a table in it
        tables = struct.pack("<QIHH", _AT, 512, 0, 0) + struct.pack("<QIHH", _AT, 16, 0, _INDIRECT)
        yield name, replace(given, region=bytes(region), memory=((_AT, tables),)), note
