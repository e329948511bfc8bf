"""A split queue and its driver on shared memory, with a record of every step."""

from collections.abc import Callable
from typing import Any

import pytest

from refimpl.choices import Choices
from refimpl.layout import region_at, region_size
from refimpl.memory import SharedMemory, store
from refimpl.split.chain import Buffer
from refimpl.split.driver import SplitDriver
from refimpl.split.queue import SplitQueue
from refimpl.split.ring import SplitRing, ring_bytes


class CrashError(Exception):
    """What a hook raises to end a process in the middle."""


class Rig:
    """One ring, one region, one driver, and as many lives of a back-end as a test wants."""

    def __init__(
        self,
        gaps: dict[str, str] | None = None,
        revision: str = "merged",
        size: int = 4,
        entries: int | None = None,
        first_index: int = 0,
        *,
        event_index: bool = True,
    ) -> None:
        """Make a ring whose indexes begin at ``first_index``, and a fresh region."""
        self.choices = Choices.from_mapping(gaps or {}, revision)
        entries = size if entries is None else entries
        offset = -(-ring_bytes(size) // 64) * 64
        with SharedMemory.create(offset + region_size("split", revision, entries), "rig") as memory:
            self.view = memory.view()  # keeps the mapping, without a descriptor
        self.ring = SplitRing.at(self.view, size)
        for part in (self.ring.avail, self.ring.used):
            store(part, "idx", first_index)
        store(self.ring.used_event, "event", first_index)
        store(self.ring.avail_event, "event", first_index)
        self.region: Any = region_at(self.view[offset:], "split", revision, entries)
        self.event_index = event_index
        self.steps: list[tuple[str, int | None]] = []
        self.submitted: list[int] = []
        self.calls = 0
        self.kicks = 0
        self.on_step: Callable[[str, int | None], None] = lambda _step, _choice: None
        self.driver = SplitDriver(self.ring, self._hook, event_index=event_index)

    def _hook(self, step: str, choice: int | None) -> None:
        self.steps.append((step, choice))
        self.on_step(step, choice)

    def queue(self, **more: Any) -> SplitQueue:
        """Return a new life of the back-end, not yet started; what its device holds dies with the one before."""
        self.submitted.clear()
        more.setdefault("event_index", self.event_index)
        return SplitQueue(
            self.ring,
            self.region,
            self.choices,
            self._hook,
            submit=self.submitted.append,
            kick_taken=self._kick_taken,
            call=self._call,
            **more,
        )

    def started(self, **more: Any) -> SplitQueue:
        """Return a new life of the back-end that has recovered, and forget the steps so far."""
        queue = self.queue(**more)
        queue.start()
        self.steps.clear()
        return queue

    def _kick_taken(self) -> None:
        self.kicks += 1

    def _call(self) -> None:
        self.calls += 1

    def make(self, *heads: int) -> None:
        """Let the driver make one-buffer requests available; the steps of that are not kept."""
        kept = list(self.steps)
        for head in heads:
            self.driver.make([Buffer(0x1000 + head, 512)], head)
        self.steps[:] = kept

    def fetch(self, queue: SplitQueue, *heads: int) -> None:
        """Make requests available and fetch them; the steps of that are not kept."""
        kept = list(self.steps)
        self.make(*heads)
        for head in heads:
            queue.look()
            assert queue.take() == head
        self.steps[:] = kept

    def ids(self) -> list[str]:
        """Return the ids of the steps so far."""
        return [step for step, _ in self.steps]

    def inflight(self) -> list[int]:
        """Return the inflight field of each entry."""
        return [entry.inflight for entry in self.region.desc]


def batch(*heads: int) -> Callable[[], int | None]:
    """Return what supplies ``heads`` as one batch."""
    left = iter(heads)
    return lambda: next(left, None)


def interrupted(gaps: dict[str, str] | None = None, revision: str = "merged", **more: Any) -> Rig:
    """Return a rig whose back-end died right after it published 1 and 0 of 2, 1, 0."""
    rig = Rig(gaps, revision, **more)
    queue = rig.started()
    rig.fetch(queue, 2, 1, 0)
    crash_at(rig, "split.supply.5")
    with pytest.raises(CrashError):
        queue.supply(batch(1, 0))
    rig.on_step = lambda _step, _choice: None
    rig.steps.clear()
    return rig


def crash_at(rig: Rig, step: str, number: int = 1) -> None:
    """Let the hook end the back-end right after the Nth report of a step."""
    left = number

    def crash(reported: str, _choice: int | None) -> None:
        nonlocal left
        left -= reported == step
        if left == 0:
            raise CrashError

    rig.on_step = crash
