"""The rules that a proof may use, by name: each a function that says whether a step follows by it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from math import prod

from proofs.certificates import equality, quantifiers
from proofs.certificates.arithmetic import adds_up, equal, same_relation, same_remainder
from proofs.certificates.evaluate import evaluate
from proofs.certificates.propositional import follows
from proofs.certificates.rewrites import REWRITES, rewritten
from proofs.certificates.steps import Step
from proofs.certificates.syntax import Sexp
from proofs.certificates.terms import Refused

__all__ = ["RULES", "Rule"]

Rule = Callable[[Step], bool]

CONNECTIVES = """
    true false not_not and and_pos and_neg and_intro not_and or or_pos or_neg not_or implies implies_pos implies_neg1
    implies_neg2 not_implies1 not_implies2 equiv1 equiv2 equiv_pos1 equiv_pos2 equiv_neg1 equiv_neg2 not_equiv1
    not_equiv2 ite1 ite2 ite_pos1 ite_pos2 ite_neg1 ite_neg2 not_ite1 not_ite2 resolution th_resolution contraction
    reordering and_simplify or_simplify not_simplify implies_simplify equiv_simplify bool_simplify ac_simp aci_simp
""".split()  # noqa: SIM905 - fewer lines
"""Rules about connectives alone: what they say follows from their premises whatever the atoms mean."""

BOOLEAN = """
    bool-double-not-elim bool-impl-elim bool-impl-false1 bool-impl-false2 bool-impl-true1 bool-impl-true2 bool-eq-false
    bool-eq-true bool-and-de-morgan bool-or-de-morgan bool-or-taut bool-or-taut2 bool-and-conf bool-and-conf2
    ite-then-true ite-then-false ite-else-true ite-else-false ite-then-lookahead-self
    ite-else-lookahead-self or-not-refl
""".split()  # noqa: SIM905 - fewer lines
"""Rewrites about connectives alone."""

RELATIONAL = """
    arith-elim-lt arith-elim-leq arith-elim-gt arith-elim-int-lt arith-elim-int-gt arith-geq-tighten arith-leq-norm
    arith-geq-norm1-int arith-geq-norm2 arith-int-eq-conflict arith-int-geq-tighten
""".split()  # noqa: SIM905 - fewer lines
"""Rewrites of one relation of integers to another that says the same."""

SIGNS = {">": 1, "<": -1}
"""The sign of what stands so to 0."""

REMAINDERS = ("arith-mod-over-mod", "arith-mod-over-mod-mult")
"""Rewrites of a remainder of a sum (of a product) that has a remainder in it."""


def propositional(step: Step) -> bool:
    """Follows from the premises by connectives alone."""
    return follows(step.premises, step.clause)


def relations(step: Step) -> bool:
    """`R = S`: two relations of integers that say the same whatever their atoms are."""
    return same_relation(*step.sides)


def poly_simp(step: Step) -> bool:
    """`s = t`: two sums of products that are the same whatever their atoms are."""
    return equal(*step.sides)


def la_generic(step: Step) -> bool:
    """Relations of which one is true: their negations, as often as the arguments say, add up to a contradiction."""
    return adds_up(step.clause, [_fraction(arg) for arg in step.args])


def la_disequality(step: Step) -> bool:
    """`(or (= x y) (not (<= x y)) (not (<= y x)))`."""
    told = step.only
    if told.op != "or" or len(told.args) != 3 or told.args[0].op != "=":
        return False
    x, y = told.args[0].args
    make = step.terms.make
    return told.args[1:] == (make("not", make("<=", x, y)), make("not", make("<=", y, x)))


def la_mult_sign(step: Step) -> bool:
    """`(=> (and (> x 0) (< y 0) ...) (< (* x y ...) 0))`: a product of what is not 0 has the sign of its factors."""
    told = step.only
    given, said = told.args if told.op == "=>" and len(told.args) == 2 else (told, told)
    known = given.args if given.op == "and" else (given,)
    if any(r.op not in SIGNS or r.args[1].number != 0 for r in (*known, said)) or said.args[0].op != "*":
        return False
    signs, factors = {r.args[0]: SIGNS[r.op] for r in known}, said.args[0].args
    return all(f in signs for f in factors) and SIGNS[said.op] == prod(signs[f] for f in factors)


def div_intro(step: Step) -> bool:
    """`(and (<= (* n (div x n)) x) (< x (* n (+ (div x n) 1))))`, n a numeral above 0."""
    return rewritten("div-bounds", step.only)


def distinct_elim(step: Step) -> bool:
    """`(distinct s t) = (not (= s t))`."""
    return rewritten("distinct-elim", step.only)


def evaluated(step: Step) -> bool:
    """`t = v`: t has no variables, no quantifiers and no symbols of the problem's, and its value is that of v."""
    left, right = step.sides
    return evaluate(left) == evaluate(right)


def remainders(step: Step) -> bool:
    """`(mod s n) = (mod t n)`: s and t are the same sum but for remainders by n in it; n a numeral that is not 0."""
    return same_remainder(*step.sides)


def rare_rewrite(step: Step) -> bool:
    """An instance of a rewrite; the first argument says of which."""
    name = str(step.args[0]).strip('"') if step.args else ""
    if name not in BOOLEAN and name not in RELATIONAL and name not in REMAINDERS and name not in REWRITES:
        raise Refused(f"unknown rewrite {name}")
    if name in BOOLEAN:
        return propositional(step)
    if name in REMAINDERS:
        return remainders(step)
    return relations(step) if name in RELATIONAL else equality.rare_rewrite(step)


def connective_def(step: Step) -> bool:
    """What a connective, or `exists`, is in terms of others."""
    return propositional(step) or quantifiers.connective_def(step)


def _fraction(arg: Sexp) -> Fraction:
    """Read a factor: ``2``, ``-1``, ``1/2``, ``(- 2)``, ``(/ 1 2)``."""
    try:
        if isinstance(arg, str):
            return Fraction(arg)
        if arg[0] == "-" and len(arg) == 2:
            return -_fraction(arg[1])
        if arg[0] == "/" and len(arg) == 3:
            return _fraction(arg[1]) / _fraction(arg[2])
    except (ValueError, ZeroDivisionError):
        pass
    raise Refused(f"no factor: {arg}")


RULES: Mapping[str, Rule] = {
    **dict.fromkeys(CONNECTIVES, propositional),
    "refl": equality.refl,
    "symm": equality.symm,
    "not_symm": equality.not_symm,
    "trans": equality.trans,
    "cong": equality.cong,
    "arrays_idx": equality.arrays_idx,
    "arrays_row": equality.arrays_row,
    "arrays_row_contra": equality.arrays_row_contra,
    "rare_rewrite": rare_rewrite,
    "evaluate": evaluated,
    "poly_simp": poly_simp,
    "poly_simp_rel": relations,
    "comp_simplify": relations,
    "la_mult_sign": la_mult_sign,
    "div_intro": div_intro,
    "distinct_elim": distinct_elim,
    "la_generic": la_generic,
    "la_disequality": la_disequality,
    "connective_def": connective_def,
    "forall_inst": quantifiers.forall_inst,
    "qnt_rm_unused": quantifiers.qnt_rm_unused,
    "qnt_join": quantifiers.qnt_join,
    "miniscope_distribute": quantifiers.miniscope_distribute,
    "miniscope_ite": quantifiers.miniscope_ite,
    "miniscope_split": quantifiers.miniscope_split,
    "subproof": quantifiers.subproof,
    "bind": quantifiers.bind,
    "sko_forall": quantifiers.sko_forall,
    "sko_ex": quantifiers.sko_ex,
    "onepoint": quantifiers.onepoint,
}
