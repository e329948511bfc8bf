"""The table of docs/conformance.md: each defect, what the model says that it breaks, and what `conformance` found."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from proofs.verdicts import recorded, recorded_folder, recorded_readings
from tools.conformance import FILE, Row, foreign, rows

__all__ = ["HEAD", "WHY", "measurements", "part", "predicted", "told_otherwise"]

HEAD: Final = ("back-end", "the model says that it breaks", "found", "by, for one", "points", "cases", "of these bad")

ALIKE: Final[Mapping[tuple[str, str], str | tuple[str, str]]] = {
    ("split", "COUNTER_RESTARTS"): ("counter-after-reconnect", "zero"),
    ("split", "LAST_AVAIL_FROM_BASE"): ("fetch-position", "used-idx"),
    ("split", "MARKED_BEFORE_COUNTER"): "swap split.fetch.counter, split.fetch.2",
    ("split", "SETTLED_BEFORE_CLEARED"): "swap split.supply.6, split.supply.7",
    ("packed", "COUNTER_RESTARTS"): ("counter-after-reconnect", "zero"),
    ("packed", "FIRST_FLAGS_FIRST"): ("flags-order", "in-order"),
    ("packed", "FREE_NOT_CLEARED"): "drop packed.reconnect.3",
    ("packed", "FRESH_USED_IDX_ZERO"): ("fresh-used-idx", "zero"),
    ("packed", "LAST_AVAIL_FROM_BASE"): ("fetch-position", "base"),
    ("packed", "WHOLE_FLAGS"): ("flags-compare", "whole"),
}
"""By ring and mistake of the back-end in C, the choice of a gap or the mutant that does the same in the model."""

WHY: Final[Mapping[tuple[str, str], str]] = {
    (
        "counter-scope",
        "device-last",
    ): "two crashes with two queues in flight: here a second one is tried with one queue",
    ("fetch-in-batch", "always"): "a request that comes within a batch: this driver writes while the back-end rests",
    (
        "recovery-start",
        "every-kick",
    ): "a second kick fd while requests are in flight: this front-end, as QEMU, sends one",
    ("reset", "kept"): "a reset of the device: no load has one (tests/refimpl/frontend/test_inflight.py does)",
    ("reset", "kept-alive"): "a reset of the device: no load has one (tests/refimpl/backend/test_reset.py does)",
    ("region-size", "smaller"): "a region of fewer entries than the ring: this front-end asks for as many",
}
"""By gap and choice that break something, and that `conformance` does not find: what that would take."""


def part(name: str) -> tuple[tuple[str, ...], Iterator[tuple[str, ...]]] | None:
    """Give head and rows of the part ``conformance`` or ``implementations``; None for another name."""
    if name == "implementations":
        return ("back-end", "ring", "points", "cases", "verdicts", "broken, and the shortest case"), _foreign()
    return (HEAD, _rows()) if name == "conformance" else None


def _foreign() -> Iterator[tuple[str, ...]]:
    known = json.loads(FILE.read_text(encoding="utf-8"))
    for row in foreign():
        if row.name not in known:
            continue
        measured = known[row.name]
        words = ", ".join(f"{number} {word}" for word, number in measured["counts"].items())
        found = "; ".join(f"{name} (`{case}`)" for name, case in measured["found"].items())
        points, cases = sum(measured["points"].values()), sum(measured["counts"].values())
        told = measured.get("note") or words
        yield str(row.foreign), row.ring, str(points or "-"), str(cases or "-"), told, found or "nothing"


def measurements() -> Iterator[tuple[Row, Mapping[str, Any]]]:
    """Give what was measured, row by row."""
    known = json.loads(FILE.read_text(encoding="utf-8"))
    return ((row, known[row.name]) for row in rows() if row.name in known)


def told_otherwise(row: Row, found: Mapping[str, str]) -> list[str]:
    """Give the properties that were found broken, and that are proved of the same.

    But for well-formed: a region is judged here by the text's recovery, there by what the choice itself makes of it.
    """
    proved = {name for name, verdict in _verdicts(row).items() if verdict == "proved"} - {"well-formed"}
    return sorted(proved & set(found))


def _verdicts(row: Row) -> dict[str, str]:
    """Give what the record says of each property; nothing, where the model has no such defect."""
    gaps = dict(row.gaps)
    if row.mistake:
        like = ALIKE.get((row.ring, row.mistake))
        if not isinstance(like, tuple):
            return {}
        gaps = dict([like])
    known = [*(recorded(row.ring) or ()), *(recorded_readings(row.ring) or ())]
    return {v.property: v.verdict for v in known if (v.revision, dict(v.gaps)) == (row.revision, gaps)}


def predicted(row: Row) -> str:
    """Say what the model says of a defect."""
    verdicts = _verdicts(row)
    if verdicts:
        return ", ".join(name for name, verdict in verdicts.items() if verdict == "violated") or "nothing"
    like = ALIKE.get((row.ring, row.mistake or ""))
    if isinstance(like, str):
        mutants = json.loads((recorded_folder(row.ring) / "mutants.json").read_text(encoding="utf-8"))
        (killer,) = {m["killed_by"] for m in mutants if (m["mutant"], m["revision"]) == (like, row.revision)}
        return f"{killer}, for one (mutant *{like}*)"
    return "not in the model"


def _nothing(row: Row) -> str:
    why = [WHY[choice] for choice in row.gaps.items() if choice in WHY]
    return f"nothing; it takes {why[0]}" if why else "nothing"


def _rows() -> Iterator[tuple[str, ...]]:
    for row, measured in measurements():
        found = measured["found"]
        counts = measured["counts"]
        bad = ", ".join(f"{counts[word]} {word}" for word in ("fail", "reject", "wedged") if counts.get(word))
        yield (
            row.name,
            predicted(row),
            ", ".join(found) or _nothing(row),
            f"`{next(iter(found.values()))}`" if found else "-",
            str(sum(measured["points"].values())),
            f"{sum(counts.values())}{'+' * bool(measured['left'])}",
            bad or "-",
        )
