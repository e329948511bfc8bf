"""The judges, on a back-end that is played by hand: each thing that can be wrong is seen, and what is right is not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from refimpl.choices import Choices
from refimpl.frontend.memory import DATA_AT, STATUS_AT
from refimpl.layout import EVENT_DESC, EVENT_ENABLE, region_at
from refimpl.memory import SharedMemory
from refimpl.wire.features import EVENT_IDX
from refimpl.wire.payload import Inflight
from vhost_inflight.conformance.driver import SECTOR, Request
from vhost_inflight.conformance.judge import judge_memory, state_of
from vhost_inflight.conformance.life import Rig, Setup
from vhost_inflight.conformance.load import LOADS, QUEUE_SIZE, Ask
from vhost_inflight.conformance.process import Command
from vhost_inflight.recover.given import parse


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """Give a rig with a split ring and a region, without a back-end."""
    setup = Setup(Command("nobody {socket} {image}"), Choices())
    with Rig(setup, LOADS["mixed"], tmp_path) as made:
        made.front_end.features = made.front_end.wanted
        held = made.front_end.held
        held.memory, held.described = SharedMemory.create(4096, "region"), Inflight(4096, 0, 1, QUEUE_SIZE)
        made.client.begin()
        fields = region(made)
        fields.version, fields.desc_num = 1, QUEUE_SIZE
        yield made


def region(rig: Rig) -> Any:
    """Lay the region."""
    assert rig.front_end.inflight is not None
    return region_at(rig.front_end.inflight.view(), "split", "merged", QUEUE_SIZE)


def made(rig: Rig, *kinds: str, marked: bool = True) -> list[Request]:
    """Make requests, and mark them as a back-end does that fetches them."""
    rig.client.make([Ask(kind, indirect=True) for kind in kinds])
    if marked:
        for request in rig.client.requests:
            entry = region(rig).desc[request.head]
            entry.inflight, entry.counter = 1, request.number
    return rig.client.requests


def slot(rig: Rig, request: Request) -> memoryview:
    """Give the buffers of a request."""
    return rig.ram.slot(0, request.head)[1]


def do(rig: Rig, request: Request) -> None:
    """Do what a request asks for, as a device does."""
    with rig.disk.path.open("r+b") as image:
        data = slot(rig, request)[DATA_AT : DATA_AT + SECTOR]
        if request.ask.kind == "write":
            os.pwrite(image.fileno(), data, request.sector * SECTOR)
        else:
            os.preadv(image.fileno(), [data], request.sector * SECTOR)
    slot(rig, request)[STATUS_AT] = 0


def give_back(rig: Rig, *heads: int) -> None:
    """Publish used elements."""
    used = rig.ram.rings[0].used
    for head in heads:
        used.ring[used.idx % QUEUE_SIZE].id = head
        used.idx += 1


def seen(rig: Rig) -> list[str]:
    """Let the driver look, and look at the disk; give what was wrong."""
    rig.client.collect(0)
    rig.client.judge_disk(rig.disk)
    return [name for name, _ in rig.client.wrong]


def left(rig: Rig) -> list[str]:
    """Give what is wrong with the memory that is left."""
    return [broken.property for broken in judge_memory(rig, Choices())]


def test_what_is_right_is_not_wrong(rig: Rig) -> None:
    write, read = made(rig, "write", "read")
    assert left(rig) == []
    for request in (read, write):
        do(rig, request)
    give_back(rig, read.head, write.head)
    assert [request.number for request in rig.client.visible(0)] == [1, 0]
    for request in (read, write):
        region(rig).desc[request.head].inflight = 0
    region(rig).used_idx = 2
    assert (left(rig), seen(rig), left(rig)) == ([], [], [])
    assert rig.client.outstanding == []


def test_a_region_that_serves_is_not_fresh(rig: Rig) -> None:
    """Whoever comes next would begin anew, and forget what is in flight."""
    region(rig).version = 0
    write, _ = made(rig, "write", "read")
    assert left(rig) == []
    do(rig, write)
    give_back(rig, write.head)
    assert left(rig) == ["well-formed"]


def test_a_used_request_that_is_done_again_is_seen_on_the_disk(rig: Rig) -> None:
    (write,) = made(rig, "write")
    do(rig, write)
    give_back(rig, write.head)
    assert seen(rig) == []
    do(rig, write)
    rig.client.judge_disk(rig.disk)
    assert [name for name, _ in rig.client.wrong] == ["no-used-resubmitted"]


def test_a_used_read_that_is_done_again_is_seen_in_its_buffer(rig: Rig) -> None:
    (read,) = made(rig, "read")
    do(rig, read)
    give_back(rig, read.head)
    assert seen(rig) == []
    do(rig, read)
    rig.client.judge_disk(rig.disk)
    assert [name for name, _ in rig.client.wrong] == ["no-used-resubmitted"]


def test_what_comes_back_without_being_done_is_seen(rig: Rig) -> None:
    (write,) = made(rig, "write")
    give_back(rig, write.head)
    assert seen(rig) == ["intact", "intact"], "no status, and no data"


def test_what_fails_and_what_reads_wrong_is_seen(rig: Rig) -> None:
    write, read = made(rig, "write", "read")
    do(rig, write)
    do(rig, read)
    slot(rig, write)[STATUS_AT] = 1
    slot(rig, read)[DATA_AT] ^= 1
    give_back(rig, write.head, read.head)
    assert seen(rig) == ["intact", "intact"]


def test_half_a_sector_is_seen(rig: Rig) -> None:
    (write,) = made(rig, "write")
    with rig.disk.path.open("r+b") as image:
        os.pwrite(image.fileno(), slot(rig, write)[DATA_AT : DATA_AT + 256], write.sector * SECTOR)
    slot(rig, write)[STATUS_AT] = 0
    give_back(rig, write.head)
    assert seen(rig) == ["intact"]


def test_what_comes_back_twice_is_seen(rig: Rig) -> None:
    one, other = made(rig, "write", "write")
    do(rig, one)
    give_back(rig, one.head, one.head)
    assert seen(rig)[0] == "exactly-once"
    assert not other.used


def test_a_lost_request_is_seen(rig: Rig) -> None:
    """The one in front is not marked, so the other one is where fetching would go on."""
    made(rig, "write", "write")
    region(rig).desc[0].inflight = 0
    assert "nothing-lost" in left(rig)


def test_a_used_request_that_is_still_marked_is_seen(rig: Rig) -> None:
    """Nothing was fetched after it, so that fetching would leave out one more than it should."""
    (one,) = made(rig, "write")
    made(rig, "write", marked=False)
    do(rig, one)
    give_back(rig, one.head)
    region(rig).used_idx = 1
    assert left(rig) == ["no-used-resubmitted", "nothing-lost"]


def test_a_wrong_order_is_seen(rig: Rig) -> None:
    made(rig, "write", "write", "write")
    region(rig).desc[2].counter = 0
    region(rig).desc[0].counter = 2
    assert left(rig) == ["order"]


def test_a_batch_that_none_can_settle_is_seen(rig: Rig) -> None:
    made(rig, "write")
    region(rig).used_idx = 30000
    assert left(rig) == ["well-formed"]


def test_a_changed_chain_is_seen(rig: Rig) -> None:
    (write,) = made(rig, "write")
    rig.ram.rings[0].desc[write.head].addr += 4096
    assert left(rig) == ["intact"]


def test_a_fresh_region_tells_nothing(rig: Rig) -> None:
    made(rig, "write", marked=False)
    region(rig).version = 0
    region(rig).used_idx = 77
    assert left(rig) == []


def test_the_state_is_one_that_recover_takes(rig: Rig) -> None:
    made(rig, "write", "read")
    state = state_of(rig, Choices())
    assert parse(state).queue_size == QUEUE_SIZE


@pytest.mark.parametrize("wanted", [True, False])
def test_of_which_used_element_a_packed_driver_wants_to_know(tmp_path: Path, wanted: bool) -> None:
    """With event indexes of the last slot of all that is outstanding; without, of each. Others are not asked for."""
    setup = Setup(Command("nobody {socket} {image}"), Choices(ring="packed"), event_index=wanted)
    with Rig(setup, LOADS["mixed"], tmp_path) as rig:
        assert bool(rig.front_end.wanted & EVENT_IDX) == wanted
        rig.front_end.features = rig.front_end.wanted
        rig.client.begin()
        rig.client.make([Ask("write"), Ask("flush")])
        ring, event = rig.ram.packed_rings[0], rig.ram.packed_rings[0].driver_event
        slot, wrap = ring.advance(*rig.ram.start, 3 + 2 - 1)
        assert event.flags == (EVENT_DESC if wanted else EVENT_ENABLE)
        assert event.off_wrap == (slot | wrap << 15 if wanted else 0)
