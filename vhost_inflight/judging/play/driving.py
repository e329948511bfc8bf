"""The driver of a schedule: plays its steps on the ring, and tells the judge."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from refimpl.hooks import Hook
from vhost_inflight.judging.play.judge import Judge
from vhost_inflight.judging.play.rings import hand_of
from vhost_inflight.judging.play.world import Memory

__all__ = ["Driving"]

_ENDS: Final = ("driver.kick.1", "driver.kick.none")


class Driving:
    """A driver of a ring, new with it.

    ``making`` is its last step towards a request that is not yet made, "" if there is none; ``kick_wanted`` is what it
    read when it looked whether to kick.
    """

    def __init__(
        self, memory: Memory, judge: Judge, hook: Hook, *, kick: Callable[[], None], call_taken: Callable[[], None]
    ) -> None:
        """Begin with a ring on which nothing has happened; ``call_taken`` raises UsageError where there is no call."""
        self.judge = judge
        self.driver = memory.driver(hook, kick, call_taken)
        self.hand = hand_of(self.driver, judge)
        self.making = ""
        self.kick_wanted = False

    def step(self, name: str, choice: int | None) -> None:
        """Take a step, ``driver.make.1`` with the head ``choice``. Raises UsageError when it is not its turn."""
        driver = self.driver
        if name.startswith(("driver.make.", "driver.kick.")):
            self.making = "" if name in _ENDS else name
        if self.hand.step(name, choice):
            return
        if name == "driver.use":
            self.judge.used(*driver.use())
            return
        steps: dict[str, Callable[[], object]] = {
            "driver.kick.look": self._look_whether_to_kick,
            "driver.kick.1": driver.kick,
            "driver.kick.none": driver.kick_none,
            "driver.sleep.1": driver.sleep_store,
            "driver.sleep.again": driver.sleep_again,
            "driver.sleep.2": driver.sleep,
            "driver.wake": driver.wake,
        }
        steps[name]()

    def next_to_make(self) -> str:
        """Return the step that ends soonest what it has begun."""
        if self.making == "driver.kick.look":
            return "driver.kick.1" if self.kick_wanted else "driver.kick.none"
        return self.hand.next_step(self.making)

    def _look_whether_to_kick(self) -> None:
        self.kick_wanted = self.driver.kick_look()
