"""Why a property of a choice is bounded: what stands in the way of a proof, and of a run. docs/gaps.md prints it."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["BOUNDED"]

BOUNDED: Mapping[tuple[str, str, str], str] = {
    ("free-list", "zeroed", "order"): (
        "each request is recorded in entry 0, over the one before it, so a recovery resubmits one at most, and no run "
        "of it has two to put in order. Nothing that the proof of `hardened` says of the list holds then, and it has "
        "no sentence that says this instead"
    ),
    ("assignments", "one", "restartable"): (
        "a crash no longer parts what commits a batch or rolls it back, which is what breaks it otherwise. What is "
        "left is the clearing along links of a list that by then need be no list, and the proof has no words for it"
    ),
    ("region-size", "smaller", "order"): (
        "requests are resubmitted in a wrong order when three of them, finished in another order than fetched, have "
        "shuffled the free list: with a region smaller than its ring that takes three entries and three requests, "
        "which no search of all runs gets through. A request without an entry is no member of the list either, so "
        "that no sentence of the proof holds"
    ),
}
"""By gap, choice and property; the same in each revision that has the row."""
