"""Judging runs of plain numbers: which property does this event, or this state, violate?"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from model.both.words import DEAD, RUNNING
from model.interpret import Machine, StateTuple, Successor
from model.properties import Judgement
from proofs.search.cone import reads
from proofs.search.runs import RESUBMITTED, left, runs

__all__ = ["ENDS_A_LIFE", "UNFAIR", "Judge", "Outcome", "Restarts"]

UNFAIR = frozenset(
    {"crash", "driver.reset", "connection.reset", "driver.make.1", "driver.make.more", "connection.kick", "queue.other",
     "stop.ask", "stop.move", "stop.other", "ring.reset"}
)  # fmt: skip
"""Events that nobody owes: `drains` asks what happens without them."""

ENDS_A_LIFE = frozenset({"crash", "stop.answer"})
"""Events after which a process knows nothing of the ring any more."""

Outcome = tuple[object, ...]


class Restarts:
    """What recovery ends in when nothing else happens: region, resubmit list, fetch position, counter.

    A walk over more than twice the entries there are is not followed: its outcome is "walks on", as is that of a
    recovery that goes round.
    """

    def __init__(self, machine: Machine) -> None:
        """Compile the steps of recovery alone."""
        self._machine = machine
        self._alone = machine.only(lambda r: r.step.procedure == "recover")
        self._crash = machine.only(lambda r: r.step.id == "crash")
        variables, ring = machine.table.vars.values(), runs(machine.table.ring)
        self._at = machine.place["recover.at"]
        self._left, self._cut = machine.place["recover.left"], 2 * machine.sizes.heads
        self._idle = machine.place["history.undisturbed"]
        self._left_there = [machine.place[n] for n in left(machine.table.ring, machine.table.vars) if n != RESUBMITTED]
        read = reads(r for r in machine.steps if r.step.procedure == "recover")
        kept = (v for v in variables if v.kind != "ghost" and (v.kind != "driver" or v.name in read))
        self._key = [machine.place[v.name] for v in kept]
        self._resubmit = machine.index.get(ring.resubmit)
        self._known: dict[StateTuple, frozenset[Outcome]] = {}

    def outcomes(self, state: StateTuple) -> frozenset[Outcome]:
        """Give every way in which recovery can end from here (more than one where an order is left open)."""
        key = tuple(state[n] for n in self._key)
        if key not in self._known:
            self._known[key] = frozenset(self._run(state)) or frozenset({("walks on",)})
        return self._known[key]

    def _run(self, state: StateTuple) -> Iterable[Outcome]:
        todo: list[tuple[StateTuple, tuple[int, ...]]] = [(state, ())]
        been = set(todo)
        while todo:
            here, resubmitted = todo.pop()
            if here[self._left] > self._cut:
                yield ("walks on",)
                continue
            if here[self._at] == RUNNING:
                yield (tuple(here[n] for n in self._left_there), resubmitted)
                continue
            for number, chosen, after in self._alone(here):
                following = (after, (*resubmitted, chosen) if number == self._resubmit else resubmitted)
                if following not in been:
                    been.add(following)
                    todo.append(following)

    def same_after_crash(self, state: StateTuple, found: StateTuple | None = None) -> bool:
        """Whether recovery, cut off here and run again, ends as it would have without the crash.

        `found` is the state whose memory the next process finds, where that is another one (`model.memory`).
        """
        if state[self._at] in (DEAD, RUNNING) or not state[self._idle]:
            return True
        before = self._resubmitted(state)
        ((_, _, dead),) = self._crash(state if found is None else found)
        again = self.outcomes(dead)
        if ("walks on",) in again or ("walks on",) in self.outcomes(state):
            return again == self.outcomes(state)
        on = {(there, frozenset(before), order) for there, order in self.outcomes(state)}
        cut = {(there, order) for there, order in again}
        return all(any(self._agree(o, c) for c in cut) for o in on) and all(
            any(self._agree(o, c) for o in on) for c in cut
        )

    def _resubmitted(self, state: StateTuple) -> list[int]:
        return [h for h, done in enumerate(self._machine.get(state, RESUBMITTED)) if done]

    @staticmethod
    def _agree(on: tuple[object, frozenset[int], object], cut: tuple[object, object]) -> bool:
        (there, before, order), (cut_there, cut_order) = on, cut
        assert isinstance(order, tuple)
        assert isinstance(cut_order, tuple)
        split = len(before)
        return there == cut_there and set(cut_order[:split]) == before and cut_order[split:] == order


class Judge:
    """All judgements of some properties on one machine."""

    def __init__(self, machine: Machine, judgements: Iterable[Judgement], properties: Iterable[str]) -> None:
        """Compile the judgements by the step at which they are made."""
        self.machine = machine
        self.properties = frozenset(properties)
        steps = machine.steps
        self._before: list[list[tuple[str, Callable[..., bool]]]] = [[] for _ in steps]
        self._after: list[list[tuple[str, Callable[..., bool]]]] = [[] for _ in steps]
        for judgement in judgements:
            if judgement.property not in self.properties:
                continue
            for number, recorded in enumerate(steps):
                if judgement.tag in recorded.step.tags:
                    chosen = judgement.before and recorded.step.choice is not None
                    predicate = machine.predicate(judgement.predicate, with_choice=chosen)
                    (self._before if judgement.before else self._after)[number].append((judgement.property, predicate))
        self._all_seen = machine.predicate(runs(machine.table.ring).all_seen)
        self._restarts = Restarts(machine) if "restartable" in self.properties else None
        self._drains = "drains" in self.properties
        self._owed = [recorded.step.id not in UNFAIR for recorded in steps]

    def event(self, state: StateTuple, successor: Successor) -> list[str]:
        """Name the properties that this event violates."""
        number, chosen, after = successor
        return self.broken_before(number, chosen, state) + self.broken_after(number, after)

    def broken_before(self, number: int, chosen: int, state: StateTuple) -> list[str]:
        """Name the properties that a step violates by the state before it."""
        return [name for name, predicate in self._before[number] if not predicate(state, chosen)]

    def broken_after(self, number: int, state: StateTuple) -> list[str]:
        """Name the properties that a step violates by the state after it."""
        return [name for name, predicate in self._after[number] if not predicate(state)]

    def state(self, state: StateTuple, successors: Iterable[Successor] | None = None) -> list[str]:
        """Name the properties that this state violates; its successors may be given, if they are known."""
        broken = ["drains"] if self._drains and self.stuck(state, successors) else []
        if self._restarts is not None and not self._restarts.same_after_crash(state):
            broken.append("restartable")
        return broken

    def stuck(self, state: StateTuple, successors: Iterable[Successor] | None = None) -> bool:
        """Whether the driver waits for a request and nothing that is owed can happen."""
        if self._all_seen(state):
            return False
        following = self.machine.successors(state) if successors is None else successors
        return not any(self._owed[number] for number, _, _ in following)
