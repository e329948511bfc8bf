"""A packed base of 15 bits that runs free: which rings it says the slot of."""

from __future__ import annotations

import pytest

FREE = 1 << 15
"""What the index of a base has, as the text of today counts: positions modulo this."""


def slots_of(index: int, size: int, laps: int = 6) -> set[tuple[int, int]]:
    """Give each slot and wrap counter that a free-running index may stand for."""
    positions = (index + lap * FREE for lap in range(laps))
    return {(p % size, 1 - p // size % 2) for p in positions}


@pytest.mark.parametrize("size", [3, 5, 100, 24576])
def test_no_slot_is_told(size: int) -> None:
    """Where the size is no power of two, one index stands for several slots."""
    assert len({slot for slot, _ in slots_of(0, size)}) > 1


@pytest.mark.parametrize("size", [1, 2, 256, 16384, 32768])
def test_a_power_of_two_tells_the_slot(size: int) -> None:
    """There it is enough; the wrap counter is told where two laps fit, and has a bit of its own anyway."""
    assert len({slot for slot, _ in slots_of(7, size)}) == 1
    assert len(slots_of(7, size)) == (2 if size == FREE else 1)
