"""Mixed lives: what is recorded of them is so, and a search finds what a pair is known for."""

from __future__ import annotations

import pytest

from model.protocol import Subject
from model.terms import ModelError
from proofs.search.bounds import Bounds
from proofs.search.breadth_first import explore, table_for
from proofs.search.mixed import SAFE, Pair, first_broken
from tools import mixed
from tools.mixed import Answer

RECORDED = [(ring, answer) for ring in mixed.PROFILES for answer in mixed.read(ring)]


@pytest.mark.parametrize("ring", mixed.PROFILES)
def test_each_pair_is_recorded(ring: str) -> None:
    names = mixed.PROFILES[ring]
    wanted = [(before, after, drains) for before in names for after in names for drains in (False, True)]
    assert [(one.before, one.after, one.drains) for one in mixed.read(ring)] == wanted


@pytest.mark.parametrize(
    ("ring", "answer"),
    [pytest.param(r, a, id=f"{r}-{a.before}-{a.after}{'-drains' * a.drains}") for r, a in RECORDED if a.property],
)
def test_a_recorded_run_breaks_what_it_is_said_to(ring: str, answer: Answer) -> None:
    assert answer.property in answer.pair(ring).play(answer.events)
    crash = answer.events.index(("crash",))
    assert crash > 0, "the first one lived"


def test_one_that_finds_its_own_region_breaks_what_a_search_of_it_alone_finds() -> None:
    """The run of merged on the packed ring is the one that is known of it."""
    subject, bounds, broken = Subject("packed", "merged"), Bounds(1, 2, 2), frozenset({"no-used-resubmitted"})
    found = first_broken(Pair(subject, subject, bounds, broken))
    alone = explore(
        table_for(subject, broken), Pair(subject, subject, bounds, broken).judges[0].machine.sizes, bounds, broken
    )
    assert (found.property, len(found.events)) == (alone.violated, len(alone.schedule))


def test_what_the_first_one_breaks_is_not_counted() -> None:
    """librte_vhost has a wrong position on a ring in use before anything dies: who finds its region did not do that."""
    before, after = Subject("packed", "librte_vhost"), Subject("packed", "hardened")
    bounds, broken = Bounds(2, 1, 1, 0, 3), frozenset({"ring-position"})
    pair = Pair(before, after, bounds, broken)
    alone = explore(table_for(before, broken), pair.judges[0].machine.sizes, bounds, broken)
    assert alone.violated == "ring-position"
    assert ("crash",) not in alone.schedule
    found = first_broken(pair)
    assert found.complete
    assert found.property is None or ("crash",) in found.events


def test_a_batch_of_ours_is_found_by_one_that_clears_one_mark() -> None:
    """Contrib's successor clears one mark of a batch of two; nothing else differs from ours."""
    batch, alone = Subject("split", "merged"), Subject("split", "libvhost-user")
    bounds = Bounds(2, 2, 1)
    assert first_broken(Pair(batch, alone, bounds, SAFE)).property == "no-used-resubmitted"
    assert first_broken(Pair(alone, batch, bounds, SAFE)).property is None


def test_a_region_of_another_ring_is_none() -> None:
    with pytest.raises(ModelError, match="a region of the split ring is none for the packed ring"):
        Pair(Subject("split", "merged"), Subject("packed", "merged"), Bounds(1, 1, 1), SAFE)


def test_a_run_that_is_not_possible_is_told() -> None:
    pair = Pair(Subject("split", "merged"), Subject("split", "merged"), Bounds(2, 2, 1), SAFE)
    with pytest.raises(ModelError, match=r"split\.supply\.5 is not possible here"):
        pair.play([("split.start.fresh",), ("split.supply.5",)])
