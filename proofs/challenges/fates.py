"""What became of each mutant, and the record of it.

A mutant that goes round for ever is recorded as a schedule file of its own, which `replay` plays; all others of a ring
are in one file, an entry a line.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from proofs.search.bounds import Event
from proofs.verdicts import recorded_folder

__all__ = ["Fate", "events", "load", "write"]


@dataclass(frozen=True)
class Fate:
    """What became of a mutant: the property that killed it and the shortest schedule found, or why it survives.

    `repeats_from`: the number of the event from which that schedule goes round for ever, if it does.
    """

    revision: str
    mutant: str
    kind: str
    killed_by: str | None
    schedule: tuple[Event, ...]
    queue_size: int
    region_size: int
    first_index: int
    notifications: bool
    survives_because: str | None
    searched: str
    repeats_from: int | None = None


def load(ring: str, folder: Path | None = None) -> tuple[Fate, ...]:
    """Read the record of a ring. Raise `ValueError` or `TypeError` where it is none."""
    folder = folder or recorded_folder(ring)
    told = [_read(entry) for entry in json.loads((folder / "mutants.json").read_text(encoding="utf-8"))]
    files = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((folder / "rounds").glob("*.json"))]
    return (*told, *(_of_schedule(data) for data in files))


def write(ring: str, fates: Iterable[Fate], folder: Path | None = None) -> None:
    """Write the record of a ring."""
    folder, fates = folder or recorded_folder(ring), list(fates)
    entries = [asdict(fate) for fate in fates if fate.repeats_from is None]
    lines = ",\n ".join(json.dumps({k: v for k, v in e.items() if k != "repeats_from"}) for e in entries)
    (folder / "mutants.json").write_text(f"[{lines}]\n", encoding="utf-8")
    going = {_file(fate): fate for fate in fates if fate.repeats_from is not None}
    (folder / "rounds").mkdir(exist_ok=True)
    for path in (folder / "rounds").iterdir():
        if path.name not in going:
            path.unlink()
    for name, fate in going.items():
        (folder / "rounds" / name).write_text(json.dumps(_schedule(ring, fate)) + "\n", encoding="utf-8")


def _read(entry: dict[str, Any]) -> Fate:
    return Fate(**{**entry, "schedule": events(entry["schedule"])})


def events(schedule: Iterable[list[Any]]) -> tuple[Event, ...]:
    """Read the events of a schedule."""
    return tuple((e[0], e[1]) if len(e) > 1 else (e[0],) for e in schedule)


def _file(fate: Fate) -> str:
    return f"{fate.revision}-{fate.mutant.replace(' ', '-')}.json"


def _schedule(ring: str, fate: Fate) -> dict[str, Any]:
    """Give the schedule file of a mutant that goes round."""
    kept = (
        "revision",
        "mutant",
        "queue_size",
        "region_size",
        "first_index",
        "notifications",
        "repeats_from",
        "schedule",
    )
    data = asdict(fate)
    head: dict[str, Any] = {
        "format": "vhost-inflight schedule 1",
        "kind": fate.kind,
        "ring": ring,
        "property": fate.killed_by,
        "gaps": {},
    }
    return {**head, **{name: data[name] for name in kept}}


def _of_schedule(data: Mapping[str, Any]) -> Fate:
    """Read what `_schedule` gives."""
    kept = ("revision", "mutant", "kind", "queue_size", "region_size", "first_index", "notifications", "repeats_from")
    return Fate(
        **{name: data[name] for name in kept}, killed_by=data["property"], schedule=events(data["schedule"]),
        survives_because=None, searched="",
    )  # fmt: skip
