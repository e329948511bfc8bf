"""A right back-end may do otherwise where nobody is hurt; what a wrong one must not do is found anew."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from refimpl.layout import region_type
from tools import early
from vhost_inflight.vectors import form, orders
from vhost_inflight.vectors.checking.compare import judge
from vhost_inflight.vectors.checking.read import place_of, read_mask
from vhost_inflight.vectors.form import Lived, Recovered, Store, Vector
from vhost_inflight.vectors.messages import Answered

Change = Callable[[Vector, int, Lived], Lived]


@pytest.fixture(scope="module")
def small() -> dict[str, Vector]:
    """Give the small set."""
    text = (Path(form.__file__).parent / "small" / "vectors.jsonl").read_text(encoding="utf-8")
    return {vector.id: vector for vector in form.load(text)}


def told(vector: Vector, change: Change) -> str:
    """Judge the right life with each op of the back-end changed; give the first thing that is wrong, or ""."""
    life = vector.outcomes[0].answer
    assert isinstance(life, tuple)
    done = [op.op for op in vector.ops if op.op != "driver"]
    changed = tuple(change(vector, number, replace(one)) for number, one in enumerate(life))
    assert changed != life, done
    return "; ".join(judge(vector, Answered(changed)).differs)


def region(vector: Vector) -> Any:
    """Give the layout of a vector's region."""
    given = vector.given
    return region_type(given.ring, given.revision, given.region_size)


def field(vector: Vector, entry: int, name: str, value: int) -> Store:
    """Give a store to a field of an entry."""
    offset, width = place_of(region(vector), entry, name)
    return Store("region", offset, value.to_bytes(width, "little"))


def counting(change: Callable[[int], int]) -> Change:
    """Let a back-end have other counters."""

    def counted(vector: Vector, _: int, one: Lived) -> Lived:
        places = {place_of(region(vector), entry, "counter") for entry in range(vector.given.region_size)}
        return replace(one, stores=tuple(
            replace(s, data=change(int.from_bytes(s.data, "little")).to_bytes(8, "little"))
            if s.part == "region" and (s.offset, len(s.data)) in places else s for s in one.stores))  # fmt: skip

    return counted


LIVES = ["split-merged-life-batch", "packed-hardened-life-chain", "split-merged-life-second-life"]


@pytest.mark.parametrize("life", LIVES)
def test_counters_that_begin_elsewhere_and_leap(small: dict[str, Vector], life: str) -> None:
    """Their order is all that counts: 7 more, or thrice as much."""
    assert told(small[life], counting(lambda counter: counter + 7)) == ""
    assert told(small[life], counting(lambda counter: 3 * counter + 1)) == ""


@pytest.mark.parametrize("life", LIVES)
def test_counters_that_stand_still(small: dict[str, Vector], life: str) -> None:
    """One that is no greater than that of a request in flight gives that one away first, or in any order."""
    assert "which is in flight" in told(small[life], counting(lambda _: 0))


def test_counters_that_fall(small: dict[str, Vector]) -> None:
    assert "which is in flight" in told(small[LIVES[0]], counting(lambda counter: 1000 - counter))


def adding(*what: tuple[str, str, int], of: str) -> Change:
    """Let a back-end make one more store at the end of each op that is `of`, to what the op was about."""

    def added(vector: Vector, number: int, one: Lived) -> Lived:
        op = [op for op in vector.ops if op.op != "driver"][number]
        if op.op != of:
            return one
        about = one.fetched if of == "fetch" else op.batch[0][0]
        stores = [field(vector, about, name, value) for _, name, value in what if about is not None]
        return replace(one, stores=(*one.stores, *stores))

    return added


def test_what_nobody_reads(small: dict[str, Vector]) -> None:
    """The counter of what was supplied; the link of what was fetched, on a split ring."""
    for life in LIVES:
        assert told(small[life], adding(("", "counter", 0), of="supply")) == "", life
    assert told(small[LIVES[0]], adding(("", "next", 1), of="fetch")) == ""


@pytest.mark.parametrize(
    ("life", "what", "words"),
    [
        (LIVES[0], ("", "counter", 0), "counter"),
        (LIVES[0], ("", "inflight", 0), "inflight"),
        (LIVES[1], ("", "next", 3), "next"),
        (LIVES[1], ("", "num", 3), "num"),
    ],
)
def test_what_somebody_reads(small: dict[str, Vector], life: str, what: tuple[str, str, int], words: str) -> None:
    """What recovery turns on, of a request that is in flight."""
    assert words in told(small[life], adding(what, of="fetch"))


def test_a_used_element_that_says_more(small: dict[str, Vector]) -> None:
    """WRITE among its flags says that its len is valid; AVAIL and USED are what counts."""

    def flags(bits: int) -> Change:
        def said(_: Vector, __: int, one: Lived) -> Lived:
            return replace(one, stores=tuple(
                replace(s, data=bytes((s.data[0] ^ bits, s.data[1]))) if s.part == "descriptors" and s.offset % 16 == 14
                else s for s in one.stores))  # fmt: skip

        return said

    assert told(small["packed-hardened-life-one"], flags(2)) == ""
    assert "flags" in told(small["packed-hardened-life-one"], flags(0x80))


def test_the_wish_to_be_kicked(small: dict[str, Vector]) -> None:
    """Stored more often it costs kicks; where a back-end rests it has to be what the driver will reach next."""
    vector = small["split-merged-race-call"]

    def wishing(of: str, more: int) -> Change:
        def wished(_: Vector, number: int, one: Lived) -> Lived:
            ops = [op.op for op in vector.ops if op.op != "driver"]
            taken = int.from_bytes(vector.given.ring_memory["used"][2:4], "little")
            life = vector.outcomes[0].answer
            assert isinstance(life, tuple)
            taken += sum(before.fetched is not None for before in life[: number + 1])
            store = Store("used", 4 + 8 * vector.given.queue_size, (taken + more).to_bytes(2, "little"))
            return replace(one, stores=(*one.stores, store)) if ops[number] == of else one

        return wished

    assert told(vector, wishing("fetch", 9)) == ""
    assert told(vector, wishing("supply", 0)) == ""
    assert "avail_event" in told(vector, wishing("supply", 9))


def test_who_reads_what_is_the_mask_s(small: dict[str, Vector]) -> None:
    """Told from bytes by the reference's layout, or from the model's state: the same."""
    tried = 0
    for vector in small.values():
        answer = vector.outcomes[0].answer
        if isinstance(answer, Recovered):
            tried += 1
            assert read_mask(vector.given, answer.region) == answer.region_mask, vector.id
    assert tried > 200


def test_pairs_found_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are recorded are what the lives show, and no others."""
    monkeypatch.setattr(early, "EARLY", tmp_path / "early.json")
    early.main()
    assert (tmp_path / "early.json").read_text() == orders.EARLY.read_text(), "python -m tools.early"
    rows = json.loads(orders.EARLY.read_text())
    assert not {(row["earlier"], row["later"]) for row in rows} & (orders.recorded("split") | orders.recorded("packed"))


def stores_in_turn(vector: Vector) -> Iterator[tuple[int, int, int]]:
    """Yield op and two stores of it that must not change places, and nothing between them says so."""
    life = vector.outcomes[0].answer
    assert isinstance(life, tuple)
    for number, one in enumerate(life):
        yield from ((number, first, second) for first, second in one.before)


def test_a_store_that_comes_too_late_is_told(small: dict[str, Vector]) -> None:
    """Settling the wrap counter first, then the free list (whole ring): the free list is lost if it dies between."""
    vector = small["packed-hardened-life-chain"]
    life = vector.outcomes[0].answer
    assert isinstance(life, tuple)
    wrap = region(vector).old_used_wrap_counter.offset
    free = region(vector).old_free_head.offset
    for number, one in enumerate(life):
        places = [store.offset if store.part == "region" else -1 for store in one.stores]
        if wrap in places and free in places and places.index(free) < places.index(wrap):
            first, last = places.index(free), places.index(wrap)
            assert (number, first, last) in stores_in_turn(vector)
            stores = list(one.stores)
            stores.insert(first, stores.pop(last))
            other = (*life[:number], replace(one, stores=tuple(stores)), *life[number + 1 :])
            (wrong,) = judge(vector, Answered(other)).differs
            assert "old_free_head" in wrong
            assert "must not move before it" in wrong
            return
    raise AssertionError("no op settles both")
