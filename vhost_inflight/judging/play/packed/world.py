"""A packed ring and its region on one memfd, and the steps of its driver."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from refimpl.hooks import Hook
from refimpl.packed.driver import PackedDriver
from refimpl.packed.queue import PackedQueue
from refimpl.packed.recover import prepare_packed_region
from refimpl.packed.ring import PackedRing, base_at, packed_ring_bytes, used_place
from refimpl.split.state import Choose, choose_first
from vhost_inflight.judging.play.flags import lap_words, words
from vhost_inflight.judging.play.packed.judge import PackedJudge
from vhost_inflight.judging.play.world import Memory

__all__ = ["PackedHand", "PackedMemory"]

_HEADER = (
    "features",
    "version",
    "desc_num",
    "free_head",
    "old_free_head",
    "used_idx",
    "old_used_idx",
    "used_wrap_counter",
    "old_used_wrap_counter",
)
_ENTRY = ("inflight", "next", "last", "num", "counter", "id", "flags", "len", "addr")


class PackedMemory(Memory):
    """See Memory. The ring begins at the position ``first``; a new one at 0, slot 0 of a lap with wrap counter 1."""

    ring: PackedRing

    @property
    def _start(self) -> tuple[int, int]:
        """Slot and wrap counter at which the ring begins."""
        return self.ring.advance(0, 1, self.first)

    def _first_base(self) -> int:
        return base_at(*self._start)

    @property
    def _by_index(self) -> bool:
        """Whether the driver says of which used element it wants to be notified (gap event-kind)."""
        return self.choices.event_kind == "index"

    def clear(self, *, region: bool) -> None:
        """Give the driver a new ring that begins at ``first``, and with ``region`` the back-end a fresh region."""
        super().clear(region=region)
        if self.first:
            self.ring.begin_at(*self._start)

    def _ring_bytes(self) -> int:
        return packed_ring_bytes(self.size)

    def _lay(self, view: memoryview) -> PackedRing:
        return PackedRing.at(view, self.size)

    def _prepare(self) -> None:
        prepare_packed_region(self.region, linked=self.choices.free_list == "linked")

    def told(self, head: int) -> int:
        """Return the number in the address of the copy that a request's first entry has."""
        return int(self.region.desc[head].addr)

    def driver(self, hook: Hook, kick: Callable[[], None], call_taken: Callable[[], None]) -> PackedDriver:
        """Return a new driver of the ring, that believes what the device says, as the one of the model does."""
        return PackedDriver(
            self.ring,
            hook,
            kick=kick,
            call_taken=call_taken,
            event_index=self._by_index,
            start=self._start,
            strict=False,
        )

    def queue(
        self,
        hook: Hook,
        submit: Callable[[int], None],
        *,
        call: Callable[[], None] = lambda: None,
        kick_taken: Callable[[], None] = lambda: None,
        used_len: Callable[[int], int] = lambda _head: 0,
        choose: Choose = choose_first,
    ) -> PackedQueue:
        """Return a new back-end process, not yet started, that checks nothing but the safety of memory."""
        return PackedQueue(
            self.ring,
            self.region,
            self.choices,
            hook,
            submit=submit,
            call=call,
            kick_taken=kick_taken,
            used_len=used_len,
            choose=choose,
            base=used_place(self.base, self.size) if self.base is not None else self._start,
            event_index=self._by_index,
            strict=False,
        )

    def fields(self) -> dict[str, int]:
        """Return every field with its value: ``region.desc[0].inflight``, ``ring.desc[0].flags`` ..."""
        ring, region = self.ring, self.region
        found = {f"region.{name}": int(getattr(region, name)) for name in _HEADER}
        names = [name for name in _ENTRY if name != "counter" or self.choices.counted]
        for number, entry in enumerate(region.desc):
            found |= {f"region.desc[{number}].{name}": getattr(entry, name) for name in names}
        for number, desc in enumerate(ring.desc):
            found |= {f"ring.desc[{number}].{name}": getattr(desc, name) for name in ("addr", "len", "id", "flags")}
        for name, event in (("driver_event", ring.driver_event), ("device_event", ring.device_event)):
            found |= {f"{name}.{field}": getattr(event, field) for field in ("off_wrap", "flags")}
        return found

    def picture(self) -> list[str]:
        """Return the ring's slots, the region's positions, its requests in flight and its free list."""
        region = self.region
        return [
            *(
                f"slot {n}: id {d.id}, len {d.len}, {words(d.flags)} ({lap_words(d.flags)})"
                for n, d in enumerate(self.ring.desc)
            ),
            f"used_idx {region.used_idx}, lap {region.used_wrap_counter}",
            f"old_used_idx {region.old_used_idx}, lap {region.old_used_wrap_counter}",
            *(
                f"entry {n}: inflight, num {e.num}, last {e.last}, next {e.next}, id {e.id}, len {e.len}"
                for n, e in enumerate(region.desc)
                if e.inflight
            ),
            f"free_head: {self._list(region.free_head)}; old_free_head: {self._list(region.old_free_head)}",
        ]

    def _list(self, head: int) -> str:
        """Write a list of entries as it is walked, to its end or to where it begins to cycle."""
        walked: list[int] = []
        while head < self.entries and head not in walked:
            walked.append(head)
            head = self.region.desc[head].next
        end = "the end" if head >= self.entries else f"{head} again, for ever"
        return " → ".join([*map(str, walked), end])


class PackedHand:
    """The driver's steps of a packed ring: each descriptor that it writes has a number as its address and length."""

    _NEXT: Final[Mapping[str, str]] = MappingProxyType(
        {
            "driver.make.1": "driver.make.last",
            "driver.make.more": "driver.make.desc",
            "driver.make.desc": "driver.make.last",
            "driver.make.last": "driver.make.head",
            "driver.make.head": "driver.kick.look",
        }
    )

    def __init__(self, driver: PackedDriver, judge: PackedJudge) -> None:
        """Take the driver, and the judge to be told."""
        self.driver, self.judge = driver, judge
        self._written = 0

    def step(self, name: str, choice: int | None) -> bool:
        """Take a step; return False if it is none of these."""
        driver, judge = self.driver, self.judge
        match name:
            case "driver.make.1":
                self._written += 1
                identity = -1 if choice is None else choice
                judge.begun(identity, self._written)
                driver.make_begin(identity, self._written, self._written)
            case "driver.make.more":
                driver.make_more()
            case "driver.make.desc":
                self._written += 1
                judge.goes_on(self._written)
                driver.make_desc(self._written, self._written)
            case "driver.make.last":
                driver.make_last()
            case "driver.make.head":
                judge.made_available()
                driver.make_head()
            case "driver.sleep.index":
                driver.sleep_index()
            case "driver.wake.quiet":
                driver.wake_quiet()
            case _:
                return False
        return True

    def next_step(self, making: str) -> str:
        """Return the step that comes next: no descriptor more than were announced."""
        return self._NEXT[making]
