"""What has to be shown of the split ring beside the invariant: which sums a count is, what ends recovery, the rank."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from model.steps import Guard
from model.terms import Term, all_of, forall, wrap
from proofs.split.words import HEADS, iff, live

__all__ = ["COUNTS", "FOUND", "NO_WRAP", "OUTCOME", "REWRITES", "UNTOUCHED", "outcome"]

COUNTS: Mapping[str, tuple[str, str]] = {
    "split.position": ("proof.live_sum", "heads"),
    "split.counter": ("proof.live_sum", "heads"),
    "ring-position": ("proof.waiting_sum", "size"),
}
"""The array of sums whose element at a limit is the count in a step, or in a property's predicate."""

REWRITES: Mapping[str, Mapping[str, Guard]] = {
    "split.fetch.1": {"fetch.last_avail": lambda s: wrap(s.proof.marked_pos, 16)}
}
"""Variables that are a position modulo 65536 where a step is taken; shown first, then used as such."""

NO_WRAP = frozenset({"region.desc[].counter", "table", "used.ring[].len"})
"""Fields whose width is an assumption, printed in the scope: 64-bit counters do not wrap, contents are tokens."""


def outcome(s: Any) -> Term:
    """When recovery ends, all that it leaves follows from what it found: history, and untouched fields."""
    return all_of(
        s.region.version == 1,
        s.region.desc_num == HEADS,
        s.region.used_idx == s.used.idx,
        forall(HEADS, lambda h: iff(s.region.desc[h].inflight == 1, live(s, h)), lambda h: s.region.desc[h].inflight),
        forall(HEADS, lambda h: iff(s.recover.resubmitted[h] == 1, live(s, h)), lambda h: s.recover.resubmitted[h]),
        s.fetch.last_avail == wrap(s.proof.marked_pos, 16),
    )


OUTCOME = ("counter", "fetch.last_avail")
"""What recovery leaves besides the region and the resubmit list."""

FOUND = ("recover.at", "recover.resubmitted", "region.desc[].inflight")
"""What it may be computed from, besides what recovery does not touch: the marks, which are those of the live requests
once they are repaired (`outcome`), and how far the resubmission is."""

UNTOUCHED = (
    "region.last_batch_head", "region.desc[].next", "region.desc[].counter", "used.idx", "table",
    "history.made", "history.got", "history.done", "history.content", "history.used_pos",
    "proof.marked", "proof.marked_pos",
)  # fmt: skip
"""What the outcome of recovery depends on: no step of recovery and no crash may write to it."""
