"""A run as a table: a row for each event, a column for each piece of memory that changes.

Events that neither store to shared memory nor change what a column shows are left out, and their numbers with them. An
array is one column, its elements side by side. What changed is marked, and a crash is a row across the whole table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from diagrams._columns import Column, columns
from diagrams._dot import PAGE, Graph
from diagrams._html import Palette, bold, cell, coloured, lines, mono, row, small, table
from diagrams._play import Moment, Run, play
from diagrams._stores import changes
from model.properties import SENTENCES

__all__ = ["DECISIONS", "timeline"]

_ACTORS: Mapping[str, str] = {"driver": "driver", "rest": "driver", "reset": "front-end", "device": "device"}
"""Who takes the steps of a procedure; all others are the back-end's."""

_TOLD = frozenset({"given", "resubmit", "recovered", "crash"})
"""Tags of steps that get a row although they store nothing to shared memory."""

_STARTS = ("split.start.fresh", "split.start.adopt", "packed.start.adopt")
"""Likewise: a new process."""

DECISIONS = (
    "packed.reconnect.1.else",
    "packed.reconnect.1a",
    "packed.reconnect.1.settled",
    "packed.reconnect.1c.else",
    "packed.position",
)
"""Likewise: where reconnecting takes one way or another."""

_LEFT_OUT = "left out: the first start, and steps that change nothing of what is shown"
"""Said of the packed ring, where a descriptor's way into the region is a dozen stores."""


def timeline(schedule: Mapping[str, Any]) -> str:
    """Draw the run of a schedule (a schedule file's contents) as DOT.

    Raise `ModelError` if the schedule cannot be played; see `diagrams._play.play`.
    """
    run = play(schedule)
    shown = [m for m in run.moments if m.number >= _begin(run)]
    cols = [
        c
        for c in columns(run.subject.ring, run.machine.sizes.size)
        if c.always or any(_changes(run, m, c) for m in shown)
    ]
    head = [cell(small(text), border=1, sides="B") for text in ("", "who", "step", "stores")]
    head += [cell(small("<BR/>".join(c.heading)), border=1, sides="B", align="center") for c in cols]
    width = len(head)
    rows = [row(cell(bold(lines(_title(run), 110)), colspan=width)), row(*head)]
    rows += [_row(run, cols, m, width) for m in shown if _has_row(run, cols, m)]
    rows.append(_end(run, width))
    graph = Graph("timeline", {"size": f"{PAGE},1000"})
    graph.node("timeline", label=table(*rows, border=1, color=Palette.line, cellpadding=3), shape="plain", fontsize=10)
    return graph.source()


def _begin(run: Run) -> int:
    """Give the number of the first event that is shown: on a packed ring, the first one of the driver."""
    if run.subject.ring == "split":
        return 1
    return next((m.number for m in run.moments if m.recorded.step.procedure == "driver"), 1)


def _has_row(run: Run, cols: list[Column], moment: Moment) -> bool:
    if moment.recorded.step.tags & _TOLD or moment.id in (*_STARTS, *DECISIONS):
        return True
    if any(_changes(run, moment, c) for c in cols):
        return True
    return bool(moment.stores) and (run.subject.ring == "split" or moment.recorded.step.procedure == "recover")


def _changes(run: Run, moment: Moment, column: Column) -> bool:
    return column.show(run, moment.before) != column.show(run, moment.after)


def _title(run: Run) -> str:
    subject, sizes = run.subject, run.machine.sizes
    gaps = "".join(f", {name}={chosen}" for name, chosen in subject.choices)
    gaps += f", mutant {run.mutant}" if run.mutant else ""
    left_out = "" if subject.ring == "split" else f"; {_LEFT_OUT}"
    return f"{subject.ring} ring, {subject.revision}{gaps}: a queue of {sizes.size}{left_out}"


def _row(run: Run, cols: list[Column], moment: Moment, width: int) -> str:
    if moment.id == "crash":
        text = f"{moment.number}  the back-end is killed: what only it knew is gone, shared memory stays"
        return row(cell(coloured(lines(text, 120), "#ffffff"), colspan=width, bgcolor=Palette.crash))
    step = moment.recorded.step
    cells = [
        cell(small(str(moment.number)), align="right"),
        cell(small(_ACTORS.get(step.procedure, "back-end"))),
        cell(mono(lines(moment.id, 24))),
        cell(_said(run, moment), **({"bgcolor": Palette.store} if moment.stores else {})),
    ]
    for column in cols:
        before, after = (column.show(run, state) for state in (moment.before, moment.after))
        mark = {"bgcolor": Palette.changed} if before != after else {}
        rule = {"border": 1, "sides": "L", "color": Palette.label}
        cells.append(cell(mono(_marked(before, after, column.joint)), align="center", **rule, **mark))
    return row(*cells)


def _marked(before: tuple[str, ...], after: tuple[str, ...], joint: str) -> str:
    """Write the elements of a value, those that changed in bold."""
    if len(before) != len(after):
        return bold(joint.join(after))
    return joint.join(new if old == new else bold(new) for old, new in zip(before, after, strict=True))


def _said(run: Run, moment: Moment) -> str:
    """Say what an event stores, or what it does where it stores nothing."""
    if moment.stores:
        return mono(lines("; ".join(f"{c.field} := {c.new}" for c in changes(run, moment)), 34))
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
