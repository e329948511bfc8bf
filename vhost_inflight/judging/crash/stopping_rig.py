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
from typing import TypeVar

from refimpl.backend.reins import Order
from refimpl.errors import InflightError
from refimpl.frontend.connection import FrontEnd
from refimpl.wire.codec import Request
from refimpl.wire.features import SUSPEND
from refimpl.wire.payload import Payload, VringFd
from vhost_inflight.forked import ForkedBackEnd
from vhost_inflight.judging.crash.faults import CrashTestError, GaveUpError, check_socket
from vhost_inflight.judging.crash.rig import Rig, Shape
from vhost_inflight.judging.crash.steered_guest import SteeredGuest
from vhost_inflight.judging.crash.steering import WORDS, BackEndReins
from vhost_inflight.judging.crash.stops import WAYS, Pair

__all__ = ["Seen", "StoppingFrontEnd", "StoppingRig"]

_LOOK_ON = 200
"""Steps of a back-end that goes on though it has answered, at most: enough to finish and publish all that it has."""

_P = TypeVar("_P", bound=Payload)


class StoppingFrontEnd(FrontEnd):
    """See FrontEnd; whoever has to move before a reply can come does so in ``meanwhile``."""

    meanwhile: Callable[[], None] | None = None

    def _reply(self, request: Request, kind: type[_P]) -> _P:
        if self.meanwhile is not None:
            self.meanwhile()
        return super()._reply(request, kind)

    def look(self) -> None:
        """Say what changes nothing, and wait for an answer."""
        self._send(Request.SET_VRING_CALL, VringFd(0), self.calls[0])
        self._ask_number(Request.GET_FEATURES)


@dataclass(frozen=True, slots=True)
class Seen:
    """All that a suspended device leaves alone: the guest's memory, the regions, how often the driver was notified."""

    memory: bytes
    region: bytes
    calls: int

    @classmethod
    def of(cls, front_end: FrontEnd) -> Seen:
        """Copy it; nobody but the back-end may move."""
        assert front_end.inflight is not None
        call = front_end.calls[0]
        calls = _taken(call)
        _give(call, calls)
        return cls(bytes(front_end.ram.memory.view()), bytes(front_end.inflight.view()), calls)

    def changed(self, later: Seen) -> list[str]:
        """Say what is otherwise later."""
        names = {"memory": "the guest's memory changed", "region": "the region changed", "calls": "a notification came"}
        return [text for name, text in names.items() if getattr(self, name) != getattr(later, name)]


class StoppingRig(Rig):
    """See Rig; the back-end is always steered. The second of ``ends`` is where the guest may migrate to."""

    def __init__(self, folder: Path, shape: Shape, seed: int, pair: Pair) -> None:
        """Make both memories, and start the driver in the first."""
        check_socket(folder / "elsewhere")
        self.pair, self.generation = pair, pair.back
        self._before: Seen | None = None
        self._beyond: Order | None = None
        super().__init__(folder, shape, seed, SteeredGuest)

    def _front_ends(self, stack: contextlib.ExitStack) -> list[FrontEnd]:
        return [self._front_end(stack, name, StoppingFrontEnd, self.pair.front) for name in ("socket", "elsewhere")]

    @property
    def here(self) -> StoppingFrontEnd:
        """The front-end where the guest is."""
        assert isinstance(self.front_end, StoppingFrontEnd)
        return self.front_end

    def _watch(self, reins: BackEndReins) -> None:
        """See the err eventfd too: a ring that its back-end gives up after a stop that lost requests is the verdict."""
        assert self.here.connection is not None
        reins.watch(self.here.connection.fileno(), self.here.errs[0])

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

    # Stopping

    def stop(self, meanwhile: Callable[[], None]) -> None:
        """Ask the back-end to stop the ring, and wait for the answer; ``meanwhile`` lets both move until it is there.

        It uses ``one_move``. Raises what it raises, and GaveUpError and CrashTestError when the back-end ends.
        """
        self._beyond = None
        with self._waiting(meanwhile):
            self.here.stop()

    def one_move(self) -> Order | None:
        """Let the back-end make a move; return what it says then, None: it has answered.

        Each store of a back-end is reported, so what is seen before its last move is what there is when it answers.
        """
        self._before = Seen.of(self.here)
        said = self.steered().go_or_answer()
        if said is not None and self.answered():  # one order, two things said: the answer came first
            self._beyond = said
            return None
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
        """Let a suspended back-end answer messages and be kicked; return what it did besides, which it must not."""
        steps: list[str] = []
        kick = self.here.kicks[0]
        kicks = _taken(kick)
        os.eventfd_write(kick, 1)
        with self._waiting(lambda: self._follow(steps)), contextlib.suppress(_GoesOnError):
            for _ in range(2):
                self.here.look()
        _taken(kick)
        _give(kick, kicks)
        own = [step for step in steps if step not in WORDS]
        went_on = [f"it went on ({', '.join(own[:8]) or 'its main loop'})"] if steps else []
        assert self._before is not None
        return went_on + self._before.changed(Seen.of(self.here))

    def _follow(self, steps: list[str]) -> None:
        """Let a back-end that was to rest do what it does until it answers."""
        said, self._beyond = self._beyond or self.steered().listen(), None
        while said is not None:
            steps.append(said.what)
            if len(steps) == _LOOK_ON:
                raise _GoesOnError
            said = self.steered().go_or_answer("later" if said.what == "rest" and said.choice else "go")

    # Starting again

    def start_again(self, way: str, seed: int, stops: Collection[str], *, kill: bool) -> list[str]:
        """Start the ring that was stopped, in one of WAYS, and return what the one that was suspended did meanwhile.

        The process that is left is killed, or it is only disconnected, and ended later.
        """
        if way == WAYS[0]:
            with self._waiting(lambda: None):
                self.here.start()
            self.steered().hear()
            return []
        left = self._leave(kill=kill)
        try:
            if way == WAYS[1]:
                self.start_steered(seed, stops, stopped=True)
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
        assert self._before is not None
        stream = io.BytesIO()
        source.save(stream)
        there.ram.memory.view()[:] = source.ram.memory.view()
        _give(there.calls[0], _taken(source.calls[0]))  # an interrupt that is pending goes with the guest
        there.held.free()
        there.load(io.BytesIO(stream.getvalue()))
        there.bases = list(source.bases)
        self.ends.reverse()
        self.tell_driver("move")
        self.start_steered(seed, stops, stopped=True)
        changed = replace(self._before, calls=0).changed(Seen.of(source))
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
