"""What is known of a pair on a memory: needed by a run, or not and how that is known; and the record of all of it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from proofs.orders.pairs import Row
from proofs.orders.runs import MemoryRun, read
from proofs.search.bounds import Bounds
from proofs.verdicts import recorded_folder

__all__ = ["Answer", "Joint", "Level", "Told", "folder", "load", "write"]


@dataclass(frozen=True)
class Level:
    """One search: its bounds, how many stores may wait at a time, whether the steps of notification are part of it."""

    bounds: Bounds
    window: int = 2
    notifications: bool = False

    def text(self) -> str:
        """Say it in words."""
        judged = "with notifications" if self.notifications else "all but drains"
        return f"{self.bounds.text()}, {self.window} stores wait ({judged})"


@dataclass(frozen=True)
class Joint:
    """What a search saw with nothing kept but the points of a part; `complete`: every state within the bounds.

    `moves`: the only access that moved in it; all where none is named.
    """

    part: str
    level: Level
    moves: str
    states: int
    complete: bool


@dataclass(frozen=True)
class Answer:
    """Whether a memory must be kept from turning a pair round: by a run; or not, and why.

    `because` begins with ``proved``, ``bounded`` or ``by itself``.
    """

    run: MemoryRun | None
    because: str


@dataclass(frozen=True)
class Told:
    """A row of the table: the pair, and the answer for each memory by its name. Those that no point keeps have none."""

    part: str
    row: Row
    answers: dict[str, Answer]

    @property
    def needed(self) -> bool:
        """Whether some memory must be kept from turning it round."""
        return any(a.run for a in self.answers.values())


def folder(ring: str) -> Path:
    """Give where the runs of a ring are."""
    return recorded_folder(ring) / "orders"


def write(ring: str, joints: Iterable[Joint], told: Iterable[Told]) -> None:
    """Write the record of a ring: an entry a line, and each run as a schedule file beside it."""
    told = list(told)
    runs = {a.run.file_name: a.run for t in told for a in t.answers.values() if a.run}
    folder(ring).mkdir(parents=True, exist_ok=True)
    for path in folder(ring).iterdir():
        path.unlink()
    for name, run in runs.items():
        (folder(ring) / name).write_text(json.dumps(run.document()) + "\n", encoding="utf-8")
    lines = [json.dumps({"joint": asdict(j)}) for j in joints]
    lines += [json.dumps({"part": t.part, "row": asdict(t.row), "answers": _answers(t)}) for t in told]
    (recorded_folder(ring) / "orders.json").write_text("[" + ",\n ".join(lines) + "]\n", encoding="utf-8")


def _answers(told: Told) -> dict[str, dict[str, str]]:
    return {n: {"run": a.run.file_name} if a.run else {"because": a.because} for n, a in told.answers.items()}


def load(ring: str) -> tuple[tuple[Joint, ...], tuple[Told, ...]]:
    """Read the record of a ring."""
    entries = json.loads((recorded_folder(ring) / "orders.json").read_text(encoding="utf-8"))
    joint = tuple(_joint(e["joint"]) for e in entries if "joint" in e)
    return joint, tuple(_told(ring, e) for e in entries if "row" in e)


def _joint(entry: dict[str, Any]) -> Joint:
    level = entry["level"]
    return Joint(**{**entry, "level": Level(**{**level, "bounds": Bounds(**level["bounds"])})})


def _told(ring: str, entry: dict[str, Any]) -> Told:
    answers = {
        name: Answer(read(folder(ring) / a["run"]) if "run" in a else None, a.get("because", ""))
        for name, a in entry["answers"].items()
    }
    return Told(entry["part"], Row(**entry["row"]), answers)
