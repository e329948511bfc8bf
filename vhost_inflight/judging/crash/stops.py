"""What a crash test that stops rings is asked to do, and what it counts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from refimpl.errors import UsageError
from refimpl.names import counted, no_such
from refimpl.wire.features import GENERATIONS

__all__ = ["WAYS", "Pair", "Stops"]

WAYS = ("same connection", "next process", "migrated")
"""How a ring that was stopped is started again."""

_ASKED = {
    "in a batch": ("supply", "notify"),
    "in recovery": ("start", "init", "reconnect", "position", "counter"),
    "while fetching": ("fetch",),
    "asleep": (),
    "between": (),
}

_BESIDE = "at a step of another ring"


@dataclass(frozen=True, slots=True)
class Pair:
    """The generations of a back-end and of its front-end. Raises UsageError for one that does not exist."""

    back: str
    front: str

    def __post_init__(self) -> None:
        """Check the names."""
        for name in (self.back, self.front):
            if name not in GENERATIONS:
                raise UsageError(no_such("generation", name, GENERATIONS))


@dataclass
class Stops:
    """How often a ring was stopped, and what came of it.

    ``asked`` counts requests to stop by what the back-end was doing, ``answers`` by the message answered, ``in_flight``
    by how many requests were in flight then; ``again`` counts the ways in which the ring was started again, ``killed``
    the back-ends that died between the request and the answer, by where. ``alone`` is how often ring 0 was stopped
    while ``beside`` other rings ran on, of which ``ran_on`` requests came back in that time, ``requests`` in all, and
    ``resubmitted`` is how many resubmissions they had.
    """

    pair: Pair
    beside: int = 0
    alone: int = 0
    ran_on: int = 0
    requests: int = 0
    resubmitted: int = 0
    asked: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    in_flight: Counter[int] = field(default_factory=Counter)
    again: Counter[str] = field(default_factory=Counter)
    killed: Counter[str] = field(default_factory=Counter)

    def ask(self, at: str) -> None:
        """Count a request to stop that is sent while the back-end waits at a step, or at a word of its reins."""
        part = at.split(".")[1] if "." in at else ""
        doing = next((what for what, parts in _ASKED.items() if part in parts), "between")
        self.asked["asleep" if at == "rest" else _BESIDE if at[0].isdigit() else doing] += 1

    def options(self) -> str:
        """Give the options of the command."""
        queues = f" --queues {self.beside + 1}" if self.beside else ""
        return f" --stop {self.pair.back} --front-end-stop {self.pair.front}{queues}"

    def text(self) -> str:
        """Say it in a line."""

        def listed(counts: Counter[str]) -> str:
            return ", ".join(f"{what} {times}" for what, times in sorted(counts.items())) or "nothing"

        left = Counter({counted(number, "request"): times for number, times in self.in_flight.items()})
        return (
            f"asked to stop {counted(self.asked.total(), 'time')} ({listed(self.asked)}); "
            f"killed before the answer: {listed(self.killed)}; answers: {listed(self.answers)}; "
            f"in flight then: {listed(left)}; started again: {listed(self.again)}"
        )

    def beside_text(self) -> str:
        """Say in a line what the rings beside did; nothing: there are none."""
        if not self.beside:
            return ""
        return (
            f"{counted(self.beside, 'ring')} beside: ring 0 was stopped alone {counted(self.alone, 'time')}, and "
            f"{counted(self.ran_on, 'request')} of others came back meanwhile; {self.requests} in all, "
            f"{counted(self.resubmitted, 'resubmission')}"
        )

    def document(self) -> dict[str, Any]:
        """Give it as JSON has it."""
        return {
            "back_end": self.pair.back,
            "front_end": self.pair.front,
            "asked": dict(sorted(self.asked.items())),
            "killed_before_the_answer": dict(sorted(self.killed.items())),
            "answers": dict(sorted(self.answers.items())),
            "in_flight": {str(number): times for number, times in sorted(self.in_flight.items())},
            "started_again": dict(sorted(self.again.items())),
            **({"beside": self._beside()} if self.beside else {}),
        }

    def _beside(self) -> dict[str, int]:
        return {
            "rings": self.beside,
            "stopped_alone": self.alone,
            "came_back_meanwhile": self.ran_on,
            "requests": self.requests,
            "resubmitted": self.resubmitted,
        }
