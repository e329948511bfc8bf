"""A guest is moved to another QEMU while requests are in flight, and nobody is killed: `crash-test --guest --kills 0`.

The back-end holds requests back, so that some are in flight whenever the guest leaves; how many, it says when it is
asked to stop its rings. A move with none shows nothing, so it is no verdict. The back-end offers what a front-end needs
to leave requests in flight (GET_VRING_BASE_INFLIGHT, GET_VRING_BASE_SKIP_DRAIN): what QEMU accepts is told.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from refimpl.names import counted
from refimpl.wire.features import PROTOCOL_GET_VRING_BASE_INFLIGHT, PROTOCOL_GET_VRING_BASE_SKIP_DRAIN
from vhost_inflight.guest.back_end import BackEnd, GuestOutcome, Left
from vhost_inflight.guest.crash import outcome_of, with_a_bar
from vhost_inflight.guest.machine import GuestError
from vhost_inflight.guest.move import arrive, copy
from vhost_inflight.guest.prepare import QEMU_VARIABLE
from vhost_inflight.guest.qemu import ANY_SIZE_SINCE
from vhost_inflight.guest.sides import WRITERS, Side, Sides, sides
from vhost_inflight.guest.watched import Watched

__all__ = ["MovedOutcome", "guest_move_test", "held", "run"]

_IDLE: Final = 0.25
"""Seconds without a new request after which all are finished: longer than it takes to stop a guest and its rings."""

_NEEDED: Final = {20: PROTOCOL_GET_VRING_BASE_INFLIGHT, 23: PROTOCOL_GET_VRING_BASE_SKIP_DRAIN}
"""What a front-end accepts that may leave requests in flight."""

_CRASHED: Final = re.compile(r"BUG:|Kernel panic|Modules linked in|general protection|RIP:")
"""What a kernel that crashes says."""


@dataclass
class MovedOutcome(GuestOutcome):
    """What came of a guest that was moved; ``left`` has a line for each move: how its back-end was left."""

    left: list[Left] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """Give it as JSON has it."""
        told = super().document()
        for name in ("at", "steps", "unreached"):
            del told[name]  # nobody was killed
        moved = [
            {
                "protocol_features": left.accepted,
                "in_flight": [
                    {"ring": ring, "requests": requests, "became": became}
                    for became, rings in (("drained", left.drained), ("suspended", left.suspended))
                    for ring, requests in sorted(rings.items())
                ],
            }
            for left in self.left
        ]
        return {**told, "moved": moved}

    def report(self) -> Iterator[str]:
        """Give the lines of the report."""
        yield (
            f"{self.ring}, {self.revision}, QEMU {self.qemu}, queue size {self.queue_size}, "
            f"{counted(self.queues, 'queue')}, seed {self.seed}: moved {counted(self.moves, 'time')}, nobody killed, "
            f"in {self.seconds:.0f} seconds, {counted(self.resubmitted, 'resubmission')}; "
            f"the guest checked {counted(self.writes, 'write')} in {counted(self.rounds, 'round')}"
        )
        for number, left in enumerate(self.left, 1):
            yield f"in flight when the guest left, move {number}: {_words(left)}"
        if self.left:
            yield f"real: the guest, its driver, QEMU's live migration, and how it stops rings: {_stops(self.left)}"
            yield "not real: the QEMUs run on one machine, with one image; the back-end holds requests back on purpose"
        yield from self.verdict()


def _words(left: Left) -> str:
    """Say how many requests were in flight on each ring, and what became of them."""
    told = [
        f"{requests} of ring {ring}, {became}"
        for became, rings in (("drained", left.drained), ("suspended", left.suspended))
        for ring, requests in sorted(rings.items())
    ]
    return "; ".join(told) or "not known, the back-end said of no stop of a ring"


def _stops(moved: list[Left]) -> str:
    """Say how QEMU had rings stopped, by what it accepted of what would let it leave requests in flight."""
    known = [left.accepted for left in moved if left.accepted is not None]
    if not known:
        return "its back-end did not say what it accepted"
    accepted = [str(bit) for bit, feature in _NEEDED.items() if any(features & feature for features in known)]
    said = f"it accepted {' and '.join(accepted) or 'neither'} of the protocol features 20 and 23, which were offered"
    return said if accepted else f"{said}, so GET_VRING_BASE has to drain them"


def held(queues: int) -> dict[str, Any]:
    """Return what a back-end holds back on each of so many rings: some of what a guest waits for, at any time.

    It is less than the guest's writers ask for on one of them, so that they are kept busy.
    """
    hold = 2 + 6 // queues
    return {"hold": hold, "keep": hold * 3 // 4, "order": "shuffle", "idle": _IDLE}


def _breaks_guests(qemu: str) -> bool:
    """Return whether a version of QEMU may crash a kernel that it emulates by moving it, with any disk."""
    return int(qemu.partition(".")[0]) < ANY_SIZE_SINCE


class _Journey(Watched):
    """A guest that goes from side to side, with a back-end that lives on each."""

    outcome: MovedOutcome
    back_end: BackEnd

    def __init__(self, side: Sides[BackEnd], outcome: MovedOutcome) -> None:
        super().__init__(side(0), outcome, WRITERS)
        self._side = side

    def run(self, moves: int, progress: Callable[[str], None]) -> None:
        """Move so many times; then let everything come back and compare. Raises UsageError when it does not boot."""
        self.boot()
        try:
            self._go_on(moves, progress)
        except GuestError as error:
            if not (_CRASHED.search(str(error)) and _breaks_guests(self.outcome.qemu)):
                raise
            self.outcome.unjudged.append(
                f"the guest's kernel crashed ({error}): QEMU {self.outcome.qemu} does that to a guest that it "
                f"emulates and moves, whatever its disk is (docs/guest.md); take QEMU {ANY_SIZE_SINCE} (--qemu, "
                f"{QEMU_VARIABLE})"
            )

    def _go_on(self, moves: int, progress: Callable[[str], None]) -> None:
        """Do all that comes after booting. Raises GuestError for what the guest finds wrong."""
        self.machine.say("stir")
        self.machine.say(self.load)
        self.gets_on()
        for number in range(1, moves + 1):
            self._move(self._side(number))
            progress(f"moved {counted(number, 'time')}")
        self.stop()
        self.compare()
        self.machine.say("off")

    def _move(self, other: Side[BackEnd]) -> None:
        """Take the guest to another side while it is at its load, and see that it gets on there."""
        self.back_end.left()  # by the firmware
        copy(self.machine, other)
        self.gets_on()  # what the back-end writes now is copied again
        arrive(self.machine)
        self.watch()
        self.outcome.left.append(self.back_end.left())
        self._judge()
        self.machine.end()
        self.back_end.kill()
        self.machine, self.back_end = other.machine, other.back_end
        self.outcome.moves += 1
        self.gets_on()

    def _judge(self) -> None:
        """Note a move that shows nothing."""
        left, number = self.outcome.left[-1], len(self.outcome.left)
        silent = set(range(self.outcome.queues)) - {*left.drained, *left.suspended}
        if silent:
            which = ", ".join(map(str, sorted(silent)))
            self.outcome.unjudged.append(f"in move {number} the back-end said of no stop of ring {which}")
        elif not any((*left.drained.values(), *left.suspended.values())):
            self.outcome.unjudged.append(
                f"in move {number} no request was in flight when the guest left, so that it shows nothing; try again"
            )


def guest_move_test(
    *,
    ring: str,
    revision: str,
    moves: int,
    queue_size: int | None = None,
    queues: int = 1,
    seed: int = 0,
    qemu: Path | None = None,
    schedule: Mapping[str, Any] | None = None,
    progress: Callable[[str], None] = lambda _what: None,
) -> MovedOutcome:
    """Move a guest so many times while its requests are in flight, and judge what it has; what is wrong ends it.

    Nobody is killed. ``schedule`` is what the back-end holds back, `held` if left out; the rest is as in
    `guest_crash_test`.
    """
    outcome = outcome_of(
        MovedOutcome, ring=ring, revision=revision, queue_size=queue_size, queues=queues, seed=seed, at=None, qemu=qemu
    )

    def served(folder: Path, image: Path) -> BackEnd:
        return BackEnd(folder, image, outcome, schedule or held(queues), "skip-drain")

    with sides(outcome, served, qemu=qemu, moves=moves) as side:
        journey = _Journey(side, outcome)
        journey.lives_through(lambda: journey.run(moves, progress))
    return outcome


def run(
    *,
    ring: str,
    revision: str,
    queue_size: int | None,
    queues: int,
    moves: int,
    seed: int,
    qemu: Path | None = None,
    json_file: Path | None = None,
) -> bool:
    """Run it, print what came, and return whether nothing was wrong: the command ``crash-test --guest --kills 0``.

    Raises as `guest_move_test` does, InflightError where nothing was wrong and a move showed nothing, and OSError when
    the JSON cannot be written.
    """

    def asked(progress: Callable[[str], None]) -> GuestOutcome:
        return guest_move_test(
            ring=ring, revision=revision, moves=moves, queue_size=queue_size, queues=queues, seed=seed, qemu=qemu,
            progress=progress,
        )  # fmt: skip

    return with_a_bar(asked, moves, json_file)
