"""What came of the cases: in words, as JSON (report.schema.json), and as JUnit's XML."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from refimpl.names import counted
from vhost_inflight.conformance.judge import RULES, SECTIONS, WORDS
from vhost_inflight.conformance.points import Point
from vhost_inflight.conformance.symbols import Symbol
from vhost_inflight.conformance.trying import Verdict
from vhost_inflight.reports import Suites, failed, skipped

__all__ = [
    "CANNOT",
    "FORMAT",
    "HOW",
    "PATIENCE",
    "Report",
    "Ring",
    "as_json",
    "as_junit",
    "case_lines",
    "lines",
    "where",
]

FORMAT: Final = "vhost-inflight conformance 1"
"""What a report says that it is."""

CANNOT: Final = (
    "An order that a processor could turn round: what is left is what one thread stored, in its program's order.",
    "Writes that go on when the process is dead: here the disk is a file, and who is dead writes no more.",
    "The order in which requests are resubmitted is seen in the memory; in what comes back with --in-order alone.",
    "What a used element's len says is not held against what was written to the request's buffers.",
    "Stores to the driver's descriptor tables are not held against it; those to indirect tables are not even watched.",
    "Long lives: a few dozen requests on rings of 8 entries, so no counter of 2048 and no ring of 32768.",
    "A process that forks what serves after it was connected to, and one that runs as another user.",
    "Helpers that a wrapper starts in a session of their own: they outlive a life.",
)
"""What such a test cannot find, whatever it says."""

PATIENCE: Final = 0.5
"""Seconds that a back-end may rest while it owes something, if nobody says how many."""

HOW: Final = {"before": "before {}", "after": "after {}", "asleep": "after {}, while the driver sleeps"}
"""How a death is said, with its store."""

_TOLD: Final = 20


@dataclass
class Ring:
    """What was tried on one ring.

    ``points`` counts the crash points of each load; ``note`` says why there are none; ``unsteady`` are loads of which
    two lives were not the same, ``left`` those that were left after so many failures. ``untried`` says which loads are
    not for this back-end, and why; ``unjudged`` of what nothing is known though it was to be tried, and why.
    """

    ring: str
    revision: str
    how: str = "exact"
    note: str = ""
    points: dict[str, int] = field(default_factory=dict)
    unsteady: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    untried: list[str] = field(default_factory=list)
    unjudged: list[str] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def regionless(self) -> bool:
        """Whether it died, and had handed out no region whenever it did: its reply to GET_INFLIGHT_FD had 0 bytes."""
        died = [verdict for verdict in self.verdicts if verdict.case.deaths and verdict.word != "skip"]
        return bool(died) and all(verdict.state is None for verdict in died)


@dataclass
class Report:
    """What was tried on all rings, and the symbols of the instructions; the others as `Asked` has them."""

    command: str
    rings: list[Ring]
    symbols: dict[tuple[str, int], Symbol] = field(default_factory=dict)
    interrupted: bool = False
    in_order: bool = False
    successor: str | None = None
    event_index: bool = False
    patience: float = PATIENCE

    @property
    def verdicts(self) -> list[Verdict]:
        """All verdicts."""
        return [verdict for ring in self.rings for verdict in ring.verdicts]

    @property
    def passed(self) -> bool:
        """Whether something was tried, all of it could be judged, and nothing counts against the back-end."""
        return any(verdict.word == "pass" for verdict in self.verdicts) and not self.bad and not self.unjudged

    @property
    def unjudged(self) -> list[str]:
        """Of what nothing is known though it was to be tried, and why: sentences."""
        return [sentence for ring in self.rings for sentence in ring.unjudged]

    @property
    def bad(self) -> list[Verdict]:
        """What counts against the back-end, the shortest first: fewest deaths, then earliest."""
        return sorted((verdict for verdict in self.verdicts if verdict.bad), key=_shortness)

    def symbol(self, point: Point) -> Symbol:
        """Give what the instruction of a store belongs to."""
        return self.symbols.get(point.instruction, Symbol())

    def again(self, verdict: Verdict) -> str:
        """Give the command that does a case again."""
        revision = next(ring.revision for ring in self.rings if ring.ring == verdict.case.ring)
        more = " --in-order" * self.in_order + " --event-index" * self.event_index
        more += "" if self.successor is None else f" --successor-cmd {_quoted(self.successor)}"
        more += "" if self.patience == PATIENCE else f" --patience {self.patience:g}"
        told = f"--backend-cmd {_quoted(self.command)} --revision {revision}{more} --at {verdict.case}"
        return f"vhost-inflight conformance {told}"


def _shortness(verdict: Verdict) -> tuple[int, list[int]]:
    return len(verdict.case.deaths), [number for number, _ in verdict.case.deaths]


def _quoted(command: str) -> str:
    return "'" + command.replace("'", "'\\''") + "'"


def where(report: Report, point: Point) -> str:
    """Say which instruction makes a store: function and line, or file and offset."""
    symbol = report.symbol(point)
    module = point.module.rpartition("/")[2] or "no file"
    return f"{symbol} in {module}" if symbol.function else f"{module}+{point.offset:#x}"


def case_lines(report: Report, verdict: Verdict) -> Iterator[str]:
    """Tell one verdict."""
    severity = f", {verdict.severity} in a guest" if verdict.severity else ""
    yield f"{verdict.case}: {verdict.word}{severity}"
    for point, (_, end) in zip(verdict.points, verdict.case.deaths, strict=False):
        yield f"  killed {HOW[end].format(point)}, by {where(report, point)}"
    if verdict.why and not verdict.broken:
        yield f"  {verdict.why}"
    for one in verdict.broken:
        yield f"  {one.property} ({one.seen_by}): {one.text}"
    for name in dict.fromkeys(one.property for one in verdict.broken):
        yield f"  rule: {RULES[name]} ({SECTIONS[name]})"


def lines(report: Report) -> Iterator[str]:
    """Give the summary, and the verdicts that count against the back-end, the shortest first."""
    for ring in report.rings:
        yield from _ring_lines(ring)
    bad = report.bad
    for verdict in bad[:_TOLD]:
        yield from case_lines(report, verdict)
    if len(bad) > _TOLD:
        yield f"and {len(bad) - _TOLD} more; --json or --html has them all"
    if bad:
        yield f"again: {report.again(bad[0])}"
    if report.interrupted:
        yield "interrupted: this is what was found so far"


def _ring_lines(ring: Ring) -> Iterator[str]:
    if ring.note:
        yield f"{ring.ring}: {ring.note}"
        return
    words = Counter(verdict.word for verdict in ring.verdicts)
    told = ", ".join(f"{words[word]} {word}" for word in WORDS if words[word]) or "nothing was tried"
    rate = len(ring.verdicts) / ring.seconds if ring.seconds else 0.0
    yield (
        f"{ring.ring}, judged as {ring.revision}: {counted(len(ring.verdicts), 'case')}, {told} "
        f"({ring.seconds:.1f} seconds, {rate:.0f} a second; {_way(ring)})"
    )
    drawn = [verdict for verdict in ring.verdicts if verdict.case.random]
    if missed := sum(verdict.word == "skip" for verdict in drawn):
        yield f"{ring.ring}: not killed in time: {missed} of {counted(len(drawn), 'random case')}"
    for load in ring.unsteady:
        yield f"{ring.ring} {load}: two lives were not the same, so cases may be skipped"
    for load in ring.left:
        yield f"{ring.ring} {load}: left after so many failures, not all cases were tried (--failures)"
    yield from (*ring.untried, *ring.unjudged)
    if ring.regionless:
        yield (
            f"{ring.ring}: there is no region at all: the back-end hands out 0 bytes at GET_INFLIGHT_FD, "
            "so nothing tells its next process what was in flight"
        )
    properties = Counter(name for v in ring.verdicts for name in {one.property for one in v.broken})
    if properties:
        yield f"{ring.ring}: broken: " + ", ".join(f"{name} {number}" for name, number in properties.most_common())


def _way(ring: Ring) -> str:
    """Say how processes were killed."""
    if ring.how != "exact":
        return f"killed at random times ({ring.how})"
    points = ", ".join(f"{load} {number}" for load, number in ring.points.items())
    return f"exact: killed at its stores, by ptrace{f'; stores by load: {points}' if points else ''}"


def as_json(report: Report) -> dict[str, Any]:
    """Give the report as JSON."""
    return {
        "format": FORMAT,
        "command": report.command,
        "interrupted": report.interrupted,
        "rings": [
            {
                "ring": ring.ring, "revision": ring.revision, "how": ring.how, "note": ring.note or None,
                "points": ring.points, "unsteady": ring.unsteady, "left": ring.left,
                "untried": ring.untried, "unjudged": ring.unjudged, "regionless": ring.regionless,
                "seconds": round(ring.seconds, 3),
                "counts": {word: sum(v.word == word for v in ring.verdicts) for word in WORDS},
                "cases": [_case(report, verdict) for verdict in ring.verdicts],
            }
            for ring in report.rings
        ],
        "cannot": list(CANNOT),
    }  # fmt: skip


def _case(report: Report, verdict: Verdict) -> dict[str, Any]:
    return {
        "id": str(verdict.case), "verdict": verdict.word, "severity": verdict.severity or None,
        "deaths": [
            {
                "end": end, "store": point.number, "stores": [str(said) for said in point.said],
                "module": point.module, "offset": point.offset,
                "function": report.symbol(point).function or None, "line": report.symbol(point).line or None,
            }
            for point, (_, end) in zip(verdict.points, verdict.case.deaths, strict=False)
        ],
        "broken": [
            {
                "property": one.property, "seen_by": one.seen_by, "text": one.text,
                "rule": RULES[one.property], "section": SECTIONS[one.property],
            }
            for one in verdict.broken
        ],
        "why": verdict.why or None, "seconds": round(verdict.seconds, 6), "again": report.again(verdict),
    }  # fmt: skip


def as_junit(report: Report) -> str:
    """Give the report as JUnit's XML: a suite for each ring and load."""
    ways = "; ".join(f"{ring.ring}: {ring.note or _way(ring)}" for ring in report.rings)
    suites = Suites(f"vhost-inflight conformance: {report.command} ({ways})")
    for verdict in report.verdicts:
        case = suites.case(f"{verdict.case.ring} {verdict.case.load}", str(verdict.case), verdict.seconds)
        if verdict.bad:
            first = verdict.broken[0].text if verdict.broken else verdict.why
            failed(case, verdict.word, first, "\n".join([*case_lines(report, verdict), report.again(verdict)]))
        elif verdict.word == "skip":
            skipped(case, verdict.why)
    for ring in report.rings:
        if ring.note and any(verdict.word == "pass" for verdict in report.verdicts):
            skipped(suites.case(ring.ring, ring.ring), ring.note)
        elif ring.note:  # nothing passes: by its exit status it fails
            failed(suites.case(ring.ring, ring.ring), "unsupported", ring.note, ring.note)
        for sentence in ring.unjudged:
            failed(suites.case(ring.ring, "unjudged"), "unjudged", sentence, sentence)
    return suites.text()
