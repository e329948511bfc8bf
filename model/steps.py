"""Steps, procedures, and edits of them.

A `Table` is the whole protocol for one ring: its variables, its procedures' steps, the history attached to steps. It is
a value: an edit makes a new table. A revision is the table before it with edits; an alternative of a gap is a list of
edits; so is a mutant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from model.record import SHARED, Assign, State, Var, Vars, record, record_term, refuse_ghost
from model.terms import ModelError, Operand, Term, all_of, any_of, choice, constant, variable

__all__ = ["After", "Before", "Edit", "Guard", "History", "Procedure", "Recorded", "Remove", "Replace", "Step", "Table"]

Effect = Callable[..., None]
Guard = Callable[..., Operand]


def _nothing(_: State, *__: Term) -> None:
    """Do nothing."""


def _always(_: State, *__: Term) -> Operand:
    return all_of()


@dataclass(frozen=True)
class Step:
    """One step: at most one store to shared memory.

    `at` are the labels that it leaves, `to` the label that it goes to (None: it stays). `when` is its guard and `do`
    its effect, both functions of a state, and of the choice if `choice` names what is chosen (``head``). `text` is the
    place in the text, or the reason that the step exists although the text is silent. `tags` say what is judged at it.
    """

    id: str
    procedure: str
    at: tuple[str, ...]
    to: str | None
    text: str
    sentence: str
    do: Effect = _nothing
    when: Guard = _always
    choice: str | None = None
    tags: frozenset[str] = frozenset()
    world: bool = False


class Procedure:
    """A named table of steps; `guard` holds for each of them. Its label is the variable ``NAME.at``."""

    def __init__(self, name: str, guard: Guard = _always) -> None:
        """Start an empty procedure."""
        self.name, self.guard = name, guard
        self.steps: list[Step] = []

    def step(
        self,
        id: str,  # noqa: A002
        *,
        text: str,
        at: str | tuple[str, ...] = (),
        to: str | None = None,
        when: Guard = _always,
        choice: str | None = None,
        tags: Iterable[str] = (),
        world: bool = False,
    ) -> Callable[[Effect], Step]:
        """Declare a step; the decorated function is its effect and its docstring the sentence."""

        def declare(do: Effect) -> Step:
            sentence = " ".join((do.__doc__ or "").split())
            if not sentence:
                raise ModelError(f"{id} has no sentence")
            labels = (at,) if isinstance(at, str) else at
            step = Step(id, self.name, labels, to, text, sentence, do, when, choice, frozenset(tags), world)
            self.steps.append(step)
            return step

        return declare


class Edit(Protocol):
    """A named change of a table."""

    def apply(self, table: Table) -> Table:
        """Give the changed table."""


@dataclass(frozen=True)
class Before:
    """Insert a step before another: it takes over the label, the other leaves a new one."""

    target: str
    step: Step

    def apply(self, table: Table) -> Table:
        """Insert; raise `ModelError` if the target does not leave exactly one label alone."""
        target = table.step(self.target)
        label = f"before {self.target}"
        while any(label in s.at for s in table.steps.values()):
            label += "'"
        if len(target.at) != 1 or any(s is not target and target.at[0] in s.at for s in table.of(target.procedure)):
            raise ModelError(f"{self.target} shares its label: nothing can be inserted before it by name")
        new = replace(self.step, procedure=target.procedure, at=target.at, to=label)
        return table.with_steps({self.target: (new, replace(target, at=(label,)))})


@dataclass(frozen=True)
class After:
    """Insert a step after another: the other goes to a new label, which the inserted step leaves."""

    target: str
    step: Step

    def apply(self, table: Table) -> Table:
        """Insert; raise `ModelError` if the target stays at its label (a loop)."""
        target = table.step(self.target)
        if target.to is None or target.to in target.at:
            raise ModelError(f"{self.target} is a loop: nothing comes after it")
        label = f"after {self.target}"
        new = replace(self.step, procedure=target.procedure, at=(label,), to=target.to)
        return table.with_steps({self.target: (replace(target, to=label), new)})


@dataclass(frozen=True)
class Remove:
    """Remove a step: what led to its label leads to where it went."""

    target: str

    def apply(self, table: Table) -> Table:
        """Remove; raise `ModelError` if it leaves several labels, or is a loop that no other step follows."""
        gone = table.step(self.target)
        alone = not any(set(gone.at) & set(s.at) for s in table.of(gone.procedure) if s.id != gone.id)
        if len(gone.at) != 1 or (gone.to is None and alone):
            raise ModelError(f"{self.target} is a loop or leaves several labels: it cannot be removed by name")
        without = table.with_steps({self.target: ()})
        if not alone:
            return without
        relabel = {s.id: (replace(s, to=gone.to),) for s in without.of(gone.procedure) if s.to == gone.at[0]}
        return without.with_steps(relabel)


@dataclass(frozen=True)
class Replace:
    """Exchange parts of a step (``do``, ``when``, ``at``, ``to``, ``sentence``, ``text``)."""

    target: str
    changes: Mapping[str, Any] = field(default_factory=dict)

    def apply(self, table: Table) -> Table:
        """Exchange."""
        return table.with_steps({self.target: (replace(table.step(self.target), **self.changes),)})


@dataclass(frozen=True)
class Add:
    """Add a step with labels of its own."""

    step: Step

    def apply(self, table: Table) -> Table:
        """Add."""
        return replace(table, steps={**table.steps, self.step.id: self.step})


@dataclass(frozen=True)
class Declare:
    """Declare more variables."""

    variables: tuple[Var, ...]

    def apply(self, table: Table) -> Table:
        """Declare."""
        return replace(table, vars=Vars(*table.vars.values(), *self.variables))


@dataclass(frozen=True)
class GuardOf:
    """Exchange the guard of a whole procedure."""

    procedure: str
    guard: Guard

    def apply(self, table: Table) -> Table:
        """Exchange."""
        return replace(table, guards={**table.guards, self.procedure: self.guard})


@dataclass(frozen=True)
class HistoryOf:
    """Exchange the history attached to a step."""

    target: str
    history: Effect

    def apply(self, table: Table) -> Table:
        """Exchange."""
        return replace(table, history={**table.history, self.target: self.history})


class History:
    """Ghost updates by step id: what happened, for the judges; no program has it."""

    def __init__(self) -> None:
        """Start empty."""
        self.effects: dict[str, Effect] = {}

    def on(self, *ids: str) -> Callable[[Effect], Effect]:
        """Attach a function of a state (and the step's choice) to steps."""

        def attach(effect: Effect) -> Effect:
            for step_id in ids:
                self.effects[step_id] = effect
            return effect

        return attach


@dataclass(frozen=True)
class Recorded:
    """A step as terms: complete guard (label, procedure's guard, own guard), assignments, history."""

    step: Step
    guard: Term
    assigns: tuple[Assign, ...]
    history: tuple[Assign, ...]

    def stores(self, variables: Vars) -> list[Assign]:
        """Give its stores to memory that outlives the process."""
        return [a for a in self.assigns if variables[a.name].kind in SHARED]


@dataclass(frozen=True)
class Table:
    """The protocol for one ring, as a value."""

    ring: str
    vars: Vars
    steps: dict[str, Step]
    guards: dict[str, Guard]
    history: dict[str, Effect]

    @staticmethod
    def of_procedures(ring: str, variables: Vars, procedures: Iterable[Procedure], history: History) -> Table:
        """Build from procedures, in their order; raise `ModelError` if an id comes twice."""
        procedures = list(procedures)
        steps = [s for p in procedures for s in p.steps]
        if len({s.id for s in steps}) != len(steps):
            raise ModelError("a step id comes twice")
        guards = {p.name: p.guard for p in procedures}
        return Table(ring, variables, {s.id: s for s in steps}, guards, dict(history.effects))

    def step(self, step_id: str) -> Step:
        """Look a step up; raise `ModelError` if there is none of that id."""
        if step_id not in self.steps:
            raise ModelError(f"no step {step_id} in this table")
        return self.steps[step_id]

    def of(self, procedure: str) -> list[Step]:
        """Give the steps of a procedure."""
        return [s for s in self.steps.values() if s.procedure == procedure]

    def with_steps(self, changes: Mapping[str, tuple[Step, ...]]) -> Table:
        """Give the table with each named step exchanged for some (none: removed), in its place."""
        steps = [new for old in self.steps.values() for new in changes.get(old.id, (old,))]
        return replace(self, steps={s.id: s for s in steps})

    def edited(self, edits: Iterable[Edit]) -> Table:
        """Apply edits, in order."""
        table = self
        for edit in edits:
            table = edit.apply(table)
        return table

    def record(self, step: Step) -> Recorded:
        """Record a step as terms; raise `ModelError` where it breaks a rule of the model.

        Tables share variables and most steps: what was recorded of these functions before is given again.
        """
        key = (step, self.guards[step.procedure], self.history.get(step.id))
        known = self.vars.recorded
        if key not in known:
            known[key] = self._record(step)
        told: Recorded = known[key]
        return told

    def _record(self, step: Step) -> Recorded:
        args = (choice(),) if step.choice else ()
        label = variable(f"{step.procedure}.at") if step.at else None
        parts: list[Operand] = []
        if label is not None:
            parts.append(any_of(*(label == at for at in step.at)))
        parts.append(record_term(self.vars, self.guards[step.procedure]))
        parts.append(record_term(self.vars, step.when, *args))
        guard = all_of(*(p for p in parts if not (isinstance(p, Term) and p.op == "and" and not p.args)))
        refuse_ghost(self.vars, guard, f"{step.id} has a guard")
        assigns = record(self.vars, step.do, *args, world=step.world)
        if step.to is not None and label is not None:
            assigns = (*assigns, Assign(f"{step.procedure}.at", None, constant(step.to)))
        effect = self.history.get(step.id)
        history = record(self.vars, effect, *args) if effect else ()
        for assign in history:
            if self.vars[assign.name].kind != "ghost":
                raise ModelError(f"the history of {step.id} writes {assign.name}, which is no ghost")
        return Recorded(step, guard, assigns, history)

    def recorded(self) -> list[Recorded]:
        """Record every step, in order."""
        return [self.record(s) for s in self.steps.values()]
