"""Anybody's back-end under a Linux guest: killed at its stores and at random times, again and again.

`crash-test --guest --backend-cmd`. What there is to kill at is found as `conformance` finds it, with our own driver:
the instructions that store to a ring or a region. Under a guest a breakpoint is at one of them, and each time that it
is done counts, since the guest's memory is QEMU's and nobody here knows where its rings are. What is judged is what
the guest has: lost, torn, hung, or a back-end that ends by itself.
"""

from __future__ import annotations

import random
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from refimpl.choices import PROVED, Choices
from refimpl.errors import UsageError
from refimpl.names import counted
from vhost_inflight.conformance import ptrace
from vhost_inflight.conformance.campaign import Campaign
from vhost_inflight.conformance.life import Setup
from vhost_inflight.conformance.load import LOADS
from vhost_inflight.conformance.points import Case, Point
from vhost_inflight.conformance.process import Command, Process, listening
from vhost_inflight.conformance.ptrace import TracingError
from vhost_inflight.conformance.symbols import symbols
from vhost_inflight.conformance.tracer import Aim, Tracer
from vhost_inflight.forked import held_signals
from vhost_inflight.guest.back_end import GuestOutcome
from vhost_inflight.guest.crash import endure, outcome_of, with_a_bar
from vhost_inflight.guest.machine import GuestError
from vhost_inflight.guest.sides import WRITERS
from vhost_inflight.judging.crash.plan import Kill

__all__ = ["Asked", "TheirOutcome", "run", "tried"]

_STARTS: Final = 10.0
"""Seconds in which a back-end listens."""

_PASSED_ON: Final = 1.0
"""Seconds in which what started the one that listens ends with it, and passes on how."""

_OCCURRENCES: Final = (1, 2, 5, 20)
_TRIES: Final = 3
"""How often an instruction is tried that is never done under this guest."""


@dataclass(frozen=True)
class Asked:
    """What was asked for: see the options of crash-test. ``at`` is a case of `conformance`."""

    command: str
    ring: str = "split"
    queue_size: int | None = None
    queues: int = 1
    kills: int = 100
    seed: int = 0
    at: str | None = None
    writers: int = WRITERS
    qemu: Path | None = None


@dataclass
class TheirOutcome(GuestOutcome):
    """What a guest was put through by the deaths of somebody's back-end; ``untraced`` says why they were at random."""

    command: str = ""
    writers: int = WRITERS
    untraced: str = ""
    unreached: list[str] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """Give it as JSON has it."""
        told = super().document()
        for name in ("revision", "resubmitted", "moves"):
            del told[name]  # nobody knows of somebody's back-end
        more = {"writers": self.writers, "untraced": self.untraced or None, "unreached": self.unreached}
        return {"command": self.command, **told, **more}

    def report(self) -> Iterator[str]:
        """Give the lines of the report."""
        yield (
            f"{self.ring}, QEMU {self.qemu}, queue size {self.queue_size}, {counted(self.queues, 'queue')}, "
            f"{counted(self.writers, 'writer')}, seed {self.seed}{f', at {self.at}' if self.at else ''}: "
            f"{counted(self.kills, 'kill')} in {self.seconds:.0f} seconds; "
            f"the guest checked {counted(self.writes, 'write')} in {counted(self.rounds, 'round')}"
        )
        yield "killed: " + (", ".join(f"{where} {count}" for where, count in sorted(self.steps.items())) or "never")
        if self.untraced:
            yield f"killed at random times alone: {self.untraced}"
        if self.unreached:
            yield f"never done under this guest: {', '.join(self.unreached)}"
        yield from self.verdict()


class _Deaths:
    """Where the lives end: at a case's stores, or at any store and any time."""

    fresh_missing = False

    def __init__(self, aims: Mapping[str, Aim], *, at: bool, dice: random.Random) -> None:
        self.deaths: Counter[str] = Counter()
        self._tried: Counter[str] = Counter()
        self._aims, self._at, self._dice = aims, at, dice

    def of_fresh(self) -> Iterator[Kill]:
        """Give none: a fresh region's stores are tried as all others are."""
        return iter(())

    def next(self) -> list[Kill]:
        """Give the deaths of a case one after the other; else one at a store, or at a time."""
        if self._at:
            return [self._kill(name) for name in self._aims]
        left = [name for name in self._aims if self.deaths[name] or self._tried[name] < _TRIES]
        if not left or self._dice.random() < 0.25:
            return [Kill(seconds=self._dice.uniform(0, 1.5))]
        fewest = min(self._tried[name] for name in left)
        return [self._kill(self._dice.choice([name for name in left if self._tried[name] == fewest]))]

    def _kill(self, name: str) -> Kill:
        self._tried[name] += 1
        return Kill(name, self._dice.choice(_OCCURRENCES) if self._tried[name] > 1 else 1)

    @property
    def unreached(self) -> list[str]:
        """The instructions that were tried, and never done."""
        return sorted(name for name in self._tried if not self.deaths[name])


class _BackEnd:
    """Somebody's back-end: its processes, one after the other; what is traced and killed is the one that listens."""

    def __init__(self, folder: Path, image: Path, command: Command, aims: Mapping[str, Aim]) -> None:
        self.socket, self.image = folder / "socket", image
        self._log, self._words, self._aims = folder / "log", command.at(folder / "socket", image), aims
        self._process: Process | None = None
        self._tracer: Tracer | None = None
        self._said = ""

    def start(self, kill: Kill | None = None) -> None:
        """Start one, and wait until it listens."""
        self.kill()
        self.socket.unlink(missing_ok=True)
        with held_signals():  # what ends this program finds the process here
            self._process = Process(self._words, self._log)
        self._wait(self.socket.exists, _STARTS)
        if not self.socket.exists():
            raise GuestError(f"the back-end {self._how()} and does not listen")
        serving = listening(self.socket, self._process.pid) or self._process.pid
        self._process.serves(serving)
        if kill is not None and kill.step:
            self._tracer = Tracer(serving, replace(self._aims[kill.step], occurrence=kill.occurrence))
            try:
                self._tracer.start([])
            except TracingError as error:
                hint = "where something else starts it, that has to be done with exec"
                raise TracingError(f"{error.rule}; {hint}") from error

    def died(self) -> bool:
        """Return whether it was killed at its store. Raises GuestError when it ended by itself."""
        if not self._ended():
            return False
        if self._tracer is not None:
            self._tracer.join()
            if self._tracer.failure is not None:
                raise self._tracer.failure
            if self._tracer.hit is not None:
                return True
        raise GuestError(f"the back-end {self._how()}")

    def kill(self) -> None:
        """Kill it with all that it started."""
        if self._process is not None:
            self._said = self._process.said()
            self._process.close()
        if self._tracer is not None:
            self._tracer.join()
        self._process = self._tracer = None

    def complain(self) -> None:
        """Raise UsageError when it has ended."""
        if self._process is not None and self._ended():
            raise UsageError(f"the back-end does not serve this guest: it {self._how()}; it says: {self.said()}")

    def said(self) -> str:
        """Return the last line that it said."""
        return (self._process.said() if self._process is not None else self._said) or "nothing"

    def _how(self) -> str:
        assert self._process is not None
        if not self._ended():
            return "lives"
        if not self._process.started_ended(_PASSED_ON):
            return "is gone: what listened has ended, and what started it has not"
        self._process.close()
        if self._process.status is None and self._tracer is not None:
            self._process.status = self._tracer.status  # it has waited for it
        return self._process.how()

    def _ended(self) -> bool:
        assert self._process is not None
        return self._process.ended_fd < 0 or self._process.ended()

    def _wait(self, come: Callable[[], bool], seconds: float) -> None:
        assert self._process is not None
        deadline = time.monotonic() + seconds
        while not come() and time.monotonic() < deadline and not self._ended():
            time.sleep(0.002)


def tried(asked: Asked, progress: Callable[[str], None] = lambda _what: None) -> TheirOutcome:
    """Kill a back-end under a guest so many times, and judge what the guest has; what is wrong ends it.

    Raises UsageError for a case that there is not, and where the guest does not boot with it, UnsupportedError where it
    lacks what it takes, MissingError where a program is missing.
    """
    command = Command(asked.command)
    case = None if asked.at is None else _case(asked.at, asked.ring)
    outcome = outcome_of(
        TheirOutcome, ring=asked.ring, revision=PROVED[asked.ring], queue_size=asked.queue_size, queues=asked.queues,
        seed=asked.seed, at=asked.at, qemu=asked.qemu,
    )  # fmt: skip
    outcome.command, outcome.writers = asked.command, asked.writers
    campaign = Campaign(Setup(command, Choices(ring=asked.ring)))
    outcome.untraced = ptrace.supported() or ""
    aims: Mapping[str, Aim] = {}
    try:
        aims = _aims(campaign, case) if not outcome.untraced else {}
    except TracingError as error:
        outcome.untraced = str(error)
    if case is not None and outcome.untraced:
        raise UsageError(f"--at needs a process that may be traced: {outcome.untraced}")
    plan = _Deaths(aims, at=case is not None, dice=random.Random(asked.seed))  # noqa: S311  # no secret
    endure(
        outcome, plan, asked.kills, partial(_made, command=command, aims=aims),
        qemu=asked.qemu, writers=asked.writers, progress=progress,
    )  # fmt: skip
    outcome.unreached = plan.unreached
    return outcome


def _made(folder: Path, image: Path, command: Command, aims: Mapping[str, Aim]) -> _BackEnd:
    return _BackEnd(folder, image, command, aims)


def _case(name: str, ring: str) -> Case:
    case = Case.read(name)
    if case.ring != ring:
        raise UsageError(f"{name} is a case of a {case.ring} ring: --ring {case.ring}")
    if case.random or not case.deaths:
        raise UsageError(f"{name} has no store to die at; a name is like {ring}-mixed-23-after")
    return case


def _aims(campaign: Campaign, case: Case | None) -> dict[str, Aim]:
    """Give where to die, by name: at the stores of a case, or at each instruction, before it and after it."""
    found: Sequence[tuple[Point, str]]
    if case is None:
        served = {point.instruction: point for point in campaign.points(LOADS["mixed"])}
        found = [(point, end) for point in served.values() for end in ("before", "after")]
    else:
        points = campaign.aims(case)
        if points is None:
            raise UsageError(f"{case}: there are fewer stores in this life")
        found = [(point, end) for point, (_, end) in zip(points, case.deaths, strict=True)]
    told = symbols(point.instruction for point, _ in found)
    named = {}
    for point, end in found:
        symbol = told.get(point.instruction)
        by = str(symbol) if symbol is not None and symbol.function else f"+{point.offset:#x}"
        what = re.sub(r"\[\d+\]", "[]", point.said[0].field)
        name = f"{'before' if end == 'before' else 'after'} {what} by {by}"
        named[name] = Aim(point.module, point.offset, 1, after=end != "before", blind=True)
    return named


def run(asked: Asked, json_file: Path | None = None) -> bool:
    """Try it, print what came, and return whether the guest found nothing wrong. Raises as `tried` does."""
    return with_a_bar(lambda progress: tried(asked, progress), asked.kills, json_file)
