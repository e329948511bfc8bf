"""A life of a back-end that is asked to stop its ring, at moments that dice choose, and started again.

An answer ends what is judged as one life: what comes after it, by whichever process, recovers as after a death.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

from refimpl.backend.disk_queue import Schedule
from refimpl.hooks import BACKEND_STEPS_OF
from refimpl.names import counted
from vhost_inflight.judging.crash.bystander import signalled
from vhost_inflight.judging.crash.dice import Life, Moment, stops_of
from vhost_inflight.judging.crash.faults import GaveUpError
from vhost_inflight.judging.crash.judge_split import Broken, CrashJudge
from vhost_inflight.judging.crash.outcome import Outcome
from vhost_inflight.judging.crash.plan import Kill, Plan
from vhost_inflight.judging.crash.rig import LIFE
from vhost_inflight.judging.crash.stopping_rig import StoppingRig
from vhost_inflight.judging.crash.stops import WAYS, Stops

__all__ = ["StoppingLives"]

_RUNS_ON = 80
"""Moves that rings beside have while ring 0 is stopped, at least, at most: afterwards each has to show something."""

_BUSY = 1000
"""Moves after which a ring that had all back makes no more, so that the process rests: at rest alone time passes."""

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
        kill = self._of_a_ring(kill)
        moments = self._moments(kill)
        self.rig.plan = self._held_back()
        self.rig.start_steered(self.rig.seed, _waits(kill, moments))
        life = Life(self.rig, self._aimed(kill, moments), self.dice, self.outcome.happened)
        while True:
            moment = moments.pop(0) if moments else None
            life.go_on(moment)
            if life.over or moment is None:
                return life.kill if life.died else None
            try:
                self._stop(life, kill)
                kill, moments = self._start_again(life, kill, moments)
            except _DiesError:
                return life.kill if life.died else None
            if self.outcome.lost:
                return None

    def _of_a_ring(self, kill: Kill) -> Kill:
        """Choose of which ring the step is: of one with a batch to be settled, if there is any, else mostly ring 0."""
        if not (kill.step and self.rig.beside):
            return kill
        queues = range(self.rig.shape.queues)
        held = self.rig.here.inflight is not None
        unsettled = [queue for queue in queues if held and self.rig.in_progress(queue)]
        queue = self.dice.choice(unsettled or (*[0] * 2 * len(self.rig.beside), *queues[1:]))
        return replace(kill, step=f"{queue}:{kill.step}") if queue else kill

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

    def _stop(self, life: Life, kill: Kill) -> None:
        """Stop ring 0, and let the rings beside run on. Raises _DiesError where the back-end is to die before it is."""
        rig = self.rig
        self._ask(life, kill, alone=bool(rig.beside))
        message, drained = rig.here.stops_by.name, rig.drains
        left = self.judge.stopped(
            self.outcome.kills + 1,
            f"the answer to {message}",
            rig.record(),
            rig.lines(),
            rig.region(),
            base=rig.here.bases[0],
            drained=drained,
        )
        self.stops.in_flight[left] += 1
        said = rig.look_on()
        self._suspended(rig.went_on(said))
        if rig.beside and not self.outcome.lost:
            self._run_on(life, ran=bool(said))

    def _ask(self, life: Life, kill: Kill, *, alone: bool) -> None:
        """Ask the back-end to stop, and wait for the answer. Raises _DiesError if it is to die before, and does."""
        self.stops.ask(self.rig.steered().at.what)
        if self.dice.random() < 0.5:
            life.aim(replace(kill, occurrence=1))  # so that it dies before its answer where it takes that step
        try:
            self.rig.stop(lambda: self._until_answered(life), alone=alone)
        except _DiesError:
            self.stops.killed[life.kill.step if life.died else "a random time"] += 1
            raise
        self.stops.answers[self.rig.here.stops_by.name] += 1

    def _run_on(self, life: Life, *, ran: bool) -> None:
        """Let the rings beside run on, until each has had back what it had made, and one at least. Raises _DiesError.

        ``ran``: a step was taken since the answer for ring 0, without which no ring runs.
        """
        beside = self.rig.beside
        before = sum(one.came_back for one in beside)
        try:
            if self._had_back(life, beside.begin_watch(), ran=ran):
                self.stops.alone += 1
                self.stops.ran_on += sum(one.came_back for one in beside) - before
                return
        finally:
            beside.make(more=True)
        if not self.outcome.lost:
            wait = "; ".join(f"{counted(len(one.pending), 'request')} of ring {one.queue}" for one in beside)
            self._violated("drains", "after its answer", f"ring 0 was stopped, and others do not go on with {wait}")

    def _had_back(self, life: Life, had: Callable[[], list[bool]], *, ran: bool) -> bool:
        """Return whether each ring beside had it all back. Raises _DiesError."""
        rig, least = self.rig, self.dice.randint(0, _RUNS_ON)
        for moves in range(self.rig.patience):
            served = had()
            if moves >= least and all(served):
                return True
            for one, was in zip(rig.beside, served, strict=True):
                one.making = moves < _BUSY or not was
            if not ran or (said := rig.move_beside()) is None:
                return all(had())
            life.took([said])
            self._suspended(rig.went_on([said.what]), said.what)
            if self.outcome.lost:
                return False
            if life.died:
                raise _DiesError
        return False

    def _stop_all(self, life: Life, kill: Kill) -> None:
        """Stop every ring, and ring 0 again. Raises _DiesError."""
        rig = self.rig
        base = rig.here.bases[0]
        self._ask(life, kill, alone=False)
        step = f"the answer to {rig.here.stops_by.name}"
        self.stops.in_flight.update(rig.judge_stopped(self.outcome.kills + 1, step))
        if rig.here.bases[0] != base:
            reason = f"asked again, the back-end says {rig.here.bases[0]:#x} of ring 0, which it stopped at {base:#x}"
            self._violated("ring-position", step, reason)
        self._suspended(rig.went_on(rig.look_on()))

    def _until_answered(self, life: Life) -> None:
        """Let both move until there is an answer. Raises _DiesError when it is to die, GaveUpError if none comes."""
        driver, rig = self.rig.driver, self.rig
        assert driver is not None
        for _ in range(self.rig.patience):
            rig.beside.move(idle=False, stopped=rig.stopped)
            awake = driver.at.what != "rest" or signalled(rig.here.calls[0])
            if not rig.stopped and awake and self.dice.random() < 0.3:
                life.took([driver.go()])
                rig.beside.passed(1)
                continue
            if rig.answered() or (said := rig.one_move()) is None:
                return
            life.took([said])
            if life.died or (not life.kill.step and life.kill is not _LATER and self.dice.random() < 0.1):
                raise _DiesError
        raise GaveUpError(f"the back-end does not answer {rig.here.stops_by.name}")

    def _start_again(self, life: Life, kill: Kill, moments: list[Moment]) -> tuple[Kill, list[Moment]]:
        """Start the ring again, somehow; return where it is to die, and when it will be stopped, from then on.

        Raises _DiesError where rings beside are to be stopped first, and the back-end dies.
        """
        if self.outcome.lost:
            return kill, moments
        way, killed = self.dice.choice(WAYS), self.dice.random() < 0.5
        if self.rig.some_run and (way == "migrated" or self.dice.random() < 0.4):
            self._stop_all(life, kill)
            if self.outcome.lost:
                return kill, moments
        if way == "migrated" and self.rig.here.complete and self.dice.random() < 0.5:
            kill = self._of_a_ring(Kill(self.dice.choice(self.plan.fresh)))
        if way != "same connection":
            moments = self._moments(kill) if self.dice.random() < 0.5 else []
        if self.rig.some_run and way == "next process":
            self.rig.judge_beside(self.outcome.kills + 1, f"its end at {self.rig.steered().at.what}")
            killed = True  # it would go on with them until it noticed
        self._suspended(self.rig.start_again(way, self.rig.seed, _waits(kill, moments), kill=killed))
        self.stops.again[way] += 1
        self.judge.ring = self.rig.ring()
        life.aim(self._aimed(kill, moments))
        return kill, moments

    def _suspended(self, did: Sequence[str], step: str = "after its answer") -> None:
        """Judge what a back-end did to rings that were to rest."""
        if did:
            self._violated("suspended", step, f"between the answer and the next start {'; '.join(did)}")

    def _violated(self, name: str, step: str, reason: str) -> None:
        self.judge.broken.append(Broken(name, self.outcome.kills + 1, step, reason))


def _waits(kill: Kill, moments: Sequence[Moment]) -> tuple[str, ...]:
    """Return the steps at which a back-end waits though it was told to run."""
    return (*stops_of(kill), *(moment.step for moment in moments if moment.step))
