"""Counters of a life: it is their order that counts, not where they begin.

A back-end gives each request that it fetches a counter that is greater than those of all that are in flight. How much
greater is its own affair: after a recovery it may go on from the greatest counter that it finds anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from refimpl.layout import region_type
from vhost_inflight.vectors.checking.read import place_of
from vhost_inflight.vectors.form import Given, Lived, Store

__all__ = ["Counted", "CountedError"]

_WIDTH = 8


class CountedError(Exception):
    """A request that was fetched has a counter by which it would be resubmitted too early."""


class Counted:
    """The counters that a back-end gave, of the entries where they are not those of the text."""

    def __init__(self, given: Given) -> None:
        """Begin with those that the region has."""
        self._kind = region_type(given.ring, given.revision, given.region_size)
        self._entries = range(given.region_size)
        self._counts = given.revision != "v6"
        self._own: dict[int, int] = {}

    def as_the_text(self, must: Lived, did: Lived, region: bytearray) -> Lived:
        """Give what a back-end did in an op, with the counter that the text gives in place of its own.

        `region`: before the op, with the text's counters. Raises CountedError for one that is not greater than those in
        flight.
        """
        entry = must.fetched
        if entry is None or did.fetched != entry or not self._counts:
            return did
        wanted, found = (self._of(entry, _after(region, one.stores)) for one in (must, did))
        if wanted == found:
            self._own.pop(entry, None)
            return did
        before = [e for e in self._entries if e != entry and region[place_of(self._kind, e, "inflight")[0]]]
        for other in before:
            if found <= (counter := self._own.get(other, self._of(other, region))):
                raise CountedError(
                    f"region.desc[{entry}].counter becomes {found}, and has to be more than that of entry {other}, "
                    f"{counter}, which is in flight"
                )
        self._own[entry] = found
        place = self._place(entry)
        stores = tuple(_with(s, place, found.to_bytes(_WIDTH, "little"), wanted.to_bytes(_WIDTH, "little"))
                       for s in did.stores)  # fmt: skip
        return replace(did, stores=stores)

    def _place(self, entry: int) -> int:
        return place_of(self._kind, entry, "counter")[0]

    def _of(self, entry: int, region: bytes | bytearray) -> int:
        place = self._place(entry)
        return int.from_bytes(region[place : place + _WIDTH], "little")


def _after(region: bytearray, stores: Sequence[Store]) -> bytearray:
    made = bytearray(region)
    for store in stores:
        if store.part == "region" and store.offset + len(store.data) <= len(made):
            made[store.offset : store.offset + len(store.data)] = store.data
    return made


def _with(store: Store, place: int, own: bytes, wanted: bytes) -> Store:
    """Give a store with the text's counter, where it stores the back-end's own."""
    if store.part != "region":
        return store
    data = bytearray(store.data)
    for number in range(_WIDTH):
        at = place + number - store.offset
        if 0 <= at < len(data) and data[at] == own[number]:
            data[at] = wanted[number]
    return Store(store.part, store.offset, bytes(data))
