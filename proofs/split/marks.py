"""When a run of the split ring is a witness: what it has to reach, and who sees that it does."""

from __future__ import annotations

from collections.abc import Mapping

from model.interpret import Machine, StateTuple
from model.protocol import Subject
from proofs.induction.kits import Witnessing

__all__ = ["CRASH_AFTER", "MARKS", "REVISIONS", "WITNESSING", "Marker"]

CRASH_AFTER = ("split.init.1", "split.init.2", "split.init.3", "split.reconnect.1b", "split.reconnect.1c",
               "split.reconnect.signal")  # fmt: skip
"""The stores of recovery."""

MARKS: Mapping[str, tuple[str, ...]] = {
    "no-used-resubmitted": ("a request is resubmitted where another became visible in the batch that the crash cut",),
    "nothing-lost": ("recovery ends with a request resubmitted and another still to be fetched",),
    "order": ("two requests are resubmitted after a second crash, the one of the higher head first",),
    "intact": ("a request is resubmitted at a head that stood for another one before, and published afterwards",),
    "exactly-once": ("a batch of two is published",),
    "well-formed": ("recovery ends where two entries were in progress",),
    "ring-position": ("recovery ends with an index that has wrapped and a request still to be fetched",),
    "restartable": tuple(f"a crash comes right after {store}" for store in CRASH_AFTER),
    "drains": ("the driver slept, was notified, and has seen all", "the back-end rested and took a kick"),
}
"""When a property is reached non-trivially: all of these happen in its witness."""

UNREACHED: Mapping[str, frozenset[str]] = {"v6": frozenset({"order"})}
"""What a revision violates exactly where it is at stake: it has no witness."""


class Marker:
    """Follows a run and collects marks."""

    def __init__(self, machine: Machine) -> None:
        """Start before the first event."""
        self._get = machine.get
        self._size = machine.sizes.size
        self._crashes, self._again, self._order = 0, set[int](), list[int]()
        self._before, self._slept, self._left = "", False, 0
        self.marks: set[str] = set()

    def follow(self, before: StateTuple, step: str, chosen: int, after: StateTuple) -> None:
        """Take one event in."""
        if step == "crash":
            self._crashed()
        elif step == "split.reconnect.1a":
            self._left = self._get(after, "recover.left")
        elif step == "split.reconnect.2":
            self._resubmitted(before, chosen)
        elif step == "split.reconnect.ready":
            self._recovered(after)
        elif step == "split.supply.5":
            self._published(before)
        elif step == "split.idle.wake":
            self._reach("drains", 1)
        self._slept = self._slept or step == "driver.wake"
        if self._slept and self._get(after, "driver.num_free") == self._size:
            self._reach("drains")
        self._before = step

    def _crashed(self) -> None:
        self._crashes += 1
        self._order, self._left = [], 0
        if self._before in CRASH_AFTER:
            self._reach("restartable", CRASH_AFTER.index(self._before))

    def _published(self, before: StateTuple) -> None:
        count = self._get(before, "supply.count")
        if count > 1:
            self._reach("exactly-once")
        if self._again & set(self._get(before, "supply.batch")[:count]):
            self._reach("intact")

    def _reach(self, name: str, number: int = 0) -> None:
        self.marks.add(MARKS[name][number])

    def _resubmitted(self, before: StateTuple, head: int) -> None:
        done = self._get(before, "history.done")
        self._order.append(head)
        if self._left:
            self._reach("no-used-resubmitted")
        if done[head] >= 0:
            self._again.add(head)

    def _recovered(self, after: StateTuple) -> None:
        get = self._get
        waiting = get(after, "avail.idx") != get(after, "fetch.last_avail")
        if waiting and self._order:
            self._reach("nothing-lost")
        if self._crashes > 1 and len(self._order) > 1 and self._order != sorted(self._order):
            self._reach("order")
        if self._left > 1:
            self._reach("well-formed")
        if waiting and get(after, "history.used_pos") > 65535:
            self._reach("ring-position")


REVISIONS = ("v6", "merged")
"""What has witnesses and mutants of its own: `hardened` has the steps of merged, every one."""

WITNESSING = Witnessing(
    subjects=tuple(Subject("split", revision) for revision in REVISIONS),
    marks=MARKS,
    marker=Marker,
    unreached=UNREACHED,
    sizes={"ring-position": (2, 65535), "steps": (4, 65534)},
)
