"""Several queues in one buffer: each queue's share, rounded up to 64 bytes or not rounded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from vhost_inflight.vectors.form import Given, Vector
from vhost_inflight.vectors.machines import layout_of
from vhost_inflight.vectors.scripts import Script
from vhost_inflight.vectors.states import Memory, lived, outcomes, vector_of

__all__ = ["queue_vectors"]

_WORDS: Final = (
    "start;make 2;fetch;make 0;fetch;supply 2;use",
    "start;make 0;make 1;fetch;fetch;gather 1 0;publish {}",
    "start;make 3;make 1;fetch;fetch;count 7;make 0;fetch",
)
"""The lives of the queues, each cut off at its end."""

_NOTE: Final = (
    "{} queues in one buffer, a share of {} bytes each{}: a back-end that counts shares otherwise than who made the "
    "buffer recovers one queue from the bytes of two."
)


def queue_vectors(ring: str, revision: str, sizes: tuple[int, ...] = (4,)) -> Iterator[Vector]:
    """Give a vector for each queue of a buffer, with each stride."""
    for size in sizes:
        givens = [_given(ring, revision, words, size) for words in _WORDS]
        layout = layout_of(ring, revision)
        for name, stride, how in (
            ("rounded", layout.size(size), ", rounded up to 64"),
            ("unrounded", layout.offset(size), ", not rounded"),
        ):
            shared = b"".join(given.region[:stride] for given in givens)
            for queue, given in enumerate(givens):
                at = queue * stride
                share = replace(
                    given,
                    region=shared[at : at + stride],
                    stride=stride,
                    offset=at,
                    shared=shared,
                    queues=len(givens),
                    queue=queue,
                )
                about = f"{ring}-{revision}-queues-{size}-{name}-{queue}"
                vector = vector_of(about, share, None, ("queues", name))
                vector = replace(vector, note=_NOTE.format(len(givens), stride, how), severity="corrupts")
                yield replace(vector, outcomes=outcomes(vector))


def _given(ring: str, revision: str, words: str, size: int) -> Given:
    words = words.format("5" if ring == "split" else "7")
    life, sizes = lived(ring, revision, Script("queue", words, size))
    memory = Memory(life.images.parts(life.machine.initial()))
    for phase in life.phases:
        memory.store(phase.stores)
    return memory.given(ring, revision, sizes, life.images)
