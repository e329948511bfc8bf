"""The main job: judge every property of every subject, compare with the record, print the table.

Proofs are run each time; a recorded counterexample is played again; what is bounded is searched again.
`search` finds the counterexamples anew, and so shows that none is shorter; that takes as long as it takes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

from rich.console import Console

from model import protocol
from proofs import queues, report
from proofs.challenges import conjuncts, hypotheses, mutants, selfcheck, witnesses
from proofs.induction.engine import Outcome, proof_of, prove_all
from proofs.induction.kits import kit
from proofs.induction.solver import Ask
from proofs.search.breadth_first import Bounds, Found, explore
from proofs.second.asking import Also, By
from proofs.second.told import told
from proofs.verdicts import (
    Judged,
    Schedule,
    Verdict,
    later,
    load_schedule,
    profiles,
    readings,
    recorded,
    recorded_folder,
    recorded_later,
    recorded_profiles,
    recorded_readings,
    subjects,
    table_and_sizes,
    violates,
)
from proofs.workers import workers
from proofs.written import FOLDER, counterexamples, unwritable_is_a_warning

__all__ = ["run"]

TOGETHER = 8
"""Runs that one process plays one after the other: those of one choice are neighbours, and share a machine."""


@dataclass
class Run:
    """All that a run found."""

    judged: list[Judged] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    good: bool = True


def run(
    *,
    ring: str | None,
    revision: str | None,
    property_name: str | None,
    gaps: Mapping[str, str],
    search: bool,
    out: Path | None = None,
    write: Callable[[list[dict[str, Any]]], None] | None = None,
    quiet: bool = False,
    by: By | None = None,
    with_readings: bool = False,
    with_profiles: bool = False,
) -> bool:
    """Judge; print; True if every verdict is the one recorded (without a record: if nothing is violated).

    Afterwards every counterexample is written to `out`; without `out` only those that are not in the record are, to
    `FOLDER`. ``write`` is given the verdicts as JSON has them. What cannot be written is a warning: the answer stands.
    ``quiet``: nothing is printed. ``with_readings``: choices that a revision does not leave open are judged, too;
    ``with_profiles``: so is what back-ends of others do. A profile may be asked for by its name, as a `revision` is.
    """
    started = time.monotonic()
    found = Run()
    rings = (ring,) if ring else protocol.RINGS
    for name in rings:
        first = len(found.notes)
        chosen = _subjects(name, revision, gaps, with_readings)
        chosen += profiles(name, [revision] if revision else None if with_profiles and not gaps else ())
        _judge(found, name, chosen, property_name, search, by or By())
        if len(rings) > 1:
            found.notes[first:] = [f"{name}: {note}" for note in found.notes[first:]]
    console = Console(soft_wrap=True, quiet=quiet)
    report.show(console, found.judged, found.notes, time.monotonic() - started)
    files = counterexamples(found.judged, out)
    report.show_files(console, files, out or FOLDER)
    if write is not None:
        answers = [j.now.answer(j.seconds, j.found) for j in found.judged]
        for answer, path in zip(answers, files, strict=True):
            if answer["counterexample"]:
                answer["counterexample"]["path"] = str(path) if path else None
        with unwritable_is_a_warning():
            write(answers)
    return found.good and all(j.good for j in found.judged)


def _subjects(ring: str, revision: str | None, gaps: Mapping[str, str], besides: bool) -> list[protocol.Subject]:
    """Give what is asked for: of choices, the revisions that leave them open, or of which they are judged `besides`.

    Where no revision is asked for, that is also what came later, which is of none.
    """
    if revision and revision not in protocol.revisions(ring):
        return []  # a profile's name
    wanted = [revision] if revision else None
    if not gaps:
        came_later = () if wanted else later(ring)
        return [*subjects(ring, wanted), *came_later, *(readings(ring, wanted) if besides else ())]
    known = protocol.judged(ring)
    gaps = {**{g: c for name in gaps if name in known for g, c in known[name].along}, **gaps}
    judged = [r for r in protocol.revisions(ring) if all(g not in known or known[g].judged_in(r) for g in gaps)]
    opened = [r for r in judged if all(g not in known or known[g].open_in(r) for g in gaps)]
    return [protocol.Subject.of(ring, r, gaps) for r in (wanted or (judged if besides else opened) or judged)]


def _judge(  # noqa: PLR0917
    found: Run, ring: str, chosen: list[protocol.Subject], property_name: str | None, search: bool, by: By
) -> None:
    record = {(v.subject(), v.property): v for v in _all_recorded(ring)}
    asked = [(s, n) for s in chosen for n in protocol.properties(s) if property_name in (None, n)]
    to_prove: dict[protocol.Subject, set[str]] = {}
    for subject, name in asked:
        if (was := record.get((subject, name))) is None or was.verdict == "proved":
            to_prove.setdefault(protocol.like(subject), set()).add(name)
    with report.progress("proving") as step:
        proved = prove_all(to_prove, properties=to_prove, progress=step, by=by)
    searched = _search_again(asked, record, search, proved)
    played = _played([_run_of(record[one]) for one in asked if one in record and record[one].verdict == "violated"])
    for subject, name in asked:
        found.judged.append(_verdict(subject, name, record.get((subject, name)), proved, searched, played))
    found.notes += _without(proved)
    with workers() as pool:  # what plays the record, and counts goals, takes one process each, beside what is asked
        counted = pool.submit(_counted, ring, proved) if proved.asked else None  # the longest comes first
        records = _records(ring, pool)
        witnessed = [s for s in (witnesses.subjects(ring) if kit(ring).witnessing else ()) if s in proved.asked]
        witnessed = [
            s for s in witnessed if not s.choices
        ] or witnessed  # those of choices if nothing else is asked for
        believed = [pool.submit(hypotheses.believable, subject) for subject in witnessed]
        if counted is not None:
            _check_prover(found, ring, proved, by, counted)
        also = Also(by)
        _check_queues(found, ring, chosen, proved, also)
        _check_reductions(found, ring, proved, also)
        beside = told(by, ring, proved, also.asked)
        found.notes += beside.notes
        found.good = found.good and beside.good
        for note, checked in records:
            result = checked.result()
            found.notes.append(note(result))
            found.good = found.good and result.holds
        others = [s for s in proved.asked if s not in witnesses.subjects(ring) and proved.properties(s)]
        _check_hypotheses(found, [each.result() for each in believed], len(others) if kit(ring).witnessing else 0)


def _all_recorded(ring: str) -> list[Verdict]:
    return [*recorded(ring), *recorded_readings(ring), *recorded_profiles(ring), *recorded_later(ring)]


def _check_queues(found: Run, ring: str, chosen: list[protocol.Subject], proved: Outcome, ask: Ask) -> None:
    """Check that what was said of one queue holds of each of several."""
    checked = queues.check(ring, chosen, proved, ask)
    found.notes.append(report.several_queues(checked))
    found.good = found.good and not checked.faults


def _check_reductions(found: Run, ring: str, proved: Outcome, ask: Ask) -> None:
    """Check that runs that the table of a ring does not have are as those that it has."""
    there = [proof_of(subject) for subject in proved.asked if proved.properties(subject)]
    induction = kit(ring).induction
    for said, faults_of in induction.reductions.items() if induction and there else ():
        faults = list(faults_of(there, ask))
        found.notes.append(report.reduction(said, faults))
        found.good = found.good and not faults


def _check_prover(found: Run, ring: str, proved: Outcome, by: By, counted: Future[selfcheck.Checked]) -> None:
    """Hold what was proved against the census, and put to the prover what is false; a ring may have no proof."""
    lies = _believed(ring)
    checked = counted.result()
    failed = sum(r.status != "proved" for r in proved.results.values())
    found.notes += report.prover(checked, lies, failed, by.names)
    found.good = found.good and not checked.faults and not lies.faults


def _check_hypotheses(found: Run, each: Sequence[hypotheses.Believed], others: int) -> None:
    """Say of what goals are shown from whether it is true of anything, where there are witnesses; of how many not."""
    told = hypotheses.Believed()
    for one in each:
        told.add(one)
    if each:
        found.notes.append(report.hypotheses(told))
        found.good = found.good and not told.faults
    if others:
        found.notes.append(report.unwitnessed(others))


def _counted(ring: str, proved: Outcome) -> selfcheck.Checked:
    return selfcheck.check(ring, proved, selfcheck.lemmas_of(ring))


@cache
def _believed(ring: str) -> selfcheck.Checked:
    """Ask what is false once: the prover stays what it is while this runs."""
    with report.progress("asking what is false") as step:
        return selfcheck.believed(ring, step)


def _records(ring: str, pool: ProcessPoolExecutor) -> list[tuple[Callable[[Any], str], Future[Any]]]:
    """Have the records of mutants, conjuncts and witnesses played; give what says so, and the result."""
    parts = kit(ring)
    found: list[tuple[Callable[[Any], str], Future[Any]]] = []
    if parts.mutation:
        found.append((partial(report.mutants, page=parts.mutation.page), pool.submit(mutants.check, ring)))
        found.append((report.conjuncts, pool.submit(conjuncts.check, ring)))
    if parts.witnessing:
        found.append((report.witnesses, pool.submit(witnesses.check, ring)))
    return found


def _without(proved: Outcome) -> list[str]:
    """Say what has no proof, and why."""
    reasons = {text: sum(other == text for other in proved.failed.values()) for text in proved.failed.values()}
    return [f"{number} without a proof: {text}" for text, number in reasons.items()]


def _search_again(
    asked: list[tuple[protocol.Subject, str]],
    record: Mapping[tuple[protocol.Subject, str], Verdict],
    search: bool,
    proved: Outcome,
) -> dict[tuple[protocol.Subject, Bounds], Found]:
    """Search where a verdict rests on a search: bounded ones, unrecorded ones, and with `search` violated ones too."""
    jobs: dict[tuple[protocol.Subject, Bounds], set[str]] = {}
    for subject, name in asked:
        verdict = record.get((subject, name))
        if verdict is None:
            bounds: tuple[Bounds, ...] = (
                () if name in proved.properties(protocol.like(subject)) else default_bounds(subject.ring, name)
            )
        elif verdict.verdict == "proved" or (verdict.verdict == "violated" and not search):
            bounds = ()
        else:
            quick = () if name == "drains" else tuple(b for b in verdict.bounds if b.again)  # its states are many
            again = quick or verdict.bounds[:1]  # the quickest comes first
            bounds = verdict.bounds if search else again
        for bound in bounds:
            jobs.setdefault((subject, bound), set()).add(name)
    if not jobs:
        return {}
    with report.progress("searching") as step, workers() as pool:
        results = {}
        work = [(s, b, frozenset(names)) for (s, b), names in jobs.items()]
        for done, (key, result) in enumerate(zip(jobs, pool.map(_search, work), strict=True), start=1):
            results[key] = result
            step(done, len(jobs))
    return results


def default_bounds(ring: str, name: str) -> tuple[Bounds, ...]:
    """Give the bounds within which an unrecorded subject is searched; the packed ring has many more states.

    Some gaps turn on a rare event alone, as a reset is.
    """
    if name == "drains":
        return (Bounds(2, 1, 1, 1),)
    rare = Bounds(2, 2, 1, 1, 1 if ring == "split" else 0)
    return (Bounds(2, 3, 2) if ring == "split" else Bounds(2, 2, 2), rare)


def _search(job: tuple[protocol.Subject, Bounds, frozenset[str]]) -> Found:
    subject, bounds, properties = job
    table, sizes = table_and_sizes(subject, bounds, properties)
    return explore(table, sizes, bounds, properties, every=True)


def _run_of(verdict: Verdict) -> Path:
    return recorded_folder(verdict.ring) / str(verdict.counterexample)


def _played(files: Sequence[Path]) -> dict[Path, tuple[bool, float]]:
    """Play recorded runs, on all cores; give whether each violates what it is said to, and the seconds it took."""
    if not files:
        return {}
    found = {}
    with report.progress("playing") as step, workers() as pool:
        for file, told in zip(files, pool.map(_plays, files, chunksize=TOGETHER), strict=True):
            found[file] = told
            step(len(found), len(files))
    return found


def _plays(file: Path) -> tuple[bool, float]:
    started = time.monotonic()
    return violates(load_schedule(file)), time.monotonic() - started


def _verdict(  # noqa: PLR0917
    subject: protocol.Subject,
    name: str,
    was: Verdict | None,
    proved: Outcome,
    searched: Mapping[tuple[protocol.Subject, Bounds], Found],
    played: Mapping[Path, tuple[bool, float]],
) -> Judged:
    gaps = dict(subject.choices)
    looked = [(b, f) for (s, b), f in searched.items() if s == subject and (was is None or b in was.bounds)]
    looked = [(b, f) for b, f in looked if name in f.judged]
    hit = next((f.violations[name] for _, f in looked if name in f.violations), None)
    if was is not None and was.verdict == "violated":
        same, seconds = played[_run_of(was)]
        if looked:
            same = same and hit is not None and len(hit) == len(load_schedule(_run_of(was)).events)
        now = was if same else Verdict(subject.ring, subject.revision, gaps, name, "unknown")
        return Judged(now, was, seconds)
    if name in proved.properties(protocol.like(subject)):
        seconds = proved.seconds(protocol.like(subject))
        return Judged(Verdict(subject.ring, subject.revision, gaps, name, "proved"), was, seconds)
    seconds = sum(f.seconds for _, f in looked)
    bounds = tuple(b for b, _ in looked)
    if hit is not None:
        shown = next(Schedule.found(subject, name, b, f) for b, f in looked if name in f.violations)
        now = Verdict(subject.ring, subject.revision, gaps, name, "violated", bounds)
        return Judged(now, was, seconds, shown)
    complete = bool(looked) and all(f.complete for _, f in looked)
    return Judged(
        Verdict(subject.ring, subject.revision, gaps, name, "bounded" if complete else "unknown", bounds), was, seconds
    )
