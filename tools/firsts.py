"""What breaks first: ``python -m tools.firsts`` searches each defect of docs/errata.md alone, pruned at what it breaks.

One broken property brings others with it: a request that is resubmitted twice is soon resubmitted out of order. Here
each defect stands alone (`hardened` but for one of its edits), and no run goes on from where a property is violated. So
what is found of a property is a run on which nothing else is broken before. The result is recorded, as it takes long;
docs/errata.md prints it. A search that has an entry is not done again: to do that, remove the file.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from model import protocol
from model.interpret import Machine, Sizes
from model.packed.revisions import HARDENED_EDITS, MERGED, V6
from model.properties import NAMES
from model.protocol import Subject
from model.steps import Table
from proofs.search.bounds import Bounds
from proofs.search.breadth_first import explore
from proofs.search.judges import Judge
from proofs.search.runs import runs
from proofs.verdicts import recorded_folder

__all__ = ["DEFECTS", "broken_first", "main", "recorded", "searches", "table"]

SAFE = frozenset(NAMES) - {"drains"}


def _without(edit: str) -> Table:
    """Give `hardened` of the packed ring but for one of its edits."""
    return V6.edited((*MERGED, *(e for name, edits in HARDENED_EDITS.items() if name != edit for e in edits)))


def _uncounted() -> Table:
    """Give `hardened` of the packed ring but for the counters: what is inflight is resubmitted as in v6."""
    return V6.edited(e for edits in HARDENED_EDITS.values() for e in edits)


DEFECTS: Mapping[tuple[str, str], Callable[[], Table]] = {
    ("no-order", "split"): lambda: protocol.table(Subject("split", "v6")),
    ("no-order", "packed"): _uncounted,
    ("whole-ring", "packed"): lambda: _without("compare-wrap-counters"),
    ("marked-used", "packed"): lambda: _without("unmark-used"),
    ("half-settled", "packed"): lambda: _without("settled-by-free-head"),
    ("half-rolled-back", "packed"): lambda: _without("roll-back-free-head-last"),
}
"""Each defect and ring, and the table that has this defect alone."""


def table(defect: str, ring: str, *, notifications: bool) -> Table:
    """Give the table that has one defect alone, with the steps of notification or without."""
    told = DEFECTS[defect, ring]()
    return told if notifications else runs(ring).quiet(told)


def searches(ring: str) -> Iterator[tuple[Bounds, bool]]:
    """Give the searches for a defect: bounds, and whether it has the notifications, without which nothing drains."""
    yield from ((bounds, False) for bounds in runs(ring).campaign.bounds)
    yield from ((bounds, True) for bounds in runs(ring).campaign.drains)


def search(defect: str, ring: str, bounds: Bounds, notifications: bool) -> dict[str, Any]:
    """Do one search: the entry for the record. With notifications, only what `drains` adds is told."""
    wanted = frozenset(NAMES) if notifications else SAFE
    told = table(defect, ring, notifications=notifications)
    found = explore(told, Sizes(bounds.size, bounds.size, bounds.first), bounds, wanted, every=True, pruned=True)
    kept = {name: run for name, run in found.violations.items() if (name == "drains") == notifications}
    again = {"repeats_from": found.repeats_from} if found.repeats_from else {}
    return {
        "defect": defect, "bounds": asdict(bounds), "notifications": notifications, "states": found.states,
        "depth": found.depth, "seconds": round(found.seconds, 1), "complete": found.complete,
        "first": {name: [list(e) for e in kept[name]] for name in NAMES if name in kept}, **again,
    }  # fmt: skip


def recorded(ring: str) -> list[dict[str, Any]]:
    """Read the record of a ring; nothing where there is none."""
    path = recorded_folder(ring) / "firsts.json"
    return list(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else []


def broken_first(machine: Machine, events: list[list[Any]]) -> tuple[int, list[str]]:
    """Play a run with every property judged; give the number of the first event that breaks any, and which ones.

    0 and nothing where none is broken. Without notifications `drains` is not judged.
    """
    quiet = "driver.sleep.2" not in machine.index
    judge = Judge(machine, protocol.judgements(machine.table.ring), SAFE if quiet else NAMES)
    state = machine.initial()
    for number, (step, *chosen) in enumerate(events, start=1):
        after = machine.take(state, step, *chosen)
        broken = {*judge.event(state, (machine.index[step], *(chosen or [-1]), after)), *judge.state(after)}
        if broken:
            return number, [name for name in NAMES if name in broken]
        state = after
    return 0, []


def main() -> None:
    """Do each search that has no entry yet and write the record, an entry a line."""
    for defect, ring in DEFECTS:
        for bounds, notifications in searches(ring):
            told = recorded(ring)
            if any(
                (e["defect"], Bounds(**e["bounds"]), e["notifications"]) == (defect, bounds, notifications)
                for e in told
            ):
                continue
            told.append(search(defect, ring, bounds, notifications))
            lines = ",\n".join(" " + json.dumps(e) for e in told)
            (recorded_folder(ring) / "firsts.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")
            print(ring, defect, bounds.text(), {k: len(v) for k, v in told[-1]["first"].items()}, flush=True)


if __name__ == "__main__":
    main()
