"""Conjuncts of the properties: how they are told apart, and that each has a run that it alone notices."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import product
from typing import Any

import pytest

from model import protocol
from model.interpret import Machine, Sizes
from model.protocol import Subject
from model.terms import Term, all_of, any_of, exists, follow, forall, ite, met, negate, show, variable
from proofs.challenges import conjuncts
from proofs.challenges.conjuncts import Alone, Conjunct
from proofs.challenges.mutants import mutants_of, mutation_of
from proofs.induction.atoms import atoms

A, B, C = (variable(name) == 1 for name in "abc")
X = Term("bound", ("x",))


def low(x: Term) -> Term:
    """Say something of a number."""
    return x < 5


def odd(x: Term) -> Term:
    """Say something else of a number."""
    return x == 1


SENTENCES: list[tuple[Term, int]] = [
    (A, 1),
    (all_of(), 0),
    (all_of(A, all_of(B, C)), 3),
    (any_of(A, B), 1),
    (any_of(A, all_of(B, C)), 2),
    (any_of(all_of(A, B), all_of(B, C)), 4),
    (negate(any_of(A, B)), 2),
    (negate(all_of(A, B)), 1),
    (negate(all_of(A, negate(all_of(B, C)))), 2),
    (ite(A, all_of(B, C), all_of()), 2),
    (ite(A, B, C), 2),
    (variable("a") == ite(B, 0, 1), 2),
    (forall(2, lambda x: all_of(low(x), odd(x))), 2),
    (exists(2, lambda x: all_of(low(x), odd(x))), 1),
    (negate(exists(2, lambda x: any_of(low(x), odd(x)))), 2),
    (negate(met(0, 2, low, lambda x: x + 1, lambda x: negate(all_of(low(x), odd(x))))), 2),
    (follow(0, 2, low, lambda x: x + 1) == 2, 1),
]


@pytest.mark.parametrize(("sentence", "number"), SENTENCES, ids=[show(s) for s, _ in SENTENCES])
def test_a_sentence_has_as_many_conjuncts(sentence: Term, number: int) -> None:
    """Below negations, disjunctions, conditions and quantifiers too."""
    assert len(list(conjuncts.weakened(sentence))) == number


def test_the_rest_lacks_the_conjunct_alone() -> None:
    """What is left of a sentence says all the others."""
    sentence = all_of(A, negate(any_of(B, C)))
    assert [(show(part), show(rest)) for part, rest in conjuncts.weakened(sentence)] == [
        ("(a == 1)", "(true and not (b == 1 or c == 1))"),
        ("(b != 1)", "(a == 1 and not (false or c == 1))"),
        ("(c != 1)", "(a == 1 and not (b == 1 or false))"),
    ]


@pytest.mark.parametrize("ring", protocol.RINGS)
def test_conjuncts_are_at_least_what_is_proved_one_by_one(ring: str) -> None:
    """The proof takes predicates apart too, by code of its own, and not as far; each name is one conjunct's."""
    found = conjuncts.conjuncts(ring)
    assert len({c.name for c in found}) == len(found)
    for judgement in (j for j in protocol.judgements(ring) if j.tag not in conjuncts.OF_READINGS):
        mine = [c for c in found if c.judgement is judgement]
        assert len(mine) >= len(list(atoms(mine[0].whole)))


@cache
def record(ring: str) -> tuple[Alone, ...]:
    """Read the record of a ring, once."""
    return conjuncts.load(ring)


@pytest.mark.parametrize("ring", protocol.RINGS)
def test_each_conjunct_is_broken_alone_by_a_recorded_run(ring: str) -> None:
    """No conjunct can be left out without a run that says so."""
    checked = conjuncts.check(ring)
    assert checked.holds, checked.faults
    assert checked.conjuncts == len(record(ring))


@pytest.mark.parametrize("ring", protocol.RINGS)
def test_a_conjunct_that_is_left_out_is_missed(ring: str) -> None:
    """Each in turn is taken out of its property: the record then speaks of a conjunct that there is no more."""
    recorded = {alone.conjunct for alone in record(ring)}
    for left_out in conjuncts.conjuncts(ring):
        less = replace(left_out.judgement, predicate=_saying(left_out))
        assert left_out.name in recorded - {c.name for c in conjuncts.conjuncts_of(ring, [less])}


def _saying(left_out: Conjunct) -> Any:
    return lambda *_: left_out.rest


@pytest.mark.parametrize("ring", protocol.RINGS)
def test_no_slip_is_there_for_nothing(ring: str) -> None:
    """Each is what breaks some conjunct alone; none has the name of a mutant."""
    told = mutation_of(ring)
    slips = [slip.name for slip in told.slips]
    assert set(slips) <= {alone.changed for alone in record(ring)}
    mutants = [name for revision in told.revisions for name in mutants_of(Subject(ring, revision))]
    assert len({*slips, *mutants}) == len(slips) + len(set(mutants))


@pytest.mark.parametrize("ring", protocol.RINGS)
def test_a_false_record_is_found(ring: str) -> None:
    """A run of another conjunct, one cut short, one of no change that there is, one that is not there."""
    told = record(ring)
    one, other = (next(a for a in told if a.conjunct.startswith(name)) for name in ("well-formed", "no-used"))
    wrong = (
        replace(one, schedule=other.schedule, changed=other.changed, gaps=other.gaps, revision=other.revision),
        replace(one, schedule=one.schedule[:-1]),
        replace(one, changed="no such change"),
        replace(one, conjunct="well-formed, recovered: all is well"),
    )
    for alone in wrong:
        assert len(conjuncts.check_some(ring, (alone,))) == 1, alone
    assert not conjuncts.check_some(ring, (one,))
    missing = conjuncts.check(ring, [])
    assert len(missing.faults) == missing.conjuncts


def test_a_list_that_ends_at_desc_num_begins_in_range() -> None:
    """free_head <= desc_num is no conjunct of well-formed on the packed ring: the end of its list implies it."""
    whole = next(c.whole for c in conjuncts.conjuncts("packed") if c.judgement.property == "well-formed")
    (end,) = (part for part, _ in conjuncts.weakened(whole) if "the end of the walk" in show(part))
    for entries in (1, 2, 3):
        machine = Machine(protocol.table(Subject("packed", "hardened")), Sizes(entries, entries))
        ends_there, state = machine.term(end), list(machine.initial())
        head, links = machine.place["region.free_head"], machine.place["region.desc[].next"]
        begins = set()
        for free_head, *following in product(range(entries + 3), repeat=entries + 1):
            state[head], state[links] = free_head, tuple(following)
            begins |= {free_head} if ends_there(tuple(state)) else set()
        assert begins == set(range(entries + 1))
