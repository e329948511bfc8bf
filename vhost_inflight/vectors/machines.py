"""Machines with the bytes of their states: what lives and back-ends are made with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from model import layout
from model.interpret import Machine, Sizes, StateTuple, Successor
from vhost_inflight.vectors.form import Given, Store
from vhost_inflight.vectors.images import STYLES, Images, Style

__all__ = ["Event", "Made", "chain_of", "layout_of", "leaving", "sizes_of", "style_of", "value_of"]


@dataclass(frozen=True, slots=True)
class Event:
    """One step that was taken: its id, its choice, its stores; and `value`, what it was about.

    That is the head that was given to the device, the len that the device gave, the copy of a descriptor that was
    taken. The states themselves are not kept: a large ring has many, and each is large.
    """

    step: str
    chosen: int
    stores: tuple[Store, ...]
    value: int | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """A machine with the bytes of its states."""

    machine: Machine
    images: Images
    fresh: StateTuple


def layout_of(ring: str, revision: str) -> layout.Region:
    """Give the layout of a revision's region."""
    return layout.region(ring, "v6" if revision == "v6" else "merged")


def sizes_of(given: Given) -> Sizes:
    """Give the sizes of a run; the first position of a packed ring is what SET_VRING_BASE says of it."""
    first = 0
    if given.ring == "packed":
        slot, wrap = given.base & 0x7FFF, given.base >> 15 & 1
        first = slot % given.queue_size + (0 if wrap else given.queue_size)
    return Sizes(given.queue_size, given.region_size, first)


def style_of(given: Given) -> Style:
    """Give the style in which a vector's descriptors are written: only indirect tables are read another way."""
    return STYLES["indirect" if given.memory else "plain"]


_ABOUT: Final = {
    "packed.reconnect.4.desc": "recover.entry",
    "split.fetch.submit": "fetch.head",
    "packed.fetch.submit": "fetch.head",
    "device.finish": "device.given",
}


def value_of(machine: Machine, step: str, chosen: int, state: StateTuple) -> int | None:
    """Give what a step that is taken in a state is about."""
    if step not in _ABOUT:
        return None
    held = state[machine.place[_ABOUT[step]]]
    return int(held[chosen] if isinstance(held, tuple) else held)


def chain_of(table: bytes | bytearray, head: int) -> tuple[int, ...]:
    """Give the entries of a split ring's descriptor table that a head's chain has."""
    chain = [head]
    while len(chain) <= len(table) // 16 and table[16 * chain[-1] + 12] & 1:
        chain.append(int.from_bytes(table[16 * chain[-1] + 14 : 16 * chain[-1] + 16], "little"))
    return tuple(chain)


@lru_cache(maxsize=4096)
def leaving(machine: Machine, procedure: str, label: str) -> Callable[[StateTuple], list[Successor]]:
    """Compile the steps of a procedure that leave a label."""
    return machine.only(lambda r: r.step.procedure == procedure and label in r.step.at)
