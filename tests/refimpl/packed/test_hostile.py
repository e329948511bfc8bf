"""A hostile region and a hostile driver of a packed ring: refused before anything that they say is followed."""

import pytest

from refimpl.errors import DriverError, FrontEndError, RegionError, UsageError
from refimpl.layout import DESC_NEXT
from refimpl.memory import SharedMemory, store
from refimpl.packed.ring import PackedRing, packed_ring_bytes
from tests.refimpl.packed_rig import PackedRig
from tests.refimpl.rig import batch


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("version", 2, "version is 2"),
        ("desc_num", 5, "desc_num is 5"),
        ("free_head", 5, "free_head is 5"),
        ("old_free_head", 5, "old_free_head is 5"),
        ("used_idx", 4, "used_idx is 4"),
        ("old_used_idx", 4, "old_used_idx is 4"),
        ("used_wrap_counter", 2, "used_wrap_counter is 2"),
        ("old_used_wrap_counter", 2, "old_used_wrap_counter is 2"),
    ],
)
def test_hostile_header(field: str, value: int, words: str) -> None:
    """A header that nobody can have left is refused before it is followed."""
    rig = PackedRig()
    rig.started()
    store(rig.region, field, value)
    with pytest.raises(RegionError, match=words):
        rig.queue().start()
    assert rig.submitted == []


@pytest.mark.parametrize(
    ("entry", "field", "value", "words"),
    [
        (0, "inflight", 2, "entry 0 is 2"),
        (0, "num", 0, "num of entry 0 is 0"),
        (0, "num", 5, "num of entry 0 is 5"),
        (0, "num", 4, "5 descriptors are inflight"),
        (0, "last", 4, "last of entry 0 leads to entry 4"),
        (0, "next", 9, "the chain of entry 0 leads to entry 9"),
        (0, "counter", 2**64 - 1, "at its end"),
        (3, "next", 3, "does not end after 4"),
    ],
)
def test_hostile_entry(entry: int, field: str, value: int, words: str) -> None:
    """An entry that leads out of the table or in a circle, or is half inflight, is refused."""
    rig = PackedRig()
    rig.fetch(rig.started(), (0, 2), (1, 1))
    store(rig.region.desc[entry], field, value)
    with pytest.raises(RegionError, match=words):
        rig.queue().start()


def test_memory_safety_without_strict() -> None:
    """Without strict, an index out of range is refused still, where it is used."""
    for field, value in (("used_idx", 4), ("old_used_idx", 9)):
        rig = PackedRig(revision="merged")
        rig.started()
        store(rig.region, field, value)
        with pytest.raises(RegionError, match="slots"):
            rig.queue(strict=False).start()
    rig = PackedRig(revision="merged")
    queue = rig.started(strict=False)
    rig.fetch(queue, (0, 1))
    assert queue.supply(batch(0, 0)) == 2  # not what a device does, and no access out of bounds


def test_hostile_while_serving() -> None:
    """What changes under a running queue is checked at each use."""
    rig = PackedRig()
    queue = rig.started()
    rig.fetch(queue, (0, 1), (1, 1))
    store(rig.region.desc[0], "num", 5)
    with pytest.raises(RegionError, match="num of entry 0 is 5"):
        queue.supply(batch(0))
    queue.batch = "none"
    store(rig.region.desc[1], "last", 7)
    with pytest.raises(RegionError, match="last of entry 1 leads to entry 7"):
        queue.supply(batch(1))


@pytest.mark.reaches("packed.fetch.more")
def test_chain_longer_than_the_ring() -> None:
    """A chain that never ends is refused; nothing of it is inflight in the next life."""
    rig = PackedRig()
    queue = rig.started()
    rig.make((0, 4))
    for desc in rig.ring.desc:
        store(desc, "flags", desc.flags | DESC_NEXT)
    queue.look()
    with pytest.raises(DriverError, match="longer than the ring's 4"):
        queue.take()
    rig.queue().start()
    assert (rig.submitted, rig.inflight(), rig.free_list()) == ([], [0, 0, 0, 0], [0, 1, 2, 3])


def test_more_than_the_free_entries() -> None:
    """Descriptors made available over others that are still inflight find no free entry."""
    rig = PackedRig()
    queue = rig.started()
    rig.fetch(queue, (0, 3))
    store(rig.ring.desc[3], "flags", 1 << 7 | DESC_NEXT)
    queue.look()
    with pytest.raises(DriverError, match="slot 0 was made available while no entry is free"):
        queue.take()
    rig = PackedRig()
    queue = rig.started()
    rig.fetch(queue, (0, 4))
    store(rig.ring.desc[0], "flags", 1 << 15)
    queue.look()
    with pytest.raises(DriverError, match="no entry is free"):
        queue.take()


def test_id_twice() -> None:
    """A buffer id that is inflight is refused, after a recovery too; without strict the ring's size alone matters."""
    rig = PackedRig()
    queue = rig.started()
    rig.fetch(queue, (2, 1))
    store(rig.ring.desc[1], "id", 2)
    store(rig.ring.desc[1], "flags", 1 << 7)
    for life in (queue, rig.started()):
        life.look()
        with pytest.raises(DriverError, match="buffer id 2"):
            life.take()
    careless = rig.started(strict=False)
    careless.look()
    assert careless.take() == 1


@pytest.mark.parametrize("size", [0, 32769])
def test_sizes(size: int) -> None:
    """A ring has 1 to 32768 slots, no matter whether a power of two."""
    with SharedMemory.create(packed_ring_bytes(32769), "ring") as memory:
        view = memory.view()
    with pytest.raises(FrontEndError, match="not allowed"):
        PackedRing(size, view, view, view)
    assert PackedRing.at(view, 3).size == 3
    with pytest.raises(UsageError, match="needs 56 bytes"):
        PackedRing.at(view[:55], 3)


def test_places() -> None:
    """A ring that is too short or misaligned cannot be laid."""
    with SharedMemory.create(4096, "ring") as memory:
        view = memory.view()
    for desc, driver, device, words in (
        (view[:47], view, view, "48 bytes"),
        (view[8:], view, view, "16 bytes"),
        (view, view[:3], view, "4 bytes"),
        (view, view, view[2:], "to 4 bytes"),
    ):
        with pytest.raises(FrontEndError, match=words):
            PackedRing(3, desc, driver, device)
