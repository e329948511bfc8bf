"""Lives: runs of the model from a script, with everything that happened in them.

A script is a list of words with numbers, so that a life can be named, read and written down in a line:

    start           a process starts, and recovers
    make H [N]      the driver makes a request available: on head or with buffer id H; of N descriptors (packed)
    fetch           the back-end fetches one request; or finds none, asks to be kicked, and finds none again
    supply H ...    the device has finished these requests: the back-end supplies them as one batch
    gather H ...    likewise, but the batch stays open
    publish [STEP]  an open batch goes on, to its end or to the end of a step (9a), so that the driver can act there
    count N         the global counter is N further: other queues of the device fetch, or much was fetched and supplied
    use             the driver reads the used elements that it meets
    sleep           the driver asks to be notified
    crash           the process dies here, between procedures
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from model.both.words import RUNNING, WORKING
from model.interpret import Machine, StateTuple
from model.terms import ModelError
from vhost_inflight.vectors.form import Store
from vhost_inflight.vectors.images import Images
from vhost_inflight.vectors.machines import Event, leaving, value_of

__all__ = ["Life", "Phase"]


@dataclass
class Phase:
    """A line of a script, and the events that it was."""

    word: str
    events: list[Event] = field(default_factory=list)

    @property
    def stores(self) -> list[Store]:
        """All stores, in order."""
        return [s for e in self.events for s in e.stores]


class Life:
    """A run of a machine, from a zeroed region on."""

    def __init__(self, machine: Machine, images: Images) -> None:
        """Begin before the first process."""
        self.machine, self.images = machine, images
        self.state: StateTuple = machine.initial()
        self.phases: list[Phase] = []

    def play(self, script: str | Iterable[str]) -> Life:
        """Play the lines of a script, which may be separated by semicolons."""
        lines = script.split(";") if isinstance(script, str) else script
        for line in lines:
            word, *rest = line.split()
            self.phases.append(Phase(word))
            getattr(self, f"_{word}")(*(int(r) if r.isdecimal() else r for r in rest))
        return self

    def get(self, name: str) -> Any:
        """Give the value of a variable."""
        return self.state[self.machine.place[name]]

    # Words

    def _start(self) -> None:
        self._go("recover", lambda: self.get("recover.at") == RUNNING)

    def _crash(self) -> None:
        self._take("crash")

    def _make(self, request: int, length: int = 1) -> None:
        self._take("driver.make.1", request)
        if self.machine.table.ring == "split":
            self._take("driver.make.2")
            self._take("driver.make.3")
        else:
            for _ in range(length - 1):
                self._take("driver.make.more")
                self._take("driver.make.desc")
            self._take("driver.make.last")
            self._take("driver.make.head")
        self._go("driver", lambda: self.get("driver.at") == "idle")

    def _fetch(self) -> None:
        if self.get("fetch.at") == "rest":
            self._set("kick", 1)
        events = self.phases[-1].events

        def over() -> bool:
            return bool(events) and (events[-1].step.endswith("fetch.submit") or self.get("fetch.at") == "rest")

        self._go("fetch", over)

    def _supply(self, *requests: int) -> None:
        self._gather(*requests)
        self._publish()

    def _gather(self, *requests: int) -> None:
        found = [self._entry(request) for request in requests]
        for entry in found:
            self._take("device.finish", entry)
        for entry in found:
            self._take(f"{self.machine.table.ring}.supply.1", entry)
            self._go("supply", lambda: self.get("supply.at") == "more")

    def _publish(self, step: str | int = "") -> None:
        ring, events = self.machine.table.ring, self.phases[-1].events
        last = f"{ring}.supply.{step}"
        over = lambda: self.get("supply.at") == "idle" or bool(events and events[-1].step == last)  # noqa: E731
        self._go("supply", over, {f"{ring}.supply.1"})

    def _entry(self, request: int) -> int:
        """Give the entry of a request that the device works on: on a packed ring, where its buffer id is."""
        if self.machine.table.ring == "split":
            return request
        state, last, ids = (self.get(n) for n in ("device.state", "region.desc[].last", "region.desc[].id"))
        return next(e for e, working in enumerate(state) if working == WORKING and ids[last[e]] == request)

    def _count(self, number: int) -> None:
        self._set("counter", self.get("counter") + number)

    def _set(self, name: str, value: int) -> None:
        place = self.machine.place[name]
        self.state = (*self.state[:place], value, *self.state[place + 1 :])

    def _use(self) -> None:
        if self.get("rest.at") == "asleep":
            self._take("driver.wake")
        while self._may("driver.wake.quiet"):
            self._take("driver.wake.quiet")
        while self._may("driver.use"):
            self._take("driver.use")

    def _sleep(self) -> None:
        self._take("driver.sleep.1")
        self._take("driver.sleep.2")

    # Steps

    def _may(self, step: str) -> bool:
        return step in self.machine.index and _one(self.machine, step)(self.state, -1) is not None

    def _take(self, step: str, chosen: int = -1) -> None:
        number = self.machine.index[step]
        after = _one(self.machine, step)(self.state, chosen)
        if after is None:
            raise ModelError(f"{step} {chosen} is not enabled in this life")
        stores = () if step == "crash" else tuple(self.images.stores(number, chosen, self.state, after))
        self.phases[-1].events.append(Event(step, chosen, stores, value_of(self.machine, step, chosen, self.state)))
        self.state = after

    def _go(self, procedure: str, over: Callable[[], bool], but: Iterable[str] = ()) -> None:
        while not over():
            found = leaving(self.machine, procedure, self.get(f"{procedure}.at"))(self.state)
            steps = ((self.machine.steps[n].step.id, c) for n, c, _ in found)
            self._take(*next(s for s in steps if s[0] not in but))


@lru_cache(maxsize=4096)
def _one(machine: Machine, step: str) -> Callable[[StateTuple, int], StateTuple | None]:
    """Compile one step."""
    return machine.one(step)
