"""The lives of a back-end on one guest's memory: started, loaded, killed where it is to die, and started again."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from types import TracebackType
from typing import Any, Final, Self

from refimpl.backend.dump import ring_parts
from refimpl.choices import Choices
from refimpl.errors import InflightError, UsageError
from refimpl.frontend.connection import FrontEnd
from refimpl.frontend.inflight import HeldInflight
from refimpl.frontend.memory import GuestRam
from refimpl.packed.ring import packed_ring_bytes
from refimpl.split.ring import ring_bytes
from refimpl.wire.features import (
    BLK_FLUSH,
    EVENT_IDX,
    PROTOCOL_INFLIGHT_SHMFD,
    RING_PACKED,
    VHOST_USER_PROTOCOL_FEATURES,
    WANTED,
)
from vhost_inflight.conformance.driver import SECTOR, Client, Disk
from vhost_inflight.conformance.load import QUEUE_SIZE, Load
from vhost_inflight.conformance.process import Command, Process, had_time, resting, served_by, wants_to_run
from vhost_inflight.conformance.ptrace import TracingError
from vhost_inflight.conformance.regions import stride_in
from vhost_inflight.conformance.tracer import Aim, Area, Tracer
from vhost_inflight.forked import held_signals

__all__ = ["Ending", "Rig", "Setup", "UnsupportedError"]

_STARTS: Final = 10.0
"""Seconds in which a back-end listens."""

_LOOK: Final = 0.02
"""Seconds from one look at a back-end that owes something to the next."""

_BUSY: Final = 10.0
"""Seconds in which one that does not rest has to give something back."""


class UnsupportedError(InflightError):
    """The back-end does not offer what has to be there for anything to be judged."""


class _StartError(InflightError):
    """The back-end does not listen."""


@dataclass(frozen=True)
class Setup:
    """What is tested: the command, the text that it is judged by, how many seconds it may rest and owe something.

    ``in_order``: its device finishes requests in the order in which it gets them. ``event_index``: on a packed ring the
    driver says of which used element it wants to be notified, as on a split one, where the back-end offers that.
    ``successor`` is the command of each life but the first, where that is another program's. ``stride`` is how many
    bytes lie between two queues' regions in its shared buffer, None where that is not known.
    """

    command: Command
    choices: Choices
    patience: float = 0.5
    in_order: bool = False
    successor: Command | None = None
    event_index: bool = False
    stride: int | None = None

    @property
    def ring(self) -> str:
        """The kind of ring."""
        return self.choices.ring


@dataclass
class Ending:
    """How a life ended: ``how`` is done (all came back, and it rests), killed, died (by itself), refused or hung.

    ``why`` says it in words, where it is neither done nor killed; ``tracer`` is the one that traced it. ``seconds`` is
    how long it was there to be served by, from the device's start: what came before and comes after is not in it.
    """

    how: str
    why: str = ""
    tracer: Tracer | None = None
    seconds: float = 0.0


class _TellingInflight(HeldInflight):
    """A shared buffer whose arrival is told: before it is handed back, so that no store to it is missed."""

    def __init__(self, told: Callable[[], None]) -> None:
        super().__init__()
        self._told = told

    def get(self, connection: Any, queues: int, queue_size: int) -> None:
        """Ask for one, and tell."""
        super().get(connection, queues, queue_size)
        self._told()


class Rig:
    """One guest's memory, its front-end, drivers and disk, through the lives of a back-end; closed at the end."""

    def __init__(self, setup: Setup, load: Load, folder: Path) -> None:
        """Make the memory. Raises InflightError where the system has none."""
        self.setup, self.load, self.folder = setup, load, folder
        self.disk = Disk(folder / "image")
        self.process: Process | None = None
        self.tracer: Tracer | None = None
        self._timer: Timer | None = None
        self._lives = 0
        self.rounds = list(load.rounds)
        packed = setup.ring == "packed"
        with contextlib.ExitStack() as stack:
            self.ram = stack.enter_context(GuestRam(load.queues, QUEUE_SIZE, SECTOR, packed=packed))
            features = (WANTED & ~EVENT_IDX if packed and not setup.event_index else WANTED) | BLK_FLUSH
            self.front_end = stack.enter_context(
                FrontEnd(folder / "socket", self.ram, timeout=_STARTS, features=features)
            )
            self.front_end.held = _TellingInflight(self._watch)
            first = load.first[packed]
            if packed:
                lap, slot = divmod(first, QUEUE_SIZE)
                base = self.ram.begin_at(slot, 1 - lap % 2)
                self.front_end.bases = [base] * load.queues
            else:
                self.ram.count_from(first)
                self.front_end.bases = [first] * load.queues
            self.client = Client(self.ram, self.front_end, load, in_order=setup.in_order)
            self._owned = stack.pop_all()

    def __enter__(self) -> Self:
        """Return this rig, to be closed at the end of the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process and close everything."""
        with self._owned:
            self.end()

    # The memory

    def areas(self) -> list[Area]:
        """Return what is watched: each queue's ring, and its region where there is one."""
        ring = packed_ring_bytes(QUEUE_SIZE) if self.ram.packed else ring_bytes(QUEUE_SIZE)
        memory = self.ram.memory
        found = [
            Area(f"ring {queue}", memory.fd, place.ring, memory.view(place.ring, ring))
            for queue, place in enumerate(self.ram.places)
        ]
        held, stride = self.front_end.inflight, self._stride
        if held is not None:
            found += [
                Area(f"region {queue}", held.fd, held.offset + queue * stride, held.view(queue * stride, stride))
                for queue in range(self.ram.queues)
            ]
        return found

    @property
    def _stride(self) -> int:
        """How far apart regions are taken to be."""
        held = self.front_end.inflight
        return self.setup.stride or (held.size // self.ram.queues if held is not None else 0)

    def found_stride(self) -> int | None:
        """Return how far apart they are, as the back-end that has served shows; None where it does not."""
        held, choices = self.front_end.inflight, self.setup.choices
        if held is None:
            return None
        return stride_in(bytes(held.view()), self.ram.queues, choices.ring, choices.revision, QUEUE_SIZE)

    def ring_memory(self, queue: int) -> dict[str, bytes]:
        """Return the bytes of each part of a ring."""
        return ring_parts(self.ram.packed_rings[queue] if self.ram.packed else self.ram.rings[queue])

    def region(self, queue: int) -> bytes:
        """Return the bytes of a queue's region; none, where there is no shared buffer, or it is not known where."""
        held = self.front_end.inflight
        if held is None or (queue and self.setup.stride is None):
            return b""
        return bytes(held.view(queue * self._stride, self._stride))

    def _watch(self) -> None:
        if self.tracer is not None:
            self.tracer.watch(self.areas())

    # A life

    def live(self, aim: Aim | None = None, *, seek: bool = False, seconds: float | None = None) -> Ending:
        """Start a back-end, and let it serve the rounds that are left.

        It dies at an ``aim``, or after some ``seconds``; ``seek``: find its stores. Raises UnsupportedError for one
        that lacks what it takes, TracingError where it cannot be traced, InflightError where it cannot be started.
        """
        later = self.front_end.inflight is not None
        command = self.setup.successor if later and self.setup.successor is not None else self.setup.command
        with held_signals():  # what ends this program finds the process here
            self.process = Process(command.at(self.front_end.path, self.disk.path), self.folder / "log")
        self._seconds, self._timer, self._killed = seconds, None, False
        self._lives += 1
        try:
            ending = self._served(aim, seek=seek)
        finally:
            tracer, self.tracer = self.tracer, None
            if self._timer is not None:
                self._timer.cancel()
                self._timer.join()
            self.end()
            if tracer is not None:
                tracer.join()
        ending.tracer = tracer
        if tracer is not None and tracer.failure is not None:
            raise tracer.failure
        if tracer is not None and tracer.hit is not None:
            return Ending("killed", tracer=tracer)
        return ending

    def end(self) -> None:
        """Kill the process, if there is one, and close the connection."""
        if self.process is not None:
            self.process.close()
            self.process = None
        self.front_end.disconnect()
        self.front_end.path.unlink(missing_ok=True)

    def _served(self, aim: Aim | None, *, seek: bool) -> Ending:
        again = self.front_end.inflight is not None
        met = self._lives > 1 or aim is not None or self._seconds is not None
        try:
            self._connect(again=again)
            self._support()
            met = True
            if aim is not None or seek:
                assert self.front_end.connection is not None
                self.serving = served_by(self.front_end.connection.fileno())
                self.tracer = Tracer(self.serving, aim)
                self.tracer.start(self.areas())
            self._begun = time.monotonic()
            if self._seconds is not None:
                self._timer = Timer(self._seconds, self._kill)
                self._timer.start()
            self._start()
        except (UnsupportedError, TracingError, UsageError):
            raise
        except _StartError as error:
            if not again:
                raise
            return Ending("refused", str(error))
        except InflightError as error:
            self._needed(error)
            lost = self._lost(str(error))
            if not met:  # nothing was tried that could count against it
                raise InflightError(f"the back-end cannot be tried: {lost.why}") from error
            return lost
        ending = self._serve()
        ending.seconds = time.monotonic() - self._begun
        return ending

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._killed = True
            os.kill(self.serving, signal.SIGKILL)

    def _connect(self, *, again: bool) -> None:
        """Wait until it listens, and connect."""
        assert self.process is not None
        deadline = time.monotonic() + _STARTS
        while not self.front_end.path.exists() and time.monotonic() < deadline and not self.process.ended():
            time.sleep(0.0002)
        if self.process.ended():
            self.process.close()
            raise _StartError(f"the back-end {self.process.how()} before it listened; {self.process.said()}")
        if not self.front_end.path.exists():
            raise _StartError(f"the back-end does not listen at {self.front_end.path} in {_STARTS:g} seconds")
        self.front_end.connect(again=again)
        assert self.front_end.connection is not None
        self.serving = served_by(self.front_end.connection.fileno())

    def _support(self) -> None:
        """Raise UnsupportedError where there is no inflight tracking."""
        if not self.front_end.protocol_features & PROTOCOL_INFLIGHT_SHMFD:
            raise UnsupportedError("unsupported: no INFLIGHT_SHMFD")

    def _needed(self, error: InflightError) -> None:
        """Raise UnsupportedError where the error is that it lacks a feature without which nothing is judged."""
        missing = self.front_end.needed & ~(-1 if self.front_end.offered is None else self.front_end.offered)
        if missing & RING_PACKED:
            raise UnsupportedError("unsupported: RING_PACKED is not offered") from error
        if missing & VHOST_USER_PROTOCOL_FEATURES:  # which it would be offered by
            raise UnsupportedError("unsupported: no INFLIGHT_SHMFD") from error

    def _start(self) -> None:
        """Start the device, as QEMU does; the base of a split ring is what the driver has as used."""
        if self.front_end.inflight is not None and not self.ram.packed:
            self.front_end.bases = [ring.used.idx for ring in self.ram.rings]
        if not self.client.drivers:
            self.client.begin()
        self.front_end.start()

    def _serve(self) -> Ending:
        """Let it serve: a round after the other, each when all of the one before has come back."""
        while True:
            ending = self._come_back()
            if ending is not None or not self.rounds:
                return ending or Ending("done")
            self.client.make(self.rounds.pop(0))

    def _come_back(self) -> Ending | None:
        """Wait until all is back and the back-end rests; say how it ended where it did not."""
        poll = select.poll()
        calls = {call: queue for queue, call in enumerate(self.front_end.calls)}
        for fd in calls:
            poll.register(fd, select.POLLIN)
        assert self.process is not None
        assert self.front_end.connection is not None
        poll.register(self.process.ended_fd, select.POLLIN)
        poll.register(self.front_end.connection.fileno(), select.POLLIN)
        active, rests, had = time.monotonic(), 0, had_time(self.serving)
        while True:
            waiting = bool(self.client.outstanding) and not self.client.wrong
            left = len(self.client.outstanding)
            for fd, _ in poll.poll(_LOOK * 1000 if waiting else 0):
                if fd not in calls:
                    return self._lost("it closed the connection")
                with self.tracer.looking if self.tracer is not None else contextlib.nullcontext():
                    self.client.drivers[calls[fd]].wake()
                    self.client.collect(calls[fd])
            if len(self.client.outstanding) < left:  # a notification without anything new gives no more time
                active, rests, had = time.monotonic(), 0, had_time(self.serving)
                continue
            rests = rests + 1 if self._rests() else 0
            idle = time.monotonic() - active
            if not waiting and (rests or (idle > self.setup.patience and not self._waits_for_a_processor(had, idle))):
                return None if not self.client.wrong else Ending("done")
            if not waiting:
                time.sleep(0.0001)
            # looks are counted, not time alone: on a busy machine this process may get no look for a while
            elif idle > self.setup.patience and (rests * _LOOK > self.setup.patience or idle > _BUSY):
                return self._hung()

    def _rests(self) -> bool:
        """Return whether it sleeps, and has taken each kick."""
        kicked = select.select(self.front_end.kicks, [], [], 0)[0]
        return not kicked and resting(self.serving)

    def _waits_for_a_processor(self, had: float, idle: float) -> bool:
        """Whether it would run, and has had too little time for that: on a busy machine. One that polls has had it."""
        return idle < _BUSY and wants_to_run(self.serving) and had_time(self.serving) - had < self.setup.patience

    def _hung(self) -> Ending:
        left = ", ".join(str(request) for request in self.client.outstanding[:3])
        shown = [str(r) for queue in range(self.ram.queues) for r in self.client.visible(queue)]
        if shown:
            return Ending("hung", f"{shown[0]} is visible as used, and the driver was not notified")
        how = "rests" if self._rests() else "goes on"
        return Ending("hung", f"the back-end {how}, and did not give back {left}")

    def _lost(self, why: str) -> Ending:
        """Say how a back-end ended that is gone or does not answer as it should."""
        assert self.process is not None
        if self._killed or (self.tracer is not None and self.tracer.hit is not None):
            return Ending("killed")
        gone = self.process.ended(1.0)
        said = self.process.said()
        self.process.close()
        status = self.process.status
        if status is None and self.tracer is not None:
            self.tracer.join()
            status = self.process.status = self.tracer.status
        if self.tracer is not None and self.tracer.hit is not None:
            return Ending("killed")
        told = f"; it says: {said}" if said else ""
        if gone and status is not None and os.WIFSIGNALED(status):
            return Ending("died", f"the back-end {self.process.how()}{told}")
        return Ending("refused", f"{why}; the back-end {self.process.how() if gone else 'lives'}{told}")
