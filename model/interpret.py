"""The interpreter: a recorded table compiled to Python over plain numbers.

A state is a tuple, a value for each variable in the order of declaration; an array is a tuple in it, a label a string.
The whole table becomes one Python function that gives all successors of a state, which is what makes exhaustive search
bearable; `check` adds that every stored number fits its field.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any

from model.record import Assign, Vars, record_term
from model.steps import Guard, Recorded, Table
from model.terms import ModelError, Term

__all__ = ["Machine", "Sizes", "StateTuple", "Successor"]

StateTuple = tuple[Any, ...]
Successor = tuple[int, int, StateTuple]
"""A step's place in `Machine.steps`, its choice (-1 if it has none), the state after it."""


@dataclass(frozen=True)
class Sizes:
    """The numbers that are fixed for a run: queue size, entries of the region, the ring's first index."""

    size: int
    entries: int
    first: int = 0

    @property
    def heads(self) -> int:
        """The length of arrays that are indexed by head or by entry."""
        return max(self.size, self.entries)

    @property
    def sums(self) -> int:
        """The length of arrays of sums over heads: one more."""
        return self.heads + 1


def _escape(name: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in name)


@dataclass
class Compiler:
    """Translates terms to Python source over a state `s` and a choice `c`."""

    table: Table
    sizes: Sizes
    place: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        """Give each variable its place in a state."""
        self.place = {name: n for n, name in enumerate(self.table.vars)}

    def number(self, name: str) -> int:
        """Give the value of a parameter."""
        return int(getattr(self.sizes, name))

    def source(self, term: Term) -> str:
        """Translate one term."""
        op, args = term.op, term.args
        if op == "const":
            return repr(args[0])
        if op == "var":
            return f"s[{self.place[str(args[0])]}]"
        if op == "param":
            return str(self.number(str(args[0])))
        if op == "choice":
            return "c"
        if op == "bound":
            return _escape(str(args[0]))
        if op in ("forall", "exists", "count", "total", "greatest"):
            return self._over_range(term)
        if op in ("follow", "met"):
            return self._walk(term)
        if op == "at":
            return f"s[{self.place[str(args[0])]}][{self._of(args[1])}]"
        if op == "wrap":
            return f"({self._of(args[0])} & {(1 << int(str(args[1]))) - 1})"
        if op == "slot":
            return f"({self._of(args[0])} % {self.sizes.size})"
        if op == "place":
            return f"(({self._of(args[0])} & 65535) % {self.sizes.size})"
        if op == "cell":
            return f"({self._of(args[0])} % {self.sizes.size})"
        if op == "lap":
            return f"(1 - {self._of(args[0])} // {self.sizes.size} % 2)"
        if op == "not":
            return f"(not {self._of(args[0])})"
        if op == "ite":
            condition, then, otherwise = (self._of(a) for a in args)
            return f"({then} if {condition} else {otherwise})"
        if op in ("and", "or"):
            return f"({f' {op} '.join(self._of(a) for a in args)})" if args else repr(op == "and")
        return f"({self._of(args[0])} {op} {self._of(args[1])})"

    def _of(self, arg: object) -> str:
        if not isinstance(arg, Term):
            raise ModelError(f"not a term: {arg!r}")
        return self.source(arg)

    def _over_range(self, term: Term) -> str:
        name, arg = _escape(str(term.args[0])), [self._of(a) for a in term.args[1:] if isinstance(a, Term)]
        if term.op in ("forall", "exists"):
            low, limit, body = arg
            return f"{'all' if term.op == 'forall' else 'any'}({body} for {name} in range({low}, {limit}))"
        loop, body = f"for {name} in range({arg[0]})", arg[1]
        if term.op == "total":
            return f"sum({arg[2]} {loop} if {body})"
        if term.op == "greatest":
            return f"max(({arg[2]} {loop} if {body}), default={arg[3]})"
        return f"sum(1 {loop} if {body})"

    def _walk(self, term: Term) -> str:
        name, arg = _escape(str(term.args[0])), [self._of(a) for a in term.args[1:]]
        start, limit, *functions = arg
        return f"{term.op}({start}, {limit}, {', '.join(f'lambda {name}: {f}' for f in functions)})"

    def assignment(self, assign: Assign, check: bool) -> list[str]:
        """Translate one assignment, to lines that change the new state `t`."""
        place, value = self.place[assign.name], self.source(assign.value)
        width = self.table.vars[assign.name].width
        if check and width:
            value = f"fits({value}, {width}, {assign.name!r})"
        if assign.index is None:
            return [f"t[{place}] = {value}"]
        if isinstance(assign.index, str):
            name, length = _escape(assign.index), self.number(str(self.table.vars[assign.name].limit))
            return [f"t[{place}] = tuple([{value} for {name} in range({length})])"]
        return [
            f"i = {self.source(assign.index)}",
            f"a = s[{place}]",
            *([f"inside(i, len(a), {assign.name!r})"] if check else []),
            f"t[{place}] = a[:i] + ({value},) + a[i + 1 :]",
        ]


def _fits(value: int, width: int, name: str) -> int:
    if not 0 <= value < 1 << width:
        raise ModelError(f"{value} does not fit into {name}, which has {width} bits")
    return value


def _inside(index: int, length: int, name: str) -> None:
    if not 0 <= index < length:
        raise ModelError(f"{name} has {length} elements, not one at {index}")


def _follow(start: int, limit: int, go: Callable[[int], bool], following: Callable[[int], int]) -> int:
    while limit > 0 and go(start):
        start, limit = following(start), limit - 1
    return start


def _met(
    start: int, limit: int, go: Callable[[int], bool], following: Callable[[int], int], test: Callable[[int], bool]
) -> bool:
    while limit > 0 and go(start):
        if test(start):
            return True
        start, limit = following(start), limit - 1
    return False


class Machine:
    """A table with sizes, ready to run on plain numbers."""

    def __init__(self, table: Table, sizes: Sizes, *, check: bool = False, kept: frozenset[str] | None = None) -> None:
        """Record; raise `ModelError` where the table breaks a rule.

        `kept`: the variables that a state has (None: all). What is compiled may depend on no others.
        """
        self.table, self.sizes = table, sizes
        self.vars = table.vars if kept is None else Vars(*(v for v in table.vars.values() if v.name in kept))
        self.steps: list[Recorded] = table.recorded()
        self.index = {r.step.id: n for n, r in enumerate(self.steps)}
        self.compiler = Compiler(replace(table, vars=self.vars), sizes)
        self.place = self.compiler.place
        self._check = check
        self._by: dict[int, Callable[[StateTuple], list[Successor]]] = {}

    @cached_property
    def successors(self) -> Callable[[StateTuple], list[Successor]]:
        """The function that gives all successors of a state; made when asked for, as many ask predicates alone."""
        return self._build(range(len(self.steps)))

    def initial(self) -> StateTuple:
        """Give the state in which there is no process, a zeroed region, and a ring at its first index."""
        return self._initial

    @cached_property
    def _initial(self) -> StateTuple:
        values: list[Any] = []
        for var in self.vars.values():
            start = self.term(var.start(Term("choice")))
            length = None if var.limit is None else self.compiler.number(var.limit)
            values.append(start(()) if length is None else tuple(start((), i) for i in range(length)))
        return tuple(values)

    def only(self, keep: Callable[[Recorded], bool]) -> Callable[[StateTuple], list[Successor]]:
        """Compile a function that gives the successors by some of the steps."""
        return self._build(n for n, r in enumerate(self.steps) if keep(r))

    def predicate(self, function: Guard, *, with_choice: bool = False) -> Callable[..., bool]:
        """Compile a predicate of a state (and of a choice) to a function of a state tuple (and a number)."""
        args = (Term("choice"),) if with_choice else ()
        return self.term(record_term(self.table.vars, function, *args))

    def term(self, term: Term) -> Callable[..., Any]:
        """Compile a term to a function of a state tuple and, optionally, a choice."""
        return eval(f"lambda s, c=-1: {self.compiler.source(term)}", {"__builtins__": _BUILTINS})  # type: ignore[no-any-return]  # noqa: S307

    def one(self, step_id: str) -> Callable[[StateTuple, int], StateTuple | None]:
        """Compile one step to a function of a state and a choice; it gives None where the step is not enabled."""
        body = self._step_body(self.index[step_id])
        lines = [
            "def one(s, c):",
            "    out = []",
            *("    " + line for line in body),
            "    return out[0][2] if out else None",
        ]
        return _compiled("\n".join(lines), "one")

    def successor(self, state: StateTuple, step_id: str, chosen: int = -1) -> Successor | None:
        """Take one step, of which alone is looked whether it is enabled in this state; give None where it is not."""
        number = self.index.get(step_id)
        if number is None:
            return None
        if number not in self._by:
            self._by[number] = self._build([number])
        return next((one for one in self._by[number](state) if one[1] == chosen), None)

    def take(self, state: StateTuple, step_id: str, chosen: int = -1) -> StateTuple:
        """Take one step, and give the state after it; raise `ModelError` if it is not enabled in this state."""
        found = self.successor(state, step_id, chosen)
        if found is None:
            raise ModelError(f"{step_id} {'' if chosen < 0 else chosen} is not enabled here".replace("  ", " "))
        return found[2]

    def enabled(self, state: StateTuple) -> Iterable[tuple[str, int, StateTuple]]:
        """Give the events that are possible, with the state after each."""
        return [(self.steps[n].step.id, c, after) for n, c, after in self.successors(state)]

    def get(self, state: StateTuple, name: str) -> Any:
        """Read a variable by its full name."""
        return state[self.place[name]]

    def _build(self, numbers: Iterable[int]) -> Callable[[StateTuple], list[Successor]]:
        lines = ["def successors(s):", "    out = []"]
        for number in numbers:
            lines += ["    " + line for line in self._step_source(number)]
        lines.append("    return out")
        return _compiled("\n".join(lines), "successors")

    def _step_source(self, number: int) -> list[str]:
        inner = self._step_body(number)
        if not self.steps[number].step.choice:
            return inner
        return [f"for c in range({self.sizes.heads}):", *("    " + line for line in inner)]

    def _step_body(self, number: int) -> list[str]:
        """Give the lines that take a step, for a choice `c` where it has one."""
        recorded = self.steps[number]
        guard = self.compiler.source(recorded.guard)
        body = ["t = list(s)"]
        for assign in (a for a in (*recorded.assigns, *recorded.history) if a.name in self.vars):
            body += self.compiler.assignment(assign, self._check)
        chosen = "c" if recorded.step.choice else "-1"
        body.append(f"out.append(({number}, {chosen}, tuple(t)))")
        return [f"if {guard}:", *("    " + line for line in body)]


@lru_cache(maxsize=256)
def _compiled(source: str, name: str) -> Callable[..., Any]:
    """Make the function of that name; tables that differ in few steps have most of them alike."""
    scope: dict[str, Any] = {"fits": _fits, "inside": _inside, "__builtins__": _BUILTINS}
    exec(source, scope)  # noqa: S102
    return scope[name]  # type: ignore[no-any-return]


_BUILTINS: dict[str, Any] = {
    "list": list, "tuple": tuple, "range": range, "all": all, "any": any, "max": max, "sum": sum, "len": len,
    "follow": _follow, "met": _met,
}  # fmt: skip
