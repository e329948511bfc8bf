"""The split queue of a back-end: every procedure of the text as a method, for a main loop to call.

The main loop's state lives here between two calls; a whole request, and a whole batch, is one call, and a hook may call
other methods in between (as far as the gap fetch-in-batch allows it). A main loop:

    queue.start()
    while True:
        queue.look()
        while queue.available: queue.take(); queue.look()
        queue.supply(...)
        queue.arm(); queue.look_again()
        if queue.resting: wait for a kick or the device; on a kick, queue.wake()
"""

from collections.abc import Callable

from refimpl.errors import UsageError
from refimpl.split import fetch, recover, supply
from refimpl.split.state import SplitState


class SplitQueue(SplitState):
    """One split queue: the memory and the volatile state (see SplitState), and the procedures."""

    @property
    def available(self) -> bool:
        """Whether a request was seen available that is not yet fetched."""
        return self.seen_avail != self.last_avail

    def start(self) -> None:
        """Initialise a fresh region or adopt one, recover, resubmit, and be ready to serve.

        Steps: start, init, reconnect, position, counter (merged), resubmit, signal, ready. Raises RegionError when the
        region cannot have been left by a back-end that follows the text.
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
        """Read the available index into ``seen_avail``. Raises DriverError when it is too far ahead."""
        fetch.look(self)

    def take(self) -> int:
        """Fetch one request, mark it inflight and submit it; return its head. ``look`` comes next.

        Raises DriverError for a head past the ring's size or already inflight; UsageError when nothing is ``available``
        or a batch is open.
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
        """Take the kick; the queue rests no longer, ``look`` comes next."""
        fetch.wake(self)

    def supply(self, next_finished: Callable[[], int | None]) -> int:
        """Supply one batch of finished requests to the driver and notify it if it wants; return the batch's size.

        ``next_finished`` is called once a loop and returns the next head; None ends the batch, and when it comes first
        nothing happens at all. Raises UsageError inside another batch, and for a head that the device does not have.
        """
        return supply.supply(self, next_finished)

    def other_queue(self, value: int) -> None:
        """Let another queue of the device leave ``value`` in the counter that they share (gap counter-scope)."""
        self.counter.value = value
        self.report("queue.other")
