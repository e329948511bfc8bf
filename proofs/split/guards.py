"""Weakened guards of the split ring: each conjunct left out, and those of whole procedures by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from model.record import record_term
from model.split.serve import FINISHED, IN_BATCH, WORKING
from model.steps import Edit, GuardOf, Replace, Step, Table
from model.terms import Operand, Term, all_of, any_of, choice, ite, parameter, show, variable

__all__ = ["Weakened", "weakened"]

Weakened = tuple[str, str, Edit]
"""A name, what it is in a sentence, the edit."""

_cursor, _count, _left = variable("supply.cursor"), variable("supply.count"), variable("recover.left")

_ONE_TOO_FAR = {
    "split.supply.6": all_of(_cursor <= _count, _cursor < parameter("size")),
    "split.reconnect.1b": _left >= 0,
}
"""Loops that go one further instead: without an end they would show only that they have none."""

_QUESTIONS = {
    "split.reconnect.2": "it is the next one in order",
    "split.reconnect.signal": "nothing is left to resubmit",
}
"""What a guard over all entries asks."""


def weakened(table: Table, steps: Iterable[Step]) -> Iterator[Weakened]:
    """Give each step's guard less each of its conjuncts, then what is written by hand."""
    for step in steps:
        args = (choice(),) if step.choice else ()
        conjuncts = _conjuncts(record_term(table.vars, step.when, *args))
        for number, gone in enumerate(conjuncts):
            yield _weakened(step, gone, all_of(*conjuncts[:number], *conjuncts[number + 1 :]))
    yield from _by_hand()


def _conjuncts(term: Term) -> list[Term]:
    if term.op != "and":
        return [term]
    return [c for arg in term.args if isinstance(arg, Term) for c in _conjuncts(arg)]


def _weakened(step: Step, gone: Term, rest: Term) -> Weakened:
    asked = _QUESTIONS[step.id] if gone.op == "forall" else show(gone).removeprefix("(").removesuffix(")")
    sentence = f"{step.id} is taken without asking whether {asked}."
    if step.id in _ONE_TOO_FAR:
        rest, sentence = all_of(rest, _ONE_TOO_FAR[step.id]), f"{step.id} clears one entry more than it should."
    when: Callable[..., Operand] = lambda *_: rest  # noqa: E731
    return f"{step.id}: {asked}", sentence, Replace(step.id, {"when": when})


def _by_hand() -> Iterator[Weakened]:
    def working(head: Term) -> Term:
        return any_of(head == FINISHED, head == WORKING)

    def get_any(s: Any, i: Term) -> None:
        state = s.device.state[i]
        s.supply.head = i
        s.supply.open = 1
        s.supply.batch[s.supply.count] = i
        s.device.state[i] = ite(state == FINISHED, IN_BATCH, state)

    yield (
        "fetch: never in a batch",
        "Requests are fetched at any time in a batch.",
        GuardOf("fetch", lambda _: all_of()),
    )
    yield (
        "fetch: not after publishing",
        "Requests are fetched until the batch is published.",
        GuardOf("fetch", lambda s: s.supply.open < 2),
    )
    yield (
        "supply: no request in hand",
        "Requests are supplied while one is being fetched.",
        GuardOf("supply", lambda _: all_of()),
    )
    yield (
        "split.supply.1: or still worked on",
        "A request is supplied while the device still works on it, and goes on doing so.",
        Replace("split.supply.1", {"when": lambda s, i: working(s.device.state[i]), "do": get_any}),
    )
    yield (
        "split.reconnect.1b: stops early",
        "Recovery commits with one entry still to clear.",
        Replace("split.reconnect.1c", {"when": lambda s: s.recover.left <= 1}),
    )
    yield (
        "split.supply.7: settles early",
        "A batch is settled with one entry still to clear.",
        Replace("split.supply.7", {"when": lambda s: s.supply.cursor + 1 >= s.supply.count}),
    )
