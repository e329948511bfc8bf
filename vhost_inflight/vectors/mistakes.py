"""Mistakes that back-ends in the field make, as back-ends: small changes of the text's table, or of who follows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from model import protocol
from model.both.counters import pending
from model.both.words import ENTRIES
from model.protocol import Subject
from model.steps import Edit, Replace, Table
from model.terms import Operand, Term, all_of, forall, ite, negate
from proofs.challenges.mutating import drops
from vhost_inflight.vectors.form import Answer, Recovered, Vector
from vhost_inflight.vectors.machines import layout_of
from vhost_inflight.vectors.served import BackEnd

__all__ = ["SENTENCES", "mistakes"]

SENTENCES: Final = {
    "counter-window": "Counters are compared as if none were 2048 or more past another.",
    "position-from-base": "Fetching goes on where SET_VRING_BASE says, and not behind what is inflight.",
    "position-from-base-plus": "Fetching goes on where SET_VRING_BASE says, plus what is inflight.",
    "counter-from-zero": "The global counter begins again at 0 after recovery.",
    "fresh-position-zero": "A fresh region's used_idx stays 0 where the ring's is not.",
    "entry-for-slot": "Whether a batch is visible is read from desc[old_used_idx].inflight, not from the slot's flags.",
    "free-not-cleared": "The inflight fields of free entries are not cleared.",
    "whole-flags": "All flags of the slot are compared, and not AVAIL and USED alone.",
    "header-29": "Entries begin at byte 29, where the header's fields end, and not at 32.",
}
"""What each of them does."""

_WINDOW = 2048


def mistakes(ring: str, revision: str) -> dict[str, BackEnd]:
    """Give those of a ring and a revision that has what they get wrong, by name."""
    subject = Subject(ring, revision)
    counted = revision != "v6"
    found: dict[str, BackEnd] = {"position-from-base": _FromBase(subject)}
    if counted:
        found["counter-window"] = BackEnd(subject, _window(ring))
        found["counter-from-zero"] = BackEnd(subject, _gap(subject, "counter-after-reconnect", "zero"))
    fresh = "zero-and-skip" if ring == "split" else "zero"
    found["fresh-position-zero"] = BackEnd(subject, _gap(subject, "fresh-used-idx", fresh))
    if (ring, counted) == ("split", True):
        found["position-from-base-plus"] = _FromBasePlus(subject)
    if ring == "packed":
        found["entry-for-slot"] = BackEnd(subject, [Replace("packed.reconnect.1a", {"do": _look_at_entry})])
        found["whole-flags"] = BackEnd(subject, _gap(subject, "flags-compare", "whole"))
        found["free-not-cleared"] = BackEnd(subject, _dropped(subject, "packed.reconnect.3"))
        found["header-29"] = _Early(subject)
    return found


def _gap(subject: Subject, gap: str, choice: str) -> list[Edit]:
    """Give the edits of a choice, of a revision too that does not leave it open."""
    alternative = next(a for a in protocol.gaps(subject.ring)[gap].alternatives if a.name == choice)
    edits: Callable[[Table], list[Edit]] = alternative.edits
    return edits(protocol.table(subject))


def _dropped(subject: Subject, step: str) -> tuple[Edit, ...]:
    found = {m.name: m for m in drops(protocol.table(subject), (), f"{subject.ring}.supply.7")}
    return found[f"drop {step}"].edits


def _window(ring: str) -> list[Edit]:
    def not_after(s: Any, i: Term, h: Operand) -> Term:
        mine, other = s.region.desc[i].counter, s.region.desc[h].counter
        return negate(all_of(mine > other, mine - other < _WINDOW))

    def next_one(s: Any, i: Term) -> Term:
        return all_of(
            i < ENTRIES, pending(s, i), forall(ENTRIES, lambda h: ite(pending(s, h), not_after(s, i, h), all_of()))
        )

    return [Replace("split.reconnect.2" if ring == "split" else "packed.reconnect.4", {"when": next_one})]


def _look_at_entry(s: Any) -> None:
    s.recover.submitted = ite(s.region.desc[s.region.old_used_idx].inflight == 0, 1, 0)


class _FromBase(BackEnd):
    """Fetching goes on where SET_VRING_BASE says."""

    def answer(self, vector: Vector) -> Answer:
        """Give what it makes of a vector."""
        answer, base = super().answer(vector), vector.given.base
        if not isinstance(answer, Recovered):
            return answer
        return replace(answer, next_avail=base if vector.ring == "split" else (base & 0x7FFF, base >> 15 & 1))


class _FromBasePlus(BackEnd):
    """Fetching goes on where SET_VRING_BASE says, plus what is inflight: right where the base is used.idx."""

    def answer(self, vector: Vector) -> Answer:
        """Give what it makes of a vector."""
        answer = super().answer(vector)
        if not isinstance(answer, Recovered):
            return answer
        return replace(answer, next_avail=(vector.given.base + len(answer.resubmit)) % 65536)


class _Early(BackEnd):
    """Entries are where the header's fields end."""

    def answer(self, vector: Vector) -> Answer:
        """Give what it makes of a vector: it reads each entry three bytes early, and stores it there."""
        begin, fields = layout_of(vector.ring, vector.revision).header.size, 29
        region = vector.given.region
        read = region[:fields] + bytes(begin - fields) + region[fields : len(region) - (begin - fields)]
        answer = super().answer(replace(vector, given=replace(vector.given, region=read)))
        if not isinstance(answer, Recovered):
            return answer
        stored = answer.region[:fields] + answer.region[begin:] + region[len(region) - (begin - fields) :]
        return replace(answer, region=stored)
