"""The driver's side of a packed ring: make requests available, use what comes back, sleep and wake.

One method a step, for a schedule to play; ``make``, ``use_all`` and ``try_sleep`` put the steps together for real use.
The driver trusts what the device writes no more than the back-end trusts what the driver does.
"""

from bisect import insort
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from refimpl.both.driver import Driver, IndirectTables
from refimpl.errors import BackEndError, UsageError
from refimpl.hooks import Hook, silent
from refimpl.layout import (
    DESC_INDIRECT,
    DESC_NEXT,
    DESC_WRITE,
    EVENT_DESC,
    EVENT_DISABLE,
    EVENT_ENABLE,
    PackedDesc,
    overlay,
)
from refimpl.memory import store
from refimpl.packed.ring import PackedRing, available_flags, is_used
from refimpl.split.chain import Buffer


@dataclass(slots=True)
class _Making:
    """A request that is being made: its id, the slot and flags of its first descriptor, and of its latest one."""

    identity: int
    first: int
    first_flags: int
    slot: int
    flags: int
    number: int = 1
    more: bool = False  # the latest descriptor was said not to be the last
    done: bool = False  # the latest descriptor was said to be the last


class PackedDriver(Driver):
    """The driver of one packed ring: the memory, and which buffer ids it has in the ring.

    Volatile: ``next_avail`` and ``avail_wrap``, ``next_used`` and ``used_wrap`` (slots and the wrap counters of their
    laps; a new ring begins at slot 0 with 1), ``free`` (the ids that are in no request), ``room`` (free slots),
    ``lengths`` (descriptors of the chain that each id was last given to), ``outstanding`` (ids available and not used),
    ``asleep``.
    """

    def __init__(
        self,
        ring: PackedRing,
        hook: Hook = silent,
        *,
        kick: Callable[[], None] = lambda: None,
        call_taken: Callable[[], None] = lambda: None,
        event_index: bool = False,
        tables: IndirectTables | None = None,
        start: tuple[int, int] = (0, 1),
        strict: bool = True,
    ) -> None:
        """Take a ring whose next slot and wrap counter are ``start``; the rest is as `Driver` says."""
        super().__init__(hook, kick=kick, call_taken=call_taken, event_index=event_index, tables=tables, strict=strict)
        self.ring = ring
        self._begin(start)

    def _begin(self, start: tuple[int, int] = (0, 1)) -> None:
        """Begin at a slot with a wrap counter, with nothing outstanding."""
        self.next_avail, self.avail_wrap = start
        self.next_used, self.used_wrap = start
        self.free = list(range(self.ring.size))
        self.room = self.ring.size
        self.lengths: dict[int, int] = {}
        self._making: _Making | None = None

    # Make a request available

    def make_begin(
        self, identity: int, address: int, length: int, *, writable: bool = False, indirect: bool = False
    ) -> None:
        """Take an id and write address, length and id of the first descriptor (driver.make.1).

        With ``indirect`` the descriptor is that of a table. Raises UsageError for an id in use, a full ring, and while
        another request is being made.
        """
        if self._making is not None:
            raise UsageError("another request is being made")
        if identity not in self.free or self.room == 0:
            raise UsageError(f"buffer id {identity} is not free, or the ring is full")
        flags = (DESC_WRITE if writable else 0) | (DESC_INDIRECT if indirect else 0)
        slot = self.next_avail
        self._making = _Making(identity, slot, flags, slot, flags)
        self.free.remove(identity)
        self._fill(slot, address, length)
        self.hook("driver.make.1", identity)

    def make_more(self) -> None:
        """Say that another descriptor follows: the flags of this one, unless it is the first (driver.make.more).

        Raises UsageError out of turn, and when no slot is free for another.
        """
        making = self._open(more=False)
        if making.number >= self.room:
            raise UsageError(f"a chain of more than {making.number} descriptors does not fit into the ring")
        making.more = True
        making.flags |= DESC_NEXT
        self._write_flags(making)
        self.hook("driver.make.more", None)

    def make_desc(self, address: int, length: int, *, writable: bool = False) -> None:
        """Write address, length and id of the next descriptor (driver.make.desc). Raises UsageError out of turn."""
        making = self._open(more=True)
        making.more = False
        making.slot, _ = self.ring.advance(making.first, self.avail_wrap, making.number)
        making.flags = DESC_WRITE if writable else 0
        making.number += 1
        self._fill(making.slot, address, length)
        self.hook("driver.make.desc", None)

    def make_last(self) -> None:
        """Say that this is the last descriptor: its flags, unless it is the first (driver.make.last).

        Raises UsageError out of turn.
        """
        making = self._open(more=False)
        making.done = True
        self._write_flags(making)
        self.hook("driver.make.last", None)

    def make_head(self) -> None:
        """Write the flags of the first descriptor: the chain is available (driver.make.head).

        Raises UsageError when ``make_last`` did not come before it.
        """
        making = self._making
        if making is None or not making.done:
            raise UsageError("no request is complete")
        goes_on = DESC_NEXT if making.number > 1 else 0
        flags = making.first_flags | goes_on | available_flags(self.avail_wrap)
        self._making = None
        self.outstanding.add(making.identity)
        self.lengths[making.identity] = making.number
        self.room -= making.number
        self.next_avail, self.avail_wrap = self.ring.advance(making.first, self.avail_wrap, making.number)
        store(self.ring.desc[making.first], "flags", flags, "driver.make.head", self.hook)

    def _open(self, *, more: bool) -> _Making:
        """Return the request being made, whose latest descriptor was said (not) to be followed by another."""
        making = self._making
        if making is None or making.done or making.more != more:
            raise UsageError("no request is being made, or not this way")
        return making

    def _fill(self, slot: int, address: int, length: int) -> None:
        """Write one descriptor but for its flags; each of a chain has the same id."""
        assert self._making is not None
        desc = self.ring.desc[slot]
        store(desc, "addr", address)
        store(desc, "len", length)
        store(desc, "id", self._making.identity)

    def _write_flags(self, making: _Making) -> None:
        """Write the flags of the latest descriptor, unless it is the first: those say that all are available."""
        if making.number > 1:
            _, wrap = self.ring.advance(making.first, self.avail_wrap, making.number - 1)
            store(self.ring.desc[making.slot], "flags", making.flags | available_flags(wrap))

    def _wants_kick(self) -> bool:
        """Read whether the device wants a kick."""
        return bool(self.ring.device_event.flags != EVENT_DISABLE)

    def make(self, chain: Sequence[Buffer], identity: int | None = None, *, indirect: bool = False) -> int:
        """Make one request available and kick if wanted; return its id, by default the first free one.

        With ``indirect`` the chain goes into the id's table and needs one. Raises UsageError for an empty chain and one
        that does not fit, and as ``make_begin`` does.
        """
        if not chain or len(chain) > (self.ring.size if indirect else self.room):
            raise UsageError(f"a chain of {len(chain)} does not fit into {self.room} free slots")
        if identity is None:
            if not self.free:
                raise UsageError("no buffer id is free")
            identity = self.free[0]
        for _ in self.making(chain, identity, indirect=indirect):
            pass
        self.kick_if_wanted()
        return identity

    def making(self, chain: Sequence[Buffer], identity: int, *, indirect: bool = False) -> Iterator[None]:
        """Make one request available, one step each time that it is gone on with. Raises as its steps do."""
        first = self._write_table(identity, chain) if indirect else chain[0]
        self.make_begin(identity, first.address, first.length, writable=first.writable, indirect=indirect)
        yield
        for buffer in () if indirect else chain[1:]:
            self.make_more()
            yield
            self.make_desc(buffer.address, buffer.length, writable=buffer.writable)
            yield
        self.make_last()
        yield
        self.make_head()
        yield

    def _write_table(self, identity: int, chain: Sequence[Buffer]) -> Buffer:
        """Write a chain into the indirect table of an id; return where the table is."""
        tables = self.tables
        if tables is None or len(chain) > tables.entries:
            raise UsageError(f"there is no indirect table for a chain of {len(chain)}")
        offset = identity * tables.entries * 16
        table = overlay(PackedDesc * len(chain), tables.view[offset:], "an indirect table")
        for desc, buffer in zip(table, chain, strict=True):
            store(desc, "addr", buffer.address)
            store(desc, "len", buffer.length)
            store(desc, "id", 0)
            store(desc, "flags", DESC_WRITE if buffer.writable else 0)
        return Buffer(tables.address + offset, 16 * len(chain))

    # Use what comes back

    @property
    def used_waiting(self) -> bool:
        """Whether the next slot shows a used element."""
        return is_used(self.ring.desc[self.next_used].flags, self.used_wrap)

    def use(self) -> tuple[int, int]:
        """Use the next used element and free its id; return (id, len) (driver.use).

        The next one is as many slots further as the chain of the id was long. Raises BackEndError when the element
        names an id that is not outstanding; nothing changes then. Raises UsageError when nothing waits.
        """
        if not self.used_waiting:
            raise UsageError("nothing waits to be used")
        element = self.ring.desc[self.next_used]
        identity, length = element.id, element.len
        if self.strict and identity not in self.outstanding:
            raise BackEndError(f"used element {self.next_used} names id {identity}, which is not outstanding")
        number = self.lengths.get(identity, 1)
        if identity in self.outstanding:
            self.outstanding.remove(identity)
            insort(self.free, identity)
            self.room += number
        self.next_used, self.used_wrap = self.ring.advance(self.next_used, self.used_wrap, number)
        self.hook("driver.use", None)
        return identity, length

    # Sleep and wake

    def sleep_index(self) -> None:
        """Say that the next used element is the one to be notified of (driver.sleep.index).

        Raises UsageError without event indexes: flags speak of every used element then.
        """
        if not self.event_index:
            raise UsageError("event indexes are not used")
        off_wrap = self.next_used | self.used_wrap << 15
        store(self.ring.driver_event, "off_wrap", off_wrap, "driver.sleep.index", self.hook)

    def sleep_store(self) -> None:
        """Ask for a notification of every used element, or of the one that ``sleep_index`` named (driver.sleep.1)."""
        flags = EVENT_DESC if self.event_index else EVENT_ENABLE
        store(self.ring.driver_event, "flags", flags, "driver.sleep.1", self.hook)

    def wake_quiet(self) -> None:
        """Ask for no more notifications until the next ``sleep_store`` (driver.wake.quiet)."""
        store(self.ring.driver_event, "flags", EVENT_DISABLE, "driver.wake.quiet", self.hook)

    def try_sleep(self) -> bool:
        """Ask for a notification and sleep unless something waits; return whether the driver is asleep now."""
        if self.event_index:
            self.sleep_index()
        return super().try_sleep()

    def reset(self) -> None:
        """Forget everything and clear the whole ring, as for a new start of the driver (driver.reset)."""
        ring = self.ring
        for desc in ring.desc:
            for field in ("flags", "addr", "len", "id"):
                store(desc, field, 0)
        for event in (ring.driver_event, ring.device_event):
            store(event, "off_wrap", 0)
            store(event, "flags", 0)
        self._rise()
        self._begin()
        self.hook("driver.reset", None)
