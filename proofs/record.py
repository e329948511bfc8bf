"""Makes the record of a ring anew: hints for the solver, verdicts, counterexamples. A campaign, not part of CI.

    python -m proofs.record [RING] [--only SUBSTRING]

For each subject: run every goal; search exhaustively within the ring's bounds (`proofs.search.bounds.Campaign`). A
property is `violated` when the search finds a run, `proved` when its goals are proved, and `bounded` otherwise. A
property that is proved and violated would mean that the proof is wrong: the campaign stops there.

Hints are written when all is proved, the rest after each subject, so that a campaign can be stopped. It goes on with
``--only``: the subjects whose name, like ``v6`` or ``merged fetch-position=used-idx``, has that in it.
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
from proofs.verdicts import Schedule, Verdict, recorded_folder, subjects, table_and_sizes
from proofs.workers import workers

__all__ = ["Looked", "main", "search", "searches", "write", "write_hints"]

Looked = list[tuple[Bounds, frozenset[str], Found]]
"""The searches of one subject: the bounds, the properties that were judged, what was found."""


def searches(subject: protocol.Subject) -> list[tuple[Bounds, frozenset[str]]]:
    """Give the searches for a subject."""
    safe, told = frozenset(NAMES) - {"drains"}, runs(subject.ring).campaign
    wide = () if subject.choices else told.wide
    gaps = {gap.partition("-")[0] for gap, _ in subject.choices}
    counters = told.counters if "counter" in gaps else ()
    fresh = {"fresh", "init"} & gaps or subject.revision == "hardened"
    in_use = told.in_use if fresh else ()
    more = told.wide_drains if subject.revision != "hardened" and (not gaps or "event" in gaps) else ()
    resets = told.resets if "reset" in gaps else ()
    found = [*((b, safe) for b in (*told.bounds, *counters, *in_use, *wide)),
             *((b, frozenset({"drains"})) for b in (*told.drains, *resets, *more))]  # fmt: skip
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
    seen = [
        {"revision": subject.revision, "gaps": dict(subject.choices), "bounds": asdict(b), "properties": sorted(p),
         "violated": sorted(r.violations), "states": r.states, "transitions": r.transitions, "depth": r.depth,
         "seconds": round(r.seconds, 1), "complete": r.complete}
        for b, p, r in looked
    ]  # fmt: skip
    _exchange(folder / "searches.json", subject, seen)
    named = {folder / entry["counterexample"] for entry in told if "counterexample" in entry}
    for path in set((folder / "counterexamples").iterdir()) - named:
        path.unlink()


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
        sizes = protocol.sizes(subject, bounds.size, bounds.first)
        schedule = Schedule(subject.ring, subject.revision, gaps, name, bounds.size, sizes.entries, bounds.first,
                            notifications=name == "drains", events=result.violations[name])  # fmt: skip
        path = f"counterexamples/{schedule.file_name()}"
        (recorded_folder(subject.ring) / path).write_text(json.dumps(schedule.json()) + "\n")
        return Verdict(subject.ring, subject.revision, gaps, name, "violated", (bounds,), path)
    if proved:
        return Verdict(subject.ring, subject.revision, gaps, name, "proved")
    complete = tuple(b for b, r in looked if r.complete)
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
    asked = parser.parse_args(arguments)
    chosen = [s for s in subjects(asked.ring) if asked.only in s.name]
    if not chosen:
        sys.exit(f"no subject of the {asked.ring} ring has {asked.only!r} in its name")
    with progress("proving") as step:
        proved = prove_all(chosen, core=True, progress=step)
    if asked.ring in proved.cores:
        write_hints(asked.ring, proved.cores[asked.ring])
    for subject, looked in search_all(chosen):
        write(subject, looked, proved.properties(subject))


if __name__ == "__main__":
    main()
