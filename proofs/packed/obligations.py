"""What has to be shown of the packed ring beside the invariant: sums, walks, what ends recovery."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any

from model.both.words import ENTRIES
from model.steps import Guard, Table
from model.terms import Term, all_of, cell, ite, lap
from proofs.induction.left import the_counter
from proofs.induction.walks import Along, Steps, Walk
from proofs.packed.words import HEADS, SIZE, in_batch, live

__all__ = ["BESIDE", "CASES", "COUNTS", "MENTIONS", "NO_WRAP", "WALKS", "key", "leaves"]

COUNTS: dict[str, str] = {
    "packed.position": "proof.live_sum",
    "packed.counter": "proof.inflight_sum",
    "packed.fetch.submit": "proof.turn_sum",
    "packed.reconnect.4.submit": "proof.turn_sum",
}
"""The array of sums whose element at its limit is the total in a step."""

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


def _behind(s: Any) -> list[Term]:
    here = s.history.seen_pos
    return [here, here + s.driver.num[s.driver.order[cell(here)]], s.history.avail_pos]


def _next_avail(s: Any) -> list[Term]:
    h = s.history
    return [h.avail_pos, h.avail_pos + s.driver.length, h.avail_pos + s.driver.length - 1]


def _to_look(s: Any) -> list[Term]:
    return [s.proof.marked_pos, s.history.avail_pos, s.history.seen_pos]


def _to_write(s: Any) -> list[Term]:
    return [s.history.used_pos + s.supply.slots, s.history.used_pos + s.supply.offset[s.supply.cursor - 1]]


MENTIONS: Mapping[str, Callable[[Any], list[Term]]] = {
    "driver.make.1": _next_avail, "driver.make.more": _next_avail, "driver.make.desc": _next_avail,
    "driver.make.last": _next_avail, "driver.make.head": _next_avail,
    "driver.use": lambda s: [s.history.seen_pos, s.history.avail_pos,
                             s.history.seen_pos + s.driver.num[s.ring.desc[cell(s.history.seen_pos)].id]],
    "driver.use.skipped": _behind, "driver.use.last": _behind,
    "packed.fetch.6": lambda s: [s.proof.marked_pos + s.proof.depth - s.proof.fill,
                                 s.proof.marked_pos + s.proof.depth - s.proof.fill + 1],
    "packed.position": lambda s: [s.history.used_pos, s.proof.marked_pos],
    "packed.supply.id": _to_write, "packed.supply.len": _to_write,
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
    "driver.use.skipped": lambda _, q: [cell(q - SIZE)],
    "driver.use.last": lambda _, q: [cell(q - SIZE)],
    "packed.supply.len": lambda s, k: [s.device.state[s.supply.batch[k]]],
    "packed.supply.7": _of_the_batch,
}
"""By step id: the slot of a position is that of the position one round before; an id's used element, and the next;
what the device has done for a request of the batch."""


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


def leaves(table: Table) -> Mapping[str, Guard]:
    """Give what recovery leaves: whether `x` is what it leaves (in element `i`)."""
    linked = "packed.init.2" in table.steps

    def itself(*names: str) -> Guard:
        return lambda s, x, i: x == reduce(getattr, names, s.region.desc[i])

    def following(s: Any, x: Term, i: Term) -> Term:
        """Give the first list of a region that does not count yet; else what is there."""
        there = s.region.desc[i].next
        return x == (ite(s.region.version == 0, i + 1, there) if linked else there)

    def place(s: Any, x: Term, _: Term) -> Term:
        return x == cell(s.history.used_pos)

    def wrap_counter(s: Any, x: Term, _: Term) -> Term:
        return x == lap(s.history.used_pos)

    def kept_head(s: Any, x: Term, _: Term) -> Term:
        return x == s.proof.kept_head  # type: ignore[no-any-return]

    def is_live(s: Any, x: Term, i: Term) -> Term:
        return x == ite(live(s, i), 1, 0)

    entry = ("num", "counter", "last", "id", "len", "addr", "flags.next", "flags.avail", "flags.used")
    return {
        "region.version": lambda _s, x, _: x == 1,
        "region.desc_num": lambda _s, x, _: x == ENTRIES,
        "region.free_head": kept_head, "region.old_free_head": kept_head,
        "region.used_idx": place, "region.old_used_idx": place,
        "region.used_wrap_counter": wrap_counter, "region.old_used_wrap_counter": wrap_counter,
        "region.desc[].inflight": is_live, "region.desc[].next": following,
        **{f"region.desc[].{name}": itself(*name.split(".")) for name in entry},
        "recover.resubmitted": is_live,
        "fetch.avail_idx": lambda s, x, _: x == cell(s.proof.marked_pos),
        "fetch.avail_wrap": lambda s, x, _: x == lap(s.proof.marked_pos),
        "counter": the_counter(table, live, lambda s, e: s.proof.live[e]),
    }  # fmt: skip


def key(_: Table) -> Guard:
    """Give what rises from each request that is resubmitted to the next: the counter."""
    return lambda s, i: s.region.desc[i].counter
