"""The command ``crash-test``: runs the campaign or a schedule's crashes, with a bar, and prints what was found."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vhost_inflight.judging.crash.campaign import crash_test
from vhost_inflight.judging.crash.outcome import Outcome
from vhost_inflight.judging.crash.plan import Kill, stores
from vhost_inflight.telling import STDIO, write_json

__all__ = ["run"]


@contextlib.contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end this program as an exception, so that the processes and files of the test go with it."""
    before = signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def run(
    *,
    ring: str,
    revision: str,
    queue_size: int,
    kills: int,
    seed: int,
    gaps: Mapping[str, str] | None = None,
    schedule: Path | None = None,
    json_file: Path | None = None,
) -> bool:
    """Run the crash test, print what it found, and return whether nothing was violated (the command ``crash-test``).

    ``gaps`` are choices other than the defaults. With a ``schedule`` file, its crashes are what is played: it says
    ring, revision, choices and size. Raises UsageError for a ring, a revision, a choice or a size that does not exist,
    ScheduleError for a file that is no schedule, OSError when the JSON cannot be written.
    """
    if schedule is not None:
        with _ended_by_sigterm():
            outcome = _crashes_of(schedule)
    else:
        outcome = _with_a_bar(
            ring=ring, revision=revision, queue_size=queue_size, kills=kills, seed=seed, gaps=gaps or {}
        )
    if json_file != STDIO:
        for line in _report(outcome):
            print(line)
    if json_file is not None:
        write_json(json_file, outcome.document())
    return not outcome.broken


def _crashes_of(file: Path) -> Outcome:
    """Play the crashes of a schedule file."""
    from vhost_inflight.judging.crash.script import crashes_of  # noqa: PLC0415  # nobody else needs it
    from vhost_inflight.judging.play.schedule import load  # noqa: PLC0415  # likewise

    return crashes_of(load(file), file)


def _with_a_bar(*, kills: int, **options: Any) -> Outcome:
    """Run the crash test, with a progress bar on a terminal; the options are those of `crash_test`."""
    from rich.console import Console  # noqa: PLC0415  # what prints needs it, what imports this may not
    from rich.progress import Progress  # noqa: PLC0415

    terminal = Console(stderr=True)
    # no thread of its own for the bar: the driver's process is forked from this one
    with (
        _ended_by_sigterm(),
        Progress(console=terminal, auto_refresh=False, disable=not terminal.is_terminal) as bar,
    ):
        task = bar.add_task("killing", total=kills)

        def progress(kill: Kill) -> None:
            bar.update(task, advance=1, description=f"killed at {kill.text()}", refresh=True)

        return crash_test(kills=kills, progress=progress, **options)


def _report(outcome: Outcome) -> Iterator[str]:
    """Give the lines of the report."""
    rate = outcome.kills / outcome.seconds if outcome.seconds else 0.0
    chosen = "".join(f" {name}={choice}," for name, choice in outcome.gaps.items())
    yield (
        f"{outcome.ring}, {outcome.revision},{chosen} queue size {outcome.queue_size}, seed {outcome.seed}: "
        f"{outcome.kills} kills in {outcome.seconds:.1f} seconds ({rate:.1f} a second), "
        f"{outcome.requests} requests came back, {outcome.resubmitted} resubmissions"
    )
    yield "killed at: " + ", ".join(f"{step} {count}" for step, count in sorted(outcome.steps.items()))
    missed = [s for s in stores(outcome.ring, outcome.revision, outcome.gaps) if s not in outcome.steps]
    if missed and outcome.file is None:
        yield f"never killed at: {', '.join(missed)}"
    counts = Counter(broken.property for broken in outcome.broken)
    for name, broken in outcome.properties.items():
        yield f"{name} was violated, {counts[name]} times; first at kill {broken.kill}, {broken.step}: {broken.reason}"
    if outcome.broken:
        yield f"to run it again: {outcome.again()}"
    else:
        yield "no property was violated"
