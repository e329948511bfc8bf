"""The recording state: what a step may do, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from model import protocol
from model.layout import region
from model.record import SHARED, Var, Vars, assign_each, assign_initial, c_field, record, record_term
from model.terms import ModelError, Term, show

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
    Var("ring.desc[].flags.avail", "ring", 1, "a bit of a descriptor's flags", "size"),
    Var("ring.desc[].flags.used", "ring", 1, "another", "size"),
    Var("ring.desc[].len", "ring", 32, "another field", "size"),
    Var("region.desc[].flags.used", "region", 1, "a bit of other flags", "heads"),
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


def test_the_bits_of_one_field_are_one_store() -> None:
    """Flags are written as a whole: of one descriptor that is one store, however many of its bits change."""

    def flags(s: Any) -> None:
        bits = s.ring.desc[s.fetch.head].flags
        bits.avail, bits.used = 1, 0

    assert written(flags) == [
        ("ring.desc[].flags.avail", "fetch.head", "1"),
        ("ring.desc[].flags.used", "fetch.head", "0"),
    ]


def test_bits_of_two_fields_are_two_stores() -> None:
    """Flags and length of one descriptor; flags of two descriptors; flags of two structures."""

    def flags_and_length(s: Any) -> None:
        d = s.ring.desc[s.fetch.head]
        d.flags.used, d.len = 1, 2

    def two_descriptors(s: Any) -> None:
        s.ring.desc[s.fetch.head].flags.used = 1
        s.ring.desc[s.fetch.cursor].flags.avail = 1

    def two_structures(s: Any) -> None:
        head = s.fetch.head
        s.ring.desc[head].flags.used = 1
        s.region.desc[head].flags.used = 1

    for step in (flags_and_length, two_descriptors, two_structures):
        with pytest.raises(ModelError, match=f"{step.__name__} stores to shared memory 2 times"):
            record(VARS, step)


def test_a_bit_is_read_after_another_was_written() -> None:
    """The bits are variables of their own: only what was written cannot be read."""

    def other_bit(s: Any) -> None:
        flags = s.ring.desc[s.fetch.head].flags
        flags.used = 1 - flags.avail

    def same_bit(s: Any) -> None:
        flags = s.ring.desc[s.fetch.head].flags
        flags.used = 1
        s.fetch.cursor = flags.used

    assert len(written(other_bit)) == 1
    with pytest.raises(ModelError, match=r"flags.used is read after it was written"):
        record(VARS, same_bit)


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("ring.desc[].flags.avail", "ring.desc[].flags"),
        ("region.desc[].flags.next", "region.desc[].flags"),
        ("driver_event.flags", "driver_event.flags"),
        ("region.used_idx", "region.used_idx"),
        ("call", "call"),
    ],
)
def test_a_c_field(name: str, field: str) -> None:
    """The bits of a descriptor's flags are in one field; other variables are fields themselves."""
    assert c_field(name) == field


@pytest.mark.parametrize("ring", protocol.RINGS)
def test_every_field_of_the_region_is_a_field_of_the_layout(ring: str) -> None:
    """What the model stores to the region exists in the structures, and is as wide; bits of flags are in 16."""
    layout = region(ring, "merged")
    known = {f"region.{f.name}": 8 * f.width for f in layout.header.fields}
    known |= {f"region.desc[].{f.name}": 8 * f.width for f in layout.entry.fields}
    for var in protocol.table(protocol.Subject(ring, "merged")).vars.values():
        if var.kind == "region":
            assert known[c_field(var.name)] == (16 if ".flags." in var.name else var.width), var.name


@pytest.mark.parametrize("ring", protocol.RINGS)
def test_every_step_of_the_text_stores_once(ring: str) -> None:
    """Of recover, fetch and supply, in each revision: at most one C field at one place."""
    for revision in protocol.revisions(ring):
        table = protocol.table(protocol.Subject(ring, revision))
        for recorded in table.recorded():
            shared = [a for a in recorded.assigns if table.vars[a.name].kind in SHARED]
            stores = {(c_field(a.name), show(a.index) if isinstance(a.index, Term) else a.index) for a in shared}
            assert recorded.step.world or len(stores) <= 1, recorded.step.id
            assert not (recorded.step.world and recorded.step.procedure in ("recover", "fetch", "supply"))


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
