"""Terms of SMT-LIB: booleans, integers, arrays of integers, functions without a meaning, quantifiers and `choice`.

Two terms are the same if, and only if, they are one object (`Terms.make` gives the one that is there already), so
comparing them costs nothing. Each is well sorted from the moment it is made, and knows its free variables. A name means
one thing in all of a proof: what the problem declares it to be, or a variable of one sort.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import TypeAlias

__all__ = ["ARRAY", "BOOL", "INT", "QUANTIFIERS", "REAL", "Number", "Refused", "Signature", "Term", "Terms"]

BOOL, INT, REAL, ARRAY = "Bool", "Int", "Real", "(Array Int Int)"
QUANTIFIERS = ("forall", "exists", "choice")

Number: TypeAlias = int | Fraction
Signature: TypeAlias = tuple[tuple[str, ...], str]
"""The sorts of a function's arguments, and the sort of its value."""

SIGNATURES: Mapping[str, Signature] = {
    "true": ((), BOOL),
    "false": ((), BOOL),
    "not": ((BOOL,), BOOL),
    "=>": ((BOOL, BOOL), BOOL),
    "mod": ((INT, INT), INT),
    "div": ((INT, INT), INT),
    "to_real": ((INT,), REAL),
    "to_int": ((REAL,), INT),
    "select": ((ARRAY, INT), INT),
    "store": ((ARRAY, INT, INT), ARRAY),
}
ARITHMETIC, CONNECTIVES, ORDERS = ("+", "*", "-"), ("and", "or"), ("<", "<=", ">", ">=")
"""Any number of arguments (of ``-``, two; of an order, two); an integer among reals stands for the same real number."""
RESERVED = {*SIGNATURES, *ARITHMETIC, *CONNECTIVES, *ORDERS, *QUANTIFIERS, "=", "distinct", "ite", "let", "!"}
NUMBER = re.compile(r"-?[0-9]+(/[0-9]+)?")
"""What is read as a numeral is no name, in bars or not."""


class Refused(Exception):  # noqa: N818 - an answer, not a mistake of ours
    """A problem or a proof is not accepted; the text says what is wrong, and where."""


class Term:
    """A term: its operator, name or numeral, its arguments, its sort, its free variables; of a numeral, its number.

    The arguments of a quantifier are its variables, then its body. A variable is free in itself.
    """

    __slots__ = ("args", "free", "number", "op", "sort")

    def __init__(self, op: str, args: tuple[Term, ...], sort: str, number: Number | None) -> None:
        """Take the parts as they are; only `Terms` makes terms."""
        self.op, self.args, self.sort, self.number = op, args, sort, number
        self.free: frozenset[Term] = frozenset().union(*(a.free for a in args)) if args else NONE
        if op in QUANTIFIERS:
            self.free -= frozenset(args[:-1])

    def __str__(self) -> str:
        """Write it as SMT-LIB does."""
        if self.op in QUANTIFIERS:
            bound = " ".join(f"({v} {v.sort})" for v in self.args[:-1])
            return f"({self.op} ({bound}) {self.args[-1]})"
        return f"({self.op} {' '.join(map(str, self.args))})" if self.args else self.op


NONE: frozenset[Term] = frozenset()


class Terms:
    """All the terms of one proof, and what its names mean."""

    def __init__(self) -> None:
        """Begin with no terms and no names."""
        self.declared: dict[str, Signature] = {}
        self.variables: dict[str, Term] = {}
        self._made: dict[tuple[str, tuple[Term, ...]], Term] = {}

    def declare(self, name: str, signature: Signature) -> None:
        """Say what a symbol is; refused if it is something already."""
        if name in RESERVED or name in self.declared or name in self.variables or NUMBER.fullmatch(name):
            raise Refused(f"{name} is declared, and is something already")
        self.declared[name] = signature

    def variable(self, name: str, sort: str) -> Term:
        """Give a variable; refused if the name means something else."""
        found = self.variables.get(name)
        if found is None:
            if name in RESERVED or name in self.declared or NUMBER.fullmatch(name):
                raise Refused(f"{name} is bound, and is something already")
            found = self.variables[name] = self._made[name, ()] = Term(name, (), sort, None)
            found.free = frozenset((found,))
        if found.sort != sort:
            raise Refused(f"{name} is a variable of two sorts")
        return found

    def number(self, number: Number, sort: str = INT) -> Term:
        """Give a numeral, which may be negative; of a real number, with its denominator."""
        op = str(number) if sort == INT else f"{number.numerator}/{number.denominator}"
        return self._made.get((op, ())) or self._make(op, (), sort, number)

    def make(self, op: str, *args: Term) -> Term:
        """Give a term; refused if its arguments do not have the sorts that they should."""
        return self._made.get((op, args)) or self._make(op, args, self._sort(op, args), None)

    def _make(self, op: str, args: tuple[Term, ...], sort: str, number: Number | None) -> Term:
        made = self._made[op, args] = Term(op, args, sort, number)
        return made

    def _sort(self, op: str, args: tuple[Term, ...]) -> str:
        """Give the sort of a term that is well sorted; refuse any other."""
        sorts = [a.sort for a in args]
        kinds, sort = set(sorts), BOOL
        wanted = SIGNATURES.get(op) or self.declared.get(op)
        if wanted is not None:
            good, sort = tuple(sorts) == wanted[0], wanted[1]
        elif op in CONNECTIVES:
            good = kinds == {BOOL}
        elif op in ARITHMETIC:
            good, sort = _numbers(kinds) and (op != "-" or len(args) == 2), REAL if REAL in kinds else INT
        elif op in ORDERS:
            good = _numbers(kinds) and len(args) == 2
        elif op in {"=", "distinct"}:
            good = (len(kinds) == 1 or _numbers(kinds)) and len(args) == 2
        elif op == "ite":
            good, sort = len(args) == 3 and sorts[0] == BOOL and sorts[1] == sorts[2], sorts[-1] if sorts else BOOL
        elif op in QUANTIFIERS:
            good, sort = _binds(op, args), sorts[0] if op == "choice" else BOOL
        else:
            raise Refused(f"unknown symbol {op}")
        if not good:
            raise Refused(f"ill sorted: {op} of {', '.join(sorts) or 'nothing'}")
        return sort

    def substitute(self, term: Term, values: Mapping[Term, Term]) -> Term:
        """Put terms in the place of free variables; refused where a quantifier would capture a variable of theirs."""
        return self._substitute(term, values, {})

    def _substitute(self, term: Term, values: Mapping[Term, Term], done: dict[Term, Term]) -> Term:
        if term.free.isdisjoint(values):
            return term
        if term in term.free:
            return values[term]
        found = done.get(term)
        if found is None:
            if term.op in QUANTIFIERS:
                *bound, body = term.args
                inner = {x: value for x, value in values.items() if x in body.free and x not in bound}
                if any(not value.free.isdisjoint(bound) for value in inner.values()):
                    raise Refused(f"a variable would be captured in {term}")
                found = self.make(term.op, *bound, self._substitute(body, inner, {}))
            else:
                found = self.make(term.op, *(self._substitute(a, values, done) for a in term.args))
            done[term] = found
        return found


def _numbers(kinds: set[str]) -> bool:
    return bool(kinds) and kinds <= {INT, REAL}


def _binds(op: str, args: tuple[Term, ...]) -> bool:
    """Whether arguments are variables, each once (of `choice` one), and then a formula."""
    *variables, body = args
    once = len(set(variables)) == len(variables) > 0 and all(v in v.free for v in variables)
    return once and body.sort == BOOL and (op != "choice" or len(variables) == 1)
