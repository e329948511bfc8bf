"""The three sets of vectors.

Small is committed, and for each commit's CI; standard catches every mistake that is known; large has the sizes that
nobody tries.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.resources import files
from typing import Any, Final

from model import protocol
from vhost_inflight.vectors.errata import errata_vectors
from vhost_inflight.vectors.form import Vector
from vhost_inflight.vectors.hostile import hostile_vectors
from vhost_inflight.vectors.queues import queue_vectors
from vhost_inflight.vectors.scripts import Script, by_size, orders, random_lives, scripts
from vhost_inflight.vectors.seen import seen_vectors
from vhost_inflight.vectors.states import state_vectors
from vhost_inflight.vectors.stopped import stopped_vectors
from vhost_inflight.vectors.traces import life_vectors, race_vectors, recovering

__all__ = ["LONG_CHAIN", "PROVED", "SIZES", "caught", "vectors"]

SIZES: Final = ("small", "standard", "large")

_QUEUE_SIZES: Final = {
    "split": {"small": (), "standard": (8, 16, 64, 128, 512), "large": (8, 16, 64, 128, 256, 512, 1024, 4096, 32768)},
    "packed": {"small": (), "standard": (5, 7, 16, 100), "large": (5, 7, 16, 100, 128, 256, 1000, 1024, 32768)},
}
"""By ring and set, the sizes at whose far end a life is cut off; 1 to 4 are in the scripts."""

LONG_CHAIN: Final = Script(
    "long-chain",
    "start;make 300 260;make 319;fetch;fetch;supply 300 319;use;make 7;fetch;crash;start;supply 7",
    320,
    100,
    flags=("queue-size", "chain", "batch", "wrap"),
    cuts=("fetch.7-2", "supply.7", "supply.7-2", "supply.9a"),
)
"""A chain of a packed ring that 8 bits do not count, and an entry, an id and a used element as far behind it.

No op of the other scripts has so many stores, of which each two are tried elsewhere: this is not one of them.
"""

_ALIKE: Final = frozenset(
    {
        "split.init.1",
        "split.init.3",
        "split.fetch.counter",
        "split.supply.id",
        "split.supply.len",
        "split.supply.2",
        "split.supply.3",
    }
    | {f"packed.fetch.{step}" for step in ("2a", "counter", "3", "4", "5a", "5b", "5c", "5d")}
    | {f"packed.init.{step}" for step in "1234567"}
    | {f"packed.supply.{step}" for step in ("id", "len", "3")}
)
"""Steps after which recovery finds what it finds before them: in the small set one life is cut off there too."""

_MADE: Final = frozenset({"one", "batch", "chain", "far-counters", "half-fetched"})
"""The lives that are cut off in the small set where the driver has made a request available, too."""

PROVED: Final = (("split", "merged"), ("packed", "hardened"))
"""What is proved of each ring: the main subject."""


def vectors(size: str = "standard", seed: int = 0) -> Iterator[Vector]:
    """Give the vectors of a set, in a fixed order; the same seed gives the same ones."""
    known = caught()
    for vector in _all(size, seed):
        yield vector.caught(known.get(vector.id, ()))


def _all(size: str, seed: int) -> Iterator[Vector]:
    for ring, revision in PROVED:
        yield from _of_ring(ring, revision, size, seed)
    if size != "small":
        yield from _of_v6()


def _of_v6() -> Iterator[Vector]:
    """Give the vectors of the seed's split ring, whose region is laid out otherwise: it lacks the order alone."""
    ring, revision = "split", "v6"
    seen: dict[object, int] = {}
    for script in scripts(ring):
        if all(revision in protocol.gaps(ring)[gap].revisions for gap, _ in script.gaps):
            yield from _with_stores(state_vectors(ring, revision, script, seen, crashes=2))
            yield from life_vectors(ring, revision, script)
    yield from race_vectors(ring, revision)


def _of_ring(ring: str, revision: str, size: str, seed: int) -> Iterator[Vector]:
    seen: dict[object, int] = {}
    small = size == "small"
    for script, crashes in _chosen(ring, size, seed):
        states = state_vectors(ring, revision, script, seen, crashes=crashes)
        yield from _with_stores(v for v in states if not small or _is_small(script, v))
        if small or crashes > 1 or not script.small:
            yield from life_vectors(ring, revision, script)
    yield from race_vectors(ring, revision)
    yield from hostile_vectors(ring, revision, tersely=small)
    yield from queue_vectors(ring, revision, (4,) if small else (4, 8, 64) if ring == "split" else (4, 5, 64))
    yield from errata_vectors(ring, revision)
    yield from stopped_vectors(ring, revision)
    if not small:
        yield from seen_vectors(ring, revision)


def _is_small(script: Script, vector: Vector) -> bool:
    """Whether the small set has what a cut of a life leaves."""
    if vector.step in ("driver.make.3", "driver.make.head"):
        return script.name in _MADE
    return script.name == "one" or vector.step not in _ALIKE


def _with_stores(states: Iterable[Vector]) -> Iterator[Vector]:
    """Give states, and after each the trace of its recovery where the order of its stores is needed."""
    for vector in states:
        yield vector
        if (trace := recovering(vector)) is not None:
            yield trace


def _chosen(ring: str, size: str, seed: int) -> Iterator[tuple[Script, int]]:
    """Give the scripts of a set, and how many crashes each is cut off by."""
    yield from ((script, 1) for script in scripts(ring) if script.small)
    if size != "small":
        yield from ((script, 3) for script in scripts(ring))
        yield from ((script, 2) for script in orders(ring))
        yield from ((script, 1) for script in random_lives(ring, seed, 40))
        if ring == "packed":
            yield LONG_CHAIN, 1
    for number in _QUEUE_SIZES[ring][size]:
        yield by_size(ring, number), 1


@cache
def caught() -> dict[str, tuple[str, ...]]:
    """Give by vector what was measured to fail it (`vhost_inflight.vectors.measure`)."""
    told: dict[str, Any] = json.loads(
        files("vhost_inflight.vectors").joinpath("caught.json").read_text(encoding="utf-8")
    )
    found: dict[str, list[str]] = {}
    for name, ids in told.items():
        for vector in ids:
            found.setdefault(vector, []).append(name)
    return {vector: tuple(sorted(names)) for vector, names in found.items()}
