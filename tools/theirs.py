"""The tables of docs/implementations.md about profiles: what each violates, by which runs, and what mends it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from model import protocol
from model.profiles.profile import MENDED, Profile
from model.properties import NAMES
from proofs.verdicts import Verdict, load_schedule, recorded_folder, recorded_profiles
from vhost_inflight.conformance.judge import SEVERITIES

__all__ = ["EFFECTS", "runs", "table"]

EFFECTS: Final[Mapping[str, str]] = {
    "no-used-resubmitted": "a request that it has back is done again: old data over new",
    "exactly-once": "a request comes back twice, or while it is worked on: its buffer is in use by then",
    "intact": "something else is done than it asked for, or comes back undone",
    "order": "requests are done in another order after a crash: the older of two writes of a sector may win",
    "nothing-lost": "a request is never done, or done twice",
    "ring-position": "requests are passed over, or fetched again",
    "drains": "a request, or its notification, never comes: it hangs",
    "well-formed": "nothing, as long as the same program goes on; another that follows the text would be misled",
    "restartable": "nothing by itself: a crash in recovery leaves another region than none",
}
"""What a guest suffers where a property is violated."""

WORST = (*dict.fromkeys(SEVERITIES.values()), "none")
"""Severities, the worst first, in the words of `conformance`."""


def _told(ring: str) -> dict[str, list[Verdict]]:
    found: dict[str, list[Verdict]] = {}
    for verdict in recorded_profiles(ring):
        found.setdefault(verdict.revision, []).append(verdict)
    return found


def table(ring: str) -> tuple[Sequence[str], Iterable[Sequence[str]]]:
    """Give a row for each profile: what it is, what it violates, what a guest suffers at worst, its mend."""
    told = _told(ring)
    head = ("profile", "what it is", "violates", "the rest", "a guest, at worst", "smallest mend", "mended")
    rows = [
        (
            f"`{profile.name}`",
            profile.program,
            _named(told, profile.name, "violated") or "nothing",
            _rest(told, profile.name),
            _worst(told.get(profile.name, ())),
            _mend(profile),
            _rest(told, profile.name + MENDED) if profile.name + MENDED in protocol.profiles(ring) else "",
        )
        for profile in protocol.profiles(ring).values()
        if not profile.name.endswith(MENDED)
    ]
    return head, rows


def _named(told: Mapping[str, Sequence[Verdict]], name: str, verdict: str) -> str:
    return ", ".join(v.property for v in told.get(name, ()) if v.verdict == verdict)


def _rest(told: Mapping[str, Sequence[Verdict]], name: str) -> str:
    """Say what is proved, and what is bounded."""
    if name not in told:
        return "-"
    proved, bounded = (_named(told, name, kind) for kind in ("proved", "bounded"))
    if len(proved.split(", ")) == len(NAMES):
        return "all proved"
    parts = [f"proved: {proved}" if proved else "", f"*bounded*: {bounded}" if bounded else ""]
    return "; ".join(part for part in parts if part)


def _worst(verdicts: Iterable[Verdict]) -> str:
    found = [SEVERITIES.get(v.property, "none") for v in verdicts if v.verdict == "violated"]
    return min(found, key=WORST.index, default="-")


def _mend(profile: Profile) -> str:
    without = [f"not `{d.name}` ({d.function})" for d in profile.differences if d.name in profile.without]
    return "; ".join([*without, *(f"`{d.name}`: {d.says}" for d in profile.mend)])


def runs(ring: str) -> tuple[Sequence[str], Iterable[Sequence[str]]]:
    """Give a row for each violated property of each profile: its shortest run, and what a guest sees of it."""
    head = ("profile", "violates", "events", "stores", "crashes", "`replay`", "what a guest sees")
    rows = []
    for verdict in (v for v in recorded_profiles(ring) if v.counterexample):
        schedule = load_schedule(recorded_folder(ring) / str(verdict.counterexample))
        crashes = sum(event[0] == "crash" for event in schedule.events)
        name = f"{ring}/{verdict.counterexample}".removesuffix(".json")
        numbers = (str(len(schedule.events)), str(schedule.stores()), str(crashes))
        rows.append((f"`{verdict.revision}`", verdict.property, *numbers, f"`{name}`", EFFECTS[verdict.property]))
    return head, rows
