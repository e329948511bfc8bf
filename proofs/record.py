"""Makes the record anew: hints for the solver, verdicts, counterexamples. A campaign of its own, not part of CI.

    python -m proofs.record

For each subject: run every goal; search exhaustively within the bounds below. A property is `violated` when the search
finds a run, `proved` when its goals are proved, and `bounded` otherwise. A property that is proved and violated would
mean that the proof is wrong: the campaign stops there.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import asdict
from multiprocessing import Pool
from pathlib import Path

from rich.progress import track

from model import protocol
from model.properties import NAMES
from proofs.engine import prove_all
from proofs.induction import hints
from proofs.report import progress
from proofs.search import Bounds, Found, explore
from proofs.verdicts import Schedule, Verdict, recorded_folder, subjects, table_and_sizes

__all__ = ["BOUNDS", "DRAINS", "main", "search"]

BOUNDS = (
    Bounds(2, 2, 1, 1, 1),
    Bounds(2, 3, 1),
    Bounds(2, 2, 1, 0, 65535),
    Bounds(4, 1, 1),
)
"""For every property but `drains`."""

COUNTERS = (Bounds(2, 3, 2),)
"""Besides, for the gaps of the global counter, which need a second crash to show."""

DRAINS = (Bounds(2, 1, 1), Bounds(4, 1, 1))
"""For `drains`, where notifications make many more states."""

WIDE = (Bounds(2, 2, 2, 1, 1), Bounds(2, 3, 2), Bounds(2, 4, 2), Bounds(4, 2, 1), Bounds(4, 3, 1))
"""Besides, for the defaults."""

WIDE_DRAINS = (Bounds(2, 2, 1),)
"""Besides, for `drains` under the defaults and for the event indexes, which need a second request to show."""


def searches(subject: protocol.Subject) -> list[tuple[Bounds, frozenset[str]]]:
    """Give the searches for a subject."""
    safe = frozenset(NAMES) - {"drains"}
    wide = () if subject.choices else WIDE
    gaps = {gap.partition("-")[0] for gap, _ in subject.choices}
    counters = COUNTERS if "counter" in gaps else ()
    more = WIDE_DRAINS if not gaps or "event" in gaps else ()
    return [*((b, safe) for b in (*BOUNDS, *counters, *wide)),
            *((b, frozenset({"drains"})) for b in (*DRAINS, *more))]  # fmt: skip


def search(job: tuple[protocol.Subject, Bounds, frozenset[str]]) -> tuple[protocol.Subject, Bounds, Found]:
    """Do one search."""
    subject, bounds, properties = job
    table, sizes = table_and_sizes(subject, bounds, properties)
    return subject, bounds, explore(table, sizes, bounds, properties, every=True)


Looked = list[tuple[Bounds, frozenset[str], Found]]


def search_all(everything: list[protocol.Subject]) -> dict[protocol.Subject, Looked]:
    """Do all searches, on all cores."""
    jobs = [(s, b, p) for s in everything for b, p in searches(s)]
    found: dict[protocol.Subject, Looked] = {s: [] for s in everything}
    with Pool() as pool:
        results = track(pool.imap(search, jobs), "searching", len(jobs))
        for (_, _, properties), (subject, bounds, result) in zip(jobs, results, strict=True):
            found[subject].append((bounds, properties, result))
    return found


def write(found: Mapping[protocol.Subject, Looked], proved: Mapping[protocol.Subject, set[str]]) -> None:
    """Write verdicts, counterexamples, and what the searches saw."""
    folder = recorded_folder("split")
    shutil.rmtree(folder / "counterexamples", ignore_errors=True)
    (folder / "counterexamples").mkdir(parents=True)
    verdicts = [_verdict(s, name, looked, name in proved[s]) for s, looked in found.items() for name in NAMES]
    entries = [{k: v for k, v in asdict(v).items() if v not in ((), None)} for v in verdicts]
    _dump(folder / "verdicts.json", entries)
    seen = [
        {"revision": s.revision, "gaps": dict(s.choices), "bounds": asdict(b), "properties": sorted(p),
         "violated": sorted(r.violations), "states": r.states, "transitions": r.transitions, "depth": r.depth,
         "seconds": round(r.seconds, 1), "complete": r.complete}
        for s, looked in found.items() for b, p, r in looked
    ]  # fmt: skip
    _dump(folder / "searches.json", seen)


def _dump(path: Path, entries: list[dict[str, object]]) -> None:
    path.write_text("[\n" + ",\n".join(" " + json.dumps(e) for e in entries) + "\n]\n")


def main() -> None:
    """Run the campaign and write the record."""
    everything = list(subjects("split"))
    with progress("proving") as step:
        proved = prove_all(everything, core=True, progress=step)
    _write_hints(proved.cores)
    write(search_all(everything), {s: proved.properties(s) for s in everything})


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


def _write_hints(cores: dict[str, list[str]]) -> None:
    known = {**hints(), **cores}
    lines = ",\n".join(f" {json.dumps(k)}: {json.dumps(v)}" for k, v in sorted(known.items()))
    (recorded_folder("split") / "hints.json").write_text("{\n" + lines + "\n}\n")


if __name__ == "__main__":
    main()
