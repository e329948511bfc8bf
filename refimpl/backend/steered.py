"""A ring of a back-end that is steered: it takes its steps as ordered, or does its own turns between reports."""

import contextlib
from collections.abc import Callable, Sequence

from refimpl.backend.device import Device
from refimpl.backend.dirty import DirtyLog
from refimpl.backend.disk_queue import BlkQueue
from refimpl.backend.memory import MappedMemory
from refimpl.backend.queue import Queue
from refimpl.backend.reins import Order, Reins
from refimpl.backend.ring import Vring
from refimpl.errors import UsageError
from refimpl.split.state import Counter


class SteeredVring(Vring):
    """See Vring. Once it was told to take a step, it takes none of itself but those of recovery.

    Steps are ordered of ring 0 alone. Any other takes its turns, and reports its steps with its number: ``1:STEP``.
    """

    def __init__(self, number: int, device: Device, memory: MappedMemory, counter: Counter, log: DirtyLog) -> None:
        """Begin stopped and disabled."""
        super().__init__(number, device, memory, counter, log)
        assert device.reins is not None
        self._reins: Reins = device.reins
        if not number:
            self._reins.obey = self._obey
        self._ordered = False

    @property
    def ready(self) -> bool:
        """Whether there is something to do without waiting for a kick."""
        return super().ready or (self._ordered and self.queue is not None)

    def turn(self) -> None:
        """Take steps as ordered, until the main loop is to go on."""
        if self.number:
            super().turn()
            return
        while self.queue is not None:
            order = self._reins.ask("turn")
            if order.what == "go":
                self._ordered = False
                super().turn()
                return
            if order.what == "listen":
                return
            self._obey(order)

    def _obey(self, order: Order) -> None:
        """Take a step, and those that belong to it; one whose turn it is not is not taken. Raises as they do."""
        with contextlib.suppress(UsageError):
            self._begin(order)

    def _begin(self, order: Order) -> None:
        """Take a step. Raises UsageError when it is not its turn."""
        if self.queue is None or self.blk is None:
            raise UsageError(f"{order.what} of a ring that does not run")
        self._ordered = True
        kind, _, name = order.what.partition(".")
        head = -1 if order.choice is None else order.choice
        if (kind, name) == ("device", "finish"):
            self.blk.finish_one(head)
        elif kind != self.kind:
            raise UsageError(f"{order.what} of a {self.kind} ring")
        elif name == "supply.1":
            self._supply_as_ordered(self.queue, self.blk, head)
        elif name in _STEPS:
            _STEPS[name](self.queue)
        else:
            raise UsageError(f"{order.what} begins nothing")

    def _supply_as_ordered(self, queue: Queue, blk: BlkQueue, first: int) -> None:
        """Supply a batch: its first request, and which come next is asked each time."""
        begun = [first]

        def next_finished() -> int | None:
            if begun:
                return blk.take(begun.pop())
            order = self._reins.ask("next")
            return None if order.what == "go" or order.choice is None else blk.take(order.choice)

        queue.supply(next_finished)

    def _recover(self, recover: Callable[[], None]) -> None:
        """Run a recovery; among requests that may be resubmitted next, the next one is asked for."""
        if self.queue is not None:
            self.queue.choose = self._choose
        super()._recover(recover)

    def _call(self) -> None:
        """Notify the driver, which can go on from here."""
        super()._call()
        self._reins.wait_next()

    def _choose(self, candidates: Sequence[int]) -> int:
        if len(candidates) == 1:
            return candidates[0]
        wanted = self._reins.ask("which").choice
        return wanted if wanted is not None and wanted in candidates else candidates[0]

    def _step(self, step: str, choice: int | None) -> None:
        """Report a step of the queue; what is fetched inside a batch is ordered, or its own doing."""
        if self._ordered:
            self._report(step, choice)
        else:
            super()._step(step, choice)

    def _report(self, step: str, choice: int | None) -> None:
        """Say whose step it was, where it is not ring 0's."""
        super()._report(f"{self.number}:{step}" if self.number else step, choice)


_STEPS: dict[str, Callable[[Queue], object]] = {
    "fetch.look": lambda queue: queue.look(),
    "fetch.1": lambda queue: queue.take(),
    "idle.arm": lambda queue: queue.arm(),
    "idle.unarmed": lambda queue: queue.arm(),
    "idle.look": lambda queue: queue.look_again(),
    "idle.wake": lambda queue: queue.wake(),
}
"""What each step that may be ordered begins, without the ring's name."""
