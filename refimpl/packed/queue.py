"""The packed queue of a back-end: every procedure of the text as a method, for a main loop to call.

The main loop is that of a split queue (refimpl.split.queue): the methods have the same names. A request is named by the
entry of its first descriptor, and its descriptors are in ``given`` while ``submit`` is called.
"""

from collections.abc import Callable

from refimpl.errors import UsageError
from refimpl.packed import fetch, recover, supply
from refimpl.packed.state import PackedState


class PackedQueue(PackedState):
    """One packed queue: the memory and the volatile state (see PackedState), and the procedures."""

    @property
    def available(self) -> bool:
        """Whether a request was seen available that can be fetched."""
        return fetch.available(self)

    @property
    def vring_base(self) -> int:
        """The positions as GET_VRING_BASE says them: bits 0-14 next available, 15 its wrap, 16-30 next used, 31 its."""
        used: int = self.region.used_idx | self.region.used_wrap_counter << 15
        return self.avail_idx | self.avail_wrap << 15 | used << 16

    def start(self) -> None:
        """Initialise a fresh region or adopt one, recover, resubmit, and be ready to serve.

        Steps: start, init, reconnect, position, counter (not in v6), resubmit, signal, ready. Raises RegionError when
        the region cannot have been left by a back-end that follows the text.
        """
        recover.start(self)

    def kick_fd_again(self) -> None:
        """Recover again if gap recovery-start says that every kick fd starts it; otherwise do nothing.

        Raises UsageError while a batch is open, RegionError as ``start`` does.
        """
        if self.choices.recovery_start == "every-kick":
            if self.batch != "none":
                raise UsageError(f"kick_fd_again while a batch is {self.batch}")
            recover.recover_again(self)

    def look(self) -> None:
        """Read the flags of the next slot into ``seen``."""
        fetch.look(self)

    def take(self) -> int:
        """Fetch one request, mark it inflight and submit it; return its entry. ``look`` comes next.

        Raises DriverError for a chain longer than the ring or than the free entries, and for a buffer id already
        inflight; UsageError when nothing is ``available`` or a batch is open.
        """
        return fetch.take(self)

    def arm(self) -> None:
        """Ask the driver for a kick at its next request; with event-fields=left, not before the first ``wake``."""
        fetch.arm(self)

    def look_again(self) -> bool:
        """Look again after ``arm``; without anything available the queue rests. Return ``available``."""
        fetch.look_again(self)
        return self.available

    def wake(self) -> None:
        """Take the kick and ask for no more; the queue rests no longer, ``look`` comes next."""
        fetch.wake(self)

    def supply(self, next_finished: Callable[[], int | None]) -> int:
        """Supply one batch of finished requests to the driver and notify it if it wants; return how many requests.

        ``next_finished`` is called once a loop and returns the next entry; None ends the batch, and when it comes first
        nothing happens at all. Raises UsageError inside another batch and for an entry that the device does not have,
        RegionError for one whose chain leaves the table or is longer than the ring.
        """
        return supply.supply(self, next_finished)

    def other_queue(self, value: int) -> None:
        """Let another queue of the device leave ``value`` in the counter that they share (gap counter-scope)."""
        self.counter.value = value
        self.report("queue.other")
