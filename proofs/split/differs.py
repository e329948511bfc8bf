"""What a table does where the choices of gaps differ, read from its steps: the proof's words turn on it."""

from __future__ import annotations

from collections.abc import Iterator

from model.record import record, record_term
from model.steps import Table
from model.terms import Term, show, walk, wrap

__all__ = ["Differs"]


class Differs:
    """Where a table differs from one with every gap at its default, as far as sentences or ghost state turn on it."""

    def __init__(self, table: Table) -> None:
        """Look at the steps."""
        steps = table.steps
        last = table.step("split.supply.5")
        self.elements_last = last.at == ("elements",)
        """The used elements of a batch are written in a loop of their own, before it is published."""
        init, position = steps.get("split.init.2"), _stored(table, "split.position")
        version = steps.get("split.init.3")
        self.desc_num_late = version is not None and version.at == ("init",)
        """The version is set before desc_num and used_idx."""
        self.stale = version is not None and (init is None or self.desc_num_late)
        """A region may count before its used_idx is set: it is still 0, whatever used.idx is."""
        self.again = "connection.kick" in steps
        """Recovery may begin again while the device works."""
        self.skips = "avail.idx" in _named(position["fetch.last_avail"])
        """Fetching goes on behind all that is available."""
        self.unsignalled = "resubmit" in table.step("split.reconnect.ready").at
        """Recovery may end without a notification, where nothing is left to resubmit."""
        self.from_used = show(position["fetch.last_avail"]) == "used.idx"
        """Fetching goes on at used.idx."""
        self.astray = self.from_used or any(self._astray(table))
        """A request may be lost or served twice in a way after which nothing that history says can be relied on."""

    def _astray(self, table: Table) -> Iterator[bool]:
        """Say of each way whether it is there."""
        steps = table.steps
        yield table.step("split.supply.5").to == "elements"  # used elements come after used.idx
        yield "split.fetch.untracked" in steps  # heads past the region's end
        fetching = record_term(table.vars, table.guards["fetch"])
        yield "supply.open" not in _named(fetching)  # heads of a published batch come again before it is settled
        size = record_term(table.vars, lambda s: wrap(s.used.idx - s.region.used_idx, 16))
        yield show(_stored(table, "split.reconnect.1a")["recover.left"]) != show(size)
        for reset in ("driver.reset", "connection.reset"):
            yield "region.version" not in _stored(table, reset)  # the region outlives its ring


def _stored(table: Table, step_id: str) -> dict[str, Term]:
    """Give what a step assigns, by name."""
    step = table.step(step_id)
    return {a.name: a.value for a in record(table.vars, step.do, world=step.world)}


def _named(term: Term) -> set[str]:
    return {str(n.args[0]) for n in walk(term) if n.op == "var"}
