"""The parts of the documents that follow from the model and the record: tables of runs, of verdicts, of readings.

A part stands between two comments, ``<!-- generated: NAME -->`` and ``<!-- end -->``; `tools.generated` compares it
with what `block` gives, or writes it anew.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import diagrams
from diagrams import Event
from diagrams._play import play
from model import protocol
from model.gaps import Gap
from model.properties import NAMES
from model.protocol import Subject
from proofs.induction.kits import kit
from proofs.search.bounds import Bounds
from proofs.verdicts import Verdict, load_schedule, recorded, recorded_folder, recorded_later, recorded_readings
from proofs.verdicts import readings as all_readings
from tools import claims, firsts, measured, mixed, readings, sentences, theirs, tour, trust

__all__ = ["PAGES", "block", "filled"]

PAGES = (
    "README.md",
    "docs/conformance.md",
    "docs/errata-2026.md",
    "docs/errata.md",
    "docs/gaps.md",
    "docs/implementations.md",
    "docs/properties.md",
    "docs/stopping.md",
    "docs/tour.md",
    "docs/trust.md",
)
"""The documents that have such parts."""

_PART = re.compile(r"(<!-- generated: ([\w. -]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(text: str) -> str:
    """Give a document with each of its generated parts as it should be; raise `LookupError` for an unknown part."""
    return _PART.sub(lambda part: f"{part[1]}{block(part[2])}{part[3]}", text)


def block(name: str) -> str:
    """Give a part by its name; raise `LookupError` if there is none of that name.

    They are ``verdicts``, ``properties``, ``firsts``, ``runs first``, ``readings``, ``gaps RING``, ``bounded RING``,
    ``profiles RING``, ``profile-runs RING``, ``run NAME`` and ``end of NAME``; or sentences: ``steps RING REVISION
    ID...``, ``proposed RING``, ``mended NAME``; or of the tour: ``pictures``, ``crashes RING``; or of docs/trust.md:
    ``believed``, ``assumed``, ``sabotages``; or of docs/conformance.md and docs/implementations.md: ``conformance``,
    ``implementations``, ``mixed RING``.
    """
    told = sentences.part(name) or tour.part(name) or trust.part(name) or measured.part(name)
    return _recorded(name) if told is None else _table(*told)


def _recorded(name: str) -> str:
    kind, _, rest = name.partition(" ")
    parts = {"verdicts": _verdicts, "readings": _readings, "firsts": _firsts, "runs first": _runs_first}
    if name in parts:
        return parts[name]()
    if name == "properties":
        return _table(("it says", "said by", "sentences of its proof", "killed mutants", "judges"), claims.rows())
    others = {"profiles": theirs.table, "profile-runs": theirs.runs, "mixed": mixed.table}
    if kind in others and rest in protocol.RINGS:
        return _table(*others[kind](rest))
    of_a_ring = {"gaps": _gaps, "bounded": _bounded, "later": _later}
    if kind in of_a_ring and rest in protocol.RINGS:
        return of_a_ring[kind](rest)
    events = _events(name.removeprefix("end of ").removeprefix("run "))
    if kind == "run":
        return f"<details><summary>The whole run, store by store</summary>\n\n{_rows(events)}\n</details>\n"
    return (
        f"{_rows(events[_last_part(events) :])}\nBroken first: {_first(diagrams.erratum(rest.removeprefix('of ')))}.\n"
    )


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


# What breaks first.


def _first(schedule: Mapping[str, Any]) -> str:
    """Say which properties a run breaks before any other, and by which event."""
    number, names = firsts.broken_first(play(schedule).machine, schedule["schedule"])
    return f"{_names(names)}, by event {number}, `{schedule['schedule'][number - 1][0]}`"


def _names(names: Iterable[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def _runs_first() -> str:
    """Print of each recorded run of the defaults how long it is, and what it breaks first."""
    rows = []
    for verdict in (v for ring in protocol.RINGS for v in recorded(ring) if v.counterexample and not v.gaps):
        schedule = load_schedule(recorded_folder(verdict.ring) / str(verdict.counterexample))
        number, names = firsts.broken_first(schedule.machine(), [list(event) for event in schedule.events])
        itself = "itself" if names == [verdict.property] else _names(names)
        also = verdict.property in names and len(names) > 1
        told = f"{itself}, by one event" if also else itself if number == len(schedule.events) else f"**{itself}**"
        rows.append(
            (f"{verdict.ring} {verdict.revision}", verdict.property, str(len(schedule.events)), told, str(number))
        )
    return _table(("text", "its shortest run breaks", "events", "on it breaks first", "by event"), rows)


def _firsts() -> str:
    """Print of each defect alone which properties it breaks before any other, and by how long a run."""
    rows = []
    for defect, ring in firsts.DEFECTS:
        entries = [entry for entry in firsts.recorded(ring) if entry["defect"] == defect]
        shortest: dict[str, int] = {}
        for name, events in ((n, len(run)) for entry in entries for n, run in entry["first"].items()):
            shortest[name] = min(events, shortest.get(name, events))
        told = ", ".join(f"{name} ({shortest[name]} events)" for name in NAMES if name in shortest)
        rows.append((f"[{defect}](#{defect})", ring, told, _never(ring, entries, shortest)))
    return _table(("defect, alone", "ring", "breaks before any other property", "never before another"), rows)


def _never(ring: str, entries: Sequence[Mapping[str, Any]], first: Iterable[str]) -> str:
    """Say what a defect does not break first, and whether that is proved; a dash where not all was searched to the end.

    The split ring has one defect, and v6 has no other: what is proved of v6 is proved of the defect.
    """
    if len(entries) < len(list(firsts.searches(ring))) or not all(entry["complete"] for entry in entries):
        return "-"
    kept = {v.property for v in recorded(ring) if (v.revision, v.gaps, v.verdict) == ("v6", {}, "proved")}
    left = [name for name in NAMES if name not in first]
    return f"{', '.join(left)}: {'proved' if kept >= set(left) else 'bounded'}"


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
    _, names = firsts.broken_first(schedule.machine(), [list(event) for event in schedule.events])
    first = "" if verdict.property in names else f"; {names[0]} first"
    return f"{_TOLD[verdict.verdict]} ({schedule.stores()} stores{first})"


def _gaps(ring: str) -> str:
    """Print every gap of a ring: its question, each choice, and what the choice violates besides, by revision."""
    known: dict[tuple[str, str, str], list[Verdict]] = {}
    for verdict in (*recorded(ring), *recorded_readings(ring)):
        (gap, choice), *_ = [*verdict.gaps.items(), ("", "")]
        known.setdefault((verdict.revision, gap, choice), []).append(verdict)
    revisions = protocol.revisions(ring)

    def cell(gap: Gap, choice: str, revision: str) -> str:
        told = known.get((revision, gap.name, choice))
        if choice == gap.default:
            return ""
        if gap.open_in(revision):
            return _difference(told, known.get((revision, "", "")))
        return f"closed; read so: {_read_so(told)}" if gap.judged_in(revision) else "closed"

    rows = [
        (
            f"`{gap.name}`" if alternative.name == gap.default else "",
            f"{alternative.name}{' (default)' if alternative.name == gap.default else ''}: {alternative.meaning}",
            *(cell(gap, alternative.name, revision) for revision in revisions),
        )
        for gap in (*protocol.gaps(ring).values(), *protocol.readings(ring).values())
        for alternative in gap.alternatives
    ]
    return _table(("gap", "choice", *revisions), rows)


def _bounded(ring: str) -> str:
    """Print why what is bounded is so: by choice and property, the revisions that have the row, and the reason."""
    told = kit(ring).bounded
    rows: dict[tuple[str, str, str], list[str]] = {}
    for verdict in recorded(ring):
        if verdict.verdict == "bounded":
            for gap, choice in verdict.gaps.items():
                rows.setdefault((gap, choice, verdict.property), []).append(verdict.revision)
    by_reason: dict[tuple[str, str, str], list[str]] = {}
    for (gap, choice, name), revisions in rows.items():
        reason = told.get((gap, choice, name), "-")
        by_reason.setdefault((name, reason, ", ".join(revisions)), []).append(f"`{gap}={choice}`")
    lines = [(name, ", ".join(choices), where, why) for (name, why, where), choices in sorted(by_reason.items())]
    return _table(("property", "choices", "revisions", "why neither proof nor run"), lines)


def _read_so(verdicts: Sequence[Verdict] | None, without: Sequence[str] = ()) -> str:
    """Say what a reading violates, and whether the rest is proved; some properties are left out."""
    if verdicts is None:
        return "-"
    names = {k: [v.property for v in verdicts if v.verdict == k and v.property not in without] for k in _TOLD}
    violated, proved, bounded = (", ".join(names[kind]) for kind in ("violated", "proved", "bounded"))
    if proved and bounded:
        return f"violates {violated or 'nothing'}; proved: {proved}; *bounded*: {bounded}"
    rest = "proved" if proved else "*bounded*" if bounded else ""
    if not violated:
        return f"violates nothing: {rest}"
    return f"violates {violated}; the rest: {rest}" if rest else f"violates {violated}"


def _difference(verdicts: Sequence[Verdict] | None, usual: Sequence[Verdict] | None) -> str:
    """Say what a choice violates that the defaults do not, and what of it is bounded: neither violated nor proved."""
    if verdicts is None or usual is None:
        return "-"
    anyway = {v.property for v in usual if v.verdict == "violated"}
    broken = [v.property for v in verdicts if v.verdict == "violated" and v.property not in anyway]
    bounded = [v.property for v in verdicts if v.verdict == "bounded"]
    told = f"also violates {', '.join(broken)}" if broken else "violates nothing more"
    return f"{told}; *bounded*: {', '.join(bounded)}" if bounded else told


# Readings.


def _readings() -> str:
    """Print what each reading of the packed ring violates in `hardened`, what of it is proved, and how it drains."""
    told: dict[Subject, list[Verdict]] = {}
    for verdict in recorded_readings("packed"):
        told.setdefault(verdict.subject(), []).append(verdict)
    drains, rows = readings.drains(), []
    for subject in all_readings("packed", ["hardened"]):
        ((name, choice),) = subject.choices
        gap = protocol.judged("packed")[name]
        verdicts, searches = told.get(subject), drains.get((name, choice), [])
        last = next((v for v in verdicts or () if v.property == "drains"), None)
        waits = _drains(searches) if searches and last and last.verdict != "proved" else _waits(last)
        other = f"{choice}: {gap.alternative(choice).meaning}"
        rows.append((f"`{name}`", gap.alternatives[0].meaning, other, _read_so(verdicts, ["drains"]), waits))
    return _table(("gap", "the reading that holds (default)", "another reading", "but for `drains`", "`drains`"), rows)


# What came later.


def _later(ring: str) -> str:
    return _table(("question", "choice", "violates (events of the shortest run)", "the rest"), _later_rows(ring))


def _later_rows(ring: str) -> Iterator[tuple[str, ...]]:
    """Print what each choice of what came later violates, and what of it is proved or only searched."""
    told: dict[Subject, list[Verdict]] = {}
    for verdict in recorded_later(ring):
        told.setdefault(verdict.subject(), []).append(verdict)
    for gap in protocol.later(ring).values():
        for other in gap.alternatives[1:]:
            verdicts = told[Subject.of(ring, "hardened", {**dict(gap.along), gap.name: other.name})]
            rest = {k: [v.property for v in verdicts if v.verdict == k] for k in ("proved", "bounded")}
            runs = ", ".join(f"{v.property} ({_events_of(v)})" for v in verdicts if v.verdict == "violated")
            said = [f"{kind}: {', '.join(names)}" for kind, names in rest.items() if names]
            every = f"all {len(verdicts)} proved" if len(rest["proved"]) == len(verdicts) else "; ".join(said)
            yield f"`{gap.name}`", f"`{other.name}`: {other.meaning}", runs or "nothing", every


def _events_of(verdict: Verdict) -> int:
    return len(load_schedule(recorded_folder(verdict.ring) / str(verdict.counterexample)).events)


def _waits(verdict: Verdict | None) -> str:
    """Say what is known of `drains` where the searches for it are no record of their own."""
    if verdict is None or verdict.verdict == "proved":
        return "-" if verdict is None else "proved"
    within = "; ".join(_within({"bounds": asdict(b)}) for b in verdict.bounds)
    if verdict.counterexample is None:
        return f"bounded: {within}"
    events = load_schedule(recorded_folder(verdict.ring) / verdict.counterexample).events
    return f"**violated**: {len(events)} events ({within})"


def _drains(searches: Sequence[Mapping[str, Any]]) -> str:
    """Say what the searches of a reading for `drains` found."""
    for entry in searches:
        if "schedule" in entry:
            return f"**violated**: {len(entry['schedule'])} events ({_within(entry)})"
    complete = [_within(entry) for entry in searches if entry["complete"]]
    return f"bounded: {'; '.join(complete)}" if complete else "-"


def _within(entry: Mapping[str, Any]) -> str:
    bounds = Bounds(**entry["bounds"])
    told = f"ring of {bounds.size}, {bounds.requests} requests, {bounds.crashes} crashes".replace(
        "1 requests", "1 request"
    )
    told = told.replace("1 crashes", "1 crash").replace("0 crashes", "no crash")
    return told + (f", {bounds.rare} rare" if bounds.rare else "") + (", in use" if bounds.first else "")
