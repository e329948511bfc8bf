"""The crash test with a real guest: QEMU and Linux write and check, the back-end is killed at its stores.

The guest's jobs write stamped sectors and read them back without end (load.c); the back-end holds requests back,
finishes them in any order, and dies, again and again. What is judged is what the guest has: nothing lost, nothing torn,
nothing that hangs; at the end the image has what the guest reads.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import json
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from refimpl.errors import UsageError
from vhost_inflight.guest.machine import GuestError, Machine, is_packed
from vhost_inflight.guest.plan import EACH, UNREACHED, GuestPlan
from vhost_inflight.guest.prepare import prepared
from vhost_inflight.guest.qemu import RING_MAX, program, ring_size, version
from vhost_inflight.judging.crash.plan import Kill, stores
from vhost_inflight.telling import STDIO, write_json

__all__ = ["GuestOutcome", "guest_crash_test", "run"]

LIFE: Final = 5.0
"""Seconds after which a back-end that did not come to its step is killed from outside; QEMU comes back within one."""

JOBS: Final = 16
"""Jobs of the guest, each with one request at a time."""

PATIENCE: Final = 20.0
"""Seconds in which a guest whose back-end is left alone has to get on, before it counts as hung."""

APART: Final = 10
"""Kills of a guest that is served, at least, before it takes the device anew, so that the region is fresh again."""

_LAST_LINES: Final = 6
_MEGABYTE: Final = 1 << 20
_COMPLAINTS: Final = ("I/O error", "is not a head", "virtio_blk", "BUG", "Kernel panic")
_WRONG: Final = re.compile("^back-end: (the (?:front-end|driver|region): .*)", re.MULTILINE)
_RESUBMITTED: Final = ('"split.reconnect.2"', '"packed.reconnect.4.submit"')


@dataclass
class GuestOutcome:
    """What a guest was put through, and what it found; ``broken``: what was lost, torn or hung, in its own words."""

    ring: str
    revision: str
    queue_size: int
    queues: int
    seed: int
    qemu: str = ""
    kills: int = 0
    resubmitted: int = 0
    rounds: int = 0
    writes: int = 0
    seconds: float = 0.0
    at: str | None = None
    steps: Counter[str] = field(default_factory=Counter)
    disk: str = ""
    broken: list[str] = field(default_factory=list)
    console: list[str] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """Give it as JSON has it."""
        return {
            "ring": self.ring, "revision": self.revision, "queue_size": self.queue_size, "queues": self.queues,
            "seed": self.seed, "qemu": self.qemu, "at": self.at, "kills": self.kills, "resubmitted": self.resubmitted,
            "rounds": self.rounds, "writes": self.writes, "seconds": round(self.seconds, 1),
            "steps": dict(sorted(self.steps.items())),
            "unreached": {s: UNREACHED[s] for s in stores(self.ring, self.revision) if s in UNREACHED},
            "disk": self.disk, "broken": self.broken, "console": self.console,
        }  # fmt: skip

    def report(self) -> Iterator[str]:
        """Give the lines of the report."""
        yield (
            f"{self.ring}, {self.revision}, QEMU {self.qemu}, queue size {self.queue_size}, {self.queues} queues, "
            f"seed {self.seed}: "
            f"{self.kills} kills in {self.seconds:.0f} seconds, {self.resubmitted} resubmissions; "
            f"the guest checked {self.writes} writes in {self.rounds} rounds"
        )
        yield "killed at: " + ", ".join(f"{step} {count}" for step, count in sorted(self.steps.items()))
        seldom = [s for s in stores(self.ring, self.revision) if s not in UNREACHED and self.steps[s] < EACH]
        if seldom and self.at is None:
            yield f"killed there less than {EACH} times: {', '.join(seldom)}"
        for step, reason in UNREACHED.items():
            if step in stores(self.ring, self.revision) and self.at is None:
                yield f"not reached by this guest: {step} ({reason})"
        yield from (f"broken: {what}" for what in self.broken)
        if not self.broken:
            yield "nothing was lost, torn or hung, and the image is what the guest reads"


class _BackEnd:
    """The back-end's processes, one after the other, on one socket and one image."""

    def __init__(self, folder: Path, outcome: GuestOutcome, hold: int) -> None:
        self.socket, self.image = folder / "socket", folder / "image"
        self.trace, self.log, plan = folder / "trace", folder / "log", folder / "schedule.json"
        with self.image.open("wb") as image:
            image.truncate(JOBS * _MEGABYTE // 2 + _MEGABYTE)
        plan.write_text(json.dumps({"hold": hold, "order": "shuffle", "idle": 0.002}))
        self.trace.touch()
        self.outcome = outcome
        self._command = [sys.executable, "-m", "refimpl.backend.process", "--socket", str(self.socket)]
        self._command += ["--image", str(self.image), "--revision", outcome.revision, "--schedule", str(plan)]
        self._command += ["--trace", str(self.trace), "--queues", str(outcome.queues), "--log-level", "info"]
        self._command += ["--packed"] if outcome.ring == "packed" else []
        self._read = 0
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, kill: Kill | None = None) -> None:
        """Start one that dies at a step, or lives on."""
        command = [*self._command, "--seed", str(self.outcome.seed + self.outcome.kills)]
        command += ["--crash-at", kill.text()] if kill is not None and kill.step else []
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stderr=log, stdin=subprocess.DEVNULL)

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

    def complain(self) -> None:
        """Raise UsageError when it has named a culprit: nobody was killed yet, so this QEMU and it do not fit."""
        told = self.log.read_text("utf-8", "replace") if self.log.exists() else ""
        if wrong := _WRONG.search(told):
            raise UsageError(f"QEMU {self.outcome.qemu} and the back-end do not fit each other: {wrong.group(1)}")

    def said(self) -> str:
        """Return the last lines that it said."""
        return " | ".join(self.log.read_text("utf-8", "replace").splitlines()[-_LAST_LINES:]) or "nothing"


class _Campaign:
    """A guest, its back-ends, and the kills."""

    def __init__(self, machine: Machine, back_end: _BackEnd, plan: GuestPlan, outcome: GuestOutcome) -> None:
        self.machine, self.back_end, self.plan, self.outcome = machine, back_end, plan, outcome
        self._moved = time.monotonic()
        self._writes, self._rebound = 0, 1

    def run(self, kills: int, progress: Callable[[Kill], None]) -> None:
        """Kill so many times; then let everything come back and compare."""
        back_end, machine = self.back_end, self.machine
        back_end.start()
        self.outcome.disk = machine.booted(back_end.complain)
        if is_packed(self.outcome.disk) != (self.outcome.ring == "packed"):
            raise GuestError(f"the guest does not use the {self.outcome.ring} ring: {self.outcome.disk}")
        back_end.kill()
        machine.say(f"load verify /dev/vda {JOBS}")
        while self.outcome.kills < kills:
            if self.plan.fresh_missing and self.outcome.kills >= APART * self._rebound:
                self._rebind(progress)
            for kill in self.plan.next():
                back_end.start(kill)
                self._live(kill, progress)
        back_end.start()
        self._stop()
        self._compare()
        machine.say("off")

    def _live(self, kill: Kill, progress: Callable[[Kill], None]) -> None:
        """Wait for a death, and kill it when none comes."""
        deadline = time.monotonic() + (LIFE if kill.seconds is None else kill.seconds)
        while not self.back_end.died() and time.monotonic() < deadline:
            self._watch()
            time.sleep(0.002)
        at = kill.step if self.back_end.died() else "at random"
        self.back_end.kill()
        self.outcome.kills += 1
        self.outcome.steps[at] += 1
        self.plan.deaths[at] += 1
        progress(kill)
        if time.monotonic() - self._moved > PATIENCE:
            self._has_to_move()

    def _has_to_move(self) -> None:
        """Leave a back-end alone until the guest gets on. Raises GuestError when it does not."""
        self.back_end.start()
        since, deadline = self._moved, time.monotonic() + PATIENCE
        while self._moved == since:
            self._watch()
            if time.monotonic() > deadline:
                raise GuestError(f"hung: nothing moved for {PATIENCE:.0f} seconds with a back-end that lives")
            time.sleep(0.05)
        self.back_end.kill()

    def _watch(self) -> None:
        """Read the guest's console. Raises GuestError for what it found wrong, or complains about."""
        for line in self.machine.lines():
            if line.startswith("LOAD"):
                writes = int(line.split()[3])
                if writes != self._writes:
                    self._moved = time.monotonic()
                self._writes = writes
            elif line.startswith("RESULT") or any(word in line for word in _COMPLAINTS):
                raise GuestError(line)

    def _stop(self) -> None:
        """Let the guest's jobs end. Raises GuestError when they found something wrong."""
        self.machine.say("stop")
        result = self.machine.wait_for("RESULT", 90.0)
        if not result.startswith("RESULT ok"):
            raise GuestError(result)
        self.outcome.rounds += int(result.split()[2])
        self.outcome.writes += int(result.split()[4])

    def _rebind(self, progress: Callable[[Kill], None]) -> None:
        """Let the guest reset the device and take it anew, and kill at each step of initialising the region."""
        kills = list(self.plan.of_fresh())
        self._rebound += 1
        self.back_end.start()
        self._stop()
        self.back_end.kill()
        self.back_end.start(kills[0])
        time.sleep(2.0)  # QEMU is back within a second: the guest resets a device that is there
        self.machine.say("rebind")
        self._live(kills[0], progress)
        for kill in kills[1:]:
            self.back_end.start(kill)
            self._live(kill, progress)
        self.back_end.start()
        self.machine.wait_for("DISK", 60.0)
        self.back_end.kill()
        self._moved = time.monotonic()
        self.machine.say(f"load verify /dev/vda {JOBS}")

    def _compare(self) -> None:
        """Compare what the guest reads with the image."""
        self.machine.say("md5")
        told = self.machine.wait_for("MD5", 60.0).split()[1]
        wanted = hashlib.md5(self.back_end.image.read_bytes(), usedforsecurity=False).hexdigest()
        if told != wanted:
            raise GuestError(f"the guest reads {told}, the image is {wanted}")


def guest_crash_test(
    *,
    ring: str,
    revision: str,
    queue_size: int | None = None,
    queues: int = 1,
    kills: int = 100,
    seed: int = 0,
    hold: int = 8,
    at: str | None = None,
    qemu: Path | None = None,
    progress: Callable[[Kill], None] = lambda _kill: None,
) -> GuestOutcome:
    """Kill the back-end of a guest so many times, and judge what the guest has; what is wrong ends it.

    ``queue_size`` is QEMU's queue-size, see `ring_size`; ``hold`` is how many requests the back-end holds back before
    it finishes any; ``at`` is ``STEP[:N]``: it always dies there; ``qemu`` is the program, see `program`. Raises
    UsageError for a step that stores nothing, sizes that QEMU does not allow, and when the back-end refuses QEMU before
    the guest has its disk, MissingError when a program is missing.
    """
    always = None if at is None else _kill_at(at, ring, revision)
    if queue_size is not None and (not 4 <= queue_size <= RING_MAX or queue_size & (queue_size - 1)):
        raise UsageError(f"QEMU wants a queue size of 4 to 1024, a power of two, not {queue_size}")
    if not 1 <= queues <= 4:
        raise UsageError(f"a guest has 1 to 4 queues, not {queues}")
    parts, runs = prepared(qemu=qemu), program(qemu)
    size = ring_size(runs, queue_size)
    outcome = GuestOutcome(ring, revision, size, queues, seed, ".".join(map(str, version(runs))), at=at)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="vhost-inflight-guest-") as name:
        folder = Path(name)
        back_end = _BackEnd(folder, outcome, hold)
        plan = GuestPlan(ring, revision, random.Random(seed), always)  # noqa: S311  # where it dies next, no secret
        with contextlib.ExitStack() as stack:
            stack.callback(back_end.kill)
            disk = back_end.socket
            machine = stack.enter_context(
                Machine(parts, folder, disk, packed=ring == "packed", queues=queues, queue_size=size, qemu=runs)
            )
            try:
                _Campaign(machine, back_end, plan, outcome).run(kills, progress)
            except GuestError as error:
                outcome.broken.append(f"{error}; the back-end said: {back_end.said()}")
            list(machine.lines())
            outcome.console = machine.console[-12:]
    outcome.seconds = time.monotonic() - started
    return outcome


def _kill_at(at: str, ring: str, revision: str) -> Kill:
    step, _, number = at.partition(":")
    known = stores(ring, revision)
    if step not in known:
        near = difflib.get_close_matches(step, known) or known
        raise UsageError(f"no step {step!r} of {revision} on a {ring} ring stores anything; perhaps: {', '.join(near)}")
    if number and not (number.isdecimal() and int(number)):
        raise UsageError(f"{at!r} is not STEP[:N]")
    return Kill(step, int(number or 1))


def run(
    *,
    ring: str,
    revision: str,
    queue_size: int | None,
    queues: int,
    kills: int,
    seed: int,
    at: str | None = None,
    qemu: Path | None = None,
    json_file: Path | None = None,
) -> bool:
    """Run the guest's crash test, print what it found, and return whether nothing was wrong.

    The command ``crash-test --guest``. Raises as `guest_crash_test` does, and OSError when the JSON cannot be written.
    """
    from rich.console import Console  # noqa: PLC0415  # what prints needs it, what imports this may not
    from rich.progress import Progress  # noqa: PLC0415

    terminal = Console(stderr=True)
    with Progress(console=terminal, disable=not terminal.is_terminal) as bar:
        task = bar.add_task("a guest boots", total=kills)

        def progress(kill: Kill) -> None:
            bar.update(task, advance=1, description=f"killed at {kill.text()}")

        outcome = guest_crash_test(
            ring=ring, revision=revision, queue_size=queue_size, queues=queues, kills=kills, seed=seed, at=at,
            qemu=qemu, progress=progress,
        )  # fmt: skip
    if json_file != STDIO:
        for line in outcome.report():
            print(line)
    if json_file is not None:
        write_json(json_file, outcome.document())
    return not outcome.broken
