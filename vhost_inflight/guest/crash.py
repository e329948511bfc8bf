"""The crash test with a real guest: QEMU and Linux write and check, the back-end is killed at its stores.

The guest's jobs write stamped sectors and read them back without end (load.c); the back-end holds requests back,
finishes them in any order, and dies, again and again. What is judged is what the guest has: nothing lost, nothing torn,
nothing that hangs; at the end the image has what the guest reads.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from refimpl.errors import UsageError
from vhost_inflight.guest.back_end import BackEnd, GuestOutcome, Served
from vhost_inflight.guest.machine import GuestError, Machine, is_packed
from vhost_inflight.guest.move import Moves, Side
from vhost_inflight.guest.plan import Deaths, GuestPlan
from vhost_inflight.guest.prepare import QEMU_VARIABLE, prepared
from vhost_inflight.guest.qemu import RING_MAX, program, ring_size, version
from vhost_inflight.judging.crash.faults import check_socket
from vhost_inflight.judging.crash.plan import Kill, stores
from vhost_inflight.telling import STDIO, write_json

__all__ = ["WRITERS", "GuestOutcome", "endure", "guest_crash_test", "outcome_of", "run", "with_a_bar"]

LIFE: Final = 5.0
"""Seconds after which a back-end that did not come to its step is killed from outside; QEMU comes back within one."""

WRITERS: Final = 16
"""Jobs of the guest, each with one request at a time."""

PATIENCE: Final = 20.0
"""Seconds in which a guest whose back-end is left alone has to get on, before it counts as hung."""

APART: Final = 10
"""Kills of a guest that is served, at least, before it takes the device anew, so that the region is fresh again."""

Outcome = TypeVar("Outcome", bound=GuestOutcome)

_MEGABYTE: Final = 1 << 20
_COMPLAINTS: Final = ("I/O error", "is not a head", "virtio_blk", "BUG", "Kernel panic")


class _Campaign:
    """A guest, its back-ends, and the kills."""

    def __init__(self, side: Side, plan: Deaths, outcome: GuestOutcome, moves: Moves, writers: int) -> None:
        self.machine, self.back_end = side.machine, side.back_end
        self.plan, self.outcome, self.moves = plan, outcome, moves
        self._load = f"load verify /dev/vda {writers}"
        self._moved = time.monotonic()
        self._writes, self._steps, self._rebound = 0, 0, 1

    def run(self, kills: int, progress: Callable[[Kill], None]) -> None:
        """Kill so many times; then let everything come back and compare. Raises UsageError when it does not boot."""
        machine = self.machine
        try:
            self._boot()
        except GuestError as error:  # nobody was killed yet
            raise UsageError(
                "the guest did not boot, so nothing was judged: mend what QEMU runs in, or name another QEMU (--qemu, "
                f"{QEMU_VARIABLE}); {error}; the back-end said: {self.back_end.said()}"
            ) from error
        if self.moves.left:
            machine.say("stir")
        machine.say(self._load)
        while self.outcome.kills < kills or self.moves.left:
            if self.moves.due(self.outcome.kills):
                self._move(progress)
            if self.plan.fresh_missing and self.outcome.kills >= APART * self._rebound and not self.moves.under_way:
                self._rebind(progress)
            for kill in self.plan.next():
                self.back_end.start(kill)
                self._live(kill, progress)
        self.back_end.start()
        self._stop()
        self._compare()
        self.machine.say("off")

    def _boot(self) -> None:
        """Let the guest boot, with a back-end that lives. Raises GuestError when it does not come up as it should."""
        self.back_end.start()
        self.outcome.disk = self.machine.booted(self.back_end.complain)
        if is_packed(self.outcome.disk) != (self.outcome.ring == "packed"):
            raise GuestError(f"the guest does not use the {self.outcome.ring} ring: {self.outcome.disk}")
        self.back_end.kill()

    def _move(self, progress: Callable[[Kill], None]) -> None:
        """Begin to take the guest to another machine; or, that done, let it arrive, where the back-end dies at once."""
        self._has_to_move()
        if not self.moves.under_way:
            self.moves.begin(self.machine, self.outcome.kills)
            self.back_end.kill()
            return
        side = self.moves.end(self.machine)
        self.machine.end()
        self.back_end.kill()
        self.machine, self.back_end = side.machine, side.back_end
        self.outcome.moves += 1
        self._moved = time.monotonic()
        self._live(side.arrival or Kill(seconds=0.0), progress)

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
            self.back_end.kill()

    def _has_to_move(self) -> None:
        """Start a back-end and leave it alone until the guest gets on. Raises GuestError when it does not.

        It gets on when it says so twice: once it may say what came back before the last death.
        """
        self._watch()
        self.back_end.start()
        wanted, deadline = self._steps + 2, time.monotonic() + PATIENCE
        while self._steps < wanted:
            self._watch()
            self._has_to_live()
            if time.monotonic() > deadline:
                raise GuestError(f"hung: nothing moved for {PATIENCE:.0f} seconds with a back-end that lives")
            time.sleep(0.05)

    def _has_to_live(self) -> None:
        """Raise GuestError when a back-end that nobody kills has ended: it is not the guest that hangs then."""
        self.back_end.died()

    def _watch(self) -> None:
        """Read the guest's console. Raises GuestError for what it found wrong, or complains about."""
        for line in self.machine.lines():
            if line.startswith("LOAD"):
                writes = int(line.split()[3])
                if writes != self._writes:
                    self._moved = time.monotonic()
                    self._steps += 1
                self._writes = writes
            elif line.startswith("RESULT") or any(word in line for word in _COMPLAINTS):
                raise GuestError(line)

    def _stop(self) -> None:
        """Let the guest's jobs end. Raises GuestError when they found something wrong."""
        self.machine.say("stop")
        result = self.machine.wait_for("RESULT", 90.0, self._has_to_live)
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
        self.machine.wait_for("DISK", 60.0, self._has_to_live)
        self.back_end.kill()
        self._moved = time.monotonic()
        self.machine.say(self._load)

    def _compare(self) -> None:
        """Compare what the guest reads with the image."""
        self.machine.say("md5")
        told = self.machine.wait_for("MD5", 60.0, self._has_to_live).split()[1]
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
    moves: int = 0,
    progress: Callable[[Kill], None] = lambda _kill: None,
) -> GuestOutcome:
    """Kill the back-end of a guest so many times, and judge what the guest has; what is wrong ends it.

    ``queue_size`` is QEMU's queue-size, see `ring_size`; ``hold`` is how many requests the back-end holds back before
    it finishes any; ``at`` is ``STEP[:N]``: it always dies there; ``qemu`` is the program, see `program`; ``moves`` is
    how often the guest is taken to another machine meanwhile. Raises UsageError for a step that stores nothing, sizes
    that QEMU does not allow, and when QEMU ends or the back-end refuses it before the guest has its disk, MissingError
    when a program is missing, CrashTestError when sockets in the temporary directory would have too long a name.
    """
    always = None if at is None else _kill_at(at, ring, revision)
    outcome = outcome_of(
        GuestOutcome, ring=ring, revision=revision, queue_size=queue_size, queues=queues, seed=seed, at=at, qemu=qemu
    )
    plan = GuestPlan(ring, revision, random.Random(seed), always)  # noqa: S311  # where it dies next, no secret
    endure(
        outcome, plan, kills, lambda folder, image: BackEnd(folder, image, outcome, hold),
        qemu=qemu, moves=moves, progress=progress,
    )  # fmt: skip
    return outcome


def outcome_of(
    kind: type[Outcome],
    *,
    ring: str,
    revision: str,
    queue_size: int | None,
    queues: int,
    seed: int,
    at: str | None,
    qemu: Path | None,
) -> Outcome:
    """Begin an outcome with what is asked for. Raises as `guest_crash_test` does."""
    if queue_size is not None and (not 4 <= queue_size <= RING_MAX or queue_size & (queue_size - 1)):
        raise UsageError(f"QEMU wants a queue size of 4 to 1024, a power of two, not {queue_size}")
    if not 1 <= queues <= 4:
        raise UsageError(f"a guest has 1 to 4 queues, not {queues}")
    prepared(qemu=qemu)
    runs = program(qemu)
    number = ".".join(map(str, version(runs)))
    return kind(ring, revision, ring_size(runs, queue_size), queues, seed, number, at=at)


def endure(
    outcome: GuestOutcome,
    plan: Deaths,
    kills: int,
    served: Callable[[Path, Path], Served],
    *,
    qemu: Path | None = None,
    moves: int = 0,
    writers: int = WRITERS,
    progress: Callable[[Kill], None] = lambda _kill: None,
) -> None:
    """Let a guest live through the deaths of a plan, and note in ``outcome`` what came of it.

    ``served`` makes a back-end of a folder for what is its own, and an image; ``writers`` write to the disk at a time.
    Raises as `guest_crash_test` does.
    """
    parts, runs = prepared(qemu=qemu), program(qemu)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="vhost-inflight-guest-") as name, contextlib.ExitStack() as stack:
        check_socket(Path(name) / str(moves) / ("incoming" if moves else "monitor"))  # the longest
        image = Path(name) / "image"
        with image.open("wb") as file:
            file.truncate(WRITERS * _MEGABYTE // 2 + _MEGABYTE)

        def side(number: int, kill: Kill | None = None) -> Side:
            """Make a machine and its back-end; but for the first, they wait for the guest to come."""
            folder = Path(name) / str(number)
            folder.mkdir()
            back_end = served(folder, image)
            stack.callback(back_end.kill)
            incoming = folder / "incoming" if kill is not None else None
            if kill is not None:
                back_end.start(kill)
            machine = Machine(
                parts, folder, back_end.socket, packed=outcome.ring == "packed", queues=outcome.queues,
                queue_size=outcome.queue_size, qemu=runs, incoming=incoming,
            )  # fmt: skip
            return Side(stack.enter_context(machine), back_end, incoming, kill)

        moving = Moves(moves, kills, outcome.ring, outcome.revision, side)
        campaign = _Campaign(side(0), plan, outcome, moving, writers)
        try:
            campaign.run(kills, progress)
        except GuestError as error:
            outcome.broken.append(f"{error}; the back-end said: {campaign.back_end.said()}")
        list(campaign.machine.lines())
        outcome.console = campaign.machine.console[-12:]
    outcome.seconds = time.monotonic() - started


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
    moves: int = 0,
    json_file: Path | None = None,
) -> bool:
    """Run the guest's crash test, print what it found, and return whether nothing was wrong.

    The command ``crash-test --guest``. Raises as `guest_crash_test` does, and OSError when the JSON cannot be written.
    """

    def asked(progress: Callable[[Kill], None]) -> GuestOutcome:
        return guest_crash_test(
            ring=ring, revision=revision, queue_size=queue_size, queues=queues, kills=kills, seed=seed, at=at,
            qemu=qemu, moves=moves, progress=progress,
        )  # fmt: skip

    return with_a_bar(asked, kills, json_file)


def with_a_bar(asked: Callable[[Callable[[Kill], None]], GuestOutcome], kills: int, json_file: Path | None) -> bool:
    """Do what is asked for, with a progress bar on a terminal; print what came, and return whether all was right."""
    from rich.console import Console  # noqa: PLC0415  # what prints needs it, what imports this may not
    from rich.progress import Progress  # noqa: PLC0415

    terminal = Console(stderr=True)
    with Progress(console=terminal, disable=not terminal.is_terminal) as bar:
        task = bar.add_task("a guest boots", total=kills)
        outcome = asked(lambda kill: bar.update(task, advance=1, description=f"killed at {kill.text()}"))
    if json_file != STDIO:
        for line in outcome.report():
            print(line)
    if json_file is not None:
        write_json(json_file, outcome.document())
    return not outcome.broken
