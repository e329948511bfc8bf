"""Makes the record of a ring anew: hints for the solver, verdicts, counterexamples. A campaign, not part of CI.

    python -m proofs.record [RING] [--only SUBSTRING] [--drains | --bounded | --run FILE]

For each subject: run every goal; search exhaustively within the ring's bounds (`proofs.search.bounds.Campaign`). A
property is `violated` when the search finds a run, `proved` when its goals are proved, and `bounded` otherwise. A
property that is proved and violated would mean that the proof is wrong: the campaign stops there.

Hints are written when all is proved, the rest after each subject, so that a campaign can be stopped. It goes on with
``--only``: the subjects whose name, like ``v6`` or ``merged fetch-position=used-idx``, has that in it. What the
searches for `drains` saw is in a file of its own; ``--drains`` does those of them that have no entry there, and proves
nothing; ``--bounded`` proves what is bounded, and searches nothing. ``--run`` takes a schedule file, of a run that was
found in another way than by a search of all runs: what was bounded is violated then, with no bounds.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.progress import track

from model import protocol
from model.properties import NAMES
from proofs.induction.engine import prove_all
from proofs.induction.show import hints
from proofs.report import progress
from proofs.search.bounds import Bounds
from proofs.search.breadth_first import Found, explore
from proofs.search.runs import runs
from proofs.verdicts import Schedule, Verdict, load_schedule, recorded_folder, subjects, table_and_sizes, violates
from proofs.workers import workers

__all__ = ["Looked", "main", "search", "searches", "write", "write_hints"]

Looked = list[tuple[Bounds, frozenset[str], Found]]
"""The searches of one subject: the bounds, the properties that were judged, what was found."""

DRAINS = frozenset({"drains"})


def searches(subject: protocol.Subject) -> list[tuple[Bounds, frozenset[str]]]:
    """Give the searches for a subject."""
    safe, told = frozenset(NAMES) - {"drains"}, runs(subject.ring).campaign
    wide = () if subject.choices else told.wide
    gaps = {gap.partition("-")[0] for gap, _ in subject.choices}
    counters = told.counters if "counter" in gaps else ()
    fresh = {"fresh", "init"} & gaps or subject.revision == "hardened"
    in_use = told.in_use if fresh else ()
    laps = told.laps if "first-wrap" in {gap for gap, _ in subject.choices} else ()
    batches = told.batches if {"batch-size", "fetch-in-batch"} & {gap for gap, _ in subject.choices} else ()
    more = told.wide_drains if subject.revision != "hardened" and (not gaps or "event" in gaps) else ()
    further = [b for chosen in subject.choices for b in told.further.get(chosen, ())]
    found = [*((b, safe) for b in (*told.bounds, *counters, *in_use, *laps, *wide)),
             *((b, DRAINS) for b in (*told.drains, *batches, *more, *further))]  # fmt: skip
    return [(b, p) for b, p in found if protocol.sizes(subject, b.size).entries]  # no region has none


def search(job: tuple[protocol.Subject, Bounds, frozenset[str]]) -> Found:
    """Do one search."""
    subject, bounds, properties = job
    table, sizes = table_and_sizes(subject, bounds, properties)
    return explore(table, sizes, bounds, properties, every=True)


def search_all(everything: Sequence[protocol.Subject]) -> Iterator[tuple[protocol.Subject, Looked]]:
    """Do all searches, on all cores; give what was found of a subject as soon as its last one is done."""
    jobs = [(s, b, p) for s in everything for b, p in searches(s)]
    with workers() as pool:
        results = iter(track(pool.map(search, jobs), "searching", len(jobs)))
        for subject in everything:
            yield subject, [(b, p, next(results)) for b, p in searches(subject)]


def write(subject: protocol.Subject, looked: Looked, proved: set[str]) -> None:
    """Put what is known of one subject into the record: verdicts, counterexamples, what the searches saw.

    What was recorded of it goes; what was recorded of others stays, as long as there are such subjects.
    """
    folder = recorded_folder(subject.ring)
    (folder / "counterexamples").mkdir(parents=True, exist_ok=True)
    verdicts = [asdict(_verdict(subject, name, looked, name in proved)) for name in NAMES]
    kept = [{k: v for k, v in verdict.items() if v not in ((), None)} for verdict in verdicts]
    told = _exchange(folder / "verdicts.json", subject, kept)
    _write_seen(subject, looked)
    named = {folder / entry["counterexample"] for entry in told if "counterexample" in entry}
    for path in set((folder / "counterexamples").iterdir()) - named:
        path.unlink()


def _write_seen(subject: protocol.Subject, looked: Looked) -> None:
    """Write what searches of a subject saw: those for `drains`, and those for everything else, as far as there are."""
    for name, wanted in (("searches.json", False), ("drains.json", True)):
        seen = [_seen(subject, *one) for one in looked if ("drains" in one[1]) == wanted]
        if seen:
            _exchange(recorded_folder(subject.ring) / name, subject, seen)


def _seen(subject: protocol.Subject, bounds: Bounds, properties: frozenset[str], found: Found) -> dict[str, Any]:
    return {
        "revision": subject.revision, "gaps": dict(subject.choices), "bounds": asdict(bounds),
        "properties": sorted(properties), "violated": sorted(found.violations), "states": found.states,
        "transitions": found.transitions, "depth": found.depth, "seconds": round(found.seconds, 1),
        "complete": found.complete,
    }  # fmt: skip


def search_for_drains(chosen: Sequence[protocol.Subject]) -> None:
    """Do the searches for `drains` that have no entry yet, and write each with what follows from it."""
    jobs = [(s, b, p) for s in chosen for b, p in searches(s) if p == DRAINS and b not in _searched(s)]
    changed: list[str] = []
    with workers() as pool:
        for job, found in zip(jobs, track(pool.map(search, jobs), "searching", len(jobs)), strict=True):
            path = recorded_folder(job[0].ring) / "drains.json"
            changed += _exchange_drains(*job, found)
            order = [asdict(b) for b, p in searches(job[0]) if p == DRAINS]
            done = [*_entries(path, job[0]), _seen(*job, found)]
            _exchange(path, job[0], sorted(done, key=lambda e: order.index(e["bounds"])))
    for line in changed:  # not before: what shows the progress breaks lines
        print(line)


def prove_bounded(chosen: Sequence[protocol.Subject]) -> None:
    """Prove what searches alone speak of so far; write what is proved, with its hints. What a run violates stays."""
    bounded = {s: {e["property"] for e in _verdicts(s) if e["verdict"] == "bounded"} for s in chosen}
    bounded = {s: names for s, names in bounded.items() if names}
    with progress("proving") as step:
        proved = prove_all(bounded, core=True, properties=bounded, progress=step)
    for ring, cores in proved.cores.items():
        write_hints(ring, cores)
    for subject, names in bounded.items():
        shown = proved.properties(subject) & names
        entries = [
            asdict(Verdict(subject.ring, subject.revision, dict(subject.choices), e["property"], "proved"))
            if e["property"] in shown else e
            for e in _verdicts(subject)
        ]  # fmt: skip
        kept = [{k: v for k, v in entry.items() if v not in ((), None)} for entry in entries]
        _exchange(recorded_folder(subject.ring) / "verdicts.json", subject, kept)
        left = ", ".join(sorted(names - shown)) or "nothing"
        print(f"{subject.name}: proved {', '.join(sorted(shown)) or 'nothing'}; left {left}")


def take_run(path: Path) -> None:
    """Let a run that was found otherwise turn what is bounded into what is violated; nothing says that it is shortest.

    A run of what is not bounded, and one that violates nothing, are refused.
    """
    schedule = load_schedule(path)
    subject = protocol.Subject.of(schedule.ring, schedule.revision, schedule.gaps)
    entries = _verdicts(subject)
    (was,) = (e for e in entries if e["property"] == schedule.property)
    if was["verdict"] != "bounded" or not violates(schedule):
        sys.exit(f"{path}: {subject.name} {schedule.property} is {was['verdict']}, or the run does not violate it")
    name = f"counterexamples/{schedule.file_name()}"
    (recorded_folder(subject.ring) / name).write_text(json.dumps(schedule.json()) + "\n")
    told = Verdict(subject.ring, subject.revision, schedule.gaps, was["property"], "violated", (), name)
    now = {k: v for k, v in asdict(told).items() if v not in ((), None)}
    _exchange(recorded_folder(subject.ring) / "verdicts.json", subject, [now if e is was else e for e in entries])
    print(f"{subject.name}: {schedule.property} is violated by {len(schedule.events)} events")


def _verdicts(subject: protocol.Subject) -> list[dict[str, Any]]:
    return _entries(recorded_folder(subject.ring) / "verdicts.json", subject)


def _searched(subject: protocol.Subject) -> set[Bounds]:
    entries = _entries(recorded_folder(subject.ring) / "drains.json", subject)
    return {Bounds(**entry["bounds"]) for entry in entries}


def _exchange_drains(subject: protocol.Subject, bounds: Bounds, properties: frozenset[str], found: Found) -> list[str]:
    """Let one more search for `drains` change its verdict: a run, a shorter one, or wider bounds; give what to say.

    A run of what is proved ends it all.
    """
    said: list[str] = []
    path = recorded_folder(subject.ring) / "verdicts.json"
    entries = _entries(path, subject)
    (was,) = (e for e in entries if e["property"] == "drains")
    if found.violations:
        if was["verdict"] == "violated" and _length(subject, was) <= len(found.violations["drains"]):
            return said
        told = _verdict(subject, "drains", [(bounds, properties, found)], was["verdict"] == "proved")
        now = {k: v for k, v in asdict(told).items() if v not in ((), None)}
        events = len(found.violations["drains"])
        said = [f"{subject.name}: drains was {was['verdict']}, and is violated by {events} events"]
    elif was["verdict"] == "bounded" and found.complete:
        done = [asdict(b) for b, p in searches(subject) if p == DRAINS and (b == bounds or asdict(b) in was["bounds"])]
        now = {**was, "bounds": done}
    else:
        return said
    _exchange(path, subject, [now if e is was else e for e in entries])
    return said


def _length(subject: protocol.Subject, violated: dict[str, Any]) -> int:
    return len(load_schedule(recorded_folder(subject.ring) / violated["counterexample"]).events)


def _entries(path: Path, subject: protocol.Subject) -> list[dict[str, Any]]:
    """Give the entries of a subject in a file that has an entry a line."""
    told = json.loads(path.read_text()) if path.is_file() else ()
    return [e for e in told if (e["revision"], e["gaps"]) == (subject.revision, dict(subject.choices))]


def _exchange(path: Path, subject: protocol.Subject, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Exchange the entries of a subject in a file that has an entry a line; give all of them, in order of subjects."""
    by_subject: dict[tuple[str, tuple[tuple[str, str], ...]], list[dict[str, Any]]] = {}
    for entry in json.loads(path.read_text()) if path.is_file() else ():
        by_subject.setdefault((entry["revision"], tuple(sorted(entry["gaps"].items()))), []).append(entry)
    by_subject[subject.revision, subject.choices] = entries
    told = [e for s in subjects(subject.ring) for e in by_subject.get((s.revision, s.choices), ())]
    path.write_text("[\n" + ",\n".join(" " + json.dumps(e) for e in told) + "\n]\n")
    return told


def _verdict(subject: protocol.Subject, name: str, found: Looked, proved: bool) -> Verdict:
    looked = [(bounds, result) for bounds, properties, result in found if name in properties]
    broken = [(len(r.violations[name]), b, r) for b, r in looked if name in r.violations]
    gaps = dict(subject.choices)
    if broken:
        if proved:
            sys.exit(f"{subject} {name} is proved and violated: the proof is wrong")
        _, bounds, result = min(broken, key=lambda t: t[0])
        schedule = Schedule.found(subject, name, bounds, result)
        path = f"counterexamples/{schedule.file_name()}"
        (recorded_folder(subject.ring) / path).write_text(json.dumps(schedule.json()) + "\n")
        return Verdict(subject.ring, subject.revision, gaps, name, "violated", (bounds,), path)
    if proved:
        return Verdict(subject.ring, subject.revision, gaps, name, "proved")
    complete = tuple(b for b, r in looked if r.complete and b.tells(name))
    return Verdict(subject.ring, subject.revision, gaps, name, "bounded", complete)


def write_hints(ring: str, cores: dict[str, list[str]]) -> None:
    """Add hints to those that are recorded for a ring."""
    known = {**hints(ring), **cores}
    lines = ",\n".join(f" {json.dumps(k)}: {json.dumps(v)}" for k, v in sorted(known.items()))
    recorded_folder(ring).mkdir(parents=True, exist_ok=True)
    (recorded_folder(ring) / "hints.json").write_text("{\n" + lines + "\n}\n")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the campaign and write the record; exit with a line where nothing is chosen, or a proof is wrong."""
    parser = argparse.ArgumentParser(prog="python -m proofs.record", description="Make the record of a ring anew.")
    parser.add_argument("ring", nargs="?", default="split", choices=protocol.RINGS)
    parser.add_argument("--only", metavar="SUBSTRING", default="", help="the subjects with this in their name")
    parser.add_argument("--drains", action="store_true", help="search for drains alone, where that was not done yet")
    parser.add_argument("--bounded", action="store_true", help="prove what is bounded alone, and search nothing")
    parser.add_argument("--run", type=Path, metavar="FILE", help="take a schedule that violates what is bounded")
    asked = parser.parse_args(arguments)
    if asked.run:
        take_run(asked.run)
        return
    chosen = [s for s in subjects(asked.ring) if asked.only in s.name]
    if not chosen:
        sys.exit(f"no subject of the {asked.ring} ring has {asked.only!r} in its name")
    if asked.drains or asked.bounded:
        (search_for_drains if asked.drains else prove_bounded)(chosen)
        return
    with progress("proving") as step:
        proved = prove_all(chosen, core=True, progress=step)
    if asked.ring in proved.cores:
        write_hints(asked.ring, proved.cores[asked.ring])
    for subject, looked in search_all(chosen):
        write(subject, looked, proved.properties(subject))


if __name__ == "__main__":
    main()
