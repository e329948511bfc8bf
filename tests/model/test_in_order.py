"""In-order use as a choice: what each reading comes to, what the driver takes, and wrong steps that must be found."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from model import protocol
from model.both.in_order import MEANINGS, NEVER
from model.both.stopping import PAIRS
from model.interpret import Machine, StateTuple
from model.packed.places import moved, wrapped
from model.packed.serve import last_entry
from model.properties import NAMES
from model.protocol import RINGS, Subject
from model.steps import Edit, Replace, Table
from model.terms import ModelError, Term, all_of, ite, negate, slot, wrap
from proofs.search.bounds import Bounds
from proofs.search.breadth_first import Found, explore, table_for
from tests.model.runs import random_run, reads

SAFE, DRAINS = frozenset(NAMES) - {"drains"}, frozenset({"drains"})

SMALL = Bounds(2, 2, 1)


def quickly(ring: str, choice: str) -> Any:
    """Leave the packed ring's searches, which see many more states, to the campaign; `verify` plays their runs."""
    return pytest.param(ring, choice, marks=pytest.mark.campaign if ring == "packed" else ())


HOLDS = {
    "split": ("elements", "one-element", "from-ring"),
    "packed": ("elements", "one-element", "one-element-all-flags"),
}
"""By ring: the choices that break nothing, as far as is searched."""

BREAKS = {
    "split": {
        "one-link": "no-used-resubmitted",
        "one-entry": "no-used-resubmitted",
        "one-count": "intact",
        "table-order": "order",
    },
    "packed": {
        "one-link": "well-formed",
        "one-entry": "well-formed",
        "one-count": "ring-position",
        "from-ring": "intact",
    },
}
"""By ring: the others, each with what it breaks first (the packed ring's table-order needs a search of its own)."""


def subject_of(ring: str, choice: str) -> Subject:
    """Give a subject."""
    return Subject.of(ring, "hardened", {"in-order": choice})


def search(subject: Subject, bounds: Bounds, properties: frozenset[str] = SAFE, edits: Iterable[Edit] = ()) -> Found:
    """Look for the first violation."""
    table = table_for(subject, properties).edited(edits)
    return explore(table, protocol.sizes(subject, bounds.size, bounds.first), bounds, properties)


def choices(ring: str) -> list[str]:
    """Give the names of a ring's choices, the default left out."""
    return [a.name for a in protocol.later(ring)["in-order"].alternatives[1:]]


@pytest.mark.parametrize("ring", RINGS)
def test_every_choice_has_a_meaning(ring: str) -> None:
    """The two rings have the same ones, but for that which speaks of flags; the default changes nothing."""
    assert set(MEANINGS) - set(choices(ring)) == ({"one-element-all-flags"} if ring == "split" else set())
    assert {*HOLDS[ring], *BREAKS[ring], "table-order"} == set(choices(ring))
    assert subject_of(ring, NEVER) == Subject(ring, "hardened")
    assert not [s for s in protocol.table(Subject(ring, "hardened")).steps if s.startswith("driver.use.")]


@pytest.mark.parametrize("ring", RINGS)
@pytest.mark.parametrize("other", [("stop", next(iter(PAIRS))), ("ring-reset", "told")])
def test_it_is_judged_alone(ring: str, other: tuple[str, str]) -> None:
    """What a stop or a reset forgets would have to be said of the queue, too."""
    with pytest.raises(ModelError, match="neither stopped nor reset"):
        protocol.table(Subject.of(ring, "hardened", {"in-order": "elements", **dict([other])}))


# What the back-end knows


def known_before(ring: str) -> set[str]:
    """Name what the back-end of the text reads."""
    return of_back_end(protocol.table(Subject(ring, "hardened")))


def of_back_end(table: Table) -> set[str]:
    """Name what the steps of the back-end and of its device read."""
    steps = [r for r in table.recorded() if r.step.procedure in ("recover", "fetch", "supply", "device")]
    terms = [t for r in steps for t in (r.guard, *(v for a in r.assigns for v in (a.value, a.index)))]
    return reads(t for t in terms if isinstance(t, Term))


@pytest.mark.parametrize("ring", RINGS)
def test_the_back_end_knows_the_order_from_its_queue_alone(ring: str) -> None:
    """It reads nothing more than the back-end of the text but the queue, which only what is given and taken changes."""
    for choice in choices(ring):
        table = protocol.table(subject_of(ring, choice))
        assert of_back_end(table) - known_before(ring) == {"device.turn"}, choice
        changes = {r.step.id for r in table.recorded() if any(a.name == "device.turn" for a in r.assigns)}
        given = {"split.fetch.submit", "split.reconnect.2", "packed.fetch.submit", "packed.reconnect.4.submit"}
        ends = {"crash", "connection.reset", f"{ring}.supply.1"}
        assert changes == ends | (given & set(table.steps)), choice


@pytest.mark.parametrize("ring", RINGS)
def test_the_queue_dies_with_the_process(ring: str) -> None:
    """A recovery begins it anew in the order in which it resubmits, which may be another than that of the fetch."""
    step = {"split": "split.reconnect.2", "packed": "packed.reconnect.4"}[ring]
    machine = Machine(
        protocol.table(subject_of(ring, "table-order"), quiet=True), protocol.sizes(Subject(ring, "v6"), 4)
    )
    again = 0
    for seed in range(12):
        order: list[int] = []
        for name, chosen, state in random_run(machine, seed, 700):
            turn = machine.get(state, "device.turn")
            if name in ("crash", "connection.reset"):
                assert not any(turn)
                order = []
            elif name == step:
                order.append(chosen)
            elif name == f"{ring}.reconnect.ready":
                assert [turn[h] for h in order] == list(range(1, len(order) + 1))
                assert sum(map(bool, turn)) == len(order)
                again += len(order) > 1
    assert again > 3


# What the driver takes


def taken(machine: Machine, state: StateTuple, ring: str) -> int:
    """Give the request that the driver frees next."""
    array, at = ("avail.ring", "driver.next_used") if ring == "split" else ("driver.order", "driver.used_idx")
    return int(machine.get(state, array)[machine.get(state, at) % machine.sizes.size])


@pytest.mark.parametrize("ring", RINGS)
@pytest.mark.parametrize("choice", ["elements", "one-element"])
def test_the_driver_takes_what_history_says(ring: str, choice: str) -> None:
    """Each request that it frees was visible as used, and where it reads on is where history says that it will."""
    machine = Machine(
        protocol.table(subject_of(ring, choice), quiet=True), protocol.sizes(Subject(ring, "v6"), 4), check=True
    )
    skipped = 0
    for seed in range(10):
        before = machine.initial()
        for name, _, state in random_run(machine, seed, 800, rarely=0.01):
            if name in ("driver.use.skipped", "driver.use.last"):
                h = taken(machine, before, ring)
                done, made = (machine.get(before, f"history.{n}")[h] for n in ("done", "made"))
                assert done == made >= machine.get(before, "history.seen_pos")
                assert machine.get(state, "history.seen_pos") <= machine.get(state, "history.used_pos")
                skipped += name == "driver.use.skipped"
            assert name != "driver.use.broken"
            before = state
    assert (skipped > 10) == (choice == "one-element")


# What each choice comes to


@pytest.mark.parametrize(("ring", "choice"), [quickly(ring, choice) for ring in RINGS for choice in HOLDS[ring]])
def test_what_breaks_nothing(ring: str, choice: str) -> None:
    """Every run of two requests and a crash was looked at."""
    found = search(subject_of(ring, choice), SMALL)
    assert found.violations == {}
    assert found.complete


@pytest.mark.parametrize(("ring", "choice"), [quickly(ring, choice) for ring in RINGS for choice in BREAKS[ring]])
def test_what_breaks_something(ring: str, choice: str) -> None:
    """And what it breaks first."""
    found = search(subject_of(ring, choice), SMALL)
    assert found.violated == BREAKS[ring][choice]


@pytest.mark.campaign
def test_the_packed_rings_table_order_needs_a_third_request() -> None:
    """Its free list has to be in another order than the table first: the third takes the entry of the first."""
    assert search(subject_of("packed", "table-order"), Bounds(2, 3, 1)).violated == "order"


def in_ring_order(_: Table) -> list[Edit]:
    """Let the driver take its heads in turn, as virtio asks of it where the feature is negotiated."""
    step = protocol.table(subject_of("split", "elements")).step("driver.make.1")

    def in_turn(s: Any, i: Term) -> Term:
        return all_of(step.when(s, i), i == slot(s.driver.requests - 1))

    return [Replace("driver.make.1", {"when": in_turn})]


@pytest.mark.campaign
def test_a_driver_that_takes_its_heads_in_turn_does_not_help() -> None:
    """The order of the table is not that of the ring once this has gone round: one request more, and it shows."""
    subject = subject_of("split", "table-order")
    within, beyond = (search(subject, Bounds(2, n, 1), edits=in_ring_order(protocol.table(subject))) for n in (2, 3))
    assert within.violated is None
    assert beyond.violated == "order"


# Wrong steps that must be found


def any_order(ring: str) -> list[Edit]:
    """Give back whatever is finished."""
    taking = protocol.table(Subject(ring, "hardened")).step(f"{ring}.supply.1")
    return [Replace(taking.id, {"when": taking.when})]


def first_id(ring: str, choice: str) -> list[Edit]:
    """Name the first request of the batch, not the last."""

    def split(s: Any) -> None:
        ahead = 0 if choice == "one-element" else s.supply.count
        s.used.ring[slot(wrap(s.used.idx + ahead, 16))].id = s.supply.batch[0]

    def packed(s: Any) -> None:
        ahead = 0 if choice == "one-element" else s.supply.slots
        s.ring.desc[moved(s.supply.start, ahead)].id = last_entry(s, s.supply.batch[0]).id

    return [Replace(f"{ring}.supply.id", {"do": split if ring == "split" else packed})]


def one_too_few(ring: str, choice: str) -> list[Edit]:
    """Skip all of the batch but one request, where it has more than one."""

    def split(s: Any) -> None:
        s.supply.old_idx = s.used.idx
        s.used.idx = wrap(s.used.idx + ite(s.supply.count > 1, s.supply.count - 1, 1), 16)
        s.supply.open = 2
        s.supply.cursor = 0

    def size(s: Any) -> Term:
        return s.supply.slots - ite(s.supply.count > 1, s.region.desc[s.supply.head].num, 0)  # type: ignore[no-any-return]

    def packed(s: Any) -> None:
        s.region.used_idx = moved(s.supply.start, size(s))
        s.supply.cursor = 1 if choice == "one-element" else s.supply.count

    def flips(s: Any) -> Term:
        return wrapped(s.supply.start, s.supply.start_wrap, size(s)) != s.supply.start_wrap  # type: ignore[no-any-return]

    if ring == "split":
        return [Replace("split.supply.5", {"do": split})]
    return [
        Replace("packed.supply.6a", {"do": packed}),
        Replace("packed.supply.6b", {"when": flips}),
        Replace("packed.supply.6b.else", {"when": lambda s: negate(flips(s))}),
    ]


WRONG: dict[str, Callable[[str, str], list[Edit]]] = {
    "out of order": lambda ring, _: any_order(ring),
    "the first id": first_id,
    "one too few": one_too_few,
}
"""Steps that give back wrongly, by name."""


@pytest.mark.parametrize("ring", ["split", pytest.param("packed", marks=pytest.mark.campaign)])
@pytest.mark.parametrize("choice", ["elements", "one-element"])
@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_step_is_found(ring: str, choice: str, wrong: str) -> None:
    """Within the bounds in which the right one breaks nothing."""
    found = search(subject_of(ring, choice), SMALL, edits=WRONG[wrong](ring, choice))
    assert found.violated is not None


def test_an_element_that_names_nobody_hangs_the_driver() -> None:
    """It frees all that it has made available, does not meet the request that is named, and takes no more."""

    def nobody(s: Any) -> None:
        s.used.ring[slot(s.used.idx)].id = 1 - s.supply.head

    subject, edit = subject_of("split", "one-element"), [Replace("split.supply.id", {"do": nobody})]
    found = search(subject, Bounds(2, 2, 0), DRAINS, edit)
    assert "driver.use.broken" in {event[0] for event in found.violations["drains"]}
    assert search(subject, SMALL, edits=edit).violated == "intact"
