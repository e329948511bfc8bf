"""What a term is worth that has neither variables nor symbols of the problem's: a number, or true or false."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from math import floor, prod
from typing import TypeAlias

from proofs.certificates.terms import Number, Refused, Term

__all__ = ["evaluate"]

Value: TypeAlias = "bool | Number"


def _divided(number: Number, by: Number) -> int:
    """Divide as SMT-LIB does: the remainder is never negative. By 0, it says nothing."""
    if by == 0:
        raise Refused("divided by 0")
    return floor(number / Fraction(by)) if by > 0 else -floor(number / Fraction(-by))


OPERATORS: Mapping[str, Callable[..., Value]] = {
    "true": lambda: True,
    "false": lambda: False,
    "not": lambda a: not a,
    "and": lambda *args: all(args),
    "or": lambda *args: any(args),
    "=>": lambda a, b: not a or b,
    "ite": lambda a, b, c: b if a else c,
    "=": lambda a, b: a == b,
    "distinct": lambda a, b: a != b,
    "+": lambda *args: sum(args),
    "-": lambda a, b: a - b,
    "*": lambda *args: prod(args),
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "div": _divided,
    "mod": lambda a, b: a - b * _divided(a, b),
    "to_real": lambda a: a,
    "to_int": floor,
}


def evaluate(term: Term) -> Value:
    """Give the value of a term; refused is one with variables, quantifiers, arrays, or symbols of the problem's."""
    if term.number is not None:
        return term.number
    if term.op not in OPERATORS:
        raise Refused(f"{term.op} has no value")
    return OPERATORS[term.op](*map(evaluate, term.args))
