"""Mixed lives, judged: ``python -m tools.mixed [RING [BEFORE [AFTER]]]``. A campaign, not part of CI.

For each pair of profiles of a ring, ours among them: one leaves a region, the other finds it. The first property that
the second one breaks then, and the shortest run to it, are written to proofs/recorded/RING/mixed.json, of which
docs/implementations.md has the tables. It goes on where it was stopped: what has an entry is left alone, unless named.

    python -m tools.mixed --play RING BEFORE AFTER     each event of a recorded run, with the fields that it changes
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from model.protocol import RINGS, Subject
from proofs.search.bounds import Bounds, Event
from proofs.search.mixed import SAFE, Pair, first_broken
from proofs.verdicts import BACK_END, recorded_folder
from proofs.workers import workers

__all__ = ["BOUNDS", "DRAINS", "PROFILES", "Answer", "main", "read", "table"]

PROFILES: Final = {
    "split": ("merged", "libvhost-user", "libvduse", "yc-libvhost-server", "librte_vhost", "spdk-vhost-blk"),
    "packed": ("merged", "hardened", "librte_vhost", "spdk-vhost-blk"),
}
"""Who leaves regions, and finds them: our own back-end follows a revision."""

BOUNDS: Final = {
    "split": (Bounds(2, 2, 1), Bounds(2, 2, 1, 0, 1)),
    "packed": (Bounds(2, 2, 1), Bounds(2, 2, 1, 0, 3)),
}
"""The searches for every property but `drains`: on rings that begin at 0, and on rings that were in use."""

DRAINS: Final = {"split": (Bounds(2, 1, 1),), "packed": (Bounds(1, 2, 1),)}
"""The searches for `drains`."""

FILE: Final = "mixed.json"


@dataclass(frozen=True)
class Answer:
    """What came of a pair: the property, None if none; the last bounds that were searched; the run and its stores."""

    before: str
    after: str
    drains: bool
    property: str | None
    bounds: Bounds
    stores: int
    events: tuple[Event, ...]

    def pair(self, ring: str) -> Pair:
        """Make the pair again."""
        properties = frozenset({"drains"}) if self.drains else SAFE
        return Pair(Subject(ring, self.before), Subject(ring, self.after), self.bounds, properties)


def judged(job: tuple[str, str, str, bool]) -> Answer:
    """Search for what a pair breaks, within one bounds after the other."""
    ring, before, after, drains = job
    asked = (DRAINS if drains else BOUNDS)[ring]
    for bounds in asked:
        empty = Answer(before, after, drains, None, bounds, 0, ())
        pair = empty.pair(ring)
        found = first_broken(pair)
        if not found.complete:
            sys.exit(f"{before}, then {after}: too many states")
        if found.property is not None:
            stores = sum(_stores(pair, found.events))
            return Answer(before, after, drains, found.property, bounds, stores, found.events)
    return empty


def _stores(pair: Pair, events: Sequence[Event]) -> Iterator[bool]:
    """Say of each event whether it is a store of a back-end."""
    crashes = 0
    for event in events:
        machine = pair.judges[min(crashes, 1)].machine
        recorded = machine.steps[machine.index[event[0]]]
        yield recorded.step.procedure in BACK_END and bool(recorded.stores(machine.table.vars))
        crashes += event[0] == "crash"


def read(ring: str) -> list[Answer]:
    """Read the record."""
    path = recorded_folder(ring) / FILE
    told: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    return [
        Answer(**{**one, "bounds": Bounds(**one["bounds"]), "events": tuple(tuple(event) for event in one["events"])})
        for one in told
    ]


def _write(ring: str, answers: Sequence[Answer]) -> None:
    lines = ",\n".join(json.dumps(asdict(answer)) for answer in answers)
    (recorded_folder(ring) / FILE).write_text(f"[\n{lines}\n]\n", encoding="utf-8")


def table(ring: str) -> tuple[Sequence[str], Iterator[Sequence[str]]]:
    """Give the table of a ring: who left the region, and what each who finds it breaks."""
    names = PROFILES[ring]
    told = {(answer.before, answer.after, answer.drains): answer for answer in read(ring)}

    def cell(before: str, after: str) -> str:
        found = [told[before, after, drains] for drains in (False, True)]
        said = [f"**{one.property}** ({one.stores})" for one in found if one.property]
        return ", ".join(said) or "none"

    rows = ([before, *(cell(before, after) for after in names)] for before in names)
    return ["left by \\ found by", *names], rows


def play(ring: str, before: str, after: str) -> int:
    """Print the recorded runs of a pair, event by event, with what each changes; 1 where one is not as recorded."""
    good, none = True, True
    for answer in read(ring):
        if (answer.before, answer.after) != (before, after) or answer.property is None:
            continue
        none = False
        pair = answer.pair(ring)
        print(f"{before}, then {after}: {answer.property}; {answer.bounds.text()}")
        key, names = pair.start, list(pair.judges[0].machine.vars)
        for event in answer.events:
            was, key = key, next(there for taken, there, _ in pair.moves(key, pair.successors(key)) if taken == event)
            changes = (
                f"{name} := {new}" for name, old, new in zip(names, was[0], key[0], strict=True)
                if old != new and name.startswith(("region", "ring", "used", "avail"))
            )  # fmt: skip
            print(f"  {' '.join(map(str, event))}  {'; '.join(changes)}".rstrip())
        good = good and answer.property in pair.play(answer.events)
    if none:
        print(f"{before}, then {after}: nothing is broken, or nothing is recorded")
    return 0 if good else 1


def main(arguments: Sequence[str]) -> int:
    """Judge the pairs that are asked for, and write what came; or play one."""
    if arguments[:1] == ["--play"] and len(arguments) == 4:
        return play(*arguments[1:])
    for ring in arguments[:1] or RINGS:
        if ring not in RINGS or set(arguments[1:]) - set(PROFILES[ring]):
            sys.exit(
                "which? a ring, and its profiles: " + "; ".join(f"{r}: {', '.join(p)}" for r, p in PROFILES.items())
            )
        befores, afters = ((name,) if name else PROFILES[ring] for name in (*arguments[1:3], None, None)[:2])
        jobs = [(ring, b, a, drains) for b in befores for a in afters for drains in (False, True)]
        known = {(one.before, one.after, one.drains): one for one in read(ring)}
        jobs = [job for job in jobs if len(arguments) > 1 or job[1:] not in known]
        with workers() as pool:
            for answer in pool.map(judged, jobs):
                known[answer.before, answer.after, answer.drains] = answer
                said = f"{answer.property}, {answer.stores} stores" if answer.property else "nothing"
                print(f"{ring}: {answer.before}, then {answer.after}{': drains' * answer.drains}: {said}", flush=True)
                order = [(b, a, drains) for b in PROFILES[ring] for a in PROFILES[ring] for drains in (False, True)]
                _write(ring, [known[one] for one in order if one in known])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
