"""Slips of the split ring's steps: each makes one thing wrong that a property speaks of, and nothing else.

They are for the conjuncts that no mutant breaks alone (proofs.challenges.conjuncts).
"""

from __future__ import annotations

from typing import Any

from model.both.counters import pending
from model.both.words import ENTRIES, SIZE
from model.steps import Before, Procedure, Replace
from model.terms import count, wrap
from proofs.induction.kits import Slip
from proofs.search.bounds import Bounds

__all__ = ["SLIPS"]

_new = Procedure("recover")


@_new.step("split.init.lead", text="a slip")
def lead_nowhere(s: Any) -> None:
    """Set the head of the batch list to an entry that is not there."""
    s.region.last_batch_head = ENTRIES


@_new.step("split.init.link", text="a slip")
def link_nowhere(s: Any) -> None:
    """Set desc[0].next to an entry that is not there."""
    s.region.desc[0].next = ENTRIES


@_new.step("split.init.mark", text="a slip")
def mark_twice(s: Any) -> None:
    """Set desc[0].inflight to 2."""
    s.region.desc[0].inflight = 2


def _lead_next(s: Any) -> None:
    s.region.last_batch_head = s.supply.head + 1
    s.supply.count = s.supply.count + 1


def _publish_one_more(s: Any) -> None:
    s.supply.old_idx = s.used.idx
    s.supply.open = 2
    s.supply.cursor = 0
    s.used.idx = wrap(s.used.idx + s.supply.count + 1, 16)


def _count_all(s: Any) -> None:
    s.fetch.last_avail = wrap(s.used.idx + count(SIZE, lambda h: s.region.desc[h].inflight == 1), 16)


ONE = Bounds(2, 1, 0)
"""One request, no crash."""

SLIPS = (
    Slip("the list leads nowhere from the start", "A region is made with a last_batch_head that names no entry.",
         (Before("split.init.3", lead_nowhere),), (ONE,)),
    Slip("an entry links to nowhere", "A region is made with a next field that names no entry.",
         (Before("split.init.3", link_nowhere),), (ONE,)),
    Slip("an entry is marked with 2", "A region is made with an inflight field of 2.",
         (Before("split.init.3", mark_twice),), (ONE,)),
    Slip("the next entry leads", "last_batch_head is set to the entry after i.",
         (Replace("split.supply.3", {"do": _lead_next}),), (ONE,)),
    Slip("one more is published", "used.idx is increased by one more than the size of the batch.",
         (Replace("split.supply.5", {"do": _publish_one_more}),), (Bounds(2, 1, 1),), {"fetch-position": "avail-idx"}),
    Slip("the region is taken for the table", "Recovery takes each head for one that has an entry.",
         (Replace("split.position", {"do": _count_all}),
          Replace("split.reconnect.2", {"when": pending})),
         (Bounds(2, 1, 1),), entries=1),
)  # fmt: skip
