"""What came of the vectors: in words, as JSON (report.schema.json), and as JUnit's XML."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from vhost_inflight.reports import Suites, failed, skipped
from vhost_inflight.vectors.checking.asking import Checked
from vhost_inflight.vectors.checking.compare import VERDICTS, Verdict

__all__ = ["FORMAT", "as_json", "as_junit", "bad_lines", "lines"]

FORMAT: Final = "vhost-inflight check 1"
"""What a report says that it is."""


def see(verdict: Verdict, source: Path | None) -> str:
    """Give the command that shows what is right; ``source`` has the vectors, None where they are the small set."""
    of = f" --vectors {shlex.quote(str(source))}" if source is not None else ""
    return f"vhost-inflight recover --explain {verdict.vector.id}{of}"


def bad_lines(verdict: Verdict, source: Path | None = None) -> Iterator[str]:
    """Tell one verdict that counts against the program; ``source`` as `see` takes it."""
    vector = verdict.vector
    yield f"{verdict.word}: {vector.id}"
    yield f"  rule: {verdict.rule}"
    yield from (f"  {line}" for line in verdict.differs)
    if verdict.fault:
        yield f"  whose fault: {verdict.fault}"
    yield f"  it catches: {vector.note}"
    yield f"  it {vector.severity} in a guest; see it: {see(verdict, source)}"


def lines(checked: Checked) -> Iterator[str]:
    """Give the summary: by ring and section a line, then all together."""
    counts: dict[tuple[str, str], Counter[str]] = {}
    for verdict in checked.verdicts:
        place = verdict.vector.ring, verdict.vector.section
        counts.setdefault(place, Counter())[verdict.word] += 1
    width = max((len(f"{ring} {section}") for ring, section in counts), default=0)
    yield f"{'section'.ljust(width)}  {'  '.join(VERDICTS)}"
    for (ring, section), words in sorted(counts.items()):
        row = "  ".join(str(words[word] or "-").rjust(len(word)) for word in VERDICTS)
        yield f"{f'{ring} {section}'.ljust(width)}  {row}"
    noted = [verdict for verdict in checked.verdicts if verdict.note]
    if noted:
        yield f"{len(noted)} refused what they should, and blamed another, as {noted[0].vector.id}: {noted[0].note}"
    if checked.ending:
        yield f"at the end: {checked.ending}"
    total = ", ".join(f"{checked.count(word)} {word}" for word in VERDICTS if checked.count(word))
    yield f"{checked.ready.name}: {len(checked.verdicts)} vectors: {total or 'none'}"


def as_json(checked: Checked, command: Sequence[str], form: str) -> dict[str, Any]:
    """Give the report as JSON."""
    return {
        "format": FORMAT,
        "command": list(command),
        "form": form,
        "adapter": checked.ready.name,
        "counts": {word: checked.count(word) for word in VERDICTS},
        "ending": checked.ending,
        "cases": [_case(*both, checked.source) for both in zip(checked.verdicts, checked.seconds, strict=True)],
    }


def _case(verdict: Verdict, seconds: float, source: Path | None) -> dict[str, Any]:
    vector = verdict.vector
    return {
        "id": vector.id, "ring": vector.ring, "kind": vector.kind, "section": vector.section, "verdict": verdict.word,
        "rule": verdict.rule, "differs": list(verdict.differs), "fault": verdict.fault, "note": verdict.note,
        "severity": vector.severity, "explain": see(verdict, source), "seconds": round(seconds, 6),
    }  # fmt: skip


def as_junit(checked: Checked) -> str:
    """Give the report as JUnit's XML: a suite for each ring and section, and one for how the adapter ended."""
    suites = Suites(f"vhost-inflight check-vectors: {checked.ready.name}")
    for verdict, seconds in zip(checked.verdicts, checked.seconds, strict=True):
        vector = verdict.vector
        case = suites.case(f"{vector.ring} {vector.section}", vector.id, seconds)
        if verdict.bad:
            first = verdict.differs[0] if verdict.differs else verdict.word
            failed(case, verdict.word, first, "\n".join(bad_lines(verdict, checked.source)))
        elif verdict.word == "unsupported":
            skipped(case, verdict.differs[0])
    if checked.ending:
        failed(suites.case("the end", "stop"), "wedged", checked.ending, checked.ending)
    return suites.text()
