"""The story of a recovery: each step that matters in words, with its place in the text."""

from __future__ import annotations

from typing import Any

import pytest

from tests.refimpl.packed_rig import PackedRig
from tests.refimpl.rig import Rig
from tests.test_recover import interrupted, packed_crash, state
from tests.test_recover_cli import field_of, served
from vhost_inflight.recover import parse, recover, story


def told(document: dict[str, Any]) -> list[str]:
    """Return the story's lines, each joined again."""
    lines: list[str] = []
    for line in story(recover(parse(document))).splitlines():
        assert len(line) <= 116
        if line.startswith("  "):
            lines[-1] += " " + line.strip()
        else:
            lines.append(" ".join(line.split()))
    return lines


def test_the_story_of_a_split_ring() -> None:
    """Each step that matters, in order, with its place in the text; at the end what comes next."""
    assert told(state(interrupted())) == [
        "A split ring of 8, revision merged, gaps at their defaults.",
        "start The region's version is 1, desc_num is 8: it is adopted.",
        "reconnecting, 1 used_idx is 5, used.idx is 7: what was published was not settled.",
        (
            "reconnecting, 1(a) A batch of 2 was published and not settled (7 less 5 modulo 65536); its list begins at "
            "last_batch_head, entry 3."
        ),
        (
            "reconnecting, 1(b) Entries 3 and 1 are cleared (inflight is 0), along next; entry 1 had been "
            "cleared before the crash."
        ),
        "reconnecting, 1(c) used_idx is set to 7, that of the used ring.",
        (
            "gap fetch-position Entries 0 and 2 are inflight. Fetching goes on at 9, slot 1 of the available ring: "
            "used.idx (7) plus 2."
        ),
        (
            "gap counter-after-reconnect The global counter goes on at 3: one more than the greatest of an "
            "inflight entry, 2."
        ),
        "reconnecting, 2 Head 2 is resubmitted first: it has the lowest counter, 0. The device gets 1 descriptor.",
        (
            "reconnecting, 2 Head 0 is resubmitted next: it has the lowest counter that is left, 2. The device gets "
            "1 descriptor."
        ),
        "gap signal-at-start The driver is notified (always): it may have missed what was published last.",
        "next avail.idx is 10: the back-end fetches 1 request, from slot 1 on.",
    ]


def test_the_story_of_a_packed_ring() -> None:
    """A batch that was begun, and one of its slots marked: rolled back, and the slot made available again."""
    lines = told(state(packed_crash("packed.supply.7")))
    assert lines[2:7] == [
        (
            "reconnecting, 1 used_idx and used_wrap_counter are 3 and 1, old_used_idx and old_used_wrap_counter "
            "0 and 1: a batch was begun and not settled."
        ),
        (
            "reconnecting, 1(a) to 1(c) Slot 0, old_used_idx, has flags 0x0080; AVAIL and USED of an available one "
            "are 0x0080 there (old_used_wrap_counter is 1): they are equal, so the batch was not published."
        ),
        (
            "reconnecting, 2 What was in progress is rolled back: used_idx from 3 to 0, used_wrap_counter is 1 "
            "already, free_head from 0 to 4."
        ),
        "hardened reconnecting, 2 Slot 2 was marked used in the batch that is rolled back: available again.",
        "reconnecting, 3 The free list is 4: inflight of each is set to 0; it was 0 already.",
    ]
    assert lines[9] == (
        "reconnecting, 4 Entry 0 (id 0) is resubmitted first: it has the lowest counter, 0. The device gets "
        "1 descriptor."
    )
    assert lines[-2].startswith("next Slot 4 has flags 0x0000, not available in this lap.")
    assert lines[-1].startswith(
        "doubt Revision merged answers otherwise: it leaves other bytes in the ring; that would"
    )


def available() -> PackedRig:
    """Return a rig with a request in flight and another one available."""
    rig = served((1, 2))
    rig.make((0, 1))
    return rig


def many(revision: str) -> dict[str, Any]:
    """Return a split ring with twenty requests in flight, made available from the last head to the first."""
    rig = Rig({}, revision, size=32)
    rig.fetch(rig.started(), *range(19, -1, -1))
    return state(rig)


@pytest.mark.parametrize(("revision", "order", "last"), [("v6", "the table", 19), ("merged", "their counters", 0)])
def test_a_long_story_is_cut(revision: str, order: str, last: int) -> None:
    """Of many requests the first are told, and which one is the last."""
    lines = told(many(revision))
    assert sum("is resubmitted" in line for line in lines) == 15
    assert f"reconnecting, 2 5 more follow in the order of {order}; the last one is head {last}." in lines
    position = next(line for line in lines if line.startswith("gap fetch-position"))
    assert "Entries 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14 ... 19 (20 in all) are inflight." in position


@pytest.mark.parametrize(
    ("document", "line"),
    [
        (state(Rig()), "start The region's version is 0: it is fresh, so nothing was in flight. It is initialised."),
        (state(Rig()), "gap fresh-used-idx used_idx is set to 0, that of the used ring."),
        (state(Rig()), "next avail.idx is 0: nothing more is available. The back-end asks for a kick and waits."),
        (
            state(Rig({"ring-at-start": "wait"})),
            "next The back-end waits for a kick, whatever the ring holds (gap ring-at-start=wait).",
        ),
        (
            state(Rig({"fresh-used-idx": "zero-and-skip"})),
            "gap fresh-used-idx used_idx of a fresh region was left at 0, so it is not compared at this start.",
        ),
        (
            state(PackedRig({"ring-at-start": "wait"}, "merged")),
            "next The back-end waits for a kick, whatever the ring holds (gap ring-at-start=wait).",
        ),
        (
            state(available()),
            "next Slot 2 has flags 0x0080, available: the back-end fetches from there.",
        ),
        (
            state(PackedRig(size=3)),
            "gap free-list next of each entry is set to the one after it, of the last to 3, the list's end.",
        ),
        (
            state(interrupted("v6")),
            (
                "gap resubmit-order Head 0 is resubmitted first: in the order of the table, since v6 names none. "
                "The device gets 1 descriptor."
            ),
        ),
        (
            field_of(interrupted(), "counter", 2, 2),
            (
                "reconnecting, 2 Head 0 is resubmitted first: its counter is 2, as that of entry 2, and nothing says "
                "which is first. The device gets 1 descriptor."
            ),
        ),
        (
            state(packed_crash("packed.supply.9a")),
            (
                "hardened reconnecting, 1(c) free_head is old_free_head, 0: the batch was being settled, so it was "
                "published."
            ),
        ),
        (
            state(packed_crash("packed.supply.8", revision="merged")),
            (
                "reconnecting, 1(c) It is committed: old_free_head from 4 to 0, old_used_idx from 0 to 3, "
                "old_used_wrap_counter is 1 already."
            ),
        ),
        (
            state(packed_crash("packed.supply.7", 2, "v6")),
            (
                "reconnecting, 3 The free list is 0, 1, 2 and 4: inflight of each is set to 0; it was still set in "
                "entries 0 and 1."
            ),
        ),
        (
            state(served((1, 2))),
            "reconnecting, 4 Entry 0 (id 1) is resubmitted: nothing else is inflight. The device gets 2 descriptors.",
        ),
    ],
)
def test_what_a_story_says(document: dict[str, Any], line: str) -> None:
    """The sentences of other runs."""
    assert line in told(document)
