"""Slots and laps of the packed ring, for the solver: a position is size * q + r; its slot is r, its lap q's parity.

Both are uninterpreted functions of a position with two axioms (they are in range; moving on by less than two rounds
adds to the slot and flips the lap where the ring begins again). `place_lemma` proves the axioms from the division.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import z3

from model.steps import Guard
from model.terms import cell, lap
from proofs.induction.solver import Translator, function

__all__ = ["INDEXES", "axioms", "place_lemma", "questions"]

INDEXES: Mapping[str, Guard] = {
    "driver.avail_idx": lambda s: cell(s.history.avail_pos),
    "driver.avail_wrap": lambda s: lap(s.history.avail_pos),
    "driver.used_idx": lambda s: cell(s.history.seen_pos),
    "driver.used_wrap": lambda s: lap(s.history.seen_pos),
}
"""The driver's slots and wrap counters, and what they are in every state."""


def _moved(slot: Any, lap_: Any, by: Any, size: Any) -> tuple[Any, Any]:
    """Give slot and lap so many slots further, less than two rounds."""
    far = slot + by
    return (
        z3.If(far < size, far, z3.If(far < size + size, far - size, far - size - size)),
        z3.If(far < size, lap_, z3.If(far < size + size, 1 - lap_, lap_)),
    )


def place_lemma(reach: int = 0) -> bool:
    """Prove the axioms: p is start + slot where start is size * q, and a round adds the size to it and 1 to q.

    With a `reach`, of positions that are so much further apart than what is assumed: that is false.
    """
    solver = z3.Solver()
    solver.add(*_broken(reach))
    return bool(solver.check() == z3.unsat)


def questions() -> Iterator[tuple[str, list[Any]]]:
    """Ask any solver for numbers that break the axioms."""
    yield "places", _broken(0)


def _broken(reach: int) -> list[Any]:
    """Say what a position is, and that an axiom does not hold of it."""
    size, start, slot, by, rounds = z3.Ints("size start slot by rounds")
    lap_ = z3.Int("lap")
    known = [size >= 1, slot >= 0, slot < size, lap_ >= 0, lap_ <= 1, by >= 0, by < size + size + reach]
    moved, flipped = _moved(slot, lap_, by, size)
    # the start of the round that the moved slot is in, and how many rounds that is further
    known += [rounds == z3.If(slot + by < size, 0, z3.If(slot + by < size + size, 1, 2))]
    new_start = start + z3.If(rounds == 0, 0, z3.If(rounds == 1, size, size + size))
    same_parity = z3.Or(rounds == 0, rounds == 2)
    goal = z3.And(
        moved >= 0, moved < size, new_start + moved == start + slot + by,
        flipped == z3.If(same_parity, lap_, 1 - lap_), flipped >= 0, flipped <= 1,
    )  # fmt: skip
    return [*known, z3.Not(goal)]


def axioms(translator: Translator) -> list[Any]:
    """Give what is assumed of slots (`cell`) and wrap counters (`lap`) of positions."""
    p, q = z3.Ints("p q")
    cell_, lap_, size = function("cell"), function("lap"), translator.size
    moved, flipped = _moved(cell_(p), lap_(p), q - p, size)
    inside = z3.And(cell_(p) >= 0, cell_(p) < size, lap_(p) >= 0, lap_(p) <= 1)
    return [
        cell_(z3.IntVal(0)) == 0, lap_(z3.IntVal(0)) == 1,
        z3.ForAll([p], inside, patterns=[cell_(p)]), z3.ForAll([p], inside, patterns=[lap_(p)]),
        z3.ForAll([p, q], z3.Implies(z3.And(q >= p, q - p < size + size),
                                     z3.And(cell_(q) == moved, lap_(q) == flipped)),
                  patterns=[z3.MultiPattern(cell_(p), cell_(q))]),
    ]  # fmt: skip
