"""What is proved of each reading of the packed ring, and what breaks the rest: ``python -m tools.readings_verdicts``.

A reading is a choice that a revision does not leave open (docs/gaps.md). For each: search for what it violates within
the bounds here, prove what no run is known of, and write verdicts and runs. What neither breaks nor can be proved is
`bounded`. It goes on where it was stopped: what has an entry is left alone; to do it again, remove the entry.

    python -m tools.readings_verdicts [SUBSTRING]     those whose name has that in it
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from model.properties import NAMES
from model.protocol import Subject
from proofs.induction.engine import prove_all
from proofs.record import search
from proofs.search.bounds import Bounds
from proofs.search.breadth_first import Found
from proofs.verdicts import READINGS, Schedule, Verdict, readings, recorded_folder, recorded_readings
from tools import readings as searched

__all__ = ["bounds_of", "main", "verdicts"]

FOLDER = "readings"
"""The folder of the ring's record with the runs."""

SAFE = frozenset(NAMES) - {"drains"}

SERVING = (Bounds(1, 2, 2), Bounds(2, 2, 1))
"""The searches of what only the readings have: orders of stores, and of flags; batches and chains of one."""

THREE = (Bounds(3, 2, 1),)
"""Besides, for the orders of supplying 9: what goes wrong there takes a third slot to show."""

Runs = list[tuple[Bounds, frozenset[str], Found]]


def bounds_of(subject: Subject) -> list[tuple[Bounds, frozenset[str]]]:
    """Give the searches of a reading: for every property but `drains`, and for that one as far as it was done."""
    ((name, choice),) = subject.choices
    of_gaps = {(gap.name, one.name): (gap, one) for gap, one in searched.open_readings()}
    if (name, choice) in of_gaps:
        return [(b, SAFE) for b in searched.safe_bounds(*of_gaps[name, choice])]
    more = THREE if name == "settle-order" else ()
    drains = ((b, frozenset({"drains"})) for b in searched.DRAINS[:1])
    return [*((b, SAFE) for b in (*SERVING, *more)), *drains]


def verdicts(subject: Subject, looked: Runs, proved: set[str], hang: Sequence[Mapping[str, Any]]) -> list[Verdict]:
    """Give the verdict of each property, and write its run; `hang` are the recorded searches for `drains`."""
    return [_verdict(subject, name, looked, name in proved, hang if name == "drains" else ()) for name in NAMES]


def _verdict(subject: Subject, name: str, looked: Runs, proved: bool, hang: Sequence[Mapping[str, Any]]) -> Verdict:
    verdict = Verdict(subject.ring, subject.revision, dict(subject.choices), name, "proved")
    done = [(b, f.complete, f.violations.get(name), f) for b, names, f in looked if name in names]
    runs = [(len(run), b, f) for b, _, run, f in done if run]
    if runs:
        if proved:
            sys.exit(f"{subject.name}: {name} is proved and violated: the proof is wrong")
        _, bounds, found = min(runs, key=lambda run: run[0])
        return _violated(verdict, Schedule.found(subject, name, bounds, found), bounds)
    for entry in (e for e in hang if "schedule" in e):
        bounds = Bounds(**entry["bounds"])
        return _violated(verdict, Schedule.found(subject, name, bounds, _found(name, entry)), bounds)
    if proved:
        return verdict
    within = [b for b, complete, *_ in done if complete] + [Bounds(**e["bounds"]) for e in hang if e["complete"]]
    return replace(verdict, verdict="bounded", bounds=tuple(within))


def _found(name: str, entry: Mapping[str, Any]) -> Found:
    """Give a recorded search as what it found."""
    run = tuple((str(e[0]), int(e[1])) if len(e) > 1 else (str(e[0]),) for e in entry["schedule"])
    seen = entry["states"], 0, entry["depth"], entry["seconds"], entry["complete"]
    return Found(frozenset({name}), {name: run}, *seen, repeats_from=entry.get("repeats_from"))


def _violated(verdict: Verdict, schedule: Schedule, bounds: Bounds) -> Verdict:
    path = f"{FOLDER}/{schedule.file_name()}"
    file = recorded_folder(verdict.ring) / path
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(schedule.json()) + "\n", encoding="utf-8")
    return replace(verdict, verdict="violated", bounds=(bounds,), counterexample=path)


def _write(told: Sequence[Verdict]) -> None:
    order = {subject: number for number, subject in enumerate(readings("packed"))}
    rows = sorted(told, key=lambda v: (order[v.subject()], NAMES.index(v.property)))
    kept = [{k: v for k, v in asdict(row).items() if v not in ((), None)} for row in rows]
    text = "[\n" + ",\n".join(" " + json.dumps(row) for row in kept) + "\n]\n"
    (recorded_folder("packed") / READINGS).write_text(text, encoding="utf-8")


def main(arguments: Sequence[str]) -> None:
    """Judge each reading that has no entry yet, and write what came out."""
    told = list(recorded_readings("packed"))
    known = {v.subject() for v in told}
    for subject in readings("packed"):
        if subject in known or (arguments and arguments[0] not in subject.name):
            continue
        looked = [(b, names, search((subject, b, names))) for b, names in bounds_of(subject)]
        hang = searched.drains().get(subject.choices[0], []) if subject.revision == "hardened" else []
        broken = {name for _, _, found in looked for name in found.violations}
        broken |= {"drains"} if any("schedule" in e for e in hang) else set()
        proved = prove_all([subject], properties={subject: set(NAMES) - broken}).properties(subject)
        told += verdicts(subject, looked, proved, hang)
        _write(told)
        print(subject.name, {v.property: v.verdict for v in told[-len(NAMES) :]}, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
