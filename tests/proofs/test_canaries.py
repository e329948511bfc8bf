"""False goals are not proved, and a prover that lies is noticed by them."""

from __future__ import annotations

from typing import Any

import pytest
import z3

from model import protocol
from model.protocol import Subject
from proofs.challenges import canaries as birds
from proofs.challenges.numbers import SIZES, untrue
from proofs.induction import show
from proofs.induction.atoms import KINDS
from proofs.induction.kits import induction_of
from proofs.induction.solver import INT, Translator, function


@pytest.mark.parametrize("ring", protocol.RINGS)
def test_each_kind_of_goal_has_a_canary(ring: str) -> None:
    """A ring without a kind of goal has none to negate."""
    kinds = {q.kind for q in show.queries(birds._proof(ring), show.hints(ring))}
    assert {canary.kind for canary in birds.canaries(ring)} == kinds
    assert kinds <= set(KINDS)


@pytest.mark.parametrize("ring", protocol.RINGS)
@pytest.mark.campaign
def test_no_canary_sings(ring: str) -> None:
    """None of them is proved."""
    assert [f"{c.kind}: {c.name}" for c in birds.canaries(ring) if birds.sings(c)] == []


def _sang(ring: str, monkeypatch: pytest.MonkeyPatch, *more: Any) -> set[str]:
    """Give the kinds whose canaries sing when something more is assumed everywhere."""
    told = birds.proves
    monkeypatch.setattr(birds, "proves", lambda facts, goal, tries: told([*facts, *more], goal, tries))
    return {canary.kind for canary in birds.canaries(ring) if birds.sings(canary)}


def test_a_contradiction_makes_all_sing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of every kind."""
    assert _sang("split", monkeypatch, z3.BoolVal(False)) >= {
        "initial",
        "index",
        "kept",
        "fits",
        "judged",
        "stuck",
        "sum",
    }


@pytest.mark.parametrize(
    "more",
    [z3.Int("size") <= 4, z3.Int("first") < 65000, z3.Int("history.avail_pos") < 65530],
    ids=["size <= 4", "first < 65000", "positions below 65530"],
)
@pytest.mark.campaign
def test_a_small_world_is_noticed(monkeypatch: pytest.MonkeyPatch, more: Any) -> None:
    """What is true of small rings alone is proved then."""
    assert "kept" in _sang("split", monkeypatch, more)


@pytest.mark.parametrize(("ring", "size"), [(ring, size) for ring, sizes in SIZES.items() for size in sizes])
def test_what_is_assumed_of_positions_is_true_of_numbers(ring: str, size: int) -> None:
    """Each assumption, at each number."""
    assert list(untrue(ring, size)) == []


def _axioms(ring: str) -> list[Any]:
    subject = Subject(ring, protocol.revisions(ring)[-1])
    return list(induction_of(ring).axioms(Translator(protocol.table(subject))))


P: Any = z3.Int("p")
Q: Any = z3.Int("q")
SIZE: Any = z3.Int("size")
PLACE, CELL = function("place"), function("cell")
PAIR = z3.MultiPattern(PLACE(P), PLACE(Q))
FALSE = {
    "split": z3.ForAll([P, Q], z3.Implies(PLACE(P) == PLACE(Q), P == Q), patterns=[PAIR]),
    "packed": z3.ForAll([P], CELL(P) < SIZE - 1, patterns=[CELL(P)]),
}
"""Different positions have different places, however far apart they are; the last slot is not used."""


@pytest.mark.parametrize("ring", FALSE)
def test_a_false_assumption_of_positions_is_noticed(ring: str) -> None:
    """With the numbers of which it is not true."""
    assert FALSE[ring].var_sort(0) == INT
    (told,) = untrue(ring, 2, [*_axioms(ring), FALSE[ring]])
    assert f"assumption {len(_axioms(ring))} is not true of" in told
