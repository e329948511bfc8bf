"""What came after the chapter, on the packed ring: what stops it, which base is answered, how it is reset."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from model.both import later
from model.both.resetting import resets
from model.both.stopping import ANSWERED, Answer, Words, another_answer
from model.both.words import ENTRIES, RUNNING, WORKING
from model.gaps import Edits, Gap
from model.packed.fetch import BETWEEN
from model.packed.in_order import IN_ORDER
from model.packed.places import advanced
from model.packed.recover import slots_inflight
from model.packed.variables import BASE, BASE_WRAP, VARS
from model.record import Var
from model.steps import Edit, Procedure, Replace, Table
from model.terms import Term, all_of, any_of, ite, negate

__all__ = ["LATER"]

_new = Procedure("stop")

_KEPT = (
    Var("base.idx", "driver", 16, "what SET_VRING_BASE will say: the slot", initial=BASE),
    Var("base.wrap", "driver", 8, "its wrap counter", initial=BASE_WRAP),
)


def drained(s: Any) -> Term:
    """All that was fetched is used: the next slot to fetch is the next used one, on the same lap."""
    return all_of(s.fetch.avail_idx == s.region.used_idx, s.fetch.avail_wrap == s.region.used_wrap_counter)


def keep(s: Any) -> None:
    """Say where the next used element goes (bits 16 to 31); a recovery that has not ended says what it was told."""
    known = s.recover.at == RUNNING
    s.base.idx = ite(known, s.region.used_idx, s.base.idx)
    s.base.wrap = ite(known, s.region.used_wrap_counter, s.base.wrap)


def keep_behind(s: Any) -> None:
    """Say where fetching would have gone on (bits 0 to 15), likewise."""
    known = s.recover.at == RUNNING
    s.base.idx = ite(known, s.fetch.avail_idx, s.base.idx)
    s.base.wrap = ite(known, s.fetch.avail_wrap, s.base.wrap)


@_new.step("stop.late", at=ANSWERED, to=ANSWERED, choice="head", text="gap after-answer", tags=("stores",),
           when=lambda s, i: all_of(i < ENTRIES, s.device.state[i] == WORKING))  # fmt: skip
def clear_late(s: Any, i: Term) -> None:
    """The device finishes a request after the answer, and its entry is cleared."""
    s.region.desc[i].inflight = 0
    s.device.state[i] = 0


def begin_at_base(table: Table) -> list[Edit]:
    """Begin a fresh region where SET_VRING_BASE says that the next used element goes (gap fresh-used-idx)."""
    first, wrap = table.step("packed.init.6"), table.step("packed.init.3")

    def used_idx(s: Any) -> None:
        s.region.used_idx = s.base.idx

    def old_used_idx(s: Any) -> None:
        s.region.old_used_idx = s.base.idx

    def used_wrap(s: Any) -> None:
        s.region.used_wrap_counter = s.base.wrap

    def old_wrap(s: Any) -> None:
        s.region.old_used_wrap_counter = s.base.wrap

    def at_end(s: Any) -> Term:
        return s.recover.entry >= ENTRIES  # type: ignore[no-any-return]

    return [
        Replace(first.id, {"do": used_idx, "when": lambda s: all_of(at_end(s), negate(s.base.idx == 0))}),
        Replace("packed.init.7", {"do": old_used_idx}),
        Replace(wrap.id, {"do": used_wrap, "when": lambda s: any_of(s.recover.at == "init wrap",
                                                                    all_of(at_end(s), s.base.idx == 0))}),
        Replace("packed.init.4", {"do": old_wrap}),
    ]  # fmt: skip


def by_base(*, before: bool, plus: bool) -> Edits:
    """Fetch from what SET_VRING_BASE says: the last answer's base, after a crash too, which is what QEMU sends."""

    def edits(table: Table) -> list[Edit]:
        def find(s: Any) -> None:
            here = s.base.idx, s.base.wrap
            s.fetch.avail_idx, s.fetch.avail_wrap = advanced(*here, slots_inflight(s)) if plus else here

        said = "Fetching goes on where SET_VRING_BASE says" + (", plus what is inflight." if plus else ".")
        return [
            *another_answer(Answer(), replace(WORDS, answer=keep if before else keep_behind))(table),
            Replace("packed.position", {"do": find, "sentence": said}),
        ]

    return edits


def undo(s: Any) -> None:
    """The free list is led by what led it before the batch; nothing else was moved."""
    s.region.free_head = s.region.old_free_head
    s.supply.slots = 0


WORDS = Words(BETWEEN, drained, _KEPT, keep, begin_at_base, undo)
"""What stopping a ring needs to know of it."""

LATER: dict[str, Gap] = later.later(
    later.Own(
        WORDS,
        clear_late,
        {
            "behind-taken": by_base(before=False, plus=False),
            "behind-plus": by_base(before=False, plus=True),
            "before-taken": by_base(before=True, plus=False),
            "before-plus": by_base(before=True, plus=True),
        },
        resets(VARS, BETWEEN),
        IN_ORDER,
    )
)
"""The choices, by name."""
