"""The world around one back-end: its memory, the driver, the device, the eventfds; all in one process, no threads."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

from refimpl.choices import Choices
from refimpl.hooks import Hook
from refimpl.layout import region_at, region_size
from refimpl.memory import SharedMemory, store
from refimpl.split_driver import SplitDriver
from refimpl.split_queue import SplitQueue
from refimpl.split_recover import prepare_region
from refimpl.split_ring import SplitRing, ring_bytes
from refimpl.split_state import Choose, choose_first

__all__ = ["Device", "Memory", "Work"]


class Work(Enum):
    """How far the device is with a head."""

    WORKING = "working"
    FINISHED = "finished"
    IN_BATCH = "in the batch"


class Device:
    """A device that does nothing but keep what it was given; it dies with the back-end.

    ``work`` says how far it is with each head, ``given`` what it was told to do (the number in the descriptor's
    address), ``batch`` the heads of the batch that are not yet cleared in the region.
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


class Memory:
    """A ring and a region on one memfd, with the choices that say what the region looks like.

    ``image`` gives all bytes, and takes them: a copy of a moment to try something on.
    """

    def __init__(self, choices: Choices, size: int, entries: int, first: int, image: bytes | None = None) -> None:
        """Make them: the ring's indexes begin at ``first``, the region is fresh; or as in ``image``."""
        self.choices, self.size, self.entries, self.first = choices, size, entries, first
        self.region_offset = -(-ring_bytes(size) // 64) * 64
        total = self.region_offset + region_size("split", choices.revision, entries)
        with SharedMemory.create(total, "vhost-inflight judging") as memory:
            self._bytes = memory.view()  # keeps the mapping, without a descriptor
        self.ring = SplitRing.at(self._bytes, size)
        self.region: Any = region_at(self._bytes[self.region_offset :], "split", choices.revision, entries)
        if image is None:
            self.clear(region=True)
        else:
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
        """Give the driver a new ring that begins at ``first``, and with ``region`` the back-end a fresh region."""
        end = len(self._bytes) if region else self.region_offset
        self._bytes[:end] = bytes(end)
        ring = self.ring
        for target, field in ((ring.avail, "idx"), (ring.used, "idx"), (ring.used_event, "event")):
            store(target, field, self.first)
        store(ring.avail_event, "event", self.first)

    def hand_over(self) -> bool:
        """With init-order=before-hand-over, initialise a fresh region as the front-end gets it; return whether."""
        if self.choices.init_order != "before-hand-over" or self.region.version:
            return False
        prepare_region(self.region, self.ring.used.idx)
        return True

    def driver(self, hook: Hook, kick: Callable[[], None], call_taken: Callable[[], None]) -> SplitDriver:
        """Return a new driver of the ring, that believes what the device says, as the one of the model does."""
        return SplitDriver(self.ring, hook, kick=kick, call_taken=call_taken, strict=False)

    def queue(
        self,
        hook: Hook,
        submit: Callable[[int], None],
        *,
        call: Callable[[], None] = lambda: None,
        kick_taken: Callable[[], None] = lambda: None,
        used_len: Callable[[int], int] = lambda _head: 0,
        choose: Choose = choose_first,
    ) -> SplitQueue:
        """Return a new back-end process, not yet started, that checks nothing but the safety of memory."""
        return SplitQueue(
            self.ring,
            self.region,
            self.choices,
            hook,
            submit=submit,
            call=call,
            kick_taken=kick_taken,
            used_len=used_len,
            choose=choose,
            strict=False,
        )

    def fields(self) -> dict[str, int]:
        """Return every field with its value: ``region.desc[0].inflight``, ``avail.idx``, ``table[0].addr`` ..."""
        ring, region = self.ring, self.region
        found = {f"region.{name}": int(getattr(region, name)) for name in _HEADER}
        merged = self.choices.revision == "merged"
        for number, entry in enumerate(region.desc):
            for name in ("inflight", "next", "counter") if merged else ("inflight", "next"):
                found[f"region.desc[{number}].{name}"] = getattr(entry, name)
        for number, entry in enumerate(ring.desc):
            for name in ("addr", "len", "flags", "next"):
                found[f"table[{number}].{name}"] = getattr(entry, name)
        found |= {f"avail.ring[{number}]": head for number, head in enumerate(ring.avail.ring)}
        for number, element in enumerate(ring.used.ring):
            found |= {f"used.ring[{number}].id": element.id, f"used.ring[{number}].len": element.len}
        for part in ("avail", "used"):
            found |= {f"{part}.{name}": getattr(getattr(ring, part), name) for name in ("flags", "idx")}
        found |= {"avail.used_event": ring.used_event.event, "used.avail_event": ring.avail_event.event}
        return found


_HEADER = ("features", "version", "desc_num", "last_batch_head", "used_idx")
