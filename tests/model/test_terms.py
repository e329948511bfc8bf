"""Terms: they have no truth value, and are shown as a reader would write them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from model.terms import (
    ModelError,
    Term,
    all_of,
    any_of,
    as_term,
    cell,
    choice,
    constant,
    count,
    element,
    exists,
    follow,
    forall,
    greatest,
    ite,
    lap,
    met,
    negate,
    parameter,
    place,
    show,
    slot,
    substitute,
    total,
    variable,
    walk,
    wrap,
)

A, B, C = variable("a"), variable("b"), variable("c")


@pytest.mark.parametrize("term", [A, A == B, A < 1, all_of(), negate(A == 1), constant(0)])
def test_a_truth_value_raises(term: Term) -> None:
    """Whatever a term says, asking for its truth raises, and the message shows the term."""
    with pytest.raises(ModelError, match=r"a term has no truth value: .*write a guard") as caught:
        bool(term)
    assert show(term) in str(caught.value)


def test_python_branches_raise() -> None:
    """Each of Python's ways to branch on a term raises: `if`, `and`, `not`, `in`, a chained comparison."""
    with pytest.raises(ModelError):
        _ = 1 if A == B else 2
    with pytest.raises(ModelError):
        _ = A == 1 and B == 2
    with pytest.raises(ModelError):
        _ = not A
    with pytest.raises(ModelError):
        _ = A in [B, C]
    with pytest.raises(ModelError):
        _ = 0 < A < 3


def test_only_numbers_labels_and_terms_are_terms() -> None:
    """Anything else in an expression is a mistake in a step."""
    assert as_term(A) is A
    assert as_term(3).args == (3,)
    assert as_term("idle").args == ("idle",)
    with pytest.raises(ModelError, match=r"not a number, a label or a term: 1\.5"):
        as_term(1.5)
    with pytest.raises(ModelError, match="not a number, a label or a term: None"):
        _ = A == None  # noqa: E711


@pytest.mark.parametrize(
    ("term", "text"),
    [
        (A, "a"),
        (constant("idle"), "'idle'"),
        (parameter("size"), "size"),
        (A + 1 == B, "(a + 1 == b)"),
        (A - (B - C), "(a - (b - c))"),
        (A - B - C, "(a - b - c)"),
        (A > B, "(b < a)"),
        (A >= B, "(b <= a)"),
        (A != B, "(a != b)"),
        (negate(A < B), "(not a < b)"),
        (all_of(A == 1, any_of(B == 2, C == 3)), "(a == 1 and (b == 2 or c == 3))"),
        (any_of(all_of(A == 1, B == 2), C == 3), "(a == 1 and b == 2 or c == 3)"),
        (negate(all_of(A == 1, B == 2)), "(not (a == 1 and b == 2))"),
        (all_of(), "true"),
        (any_of(), "false"),
        (all_of(any_of(A == 1, B == 2)), "(a == 1 or b == 2)"),
        ((A == 1) == (B == 2), "((a == 1) == (b == 2))"),
        (element("avail.ring", slot(A)), "avail.ring[slot(a)]"),
        (element("region.desc[].next", A + 1), "region.desc[a + 1].next"),
        (wrap(A - B, 16), "u16(a - b)"),
        (place(A), "place(a)"),
        (cell(A + 1), "cell(a + 1)"),
        (lap(A) == B, "(lap(a) == b)"),
        (ite(A == 1, B, C) + 1, "((b if a == 1 else c) + 1)"),
        (choice(), "choice"),
        (forall(3, lambda x: x < A), "(for all x < 3: x < a)"),
        (forall(B, lambda x: x < A, low=A), "(for all a <= x < b: x < a)"),
        (exists(3, lambda x: exists(x, lambda y: x == y)), "(for some x < 3: (for some y < x: x == y))"),
        (count(3, lambda x: x < A), "(the number of x < 3 with x < a)"),
        (greatest(3, lambda x: x < A, lambda x: x + 1, 0), "(the greatest x + 1 of x < 3 with x < a, or else 0)"),
        (total(B, lambda x: x < A, lambda x: x + C), "(the sum of x + c over x < b with x < a)"),
        (
            follow(A, B, lambda x: x < C, lambda x: element("desc[].next", x)),
            "(the end of the walk from x = a on to desc[x].next while x < c (at most b times))",
        ),
        (
            met(A, 3, lambda x: x < B, lambda x: x + 1, lambda x: x == C),
            "(the walk from x = a on to x + 1 while x < b (at most 3 times) meets x == c)",
        ),
        (forall(3, lambda x: exists(x, lambda y: y == x, lambda y: y)), "(for all x < 3: (for some y < x: y == x))"),
    ],
)
def test_show(term: Term, text: str) -> None:
    """Parentheses stand where a reader needs them, and around the whole of what has an operator."""
    assert text == show(term)


def walks(start: Term, limit: int) -> list[Term]:
    """Make walks that differ in where they go on, in what follows, in what is asked of them."""

    def go(x: Term) -> Term:
        return x < B

    return [
        follow(start, limit, go, lambda x: x + 1),
        follow(start, limit, go, lambda x: x + 2),
        follow(start, limit, lambda x: x < C, lambda x: x + 1),
        met(start, limit, go, lambda x: x + 1, lambda x: x == C),
        met(start, limit, go, lambda x: x + 1, lambda x: x == B),
    ]


def test_what_differs_is_shown_differently() -> None:
    """Proofs share work by what `show` says, so it keeps apart what means different things."""
    different = [
        A - (B - C),
        A - B - C,
        forall(3, lambda x: x < A),
        forall(3, lambda x: x < A, low=1),
        forall(4, lambda x: x < A),
        exists(3, lambda x: x < A),
        count(3, lambda x: x < A),
        count(4, lambda x: x < A),
        wrap(A, 16),
        wrap(A, 8),
        slot(A),
        place(A),
        cell(A),
        lap(A),
        total(3, lambda x: x < A, lambda x: x),
        total(3, lambda x: x < A, lambda _: A),
        total(3, lambda x: x < B, lambda x: x),
        greatest(3, lambda x: x < A, lambda x: x, 0),
        *walks(A, 3),
        *walks(B, 3),
        *walks(A, 4),
        variable("idle"),
        constant("idle"),
        any_of(A == 1, all_of(B == 2, C == 3)),
        all_of(any_of(A == 1, B == 2), C == 3),
    ]
    assert len(different) == len({show(term) for term in different})


def names(term: Term) -> set[str]:
    """Name the variables that a term reads."""
    return {str(node.args[0]) for node in walk(term) if node.op == "var"}


@pytest.mark.parametrize("quantifier", [forall, exists])
def test_walk_yields_every_node_but_hints(quantifier: Callable[..., Term]) -> None:
    """The hints of a quantifier mean nothing: what reads a term does not see them."""
    assert names(quantifier(A, lambda x: x < B, lambda _: C)) == {"a", "b"}
    assert names(quantifier(A, lambda x: x < B, low=C)) == {"a", "b", "c"}


def test_walk_yields_every_part_of_sums_and_of_walks() -> None:
    """Condition and value of a sum; start, limit, what goes on, what follows and what is asked of a walk."""
    d, e = variable("d"), variable("e")
    assert names(total(A, lambda x: x < B, lambda _: C)) == {"a", "b", "c"}
    assert names(follow(A, B, lambda x: x < C, lambda _: d)) == {"a", "b", "c", "d"}
    assert names(met(A, B, lambda x: x < C, lambda _: d, lambda x: x == e)) == {"a", "b", "c", "d", "e"}
    assert names(cell(A) + lap(B)) == {"a", "b"}


def test_substitute_reaches_every_node() -> None:
    """A node is exchanged wherever it stands, in hints too; the rest stays."""

    def c_for_b(node: Term) -> Term | None:
        return C if node.op == "var" and node.args[0] == "b" else None

    assert show(substitute(A + B < B, c_for_b)) == "(a + c < c)"
    for quantifier in (forall, exists):
        hinted = substitute(quantifier(A, lambda x: x < B, lambda _: B), c_for_b)
        assert hinted.args[4] == (C,)


def test_substitute_reaches_into_sums_and_walks() -> None:
    """Every part is rebuilt, and the bound variable stays the one that it was."""

    def c_for_b(node: Term) -> Term | None:
        return C if node.op == "var" and node.args[0] == "b" else None

    pairs = [
        (total(B, lambda x: x < B, lambda x: x + B), total(C, lambda x: x < C, lambda x: x + C)),
        (follow(B, B, lambda x: x < B, lambda _: B), follow(C, C, lambda x: x < C, lambda _: C)),
        (
            met(B, B, lambda x: x < B, lambda x: x + B, lambda x: x == B),
            met(C, C, lambda x: x < C, lambda x: x + C, lambda x: x == C),
        ),
        (cell(lap(B)), cell(lap(C))),
    ]
    for before, after in pairs:
        assert show(substitute(before, c_for_b)) == show(after)
        assert show(substitute(before, lambda _: None)) == show(before)
