"""The checker of certificates: each rule takes what follows and refuses what does not; a proof is of its problem.

Steps are broken in each way: a part is exchanged for another, left out, turned round, a numeral is changed, a premise
is missing. A broken step that the checker takes has to be true by chance; that is looked up in numbers.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Mapping
from math import prod
from typing import Any

import pytest

from proofs.certificates.check import check
from proofs.certificates.rules import BOOLEAN, CONNECTIVES, RELATIONAL, REMAINDERS, RULES
from proofs.certificates.syntax import Reader, Sexp, parse, problem
from proofs.certificates.terms import Refused, Term
from tests.proofs.certificate_cases import CASES, DECLARED, REWRITTEN, Case

UNFINISHED = "the proof does not end with the empty clause"
QUANTIFIED = {"forall_inst", "qnt_rm_unused", "qnt_join", "miniscope_distribute", "miniscope_ite", "miniscope_split",
              "subproof", "bind", "sko_forall", "sko_ex", "onepoint"}  # fmt: skip


def why_not(case: Case) -> str | None:
    """Say why a step is refused; None: it is taken."""
    asserted = "".join(f"(assert {premise})" for premise in case.premises)
    lines = [f"(assume h{n} {premise})" for n, premise in enumerate(case.premises)]
    premises = f" :premises ({' '.join(f'h{n}' for n in range(len(case.premises)))})" if case.premises else ""
    args = f" :args ({case.args})" if case.args else ""
    lines.append(f"(step t (cl {case.clause}) :rule {case.rule}{premises}{args})")
    with pytest.raises(Refused) as refused:
        check(f"{DECLARED}{asserted}", f"({' '.join(lines)})")
    return None if str(refused.value) == UNFINISHED else str(refused.value)


def written(sexp: Sexp) -> str:
    return sexp if isinstance(sexp, str) else f"({' '.join(map(written, sexp))})"


OTHER = {"b": "c", "c": "b", "d": "b", "x": "y", "y": "z", "z": "x", "true": "false", "false": "true",
         "and": "or", "or": "and", "+": "-", "=": "distinct",
         "0": "1", "1": "2", "2": "3", "3": "5", "7": "8", "div": "mod", "mod": "div"}  # fmt: skip


ORDERS = {"<", "<=", ">", ">="}


def broken(sexp: Sexp) -> Iterator[Sexp]:
    """Break an expression in one place, in each way."""
    if isinstance(sexp, str):
        yield from ORDERS - {sexp} if sexp in ORDERS else [OTHER[sexp]] if sexp in OTHER else []
        return
    for place, part in enumerate(sexp):
        yield from ([*sexp[:place], other, *sexp[place + 1 :]] for other in broken(part))
        yield [*sexp[:place], *sexp[place + 1 :]]
    yield [sexp[0], *reversed(sexp[1:])]
    yield ["not", sexp]
    if len(sexp) == 2:
        yield sexp[1]


def each_broken(case: Case) -> Iterator[Case]:
    """Break a step in one place, in each way."""
    for n, premise in enumerate(case.premises):
        rest = [*case.premises[:n], *case.premises[n + 1 :]]
        yield Case(case.rule, tuple(rest), case.clause, case.args)
        for other in broken(parse(premise)[0]):
            yield Case(case.rule, (*case.premises[:n], written(other), *case.premises[n + 1 :]), case.clause, case.args)
    literals = parse(case.clause)
    for n, literal in enumerate(literals):
        for others in ([], *([other] for other in broken(literal))):
            said = [*literals[:n], *others, *literals[n + 1 :]]
            yield Case(case.rule, case.premises, " ".join(map(written, said)), case.args)
    numbers = parse(case.args) if case.rule == "la_generic" else []
    for n in range(len(numbers)):
        yield Case(case.rule, case.premises, case.clause, " ".join(["7" if n == k else written(numbers[k])
                                                                    for k in range(len(numbers))]))  # fmt: skip


def value(term: Term, world: Mapping[str, Any]) -> Any:
    """Evaluate a term without quantifiers, plainly: a second writing of what the operators mean."""
    if term.number is not None:
        return term.number
    if term.op in world and not term.args:
        return world[term.op]
    args = [value(arg, world) for arg in term.args]
    if term.op in {"div", "mod"}:
        whole = next(q for q in range(-99, 100) if 0 <= args[0] - args[1] * q < abs(args[1])) if args[1] else 0
        return whole if term.op == "div" else args[0] - args[1] * whole
    if term.op == "*":
        return prod(args)
    told: dict[str, Callable[[], Any]] = {
        "true": lambda: True, "false": lambda: False,
        "not": lambda: not args[0], "and": lambda: all(args), "or": lambda: any(args),
        "=>": lambda: args[1] if args[0] else True, "=": lambda: args[0] == args[1],
        "distinct": lambda: args[0] != args[1], "ite": lambda: args[1] if args[0] else args[2],
        "+": lambda: sum(args), "-": lambda: args[0] - args[1], "<": lambda: args[0] < args[1],
        "<=": lambda: args[0] <= args[1], ">": lambda: args[0] > args[1], ">=": lambda: args[0] >= args[1],
        "select": lambda: args[0].get(args[1], 0), "store": lambda: {**args[0], args[1]: args[2]},
        "f": lambda: world["f"].get(args[0], 0), "to_real": lambda: args[0],
    }  # fmt: skip
    return told[term.op]()


def worlds() -> Iterator[dict[str, Any]]:
    """Give some meanings of the symbols: every truth value with small numbers."""
    rnd = random.Random(1)
    for b, c, d in itertools.product((False, True), repeat=3):
        for _ in range(40):
            x, y, z = (rnd.randint(-4, 4) for _ in "xyz")
            of, array = ({n: rnd.randint(-1, 1) for n in range(-9, 10)} for _ in "fa")
            yield {"b": b, "c": c, "d": d, "x": x, "y": y, "z": z, "f": of, "a": array}


WORLDS = list(worlds())


def is_true(case: Case) -> bool:
    """Whether a step's conclusion is true wherever its premises are."""
    asked = problem(DECLARED)
    reader = Reader(asked.terms)
    premises = [reader.term(parse(p)[0]) for p in case.premises]
    clause = [reader.term(literal) for literal in parse(case.clause)]
    return all(
        any(value(literal, world) for literal in clause)
        for world in WORLDS
        if all(value(premise, world) for premise in premises)
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.rule} {case.args} {case.clause}")
def test_a_step_follows_and_broken_in_any_way_it_does_not(case: Case) -> None:
    assert why_not(case) is None
    assert is_true(case)
    changed = list(dict.fromkeys(other for other in each_broken(case) if other != case))
    taken = [other for other in changed if why_not(other) is None]
    assert [other for other in taken if not is_true(other)] == []
    assert len(taken) < len(changed)


@pytest.mark.parametrize(
    ("clause", "factors"),
    [
        ("(<= x y) (< x y)", "1 -1"),
        ("(= x y) (>= x y)", "1 1"),
        ("(= x y) (>= x y)", "-1 1"),
        ("(< x y) (< y x)", "1 1"),
        ("(<= x y) (< y x)", "1"),
        ("(<= x y) (< y x)", "1 1 1"),
        ("(<= x y) (< y x)", "0 0"),
        ("(<= x y) b", "1 1"),
        ("(not (>= (* 2 x) 1)) (>= x 2)", "1/2 1"),
    ],
)
def test_what_does_not_add_up_is_refused(clause: str, factors: str) -> None:
    """Inequalities times a negative number; what is unequal; too few factors; no contradiction."""
    assert why_not(Case("la_generic", (), clause, factors)) is not None


@pytest.mark.parametrize("by", ["0", "(- 3)", "y"])
def test_only_what_is_above_0_divides_so(by: str) -> None:
    """Below 0, the bounds are the other way round; by 0 there is none."""
    (clause,) = (case.clause for case in CASES if case.rule == "div_intro")
    assert why_not(Case("div_intro", (), clause.replace("3", by))) is not None
    mod = REWRITTEN["mod-elim"].replace("3", by)
    assert (why_not(Case("rare_rewrite", (), mod, '"mod-elim"')) is None) is (by == "(- 3)")


def test_every_rule_has_a_step_here() -> None:
    assert {case.rule for case in CASES} | QUANTIFIED == set(RULES)
    assert {*BOOLEAN, *RELATIONAL, *REMAINDERS} <= set(REWRITTEN)
    assert set(CONNECTIVES) <= {case.rule for case in CASES}
    assert why_not(Case("rare_rewrite", (), "(= x y)", '"no-such-rewrite"')) is not None
    assert why_not(Case("hole", (), "false")) is not None
    assert why_not(Case("trust", (), "false")) is not None


@pytest.mark.parametrize(
    ("rule", "premise", "clause"),
    [
        ("arrays_row", "(and (= x y) b)", "(= (select (store a x z) y) (select a y))"),
        ("arrays_row_contra", "(= (= (select (store a x z) y) (select a y)) b)", "(= x y)"),
    ],
)
def test_a_premise_is_a_negation(rule: str, premise: str, clause: str) -> None:
    """What has the right operand under another connective says something else."""
    case = Case(rule, (premise,), clause)
    assert not is_true(case)
    assert why_not(case)
