"""What the model saw when it judged a property violated: of which request, in the numbers that `replay` has.

A predicate says of each request, or of each entry, that something holds; here the ones are found of which it does not.
Requests are numbered from 0 in the order in which the driver made them available, as everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from model import protocol
from model.both.words import ENTRIES
from model.interpret import Machine, StateTuple
from model.properties import Judgement
from model.record import record_term
from model.steps import Step
from model.terms import Term, choice, constant, substitute
from proofs.search.runs import runs

__all__ = ["Reasons"]


class Reasons:
    """Follows a run on the model, and says of a violation what it is about."""

    def __init__(self, machine: Machine) -> None:
        """Begin before the first event."""
        self._machine = machine
        self._ring = machine.table.ring
        self._numbers: dict[int, int] = {}  # by a request's position

    def happens(self, step: str, before: StateTuple) -> None:
        """Follow an event: a request made available gets the next number, a reset begins again."""
        if step == "driver.reset":
            self._numbers.clear()
        if step == runs(self._ring).made:
            position = self._machine.get(before, "history.avail_pos")
            self._numbers[position] = len(self._numbers)

    def of_event(self, name: str, step: Step, chosen: int, before: StateTuple, after: StateTuple) -> str:
        """Say why a property is violated at an event."""
        for judgement in protocol.judgements(self._ring):
            if judgement.property != name or judgement.tag not in step.tags:
                continue
            picked = (choice(),) if judgement.before and step.choice is not None else ()
            term = record_term(self._machine.table.vars, judgement.predicate, *picked)
            state = before if judgement.before else after
            if not self._holds(term, state, chosen):
                sentence = _sentence(judgement)
                about = [*self._about(term, state, chosen), *self._in_hand(judgement, state, chosen)]
                return f"{'; '.join(dict.fromkeys(about))}: not so: {sentence}" if about else f"not so: {sentence}"
        return "as the model judges it"

    def of_state(self, name: str, state: StateTuple) -> str:
        """Say why a property is violated by a state from which nothing more is played."""
        if name != "drains":
            at = self._machine.get(state, "recover.at")
            return f"recovery, cut off here by a crash (at {at!r}) and run again, ends otherwise than without it"
        term = record_term(self._machine.table.vars, runs(self._ring).all_seen)
        waiting = ", ".join(self._about(term, state, -1)) or "a request"
        return f"{waiting} never comes back: nothing that is owed can happen"

    def _holds(self, term: Term, state: StateTuple, chosen: int) -> bool:
        return bool(self._machine.term(term)(state, chosen))

    def _about(self, term: Term, state: StateTuple, chosen: int) -> Iterator[str]:
        """Yield the requests, or entries, of which a sentence does not hold."""
        if term.op == "and":
            for part in term.args:
                assert isinstance(part, Term)
                yield from self._about(part, state, chosen)
        if term.op != "forall":
            return
        bound, low, limit, body = term.args[:4]
        assert isinstance(low, Term)
        assert isinstance(limit, Term)
        assert isinstance(body, Term)
        first, end = (self._machine.term(each)(state, chosen) for each in (low, limit))
        for number in range(first, end):

            def of_this(node: Term, number: int = number) -> Term | None:
                return constant(number) if node.op == "bound" and node.args == (bound,) else None

            if self._holds(substitute(body, of_this), state, chosen):
                continue
            if low.args != (0,):  # a position in the used ring of a split ring, whose element names a head
                named = self._machine.get(state, "used.ring[].id")
                yield self._entry(state, named[number % 65536 % self._machine.sizes.size])
            else:
                yield self._entry(state, number) if limit.args == ENTRIES.args else self._named(state, number)

    def _in_hand(self, judgement: Judgement, state: StateTuple, chosen: int) -> Iterator[str]:
        """Yield the request that a sentence is about which speaks of one alone."""
        hands = {"fetched": "fetch.head", "gather": "recover.head", "gathered": "recover.head"}
        if judgement.tag == "resubmit":
            yield self._entry(state, chosen)
        elif judgement.before and judgement.tag in hands:
            yield self._entry(state, self._machine.get(state, hands[judgement.tag]))

    def _named(self, state: StateTuple, number: int) -> str:
        """Name a head, or on a packed ring an id, by the request that it stands for now."""
        thing = "id" if self._ring == "packed" else "head"
        return f"{thing} {number}{self._request(self._machine.get(state, 'history.made')[number])}"

    def _entry(self, state: StateTuple, number: int) -> str:
        """Name an entry, on a split ring a head, by the request that the back-end has there."""
        thing = "entry" if self._ring == "packed" else "head"
        got = self._machine.get(state, "history.got")
        return f"{thing} {number}{self._request(got[number]) if number < len(got) else ''}"

    def _request(self, position: Any) -> str:
        return f" (request {self._numbers[position]})" if position in self._numbers else ""


def _sentence(judgement: Judgement) -> str:
    words = " ".join((judgement.predicate.__doc__ or judgement.property).split()).rstrip(".")
    return f"{words[0].lower()}{words[1:]}"
