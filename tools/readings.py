"""Which reading of what the packed ring's text leaves open survives: ``python -m tools.readings`` searches them.

v6 and merged violate every property on the packed ring by themselves, so the record of their verdicts does not tell a
good reading from a bad one. Here each alternative of each gap is applied to `hardened`, which closes the gaps and
holds: what is violated then, the alternative alone violates. The result is recorded, as it takes minutes;
docs/errata.md prints it. What has an entry is not searched again: to do that, remove the file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
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
    "RECORD",
    "hardened_with",
    "main",
    "open_readings",
    "recorded",
    "search",
    "sizes",
]

RECORD = Path(__file__).parents[1] / "proofs" / "recorded" / "packed" / "readings.json"
"""One entry for each reading: its gap and choice, what it violates, whether every search was complete."""

BOUNDS = (Bounds(1, 2, 2, states=100_000), Bounds(2, 2, 1, 1, states=300_000))
"""The searches for every property but `drains`. A reading that goes wrong can have many more states than one that
holds: such a search gives up, and is not complete."""

COUNTERS = (Bounds(2, 3, 2, states=3_000_000),)
"""Besides, for the gaps of the global counter, which need a second crash to show."""

IN_USE = (Bounds(2, 2, 1, 0, 3, states=300_000),)
"""Besides, for the gaps of a fresh region, on a ring that has been in use."""

DRAINS = (Bounds(1, 2, 1, states=500_000),)
"""The searches for `drains`."""

LONGER = (Bounds(2, 1, 1, 0, 3, states=500_000),)
"""Besides, for `drains`, for the gaps of a fresh region, and of a region smaller than a chain may be."""


RESETS = (Bounds(2, 1, 1, 1, states=1_500_000),)
"""Besides, for `drains`, for the gap of resets, which are rare events."""


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


def search(gap: Gap, alternative: Alternative) -> dict[str, Any]:
    """Search one reading: what it violates, in the order of the properties, within which bounds."""
    table, safe = hardened_with(alternative), frozenset(NAMES) - {"drains"}
    counters = COUNTERS if gap.name.startswith("counter") else ()
    in_use = IN_USE if gap.name in {"init-order", "fresh-used-idx"} else ()
    smaller = alternative.name == "smaller"
    bounds = [b for b in (*BOUNDS, *counters, *in_use) if b.size > 1 or not smaller]
    more = (*(LONGER if in_use or smaller else ()), *(RESETS if gap.name == "reset" else ()))
    drains = [b for b in (*DRAINS, *more) if b.size > 1 or not smaller]
    looked = [(runs("packed").quiet(table), b, safe) for b in bounds]
    looked += [(table, b, frozenset({"drains"})) for b in drains]
    found = [explore(t, sizes(gap, alternative, b), b, p, every=True) for t, b, p in looked]
    violated = {name for f in found for name in f.violations}
    return {
        "gap": gap.name,
        "choice": alternative.name,
        "violated": [name for name in NAMES if name in violated],
        "complete": all(f.complete for f in found),
        "bounds": [b.text() for _, b, _ in looked],
    }


def recorded() -> list[dict[str, Any]]:
    """Read the record; nothing where there is none."""
    return list(json.loads(RECORD.read_text(encoding="utf-8"))) if RECORD.is_file() else []


def main() -> None:
    """Search each reading that has no entry yet and write the record, an entry a line."""
    known = {(e["gap"], e["choice"]): e for e in recorded()}
    entries = []
    for gap, alternative in open_readings():
        entries.append(known.get((gap.name, alternative.name)) or search(gap, alternative))
        print(gap.name, alternative.name, entries[-1]["violated"] or "nothing", flush=True)
        RECORD.write_text("[\n" + ",\n".join(" " + json.dumps(e) for e in entries) + "\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
