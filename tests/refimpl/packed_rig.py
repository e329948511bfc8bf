"""A packed queue and its driver on shared memory, with a record of every step."""

from collections.abc import Callable
from typing import Any

from refimpl.choices import Choices
from refimpl.layout import region_at, region_size
from refimpl.memory import SharedMemory
from refimpl.packed.driver import PackedDriver
from refimpl.packed.queue import PackedQueue
from refimpl.packed.ring import PackedRing, packed_ring_bytes
from refimpl.split.chain import Buffer
from tests.refimpl.rig import CrashError


class PackedRig:
    """One ring, one region, one driver, and as many lives of a back-end as a test wants."""

    def __init__(
        self,
        gaps: dict[str, str] | None = None,
        revision: str = "hardened",
        size: int = 4,
        entries: int | None = None,
        *,
        event_index: bool = False,
    ) -> None:
        """Make an empty ring and a fresh region."""
        self.choices = Choices.from_mapping(gaps or {}, revision, "packed")
        entries = size if entries is None else entries
        self.region_offset = -(-packed_ring_bytes(size) // 64) * 64
        total = self.region_offset + region_size("packed", revision, entries)
        with SharedMemory.create(total, "rig") as memory:
            self.view = memory.view()  # keeps the mapping, without a descriptor
        self.ring = PackedRing.at(self.view, size)
        self.region: Any = region_at(self.view[self.region_offset :], "packed", revision, entries)
        self.event_index = event_index
        self.steps: list[tuple[str, int | None]] = []
        self.submitted: list[int] = []
        self.given: dict[int, list[tuple[int, int, int]]] = {}
        self.calls = 0
        self.kicks = 0
        self.made = 0
        self.on_step: Callable[[str, int | None], None] = lambda _step, _choice: None
        self.driver = PackedDriver(self.ring, self._hook, event_index=event_index)

    def _hook(self, step: str, choice: int | None) -> None:
        self.steps.append((step, choice))
        self.on_step(step, choice)

    def queue(self, **more: Any) -> PackedQueue:
        """Return a new life of the back-end, not yet started; what its device holds dies with the one before."""
        self.submitted.clear()
        self.given.clear()
        more.setdefault("event_index", self.event_index)

        def submit(entry: int) -> None:
            self.submitted.append(entry)
            self.given[entry] = [(desc.id, desc.addr, desc.len) for desc in queue.given]

        queue = PackedQueue(
            self.ring,
            self.region,
            self.choices,
            self._hook,
            submit=submit,
            kick_taken=self._kick_taken,
            call=self._call,
            **more,
        )
        return queue

    def started(self, **more: Any) -> PackedQueue:
        """Return a new life of the back-end that has recovered, and forget the steps so far."""
        queue = self.queue(**more)
        queue.start()
        self.steps.clear()
        return queue

    def _kick_taken(self) -> None:
        self.kicks += 1

    def _call(self) -> None:
        self.calls += 1

    def make(self, *chains: tuple[int, int]) -> None:
        """Let the driver make requests available, each an id and a number of descriptors; the steps are not kept."""
        kept = list(self.steps)
        for identity, number in chains:
            self.made += 1
            self.driver.make([Buffer(0x1000 * self.made + part, 512 + part) for part in range(number)], identity)
        self.steps[:] = kept

    def fetch(self, queue: PackedQueue, *chains: tuple[int, int]) -> list[int]:
        """Make requests available and fetch them; the steps of that are not kept. Return their entries."""
        kept = list(self.steps)
        self.make(*chains)
        entries = []
        for _ in chains:
            queue.look()
            entries.append(queue.take())
        self.steps[:] = kept
        return entries

    def ids(self) -> list[str]:
        """Return the ids of the steps so far."""
        return [step for step, _ in self.steps]

    def inflight(self) -> list[int]:
        """Return the inflight field of each entry."""
        return [entry.inflight for entry in self.region.desc]

    def free_list(self) -> list[int]:
        """Return the entries of the free list, as far as it goes without a cycle."""
        found: list[int] = []
        number = self.region.free_head
        while number < len(self.region.desc) and number not in found:
            found.append(number)
            number = self.region.desc[number].next
        return found

    def header(self) -> tuple[int, ...]:
        """Return free_head, used_idx, used_wrap_counter, and the three old ones."""
        fields = ("free_head", "used_idx", "used_wrap_counter")
        return tuple(getattr(self.region, prefix + field) for prefix in ("", "old_") for field in fields)

    def flags(self) -> list[int]:
        """Return the flags of each slot."""
        return [desc.flags for desc in self.ring.desc]


def crash_at(rig: PackedRig, step: str, number: int = 1) -> None:
    """Let the hook end the back-end right after the Nth report of a step."""
    left = number

    def crash(reported: str, _choice: int | None) -> None:
        nonlocal left
        left -= reported == step
        if left == 0:
            raise CrashError

    rig.on_step = crash
