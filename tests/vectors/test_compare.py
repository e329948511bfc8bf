"""What is compared of an answer: bytes under a mask, changes and needed orders of a life, one of several outcomes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.vectors import handmade
from vhost_inflight.vectors import messages
from vhost_inflight.vectors.adapters import reference
from vhost_inflight.vectors.checking import places
from vhost_inflight.vectors.checking.compare import Verdict, judge
from vhost_inflight.vectors.form import Lived, Meanwhile, Op, Outcome, Recovered, Store, Vector
from vhost_inflight.vectors.messages import Answered

LIFE = handmade.life()
PUBLISHED = handmade.all_of_them()[0]


def right(vector: Vector) -> Any:
    """Give the reference's answer, which is right."""
    return messages.read_answer(reference.answer(messages.run(vector)), vector).result


def verdict(vector: Vector, answer: Any) -> Verdict:
    """Judge an answer."""
    return judge(vector, Answered(answer))


def lived(*stores: Store, op: int = 2) -> tuple[Lived, ...]:
    """Give the right life with other stores in one op."""
    life = list(right(LIFE))
    life[op] = replace(life[op], stores=stores)
    return tuple(life)


def supplied() -> list[Store]:
    """Give the stores with which head 0 is supplied."""
    return list(right(LIFE)[2].stores)


def test_a_byte_counts_where_the_mask_says() -> None:
    answer = right(PUBLISHED)
    other = replace(answer, region=answer.region[:17] + b"\x55" + answer.region[18:])
    outcome = PUBLISHED.outcomes[0]
    assert verdict(PUBLISHED, answer).word == "pass"
    assert verdict(PUBLISHED, other).differs == ("region.desc[0].padding[0] (byte 17) is 55, and has to be 00",)
    assert isinstance(outcome.answer, Recovered)
    mask = outcome.answer.region_mask
    loose = replace(outcome.answer, region_mask=mask[:17] + b"\xaa" + mask[18:])
    assert verdict(replace(PUBLISHED, outcomes=(Outcome({}, loose),)), other).word == "pass"


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("resubmit", (0, 1), "resubmit is 0 1, and has to be 1"),
        ("resubmit", (), "resubmit is nothing, and has to be 1"),
        ("next_avail", 1, "next_avail is 1, and has to be 2"),
        ("used", 0, "used is 0, and has to be 1"),
        ("counter", None, "counter is nothing, and has to be 5"),
        ("region", b"", "region has 0 bytes in the answer, and was given with 48"),
        ("ring_memory", {}, "descriptors is missing in the answer"),
    ],
)
def test_each_field_counts(field: str, value: Any, told: str) -> None:
    found = verdict(PUBLISHED, replace(right(PUBLISHED), **{field: value}))
    assert found.word == "fail"
    assert found.differs[0] == told


def test_a_counter_that_nobody_needs_is_not_compared() -> None:
    answer = PUBLISHED.outcomes[0].answer
    assert isinstance(answer, Recovered)
    vector = replace(PUBLISHED, outcomes=(Outcome({}, replace(answer, counter=None)),))
    assert verdict(vector, replace(right(PUBLISHED), counter=77)).word == "pass"


def test_one_of_several_outcomes_is_enough_and_a_failure_names_the_nearest() -> None:
    answer = PUBLISHED.outcomes[0].answer
    assert isinstance(answer, Recovered)
    other = replace(answer, counter=0, next_avail=9)
    vector = replace(PUBLISHED, outcomes=(Outcome({"counter-start": "one"}, other), Outcome({}, answer)))
    assert verdict(vector, right(PUBLISHED)).word == "pass"
    found = verdict(vector, replace(right(PUBLISHED), resubmit=(0,)))
    assert found.differs == (
        "none of the 2 right answers; from the nearest (all defaults) it differs so:",
        "resubmit is 0, and has to be 1",
    )


def test_descriptors_count_where_they_are_told() -> None:
    answer = PUBLISHED.outcomes[0].answer
    assert isinstance(answer, Recovered)
    vector = replace(PUBLISHED, outcomes=(Outcome({}, replace(answer, chains=((1,),))),))
    assert verdict(vector, replace(right(PUBLISHED), chains=None)).word == "pass"
    assert verdict(vector, replace(right(PUBLISHED), chains=((1, 0),))).word == "fail"


def test_how_wide_stores_are_and_how_often_they_are_made_is_free() -> None:
    """One store of 8 bytes for a used element; one that changes nothing; a field that is stored twice on the way."""
    stores = [Store("used", 4, b"\x00\x00\x00\x00\x00\x02\x00\x00"), Store("region", 12, b"\x00\x00"),
              Store("region", 12, b"\x01\x00"), Store("region", 12, b"\x00\x00"), *supplied()[4:]]  # fmt: skip
    assert verdict(LIFE, lived(*stores)).differs == ()


def test_what_is_stored_at_once_is_in_order() -> None:
    """A counter and a mark that one store of 16 bytes makes: no crash comes between them."""
    wide = Store("region", 16, b"\x01" + bytes(7) + b"\x09" + bytes(7))
    assert verdict(LIFE, lived(wide, op=1)).differs == ()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda s: s[:-3],
            "at op 3, supply: region.desc[0].inflight (byte 16) is not stored: it stays 01, and has to become 00",
        ),
        (lambda s: s[:-1], "the notification of the driver has to be made, and is not"),
        (
            lambda s: [*s, Store("region", 32, b"\x00")],
            "region.desc[1].inflight (byte 32) becomes 00, and has to stay 01",
        ),
        (
            lambda s: [*s, Store("region", 14, b"\x02\x00")],
            "region.used_idx (byte 14) becomes 02, and has to become 01",
        ),
        (lambda s: [*s, Store("region", 48, b"\x00")], "a store of 1 bytes to region, byte 48: outside of it"),
        (
            lambda s: [s[4], *s[:4], *s[5:]],
            "used.idx (byte 2) is stored before used.ring[0].len (byte 8), and must not move before it",
        ),
        (
            lambda s: [*s[:5], s[6], s[5], s[7]],
            "region.used_idx (byte 14) is stored before region.desc[0].inflight (byte 16), and must not move before it",
        ),
    ],
)
def test_a_store_that_is_missing_wrong_or_too_early_is_told(change: Any, told: str) -> None:
    found = verdict(LIFE, lived(*change(supplied())))
    assert found.word == "fail"
    assert told in found.differs[0]


def test_a_value_that_is_there_too_early_is_told_though_it_is_taken_back() -> None:
    """A crash may come before it is taken back."""
    early = [Store("region", 14, b"\x01\x00"), Store("region", 14, b"\x00\x00")]
    (told,) = verdict(LIFE, lived(*early, *supplied())).differs
    assert told.startswith("at op 3, supply: region.used_idx (byte 14) is stored before region.desc[0].inflight")


def test_what_the_driver_stored_meanwhile_is_what_a_later_store_changes() -> None:
    """The back-end stores 0 where 0 was until the driver came: without that store the driver's value stays."""
    mark, back = Store("region", 16, b"\x01"), Store("available", 8, b"\x00")
    before = Meanwhile(("region", 16), (Store(back.part, back.offset, b"\x55"),))
    ops = (Op("fetch", meanwhile=(before,)), Op("fetch"))
    vector = handmade.vector("late", handmade.IDLE, (Lived(0, (mark,)), Lived(None, (back,))), *ops)
    assert verdict(vector, (Lived(0, (mark,)), Lived(None, (back,)))).word == "pass"
    (told,) = verdict(vector, (Lived(0, (mark,)), Lived(None, ()))).differs
    assert told.endswith("(byte 8) is not stored: it stays 55, and has to become 00")


def test_what_is_fetched_counts() -> None:
    life = list(right(LIFE))
    life[1] = replace(life[1], fetched=None)
    assert verdict(LIFE, tuple(life)).differs == ("at op 2, fetch: it fetched nothing, and has to fetch 0",)
    assert "2 ops, the trace 3" in verdict(LIFE, tuple(life[:2])).differs[0]


def test_what_the_driver_does_meanwhile_comes_before_the_store() -> None:
    """It asks for a notification at the last moment: who looked before publishing does not notify."""
    assert LIFE.ops[-1].meanwhile
    assert [store.part for store in supplied()][-1] == "call"
    never = replace(LIFE, ops=(*LIFE.ops[:-1], replace(LIFE.ops[-1], meanwhile=())))
    assert [store.part for store in right(never)[2].stores][-1] == "region"


@pytest.mark.parametrize(
    ("part", "offset", "name"),
    [
        ("region", 8, "region.version (byte 8)"),
        ("region", 47, "region.desc[1].counter (byte 47)"),
        ("region", 48, "region, byte 48, past what it has to hold"),
        ("available", 8, "used_event, behind the available ring (byte 8)"),
        ("used", 20, "avail_event, behind the used ring (byte 20)"),
        ("descriptors", 31, "descriptors[1].next (byte 31)"),
        ("call", 0, "the notification of the driver"),
    ],
)
def test_a_byte_has_the_name_of_its_field(part: str, offset: int, name: str) -> None:
    assert places.name(PUBLISHED.given, part, offset) == name


def test_a_byte_of_sizes_that_there_are_not_has_a_number() -> None:
    assert places.name(replace(PUBLISHED.given, region_size=0), "region", 3) == "region, byte 3"
