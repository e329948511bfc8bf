"""A run that goes round for ever: played several times round on real memory, and judged by what happened there."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from vhost_inflight.judging.play.player import Player
from vhost_inflight.judging.play.schedule import Schedule
from vhost_inflight.judging.play.world import Work

__all__ = ["MORE", "NOT_OWED", "Rounds", "longer"]

MORE = 3
"""How many rounds more are played than the schedule has."""

NOT_OWED = frozenset(
    {"crash", "driver.reset", "connection.reset", "driver.make.1", "driver.make.more", "connection.kick", "queue.other",
     "stop.ask", "stop.move", "stop.other", "ring.reset"}
)  # fmt: skip
"""What nobody owes: a run that goes round by it is none that everything comes back in by itself."""


def longer(schedule: Schedule) -> Schedule:
    """Give a schedule with `MORE` rounds more, if it goes round."""
    if schedule.repeats_from is None:
        return schedule
    return replace(schedule, events=schedule.events + MORE * schedule.events[schedule.repeats_from - 1 :])


@dataclass
class Rounds:
    """Watches a player go round, for all to be as it was after each round, and for whoever could act to have acted.

    The back-end is watched by its steps: they are the same in each round, or the player ends with a divergence. `look`
    is to be called after each event, with its place (from 0).
    """

    schedule: Schedule
    player: Player
    able: set[str] = field(default_factory=set)
    acted: set[str] = field(default_factory=set)
    moments: list[tuple[object, ...]] = field(default_factory=list)

    def look(self, place: int) -> None:
        """Take note of who acted, who can act, and, where a round begins or ends, of what there is."""
        begin, end = (self.schedule.repeats_from or 1) - 1, len(self.schedule.events)
        if place >= begin:
            self.acted.add(self._who(self.player.events[place].text()))
        if place >= begin - 1:
            self.able |= self._able()
            if (place + 1 - begin) % (end - begin) == 0:
                self.moments.append(self._moment())

    def judged(self) -> str | None:
        """Say how the run goes round, and what never comes back; None if that is not so."""
        waiting = self.player.judge.waiting()
        if any(event.step in NOT_OWED for event in self.schedule.events[(self.schedule.repeats_from or 1) - 1 :]):
            return None
        same = len(self.moments) == MORE + 2 and all(moment == self.moments[0] for moment in self.moments)
        if not waiting or not same or self.able - self.acted:
            return None
        return f"{self.schedule.round()}; {waiting} had not come back after {MORE} rounds more"

    def _who(self, event: str) -> str:
        """Say who takes a step: the driver in one of its two procedures, the device with a request, the back-end."""
        if event.startswith(("driver.make.", "driver.kick.")):
            return "the driver makes a request"
        if event.startswith("driver."):
            return "the driver reads what is used"
        if event.startswith("device."):
            return event
        procedure = event.partition(".")[2].partition(".")[0]
        return {"idle": "fetch", "notify": "supply"}.get(procedure, procedure)

    def _able(self) -> set[str]:
        """Say who could act now; of a back-end that does something else at the moment, as soon as that is over."""
        player, device = self.player, self.player.device
        able = {f"device.finish {head}" for head in device.heads(Work.WORKING)}
        if player.driving.making:
            able.add("the driver makes a request")
        if player.called or not player.driving.driver.asleep:
            able.add("the driver reads what is used")
        if player.serving is not None and device.heads(Work.FINISHED):
            able.add("supply")
        if player.serving is not None and not device.batch and (player.kicked or not player.serving.resting):
            able.add("fetch")
        return able

    def _moment(self) -> tuple[object, ...]:
        """Give all that there is but what the back-end alone knows."""
        player = self.player
        driving = player.driving
        known = {n: v for n, v in vars(driving.driver).items() if isinstance(v, (int, list, dict, set))}
        return player.memory.image, player.kicked, player.called, driving.making, str(known), dict(player.device.work)
