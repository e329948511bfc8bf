"""One life of a back-end, steered by dice: who moves next is drawn, and it dies right after a step, or anywhere."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from refimpl.backend.reins import Order
from vhost_inflight.judging.crash.bystander import signalled
from vhost_inflight.judging.crash.faults import GaveUpError
from vhost_inflight.judging.crash.plan import Kill
from vhost_inflight.judging.crash.rig import Rig
from vhost_inflight.judging.crash.steering import WORDS, BackEndReins, DriverReins

__all__ = ["Life", "Luck", "Moment", "live", "stops_of"]

_A_SECOND = 20_000  # moves, about as many as both make in a second when they run free


def live(rig: Rig, kill: Kill, dice: random.Random, happened: Callable[[Order], None]) -> bool:
    """Let both processes move, one at a time, until the back-end is to die; return whether it came to its step.

    ``happened`` is called with each step that was taken. A life without the step ends after as many moves as serve
    several rounds of requests. Raises GaveUpError where nobody can move, or a kick is not heeded.
    """
    rig.start_steered(rig.seed, stops_of(kill))
    life = Life(rig, kill, dice, happened)
    life.go_on()
    return life.died


@dataclass(frozen=True, slots=True)
class Moment:
    """When something is to happen: right after a step ("": none) once ``least`` moves are made, or after ``most``."""

    step: str
    least: int
    most: int


class Life:
    """A life of the back-end, which is at its first step; it goes on until it is to die, or until a moment."""

    def __init__(self, rig: Rig, kill: Kill, dice: random.Random, happened: Callable[[Order], None]) -> None:
        """Throw how eager the back-end is."""
        self.rig, self.kill, self.dice, self._happened = rig, kill, dice, happened
        self._eager, self._left = dice.choice((0.2, 0.5, 0.8)), kill.occurrence
        self._moves = self._time()
        self._last: Order | None = None

    @property
    def died(self) -> bool:
        """Whether it came to the step at which it is to die."""
        return not self._left

    @property
    def over(self) -> bool:
        """Whether it is to die, at its step or since it had its time."""
        return not (self._left and self._moves > 0)

    def took(self, said: Iterable[Order]) -> None:
        """Take note of what the processes said."""
        for step in said:
            if step.what not in WORDS:
                self._happened(step)
            self._left -= bool(self._left) and step.what == self.kill.step
            self._last = step

    def aim(self, kill: Kill) -> None:
        """Let it die elsewhere, or there after all; it has its time again."""
        self.kill, self._left = kill, kill.occurrence
        self._moves = self._time()

    def _time(self) -> int:
        """Return how many moves there are in a life."""
        kill = self.kill
        return 400 + 200 * self.rig.size if kill.seconds is None else int(kill.seconds * _A_SECOND)

    def go_on(self, moment: Moment | None = None) -> None:
        """Let both move until it is to die, or until the moment. Raises GaveUpError where nobody ever will."""
        assert self.rig.reins is not None
        assert self.rig.driver is not None
        back_end, driver, beside = self.rig.reins, self.rig.driver, self.rig.beside
        luck = Luck(self.dice, self._eager)
        begin = self._moves
        end = max(0, begin - moment.most) if moment is not None else 0
        said = [back_end.at]
        self.took(said if said[0] is not self._last else ())
        while True:
            movers = _movers(self.rig, back_end, driver)
            if beside.move(idle=not movers):
                movers = _movers(self.rig, back_end, driver)
            if not (self._left and self._moves > end):
                break
            if not (movers or back_end.at.choice):
                if driver.at.choice:
                    break  # it has found the back-end wrong, and the judge says so
                raise GaveUpError("nobody has anything to do, and the driver waits for its requests")
            if moment is not None and said[-1].what == moment.step and begin - self._moves >= moment.least:
                break
            most = beside.until(self._moves - end)
            if not movers:
                said = [back_end.go("later")]  # nothing else happens before the device finishes what it holds back
            elif len(movers) == 1:
                said = movers[0].run(most)
            else:
                who, turns = luck.turns(most)
                said = movers[who].run(turns)
                luck.took(len(said))
            self._moves -= len(said)
            beside.passed(len(said))
            self.took(said)
        luck.give_back()


def stops_of(kill: Kill) -> tuple[str, ...]:
    """Return the steps at which a back-end that is to die waits, though it was told to run."""
    return (kill.step,) if kill.step else ()


class Luck:
    """Says by dice, ahead of time, who moves and how often before the other does.

    Who is told how many moves it has may stop before; what was drawn for moves that nobody made is given back, so that
    the dice are the same as if one had been thrown before each move.
    """

    def __init__(self, dice: random.Random, eager: float) -> None:
        """Take the dice; ``eager`` is how likely it is the turn of the one."""
        self._dice, self._eager = dice, eager
        self._drawn: list[int] = []
        self._taken, self._before = 0, dice.getstate()

    def turns(self, most: int) -> tuple[int, int]:
        """Return whose turn it is, the eager one's (0) or the other's, and for how many moves, ``most`` at most."""
        who = self._whose(0)
        return who, next((number for number in range(1, most) if self._whose(number) != who), most)

    def _whose(self, number: int) -> int:
        """Return whose turn it is after a number of moves from now on."""
        if number == len(self._drawn):
            self._drawn.append(int(self._dice.random() >= self._eager))
        return self._drawn[number]

    def took(self, moves: int) -> None:
        """Take note of moves that were made where both could have moved."""
        self._taken += moves
        del self._drawn[:moves]

    def give_back(self) -> None:
        """Leave the dice as after one throw for each move that was made."""
        if self._drawn:
            self._dice.setstate(self._before)
            for _ in range(self._taken):
                self._dice.random()


def _movers(rig: Rig, back_end: BackEndReins, driver: DriverReins) -> list[BackEndReins | DriverReins]:
    """Give those that can go on: who rests is woken first."""
    awake = driver.at.what != "rest" or signalled(rig.front_end.calls[0])
    return [back_end] * back_end.can_move(rig.kicks()) + [driver] * awake
