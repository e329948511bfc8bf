"""The crash test: a driver, a front-end and a back-end as real processes; the back-end is killed, again and again.

The back-end is `run_backend` in a process forked from this one. The front-end is this process: it holds the buffer and
comes back as QEMU does. The driver is a child of it. First come kills at every storing step, then kills at random;
after each death everything that really happened is judged.

Both processes are steered (vhost_inflight.judging.crash.dice), so that the same seed does the same each time. Or they
run free, both at once, as they would without a test: the driver never stops but for the moment in which memory is read,
the back-end kills itself right after a store (``--crash-at``), or is killed at some time; then the seed says what is
tried, and not what comes of it.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from refimpl.choices import Choices
from refimpl.errors import UsageError
from vhost_inflight.judging.crash.dice import live, stops_of
from vhost_inflight.judging.crash.faults import GaveUpError
from vhost_inflight.judging.crash.guest import CrashGuest
from vhost_inflight.judging.crash.judge_split import Broken, CrashJudge
from vhost_inflight.judging.crash.outcome import Outcome, end
from vhost_inflight.judging.crash.plan import Kill, Plan
from vhost_inflight.judging.crash.rig import LIFE, Rig, Shape
from vhost_inflight.judging.crash.steered_guest import SteeredGuest
from vhost_inflight.judging.crash.stopping import StoppingLives
from vhost_inflight.judging.crash.stopping_rig import StoppingRig
from vhost_inflight.judging.crash.stops import Pair, Stops

__all__ = ["crash_test"]

LiveAndDie = Callable[..., tuple[Kill, Kill]]
"""Lets a back-end live and die; returns its death, and the next one's."""


def crash_test(
    *,
    ring: str = "split",
    revision: str,
    queue_size: int = 4,
    kills: int = 100,
    seed: int = 0,
    gaps: Mapping[str, str] | None = None,
    free: bool = False,
    pair: Pair | None = None,
    queues: int = 1,
    progress: Callable[[Kill], None] = lambda _kill: None,
) -> Outcome:
    """Kill a back-end so many times and judge each life; ``progress`` is called with each Kill that was made.

    ``gaps`` are choices other than the defaults; ``free``: driver and back-end run at their own pace. With a ``pair``
    of generations, ring 0 of ``queues`` is stopped besides, and started again, by steered processes. A wrong order
    (restartable too) is judged to the end; anything else that is violated ends it. Ctrl-C ends it with what there is.
    Raises UsageError for a ring, a revision, a gap or a size that does not exist, CrashTestError and OSError when it
    cannot go on.
    """
    _check(queue_size, queues, pair, free=free)
    choices = Choices.from_mapping(gaps or {}, revision, ring)
    # a packed ring in use, so that a fresh region has more to be told
    first = 2 * queue_size - 1 if ring == "packed" else 0
    shape = Shape(choices, queue_size, queue_size, first=first, queues=queues)
    outcome = Outcome(shape, seed, free=free, stops=None if pair is None else Stops(pair, queues - 1))
    started = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="vhost-inflight-") as folder,
        _rig(Path(folder), shape, seed, free, pair) as rig,
    ):
        judge = rig.judge()
        outcome.broken = rig.beside.tell(judge.broken)
        if rig.driver is not None:
            outcome.happened(rig.driver.at)
        try:
            for kill in _kill_again_and_again(rig, judge, outcome, kills):
                progress(kill)
            if not outcome.lost:
                rig.free_driver()
                end(rig, judge, outcome)
            elif not free and pair is None:
                # what the last life left is seen by the next recovery: the schedule has it too
                live(rig, Kill(f"{ring}.reconnect.ready"), random.Random(seed), outcome.happened)  # noqa: S311  # likewise
        except GaveUpError as error:
            judge.broken.append(Broken("drains", outcome.kills + 1, "by itself", str(error)))
        except KeyboardInterrupt:
            outcome.interrupted = True
        outcome.requests, outcome.resubmitted = judge.completed, judge.resubmitted
        if outcome.stops is not None:
            outcome.stops.requests, outcome.stops.resubmitted = rig.beside.served()
    outcome.seconds = time.monotonic() - started
    return outcome


def _check(queue_size: int, queues: int, pair: Pair | None, *, free: bool) -> None:
    """Raise UsageError for what does not go together."""
    if queue_size < 2:
        raise UsageError("a request to a disk takes two descriptors at least, and a ring of 1 has no room for them")
    if pair is not None and free:
        raise UsageError("processes that run free are not asked to stop their ring")
    if pair is None and queues > 1:
        raise UsageError("several queues are for rings that are stopped: each is judged alone otherwise")


def _rig(folder: Path, shape: Shape, seed: int, free: bool, pair: Pair | None) -> Rig:
    """Return the processes."""
    if pair is not None:
        return StoppingRig(folder, shape, seed, pair)
    return Rig(folder, shape, seed, CrashGuest if free else SteeredGuest)


def _kill_again_and_again(rig: Rig, judge: CrashJudge, outcome: Outcome, kills: int) -> Iterator[Kill]:
    """Start a back-end, kill it, judge, as often as wanted or until everything that follows would be judged wrong."""
    dice = random.Random(outcome.seed)  # noqa: S311  # what is killed when, no secret
    shape = outcome.shape
    plan = Plan(outcome.ring, outcome.revision, shape.size, dice, outcome.gaps)
    kill = plan.next(0)
    live_and_die = _live_free if outcome.free else _live_steered
    if isinstance(rig, StoppingRig):
        live_and_die = _stopping(StoppingLives(rig, judge, outcome, plan, dice))
    while outcome.kills < kills and not outcome.lost:
        died, kill = live_and_die(rig, kill, plan, outcome, dice, last=outcome.kills + 1 == kills)
        outcome.kills += 1
        outcome.steps[died.step or "at random"] += 1
        judge.died(outcome.kills, died.text(), rig.record(), rig.lines(), rig.region())
        if isinstance(rig, StoppingRig):
            rig.judge_beside(outcome.kills, died.text())
        if outcome.free:
            rig.tell_driver("go")
        yield died


def _live_steered(
    rig: Rig, kill: Kill, plan: Plan, outcome: Outcome, dice: random.Random, *, last: bool
) -> tuple[Kill, Kill]:
    """Let one live and die; return its death, and the next one's, which begins while this is judged."""
    rig.seed = outcome.seed + outcome.kills + 1
    reached = live(rig, kill, dice, outcome.happened)
    outcome.events.append(["crash"])
    following = plan.next(rig.in_progress())
    rig.kill(None if last else (rig.seed + 1, stops_of(following)))
    return kill if reached else _at_random(kill), following


def _stopping(lives: StoppingLives) -> LiveAndDie:
    """Return what lets one live, be stopped and started again, and die."""

    def live_and_die(
        rig: Rig, kill: Kill, plan: Plan, outcome: Outcome, _dice: random.Random, *, last: bool
    ) -> tuple[Kill, Kill]:
        del last
        rig.seed = outcome.seed + outcome.kills + 1
        died = lives.live(kill)
        following = plan.next(max(rig.in_progress(queue) for queue in range(outcome.shape.queues)))
        rig.kill()
        return died or _at_random(kill), following

    return live_and_die


def _live_free(
    rig: Rig, kill: Kill, plan: Plan, outcome: Outcome, _dice: random.Random, *, last: bool
) -> tuple[Kill, Kill]:
    """Let one live and die; return its death, and the next one's."""
    del last
    rig.start(outcome.seed + outcome.kills + 1, kill)
    reached = rig.wait(kill.seconds if kill.seconds is not None else LIFE)
    rig.kill()
    return kill if reached else _at_random(kill), plan.next(rig.in_progress())


def _at_random(kill: Kill) -> Kill:
    """Return the death of one that did not come to its step."""
    return Kill(seconds=kill.seconds or LIFE)
