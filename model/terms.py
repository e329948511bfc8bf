"""Terms: what a step reads, tests and writes, recorded as small expression trees.

Rules:

1. A term has no truth value. ``if term:`` raises `ModelError`, so that a branch can only be a guard of a step.
2. Numbers are integers without a width. A field's width is checked where it is stored; wrapping is written out with
   `wrap`.
3. A term says nothing of where it is evaluated: `model.interpret` compiles it to Python over plain numbers, the proofs
   translate it to Z3. Neither may add a meaning of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NoReturn

__all__ = [
    "ModelError",
    "Operand",
    "Term",
    "all_of",
    "any_of",
    "as_term",
    "cell",
    "choice",
    "constant",
    "count",
    "element",
    "exists",
    "follow",
    "forall",
    "greatest",
    "ite",
    "lap",
    "met",
    "negate",
    "parameter",
    "place",
    "show",
    "slot",
    "substitute",
    "total",
    "variable",
    "walk",
    "wrap",
]


class ModelError(Exception):
    """A table of steps breaks a rule of the model: raised while the table is built or run, never about a device."""


@dataclass(frozen=True, eq=False, slots=True)
class Term:
    """One node: an operator and its operands (terms, or the names and numbers that the operator is about).

    Operators and their ``args``: ``const`` (int | str), ``var`` (name), ``at`` (array name, index), ``param``
    (``size`` or ``entries``), ``choice`` (), ``bound`` (name), ``+ - == < <= and or not ite``, ``wrap`` (term, bits),
    ``slot``, ``place``, ``cell``, ``lap`` (term), ``forall``/``exists`` (bound name, low, limit, body, patterns),
    ``count`` (bound name, limit, body), ``total`` (bound name, limit, condition, value), ``greatest`` (bound name,
    limit, condition, value, otherwise), ``follow`` (bound name, start, limit, go, next), ``met`` (the same, test).
    """

    op: str
    args: tuple[Operand | tuple[Term, ...], ...] = ()

    def __bool__(self) -> NoReturn:
        """Raise `ModelError`: a term is neither true nor false until it is evaluated (rule 1)."""
        raise ModelError(f"a term has no truth value: {show(self)}; write a guard, or use all_of, any_of, negate, ite")

    def __add__(self, other: Operand) -> Term:
        """Sum, without wrapping."""
        return Term("+", (self, as_term(other)))

    def __sub__(self, other: Operand) -> Term:
        """Difference, without wrapping: it may be negative."""
        return Term("-", (self, as_term(other)))

    def __rsub__(self, other: int) -> Term:
        """Difference from a number, without wrapping."""
        return Term("-", (as_term(other), self))

    def __eq__(self, other: object) -> Term:  # type: ignore[override]
        """Equality, as a term."""
        return Term("==", (self, as_term(other)))

    def __ne__(self, other: object) -> Term:  # type: ignore[override]
        """Inequality, as a term."""
        return negate(Term("==", (self, as_term(other))))

    def __lt__(self, other: Operand) -> Term:
        """Less than."""
        return Term("<", (self, as_term(other)))

    def __le__(self, other: Operand) -> Term:
        """Less than or equal."""
        return Term("<=", (self, as_term(other)))

    def __gt__(self, other: Operand) -> Term:
        """Greater than."""
        return Term("<", (as_term(other), self))

    def __ge__(self, other: Operand) -> Term:
        """Greater than or equal."""
        return Term("<=", (as_term(other), self))

    def __hash__(self) -> int:
        """Identity: two terms are the same when they are the same object."""
        return id(self)


Operand = Term | int | str

_fresh = iter(range(1 << 62))


def as_term(value: object) -> Term:
    """Make a term of a number or a label; a term stays what it is. Raise `ModelError` on anything else."""
    if isinstance(value, Term):
        return value
    if isinstance(value, (int, str)):
        return Term("const", (value,))
    raise ModelError(f"not a number, a label or a term: {value!r}")


def constant(value: int | str) -> Term:
    """Make a number, or a label of a procedure."""
    return Term("const", (value,))


def variable(name: str) -> Term:
    """Read a scalar of the state."""
    return Term("var", (name,))


def element(name: str, index: Operand) -> Term:
    """Read an element of an array of the state."""
    return Term("at", (name, as_term(index)))


def parameter(name: str) -> Term:
    """Make a size that is fixed for a run: ``size`` (of the queue) or ``entries`` (of the region)."""
    return Term("param", (name,))


def choice() -> Term:
    """Make the choice that comes with the event: which head, which request."""
    return Term("choice")


def all_of(*terms: Operand) -> Term:
    """Conjunction; true when empty."""
    return Term("and", tuple(as_term(t) for t in terms))


def any_of(*terms: Operand) -> Term:
    """Disjunction; false when empty."""
    return Term("or", tuple(as_term(t) for t in terms))


def negate(term: Term) -> Term:
    """Negation."""
    return Term("not", (term,))


def ite(condition: Term, then: Operand, otherwise: Operand) -> Term:
    """Choose a value by a condition."""
    return Term("ite", (condition, as_term(then), as_term(otherwise)))


def wrap(value: Term, bits: int) -> Term:
    """Reduce modulo 2 to the power of `bits`, as C does with unsigned numbers."""
    return Term("wrap", (value, bits))


def slot(index: Term) -> Term:
    """Give the slot of a split ring that a 16-bit index names: the index modulo the queue's size."""
    return Term("slot", (index,))


def place(position: Term) -> Term:
    """Give the slot of a position, a number that counts requests and never wraps: that of its 16-bit index."""
    return Term("place", (position,))


def cell(position: Term) -> Term:
    """Give the slot of a packed ring at a position, a number that counts descriptors and never wraps."""
    return Term("cell", (position,))


def lap(position: Term) -> Term:
    """Give the wrap counter of a packed ring at a position: 1 in the first lap, then 0, and so on."""
    return Term("lap", (position,))


def _bound(body: Callable[[Term], Operand]) -> tuple[str, Term]:
    name = f"q{next(_fresh)}"
    return name, as_term(body(Term("bound", (name,))))


def forall(
    limit: Operand,
    body: Callable[[Term], Operand],
    *hints: Callable[[Term], Term],
    low: Operand = 0,
) -> Term:
    """Say that `body` holds for every number from `low` up to `limit` (excluded).

    `hints` are for the solver: the terms on which it should think of this sentence. They mean nothing else.
    """
    name, recorded = _bound(body)
    patterns = tuple(hint(Term("bound", (name,))) for hint in hints)
    return Term("forall", (name, as_term(low), as_term(limit), recorded, patterns))


def exists(limit: Operand, body: Callable[[Term], Operand], *hints: Callable[[Term], Term], low: Operand = 0) -> Term:
    """Say that `body` holds for some number from `low` up to `limit` (excluded); `hints` as in `forall`."""
    name, recorded = _bound(body)
    patterns = tuple(hint(Term("bound", (name,))) for hint in hints)
    return Term("exists", (name, as_term(low), as_term(limit), recorded, patterns))


def count(limit: Operand, body: Callable[[Term], Operand]) -> Term:
    """Count the numbers from 0 up to `limit` (excluded) for which `body` holds."""
    name, recorded = _bound(body)
    return Term("count", (name, as_term(limit), recorded))


def total(limit: Operand, condition: Callable[[Term], Operand], value: Callable[[Term], Operand]) -> Term:
    """Add up `value` over the numbers from 0 up to `limit` (excluded) for which `condition` holds."""
    name, recorded = _bound(condition)
    return Term("total", (name, as_term(limit), recorded, as_term(value(Term("bound", (name,))))))


def follow(start: Operand, limit: Operand, go: Callable[[Term], Operand], following: Callable[[Term], Operand]) -> Term:
    """Walk from `start` to what `following` gives, as long as `go` holds, `limit` steps at most: where it ends."""
    name, recorded = _bound(go)
    return Term("follow", (name, as_term(start), as_term(limit), recorded, as_term(following(Term("bound", (name,))))))


def met(
    start: Operand,
    limit: Operand,
    go: Callable[[Term], Operand],
    following: Callable[[Term], Operand],
    test: Callable[[Term], Operand],
) -> Term:
    """Say that the walk of `follow` passes something (from which it goes on) for which `test` holds."""
    walked = follow(start, limit, go, following)
    return Term("met", (*walked.args, as_term(test(Term("bound", (str(walked.args[0]),))))))


def greatest(
    limit: Operand, condition: Callable[[Term], Operand], value: Callable[[Term], Operand], otherwise: Operand
) -> Term:
    """Give the greatest `value` among those from 0 up to `limit` (excluded) with `condition`; else `otherwise`."""
    name, recorded = _bound(condition)
    of = as_term(value(Term("bound", (name,))))
    return Term("greatest", (name, as_term(limit), recorded, of, as_term(otherwise)))


def walk(term: Term) -> Iterator[Term]:
    """Yield the term and every term below it, patterns left out."""
    yield term
    hints = 4 if term.op in ("forall", "exists") else None
    for place, arg in enumerate(term.args):
        if isinstance(arg, Term) and place != hints:
            yield from walk(arg)


def substitute(term: Term, replace: Callable[[Term], Term | None]) -> Term:
    """Rebuild a term, with each node for which `replace` gives another term exchanged for it."""
    other = replace(term)
    if other is not None:
        return other

    def below(arg: Operand | tuple[Term, ...]) -> Operand | tuple[Term, ...]:
        if isinstance(arg, Term):
            return substitute(arg, replace)
        if isinstance(arg, tuple):
            return tuple(substitute(a, replace) for a in arg)
        return arg

    return Term(term.op, tuple(below(a) for a in term.args))


def show(term: Term) -> str:
    """Write a term as a reader would, near to C; parentheses around the whole of what has an operator."""
    text = _show(term, {})
    return f"({text})" if _binding(term) < _ATOM else text


_INFIX = {"+": " + ", "-": " - ", "==": " == ", "<": " < ", "<=": " <= ", "and": " and ", "or": " or "}
_LOOSE, _ATOM = 0, 9
_BINDING = {"or": 1, "and": 2, "not": 3, "==": 4, "<": 4, "<=": 4, "+": 5, "-": 5}
_QUANTIFIERS = ("forall", "exists", "count", "total", "greatest", "follow", "met")


def _binding(term: Term) -> int:
    """Say how tightly the text of a term holds together."""
    if term.op in ("and", "or") and len(term.args) < 2:
        return _binding(term.args[0]) if term.args and isinstance(term.args[0], Term) else _ATOM
    return _LOOSE if term.op in ("ite", *_QUANTIFIERS) else _BINDING.get(term.op, _ATOM)


def _within(arg: object, names: dict[str, str], binding: int) -> str:
    """Show an operand, in parentheses where it holds together less tightly than what it stands in."""
    if not isinstance(arg, Term):
        raise ModelError(f"not a term: {arg!r}")
    text = _show(arg, names)
    return f"({text})" if _binding(arg) < binding else text


def _show(term: Term, names: dict[str, str]) -> str:
    op, args = term.op, term.args
    if op == "const":
        return repr(args[0])
    if op in ("var", "param"):
        return str(args[0])
    if op == "bound":
        return names.get(str(args[0]), str(args[0]))
    if op == "choice":
        return "choice"
    if op in _QUANTIFIERS:
        return _show_quantifier(term, names)
    if op == "at":
        array, _, field = str(args[0]).partition("[]")
        return f"{array}[{_within(args[1], names, _LOOSE)}]{field}"
    if op in ("and", "or") and not args:
        return "true" if op == "and" else "false"
    if op in _INFIX:
        return _show_infix(_INFIX[op], op, args, names)
    if op == "not":
        inner = args[0]
        if isinstance(inner, Term) and inner.op == "==":
            return _show_infix(" != ", "==", inner.args, names)
        return f"not {_within(inner, names, _BINDING['not'] + 1)}"
    if op == "ite":
        condition, then, otherwise = (_within(a, names, _LOOSE + 1) for a in args)
        return f"{then} if {condition} else {otherwise}"
    if op == "wrap":
        return f"u{args[1]}({_within(args[0], names, _LOOSE)})"
    return f"{op}({', '.join(_within(a, names, _LOOSE) for a in args)})"


def _show_infix(sign: str, op: str, args: tuple[object, ...], names: dict[str, str]) -> str:
    binding = _BINDING[op] if len(args) > 1 else _LOOSE
    if op in ("and", "or", "+"):
        return sign.join(_within(a, names, binding) for a in args)
    return f"{_within(args[0], names, binding + (op != '-'))}{sign}{_within(args[1], names, binding + 1)}"


def _show_quantifier(term: Term, names: dict[str, str]) -> str:
    bound = "xyzuvw"[len(names) % 6]
    inner = {**names, str(term.args[0]): bound}
    parts = [_within(a, inner, _LOOSE + 1) for a in term.args[1:] if isinstance(a, Term)]
    if term.op == "count":
        return f"the number of {bound} < {parts[0]} with {parts[1]}"
    if term.op == "total":
        return f"the sum of {parts[2]} over {bound} < {parts[0]} with {parts[1]}"
    if term.op in ("follow", "met"):
        walk_text = f"from {bound} = {parts[0]} on to {parts[3]} while {parts[2]} (at most {parts[1]} times)"
        return f"the end of the walk {walk_text}" if term.op == "follow" else f"the walk {walk_text} meets {parts[4]}"
    if term.op == "greatest":
        return f"the greatest {parts[2]} of {bound} < {parts[0]} with {parts[1]}, or else {parts[3]}"
    low = "" if parts[0] == "0" else f"{parts[0]} <= "
    return f"for {'all' if term.op == 'forall' else 'some'} {low}{bound} < {parts[1]}: {parts[2]}"
