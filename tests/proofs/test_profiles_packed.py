"""What each difference of librte_vhost on the packed ring breaks by itself, once all others are mended."""

from __future__ import annotations

from dataclasses import replace

import pytest

from model import protocol
from model.interpret import Sizes
from model.packed.quiet import quiet
from model.packed.revisions import REVISIONS, V6
from model.properties import NAMES
from proofs.search.bounds import Bounds
from proofs.search.breadth_first import Found, explore

PROFILE = protocol.profiles("packed")["librte_vhost"]

HARMLESS = ("last-each-time", "used-idx-in-two-stores", "next-kept", "kicks-wanted")
"""What breaks nothing within the bounds; the proof does not speak of it."""


def with_one(difference: str, bounds: Bounds) -> Found:
    """Search what breaks where a difference is mended no more."""
    profile = replace(PROFILE, without=PROFILE.without - {difference}).mended()
    table = quiet(profile.applied(V6.edited(REVISIONS[profile.base]), protocol.judged("packed")))
    sizes = Sizes(bounds.size, bounds.size, bounds.first)
    return explore(table, sizes, bounds, frozenset(NAMES) - {"drains"})


@pytest.mark.campaign
@pytest.mark.parametrize("difference", sorted(PROFILE.without - {*HARMLESS, "no-signal-at-start"}))
def test_a_difference_breaks_something_by_itself(difference: str) -> None:
    """On a ring that has been in use: there a fresh region is wrong, too. What no signal breaks are notifications."""
    assert with_one(difference, Bounds(2, 2, 1, 0, 3)).violated


@pytest.mark.campaign
@pytest.mark.parametrize("difference", HARMLESS)
def test_a_difference_breaks_nothing_by_itself(difference: str) -> None:
    found = with_one(difference, Bounds(2, 2, 1))
    assert found.complete
    assert found.violated is None
