"""A run as a table: a row for each event, a column for each piece of memory that changes.

Events that neither store to shared memory nor change what a column shows are left out, and their numbers with them. An
array is one column, its elements side by side. What changed is marked, and a crash is a row across the whole table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from diagrams._dot import Graph
from diagrams._html import Palette, bold, cell, coloured, lines, mono, row, small, table
from diagrams._play import Moment, Run, play
from model.properties import SENTENCES

__all__ = ["timeline"]

_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "avail.ring": ("avail", "ring"),
    "avail.idx": ("avail", "idx"),
    "region.desc[].counter": ("desc[]", "counter"),
    "region.desc[].inflight": ("desc[]", "inflight"),
    "region.desc[].next": ("desc[]", "next"),
    "region.last_batch_head": ("last_", "batch_", "head"),
    "used.ring[].id": ("used", "ring.id"),
    "used.idx": ("used", "idx"),
    "region.used_idx": ("region.", "used_", "idx"),
    "driver.next_used": ("driver", "next_", "used"),
    "device.state": ("device", "works", "on"),
}
"""The variables that get a column where they change, in the order in which a request meets them, and what stands over
it. What is not here changes once, or says again what another column says; its stores are in their rows all the same."""

_ACTORS: Mapping[str, str] = {"driver": "driver", "rest": "driver", "reset": "front-end", "device": "device"}
"""Who takes the steps of a procedure; all others are the back-end's."""

_TOLD = frozenset({"given", "resubmit", "recovered", "crash"})
"""Tags of steps that get a row although they store nothing to shared memory."""

_STARTS = ("split.start.fresh", "split.start.adopt")
"""Likewise: a new process."""

_WORKING = 1


def timeline(schedule: Mapping[str, Any]) -> str:
    """Draw the run of a schedule (a schedule file's contents) as DOT.

    Raise `ModelError` if the schedule cannot be played; see `diagrams._play.play`.
    """
    run = play(schedule)
    columns = [name for name in _COLUMNS if any(_changes(run, m, name) for m in run.moments)]
    told = [m for m in run.moments if _has_row(run, columns, m)]
    head = [cell(small(text), border=1, sides="B") for text in ("", "who", "step", "stores")]
    head += [cell(small("<BR/>".join(_COLUMNS[name])), border=1, sides="B", align="center") for name in columns]
    width = len(head)
    rows = [row(cell(bold(lines(_title(run), 110)), colspan=width)), row(*head)]
    rows += [_row(run, columns, m, width) for m in told]
    rows.append(_end(run, width))
    graph = Graph("timeline", {})
    graph.node("timeline", label=table(*rows, border=1, color=Palette.line, cellpadding=3), shape="plain", fontsize=10)
    return graph.source()


def _has_row(run: Run, columns: list[str], moment: Moment) -> bool:
    told = moment.stores or moment.recorded.step.tags & _TOLD or moment.id in _STARTS
    return bool(told) or any(_changes(run, moment, name) for name in columns)


def _changes(run: Run, moment: Moment, name: str) -> bool:
    return _shown(run, moment.before, name) != _shown(run, moment.after, name)


def _title(run: Run) -> str:
    subject, sizes = run.subject, run.machine.sizes
    gaps = "".join(f", {name}={chosen}" for name, chosen in subject.choices)
    return f"{subject.ring} ring, {subject.revision}{gaps}: a queue of {sizes.size}"


def _row(run: Run, columns: list[str], moment: Moment, width: int) -> str:
    if moment.id == "crash":
        text = f"{moment.number}  the back-end is killed: what only it knew is gone, shared memory stays"
        return row(cell(coloured(lines(text, 120), "#ffffff"), colspan=width, bgcolor=Palette.crash))
    step = moment.recorded.step
    cells = [
        cell(small(str(moment.number)), align="right"),
        cell(small(_ACTORS.get(step.procedure, "back-end"))),
        cell(mono(lines(moment.id, 24))),
        cell(_said(moment), **({"bgcolor": Palette.store} if moment.stores else {})),
    ]
    for name in columns:
        before, after = (_shown(run, state, name) for state in (moment.before, moment.after))
        mark = {"bgcolor": Palette.changed} if before != after else {}
        rule = {"border": 1, "sides": "L", "color": Palette.label}
        cells.append(cell(mono(_marked(before, after)), align="center", **rule, **mark))
    return row(*cells)


def _marked(before: tuple[str, ...], after: tuple[str, ...]) -> str:
    """Write the elements of a value, those that changed in bold."""
    if len(before) != len(after):
        return bold(" ".join(after))
    return " ".join(new if old == new else bold(new) for old, new in zip(before, after, strict=True))


def _shown(run: Run, state: tuple[Any, ...], name: str) -> tuple[str, ...]:
    """Write a variable's value, an element each; of the device's, the heads that it works on."""
    value = run.value(state, name)
    if name == "device.state":
        return tuple(str(h) for h, works in enumerate(value) if works == _WORKING) or ("-",)
    return tuple(str(v) for v in value) if isinstance(value, tuple) else (str(value),)


def _said(moment: Moment) -> str:
    """Say what an event stores, or what it does where it stores nothing."""
    if moment.stores:
        return mono(lines("; ".join(s.text() for s in moment.stores), 34))
    if "resubmit" in moment.recorded.step.tags:
        return lines(f"head {moment.choice} goes to the device again", 34)
    if moment.recorded.step.procedure == "device" and moment.choice >= 0:
        return lines(f"the device finishes head {moment.choice}", 34)
    return small(lines(moment.recorded.step.sentence, 38))


def _end(run: Run, width: int) -> str:
    if run.violated:
        text = f"violates {run.violated}: {SENTENCES[run.violated]}"
        return row(cell(bold(lines(text, 100)), colspan=width, bgcolor=Palette.store, border=1, color=Palette.crash))
    text = f"{run.property} is not violated" if run.property else "nothing is judged"
    return row(cell(lines(text, 100), colspan=width, bgcolor=Palette.good, border=1))
