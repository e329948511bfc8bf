"""A run as a table: a row for each event, a column for each piece of memory that changes.

Events that neither store to shared memory nor change what a column shows are left out, and their numbers with them. An
array is one column, its elements side by side. What changed is marked, and a crash is a row across the whole table. Of
a long run the last rows alone can be drawn: one row then says what came before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from diagrams._columns import Column, columns
from diagrams._dot import PAGE, Graph
from diagrams._html import Palette, balanced, bold, coloured, lines, mono, row, small, table
from diagrams._html import cell as sized_cell
from diagrams._play import Moment, Run, play
from diagrams._stores import Change, changes
from model.properties import SENTENCES

__all__ = ["DECISIONS", "rows_of", "timeline"]

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

_SIZE = 10
"""Points: the size of text."""

cell = partial(sized_cell, points=_SIZE)

_LEFT_OUT = "left out: the first start, and steps that change nothing of what is shown"
"""Said of the packed ring, where a descriptor's way into the region is a dozen stores."""


def timeline(schedule: Mapping[str, Any], last: int | None = None) -> str:
    """Draw the run of a schedule (a schedule file's contents) as DOT; with `last`, only so many rows at its end.

    Raise `ModelError` if the schedule cannot be played; see `diagrams._play.play`.
    """
    run = play(schedule)
    cols, events = _shown(run)
    rows = [m for m in events if _has_row(run, cols, m)]
    cut = rows[:-last] if last else []
    title = _title(run) + (f"; the last {last} rows" if cut else "")
    head = [cell(small(text), border=1, sides="B") for text in ("", "who", "step", "stores")]
    head += [cell(small("<BR/>".join(c.heading)), border=1, sides="B", align="center") for c in cols]
    width = len(head)
    drawn = [row(cell(bold(balanced(title, 130)), colspan=width)), row(*head)]
    if cut:
        before = [m for m in events if m.number <= cut[-1].number]
        drawn.append(row(cell(balanced(_summary(before), 110), colspan=width, bgcolor=Palette.label)))
    drawn += [_row(run, cols, m, width) for m in rows[len(cut) :]]
    drawn.append(_end(run, width))
    graph = Graph("timeline", {"size": f"{PAGE},1000"})
    label = table(*drawn, border=1, color=Palette.line, cellpadding=3)
    graph.node("timeline", label=label, shape="plain", fontsize=_SIZE)
    return graph.source()


def rows_of(schedule: Mapping[str, Any]) -> int:
    """Count the events that have a row in the timeline of a schedule."""
    run = play(schedule)
    cols, events = _shown(run)
    return sum(_has_row(run, cols, m) for m in events)


def _shown(run: Run) -> tuple[list[Column], list[Moment]]:
    """Give the columns of a run, those that it never changes left out unless they always are there, and its events.

    On a packed ring the events begin with the driver's first.
    """
    begin = 1
    if run.subject.ring == "packed":
        begin = next((m.number for m in run.moments if m.recorded.step.procedure == "driver"), 1)
    events = [m for m in run.moments if m.number >= begin]
    known = columns(run.subject.ring, run.machine.sizes.size)
    return [c for c in known if c.always or any(_changes(run, m, c) for m in events)], events


def _summary(before: Sequence[Moment]) -> str:
    """Say in a sentence what events did."""

    def tagged(tag: str) -> int:
        return sum(tag in m.recorded.step.tags for m in before)

    made = tagged("available")
    counts = {
        f"request{'s' * (made != 1)} made available": made,
        "fetched": tagged("fetched"),
        "finished by the device": sum(m.recorded.step.procedure == "device" for m in before),
        "seen by the driver as used": sum(m.id == "driver.use" for m in before),
    }
    said = ", ".join(f"{count} {what}" for what, count in counts.items() if count) or "the first start"
    killed = [before[place - 1].id for place, m in enumerate(before) if m.id == "crash"]
    said += "".join(f"; the back-end killed after {step}" for step in killed)
    return f"before, in events {before[0].number} to {before[-1].number}: {said}"


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
        cell(_said(run, moment), **({"bgcolor": Palette.store} if _stores(run, moment) else {})),
    ]
    for column in cols:
        before, after = (column.show(run, state) for state in (moment.before, moment.after))
        mark = {"bgcolor": Palette.changed} if before != after else {}
        rule = {"border": 1, "sides": "L", "color": Palette.label}
        text = mono(_marked(before, after, column.joint))
        cells.append(cell(text, align="center", balign="center", **rule, **mark))
    return row(*cells)


def _marked(before: tuple[str, ...], after: tuple[str, ...], joint: str) -> str:
    """Write the elements of a value, those that changed in bold."""
    if len(before) != len(after):
        return bold(joint.join(after))
    return joint.join(new if old == new else bold(new) for old, new in zip(before, after, strict=True))


def _stores(run: Run, moment: Moment) -> tuple[Change, ...]:
    """Give what an event stores; what all of memory becomes at a reset is no store."""
    return changes(run, moment) if moment.stores or moment.recorded.step.procedure == "driver" else ()


def _said(run: Run, moment: Moment) -> str:
    """Say what an event stores, or what it does where it stores nothing."""
    made = _stores(run, moment)
    if made:
        return mono(lines("; ".join(f"{c.field} := {c.new}" for c in made), 34))
    if "resubmit" in moment.recorded.step.tags:
        return lines(f"head {moment.choice} goes to the device again", 34)
    if moment.recorded.step.procedure == "device" and moment.choice >= 0:
        return lines(f"the device finishes head {moment.choice}", 34)
    return small(lines(moment.recorded.step.sentence, 38))


def _end(run: Run, width: int) -> str:
    if run.violated:
        text = f"violates {run.violated}: {SENTENCES[run.violated]}"
        return row(cell(bold(balanced(text, 114)), colspan=width, bgcolor=Palette.store, border=1, color=Palette.crash))
    text = f"{run.property} is not violated" if run.property else "nothing is judged"
    return row(cell(balanced(text, 114), colspan=width, bgcolor=Palette.good, border=1))
