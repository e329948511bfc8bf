"""What a table does where the choices of gaps differ, read from its steps: the proof's words turn on it."""

from __future__ import annotations

from collections.abc import Iterator

from model.record import record, record_term
from model.steps import Table
from model.terms import Term, show, walk, wrap
from proofs.induction.ordered import used_in_order

__all__ = ["Differs", "stored", "variables_of"]


class Differs:
    """Where a table differs from one with every gap at its default, as far as sentences or ghost state turn on it."""

    def __init__(self, table: Table) -> None:
        """Look at the steps."""
        steps = table.steps
        last = table.step("split.supply.5")
        self.elements_last = last.at == ("elements",)
        """The used elements of a batch are written in a loop of their own, before it is published."""
        init, position = steps.get("split.init.2"), stored(table, "split.position")
        version = steps.get("split.init.3")
        self.desc_num_late = version is not None and version.at == ("init",)
        """The version is set before desc_num and used_idx."""
        self.stale = init is None or self.desc_num_late
        if version is None:
            self.stale = "region.used_idx" not in stored(table, "split.start.fresh")
        """A region may count before its used_idx is set: it is still 0, whatever used.idx is."""
        self._of_profiles(table)
        self.again = "connection.kick" in steps
        """Recovery may begin again while the device works."""
        self.skips = "avail.idx" in _named(position["fetch.last_avail"])
        """Fetching goes on behind all that is available."""
        self.unsignalled = "resubmit" in table.step("split.reconnect.ready").at
        """Recovery may end without a notification, where nothing is left to resubmit."""
        self.in_order = used_in_order(table)
        """Requests are given back in order, and an element may stand for several."""
        self.gathered = table.step("split.supply.id").at == ("more",)
        """A batch has one used element, written when it is complete."""
        self.from_used = show(position["fetch.last_avail"]) == "used.idx"
        """Fetching goes on at used.idx."""
        self.astray = self.from_used or any(self._astray(table))
        """A request may be lost or served twice in a way after which nothing that history says can be relied on."""

    def _of_profiles(self, table: Table) -> None:
        """Look at what other people's back-ends do otherwise."""
        steps = table.steps
        self.attached = "split.init.3" not in steps and "split.init.1" in steps
        """A region counts from the beginning; desc_num is stored at each start."""
        self.known_late = "split.start.known" in steps
        """An adopted region is known to be one only behind the store of desc_num."""
        self.one = table.step("split.supply.1").at == ("idle",)
        """A batch is one request."""
        self.unlinked = "split.supply.2" not in steps
        """The entries of a batch are not linked."""
        self.lead_first = "supply.count" not in stored(table, "split.supply.3")
        """last_batch_head is stored before the used element."""
        self.arms_at_look = "split.idle.again" in steps
        """avail_event is stored at each look, for all that was seen, before any of it is fetched."""
        compared = stored(table, "split.reconnect.1")["recover.mismatch"]
        self.by_counters = "region.desc[].counter" in variables_of(compared)
        """A region in which no entry has a counter is fresh."""
        self.commits_always = "region.used_idx" in stored(table, "split.reconnect.1.else")
        """used_idx is stored where it matches, too."""
        self.arms_at_fetch = "split.fetch.arm" in steps
        """avail_event is stored at each fetch, and never when idle."""
        self.kicks_itself = "kick" in stored(table, "split.reconnect.ready")
        """Recovery ends by writing to the kick eventfd."""
        self.known_first = table.step("split.fetch.submit").to == "take"
        """What was seen is fetched before avail.idx is read again."""
        signal = steps.get("split.reconnect.signal")
        self.signals_early = signal is not None and signal.at == ("signal",)
        """The driver is notified before requests are resubmitted, and not when recovery ends."""

    def _astray(self, table: Table) -> Iterator[bool]:
        """Say of each way whether it is there."""
        steps = table.steps
        yield table.step("split.supply.5").to == "elements"  # used elements come after used.idx
        yield "split.fetch.untracked" in steps  # heads past the region's end
        fetching = record_term(table.vars, table.guards["fetch"])
        yield "supply.open" not in _named(fetching)  # heads of a published batch come again before it is settled
        size = record_term(table.vars, lambda s: wrap(s.used.idx - s.region.used_idx, 16))
        left = show(stored(table, "split.reconnect.1a")["recover.left"])
        yield left != show(size) and not (self.one and left == "1")
        for reset in {"driver.reset", "connection.reset", "ring.reset"} & set(steps):
            yield "region.version" not in stored(table, reset)  # the region outlives its ring


def stored(table: Table, step_id: str) -> dict[str, Term]:
    """Give what a step assigns, by name."""
    step = table.step(step_id)
    return {a.name: a.value for a in record(table.vars, step.do, world=step.world)}


def variables_of(term: Term) -> set[str]:
    """Name the variables that a term reads, arrays too."""
    return {str(n.args[0]) for n in walk(term) if n.op in ("var", "at")}


def _named(term: Term) -> set[str]:
    return {str(n.args[0]) for n in walk(term) if n.op == "var"}
