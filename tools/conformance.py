"""Measure which defects `conformance` finds: ``python -m tools.conformance [PATTERN...]``; a row is measured anew.

A defect is a revision or a choice of our own back-end, or a mistake of the one in C. What came is written to
vhost_inflight/conformance/measured.json, row by row; docs/conformance.md has it as a table, beside what is proved.
Somebody else's back-ends are rows too (*foreign ...*), for docs/implementations.md.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

import vhost_inflight.conformance
from refimpl.choices import GAPS, Choices
from refimpl.errors import UsageError
from vhost_inflight.conformance.command import Asked, tried
from vhost_inflight.conformance.foreign.prepare import backend_command
from vhost_inflight.conformance.report import Report

__all__ = ["FILE", "MISTAKES", "Row", "foreign", "main", "rows"]

FOLDER: Final = Path(vhost_inflight.conformance.__file__).parent
FILE: Final = FOLDER / "measured.json"

MISTAKES: Final[Mapping[str, tuple[str, ...]]] = {
    "split": (
        "COUNTER_RESTARTS",
        "COUNTER_WINDOW",
        "FRESH_USED_IDX_ZERO",
        "LAST_AVAIL_FROM_BASE",
        "MARKED_BEFORE_COUNTER",
        "SETTLED_BEFORE_CLEARED",
    ),
    "packed": (
        "COUNTER_RESTARTS",
        "COUNTER_WINDOW",
        "FIRST_FLAGS_FIRST",
        "FREE_NOT_CLEARED",
        "FRESH_USED_IDX_ZERO",
        "INFLIGHT_INSTEAD_OF_FLAGS",
        "LAST_AVAIL_FROM_BASE",
        "PLAIN_HEADER",
        "WHOLE_FLAGS",
    ),
}
"""The mistakes of the back-end in C, by ring."""

SCHEDULE: Final = {"hold": 4, "order": "shuffle", "batch": 2, "idle": 0.01}
"""What our own back-end holds back."""

LONG: Final = {"hold": 8, "order": "shuffle", "batch": 8, "idle": 0.01}
"""Likewise, where a defect needs a batch as long as the ring."""

_PROVED: Final = {"split": "merged", "packed": "hardened"}
_FAILURES: Final = 15
_THE_DRIVERS: Final = "event-kind"
"""The gap that the driver of this test decides, and not the back-end."""


@dataclass(frozen=True)
class Row:
    """One back-end: ours by a revision and a choice, the one in C with a mistake, or one of somebody else's."""

    ring: str
    revision: str
    gaps: Mapping[str, str] = field(default_factory=dict)
    mistake: str | None = None
    foreign: str | None = None

    @property
    def name(self) -> str:
        """How it is called."""
        if self.foreign is not None:
            return f"foreign {self.foreign} {self.ring}"
        if self.mistake is not None:
            return f"C {self.ring} {self.mistake or 'right'}"
        return " ".join(["ours", self.ring, self.revision, *(f"{gap}={choice}" for gap, choice in self.gaps.items())])

    def command(self, folder: Path) -> str:
        """Give the command that starts it; what it needs is made in a folder."""
        if self.foreign is not None:
            return backend_command(self.foreign)
        if self.mistake is not None:
            program = folder / (self.mistake or "right")
            macro = [f"-DMISTAKE_{self.mistake}"] if self.mistake else []
            subprocess.run(["cc", "-std=c99", "-g", "-O1", *macro, "-o", program, FOLDER / "backend.c"], check=True)
            return f"{program} {{socket}} {{image}}"
        schedule = folder / "schedule.json"
        whole = self.gaps.get("batch-size") == "mod-queue-size"
        schedule.write_text(json.dumps(LONG if whole else SCHEDULE), encoding="utf-8")
        told = [sys.executable, "-m", "refimpl.backend.process", "--socket", "{socket}", "--image", "{image}"]
        told += ["--queues", "2", "--revision", self.revision, "--schedule", str(schedule)]
        told += ["--packed"] if self.ring == "packed" else []
        for gap, choice in self.gaps.items():
            told += ["--gap", f"{self.ring}.{gap}={choice}"] if gap != _THE_DRIVERS else []
        return " ".join(told)


def foreign() -> Iterator[Row]:
    """Give the rows of other people's back-ends."""
    for name, ring in (("qemu", "split"), ("dpdk", "split"), ("dpdk", "packed"), ("storage", "split")):
        yield Row(ring, _PROVED[ring], foreign=name)


def rows() -> Iterator[Row]:
    """Give all rows: what is right first."""
    for ring, names in MISTAKES.items():
        yield from (Row(ring, _PROVED[ring], mistake=name) for name in ("", *names))
    for ring in MISTAKES:
        yield from (Row(ring, revision) for revision in ("hardened", "merged", "v6"))
    # on the packed ring what merged leaves open breaks what merged breaks anyway, so its gaps have no rows
    for gap, choices in GAPS.items():
        for choice in list(choices)[1:]:
            with contextlib.suppress(UsageError):  # merged does not leave it open
                Choices.from_mapping({gap: choice}, "merged", "split")
                yield Row("split", "merged", {gap: choice})
    yield Row("packed", "hardened", {"settle": "wide"})  # hardened's other form
    yield Row("packed", "hardened", {"event-kind": "index"})  # the driver's other way


def measured(row: Row) -> dict[str, Any]:
    """Try a back-end, and give what came of it; of somebody else's all cases are tried, and it may take its time."""
    theirs = row.foreign is not None
    with tempfile.TemporaryDirectory(prefix="conformance-") as folder:
        asked = Asked(
            row.command(Path(folder)),
            ring=row.ring,
            revision=row.revision,
            second=100,
            patience=1 if theirs else 0.3,
            failures=0 if theirs else _FAILURES,
            jobs=8 if theirs else 0,
            event_index=_THE_DRIVERS in row.gaps,
        )
        report = tried(asked)
    (ring,) = report.rings
    return {
        "ring": row.ring, "revision": row.revision, "gaps": dict(row.gaps), "mistake": row.mistake,
        "points": ring.points, "left": ring.left, "unsteady": ring.unsteady, "seconds": round(ring.seconds, 1),
        "counts": dict(Counter(verdict.word for verdict in ring.verdicts)), "found": _found(report),
        "note": ring.note,
    }  # fmt: skip


def _found(report: Report) -> dict[str, str]:
    """Give each property that was broken, and the shortest case that broke it."""
    found: dict[str, str] = {}
    for verdict in report.bad:
        for one in verdict.broken:
            found.setdefault(one.property, str(verdict.case))
    return found


def main(patterns: Sequence[str]) -> int:
    """Measure the rows whose names match, and write what came."""
    known: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    every = [*rows(), *foreign()]
    for row in every:
        if not patterns or any(fnmatchcase(row.name, pattern) for pattern in patterns):
            known[row.name] = measured(row)
            print(row.name, known[row.name]["counts"], known[row.name]["found"], known[row.name]["seconds"], flush=True)
            kept = {each.name: known[each.name] for each in every if each.name in known}
            FILE.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
