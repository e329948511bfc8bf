"""Rules of quantifiers. A sentence with free variables that a step says holds of any values of theirs.

A part of a proof in which variables are written as terms assumes that they are equal (`Scope.values`); the rule that
ends it says why such values may be taken, and what follows without the assumption.
"""

from __future__ import annotations

from collections.abc import Sequence

from proofs.certificates.steps import Step, one, sides
from proofs.certificates.terms import QUANTIFIERS, Term

__all__ = [
    "bind", "connective_def", "forall_inst", "miniscope_distribute", "miniscope_ite", "miniscope_split", "onepoint",
    "qnt_join", "qnt_rm_unused", "sko_ex", "sko_forall", "subproof",
]  # fmt: skip


def _quantified(term: Term) -> tuple[tuple[Term, ...], Term]:
    """Give the variables (none, if it has no quantifier) and the body."""
    return (term.args[:-1], term.args[-1]) if term.op in QUANTIFIERS else ((), term)


def subproof(step: Step) -> bool:
    """From a part of the proof that assumes F1, ... and ends with the clause C: `not F1`, ..., C."""
    inner = step.inner
    if inner is None or inner.last is None or inner.values:
        return False
    left = [step.terms.make("not", term) for term in inner.assumed.values()]
    return set(step.clause) >= {*left, *inner.last}


def bind(step: Step) -> bool:
    """From a part that ends with `F = G`, each of xs written as one of ys: `(forall xs F) = (forall ys G)`, ys not free
    on the left, xs not free on the right; `exists` likewise. A variable that is written as another one is not in ys,
    and that one not in xs: otherwise the part would assume that different ones of xs are equal.
    """  # fmt: skip
    (left, right), inner = step.sides, step.inner
    if (
        inner is None
        or inner.last is None
        or inner.assumed
        or left.op != right.op
        or left.op not in {"forall", "exists"}
    ):
        return False
    (xs, body), (ys, other) = _quantified(left), _quantified(right)
    renamed = {x: y for x, y in zip(xs, ys, strict=False) if x is not y}
    if len(xs) != len(ys) or inner.values != renamed or sides(one(inner.last)) != (body, other):
        return False
    if not renamed.keys().isdisjoint(ys) or not set(xs).isdisjoint(renamed.values()):
        return False
    return left.free.isdisjoint(ys) and right.free.isdisjoint(xs) and step.generalises({*xs, *ys})


def sko_forall(step: Step) -> bool:
    """From a part that ends with `F = G`, x written as (choice x (not F)): `(forall x F) = G`, x not free in G."""
    return _skolem(step, "forall")


def sko_ex(step: Step) -> bool:
    """From a part that ends with `F = G`, x written as (choice x F): `(exists x F) = G`, x not free in G."""
    return _skolem(step, "exists")


def _skolem(step: Step, quantifier: str) -> bool:
    (left, right), inner = step.sides, step.inner
    if left.op != quantifier or inner is None or inner.last is None or inner.assumed:
        return False
    variables, body = _quantified(left)
    if sides(one(inner.last)) != (body, right) or not right.free.isdisjoint(variables):
        return False
    if set(inner.values) != set(variables) or not step.generalises(variables):
        return False
    for number, variable in enumerate(variables):
        rest = variables[number + 1 :]
        said = step.terms.make(quantifier, *rest, body) if rest else body
        said = step.terms.substitute(said, {x: inner.values[x] for x in variables[:number]})
        wanted = step.terms.make("not", said) if quantifier == "forall" else said
        if inner.values[variable] is not step.terms.make("choice", variable, wanted):
            return False
    return True


def onepoint(step: Step) -> bool:
    """From a part that ends with `F = G`, x written as t, F a disjunction with `not x = t` in it:
    `(forall (x ys) F) = (forall (ys) G)`, x not free in t and in G.
    """  # fmt: skip
    (left, right), inner = step.sides, step.inner
    if left.op != "forall" or inner is None or inner.last is None or inner.assumed:
        return False
    variables, body = _quantified(left)
    kept = tuple(v for v in variables if v not in inner.values)
    then = right
    if kept:
        if right.op != "forall" or right.args[:-1] != kept:
            return False
        then = right.args[-1]
    if (
        sides(one(inner.last)) != (body, then)
        or not step.generalises(variables)
        or not set(inner.values) <= {*variables}
    ):
        return False
    if not all(term.free.isdisjoint(inner.values) for term in (then, *inner.values.values())):
        return False
    excluded = {pair for part in body.args if body.op == "or" and part.op == "not" for pair in _equated(part.args[0])}
    return set(inner.values.items()) <= excluded


def _equated(term: Term) -> Sequence[tuple[Term, Term]]:
    return (sides(term), sides(term)[::-1]) if term.op == "=" else ()


def forall_inst(step: Step) -> bool:
    """`(or (not (forall xs F)) F[ts])`: the arguments are ts."""
    told = step.only
    if told.op != "or" or len(told.args) != 2 or told.args[0].op != "not":
        return False
    general, instance = told.args[0].args[0], told.args[1]
    variables, body = _quantified(general)
    values = [step.reader.term(arg) for arg in step.args]
    if general.op != "forall" or [v.sort for v in variables] != [t.sort for t in values]:
        return False
    return step.terms.substitute(body, dict(zip(variables, values, strict=True))) is instance


def connective_def(step: Step) -> bool:
    """`(exists xs F) = (not (forall xs (not F)))`."""
    left, right = step.sides
    if left.op != "exists":
        return False
    variables, body = _quantified(left)
    make = step.terms.make
    return right is make("not", make("forall", *variables, make("not", body)))


def qnt_rm_unused(step: Step) -> bool:
    """`(forall (xs ys) F) = (forall (xs) F)`, ys not free in F; `exists` likewise. Where xs is empty, it is F."""
    left, right = step.sides
    variables, body = _quantified(left)
    if left.op not in {"forall", "exists"}:
        return False
    if right is body:
        return body.free.isdisjoint(variables)
    rest, same = _quantified(right)
    gone = set(variables) - set(rest)
    return right.op == left.op and same is body and set(rest) <= set(variables) and body.free.isdisjoint(gone)


def qnt_join(step: Step) -> bool:
    """`(forall xs (forall ys F)) = (forall (xs ys) F)`; `exists` likewise."""
    left, right = step.sides
    outer, inside = _quantified(left)
    inner, body = _quantified(inside)
    joined, same = _quantified(right)
    ops = {left.op, inside.op, right.op}
    return ops in ({"forall"}, {"exists"}) and same is body and set(joined) == {*outer, *inner}


def miniscope_distribute(step: Step) -> bool:
    """`(forall xs (and F G ...)) = (and (forall xs F) (forall xs G) ...)`."""
    left, right = step.sides
    variables, body = _quantified(left)
    if left.op != "forall" or body.op != "and":
        return False
    return right is step.terms.make("and", *(step.terms.make("forall", *variables, part) for part in body.args))


def miniscope_ite(step: Step) -> bool:
    """`(forall xs (ite C F G)) = (ite C (forall xs F) (forall xs G))`: none of xs is free in C."""
    left, right = step.sides
    variables, body = _quantified(left)
    if left.op != "forall" or body.op != "ite" or not body.args[0].free.isdisjoint(variables):
        return False
    condition, *branches = body.args
    return right is step.terms.make("ite", condition, *(step.terms.make("forall", *variables, f) for f in branches))


def miniscope_split(step: Step) -> bool:
    """`(forall xs (or F G ...)) = (or (forall ys F) (forall zs G) ...)`: each of xs is free in one of F, G, ... alone,
    and bound there.
    """  # fmt: skip
    left, right = step.sides
    variables, body = _quantified(left)
    if left.op != "forall" or body.op != right.op or body.op != "or" or len(body.args) != len(right.args):
        return False
    bound: list[Term] = []
    for part, scoped in zip(body.args, right.args, strict=True):
        if part is not scoped:
            mine, inside = _quantified(scoped)
            if scoped.op != "forall" or inside is not part:
                return False
            bound += mine
        if not scoped.free.isdisjoint(variables):
            return False
    return len(set(bound)) == len(bound) and set(bound) <= set(variables)
