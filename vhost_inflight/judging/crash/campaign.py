"""The crash test: a driver, a front-end and a back-end as real processes; the back-end is killed, again and again.

The back-end is ``python -m refimpl.backend.process``, killed by SIGKILL right after a chosen store (``--crash-at``), or
at a random time from outside. The front-end is this process: it holds the shared buffer and comes back as QEMU does.
The driver is a child of it, and never stops but for the moment in which memory is read. First come kills at every
storing step, then kills at random; after each death everything that really happened is judged.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from refimpl.choices import Choices
from refimpl.errors import BackEndError, UsageError
from vhost_inflight.judging.crash.judge_split import Broken, CrashJudge
from vhost_inflight.judging.crash.outcome import Outcome, end
from vhost_inflight.judging.crash.plan import Kill, Plan
from vhost_inflight.judging.crash.rig import LIFE, Rig

__all__ = ["crash_test"]


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
