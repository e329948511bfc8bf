"""Which reading of what the packed ring's text leaves open survives: ``python -m tools.readings`` searches them.

    python -m tools.readings            every property but `drains`
    python -m tools.readings drains     `drains`, with notifications: hours, and gigabytes

v6 and merged violate every property on the packed ring by themselves, so the record of their verdicts does not tell a
good reading from a bad one. Here each alternative of each gap is applied to `hardened`, which closes the gaps and
holds: what is violated then, the alternative alone violates. The result is recorded, as it takes minutes;
docs/errata.md prints it. What has an entry is not searched again: to do that, remove the file. A search for `drains` is
an entry of its own in its own file, so that it can be stopped and goes on.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from multiprocessing import Pool
from pathlib import Path
from typing import Any

from model import protocol
from model.gaps import Alternative, Gap
from model.packed.revisions import REVISIONS, V6
from model.properties import NAMES
from model.steps import Table
from proofs.search.bounds import Bounds
from proofs.search.breadth_first import explore
from proofs.search.runs import runs

__all__ = [
    "BOUNDS",
    "COUNTERS",
    "DRAINS",
    "DRAINS_RECORD",
    "RECORD",
    "drains",
    "drains_bounds",
    "hardened_with",
    "main",
    "open_readings",
    "recorded",
    "safe_bounds",
    "search",
    "search_drains",
    "sizes",
]

RECORD = Path(__file__).parents[1] / "proofs" / "recorded" / "packed" / "readings.json"
"""One entry for each reading: its gap and choice, what it violates, whether every search was complete."""

DRAINS_RECORD = RECORD.with_name("readings-drains.json")
"""One entry for each search for `drains`: the reading, the bounds, what was seen, and the run that violates it."""

BOUNDS = (Bounds(1, 2, 2, states=100_000), Bounds(2, 2, 1, 1, states=300_000))
"""The searches for every property but `drains`. A reading that goes wrong can have many more states than one that
holds: such a search gives up, and is not complete."""

COUNTERS = (Bounds(2, 3, 2, states=3_000_000),)
"""Besides, for the gaps of the global counter, which need a second crash to show."""

IN_USE = (Bounds(2, 2, 1, 0, 3, states=300_000),)
"""Besides, for the gaps of a fresh region, on a ring that has been in use."""

DRAINS = (Bounds(1, 2, 1), Bounds(2, 1, 1, 1), Bounds(2, 1, 1, 0, 3), Bounds(2, 2, 0))
"""The searches for `drains`, up to the first that finds a run. On a ring of 1 no chain has two descriptors and no batch
two requests; a ring that has been in use is for the gaps of a fresh region, and no other reading turns on it."""


def open_readings() -> Iterator[tuple[Gap, Alternative]]:
    """Give each alternative but the default of each gap that `merged` leaves open and `hardened` closes."""
    for gap in protocol.gaps("packed").values():
        if gap.open_in("merged") and not gap.open_in("hardened"):
            yield from ((gap, alternative) for alternative in gap.alternatives[1:])


def hardened_with(alternative: Alternative) -> Table:
    """Give the table of `hardened`, but read in another way in one place."""
    table = V6.edited(REVISIONS["hardened"])
    return table.edited(alternative.edits(table))


def sizes(gap: Gap, alternative: Alternative, bounds: Bounds) -> Any:
    """Give the sizes of a run: the region's entries follow from the gap region-size."""
    subject = protocol.Subject.of("packed", "merged", {gap.name: alternative.name})
    return protocol.sizes(subject, bounds.size, bounds.first)


def _of_fresh_region(gap: Gap) -> bool:
    return gap.name in {"init-order", "fresh-used-idx"}


def words(bounds: Bounds) -> str:
    """Say bounds as this record has them, which has plurals of one, too."""
    rare = f", {bounds.rare} rare events" if bounds.rare else ""
    return (
        f"queue size {bounds.size}, {bounds.requests} requests, {bounds.crashes} crashes{rare}, "
        f"first index {bounds.first}"
    )


def safe_bounds(gap: Gap, alternative: Alternative) -> list[Bounds]:
    """Give the searches of a reading for every property but `drains`."""
    counters = COUNTERS if gap.name.startswith("counter") else ()
    in_use = IN_USE if _of_fresh_region(gap) else ()
    return [b for b in (*BOUNDS, *counters, *in_use) if sizes(gap, alternative, b).entries]


def search(gap: Gap, alternative: Alternative) -> dict[str, Any]:
    """Search one reading: what it violates but for `drains`, in the order of the properties, within which bounds."""
    table, safe = runs("packed").quiet(hardened_with(alternative)), frozenset(NAMES) - {"drains"}
    wanted = safe_bounds(gap, alternative)
    found = [explore(table, sizes(gap, alternative, b), b, safe, every=True) for b in wanted]
    violated = {name for f in found for name in f.violations}
    return {
        "gap": gap.name,
        "choice": alternative.name,
        "violated": [name for name in NAMES if name in violated],
        "complete": all(f.complete for f in found),
        "bounds": [words(b) for b in wanted],
    }


def drains_bounds(gap: Gap, alternative: Alternative) -> list[Bounds]:
    """Give the searches for `drains` of a reading."""
    wanted = [b for b in DRAINS if not b.first or _of_fresh_region(gap)]
    return [b for b in wanted if sizes(gap, alternative, b).entries]


def search_drains(job: tuple[str, str, Bounds]) -> dict[str, Any]:
    """Search one reading for `drains`, within some bounds."""
    (gap, choice, bounds) = job
    ((reading, alternative),) = ((g, a) for g, a in open_readings() if (g.name, a.name) == (gap, choice))
    found = explore(hardened_with(alternative), sizes(reading, alternative, bounds), bounds, frozenset({"drains"}))
    run = {"schedule": [list(e) for e in found.violations["drains"]]} if found.violations else {}
    again = {"repeats_from": found.repeats_from} if found.repeats_from else {}
    return {
        "gap": gap, "choice": choice, "bounds": asdict(bounds), "states": found.states, "depth": found.depth,
        "seconds": round(found.seconds, 1), "complete": found.complete, **run, **again,
    }  # fmt: skip


def recorded() -> list[dict[str, Any]]:
    """Read the record; nothing where there is none."""
    return _read(RECORD)


def drains() -> dict[tuple[str, str], list[dict[str, Any]]]:
    """Read what was searched for `drains`: of each reading, by gap and choice, the entries."""
    entries: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for entry in _read(DRAINS_RECORD):
        entries.setdefault((entry["gap"], entry["choice"]), []).append(entry)
    return entries


def _read(path: Path) -> list[dict[str, Any]]:
    return list(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else []


def _write(path: Path, entries: list[dict[str, Any]]) -> None:
    path.write_text("[\n" + ",\n".join(" " + json.dumps(e) for e in entries) + "\n]\n", encoding="utf-8")


def main(arguments: list[str]) -> None:
    """Search each reading that has no entry yet and write the record, an entry a line."""
    if arguments == ["drains"]:
        _search_all_for_drains()
        return
    known = {(e["gap"], e["choice"]): e for e in recorded()}
    entries = []
    for gap, alternative in open_readings():
        entries.append(known.get((gap.name, alternative.name)) or search(gap, alternative))
        print(gap.name, alternative.name, entries[-1]["violated"] or "nothing", flush=True)
        _write(RECORD, entries)


def _search_all_for_drains() -> None:
    """Search each reading within the bounds that it has no entry for, the small ones of all readings first.

    Each search is a process of its own, so that its memory is free again.
    """
    for bounds in DRAINS:
        for gap, alternative in open_readings():
            known = drains().get((gap.name, alternative.name), [])
            done = any("schedule" in e or Bounds(**e["bounds"]) == bounds for e in known)
            if done or bounds not in drains_bounds(gap, alternative):
                continue
            with Pool(1) as pool:
                entry = pool.apply(search_drains, ((gap.name, alternative.name, bounds),))
            _write(DRAINS_RECORD, [*_read(DRAINS_RECORD), entry])
            _tell_violated()
            print(gap.name, alternative.name, bounds.text(), len(entry.get("schedule", ())), "events", flush=True)


def _tell_violated() -> None:
    """Write into the record of all properties which readings violate `drains` too."""
    hang = {key for key, entries in drains().items() if any("schedule" in e for e in entries)}
    entries = recorded()
    for entry in entries:
        broken = {*entry["violated"], *(["drains"] if (entry["gap"], entry["choice"]) in hang else ())}
        entry["violated"] = [name for name in NAMES if name in broken]
    _write(RECORD, entries)


if __name__ == "__main__":
    main(sys.argv[1:])
