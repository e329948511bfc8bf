"""Reading: text as nested lists, a list as a term; an SMT-LIB problem as the sentences that it asserts.

What is read is the part of SMT-LIB 2 that the exported goals and their proofs are written in; anything else is refused.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import TypeAlias

from proofs.certificates.terms import ARRAY, BOOL, INT, QUANTIFIERS, REAL, Refused, Term, Terms

__all__ = ["Problem", "Reader", "Sexp", "name", "pairs", "parse", "problem"]

Sexp: TypeAlias = "str | list[Sexp]"
"""A symbol, numeral, string or keyword as it stands in the text (without the bars of a quoted symbol), or a list."""

TOKEN = re.compile(r"""\s+ | ;[^\n]* | ([()] | \|[^|\\]*\| | "(?:[^"]|"")*" | [^\s()|";]+) | (.)""", re.VERBOSE)
NUMERAL = re.compile(r"-?[0-9]+")
RATIONAL = re.compile(r"-?[0-9]+/[1-9][0-9]*")


def parse(text: str) -> list[Sexp]:
    """Read all expressions of a text."""
    open_lists: list[list[Sexp]] = []
    here: list[Sexp] = []
    for word, wrong in TOKEN.findall(text):
        if wrong:
            raise Refused(f"a {wrong!r} that nothing ends")
        if word == "(":
            open_lists.append(here)
            here = []
        elif word == ")":
            if not open_lists:
                raise Refused("a closing bracket too many")
            open_lists[-1].append(here)
            here = open_lists.pop()
        elif word:
            here.append(word[1:-1] if word[0] == "|" else word)
    if open_lists:
        raise Refused("a closing bracket is missing")
    return here


def name(sexp: Sexp) -> str:
    """Give a symbol, where one has to stand."""
    if not isinstance(sexp, str):
        raise Refused("a name is missing")
    return sexp


def pairs(sexp: Sexp) -> list[list[Sexp]]:
    """Give a list of lists, where one has to stand."""
    if isinstance(sexp, str) or not all(isinstance(each, list) and each for each in sexp):
        raise Refused(f"a list is missing at {sexp}")
    return [each for each in sexp if isinstance(each, list)]


def sort(sexp: Sexp) -> str:
    """Read a sort."""
    if sexp == ["Array", "Int", "Int"]:
        return ARRAY
    if sexp not in {BOOL, INT} if isinstance(sexp, str) else True:
        raise Refused(f"unknown sort {sexp}")
    return str(sexp)


class Reader:
    """Reads terms; knows the names that the text has given to some of them."""

    def __init__(self, terms: Terms) -> None:
        """Read terms into `terms`."""
        self.terms = terms
        self.named: dict[str, Term] = {}

    def term(self, sexp: Sexp) -> Term:
        """Read a term."""
        if isinstance(sexp, str):
            return self.named.get(sexp) or self._atom(sexp)
        if not sexp:
            raise Refused("an empty list is no term")
        head = sexp[0]
        if head == "!":
            return self._annotated(sexp)
        if isinstance(head, str) and head in QUANTIFIERS and len(sexp) == 3:
            variables = [self.variable(each) for each in pairs(sexp[1])]
            return self.terms.make(head, *variables, self.term(sexp[2]))
        args = [self.term(each) for each in sexp[1:]]
        if not args:
            raise Refused(f"{head} of nothing")
        if head == "-" and len(args) == 1:
            return self._minus(args[0])
        return self.terms.make(name(head), *args)

    def _minus(self, term: Term) -> Term:
        """Read ``(- 5)`` as the numeral that it is, and ``(- x)`` as 0 - x."""
        if term.number is not None:
            return self.terms.number(-term.number, term.sort)
        return self.terms.make("-", self.terms.number(0), term)

    def _atom(self, symbol: str) -> Term:
        if NUMERAL.fullmatch(symbol):
            return self.terms.number(int(symbol))
        if RATIONAL.fullmatch(symbol):
            return self.terms.number(Fraction(symbol), REAL)
        return self.terms.make(symbol)

    def _annotated(self, sexp: list[Sexp]) -> Term:
        """Read ``(! term :named name)``, and leave out the patterns, which say something to solvers alone."""
        if len(sexp) < 4 or len(sexp) % 2:
            raise Refused(f"an annotation that is none: {sexp[2:]}")
        term = self.term(sexp[1])
        for keyword, value in zip(sexp[2::2], sexp[3::2], strict=True):
            if keyword == ":pattern":
                for each in value:
                    self.term(each)
            elif keyword == ":named":
                new = name(value)
                if self.named.get(new, term) is not term or new in self.terms.declared or new in self.terms.variables:
                    raise Refused(f"{new} is the name of two things")
                self.named[new] = term
            else:
                raise Refused(f"unknown annotation {keyword}")
        return term

    def note(self, sexp: Sexp) -> None:
        """Take in the names that are given somewhere in what is no term itself."""
        if isinstance(sexp, list) and sexp[:1] == ["!"]:
            self.term(sexp)
        elif isinstance(sexp, list):
            for each in sexp:
                self.note(each)

    def variable(self, sexp: list[Sexp]) -> Term:
        """Read ``(x Int)``."""
        if len(sexp) != 2:
            raise Refused(f"no variable: {sexp}")
        if sexp[0] in self.named:
            raise Refused(f"{sexp[0]} is the name of two things")
        return self.terms.variable(name(sexp[0]), sort(sexp[1]))


class Problem:
    """What is asked: whether some sentences can all be true. Their terms, and what the names in them mean."""

    def __init__(self) -> None:
        """Begin with no sentences."""
        self.terms = Terms()
        self.sentences: list[Term] = []


def problem(text: str) -> Problem:
    """Read an SMT-LIB problem: declarations, then sentences that are asserted."""
    read = Problem()
    reader = Reader(read.terms)
    for command in pairs(list(parse(text))):
        head, rest = command[0], command[1:]
        if head == "declare-fun" and len(rest) == 3 and isinstance(rest[1], list):
            read.terms.declare(name(rest[0]), (tuple(map(sort, rest[1])), sort(rest[2])))
        elif head == "assert" and len(rest) == 1:
            sentence = reader.term(rest[0])
            if sentence.sort != BOOL or sentence.free:
                raise Refused(f"no sentence: {sentence}")
            read.sentences.append(sentence)
        elif head not in {"set-logic", "set-info", "check-sat"}:
            raise Refused(f"unknown command {head}")
    return read
