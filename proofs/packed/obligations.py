"""What has to be shown of the packed ring beside the invariant: sums, walks, what ends recovery."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from model.both.words import ENTRIES
from model.terms import Term, all_of, any_of, cell, forall, ite, lap
from proofs.induction.walks import Along, Steps, Walk
from proofs.packed.words import HEADS, SIZE, iff, in_batch, live

__all__ = ["BESIDE", "CASES", "COUNTS", "ENDS", "FOUND", "MENTIONS", "NO_WRAP", "UNTOUCHED", "WALKS", "outcome"]

COUNTS: dict[str, tuple[str, str]] = {"packed.position": ("proof.live_sum", "heads")}
"""The array of sums whose element at a limit is the total in a step."""

NO_WRAP = frozenset({
    "region.desc[].counter", "ring.desc[].addr", "ring.desc[].len", "region.desc[].addr", "region.desc[].len",
})  # fmt: skip
"""Fields whose width is an assumption: counters do not wrap, addresses and lengths are tokens."""


def _named(s: Any, i: Term) -> Term:
    """Whether a used element of the batch names the id, and becomes visible."""
    e = s.proof.entry[i]
    return all_of(s.supply.cursor == 1, e >= 0, e < HEADS, live(s, e), in_batch(s, e), s.history.who[e] == i)


PUBLISHED = Walk(
    cases=(
        Steps(
            when=lambda s: s.supply.cursor == 1,
            count=lambda s: s.supply.count,
            where=lambda s, k: s.history.used_pos + s.supply.offset[k],
            last=lambda s: s.history.used_pos + s.supply.slots,
            witness=lambda s, i: s.proof.batch_place[s.proof.entry[i]],
            hints=(lambda s, k: s.supply.batch[k], lambda s, k: s.supply.offset[k]),
        ),
        Steps(
            when=lambda s: s.supply.cursor != 1,
            count=lambda _: 0,
            where=lambda s, _: s.history.used_pos,
            last=lambda s: s.history.used_pos,
        ),
    ),
    named=_named,
)
"""The driver's walk over what it can meet when a slot is marked used: the batch with its first slot, else nothing."""

FREE = Walk(
    cases=Along(
        count=lambda s: s.proof.depth,
        inv=lambda s, x, k: all_of(
            x >= 0, x <= ENTRIES, k <= s.proof.depth, k >= 0,
            ite(k == s.proof.depth, x == ENTRIES, all_of(x < ENTRIES, s.proof.place[x] == s.proof.depth - 1 - k)),
        ),
        last=lambda _: ENTRIES,
        witness=lambda s, x: s.proof.depth - 1 - s.proof.place[x],
    ),
    named=lambda s, x: all_of(x >= 0, x < ENTRIES, s.proof.place[x] >= 0, s.proof.place[x] < s.proof.depth),
)  # fmt: skip
"""The walk over the free list, where old_free_head and free_head are the same."""

WALKS: Mapping[str, Walk] = {
    "packed.supply.7": PUBLISHED, "intact": PUBLISHED, "exactly-once": PUBLISHED, "well-formed": FREE,
}  # fmt: skip
"""By step id, or by property: what a walk in a step's history, or in the property's predicate, passes."""


def _next_avail(s: Any) -> list[Term]:
    h = s.history
    return [h.avail_pos, h.avail_pos + s.driver.length, h.avail_pos + s.driver.length - 1]


def _to_look(s: Any) -> list[Term]:
    return [s.proof.marked_pos, s.history.avail_pos, s.history.seen_pos]


MENTIONS: Mapping[str, Callable[[Any], list[Term]]] = {
    "driver.make.1": _next_avail, "driver.make.more": _next_avail, "driver.make.desc": _next_avail,
    "driver.make.last": _next_avail, "driver.make.head": _next_avail,
    "driver.use": lambda s: [s.history.seen_pos, s.history.avail_pos,
                             s.history.seen_pos + s.driver.num[s.ring.desc[cell(s.history.seen_pos)].id]],
    "packed.fetch.6": lambda s: [s.proof.marked_pos + s.proof.depth - s.proof.fill,
                                 s.proof.marked_pos + s.proof.depth - s.proof.fill + 1],
    "packed.position": lambda s: [s.history.used_pos, s.proof.marked_pos],
    "packed.supply.id": lambda s: [s.history.used_pos + s.supply.slots],
    "packed.supply.len": lambda s: [s.history.used_pos + s.supply.slots],
    "packed.supply.6a": lambda s: [s.history.used_pos + s.supply.slots],
    "packed.supply.6b": lambda s: [s.history.used_pos + s.supply.slots],
    "packed.supply.6b.else": lambda s: [s.history.used_pos + s.supply.slots],
    "packed.supply.1": lambda s: [s.history.used_pos + s.supply.slots],
    "packed.supply.4": lambda s: [s.history.used_pos + s.supply.slots,
                                  s.history.used_pos + s.supply.offset[s.supply.count]],
    "packed.supply.7": lambda s: [s.history.used_pos + s.supply.offset[s.supply.cursor - 1], s.history.used_pos,
                                  s.history.seen_pos, s.history.avail_pos, s.history.used_pos + s.supply.slots],
    "packed.fetch.look": _to_look, "packed.idle.look": _to_look, "packed.fetch.1": _to_look,
    "packed.fetch.7": lambda s: [s.proof.marked_pos, s.proof.marked_pos + s.proof.depth - s.proof.fill],
    "packed.reconnect.1": lambda s: [s.history.used_pos - s.proof.slots, s.history.used_pos + s.proof.slots],
    "packed.reconnect.1.else": lambda s: [s.history.used_pos - s.proof.slots, s.history.used_pos + s.proof.slots],
    "packed.reconnect.unmark": lambda s: [s.history.used_pos, s.history.used_pos + s.recover.ahead],
    "packed.reconnect.unmark.look": lambda s: [s.history.used_pos, s.history.used_pos + s.recover.ahead,
                                               s.history.used_pos + s.recover.ahead - SIZE],
    "packed.reconnect.ready": lambda s: [s.proof.marked_pos, s.history.avail_pos],
}  # fmt: skip
"""By step id: positions whose slots the solver should think of."""


def _looked_at(s: Any) -> Term:
    """Give the position of the slot that recovery looks at."""
    return s.history.used_pos + s.recover.ahead  # type: ignore[no-any-return]


def _of_the_batch(s: Any, i: Term) -> list[Term]:
    """Give what the batch has of an id, and of the request behind it."""
    k = s.proof.batch_place[s.proof.entry[i]]
    offset, batch = s.supply.offset, s.supply.batch
    return [s.proof.live[i], offset[k], offset[k + 1], batch[k], batch[k + 1], cell(s.history.used_pos + offset[k + 1])]


BESIDE: Mapping[str, Callable[[Any, Term], list[Term]]] = {
    "driver.use": lambda _, q: [cell(q - SIZE)],
    "packed.supply.7": _of_the_batch,
}
"""By step id: the slot of a position is that of the position one round before; an id's used element, and the next."""


CASES: Mapping[str, tuple[Callable[[Any], Term], ...]] = {
    "packed.reconnect.unmark.look": (
        lambda s: _looked_at(s) < s.history.avail_pos,
        lambda s: all_of(_looked_at(s) >= s.history.avail_pos, _looked_at(s) < s.history.seen_pos + SIZE),
        lambda s: _looked_at(s) >= s.history.seen_pos + SIZE,
    ),
    "packed.supply.7": (lambda s: s.supply.cursor == 1, lambda s: s.supply.cursor != 1),
}
"""By step id: the cases in which its goals are shown: the flags that publish the batch, and those before; a slot
that is made available, is not, or is one that the driver has still to see."""


def outcome(s: Any) -> Term:
    """When recovery ends, all that it leaves follows from what it found: history, and untouched fields."""
    r, u = s.region, s.history.used_pos
    return all_of(
        r.version == 1, r.desc_num == ENTRIES, r.used_idx == cell(u), r.old_used_idx == cell(u),
        r.used_wrap_counter == lap(u), r.old_used_wrap_counter == lap(u),
        r.free_head == s.proof.kept_head, r.old_free_head == s.proof.kept_head,
        forall(HEADS, lambda e: iff(r.desc[e].inflight == 1, live(s, e)), lambda e: r.desc[e].inflight),
        forall(HEADS, lambda e: any_of(r.desc[e].inflight == 0, r.desc[e].inflight == 1), lambda e: r.desc[e].inflight),
        forall(HEADS, lambda e: iff(s.recover.resubmitted[e] == 1, live(s, e)), lambda e: s.recover.resubmitted[e]),
        s.fetch.avail_idx == cell(s.proof.marked_pos), s.fetch.avail_wrap == lap(s.proof.marked_pos),
    )  # fmt: skip


ENDS = ("counter", "fetch.avail_idx", "fetch.avail_wrap")
"""What recovery leaves besides the region and the resubmit list."""

FOUND = (
    "recover.at", "recover.resubmitted", "region.desc[].inflight", "region.used_idx", "region.used_wrap_counter",
    "recover.entry", "recover.left", "recover.ahead", "recover.marked",
)  # fmt: skip
"""What it may be computed from, besides what recovery does not touch: the marks and the used slot, which are what
`outcome` says once they are repaired, and how far the loops are."""

UNTOUCHED = (
    "region.desc[].num", "region.desc[].last", "region.desc[].counter", "region.desc[].id", "region.desc[].len",
    "region.desc[].addr", "region.desc[].flags.next", "region.desc[].flags.avail", "region.desc[].flags.used",
    "history.used_pos", "proof.marked_pos", "proof.live", "proof.kept_head",
)  # fmt: skip
"""What the outcome of recovery depends on: no step of recovery and no crash may write to it. (`next` is written by the
first list of a fresh region alone, to the same values each time.)"""
