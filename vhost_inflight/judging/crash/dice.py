"""One life of a back-end, steered by dice: who moves next is drawn, and it dies right after a step, or anywhere."""

from __future__ import annotations

import random
import select
from collections.abc import Callable

from refimpl.backend.reins import Order
from vhost_inflight.judging.crash.plan import Kill
from vhost_inflight.judging.crash.rig import Rig
from vhost_inflight.judging.crash.steering import WORDS, BackEndReins, DriverReins

__all__ = ["live"]

_A_SECOND = 20_000  # moves, about as many as both make in a second when they run free


def live(rig: Rig, kill: Kill, dice: random.Random, happened: Callable[[Order], None]) -> bool:
    """Let both processes move, one at a time, until the back-end is to die; return whether it came to its step.

    ``happened`` is called with each step that was taken. A life without the step ends after as many moves as serve
    several rounds of requests, or when nobody can move.
    """
    back_end, driver = rig.start_steered(rig.seed), rig.driver
    assert driver is not None
    eager, left = dice.choice((0.2, 0.5, 0.8)), kill.occurrence
    said = back_end.at
    for moves_left in range(400 + 200 * rig.size if kill.seconds is None else int(kill.seconds * _A_SECOND), -1, -1):
        if said.what not in WORDS:
            happened(said)
        left -= said.what == kill.step
        movers = _movers(rig, back_end, driver)
        if not (left and moves_left and (movers or back_end.at.choice)):
            break
        if movers:
            said = (movers[0] if len(movers) == 1 or dice.random() < eager else movers[1]).go()
        else:
            said = back_end.go("later")  # nothing else happens before the device finishes what it holds back
    return not left


def _movers(rig: Rig, back_end: BackEndReins, driver: DriverReins) -> list[BackEndReins | DriverReins]:
    """Give those that can go on: who rests is woken first."""
    pairs = (back_end, rig.front_end.kicks[0]), (driver, rig.front_end.calls[0])
    return [reins for reins, fd in pairs if reins.at.what != "rest" or _signalled(fd)]


def _signalled(fd: int) -> bool:
    """Return whether an eventfd has been signalled."""
    return bool(select.select([fd], [], [], 0)[0])
