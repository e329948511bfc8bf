"""Z3 expressions written as Python over a state of plain numbers, so that what a solver is told can be worked out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import z3

__all__ = ["Source"]

OPERATORS = {
    z3.Z3_OP_TRUE: "True", z3.Z3_OP_FALSE: "False", z3.Z3_OP_NOT: "(not {0})", z3.Z3_OP_IMPLIES: "(not {0} or {1})",
    z3.Z3_OP_ITE: "({1} if {0} else {2})", z3.Z3_OP_EQ: "({0} == {1})", z3.Z3_OP_LE: "({0} <= {1})",
    z3.Z3_OP_LT: "({0} < {1})", z3.Z3_OP_GE: "({0} >= {1})", z3.Z3_OP_GT: "({0} > {1})", z3.Z3_OP_MOD: "({0} % {1})",
    z3.Z3_OP_UMINUS: "(-{0})", z3.Z3_OP_SELECT: "{0}({1})",
    z3.Z3_OP_STORE: "(lambda x, a=({0}), i=({1}), v=({2}): v if x == i else a(x))",
}  # fmt: skip
MANY = {z3.Z3_OP_AND: " and ", z3.Z3_OP_OR: " or ", z3.Z3_OP_ADD: " + ", z3.Z3_OP_SUB: " - ", z3.Z3_OP_MUL: " * "}
EMPTY = {z3.Z3_OP_AND: "True", z3.Z3_OP_OR: "False"}


class Source:
    """Writes Z3 expressions as Python over `e`, a state."""

    def __init__(self) -> None:
        """Start with no constants seen: `names` collects them."""
        self.names = set[str]()
        self._bound = 0

    def text(self, expr: Any, around: tuple[str, ...]) -> str:
        """Write an expression; `around` are the bound variables, the innermost last."""
        if z3.is_var(expr):
            return around[-1 - int(z3.get_var_index(expr))]
        if z3.is_quantifier(expr):
            return self._quantifier(expr, around)
        if z3.is_int_value(expr):
            return f"({expr.as_long()})"
        kind, parts = expr.decl().kind(), [self.text(a, around) for a in expr.children()]
        if kind == z3.Z3_OP_UNINTERPRETED:
            name = str(expr.decl().name())
            if not parts:
                self.names.add(name)
            return f"e[{name!r}]" + (f"({', '.join(parts)})" if parts else "")
        if kind in MANY:
            return f"({MANY[kind].join(parts)})" if parts else EMPTY[kind]
        return OPERATORS[kind].format(*parts)

    def _quantifier(self, expr: Any, around: tuple[str, ...]) -> str:
        new = tuple(f"x{self._bound + n}" for n in range(expr.num_vars()))
        self._bound += expr.num_vars()
        body = self.text(expr.body(), (*around, *new))
        if expr.is_lambda():
            return f"(lambda {new[0]}: {body})"
        loops = []
        for n, name in enumerate(new):
            low, high = self._range(expr, n, (*around, *new[:n]), expr.num_vars() - n)
            loops.append(f"for {name} in " + (f"range({low}, {high})" if low and high else "e['near']"))
        return f"{'all' if expr.is_forall() else 'any'}({body} {' '.join(loops)})"

    def _range(self, expr: Any, number: int, around: tuple[str, ...], inner: int) -> tuple[str, str]:
        """Give between which numbers a variable must lie for the body to say anything; nothing where it need not."""
        body, low, high = expr.body(), "", ""
        if expr.is_forall():
            body = body.arg(0) if z3.is_implies(body) or z3.is_not(body) else z3.BoolVal(True)
        me = expr.num_vars() - 1 - number
        for said in _conditions(body):
            if said.num_args() != 2:
                continue
            (one, other), kind = said.children(), said.decl().kind()
            if kind in (z3.Z3_OP_GE, z3.Z3_OP_GT):
                one, other, kind = other, one, {z3.Z3_OP_GE: z3.Z3_OP_LE, z3.Z3_OP_GT: z3.Z3_OP_LT}[kind]
            if kind == z3.Z3_OP_LE and _is_bound(other, me) and _outer(one, inner):
                low = low or self.text(one, (*around, *["_"] * inner))
            if kind == z3.Z3_OP_LT and _is_bound(one, me) and _outer(other, inner):
                high = high or self.text(other, (*around, *["_"] * inner))
        return low, high


def _conditions(expr: Any) -> Iterator[Any]:
    if z3.is_and(expr):
        for part in expr.children():
            yield from _conditions(part)
    elif z3.is_app(expr):
        yield expr


def _is_bound(expr: Any, number: int) -> bool:
    return bool(z3.is_var(expr)) and int(z3.get_var_index(expr)) == number


def _outer(expr: Any, inner: int) -> bool:
    """Whether an expression speaks of no variable that is bound by this loop or one within it."""
    if z3.is_var(expr):
        return int(z3.get_var_index(expr)) >= inner
    return not z3.is_quantifier(expr) and all(_outer(part, inner) for part in expr.children())
