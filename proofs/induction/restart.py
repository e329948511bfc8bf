"""`restartable`: a recovery that is cut off anywhere and begun again ends as one that is not.

Two runs of recovery are compared: from one state, one goes on to its end, the other is cut off by a crash, any number
of times, and begun again. What each leaves, by name (`proofs.search.runs.left`, the very names that the search
compares), is determined by a predicate of the ring's kit: when recovery ends, what is there satisfies it; no two values
do; and no step of recovery and no crash changes what it says. So both runs, whatever they did, leave the same.

The resubmit list is compared as a list: each run resubmits the same set, each once, with the keys rising (each is
greater than all that this run has resubmitted before); and no step changes a key. A set has one order in which keys
rise.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import z3

from model.record import record_term
from model.steps import Guard
from model.terms import Term, show
from proofs.induction.atoms import Goal, reads
from proofs.induction.solver import INT
from proofs.induction.work import StepWork
from proofs.search.judges import ENDS_A_LIFE

__all__ = ["recovery_keeps", "recovery_leaves"]

VALUE = Term("bound", ("left",))
INDEX = Term("bound", ("index",))
"""Stand for a value that recovery might leave, and for the element of an array that it leaves it in."""


def _said(work: StepWork, is_left: Guard) -> Term:
    """Give the predicate of a value, and of the element that it is left in."""
    return record_term(work.table.vars, is_left, VALUE, INDEX)


def _translated(work: StepWork, term: Term, index: Any, value: Any, *, before: bool) -> Any:
    world = work.world(before=before)
    bound = {"index": index, "left": value}
    return work.translator.expr(work.resolved(term, "restartable", world), world, bound)


def _element(work: StepWork, name: str) -> tuple[Any, Any]:
    """Give any element of what is left, and that there is one; of a scalar, nothing is said."""
    index = work.translator.fresh("index", INT)
    limited = work.table.vars[name].limit is not None
    return index, z3.And(index >= 0, index < work.translator.heads) if limited else z3.BoolVal(True)


def recovery_keeps(work: StepWork) -> Iterator[Goal]:
    """Say that recovery, a crash or an answer changes nothing that determines what recovery leaves, nor the keys."""
    if work.step.procedure != "recover" and work.id not in ENDS_A_LIFE:
        return
    writes = {a.name for a in (*work.recorded.assigns, *work.recorded.history)}
    for name, left in work.proof.leaves.items():
        said = _said(work, left)
        if reads(said) & writes:
            yield Goal(
                "restartable", "restart", f"{name} stays", f"stays {show(said)}", partial(_stays, work, name, said)
            )
    key = record_term(work.table.vars, work.ring.key(work.table), INDEX)
    if reads(key) & writes:
        yield Goal("restartable", "restart", "the key stays", f"key stays {show(key)}", partial(_key_stays, work, key))


def _stays(work: StepWork, name: str, said: Term) -> Any:
    (index, inside), value = _element(work, name), work.translator.fresh("left", INT)
    one, other = (_translated(work, said, index, value, before=before) for before in (True, False))
    return z3.Implies(inside, one == other)


def _key_stays(work: StepWork, key: Term) -> Any:
    index = work.translator.fresh("index", INT)
    one, other = (work.translator.expr(key, world, {"index": index}) for world in (work.before, work.after))
    return z3.Implies(z3.And(index >= 0, index < work.translator.heads), one == other)


def recovery_leaves(work: StepWork) -> Iterator[Goal]:
    """When recovery ends, what is there is what is determined, and nothing else would be; keys rise."""
    if "resubmit" in work.step.tags:
        key = record_term(work.table.vars, work.ring.key(work.table), INDEX)
        yield Goal("restartable", "restart", "the keys rise", f"rise {show(key)}", partial(_rises, work, key))
    if "recovered" in work.step.tags:
        for name, left in work.proof.leaves.items():
            said = _said(work, left)
            idle = "while idle " if name in work.ring.while_idle(work.table) else ""
            text = f"{idle}left {name} {show(said)}"
            yield Goal("restartable", "restart", f"{name} is left", text, partial(_is_left, work, name, said))
            yield Goal("restartable", "restart", f"{name} is one", f"one {show(said)}", partial(_one, work, name, said))


def _rises(work: StepWork, key: Term) -> Any:
    translator = work.translator
    before, done = translator.fresh("before", INT), work.before["recover.resubmitted"]
    earlier, now = (translator.expr(key, work.before, {"index": n}) for n in (before, translator.choice))
    inside = z3.And(before >= 0, before < translator.heads, done[before] == 1)
    return z3.And(done[translator.choice] != 1, z3.Implies(inside, earlier < now))


def _is_left(work: StepWork, name: str, said: Term) -> Any:
    index, inside = _element(work, name)
    if name in work.ring.while_idle(work.table):
        inside = z3.And(inside, work.before["history.undisturbed"] == 1)
    there = work.after[name] if work.table.vars[name].limit is None else work.after[name][index]
    return z3.Implies(inside, _translated(work, said, index, there, before=False))


def _one(work: StepWork, name: str, said: Term) -> Any:
    (index, inside), translator = _element(work, name), work.translator
    one, other = translator.fresh("left", INT), translator.fresh("left", INT)
    both = (_translated(work, said, index, value, before=False) for value in (one, other))
    return z3.Implies(z3.And(inside, *both), one == other)
