"""Exhaustive: every step that the interpreter can take at the smallest sizes, compared once on the reference."""

import pytest

from model.protocol import Subject
from tests.meet.graph import Graph
from tests.meet.lockstep import Both, Run


def compared(subject: Subject, size: int, first: int, limits: dict[str, int], *, quiet: bool) -> set[str]:
    """Compare every edge of the model's graph within limits once; give what is violated."""
    both = Both(subject, size, first, quiet=quiet)
    graph = Graph(both.machine, **limits)
    number, violated = 0, set()
    for walk in graph.walks():
        run = Run(both, walk.events, states=walk.states, start=walk.prefix)
        run.play()
        number += run.compared
        for place, model, reference in run.violations():
            assert model == reference, walk.events[: place + 1]
            violated |= model
    assert number == graph.edges > 500
    return violated


@pytest.mark.parametrize(
    ("revision", "size", "requests", "crashes", "quiet"),
    [
        ("v6", 1, 2, 1, True),
        ("merged", 1, 2, 1, True),
        ("merged", 2, 2, 1, True),
        pytest.param("v6", 1, 1, 1, False, marks=pytest.mark.campaign),
        pytest.param("merged", 1, 1, 1, False, marks=pytest.mark.campaign),
        pytest.param("v6", 2, 2, 1, True, marks=pytest.mark.campaign),
    ],
)
def test_every_edge(revision: str, size: int, requests: int, crashes: int, *, quiet: bool) -> None:
    """Every edge of the model's graph within bounds leaves the same bytes and positions, and the same verdict."""
    limits = {"requests": requests, "crashes": crashes}
    violated = compared(Subject.of("split", revision, {}), size, 65535, limits, quiet=quiet)
    assert violated == ({"order"} if revision == "v6" and size > 1 else set())


@pytest.mark.parametrize("revision", ["merged", "hardened"])
@pytest.mark.parametrize(
    ("size", "requests", "crashes", "quiet"),
    [(1, 2, 1, True), pytest.param(1, 1, 1, False, marks=pytest.mark.campaign), (2, 1, 1, True)],
)
def test_every_edge_packed(revision: str, size: int, requests: int, crashes: int, *, quiet: bool) -> None:
    """The same on a packed ring; the graph ends where something is violated, which on merged it is."""
    limits = {"requests": requests, "crashes": crashes}
    violated = compared(Subject.of("packed", revision, {}), size, 0, limits, quiet=quiet)
    assert bool(violated) == (revision == "merged"), violated
