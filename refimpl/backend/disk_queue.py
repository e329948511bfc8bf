"""What the device does with the requests of one queue: hold them back, and finish them out of order and in batches.

A device that finished each request at once would never show what recovery is for. So requests are held back until
there are ``hold`` of them, then all of them are finished in the order of the schedule, in batches; and when nothing
more comes for ``idle`` seconds, or the ring is drained, whatever is held back is finished, so that nothing hangs.
"""

import json
import os
import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from refimpl.backend.disk import BlkRequest, Disk
from refimpl.documents import DocumentError, read_document, shown
from refimpl.errors import InflightError, UsageError
from refimpl.hooks import Hook

ORDERS: Final = ("shuffle", "reverse", "fifo")
"""Orders of completion with a name: by the seed, the newest first, the oldest first."""

_EXAMPLE: Final = '{"hold": 4, "order": "shuffle", "batch": 2, "idle": 0.2}'

BATCH_MAX: Final = 8
"""Most requests in a batch when the schedule does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """What is held back and in which order it is finished.

    ``hold``: how many requests are held back before any is finished; ``keep``: how many of these are held back still,
    the last ones in the order. ``order``: one of ORDERS, or heads; heads that are not named come last, the oldest
    first. ``batch``: how many are finished and supplied together; None draws it anew each time, 1 to 8. ``idle``:
    seconds without a new request after which all that is held back is finished.
    Raises UsageError for a value that is none of these.
    """

    hold: int = 4
    order: str | tuple[int, ...] = "shuffle"
    batch: int | None = None
    idle: float = 0.005
    keep: int = 0

    def __post_init__(self) -> None:
        """Check the values."""
        if not _is_whole(self.hold) or self.hold < 1:
            raise UsageError(f"schedule: hold is {shown(self.hold)}, not a positive number")
        if not _is_whole(self.keep) or not 0 <= self.keep < self.hold:
            raise UsageError(f"schedule: keep is {shown(self.keep)}, not a number from 0 to below hold")
        if self.batch is not None and (not _is_whole(self.batch) or self.batch < 1):
            raise UsageError(f"schedule: batch is {shown(self.batch)}, not a positive number")
        heads = isinstance(self.order, tuple) and all(_is_whole(head) for head in self.order)
        if not heads and self.order not in ORDERS:
            raise UsageError(f"schedule: order is {shown(self.order)}, neither heads nor one of {', '.join(ORDERS)}")
        if isinstance(self.idle, bool) or not isinstance(self.idle, int | float) or not 0 <= self.idle <= 3600:
            raise UsageError(f"schedule: idle is {shown(self.idle)}, not seconds up to 3600")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a schedule from a JSON file; ``idle`` is 0.2 there if not said, to let a slow driver fill ``hold``.

        Raises InflightError for a file that cannot be read or is no JSON object, UsageError for what is in it.
        """
        try:
            content: Any = read_document(path)
        except OSError as error:
            raise InflightError(f"schedule {path}: {error.strerror}") from error
        except DocumentError as error:
            raise InflightError(f"schedule {error}") from error
        if not isinstance(content, dict):
            raise InflightError(f"schedule {path}: not a JSON object, such as {_EXAMPLE}")
        unknown = content.keys() - {"hold", "order", "batch", "idle", "keep"}
        if "schedule" in unknown:
            raise UsageError(f"schedule {path}: steps, as `replay` plays them; wanted is an object such as {_EXAMPLE}")
        if unknown:
            raise UsageError(f"schedule {path}: there is no {', '.join(sorted(unknown))}; an example: {_EXAMPLE}")
        if isinstance(content.get("order"), list):
            content["order"] = tuple(content["order"])
        return cls(**{"idle": 0.2, **content})


def _is_whole(value: object) -> bool:
    """Return whether ``value`` is an integer; True and False are not."""
    return isinstance(value, int) and not isinstance(value, bool)


class Trace:
    """A file with one line of JSON for each request that the device got or finished, for a judge to read afterwards.

    A line is one write to a file opened for appending: of a process that is killed, each line is there whole or not at
    all, and the lines of its successor follow. Fields: ``step`` (``split.reconnect.2``, ``split.fetch.submit`` or
    ``device.finish``; on a packed ring ``packed.reconnect.4.submit``, ``packed.fetch.submit``), ``queue``, ``head`` (on
    a packed ring the entry), ``id`` (the buffer id, on a split ring the head), ``type``, ``sector``, ``length``
    (bytes), ``tag`` (of BlkRequest), ``pid``.
    """

    def __init__(self, path: Path | None) -> None:
        """Open the file; None is no trace. Raises InflightError when it cannot be opened."""
        self._fd = -1
        if path is not None:
            try:
                self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
            except OSError as error:
                raise InflightError(f"trace {path}: {error.strerror}") from error

    def write(self, step: str, queue: int, request: BlkRequest) -> None:
        """Append one line."""
        if self._fd < 0:
            return
        line = {
            "step": step,
            "queue": queue,
            "head": request.head,
            "id": request.identity,
            "type": request.type,
            "sector": request.sector,
            "length": request.length,
            "tag": request.tag,
            "pid": os.getpid(),
        }
        os.write(self._fd, json.dumps(line).encode() + b"\n")

    def close(self) -> None:
        """Close the file. A second call does nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        """Return this trace, to be closed at the end of the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()


class BlkQueue:
    """The device's side of one queue: requests held back, and requests finished and not yet supplied."""

    def __init__(
        self,
        disk: Disk,
        read: Callable[[int], BlkRequest],
        *,
        number: int,
        schedule: Schedule,
        rng: random.Random,
        trace: Trace,
        hook: Hook,
        packed: bool = False,
        clock: Callable[[], float] = time.monotonic,
        wrote: Callable[[BlkRequest], None] = lambda _request: None,
    ) -> None:
        """Begin with nothing. ``read(head)`` gives the request of a head (on a packed ring: of an entry).

        ``number`` is the queue's; ``packed`` says which steps the trace has; ``clock`` gives the time in seconds;
        ``wrote`` is told what was performed.
        """
        self._submitted = "packed.fetch.submit" if packed else "split.fetch.submit"
        self._resubmitted = "packed.reconnect.4.submit" if packed else "split.reconnect.2"
        self.disk = disk
        self.number = number
        self.schedule = schedule
        self.rng = rng
        self.trace = trace
        self.hook = hook
        self.read = read
        self.clock = clock
        self.wrote = wrote
        self.recovering = False
        self.resubmitted: list[int] = []
        self.held: list[BlkRequest] = []
        self.round: deque[BlkRequest] = deque()
        self.finished: deque[int] = deque()
        self.lengths: dict[int, int] = {}
        self.latest = 0.0

    def submit(self, head: int) -> None:
        """Take a request, while ``recovering`` one that is resubmitted. Raises DriverError for a wrong chain."""
        request = self.read(head)
        self.held.append(request)
        self.latest = self.clock()
        if self.recovering:
            self.resubmitted.append(request.identity)
        self.trace.write(self._resubmitted if self.recovering else self._submitted, self.number, request)

    @property
    def deadline(self) -> float | None:
        """When (by the clock) something is to be finished even if nothing more comes; None: never."""
        if self.round or len(self.held) >= self.schedule.hold:
            return 0.0
        return self.latest + self.schedule.idle if self.held else None

    def due(self) -> bool:
        """Return whether something is to be finished now."""
        deadline = self.deadline
        return deadline is not None and deadline <= self.clock()

    def finish(self) -> None:
        """Finish one batch, to be supplied by ``next_finished`` and ``used_len``."""
        if not self.round:
            kept = self.schedule.keep if len(self.held) >= self.schedule.hold else 0
            ordered = self._ordered()
            self.round.extend(ordered[: len(ordered) - kept])
            self.held = [request for request in self.held if request in ordered[len(ordered) - kept :]]
        number = self.schedule.batch or self.rng.randint(1, BATCH_MAX)
        for _ in range(min(number, len(self.round))):
            self._perform(self.round.popleft())

    def finish_one(self, head: int) -> None:
        """Finish one request that is held back, for ``take``. Raises UsageError when it is not."""
        request = next((held for held in self.held if held.head == head), None)
        if request is None:
            raise UsageError(f"head {head} is not held back")
        self.held.remove(request)
        self._perform(request)

    def take(self, head: int) -> int:
        """Return a head that is finished and not yet in a batch. Raises UsageError when it is not."""
        if head not in self.finished:
            raise UsageError(f"head {head} is not finished")
        self.finished.remove(head)
        return head

    def _perform(self, request: BlkRequest) -> None:
        """Do what a request asks for, and have it finished."""
        self.lengths[request.head] = request.perform(self.disk)
        self.wrote(request)
        self.trace.write("device.finish", self.number, request)
        self.finished.append(request.head)
        self.hook("device.finish", request.head)

    @property
    def busy(self) -> bool:
        """Whether any request is not finished."""
        return bool(self.held or self.round)

    @property
    def unsupplied(self) -> int:
        """How many requests the device has, finished or not."""
        return len(self.held) + len(self.round) + len(self.finished)

    def next_finished(self) -> int | None:
        """Return the next finished head of the batch, None at its end."""
        return self.finished.popleft() if self.finished else None

    def used_len(self, head: int) -> int:
        """Return how many bytes the request wrote to the guest's memory."""
        return self.lengths[head]

    def _ordered(self) -> list[BlkRequest]:
        """Return what is held back in the order of the schedule."""
        order = self.schedule.order
        if isinstance(order, tuple):
            places = {head: place for place, head in reversed(list(enumerate(order)))}
            return sorted(self.held, key=lambda request: places.get(request.head, len(order)))
        if order == "reverse":
            return self.held[::-1]
        requests = list(self.held)
        if order == "shuffle":
            self.rng.shuffle(requests)
        return requests
