"""The processes of a crash test that stops rings: two front-ends, each with memory of its own, so that it can migrate.

A back-end that is asked to stop needs orders before it can answer: while a reply is awaited, ``meanwhile`` gives them.
"""

from __future__ import annotations

import contextlib
import io
import os
import select
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from refimpl.backend.reins import Order
from refimpl.errors import InflightError
from refimpl.frontend.connection import FrontEnd
from refimpl.wire.codec import Message, Request
from refimpl.wire.features import SUSPEND
from refimpl.wire.payload import Payload, VringFd, VringState
from vhost_inflight.forked import ForkedBackEnd
from vhost_inflight.judging.crash.bystander import Bystander, Bystanders
from vhost_inflight.judging.crash.faults import CrashTestError, GaveUpError, check_socket
from vhost_inflight.judging.crash.guest import SECTOR
from vhost_inflight.judging.crash.rig import Rig, Shape
from vhost_inflight.judging.crash.steered_guest import SteeredGuest
from vhost_inflight.judging.crash.steering import WORDS, BackEndReins
from vhost_inflight.judging.crash.stops import WAYS, Pair

__all__ = ["Seen", "StoppingFrontEnd", "StoppingRig"]

_LOOK_ON = 200
"""Steps of a back-end that goes on though it has answered, at most: enough to finish and publish all that it has."""

_MOVES, _FOR_EACH = 20_000, 100
"""Moves, and more for each entry of each ring, after which what is waited for will not come: an answer, or what rings
beside made. It is far more than it takes to finish all that there can be."""

_P = TypeVar("_P", bound=Payload)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a suspended device leaves alone of a ring: its shares of memory, region and disk, the calls of its driver.

    Its share of the guest's memory is the ring, tables and buffers; those of all rings are all that there is. That of
    the disk are the sectors that its requests write, those of other rings are elsewhere (Client).
    """

    memory: bytes
    region: bytes
    calls: int
    disk: bytes

    @classmethod
    def of(cls, front_end: StoppingFrontEnd, queue: int) -> Seen:
        """Copy it; nobody but the back-end may move."""
        held, place = front_end.inflight, front_end.ram.places[queue]
        assert held is not None
        call, share = front_end.calls[queue], held.size // front_end.ram.queues
        calls = _taken(call)
        _give(call, calls)
        memory = front_end.ram.memory.view(place.ring, place.end - place.ring)
        sectors = front_end.ram.queue_size * SECTOR
        disk = os.pread(front_end.disk, sectors, queue * sectors)
        return cls(bytes(memory), bytes(held.view(queue * share, share)), calls, disk)

    def changed(self, later: Seen) -> list[str]:
        """Say what is otherwise later."""
        return [text for name, text in _CHANGED.items() if getattr(self, name) != getattr(later, name)]


_CHANGED = {
    "memory": "the guest's memory changed",
    "region": "the region changed",
    "calls": "a notification came",
    "disk": "the disk changed",
}


class StoppingFrontEnd(FrontEnd):
    """See FrontEnd; whoever has to move before a reply can come does so in ``meanwhile``.

    ``stopped`` has each ring that was stopped and not started again, with what there was of it before the last move
    before its answer, by which `will_move` was called. One that is asked again has to be as it was the first time.
    ``disk`` is the image, open to be read.
    """

    disk = -1
    meanwhile: Callable[[], None] | None = None
    _asked = 0

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """Prepare; nothing is stopped."""
        self.stopped: dict[int, Seen] = {}
        self._seen: Seen | None = None
        super().__init__(*arguments, **options)

    def stop_alone(self, queue: int) -> None:
        """Stop one ring; the others run on."""
        self._send(Request.SET_VRING_ENABLE, VringState(queue, 0))
        self.stop_ring(queue)

    def stop_ring(self, queue: int) -> None:
        """See FrontEnd."""
        self._asked = queue
        self.will_move()
        super().stop_ring(queue)
        assert self._seen is not None
        self.stopped.setdefault(queue, self._seen)

    def will_move(self) -> None:
        """Look at the ring that is asked to stop: the back-end has not answered, and is about to move."""
        self._seen = Seen.of(self, self._asked)

    def changed(self) -> list[str]:
        """Say what is otherwise of the rings that are stopped."""
        return [
            f"{what} (ring {queue})" if queue else what
            for queue, seen in self.stopped.items()
            for what in seen.changed(Seen.of(self, queue))
        ]

    def _give_ring(self, queue: int) -> None:
        self.stopped.pop(queue, None)
        super()._give_ring(queue)

    def _reply(self, request: Request, kind: type[_P]) -> _P:
        if self.meanwhile is not None:
            self.meanwhile()
        return super()._reply(request, kind)

    def look(self) -> None:
        """Say what changes nothing, and wait for an answer."""
        self._send(Request.SET_VRING_CALL, VringFd(0), self.calls[0])
        self._ask_number(Request.GET_FEATURES)


class StoppingRig(Rig):
    """See Rig; the back-end is always steered. The second of ``ends`` is where the guest may migrate to."""

    def __init__(self, folder: Path, shape: Shape, seed: int, pair: Pair) -> None:
        """Make both memories, and start the driver in the first."""
        check_socket(folder / "elsewhere")
        self.pair, self.generation = pair, pair.back
        self.patience = _MOVES + _FOR_EACH * shape.size * shape.queues
        super().__init__(folder, shape, seed, SteeredGuest)

    def _front_ends(self, stack: contextlib.ExitStack) -> list[FrontEnd]:
        disk = os.open(self.image, os.O_RDONLY | os.O_CLOEXEC)
        stack.callback(os.close, disk)
        made = [self._front_end(stack, name, StoppingFrontEnd, self.pair.front) for name in ("socket", "elsewhere")]
        for end in made:
            end.disk = disk
        return [*made]

    def _bystanders(self, stack: contextlib.ExitStack) -> Bystanders:
        made = Bystanders()
        for queue in range(1, self.shape.queues):
            judge = self.judge(queue)
            made.append(Bystander(self._places(queue), self.image, judge, self.seed, by_index=self._by_index))
            stack.callback(made[-1].close)
        return made

    @property
    def here(self) -> StoppingFrontEnd:
        """The front-end where the guest is."""
        assert isinstance(self.front_end, StoppingFrontEnd)
        return self.front_end

    def _watch(self, reins: BackEndReins) -> None:
        """See the err eventfds too: that a ring is given up after a stop that lost requests is the verdict."""
        assert self.here.connection is not None
        reins.watch(self.here.connection.fileno(), *self.here.errs)

    def _ended_or_gave_up(self, what: str) -> None:
        """See Rig; one that gave a ring up and serves others does what it was ordered, and is waited for."""
        connection = self.here.connection
        if self.reins is not None and connection is not None:
            with contextlib.suppress(InflightError, OSError):
                connection.send(Message(Request.GET_QUEUE_NUM))
                while not self.reins.settled():
                    with connection.receive() as received:
                        if received.message.request is Request.GET_QUEUE_NUM:
                            break
        super()._ended_or_gave_up(what)

    def steered(self) -> BackEndReins:
        """Give the reins of the back-end that lives."""
        assert self.reins is not None
        return self.reins

    @property
    def drains(self) -> bool:
        """Whether the back-end has to finish everything before it answers: message 45 never, 11 as negotiated."""
        may = self.pair.back == "may-suspend" and not SUSPEND & ~self.here.protocol_features
        return not (may or self.here.stops_by is Request.GET_VRING_BASE_SKIP_DRAIN)

    def answered(self) -> bool:
        """Whether the back-end has said something on the connection, or has closed it."""
        assert self.here.connection is not None
        return bool(select.select([self.here.connection], [], [], 0)[0])

    @property
    def stopped(self) -> Collection[int]:
        """The rings that were stopped and not yet started again."""
        return self.here.stopped

    @property
    def some_run(self) -> bool:
        """Whether a ring runs."""
        return len(self.stopped) < self.shape.queues

    # Stopping

    def stop(self, meanwhile: Callable[[], None], *, alone: bool) -> None:
        """Ask the back-end to stop every ring (alone: ring 0), and wait for each answer.

        ``meanwhile`` lets all move until the answer is there. It uses ``one_move``. Raises what it raises, and
        GaveUpError and CrashTestError when the back-end ends.
        """
        with self._waiting(meanwhile):
            if alone:
                self.here.stop_alone(0)
            else:
                self.here.stop()

    def one_move(self) -> Order | None:
        """Let the back-end make a move; return what it says then, None: it has answered.

        Each store of a back-end is reported, so what is seen before its last move is what there is when it answers.
        """
        self.here.will_move()
        said = self.steered().go_or_answer()
        self.beside.passed(1)
        return said

    def move_beside(self) -> Order | None:
        """Let a back-end, and the bystanders, make a move while ring 0 is stopped; None: there is nothing to do.

        A kick that it does not heed is nothing to do. It may look for one, and is not made to wait for it.
        """
        reins = self.steered()
        self.beside.move(idle=not reins.can_move(self.kicks()), stopped=self.stopped)
        self.beside.passed(1)
        if not (rests := reins.at.what == "rest") or reins.can_move(self.kicks()):
            said = self._said("look" if rests else "go")
            if not (rests and said.what == "rest"):
                return said
        return self._said("later") if reins.at.choice else None

    def _said(self, order: str) -> Order:
        """Give an order to a back-end that is sent no message, and return what it says. Raises CrashTestError."""
        said = self.steered().go_or_answer(order)
        if said is None:
            self._ended_or_gave_up("it said something unasked")
            raise CrashTestError("the back-end is gone")
        return said

    @contextlib.contextmanager
    def _waiting(self, meanwhile: Callable[[], None]) -> Iterator[None]:
        """Let ``meanwhile`` be called before a reply is read, and the back-end's end be told of."""
        self.here.meanwhile = meanwhile
        try:
            yield
        except (GaveUpError, CrashTestError):
            raise
        except InflightError as error:
            self._ended_or_gave_up(str(error))
            raise
        finally:
            self.here.meanwhile = None

    def look_on(self) -> list[str]:
        """Let a back-end that stopped ring 0 answer messages and be kicked; return what it said besides."""
        steps: list[str] = []
        kick = self.here.kicks[0]
        kicks = _taken(kick)
        os.eventfd_write(kick, 1)
        with self._waiting(lambda: self._follow(steps)), contextlib.suppress(_GoesOnError):
            for _ in range(2):
                self.here.look()
        _taken(kick)
        _give(kick, kicks)
        if self.some_run and steps:
            steps.append(self._said("go").what)  # it is owed: the last order let it answer first
        return steps

    def went_on(self, steps: Collection[str]) -> list[str]:
        """Say what of that a back-end must not have done, and what is otherwise of the rings that are stopped."""
        others = () if not self.some_run else ("rest", *(step for step in steps if step[0].isdigit()))
        wrong = [step for step in steps if step not in others]
        own = [step for step in wrong if step not in WORDS]
        went_on = [f"it went on ({', '.join(own[:8]) or 'its main loop'})"] if wrong else []
        return went_on + self.here.changed()

    def _follow(self, steps: list[str]) -> None:
        """Let a back-end that was to rest do what it does until it answers."""
        said = self.steered().listen()
        while said is not None:
            steps.append(said.what)
            if len(steps) == _LOOK_ON and not self.some_run:
                raise _GoesOnError
            if len(steps) == self.patience:
                raise GaveUpError("the back-end does not answer GET_FEATURES")
            said = self.steered().go_or_answer("later" if said.what == "rest" and said.choice else "go")

    # The rings beside

    def judge_beside(self, kill: int, step: str) -> None:
        """Judge the lives of the rings beside, which end as that of the process does; nobody moves any more."""
        for one in self.beside:
            one.judge.died(kill, step, one.taken(), self.lines(one.queue), self.region(one.queue))

    def judge_stopped(self, kill: int, step: str) -> Iterator[int]:
        """Judge the lives of the rings beside, which ended with answers; give how many requests of each are left."""
        for one in self.beside:
            told = one.taken(), self.lines(one.queue), self.region(one.queue)
            yield one.judge.stopped(kill, step, *told, base=self.here.bases[one.queue], drained=self.drains)

    # Starting again

    def start_again(self, way: str, seed: int, stops: Collection[str], *, kill: bool) -> list[str]:
        """Start what was stopped, in one of WAYS, and return what the one that was suspended did meanwhile.

        The process that is left is killed, or it is only disconnected, and ended later.
        """
        if way == WAYS[0] and self.some_run:
            self.here.start_ring(0)
            return []
        if way == WAYS[0]:
            with self._waiting(lambda: None):
                self.here.start()
            self.steered().hear()
            return []
        left = self._leave(kill=kill)
        try:
            if way == WAYS[1]:
                self.start_steered(seed, stops)
                return []
            return self._migrate(seed, stops)
        finally:
            left.close()

    def _leave(self, *, kill: bool) -> ForkedBackEnd:
        """Disconnect from the back-end, and let go of its reins; return the process, which may live."""
        assert self.back_end is not None
        left, self.back_end = self.back_end, None
        if kill:
            left.dies()
        self.steered().close()
        self.reins = None
        self.here.disconnect()
        return left

    def _migrate(self, seed: int, stops: Collection[str]) -> list[str]:
        """Take the guest to the other memory, with what the stream brings, and start the device there."""
        source, there = self.ends
        assert isinstance(source, StoppingFrontEnd)
        assert isinstance(there, StoppingFrontEnd)
        stream = io.BytesIO()
        source.save(stream)
        there.ram.memory.view()[:] = source.ram.memory.view()
        for queue, (call, theirs) in enumerate(zip(source.calls, there.calls, strict=True)):
            _give(theirs, _taken(call))  # an interrupt that is pending goes with the guest
            source.stopped[queue] = replace(source.stopped[queue], calls=0)
        there.held.free()
        there.load(io.BytesIO(stream.getvalue()))
        there.bases, there.stopped = list(source.bases), dict(source.stopped)
        self.ends.reverse()
        self.tell_driver("move")
        for one in self.beside:
            one.move()
        self.start_steered(seed, stops)
        changed = source.changed()
        source.stopped = {}
        source.held.free()
        return changed


class _GoesOnError(Exception):
    """A back-end that was to rest does not."""


def _taken(fd: int) -> int:
    """Return what an eventfd counts, and count from 0 again."""
    try:
        return os.eventfd_read(fd)
    except BlockingIOError:
        return 0


def _give(fd: int, count: int) -> None:
    """Add to an eventfd."""
    if count:
        os.eventfd_write(fd, count)
