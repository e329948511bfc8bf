"""A revision is not asked where it does as the one that was: asking it all the same ends with the same."""

from __future__ import annotations

import contextlib
import random
from dataclasses import replace
from typing import Any

import pytest

from refimpl.choices import Choices
from refimpl.layout import column
from tests.refimpl.packed_rig import PackedRig
from tests.refimpl.rig import CrashError, batch
from tests.test_recover import crash_points, state
from vhost_inflight.recover import parse, recover
from vhost_inflight.recover.doubt import _did_as_merged, _results
from vhost_inflight.recover.record import Recovery


def asked(recovery: Recovery, revision: str) -> bool:
    """Return whether another revision ends with the same, or refuses too."""
    given = recovery.given
    other = recover(replace(given, choices=Choices.from_mapping({}, revision, given.ring)), recorded=False)
    if other.refused is not None:
        return recovery.refused is not None
    return _results(recovery, "merged") == _results(other, "merged")


def damaged(ring: str, revision: str) -> list[dict[str, Any]]:
    """Return states of crashes, some with a few bytes of the region or the ring changed at random."""
    found = []
    dice = random.Random(f"{ring} {revision}")
    for rig in crash_points(ring, revision, {}):
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


def test_hardened_that_did_as_merged() -> None:
    """Where none of its edits came to anything; in some states one did, and merged makes something else of most."""
    told = [(_did_as_merged(found), asked(found, "merged"))
            for found in (recover(parse(document)) for document in damaged("packed", "hardened"))]  # fmt: skip
    assert (True, False) not in told
    assert told.count((True, True)) > 200
    assert told.count((False, False)) > 20


def test_a_batch_of_the_whole_ring() -> None:
    """Only the wrap counters tell that there was one: merged does not see it."""
    for step in ("packed.supply.6a", "packed.supply.7", "packed.supply.8", "packed.supply.9a", "packed.supply.9b"):
        rig = PackedRig(size=2)
        queue = rig.started()
        entries = rig.fetch(queue, (0, 2))
        rig.on_step = lambda reported, _choice, step=step: _end(reported == step)  # type: ignore[misc]
        with contextlib.suppress(CrashError):
            queue.supply(batch(*entries))
        found = recover(parse(state(rig)))
        assert asked(found, "merged") or not _did_as_merged(found)
        if step == "packed.supply.7":
            assert not asked(found, "merged")


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
