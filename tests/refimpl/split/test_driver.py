"""The driver of a split ring: its steps, descriptors, what it owns, and what it refuses."""

from typing import Any

import pytest

from refimpl.both.driver import IndirectTables
from refimpl.errors import BackEndError, FrontEndError, UsageError
from refimpl.hooks import DRIVER_STEPS
from refimpl.memory import SharedMemory, store
from refimpl.split.chain import Buffer
from refimpl.split.driver import SplitDriver
from refimpl.split.ring import SplitRing, ring_bytes

ONE = [Buffer(0x1000, 512)]
THREE = [Buffer(0x1000, 16), Buffer(0x2000, 512, writable=True), Buffer(0x3000, 1, writable=True)]


class Bench:
    """A driver on a ring, and what it reported."""

    def __init__(self, size: int = 4, first_index: int = 0, **more: Any) -> None:
        """Make a ring whose indexes begin at ``first_index``."""
        with SharedMemory.create(ring_bytes(size), "ring") as memory:
            self.view = memory.view()
        self.ring = SplitRing.at(self.view, size)
        store(self.ring.avail, "idx", first_index)
        store(self.ring.used, "idx", first_index)
        self.steps: list[tuple[str, int | None]] = []
        self.kicks = 0
        self.calls = 0
        self.driver = SplitDriver(self.ring, self._hook, kick=self._kick, call_taken=self._call, **more)

    def _hook(self, step: str, choice: int | None) -> None:
        self.steps.append((step, choice))

    def _kick(self) -> None:
        self.kicks += 1

    def _call(self) -> None:
        self.calls += 1

    def give_back(self, *heads: int) -> None:
        """Write used elements as a device does."""
        for head in heads:
            index = self.ring.used.idx
            store(self.ring.used.ring[index % self.ring.size], "id", head)
            store(self.ring.used.ring[index % self.ring.size], "len", 10 + head)
            store(self.ring.used, "idx", (index + 1) % 65536)

    def desc(self, entry: int) -> tuple[int, int, int, int]:
        """Return the fields of one descriptor."""
        desc = self.ring.desc[entry]
        return desc.addr, desc.len, desc.flags, desc.next


@pytest.mark.reaches("driver.make.[123]")
def test_make_step_by_step() -> None:
    """A request is described, listed and published, each seen in memory after its step and not before."""
    bench = Bench(first_index=65535)
    driver, ring = bench.driver, bench.ring
    driver.make_describe(2, ONE)
    assert (bench.desc(2), ring.avail.ring[3]) == ((0x1000, 512, 0, 0), 0)
    driver.make_list()
    assert (ring.avail.ring[3], ring.avail.idx) == (2, 65535)
    driver.make_publish()
    assert ring.avail.idx == 0
    assert bench.steps == [("driver.make.1", 2), ("driver.make.2", None), ("driver.make.3", None)]


def test_chain_takes_free_descriptors() -> None:
    """A chain is linked through free descriptors, which come back with the head."""
    bench = Bench()
    assert bench.driver.make(THREE, 1) == 1
    assert [bench.desc(entry) for entry in (1, 0, 2)] == [
        (0x1000, 16, 1, 0),
        (0x2000, 512, 3, 2),
        (0x3000, 1, 2, 0),
    ]
    assert bench.driver.free == [3]
    bench.give_back(1)
    assert bench.driver.use() == (1, 11)
    assert bench.driver.free == [0, 1, 2, 3]


def test_indirect_table() -> None:
    """An indirect chain takes one descriptor, which points to the head's own table."""
    with SharedMemory.create(4 * 3 * 16, "tables") as memory:
        room = memory.view()
    bench = Bench(tables=IndirectTables(room, 0x8000, 3))
    bench.driver.make(THREE, 2, indirect=True)
    assert bench.desc(2) == (0x8000 + 2 * 48, 48, 4, 0)
    assert bytes(room[2 * 48 :][:12]) == (0x1000).to_bytes(8, "little") + (16).to_bytes(4, "little")
    assert bytes(room[2 * 48 + 12 :][:4]) == bytes([1, 0, 1, 0])
    assert bench.driver.free == [0, 1, 3]
    with pytest.raises(UsageError, match="no indirect table"):
        bench.driver.make([*THREE, *ONE], 0, indirect=True)
    with pytest.raises(UsageError, match="no indirect table"):
        Bench().driver.make(ONE, 0, indirect=True)


def test_make_refuses() -> None:
    """A head in use, too long a chain, an empty one, no free descriptor, and steps out of turn are refused."""
    bench = Bench(size=2)
    driver = bench.driver
    for step in (driver.make_list, driver.make_publish):
        with pytest.raises(UsageError, match="no request was"):
            step()
    for head, chain in ((2, ONE), (0, []), (0, THREE)):
        with pytest.raises(UsageError):
            driver.make(chain, head)
    driver.make_describe(0, ONE)
    with pytest.raises(UsageError, match="another request"):
        driver.make_describe(1, ONE)
    driver.make_list()
    with pytest.raises(UsageError, match="another request"):
        driver.make_describe(1, ONE)
    driver.make_publish()
    with pytest.raises(UsageError, match="head 0 is not free"):
        driver.make_describe(0, ONE)
    assert driver.make(ONE) == 1
    with pytest.raises(UsageError, match="no descriptor is free"):
        driver.make(ONE)


@pytest.mark.parametrize(("event", "wanted"), [(65534, False), (65535, True), (0, False)])
def test_kick_by_event_index(event: int, *, wanted: bool) -> None:
    """A kick is wanted if the device's event index is the one before this request."""
    bench = Bench(first_index=65535)
    store(bench.ring.avail_event, "event", event)
    bench.driver.make(ONE)
    assert (bench.kicks == 1, bench.steps[-2][0]) == (wanted, "driver.kick.look")
    assert bench.steps[-1][0] == ("driver.kick.1" if wanted else "driver.kick.none")


@pytest.mark.parametrize("unwanted", [0, 1])
def test_kick_by_flags(unwanted: int) -> None:
    """Without event indexes a kick is wanted unless the device's flag says not."""
    bench = Bench(event_index=False)
    store(bench.ring.used, "flags", unwanted)
    bench.driver.make(ONE)
    assert bench.kicks == 1 - unwanted


def test_kick_out_of_turn() -> None:
    """To kick or to leave it out needs a look that says so."""
    driver = Bench().driver
    with pytest.raises(UsageError):
        driver.kick()
    with pytest.raises(UsageError):
        driver.kick_none()
    driver.make_describe(0, ONE)
    driver.make_list()
    driver.make_publish()
    assert driver.kick_look()
    with pytest.raises(UsageError):
        driver.kick_none()


def test_one_look_for_several_requests() -> None:
    """A look after several requests asks for a kick if the event index is any of theirs."""
    bench = Bench()
    store(bench.ring.avail_event, "event", 1)
    for head in (0, 1, 2):
        bench.driver.make_describe(head, ONE)
        bench.driver.make_list()
        bench.driver.make_publish()
    assert bench.driver.kick_look()


def test_use_refuses_what_it_does_not_own() -> None:
    """A used element for a head that is not outstanding, or a used index too far ahead, is the back-end's fault."""
    bench = Bench()
    with pytest.raises(UsageError, match="nothing waits"):
        bench.driver.use()
    bench.driver.make(ONE, 0)
    bench.give_back(1)
    with pytest.raises(BackEndError, match="names head 1, which is not outstanding"):
        bench.driver.use()
    store(bench.ring.used.ring[0], "id", 0)
    bench.give_back(0)
    with pytest.raises(BackEndError, match="shows 2 used elements, but 1 are outstanding"):
        bench.driver.use()
    assert (bench.driver.next_used, bench.driver.outstanding) == (0, {0})


@pytest.mark.reaches("driver.use", "driver.kick.none")
def test_use_all() -> None:
    """Everything that waits is used, in the order of the ring."""
    bench = Bench(first_index=65535)
    for head in (0, 1, 2):
        bench.driver.make(ONE, head)
    bench.give_back(2, 0)
    assert bench.driver.use_all() == [(2, 12), (0, 10)]
    assert bench.driver.outstanding == {1}


def test_sleep_and_wake() -> None:
    """The driver sleeps unless something came between its store and its look; a notification wakes it."""
    bench = Bench(first_index=65535)
    driver = bench.driver
    driver.make(ONE, 0)
    assert driver.try_sleep()
    assert bench.ring.used_event.event == 65535
    driver.wake()
    assert (driver.asleep, bench.calls) == (False, 1)
    bench.give_back(0)
    assert not driver.try_sleep()
    ends = [step for step, _ in bench.steps[-5:]]
    assert ends == ["driver.sleep.1", "driver.sleep.2", "driver.wake", "driver.sleep.1", "driver.sleep.again"]


@pytest.mark.reaches("driver.sleep.1", "driver.sleep.again", "driver.sleep.2", "driver.wake")
def test_sleep_step_by_step() -> None:
    """Each outcome of the look has its own step, refused when it is not so."""
    bench = Bench(event_index=False)
    driver = bench.driver
    store(bench.ring.avail, "flags", 1)
    driver.sleep_store()
    assert bench.ring.avail.flags == 0
    with pytest.raises(UsageError, match="nothing waits"):
        driver.sleep_again()
    driver.sleep()
    assert driver.asleep
    driver.wake()
    driver.make(ONE, 0)
    bench.give_back(0)
    with pytest.raises(UsageError, match="something waits"):
        driver.sleep()
    driver.sleep_again()
    assert not driver.asleep
    assert {step for step, _ in bench.steps} <= DRIVER_STEPS


@pytest.mark.reaches("driver.reset")
def test_reset() -> None:
    """A reset clears the ring and forgets everything."""
    bench = Bench(first_index=65535)
    bench.driver.make(THREE, 1)
    bench.give_back(1)
    bench.driver.reset()
    assert bytes(bench.view) == bytes(ring_bytes(4))
    assert (bench.driver.free, bench.driver.outstanding, bench.driver.next_avail) == ([0, 1, 2, 3], set(), 0)
    assert bench.steps[-1] == ("driver.reset", None)
    assert bench.driver.make(ONE) == 0


@pytest.mark.parametrize("size", [0, 3, 65536, -4])
def test_ring_sizes(size: int) -> None:
    """A split ring's size is a power of two up to 32768."""
    view = memoryview(bytearray(1 << 20))
    with pytest.raises(FrontEndError, match="not allowed"):
        SplitRing(size, view, view, view)


def test_ring_parts_have_to_fit() -> None:
    """Parts too short or misaligned are the front-end's fault; a ring in one piece has to fit its view."""
    with SharedMemory.create(4096, "ring") as memory:
        view = memory.view()
        for desc, avail, used, words in (
            (view[8:], view, view, "not aligned to 16"),
            (view[4:], view, view, "aligned"),
            (view, view[1:], view, "aligned"),
            (view, view, view[2:], "aligned"),
            (view[:63], view, view, "needs 64 bytes"),
            (view, view[:13], view, "needs 2 bytes"),
            (view, view, view[:37], "needs 2 bytes"),
        ):
            with pytest.raises(FrontEndError, match=words):
                SplitRing(4, desc, avail, used)
        with pytest.raises(UsageError, match="there are 10"):
            SplitRing.at(view[:10], 4)
