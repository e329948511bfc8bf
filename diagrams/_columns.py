"""The columns of a timeline: what of shared memory, of the driver and of the device stands beside each row.

On a split ring a column is a variable of the model. On a packed ring most are put together: a slot of the ring is its
buffer id and, as words, the bits of its flags; an index stands with its wrap counter, as ``1/0``; the
free list is walked, so that the reader sees the list and not its links.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from diagrams._fields import BITS
from diagrams._play import Run

__all__ = ["Column", "columns"]

Cell = tuple[str, ...]

_WORKING = 1
"""The device's state while it works on a request; the same on both rings."""


@dataclass(frozen=True)
class Column:
    """A column: the lines that stand over it, and how to write what a state has there, piece by piece.

    `joint` stands between the pieces; each that changed is marked on its own. `always`: it is there even where the run
    never changes it.
    """

    heading: tuple[str, ...]
    show: Callable[[Run, tuple[Any, ...]], Cell]
    joint: str = " "
    always: bool = False


def columns(ring: str, size: int) -> list[Column]:
    """Give the columns for a ring of `size` descriptors, in the order in which a request meets them."""
    return _split() if ring == "split" else _packed(size)


def _plain(name: str, *heading: str) -> Column:
    """Make a column of a variable: a number, or an array's elements side by side."""

    def show(run: Run, state: tuple[Any, ...]) -> Cell:
        value = run.value(state, name)
        return tuple(str(v) for v in value) if isinstance(value, tuple) else (str(value),)

    return Column(heading, show)


def _works_on(run: Run, state: tuple[Any, ...]) -> Cell:
    """Write the requests that the device works on, by their heads."""
    states = run.value(state, "device.state")
    return tuple(str(head) for head, works in enumerate(states) if works == _WORKING) or ("-",)


_DEVICE = Column(("device", "works", "on"), _works_on)


def _split() -> list[Column]:
    # What is not here changes once, or says again what another column says; its stores are in their rows all the same.
    return [
        _plain("avail.ring", "avail", "ring"),
        _plain("avail.idx", "avail", "idx"),
        _plain("region.desc[].counter", "desc[]", "counter"),
        _plain("region.desc[].inflight", "desc[]", "inflight"),
        _plain("region.desc[].next", "desc[]", "next"),
        _plain("region.last_batch_head", "last_", "batch_", "head"),
        _plain("used.ring[].id", "used", "ring.id"),
        _plain("used.idx", "used", "idx"),
        _plain("region.used_idx", "region.", "used_", "idx"),
        _plain("driver.next_used", "driver", "next_", "used"),
        _DEVICE,
    ]


def _packed(size: int) -> list[Column]:
    return [
        *(_slot(number) for number in range(size)),
        _plain("region.desc[].inflight", "desc[]", "inflight"),
        _free_list("region.free_head", "free", "list"),
        _free_list("region.old_free_head", "old", "free", "list"),
        _pair("region.used_idx", "region.used_wrap_counter", "used_", "idx/", "wrap"),
        _pair("region.old_used_idx", "region.old_used_wrap_counter", "old_", "used_", "idx/wrap"),
        _pair("driver.used_idx", "driver.used_wrap", "driver", "reads", "next"),
        _DEVICE,
    ]


def _slot(number: int) -> Column:
    """Make the column of a slot: the buffer id in it, and its flags."""

    def show(run: Run, state: tuple[Any, ...]) -> Cell:
        words = [bit.upper() for bit in BITS if run.value(state, f"ring.desc[].flags.{bit}")[number]]
        return (str(run.value(state, "ring.desc[].id")[number]), " ".join(words) or "-")

    return Column((f"slot {number}", "id, flags"), show)


def _pair(index: str, wrap_counter: str, *heading: str) -> Column:
    """Make a column of an index and its wrap counter."""

    def show(run: Run, state: tuple[Any, ...]) -> Cell:
        return (str(run.value(state, index)), str(run.value(state, wrap_counter)))

    return Column(heading, show, "/", always=True)


def _free_list(head: str, *heading: str) -> Column:
    """Make a column of the entries that one meets from a head on, to the list's end or until one comes again."""

    def show(run: Run, state: tuple[Any, ...]) -> Cell:
        following: Sequence[int] = run.value(state, "region.desc[].next")
        entry, met = int(run.value(state, head)), list[int]()
        while entry < len(following) and entry not in met:
            met.append(entry)
            entry = following[entry]
        again = [f"{entry}.."] if entry in met else []
        return (*(str(e) for e in met), *again) or ("-",)

    return Column(heading, show)
