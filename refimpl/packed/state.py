"""What the back-end of one packed queue knows: the memory it shares, and what dies with its process."""

import sys
from collections.abc import Callable, Iterable, Iterator
from ctypes import Structure, c_uint8, c_uint16, c_uint64
from typing import Any, Final

from refimpl.choices import Choices
from refimpl.errors import RegionError, UsageError
from refimpl.hooks import Hook, silent
from refimpl.layout import PackedDesc
from refimpl.memory import store
from refimpl.packed.ring import PackedRing
from refimpl.split.state import Choose, Counter, choose_first, used_nothing

_SETTLED_AT: Final = 16  # where used_idx is in the region, a multiple of 8


class _Settled(Structure):
    """The eight bytes of a region from used_idx on."""

    _fields_ = (
        ("used_idx", c_uint16),
        ("old_used_idx", c_uint16),
        ("used_wrap_counter", c_uint8),
        ("old_used_wrap_counter", c_uint8),
        ("padding", c_uint16),
    )


class PackedState:
    """The memory and the volatile state of one packed queue; the procedures are in the modules ``packed_*``.

    A request is named by the entry of its first descriptor. Shared: ``ring`` and ``region``. ``wrote`` is told of each
    store to the ring, as in SplitState. Fixed: ``entries`` (the region's, which is the ring's size but in the gap
    region-size), ``choices``, ``event_index`` (RING_EVENT_IDX was negotiated), ``strict`` (else memory safety alone is
    checked, so that a run may break the rule that it is to show broken). Volatile, all lost in a crash:

    - ``avail_idx``, ``avail_wrap``: slot and wrap counter of the next fetch; ``seen``: it was available when last seen;
    - ``given``: the descriptors of the request that ``submit`` is called for, copies that nobody changes;
    - ``ids``: the buffer ids of what is inflight;
    - ``own_slots``: slot and wrap counter that each request was fetched from (gap used-slot);
    - ``counter``: what the next fetched request gets (merged);
    - ``mismatch``: recovery found a last batch to settle;
    - ``batch``: how far a batch is: "none", "open" (not yet published) or "published" (not yet settled);
    - ``resting``: there was nothing to do, and only a kick tells when there is;
    - ``events_left``: the device's event flags are still left as they were found (gap event-fields).
    """

    def __init__(
        self,
        ring: PackedRing,
        region: Any,
        choices: Choices,
        hook: Hook = silent,
        *,
        submit: Callable[[int], None] = lambda _entry: None,
        kick_taken: Callable[[], None] = lambda: None,
        call: Callable[[], None] = lambda: None,
        choose: Choose = choose_first,
        used_len: Callable[[int], int] = used_nothing,
        counter: Counter | None = None,
        base: tuple[int, int] = (0, 1),
        event_index: bool = False,
        strict: bool = True,
    ) -> None:
        """Take the memory, and what to call.

        ``submit(entry)`` gives a request to the device, ``kick_taken()`` consumes a kick, ``call()`` notifies the
        driver, ``choose`` picks among entries that may be resubmitted next, ``used_len(entry)`` is the number of bytes
        the device wrote. ``counter`` is shared by the device's queues; with counter-scope=queue it is not used.
        ``base`` is the next used slot and its wrap counter as SET_VRING_BASE says them, for a fresh region. Raises
        UsageError for choices of another ring, and when the region is smaller than the ring and gap region-size does
        not say so.
        """
        if choices.ring != "packed":
            raise UsageError(f"the choices are those of a {choices.ring} ring")
        self.ring = ring
        self.region = region
        self.entries: int = len(region.desc)
        self.choices = choices
        self.hardened = choices.revision == "hardened"
        self.wide = choices.settle == "wide"
        self.hook = hook
        self.submit = submit
        self.kick_taken = kick_taken
        self.call = call
        self.choose = choose
        self.used_len = used_len
        self.wrote: Callable[[Any, str | int], None] = lambda _target, _field: None
        shared = counter is not None and choices.counter_scope != "queue"
        self.counter = counter if counter is not None and shared else Counter()
        self.base = base
        self.event_index = event_index
        self.strict = strict
        self.avail_idx = 0
        self.avail_wrap = 1
        self.seen = False
        self.given: list[PackedDesc] = []
        self.ids: set[int] = set()
        self.own_slots: dict[int, tuple[int, int]] = {}
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

    def store_each(self, table: Any, numbers: Iterable[int], field: str, value: int, step: str) -> None:
        """Make the same store to each such entry, a step each; the next one is asked for when the last was reported."""
        for number in numbers:
            self.store(table[number], field, value, step)

    def looks(self, step: str, found: Iterable[bool]) -> Iterator[int]:
        """Look again and again, a step each, reported before the next look; yield the numbers of those that found."""
        for number, is_found in enumerate(found):
            self.report(step)
            if is_found:
                yield number

    def store_together(self, step: str, target: Any, values: dict[str, int]) -> None:
        """Make all stores of a sentence, then report one step (gap assignments: one)."""
        for field, value in values.items():
            store(target, field, value)
        self.report(step)

    def settle_position(self, step: str) -> None:
        """Let old_used_idx and old_used_wrap_counter be the new ones by one store of 8 bytes (gap settle: wide)."""
        fields = _Settled.from_buffer_copy(self.region, _SETTLED_AT)
        fields.old_used_idx = fields.used_idx
        fields.old_used_wrap_counter = fields.used_wrap_counter
        place = (c_uint64 * 1).from_buffer(self.region, _SETTLED_AT)
        self.store(place, 0, int.from_bytes(bytes(fields), sys.byteorder), step)

    def entry(self, number: int, what: str) -> Any:
        """Return an entry of the region. Raises RegionError, naming ``what`` led there, when there is none."""
        if number >= self.entries:
            raise RegionError(f"{what} leads to entry {number} of {self.entries}")
        return self.region.desc[number]

    def slot(self, number: int, what: str) -> int:
        """Return the number of a slot. Raises RegionError, naming ``what`` it was read from, when there is none."""
        if number >= self.ring.size:
            raise RegionError(f"{what} is {number}; the ring has {self.ring.size} slots")
        return number

    def id_of(self, entry: int) -> int:
        """Return the buffer id of a request, which is in the last descriptor of its chain. Raises RegionError."""
        last = self.entry(entry, "a request").last
        identity: int = self.entry(last, f"last of entry {entry}").id
        return identity
