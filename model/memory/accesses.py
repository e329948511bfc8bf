"""Who of the model makes which accesses to memory that others see: read off the table, so that no step is forgotten."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from model.memory.kinds import Access
from model.record import Assign, c_field
from model.steps import Recorded, Table
from model.terms import Term, walk

__all__ = ["BACK_END", "Agent", "Made", "fields_read", "made", "shows"]


@dataclass(frozen=True)
class Agent:
    """Whose accesses are looked at: its procedures, those of the other side, the first words of its own variables."""

    name: str
    procedures: frozenset[str]
    peers: frozenset[str]
    own: tuple[str, ...]


BACK_END = Agent("back-end", frozenset({"recover", "fetch", "supply"}), frozenset({"driver", "rest"}), ("supply.",))
"""The one whose orders are asked for: it may be killed. The driver keeps the orders that virtio asks of it."""


@dataclass(frozen=True)
class Made:
    """What one step does: its store, its loads (those of its guard first), whether it is a system call instead."""

    store: Access | None
    loads: tuple[Access, ...]
    system: bool

    @property
    def all(self) -> tuple[Access, ...]:
        """Everything, in order: a step looks before it stores."""
        return (*self.loads, *((self.store,) if self.store else ()))


def made(table: Table, agent: Agent) -> dict[str, Made]:
    """Give what each step of an agent does. What nobody else stores to is no load: it is as the agent left it."""
    recorded = table.recorded()
    theirs = {
        c_field(a.name)
        for r in recorded
        if r.step.procedure in agent.peers
        for a in r.assigns
        if table.vars[a.name].kind == "ring"
    }
    return {r.step.id: _made(table, r, theirs) for r in recorded if r.step.procedure in agent.procedures}


def _made(table: Table, recorded: Recorded, theirs: set[str]) -> Made:
    stores = frozenset(c_field(a.name) for a in recorded.stores(table.vars))
    fields = fields_read(recorded)
    if any(name in table.vars and table.vars[name].kind == "eventfd" for name in (*stores, *fields)):
        return Made(None, (), system=True)
    loads = tuple(Access(recorded.step.id, "load", frozenset({f})) for f in fields if f in theirs)
    return Made(Access(recorded.step.id, "store", stores) if stores else None, loads, system=False)


def fields_read(recorded: Recorded) -> tuple[str, ...]:
    """Give the C fields that a step reads, those of its guard first; history is none of its reading."""
    names = [*_read([recorded.guard]), *_read(_operands(recorded.assigns))]
    return tuple(dict.fromkeys(c_field(name) for name in names))


def _read(terms: Iterable[Term]) -> Iterator[str]:
    return (str(node.args[0]) for term in terms for node in walk(term) if node.op in ("var", "at"))


def _operands(assigns: Iterable[Assign]) -> Iterator[Term]:
    for assign in assigns:
        yield assign.value
        if isinstance(assign.index, Term):
            yield assign.index


def shows(recorded: Recorded) -> bool:
    """Whether a step's store makes a request visible: its history is then that of the store, not of the step."""
    return any(tag.startswith("publish") for tag in recorded.step.tags)
