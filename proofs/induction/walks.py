"""Walks in proofs: where a `follow` ends and what a `met` meets, shown by an induction over the steps of the walk.

A ring's kit says, case by case, what is at each step of a walk. For every walk that a step's history or a property
speaks of, it is shown that there is no other case, that the walk starts there, goes on from each step to the next, and
stops after the last; only then may its end be named, and what it meets be said of the steps alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from model.record import Vars, record_term
from model.terms import ModelError, Operand, Term, all_of, any_of, as_term, forall, ite, negate, show, substitute, walk

__all__ = ["BOUND", "Along", "Steps", "Walk", "resolve", "walk_goals", "written"]

BOUND = ("walk place", "walk number", "walk asked")
"""The names of the bound variables in what is to be shown of a walk; they stand for any number."""

StateTerm = Callable[..., Operand]
Said = Iterator[tuple[str, Term]]


@dataclass(frozen=True)
class Steps:
    """One case of a walk whose place at each step can be written down.

    In the case `when` it goes on from `count` places, the k-th of which is `where`, and ends at `last`. `hints` are
    terms about k for sentences about all steps; `witness` is the step at which what is named is met.
    """

    when: StateTerm
    count: StateTerm
    where: StateTerm
    last: StateTerm
    witness: StateTerm = lambda _s, _x: 0
    hints: tuple[StateTerm, ...] = ()


@dataclass(frozen=True)
class Along:
    """A walk over places that one can only describe: `inv` holds of the k-th of `count` places, and of the end."""

    count: StateTerm
    inv: StateTerm
    last: StateTerm
    witness: StateTerm


@dataclass(frozen=True)
class Walk:
    """What a walk passes, and `named`: whether it meets what a test ``something of the place == x`` asks for."""

    cases: tuple[Steps, ...] | Along
    named: StateTerm


def written(told: Walk | None, variables: Vars) -> str:
    """Write what is said of a walk as text: goals that speak of two walks are not one goal."""
    if told is None:
        return ""
    place, number = (Term("bound", (name,)) for name in BOUND[:2])
    if isinstance(told.cases, Along):
        said = [told.cases.count, told.cases.last]
        terms = [record_term(variables, told.cases.inv, place, number)]
    else:
        said = [part for case in told.cases for part in (case.when, case.count, case.last)]
        terms = [record_term(variables, case.where, number) for case in told.cases]
    return " ".join(show(term) for term in (*(record_term(variables, part) for part in said), *terms))


def _put(body: Term, name: str, value: Term) -> Term:
    """Put a term in the place of a bound variable."""
    return substitute(body, lambda node: value if node.op == "bound" and node.args[0] == name else None)


def _asks(test: Term, name: str) -> bool:
    """Whether a test is ``something of the place == x``, and x does not speak of the place."""
    return test.op == "==" and not any(n.op == "bound" and n.args[0] == name for n in walk(_part(test, 1)))


def _part(node: Term, number: int) -> Term:
    part = node.args[number]
    assert isinstance(part, Term)
    return part


def _if(condition: Operand, then: Operand) -> Term:
    return Term("ite", (as_term(condition), as_term(then), all_of()))


def resolve(term: Term, told: Walk | None, variables: Vars) -> Term:
    """Exchange each `follow` for where it ends, and each `met` for what it says of the steps.

    Raise `ModelError` for a walk of which the kit does not say enough.
    """

    def exchange(node: Term) -> Term | None:
        inner = node.args[0] if node.op == "not" else None
        if isinstance(inner, Term) and inner.op == "met" and not _asks(_part(inner, 5), str(inner.args[0])):
            return _none_met(inner, told, variables, exchange)
        if node.op == "follow":
            return _end(told, variables)
        if node.op != "met":
            return None
        if told is None or not _asks(_part(node, 5), str(node.args[0])):
            raise ModelError("a walk that meets something needs a name for what it meets")
        return record_term(variables, told.named, _part(_part(node, 5), 1))

    return substitute(term, exchange)


def _end(told: Walk | None, variables: Vars) -> Term:
    if told is None:
        raise ModelError("nothing is said of where a walk ends")
    if isinstance(told.cases, Along):
        return record_term(variables, told.cases.last)
    *others, last = told.cases
    end = record_term(variables, last.last)
    for case in others:
        end = ite(record_term(variables, case.when), record_term(variables, case.last), end)
    return end


def _none_met(node: Term, told: Walk | None, variables: Vars, exchange: Callable[[Term], Term | None]) -> Term:
    """Say of each step that the test does not hold there."""
    if told is None:
        raise ModelError("nothing is said of the steps of a walk")
    if isinstance(told.cases, Along):
        raise ModelError("a walk over described places meets only what has a name")

    def in_case(case: Steps) -> Term:
        def not_there(k: Term) -> Term:
            here = record_term(variables, case.where, k)
            return negate(substitute(_put(_part(node, 5), str(node.args[0]), here), exchange))

        hints = [lambda k, hint=hint: record_term(variables, hint, k) for hint in case.hints]
        steps = forall(record_term(variables, case.count), not_there, *hints)
        return _if(record_term(variables, case.when), steps)

    return all_of(*(in_case(case) for case in told.cases))


def walk_goals(term: Term, told: Walk, variables: Vars) -> Said:
    """Give what is to be shown of each walk in a term: a name, and a sentence."""
    for node in walk(term):
        if node.op not in ("follow", "met"):
            continue
        test = _part(node, 5) if node.op == "met" and _asks(_part(node, 5), str(node.args[0])) else None
        if isinstance(told.cases, Along):
            yield from _along(node, told.cases, told.named, test, variables)
            continue
        yield "there is no other case", any_of(*(record_term(variables, c.when) for c in told.cases))
        for number, case in enumerate(told.cases, 1):
            for name, said in _steps(node, case, told.named, test, variables):
                yield f"case {number}, {name}", said


def _walked(node: Term) -> tuple[str, Sequence[Term]]:
    return str(node.args[0]), [_part(node, n) for n in (1, 2, 3, 4)]


def _steps(node: Term, case: Steps, named: StateTerm, test: Term | None, variables: Vars) -> Said:
    name, (start, limit, go, following) = _walked(node)
    when, count, last = (record_term(variables, f) for f in (case.when, case.count, case.last))
    k, asked = (Term("bound", (b,)) for b in BOUND[1:])

    def where(number: Term) -> Term:
        return record_term(variables, case.where, number)

    inside = all_of(when, k >= 0, k < count)
    none = all_of(when, count == 0)
    yield "the walk starts", _if(all_of(when, count > 0), where(as_term(0)) == start)
    yield "the walk ends where it starts", _if(none, last == start)
    yield "the walk goes on", _if(inside, _put(go, name, where(k)))
    yield (
        "the walk comes to the next",
        _if(all_of(inside, k + 1 < count), _put(following, name, where(k)) == where(k + 1)),
    )
    yield "the walk comes to the last", _if(all_of(inside, k + 1 == count), _put(following, name, where(k)) == last)
    yield "the walk stops", _if(when, negate(_put(go, name, last)))
    yield "the walk is not cut", _if(when, all_of(count >= 0, count <= limit))
    if test is not None:
        about, witness = record_term(variables, named, asked), record_term(variables, case.witness, asked)
        left = _part(test, 0)
        yield "what is met is named", _if(all_of(inside, _put(left, name, where(k)) == asked), about)
        yield "what is named is met", _if(all_of(when, about), all_of(witness >= 0, witness < count))
        yield "what is named is met there", _if(all_of(when, about), _put(left, name, where(witness)) == asked)


def _along(node: Term, told: Along, named: StateTerm, test: Term | None, variables: Vars) -> Said:
    name, (start, limit, go, following) = _walked(node)
    count, last = record_term(variables, told.count), record_term(variables, told.last)
    place, k, asked = (Term("bound", (b,)) for b in BOUND)

    def at(here: Term, number: Term) -> Term:
        return record_term(variables, told.inv, here, number)

    inside = all_of(k >= 0, k < count, at(place, k))
    yield "the walk starts", at(start, as_term(0))
    yield "the walk goes on", _if(inside, _put(go, name, place))
    yield "the walk comes to the next", _if(inside, at(_put(following, name, place), k + 1))
    yield "the walk stops", _if(at(place, count), all_of(negate(_put(go, name, place)), place == last))
    yield "the walk is not cut", all_of(count >= 0, count <= limit)
    if test is not None:
        about, witness = record_term(variables, named, asked), record_term(variables, told.witness, asked)
        here = _put(_part(test, 0), name, place)
        yield "what is met is named", _if(all_of(inside, here == asked), about)
        yield "what is named is met", _if(about, all_of(witness >= 0, witness < count))
        yield "what is named is met there", _if(all_of(about, at(place, witness)), here == asked)
