"""The reference's own judge: the properties, judged by what really happened. What is the same for both rings is here.

It knows what the driver did (its own record), what the device was really given, what really stands in the ring and the
region, and nothing of the model. Positions count what the driver made available and never wrap: requests on a split
ring, descriptors on a packed one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

from vhost_inflight.judging.play.world import Device, Memory, Work

__all__ = ["Judge", "Request", "Violation"]


@dataclass(frozen=True, slots=True)
class Violation:
    """A property that was violated: at which event (counted from 1), and what was seen."""

    property: str
    event: int
    reason: str

    def text(self) -> str:
        """Write it as a sentence."""
        return f"{self.property} is violated at event {self.event}: {self.reason}"


@dataclass(eq=False, slots=True)
class Request:
    """One request that the driver made: its number, from 0 in the order of making available, and its head (packed: id).

    ``position`` is that of its first descriptor in the ring, ``content`` the number in that descriptor, by which it is
    known from any other; ``descriptors`` are the numbers in those of its chain (of a packed ring). ``visible``: a used
    element that names it was published. ``seen``: the driver has read that.
    """

    number: int
    head: int
    position: int
    content: int
    descriptors: list[int] = field(default_factory=list)
    visible: bool = False
    seen: bool = False


@dataclass
class Judge(ABC):
    """Judges one run; whoever plays it tells what happened, in order, and sets ``event`` before."""

    memory: Memory
    device: Device
    event: int = 0
    violations: list[Violation] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Begin with a ring on which nothing has happened."""
        self.reset()

    def reset(self) -> None:
        """Begin a new ring."""
        self.made: list[Request] = []
        self._fetched: dict[int, Request] = {}
        self.died()

    def died(self) -> None:
        """Forget what the process had given to the device: a new process begins with nothing."""
        self.resubmitted: list[int] = []
        self._last_given: tuple[int, str] = -1, ""
        self._out_of_order = ""
        self._twice: set[int] = set()
        self._ready: set[int] = set()  # numbers of requests that the device has finished since it last got them

    def outstanding(self) -> list[Request]:
        """Return the requests made available and not visible as used, in the order in which they were made."""
        return [request for request in self.made if not request.visible]

    def recovery_begins(self) -> None:
        """Record that recovery starts over in a living process."""
        self.resubmitted = []

    @abstractmethod
    def happened(self, step: str, choice: int | None, queue: Any) -> None:
        """Judge a step that the back-end has just taken."""

    @abstractmethod
    def submitted(self, head: int, again: bool, queue: Any) -> None:
        """Judge what is about to be given to the device, ``again`` at recovery or after a fetch."""

    @abstractmethod
    def used(self, head: int, length: int) -> None:
        """Judge what the driver read as used: the head (packed: the id), and the length."""

    def _violated(self, name: str, reason: str) -> None:
        self.violations.append(Violation(name, self.event, reason))

    def finished(self, head: int) -> None:
        """Record that the device has finished the request that it got as this head."""
        if (request := self._fetched.get(head)) is not None:
            self._ready.add(request.number)

    def _given(self, head: int, what: str) -> None:
        """Judge that a request is given to the device, and remember in which order.

        A head that it works on already is worked on twice from now on: when one of both is done, the other is not.
        """
        request = self._fetched.get(head)
        if request is None or request.visible:
            self._violated("no-used-resubmitted", f"{what}, is given to the device, and is visible as used")
        if self.device.work.get(head) is Work.WORKING:
            self._twice.add(head)
        if request is not None:
            self._ready.discard(request.number)
        given = request.position if request else -1, what
        if not self._out_of_order and self._last_given[0] >= given[0]:
            later = f"after {self._last_given[1]}, which was made available later"
            self._out_of_order = (
                f"{what}, is given to the device{f' {later}' if request and self._last_given[1] else ''}"
            )
        self._last_given = given

    def _name(self, head: int) -> str:
        request = self._fetched.get(head)
        return f"request {request.number}" if request else "no request"

    def _judge_order(self) -> None:
        if self._out_of_order:
            self._violated("order", self._out_of_order)

    def _judge_outstanding(self, later: int) -> list[Request]:
        """Judge that each outstanding request is resubmitted, or among the last ``later`` positions, and not both.

        Return those that are to be fetched, or lost.
        """
        waiting = []
        for request in self.outstanding():
            again = any(self._fetched.get(head) is request for head in self.resubmitted)
            to_fetch = self._end() - request.position <= later
            if to_fetch == again:
                both = "both resubmitted and to be fetched" if again else "neither resubmitted nor to be fetched"
                self._violated("nothing-lost", f"request {request.number}, head {request.head}, is {both}")
            if not again:
                waiting.append(request)
        return waiting

    @abstractmethod
    def _end(self) -> int:
        """Return the position of the next request that the driver makes."""
