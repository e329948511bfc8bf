"""The command ``crash-test``: runs the campaign or a schedule's crashes, with a bar, and prints what was found."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from refimpl.names import counted
from vhost_inflight.judging.crash.campaign import crash_test
from vhost_inflight.judging.crash.faults import CrashTestError
from vhost_inflight.judging.crash.outcome import Outcome
from vhost_inflight.judging.crash.plan import Kill, stores
from vhost_inflight.judging.crash.side_by_side import side_by_side
from vhost_inflight.judging.crash.stops import Pair
from vhost_inflight.telling import STDIO, Ending, write_json

__all__ = ["run"]


def run(
    *,
    ring: str,
    revision: str,
    queue_size: int,
    kills: int,
    seed: int,
    gaps: Mapping[str, str] | None = None,
    free: bool = False,
    pair: Pair | None = None,
    queues: int = 1,
    schedule: Path | None = None,
    record: Path | None = None,
    json_file: Path | None = None,
    jobs: int = 1,
) -> bool:
    """Run the crash test, print what it found, and return whether nothing was violated (the command ``crash-test``).

    ``gaps`` are choices other than the defaults; ``free``, ``pair`` and ``queues`` as in `crash_test`. With a
    ``schedule`` file, that is what is played: it says ring, revision, choices and size. What happened is written to
    ``record`` as such a file. Of ``jobs`` tests at once each has a seed of its own, from ``seed`` on, and its part of
    the ``kills``. Raises UsageError for a ring, a revision, a choice or a size that does not exist, ScheduleError for a
    file that is no schedule, CrashTestError and OSError when the test cannot go on or a file cannot be written; after
    Ctrl-C KeyboardInterrupt, when all is printed.
    """
    ending = Ending()
    with ending.heard():
        if schedule is not None:
            outcomes = [_crashes_of(schedule)]
        else:
            options: dict[str, Any] = {"ring": ring, "revision": revision, "queue_size": queue_size}
            parts = {seed + n: kills // jobs + (n < kills % jobs) for n in range(min(jobs, kills))}
            outcomes = _with_a_bar(ending, parts, gaps=gaps or {}, free=free, pair=pair, queues=queues, **options)
        if not any(outcome.interrupted for outcome in outcomes):
            ending.again()
    if json_file != STDIO:
        for line in _reports(outcomes):
            print(line)
    if json_file is not None:
        write_json(json_file, outcomes[0].document() if jobs == 1 else _together(outcomes))
    if record is not None:
        record.write_text(json.dumps(outcomes[0].schedule()) + "\n", encoding="utf-8")
    if any(outcome.interrupted for outcome in outcomes):
        raise KeyboardInterrupt
    if any(outcome.cut and not outcome.broken for outcome in outcomes):
        raise CrashTestError("no verdict: the processes left the schedule, and it was not played to its end")
    return not any(outcome.broken for outcome in outcomes)


def _crashes_of(file: Path) -> Outcome:
    """Play the crashes of a schedule file."""
    from vhost_inflight.judging.crash.script import crashes_of  # noqa: PLC0415  # nobody else needs it
    from vhost_inflight.judging.play.schedule import load  # noqa: PLC0415  # likewise

    return crashes_of(load(file), file)


def _with_a_bar(ending: Ending, parts: Mapping[int, int], **options: Any) -> list[Outcome]:
    """Run the crash test of each seed, with so many kills, and a progress bar on a terminal.

    The options are those of `crash_test`.
    """
    from rich.console import Console  # noqa: PLC0415  # what prints needs it, what imports this may not
    from rich.progress import Progress  # noqa: PLC0415

    terminal = Console(stderr=True)
    # no thread of its own for the bar: the driver's process is forked from this one
    with Progress(console=terminal, auto_refresh=False, disable=not terminal.is_terminal) as bar:
        task = bar.add_task("killing", total=sum(parts.values()))

        def progress(kill: Kill) -> None:
            ending.again()
            bar.update(task, advance=1, description=f"killed at {kill.text()}", refresh=True)

        def test(seed: int, progress: Callable[[Kill], None]) -> Outcome:
            return crash_test(kills=parts[seed], seed=seed, progress=progress, **options)

        if len(parts) == 1:
            return [test(seed, progress) for seed in parts]
        return side_by_side(test, list(parts), progress)


def _together(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Give several outcomes as JSON has them."""
    return {
        "kills": sum(outcome.kills for outcome in outcomes),
        "seconds": round(max(outcome.seconds for outcome in outcomes), 3),
        "tests": [outcome.document() for outcome in outcomes],
    }


def _reports(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Give the lines of the report of each, and what they come to."""
    for outcome in outcomes:
        yield from _report(outcome)
    if len(outcomes) > 1:
        kills, seconds = sum(outcome.kills for outcome in outcomes), max(outcome.seconds for outcome in outcomes)
        rate = kills / seconds if seconds else 0.0
        wrong = ", ".join(f"seed {outcome.seed}" for outcome in outcomes if outcome.broken)
        found = f"something was violated with {wrong}" if wrong else "no property was violated"
        number = len(outcomes)
        yield f"{number} tests: {counted(kills, 'kill')} in {seconds:.1f} seconds ({rate:.1f} a second), {found}"


def _report(outcome: Outcome) -> Iterator[str]:
    """Give the lines of the report."""
    rate = outcome.kills / outcome.seconds if outcome.seconds else 0.0
    chosen = "".join(f" {name}={choice}," for name, choice in outcome.gaps.items())
    what = f"seed {outcome.seed}{', running free' * outcome.free}" if outcome.file is None else f"as in {outcome.file}"
    yield (
        f"{outcome.ring}, {outcome.revision},{chosen} queue size {outcome.shape.size}, {what}: "
        f"{counted(outcome.kills, 'kill')} in {outcome.seconds:.1f} seconds ({rate:.1f} a second), "
        f"{counted(outcome.requests, 'request')} came back, {counted(outcome.resubmitted, 'resubmission')}"
    )
    yield "killed at: " + (", ".join(f"{step} {count}" for step, count in sorted(outcome.steps.items())) or "nothing")
    if outcome.stops is not None:
        yield outcome.stops.text()
        if beside := outcome.stops.beside_text():
            yield beside
    killed = {step.rpartition(":")[2] for step in outcome.steps}  # of whichever ring
    missed = [s for s in stores(outcome.ring, outcome.revision, outcome.gaps) if s not in killed]
    if missed and outcome.file is None:
        yield f"never killed at: {', '.join(missed)}"
    if outcome.left:
        yield f"the processes left the schedule at {outcome.left}"
    if outcome.interrupted:
        yield "interrupted: this is what was found so far"
    counts = Counter(broken.property for broken in outcome.broken)
    for name, broken in outcome.properties.items():
        times = counted(counts[name], "time")
        yield f"{name} was violated, {times}; first at kill {broken.kill}, {broken.step}: {broken.reason}"
    if outcome.wanted not in (None, *outcome.properties) and not outcome.interrupted:
        yield f"{outcome.wanted}, which the schedule violates on the model, was not seen to be violated here"
    if outcome.broken:
        same = "; it ran free, so it may take another way" if outcome.free else ""
        yield f"to run it again: {outcome.again()}{same}"
        if not outcome.free and outcome.file is None and outcome.stops is None:
            yield "with --record FILE it is written as a schedule: vhost-inflight replay FILE shows it, store by store"
    else:
        yield "no property was violated"
