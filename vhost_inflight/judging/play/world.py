"""The world around one back-end: its memory, the driver, the device, the eventfds; all in one process, no threads.

What is the same for both rings is here; vhost_inflight.judging.play.split.world and .packed_world have the rest.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from enum import Enum
from typing import Any, Protocol

from refimpl.backend.queue import Queue
from refimpl.choices import Choices
from refimpl.hooks import Hook
from refimpl.layout import region_at, region_size
from refimpl.memory import SharedMemory
from refimpl.packed.driver import PackedDriver
from refimpl.split.driver import SplitDriver
from refimpl.split.state import Choose, choose_first

__all__ = ["Device", "Driver", "Hand", "Memory", "Work"]

Driver = SplitDriver | PackedDriver


class Work(Enum):
    """How far the device is with a head."""

    WORKING = "working"
    FINISHED = "finished"
    IN_BATCH = "in the batch"


class Device:
    """A device that does nothing but keep what it was given; it dies with the back-end.

    ``work`` says how far it is with each head (packed: each entry), ``given`` what it was told to do (the number in the
    first descriptor's address), ``batch`` the heads of the batch that are not yet cleared in the region.
    """

    def __init__(self) -> None:
        """Begin with nothing to do."""
        self.work: dict[int, Work] = {}
        self.given: dict[int, int] = {}
        self.batch: list[int] = []

    def submit(self, head: int, number: int) -> None:
        """Begin to work on a head; what it was told before is forgotten."""
        self.work[head] = Work.WORKING
        self.given[head] = number

    def finish(self, head: int) -> bool:
        """Finish a head; return False if the device does not work on it."""
        if self.work.get(head) is not Work.WORKING:
            return False
        self.work[head] = Work.FINISHED
        return True

    def take(self, head: int) -> bool:
        """Hand a finished head over to a batch; return False if it is not finished."""
        if self.work.get(head) is not Work.FINISHED:
            return False
        self.work[head] = Work.IN_BATCH
        self.batch.append(head)
        return True

    def cleared(self) -> None:
        """Forget the first head of the batch, unless it has come back to the device meanwhile."""
        head = self.batch.pop(0)
        if self.work[head] is Work.IN_BATCH:
            del self.work[head]

    def heads(self, work: Work) -> list[int]:
        """Return the heads that are this far, the lowest first."""
        return sorted(head for head, state in self.work.items() if state is work)

    def used_len(self, head: int) -> int:
        """Return the number of bytes that the device says it wrote: the number that it was given."""
        return self.given.get(head, 0)


class Memory(ABC):
    """A ring and a region on one memfd, with the choices that say what the region looks like.

    ``image`` gives all bytes, and takes them: a copy of a moment to try something on. ``base`` is what SET_VRING_BASE
    will say to the next back-end; None: that of a split ring that was never stopped, and says it itself.
    """

    ring: Any

    def __init__(self, choices: Choices, size: int, entries: int, first: int = 0, image: bytes | None = None) -> None:
        """Make them: the ring begins at ``first`` (an index, a position), the region is fresh; or as in ``image``."""
        self.choices, self.size, self.entries, self.first = choices, size, entries, first
        self.base: int | None = None
        self.region_offset = -(-self._ring_bytes() // 64) * 64
        total = self.region_offset + region_size(choices.ring, choices.revision, entries)
        with SharedMemory.create(total, "vhost-inflight judging") as memory:
            self._bytes = memory.view()  # keeps the mapping, without a descriptor
        self.ring = self._lay(self._bytes)
        self.region: Any = region_at(self._bytes[self.region_offset :], choices.ring, choices.revision, entries)
        if image is None:
            self.clear(region=True)
        else:
            self.restore(image)

    def copy(self, image: bytes) -> Memory:
        """Return another memory with the same choices, sizes and base, and these bytes."""
        other = type(self)(self.choices, self.size, self.entries, self.first, image)
        other.base = self.base
        return other

    def restore(self, image: bytes) -> None:
        """Have these bytes again, in place."""
        self._bytes[:] = image

    @property
    def image(self) -> bytes:
        """All bytes: the ring from 0, the region from ``region_offset``."""
        return bytes(self._bytes)

    @property
    def region_image(self) -> bytes:
        """The bytes of the region."""
        return bytes(self._bytes[self.region_offset :])

    def clear(self, *, region: bool) -> None:
        """Give the driver a new ring, and with ``region`` the back-end a fresh region."""
        end = len(self._bytes) if region else self.region_offset
        self._bytes[:end] = bytes(end)
        self.base = self._first_base()

    def forget_region(self) -> None:
        """Let the region be a fresh one, and the ring go on."""
        self._bytes[self.region_offset :] = bytes(len(self._bytes) - self.region_offset)

    def _first_base(self) -> int | None:
        """Return what SET_VRING_BASE says of a ring that has not run."""
        return None

    def hand_over(self) -> bool:
        """With init-order=before-hand-over, initialise a fresh region as the front-end gets it; return whether."""
        if self.choices.init_order != "before-hand-over" or self.region.version:
            return False
        self._prepare()
        return True

    @abstractmethod
    def _ring_bytes(self) -> int:
        """Return how many bytes the ring takes."""

    @abstractmethod
    def _lay(self, view: memoryview) -> Any:
        """Lay the ring over its bytes."""

    @abstractmethod
    def _prepare(self) -> None:
        """Initialise the region unseen."""

    @abstractmethod
    def told(self, head: int) -> int:
        """Return the number in the address of a request's first descriptor, as the back-end has it."""

    @abstractmethod
    def driver(self, hook: Hook, kick: Callable[[], None], call_taken: Callable[[], None]) -> Driver:
        """Return a new driver of the ring, that believes what the device says, as the one of the model does."""

    @abstractmethod
    def queue(
        self,
        hook: Hook,
        submit: Callable[[int], None],
        *,
        call: Callable[[], None] = lambda: None,
        kick_taken: Callable[[], None] = lambda: None,
        used_len: Callable[[int], int] = lambda _head: 0,
        choose: Choose = choose_first,
    ) -> Queue:
        """Return a new back-end process, not yet started, that checks nothing but the safety of memory."""

    @abstractmethod
    def fields(self) -> dict[str, int]:
        """Return every field with its value: ``region.desc[0].inflight`` ..."""

    @abstractmethod
    def picture(self) -> list[str]:
        """Return lines that show the ring's elements and the region's list, for a reader of a replay."""


class Hand(Protocol):
    """Plays the driver's steps that differ between the rings, and tells the judge."""

    def step(self, name: str, choice: int | None) -> bool:
        """Take a step, ``driver.make.1`` with the id ``choice``; return False if it is none of these."""

    def next_step(self, making: str) -> str:
        """Return the step that ends soonest what the driver has begun with the step ``making``."""
