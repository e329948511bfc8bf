"""What the chain to `drains` (`proofs.packed.rank.stuck`) rests on besides the invariant, for the solver."""

from __future__ import annotations

from typing import Any

import z3

from proofs.induction.solver import INT, Translator, World

__all__ = ["TRIGGERS", "least", "nothing_live"]

TRIGGERS = ("device.state", "proof.live", "region.desc[].inflight")
"""Arrays over entries: where an element is named, the solver thinks of the entry."""


def least(translator: Translator, world: World) -> list[Any]:
    """Say that of the requests to be resubmitted, if there are any, one has the least counter: a finite set has one.

    That the step which resubmits can take this one is not assumed: it is what the first of the goals needs.
    """
    first, other = translator.fresh("first", INT), translator.fresh("e", INT)
    marks, done = world["region.desc[].inflight"], world["recover.resubmitted"]
    counters = world["region.desc[].counter"]

    def pending(e: Any) -> Any:
        return z3.And(e >= 0, e < translator.region_size, marks[e] == 1, done[e] == 0)

    patterns = [marks[other], done[other]]
    none = z3.ForAll([other], z3.Not(pending(other)), patterns=patterns)
    later = z3.ForAll([other], z3.Implies(pending(other), counters[first] <= counters[other]), patterns=patterns)
    return [z3.Or(none, z3.And(pending(first), later))]


def nothing_live(name: str, translator: Translator, world: World) -> list[tuple[str, Any, Any]]:
    """Before "everything is visible": the sum over no live request is 0, by induction over the entries."""
    if name != "everything is visible":
        return []
    sums, k = world["proof.live_sum"], translator.fresh("k", INT)
    begins = sums[0] == 0
    said = z3.And(k >= 0, k < translator.region_size, sums[k] == 0, world["proof.live"][k] >= -1)
    goes_on = z3.Implies(said, sums[k + 1] == 0)
    return [("the sum begins with 0", begins, begins), ("it stays 0", goes_on, sums[translator.region_size] == 0)]
