"""The checker of certificates: quantifiers, parts of a proof, what a proof may begin with, and texts that are none."""

from __future__ import annotations

import re

import pytest

from proofs.certificates.check import check
from proofs.certificates.terms import Refused
from tests.proofs.certificate_cases import DECLARED

UNFINISHED = "the proof does not end with the empty clause"
DECLARED_TOO = f"{DECLARED}(declare-fun g (Int Int) Int)"
NESTED = "(forall ((u Int)) (forall ((v Int)) (< u v)))"


def answer(proof: str) -> str:
    """Say why a proof is refused, that has no end."""
    with pytest.raises(Refused) as refused:
        check(DECLARED_TOO, f"({proof})")
    return str(refused.value)


def taken(proof: str) -> bool:
    """Whether each step is taken."""
    return answer(proof) == UNFINISHED


def step(rule: str, clause: str, rest: str = "", name: str = "t") -> str:
    return f"(step {name} (cl {clause}) :rule {rule} {rest})"


def part(values: str, inner: str, rule: str, clause: str) -> str:
    """Write a part of a proof, in which variables are written as terms, with the step that ends it."""
    return f"(anchor :step t :args ({values})) {inner} {step(rule, clause)}"


def renamed(values: str, inner: str, clause: str, rule: str = "bind") -> str:
    return part(values, step("refl", inner, name="t.i"), rule, clause)


EPSILON = "(choice ((u Int)) (not (< u x)))"
SOME = "(choice ((u Int)) (< u x))"

TAKEN = {
    "forall_inst": step("forall_inst", "(or (not (forall ((u Int)) (< u x))) (< y x))", ":args (y)"),
    "qnt_rm_unused": step("qnt_rm_unused", "(= (forall ((u Int) (v Int)) (< u x)) (forall ((u Int)) (< u x)))"),
    "qnt_rm_unused, all": step("qnt_rm_unused", "(= (exists ((u Int)) (< y x)) (< y x))"),
    "qnt_join": step("qnt_join", f"(= {NESTED} (forall ((u Int) (v Int)) (< u v)))"),
    "connective_def": step("connective_def", "(= (exists ((u Int)) (< u x)) (not (forall ((u Int)) (not (< u x)))))"),
    "miniscope_distribute": step("miniscope_distribute",
        "(= (forall ((u Int)) (and (< u x) b)) (and (forall ((u Int)) (< u x)) (forall ((u Int)) b)))"),
    "miniscope_ite": step("miniscope_ite",
        "(= (forall ((u Int)) (ite b (< u x) (< y u))) (ite b (forall ((u Int)) (< u x)) (forall ((u Int)) (< y u))))"),
    "miniscope_split": step("miniscope_split",
        "(= (forall ((u Int) (v Int)) (or (< u x) b (< v y))) "
        "(or (forall ((u Int)) (< u x)) b (forall ((v Int)) (< v y))))"),
    "bind": renamed("(w Int) (:= (u Int) w)", "(= (< u x) (< w x))",
        "(= (forall ((u Int)) (< u x)) (forall ((w Int)) (< w x)))"),
    "bind, two": renamed("(w Int) (s Int) (:= (u Int) w) (:= (v Int) s)", "(= (< u v) (< w s))",
        "(= (exists ((u Int) (v Int)) (< u v)) (exists ((w Int) (s Int)) (< w s)))"),
    "sko_forall": renamed(f"(:= (u Int) {EPSILON})", f"(= (< u x) (< {EPSILON} x))",
        f"(= (forall ((u Int)) (< u x)) (< {EPSILON} x))", "sko_forall"),
    "sko_ex": renamed(f"(:= (u Int) {SOME})", f"(= (< u x) (< {SOME} x))",
        f"(= (exists ((u Int)) (< u x)) (< {SOME} x))", "sko_ex"),
    "onepoint": renamed("(:= (u Int) x)", "(= (or (not (= u x)) (< u y)) (or (not (= x x)) (< x y)))",
        "(= (forall ((u Int)) (or (not (= u x)) (< u y))) (or (not (= x x)) (< x y)))", "onepoint"),
    "subproof": f"(anchor :step t) (assume t.a b) {step('or_neg', '(or b c) (not b)', name='t.b')} "
        f"{step('resolution', '(or b c)', ':premises (t.b t.a)', 't.c')} {step('subproof', '(not b) (or b c)')}",
}  # fmt: skip

REFUSED = {
    "another instance": ("forall_inst", "(< y x))", "(< z x))"),
    "an instance of another sort": ("forall_inst", ":args (y)", ":args (b)"),
    "an instance of what only exists": ("forall_inst", "(forall ((u Int))", "(exists ((u Int))"),
    "an instance said of itself": ("forall_inst", "(or (not", "(or (or"),
    "a used variable left out": ("qnt_rm_unused", "(forall ((u Int)) (< u x))", "(forall ((v Int)) (< u x))"),
    "another quantifier": ("qnt_rm_unused", "(forall ((u Int)) (<", "(exists ((u Int)) (<"),
    "a used variable left out of all": ("qnt_rm_unused, all", "(< y x)", "(< y u)"),
    "joined quantifiers of two kinds": ("qnt_join", "(forall ((v Int)) (< u v))", "(exists ((v Int)) (< u v))"),
    "a variable lost on joining": ("qnt_join", "(forall ((u Int) (v Int)) (< u v))", "(forall ((u Int)) (< u v))"),
    "a body changed on joining": ("qnt_join", "(< u v))))", "(< v u))))"),
    "exists, without a negation": ("connective_def", "(not (< u x))", "(< u x)"),
    "exists, turned round": ("connective_def", "(not (forall", "(not (exists"),
    "a disjunction distributed": ("miniscope_distribute", "(and", "(or"),
    "a disjunction alone distributed": ("miniscope_distribute", "(and (< u x) b)", "(or (< u x) b)"),
    "exists distributed": ("miniscope_distribute", "(forall", "(exists"),
    "a conjunct lost": ("miniscope_distribute", "(forall ((u Int)) b)", ""),
    "a condition of the variable": ("miniscope_ite", "ite b", "ite (< u 0)"),
    "the branches exchanged": ("miniscope_ite", "(ite b (< u x) (< y u))", "(ite b (< y u) (< u x))"),
    "exists of a conditional": ("miniscope_ite", "(= (forall", "(= (exists"),
    "a branch without its quantifier": ("miniscope_ite", "(forall ((u Int)) (< y u))", "(< y u)"),
    "a variable of two parts": ("miniscope_split", "(< v y)", "(< v u)"),
    "a variable of no part": ("miniscope_split", "b (forall ((v Int)) (< v y))", "b (< v y)"),
    "a conjunction split": ("miniscope_split", "(or", "(and"),
    "bound to what it is not": ("bind", "(forall ((w Int)) (< w x))", "(forall ((w Int)) (< x w))"),
    "bound by another quantifier": ("bind", "(= (forall", "(= (exists"),
    "bound, and free beside": ("bind", "x", "w"),
    "bound to two variables": ("bind, two", "((w Int) (s Int)) (<", "((w Int) (r Int)) (<"),
    "bound, not written so": ("bind", "(w Int) (:= (u Int) w)", "(w Int) (u Int)"),
    "bound, with a step that is not of it": ("bind", "(= (< u x) (< w x)))", "(= (< x u) (< x w)))"),
    "a witness of something else": ("sko_forall", "(not (< u x))", "(not (< x u))"),
    "a witness of the contrary": ("sko_forall", "(not (< u x))", "(< u x)"),
    "a witness for exists of the contrary": ("sko_ex", "choice ((u Int)) (< u x)", "choice ((u Int)) (not (< u x))"),
    "a counterexample for exists": ("sko_ex", "(exists", "(forall"),
    "no witness": ("sko_ex", f"(:= (u Int) {SOME})", "(:= (u Int) y)"),
    "no point": ("onepoint", "(or (not (= u x)) (< u y))", "(or (= u x) (< u y))"),
    "a point of a conjunction": ("onepoint", "(or (not", "(and (not"),
    "another point": ("onepoint", "(:= (u Int) x)", "(:= (u Int) y)"),
    "a point that is there once": ("onepoint", "(forall", "(exists"),
    "a point of itself": ("onepoint", "x", "(+ u 1)"),
    "what was assumed, forgotten": ("subproof", "(not b) (or b c)) :rule subproof", "(or b c)) :rule subproof"),
    "something else concluded": ("subproof", "(not b) (or b c)) :rule subproof", "(not b) c) :rule subproof"),
    "something else assumed": ("subproof", "(assume t.a b)", "(assume t.a c)"),
}  # fmt: skip


@pytest.mark.parametrize("name", TAKEN)
def test_what_follows_is_taken(name: str) -> None:
    assert taken(TAKEN[name])


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_follow_is_refused(name: str) -> None:
    which, old, new = REFUSED[name]
    assert old in TAKEN[which]
    assert "does not follow" in answer(TAKEN[which].replace(old, new))


def test_variables_are_not_swapped_as_if_they_were_equal() -> None:
    """Written as each other, u and v would be assumed equal: then every g(u, v) is g(u, u)."""
    swapped = "(u Int) (v Int) (:= (u Int) v) (:= (v Int) u)"
    said = "(= (forall ((u Int) (v Int)) (= (g u {}) x)) (forall ((v Int) (u Int)) (= (g u {}) x)))"
    inner = "(= (= (g u {}) x) (= (g u {}) x))"
    assert "follow by refl" in answer(renamed(swapped, inner.format("v", "u"), said.format("v", "u")))
    assert "follow by bind" in answer(renamed(swapped, inner.format("v", "v"), said.format("v", "v")))


def test_no_variable_is_captured() -> None:
    """Something is above each u, and nothing above itself."""
    said = "(or (not (forall ((u Int)) (exists ((v Int)) (< u v)))) (exists ((v Int)) (< v v)))"
    assert "captured" in answer(step("forall_inst", said, ":args (v)"))


def test_what_is_shown_under_an_assumption_is_not_said_of_all() -> None:
    """The part assumes of one u that it is below x."""
    said = "(= (forall ((u Int)) (< u x)) (forall ((w Int)) (< w x)))"
    inner = renamed("(w Int) (:= (u Int) w)", "(= (< u x) (< w x))", said).replace(" t", " s")
    for assumed, why in (("(< y x)", UNFINISHED), ("(< u x)", "follow by bind"), ("(< w x)", "follow by bind")):
        whole = f"(assume t.a {assumed}) {inner} {step('subproof', f'(not {assumed}) {said}')}"
        assert why in answer(f"(anchor :step t :args ((u Int) (w Int))) {whole}")


@pytest.mark.parametrize("said", ["(= (forall ((u Int)) false) true)", "(= (exists ((u Int)) true) false)", "(= x x)"])
def test_only_what_has_a_value_is_evaluated(said: str) -> None:
    assert re.search("has no value|evaluate", answer(step("evaluate", said)))


@pytest.mark.parametrize("name", ["|1|", "|-5|", "|1/2|", "true", "|<|", "x"])
def test_no_symbol_is_named_like_something_else(name: str) -> None:
    """A problem in which |1| is not 1 would be refuted as if it were."""
    with pytest.raises(Refused, match="is something already"):
        check(f"{DECLARED}(declare-fun {name} () Int)", "()")


# What a proof may begin with.


ASKED = "(assert (and b (not b)))"
PROOF = (
    f"(assume h (and b (not b))) {step('and', 'b', ':premises (h)', 's')} {step('resolution', '', ':premises (h s)')}"
)


def test_a_proof_is_of_its_problem() -> None:
    """The same proof is refused where the problem says less, or something that only looks like it."""
    assert check(DECLARED + ASKED, f"({PROOF})") == 3
    for other in ("", "(assert (and b (not c)))", "(assert (or b (not b)))", "(assert b)", "(assert (and (not b) b))"):
        with pytest.raises(Refused, match="h: what is assumed is not in the problem"):
            check(DECLARED + other, f"({PROOF})")


def test_a_proof_that_assumes_what_it_shows_is_refused() -> None:
    for assumed in ("false", "(not true)", "(= 0 1)"):
        with pytest.raises(Refused, match="not in the problem"):
            check(DECLARED + ASKED, f"((assume h {assumed}) {step('resolution', '', ':premises (h)')})")


def test_a_contradiction_within_a_part_is_none_outside() -> None:
    inner = f"(anchor :step t) (assume t.a false) {step('resolution', '', ':premises (t.a)', 't.b')}"
    for end in ("", step("subproof", ""), step("subproof", "true")):
        with pytest.raises(Refused):
            check(DECLARED + ASKED, f"({inner} {end})")
    assert taken(f"{inner} {step('subproof', '(not false)')}")
    late = f"{inner} {step('subproof', '(not false)')} {step('resolution', '', ':premises (t.b)', 'u')}"
    with pytest.raises(Refused, match=r"u: no step t\.b"):
        check(DECLARED + ASKED, f"({late})")


def test_the_last_step_is_the_empty_clause_and_stands_for_itself() -> None:
    for proof in ("", "(assume h (and b (not b)))", f"{PROOF} {step('true', 'true', name='u')}"):
        with pytest.raises(Refused, match="does not end with"):
            check(DECLARED + ASKED, f"({proof})")
    with pytest.raises(Refused, match="another step has"):
        check(DECLARED + ASKED, f"({PROOF} {step('true', 'true')})")


CONGRUENT = "(or (not (= x y)) (= (mod x 7) (mod y 7)))"
ABSORBED = "(or (not (= z (mod y 7))) (= (mod (- x z) 7) (mod (- x y) 7)))"


@pytest.mark.parametrize("said", [CONGRUENT, ABSORBED, CONGRUENT.replace("(mod x 7) (mod y 7)", "(g x z) (g y z)")])
def test_what_is_true_anyway_may_be_assumed(said: str) -> None:
    assert taken(f"(assume h {said})")


@pytest.mark.parametrize(
    ("said", "old", "new"),
    [
        (CONGRUENT, "(not (= x y))", "(= x y)"),
        (CONGRUENT, "(mod y 7)", "(mod z 7)"),
        (CONGRUENT, "(mod y 7)", "(mod y 8)"),
        (CONGRUENT, "(mod y 7)", "(div y 7)"),
        (CONGRUENT, "(= x y)", "(<= x y)"),
        (CONGRUENT, "(= (mod x 7) (mod y 7))", "(= (f (mod x 7)) (f (mod z 7)))"),
        (CONGRUENT, "(or (not", "(and (not"),
        (ABSORBED, "(- x y)", "(+ x y)"),
        (ABSORBED, "(- x z) 7", "(- x z) 14"),
        (ABSORBED, "(- x y) 7", "(- x y) 14"),
        (ABSORBED, "7", "0"),
        (ABSORBED, "7", "x"),
        (ABSORBED, "(mod (- x z) 7) (mod (- x y) 7)", "(div (- x z) 7) (div (- x y) 7)"),
        (ABSORBED, "(- x z)", "(- x (* 2 z))"),
        (ABSORBED, "(not (= z", "(not (distinct z"),
        ("(forall ((u Int)) (or (not (= u y)) (= (f u) (f y))))", "", ""),
    ],
)
def test_what_is_not_true_anyway_is_not_assumed(said: str, old: str, new: str) -> None:
    assert old in said
    assert not taken(f"(assume h {said.replace(old, new)})")


# Texts that are no proof.


@pytest.mark.parametrize(
    "proof",
    [
        "", "(", ")", "(()", "((assume))", "((assume h))", "((step t (cl) :rule))", "((step t))", "((step t (cl)))",
        "((step t (cl) :rule resolution :premises (nothing)))", "((step t (cl) :rule hole))", "((anchor))",
        "((anchor :step))", "((anchor :step t :args ((x Int))))", "((step t (cl (= x b)) :rule refl))",
        "((step t (cl (f x x)) :rule refl))", "((step t (cl x) :rule true))",
        "((step t (cl (let ((q b)) q)) :rule true))",
        "((step t (cl (! b :named)) :rule true))", "((define-fun q () Bool b))", '("a")',
        "((step t (cl |b) :rule true))",
        "((step t (cl (= x y)) :rule symm))", "((step t (cl (= x y)) :rule rare_rewrite))",
        "((step t (cl (= x y)) :rule la_generic :args (1 (/ 1 0))))", "((step t (cl) :rule subproof))",
        "((step t (cl (! (! b :named q) :named x)) :rule true))", f"({'(' * 20000}{')' * 20000})",
    ],
)  # fmt: skip
def test_a_text_that_is_no_proof_is_refused(proof: str) -> None:
    with pytest.raises(Refused):
        check(DECLARED + ASKED, proof)
