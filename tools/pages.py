"""The parts of the documents that follow from the model and the record: tables of runs, of verdicts, of readings.

A part stands between two comments, ``<!-- generated: NAME -->`` and ``<!-- end -->``; `tools.generated` compares it
with what `block` gives, or writes it anew.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import diagrams
from diagrams import Event
from model import protocol
from model.properties import NAMES
from proofs.verdicts import Verdict, load_schedule, recorded, recorded_folder
from tools import claims, readings, sentences, tour

__all__ = ["PAGES", "block", "filled"]

PAGES = ("README.md", "docs/errata.md", "docs/gaps.md", "docs/properties.md", "docs/tour.md")
"""The documents that have such parts."""

_PART = re.compile(r"(<!-- generated: ([\w. -]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(text: str) -> str:
    """Give a document with each of its generated parts as it should be; raise `LookupError` for an unknown part."""
    return _PART.sub(lambda part: f"{part[1]}{block(part[2])}{part[3]}", text)


def block(name: str) -> str:
    """Give a part by its name: ``verdicts``, ``properties``, ``gaps RING``, ``readings``, ``run`` or ``end of`` NAME.

    Or sentences: ``steps RING REVISION ID...``, ``proposed RING``, ``mended NAME``; or of the tour: ``pictures``,
    ``crashes RING``. Raise `LookupError` if there is none of that name.
    """
    told = sentences.part(name) or tour.part(name)
    return _recorded(name) if told is None else _table(*told)


def _recorded(name: str) -> str:
    kind, _, rest = name.partition(" ")
    if name == "verdicts":
        return _verdicts()
    if name == "readings":
        return _readings()
    if name == "properties":
        return _table(("it says", "said by", "sentences of its proof", "killed mutants", "judges"), claims.rows())
    if kind == "gaps" and rest in protocol.RINGS:
        return _gaps(rest)
    events = _events(name.removeprefix("end of ").removeprefix("run "))
    if kind == "run":
        return f"<details><summary>The whole run, store by store</summary>\n\n{_rows(events)}\n</details>\n"
    return _rows(events[_last_part(events) :])


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


# Runs.


def _events(name: str) -> list[Event]:
    """Give the events of a run of the errata, without the first start."""
    if name not in diagrams.errata():
        raise LookupError(f"no part of a document is called {name!r}")
    events = diagrams.stores(diagrams.erratum(name))
    first = next(n for n, e in enumerate(events) if e.step.startswith("driver."))
    return events[first:]


def _last_part(events: Sequence[Event]) -> int:
    """Give where the reader has to look: the batch that the crash cuts off or, where there is none, the last fetch."""
    begin, last_fetch, is_open = 0, 0, False
    for number, event in enumerate(events):
        if event.step == "crash":
            break
        if event.step == "packed.supply.1" and not is_open:
            begin, is_open = number, True
        elif event.step == "packed.supply.9c":
            is_open = False
        elif event.step == "packed.fetch.1":
            last_fetch = number
    return begin if is_open else last_fetch


def _rows(events: Sequence[Event]) -> str:
    rows: list[Sequence[str]] = []
    for event in events:
        step = f"`{event.step}`" if event.choice < 0 else f"`{event.step}` {event.choice}"
        if event.step == "crash":
            rows.append((str(event.number), "**crash**", "**the back-end dies**", ""))
            continue
        rows += [(str(event.number), step, f"`{c.field}`", f"{c.old} → {c.new}") for c in event.changes]
        if not event.changes and (event.step in diagrams.DECISIONS or event.choice >= 0 or "submit" in event.step):
            rows.append((str(event.number), step, f"(no store) {event.sentence}", ""))
    return _table(("event", "step", "field", "from → to"), rows)


# Verdicts.

_TOLD = {"proved": "proved", "violated": "**violated**", "bounded": "bounded"}


def _verdicts() -> str:
    """Print every property under the defaults, for each ring and revision; a dash where nothing is recorded yet."""
    columns = [(ring, revision) for ring in protocol.RINGS for revision in protocol.revisions(ring)]
    known = {(v.ring, v.revision, v.property): v for ring in protocol.RINGS for v in recorded(ring) if not v.gaps}
    head = ["property", *(f"{ring} {revision}" for ring, revision in columns)]
    rows = [[name, *(_verdict(known.get((*column, name))) for column in columns)] for name in NAMES]
    return _table(head, rows)


def _verdict(verdict: Verdict | None) -> str:
    if verdict is None:
        return "-"
    if verdict.counterexample is None:
        return _TOLD[verdict.verdict]
    schedule = load_schedule(recorded_folder(verdict.ring) / verdict.counterexample)
    return f"{_TOLD[verdict.verdict]} ({schedule.stores()} stores)"


def _gaps(ring: str) -> str:
    """Print every gap of a ring: its question, each choice, and what the choice violates besides, by revision."""
    known: dict[tuple[str, str, str], list[Verdict]] = {}
    for verdict in recorded(ring):
        (gap, choice), *_ = [*verdict.gaps.items(), ("", "")]
        known.setdefault((verdict.revision, gap, choice), []).append(verdict)
    revisions = protocol.revisions(ring)
    rows = [
        (
            f"`{gap.name}`" if alternative.name == gap.default else "",
            f"{alternative.name}{' (default)' if alternative.name == gap.default else ''}: {alternative.meaning}",
            *(
                ""
                if alternative.name == gap.default
                else _difference(known.get((r, gap.name, alternative.name)), known.get((r, "", "")))
                if gap.open_in(r)
                else "closed"
                for r in revisions
            ),
        )
        for gap in protocol.gaps(ring).values()
        for alternative in gap.alternatives
    ]
    return _table(("gap", "choice", *revisions), rows)


def _difference(verdicts: Sequence[Verdict] | None, usual: Sequence[Verdict] | None) -> str:
    """Say what a choice violates that the defaults do not."""
    if verdicts is None or usual is None:
        return "-"
    anyway = {v.property for v in usual if v.verdict == "violated"}
    broken = [v.property for v in verdicts if v.verdict == "violated" and v.property not in anyway]
    return f"also violates {', '.join(broken)}" if broken else "violates nothing more"


# Readings.


def _readings() -> str:
    """Print what each reading of the packed ring's gaps violates when it is put into `hardened`."""
    known = {(e["gap"], e["choice"]): e for e in readings.recorded()}
    rows = []
    for gap, alternative in readings.open_readings():
        entry = known[gap.name, alternative.name]
        said = ", ".join(entry["violated"]) or "nothing" + ("" if entry["complete"] else " (search not complete)")
        rows.append((f"`{gap.name}`", gap.alternatives[0].meaning, f"{alternative.name}: {alternative.meaning}", said))
    return _table(("gap", "the reading that holds (default)", "another reading", "violates"), rows)
