"""Tables of steps and edits of them."""

from __future__ import annotations

from typing import Any

import pytest

from model.record import Var, Vars
from model.steps import Add, After, Before, GuardOf, History, HistoryOf, Procedure, Remove, Replace, Step, Table
from model.terms import ModelError, show

VARS = Vars(
    Var("work.at", "volatile", 0, "label", initial="first"),
    Var("work.n", "volatile", 16, "a number"),
    Var("rest.at", "volatile", 0, "label", initial="idle"),
    Var("seen", "ring", 16, "a number that others see"),
    Var("history.n", "ghost", 0, "history"),
)


def table(*, loop: bool = True) -> Table:
    """Make a table of three steps in a row, the second a loop if `loop`."""
    work = Procedure("work", guard=lambda s: s.seen == 0)

    @work.step("one", at="first", to="second", text="t1")
    def one(s: Any) -> None:
        """Do the first thing."""
        s.work.n = 1

    @work.step("two", at="second", to=None if loop else "third", text="t2", when=lambda s: s.work.n < 3)
    def two(s: Any) -> None:
        """Do the second thing."""
        s.work.n = s.work.n + 1

    @work.step("three", at="second" if loop else "third", to="first", text="t3")
    def three(s: Any) -> None:
        """Do the third thing."""
        s.seen = s.work.n

    history = History()

    @history.on("three")
    def happened(s: Any) -> None:
        s.history.n = s.history.n + 1

    return Table.of_procedures("split", VARS, [work], history)


def new() -> Step:
    """Make a step to insert."""
    other = Procedure("other")

    @other.step("new", text="t")
    def step(s: Any) -> None:
        """Do a new thing."""
        s.seen = 2

    return step


def flow(edited: Table) -> list[tuple[str, tuple[str, ...], str | None]]:
    """Show the control flow."""
    return [(s.id, s.at, s.to) for s in edited.steps.values()]


def test_before_takes_over_the_label() -> None:
    """What led to the target leads to the new step, which leads to the target; it joins the target's procedure."""
    edited = table(loop=False).edited([Before("two", new())])
    assert flow(edited) == [
        ("one", ("first",), "second"),
        ("new", ("second",), "before two"),
        ("two", ("before two",), "third"),
        ("three", ("third",), "first"),
    ]
    assert edited.step("new").procedure == "work"


def test_before_twice_keeps_the_order_of_the_edits() -> None:
    """A second insertion stands between the first and the target, at a label of its own."""
    second = Step("newer", "other", (), None, "t", "Do a newer thing.")
    edited = table(loop=False).edited([Before("two", new()), Before("two", second)])
    assert flow(edited) == [
        ("one", ("first",), "second"),
        ("new", ("second",), "before two"),
        ("newer", ("before two",), "before two'"),
        ("two", ("before two'",), "third"),
        ("three", ("third",), "first"),
    ]


def test_before_a_shared_label_is_refused() -> None:
    """At a label that two steps leave, it is not said which of them the new one would precede."""
    with pytest.raises(ModelError, match="three shares its label"):
        table().edited([Before("three", new())])


def test_after_takes_over_where_it_goes() -> None:
    """The target leads to the new step, which leads to where the target led."""
    edited = table(loop=False).edited([After("one", new())])
    assert flow(edited) == [
        ("one", ("first",), "after one"),
        ("new", ("after one",), "second"),
        ("two", ("second",), "third"),
        ("three", ("third",), "first"),
    ]


def test_after_a_loop_is_refused() -> None:
    """A step that stays at its label has nothing after it."""
    with pytest.raises(ModelError, match="two is a loop: nothing comes after it"):
        table().edited([After("two", new())])


def test_remove_joins_the_ends() -> None:
    """What led to the step leads to where it went."""
    edited = table(loop=False).edited([Remove("two")])
    assert flow(edited) == [("one", ("first",), "third"), ("three", ("third",), "first")]


def test_remove_at_a_shared_label_leaves_the_others() -> None:
    """The label is still left by another step, so what led to it leads to it."""
    edited = table().edited([Remove("three")])
    assert flow(edited) == [("one", ("first",), "second"), ("two", ("second",), None)]


def test_remove_a_loop_leaves_what_follows_it() -> None:
    """Another step leaves its label: what led to the loop leads to that one."""
    edited = table().edited([Remove("two")])
    assert flow(edited) == [("one", ("first",), "second"), ("three", ("second",), "first")]


def test_remove_a_loop_alone_is_refused() -> None:
    """Nobody says where what led to it should lead: nothing else leaves its label."""
    alone = table().edited([Replace("three", {"at": ("third",)})])
    with pytest.raises(ModelError, match="two is a loop or leaves several labels"):
        alone.edited([Remove("two")])


def test_remove_a_step_of_several_labels_is_refused() -> None:
    """It would have to be said of each of them."""
    with pytest.raises(ModelError, match="one is a loop or leaves several labels"):
        table().edited([Replace("one", {"at": ("first", "third")}), Remove("one")])


def test_replace_changes_parts() -> None:
    """What is not named stays."""
    edited = table().edited([Replace("one", {"sentence": "Do it.", "to": "third"})])
    assert (edited.step("one").sentence, edited.step("one").to, edited.step("one").text) == ("Do it.", "third", "t1")
    assert table().step("one").do.__name__ == edited.step("one").do.__name__


def test_replace_of_no_part_is_refused() -> None:
    """A misspelt part is an error."""
    with pytest.raises(TypeError, match="labels"):
        table().edited([Replace("one", {"labels": ("first",)})])


@pytest.mark.parametrize("edit", [Before("four", new()), After("four", new()), Remove("four"), Replace("four", {})])
def test_an_edit_of_an_unknown_step_is_refused(edit: Before | After | Remove | Replace) -> None:
    """The target has to exist."""
    with pytest.raises(ModelError, match="no step four in this table"):
        table().edited([edit])


def test_add_guard_and_history() -> None:
    """The other edits: a step with labels of its own, a procedure's guard, what is remembered of a step."""
    step = Step("four", "work", ("second",), None, "t", "Do a fourth thing.")

    def forgotten(s: Any) -> None:
        s.history.n = 0

    edited = table().edited([Add(step), GuardOf("work", lambda s: s.seen < 9), HistoryOf("three", forgotten)])
    assert show(edited.record(edited.step("four")).guard) == "(work.at == 'second' and seen < 9)"
    assert [show(a.value) for a in edited.record(edited.step("three")).history] == ["0"]


def test_an_edit_makes_a_new_table() -> None:
    """The table that was edited stays what it was."""
    before = table(loop=False)
    before.edited([Remove("two"), GuardOf("work", lambda s: s.seen < 9)])
    assert list(before.steps) == ["one", "two", "three"]
    assert show(before.record(before.step("one")).guard) == "(work.at == 'first' and seen == 0)"


def test_what_was_recorded_of_another_table_is_not_taken_for_this_one_s() -> None:
    """Tables of the same variables share what is recorded of a step as long as all that goes into it is the same."""
    before = table(loop=False)
    first = {r.step.id: r for r in before.recorded()}

    def forgotten(s: Any) -> None:
        s.history.n = 0

    guarded = before.edited([GuardOf("work", lambda s: s.seen < 9)])
    assert show(guarded.record(guarded.step("two")).guard) != show(first["two"].guard)
    remembered = before.edited([HistoryOf("three", forgotten)])
    assert [show(a.value) for a in remembered.record(remembered.step("three")).history] == ["0"]
    replaced = before.edited([Replace("one", {"to": "first"})])
    goes = [show(a.value) for a in replaced.record(replaced.step("one")).assigns if a.name == "work.at"]
    assert goes == ["'first'"]
    assert all(recorded is first[recorded.step.id] for recorded in before.recorded())


def test_a_recorded_step_has_label_guard_and_history() -> None:
    """Its guard is the label's, the procedure's and its own; going to another label is an assignment."""
    recorded = {r.step.id: r for r in table().recorded()}
    assert show(recorded["two"].guard) == "(work.at == 'second' and seen == 0 and work.n < 3)"
    assert [(a.name, show(a.value)) for a in recorded["two"].assigns] == [("work.n", "(work.n + 1)")]
    assert [(a.name, show(a.value)) for a in recorded["three"].assigns] == [("seen", "work.n"), ("work.at", "'first'")]
    assert [(a.name, show(a.value)) for a in recorded["three"].history] == [("history.n", "(history.n + 1)")]


def test_a_guard_must_not_read_history() -> None:
    """Refused when the table is recorded, whichever of the guards it is."""
    with pytest.raises(ModelError, match=r"one has a guard that depends on ghost state: history.n"):
        table().edited([Replace("one", {"when": lambda s: s.history.n == 0})]).recorded()
    with pytest.raises(ModelError, match=r"depends on ghost state: history.n"):
        table().edited([GuardOf("work", lambda s: s.history.n == 0)]).recorded()


def test_history_writes_history_only() -> None:
    """What is remembered must not change what happens."""

    def meddles(s: Any) -> None:
        s.seen = 1

    with pytest.raises(ModelError, match="the history of one writes seen, which is no ghost"):
        table().edited([HistoryOf("one", meddles)]).recorded()


def test_ids_are_unique() -> None:
    """Two steps of one id would be one."""
    one, two = Procedure("work"), Procedure("rest")
    for procedure in (one, two):

        @procedure.step("same", text="t")
        def step(s: Any) -> None:
            """Do it."""

    with pytest.raises(ModelError, match="a step id comes twice"):
        Table.of_procedures("split", VARS, [one, two], History())


def test_a_step_has_a_sentence() -> None:
    """It is the step's docstring."""
    with pytest.raises(ModelError, match="one has no sentence"):

        @Procedure("work").step("one", text="t")
        def step(s: Any) -> None:
            pass
