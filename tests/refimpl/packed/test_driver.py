"""The driver of a packed ring: its steps, what each stores, and what it refuses; and the chains that it makes."""

from collections.abc import Callable

import pytest

from refimpl.both.driver import IndirectTables
from refimpl.errors import BackEndError, DriverError, UsageError
from refimpl.hooks import PACKED_DRIVER_STEPS
from refimpl.layout import DESC_INDIRECT, DESC_NEXT, PackedDesc
from refimpl.memory import SharedMemory, store
from refimpl.packed.chain import read_packed_chain
from refimpl.packed.driver import PackedDriver
from refimpl.packed.ring import PackedRing, packed_ring_bytes
from refimpl.split.chain import Buffer, GuestMemory, GuestRegion

A, U = 1 << 7, 1 << 15


class Bench:
    """A ring, a driver, and a device that is played by hand."""

    def __init__(self, size: int = 4, *, event_index: bool = False, strict: bool = True) -> None:
        """Make an empty ring, with room for tables behind it at guest address 0x8000."""
        offset = -(-packed_ring_bytes(size) // 64) * 64
        with SharedMemory.create(offset + 16 * 3 * size, "bench") as memory:
            self.view = memory.view()
        self.ring = PackedRing.at(self.view, size)
        self.steps: list[str] = []
        self.kicks: list[None] = []
        self.driver = PackedDriver(
            self.ring,
            lambda step, _choice: self.steps.append(step),
            kick=lambda: self.kicks.append(None),
            event_index=event_index,
            tables=IndirectTables(self.view[offset:], 0x8000, 3),
            strict=strict,
        )
        self.memory = GuestMemory([GuestRegion(0x8000, self.view[offset:]), GuestRegion(0x1000, memoryview(bytes(64)))])

    def supply(self, slot: int, identity: int, flags: int = A | U, length: int = 1) -> None:
        """Mark a slot used."""
        store(self.ring.desc[slot], "id", identity)
        store(self.ring.desc[slot], "len", length)
        store(self.ring.desc[slot], "flags", flags)

    def flags(self) -> list[int]:
        """Return the flags of each slot."""
        return [desc.flags for desc in self.ring.desc]


def chain(number: int) -> list[Buffer]:
    """Return a chain of buffers, the last one writable."""
    return [Buffer(0x1000 + part, part, part == number - 1) for part in range(number)]


@pytest.mark.reaches("driver.make.1", "driver.make.more", "driver.make.desc", "driver.make.last", "driver.make.head")
def test_steps_of_a_chain() -> None:
    """Nothing is available before the first descriptor's flags, which come last."""
    bench = Bench()
    driver, flags = bench.driver, bench.flags
    driver.make_begin(2, 0x1000, 8)
    driver.make_more()
    driver.make_desc(0x2000, 9, writable=True)
    assert flags() == [0, 0, 0, 0]
    driver.make_more()
    assert flags() == [0, A | 2 | DESC_NEXT, 0, 0]
    driver.make_desc(0x3000, 10)
    driver.make_last()
    assert flags() == [0, A | 2 | DESC_NEXT, A, 0]
    driver.make_head()
    assert flags() == [A | DESC_NEXT, A | 2 | DESC_NEXT, A, 0]
    assert [(desc.id, desc.addr, desc.len) for desc in bench.ring.desc][:3] == [
        (2, 0x1000, 8),
        (2, 0x2000, 9),
        (2, 0x3000, 10),
    ]
    make = ["1", "more", "desc", "more", "desc", "last", "head"]
    assert bench.steps == [f"driver.make.{step}" for step in make]
    assert (driver.next_avail, driver.avail_wrap, driver.room, driver.free) == (3, 1, 1, [0, 1, 3])


def test_one_descriptor() -> None:
    """A single descriptor has its flags stored once."""
    bench = Bench()
    assert bench.driver.make(chain(1)) == 0
    assert bench.steps[:3] == ["driver.make.1", "driver.make.last", "driver.make.head"]
    assert bench.flags() == [A | 2, 0, 0, 0]


def test_laps() -> None:
    """In the next lap AVAIL and USED have the other meaning, for the descriptors of a chain behind the end too."""
    bench = Bench(3)
    bench.driver.make(chain(2))
    bench.supply(0, 0)
    assert bench.driver.use() == (0, 1)
    bench.driver.make(chain(2))
    assert bench.flags() == [U | 2, A | 2, A | DESC_NEXT]
    assert (bench.driver.next_avail, bench.driver.avail_wrap) == (1, 0)
    bench.supply(2, 0)
    assert bench.driver.use_all() == [(0, 1)]
    bench.supply(1, 0, 0)
    assert bench.driver.used_waiting
    with pytest.raises(BackEndError, match="used element 1 names id 0"):
        bench.driver.use()


@pytest.mark.parametrize(
    "out_of_turn",
    [
        lambda driver: driver.make_more(),
        lambda driver: driver.make_desc(0, 0),
        lambda driver: driver.make_last(),
        lambda driver: driver.make_head(),
        lambda driver: (driver.make_begin(0, 0, 0), driver.make_begin(1, 0, 0)),
        lambda driver: (driver.make_begin(0, 0, 0), driver.make_head()),
        lambda driver: (driver.make_begin(0, 0, 0), driver.make_desc(0, 0)),
        lambda driver: (driver.make_begin(0, 0, 0), driver.make_more(), driver.make_last()),
        lambda driver: (driver.make_begin(0, 0, 0), driver.make_last(), driver.make_last()),
        lambda driver: driver.make_begin(4, 0, 0),
        lambda driver: driver.make([]),
        lambda driver: driver.make(chain(5)),
        lambda driver: driver.make(chain(4), indirect=True),
        lambda driver: (driver.make(chain(4)), driver.make_begin(1, 0, 0)),
        lambda driver: [driver.make(chain(1)) for _ in range(5)],
        lambda driver: [driver.make(chain(1), indirect=True) for _ in range(5)],
        lambda driver: (driver.make(chain(3)), driver.make_begin(1, 0, 0), driver.make_more()),
        lambda driver: driver.use(),
        lambda driver: driver.kick(),
        lambda driver: driver.kick_none(),
        lambda driver: (driver.kick_look(), driver.kick_none()),
        lambda driver: driver.sleep_again(),
    ],
)
def test_out_of_turn(out_of_turn: Callable[[PackedDriver], object]) -> None:
    """A step that is not next, an id in use, and a chain that does not fit, are refused."""
    with pytest.raises(UsageError):
        out_of_turn(Bench().driver)


@pytest.mark.reaches("driver.kick.*")
def test_kick() -> None:
    """The device is kicked unless it disabled that."""
    bench = Bench()
    bench.driver.make(chain(1))
    store(bench.ring.device_event, "flags", 1)
    bench.driver.make(chain(1))
    assert len(bench.kicks) == 1
    assert [step for step in bench.steps if "kick" in step] == [
        *("driver.kick.look", "driver.kick.1"),
        *("driver.kick.look", "driver.kick.none"),
    ]


@pytest.mark.reaches(
    "driver.sleep.1", "driver.sleep.again", "driver.sleep.2", "driver.wake", "driver.wake.quiet", "driver.use"
)
def test_sleep() -> None:
    """The driver enables notifications, looks again, sleeps, wakes, and disables them."""
    bench = Bench()
    driver, event = bench.driver, bench.ring.driver_event
    driver.make(chain(1))
    store(event, "flags", 1)
    driver.sleep_store()
    assert event.flags == 0
    driver.sleep()
    assert driver.asleep
    bench.supply(0, 0)
    driver.wake()
    driver.wake_quiet()
    assert (driver.asleep, event.flags) == (False, 1)
    assert not driver.try_sleep()
    with pytest.raises(UsageError, match="something waits"):
        driver.sleep()
    driver.sleep_again()
    assert driver.use_all() == [(0, 1)]
    assert driver.try_sleep()
    assert set(bench.steps) <= PACKED_DRIVER_STEPS


@pytest.mark.reaches("driver.sleep.index")
def test_sleep_with_event_index() -> None:
    """With event indexes the driver asks to be notified of its next slot, with the wrap counter of its lap."""
    bench = Bench(event_index=True)
    bench.driver.make(chain(1))
    bench.supply(0, 0)
    bench.driver.use()
    event = bench.ring.driver_event
    bench.driver.sleep_index()
    assert (event.flags, event.off_wrap) == (0, 1 | 1 << 15)  # off_wrap is there before flags speak of it
    bench.driver.sleep_store()
    assert (event.flags, event.off_wrap) == (2, 1 | 1 << 15)
    assert bench.steps[-2:] == ["driver.sleep.index", "driver.sleep.1"]


def test_no_index_without_event_indexes() -> None:
    """Where they were not negotiated, flags speak of every used element, and off_wrap stays."""
    bench = Bench()
    with pytest.raises(UsageError, match="event indexes are not used"):
        bench.driver.sleep_index()
    assert bench.ring.driver_event.off_wrap == 0


def test_careless() -> None:
    """Without strict an id that is not outstanding is used again, as far as its last chain went."""
    bench = Bench(strict=False)
    bench.driver.make(chain(2))
    bench.supply(0, 0)
    bench.supply(2, 0)
    bench.supply(3, 9)
    bench.driver.use()
    assert bench.driver.use() == (0, 1)
    assert (bench.driver.next_used, bench.driver.room) == (0, 4)


@pytest.mark.reaches("driver.reset")
def test_reset() -> None:
    """After a reset the ring is empty and begins anew."""
    bench = Bench()
    bench.driver.make(chain(3))
    bench.driver.try_sleep()
    bench.driver.reset()
    assert not any(bytes(bench.view)[: packed_ring_bytes(4)])
    assert (bench.driver.next_avail, bench.driver.room, bench.driver.free) == (0, 4, [0, 1, 2, 3])
    assert bench.steps[-1] == "driver.reset"


def test_indirect() -> None:
    """An indirect table is one descriptor in the ring, its buffers are found in order."""
    bench = Bench()
    bench.driver.make(chain(3), 1, indirect=True)
    desc = bench.ring.copy(0)
    assert (desc.flags, desc.len, desc.addr) == (A | DESC_INDIRECT, 48, 0x8000 + 48)
    buffers = read_packed_chain([desc], bench.memory, 0, 4)
    assert [Buffer(buffer.address, buffer.length, buffer.writable) for buffer in buffers] == chain(3)


def desc(address: int = 0x1000, length: int = 1, flags: int = 0) -> PackedDesc:
    """Return a descriptor."""
    return PackedDesc(address, length, 0, flags)


@pytest.mark.parametrize(
    ("descriptors", "words"),
    [
        ([desc()] * 5, "longer than the ring's 4"),
        ([desc(flags=2), desc()], "to be read comes after"),
        ([desc(0x5000)], "not inside"),
        ([desc(2**64 - 1, 2)], "leave the 64 bits"),
        ([desc(0x8000, 16, DESC_INDIRECT), desc()], "not alone"),
        ([desc(0x8000, 0, DESC_INDIRECT)], "0 bytes"),
        ([desc(0x8000, 24, DESC_INDIRECT)], "24 bytes"),
        ([desc(0x8000, 16 * 32769, DESC_INDIRECT)], "32769 descriptors, more than 32768"),
        ([desc(0x8000, 16, DESC_INDIRECT)], "inside an indirect table"),
    ],
)
def test_wrong_chains(descriptors: list[PackedDesc], words: str) -> None:
    """A chain that breaks a rule is refused, and the error names its entry."""
    bench = Bench()
    store(PackedDesc.from_buffer(bench.memory.regions[0].view), "flags", DESC_INDIRECT)
    with pytest.raises(DriverError, match=f"entry 7: .*{words}"):
        read_packed_chain(descriptors, bench.memory, 7, 4)
