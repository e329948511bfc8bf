"""What speaks against an answer of the oracle is said unasked, and nothing is said where nothing does."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from refimpl.backend.dump import ring_parts
from refimpl.errors import InflightError
from refimpl.memory import store
from tests.refimpl.packed.test_random import World as PackedWorld
from tests.refimpl.packed.test_random import run as run_packed
from tests.refimpl.packed_rig import PackedRig
from tests.refimpl.rig import CrashError, Rig, batch
from tests.refimpl.split.test_random import World as SplitWorld
from tests.test_recover import answered, crash_points, interrupted, packed_crash, state
from tests.test_recover_cli import Ask, ask, field_of
from vhost_inflight.judging.play.player import Player
from vhost_inflight.judging.play.schedule import load
from vhost_inflight.recover import doubts, parse, recover, schema, story
from vhost_inflight.recover.used import shown_as_used

__all__ = ["ask"]  # a fixture

RECORDED = Path(__file__).parents[1] / "proofs" / "recorded"
DOUBLE = sorted(
    path
    for ring in ("split", "packed")
    for path in (RECORDED / ring / "counterexamples").glob("*no-used-resubmitted.json")
)


def found_at_the_last_start(path: Path, *, revision: bool = True) -> dict[str, Any]:
    """Return the bytes that the last back-end of a recorded run finds; with the run's revision and choices, or none."""
    schedule = load(path)
    player = Player(schedule)
    with contextlib.suppress(InflightError):
        player.play()
    memory = player.memory.copy(player.starts[-1])
    document = {
        "format": "vhost-inflight state 1",
        "ring": schedule.ring,
        "queue_size": schedule.size,
        "region_size": schedule.entries,
        "region": bytes(memory.region).hex(),
        "ring_memory": {name: part.hex() for name, part in ring_parts(memory.ring).items()},
    }
    return document | ({"revision": schedule.revision, "gaps": dict(schedule.gaps)} if revision else {})


def kinds(document: dict[str, Any], **more: Any) -> list[str]:
    """Return the kinds of doubts about the answer to a document, which has the form that its schema says."""
    return [doubt["kind"] for doubt in answered(document, **more)["doubts"]]


# What an answer gives to the device, and the ring shows as used


def test_the_default_does_not_corrupt(ask: Ask) -> None:
    """Of erratum whole-ring's own bytes, the default's answer resubmits nothing, and says what merged would do."""
    document = found_at_the_last_start(RECORDED / "packed/errata/whole-ring.json", revision=False)
    code, out, err = ask(document)
    said = json.loads(out)
    assert (code, said["revision"], said["resubmit"]) == (0, "hardened", [])
    (doubt,) = said["doubts"]
    assert (doubt["kind"], doubt["revision"], doubt["resubmit"]) == ("revisions-disagree", "merged", [0])
    assert err == f"vhost-inflight: doubt: {doubt['text']}\n"
    assert doubt["text"] == (
        "revision merged answers otherwise: it resubmits entry 0, not nothing; that would give the device what the "
        "ring shows as used (hardened is proved for this ring)"
    )


def test_the_corrupting_answer_says_so(ask: Ask) -> None:
    """Asked for merged, the answer is merged's; JSON, story, standard error and exit status say what it is."""
    document = found_at_the_last_start(RECORDED / "packed/errata/whole-ring.json")
    code, out, err = ask(document)
    said = json.loads(out)
    Draft202012Validator(schema("output")).validate(said)
    assert (code, said["revision"], [request["entry"] for request in said["resubmit"]]) == (1, "merged", [0])
    used, disagree = said["doubts"]
    assert used == {
        "kind": "shown-as-used",
        "text": "entry 0 (id 0) goes to the device, and slot 0 shows id 0 as used",
        "entry": 0,
        "id": 0,
        "slot": 0,
        "visible": True,
    }
    assert (disagree["revision"], disagree["differs"], disagree["resubmit"], disagree["fetch_position"]) == (
        "hardened",
        ["resubmit", "region_after"],
        [],
        {"slot": 0, "wrap_counter": 0},
    )
    assert err.splitlines() == [f"vhost-inflight: doubt: {doubt['text']}" for doubt in said["doubts"]]
    code, out, again = ask(document, "--explain")
    assert (code, again) == (1, err)
    assert out.splitlines()[-3].split() == f"doubt Entry {used['text'].removeprefix('entry ')}.".split()


@pytest.mark.parametrize("path", DOUBLE, ids=lambda path: f"{path.parents[1].name}-{path.stem}")
def test_each_recorded_double_resubmission_is_doubted(path: Path) -> None:
    """Of every recorded run that resubmits what is used: by the ring, by another revision, or since it is refused.

    But for the choices that let a driver's ring and a region drift apart in a way that these bytes do not show.
    """
    document = found_at_the_last_start(path)
    blind = {"fetch-in-batch": "always"}.items() & document["gaps"].items() and document["ring"] == "split"
    said = answered(document)
    assert bool(said["doubts"] or "error" in said) != bool(blind)
    if document["ring"] == "packed" and not document["gaps"]:
        assert said["doubts"][0]["kind"] == "shown-as-used"


def check(rig: Rig | PackedRig) -> None:
    """Ask the oracle: it recovers, and finds nothing shown as used."""
    found = recover(parse(state(rig)))
    assert found.refused is None
    assert shown_as_used(found) == []
    if isinstance(rig, Rig):
        assert doubts(found) == []


class CheckedSplit(SplitWorld):
    """A world of random runs in which the oracle is asked at each start."""

    asked = 0

    def life(self) -> None:
        """Ask, then live."""
        check(self.rig)
        type(self).asked += 1
        super().life()


class CheckedPacked(PackedWorld):
    """Likewise."""

    asked = 0

    def life(self) -> None:
        """Ask, then live."""
        check(self.rig)
        type(self).asked += 1
        super().life()


def test_no_false_alarm_on_a_split_ring() -> None:
    """In runs of the proved revision, whatever the driver used, made again, or has only begun."""
    for seed in range(40):
        world = CheckedSplit(seed, "merged")
        while len(world.published) < 60 or world.open:
            world.drive()
            if len(world.published) == 60 and not world.rig.driver.free:
                world.crash_rate = 0.0
            with contextlib.suppress(CrashError):
                world.life()
    assert CheckedSplit.asked > 150


def test_no_false_alarm_on_a_packed_ring() -> None:
    """Likewise."""
    for seed in range(40):
        run_packed(CheckedPacked(seed, "hardened"))
    assert CheckedPacked.asked > 150


@pytest.mark.parametrize("heads", [(0,), (3, 1), (0, 1, 2, 3)])
def test_a_head_that_is_used_and_marked_all_the_same(heads: tuple[int, ...]) -> None:
    """Split: whoever cleared it not, the used ring has it, and the available ring has not had it again."""
    rig = Rig(revision="merged", size=4, first_index=65534)
    queue = rig.started()
    rig.fetch(queue, *heads)
    queue.supply(batch(*heads))
    assert kinds(state(rig)) == []
    document = field_of(rig, "inflight", 1, heads[-1])
    store(rig.ring.avail, "idx", rig.ring.avail.idx + 1 & 0xFFFF)  # a request more, of another head: nothing is refused
    store(rig.ring.avail.ring, (rig.ring.avail.idx - 1) % 4, (heads[-1] + 1) % 4)
    document = state(rig)
    (doubt,) = answered(document)["doubts"]
    assert (doubt["kind"], doubt["head"], doubt["slot"]) == ("shown-as-used", heads[-1], (65534 + len(heads) - 1) % 4)


def test_a_head_that_came_again() -> None:
    """Split: it was used, and made available again, and fetched: the used element is about the request before."""
    rig = Rig(revision="merged", size=4)
    queue = rig.started()
    rig.fetch(queue, 2)
    queue.supply(batch(2))
    rig.driver.use()
    rig.fetch(queue, 2)
    assert kinds(state(rig)) == []


def test_a_batch_whose_list_names_other_heads() -> None:
    """Split: published and not settled, and the list does not have the head."""
    rig = interrupted()
    store(rig.region.desc[3], "next", 3)  # of 3 and 1, the list has 3 alone, twice
    store(rig.region.desc[1], "inflight", 1)
    found = recover(parse(state(rig)))
    assert [(one.request.entry, one.slot) for one in shown_as_used(found)] == [(1, 5)]


def packed_used() -> PackedRig:
    """Return a packed ring on which ids 2 (two slots) and 1 came back, and 0 is in flight."""
    rig = PackedRig(revision="hardened", size=5)
    queue = rig.started()
    first, second, _ = rig.fetch(queue, (2, 2), (1, 1), (0, 1))
    queue.supply(batch(first, second))
    return rig


def test_an_id_that_is_used_and_marked_all_the_same() -> None:
    """Packed: the last used element has it, and no slot that is available."""
    rig = packed_used()
    assert kinds(state(rig)) == []
    (entry,) = [number for number, one in enumerate(rig.region.desc) if one.id == 1 and not one.inflight]
    store(rig.region.desc[entry], "inflight", 1)
    free = rig.region.free_head
    for name in ("free_head", "old_free_head"):
        store(rig.region, name, rig.region.desc[free].next if free == entry else free)
    said = answered(state(rig))
    assert ("shown-as-used", 1, 2) in [(d["kind"], d.get("id"), d.get("slot")) for d in said["doubts"]]


def test_marks_that_merged_leaves() -> None:
    """Packed: slot 2 of a batch that is rolled back is marked used; hardened unmarks it before it resubmits."""
    document = state(packed_crash("packed.supply.7"))
    merged, hardened = answered(document, revision="merged"), answered(document)
    (used, disagree) = merged["doubts"]
    assert (used["kind"], used["id"], used["slot"], used["visible"]) == ("shown-as-used", 0, 2, False)
    assert used["text"].endswith(
        "slot 2 shows id 0 as used (the driver meets that as soon as the slots before it are used)"
    )
    assert disagree["differs"] == ["ring_after"]
    assert disagree["text"].startswith("revision hardened answers otherwise: it leaves other bytes in the ring (")
    assert [doubt["kind"] for doubt in hardened["doubts"]] == ["revisions-disagree"]


# Where revisions disagree


def test_hardened_is_never_doubted_for_itself() -> None:
    """At each crash of a life and of its recovery: where merged answers otherwise, that is said, and nothing else."""
    told = [kinds(state(rig)) for rig in crash_points("packed", "hardened", {})]
    assert {*map(tuple, told)} == {(), ("revisions-disagree",)}
    assert 5 < told.count(["revisions-disagree"]) < len(told) / 10


@pytest.mark.parametrize("revision", ["merged", "hardened"])
def test_on_a_split_ring_they_agree(revision: str) -> None:
    """Both are proved there."""
    assert {*map(tuple, (kinds(state(rig)) for rig in crash_points("split", revision, {})))} == {()}


def test_one_revision_recovers_what_another_refuses(ask: Ask) -> None:
    """With a choice that leads it past the available index, merged refuses; hardened closes that gap and recovers."""
    (path,) = (path for path in DOUBLE if path.name == "merged-batch-size-signed-no-used-resubmitted.json")
    document = found_at_the_last_start(path)
    code, out, err = ask(document, "--json", "-")
    said = json.loads(out)
    (doubt,) = said["doubts"]
    assert (code, doubt["differs"], doubt["error"]) == (1, ["error"], None)
    assert "revision hardened answers otherwise: it recovers: it resubmits " in doubt["text"]
    assert err.splitlines()[1] == f"vhost-inflight: doubt: {doubt['text']}"
    smaller = answered(state(Rig({"region-size": "smaller"}, size=4, entries=2)) | {"region_size": 2})
    (doubt,) = smaller["doubts"]
    assert doubt["text"].startswith("revision hardened answers otherwise: it finds nothing that can be recovered (")
    assert (doubt["resubmit"], doubt["fetch_position"]) == (None, None)
    assert doubt["error"].startswith("the ring has 4 entries, its region 2")


def test_what_both_refuse_is_not_doubted() -> None:
    """A region of no known version, say."""
    assert kinds(field_of(packed_used(), "version", 2)) == []


def test_v6_keeps_no_order(ask: Ask) -> None:
    """With two requests to resubmit that is said; with one there is no order."""
    document = state(interrupted("v6"))
    code, _, err = ask(document)
    assert (code, err.count("doubt")) == (0, 1)
    assert "v6 keeps no order: requests are resubmitted as they stand in the table" in err
    assert kinds(document) == ["no-order"]
    rig = Rig(revision="v6")
    rig.fetch(rig.started(), 2)
    assert kinds(state(rig)) == []


def test_a_region_of_v6_is_read_by_hardened_too() -> None:
    """Its fields, in a region as hardened lays it: the defects that v6 shares with merged are found."""
    (path,) = (
        path for path in DOUBLE if path.name == "v6-no-used-resubmitted.json" and path.parents[1].name == "packed"
    )
    said = answered(found_at_the_last_start(path))
    assert [(doubt["kind"], doubt.get("revision")) for doubt in said["doubts"]] == [
        ("shown-as-used", None),
        ("revisions-disagree", "hardened"),
    ]
    document = state(packed_crash("packed.supply.7", revision="v6"))
    assert [d["differs"] for d in answered(document)["doubts"] if d["kind"] == "revisions-disagree"] == [["ring_after"]]
    for size in (0, 40000):
        assert kinds(document | {"region_size": size}) == []


def test_a_choice_that_breaks_is_told_by_who_has_the_default() -> None:
    """Hardened closes the gap, so it answers as the default does; neither is called proved but it."""
    rig = Rig({"fetch-position": "used-idx"}, size=8, first_index=5)
    rig.fetch(rig.started(), 2, 1)
    (doubt,) = answered(state(rig))["doubts"]
    assert doubt["text"] == (
        "revision hardened answers otherwise: it fetches on at index 7, not at index 5 "
        "(hardened is proved for this ring)"
    )


def test_the_story_ends_with_doubts() -> None:
    """After what comes next, each in a line of its own; none where there is none."""
    told = story(recover(parse(state(packed_crash("packed.supply.7", revision="merged")))))
    assert [line.split()[0] for line in told.splitlines() if not line.startswith(" ")][-3:] == [
        "next",
        "doubt",
        "doubt",
    ]
    assert "doubt" not in story(recover(parse(state(interrupted()))))
