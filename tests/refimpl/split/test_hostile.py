"""A hostile region and a hostile driver: refused before anything that they say is followed."""

import pytest

from refimpl.errors import DriverError, RegionError
from refimpl.memory import store
from tests.refimpl.rig import Rig, interrupted


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("version", 2, "version is 2"),
        ("desc_num", 5, "desc_num is 5"),
        ("used_idx", 65531, "longer than the ring"),
        ("last_batch_head", 4, "leads to entry 4"),
    ],
)
def test_hostile_header(field: str, value: int, words: str) -> None:
    """A header that nobody can have left is refused before it is followed."""
    rig = interrupted()
    store(rig.region, field, value)
    with pytest.raises(RegionError, match=words):
        rig.queue().start()
    assert rig.submitted == []


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("next", 4, "leads to entry 4"),
        ("inflight", 2, "entry 0 is 2"),
        ("counter", 2**64 - 1, "at its end"),
    ],
)
def test_hostile_entry(field: str, value: int, words: str) -> None:
    """An entry that leads out of the table, is half inflight, or has the last counter there is, is refused."""
    rig = interrupted()
    if field == "next":
        store(rig.region.desc[0], field, value)
    else:
        store(rig.region, "used_idx", rig.ring.used.idx)
        store(rig.region.desc[0], field, value)
    with pytest.raises(RegionError, match=words):
        rig.queue().start()


@pytest.mark.reaches("split.reconnect.1b")
def test_hostile_list_that_cycles() -> None:
    """A list that leads back to itself ends with the batch."""
    rig = interrupted()
    store(rig.region.desc[0], "next", 0)
    rig.queue().start()
    assert rig.ids().count("split.reconnect.1b") == 2
    assert rig.submitted == [2, 1]


def test_hostile_entry_past_the_ring() -> None:
    """In a region larger than the ring, an inflight entry past the ring is none that can be resubmitted."""
    rig = Rig({"region-size": "larger"}, entries=8)
    rig.started()
    store(rig.region.desc[6], "inflight", 1)
    with pytest.raises(RegionError, match="entry 6 is inflight, past the ring's 4"):
        rig.queue(strict=False).start()


@pytest.mark.reaches("split.reconnect.1b")
def test_not_strict_checks_memory_safety_alone() -> None:
    """Without strictness, a number of steps that cannot be right is walked, but never out of the table."""
    rig = interrupted()
    store(rig.region, "used_idx", 65531)
    rig.queue(strict=False).start()
    assert rig.ids().count("split.reconnect.1b") == 7
    store(rig.region, "used_idx", 65531)
    store(rig.region.desc[0], "next", 9)
    with pytest.raises(RegionError, match="leads to entry 9"):
        rig.queue(strict=False).start()


def test_hostile_avail_idx() -> None:
    """An available index further ahead than the ring is long, or behind, is refused."""
    rig = Rig()
    queue = rig.started()
    for index in (5, 65535):
        store(rig.ring.avail, "idx", index)
        with pytest.raises(DriverError, match=f"avail.idx is {index}"):
            queue.look()
        with pytest.raises(DriverError):
            queue.look_again()
        assert not queue.available
    careless = rig.queue(strict=False)
    careless.look()
    assert careless.seen_avail == 65535


def test_hostile_head() -> None:
    """A head past the ring is refused always, one that is inflight unless strictness is off; nothing is fetched."""
    rig = Rig()
    queue = rig.started()
    rig.make(0)
    queue.look()
    store(rig.ring.avail.ring, 0, 4)
    with pytest.raises(DriverError, match="head 4 was made available in a ring of 4"):
        queue.take()
    store(rig.ring.avail.ring, 0, 0)
    queue.take()
    store(rig.ring.avail.ring, 1, 0)
    store(rig.ring.avail, "idx", 2)
    queue.look()
    with pytest.raises(DriverError, match="head 0 was made available while it is inflight"):
        queue.take()
    assert (queue.last_avail, rig.submitted) == (1, [0])
    careless = rig.started(strict=False)
    careless.look()
    assert careless.take() == 0
    store(rig.ring.avail.ring, 2, 4)
    store(rig.ring.avail, "idx", 3)
    careless.look()
    with pytest.raises(DriverError, match="head 4"):
        careless.take()
