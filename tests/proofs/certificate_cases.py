"""A step of each rule that the checker of certificates knows, without quantifiers: premises, conclusion, arguments."""

from __future__ import annotations

from dataclasses import dataclass

from proofs.certificates.rewrites import REWRITES

__all__ = ["CASES", "DECLARED", "REWRITTEN", "Case"]

DECLARED = "".join(f"(declare-fun {name} {signature})\n" for name, signature in {
    **dict.fromkeys("bcd", "() Bool"), **dict.fromkeys("xyz", "() Int"), "a": "() (Array Int Int)", "f": "(Int) Int",
}.items())  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A step that follows."""

    rule: str
    premises: tuple[str, ...]
    clause: str
    args: str = ""


CASES = [
    Case(rule, tuple(part.strip() for part in premises.split(";") if part.strip()), clause, *args)
    for rule, premises, clause, *args in [
        # connectives: what follows is a clause, from premises of one literal each
        ("true", "", "true"),
        ("false", "", "(not false)"),
        ("not_not", "", "(not (not (not b))) b"),
        ("and", "(and b c)", "c"),
        ("and_pos", "", "(not (and b c)) c"),
        ("and_neg", "", "(and b c) (not b) (not c)"),
        ("and_intro", "b; c", "(and b c)"),
        ("not_and", "(not (and b c))", "(not b) (not c)"),
        ("or", "(or b c)", "b c"),
        ("or_pos", "", "(not (or b c)) b c"),
        ("or_neg", "", "(or b c) (not c)"),
        ("not_or", "(not (or b c))", "(not c)"),
        ("implies", "(=> b c)", "(not b) c"),
        ("implies_pos", "", "(not (=> b c)) (not b) c"),
        ("implies_neg1", "", "(=> b c) b"),
        ("implies_neg2", "", "(=> b c) (not c)"),
        ("not_implies1", "(not (=> b c))", "b"),
        ("not_implies2", "(not (=> b c))", "(not c)"),
        ("equiv1", "(= b c)", "(not b) c"),
        ("equiv2", "(= b c)", "b (not c)"),
        ("equiv_pos1", "", "(not (= b c)) b (not c)"),
        ("equiv_pos2", "", "(not (= b c)) (not b) c"),
        ("equiv_neg1", "", "(= b c) (not b) (not c)"),
        ("equiv_neg2", "", "(= b c) b c"),
        ("not_equiv1", "(not (= b c))", "b c"),
        ("not_equiv2", "(not (= b c))", "(not b) (not c)"),
        ("ite1", "(ite b c d)", "b d"),
        ("ite2", "(ite b c d)", "(not b) c"),
        ("ite_pos1", "", "(not (ite b c d)) b d"),
        ("ite_pos2", "", "(not (ite b c d)) (not b) c"),
        ("ite_neg1", "", "(ite b c d) b (not d)"),
        ("ite_neg2", "", "(ite b c d) (not b) (not c)"),
        ("not_ite1", "(not (ite b c d))", "b (not d)"),
        ("not_ite2", "(not (ite b c d))", "(not b) (not c)"),
        ("resolution", "(= b c); (not b)", "(not c)"),
        ("th_resolution", "(=> b c); b", "c"),
        ("contraction", "(or b c b)", "b c"),
        ("reordering", "(or b c)", "c b"),
        ("and_simplify", "", "(= (and b true c) (and b c))"),
        ("or_simplify", "", "(= (or b false c) (or b c))"),
        ("not_simplify", "", "(= (not (not b)) b)"),
        ("implies_simplify", "", "(= (=> b false) (not b))"),
        ("equiv_simplify", "", "(= (= b true) b)"),
        ("bool_simplify", "", "(= (=> b (=> c d)) (=> (and b c) d))"),
        ("ac_simp", "", "(= (and b (and c d)) (and b c d))"),
        ("aci_simp", "", "(= (or b (or c b)) (or c b))"),
        ("connective_def", "", "(= (= b c) (and (=> b c) (=> c b)))"),
        # equality
        ("refl", "", "(= (f x) (f x))"),
        ("symm", "(= x y)", "(= y x)"),
        ("not_symm", "(not (= x y))", "(not (= y x))"),
        ("trans", "(= x y); (= z y)", "(= x z)"),
        ("cong", "(= x y)", "(= (+ (f x) z) (+ (f x) z))"),
        ("cong", "(= x y)", "(= (f x) (f y))"),
        ("cong", "(= x y); (= b c)", "(= (ite b x z) (ite c y z))"),
        ("arrays_idx", "", "(= (select (store a x y) x) y)"),
        ("arrays_row", "(not (= x y))", "(= (select (store a x z) y) (select a y))"),
        ("arrays_row_contra", "(not (= (select (store a x z) y) (select a y)))", "(= x y)"),
        # arithmetic
        ("evaluate", "", "(= (mod (- 7) 3) 2)"),
        ("evaluate", "", "(= (div (- 7) (- 3)) 3)"),
        ("evaluate", "", "(= (ite (< 2 3) (* 2 3) 1) 6)"),
        ("evaluate", "", "(= (and (distinct 2 3) (=> false true)) true)"),
        ("poly_simp", "", "(= (* (+ x 1) (- x 1)) (- (* x x) 1))"),
        ("poly_simp_rel", "", "(= (< x y) (>= (- y x) 1))"),
        ("poly_simp_rel", "", "(= (= (* 2 x) (+ y y)) (= y x))"),
        ("poly_simp_rel", "", "(= (not (< x y)) (>= x y))"),
        ("comp_simplify", "", "(= (> x y) (not (<= x y)))"),
        ("la_mult_sign", "", "(=> (and (> x 0) (> y 0)) (> (* x y) 0))"),
        ("la_mult_sign", "", "(=> (and (> x 0) (< y 0) (< z 0)) (< (* x y y z) 0))"),
        ("div_intro", "", "(and (<= (* 3 (div x 3)) x) (< x (* 3 (+ (div x 3) 1))))"),
        ("distinct_elim", "", "(= (distinct x y) (not (= x y)))"),
        ("la_generic", "", "(not (<= x y)) (not (< y x))", "1 1"),
        ("la_generic", "", "(not (= x (* 2 y))) (not (<= y 1)) (<= x 2)", "-1 2 1"),
        ("la_generic", "", "(not (>= (* 2 x) 1)) (>= x 1)", "1/2 1.0"),
        ("la_generic", "", "(not (>= x 3)) (> (* 1/4 (to_real x)) 1/2)", "(/ 1 4) 1"),
        ("la_generic", "", "(<= x y) (< y x)", "1 1"),
        ("la_disequality", "", "(or (= x y) (not (<= x y)) (not (<= y x)))"),
    ]
]

REWRITTEN = {
    "bool-double-not-elim": "(= (not (not b)) b)",
    "bool-impl-elim": "(= (=> b c) (or (not b) c))",
    "bool-impl-false1": "(= (=> b false) (not b))",
    "bool-impl-false2": "(= (=> false b) true)",
    "bool-impl-true1": "(= (=> b true) true)",
    "bool-impl-true2": "(= (=> true b) b)",
    "bool-eq-false": "(= (= b false) (not b))",
    "bool-eq-true": "(= (= b true) b)",
    "bool-and-de-morgan": "(= (not (and b c)) (or (not b) (not c)))",
    "bool-or-de-morgan": "(= (not (or b c)) (and (not b) (not c)))",
    "bool-or-taut": "(= (or b c (not b)) true)",
    "bool-or-taut2": "(= (or (not b) c b) true)",
    "bool-and-conf": "(= (and b c (not b)) false)",
    "bool-and-conf2": "(= (and (not b) c b) false)",
    "ite-then-true": "(= (ite b true c) (or b c))",
    "ite-then-false": "(= (ite b false c) (and (not b) c))",
    "ite-else-true": "(= (ite b c true) (or (not b) c))",
    "ite-else-false": "(= (ite b c false) (and b c))",
    "ite-then-lookahead-self": "(= (ite b b c) (ite b true c))",
    "ite-else-lookahead": "(= (ite b x (ite b y z)) (ite b x z))",
    "ite-else-lookahead-self": "(= (ite b c b) (ite b c false))",
    "or-not-refl": "(or b (not b))",
    "arith-elim-lt": "(= (< x y) (not (>= x y)))",
    "arith-elim-leq": "(= (<= x y) (>= y x))",
    "arith-elim-gt": "(= (> x y) (not (<= x y)))",
    "arith-elim-int-lt": "(= (< x y) (>= y (+ x 1)))",
    "arith-elim-int-gt": "(= (> x y) (>= x (+ y 1)))",
    "arith-geq-tighten": "(= (not (>= x y)) (>= y (+ x 1)))",
    "arith-leq-norm": "(= (<= x y) (not (>= x (+ y 1))))",
    "arith-geq-norm1-int": "(= (>= x y) (>= (- x y) 0))",
    "arith-geq-norm2": "(= (>= x y) (<= (- x) (- y)))",
    "arith-int-eq-conflict": "(= (= (* 2 x) 1) false)",
    "arith-int-geq-tighten": "(= (>= (* 2 x) 1) (>= x 1))",
    "arith-mod-over-mod": "(= (mod (+ x (mod y 3) z) 3) (mod (+ x y z) 3))",
    "arith-mod-over-mod-mult": "(= (mod (* x (mod y 3)) 3) (mod (* x y) 3))",
    "eq-refl": "(= (= x x) true)",
    "eq-symm": "(= (= x y) (= y x))",
    "distinct-elim": "(= (distinct x y) (not (= x y)))",
    "arith-int-div-total": "(= (div x 3) (div x 3))",
    "arith-int-mod-total": "(= (mod x 3) (mod x 3))",
    "arith-int-div-total-one": "(= (div x 1) x)",
    "arith-int-mod-total-one": "(= (mod x 1) 0)",
    "ite-true-cond": "(= (ite true x y) x)",
    "ite-false-cond": "(= (ite false x y) y)",
    "ite-not-cond": "(= (ite (not b) x y) (ite b y x))",
    "ite-eq-branch": "(= (ite b x x) x)",
    "ite-eq": "(= (ite b (= (ite b x y) x) (= (ite b x y) y)) true)",
    "eq-ite-lift": "(= (= (ite b x y) z) (ite b (= x z) (= y z)))",
    "arith-geq-ite-lift": "(= (>= (ite b x y) z) (ite b (>= x z) (>= y z)))",
    "arith-leq-ite-lift": "(= (<= (ite b x y) z) (ite b (<= x z) (<= y z)))",
    "arith-eq-elim-int": "(= (= x y) (and (>= x y) (<= x y)))",
    "mod-elim": "(= (mod x 3) (- x (* 3 (div x 3))))",
    "div-bounds": "(and (<= (* 3 (div x 3)) x) (< x (* 3 (+ (div x 3) 1))))",
    "array-read-over-write": "(= (select (store a x y) x) y)",
    "array-read-over-write-split": "(= (select (store a x y) z) (ite (= z x) y (select a z)))",
}
"""An instance of each rewrite."""
assert set(REWRITES) <= set(REWRITTEN)

CASES += [Case("rare_rewrite", (), instance, f'"{name}"') for name, instance in REWRITTEN.items()]
