"""The back-end's processes under a guest, one after the other, and what a guest was put through by their deaths."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Protocol

from refimpl.errors import UsageError
from refimpl.names import counted
from vhost_inflight.forked import held_signals
from vhost_inflight.guest.machine import GuestError
from vhost_inflight.guest.plan import EACH, UNREACHED
from vhost_inflight.judging.crash.plan import Kill, stores

__all__ = ["HELD", "BackEnd", "GuestOutcome", "Left", "Served"]

HELD: Final[Mapping[str, Any]] = MappingProxyType({"hold": 8, "order": "shuffle", "idle": 0.002})
"""What a back-end that dies again and again holds back, as a schedule has it."""

_LAST_LINES: Final = 6
_WRONG: Final = re.compile("^back-end: ((?:ring [0-9]+ stops: )?the (?:front-end|driver|region): .*)", re.MULTILINE)
_STOPPED: Final = re.compile(r"^back-end: ring (\d+) is (drained of|suspended with) (\d+) request", re.MULTILINE)
_ACCEPTED: Final = re.compile("^back-end: the front-end accepted protocol features (0x[0-9a-f]+)$", re.MULTILINE)
_RESUBMITTED: Final = ('"split.reconnect.2"', '"packed.reconnect.4.submit"')


@dataclass
class GuestOutcome:
    """What a guest was put through, and what it found.

    ``broken``: what was lost, torn or hung, in its own words; ``unjudged``: what was to be shown and was not, and why;
    ``interrupted``: Ctrl-C ended it.
    """

    ring: str
    revision: str
    queue_size: int
    queues: int
    seed: int
    qemu: str = ""
    kills: int = 0
    moves: int = 0
    resubmitted: int = 0
    rounds: int = 0
    writes: int = 0
    seconds: float = 0.0
    at: str | None = None
    steps: Counter[str] = field(default_factory=Counter)
    disk: str = ""
    broken: list[str] = field(default_factory=list)
    unjudged: list[str] = field(default_factory=list)
    interrupted: bool = False
    console: list[str] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """Give it as JSON has it."""
        return {
            "ring": self.ring, "revision": self.revision, "queue_size": self.queue_size, "queues": self.queues,
            "seed": self.seed, "qemu": self.qemu, "at": self.at, "kills": self.kills, "moves": self.moves,
            "resubmitted": self.resubmitted,
            "rounds": self.rounds, "writes": self.writes, "seconds": round(self.seconds, 1),
            "steps": dict(sorted(self.steps.items())),
            "unreached": {s: UNREACHED[s] for s in stores(self.ring, self.revision) if s in UNREACHED},
            "disk": self.disk, "broken": self.broken, "unjudged": self.unjudged,
            "interrupted": self.interrupted, "console": self.console,
        }  # fmt: skip

    def report(self) -> Iterator[str]:
        """Give the lines of the report."""
        moved = f"moved {counted(self.moves, 'time')}, " if self.moves else ""
        yield (
            f"{self.ring}, {self.revision}, QEMU {self.qemu}, queue size {self.queue_size}, "
            f"{counted(self.queues, 'queue')}, seed {self.seed}: "
            f"{moved}"
            f"{counted(self.kills, 'kill')} in {self.seconds:.0f} seconds, "
            f"{counted(self.resubmitted, 'resubmission')}; "
            f"the guest checked {counted(self.writes, 'write')} in {counted(self.rounds, 'round')}"
        )
        yield "killed at: " + ", ".join(f"{step} {count}" for step, count in sorted(self.steps.items()))
        seldom = [s for s in stores(self.ring, self.revision) if s not in UNREACHED and self.steps[s] < EACH]
        if seldom and self.at is None:
            yield f"killed there less than {EACH} times: {', '.join(seldom)}"
        for step, reason in UNREACHED.items():
            if not self.steps[step] and step in stores(self.ring, self.revision) and self.at is None:
                yield f"not reached by this guest: {step} ({reason})"
        yield from self.verdict()

    def verdict(self) -> Iterator[str]:
        """Give the last lines of the report."""
        yield from (f"broken: {what}" for what in self.broken)
        yield from (f"not shown: {what}" for what in self.unjudged)
        if self.interrupted:
            yield "interrupted: this is what was found so far"
        elif not self.broken and not self.unjudged:
            yield "nothing was lost, torn or hung, and the image is what the guest reads"


@dataclass(frozen=True)
class Left:
    """How a back-end was left by its guest, as it says itself.

    ``drained`` and ``suspended``: how many requests each ring that it stopped had in flight when it was asked to, by
    what became of them; ``accepted``: the protocol features of its front-end, None where it does not say.
    """

    drained: Mapping[int, int]
    suspended: Mapping[int, int]
    accepted: int | None


class Served(Protocol):
    """The processes of any back-end, one after the other, on one socket and one image."""

    socket: Path
    image: Path

    def start(self, kill: Kill | None = None) -> None:
        """Start one that dies as told, or lives on."""

    def died(self) -> bool:
        """Return whether it was killed where it was to be. Raises GuestError when it ended otherwise."""

    def kill(self) -> None:
        """Kill it, if it lives. A second call does nothing."""

    def complain(self) -> None:
        """Raise UsageError when it does not serve this guest, while nobody was killed yet."""

    def said(self) -> str:
        """Return what it said last."""


class BackEnd:
    """Our back-end's processes, one after the other, on one socket and one image."""

    def __init__(
        self, folder: Path, image: Path, outcome: GuestOutcome, schedule: Mapping[str, Any], stops: str = "drain"
    ) -> None:
        """Say what all of them are; none is started yet, and ``folder`` has what they leave.

        ``schedule`` is what they hold back, ``stops`` the generation that they are of (refimpl GENERATIONS).
        """
        self.socket, self.image = folder / "socket", image
        self.trace, self.log, plan = folder / "trace", folder / "log", folder / "schedule.json"
        plan.write_text(json.dumps(dict(schedule)))
        self.trace.touch()
        self.outcome = outcome
        self._command = [sys.executable, "-m", "refimpl.backend.process", "--socket", str(self.socket)]
        self._command += ["--image", str(self.image), "--revision", outcome.revision, "--schedule", str(plan)]
        self._command += ["--trace", str(self.trace), "--queues", str(outcome.queues), "--log-level", "info"]
        self._command += ["--stop", stops]
        self._command += ["--packed"] if outcome.ring == "packed" else []
        self._read, self._told = 0, 0
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, kill: Kill | None = None) -> None:
        """Start one that dies at a step, or lives on; Ctrl-C at a terminal does not reach it."""
        command = [*self._command, "--seed", str(self.outcome.seed + self.outcome.kills)]
        command += ["--crash-at", kill.text()] if kill is not None and kill.step else []
        with self.log.open("ab") as log, held_signals():
            self.process = subprocess.Popen(command, stderr=log, stdin=subprocess.DEVNULL, process_group=0)

    def died(self) -> bool:
        """Return whether it is dead. Raises GuestError when it was not a SIGKILL that it died of."""
        assert self.process is not None
        code = self.process.poll()
        if code not in (None, -signal.SIGKILL):
            raise GuestError(f"the back-end ended by itself with {code}")
        return code is not None

    def kill(self) -> None:
        """Kill it, if it lives, and count what it resubmitted."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        with self.trace.open() as trace:
            trace.seek(self._read)
            self.outcome.resubmitted += sum(any(step in line for step in _RESUBMITTED) for line in trace)
            self._read = trace.seek(0, 2)

    def left(self) -> Left:
        """Return which rings it stopped since this was asked last, and with how much in flight."""
        told = self.log.read_bytes().decode("utf-8", "replace")
        new, self._told = told[self._told :], len(told)
        stopped = [(int(ring), how, int(requests)) for ring, how, requests in _STOPPED.findall(new)]
        accepted = _ACCEPTED.findall(told)
        return Left(
            {ring: requests for ring, how, requests in stopped if how.startswith("drained")},
            {ring: requests for ring, how, requests in stopped if how.startswith("suspended")},
            int(accepted[-1], 16) if accepted else None,
        )

    def complain(self) -> None:
        """Raise UsageError when it has named a culprit: nobody was killed yet, so this QEMU and it do not fit."""
        told = self.log.read_text("utf-8", "replace") if self.log.exists() else ""
        if wrong := _WRONG.search(told):
            raise UsageError(f"QEMU {self.outcome.qemu} and the back-end do not fit each other: {wrong.group(1)}")

    def said(self) -> str:
        """Return the last lines that it said."""
        return " | ".join(self.log.read_text("utf-8", "replace").splitlines()[-_LAST_LINES:]) or "nothing"
