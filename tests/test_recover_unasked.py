"""A revision is not asked where it does as the one that was: asking it all the same ends with the same."""

from __future__ import annotations

import contextlib
import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from refimpl.choices import Choices
from refimpl.errors import InflightError
from refimpl.layout import column, live_column
from tests.refimpl.packed_rig import PackedRig
from tests.refimpl.rig import CrashError, batch
from tests.test_recover import crash_points, crashed, state
from vhost_inflight.recover import parse, recover
from vhost_inflight.recover.doubt import _as_revision, _results, _seen_from_hardened
from vhost_inflight.recover.record import Recovery


def asked(recovery: Recovery, revision: str) -> bool:
    """Return whether another revision ends with the same, or refuses too."""
    given = recovery.given
    other = recover(replace(given, choices=Choices.from_mapping({}, revision, given.ring)), recorded=False)
    if other.refused is not None:
        return recovery.refused is not None
    return _results(recovery, "merged") == _results(other, "merged")


def damaged(ring: str, revision: str, gaps: dict[str, str] | None = None) -> list[dict[str, Any]]:
    """Return states of crashes, some with a few bytes of the region or the ring changed at random."""
    found = []
    dice = random.Random(f"{ring} {revision}")
    for rig in crash_points(ring, revision, gaps or {}):
        document = state(rig)
        found.append(document)
        for place, name in ((document, "region"), (document["ring_memory"], "descriptors")):
            content = bytearray.fromhex(place[name])
            for _ in range(dice.randrange(3)):
                content[dice.randrange(8, len(content))] = dice.choice((0, 1, 2, 0x80, 0xFF))
            found.append(document | ({name: content.hex()} if name == "region" else {
                "ring_memory": document["ring_memory"] | {name: content.hex()}}))  # fmt: skip
    return found


@pytest.mark.parametrize("revision", ["merged", "hardened"])
def test_split_revisions_that_are_alike(revision: str) -> None:
    """What hardened mends is on the packed ring alone."""
    other = {"merged": "hardened", "hardened": "merged"}[revision]
    for document in damaged("split", revision):
        assert asked(recover(parse(document)), other)


def seen_as_asked(recovery: Recovery) -> str:
    """Hold what merged ends with by the steps of hardened against asking merged; return how it was known."""
    given = _as_revision(recovery.given, "merged")
    assert given is not None
    seen = _seen_from_hardened(recovery, given)
    if seen is None:
        return "asked"
    other = recover(given, recorded=False)
    assert other.refused is None
    told = ("given", "before", "after", "resubmitted", "signalled", "position", "counter")
    assert [getattr(seen, name) for name in told] == [getattr(other, name) for name in told]
    return "unmarked" if "packed.reconnect.unmark" in recovery.steps else "seen"


@pytest.mark.parametrize("gaps", [{}, {"settle": "wide"}])
def test_what_hardened_saw_of_merged(gaps: dict[str, str]) -> None:
    """At each crash, and where bytes were changed, merged ends with what is known of it; of some nothing is."""
    how = [seen_as_asked(recover(parse(document))) for document in damaged("packed", "hardened", gaps)]
    assert how.count("seen") > 200
    assert how.count("unmarked") > 10
    assert how.count("asked") > 10


@settings(deadline=None)
@drawn(
    st.sampled_from(({}, {"settle": "wide"}, {"event-kind": "index"})),
    st.integers(3, 9),
    st.lists(st.integers(1, 3), min_size=1, max_size=4),
    st.tuples(st.integers(1, 60), st.integers(0, 12)),
    st.lists(st.tuples(st.booleans(), st.integers(0, 1 << 16), st.sampled_from((0, 1, 2, 3, 0x80, 0xFF))), max_size=3),
)
def test_any_life(
    gaps: dict[str, str], size: int, chains: list[int], crashes: tuple[int, int], changes: list[tuple[bool, int, int]]
) -> None:
    """Either gap of hardened, rings of any size, a crash at any store, another one after it, a few bytes changed."""
    rig = PackedRig(gaps, "hardened", size=size)
    left = size
    for number, length in enumerate(chains):
        if length <= left and number < size:  # an id is less than the size
            rig.make((number, length))
            left -= length
    for crash in crashes:
        with contextlib.suppress(InflightError):
            crashed(rig, crash)
    document = state(rig)
    region, slots = bytearray.fromhex(document["region"]), bytearray.fromhex(document["ring_memory"]["descriptors"])
    for in_region, place, value in changes:
        content = region if in_region else slots
        content[place % len(content)] = value
    document |= {"region": region.hex(), "ring_memory": document["ring_memory"] | {"descriptors": slots.hex()}}
    seen_as_asked(recover(parse(document)))


def test_a_batch_of_the_whole_ring() -> None:
    """Only the wrap counters tell that there was one: merged does not see it, and has to be asked."""
    found = {}
    for step in ("packed.supply.6a", "packed.supply.7", "packed.supply.8", "packed.supply.9a", "packed.supply.9b"):
        rig = PackedRig(size=2)
        queue = rig.started()
        entries = rig.fetch(queue, (0, 2))
        rig.on_step = lambda reported, _choice, step=step: _end(reported == step)  # type: ignore[misc]
        with contextlib.suppress(CrashError):
            queue.supply(batch(*entries))
        recovery = recover(parse(state(rig)))
        found[step] = seen_as_asked(recovery)
        if step == "packed.supply.7":
            assert not asked(recovery, "merged")
    assert found["packed.supply.7"] == "asked"


def _end(now: bool) -> None:
    if now:
        raise CrashError


def test_a_column() -> None:
    """Each entry's field, whatever its width and place."""
    rig = PackedRig(size=7)
    rig.fetch(rig.started(), (1, 2), (4, 1), (0, 3))
    entries = rig.region.desc
    for name in ("inflight", "next", "num", "counter", "id", "len", "addr"):
        assert column(entries, name) == [getattr(entry, name) for entry in entries]
        live = live_column(entries, name)
        assert list(live) == column(entries, name)
        setattr(entries[5], name, 1 - getattr(entries[5], name) % 2)
        assert live[5] == getattr(entries[5], name)  # it is no copy
    with pytest.raises(TypeError):
        live[5] = 0
