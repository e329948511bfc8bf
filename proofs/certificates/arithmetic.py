"""Integer arithmetic: sums of products compared, relations brought to one form, inequalities added up.

An atom is a term that is no sum, no difference and no product; what is said here holds whatever integers atoms are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import gcd, lcm

from proofs.certificates.terms import INT, REAL, Number, Term

__all__ = ["adds_up", "differ_alike", "equal", "polynomial", "same_relation", "same_remainder"]

Monomial = tuple[Term, ...]
"""A product of atoms, in one order; of none, it is 1."""
Polynomial = Mapping[Monomial, Number]
"""A sum: how many of each monomial; none is there 0 times."""

AT_LEAST, EQUAL, UNEQUAL = ">=", "=", "distinct"
FALSE: tuple[str, Polynomial] = (EQUAL, {(): 1})
TRUE: tuple[str, Polynomial] = (EQUAL, {})


def polynomial(term: Term) -> Polynomial:
    """Give an integer term as a sum of products."""
    if term.number is not None:
        return _sum((term.number, {(): 1}))
    if term.op == "to_real":
        return polynomial(term.args[0])
    if term.op == "+":
        return _sum(*((1, polynomial(part)) for part in term.args))
    if term.op == "-":
        return _sum((1, polynomial(term.args[0])), (-1, polynomial(term.args[1])))
    if term.op == "*":
        product: Polynomial = {(): 1}
        for part in term.args:
            product = _product(product, polynomial(part))
        return product
    return {(term,): 1}


def _sum(*parts: tuple[Number, Polynomial]) -> Polynomial:
    found: dict[Monomial, Number] = {}
    for times, poly in parts:
        for monomial, factor in poly.items():
            found[monomial] = found.get(monomial, 0) + times * factor
    return {monomial: factor for monomial, factor in found.items() if factor}


def _product(one: Polynomial, other: Polynomial) -> Polynomial:
    each = [
        (factor * times, {tuple(sorted((*left, *right), key=id)): 1})
        for left, factor in one.items()
        for right, times in other.items()
    ]
    return _sum(*each)


def equal(one: Term, other: Term) -> bool:
    """Whether two integer terms are equal, whatever their atoms are."""
    return one.sort == other.sort and one.sort in {INT, REAL} and polynomial(one) == polynomial(other)


def differ_alike(one: tuple[Term, Term], other: tuple[Term, Term]) -> bool:
    """Whether the difference of two integer terms is that of two others, or its opposite."""
    first, second = (_sum((1, polynomial(left)), (-1, polynomial(right))) for left, right in (one, other))
    return {t.sort for t in (*one, *other)} == {INT} and first in (second, _sum((-1, second)))


def same_remainder(one: Term, other: Term) -> bool:
    """Whether two remainders, by one numeral that is not 0, are of sums that differ by remainders by it alone."""
    if not one.op == other.op == "mod" or one.args[1] is not other.args[1] or not one.args[1].number:
        return False
    return _residue(one.args[0], one.args[1]) == _residue(other.args[0], one.args[1])


def _residue(term: Term, by: Term) -> Polynomial:
    """Give an integer term as a sum of products in which a remainder by that number is what it is the remainder of."""
    total: Polynomial = {}
    for monomial, factor in polynomial(term).items():
        product: Polynomial = {(): 1}
        for atom in monomial:
            inside = atom.op == "mod" and atom.args[1] is by
            product = _product(product, _residue(atom.args[0], by) if inside else polynomial(atom))
        total = _sum((1, total), (factor, product))
    return total


def same_relation(one: Term, other: Term) -> bool:
    """Whether two relations of integers, or their negations, say the same, whatever their atoms are."""
    first, second = _relation(one), _relation(other)
    return first is not None and second is not None and _plainest(*first[:2]) == _plainest(*second[:2])


def _relation(term: Term, holds: bool = True) -> tuple[str, Polynomial, int] | None:
    """Say how a polynomial compares with 0 where a relation holds, or does not; None if it is no relation.

    The last is what both sides were multiplied with, where they have fractions.
    """
    while term.op == "not":
        term, holds = term.args[0], not holds
    if term.op in {"true", "false"}:
        return (*(TRUE if (term.op == "true") == holds else FALSE), 1)
    if term.op not in {"<", "<=", ">", ">=", "=", "distinct"} or term.args[0].sort not in {INT, REAL}:
        return None
    left, right = (polynomial(side) for side in term.args)
    difference, scale = _sum((1, left), (-1, right)), 1
    if any(side.sort == REAL for side in term.args):  # of integers all the same, once no factor has a denominator
        if any(atom.sort != INT for monomial in difference for atom in monomial):
            return None
        scale = lcm(*(factor.denominator for factor in difference.values()))
        difference = {monomial: int(factor * scale) for monomial, factor in difference.items()}
    if term.op in {"=", "distinct"}:
        return EQUAL if (term.op == "=") == holds else UNEQUAL, difference, scale
    if term.op in {"<", "<="}:  # a < b is b - a > 0
        difference = _sum((-1, difference))
    strict = term.op in {"<", ">"}
    if not holds:  # not p > 0 is -p >= 0, not p >= 0 is -p > 0
        difference, strict = _sum((-1, difference)), not strict
    return AT_LEAST, _sum((1, difference), (-1, {(): 1})) if strict else difference, scale  # p > 0 is p - 1 >= 0


def _plainest(how: str, poly: Polynomial) -> tuple[str, Polynomial]:
    """Divide by what the factors have in common, rounding as integers allow; turn an equation one way round."""
    offset, factors = poly.get((), 0), {m: f for m, f in poly.items() if m}
    common = gcd(*map(int, factors.values()))
    if not factors:
        return TRUE if {AT_LEAST: offset >= 0, EQUAL: offset == 0, UNEQUAL: offset != 0}[how] else FALSE
    if how == AT_LEAST:
        return how, _sum((1, {m: f // common for m, f in factors.items()}), (offset // common, {(): 1}))
    if offset % common:
        return FALSE if how == EQUAL else TRUE
    if factors[min(factors, key=lambda monomial: [id(atom) for atom in monomial])] < 0:
        common = -common
    return how, {m: f // common for m, f in poly.items()}


def adds_up(clause: Sequence[Term], factors: Sequence[Fraction]) -> bool:
    """Whether a clause of relations is true: so many times the negation of each, added up, is a contradiction."""
    if len(clause) != len(factors):
        return False
    parts: list[tuple[Number, Polynomial]] = []
    equations = True
    for literal, factor in zip(clause, factors, strict=True):
        negation = _relation(literal, holds=False)
        if negation is None or negation[0] == UNEQUAL:
            return False
        times = factor / negation[2]
        equations = equations and (negation[0] == EQUAL or not times)
        parts.append((times if negation[0] == EQUAL else abs(times), negation[1]))
    total = _sum(*parts)
    return set(total) == {()} and (equations or total[()] < 0)
