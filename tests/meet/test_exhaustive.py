"""Exhaustive: every step that the interpreter can take at the smallest sizes, compared once on the reference."""

import pytest

from model.protocol import Subject
from tests.meet.graph import Graph
from tests.meet.lockstep import Both, Run


@pytest.mark.parametrize("revision", ["v6", "merged"])
@pytest.mark.parametrize(
    ("size", "requests", "crashes", "quiet"),
    [(1, 2, 1, True), (1, 1, 1, False), (2, 2, 1, True)],
)
def test_every_edge(revision: str, size: int, requests: int, crashes: int, *, quiet: bool) -> None:
    """Every edge of the model's graph within bounds leaves the same bytes and positions, and the same verdict."""
    both = Both(Subject.of("split", revision, {}), size, 65535, quiet=quiet)
    graph = Graph(both.machine, requests=requests, crashes=crashes)
    compared, violated = 0, set()
    for walk in graph.walks():
        run = Run(both, walk.events, states=walk.states, start=walk.prefix)
        run.play()
        compared += run.compared
        for number, model, reference in run.violations():
            assert model == reference, walk.events[: number + 1]
            violated |= model
    assert compared == graph.edges > 1000
    assert violated == ({"order"} if revision == "v6" and size > 1 else set())
