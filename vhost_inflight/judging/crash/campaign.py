"""The crash test: a driver, a front-end and a back-end as real processes; the back-end is killed, again and again.

The back-end is ``python -m refimpl.backend.process``, killed by SIGKILL right after a chosen store (``--crash-at``), or
at a random time from outside. The front-end is this process: it holds the shared buffer and comes back as QEMU does.
The driver is a child of it, and never stops but for the moment in which memory is read. First come kills at every
storing step, then kills at random; after each death everything that really happened is judged.
"""

from __future__ import annotations

import contextlib
import json
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from refimpl.choices import Choices
from refimpl.errors import BackEndError, UsageError
from vhost_inflight.judging.crash.judge_split import Broken, CrashJudge
from vhost_inflight.judging.crash.plan import Kill, Plan, stores
from vhost_inflight.judging.crash.rig import DRAIN, LIFE, Rig

__all__ = ["Outcome", "crash_test", "end", "run"]


@dataclass
class Outcome:
    """What a crash test did and found; ``steps`` counts deaths by where they came, ``seconds`` is the whole time.

    ``file`` is the schedule whose crashes were played, None: there was none.
    """

    ring: str
    revision: str
    queue_size: int
    seed: int
    kills: int = 0
    requests: int = 0
    resubmitted: int = 0
    seconds: float = 0.0
    steps: Counter[str] = field(default_factory=Counter)
    broken: list[Broken] = field(default_factory=list)
    file: Path | None = None
    gaps: Mapping[str, str] = field(default_factory=dict)

    @property
    def properties(self) -> dict[str, Broken]:
        """Give each violated property with its first violation."""
        first: dict[str, Broken] = {}
        for broken in self.broken:
            first.setdefault(broken.property, broken)
        return first

    @property
    def lost(self) -> bool:
        """Whether more than an order was violated: driver and back-end then disagree about what is where."""
        return bool({broken.property for broken in self.broken} - {"order", "restartable"})

    def again(self) -> str:
        """Give the command that does it again; the processes' timing is their own, so it may take another way."""
        if self.file is not None:
            return f"vhost-inflight crash-test --schedule {self.file}"
        last = max((b.kill for b in self.properties.values()), default=self.kills)
        chosen = "".join(f" --gap {name}={choice}" for name, choice in self.gaps.items())
        return (
            f"vhost-inflight crash-test --ring {self.ring} --revision {self.revision}{chosen} "
            f"--queue-size {self.queue_size} --kills {last} --seed {self.seed}"
        )

    def document(self) -> dict[str, Any]:
        """Give it as JSON has it."""
        counts = Counter(broken.property for broken in self.broken)
        return {
            "ring": self.ring,
            "revision": self.revision,
            "gaps": dict(self.gaps),
            "queue_size": self.queue_size,
            "seed": self.seed,
            "kills": self.kills,
            "requests": self.requests,
            "resubmitted": self.resubmitted,
            "seconds": round(self.seconds, 3),
            "steps": dict(sorted(self.steps.items())),
            "violations": [{**asdict(b), "count": counts[b.property]} for b in self.properties.values()],
            "again": self.again() if self.broken else None,
        }


@contextlib.contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end this program as an exception, so that the processes and files of the test go with it."""
    before = signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def crash_test(
    *,
    ring: str = "split",
    revision: str,
    queue_size: int = 4,
    kills: int = 100,
    seed: int = 0,
    gaps: Mapping[str, str] | None = None,
    progress: Callable[[Kill], None] = lambda _kill: None,
) -> Outcome:
    """Kill a back-end so many times and judge each life; ``progress`` is called with each Kill that was made.

    ``gaps`` are choices other than the defaults. A wrong order (restartable too) is judged to the end; anything else
    that is violated ends it. Raises UsageError for a ring, a revision, a gap or a size that does not
    exist.
    """
    if queue_size < 2:
        raise UsageError("a request to a disk takes two descriptors at least, and a ring of 1 has no room for them")
    rig_choices = Choices.from_mapping(gaps or {}, revision, ring)
    outcome = Outcome(ring, revision, queue_size, seed, gaps=rig_choices.changed())
    started = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="vhost-inflight-") as folder,
        Rig(Path(folder), rig_choices, queue_size, seed) as rig,
    ):
        judge = rig.judge()
        outcome.broken = judge.broken
        try:
            for kill in _kill_again_and_again(rig, judge, outcome, kills):
                progress(kill)
            if not outcome.lost:
                end(rig, judge, outcome)
        except BackEndError as error:
            judge.broken.append(Broken("drains", outcome.kills + 1, "by itself", f"the back-end gave up: {error}"))
        outcome.requests, outcome.resubmitted = judge.completed, judge.resubmitted
    outcome.seconds = time.monotonic() - started
    return outcome


def _kill_again_and_again(rig: Rig, judge: CrashJudge, outcome: Outcome, kills: int) -> Iterator[Kill]:
    """Start a back-end, kill it, judge, as often as wanted or until everything that follows would be judged wrong."""
    dice = random.Random(outcome.seed)  # noqa: S311  # what is killed when, no secret
    plan, in_progress = Plan(outcome.ring, outcome.revision, outcome.queue_size, dice, outcome.gaps), 0
    while outcome.kills < kills and not outcome.lost:
        outcome.kills += 1
        kill = plan.next(in_progress)
        rig.start(outcome.seed + outcome.kills, kill)
        limit = kill.seconds if kill.seconds is not None else LIFE
        if not rig.wait(limit):
            kill = Kill(seconds=limit)
        rig.kill()
        outcome.steps[kill.step or "at random"] += 1
        judge.died(outcome.kills, kill.text(), rig.record(), rig.lines(), rig.region())
        in_progress = rig.in_progress()
        rig.control.send("go")
        yield kill


def end(rig: Rig, judge: CrashJudge, outcome: Outcome) -> None:
    """Start a last back-end that is not killed, let everything come back, and judge that it did."""
    rig.start(outcome.seed, None)
    deadline = time.monotonic() + DRAIN
    waiting = True
    while waiting and time.monotonic() < deadline:
        rig.control.send("drain")
        rig.wait(0.01)
        record = rig.record()
        judge.follow(record)
        waiting = record.pending > 0 and not record.errors
    rig.kill()
    judge.ended(rig.region(), in_time=not waiting)


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
    if json_file is not None:
        json_file.write_text(json.dumps(outcome.document(), indent=2) + "\n", encoding="utf-8")
    for line in _report(outcome):
        print(line)
    return not outcome.broken


def _crashes_of(file: Path) -> Outcome:
    """Play the crashes of a schedule file."""
    from vhost_inflight.judging.crash.script import crashes_of  # noqa: PLC0415  # it imports this module
    from vhost_inflight.judging.play.schedule import load  # noqa: PLC0415  # nobody else needs it

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
