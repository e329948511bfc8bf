"""What has to be shown of the split ring beside the invariant: which sums a count is, what ends recovery, the rank."""

from __future__ import annotations

from collections.abc import Mapping

from model.both.words import ENTRIES
from model.steps import Guard, Table
from model.terms import ite, wrap
from proofs.induction.left import the_counter
from proofs.split.differs import Differs
from proofs.split.words import live

__all__ = ["COUNTS", "NO_WRAP", "REWRITES", "key", "leaves", "while_idle"]

COUNTS: Mapping[str, str] = {
    "split.position": "proof.live_sum",
    "split.counter": "proof.live_sum",
    "split.fetch.submit": "proof.turn_sum",
    "split.reconnect.2": "proof.turn_sum",
    "ring-position": "proof.waiting_sum",
}
"""The array of sums whose element at its limit is the count in a step, or in a property's predicate."""

REWRITES: Mapping[str, Mapping[str, Guard]] = {
    "split.fetch.1": {"fetch.last_avail": lambda s: wrap(s.proof.marked_pos, 16)},
    "split.position": {"base.idx": lambda s: wrap(s.history.used_pos, 16)},
}
"""Variables that are a position modulo 65536 where a step is taken; shown first, then used as such."""

NO_WRAP = frozenset({"region.desc[].counter", "table", "used.ring[].len"})
"""Fields whose width is an assumption, which `verify` prints: 64-bit counters do not wrap, contents are tokens."""


def leaves(table: Table) -> Mapping[str, Guard]:
    """Give what recovery leaves: whether `x` is what it leaves (in element `i`)."""

    def itself(name: str) -> Guard:
        return lambda s, x, i: x == getattr(s.region.desc[i], name)

    skips = Differs(table).skips
    return {
        "region.version": lambda _s, x, _: x == 1,
        "region.desc_num": lambda _s, x, _: x == ENTRIES,
        "region.last_batch_head": lambda s, x, _: x == s.region.last_batch_head,
        "region.used_idx": lambda s, x, _: x == s.used.idx,
        "region.desc[].inflight": lambda s, x, i: x == ite(live(s, i), 1, 0),
        "region.desc[].next": itself("next"),
        "region.desc[].counter": itself("counter"),
        "recover.resubmitted": lambda s, x, i: x == ite(live(s, i), 1, 0),
        "fetch.last_avail": lambda s, x, _: x == (s.avail.idx if skips else wrap(s.proof.marked_pos, 16)),
        "counter": the_counter(table, live, lambda s, h: s.proof.marked[h]),
    }


def key(table: Table) -> Guard:
    """Give what rises from each request that is resubmitted to the next: the counter, or the place in the table."""
    return (lambda s, i: s.region.desc[i].counter) if "split.counter" in table.steps else lambda _, i: i


def while_idle(table: Table) -> frozenset[str]:
    """Give what recovery leaves so only where the driver was idle: where fetching goes on, if that is at avail.idx."""
    return frozenset({"fetch.last_avail"} if Differs(table).skips else ())
