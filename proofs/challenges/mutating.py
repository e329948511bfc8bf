"""What the mutants of both rings are made with: stores dropped, neighbours exchanged or turned round, guards weakened.

Drops and weakened guards are generated from a table, so that a new step brings its mutants along. Where leaving a
conjunct out would only show that a loop without an end has none, the loop goes one further instead; where it would let
an index leave its array, which no property speaks of and no model of memory here can judge, it is left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from model.record import SHARED, Assign, State, record, record_term
from model.steps import Add, Edit, GuardOf, HistoryOf, Replace, Step, Table
from model.terms import Operand, Term, all_of, choice, negate, show
from proofs.induction.kits import Mutant

__all__ = [
    "BETWEEN_PROCEDURES", "PROCEDURES", "Guards", "Weakened", "add", "always", "drops", "exchanged", "guards", "steps",
    "swap", "turned", "weakened",
]  # fmt: skip

PROCEDURES = ("recover", "fetch", "supply")
"""The back-end's procedures: what is mutated. The driver is as virtio has it."""

Weakened = tuple[str, str, Edit]
"""A name, what it is in a sentence, the edit."""


def always(_: State) -> Term:
    """Hold in every state."""
    return all_of()


def steps(table: Table) -> Iterator[Step]:
    """Give the steps of the back-end."""
    for procedure in PROCEDURES:
        yield from table.of(procedure)


# A store dropped


def _write(s: State, assign: Assign) -> None:
    """Write what was recorded: a scalar, or one element of an array or of a field of an array of structures."""
    array, _, member = assign.name.partition("[].")
    *path, last = array.split(".")
    node: Any = s
    for name in path:
        node = getattr(node, name)
    if assign.index is None:
        setattr(node, last, assign.value)
    elif member:
        setattr(getattr(node, last)[assign.index], member, assign.value)
    else:
        getattr(node, last)[assign.index] = assign.value


def _without_store(table: Table, step: Step) -> Callable[..., None]:
    """Give the effect of a step less its store to shared memory."""

    def do(s: State, *args: Term) -> None:
        for assign in record(table.vars, step.do, *args):
            if table.vars[assign.name].kind not in SHARED:
                _write(s, assign)

    return do


def _nothing(_: State) -> None:
    """Nothing happened."""


def drops(table: Table, notifications: Sequence[str], publishes: str) -> Iterator[Mutant]:
    """Give a mutant for each step that stores, and for the increment of the global counter, which is no store.

    Where `publishes` does not store, nothing becomes visible, so there is nothing to judge there and no history.
    """
    for step in steps(table):
        stores = [a.name for a in table.record(step).assigns if table.vars[a.name].kind in SHARED]
        if not stores:
            continue
        changes: dict[str, Any] = {"do": _without_store(table, step)}
        edits: list[Edit] = [Replace(step.id, changes)]
        if step.id == publishes:
            changes["tags"] = frozenset()
            edits.append(HistoryOf(step.id, _nothing))
        what = stores[0] if len(stores) == 1 else f"{stores[0].rpartition('.')[0]}"
        sentence = f"{step.id} does not store to {what}."
        yield Mutant(f"drop {step.id}", "drop", sentence, tuple(edits), step.id in notifications)
    bump = f"{table.ring}.fetch.bump"
    if bump in table.steps:
        edit = Replace(bump, {"do": _nothing})
        yield Mutant(f"drop {bump}", "drop", "The global counter is not increased.", (edit,))


# Two neighbours swapped


def swap(one: str, other: str, sentence: str, *edits: Edit, notifies: bool = False) -> Mutant:
    """Name a mutant in which two neighbouring steps come in the other order."""
    return Mutant(f"swap {one}, {other}", "swap", sentence, edits, notifies)


def add(step: Step, procedure: str) -> Add:
    """Add a step to a procedure."""
    return Add(replace(step, procedure=procedure))


def exchanged(table: Table, one: str, other: str) -> tuple[Edit, ...]:
    """Exchange the places of two steps, neither of which reads what the other writes."""
    a, b = table.step(one), table.step(other)
    return (Replace(one, {"at": b.at, "to": b.to}), Replace(other, {"at": a.at, "to": a.to}))


def turned(
    table: Table,
    one: str,
    other: str,
    where: Callable[[Any], Term],
    *,
    early: Mapping[str, Any] | None = None,
    late: Mapping[str, Any] | None = None,
) -> tuple[Edit, ...]:
    """Take, where `where` holds at `one`, a copy of `other` before a copy of `one`; elsewhere nothing changes.

    `early` and `late` are what is different in the copies (of `other`, of `one`): the value of the original order, or
    where it goes on. The history of both moves with them.
    """
    a, b = table.step(one), table.step(other)
    between = f"late {one}"
    first = replace(b, **{"id": f"{other}.early", "at": a.at, "to": between, "when": where, **(early or {})})
    second = replace(a, **{"id": f"{one}.late", "at": (between,), "to": b.to, "when": always, **(late or {})})
    edits: list[Edit] = [Replace(one, {"when": lambda s: all_of(a.when(s), negate(where(s)))}), Add(first), Add(second)]
    edits += [
        HistoryOf(new.id, table.history[old]) for new, old in ((first, other), (second, one)) if old in table.history
    ]
    return tuple(edits)


# A guard weakened


@dataclass(frozen=True)
class Guards:
    """What a ring says of its weakened guards.

    `questions`: by step and operator of a conjunct, what it asks, where the term itself does not read well.
    `one_too_far`: by step and question, for loops that go one further instead, what holds then and what it does.
    `left_alone`: those, by step and question, that keep an index within its array. `endless`: those without which
    recovery does not come to an end. `by_hand`: weakenings that no rule finds.
    """

    questions: Mapping[tuple[str, str], str]
    one_too_far: Mapping[str, tuple[Term, str]]
    by_hand: Sequence[Weakened]
    left_alone: frozenset[str] = field(default=frozenset())
    endless: frozenset[str] = field(default=frozenset())


BETWEEN_PROCEDURES: tuple[Weakened, ...] = (
    (
        "fetch: never in a batch",
        "Requests are fetched at any time in a batch.",
        GuardOf("fetch", always),
    ),
    (
        "fetch: not after publishing",
        "Requests are fetched until the batch is published.",
        GuardOf("fetch", lambda s: s.supply.open < 2),
    ),
    (
        "supply: no request in hand",
        "Requests are supplied while one is being fetched.",
        GuardOf("supply", always),
    ),
)
"""Weakened guards of whole procedures, which both rings have."""


def weakened(table: Table, told: Guards) -> Iterator[Weakened]:
    """Give each step's guard less each of its conjuncts, then what is written by hand."""
    for step in steps(table):
        args = (choice(),) if step.choice else ()
        conjuncts = _conjuncts(record_term(table.vars, step.when, *args))
        for number, gone in enumerate(conjuncts):
            rest = all_of(*conjuncts[:number], *conjuncts[number + 1 :])
            if (name := f"{step.id}: {_asked(step, gone, told)}") not in told.left_alone:
                yield _weakened(step, name, rest, told)
    yield from told.by_hand


def _conjuncts(term: Term) -> list[Term]:
    if term.op != "and":
        return [term]
    return [c for arg in term.args if isinstance(arg, Term) for c in _conjuncts(arg)]


def _asked(step: Step, conjunct: Term, told: Guards) -> str:
    known = told.questions.get((step.id, conjunct.op))
    return known or show(conjunct).removeprefix("(").removesuffix(")")


def _weakened(step: Step, name: str, rest: Term, told: Guards) -> Weakened:
    asked = name.removeprefix(f"{step.id}: ")
    sentence = f"{step.id} is taken without asking whether {asked}."
    if name in told.one_too_far:
        instead, what = told.one_too_far[name]
        rest, sentence = all_of(rest, instead), f"{step.id} {what}."
    when: Callable[..., Operand] = lambda *_: rest  # noqa: E731
    return name, sentence, Replace(step.id, {"when": when})


def guards(table: Table, notifications: Sequence[str], told: Guards) -> Iterator[Mutant]:
    """Give a mutant for each weakened guard."""
    for name, sentence, edit in weakened(table, told):
        notifies = isinstance(edit, Replace) and edit.target in notifications
        yield Mutant(f"guard {name}", "guard", sentence, (edit,), notifies, name not in told.endless)
