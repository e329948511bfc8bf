"""The words of the split ring's invariant."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from model.both.stopping import TAKEN_BACK
from model.both.words import DEAD, ENTRIES, FIRST, HEADS, RUNNING, SIZE
from model.record import record_term
from model.split.serve import BETWEEN
from model.steps import Table
from model.terms import Operand, Term, all_of, as_term, ite, negate, wrap
from proofs.induction.words import Conjunct, at, iff, implies
from proofs.split.differs import Differs, stored, variables_of

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
        self.labels["stop"] = [TAKEN_BACK] if "stop.back" in table.steps else []
        self.guard: Callable[[Any], Term] = lambda s: as_term(table.guards["fetch"](s))
        alone = "device.state" in variables_of(record_term(table.vars, self.guard))
        self.waits_for_device = alone
        self.may_fetch: Callable[[Any], Term] = (lambda s: s.supply.open == 0) if alone else self.guard
        fetch = {label for step in table.of("fetch") for label in step.at}
        self.differs = Differs(table)
        self.looking = ["arm", "looked"] if self.differs.arms_at_look else []
        self.in_hand = sorted(fetch - {*BETWEEN, "armed", "submit", *self.looking})
        self.in_hand_first = table.step("split.fetch.1").to
        self.stamped = [table.step(i).at[0] for i in ("split.fetch.bump",) if i in table.steps]
        self.counted = [table.step("split.fetch.2").at[0]] if self.stamped else []
        self.unready = ["init desc_num", "init used_idx"] if self.differs.desc_num_late else []
        self.unsettled = [label for label in ("init", "init used_idx", "init version") if label not in self.unready]
        signalling = self._signalling(table)
        self.opening = [] if "compare" in signalling else signalling[:1]
        self.opening_fresh = list(self.opening) if self.differs.known_late else []
        if self.differs.attached:
            self.unsettled, self.opening = [], ["init"]
        elif self.differs.known_late:
            self.unsettled, self.opening = [*self.unsettled, *self.opening], []
        recover = table.step("split.position"), *([table.step("split.counter")] if self.stamped else [])
        between = signalling[:1] if "compare" in signalling else []
        after = [s.to for s in recover if s.to]
        self.repaired = ["position", *after, *(["resubmit"] if between else []), "signalled"]
        comparing = ["compare", "compared", "clear"]
        before = [*self.unsettled, *self.unready, *self.opening, *comparing, *(s.at[0] for s in recover)]
        self.before_resubmit = [*before, *between]
        self.positioned = [*self.repaired[1:], RUNNING]
        self.counter_known = [*between, "resubmit", "signalled", RUNNING]
        self.signalling = [DEAD, *signalling]
        supply = self._supply(table)
        loop = ["elements", "elements len"]
        self.writing = loop if self.differs.elements_last else []
        self.closing = ["element len", "publish"] if self.differs.gathered else []
        self.supplying = [label for label in (table.step(i).at[0] for i in supply) if label not in loop]
        inside = table.step("split.notify.call").to != "idle"
        self.published = ["clear", *(["notify", "notified"] if inside else [])]
        self.to_notify = ["notify"] if inside else ["clear", "notify"]
        self.named = self._behind(table, supply, "used.ring[].id", "split.supply.id")
        self.sized = self._behind(table, supply, "used.ring[].len", "split.supply.len")
        self.led = self._behind(table, supply, "region.last_batch_head", "split.supply.3")

    @staticmethod
    def _supply(table: Table) -> list[str]:
        """Give the steps that write a request's used element and list it, in their order."""
        known = ("split.supply.id", "split.supply.len", "split.supply.2", "split.supply.3")
        there = [name for name in known if name in table.steps]
        if Differs(table).gathered:
            there = there[2:]
        if Differs(table).lead_first:
            there.sort(key=lambda name: name != "split.supply.3")
        return there

    def _behind(self, table: Table, supply: list[str], name: str, text: str) -> list[str]:
        """Give the labels of them behind the one that stores to a variable: that of the text, if none does."""
        if self.writing or (self.closing and text != "split.supply.3"):
            return []
        storing = next((step for step in supply if name in stored(table, step)), text)
        return self.supplying[supply.index(storing) + 1 :]

    def _signalling(self, table: Table) -> list[str]:
        """Give the labels of recovery before the driver is notified, the last one first, if that is done early."""
        if not self.differs.signals_early:
            return []
        found = ["signal"]
        for label in found:
            found += sorted({at for s in table.of("recover") if s.to == label for at in s.at} - {DEAD, *found})
        return found

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
