"""A case as a document: its lives, store by store, up to each death and in the life after it, and what was broken.

`conformance --case FILE` writes one, `replay FILE` shows it, `conformance --at FILE` does it again; the picture of a
failure is made of it (`picture`). What it says was seen once: it is no schedule that anybody else follows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from vhost_inflight.conformance.judge import RULES, SECTIONS
from vhost_inflight.conformance.points import Point
from vhost_inflight.conformance.report import HOW, Report, where
from vhost_inflight.conformance.trying import Verdict

__all__ = ["CASE_FORMAT", "as_case", "case_text", "title"]

CASE_FORMAT: Final = "vhost-inflight conformance case 1"
"""What such a document says that it is."""

_AFTER: Final = 24
"""Stores of the life after the last death that are told: recovery is at its begin."""


def as_case(report: Report, verdict: Verdict) -> dict[str, Any]:
    """Give a case as a document (case.schema.json)."""
    ring = next(ring for ring in report.rings if ring.ring == verdict.case.ring)
    deaths = [] if verdict.case.random else list(zip(verdict.points, verdict.case.deaths, strict=False))
    lives = [
        _life(report, life[: point.number], end)
        for life, (point, (_, end)) in zip(verdict.lives or [()] * len(deaths), deaths, strict=True)
    ]
    return {
        "format": CASE_FORMAT, "command": report.command, "ring": ring.ring, "revision": ring.revision,
        "options": {
            "in_order": report.in_order, "event_index": report.event_index, "patience": report.patience,
            "successor": report.successor,
        },
        "case": str(verdict.case), "verdict": verdict.word, "severity": verdict.severity or None,
        "lives": [*lives, _life(report, verdict.after, None)],
        "broken": [
            {
                "property": one.property, "seen_by": one.seen_by, "text": one.text,
                "rule": RULES[one.property], "section": SECTIONS[one.property],
            }
            for one in verdict.broken
        ],
        "why": verdict.why or None, "again": report.again(verdict), "state": verdict.state,
    }  # fmt: skip


def _life(report: Report, stores: Sequence[Point], end: str | None) -> dict[str, Any]:
    told = [
        {
            "number": point.number,
            "by": where(report, point),
            "changes": [
                {"field": _field(said.queue, said.field), "old": said.old, "new": said.new} for said in point.said
            ],
        }
        for point in stores
    ]
    return {"end": end, "stores": told}


def _field(queue: int, field: str) -> str:
    return f"queue {queue}: {field}" if queue else field


def title(document: Mapping[str, Any]) -> str:
    """Say what became of the case."""
    severity = f", {document['severity']} in a guest" if document["severity"] else ""
    return f"{document['case']}: {document['verdict']}{severity}"


def case_text(document: Mapping[str, Any]) -> Iterator[str]:
    """Tell a case, a line a store: each life up to its death, the life after the last one, what was broken."""
    yield f"{title(document)}; judged as {document['revision']}"
    yield f"back-end: {document['command']}"
    for number, life in enumerate(document["lives"], 1):
        yield f"life {number}{':' if life['end'] else ', after that death: nobody kills it'}"
        last = len(life["stores"])
        for place, store in enumerate(life["stores"], 1):
            changes = ", ".join(f"{one['field']} := {one['new']} (was {one['old']})" for one in store["changes"])
            told = f"  {store['number']:4} {changes}, by {store['by']}"
            if life["end"] is not None and place == last:
                before = life["end"] == "before"
                yield f"{told}, not done" if before else told
                yield f"       SIGKILL {HOW[life['end']].format('this store')}"
            elif life["end"] is not None or place <= _AFTER:
                yield told
        if life["end"] is None and last > _AFTER:
            yield f"       ... {last - _AFTER} stores after these (--json has them all)"
        if not life["stores"]:
            yield "       no store was seen"
    yield from (f"broken: {one['property']} ({one['seen_by']}): {one['text']}" for one in document["broken"])
    rules = dict.fromkeys((one["rule"], one["section"]) for one in document["broken"])
    yield from (f"rule: {rule} ({section})" for rule, section in rules)
    if document["why"] and not document["broken"]:
        yield f"it ended so: {document['why']}"
    yield f"again: {document['again']}"
