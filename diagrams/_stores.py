"""What an event of a run changes in shared memory, field by field, with the value before and after.

The flags of a packed descriptor are one field, although the model keeps their bits apart: they are written as words.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from diagrams._fields import BITS
from diagrams._fields import field as field_of
from diagrams._play import Moment, Run, play
from model.record import SHARED

__all__ = ["Change", "Event", "changes", "stores"]


@dataclass(frozen=True)
class Change:
    """A field, and what it was and became: numbers, or the names of the flags that are set."""

    field: str
    old: str
    new: str


@dataclass(frozen=True)
class Event:
    """An event of a run: its number (from 1), its step, choice (-1: none) and sentence, and what it changes."""

    number: int
    step: str
    choice: int
    sentence: str
    changes: tuple[Change, ...]


def changes(run: Run, moment: Moment) -> tuple[Change, ...]:
    """Give the stores of an event, in their order, one that leaves a field as it was included.

    What the driver does is given as the fields that it changed: the model does not count its stores.
    """
    named = [(s.name, s.index) for s in moment.stores] or list(_differing(run, moment))
    fields = dict.fromkeys((field_of(name), index) for name, index in named)
    return tuple(
        Change(_written(field, index), *(_value(run, state, field, index) for state in (moment.before, moment.after)))
        for field, index in fields
    )


def _differing(run: Run, moment: Moment) -> Iterable[tuple[str, int | None]]:
    """Give the fields of shared memory that an event changed, with their index in an array."""
    for name, var in run.machine.table.vars.items():
        if var.kind not in SHARED:
            continue
        old, new = run.value(moment.before, name), run.value(moment.after, name)
        if isinstance(old, tuple):
            yield from ((name, n) for n, (a, b) in enumerate(zip(old, new, strict=True)) if a != b)
        elif old != new:
            yield name, None


def _written(field: str, index: int | None) -> str:
    array, _, rest = field.partition("[]")
    return field if index is None else f"{array}[{index}]{rest}"


def _value(run: Run, state: tuple[Any, ...], field: str, index: int | None) -> str:
    def read(name: str) -> int:
        value = run.value(state, name)
        return int(value if index is None else value[index])

    if field in run.machine.table.vars:
        return str(read(field))
    return " ".join(bit.upper() for bit in BITS if read(f"{field}.{bit}")) or "no flags"


def stores(schedule: Mapping[str, Any]) -> list[Event]:
    """Play a schedule (a schedule file's contents) and give its events; raise `ModelError` if it cannot be played."""
    run = play(schedule)
    return [Event(m.number, m.id, m.choice, m.recorded.step.sentence, changes(run, m)) for m in run.moments]
