"""The crash test: a driver, a front-end and a back-end as real processes; the back-end is killed, again and again.

The back-end is ``python -m refimpl.process``, killed by SIGKILL right after a chosen store (``--crash-at``), or from
outside at a random time. The front-end is this process: it holds the shared buffer and comes back as QEMU does. The
driver is a child of it, and never stops but for the moment in which memory is read. First come kills at every storing
step, then kills at random; after each death everything that really happened is judged.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import random
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from refimpl.choices import Choices
from refimpl.errors import BackEndError, InflightError, UsageError
from refimpl.frontend import FrontEnd
from refimpl.guest_memory import GuestRam
from refimpl.layout import region_at
from vhost_inflight.judging.crashguest import SECTOR, Record, run_guest
from vhost_inflight.judging.crashjudge import Broken, CrashJudge
from vhost_inflight.judging.crashplan import Kill, Plan, stores

__all__ = ["Outcome", "crash_test", "run"]

LIFE = 0.4
"""Seconds after which a back-end that did not come to its step is killed from outside."""

DRAIN = 10.0
"""Seconds in which everything has to come back when there are no more crashes."""


@dataclass
class Outcome:
    """What a crash test did and found; ``steps`` counts deaths by where they came, ``seconds`` is the whole time."""

    revision: str
    queue_size: int
    seed: int
    kills: int = 0
    requests: int = 0
    resubmitted: int = 0
    seconds: float = 0.0
    steps: Counter[str] = field(default_factory=Counter)
    broken: list[Broken] = field(default_factory=list)

    @property
    def properties(self) -> dict[str, Broken]:
        """Give each violated property with its first violation."""
        first: dict[str, Broken] = {}
        for broken in self.broken:
            first.setdefault(broken.property, broken)
        return first

    @property
    def lost(self) -> bool:
        """Whether more than an order was violated: driver and back-end then disagree about what is where."""
        return bool({broken.property for broken in self.broken} - {"order", "restartable"})

    def again(self) -> str:
        """Give the command that does it again; the processes' timing is their own, so it may take another way."""
        last = max((b.kill for b in self.properties.values()), default=self.kills)
        return (
            f"vhost-inflight crash-test --ring split --revision {self.revision} --queue-size {self.queue_size} "
            f"--kills {last} --seed {self.seed}"
        )

    def document(self) -> dict[str, Any]:
        """Give it as JSON has it."""
        counts = Counter(broken.property for broken in self.broken)
        return {
            "ring": "split",
            "revision": self.revision,
            "queue_size": self.queue_size,
            "seed": self.seed,
            "kills": self.kills,
            "requests": self.requests,
            "resubmitted": self.resubmitted,
            "seconds": round(self.seconds, 3),
            "steps": dict(sorted(self.steps.items())),
            "violations": [{**asdict(b), "count": counts[b.property]} for b in self.properties.values()],
            "again": self.again() if self.broken else None,
        }


class _Rig:
    """The processes and what they share; closed at the end, whatever happens."""

    def __init__(self, folder: Path, choices: Choices, size: int, seed: int) -> None:
        self.choices, self.size, self.seed = choices, size, seed
        self.image, self.trace = folder / "image", folder / "trace"
        self.schedule, self.log = folder / "schedule.json", folder / "log"
        self.image.write_bytes(bytes(SECTOR * max(size, 8)))
        self.trace.touch()
        self.schedule.write_text(json.dumps({"hold": size, "order": "shuffle", "idle": 0.002}))
        self.ram = GuestRam(1, size, SECTOR)
        self.front_end = FrontEnd(folder / "socket", self.ram, timeout=5.0)
        self.back_end: subprocess.Popen[bytes] | None = None
        self._read = 0
        context = multiprocessing.get_context("fork")  # so that the driver has the memory and the eventfds
        self.control, theirs = context.Pipe()
        kick, call = self.front_end.kicks[0], self.front_end.calls[0]
        arguments = (self.control, self.ram, (kick, call), self.image, theirs, seed)
        self.guest = context.Process(target=_guest, args=arguments, daemon=True)
        self.guest.start()
        theirs.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        with contextlib.suppress(OSError):
            self.control.send("stop")
        self.control.close()
        self.guest.join(5)
        if self.guest.is_alive():
            self.guest.kill()
            self.guest.join()
        self.guest.close()
        self.front_end.close()
        self.ram.close()

    def region(self) -> Any:
        """Lay the queue's region over the shared buffer, as the front-end holds it."""
        assert self.front_end.inflight is not None
        return region_at(self.front_end.inflight.view(), "split", self.choices.revision, self.size)

    def start(self, seed: int, kill: Kill | None) -> None:
        """Start a back-end, and come (back) to it; it may die meanwhile. Raises BackEndError if it gave up instead."""
        command = [sys.executable, "-m", "refimpl.process", "--socket", str(self.front_end.path)]
        command += ["--image", str(self.image), "--revision", self.choices.revision, "--seed", str(seed)]
        command += ["--schedule", str(self.schedule), "--trace", str(self.trace)]
        defaults = Choices(revision=self.choices.revision).to_mapping()
        for gap, choice in self.choices.to_mapping().items():
            command += [] if choice == defaults[gap] else ["--gap", f"{gap}={choice}"]
        if kill is not None and kill.step:
            command += ["--crash-at", kill.text()]
        with self.log.open("wb") as log:
            self.back_end = subprocess.Popen(command, stderr=log, stdin=subprocess.DEVNULL)
        first = self.front_end.inflight is None
        try:
            self.front_end.connect(again=not first)
            self.front_end.bases = [ring.used.idx for ring in self.ram.rings]
            self.front_end.start()
        except (InflightError, OSError) as error:
            if not self.wait(LIFE):
                raise BackEndError(f"{error}; it says: {self.said()}") from error

    def wait(self, seconds: float) -> bool:
        """Wait for the back-end's death; return whether it died. Raises BackEndError when it lives and gave up."""
        assert self.back_end is not None
        pid = os.pidfd_open(self.back_end.pid)
        try:
            poll = select.poll()
            poll.register(pid, select.POLLIN)
            died = bool(poll.poll(seconds * 1000))
        finally:
            os.close(pid)
        if died and self.back_end.wait() != -signal.SIGKILL:
            raise BackEndError(f"it ended by itself with {self.back_end.returncode}; it says: {self.said()}")
        if not died and self.front_end.connection is not None and self.front_end.lost() and not self.wait(LIFE):
            raise BackEndError(f"it closed the connection; it says: {self.said()}")
        return died or self.back_end.poll() is not None

    def kill(self) -> None:
        """Kill the back-end from outside, if it lives, and close the connection to it."""
        if self.back_end is not None:
            self.back_end.kill()
            self.back_end.wait()
        self.front_end.disconnect()

    def said(self) -> str:
        """Return the last line that the back-end said."""
        return (self.log.read_text("utf-8", "replace").strip().splitlines() or ["nothing"])[-1]

    def record(self) -> Record:
        """Let the driver rest, and return what it did since it was asked last."""
        self.control.send("record")
        if not self.control.poll(DRAIN):
            raise BackEndError("the driver of the crash test does not answer")
        record: Record = self.control.recv()
        return record

    def lines(self) -> Iterator[dict[str, Any]]:
        """Give the lines of the trace since the last time; of the process that died no more will come."""
        with self.trace.open("rb") as trace:
            trace.seek(self._read)
            for line in trace:
                yield json.loads(line)
            self._read = trace.tell()


@contextlib.contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end this program as an exception, so that the processes and files of the test go with it."""
    before = signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _guest(theirs: Connection, *arguments: Any) -> None:
    """Run the driver in its process; the other end of the pipe is closed here, so that it is gone with its owner."""
    theirs.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who is interrupted ends the driver too
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    run_guest(*arguments)


def crash_test(
    *,
    revision: str,
    queue_size: int = 4,
    kills: int = 100,
    seed: int = 0,
    gaps: Mapping[str, str] | None = None,
    progress: Callable[[Kill], None] = lambda _kill: None,
) -> Outcome:
    """Kill a back-end so many times and judge each life; ``progress`` is called with each Kill that was made.

    ``gaps`` are choices other than the defaults. A wrong order (restartable too) is judged to the end; anything else
    that is violated ends it. Raises UsageError for a revision, a gap or a size that does not exist.
    """
    if queue_size < 2:
        raise UsageError("a request to a disk takes two descriptors at least, and a ring of 1 has no room for them")
    rig_choices = Choices.from_mapping(gaps or {}, revision)
    outcome = Outcome(revision, queue_size, seed)
    started = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="vhost-inflight-") as folder,
        _Rig(Path(folder), rig_choices, queue_size, seed) as rig,
    ):
        judge = CrashJudge(rig_choices, rig.ram.rings[0], queue_size)
        outcome.broken = judge.broken
        try:
            for kill in _kill_again_and_again(rig, judge, outcome, kills):
                progress(kill)
            if not outcome.lost:
                _end(rig, judge, outcome)
        except BackEndError as error:
            judge.broken.append(Broken("drains", outcome.kills + 1, "by itself", f"the back-end gave up: {error}"))
        outcome.requests, outcome.resubmitted = judge.completed, judge.resubmitted
    outcome.seconds = time.monotonic() - started
    return outcome


def _kill_again_and_again(rig: _Rig, judge: CrashJudge, outcome: Outcome, kills: int) -> Iterator[Kill]:
    """Start a back-end, kill it, judge, as often as wanted or until everything that follows would be judged wrong."""
    dice = random.Random(outcome.seed)  # noqa: S311  # what is killed when, no secret
    plan, in_progress = Plan(outcome.revision, outcome.queue_size, dice), 0
    while outcome.kills < kills and not outcome.lost:
        outcome.kills += 1
        kill = plan.next(in_progress)
        rig.start(outcome.seed + outcome.kills, kill)
        limit = kill.seconds if kill.seconds is not None else LIFE
        if not rig.wait(limit):
            kill = Kill(seconds=limit)
        rig.kill()
        outcome.steps[kill.step or "at random"] += 1
        record, region = rig.record(), rig.region()
        judge.died(outcome.kills, kill.text(), record, rig.lines(), region)
        in_progress = (rig.ram.rings[0].used.idx - region.used_idx) % 65536 if region.version else 0
        rig.control.send("go")
        yield kill


def _end(rig: _Rig, judge: CrashJudge, outcome: Outcome) -> None:
    """Start a last back-end that is not killed, let everything come back, and judge that it did."""
    rig.start(outcome.seed, None)
    deadline = time.monotonic() + DRAIN
    waiting = True
    while waiting and time.monotonic() < deadline:
        rig.control.send("drain")
        rig.wait(0.01)
        record = rig.record()
        judge.follow(record)
        waiting = record.pending > 0 and not record.errors
    rig.kill()
    judge.ended(rig.region(), in_time=not waiting)


def run(*, ring: str, revision: str, queue_size: int, kills: int, seed: int, json_file: Path | None = None) -> bool:
    """Run the crash test, print what it found, and return whether nothing was violated (the command ``crash-test``).

    Raises UsageError for a ring, a revision or a size that does not exist, OSError when the JSON cannot be written.
    """
    from rich.console import Console  # noqa: PLC0415  # what prints needs it, what imports this may not
    from rich.progress import Progress  # noqa: PLC0415

    if ring != "split":
        raise UsageError(f"there is no ring {ring!r}; there are: split")
    terminal = Console(stderr=True)
    # no thread of its own for the bar: the driver's process is forked from this one
    with (
        _ended_by_sigterm(),
        Progress(console=terminal, auto_refresh=False, disable=not terminal.is_terminal) as bar,
    ):
        task = bar.add_task("killing", total=kills)

        def progress(kill: Kill) -> None:
            bar.update(task, advance=1, description=f"killed at {kill.text()}", refresh=True)

        outcome = crash_test(revision=revision, queue_size=queue_size, kills=kills, seed=seed, progress=progress)
    if json_file is not None:
        json_file.write_text(json.dumps(outcome.document(), indent=2) + "\n", encoding="utf-8")
    for line in _report(outcome):
        print(line)
    return not outcome.broken


def _report(outcome: Outcome) -> Iterator[str]:
    """Give the lines of the report."""
    rate = outcome.kills / outcome.seconds if outcome.seconds else 0.0
    yield (
        f"split, {outcome.revision}, queue size {outcome.queue_size}, seed {outcome.seed}: {outcome.kills} kills in "
        f"{outcome.seconds:.1f} seconds ({rate:.1f} a second), {outcome.requests} requests came back, "
        f"{outcome.resubmitted} resubmissions"
    )
    yield "killed at: " + ", ".join(f"{step} {count}" for step, count in sorted(outcome.steps.items()))
    missed = [step for step in stores(outcome.revision) if step not in outcome.steps]
    if missed:
        yield f"never killed at: {', '.join(missed)}"
    counts = Counter(broken.property for broken in outcome.broken)
    for name, broken in outcome.properties.items():
        yield f"{name} was violated, {counts[name]} times; first at kill {broken.kill}, {broken.step}: {broken.reason}"
    if outcome.broken:
        yield f"to run it again: {outcome.again()}"
    else:
        yield "no property was violated"
