"""The processes of the crash test, and what they share: a driver, a front-end and a back-end that is killed."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import select
import signal
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from refimpl.backend.disk_queue import Schedule
from refimpl.backend.process import run_backend, told
from refimpl.backend.reins import Reins
from refimpl.choices import Choices
from refimpl.errors import InflightError
from refimpl.frontend.connection import FrontEnd
from refimpl.frontend.memory import GuestRam
from refimpl.layout import region_at
from refimpl.wire.features import EVENT_IDX, WANTED
from vhost_inflight.forked import ForkedBackEnd, held_signals
from vhost_inflight.judging.crash.bystander import Bystanders
from vhost_inflight.judging.crash.faults import CrashTestError, GaveUpError, blames_memory, check_socket
from vhost_inflight.judging.crash.guest import SECTOR, CrashGuest, Place, Record
from vhost_inflight.judging.crash.judge_packed import PackedCrashJudge
from vhost_inflight.judging.crash.judge_split import CrashJudge
from vhost_inflight.judging.crash.plan import Kill
from vhost_inflight.judging.crash.steered_guest import SteeredGuest
from vhost_inflight.judging.crash.steering import PATIENCE, BackEndReins, DriverReins, answers

__all__ = ["LIFE", "Rig", "Shape"]

FrontEndKind = TypeVar("FrontEndKind", bound=FrontEnd)

LIFE = 0.4
"""Seconds after which a back-end that runs free and did not come to its step is killed from outside."""

_ENDS = 10.0
"""Seconds in which a process that was killed, or lost its connection, has ended or said why."""


@dataclass(frozen=True)
class Shape:
    """A ring and its region: ``entries`` of the region, ``first`` the index or position at which the ring begins.

    There are ``queues`` such rings.
    """

    choices: Choices
    size: int
    entries: int
    first: int = 0
    queues: int = 1


class Rig:
    """The processes and what they share; closed at the end, whatever happens.

    ``driver`` are the reins of one that is steered, None of one that runs free; ``reins`` those of the back-end, and
    ``plan`` says what the next one holds back and finishes. The driver has ring 0; the rings beside have bystanders.
    """

    driver: DriverReins | None = None
    reins: BackEndReins | None = None

    generation = "drain"
    """How the back-end stops rings (GENERATIONS)."""

    def __init__(self, folder: Path, shape: Shape, seed: int, kind: type[CrashGuest] = CrashGuest) -> None:
        """Make the memory and start the driver. Raises InflightError and OSError when the system refuses something."""
        self.shape, self.choices, self.size, self.seed = shape, shape.choices, shape.size, seed
        self.image, self.trace = folder / "image", folder / "trace"
        self.log = folder / "log"
        self.folder = folder
        check_socket(folder / "socket")
        self.image.write_bytes(bytes(SECTOR * max(self.size * shape.queues, 8)))
        self.trace.touch()
        self.plan = Schedule(hold=self.size, order="shuffle", idle=0.002)
        self.packed = self.choices.ring == "packed"
        self.back_end: ForkedBackEnd | None = None
        self._begun: tuple[int, Collection[str]] | None = None
        self._read: dict[int, int] = {}
        # a packed ring's events have two kinds; one that runs free negotiates indexes, and uses flags all the same
        by_flags = self.packed and self.choices.event_kind == "flags" and issubclass(kind, SteeredGuest)
        self._features = WANTED & ~EVENT_IDX if by_flags else WANTED
        with contextlib.ExitStack() as stack:
            self.ends = self._front_ends(stack)
            self._begin(shape.first)
            self._start_driver(kind, stack)
            self.beside = self._bystanders(stack)
            self._owned = stack.pop_all()

    def _front_ends(self, stack: contextlib.ExitStack) -> list[FrontEnd]:
        """Make the front-ends, each with a guest's memory; the first is where the guest is."""
        return [self._front_end(stack, "socket", FrontEnd)]

    def _front_end(
        self, stack: contextlib.ExitStack, name: str, kind: type[FrontEndKind], generation: str = "drain"
    ) -> FrontEndKind:
        """Make a front-end whose back-end listens at a name in the folder."""
        ram = stack.enter_context(GuestRam(self.shape.queues, self.size, SECTOR, packed=self.packed))
        options: dict[str, Any] = {"region_entries": self.shape.entries, "timeout": float(PATIENCE)}
        front_end = kind(self.folder / name, ram, **options, features=self._features, generation=generation)
        stack.enter_context(front_end)
        return front_end

    @property
    def front_end(self) -> FrontEnd:
        """The front-end of the guest, where that is now."""
        return self.ends[0]

    @property
    def stopped(self) -> Collection[int]:
        """The rings that were stopped and not yet started again: where they go on has been answered."""
        return ()

    @property
    def ram(self) -> GuestRam:
        """The guest's memory, where it is now."""
        return self.ends[0].ram

    def _begin(self, first: int) -> None:
        """Let the rings begin somewhere: they have been in use, and everything has come back."""
        if self.packed:
            lap, slot = divmod(first, self.size)
            self.front_end.bases = [self.ram.begin_at(slot, 1 - lap % 2)] * self.shape.queues
        else:
            self.ram.count_from(first)

    def _start_driver(self, kind: type[CrashGuest], stack: contextlib.ExitStack) -> None:
        """Fork the driver, so that it has the memory and the eventfds."""
        context = multiprocessing.get_context("fork")
        self.control, theirs = context.Pipe()
        stack.callback(self.control.close)
        arguments = (kind, self.control, self._places(0), self.image, theirs, self.seed)
        self.guest = context.Process(
            target=_guest, args=arguments, kwargs={"by_index": self._by_index}, name="driver", daemon=True
        )
        with held_signals(), theirs:
            self.guest.start()
            stack.callback(self._end_driver)
        if issubclass(kind, SteeredGuest):
            self.driver = DriverReins(self.control)

    @property
    def _by_index(self) -> bool:
        return self.choices.event_kind == "index"

    def _places(self, queue: int) -> list[Place]:
        """Return where the driver of a queue is, or may move to."""
        return [Place(end.ram, end.kicks[queue], end.calls[queue], queue) for end in self.ends]

    def _bystanders(self, _stack: contextlib.ExitStack) -> Bystanders:
        """Make the drivers of the rings beside."""
        return Bystanders()

    def _end_driver(self) -> None:
        with contextlib.suppress(OSError):
            self.control.send("stop")
        self.control.close()
        self.guest.join(5)
        if self.guest.is_alive():
            self.guest.kill()
            self.guest.join()
        self.guest.close()

    def __enter__(self) -> Self:
        """Return this rig, to be closed at the end of the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the processes and close everything."""
        with self._owned:
            self.kill()

    # What they share

    def region(self, queue: int = 0) -> Any:
        """Lay a queue's region over the shared buffer, as the front-end holds it."""
        held = self.front_end.inflight
        assert held is not None
        view = held.view(queue * (held.size // self.shape.queues))
        return region_at(view, self.choices.ring, self.choices.revision, self.shape.entries)

    def ring(self, queue: int = 0) -> Any:
        """Return a ring, where the guest is now."""
        return self.ram.packed_rings[queue] if self.packed else self.ram.rings[queue]

    def judge(self, queue: int = 0) -> CrashJudge:
        """Return a judge that has seen nothing yet."""
        kind = PackedCrashJudge if self.packed else CrashJudge
        return kind(self.choices, self.ring(queue), self.size, first=self.shape.first, queue=queue)

    def in_progress(self, queue: int = 0) -> int:
        """Return how much of a batch the next life has to settle; packed: 1, if there is anything."""
        region = self.region(queue)
        if not region.version:
            return 0
        if self.packed:
            fields = ("free_head", "used_idx", "used_wrap_counter")
            return int(any(getattr(region, f"old_{name}") != getattr(region, name) for name in fields))
        return int(self.ram.rings[queue].used.idx - region.used_idx) % 65536

    def lines(self, queue: int = 0) -> Iterator[dict[str, Any]]:
        """Give a queue's lines of the trace since the last time; of the process that died no more will come."""
        with self.trace.open("rb") as trace:
            trace.seek(self._read.get(queue, 0))
            for line in trace:
                if (told := json.loads(line))["queue"] == queue:
                    yield told
            self._read[queue] = trace.tell()

    # The driver

    def record(self) -> Record:
        """Let the driver rest, and return what it did since it was asked last. Raises CrashTestError if it is gone."""
        poll = select.poll()
        poll.register(self.control, select.POLLIN)
        self.tell_driver("record")
        try:
            answers(poll, "the driver")
            record: Record = self.control.recv()
        except (EOFError, ConnectionError) as error:
            raise CrashTestError("the driver ended by itself") from error
        return record

    def free_driver(self) -> None:
        """Let the driver go on by itself, and make nothing more."""
        if self.driver is not None:
            self.tell_driver("free")
            self.driver = None
        self.beside.make(more=False)
        self.tell_driver("drain")

    def tell_driver(self, order: str) -> None:
        """Give the driver an order (see CrashGuest). Raises CrashTestError if it is gone."""
        try:
            self.control.send(order)
        except ConnectionError as error:
            raise CrashTestError("the driver ended by itself") from error

    # The back-end

    def start(self, seed: int, kill: Kill | None = None) -> None:
        """Start a back-end that runs free, and come (back) to it; it may die meanwhile, where ``kill`` says.

        Raises GaveUpError and CrashTestError when it does not serve, as all that follow do.
        """
        self.kill()
        self._spawn(seed, crash_at=kill.text() if kill is not None and kill.step else None)
        self._come()

    def start_steered(self, seed: int, stops: Collection[str] = ()) -> BackEndReins:
        """Start one that is steered, come to it, and return its reins: it has taken its first step.

        ``stops`` are steps at which it waits though it was told to run.
        """
        if self._begun != (seed, stops):
            self.kill()
            self._begin_steered(seed, stops)
        self._begun = None
        assert self.reins is not None
        self._come()
        self._watch(self.reins)
        self.reins.hear()
        return self.reins

    def _watch(self, reins: BackEndReins) -> None:
        """Let the reins know by what else the end of the back-end is seen."""
        assert self.front_end.connection is not None
        reins.watch(self.front_end.connection.fileno())

    def _begin_steered(self, seed: int, stops: Collection[str]) -> None:
        """Start one that is steered, which does nothing before somebody comes to it."""
        self.reins = BackEndReins(lambda: self._ended_or_gave_up("it let go of the reins"))
        with self.reins.theirs as theirs:
            self._spawn(seed, reins=theirs.fileno(), stops=stops)
        self._begun = seed, stops

    def kicks(self) -> list[int]:
        """Return the kick eventfds of the rings that run."""
        return [kick for queue, kick in enumerate(self.front_end.kicks) if queue not in self.stopped]

    def free_back_end(self) -> None:
        """Let a steered one run on freely."""
        if self.reins is not None:
            self.reins.tell("free")
            self.reins.close()
            self.reins = None

    def _spawn(
        self, seed: int, *, crash_at: str | None = None, reins: int | None = None, stops: Collection[str] = ()
    ) -> None:
        """Start the process, in a group of its own: Ctrl-C at a terminal does not reach it."""

        def run() -> None:
            run_backend(
                self.front_end.path,
                self.image,
                queues=self.shape.queues,
                choices=self.choices,
                crash_at=crash_at,
                schedule=self.plan,
                trace=self.trace,
                seed=seed,
                generation=self.generation,
                reins=None if reins is None else Reins(reins, stops),
            )

        self.front_end.path.unlink(missing_ok=True)
        with self.log.open("wb") as log, held_signals():
            self.back_end = ForkedBackEnd(lambda: told(run), log, () if reins is None else (reins,))

    def _come(self) -> None:
        """Wait until it listens, connect, and start the device."""
        assert self.back_end is not None
        deadline = time.monotonic() + PATIENCE
        while not self.front_end.path.exists() and time.monotonic() < deadline:
            if self.back_end.ends_within(0.001):
                break
        if not self.front_end.path.exists():
            self._ended_or_gave_up("it does not listen")
        try:
            self.front_end.connect(again=self.front_end.inflight is not None)
            # of a packed ring nothing says where it is: the base is stale, as QEMU's is
            for queue, ring in enumerate(self.ram.rings):
                if queue not in self.stopped:
                    self.front_end.bases[queue] = ring.used.idx
            self.front_end.start()
        except (InflightError, OSError) as error:
            self._ended_or_gave_up(str(error))

    def wait(self, seconds: float) -> bool:
        """Wait for the death of one that runs free; return whether it died."""
        assert self.back_end is not None
        died = self.back_end.ends_within(seconds)
        if died or self.front_end.lost():
            self._ended_or_gave_up("it closed the connection")
            return True
        return False

    def kill(self, ahead: tuple[int, Collection[str]] | None = None) -> None:
        """Kill the back-end from outside, if it lives, and close the connection to it.

        While it ends, start the one that comes next, if it is known: ``ahead`` is what `start_steered` will be told.
        """
        dying, self.back_end, self._begun = self.back_end, None, None
        if self.reins is not None:
            self.reins.close()
            self.reins = None
        try:
            if dying is not None:
                dying.dies()
            self.front_end.disconnect()
            if ahead is not None:
                self._begin_steered(*ahead)
        finally:
            if dying is not None:
                dying.close()

    def _ended_or_gave_up(self, what: str) -> None:
        """Return if the back-end was killed where it was to be; otherwise raise what there is to say of it."""
        assert self.back_end is not None
        for _ in range(int(_ENDS / 0.01)):
            if self.back_end.ends_within(0.01) or self.said():
                break
        self.back_end.ends_within(0.5)  # its last words may have been the first of more
        code, said = self.back_end.code, self.said()
        if code == -signal.SIGKILL and self.reins is None and self.front_end.inflight is not None:
            return  # it runs free, and served
        if code is None and blames_memory(said):
            raise GaveUpError(f"the back-end gave up: {said.partition(': ')[2]}")
        how = what if code is None else f"it ended by itself with {code}"
        raise CrashTestError(f"the back-end does not serve: {how}; it says: {said or 'nothing'}")

    def said(self) -> str:
        """Return the last line that the back-end said, "" if there is none."""
        return (self.log.read_text("utf-8", "replace").strip().splitlines() or [""])[-1]


def _guest(kind: type[CrashGuest], theirs: Connection, *arguments: Any, by_index: bool) -> None:
    """Run the driver in its process; the other end of the pipe is closed here, so that it is gone with its owner.

    Who is interrupted at a terminal ends it: Ctrl-C, which comes to it too, is ignored.
    """
    theirs.close()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    kind(*arguments, by_index=by_index).run()
