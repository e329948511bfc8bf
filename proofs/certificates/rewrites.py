"""Rewrites of terms, each an equation that is true of any terms in the places of its letters.

b, c, d: booleans. x, y, z: integers. a: an array. s, t: two terms of one sort, whichever. n: a numeral that is not 0;
p: one above 0.
"""

from __future__ import annotations

from collections.abc import Mapping

from proofs.certificates.syntax import Sexp, parse
from proofs.certificates.terms import ARRAY, BOOL, INT, Term

__all__ = ["REWRITES", "rewritten"]

REWRITES: Mapping[str, str] = {
    "eq-refl": "(= (= t t) true)",
    "eq-symm": "(= (= t s) (= s t))",
    "distinct-elim": "(= (distinct s t) (not (= s t)))",
    "arith-int-div-total": "(= t t)",
    "arith-int-mod-total": "(= t t)",
    "arith-int-mod-total-one": "(= (mod x 1) 0)",
    "arith-int-div-total-one": "(= (div x 1) x)",
    "ite-true-cond": "(= (ite true s t) s)",
    "ite-false-cond": "(= (ite false s t) t)",
    "ite-not-cond": "(= (ite (not c) s t) (ite c t s))",
    "ite-else-lookahead": "(= (ite c s (ite c t r)) (ite c s r))",
    "ite-eq-branch": "(= (ite c t t) t)",
    "ite-eq": "(= (ite c (= (ite c s t) s) (= (ite c s t) t)) true)",
    "eq-ite-lift": "(= (= (ite c s t) r) (ite c (= s r) (= t r)))",
    "arith-geq-ite-lift": "(= (>= (ite c x y) z) (ite c (>= x z) (>= y z)))",
    "arith-leq-ite-lift": "(= (<= (ite c x y) z) (ite c (<= x z) (<= y z)))",
    "arith-eq-elim-int": "(= (= x y) (and (>= x y) (<= x y)))",
    "mod-elim": "(= (mod x n) (- x (* n (div x n))))",
    "div-bounds": "(and (<= (* p (div x p)) x) (< x (* p (+ (div x p) 1))))",
    "array-read-over-write": "(= (select (store a x y) x) y)",
    "array-read-over-write-split": "(= (select (store a x y) z) (ite (= z x) y (select a z)))",
}
LETTERS = {**dict.fromkeys("bcd", BOOL), **dict.fromkeys("xyznp", INT), "a": ARRAY}
PATTERNS = {rule: parse(text)[0] for rule, text in REWRITES.items()}


def rewritten(rule: str, conclusion: Term) -> bool:
    """Whether a term is an instance of a rewrite."""
    return rule in PATTERNS and _matches(PATTERNS[rule], conclusion, {})


def _matches(pattern: Sexp, term: Term, letters: dict[str, Term]) -> bool:
    if isinstance(pattern, list):
        same = term.op == pattern[0] and len(term.args) == len(pattern) - 1
        return same and all(_matches(p, t, letters) for p, t in zip(pattern[1:], term.args, strict=True))
    if len(pattern) > 1 or pattern.isdigit():
        return term.op == pattern
    if pattern in LETTERS and term.sort != LETTERS[pattern]:
        return False
    if pattern in "np" and not (term.number and (pattern == "n" or term.number > 0)):
        return False
    return letters.setdefault(pattern, term) is term
