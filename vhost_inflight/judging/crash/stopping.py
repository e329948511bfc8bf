"""A life of a back-end that is asked to stop its ring, at moments that dice choose, and started again.

An answer ends what is judged as one life: what comes after it, by whichever process, recovers as after a death.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from refimpl.backend.disk_queue import Schedule
from refimpl.hooks import BACKEND_STEPS_OF
from vhost_inflight.judging.crash.dice import Life, Moment, signalled, stops_of
from vhost_inflight.judging.crash.faults import GaveUpError
from vhost_inflight.judging.crash.judge_split import Broken, CrashJudge
from vhost_inflight.judging.crash.outcome import Outcome
from vhost_inflight.judging.crash.plan import Kill, Plan
from vhost_inflight.judging.crash.rig import LIFE
from vhost_inflight.judging.crash.stopping_rig import StoppingRig
from vhost_inflight.judging.crash.stops import WAYS, Stops

__all__ = ["StoppingLives"]

_MOVES = 20_000
"""Moves after which a back-end that was asked to stop will not answer: far more than it takes to finish all it has."""

_RECOVERY = ("start", "init", "reconnect", "position", "counter")
_PARTS = (("supply", "notify"), _RECOVERY, ("fetch",), ())
"""Parts of steps at which a ring is asked to stop: in a batch, in a recovery, while it fetches, anywhere."""


_LATER = Kill(seconds=LIFE)
"""Of a life that is to die after it was stopped."""


class _DiesError(Exception):
    """The back-end is to die before it answers."""


class StoppingLives:
    """Lives with stops; `live` is one, up to its death or to the first thing that is wrong."""

    def __init__(self, rig: StoppingRig, judge: CrashJudge, outcome: Outcome, plan: Plan, dice: random.Random) -> None:
        """Begin with none."""
        assert outcome.stops is not None
        self.rig, self.judge, self.outcome, self.plan, self.dice = rig, judge, outcome, plan, dice
        self.stops: Stops = outcome.stops
        steps = sorted(BACKEND_STEPS_OF[outcome.ring])
        self._steps = [[step for step in steps if step.split(".")[1] in parts] or [""] for parts in _PARTS]

    def live(self, kill: Kill) -> Kill | None:
        """Let one live, be stopped and started again, and come to its death; return that, None: it had its time.

        That one gives up is told, and it dies of it: the judge of what it did tells why.
        """
        try:
            return self._live(kill)
        except GaveUpError as error:
            self._violated("drains", "by itself", str(error))
            return None

    def _live(self, kill: Kill) -> Kill | None:
        """Let one live, and return its death. Raises GaveUpError."""
        moments = self._moments(kill)
        self.rig.plan = self._held_back()
        self.rig.start_steered(self.rig.seed, _waits(kill, moments))
        life = Life(self.rig, self._aimed(kill, moments), self.dice, self.outcome.happened)
        while True:
            moment = moments.pop(0) if moments else None
            life.go_on(moment)
            if life.over or moment is None:
                return life.kill if life.died else None
            if not self._stopped(life, kill):
                died = life.kill if life.died else None
                self.stops.killed[died.step if died else "a random time"] += 1
                return died
            if self.outcome.lost:
                return None
            kill, moments = self._start_again(life, kill, moments)
            if self.outcome.lost:
                return None

    def _held_back(self) -> Schedule:
        """Choose what the device holds back: some requests stay with it, others come one by one, out of order."""
        size = self.rig.size
        keep, batch = self.dice.randint(0, size - 1), self.dice.choice((None, 1, 1, 2))
        return Schedule(hold=self.dice.randint(keep + 1, size), keep=keep, order="shuffle", batch=batch, idle=0.002)

    def _aimed(self, kill: Kill, moments: Sequence[Moment]) -> Kill:
        """Return where a life is to die; of one that will be stopped, mostly not before it is."""
        return _LATER if moments and self.dice.random() < 0.8 else kill

    def _moments(self, kill: Kill) -> list[Moment]:
        """Choose when the ring is asked to stop: mostly at once, where the kill is in a recovery, to precede it."""
        chosen = []
        if kill.step and kill.step.split(".")[1] in _RECOVERY and self.dice.random() < 0.7:
            chosen.append(Moment("", 0, self.dice.randint(1, 4)))
        for _ in range(self.dice.choice((0, 1, 1, 2, 2, 3))):
            step, after = self.dice.choice(self.dice.choice(self._steps)), self.dice.choice((0, 0, 50, 150))
            chosen.append(Moment(step, after, after + self.dice.randint(1, 200)))
        return chosen

    def _stopped(self, life: Life, kill: Kill) -> bool:
        """Ask the back-end to stop; return whether it came to its answer, which is judged then."""
        self.stops.ask(self.rig.steered().at.what)
        if self.dice.random() < 0.5:
            life.aim(replace(kill, occurrence=1))  # so that it dies before its answer where it takes that step
        try:
            self.rig.stop(lambda: self._until_answered(life))
        except _DiesError:
            return False
        message, drained = self.rig.here.stops_by.name, self.rig.drains
        left = self.judge.stopped(
            self.outcome.kills + 1,
            f"the answer to {message}",
            self.rig.record(),
            self.rig.lines(),
            self.rig.region(),
            base=self.rig.here.bases[0],
            drained=drained,
        )
        self.stops.answers[message] += 1
        self.stops.in_flight[left] += 1
        self._suspended(self.rig.look_on())
        return True

    def _until_answered(self, life: Life) -> None:
        """Let both move until there is an answer. Raises _DiesError when it is to die, GaveUpError if none comes."""
        driver, rig = self.rig.driver, self.rig
        assert driver is not None
        for _ in range(_MOVES):
            awake = driver.at.what != "rest" or signalled(rig.here.calls[0])
            if awake and self.dice.random() < 0.3:
                life.took([driver.go()])
                continue
            if rig.answered() or (said := rig.one_move()) is None:
                return
            life.took([said])
            if life.died or (not life.kill.step and life.kill is not _LATER and self.dice.random() < 0.1):
                raise _DiesError
        raise GaveUpError(f"the back-end does not answer {rig.here.stops_by.name}")

    def _start_again(self, life: Life, kill: Kill, moments: list[Moment]) -> tuple[Kill, list[Moment]]:
        """Start the ring again, somehow; return where it is to die, and when it will be stopped, from then on."""
        way, killed = self.dice.choice(WAYS), self.dice.random() < 0.5
        if way == "migrated" and self.rig.here.complete and self.dice.random() < 0.5:
            kill = Kill(self.dice.choice(self.plan.fresh))
        if way != "same connection":
            moments = self._moments(kill) if self.dice.random() < 0.5 else []
        self._suspended(self.rig.start_again(way, self.rig.seed, _waits(kill, moments), kill=killed))
        self.stops.again[way] += 1
        self.judge.ring = self.rig.ring()
        life.aim(self._aimed(kill, moments))
        return kill, moments

    def _suspended(self, did: Sequence[str]) -> None:
        """Judge what a back-end that was to rest did."""
        if did:
            reason = f"between the answer and the next start {'; '.join(did)}"
            self._violated("suspended", "after its answer", reason)

    def _violated(self, name: str, step: str, reason: str) -> None:
        self.judge.broken.append(Broken(name, self.outcome.kills + 1, step, reason))


def _waits(kill: Kill, moments: Sequence[Moment]) -> tuple[str, ...]:
    """Return the steps at which a back-end waits though it was told to run."""
    return (*stops_of(kill), *(moment.step for moment in moments if moment.step))
