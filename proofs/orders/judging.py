"""Judging runs under a kind of memory: what the agent does by what it sees, what becomes visible by what others see."""

from __future__ import annotations

from collections.abc import Iterable

from model import protocol
from model.interpret import StateTuple, Successor
from model.memory.machine import LOAD, STORE, MemoryMachine
from proofs.search.judges import Judge

__all__ = ["MemoryJudge"]


class MemoryJudge(Judge):
    """All judgements of some properties on a machine with memory."""

    def __init__(self, machine: MemoryMachine, properties: frozenset[str]) -> None:
        """Compile the judgements, as for any machine."""
        super().__init__(machine, protocol.judgements(machine.table.ring), properties)
        self.under = machine
        self._owed[machine.index[LOAD]] = False  # nobody owes that a load is made before its step

    def event(self, state: StateTuple, successor: Successor) -> list[str]:
        """Name the properties that this event violates.

        A step that makes a request visible is judged when its store is seen; every other one when it is taken.
        """
        number, chosen, after = successor
        machine = self.under
        if number == machine.index[STORE]:
            entry, judged = machine.made_visible(state, chosen)
            return self.broken_before(entry.number, entry.chosen, judged) if entry.own else []
        if not machine.is_agents(number):
            return super().event(state, successor)
        before = [] if machine.is_deferred(state, number, after) else self.broken_before(
            number, chosen, machine.seen_by_agent(state)
        )  # fmt: skip
        return before + self.broken_after(number, machine.seen_by_agent(after))

    def state(self, state: StateTuple, successors: Iterable[Successor] | None = None) -> list[str]:
        """Name the properties that this state violates. While a store waits, somebody owes that it is seen."""
        stuck = self._drains and not self.under.waiting(state) and self.stuck(state, successors)
        restartable = self._restarts is None or self._same(state)
        return [*(["drains"] if stuck else []), *([] if restartable else ["restartable"])]

    def _same(self, state: StateTuple) -> bool:
        assert self._restarts is not None
        if not self.under.waiting(state):
            return self._restarts.same_after_crash(state)
        return self._restarts.same_after_crash(self.under.seen_by_agent(state), self.under.found_by_next(state))
