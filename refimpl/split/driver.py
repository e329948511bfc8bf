"""The driver's side of a split ring: make requests available, use what comes back, sleep and wake.

One method a step, for a schedule to play; ``make``, ``use_all`` and ``try_sleep`` put the steps together for real use.
The driver trusts the used ring no more than the back-end trusts the available ring.
"""

import ctypes
from bisect import insort
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from refimpl.both.driver import Driver, IndirectTables
from refimpl.errors import BackEndError, UsageError
from refimpl.hooks import Hook, silent
from refimpl.layout import DESC_INDIRECT, DESC_NEXT, DESC_WRITE, USED_NO_NOTIFY, VringDesc, overlay
from refimpl.memory import store
from refimpl.split.chain import Buffer
from refimpl.split.ring import SplitRing


class SplitDriver(Driver):
    """The driver of one split ring: the memory, and which head it has in the ring.

    Volatile: ``next_avail`` and ``next_used`` (16-bit indexes, taken from the ring at the beginning), ``free`` (the
    descriptors that are in no chain), ``chains`` (the descriptors of each head that was described, with the head),
    ``outstanding`` (heads listed and not used), ``asleep``.
    """

    def __init__(
        self,
        ring: SplitRing,
        hook: Hook = silent,
        *,
        kick: Callable[[], None] = lambda: None,
        call_taken: Callable[[], None] = lambda: None,
        event_index: bool = True,
        tables: IndirectTables | None = None,
        strict: bool = True,
    ) -> None:
        """Take a ring; the rest is as `Driver` says."""
        super().__init__(hook, kick=kick, call_taken=call_taken, event_index=event_index, tables=tables, strict=strict)
        self.ring = ring
        self._begin()

    def _begin(self) -> None:
        """Take the indexes from the ring; every descriptor is free."""
        self.next_avail: int = self.ring.avail.idx
        self.next_used: int = self.ring.used.idx
        self.free = list(range(self.ring.size))
        self.chains: dict[int, list[int]] = {}
        self._described: int | None = None
        self._listed: int | None = None
        self._looked = self.next_avail

    # Make a request available

    def make_describe(self, head: int, chain: Sequence[Buffer], *, indirect: bool = False) -> None:
        """Write the descriptors of ``chain``, the first at ``head`` (driver.make.1).

        Other descriptors are taken from the free ones; with ``indirect`` the chain goes into the head's table and needs
        one. Raises UsageError for a head in use, too few free descriptors, an empty chain, and a step out of turn.
        """
        if self._described is not None or self._listed is not None:
            raise UsageError("another request is being made")
        if head not in self.free or not chain:
            raise UsageError(f"head {head} is not free, or the chain is empty")
        others = [] if indirect else list(islice((e for e in self.free if e != head), len(chain) - 1))
        if not indirect and len(others) < len(chain) - 1:
            raise UsageError(f"a chain of {len(chain)} needs more descriptors than the {len(self.free)} free ones")
        entries = [head, *others]
        if indirect:
            self._write_descriptor(head, self._write_table(head, chain), DESC_INDIRECT, 0)
        else:
            self._write_chain(self.ring.desc, entries, chain)
        for entry in entries:
            self.free.remove(entry)
        self.chains[head] = entries
        self._described = head
        self.hook("driver.make.1", head)

    def make_list(self) -> None:
        """Write the described head into the next slot of the available ring (driver.make.2)."""
        if self._described is None:
            raise UsageError("no request was described")
        head, self._described = self._described, None
        self._listed = head
        store(self.ring.avail.ring, self.next_avail % self.ring.size, head, "driver.make.2", self.hook)

    def make_publish(self) -> None:
        """Increase the available index by 1: the listed request is available (driver.make.3)."""
        if self._listed is None:
            raise UsageError("no request was listed")
        self.outstanding.add(self._listed)
        self._listed = None
        self.next_avail = (self.next_avail + 1) % 65536
        store(self.ring.avail, "idx", self.next_avail, "driver.make.3", self.hook)

    def _wants_kick(self) -> bool:
        """Read whether the device wants a kick for what was made available since the last look."""
        if self.event_index:
            ahead = (self.ring.avail_event.event - self._looked) % 65536
            wanted = ahead < (self.next_avail - self._looked) % 65536
        else:
            wanted = not self.ring.used.flags & USED_NO_NOTIFY
        self._looked = self.next_avail
        return bool(wanted)

    def make(self, chain: Sequence[Buffer], head: int | None = None, *, indirect: bool = False) -> int:
        """Make one request available and kick if wanted; return its head, by default the first free one."""
        if head is None:
            if not self.free:
                raise UsageError("no descriptor is free")
            head = self.free[0]
        for _ in self.making(chain, head, indirect=indirect):
            pass
        self.kick_if_wanted()
        return head

    def making(self, chain: Sequence[Buffer], head: int, *, indirect: bool = False) -> Iterator[None]:
        """Make one request available, one step each time that it is gone on with."""
        self.make_describe(head, chain, indirect=indirect)
        yield
        self.make_list()
        yield
        self.make_publish()
        yield

    # Use what comes back

    @property
    def used_waiting(self) -> bool:
        """Whether the used index shows something that is not yet used."""
        waiting: bool = self.ring.used.idx != self.next_used
        return waiting

    def use(self) -> tuple[int, int]:
        """Use the next used element and free its head; return (id, len) (driver.use).

        Raises BackEndError when the used index is further than everything outstanding, or when the element names a
        head that is not outstanding; nothing changes then. Raises UsageError when nothing waits.
        """
        ring = self.ring
        waiting = (ring.used.idx - self.next_used) % 65536
        if waiting == 0:
            raise UsageError("nothing waits to be used")
        if self.strict and waiting > len(self.outstanding):
            raise BackEndError(f"used.idx shows {waiting} used elements, but {len(self.outstanding)} are outstanding")
        slot = self.next_used % ring.size
        head, length = ring.used.ring[slot].id, ring.used.ring[slot].len
        if head >= ring.size or (self.strict and head not in self.outstanding):
            raise BackEndError(f"used element {slot} names head {head}, which is not outstanding")
        self.outstanding.discard(head)
        for entry in self.chains.pop(head, []):
            insort(self.free, entry)
        self.next_used = (self.next_used + 1) % 65536
        self.hook("driver.use", None)
        return head, length

    # Sleep and wake

    def sleep_store(self) -> None:
        """Ask for a notification of the next used element (driver.sleep.1)."""
        if self.event_index:
            store(self.ring.used_event, "event", self.next_used, "driver.sleep.1", self.hook)
        else:
            store(self.ring.avail, "flags", 0, "driver.sleep.1", self.hook)

    def reset(self) -> None:
        """Forget everything and clear the whole ring, as for a new start of the driver (driver.reset)."""
        ring = self.ring
        for entry in range(ring.size):
            self._write_descriptor(entry, Buffer(0, 0), 0, 0)
            store(ring.avail.ring, entry, 0)
            store(ring.used.ring[entry], "id", 0)
            store(ring.used.ring[entry], "len", 0)
        for part in (ring.avail, ring.used):
            store(part, "flags", 0)
            store(part, "idx", 0)
        store(ring.used_event, "event", 0)
        store(ring.avail_event, "event", 0)
        self._rise()
        self._begin()
        self.hook("driver.reset", None)

    # Descriptors

    def _write_chain(self, table: ctypes.Array[VringDesc], entries: Sequence[int], chain: Sequence[Buffer]) -> None:
        """Write one descriptor of ``table`` for each buffer, at ``entries``, each linked to the one after it."""
        for number, (entry, buffer) in enumerate(zip(entries, chain, strict=True)):
            last = number == len(chain) - 1
            flags = (DESC_WRITE if buffer.writable else 0) | (0 if last else DESC_NEXT)
            _write(table[entry], buffer, flags, 0 if last else entries[number + 1])

    def _write_descriptor(self, entry: int, buffer: Buffer, flags: int, following: int) -> None:
        """Write one descriptor of the ring's table."""
        _write(self.ring.desc[entry], buffer, flags, following)

    def _write_table(self, head: int, chain: Sequence[Buffer]) -> Buffer:
        """Write a chain into the indirect table of ``head``; return where the table is."""
        tables = self.tables
        if tables is None or len(chain) > tables.entries:
            raise UsageError(f"there is no indirect table for a chain of {len(chain)}")
        offset = head * tables.entries * 16
        table = overlay(VringDesc * len(chain), tables.view[offset:], "an indirect table")
        self._write_chain(table, range(len(chain)), chain)
        return Buffer(tables.address + offset, 16 * len(chain))


def _write(desc: VringDesc, buffer: Buffer, flags: int, following: int) -> None:
    """Write one descriptor, field by field."""
    store(desc, "addr", buffer.address)
    store(desc, "len", buffer.length)
    store(desc, "flags", flags)
    store(desc, "next", following)
