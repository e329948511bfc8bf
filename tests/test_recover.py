"""Recover, the oracle: at every crash it says what the reference's next life really does, store by store."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from refimpl.errors import InflightError
from refimpl.hooks import BACKEND_STORES_OF
from refimpl.packed.queue import PackedQueue
from refimpl.packed.ring import packed_parts
from refimpl.split.ring import parts, ring_bytes
from tests.refimpl.packed_rig import PackedRig
from tests.refimpl.rig import CrashError, Rig, batch, crash_at
from vhost_inflight.recover import answer, parse, recover, schema

AnyRig = Rig | PackedRig
SUBJECTS: list[tuple[str, str, dict[str, str]]] = [
    *(("split", revision, {}) for revision in ("v6", "merged", "hardened")),
    *(("packed", revision, {}) for revision in ("v6", "merged", "hardened")),
    ("packed", "hardened", {"settle": "wide"}),
    ("packed", "merged", {"assignments": "one", "signal-at-start": "on-mismatch"}),
    ("split", "merged", {"fetch-position": "used-idx", "ring-at-start": "wait", "counter-after-reconnect": "count"}),
    ("split", "v6", {"used-element": "before-publish", "resubmit-order": "any"}),
]


def state(rig: AnyRig) -> dict[str, Any]:
    """Write the bytes of a rig as an input."""
    size, content = rig.ring.size, bytes(rig.view)
    if isinstance(rig, Rig):
        (avail, used), region = parts(size), -(-ring_bytes(size) // 64) * 64
        ring = {"available": content[avail : avail + 6 + 2 * size], "used": content[used : used + 6 + 8 * size]}
    else:
        (driver, device), region = packed_parts(size), rig.region_offset
        ring = {"driver_event": content[driver : driver + 4], "device_event": content[device : device + 4]}
    ring["descriptors"] = content[: 16 * size]
    return {
        "format": "vhost-inflight state 1",
        "ring": "split" if isinstance(rig, Rig) else "packed",
        "revision": rig.choices.revision,
        "gaps": {gap: choice for gap, choice in rig.choices.to_mapping().items() if choice},
        "queue_size": size,
        "region": content[region:].hex(),
        "ring_memory": {name: part.hex() for name, part in ring.items()},
    }


_FITTING: set[str] = set()


def fits(said: dict[str, Any]) -> None:
    """Check an answer against its schema, each once: deaths at different stores leave the same bytes, six in seven."""
    if (text := repr(said)) not in _FITTING:
        Draft202012Validator(schema("output")).validate(said)
        _FITTING.add(text)


def answered(document: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Recover, and check the answer against its schema."""
    found = answer(recover(parse(document, **more)))
    fits(found)
    return found


def rig_of(ring: str, revision: str, gaps: dict[str, str]) -> AnyRig:
    """Return a rig in the middle of its ring, with requests available that take it across the end."""
    if ring == "split":
        split = Rig(gaps, revision, first_index=65534)
        split.make(2, 1, 0, 3)
        return split
    packed = PackedRig(gaps, revision, size=5)
    queue = packed.started()
    (entry,) = packed.fetch(queue, (4, 3))
    queue.supply(batch(entry))
    packed.driver.use_all()
    packed.make((1, 2), (0, 1), (3, 1), (2, 1))
    return packed


def live(rig: AnyRig) -> None:
    """Live one life: recover, fetch all, finish the two that came first in one batch, the second one first."""
    queue = rig.queue()
    queue.start()
    queue.look()
    while queue.available:
        queue.take()
        queue.look()
    if len(rig.submitted) > 1:
        queue.supply(batch(*rig.submitted[1::-1]))
    queue.arm()
    queue.look_again()


def crashed(rig: AnyRig, place: int) -> bool:
    """Live until the storing step of a number and die right after it; return False if the life ends before."""
    storing, left = BACKEND_STORES_OF["split" if isinstance(rig, Rig) else "packed"], place

    def crash(step: str, _choice: int | None) -> None:
        nonlocal left
        left -= step in storing
        if left == 0:
            raise CrashError

    rig.on_step = crash
    try:
        live(rig)
    except CrashError:
        return True
    finally:
        rig.on_step = lambda _step, _choice: None
    return False


def played(document: dict[str, Any], stores: list[dict[str, Any]]) -> dict[str, bytearray]:
    """Make the stores of an answer in the bytes of the input, each over the number that it says was there."""
    parts = {"region": document["region"], **document["ring_memory"]}
    memory = {name: bytearray.fromhex(part) for name, part in parts.items()}
    for made in stores:
        place = slice(made["offset"], made["offset"] + made["width"])
        part = memory[made["memory"]]
        assert int.from_bytes(part[place], sys.byteorder) == made["from"]
        part[place] = made["to"].to_bytes(made["width"], sys.byteorder)
    return memory


def compare(rig: AnyRig) -> bool:
    """Hold the oracle's answer against the next life on the same bytes; return whether that could recover."""
    found = recover(parse(state(rig)))
    said = answer(found, ())
    fits(said)
    stored = played(state(rig), said.get("error", said)["stores"])
    rig.steps.clear()
    queue = rig.queue()
    if "error" in said:
        with pytest.raises(InflightError) as refused:
            queue.start()
        assert said["error"]["rule"] == refused.value.args[0]
        assert [event.step for event in found.events] == rig.ids()
        assert stored["region"].hex() == state(rig)["region"]
        return False
    queue.start()
    looked = [event.step for event in found.events if event.step.endswith(".fetch.look")]
    assert [(event.step, event.choice) for event in found.events][: len(found.events) - len(looked)] == rig.steps
    assert looked == ([] if queue.resting else [f"{said['ring']}.fetch.look"])
    assert said["region_after"] == stored["region"].hex() == state(rig)["region"]
    assert {name: part.hex() for name, part in stored.items() if name != "region"} == state(rig)["ring_memory"]
    changed = {
        name: part for name, part in state(rig)["ring_memory"].items() if bytes.fromhex(part) != found.before[name]
    }
    assert (said["ring_after"] or {}) == changed
    assert [request.get("head", request.get("entry")) for request in said["resubmit"]] == rig.submitted
    assert said["counter"] == (queue.counter.value if rig.choices.counted else None)
    if isinstance(queue, PackedQueue):
        assert isinstance(rig, PackedRig)
        given = [[(desc["id"], desc["addr"], desc["len"]) for desc in r["descriptors"]] for r in said["resubmit"]]
        assert given == [rig.given[entry] for entry in rig.submitted]
        assert said["fetch_position"] == {"slot": queue.avail_idx, "wrap_counter": queue.avail_wrap}
    else:
        assert said["fetch_position"] == {"last_avail": queue.last_avail}
        assert [r["descriptors"][0]["addr"] for r in said["resubmit"]] == [0x1000 + head for head in rig.submitted]
    return True


def crash_points(ring: str, revision: str, gaps: dict[str, str]) -> Iterator[AnyRig]:
    """Yield a rig that died at each store of a life, and at each of the recovery that came after that."""
    for first in range(1, 1000):
        rig = rig_of(ring, revision, gaps)
        if not crashed(rig, first):
            return
        yield rig
        for second in range(1, 12):
            again = rig_of(ring, revision, gaps)
            crashed(again, first)
            try:
                crashed(again, second)
            except InflightError:
                break  # what merged makes of some crashes on a packed ring is no region any more
            yield again


@pytest.mark.parametrize(("ring", "revision", "gaps"), SUBJECTS)
def test_the_oracle_says_what_the_next_life_does(ring: str, revision: str, gaps: dict[str, str]) -> None:
    """After one crash at any store, or two: steps, bytes, requests and their descriptors, position, counter."""
    recovered = [compare(rig) for rig in crash_points(ring, revision, gaps)]
    assert sum(recovered) > 60
    if revision == "hardened":
        assert len(recovered) > 200
        assert all(recovered)


def interrupted(revision: str = "merged", **more: Any) -> Rig:
    """Return a rig that died after it published 3 and 1 of five requests and cleared 3."""
    rig = Rig({}, revision, size=8, first_index=5, **more)
    queue = rig.started()
    rig.fetch(queue, 2, 1, 0, 3)
    crash_at(rig, "split.supply.6")
    with pytest.raises(CrashError):
        queue.supply(batch(1, 3))
    rig.on_step = lambda _step, _choice: None
    rig.make(4)
    return rig


def test_a_split_answer() -> None:
    """Every part of one answer, and every store with its place."""
    said = answered(state(interrupted()))
    region, after = said.pop("region_after"), bytes.fromhex(state(interrupted())["region"])
    store = {"memory": "region", "width": 1, "to": 0}
    assert said == {
        "format": "vhost-inflight recovery 1",
        "ring": "split",
        "revision": "merged",
        "gaps": {},
        "queue_size": 8,
        "fresh": False,
        "cleared": [3, 1],
        "committed": {"used_idx": {"from": 5, "to": 7}},
        "rolled_back": None,
        "resubmit": [
            {"head": 2, "counter": 0, "descriptors": [{"addr": 0x1002, "len": 512, "flags": 0}]},
            {"head": 0, "counter": 2, "descriptors": [{"addr": 0x1000, "len": 512, "flags": 0}]},
        ],
        "fetch_position": {"last_avail": 9},
        "used_position": {"used_idx": 7},
        "available": True,
        "signal": True,
        "counter": 3,
        "stores": [
            {"step": "split.reconnect.1b", "where": "region.desc[3].inflight", "offset": 64, "from": 1, **store},
            {"step": "split.reconnect.1b", "where": "region.desc[1].inflight", "offset": 32, "from": 0, **store},
            {"step": "split.reconnect.1c", "where": "region.used_idx", "offset": 14, **store}
            | {"width": 2, "from": 5, "to": 7},
        ],
        "ring_after": None,
        "doubts": [],
    }
    assert region == (after[:14] + b"\7\0" + after[16:64] + b"\0" + after[65:]).hex()


def packed_crash(
    step: str, number: int = 1, revision: str = "hardened", gaps: dict[str, str] | None = None
) -> PackedRig:
    """Return a rig that died in the middle of a batch of entries 1 (of two descriptors) and 0, of three requests."""
    rig = PackedRig(gaps, revision, size=5)
    queue = rig.started()
    entries = rig.fetch(queue, (0, 1), (1, 2), (2, 1))
    left = number

    def crash(reported: str, _choice: int | None) -> None:
        nonlocal left
        left -= reported == step
        if left == 0:
            raise CrashError

    rig.on_step = crash
    with pytest.raises(CrashError):
        queue.supply(batch(entries[1], entries[0]))
    rig.on_step = lambda _step, _choice: None
    return rig


def test_a_packed_batch_that_is_rolled_back() -> None:
    """Hardened: the slot that was marked used is available again, in the ring's bytes too."""
    said = answered(state(packed_crash("packed.supply.7")))
    assert said["committed"] is None
    assert said["rolled_back"] == {
        "used_idx": {"from": 3, "to": 0},
        "used_wrap_counter": {"from": 1, "to": 1},
        "free_head": {"from": 0, "to": 4},
        "unmarked": [2],
    }
    assert [(r["entry"], r["id"], r["counter"]) for r in said["resubmit"]] == [(0, 0, 0), (1, 1, 1), (3, 2, 2)]
    assert said["cleared"] == [4]
    assert said["fetch_position"] == {"slot": 4, "wrap_counter": 1}
    assert said["counter"] == 3
    unmark = next(store for store in said["stores"] if store["memory"] == "descriptors")
    assert unmark == {
        "step": "packed.reconnect.unmark",
        "memory": "descriptors",
        "where": "descriptors[2].flags",
        "offset": 46,
        "width": 2,
        "from": 0x8080,
        "to": 0x80,
    }
    assert bytes.fromhex(said["ring_after"]["descriptors"])[46:48] == b"\x80\x00"


def test_a_packed_batch_that_is_committed() -> None:
    """Merged: flags that differ commit; what is rolled back then changes nothing."""
    said = answered(state(packed_crash("packed.supply.7", 2, "merged")))
    assert said["committed"] == {
        "old_free_head": {"from": 4, "to": 0},
        "old_used_idx": {"from": 0, "to": 3},
        "old_used_wrap_counter": {"from": 1, "to": 1},
    }
    assert (said["rolled_back"], said["ring_after"]) == (None, None)
    assert said["cleared"] == [0, 1, 2, 4]
    assert [request["entry"] for request in said["resubmit"]] == [3]


def test_a_wide_store_is_one_store() -> None:
    """Hardened with settle=wide: one store of 8 bytes, told as the fields that it covers."""
    said = answered(state(packed_crash("packed.supply.7", 2, gaps={"settle": "wide"})))
    wide = next(store for store in said["stores"] if store["width"] == 8)
    assert wide["where"] == "region.used_idx..region.padding[1]"
    assert (wide["offset"], wide["from"] ^ wide["to"]) == (16, 3 << 16)
    assert said["committed"]["old_used_idx"] == {"from": 0, "to": 3}
    assert said["committed"].keys() == {"old_free_head", "old_used_idx", "old_used_wrap_counter"}


@pytest.mark.parametrize("ring", ["split", "packed"])
def test_a_fresh_region(ring: str) -> None:
    """It is initialised, and nothing is resubmitted."""
    rig: AnyRig = Rig() if ring == "split" else PackedRig()
    said = answered(state(rig))
    assert (said["fresh"], said["resubmit"], said["counter"], said["available"]) == (True, [], 0, False)
    assert said["stores"][-1 if ring == "split" else -8]["where"] == "region.version"
