"""Terms as Z3 expressions, and a step as a transition between two sets of Z3 constants.

Numbers are integers, arrays are arrays of integers, a label is the number of its name. What is added to the terms:

- axioms of the sizes: 1 to 32768, and as many entries as the subject says (that the size is a power of two is used in
  a lemma of the next point only);
- the slot of an index or of a position, and its lap, are uninterpreted functions; what is assumed of them is the
  ring's (`proofs.induction.kits.Induction.axioms`), with a lemma that proves it for each size;
- an index of the ring that the invariant knows as a function of a position is written so
  (`Translator.with_indexes`), and a sum of numbers modulo 65536 loses the inner modulo, which is an identity of
  arithmetic;
- a `count` or a `total` becomes an element of an array of sums (induction over the heads, proved beside it), a
  `greatest` a constant with what its definition says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import z3

from model.record import Assign, Var, record_term
from model.steps import Guard, Recorded, Table
from model.terms import ModelError, Term

__all__ = ["INT", "Ask", "Translator", "World", "function", "tell"]

INT, ARRAY = z3.IntSort(), z3.ArraySort(z3.IntSort(), z3.IntSort())

Ask = Callable[[str, Sequence[Any], Any], bool]
"""Whether a goal follows from facts: what is asked has a name."""

World = Mapping[str, Any]
"""A Z3 constant or term for each variable of the state."""


@cache
def function(name: str) -> Any:
    """Give the uninterpreted function of positions that stands for a term like ``slot``."""
    return z3.Function(name, INT, INT)


def tell(solver: Any, facts: Iterable[Any]) -> None:
    """Assert facts, without z3's question of each whether it is one: a fifth of the time of a small goal."""
    for fact in facts:
        z3.Z3_solver_assert(solver.ctx.ref(), solver.solver, fact.as_ast())


@dataclass
class Translator:
    """Translates the terms of one table; `entries` says how the region's size relates to the queue's."""

    table: Table
    entries: str = "equal"
    labels: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make the constants that all states share."""
        self.size, self.first, self.choice = z3.Ints("size first chosen")
        self.region_size = self.size if self.entries == "equal" else z3.Int("entries")
        self.heads = self.size if self.entries == "smaller" else self.region_size
        self._fresh = 0
        self._naming: list[Any] | None = None
        self.facts: list[Any] = []
        """What is known of constants that stand for a greatest."""

    def sizes(self) -> list[Any]:
        """Give what is assumed of the sizes."""
        facts = [self.size >= 1, self.size <= 32768, self.first >= 0, self.first < 65536]
        if self.entries == "larger":
            facts += [self.region_size >= self.size, self.region_size <= 65535]
        if self.entries == "smaller":
            facts += [self.region_size >= 1, self.region_size < self.size]
        return facts

    def world(self, prefix: str) -> dict[str, Any]:
        """Make a constant for each variable."""
        return {v.name: z3.Const(f"{prefix}{v.name}", INT if v.limit is None else ARRAY) for v in self._vars()}

    def with_indexes(self, world: World, indexes: Mapping[str, Guard]) -> dict[str, Any]:
        """Write variables of a state as functions of what else is in it."""
        return {**world, **{name: self.index(index, world) for name, index in indexes.items()}}

    def index(self, index: Guard, world: World) -> Any:
        """Translate what a variable is, as a function of positions."""
        return self.expr(record_term(self.table.vars, index), world)

    def _vars(self) -> list[Var]:
        return list(self.table.vars.values())

    def label(self, name: str) -> int:
        """Give the number of a label."""
        return self.labels.setdefault(name, len(self.labels))

    def fresh(self, name: str, sort: Any) -> Any:
        """Make a constant that nothing else uses."""
        self._fresh += 1
        return z3.Const(f"{name}!{self._fresh}", sort)

    def expr(self, term: Term, world: World, bound: Mapping[str, Any] | None = None) -> Any:
        """Translate a term; `bound` are the variables of the quantifiers around it."""
        bound = bound or {}
        op, args = term.op, term.args
        if op == "const":
            return _number(args[0] if isinstance(args[0], int) else self.label(str(args[0])))
        if op == "var":
            return world[str(args[0])]
        if op == "param":
            known = {"size": self.size, "first": self.first, "entries": self.region_size, "heads": self.heads}
            return known[str(args[0])]
        if op == "choice":
            return self.choice
        if op == "bound":
            return bound[str(args[0])]
        if op in ("forall", "exists"):
            return self._quantified(term, world, bound)
        if op in ("count", "total", "greatest", "follow", "met"):
            raise ModelError(f"{op} needs a lemma where it stands")
        parts = [self.expr(a, world, bound) for a in args if isinstance(a, Term)]
        if op == "at":
            index = parts[0] if self._naming is None or bound else self._named(parts[0], self._naming)
            return _element(world[str(args[0])], index)
        return _operator(term, parts)

    def _quantified(self, term: Term, world: World, bound: Mapping[str, Any]) -> Any:
        names, conditions, hints = [], [], [[]]  # type: ignore[var-annotated]
        inner = dict(bound)
        while True:
            name, low, limit, body, patterns = term.args
            assert isinstance(low, Term)
            assert isinstance(limit, Term)
            assert isinstance(body, Term)
            assert isinstance(patterns, tuple)
            lowest, highest = self.expr(low, world, inner), self.expr(limit, world, inner)
            variable = self.fresh(str(name), INT)
            inner[str(name)] = variable
            names.append(variable)
            conditions += [lowest <= variable, variable < highest]
            here = [self.expr(h, world, inner) for h in patterns]
            hints = [[*old, new] for old in hints for new in here] if here else hints
            if not (body.op == term.op == "forall"):
                break
            term = body
        said = self.expr(body, world, inner)
        patterns_z3 = [z3.MultiPattern(*h) if len(h) > 1 else h[0] for h in hints if h]
        if term.op == "exists":
            return z3.Exists(names, z3.And(*conditions, said), patterns=patterns_z3)
        return z3.ForAll(names, z3.Implies(z3.And(*conditions), said), patterns=patterns_z3)

    def transition(self, recorded: Recorded, before: World) -> tuple[dict[str, Any], list[Any]]:
        """Give the state after a step, and what is known of it; both are independent of the guard."""
        after: dict[str, Any] = dict(before)
        known: list[Any] = []
        self._naming = known  # an element at an index that is an `ite` is read at a name for it
        for assign in (*recorded.assigns, *recorded.history):
            after[assign.name], more = self._assigned(assign, before)
            known += more
        self._naming = None
        return after, known

    def _named(self, expr: Any, known: list[Any]) -> Any:
        """Give an expression a name where a pattern must not contain it as it is."""
        if not _has_ite(expr):
            return expr
        name = self.fresh("stored", INT)
        known.append(name == expr)
        return name

    def _assigned(self, assign: Assign, before: World) -> tuple[Any, list[Any]]:
        if assign.index is None:
            return self.expr(assign.value, before), []
        if isinstance(assign.index, Term):
            known: list[Any] = []
            index, stored = (self._named(self.expr(t, before), known) for t in (assign.index, assign.value))
            return z3.Store(before[assign.name], index, stored), known
        array, index = self.fresh(assign.name, ARRAY), self.fresh("each", INT)
        value = self.expr(assign.value, before, {assign.index: index})
        return array, [z3.ForAll([index], array[index] == value, patterns=[array[index]])]


@cache
def _number(value: int) -> Any:
    return z3.IntVal(value)


def _element(array: Any, index: Any) -> Any:
    return z3.ArithRef(z3.Z3_mk_select(array.ctx.ref(), array.as_ast(), index.as_ast()), array.ctx)


def _has_ite(expr: Any) -> bool:
    return bool(z3.is_app_of(expr, z3.Z3_OP_ITE)) or any(_has_ite(child) for child in expr.children())


def _truth(make: Callable[..., Any]) -> Callable[..., Any]:
    """Make a truth of two numbers, or of two truths."""
    return lambda one, other: z3.BoolRef(make(one.ctx.ref(), one.as_ast(), other.as_ast()), one.ctx)


def _of_all(make: Callable[..., Any], kind: Any) -> Callable[..., Any]:
    """Make something of any number of parts."""

    def made(*parts: Any) -> Any:
        context = z3.main_ctx()
        return kind(make(context.ref(), len(parts), (z3.Ast * len(parts))(*(p.as_ast() for p in parts))), context)

    return made


def _operator(term: Term, parts: list[Any]) -> Any:
    if term.op == "wrap":
        return _modulo(parts[0], 1 << int(str(term.args[1])))
    return _OPERATORS[term.op](*parts)


def _slot(index: Any) -> Any:
    """Give the slot of an index; of a position modulo 65536 it is the place of the position."""
    position = _wrapped(index)
    return function("slot")(index) if position is None else function("place")(position)


def _wrapped(expr: Any) -> Any:
    """Give x where the expression is x modulo 65536."""
    if z3.is_app_of(expr, z3.Z3_OP_MOD) and z3.is_int_value(expr.arg(1)) and expr.arg(1).as_long() == 65536:
        return expr.arg(0)
    return None


def _modulo(expr: Any, modulus: int) -> Any:
    """Give the expression modulo a number, after leaving out what is modulo 65536 already in a sum."""

    def inside(part: Any) -> Any:
        if modulus == 65536 and (inner := _wrapped(part)) is not None:
            return inside(inner)
        if z3.is_add(part) or z3.is_sub(part):
            parts = [inside(part.arg(n)) for n in range(part.num_args())]
            total = parts[0]
            for other in parts[1:]:
                total = total + other if z3.is_add(part) else total - other
            return total
        return part

    return inside(expr) % modulus


def _ite(condition: Any, then: Any, otherwise: Any) -> Any:
    if z3.is_and(otherwise) and not otherwise.num_args():  # true, as terms have it
        return z3.Implies(condition, then)
    kind = z3.BoolRef if isinstance(then, z3.BoolRef) else z3.ArithRef
    made = z3.Z3_mk_ite(condition.ctx.ref(), condition.as_ast(), then.as_ast(), otherwise.as_ast())
    return kind(made, condition.ctx)


_OPERATORS: dict[str, Callable[..., Any]] = {
    "+": _of_all(z3.Z3_mk_add, z3.ArithRef),
    "-": _of_all(z3.Z3_mk_sub, z3.ArithRef),
    "==": _truth(z3.Z3_mk_eq),
    "<": _truth(z3.Z3_mk_lt),
    "<=": _truth(z3.Z3_mk_le),
    "and": _of_all(z3.Z3_mk_and, z3.BoolRef),
    "or": _of_all(z3.Z3_mk_or, z3.BoolRef),
    "not": z3.Not,
    "ite": _ite,
    "slot": _slot,
    "place": function("place"),
    "cell": function("cell"),
    "lap": function("lap"),
}
"""Z3 checks the sorts of what it is given; its Python functions do that once more, which costs more than the rest."""
