"""The words of the packed ring's invariant."""

from __future__ import annotations

from typing import Any

from model.both.stopping import TAKEN_BACK
from model.both.words import RUNNING
from model.packed.properties import outstanding
from model.packed.variables import BASE, BASE_WRAP
from model.record import record
from model.steps import Table
from model.terms import Operand, Term, all_of, any_of, forall, ite, negate, parameter, walk
from proofs.induction.ordered import used_in_order
from proofs.induction.words import Conjunct, at, iff, implies

__all__ = [
    "ENTRIES", "FIRST", "HEADS", "HELD", "SIZE", "Conjunct", "Places", "all_entries", "at", "counts_inflight",
    "free", "iff", "implies",
    "in_batch", "in_hand", "in_progress", "initialised", "listed", "live", "outstanding", "phase", "running", "to_see",
    "waiting", "written_end",
]  # fmt: skip

HEADS, ENTRIES, SIZE, FIRST = parameter("heads"), parameter("entries"), parameter("size"), parameter("first")

HELD = ("head", "mark", "last?", "count", "copy addr", "copy len", "copy flags", "copy id", "advance", "next")
"""The labels of fetch, without the counter's, at which a chain is in hand."""


def live(s: Any, e: Operand) -> Term:
    """Whether the entry's request is fetched whole and not visible."""
    return s.proof.live[e] == 1  # type: ignore[no-any-return]


def free(s: Any, x: Operand) -> Term:
    """Whether the entry is in the chain of no live request."""
    return s.proof.owner[x] == -1  # type: ignore[no-any-return]


def listed(s: Any, entry: Term, length: Term) -> Term:
    """Whether a head leads a list of so many entries: it is the one at the last place, or else the end."""
    return ite(length == 0, entry == ENTRIES, all_of(entry >= 0, entry < ENTRIES, s.proof.place[entry] == length - 1))


def in_batch(s: Any, e: Operand) -> Term:
    """Whether the request is in the batch that is open."""
    return s.proof.in_batch[e] == 1  # type: ignore[no-any-return]


def phase(s: Any, *numbers: int) -> Term:
    """Whether the batch has come so far in the region."""
    return any_of(*(s.proof.phase == number for number in numbers))


def running(s: Any) -> Term:
    """Whether recovery has ended."""
    return s.recover.at == RUNNING  # type: ignore[no-any-return]


def initialised(s: Any) -> Term:
    """Whether the region counts."""
    return s.region.version == 1  # type: ignore[no-any-return]


def in_progress(s: Any) -> Term:
    """Whether the driver is making a request available."""
    return at(s.driver.at, "described", "chained", "complete")


def in_hand(s: Any, i: Operand) -> Term:
    """Whether it is making one with the id."""
    return all_of(in_progress(s), s.driver.id == i)


def written_end(s: Any) -> Term:
    """Give the position up to which it has written the flags of that chain, but for the first."""
    h = s.history.avail_pos
    return ite(at(s.driver.at, "chained", "complete"), h + s.driver.length,
               ite(s.driver.at == "described", h + s.driver.length - 1, h))  # fmt: skip


def waiting(s: Any, i: Operand) -> Term:
    """Whether the id's request waits to be fetched."""
    return all_of(outstanding(s, i), s.history.made[i] >= s.proof.marked_pos)


def to_see(s: Any, i: Operand) -> Term:
    """Whether the id's request is visible and the driver has not read it."""
    return all_of(s.driver.owns[i] == 1, negate(outstanding(s, i)), negate(in_hand(s, i)))


def all_entries(body: Any, *hints: Any) -> Any:
    """Say something of every entry (or id), with hints when the solver should think of it."""
    return lambda s: forall(HEADS, lambda x: body(s, x), *(lambda x, hint=hint: hint(s, x) for hint in hints))


class Places:
    """The labels of a table that the invariant speaks of: they differ between forms."""

    def __init__(self, table: Table) -> None:
        """Look the labels up."""
        self.labels = {
            name: sorted({label for step in table.of(name) for label in (*step.at, *((step.to,) if step.to else ()))})
            for name in ("recover", "fetch", "supply", "driver")
        }
        self.labels["stop"] = [TAKEN_BACK] if "stop.back" in table.steps else []
        self.stamped = table.step("packed.fetch.bump").at[0]
        self.counted = table.step("packed.fetch.2b").at[0]
        self.held = [label for label in self.labels["fetch"] if label not in
                     {"look", "take", "armed", "rest", "disarm", "submit", "off"}]  # fmt: skip
        self.numbered = [label for label in self.held if label not in {"head", table.step("packed.fetch.2a").at[0]}]
        self.counter_label = table.step("packed.counter").at[0]
        self.plain = "packed.reconnect.1.settled" in table.steps
        self.by_index = "packed.notify.index" in table.steps
        self.unsettled = ["init", "init next", "init old idx", "init wrap", "init old wrap", "init version"]
        self.repaired = ["clear", self.counter_label, "resubmit", "gather", "signalled"]
        self.after_clear = self.repaired[1:]
        self.flags = ["flags", *(label for label in ("flags len", "flags store") if label in self.labels["supply"])]
        self.settling = _settling(table)
        # where one store moves several fields these name labels of no step: no part of a sentence has another number
        self.phases = self.settling if len(self.settling) == 2 else {"settle idx": 4, "settle wrap": 5}
        self.calls_early = table.step("packed.notify.look").at == ("flags",)
        self.published = ["flags", *(["notified"] if self.calls_early else []), "clear", *self.settling]
        self.clearing = self.published[: len(self.published) - len(self.settling)]
        self.before_clearing = self.published[: self.published.index("clear")]
        self.with_flags = table.step("packed.supply.id").at == ("flags",)
        self.wrap_first = (7,) if 7 in self.settling.values() else ()
        self.counts_inflight = counts_inflight(table)
        self.at_once = "packed.reconnect.2b" not in table.steps
        self.kept_base = "base.idx" in table.vars
        self.in_order = used_in_order(table)
        self.gathered = table.step("packed.supply.id").at == ("more",)
        self.supplying = ["link", "lead"] if self.gathered else ["element id", "element len", "link", "lead"]
        self.closing = ["element len", "batch"] if self.gathered else []
        self.one_flag = self.gathered and "supply.count" not in _read_by(table, "packed.supply.6a", "supply.cursor")
        self.others_forwards = "publish others" in table.step("packed.supply.7").tags

    def base(self, s: Any) -> tuple[Operand, Operand]:
        """Give slot and wrap counter of SET_VRING_BASE: what the front-end keeps, or where the ring began."""
        return (s.base.idx, s.base.wrap) if self.kept_base else (BASE, BASE_WRAP)


def counts_inflight(table: Table) -> bool:
    """Whether the global counter goes on at the number of inflight entries (gap counter-after-reconnect)."""
    (assign,) = record(table.vars, table.step("packed.counter").do)
    return assign.value.op == "count"


def _read_by(table: Table, step_id: str, name: str) -> set[str]:
    """Name what a step reads for what it stores to a variable."""
    stored = next(a for a in table.record(table.step(step_id)).assigns if a.name == name)
    return {str(node.args[0]) for node in walk(stored.value) if node.op == "var"}


def _settling(table: Table) -> dict[str, int]:
    """Give the labels between the stores of supplying 9, each with the phase there; old_free_head comes first."""
    if "packed.supply.9b" not in table.steps:
        return {}
    (idx,), head = table.step("packed.supply.9b").at, table.step("packed.supply.9a")
    if "packed.supply.9c" not in table.steps:
        return {idx: 4}
    (wrap,) = table.step("packed.supply.9c").at
    if head.to not in (idx, wrap):
        raise LookupError("old_free_head is not settled first: the invariant does not speak of that")
    return {idx: 4, wrap: 5} if head.to == idx else {wrap: 4, idx: 7}
