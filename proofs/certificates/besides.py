"""Sentences that a proof may begin with although the problem does not have them: true whatever its symbols mean.

A solver does not think of everything; who asks it may add such a sentence to the question.
"""

from __future__ import annotations

from proofs.certificates.arithmetic import differ_alike
from proofs.certificates.terms import QUANTIFIERS, Term

__all__ = ["is_true_anyway"]


def is_true_anyway(term: Term) -> bool:
    """Whether a sentence is a `congruence` or an `absorption`."""
    if term.free or term.op != "or" or len(term.args) != 2 or term.args[0].op != "not":
        return False
    given, said = term.args[0].args[0], term.args[1]
    return given.op == said.op == "=" and (congruence(*given.args, *said.args) or absorption(*given.args, *said.args))


def congruence(s: Term, t: Term, one: Term, other: Term) -> bool:
    """`(or (not (= s t)) (= f(s, ...) f(t, ...)))`: f binds no variables; its other arguments are the same."""
    if one.op != other.op or len(one.args) != len(other.args) or one.op in QUANTIFIERS or not one.args:
        return False
    return all(a is b or (a is s and b is t) for a, b in zip(one.args, other.args, strict=True))


def absorption(c: Term, rest: Term, one: Term, other: Term) -> bool:
    """`(or (not (= c (mod b m))) (= (mod s m) (mod t m)))`: m a numeral that is not 0; s and t differ as c and b do."""
    if not rest.op == one.op == other.op == "mod" or not rest.args[1].number:
        return False
    (b, m), (s, by), (t, beside) = rest.args, one.args, other.args
    return m is by is beside and differ_alike((s, t), (c, b))
