"""A record beside that of the revisions: verdicts and their runs, in a file and a folder of a ring's record."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from model import protocol
from model.properties import ALL
from model.protocol import Subject
from proofs.search.bounds import Bounds
from proofs.search.breadth_first import Found
from proofs.verdicts import Schedule, Verdict, recorded_folder

__all__ = ["Beside", "Runs"]

Runs = list[tuple[Bounds, frozenset[str], Found]]
"""The searches of one subject: the bounds, the properties that were judged, what was found."""


@dataclass(frozen=True)
class Beside:
    """Such a record: the ring, the file with the verdicts, the folder with the runs."""

    ring: str
    file: str
    folder: str

    def verdicts(
        self, subject: Subject, looked: Runs, proved: set[str], hang: Sequence[Mapping[str, Any]] = ()
    ) -> list[Verdict]:
        """Give the verdict of each property, and write its run; `hang` are recorded searches for `drains`."""
        return [
            self._verdict(subject, name, looked, name in proved, hang if name == "drains" else ())
            for name in protocol.properties(subject)
        ]

    def _verdict(
        self, subject: Subject, name: str, looked: Runs, proved: bool, hang: Sequence[Mapping[str, Any]]
    ) -> Verdict:
        verdict = Verdict(subject.ring, subject.revision, dict(subject.choices), name, "proved")
        done = [(b, f.complete, f.violations.get(name), f) for b, names, f in looked if name in names]
        runs = [(len(run), b, f) for b, _, run, f in done if run]
        if runs:
            if proved:
                sys.exit(f"{subject.name}: {name} is proved and violated: the proof is wrong")
            _, bounds, found = min(runs, key=lambda run: run[0])
            return self._violated(verdict, Schedule.found(subject, name, bounds, found), bounds)
        for entry in (e for e in hang if "schedule" in e):
            bounds = Bounds(**entry["bounds"])
            return self._violated(verdict, Schedule.found(subject, name, bounds, _found(name, entry)), bounds)
        if proved:
            return verdict
        within = [b for b, complete, *_ in done if complete and b.tells(name)]
        within += [Bounds(**e["bounds"]) for e in hang if e["complete"]]
        return replace(verdict, verdict="bounded", bounds=tuple(within))

    def _violated(self, verdict: Verdict, schedule: Schedule, bounds: Bounds) -> Verdict:
        path = f"{self.folder}/{schedule.file_name()}"
        file = recorded_folder(self.ring) / path
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(schedule.json()) + "\n", encoding="utf-8")
        return replace(verdict, verdict="violated", bounds=(bounds,), counterexample=path)

    def write(self, told: Sequence[Verdict], subjects: Iterable[Subject]) -> None:
        """Write verdicts, in the order of subjects; what is of no such subject goes, with its run."""
        order = {subject: number for number, subject in enumerate(subjects)}
        there = [v for v in told if v.revision in {s.revision for s in order} and v.subject() in order]
        rows = sorted(there, key=lambda v: (order[v.subject()], ALL.index(v.property)))
        kept = [{k: v for k, v in asdict(row).items() if v not in ((), None)} for row in rows]
        text = "[\n" + ",\n".join(" " + json.dumps(row) for row in kept) + "\n]\n"
        (recorded_folder(self.ring) / self.file).write_text(text, encoding="utf-8")
        named = {recorded_folder(self.ring) / str(row.counterexample) for row in rows}
        for path in (recorded_folder(self.ring) / self.folder).glob("*.json"):
            if path not in named:
                path.unlink()


def _found(name: str, entry: Mapping[str, Any]) -> Found:
    """Give a recorded search as what it found."""
    run = tuple((str(e[0]), int(e[1])) if len(e) > 1 else (str(e[0]),) for e in entry["schedule"])
    seen = entry["states"], 0, entry["depth"], entry["seconds"], entry["complete"]
    return Found(frozenset({name}), {name: run}, *seen, repeats_from=entry.get("repeats_from"))
