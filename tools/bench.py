"""Measure where the time goes: ``python -m tools.bench [--quick] [--recover]``.

How fast ``recover`` answers, how exhaustive search grows, and what ``verify`` does.

Each line has seconds, and the same as a multiple of a fixed loop of plain Python, run just before it: machines,
and neighbours on one machine, differ by more than a change of the program does, their ratios do not. ``--quick`` leaves
out the proofs and the searches that take longest.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from model import protocol
from model.properties import NAMES
from model.protocol import Subject
from proofs.challenges import mutants, witnesses
from proofs.induction.engine import prove_all
from proofs.induction.kits import kit
from proofs.record import search
from proofs.search.breadth_first import Bounds, explore, table_for
from proofs.verdicts import Verdict, load_schedule, recorded, recorded_folder, violates
from proofs.workers import workers
from tests.refimpl.packed_rig import PackedRig
from tests.refimpl.rig import CrashError, Rig, batch, crash_at
from tests.test_recover import state
from vhost_inflight.recover.asking import Question
from vhost_inflight.recover.lines import answer_lines

__all__ = ["BEATS", "GROWTH", "beat", "main", "parts", "states"]

T = TypeVar("T")

BEATS = 1_000_000
"""Rounds of the fixed loop."""

SAFE = frozenset(NAMES) - {"drains"}

GROWTH: tuple[tuple[str, tuple[Bounds, ...]], ...] = (
    ("split", tuple(Bounds(size, requests, 1) for size in (1, 2, 4) for requests in (1, 2))),
    ("packed", tuple(Bounds(size, requests, 1) for size in (1, 2, 3) for requests in (1, 2))),
)
"""Searches of growing size. A split ring has a power of two of entries."""

LONG = 10_000
"""After a search of more states than this, ``--quick`` leaves the ring's larger ones out."""


def beat() -> float:
    """Run the fixed loop once; give its seconds."""
    started = time.perf_counter()
    number = 1
    for _ in range(BEATS):
        number = (number * 1103515245 + 12345) & 0x7FFFFFFF
    assert number >= 0
    return time.perf_counter() - started


def timed(function: Callable[[], T]) -> tuple[float, float, T]:
    """Run a function once; give its seconds, and how many times the fixed loop's that is."""
    unit = min(beat() for _ in range(3))
    started = time.perf_counter()
    result = function()
    seconds = time.perf_counter() - started
    return seconds, seconds / unit, result


def parts(ring: str) -> dict[str, Callable[[], object]]:
    """Give what ``verify`` does for a ring, part by part: proving, searching, playing what is recorded."""
    record, told = recorded(ring), kit(ring)
    proved, work = _proved(record), _searches(record)
    files = [recorded_folder(ring) / v.counterexample for v in record if v.counterexample]
    found: dict[str, Callable[[], object]] = {}
    if told.induction and proved:
        found[f"{ring}: proving, {len(proved)} subjects"] = lambda: prove_all(proved, properties=proved)
    if work:
        found[f"{ring}: searching, {len(work)} searches"] = lambda: _search_all(work)
    if files:
        found[f"{ring}: playing {len(files)} counterexamples"] = lambda: [violates(load_schedule(f)) for f in files]
    if told.mutation:
        found[f"{ring}: playing what kills mutants"] = lambda: mutants.check(ring)
    if told.witnessing:
        found[f"{ring}: playing witnesses"] = lambda: witnesses.check(ring)
    return found


def _proved(record: Sequence[Verdict]) -> dict[Subject, set[str]]:
    """Give what is proved each time, by subject."""
    proved: dict[Subject, set[str]] = {}
    for verdict in record:
        if verdict.verdict == "proved":
            proved.setdefault(verdict.subject(), set()).add(verdict.property)
    return proved


def _searches(record: Sequence[Verdict]) -> list[tuple[Subject, Bounds, frozenset[str]]]:
    """Give the searches that are done each time."""
    jobs: dict[tuple[Subject, Bounds], set[str]] = {}
    for verdict in record:
        for bounds in verdict.bounds if verdict.verdict == "bounded" else ():
            if bounds.again:
                jobs.setdefault((verdict.subject(), bounds), set()).add(verdict.property)
    return [(subject, bounds, frozenset(names)) for (subject, bounds), names in jobs.items()]


def _search_all(work: list[tuple[Subject, Bounds, frozenset[str]]]) -> int:
    with workers() as pool:
        return sum(found.states for found in pool.map(search, work))


def _verify(*, quick: bool) -> None:
    print(f"What verify does, on {os.cpu_count()} cores ('loops': the fixed loop, on one core, is 1)")
    rows = []
    for ring in protocol.RINGS:
        for name, part in parts(ring).items():
            if not (quick and "proving" in name):
                rows.append((name, *timed(part)[:2]))
    total = sum(seconds for _, seconds, _ in rows)
    for name, seconds, loops in rows:
        print(f"  {name:<44}{seconds:8.1f} s {loops:10.0f} loops {seconds / total:6.0%}")
    print(f"  {'all':<44}{total:8.1f} s")


def _growth(*, quick: bool) -> None:
    print("Exhaustive search of merged, every property but drains, one crash, one core")
    for ring, searches in GROWTH:
        subject = Subject(ring, "merged")
        table = table_for(subject, SAFE)
        before = 0
        for bounds in searches:
            if quick and before > LONG:
                continue
            sizes = protocol.sizes(subject, bounds.size)
            seconds, loops, found = timed(partial(explore, table, sizes, bounds, SAFE, every=True))
            seen = f"{found.states:>9,} states" + ("" if found.complete else " (not all)")
            print(
                f"  {ring}, size {bounds.size}, {bounds.requests} requests: {seen}, depth {found.depth:>3}, "
                f"{seconds:6.2f} s {loops:8.1f} loops, {found.states / seconds:>9,.0f} states/s, "
                f"{found.states / loops:>8,.0f} states/loop"
            )
            before = found.states


def states(size: int) -> dict[str, bytes]:
    """Return a state of each ring as a line: of 8 requests in flight 2 were published, and not settled."""
    split, packed = Rig(size=size, first_index=65534), PackedRig(size=size)
    rigs: list[tuple[Any, str]] = [(split, "split.supply.5"), (packed, "packed.supply.7")]
    for rig, step in rigs:
        queue = rig.started()
        rig.make(*(range(8) if rig is split else ((number, 2) for number in range(8))))
        queue.look()
        while queue.available:
            queue.take()
            queue.look()
        crash_at(rig, step)
        with contextlib.suppress(CrashError):
            queue.supply(batch(*rig.submitted[:2]))
    return {ring: json.dumps(state(rig)).encode() + b"\n" for ring, rig in (("split", split), ("packed", packed))}


def _answers(*, quick: bool) -> None:
    print("What recover answers, in full, in one process (recover --lines), one core; seconds of processor time")
    for size, number in ((256, 100 if quick else 1000), *(() if quick else ((32768, 1),))):
        for ring, line in states(size).items():
            answer_lines(io.BytesIO(line), io.StringIO(), Question())  # what is kept from one answer to the next
            unit = min(beat() for _ in range(3))
            started = time.process_time()
            answer_lines(io.BytesIO(line * number), io.StringIO(), Question())
            seconds = time.process_time() - started
            print(
                f"  {ring}, size {size}: {number / seconds:8.1f} states/s, {seconds / number:8.4f} s a state, "
                f"{number * unit / seconds:8.1f} states/loop"
            )


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench", description="Where the time goes.")
    parser.add_argument("--quick", action="store_true", help="leave out what takes longest")
    parser.add_argument("--recover", action="store_true", help="measure the answers of recover alone")
    asked = parser.parse_args(arguments)
    _answers(quick=asked.quick)
    if asked.recover:
        return
    _growth(quick=asked.quick)
    _verify(quick=asked.quick)


if __name__ == "__main__":
    main()
