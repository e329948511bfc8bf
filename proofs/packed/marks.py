"""When a run of the packed ring is a witness: what it has to reach, and who sees that it does."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from model.interpret import Machine, StateTuple
from model.protocol import Subject
from proofs.induction.kits import Witnessing

__all__ = ["CRASH_AFTER", "MARKS", "REVISIONS", "WITNESSING", "Marker"]

CRASH_AFTER = (
    "packed.init.1", "packed.init.2", "packed.init.6", "packed.init.7", "packed.init.3", "packed.init.4",
    "packed.init.5",
    "packed.reconnect.1c1", "packed.reconnect.1c2", "packed.reconnect.1c3", "packed.reconnect.2b",
    "packed.reconnect.2c", "packed.reconnect.2a", "packed.reconnect.unmark", "packed.reconnect.3",
    "packed.reconnect.signal",
)  # fmt: skip
"""The stores of recovery."""

MARKS: Mapping[str, tuple[str, ...]] = {
    "no-used-resubmitted": ("a request is resubmitted where another became visible in the batch that the crash cut",),
    "nothing-lost": ("recovery ends with a request resubmitted and another still to be fetched",),
    "order": ("two requests are resubmitted after a second crash, the one of the higher entry first",),
    "intact": (
        "a request is resubmitted at an entry that stood for another one before, and published afterwards",
        "a chain is resubmitted and published afterwards",
    ),
    "exactly-once": ("a batch of several requests, one of them a chain, is published",),
    "well-formed": (
        "recovery ends where a batch with a chain was rolled back",
        "recovery ends where a slot was marked available again",
    ),
    "ring-position": (
        "a batch of several requests passes the end of the ring",
        "recovery ends in the second lap with a request still to be fetched",
    ),
    "restartable": tuple(f"a crash comes right after {store}" for store in CRASH_AFTER),
    "drains": ("the driver slept, was notified, and has seen all", "the back-end rested and took a kick"),
}
"""When a property is reached non-trivially: all of these happen in its witness."""


class Marker:
    """Follows a run and collects marks."""

    def __init__(self, machine: Machine) -> None:
        """Start before the first event."""
        self._get = machine.get
        self._size = machine.sizes.size
        self._crashes, self._order, self._again, self._stood = 0, list[int](), set[int](), dict[int, int]()
        self._before, self._slept, self._cut = "", False, set[str]()
        self.marks: set[str] = set()
        self._on: dict[str, Callable[[StateTuple, int, StateTuple], None]] = {
            "crash": self._crashed,
            "packed.fetch.7": self._fetched,
            "packed.reconnect.1c1": lambda *_: self._cut.add("committed"),
            "packed.reconnect.unmark": lambda *_: self._cut.add("unmarked"),
            "packed.reconnect.4": self._resubmitted,
            "packed.reconnect.ready": self._recovered,
            "packed.supply.6b": self._wrapped,
            "packed.supply.7": self._marked_used,
            "packed.idle.wake": lambda *_: self._reach("drains", 1),
        }

    def follow(self, before: StateTuple, step: str, chosen: int, after: StateTuple) -> None:
        """Take one event in."""
        if step in self._on:
            self._on[step](before, chosen, after)
        self._slept = self._slept or step == "driver.wake"
        if self._slept and self._get(after, "driver.num_free") == self._size:
            self._reach("drains")
        self._before = step

    def _crashed(self, before: StateTuple, _: int, __: StateTuple) -> None:
        self._crashes += 1
        self._order, self._cut = [], set()
        if self._before in CRASH_AFTER:
            self._reach("restartable", CRASH_AFTER.index(self._before))
        if self._get(before, "supply.open") == 1 and any(num > 1 for num in self._batch(before).values()):
            self._cut.add("chain rolled back")

    def _batch(self, state: StateTuple) -> dict[int, int]:
        """Give the entries of the batch that lead the list, with their numbers of descriptors."""
        nums = self._get(state, "region.desc[].num")
        return {e: nums[e] for e in self._get(state, "supply.batch")[: self._get(state, "supply.count")]}

    def _fetched(self, before: StateTuple, _: int, __: StateTuple) -> None:
        entry = self._get(before, "fetch.head")
        self._stood[entry] = self._stood.get(entry, 0) + 1
        self._again.discard(entry)

    def _wrapped(self, before: StateTuple, _: int, __: StateTuple) -> None:
        if len(self._batch(before)) > 1:
            self._reach("ring-position")

    def _marked_used(self, before: StateTuple, _: int, after: StateTuple) -> None:
        batch = self._batch(before)
        if self._get(after, "supply.open") != 2:
            return
        if len(batch) > 1 and max(batch.values()) > 1:
            self._reach("exactly-once")
        for entry in self._again & set(batch):
            if self._stood[entry] > 1:
                self._reach("intact")
            if batch[entry] > 1:
                self._reach("intact", 1)

    def _reach(self, name: str, number: int = 0) -> None:
        self.marks.add(MARKS[name][number])

    def _resubmitted(self, _: StateTuple, entry: int, __: StateTuple) -> None:
        self._order.append(entry)
        self._again.add(entry)
        if "committed" in self._cut:
            self._reach("no-used-resubmitted")

    def _recovered(self, _: StateTuple, __: int, after: StateTuple) -> None:
        get = self._get
        waiting = get(after, "driver.avail_idx") != get(after, "fetch.avail_idx")
        if waiting and self._order:
            self._reach("nothing-lost")
        if self._crashes > 1 and len(self._order) > 1 and self._order != sorted(self._order):
            self._reach("order")
        if "chain rolled back" in self._cut:
            self._reach("well-formed")
        if "unmarked" in self._cut:
            self._reach("well-formed", 1)
        if waiting and get(after, "region.used_wrap_counter") == 0:
            self._reach("ring-position", 1)


REVISIONS = ("hardened",)
"""What has mutants, and with its two open choices witnesses: `v6` and `merged` break most properties where they are at
stake."""

WITNESSING = Witnessing(
    subjects=(
        Subject("packed", "hardened"),
        Subject.of("packed", "hardened", {"settle": "wide"}),
        Subject.of("packed", "hardened", {"event-kind": "index"}),
    ),
    marks=MARKS,
    marker=Marker,
    unreached={},
    sizes={"exactly-once": (3, 0), "ring-position": (3, 0), "well-formed": (3, 0), "restartable": (3, 2),
           "intact": (3, 0), "steps": (3, 2)},
    about={f"a crash comes right after {store}": store for store in CRASH_AFTER},
)  # fmt: skip
