"""The recording state: what a step may do, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from model.record import Var, Vars, assign_each, assign_initial, record, record_term
from model.terms import ModelError, show

VARS = Vars(
    Var("region.used_idx", "region", 16, "a scalar"),
    Var("region.desc[].inflight", "region", 8, "an array of structures", "heads"),
    Var("used.idx", "ring", 16, "another place", initial=7),
    Var("avail.ring", "ring", 16, "an array of numbers", "size"),
    Var("call", "eventfd", 1, "a word"),
    Var("fetch.head", "volatile", 16, "the process's own"),
    Var("fetch.cursor", "volatile", 16, "another"),
    Var("history.got", "ghost", 0, "history", "heads"),
    Var("history.position", "ghost", 0, "history"),
)


def written(step: Callable[..., None], **options: bool) -> list[tuple[str, str | None, str]]:
    """Record a step, and show its assignments."""
    return [
        (a.name, a.index if a.index is None or isinstance(a.index, str) else show(a.index), show(a.value))
        for a in record(VARS, step, **options)
    ]


def test_reads_and_writes_are_recorded() -> None:
    """A scalar, an element of an array, a field of a structure in an array."""

    def step(s: Any) -> None:
        s.region.desc[s.fetch.head].inflight = 1
        s.fetch.cursor = s.avail.ring[s.fetch.head + 1]

    assert written(step) == [
        ("region.desc[].inflight", "fetch.head", "1"),
        ("fetch.cursor", None, "avail.ring[fetch.head + 1]"),
    ]


def test_a_word_is_a_variable() -> None:
    """A name without a dot is written and read as well."""

    def step(s: Any) -> None:
        s.fetch.head = s.call
        s.call = 1

    assert written(step) == [("fetch.head", None, "call"), ("call", None, "1")]


def test_two_shared_stores_are_refused() -> None:
    """A crash may come between them, so that they are two steps; region, ring and eventfds are all shared."""

    def region_and_ring(s: Any) -> None:
        s.region.used_idx = 1
        s.used.idx = 1

    def ring_and_eventfd(s: Any) -> None:
        s.used.idx = 1
        s.call = 1

    with pytest.raises(ModelError, match=r"region_and_ring stores to shared memory 2 times: region.used_idx, used.idx"):
        record(VARS, region_and_ring)
    with pytest.raises(ModelError, match=r"ring_and_eventfd stores to shared memory 2 times"):
        record(VARS, ring_and_eventfd)
    assert len(record(VARS, region_and_ring, world=True)) == 2


def test_one_shared_store_among_local_ones_is_allowed() -> None:
    """What only the process knows dies with it, so that no crash can come between."""

    def step(s: Any) -> None:
        s.fetch.head = 1
        s.used.idx = 1
        s.fetch.cursor = 2

    assert len(written(step)) == 3


def test_reading_what_was_written_is_refused() -> None:
    """All terms of a step speak of the state before it."""

    def scalar(s: Any) -> None:
        s.fetch.head = 1
        s.fetch.cursor = s.fetch.head

    def array(s: Any) -> None:
        s.avail.ring[0] = 1
        s.fetch.cursor = s.avail.ring[1]

    def structure(s: Any) -> None:
        s.region.desc[0].inflight = 1
        s.fetch.cursor = s.region.desc[1].inflight

    for step, name in ((scalar, "fetch.head"), (array, "avail.ring"), (structure, r"region.desc\[\].inflight")):
        with pytest.raises(ModelError, match=f"{name} is read after it was written"):
            record(VARS, step)


def test_writing_twice_is_refused() -> None:
    """The second assignment would hide the first."""

    def step(s: Any) -> None:
        s.fetch.head = 1
        s.fetch.head = 2

    with pytest.raises(ModelError, match=r"fetch.head is written twice"):
        record(VARS, step)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (lambda s: s.region.usedidx, "no variable of the model begins with 'region.usedidx'"),
        (lambda s: s.nothing, "no variable of the model begins with 'nothing'"),
        (lambda s: setattr(s, "nothing", 1), "the model has no scalar nothing"),
        (lambda s: setattr(s.region, "usedidx", 1), "the model has no variable region.usedidx"),
        (lambda s: s.region.desc[0].prev, r"the model has no variable region.desc\[\].prev"),
        (lambda s: setattr(s.avail, "ring", 1), "avail.ring is an array"),
        (lambda s: setattr(s.region.desc[0], "prev", 1), r"the model has no variable region.desc\[\].prev"),
    ],
)
def test_an_unknown_variable_is_refused(step: Callable[[Any], None], message: str) -> None:
    """A misspelt name is an error when the table is built, not a new variable."""
    with pytest.raises(ModelError, match=message):
        record(VARS, step)


def test_a_variable_is_declared_once() -> None:
    """Two of one name would be two places in a state."""
    with pytest.raises(ModelError, match="declared twice"):
        Vars(Var("call", "eventfd", 1, ""), Var("call", "ring", 1, ""))


def test_no_store_depends_on_history() -> None:
    """Neither its value nor its index may read what no program has; history itself may."""

    def value(s: Any) -> None:
        s.used.idx = s.history.position

    def index(s: Any) -> None:
        s.avail.ring[s.history.got[0]] = 1

    def hidden(s: Any) -> None:
        s.fetch.head = s.avail.ring[s.history.position]

    def history(s: Any) -> None:
        s.history.position = s.history.got[s.fetch.head]

    for step in (value, index, hidden):
        with pytest.raises(ModelError, match="depends on ghost state: history"):
            record(VARS, step)
    assert len(written(history)) == 1


def test_a_predicate_must_not_write() -> None:
    """A guard that changes the state is no guard."""

    def guard(s: Any) -> Any:
        s.fetch.head = 1
        return s.call == 1

    with pytest.raises(ModelError, match=r"guard is a predicate and writes fetch.head"):
        record_term(VARS, guard)


def test_whole_arrays() -> None:
    """Every element gets a value that may depend on its index; initial values come from the declaration."""

    def each(s: Any) -> None:
        s.history.got.each(lambda h: h + 1)

    def initial(s: Any) -> None:
        assign_initial(s, ["used.idx", "history.got"])

    def named(s: Any) -> None:
        assign_each(s, "region.desc[].inflight", lambda _: 0)

    assert written(each) == [("history.got", "each.history.got", "(each.history.got + 1)")]
    assert written(initial) == [("used.idx", None, "7"), ("history.got", "each.history.got", "0")]
    assert written(named) == [("region.desc[].inflight", "each.region.desc[].inflight", "0")]
