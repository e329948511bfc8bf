"""The words of the split ring's invariant."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from model.both.words import ENTRIES, FIRST, HEADS, RUNNING, SIZE
from model.split.serve import BETWEEN
from model.steps import Table
from model.terms import Operand, Term, all_of, as_term, ite, negate, wrap
from proofs.induction.words import Conjunct, at, iff, implies
from proofs.split.differs import Differs

__all__ = [
    "ENTRIES",
    "HEADS",
    "SIZE",
    "Conjunct",
    "Places",
    "at",
    "below",
    "iff",
    "implies",
    "in_list",
    "indexes",
    "live",
    "owed",
    "rest",
    "stale",
    "waiting",
]


def live(s: Any, h: Operand) -> Term:
    """Whether the entry's request is fetched and not visible."""
    return s.proof.marked[h] > s.history.done[h]  # type: ignore[no-any-return]


def waiting(s: Any, h: Operand) -> Term:
    """Whether the head's request is available and not marked."""
    return s.history.made[h] > s.proof.marked[h]  # type: ignore[no-any-return]


def in_list(s: Any, h: Operand) -> Term:
    """Whether the entry is on the batch list."""
    return s.proof.in_list[h] == 1  # type: ignore[no-any-return]


def owed(s: Any) -> Term:
    """Whether a published batch is not settled."""
    return s.history.used_pos != s.proof.settled_pos  # type: ignore[no-any-return]


def rest(s: Any, h: Operand) -> Term:
    """Whether the entry is live and not in the batch that is being built."""
    return all_of(live(s, h), negate(all_of(s.supply.open == 1, in_list(s, h))))


def stale(s: Any) -> Term:
    """Whether region.used_idx is what it was before the region counted."""
    return s.proof.settled_pos < FIRST  # type: ignore[no-any-return]


class Places:
    """The labels of a table that the invariant speaks of: they differ between revisions."""

    def __init__(self, table: Table) -> None:
        """Look the labels up."""
        self.labels = {
            name: sorted({label for step in table.of(name) for label in (*step.at, *((step.to,) if step.to else ()))})
            for name in ("recover", "fetch", "supply")
        }
        self.may_fetch: Callable[[Any], Term] = lambda s: as_term(table.guards["fetch"](s))
        fetch = {label for step in table.of("fetch") for label in step.at}
        self.in_hand = sorted(fetch - {*BETWEEN, "armed", "submit"})
        self.stamped = [table.step(i).at[0] for i in ("split.fetch.bump",) if i in table.steps]
        self.counted = [table.step("split.fetch.2").at[0]] if self.stamped else []
        self.differs = Differs(table)
        self.unready = ["init desc_num", "init used_idx"] if self.differs.desc_num_late else []
        self.unsettled = [label for label in ("init", "init used_idx", "init version") if label not in self.unready]
        recover = table.step("split.position"), *([table.step("split.counter")] if self.stamped else [])
        self.repaired = ["position", *(s.to for s in recover if s.to), "signalled"]
        comparing = ["compare", "compared", "clear"]
        self.before_resubmit = [*self.unsettled, *self.unready, *comparing, *(s.at[0] for s in recover)]
        self.positioned = [*self.repaired[1:], RUNNING]
        self.counter_known = ["resubmit", "signalled", RUNNING]
        supply = ("split.supply.id", "split.supply.len", "split.supply.2", "split.supply.3")
        loop = ["elements", "elements len"]
        self.writing = loop if self.differs.elements_last else []
        self.supplying = [label for label in (table.step(i).at[0] for i in supply) if label not in loop]
        inside = table.step("split.notify.call").to != "idle"
        self.published = ["clear", *(["notify", "notified"] if inside else [])]
        self.to_notify = ["notify"] if inside else ["clear", "notify"]
        self.named, self.sized = ([], []) if self.writing else (self.supplying[1:], self.supplying[2:])

    def walkable(self, s: Any, said: Term) -> Term:
        """Say it of the list of an open batch: where used_idx was never set, there is none."""
        return implies(negate(stale(s)), said) if self.differs.stale else said

    def written(self, s: Any) -> Term:
        """Give how many used elements of the batch that is being built are written."""
        if not self.writing:
            return s.supply.count  # type: ignore[no-any-return]
        return ite(at(s.supply.at, *self.writing), s.supply.cursor, 0)


def indexes(s: Any) -> Term:
    """Ring indexes are positions, modulo 65536."""
    h = s.history
    return all_of(
        s.avail.idx == wrap(h.avail_pos, 16), s.used.idx == wrap(h.used_pos, 16),
        s.driver.next_used == wrap(h.seen_pos, 16),
    )  # fmt: skip


def below(number: Term, limit: Term) -> Term:
    """Say that a number is at least 0 and below a limit."""
    return all_of(number >= 0, number < limit)
