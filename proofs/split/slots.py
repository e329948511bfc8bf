"""Indexes and slots of the split ring, for the solver: an index is a position modulo 65536.

The slot of an index is an uninterpreted function with two axioms (in range; two positions with one slot are a multiple
of the size apart), proved for each size by `slot_lemma` with bit-vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import z3

from model.steps import Guard
from model.terms import wrap
from proofs.induction.solver import Translator, function

__all__ = ["INDEXES", "axioms", "questions", "slot_lemma"]

INDEXES: Mapping[str, Guard] = {
    "avail.idx": lambda s: wrap(s.history.avail_pos, 16),
    "used.idx": lambda s: wrap(s.history.used_pos, 16),
    "driver.next_used": lambda s: wrap(s.history.seen_pos, 16),
}
"""Ring indexes and what they are in every state: positions, modulo 65536."""


def slot_lemma(reach: int = 0) -> bool:
    """Prove the slot axioms for every size that virtio allows a split ring, over bit-vectors.

    With a `reach`, of positions that are so much further apart than what is assumed: that is false.
    """
    x, y = z3.BitVecs("x y", 16)
    for power in range(16):
        mask = z3.BitVecVal((1 << power) - 1, 16)
        solver = z3.Solver()
        distance = x - y
        apart = z3.And(x & mask == y & mask, z3.ULT(distance, z3.BitVecVal((1 << power) + reach, 16)), x != y)
        solver.add(z3.Or(z3.UGT(x & mask, mask), apart))
        if solver.check() != z3.unsat:
            return False
    return True


def axioms(translator: Translator) -> list[Any]:
    """Give what is assumed of slots: that of an index (`slot`), and that of a position (`place`)."""
    return _axioms(function("slot"), function("place"), translator.size)


def questions() -> Iterator[tuple[str, list[Any]]]:
    """Ask any solver for numbers that break the axioms, for each size; a slot is what it is: the index modulo the size.

    So a certificate can be had of each; `slot_lemma` shows the same of numbers of 16 bits, and needs no quantifiers.
    """
    for size in (1 << power for power in range(16)):

        def slot(index: Any, size: int = size) -> Any:
            return index % size

        def place(position: Any, size: int = size) -> Any:
            return position % 65536 % size

        said = _axioms(slot, place, z3.IntVal(size), patterns=False)
        yield f"slots, size {size}", [z3.Not(z3.And(said))]


def _axioms(slot: Callable[[Any], Any], place: Callable[[Any], Any], size: Any, *, patterns: bool = True) -> list[Any]:
    p, q = z3.Ints("p q")

    def of_any(names: list[Any], said: Any, *by: Any) -> Any:
        return z3.ForAll(names, said, patterns=list(by) if patterns else [])

    return [
        of_any([p], z3.And(slot(p) >= 0, slot(p) < size), slot(p)),
        of_any([p], z3.And(place(p) >= 0, place(p) < size), place(p)),
        of_any([p], place(p) == slot(p % 65536), place(p)),
        of_any([p, q], z3.Implies(z3.And(place(p) == place(q), p - q < size, q - p < size), p == q),
               z3.MultiPattern(place(p), place(q))),
    ]  # fmt: skip
