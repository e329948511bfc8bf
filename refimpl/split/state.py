"""What the back-end of one split queue knows: the memory it shares, and what dies with its process."""

from collections.abc import Callable, Sequence
from typing import Any

from refimpl.choices import Choices
from refimpl.errors import UsageError
from refimpl.hooks import Hook, silent
from refimpl.memory import store
from refimpl.split.ring import SplitRing

Choose = Callable[[Sequence[int]], int]
"""Given the heads of which any may be resubmitted next, return one of them."""


def choose_first(candidates: Sequence[int]) -> int:
    """Return the first candidate: the default."""
    return candidates[0]


def used_nothing(_head: int) -> int:
    """Return 0, the used length of a device that wrote nothing: the default."""
    return 0


class Counter:
    """The global counter of revision merged: ``value`` is given to the next request that is fetched (64 bits).

    Volatile. It belongs to one queue, or with the alternatives of the gap counter-scope to all queues of a device.
    """

    def __init__(self, value: int = 0) -> None:
        """Begin at ``value``."""
        self.value = value


class SplitState:
    """The memory and the volatile state of one split queue; the procedures are in the modules ``split_*``.

    Shared: ``ring`` and ``region``. ``wrote`` is told of each store, by target and field, once its step is reported (by
    default nobody is). Fixed: ``entries`` (the region's, which is the ring's size but in the gap region-size),
    ``choices``, ``event_index`` (RING_EVENT_IDX was negotiated), ``strict`` (else memory safety alone is
    checked, so that a run may break the rule that it is to show broken). Volatile, all lost in a crash:

    - ``seen_avail``: the available index when last looked at; ``last_avail``: the position of the next fetch;
    - ``counter``: what the next fetched request gets (merged);
    - ``mismatch``: recovery found a last batch to clear;
    - ``batch``: how far a batch is: "none", "open" (not yet published) or "published" (not yet cleared and stored);
    - ``resting``: there was nothing to do, and only a kick tells when there is;
    - ``events_left``: the event index is still left as it was found (gap event-fields).
    """

    def __init__(
        self,
        ring: SplitRing,
        region: Any,
        choices: Choices,
        hook: Hook = silent,
        *,
        submit: Callable[[int], None] = lambda _head: None,
        kick_taken: Callable[[], None] = lambda: None,
        call: Callable[[], None] = lambda: None,
        choose: Choose = choose_first,
        used_len: Callable[[int], int] = used_nothing,
        counter: Counter | None = None,
        event_index: bool = True,
        strict: bool = True,
    ) -> None:
        """Take the memory, and what to call.

        ``submit(head)`` gives a request to the device, ``kick_taken()`` consumes a kick, ``call()`` notifies the
        driver, ``choose`` picks among heads that may be resubmitted next, ``used_len(head)`` is the number of bytes the
        device wrote. ``counter`` is shared by the device's queues; with counter-scope=queue it is not used. Raises
        UsageError when the region is smaller than the ring and gap region-size does not say so; a larger one does no
        harm.
        """
        self.ring = ring
        self.region = region
        self.entries: int = len(region.desc)
        self.choices = choices
        self.merged = choices.counted
        self.hook = hook
        self.submit = submit
        self.kick_taken = kick_taken
        self.call = call
        self.choose = choose
        self.used_len = used_len
        self.wrote: Callable[[Any, str | int], None] = lambda _target, _field: None
        shared = counter is not None and choices.counter_scope != "queue"
        self.counter = counter if counter is not None and shared else Counter()
        self.event_index = event_index
        self.strict = strict
        self.seen_avail = 0
        self.last_avail = 0
        self.mismatch = False
        self.batch = "none"
        self.resting = False
        self.events_left = False
        if self.entries < ring.size and choices.region_size != "smaller":
            raise UsageError(f"a region of {self.entries} entries for a ring of {ring.size}, not region-size=smaller")

    def report(self, step: str, choice: int | None = None) -> None:
        """Report a step that stored nothing to shared memory."""
        self.hook(step, choice)

    def store(self, target: Any, field: str | int, value: int, step: str) -> None:
        """Make the one store of a step, and report it; then it is told of, so that a crash may come before."""
        store(target, field, value, step, self.hook)
        self.wrote(target, field)

    def tracked(self, head: int) -> bool:
        """Return whether the region has an entry for ``head``; one smaller than the ring has none for some heads."""
        return head < self.entries
