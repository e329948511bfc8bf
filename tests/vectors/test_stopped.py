"""The vectors of rings that were stopped: what they ask for, and the mistake that nothing else shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from refimpl.meetings import MEETINGS
from vhost_inflight.recover import doubts, parse, recover
from vhost_inflight.vectors.form import Recovered, Vector
from vhost_inflight.vectors.measure import fails
from vhost_inflight.vectors.mistakes import mistakes
from vhost_inflight.vectors.sets import PROVED, vectors
from vhost_inflight.vectors.states import back_end
from vhost_inflight.vectors.stopped import stopped_vectors

STOPPED = {ring: list(stopped_vectors(ring, revision)) for ring, revision in PROVED}
ALL = [vector for told in STOPPED.values() for vector in told]


@pytest.mark.parametrize("vector", ALL, ids=lambda v: v.id)
def test_it_could_be_stopped_there(vector: Vector) -> None:
    """The oracle has nothing against how it was stopped; something is in flight where the pair lets it be."""
    recovery = recover(parse(vector.given.state()))
    assert doubts(recovery) == []
    assert bool(recovery.resubmitted) == MEETINGS[str(vector.given.stopped)].suspends


@pytest.mark.parametrize("vector", [v for v in ALL if "drained-fresh" not in v.id], ids=lambda v: v.id)
def test_no_base_is_needed(vector: Vector) -> None:
    """Region and ring say it all: the answer is the same with the base of any other slot or index."""
    right = vector.outcomes[0].answer
    for base in (0, 0x80008000, 0x00010001, 40000 if vector.ring == "split" else 0x80018001):
        other = replace(vector, given=replace(vector.given, base=base))
        assert back_end(vector.ring, vector.revision).answer(other) == right


def test_a_fresh_region_begins_at_the_base() -> None:
    """On a packed ring nothing else says where the ring is; the split ring's used.idx does."""
    (packed,) = (v for v in STOPPED["packed"] if "drained-fresh" in v.id)
    answer = packed.outcomes[0].answer
    assert isinstance(answer, Recovered)
    assert answer.used == answer.next_avail == (packed.given.base & 0x7FFF, packed.given.base >> 15 & 1) != (0, 1)


@pytest.fixture(scope="module")
def failed() -> Callable[[str], list[str]]:
    """Say which of the small set's vectors and of these a mistake fails."""
    asked = [*(v for v in vectors("small") if v.ring == "split" and "hostile" not in v.flags), *STOPPED["split"]]
    known = mistakes("split", "merged")
    return lambda name: [v.id for v in asked if fails(known[name], v)]


def test_the_base_plus_what_is_inflight(failed: Callable[[str], list[str]]) -> None:
    """It is right after a crash, where QEMU says used.idx: only a base that is behind what is in flight shows it."""
    found = failed("position-from-base-plus")
    assert found
    assert all(name.startswith("split-merged-stopped-") and name.endswith("-behind") for name in found)
    assert any("stopped" not in name for name in failed("position-from-base"))
