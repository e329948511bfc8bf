"""What the solver is asked, as SMT-LIB 2: the very Z3 expressions, written out so that any other solver can be asked.

Bytes are the same in each run: constants that stand for one thing in one question (``greatest!17``) are numbered by
where they come first in the question, bound variables by where they come first in their sentence.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import z3

__all__ = ["Writer", "script"]

OPERATORS = {
    z3.Z3_OP_TRUE: "true",
    z3.Z3_OP_FALSE: "false",
    z3.Z3_OP_AND: "and",
    z3.Z3_OP_OR: "or",
    z3.Z3_OP_NOT: "not",
    z3.Z3_OP_IMPLIES: "=>",
    z3.Z3_OP_ITE: "ite",
    z3.Z3_OP_EQ: "=",
    z3.Z3_OP_LE: "<=",
    z3.Z3_OP_LT: "<",
    z3.Z3_OP_GE: ">=",
    z3.Z3_OP_GT: ">",
    z3.Z3_OP_ADD: "+",
    z3.Z3_OP_SUB: "-",
    z3.Z3_OP_UMINUS: "-",
    z3.Z3_OP_MUL: "*",
    z3.Z3_OP_MOD: "mod",
    z3.Z3_OP_DISTINCT: "distinct",
    z3.Z3_OP_SELECT: "select",
    z3.Z3_OP_STORE: "store",
}
NEUTRAL = {"and": "true", "or": "false"}
PLAIN = re.compile(r"[A-Za-z~!@$%^&*_+=<>.?/-][0-9A-Za-z~!@$%^&*_+=<>.?/-]*")
NUMBERED, BOUND = re.compile(r"!\d+$"), re.compile(r"[!?]\d+$")
PART = re.compile(r'"[^"]*"|\|[^|]*\||[^\s()|"]+|[\s()]+')


def _symbol(name: str) -> str:
    return name if PLAIN.fullmatch(name) else f"|{name}|"


class Writer:
    """Writes sentences; keeps what it wrote, so that one that comes again costs nothing."""

    def __init__(self) -> None:
        """Begin with nothing written."""
        self._said: dict[int, tuple[Any, str, dict[str, Any]]] = {}

    def sentence(self, expr: Any) -> tuple[str, dict[str, Any]]:
        """Give a sentence's text, and the constants and functions that it speaks of, by name."""
        kept = self._said.get(expr.get_id())
        if kept is None:
            spoken: dict[str, Any] = {}
            kept = expr, _Sentence(spoken).text(expr, ()), spoken
            self._said[expr.get_id()] = kept
        return kept[1], kept[2]


class _Sentence:
    def __init__(self, spoken: dict[str, Any]) -> None:
        self.spoken = spoken
        self.bound = 0

    def text(self, expr: Any, around: tuple[str, ...]) -> str:
        if z3.is_var(expr):
            return around[-1 - int(z3.get_var_index(expr))]
        if z3.is_quantifier(expr):
            return self._quantifier(expr, around)
        if z3.is_int_value(expr):
            value = expr.as_long()
            return str(value) if value >= 0 else f"(- {-value})"
        args = [self.text(a, around) for a in expr.children()]
        head = self._head(expr.decl())
        if head in NEUTRAL and len(args) < 2:
            return args[0] if args else NEUTRAL[head]
        return f"({head} {' '.join(args)})" if args else head

    def _head(self, decl: Any) -> str:
        if decl.kind() != z3.Z3_OP_UNINTERPRETED:
            return OPERATORS[decl.kind()]
        name = str(decl.name())
        assert "?" not in name, "bound variables alone have this sign"
        assert self.spoken.setdefault(name, decl).eq(decl), f"{name} is two things"
        return _symbol(name)

    def _quantifier(self, expr: Any, around: tuple[str, ...]) -> str:
        names = []
        for n in range(expr.num_vars()):
            self.bound += 1
            assert expr.var_sort(n) == z3.IntSort()
            names.append(_symbol(f"{BOUND.sub('', expr.var_name(n))}?{self.bound}"))
        inner = (*around, *names)
        body = self.text(expr.body(), inner)
        patterns = [
            " ".join(self.text(t, inner) for t in expr.pattern(n).children()) for n in range(expr.num_patterns())
        ]
        if patterns:
            body = f"(! {body} {' '.join(f':pattern ({p})' for p in patterns)})"
        bound = " ".join(f"({name} Int)" for name in names)
        return f"({'forall' if expr.is_forall() else 'exists'} ({bound}) {body})"


def _declared(name: str, decl: Any) -> str:
    arguments = " ".join(_sort(decl.domain(n)) for n in range(decl.arity()))
    return f"(declare-fun {name} ({arguments}) {_sort(decl.range())})"


def _sort(sort: Any) -> str:
    return "(Array Int Int)" if sort.kind() == z3.Z3_ARRAY_SORT else "Int"


def script(writer: Writer, sentences: Iterable[Any]) -> str:
    """Write one question: what is known and the negated goal, asked whether they can all be true."""
    asserted: list[str] = []
    spoken: dict[str, Any] = {}
    for sentence in sentences:
        text, names = writer.sentence(sentence)
        asserted.append(text)
        for name, decl in names.items():
            assert spoken.setdefault(name, decl).eq(decl), f"{name} is two things"
    numbered = [name for name in spoken if NUMBERED.search(name)]
    new = {_symbol(n): _symbol(f"{NUMBERED.sub('', n)}!{k}") for k, n in enumerate(numbered, start=1)}
    declared = [_declared(new.get(s := _symbol(name), s), decl) for name, decl in spoken.items()]
    lines = [f"(assert {_renamed(text, new)})" for text in dict.fromkeys(asserted)]
    return "\n".join(["(set-logic ALL)", *declared, *lines, "(check-sat)", ""])


def _renamed(text: str, names: Mapping[str, str]) -> str:
    return "".join(names.get(part, part) for part in PART.findall(text)) if names else text
