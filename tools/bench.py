"""Measure the model and the search: ``python -m tools.bench``. Seconds are of one core, in a fresh process."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from model import protocol
from model.interpret import Machine
from model.protocol import Subject
from proofs.search import Bounds, explore, table_for

__all__ = ["main"]

T = TypeVar("T")

EVENTS = 50_000
BOUNDS = Bounds(size=2, requests=2, crashes=1)
SAFETY = frozenset({"no-used-resubmitted", "nothing-lost", "order", "intact", "exactly-once", "well-formed"})


def timed(what: str, function: Callable[[], T]) -> tuple[float, T]:
    """Run a function once, and print how long it took."""
    started = time.perf_counter()
    result = function()
    seconds = time.perf_counter() - started
    print(f"{what:<44}{seconds:8.3f} s", end="")
    return seconds, result


def run(machine: Machine) -> None:
    """Take a random run."""
    rng = random.Random(1)  # noqa: S311 - no secret
    state = machine.initial()
    for _ in range(EVENTS):
        _, _, state = rng.choice(machine.successors(state))


def main() -> None:
    """Print a line for each measurement."""
    subject = Subject("split", "merged")
    _, table = timed("build a table", lambda: protocol.table(subject))
    print(f"  {len(table.steps)} steps")
    _, machine = timed("record and compile it", lambda: Machine(table, protocol.sizes(subject, 4)))
    print()
    seconds, _ = timed(f"a random run of {EVENTS} events, queue size 4", lambda: run(machine))
    print(f"  {EVENTS / seconds:,.0f} events/s")
    quiet = table_for(subject, SAFETY)
    seconds, found = timed(
        f"search, {BOUNDS.text()}", lambda: explore(quiet, protocol.sizes(subject, BOUNDS.size), BOUNDS, SAFETY)
    )
    print(f"  {found.states:,} states, {found.transitions / seconds:,.0f} transitions/s")


if __name__ == "__main__":
    main()
