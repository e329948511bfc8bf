"""What the tests of the model share: its subjects, random runs, what a step reads and writes."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator

from model import protocol
from model.interpret import Machine, StateTuple
from model.protocol import Subject
from model.record import Assign
from model.steps import Recorded
from model.terms import Term, walk

__all__ = ["HURTS", "RARE", "SUBJECTS", "name_of", "operands", "random_run", "reads", "writes"]

RARE = frozenset({"crash", "driver.reset", "connection.reset", "connection.kick", "queue.other"})
"""Events that a uniform choice would take too often for anything else to happen."""


def _subjects() -> Iterator[Subject]:
    for ring in protocol.RINGS:
        for revision in protocol.revisions(ring):
            yield Subject(ring, revision)
            for gap in protocol.gaps(ring).values():
                if gap.open_in(revision):
                    for alternative in gap.alternatives[1:]:
                        yield Subject(ring, revision, ((gap.name, alternative.name),))


SUBJECTS: tuple[Subject, ...] = tuple(_subjects())
"""Every revision of both rings under the defaults of the gaps and under each single deviation from them."""

HURTS = frozenset({f"packed.supply.{n}" for n in ("6a", "6b", "7", "9a", "9b")})
"""Stores after which a crash leaves what only some steps of recovery repair: there it is taken more often."""


def name_of(subject: Subject) -> str:
    """Name a subject for the list of tests."""
    return "-".join([subject.ring, subject.revision, *(f"{gap}={chosen}" for gap, chosen in subject.choices)])


def random_run(
    machine: Machine, seed: int, events: int, *, rarely: float = 0.03
) -> Iterator[tuple[str, int, StateTuple]]:
    """Yield the events of a random run, each with the state after it.

    A rare event is taken with chance `rarely`, or ten times that chance right after a store of `HURTS`.
    """
    rng = random.Random(seed)
    state, last = machine.initial(), ""
    for _ in range(events):
        enabled = list(machine.enabled(state))
        rare = [e for e in enabled if e[0] in RARE]
        usual = [e for e in enabled if e[0] not in RARE]
        chance = 10 * rarely if last in HURTS else rarely
        event = rng.choice(rare if rare and (not usual or rng.random() < chance) else usual)
        yield event
        last, _, state = event


def reads(terms: Iterable[Term]) -> set[str]:
    """Name the variables that terms read."""
    return {str(node.args[0]) for term in terms for node in walk(term) if node.op in ("var", "at")}


def writes(recorded: Recorded) -> set[str]:
    """Name the variables that a step and its history write, its label left out."""
    return {a.name for a in (*recorded.assigns, *recorded.history) if not a.name.endswith(".at")}


def operands(assigns: Iterable[Assign]) -> Iterator[Term]:
    """Yield what assignments read: values and indexes."""
    for assign in assigns:
        yield assign.value
        if isinstance(assign.index, Term):
            yield assign.index
