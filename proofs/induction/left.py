"""What recovery leaves, in words that both rings share: the counter, and the order in which it resubmits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from model.both.counters import pending
from model.both.words import ENTRIES
from model.record import record
from model.steps import Guard, Table
from model.terms import ModelError, Operand, Term, all_of, any_of, as_term, exists, forall, negate
from proofs.induction.words import Conjunct, at, implies

__all__ = ["restarting", "the_counter"]

Live = Callable[[Any, Operand], Term]


def the_counter(table: Table, live: Live, mark: Live) -> Guard:
    """Give what recovery leaves in the global counter, by what the table's step puts there: whether it is a value.

    Past the greatest of the live entries, or the step's other value where none is; a number; or how many are live.
    Without such a step nobody uses the counter. `mark` is what says that an entry is live, for the solver to think of.
    Raises ModelError for any other step.
    """
    step_id = f"{table.ring}.counter"
    if step_id not in table.steps:
        return lambda _s, x, _i: x == 0
    (assign,) = record(table.vars, table.step(step_id).do)
    op, args = assign.value.op, assign.value.args
    if op == "const":
        return lambda _s, x, _i: x == args[0]
    if op == "count":
        return lambda s, x, _i: x == s.proof.live_sum[ENTRIES]
    if op != "greatest":
        raise ModelError(f"{step_id} leaves something in the counter that the proof has no words for")
    otherwise = args[4]
    condition = args[2]
    if isinstance(condition, Term) and condition.op == "and" and not condition.args:  # of all entries
        return lambda s, x, _i: all_of(
            exists(ENTRIES, lambda h: s.region.desc[h].counter + 1 == x, lambda h: s.region.desc[h].counter),
            forall(ENTRIES, lambda h: s.region.desc[h].counter < x, lambda h: s.region.desc[h].counter),
        )

    def past_the_greatest(s: Any, x: Term, _: Term) -> Term:
        def counter(h: Term) -> Term:
            return s.region.desc[h].counter  # type: ignore[no-any-return]

        hints = counter, lambda h: mark(s, h)
        none = forall(ENTRIES, lambda h: negate(live(s, h)), *hints)
        greatest = exists(ENTRIES, lambda h: all_of(live(s, h), counter(h) + 1 == x), *hints)
        below = forall(ENTRIES, lambda h: implies(live(s, h), counter(h) < x), *hints)
        return any_of(all_of(none, x == otherwise), all_of(greatest, below))

    return past_the_greatest


def restarting(table: Table, live: Live, mark: Live, key: Guard) -> list[Conjunct]:
    """Give the sentences of the group ``restartable``: what was resubmitted comes before what is not; the counter."""
    counter = the_counter(table, live, mark)
    step = table.steps.get(f"{table.ring}.counter")
    begun = ("resubmit", "gather", "signalled")

    def first(s: Any) -> Term:
        def one(x: Term) -> Term:
            def later(y: Term) -> Term:
                earlier = as_term(key(s, x)) < key(s, y)
                return implies(all_of(s.recover.resubmitted[x] == 1, pending(s, y)), earlier)

            return forall(ENTRIES, later, lambda y: s.recover.resubmitted[y], lambda y: s.region.desc[y].inflight)

        there = [label for label in begun[:2] if any(label in r.at for r in table.of("recover"))]
        return implies(at(s.recover.at, *there), forall(ENTRIES, one, lambda x: s.recover.resubmitted[x]))

    def restored(s: Any) -> Term:
        there = () if step is None else (str(step.to), *begun)
        return implies(at(s.recover.at, *there), counter(s, s.counter, s.counter)) if there else s.counter == 0

    return [Conjunct("resubmitted first", first, "restartable"), Conjunct("counter restored", restored, "restartable")]
