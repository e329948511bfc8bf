"""Propositional reasoning: whether a clause follows from others, whatever its atoms mean.

All rules that are about connectives alone are checked by this one procedure. It assumes that the premises are true and
each literal of the conclusion false, and draws the consequences that a connective has when it, or its arguments, are
known; two values for one term are a contradiction, and so the clause follows. Where that is not enough, it looks at
both values of a side of an equivalence, or of a condition. It may miss that a clause follows; it never says so of one
that does not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from proofs.certificates.terms import BOOL, Term

__all__ = ["Clause", "follows"]

Clause = tuple[Term, ...]
"""Literals of which at least one is true."""

Literal = tuple[Term, bool]
DEPTHS = (0, 1, 2, 3, 5, 100)
"""How far below the literals it looks, in turn: few steps need more than the first connectives."""
SPLITS = 2


class _ContradictionError(Exception):
    pass


def follows(premises: Sequence[Clause], conclusion: Clause) -> bool:
    """Whether a clause follows from others by their connectives alone."""
    return any(_contradicts(premises, conclusion, depth) for depth in DEPTHS)


def _contradicts(premises: Sequence[Clause], conclusion: Clause, depth: int) -> bool:
    try:
        known = _Known(premises, conclusion, depth)
        known.settle()
    except _ContradictionError:
        return True
    return depth > 0 and known.both_ways(SPLITS)


def _literal(term: Term) -> Literal:
    positive = True
    while term.op == "not":
        term, positive = term.args[0], not positive
    return term, positive


class _Known:
    """The values of terms that are known, and the clauses and connectives that more may follow from."""

    def __init__(self, premises: Sequence[Clause], conclusion: Clause, depth: int) -> None:
        self.values: dict[Term, bool] = {}
        self.clauses = [tuple(map(_literal, clause)) for clause in premises]
        refuted = [_literal(term) for term in conclusion]
        self.connectives = list(dict.fromkeys(_within([*(lit for c in self.clauses for lit in c), *refuted], depth)))
        for term, positive in refuted:
            self.learn(term, not positive)

    def learn(self, term: Term, value: bool) -> None:
        """Note the value of a term."""
        if term.op == "not":
            term, value = _literal(term)[0], _literal(term)[1] == value
        known = (term.op == "true") if term.op in {"true", "false"} else self.values.setdefault(term, value)
        if known != value:
            raise _ContradictionError

    def value(self, literal: Literal) -> bool | None:
        term, positive = literal
        known = (term.op == "true") if term.op in {"true", "false"} else self.values.get(term)
        return known if known is None else known == positive

    def settle(self) -> None:
        """Draw consequences until there are no more."""
        before = -1
        while before != len(self.values):
            before = len(self.values)
            for clause in self.clauses:
                self._one_is_true(clause)
            for term in self.connectives:
                self._connective(term)

    def both_ways(self, splits: int) -> bool:
        """Whether both values of a side of an equivalence, or of a condition, lead to a contradiction."""
        for term in self.connectives if splits else ():
            if term.op in {"=", "ite"} and self.value(_literal(term.args[0])) is None:
                return all(self._leads_nowhere(term.args[0], value, splits - 1) for value in (True, False))
        return False

    def _leads_nowhere(self, term: Term, value: bool, splits: int) -> bool:
        kept = dict(self.values)
        try:
            self.learn(term, value)
            self.settle()
            return self.both_ways(splits)
        except _ContradictionError:
            return True
        finally:
            self.values = kept

    def _one_is_true(self, literals: Sequence[Literal]) -> None:
        """Of a clause, or of a disjunction that is true: if all but one are false, that one is true."""
        left: Literal | None = None
        for literal in literals:
            value = self.value(literal)
            if value or (value is None and left is not None and left != literal):
                return
            if value is None:
                left = literal
        if left is None:
            raise _ContradictionError
        self.learn(*left)

    def _connective(self, term: Term) -> None:
        if term.op in {"and", "or", "=>"}:
            self._disjunction(term)
        elif term.op == "=":
            self._equivalence(term, *map(_literal, term.args))
        else:
            self._choice(term, *map(_literal, term.args))

    def _disjunction(self, term: Term) -> None:
        """Treat *and* as what is false if one of its arguments is, *implies* as *or* with the first turned round."""
        of = term.op != "and"
        parts = [(t, p == of) for t, p in map(_literal, term.args)]
        if term.op == "=>":
            parts[0] = (parts[0][0], not parts[0][1])
        value = self.values.get(term)
        if value is of:
            self._one_is_true(parts)
        elif value is not None:
            for part, positive in parts:
                self.learn(part, not positive)
        elif any(self.value(part) for part in parts):
            self.learn(term, of)
        elif all(self.value(part) is False for part in parts):
            self.learn(term, not of)

    def _equivalence(self, term: Term, one: Literal, other: Literal) -> None:
        value, left, right = self.values.get(term), self.value(one), self.value(other)
        if left is not None and right is not None:
            self.learn(term, left == right)
        elif value is not None and left is not None:
            self.learn(other[0], (left == value) == other[1])
        elif value is not None and right is not None:
            self.learn(one[0], (right == value) == one[1])

    def _choice(self, term: Term, condition: Literal, then: Literal, otherwise: Literal) -> None:
        value, chosen = self.values.get(term), self.value(condition)
        if chosen is not None:
            self._equal(term, then if chosen else otherwise)
        elif value is not None:
            for branch, taken in ((then, True), (otherwise, False)):
                if self.value(branch) is (not value):
                    self.learn(condition[0], condition[1] != taken)
        elif self.value(then) is not None and self.value(then) == self.value(otherwise):
            self.learn(term, bool(self.value(then)))

    def _equal(self, term: Term, branch: Literal) -> None:
        value, there = self.values.get(term), self.value(branch)
        if there is not None:
            self.learn(term, there)
        elif value is not None:
            self.learn(branch[0], value == branch[1])


def _within(literals: Sequence[Literal], depth: int) -> Iterator[Term]:
    """Give the terms with a connective that are not deeper than that."""
    layer = dict.fromkeys(term for term, _ in literals)
    for _ in range(depth):
        found = [t for t in layer if t.op in {"and", "or", "=>", "="} or (t.op == "ite" and t.sort == BOOL)]
        found = [t for t in found if t.op != "=" or t.args[0].sort == BOOL]
        if not found:
            return
        yield from found
        layer = dict.fromkeys(_literal(part)[0] for t in found for part in t.args)
