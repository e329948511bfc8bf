"""The interpreter: terms and steps on plain numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from model.interpret import Machine, Sizes
from model.record import Var, Vars
from model.steps import History, Procedure, Table
from model.terms import (
    ModelError,
    Operand,
    all_of,
    any_of,
    cell,
    count,
    exists,
    follow,
    forall,
    greatest,
    ite,
    lap,
    met,
    negate,
    parameter,
    place,
    slot,
    total,
    wrap,
)

VARS = Vars(
    Var("work.at", "volatile", 0, "label", initial="idle"),
    Var("n", "volatile", 16, "a number", initial=parameter("first")),
    Var("small", "ring", 8, "a number that overflows soon", initial=255),
    Var("list", "ring", 16, "numbers", "heads", 5),
    Var("slots", "ring", 16, "one for each slot", "size"),
)


def machine(*, check: bool = False, size: int = 4, entries: int = 3) -> Machine:
    """Make a machine whose steps add, overflow, leave an array, and write an element that is chosen."""
    work = Procedure("work")

    @work.step("add", at="idle", to="idle", text="t", when=lambda s: s.n < 65535)
    def add(s: Any) -> None:
        """Add one."""
        s.n = s.n + 1

    @work.step("overflow", at="idle", to="over", text="t")
    def overflow(s: Any) -> None:
        """Add without wrapping."""
        s.small = s.small + 1

    @work.step("outside", at="over", text="t")
    def outside(s: Any) -> None:
        """Write behind the end."""
        s.list[s.n] = 1

    @work.step("choose", at="idle", choice="head", text="t", when=lambda s, i: s.list[i] == 5)
    def choose(s: Any, i: Operand) -> None:
        """Write the element that is chosen."""
        s.list[i] = i

    @work.step("all", at="over", to="idle", text="t")
    def everything(s: Any) -> None:
        """Write every element."""
        s.slots.each(lambda h: h + s.n)

    table = Table.of_procedures("split", VARS, [work], History())
    return Machine(table, Sizes(size, entries, 7), check=check)


def test_the_first_state_is_as_declared() -> None:
    """Labels, numbers, parameters; arrays as long as the queue, or as the longer of queue and region."""
    assert machine().initial() == ("idle", 7, 255, (5, 5, 5, 5), (0, 0, 0, 0))
    longer = machine(entries=6).initial()
    assert (len(longer[3]), len(longer[4])) == (6, 4)


def test_an_enabled_step_is_taken() -> None:
    """Others are refused by name, with the choice that was made."""
    m = machine()
    state = m.take(m.initial(), "add")
    assert m.get(state, "n") == 8
    state = m.take(state, "choose", 2)
    assert m.get(state, "list") == (5, 5, 2, 5)
    with pytest.raises(ModelError, match="choose 2 is not enabled here"):
        m.take(state, "choose", 2)
    with pytest.raises(ModelError, match="outside is not enabled here"):
        m.take(state, "outside")
    with pytest.raises(ModelError, match="nonsense is not enabled here"):
        m.take(state, "nonsense")


def test_every_choice_is_an_event() -> None:
    """A step with a choice comes once for each head that its guard allows, the others once."""
    m = machine()
    state = m.take(m.initial(), "choose", 1)
    events = [(step_id, chosen) for step_id, chosen, _ in m.enabled(state)]
    assert events == [("add", -1), ("overflow", -1), ("choose", 0), ("choose", 2), ("choose", 3)]


def test_a_whole_array_is_written() -> None:
    """Each element from the state before, by its index."""
    m = machine()
    state = m.take(m.take(m.initial(), "overflow"), "all")
    assert m.get(state, "slots") == (7, 8, 9, 10)


def test_a_value_too_wide_is_refused_when_checked() -> None:
    """256 is no byte."""
    m = machine(check=True)
    with pytest.raises(ModelError, match="256 does not fit into small, which has 8 bits"):
        m.successors(m.initial())
    assert machine().take(machine().initial(), "overflow")[2] == 256


def test_an_index_outside_is_refused_when_checked() -> None:
    """An array is as long as it is."""
    m = machine(check=True)
    state = ("over", 4, 0, (5, 5, 5, 5), (0, 0, 0, 0))
    with pytest.raises(ModelError, match="list has 4 elements, not one at 4"):
        m.successors(state)


def test_a_subset_of_the_steps() -> None:
    """What is left out happens no more."""
    m = machine()
    only = m.only(lambda r: r.step.id == "add")
    assert [m.steps[n].step.id for n, _, _ in only(m.initial())] == ["add"]


def test_a_predicate_may_speak_of_the_choice() -> None:
    """Judgements are given the choice of their step."""
    m = machine()
    chosen = m.predicate(lambda s, i: s.list[i] == 5, with_choice=True)
    assert chosen(m.initial(), 1)
    assert not chosen(m.take(m.initial(), "choose", 1), 1)


@pytest.mark.parametrize(
    ("term", "value"),
    [
        (lambda s: s.n + 1 - 10, -2),
        (lambda s: wrap(s.n - 10, 16), 65533),
        (lambda s: slot(s.n), 3),
        (lambda s: place(s.n + 65536), 3),
        (lambda s: place(s.n + 65536 - 8), 3),
        (lambda s: ite(s.n == 7, 1, 2), 1),
        (lambda s: ite(s.n != 7, 1, 2), 2),
        (lambda s: all_of(s.n < 8, s.n <= 7, s.n > 6, s.n >= 7), True),
        (lambda _: all_of(), True),
        (lambda _: any_of(), False),
        (lambda s: negate(any_of(s.n == 1, s.n == 7)), False),
        (lambda s: forall(4, lambda h: s.list[h] == 5), True),
        (lambda _: forall(4, lambda h: h > 1), False),
        (lambda _: forall(4, lambda h: h > 1, low=2), True),
        (lambda _: exists(4, lambda h: h == 4), False),
        (lambda _: exists(5, lambda h: exists(h, lambda k: k + h == 7)), True),
        (lambda _: count(4, lambda h: h > 0), 3),
        (lambda _: greatest(4, lambda h: h < 3, lambda h: h + h, 9), 4),
        (lambda _: greatest(4, lambda h: h > 3, lambda h: h, 9), 9),
        (lambda _: parameter("size") - parameter("entries"), 1),
        (lambda _: exists(4, lambda h: h == 3, lambda h: h), True),
        (lambda _: exists(5, lambda h: h < 2, lambda h: h, low=2), False),
        (lambda s: cell(s.n + 1), 0),
        (lambda s: cell(s.n - 8), 3),
        (lambda s: lap(s.n - 7), 1),
        (lambda s: lap(s.n - 4), 1),
        (lambda s: lap(s.n - 3), 0),
        (lambda s: lap(s.n), 0),
        (lambda s: lap(s.n + 1), 1),
        (lambda s: lap(s.n - 8), 0),
        (lambda s: total(4, lambda h: h > 0, lambda h: h + s.list[h]), 21),
        (lambda _: total(0, lambda _: all_of(), lambda h: h), 0),
        (lambda _: total(4, lambda h: h > 3, lambda h: h), 0),
        (lambda _: follow(1, 9, lambda x: x < 6, lambda x: x + 2), 7),
        (lambda _: follow(1, 2, lambda x: x < 6, lambda x: x + 2), 5),
        (lambda _: follow(1, 0, lambda x: x < 6, lambda x: x + 2), 1),
        (lambda _: follow(6, 9, lambda x: x < 6, lambda x: x + 2), 6),
        (lambda s: follow(0, 4, lambda x: x < 4, lambda x: s.list[x]), 5),
        (lambda _: met(1, 9, lambda x: x < 6, lambda x: x + 2, lambda x: x == 5), True),
        (lambda _: met(1, 9, lambda x: x < 6, lambda x: x + 2, lambda x: x == 7), False),
        (lambda _: met(1, 2, lambda x: x < 6, lambda x: x + 2, lambda x: x == 5), False),
        (lambda _: met(1, 9, lambda x: x < 6, lambda x: x + 2, lambda x: x == 2), False),
        (lambda _: met(0, 3, lambda x: x < 3, lambda x: x, lambda x: x == 1), False),
        (lambda _: met(0, 4, lambda x: x < 4, lambda x: x + 1, lambda x: exists(x, lambda y: y + y == x + 1)), True),
        (lambda _: forall(3, lambda x: follow(x, 9, lambda y: y < 4, lambda y: y + x + 1) >= 4), True),
    ],
)
def test_terms_on_numbers(term: Callable[[Any], Operand], value: int) -> None:
    """Each operator means what its name says, at size 4 with 3 entries and n = 7."""
    m = machine()
    found = m.predicate(term)(m.initial())
    assert value == found
