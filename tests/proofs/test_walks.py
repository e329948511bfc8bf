"""Walks: what a kit says of them is what they do, a wrong word is not shown, and what has no name is refused."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from model import protocol
from model.interpret import Machine, StateTuple
from model.protocol import Subject
from model.record import State, Var, Vars, record_term
from model.steps import Table
from model.terms import ModelError, Term, all_of, constant, follow, met, negate, substitute, variable, walk
from proofs.challenges.census import Census
from proofs.induction import show as induction
from proofs.induction.kits import induction_of
from proofs.induction.proof import Proof
from proofs.induction.walks import Along, Steps, Walk, resolve, walk_goals
from proofs.induction.work import StepWork
from proofs.packed import in_order
from proofs.packed.obligations import FREE, PUBLISHED, WALKS
from tests.model.runs import random_run

HARDENED = Subject("packed", "hardened")
RING = induction_of("packed")
TABLE = RING.with_ghosts(protocol.table(HARDENED))


def terms(step_id: str, *, before: bool) -> Iterator[tuple[str, Term]]:
    """Give the terms with walks that are evaluated before or after a step, and where the kit says what they pass."""
    recorded = TABLE.record(TABLE.step(step_id))
    if before:
        for assign in recorded.history:
            yield step_id, assign.value
    for judgement in protocol.judgements("packed"):
        if judgement.tag in recorded.step.tags and judgement.before == before:
            yield judgement.property, record_term(TABLE.vars, judgement.predicate)


def instances(term: Term, size: int) -> Iterator[Term]:
    """Give a term for each number that its unbound variable, if it has one, may be."""

    def put(number: int) -> Term:
        def exchange(node: Term) -> Term | None:
            return constant(number) if node.op == "bound" and str(node.args[0]).startswith("each.") else None

        return substitute(term, exchange)

    return (put(number) for number in range(size))


def compared(machine: Machine, step_id: str, *, before: bool) -> list[tuple[Any, Any]]:
    """Compile each term with walks, and the same with what the kit says of them instead."""
    found = []
    for where, term in terms(step_id, before=before):
        if any(node.op in ("follow", "met") for node in walk(term)):
            instead = resolve(term, WALKS.get(where), TABLE.vars)
            assert not any(node.op in ("follow", "met") for node in walk(instead))
            pairs = zip(instances(term, machine.sizes.size), instances(instead, machine.sizes.size), strict=True)
            found += [(machine.term(one), machine.term(other)) for one, other in pairs]
    return found


@pytest.mark.parametrize("size", [1, 2, 3])
def test_what_a_kit_says_of_walks_is_what_they_do(size: int) -> None:
    """On random runs: the ends of the walks, what they meet, and what is judged of them."""
    machine = Machine(TABLE, protocol.sizes(HARDENED, size))
    steps = ("packed.supply.7", "packed.supply.9c", "packed.reconnect.ready")
    before = {step_id: compared(machine, step_id, before=True) for step_id in steps}
    after = {step_id: compared(machine, step_id, before=False) for step_id in steps}
    assert len(before["packed.supply.7"]) > size
    assert after["packed.supply.9c"]
    told: set[Any] = set()

    def agree(pairs: list[tuple[Any, Any]], state: StateTuple) -> None:
        for one, other in pairs:
            answer = one(state)
            assert answer == other(state)
            told.add(answer)

    for seed in range(6):
        state = machine.initial()
        for step_id, _, then in random_run(machine, seed, 500, rarely=0.01):
            agree(before.get(step_id, []), state)
            agree(after.get(step_id, []), then)
            state = then
    assert told > {True, False}


@cache
def proof() -> Proof:
    """Make the proof whose walks are exchanged."""
    return Proof(HARDENED)


HINTS = induction.hints("packed")


def shown(step_id: str, walks: dict[str, Walk]) -> dict[str, bool]:
    """Show what is to be shown of the walks of a step, each from what its hint names: by name, whether it is proved."""
    other = copy(proof())
    other.ring = replace(other.ring, walks={**other.ring.walks, **walks})
    work = StepWork(other, TABLE.record(TABLE.step(step_id)))
    found: dict[str, bool] = {}
    at = induction._At(work, ((0.3, 0),))
    for goal in at.goals:
        if goal.kind == "walk":
            hinted = HINTS.get(induction.hint_key(step_id, goal.name), ())  # of other tables, too
            known = [work.hypothesis(other.atoms[n]) for n in hinted if n in other.atoms]
            found[goal.name] = at.proves(known, goal, goal.expr())
    return found


def published(**changes: Any) -> Walk:
    """Give the walk over what becomes visible, with parts of its first case exchanged."""
    assert not isinstance(PUBLISHED.cases, Along)
    return replace(PUBLISHED, cases=(replace(PUBLISHED.cases[0], **changes), PUBLISHED.cases[1]))


def free(**changes: Any) -> Walk:
    """Give the walk over the free list, with parts exchanged."""
    assert isinstance(FREE.cases, Along)
    return replace(FREE, cases=replace(FREE.cases, **changes))


def test_what_the_kit_says_is_shown() -> None:
    """Of the walk at publishing, in both its cases, and of the walk over the free list."""
    for step_id in ("packed.supply.7", "packed.supply.9c"):
        outcome = shown(step_id, {})
        assert len(outcome) >= 8
        assert all(outcome.values()), outcome


WRONG = {
    "one more": published(count=lambda s: s.supply.count + 1),
    "one fewer": published(count=lambda s: s.supply.count - 1),
    "other places": published(where=lambda s, k: s.history.used_pos + s.supply.offset[k] + 1),
    "another end": published(last=lambda s: s.history.used_pos + s.supply.slots + 1),
    "another witness": published(witness=lambda _s, _i: 0),
    "a case too few": replace(PUBLISHED, cases=PUBLISHED.cases[:1]),  # type: ignore[index]
    "everything is named": replace(PUBLISHED, named=lambda _s, _i: all_of()),
    "nothing is named": replace(PUBLISHED, named=lambda _s, _i: negate(all_of())),
}
"""What may be wrong in what is said of the walk over what becomes visible."""


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_walk_is_not_shown(wrong: str) -> None:
    """Some goal about it is not proved, from the same parts of the invariant."""
    outcome = shown("packed.supply.7", dict.fromkeys(("packed.supply.7", "intact", "exactly-once"), WRONG[wrong]))
    assert not all(outcome.values())


WRONG_FREE = {
    "one more": free(count=lambda s: s.proof.depth + 1),
    "another end": free(last=lambda s: s.region.free_head),
    "described too little": free(inv=lambda _s, x, _k: x >= 0),
    "another witness": free(witness=lambda _s, _x: 0),
}
"""What may be wrong in what is said of the walk over the free list."""


@pytest.mark.parametrize("wrong", WRONG_FREE)
def test_a_wrong_walk_over_the_free_list_is_not_shown(wrong: str) -> None:
    """Some goal about it is not proved."""
    assert not all(shown("packed.supply.9c", {"well-formed": WRONG_FREE[wrong]}).values())


SMALL = Vars(Var("a", "ring", 16, "a number"), Var("next", "ring", 16, "numbers", "heads"))
HERE = Walk(
    cases=(Steps(when=lambda _: all_of(), count=lambda _: 1, where=lambda s, _: s.a, last=lambda s: s.a + 1),),
    named=lambda s, x: s.a == x,
)


def _go(x: Term) -> Term:
    return x < 3


def _next(x: Term) -> Term:
    return x + 1


def test_a_walk_of_which_nothing_is_said_is_refused() -> None:
    """Its end cannot be named, nor what it meets, nor that it meets nothing."""
    start = variable("a")
    with pytest.raises(ModelError, match="walk"):
        resolve(follow(start, 3, _go, _next), None, SMALL)
    with pytest.raises(ModelError, match="needs a name"):
        resolve(met(start, 3, _go, _next, lambda x: x == start), None, SMALL)
    with pytest.raises(ModelError, match="walk"):
        resolve(negate(met(start, 3, _go, _next, lambda x: x < start)), None, SMALL)


def test_what_is_met_needs_a_name() -> None:
    """A test that does not ask for one value is answered only where nothing is met, step by step."""
    start = variable("a")
    for test in (lambda x: x < start, lambda x: x == x + 0, lambda x: x + 1 == x):
        asked = met(start, 3, _go, _next, test)
        with pytest.raises(ModelError, match="needs a name for what it meets"):
            resolve(asked, HERE, SMALL)
        assert resolve(negate(asked), HERE, SMALL).op == "and"


def test_a_described_walk_meets_only_what_has_a_name() -> None:
    """There are no steps of which something could be said one by one."""
    along = Walk(Along(lambda _: 1, lambda _s, x, _k: x == 0, lambda _: 1, lambda _s, _x: 0), lambda s, x: s.a == x)
    with pytest.raises(ModelError, match="a walk over described places meets only what has a name"):
        resolve(negate(met(0, 3, _go, _next, lambda x: x < 2)), along, SMALL)
    named = resolve(negate(met(0, 3, _go, _next, lambda x: x == 2)), along, SMALL)
    assert named.op == "not"


def test_what_is_resolved_has_no_walks_left() -> None:
    """Walks within sums and sentences are exchanged too, and each walk has its goals."""
    start = variable("a")

    def sentence(s: State) -> Term:
        ends: Any = follow(s.a, 3, _go, _next)
        return all_of(ends == 4, met(s.a, 3, _go, _next, lambda x: x == start))

    term = record_term(SMALL, sentence)
    assert {node.op for node in walk(resolve(term, HERE, SMALL))} <= {"and", "==", "+", "var", "const", "ite"}
    names = [name for name, _ in walk_goals(term, HERE, SMALL)]
    assert names.count("case 1, the walk starts") == 2
    assert names.count("case 1, what is named is met") == 1
    assert names.count("there is no other case") == 2


def test_goals_of_two_walks_are_two_goals() -> None:
    """What is judged at publishing reads alike for two tables whose driver walks otherwise: no result is shared."""

    def keys(choice: str) -> set[str]:
        told = Proof(Subject.of("packed", "hardened", {"in-order": choice}))
        alike = {
            induction.hint_key("packed.supply.7", f"{name}:0"): ["positions:0"] for name in ("intact", "exactly-once")
        }
        asked = [q for q in induction.queries(told, alike) if (q.work, q.kind) == ("packed.supply.7", "judged")]
        return {q.key for q in asked if q.name.endswith(":0")}

    several, one, all_flags = (keys(choice) for choice in ("elements", "one-element", "one-element-all-flags"))
    assert len(several) == 2
    assert not several & one
    assert one == all_flags


def test_the_census_knows_what_is_said_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    """It counts the goals of the walk that a table's proof speaks of: of one case, there are fewer."""
    told = in_order._walks

    def one_case(table: Table) -> dict[str, Walk]:
        both = told(table)["intact"]
        assert not isinstance(both.cases, Along)
        return dict.fromkeys(told(table), replace(both, cases=both.cases[:1]))

    monkeypatch.setattr(in_order, "_walks", one_case)
    subject = Subject.of("packed", "hardened", {"in-order": "one-element"})
    there = {place for place in Census(subject, {}).entries if place[:2] == ("packed.supply.7", "walk")}
    asked = {q.name for q in induction.queries(Proof(subject), {}) if (q.work, q.kind) == ("packed.supply.7", "walk")}
    assert {place[2] for place in there} == asked
    assert not any("case 2" in name for name in asked)
