"""Kinds of memory, and what a program asks them to keep.

Theory: a step stores or loads *in the order of the text*. Others see it in another order where a compiler made the
stores in another order, or a processor shows them so. A kind of memory says which pairs of accesses may be turned round
unless the program forbids it, and what a crash does to stores that were not yet made:

- a compiler's order is that of the instructions, and a process is killed between two of them: what comes later in that
  order is lost;
- a processor's order is what another core sees. What the killed process has executed is not lost: the core ends in the
  kernel, which orders what came before it before all that tells the next process to start.

Three kinds of pairs are enough, because a store is never made before a load that the text puts before it: each store
of these steps depends on what was looked at before, by its value or by the branch that led to it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

__all__ = [
    "ARM",
    "COMPILER",
    "LOAD_LOAD",
    "MEMORIES",
    "PROGRAM_ORDER",
    "STORE_LOAD",
    "STORE_STORE",
    "X86",
    "Access",
    "Memory",
    "Moved",
    "Orders",
    "Pair",
    "Points",
    "is_load",
]

STORE_STORE, STORE_LOAD, LOAD_LOAD = "store, store", "store, load", "load, load"


@dataclass(frozen=True)
class Access:
    """What a step does to memory that others see: a store, or a load of what others store.

    `fields` are C fields. A step makes one store at most, and has a load for each field that it reads.
    """

    step: str
    kind: str
    fields: frozenset[str]

    @property
    def name(self) -> str:
        """The step's id; of a load, the field too: a step may make several."""
        return self.step if self.kind == "store" else f"{self.step} {min(self.fields)}"


def is_load(name: str) -> bool:
    """Whether an access of this name is a load."""
    return " " in name


Pair = tuple[str, str]
"""The names of two accesses, the earlier one of the text first."""


class Orders(Protocol):
    """What a program asks for: which accesses stay in the order of the text, whatever memory it runs on."""

    def keeps(self, kind: str, earlier: str, later: str) -> bool:
        """Whether two accesses, by their names, are kept in order; `kind` says what they are."""


@dataclass(frozen=True)
class Points:
    """Nothing is kept but what is asked for at points.

    `after`: stores, and loads behind a full fence, that come after every earlier store. `before`: loads that come
    before every later load, and stores that come before every later store.
    """

    after: frozenset[str]
    before: frozenset[str]

    def keeps(self, kind: str, earlier: str, later: str) -> bool:
        """Whether one of the two is a point that keeps the pair."""
        comes_after = kind != LOAD_LOAD and later in self.after
        comes_before = kind != STORE_LOAD and earlier in self.before
        return comes_after or comes_before


@dataclass(frozen=True)
class Moved:
    """One access moves, all others stay in the order of the text: to find out whether a pair is needed.

    Where the later one of `pair` is a load, that is made early; else the earlier store is made late: past all that no
    point keeps it from, past those named in `past`, and past the other one of `pair`, unless that is `kept`.
    """

    points: Points
    pair: Pair
    past: frozenset[str] = frozenset()
    kept: bool = False

    def keeps(self, kind: str, earlier: str, later: str) -> bool:
        """Whether neither moves past the other."""
        if (earlier, later) == self.pair:
            return self.kept
        early = is_load(self.pair[1])
        moves, other = (later == self.pair[1], earlier) if early else (earlier == self.pair[0], later)
        return not moves or (other not in self.past and self.points.keeps(kind, earlier, later))


@dataclass(frozen=True)
class Memory:
    """A kind of memory: which pairs it may turn round, whose choice that is, whether a crash loses what is not made."""

    name: str
    turns: frozenset[str]
    loses: bool
    whose: str
    meaning: str

    def keeps(self, orders: Orders, kind: str, earlier: str, later: str) -> bool:
        """Whether a pair of this kind stays in order, on this memory and by what the program asks for."""
        return kind not in self.turns or orders.keeps(kind, earlier, later)


PROGRAM_ORDER = Memory(
    "program order", frozenset(), loses=False, whose="nobody",
    meaning="each store is seen at once, in the order of the text",
)  # fmt: skip
COMPILER = Memory(
    "compiler", frozenset({STORE_STORE, STORE_LOAD, LOAD_LOAD}), loses=True, whose="compiler",
    meaning="plain accesses to different fields in any order, neighbouring stores joined; a crash comes between two "
    "instructions, and loses the stores that the compiler put after it",
)  # fmt: skip
X86 = Memory(
    "x86-64", frozenset({STORE_LOAD}), loses=False, whose="processor",
    meaning="stores are seen in order, loads are made in order; a load may come before an earlier store to another "
    "field",
)  # fmt: skip
ARM = Memory(
    "ARM", frozenset({STORE_STORE, STORE_LOAD, LOAD_LOAD}), loses=False, whose="processor",
    meaning="another core may see stores to different fields in any order, and loads of different fields may be made "
    "in any order; a crash loses nothing that was executed",
)  # fmt: skip

MEMORIES: Collection[Memory] = (PROGRAM_ORDER, COMPILER, X86, ARM)
"""All of them."""
