"""Descriptor chains: read in order, through an indirect table too, and checked against a hostile driver."""

import pytest

from refimpl.both.driver import IndirectTables
from refimpl.errors import DriverError, FrontEndError, UsageError
from refimpl.layout import DESC_INDIRECT, DESC_NEXT, DESC_WRITE, VringDesc
from refimpl.memory import SharedMemory, store
from refimpl.split.chain import TABLE_MAX, Buffer, GuestMemory, GuestRegion, mapped, read_chain
from refimpl.split.driver import SplitDriver
from refimpl.split.ring import SplitRing, ring_bytes

BASE = 0x10000
SIZE = 0x4000
TABLE = 0x2000  # where indirect tables are, from BASE

Fields = tuple[int, int, int, int]


class Guest:
    """A ring of 4, and a guest with one region at BASE."""

    def __init__(self) -> None:
        """Make both."""
        with SharedMemory.create(SIZE, "guest") as shared, SharedMemory.create(ring_bytes(4), "ring") as ring:
            self.view = shared.view()
            self.ring = SplitRing.at(ring.view(), 4)
        self.memory = GuestMemory([GuestRegion(BASE, self.view)])

    def table(self, *descriptors: Fields) -> None:
        """Write the ring's descriptors from entry 0 on."""
        for entry, fields in enumerate(descriptors):
            put(self.ring.desc[entry], fields)

    def indirect(self, *descriptors: Fields) -> None:
        """Write an indirect table."""
        table = (VringDesc * len(descriptors)).from_buffer(self.view[TABLE:])
        for entry, fields in enumerate(descriptors):
            put(table[entry], fields)


def put(desc: VringDesc, fields: Fields) -> None:
    """Write one descriptor."""
    for name, value in zip(("addr", "len", "flags", "next"), fields, strict=True):
        store(desc, name, value)


def test_chain_of_three() -> None:
    """The buffers come in the order of the links, with the bytes that they name."""
    guest = Guest()
    guest.table(
        (BASE, 16, DESC_NEXT, 2), (BASE + 99, 1, DESC_WRITE, 0), (BASE + 0x1000, 512, DESC_NEXT | DESC_WRITE, 1)
    )
    guest.view[0x1000] = 77
    buffers = read_chain(guest.ring, guest.memory, 0)
    assert [(b.address, b.length, b.writable) for b in buffers] == [
        (BASE, 16, False),
        (BASE + 0x1000, 512, True),
        (BASE + 99, 1, True),
    ]
    assert (buffers[1].view[0], len(buffers[1].view)) == (77, 512)


def test_indirect_after_direct() -> None:
    """A chain may end in an indirect table, whose buffers follow."""
    guest = Guest()
    guest.table((BASE, 16, DESC_NEXT, 3))
    put(guest.ring.desc[3], (BASE + TABLE, 32, DESC_INDIRECT, 0))
    guest.indirect((BASE + 1, 1, DESC_NEXT, 1), (BASE + 2, 2, DESC_WRITE, 0))
    assert [b.address for b in read_chain(guest.ring, guest.memory, 0)] == [BASE, BASE + 1, BASE + 2]


@pytest.mark.parametrize("indirect", [False, True])
def test_the_driver_s_chains_are_read_back(*, indirect: bool) -> None:
    """What the driver describes is what the back-end reads."""
    guest = Guest()
    tables = IndirectTables(guest.view[TABLE:], BASE + TABLE, 3)
    chain = [Buffer(BASE, 16), Buffer(BASE + 32, 0), Buffer(BASE + 64, 1, writable=True)]
    head = SplitDriver(guest.ring, tables=tables).make(chain, 3, indirect=indirect)
    read = read_chain(guest.ring, guest.memory, head)
    assert [Buffer(b.address, b.length, b.writable) for b in read] == chain


@pytest.mark.parametrize(
    ("descriptors", "words"),
    [
        ([(BASE, 1, DESC_NEXT, 0)], "longer than the ring"),
        ([(BASE, 1, DESC_NEXT, 1), (BASE, 1, DESC_NEXT, 0)], "or loops"),
        ([(BASE, 1, DESC_NEXT, 4)], "next is 4 in a table of 4"),
        ([(BASE + TABLE, 16, DESC_INDIRECT | DESC_NEXT, 1)], "both indirect and followed"),
        ([(BASE + TABLE, 17, DESC_INDIRECT, 0)], "17 bytes, not a multiple of 16"),
        ([(BASE + TABLE, 0, DESC_INDIRECT, 0)], "0 bytes, not a multiple of 16"),
        ([(BASE + SIZE, 16, DESC_INDIRECT, 0)], "not inside one region"),
        ([(BASE - 1, 1, 0, 0)], "not inside one region"),
        ([(BASE + SIZE - 1, 2, 0, 0)], "not inside one region"),
        ([(0, 1, 0, 0)], "not inside one region"),
        ([(2**64 - 1, 2, 0, 0)], "leave the 64 bits"),
        ([(BASE, 2**32 - 1, 0, 0)], "not inside one region"),
        ([(BASE, 1, DESC_WRITE | DESC_NEXT, 1), (BASE, 1, 0, 0)], "to be read comes after one to be written"),
    ],
)
def test_hostile_chain(descriptors: list[Fields], words: str) -> None:
    """A chain that breaks a rule is refused, with the head and the rule."""
    guest = Guest()
    guest.table(*descriptors)
    with pytest.raises(DriverError, match=f"^the driver: head 0: .*{words}"):
        read_chain(guest.ring, guest.memory, 0)


@pytest.mark.parametrize(
    ("descriptors", "words"),
    [
        ([(BASE + TABLE, 16, DESC_INDIRECT, 0)], "inside an indirect table"),
        ([(BASE, 1, DESC_NEXT, 0)], "longer than its table of 1 descriptors, or loops"),
        ([(BASE, 1, DESC_NEXT, 1)], "next is 1 in a table of 1"),
        ([(BASE, 1, DESC_NEXT, 1), (BASE, 1, DESC_NEXT, 0)], "longer than its table of 2 descriptors, or loops"),
    ],
)
def test_hostile_indirect_table(descriptors: list[Fields], words: str) -> None:
    """So is one whose indirect table does."""
    guest = Guest()
    guest.table((BASE + TABLE, 16 * len(descriptors), DESC_INDIRECT, 0))
    guest.indirect(*descriptors)
    with pytest.raises(DriverError, match=words):
        read_chain(guest.ring, guest.memory, 0)


def test_a_table_may_be_longer_than_the_ring() -> None:
    """Linux fills a table with as many segments as the device takes, whatever size the ring has."""
    guest = Guest()
    guest.table((BASE, 1, DESC_NEXT, 1), (BASE + TABLE, 16 * 6, DESC_INDIRECT, 0))
    guest.indirect(*[(BASE, 1, DESC_NEXT, n + 1) for n in range(5)], (BASE, 1, 0, 0))
    assert len(read_chain(guest.ring, guest.memory, 0)) == 7


def test_a_table_longer_than_any_ring() -> None:
    """No driver needs one, and reading it would take long."""
    guest = Guest()
    guest.table((BASE, 16 * (TABLE_MAX + 1), DESC_INDIRECT, 0))
    with pytest.raises(DriverError, match="32769 descriptors, more than 32768"):
        read_chain(guest.ring, guest.memory, 0)


@pytest.mark.parametrize("head", [-1, 4])
def test_head_outside_the_ring(head: int) -> None:
    """A head that is not in the ring has been refused before."""
    guest = Guest()
    with pytest.raises(UsageError, match="no head"):
        read_chain(guest.ring, guest.memory, head)


def test_guest_regions() -> None:
    """Regions do not overlap, are not empty, do not leave 64 bits; one can be taken out again."""
    view = memoryview(bytearray(16))
    memory = GuestMemory(
        [GuestRegion(16, view), GuestRegion(0, view), GuestRegion(32, view), GuestRegion(2**64 - 16, view)]
    )
    for region in (GuestRegion(31, view), GuestRegion(8, view), GuestRegion(1 << 64, view), GuestRegion(-1, view)):
        with pytest.raises(FrontEndError):
            memory.add(region)
    with pytest.raises(FrontEndError, match="0 bytes"):
        memory.add(GuestRegion(64, view[:0]))
    with pytest.raises(DriverError, match="not inside one region"):
        memory.translate(8, 16)
    assert len(memory.translate(2**64 - 16, 16)) == 16
    assert memory.remove(0, 16).address == 0
    with pytest.raises(FrontEndError, match="no region"):
        memory.remove(0, 16)
    with pytest.raises(DriverError):
        memory.translate(0, 1)


def test_adjoining_regions() -> None:
    """A buffer, and a table, may cross from one region into another that adjoins it; a hole between them is refused."""
    ram = [bytearray(64), bytearray(64), bytearray(64)]
    memory = GuestMemory(GuestRegion(64 * at, memoryview(ram[n])) for n, at in enumerate((2, 1, 4)))
    assert [bytes(piece) for piece in memory.pieces(120, 16)] == [bytes(8), bytes(8)]
    memory.pieces(120, 16)[1][:] = b"crossing"
    assert ram[0][:8] == b"crossing"
    assert [len(piece) for piece in memory.pieces(64, 128)] == [64, 64]
    assert [len(piece) for piece in memory.pieces(128, 0)] == [0]
    for address, length in ((64, 129), (120, 200), (190, 70), (0, 65)):
        with pytest.raises(DriverError, match="not inside one region"):
            memory.pieces(address, length)
    desc = VringDesc(addr=126, len=4, flags=DESC_WRITE)
    assert [(b.address, b.length, b.writable) for b in mapped(desc, memory)] == [(126, 2, True), (128, 2, True)]
