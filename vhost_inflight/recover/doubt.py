"""What speaks against an answer, told unasked: see `doubts`.

An answer is what one revision of the text makes of the bytes. Where another revision makes something else of them, or
the device would get what the ring shows as used, whoever reads the answer has to know, whatever was asked for.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from refimpl.choices import ALIKE, PROVED, REVISIONS, Choices, open_in
from refimpl.layout import RING_SIZE_MAX, region_type
from vhost_inflight.recover.given import Given
from vhost_inflight.recover.record import Recovery
from vhost_inflight.recover.running import recover
from vhost_inflight.recover.stopped import against_stop
from vhost_inflight.recover.used import ShownUsed, shown_as_used
from vhost_inflight.recover.words import among

__all__ = ["Doubt", "doubts"]

_RESULTS: Final = ("resubmit", "fetch_position", "region_after", "ring_after")
"""What of two answers is compared, by the names in the JSON; the rest follows from it, or does not matter."""


@dataclass(frozen=True)
class Doubt:
    """One thing that speaks against an answer.

    ``kind``: ``shown-as-used`` (a request goes to the device, and the ring shows it as used: ``shown``),
    ``revisions-disagree`` (``other`` is how another revision answers, ``differs`` in what; where one refuses and one
    does not, ``error``), ``no-order`` (the revision keeps no order, and there is more than one request to resubmit),
    or one of `stopped.KINDS` (of a ring that was stopped). ``text`` says it.
    """

    kind: str
    text: str
    shown: ShownUsed | None = None
    other: Recovery | None = None
    differs: tuple[str, ...] = ()


def doubts(recovery: Recovery) -> list[Doubt]:
    """Return what speaks against an answer, the worst first; nothing speaks against most."""
    stop = (Doubt(kind, text) for kind, text in against_stop(recovery))
    return [*_used(recovery), *stop, *_disagreements(recovery), *_without_order(recovery)]


def _used(recovery: Recovery) -> Iterator[Doubt]:
    """Yield a doubt for each request that is resubmitted and that the ring shows as used."""
    for found in shown_as_used(recovery):
        yield Doubt("shown-as-used", found.text(), found)


def _disagreements(recovery: Recovery) -> Iterator[Doubt]:
    """Yield a doubt for each revision that makes something else of the same bytes."""
    layout = recovery.given.revision
    mine = _results(recovery, layout)
    for revision in REVISIONS:
        given = _as_revision(recovery.given, revision)
        if given is None:
            continue
        other = _seen_from_hardened(recovery, given) or recover(given, recorded=False)
        theirs = _results(other, layout)
        if "error" in mine and "error" in theirs:
            continue  # both refuse, each at its step
        one_refuses = "error" in mine or "error" in theirs
        differs = ("error",) if one_refuses else tuple(name for name in mine if theirs[name] != mine[name])
        if differs:
            yield Doubt("revisions-disagree", _otherwise(recovery, other, differs), other=other, differs=differs)


def _seen_from_hardened(recovery: Recovery, given: Given) -> Recovery | None:
    """Return what merged ends with, where the steps that hardened took tell it; None where merged has to be asked.

    hardened differs from merged in four things. It compares the wrap counters too; where that, or that a batch was
    being settled, decided something, merged went another way and has to be asked. It rolls back in another order, which
    changes no end. And it marks slots available again. Those are the only stores to the ring, and the steps after them
    read the region alone (only the look for the next request reads a slot, and no answers are compared by it): so
    merged ends with the same, and leaves the ring as it was. No gap that hardened leaves open changes an end.
    """
    hardened, merged = (one.choices for one in (recovery.given, given))
    if (hardened.ring, hardened.revision, merged.revision) != ("packed", "hardened", "merged"):
        return None
    if recovery.refused is not None:
        return None
    numbers = recovery.numbers_after("packed.reconnect.1")
    same_wrap = numbers["used_wrap_counter"] == numbers["old_used_wrap_counter"]
    same_place = numbers["used_idx"] == numbers["old_used_idx"]
    if "packed.reconnect.1.settled" in recovery.steps or (same_place and not same_wrap):
        return None
    after = {**recovery.after, "descriptors": recovery.before["descriptors"]}
    found = Recovery(given, recovery.before, after, resubmitted=recovery.resubmitted, signalled=recovery.signalled)
    found.position, found.counter = recovery.position, recovery.counter
    return found


def _as_revision(given: Given, revision: str) -> Given | None:
    """Return an input as another revision reads it, the gaps that it leaves open as they were; None: it does not.

    merged and hardened read the same bytes; where they have the same steps too, there is nothing to ask. v6 has entries
    of its own, without a counter: of a region of v6 the others are asked about the same fields, with equal counters; a
    region with counters is none of v6.
    """
    if revision in {given.revision, "v6"}:
        return None
    changed = given.choices.changed()
    gaps = {gap: choice for gap, choice in changed.items() if revision in open_in(gap)}
    if gaps == changed and {revision, given.revision} <= ALIKE[given.ring]:
        return None
    choices = Choices.from_mapping(gaps, revision, given.ring)
    if given.revision != "v6":
        return replace(given, choices=choices)
    if not 1 <= given.region_size <= RING_SIZE_MAX:
        return None
    if len(given.region) < ctypes.sizeof(region_type(given.ring, "v6", given.region_size)):
        return None
    return replace(given, choices=choices, region=_relaid(given, given.region, revision))


def _relaid(given: Given, region: bytes, revision: str, old: str = "v6") -> bytes:
    """Return the fields of a region as another revision lays them; what ``old`` does not have is 0."""
    source: Any = region_type(given.ring, old, given.region_size).from_buffer_copy(region)
    target: Any = region_type(given.ring, revision, given.region_size)()
    pairs = [(source, target), *zip(source.desc, target.desc, strict=True)]
    for fields, laid in pairs:
        for name, *_ in type(laid)._fields_:
            if name not in {"desc", "padding"}:  # the list head of a split region has another name in v6
                setattr(laid, name, getattr(fields, name, getattr(fields, "last_batch_head", 0)))
    return bytes(target)


def _results(recovery: Recovery, layout: str) -> dict[str, Any]:
    """Return what two answers are compared by, the region as a revision lays it; of a refusal, that it is one."""
    if recovery.refused is not None:
        return {"error": recovery.refused.rule}
    again = [(request.entry, request.identity, request.descriptors) for request in recovery.resubmitted]
    region = recovery.after["region"]
    if layout == "v6":
        region = _relaid(recovery.given, region, "v6", recovery.given.revision)
    ring = {name: part for name, part in recovery.after.items() if name != "region"}
    return dict(zip(_RESULTS, (again, recovery.position, region, ring), strict=True))


def _otherwise(mine: Recovery, other: Recovery, differs: tuple[str, ...]) -> str:
    """Say how another revision answers, and which of both is proved."""
    if other.refused is not None:
        what = f"it finds nothing that can be recovered ({other.refused.rule})"
    elif mine.refused is not None:
        what = f"it recovers: it {_resubmits(other)}, and fetches on at {_position(other)}"
    else:
        told = []
        if "resubmit" in differs:
            told.append(f"it {_resubmits(other)}, not {_entries(mine)}")
        if "fetch_position" in differs:
            told.append(f"it fetches on at {_position(other)}, not at {_position(mine)}")
        left = " and ".join(place.removesuffix("_after") for place in differs if place.endswith("_after"))
        what = "; ".join(told) or f"it leaves other bytes in the {left}"
    used = "; that would give the device what the ring shows as used" if shown_as_used(other) else ""
    revision, proved = other.given.revision, [r.given.revision for r in (mine, other) if _is_proved(r.given)]
    which = f"{' and '.join(proved)} {'is' if len(proved) == 1 else 'are'}" if proved else "neither is"
    return f"revision {revision} answers otherwise: {what}{used} ({which} proved for this ring)"


def _is_proved(given: Given) -> bool:
    """Whether every property is proved of the revision with these choices (gaps that hardened leaves open included)."""
    since = REVISIONS.index(PROVED[given.ring])
    return REVISIONS.index(given.revision) >= since and (given.revision == "hardened" or not given.choices.changed())


def _resubmits(recovery: Recovery) -> str:
    return f"resubmits {_entries(recovery)}"


def _entries(recovery: Recovery) -> str:
    entries = [request.entry for request in recovery.resubmitted]
    thing = ("head", "heads") if recovery.given.ring == "split" else ("entry", "entries")
    return among(entries, *thing) if entries else "nothing"


def _position(recovery: Recovery) -> str:
    if recovery.given.ring == "split":
        return f"index {recovery.position[0]}"
    slot, wrap = recovery.position
    return f"slot {slot}, wrap counter {wrap}"


def _without_order(recovery: Recovery) -> Iterator[Doubt]:
    """Yield a doubt where several requests are resubmitted and nothing says which was made available first."""
    if recovery.given.choices.counted or len(recovery.resubmitted) < 2:
        return
    what = "requests are resubmitted as they stand in the table, not as the driver made them available"
    yield Doubt("no-order", f"v6 keeps no order: {what}")
