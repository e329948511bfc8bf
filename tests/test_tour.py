"""docs/tour.md: its tables of crashes come out as its sentences say."""

from __future__ import annotations

import pytest

import diagrams
from model import protocol
from tools import tour

REQUESTS = {"A", "B"}


def named(cell: str) -> list[str]:
    """Give the requests that a cell names."""
    return [] if cell in ("nothing", "what comes next") else cell.split(", ")


@pytest.mark.parametrize("ring", protocol.RINGS)
def test_nothing_is_lost_or_done_twice(ring: str) -> None:
    """Each request is seen as used, resubmitted or fetched again, and only one of these."""
    rows = list(tour.crashes(ring))
    for row in rows:
        ends = [name for cell in (row[1], row[3], row[4]) for name in named(cell)]
        assert sorted(ends) == sorted(REQUESTS), row
        assert row[2], row
    ways = [{place for place in (1, 3, 4) if named(row[place])} for row in rows]
    assert {1} in ways  # all used
    assert {3} in ways  # all resubmitted
    assert {3, 4} in ways  # one resubmitted, the other fetched
    assert any("Then, recovering, after" in row[0] for row in rows)


def test_a_step_that_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash after a step that the run does not take so often is an error of the tour's own."""
    monkeypatch.setitem(tour._CRASHES, "split", (("split.supply.5", 2, ""),))
    with pytest.raises(LookupError, match=r"does not take split\.supply\.5 so often"):
        list(tour.crashes("split"))


def test_pictures_are_all_there() -> None:
    """The last table links every picture once."""
    text = " ".join(" ".join(row) for row in tour.pictures())
    assert [name for name in diagrams.names() if text.count(f"(diagrams/{name}.svg)") != 1] == []
