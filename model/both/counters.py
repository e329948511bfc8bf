"""What merged added to both rings: a counter for each entry, and resubmission in its order."""

from __future__ import annotations

from typing import Any

from model.both.words import ENTRIES
from model.steps import Procedure, Step
from model.terms import Operand, Term, all_of, forall, greatest, ite

__all__ = ["bump", "first_counter", "least_counter", "pending", "restore_counter"]


def pending(s: Any, h: Operand) -> Term:
    """Whether an entry is inflight and not yet resubmitted by this process."""
    return all_of(s.region.desc[h].inflight == 1, s.recover.resubmitted[h] == 0)


def first_counter(s: Any, start: int) -> Term:
    """Give the counter after the greatest of the inflight entries, or `start` if nothing is inflight."""
    return greatest(ENTRIES, lambda h: s.region.desc[h].inflight == 1, lambda h: s.region.desc[h].counter + 1, start)


def least_counter(s: Any, i: Term) -> Term:
    """Whether an entry is the next in the order of the counters."""
    return all_of(
        i < ENTRIES,
        pending(s, i),
        forall(ENTRIES, lambda h: ite(pending(s, h), s.region.desc[i].counter <= s.region.desc[h].counter, all_of())),
    )


def bump(merged: Procedure, step_id: str, text: str) -> Step:
    """Declare the step that counts on."""

    @merged.step(step_id, text=text)
    def count_on(s: Any) -> None:
        """Increase the global counter by 1."""
        s.counter = s.counter + 1

    return count_on


def restore_counter(merged: Procedure, step_id: str) -> Step:
    """Declare the step of recovery that gives the counter its value."""

    @merged.step(step_id, text="gap counter-after-reconnect; gap counter-start")
    def restore(s: Any) -> None:
        """Set the global counter past the greatest of the inflight entries, or to 0 if nothing is inflight."""
        s.counter = first_counter(s, 0)

    return restore
