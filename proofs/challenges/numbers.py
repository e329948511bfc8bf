"""What is assumed of functions of positions, held against numbers: no solver is asked, the terms are worked out.

The lemmas of a ring's kit prove what is assumed, for every size; but a lemma may speak of something else than what is
assumed. So each assumption is also worked out for small sizes, at positions before 0, after it, and where a 16-bit
index wraps: with the slot, the place, the cell and the lap that the interpreter gives a position.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import z3

from model import protocol
from model.protocol import Subject
from proofs.induction.kits import induction_of
from proofs.induction.solver import Translator, function

__all__ = ["SIZES", "near", "untrue"]

SIZES = {"split": (1, 2, 4), "packed": (1, 2, 3)}
"""By ring: the sizes for which each assumption is worked out."""


def near(size: int) -> list[int]:
    """Give the numbers at which a sentence about any position is worked out; of a large ring, where laps begin."""
    if size <= 8:
        return [*range(-2 * size, 3 * size), *(65536 + n for n in range(-size, size + 1))]
    return [lap + n for lap in (*range(-2 * size, 4 * size, size), 65536) for n in (-2, -1, 0, 1)]


def untrue(ring: str, size: int, axioms: Sequence[Any] | None = None) -> Iterator[str]:
    """Give what is assumed of positions, and not true of numbers, with the numbers."""
    if axioms is None:
        subject = Subject(ring, protocol.revisions(ring)[-1])
        axioms = induction_of(ring).axioms(Translator(protocol.table(subject)))
    for number, axiom in enumerate(axioms):
        bound = axiom.num_vars() if z3.is_quantifier(axiom) else 0
        body = _of_numbers(axiom.body() if bound else axiom, size)
        for values in itertools.product(near(size), repeat=bound):
            here = z3.substitute_vars(body, *map(z3.IntVal, reversed(values)))
            if not z3.is_true(z3.simplify(here)):
                yield f"{ring}, size {size}: assumption {number} is not true of {values}"
                break


def _of_numbers(body: Any, size: int) -> Any:
    """Write an assumption with what the functions are for a size."""
    x, n = z3.Var(0, z3.IntSort()), z3.IntVal(size)
    meaning = {"slot": x % n, "place": (x % 65536) % n, "cell": x % n, "lap": 1 - (x / n) % 2}
    named = z3.substitute(body, (z3.Int("size"), n))
    return z3.substitute_funs(named, *((function(name), value) for name, value in meaning.items()))
