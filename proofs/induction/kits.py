"""What a proof of a ring consists of, and the door to it: the machinery of `proofs` is the same for every ring.

A ring's parts are in its folder, as a module ``kit`` with a constant ``KIT``. Each part may be missing as long as it is
not written: without `Induction` nothing is proved and searches alone judge; without `Mutation` or `Witnessing` there is
no record of that kind to check.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import import_module
from typing import Any, Protocol

from model.interpret import Machine, StateTuple
from model.protocol import Subject
from model.steps import Edit, Guard, Table
from model.terms import ModelError, Term
from proofs.induction.solver import Ask, Translator, World
from proofs.induction.walks import Walk
from proofs.induction.words import Conjunct
from proofs.search.bounds import Bounds, Level

__all__ = [
    "Induction", "Kit", "Marker", "Mutant", "Mutation", "NoProofError", "Slip", "Witnessing", "induction_of", "kit",
]  # fmt: skip


class NoProofError(ModelError):
    """A ring has no invariant: raised when something is to be proved of it."""


@dataclass(frozen=True)
class Induction:
    """What induction needs of a ring: ghost state, invariant, rank, and what is special in the chain to `drains`."""

    with_ghosts: Callable[[Table], Table]
    """Adds the proof's ghost state to a table."""
    invariant: Callable[[Table], Sequence[Conjunct]]
    """The named sentences of the invariant, for a table."""
    rank: Callable[[Table], Sequence[Guard]]
    """The parts of the rank, the weightiest first, each a natural number."""
    stuck: Callable[[Table], Sequence[tuple[str, Guard]]]
    """What holds where nothing that is owed can happen, by name, each following from those before."""
    leaves: Callable[[Table], Mapping[str, Guard]]
    """What recovery leaves, by variable (those that the search compares): whether it leaves a value (in an element)."""
    key: Callable[[Table], Guard]
    """What rises from each entry that a recovery resubmits to the next."""
    counts: Mapping[str, str]
    """By step id, or by property: the array of sums whose element at its limit is its count or total."""
    indexes: Mapping[str, Guard]
    """Ring indexes that the invariant knows in every state as a function of a position: written so before a step."""
    rewrites: Mapping[str, Mapping[str, Guard]]
    """By step id: variables that are a function of a position where it is taken; shown first, then written so.

    One that a table does not have is passed over (`StepWork.positions`).
    """
    axioms: Callable[[Translator], Sequence[Any]]
    """What is assumed of the ring's functions of positions (slots, laps), beside the sizes."""
    lemmas: Mapping[str, Callable[..., bool]]
    """What is proved once, by name: that those assumptions hold for every size; with a reach of 1, what is false."""
    questions: Callable[[], Iterator[tuple[str, Sequence[Any]]]]
    """The same as questions by name, for any solver: sentences that cannot all be true."""
    stuck_facts: Callable[[Translator, World], Sequence[Any]]
    """What the chain `stuck` may use besides the invariant: what holds of any finite set."""
    stuck_lemmas: Callable[[str, Translator, World], Sequence[tuple[str, Any, Any]]]
    """Before a link of that chain, by its name: what is to be shown there, by name, and what follows by induction."""
    triggers: tuple[str, ...]
    """Arrays over what steps choose: the solver thinks of a choice where an element of one of them is named."""
    scope: tuple[str, ...]
    """What `proved` says, as the lines of its scope; what it assumes is in `proofs.assumptions`."""
    walks: Mapping[str, Walk] = field(default_factory=dict)
    """By step id, or by property: what the walks in a step's history, or in the property's predicate, pass."""
    mentions: Mapping[str, Callable[[Any], Sequence[Term]]] = field(default_factory=dict)
    """By step id: positions whose slots the solver should think of."""
    beside: Mapping[str, Callable[[Any, Term], Sequence[Term]]] = field(default_factory=dict)
    """By step id: what the solver should think of besides a number that a sentence is shown of. Nothing is assumed."""
    otherwise: Callable[[Table], Mapping[str, Mapping[str, Any]]] = lambda _: {}
    """Of the mappings here, by name, what is in them besides, or instead, for a table that does more than the text."""
    cases: Mapping[str, Sequence[Guard]] = field(default_factory=dict)
    """By step id: cases in which its goals are shown one after the other; that there is no other is shown too."""
    while_idle: Callable[[Table], frozenset[str]] = lambda _: frozenset()
    """Of what recovery leaves, what it leaves so only where the driver was idle meanwhile, as `restartable` says."""
    out_of_scope: Callable[[str, Mapping[str, str]], str | None] = lambda _revision, _choices: None
    """Why a revision with these choices is not what the invariant speaks of, or None."""
    reductions: Mapping[str, Callable[[Iterable[Any], Ask], Iterator[str]]] = field(default_factory=dict)
    """By what is said: that runs which the table does not have are as runs that it has; gives what does not hold."""
    no_wrap: frozenset[str] = field(default=frozenset())
    """Fields whose width is an assumption, said in `proofs.assumptions`."""

    def of(self, table: Table) -> Induction:
        """Give what induction needs of a table: this, but for what is said `otherwise`."""
        told = {name: {**getattr(self, name), **others} for name, others in self.otherwise(table).items()}
        return replace(self, **told) if told else self  # type: ignore[arg-type]


@dataclass(frozen=True)
class Mutant:
    """A changed table: a unique name, a kind (``edit``, ``drop``, ``swap``, ``guard``), a sentence, the edits.

    `notifies` says that it changes the steps of notification, so that it has to be searched with them; `ends`, that
    recovery comes to an end by itself, without which `restartable` cannot be judged; `further`, what it is searched
    after the levels of its ring.
    """

    name: str
    kind: str
    sentence: str
    edits: tuple[Edit, ...]
    notifies: bool = False
    ends: bool = True
    further: tuple[Level, ...] = ()


@dataclass(frozen=True)
class Slip:
    """A changed table for a conjunct that no mutant breaks alone: a unique name, a sentence, the edits.

    `bounds` and `choices` (of gaps) are those of the searches for a run; `entries` those of the region, where they are
    not as many as the ring's descriptors.
    """

    name: str
    sentence: str
    edits: tuple[Edit, ...]
    bounds: tuple[Bounds, ...]
    choices: Mapping[str, str] = field(default_factory=dict)
    entries: int | None = None


@dataclass(frozen=True)
class Mutation:
    """The mutants of a ring's text: `mutants` of a table, why those that survive do, and how they are searched.

    `revisions`: those that are mutated, in order. `broken`: what a revision violates unchanged, so that no mutant of it
    is killed by that. `introduction`: the head of the page that `python -m proofs.challenges.mutants orders` prints;
    `page`: its file. `slips`: what is changed besides, for `proofs.challenges.conjuncts`.
    """

    revisions: tuple[str, ...]
    mutants: Callable[[Table], Sequence[Mutant]]
    reasons: Mapping[str, str]
    levels: tuple[Level, ...]
    broken: Mapping[str, frozenset[str]]
    introduction: str
    page: str
    slips: tuple[Slip, ...] = ()


class Marker(Protocol):
    """Follows a run from its first event and collects in `marks` what it reached."""

    marks: set[str]

    def follow(self, before: StateTuple, step: str, chosen: int, after: StateTuple) -> None:
        """Take one event in; `chosen` is -1 where the step has no choice."""


@dataclass(frozen=True)
class Witnessing:
    """When a run is a witness: `marks` are what it has to reach, for each property; a `marker` follows a run.

    `subjects`: those that have witnesses. `unreached`: what a revision violates exactly where it is at stake, so that
    it has no witness. `sizes`: queue size and first index of the walks for a property, or for ``steps``; (2, 0) where
    nothing is said. `about`: the steps that marks speak of; one is not wanted where there is no such step.
    """

    subjects: tuple[Subject, ...]
    marks: Mapping[str, tuple[str, ...]]
    marker: Callable[[Machine], Marker]
    unreached: Mapping[str, frozenset[str]]
    sizes: Mapping[str, tuple[int, int]]
    about: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Kit:
    """The parts of a ring's proof; None: not written yet."""

    induction: Induction | None = None
    mutation: Mutation | None = None
    witnessing: Witnessing | None = None
    bounded: Mapping[tuple[str, str, str], str] = field(default_factory=dict)
    """By gap, choice and property: why there is neither a proof nor a run."""


@cache
def kit(ring: str) -> Kit:
    """Give the parts of a ring's proof; an empty kit where its folder has none."""
    wanted = f"proofs.{ring}.kit"
    try:
        told = import_module(wanted).KIT
    except ModuleNotFoundError as missing:
        if missing.name not in (wanted, f"proofs.{ring}"):
            raise
        return Kit()
    assert isinstance(told, Kit)
    return told


def induction_of(ring: str) -> Induction:
    """Give what induction needs of a ring; raise `NoProofError` where it has no invariant."""
    told = kit(ring).induction
    if told is None:
        raise NoProofError(f"the {ring} ring has no invariant to prove anything with")
    return told
