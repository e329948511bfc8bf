"""What a shared buffer holds is told from its bytes. Who knows: what made them, the model and real back-ends."""

from __future__ import annotations

import json
from ctypes import sizeof
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refimpl.layout import HEADER_PADDING, region_size, region_type
from vhost_inflight.live.buffers import Known, readings, sure
from vhost_inflight.recover.raw import EARLY
from vhost_inflight.vectors import form

VECTORS = Path(form.__file__).parent


def states() -> list[form.Vector]:
    """Give the states of the small set that somebody may have left: the fresh ones and the hostile ones not."""
    vectors = form.load((VECTORS / "small" / "vectors.jsonl").read_text(encoding="utf-8"))
    return [v for v in vectors if v.kind == "state" and "hostile" not in v.flags and any(v.given.region[8:10])]


def buffer(vector: form.Vector) -> bytes:
    """Give the shared buffer of a vector."""
    told = vector.given
    if told.shared is not None:
        return told.shared
    return told.region.ljust(region_size(told.ring, told.revision, told.region_size), b"\0")


def test_every_state_of_the_small_set() -> None:
    """Whatever step a back-end died after, the ring, the layout, the entries, the queues and their places are told."""
    told = {v.id: v.given for v in states()}
    assert len(told) > 250
    found = {v.id: readings(buffer(v)) for v in states()}
    assert {name for name, ways in found.items() if not sure(ways)} == set()
    assert {name: (ways[0].ring, ways[0].layout, ways[0].entries) for name, ways in found.items()} == {
        name: (one.ring, "merged", one.region_size) for name, one in told.items()
    }
    several = {name: one for name, one in told.items() if one.queues is not None}
    assert len(several) == 12
    assert {name: (found[name][0].queues, found[name][0].stride) for name in several} == {
        name: (one.queues, one.stride) for name, one in several.items()
    }


def test_what_real_back_ends_left() -> None:
    """librte_vhost's and libvhost-user's regions."""
    for line in (VECTORS / "seen.jsonl").read_text(encoding="utf-8").splitlines():
        told = json.loads(line)["state"]
        (reading,) = readings(bytes.fromhex(told["region"]))
        assert (reading.ring, reading.layout, reading.entries, reading.queues) == (told["ring"], "merged", 128, 1)


def used(ring: str, layout: str, entries: int) -> bytes:
    """Make a region that was used: it is initialised, and two requests are marked."""
    region = region_type(ring, layout, entries)()
    region.version, region.desc_num = 1, entries
    for number, entry in enumerate(region.desc):
        entry.inflight = number in {1, 2}
        if ring == "packed":
            entry.next, entry.num, entry.last = number + 1, 1, number
        if layout == "merged":
            entry.counter = 300 + number
    if ring == "packed":
        region.desc[0].next, region.free_head, region.old_free_head = 3, 0, 0
    return bytes(region)


@pytest.mark.parametrize("ring", ["split", "packed"])
@pytest.mark.parametrize("layout", ["merged", "v6"])
@pytest.mark.parametrize("entries", [8, 128, 1024])
@pytest.mark.parametrize("stride", ["64", "none"])
def test_layouts(ring: str, layout: str, entries: int, stride: str) -> None:
    """Each ring in each layout, three queues of which the second one is fresh; then the first one."""
    size = region_size(ring, layout, entries, stride)
    region, fresh = used(ring, layout, entries).ljust(size, b"\0"), bytes(size)
    for content in (region + fresh + region, fresh + region + fresh):
        ways = readings(content)
        assert sure(ways)
        first = ways[0]
        assert (first.ring, first.layout, first.entries, first.queues, first.stride) == (ring, layout, entries, 3, size)
        assert [row["inflight"] for row in first.table(content)] == [
            [1, 2] if content[size * queue : size * (queue + 1)] == region else [] for queue in range(3)
        ]


@pytest.mark.parametrize("queues", [1, 3])
def test_a_header_of_29_bytes(queues: int) -> None:
    """Without C's padding the entries are three bytes earlier; also where the file is rounded up to pages."""
    region = used("packed", "merged", 16)
    begin = region_type("packed", "merged", 16).desc.offset
    early = region[: begin - HEADER_PADDING] + region[begin:]
    for content in (early * queues, (early * queues).ljust(4096, b"\0")):
        first = readings(content, Known(queues=queues))[0]
        assert (first.apart, first.stride, first.queues) == (EARLY, len(early), queues)
        assert [row["inflight"] for row in first.table(content)] == [[1, 2]] * queues
        assert bytes(first.region(content, queues - 1)) == early + bytes(HEADER_PADDING)


def test_pages() -> None:
    """A file of whole pages, as some allocate, with zeros behind the last region."""
    content = (used("split", "merged", 128).ljust(2112, b"\0") * 2).ljust(8192, b"\0")
    ways = readings(content)
    assert sure(ways)
    assert (ways[0].layout, ways[0].stride, ways[0].rank[1]) == ("merged", 2112, True)


def test_what_is_not_sure_is_not_said_to_be() -> None:
    """A layout that nobody is known to use is named, and believed when somebody says so."""
    content = (bytes(8) + b"\1\0\4\0").ljust(128, b"\0")
    ways = readings(content)
    assert sure(ways)
    assert [(way.ring, way.layout, way.queues) for way in ways] == [
        ("split", "merged", 1),
        ("split", "v6", 2),
        ("packed", "v6", 1),
        ("split", "v6", 4),
    ]
    assert not sure(readings(content, Known(layout="v6")))
    assert sure(readings(content, Known("split", "v6")))
    assert not sure([])


def test_damaged() -> None:
    """A field that nobody can have left is noticed; of a buffer that is known to be one the size decides."""
    content = bytearray(used("split", "merged", 128).ljust(2112, b"\0"))
    assert len(readings(bytes(content))) == 1
    for offset, value in ((0, 1), (8, 2), (10, 127), (12, 128), (16, 2), (17, 1), (22, 128)):
        damaged = content[:]
        damaged[offset] = value
        assert readings(bytes(damaged)) == []
        known = readings(bytes(damaged), Known("split", None, 128, 1), fresh=True)
        assert [way.layout for way in known] == ["merged", "v6"], offset


def test_fresh() -> None:
    """Zeros say nothing; of a buffer that is known to be one they are a region that nobody has initialised."""
    assert readings(bytes(2112)) == []
    known = readings(bytes(2112), Known("split", None, 128, 1), fresh=True)
    assert [(way.layout, way.rank[1]) for way in known] == [("merged", False), ("v6", True)]


@given(st.binary(max_size=400), st.booleans(), st.sampled_from([None, 1, 4, 32768]))
def test_any_bytes(content: bytes, told: bool, entries: int | None) -> None:
    """Whatever is there, each way that is named can be followed."""
    content = content[:8] + b"\1\0" + content[10:] if told else content
    for way in readings(content, Known(entries=entries), fresh=told):
        assert len(way.table(content)) == way.queues
        assert len(bytes(way.region(content, way.queues - 1))) == sizeof(region_type(way.ring, way.layout, way.entries))
