"""What the driver asks for: loads, each a list of rounds; a round is made available at once, and comes back whole.

The driver touches the rings only while the back-end rests or is dead, so the same load makes the same stores.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

__all__ = ["LOADS", "QUEUE_SIZE", "Ask", "Load"]

QUEUE_SIZE: Final = 8
"""Entries of each ring: few, so that batches are as long as the ring, and positions wrap."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One request: ``kind`` is write, read or flush; ``indirect``: one descriptor of the ring, else one a buffer."""

    kind: str = "write"
    queue: int = 0
    indirect: bool = False


@dataclass(frozen=True)
class Load:
    """A load: its rounds, and where the ring begins; ``what`` says it in words.

    ``first`` is the index of a split ring, and the position of a packed one, up to which it has been in use before.
    ``dead`` is what is made available while the back-end is dead, ``end`` what is asked for when all has come back.
    """

    name: str
    what: str
    rounds: tuple[tuple[Ask, ...], ...]
    queues: int = 1
    first: tuple[int, int] = 0, 0
    dead: tuple[Ask, ...] = (Ask(indirect=True), Ask("read", indirect=True))
    end: tuple[Ask, ...] = (Ask(), Ask("read", indirect=True), Ask(indirect=True))


_WRITE, _READ, _FLUSH = Ask(), Ask("read"), Ask("flush")
_TABLE, _READ_TABLE = Ask(indirect=True), Ask("read", indirect=True)


def _of(queue: int, *asked: Ask) -> tuple[Ask, ...]:
    return tuple(Ask(one.kind, queue, one.indirect) for one in asked)


LOADS: Final[Mapping[str, Load]] = MappingProxyType(
    {
        load.name: load
        for load in (
            Load(
                "mixed",
                "chains, indirect tables, writes, reads and a flush; the ring is full twice, and wraps",
                (
                    (_WRITE,),
                    (_WRITE, _READ, _TABLE, _TABLE),
                    (_TABLE,) * 5 + (_READ_TABLE, _TABLE, _TABLE),
                    (_FLUSH, _WRITE, _TABLE, _READ_TABLE, _TABLE),
                ),
            ),
            Load(
                "queues",
                "two queues at once",
                (
                    (_TABLE, _WRITE, *_of(1, _WRITE, _TABLE, _READ_TABLE)),
                    (_WRITE, _TABLE, *_of(1, _TABLE, _WRITE, _TABLE)),
                ),
                queues=2,
                dead=(_TABLE, *_of(1, _TABLE)),
                end=(_TABLE, *_of(1, _WRITE)),
            ),
            Load(
                "in-use",
                "a fresh region for a ring that has been in use; its index is about to wrap",
                ((_WRITE, _TABLE), (_TABLE, _WRITE, _TABLE)),
                first=(65533, 5),
            ),
        )
    }
)
"""The loads, by name."""
