"""The recording state, and what is recorded of a step.

A step's function is called once with a `State`. Reading an attribute gives a term, writing one records an assignment.
All terms of a step speak of the state *before* it: what was written in a step cannot be read in it. The recording
refuses:

- a second store to shared memory (or to an eventfd) in one step;
- a variable that was not declared, or one read after it was written;
- a non-ghost store, a guard or an index that depends on ghost state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from model.terms import ModelError, Operand, Term, as_term, element, variable, walk

__all__ = [
    "SHARED",
    "Assign",
    "Kind",
    "State",
    "Var",
    "Vars",
    "assign_each",
    "assign_initial",
    "c_field",
    "record",
    "record_term",
    "refuse_ghost",
]

Kind = str
"""``region``, ``ring`` (guest memory), ``eventfd``, ``volatile`` (the back-end's), ``driver`` or ``ghost``."""

SHARED: frozenset[Kind] = frozenset({"region", "ring", "eventfd"})
"""What outlives the back-end and is seen by others: one store of one step."""


@dataclass(frozen=True)
class Var:
    """A variable of the state.

    `width` is in bits, and 0 for numbers without one (ghost state, labels). `limit` is None for a scalar, or the
    parameter that is the array's length (``size``, or ``heads`` for what each head or entry has one of). `initial` is
    its value in a fresh process and a fresh ring; of an array, it may be a function of the index.
    """

    name: str
    kind: Kind
    width: int
    doc: str
    limit: str | None = None
    initial: Operand | Callable[[Term], Operand] = 0

    def start(self, index: Term | None = None) -> Term:
        """Give `initial`, at an index of an array."""
        if callable(self.initial):
            assert index is not None, f"{self.name} is an array"
            return as_term(self.initial(index))
        return as_term(self.initial)


class Vars(Mapping[str, Var]):
    """The declared variables, by name, in order."""

    def __init__(self, *variables: Var) -> None:
        """Declare; raise `ModelError` if a name comes twice."""
        self._by_name = {v.name: v for v in variables}
        if len(self._by_name) != len(variables):
            raise ModelError("a variable is declared twice")
        self.recorded: dict[Any, Any] = {}
        """What was recorded of steps over these variables, by their functions (`model.steps.Table.record`)."""
        self._groups = frozenset(name[:end] for name in self._by_name for end, char in enumerate(name) if char in ".[")

    def __getitem__(self, name: str) -> Var:
        """Look up by full name, arrays of structs as ``region.desc[].inflight``."""
        return self._by_name[name]

    def begin_with(self, path: str) -> bool:
        """Whether variables are declared that go on after a path, by a field or by an index."""
        return path in self._groups

    def __iter__(self) -> Iterator[str]:
        """Iterate in the order of declaration."""
        return iter(self._by_name)

    def __len__(self) -> int:
        """Count."""
        return len(self._by_name)


@dataclass(frozen=True)
class Assign:
    """One recorded assignment.

    `index` is None for a scalar, a term for one element, and the name of a bound variable for a whole array whose
    element at that variable becomes `value`.
    """

    name: str
    index: Term | str | None
    value: Term


@dataclass
class State:
    """What a step's function is given: attributes give terms and record assignments."""

    _vars: Vars
    _assigns: list[Assign] = field(default_factory=list)
    _choice: Term | None = None

    def __getattr__(self, name: str) -> Any:
        """Start a dotted name, or read a scalar of one word."""
        return _resolve(self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        """Write a scalar of one word."""
        if name.startswith("_"):
            object.__setattr__(self, name, value)
        elif name in self._vars and self._vars[name].limit is None:
            _write(self, name, None, value)
        else:
            raise ModelError(f"the model has no scalar {name}")


def _resolve(state: State, path: str) -> Any:
    if path in state._vars:  # noqa: SLF001
        if state._vars[path].limit is not None:  # noqa: SLF001
            return _Array(state, path)
        return _read(state, variable(path), path)
    if state._vars.begin_with(path):  # noqa: SLF001
        return _Node(state, path, None)
    raise ModelError(f"no variable of the model begins with {path!r}")


def _read(state: State, term: Term, name: str) -> Term:
    if any(a.name == name for a in state._assigns):  # noqa: SLF001
        raise ModelError(f"{name} is read after it was written in the same step")
    return term


class _Node:
    """A dotted name that is not yet a variable: ``region``, ``region.desc[i]``."""

    __slots__ = ("_index", "_path", "_state")

    def __init__(self, state: State, path: str, index: Term | None) -> None:
        object.__setattr__(self, "_state", state)
        object.__setattr__(self, "_path", path)
        object.__setattr__(self, "_index", index)

    def __getattr__(self, name: str) -> Any:
        path = f"{self._path}.{name}"
        if self._index is None:
            return _resolve(self._state, path)
        declared = self._state._vars  # noqa: SLF001
        if path not in declared and declared.begin_with(path):
            return _Node(self._state, path, self._index)
        return _read(self._state, element(self._checked(path), self._index), path)

    def __setattr__(self, name: str, value: Operand) -> None:
        path = self._checked(f"{self._path}.{name}")
        _write(self._state, path, self._index, value)

    def __getitem__(self, index: Operand) -> _Node:
        return _Node(self._state, f"{self._path}[]", as_term(index))

    def _checked(self, path: str) -> str:
        if path not in self._state._vars:  # noqa: SLF001
            raise ModelError(f"the model has no variable {path}")
        if (self._state._vars[path].limit is None) != (self._index is None):  # noqa: SLF001
            raise ModelError(f"{path} is {'an array' if self._index is None else 'no array'}")
        return path


class _Array:
    """An array of plain numbers: ``avail.ring``."""

    __slots__ = ("_path", "_state")

    def __init__(self, state: State, path: str) -> None:
        self._state, self._path = state, path

    def __getitem__(self, index: Operand) -> Term:
        return _read(self._state, element(self._path, index), self._path)

    def __setitem__(self, index: Operand, value: Operand) -> None:
        _write(self._state, self._path, as_term(index), value)

    def each(self, value: Callable[[Term], Operand]) -> None:
        """Set every element to a value that may depend on its index."""
        assign_each(self._state, self._path, value)


def assign_each(state: State, name: str, value: Callable[[Term], Operand]) -> None:
    """Set every element of an array, by its full name, to a value that may depend on its index."""
    bound = Term("bound", (f"each.{name}",))
    _write(state, name, str(bound.args[0]), value(bound))


def assign_initial(state: State, names: Iterable[str]) -> None:
    """Set variables, by full name, to what they are in a fresh process or a fresh ring."""
    for name in names:
        var = state._vars[name]  # noqa: SLF001
        if var.limit is None:
            _write(state, name, None, var.start())
        else:
            assign_each(state, name, var.start)


def _write(state: State, path: str, index: Term | str | None, value: Operand) -> None:
    if any(a.name == path for a in state._assigns):  # noqa: SLF001
        raise ModelError(f"{path} is written twice in one step")
    state._assigns.append(Assign(path, index, as_term(value)))  # noqa: SLF001


def record_term(variables: Vars, function: Callable[..., Operand], *args: Term) -> Term:
    """Run a guard or a predicate on a recording state; it must not write."""
    state = State(variables)
    result = function(state, *args)
    if state._assigns:  # noqa: SLF001
        raise ModelError(f"{function.__name__} is a predicate and writes {state._assigns[0].name}")  # noqa: SLF001
    return as_term(result)


def record(variables: Vars, function: Callable[..., None], *args: Term, world: bool = False) -> tuple[Assign, ...]:
    """Run a step's function on a recording state and give its assignments, checked against the rules above.

    `world` is for what no program does (a reset takes all of memory at once): it may change more than one variable.
    """
    state = State(variables)
    function(state, *args)
    shared = [a for a in state._assigns if variables[a.name].kind in SHARED]  # noqa: SLF001
    stores = [name for name, _ in {(c_field(a.name), a.index): None for a in shared}]
    if len(stores) > 1 and not world:
        raise ModelError(f"{function.__name__} stores to shared memory {len(stores)} times: {', '.join(stores)}")
    for assign in state._assigns:  # noqa: SLF001
        if variables[assign.name].kind != "ghost":
            refuse_ghost(variables, assign.value, f"{function.__name__} stores to {assign.name} a value")
            if isinstance(assign.index, Term):
                refuse_ghost(variables, assign.index, f"{function.__name__} stores to {assign.name} at an index")
    return tuple(state._assigns)  # noqa: SLF001


def c_field(name: str) -> str:
    """Give the C field of a variable: ``ring.desc[].flags.avail`` is a part of one, as is ``off_wrap.wrap``."""
    for parted in (".flags.", ".off_wrap."):
        head, part, _ = name.partition(parted)
        if part:
            return head + parted.removesuffix(".")
    return name


def refuse_ghost(variables: Vars, term: Term, what: str) -> None:
    """Raise `ModelError` if a term reads history that no implementation has."""
    for node in walk(term):
        if node.op in ("var", "at") and variables[str(node.args[0])].kind == "ghost":
            raise ModelError(f"{what} that depends on ghost state: {node.args[0]}")
