"""What a proof says of a ring that is stopped and started again, for both rings (`model.both.stopping`)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from model.both.in_order import MEANINGS
from model.both.stopping import ANSWERED, ASKED, STARTED, TAKEN_BACK
from model.both.words import DEAD
from model.record import record_term
from model.steps import Guard, Table
from model.terms import Term, all_of, ite, negate
from proofs.induction.words import Conjunct, at, implies
from proofs.search.cone import read_by

__all__ = ["ghosts", "out_of_scope", "owed_first", "sentences", "waiting_link"]

Effect = Callable[..., None]

UNSPOKEN: Mapping[str, tuple[str, ...]] = {
    "stop": ("may-suspend-under-skip-drain",),
    "after-answer": ("supplies", "clears", "works-on"),
    "stop-base": ("behind-taken", "behind-plus", "before-taken"),
    "stop-scope": ("device",),
    "stop-death": ("moves",),
    "ring-reset": ("untold",),
}
"""The choices of which no invariant speaks: what the region says is lost there, or goes on without the process.
"""


def out_of_scope(choices: Mapping[str, str], in_order: Collection[str] = ()) -> str | None:
    """Say why no invariant speaks of some choices, or None; `in_order`: those of in-order use that one speaks of."""
    unspoken = {**UNSPOKEN, "in-order": tuple(name for name in MEANINGS if name not in in_order)}
    for gap, names in unspoken.items():
        if choices.get(gap) in names:
            return f"no invariant speaks of {gap}={choices[gap]}"
    return None


def _stops(table: Table) -> bool:
    return "stop.answer" in table.steps


def _backs(table: Table) -> bool:
    return "stop.back" in table.steps


def _drains(table: Table) -> bool:
    """Whether an answer waits until all that was fetched is used: its guard looks at a used position."""
    guard = record_term(table.vars, table.step("stop.answer").when)
    return bool(read_by(guard) & {"used.idx", "region.used_idx"})


def sentences(table: Table, complete: Guard) -> list[Conjunct]:
    """Give the sentences about stopping; `complete`: nothing that was fetched is not visible, no batch is unsettled."""
    if not _stops(table):
        return []

    back = _backs(table)

    def stopped(s: Any) -> Term:
        return all_of(
            at(s.stop.at, STARTED, ASKED, ANSWERED), implies(s.stop.at == ANSWERED, s.recover.at == DEAD),
            implies(s.stop.at == ASKED, negate(s.recover.at == DEAD)),
            *([implies(s.stop.at == ANSWERED, complete(s))] if _drains(table) else []),
            *([implies(s.supply.at == TAKEN_BACK, all_of(s.stop.at == ASKED, s.supply.open == 0))] if back else []),
        )  # fmt: skip

    return [Conjunct("stopped", stopped)]


def owed_first(table: Table) -> list[Guard]:
    """Give the weightiest parts of the rank: an answer that is owed, which throws away what was done; a batch's end."""
    answer: list[Guard] = [lambda s: ite(s.stop.at == ASKED, 1, 0)] if _stops(table) else []
    return [*answer, *([lambda s: ite(s.supply.at == TAKEN_BACK, 0, 1)] if _backs(table) else [])]


def waiting_link(table: Table, chain: list[tuple[str, Guard]], after: str, before: str) -> list[tuple[str, Guard]]:
    """Put into the chain to `drains` that nobody waits for an answer.

    What is in flight comes to an end although nothing more is fetched, so the links from `before` to the one in front
    of `after`, which say that the back-end rests, come behind those that end with `after`.
    """
    if not _stops(table):
        return chain
    names = [name for name, _ in chain]
    first, last = names.index(before), names.index(after)
    ends = next(n for n, name in enumerate(names) if name == "the device does nothing")
    link = ("nobody waits for an answer", lambda s: s.stop.at == STARTED)
    return [*chain[:first], *chain[ends : last + 1], link, *chain[first:ends], *chain[last + 1 :]]


def ghosts(table: Table, effects: Mapping[str, Effect], moved: Effect, back: Effect) -> dict[str, Effect]:
    """Give what the steps of stopping, and the reset of a ring, do to a proof's ghost state."""
    found = {"stop.answer": effects["crash"], "stop.move": moved, "stop.back": back,
             "ring.reset": effects["connection.reset"]}  # fmt: skip
    return {name: effect for name, effect in found.items() if name in table.steps}
