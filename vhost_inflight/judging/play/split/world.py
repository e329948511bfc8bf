"""A split ring and its region on one memfd, and the steps of its driver."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from refimpl.hooks import Hook
from refimpl.memory import store
from refimpl.split.chain import Buffer
from refimpl.split.driver import SplitDriver
from refimpl.split.queue import SplitQueue
from refimpl.split.recover import prepare_region
from refimpl.split.ring import SplitRing, ring_bytes
from refimpl.split.state import Choose, choose_first
from vhost_inflight.judging.play.split.judge import SplitJudge
from vhost_inflight.judging.play.world import Memory

__all__ = ["SplitHand", "SplitMemory"]

_HEADER = ("features", "version", "desc_num", "last_batch_head", "used_idx")


class SplitMemory(Memory):
    """See Memory."""

    ring: SplitRing

    def _ring_bytes(self) -> int:
        return ring_bytes(self.size)

    def _lay(self, view: memoryview) -> SplitRing:
        return SplitRing.at(view, self.size)

    def clear(self, *, region: bool) -> None:
        """Give the driver a new ring that begins at ``first``, and with ``region`` the back-end a fresh region."""
        super().clear(region=region)
        ring = self.ring
        for target, field in ((ring.avail, "idx"), (ring.used, "idx"), (ring.used_event, "event")):
            store(target, field, self.first)
        store(ring.avail_event, "event", self.first)

    def _prepare(self) -> None:
        prepare_region(self.region, self.ring.used.idx)

    def told(self, head: int) -> int:
        """Return the number in the address of a head's descriptor."""
        return int(self.ring.desc[head].addr)

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
        counted = self.choices.counted
        for number, entry in enumerate(region.desc):
            for name in ("inflight", "next", "counter") if counted else ("inflight", "next"):
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

    def picture(self) -> list[str]:
        """Return nothing: the stores tell it all on a split ring."""
        return []


class SplitHand:
    """The driver's steps of a split ring: it makes requests of one descriptor, with its number as the address."""

    _NEXT: Final[Mapping[str, str]] = MappingProxyType(
        {"driver.make.1": "driver.make.2", "driver.make.2": "driver.make.3", "driver.make.3": "driver.kick.look"}
    )

    def __init__(self, driver: SplitDriver, judge: SplitJudge) -> None:
        """Take the driver, and the judge to be told."""
        self.driver, self.judge = driver, judge
        self._requests = 0
        self._described = (0, 0)

    def step(self, name: str, choice: int | None) -> bool:
        """Take a step; return False if it is none of these."""
        match name:
            case "driver.make.1":
                self._requests += 1
                self._described = -1 if choice is None else choice, self._requests
                self.driver.make_describe(self._described[0], [Buffer(self._requests, 0)])
            case "driver.make.2":
                self.driver.make_list()
            case "driver.make.3":
                self.judge.made_available(*self._described)
                self.driver.make_publish()
            case _:
                return False
        return True

    def next_step(self, making: str) -> str:
        """Return the step that comes next."""
        return self._NEXT[making]
