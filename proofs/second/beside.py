"""What a solver should think of besides a question: that equal numbers have equal remainders, slots, laps.

Each is true whatever the symbols mean, so nothing is assumed; the checker of certificates sees that by itself
(`proofs.certificates.besides`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import combinations
from typing import Any

import z3

__all__ = ["thoughts"]

MOST = 40
"""More of a kind keep a solver from thinking of anything else."""


def thoughts(sentences: Iterable[Any]) -> list[Any]:
    """Give some such sentences."""
    exprs = list(_closed(sentences))
    return [*_congruences(exprs)][:MOST] + [*_absorptions(exprs)][:MOST]


def _congruences(exprs: Iterable[Any]) -> Iterator[Any]:
    """Say of any two things of which the same is asked: if they are equal, so are the answers."""
    asked: dict[tuple[Any, ...], list[Any]] = {}
    for expr in exprs:
        if z3.is_app_of(expr, z3.Z3_OP_MOD):
            asked.setdefault(("mod", expr.arg(1).get_id()), []).append(expr)
        elif expr.decl().kind() == z3.Z3_OP_UNINTERPRETED and expr.num_args() == 1:
            asked.setdefault((expr.decl().name(),), []).append(expr)
    for same in asked.values():
        for a, b in combinations(same, 2):
            yield z3.Or(z3.Not(a.arg(0) == b.arg(0)), a == b)


def _absorptions(exprs: list[Any]) -> Iterator[Any]:
    """Say, where c is said to be b modulo m, that a sum with c in it has the remainder of that with b."""
    remainders = [expr for expr in exprs if z3.is_app_of(expr, z3.Z3_OP_MOD) and z3.is_int_value(expr.arg(1))]
    for equal in (expr for expr in exprs if z3.is_eq(expr) and z3.is_app_of(expr.arg(1), z3.Z3_OP_MOD)):
        (c, rest), part = equal.children(), equal.arg(1).arg(0)
        for whole in remainders:
            total = whole.arg(0)
            summed = z3.is_add(total) or z3.is_sub(total)
            if summed and whole.arg(1).eq(rest.arg(1)) and any(each.eq(c) for each in total.children()):
                yield z3.Or(z3.Not(equal), whole == z3.substitute(total, (c, part)) % whole.arg(1))


def _closed(sentences: Iterable[Any]) -> Iterator[Any]:
    """Give every part that has no variables of a quantifier in it, each once."""
    seen: dict[int, bool] = {}
    found: list[Any] = []

    def closed(expr: Any) -> bool:
        if expr.get_id() not in seen:
            if z3.is_quantifier(expr):
                closed(expr.body())
                seen[expr.get_id()] = False
            else:
                seen[expr.get_id()] = not z3.is_var(expr) and all([closed(child) for child in expr.children()])  # noqa: C419 - look at each
                if seen[expr.get_id()]:
                    found.append(expr)
        return seen[expr.get_id()]

    for sentence in sentences:
        closed(sentence)
    return iter(found)
