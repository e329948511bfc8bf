"""The crash test with a real guest: QEMU and Linux write and check, the back-end is killed at its stores.

The guest's jobs write stamped sectors and read them back without end (load.c); the back-end holds requests back,
finishes them in any order, and dies, again and again. What is judged is what the guest has: nothing lost, nothing torn,
nothing that hangs; at the end the image has what the guest reads.
"""

from __future__ import annotations

import difflib
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from refimpl.errors import InflightError, UsageError
from vhost_inflight.guest.back_end import HELD, BackEnd, GuestOutcome, Served
from vhost_inflight.guest.move import Moves
from vhost_inflight.guest.plan import Deaths, GuestPlan
from vhost_inflight.guest.prepare import prepared
from vhost_inflight.guest.qemu import RING_MAX, program, ring_size, version
from vhost_inflight.guest.sides import WRITERS, Side, sides
from vhost_inflight.guest.watched import PATIENCE, Watched
from vhost_inflight.judging.crash.plan import Kill, stores
from vhost_inflight.telling import STDIO, Ending, write_json

__all__ = ["GuestOutcome", "endure", "guest_crash_test", "outcome_of", "run", "with_a_bar"]

LIFE: Final = 5.0
"""Seconds of service after which a back-end that did not come to its step is killed from outside."""

FIRST_LIFE: Final = 20.0
"""Likewise where the step is one that the next to serve comes to for sure, however slow the machine is."""

APART: Final = 10
"""Kills of a guest that is served, at least, before it takes the device anew, so that the region is fresh again."""

Outcome = TypeVar("Outcome", bound=GuestOutcome)


class _Campaign(Watched):
    """A guest, its back-ends, and the kills."""

    def __init__(self, side: Side[Served], plan: Deaths, outcome: GuestOutcome, moves: Moves, writers: int) -> None:
        super().__init__(side, outcome, writers)
        self.plan, self.moves = plan, moves
        self._rebound = 1

    def run(self, kills: int, progress: Callable[[str], None]) -> None:
        """Kill so many times; then let everything come back and compare. Raises UsageError when it does not boot."""
        machine = self.machine
        self.boot()
        self.back_end.kill()
        if self.moves.left:
            machine.say("stir")
        machine.say(self.load)
        while self.outcome.kills < kills or self.moves.left:
            if self.moves.due(self.outcome.kills):
                self._move(progress)
            if self.plan.fresh_missing and self.outcome.kills >= APART * self._rebound and not self.moves.under_way:
                self._rebind(progress)
            for kill in self.plan.next():
                self.back_end.start(kill)
                self._live(kill, progress)
                self._gets_on_at_times()
        self.back_end.start()
        self.stop()
        self.compare()
        self.machine.say("off")

    def _move(self, progress: Callable[[str], None]) -> None:
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
        self.moved = time.monotonic()
        self._live(side.arrival or Kill(seconds=0.0), progress)
        self._gets_on_at_times()

    def _served(self) -> None:
        """Wait until the back-end serves, or is dead, or nobody comes to it: QEMU does within a second of its own."""
        deadline = time.monotonic() + PATIENCE
        while not (self.back_end.died() or self.machine.is_served()) and time.monotonic() < deadline:
            self.watch()
            time.sleep(0.01)

    def _live(self, kill: Kill, progress: Callable[[str], None], life: float = LIFE) -> None:
        """Wait for a death, and kill it when none comes in its time, which begins when it serves."""
        self._served()
        deadline = time.monotonic() + (life if kill.seconds is None else kill.seconds)
        while not self.back_end.died() and time.monotonic() < deadline:
            self.watch()
            time.sleep(0.002)
        at = kill.step if self.back_end.died() else "at random"
        self.back_end.kill()
        self.outcome.kills += 1
        self.outcome.steps[at] += 1
        self.plan.deaths[at] += 1
        progress(f"killed at {kill.text()}")

    def _gets_on_at_times(self) -> None:
        """Leave a back-end alone if no write came back for long: a guest at its load may not have had the time."""
        if time.monotonic() - self.moved > PATIENCE:
            self._has_to_move()
            self.back_end.kill()

    def _has_to_move(self) -> None:
        """Start a back-end and leave it alone until the guest gets on. Raises GuestError when it does not."""
        self.watch()
        self.back_end.start()
        self.gets_on()

    def _rebind(self, progress: Callable[[str], None]) -> None:
        """Let the guest reset the device and take it anew, and kill at each step of initialising the region.

        It has no load meanwhile.
        """
        kills = list(self.plan.of_fresh())
        self._rebound += 1
        self.back_end.start()
        self.stop()
        self.back_end.kill()
        self.back_end.start(kills[0])
        self._served()  # the guest resets a device that is there
        self.machine.say("rebind")
        self._live(kills[0], progress, FIRST_LIFE)
        for kill in kills[1:]:
            self.back_end.start(kill)
            self._live(kill, progress, FIRST_LIFE)
        self.back_end.start()
        self.machine.wait_for("DISK", 60.0, self.has_to_live)
        self.back_end.kill()
        self.moved = time.monotonic()
        self.machine.say(self.load)


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
    progress: Callable[[str], None] = lambda _what: None,
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
        outcome, plan, kills, lambda folder, image: BackEnd(folder, image, outcome, {**HELD, "hold": hold}),
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
    progress: Callable[[str], None] = lambda _what: None,
) -> None:
    """Let a guest live through the deaths of a plan, and note in ``outcome`` what came of it.

    ``served`` makes a back-end of a folder for what is its own, and an image; ``writers`` write to the disk at a time.
    Raises as `guest_crash_test` does.
    """
    with sides(outcome, served, qemu=qemu, moves=moves) as side:
        campaign = _Campaign(side(0), plan, outcome, Moves(moves, kills, outcome.ring, outcome.revision, side), writers)
        campaign.lives_through(lambda: campaign.run(kills, progress))


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

    def asked(progress: Callable[[str], None]) -> GuestOutcome:
        return guest_crash_test(
            ring=ring, revision=revision, queue_size=queue_size, queues=queues, kills=kills, seed=seed, at=at,
            qemu=qemu, moves=moves, progress=progress,
        )  # fmt: skip

    return with_a_bar(asked, kills, json_file)


def with_a_bar(asked: Callable[[Callable[[str], None]], GuestOutcome], times: int, json_file: Path | None) -> bool:
    """Do what is asked for, with a progress bar on a terminal; print what came, and return whether all was right.

    Raises InflightError where nothing was wrong, and not everything that was to be shown was; OSError for the file;
    after Ctrl-C KeyboardInterrupt, when all is printed; after SIGTERM or SIGHUP SystemExit, when all is ended.
    """
    from rich.console import Console  # noqa: PLC0415  # what prints needs it, what imports this may not
    from rich.progress import Progress  # noqa: PLC0415

    terminal = Console(stderr=True)
    ending = Ending()
    with ending.heard():
        with Progress(console=terminal, disable=not terminal.is_terminal) as bar:
            task = bar.add_task("a guest boots", total=times)
            outcome = asked(lambda what: bar.update(task, advance=1, description=what))
        if not outcome.interrupted:
            ending.again()
    if json_file != STDIO:
        for line in outcome.report():
            print(line)
    if json_file is not None:
        write_json(json_file, outcome.document())
    if outcome.interrupted:
        raise KeyboardInterrupt
    if outcome.unjudged and not outcome.broken:
        raise InflightError(f"no verdict: {outcome.unjudged[0]}")
    return not outcome.broken
