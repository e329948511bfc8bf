"""Shared memory: sealed, mapped, checked, and closed; and the one way to store to it."""

import ctypes
import fcntl
import gc
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest

from refimpl.errors import BackEndError, FrontEndError, InflightError, UsageError
from refimpl.memory import SharedMemory, field_at, full_fence, store, store_alone


def open_fds() -> int:
    """Return how many descriptors this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


class Pair(ctypes.Structure):
    """Two fields of different widths."""

    _fields_ = (("small", ctypes.c_uint8), ("odd", ctypes.c_uint8), ("wide", ctypes.c_uint16))


class Packed(ctypes.Structure):
    """A field that is not aligned."""

    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("small", ctypes.c_uint8), ("wide", ctypes.c_uint32))


def test_create_is_sealed_and_zero() -> None:
    """A created memory has its size, is zero, closed on exec, and can neither shrink, grow nor get more seals."""
    with SharedMemory.create(100, "test") as memory:
        seals = fcntl.fcntl(memory.fd, fcntl.F_GET_SEALS)
        assert seals == fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
        assert not os.get_inheritable(memory.fd)
        assert bytes(memory.view()) == bytes(100)
        with pytest.raises(PermissionError):
            os.ftruncate(memory.fd, 0)


def test_two_maps_share() -> None:
    """What is stored through one mapping is read through another of the same file."""
    with SharedMemory.create(64, "test") as one, SharedMemory.map(one.fd, 64) as two:
        one.view()[3] = 7
        assert two.view()[3] == 7


@pytest.mark.parametrize("offset", [0, 1, 4095, 4096, 4100, 8191])
def test_map_at_any_offset(offset: int) -> None:
    """The offset need not be a multiple of a page."""
    with SharedMemory.create(3 * 4096, "test") as whole, SharedMemory.map(whole.fd, 16, offset) as part:
        whole.view()[offset] = 1
        whole.view()[offset + 15] = 2
        assert (part.view()[0], part.view()[15], len(part.view())) == (1, 2, 16)


@pytest.mark.parametrize(
    ("size", "offset"),
    [(65, 0), (64, 1), (0, 0), (-1, 0), (64, -1), (1, 64), (1 << 70, 0), (64, 1 << 70), (1 << 62, 1 << 62)],
)
def test_map_refuses_a_short_file(size: int, offset: int) -> None:
    """A part that is not wholly inside the file is refused before anything is mapped, and no descriptor is left."""
    with SharedMemory.create(64, "test") as memory:
        before = open_fds()
        with pytest.raises(FrontEndError, match="the front-end: "):
            SharedMemory.map(memory.fd, size, offset)
        assert open_fds() == before


def test_map_blames_whom_it_is_told_to() -> None:
    """A front-end blames the back-end for a short file."""
    with SharedMemory.create(64, "test") as memory, pytest.raises(BackEndError, match="too short"):
        SharedMemory.map(memory.fd, 65, blame=BackEndError)


def test_map_of_what_is_no_memory() -> None:
    """A pipe has no bytes to map, a closed descriptor nothing, a file opened for reading cannot be written."""
    reading, writing = os.pipe()
    with pytest.raises(FrontEndError, match="too short"):
        SharedMemory.map(reading, 1)
    os.close(reading)
    os.close(writing)
    with pytest.raises(FrontEndError, match="of no use"):
        SharedMemory.map(writing, 1)
    with tempfile.NamedTemporaryFile() as file:
        file.write(bytes(64))
        file.flush()
        fd = os.open(file.name, os.O_RDONLY)
        before = open_fds()
        with pytest.raises(FrontEndError, match="cannot be mapped: "):
            SharedMemory.map(fd, 64)
        assert open_fds() == before
        os.close(fd)


def test_map_can_ask_for_a_seal() -> None:
    """A file that can still be shrunk is refused when a seal is asked for; one of ours is not."""
    with tempfile.TemporaryFile() as file:
        file.truncate(64)
        with pytest.raises(FrontEndError, match="not sealed"):
            SharedMemory.map(file.fileno(), 64, sealed=True)
    fd = os.memfd_create("test", os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, 64)
    with pytest.raises(FrontEndError, match="not sealed"):
        SharedMemory.map(fd, 64, sealed=True)
    os.close(fd)
    with SharedMemory.create(64, "test") as memory, SharedMemory.map(memory.fd, 64, sealed=True) as other:
        assert len(other.view()) == 64


def test_close_at_once_and_twice() -> None:
    """Closing gives the descriptor back at once, even while a view lives; the view stays usable; twice is harmless."""
    before = open_fds()
    memory = SharedMemory.create(64, "test")
    pair = Pair.from_buffer(memory.view(8))
    memory.close()
    memory.close()
    assert open_fds() == before
    pair.wide = 5
    assert pair.wide == 5
    with pytest.raises(UsageError, match="closed"):
        memory.view()


def test_mapping_goes_with_its_last_view() -> None:
    """The mapping is gone once it is closed and no view of it is left."""
    memory = SharedMemory.create(4096, "unmapped-test")
    pair = Pair.from_buffer(memory.view())
    memory.close()
    gc.collect()
    assert "unmapped-test" in Path("/proc/self/maps").read_text()
    del pair
    assert "unmapped-test" not in Path("/proc/self/maps").read_text()


@pytest.mark.parametrize("size", [0, -1, 1 << 63])
def test_create_refuses_a_size(size: int) -> None:
    """A size that nobody can have is refused, and no descriptor is left."""
    before = open_fds()
    with pytest.raises(UsageError, match="cannot be had"):
        SharedMemory.create(size, "test")
    assert open_fds() == before


def test_create_without_memory() -> None:
    """More than the address space holds is an error that leaves no descriptor."""
    before = open_fds()
    with pytest.raises(InflightError, match="no shared memory"):
        SharedMemory.create(1 << 60, "test")
    assert open_fds() == before


@pytest.mark.parametrize("kind", [KeyboardInterrupt, OSError])
def test_no_descriptor_is_left(monkeypatch: pytest.MonkeyPatch, kind: type[BaseException]) -> None:
    """Whatever ends the making of a mapping, its descriptor is closed."""

    def fail(*_arguments: int) -> memoryview:
        raise kind

    with SharedMemory.create(64, "test") as memory:
        monkeypatch.setattr("refimpl.memory._mapped", fail)
        before = open_fds()
        with pytest.raises((KeyboardInterrupt, InflightError)):
            SharedMemory.create(64, "test")
        with pytest.raises((KeyboardInterrupt, InflightError)):
            SharedMemory.map(memory.fd, 64)
        assert open_fds() == before


def test_create_without_memfd(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that gives no memfd is an error that says so."""

    def refuse(_name: str, _flags: int) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "memfd_create", refuse)
    with pytest.raises(InflightError, match=r"no memfd: .*Too many"):
        SharedMemory.create(64, "test")


@pytest.mark.parametrize(("offset", "size"), [(-1, 1), (0, 65), (64, 1), (65, None), (0, -1)])
def test_view_stays_inside(offset: int, size: int | None) -> None:
    """A view outside the memory is refused."""
    with SharedMemory.create(64, "test") as memory, pytest.raises(UsageError, match="not inside"):
        memory.view(offset, size)


def test_store_changes_one_field_and_then_reports() -> None:
    """A store changes the bytes of its field alone, and the hook is called after it with the step and its choice."""
    pair = Pair(1, 2, 3)
    seen: list[Any] = []
    store(pair, "wide", 0xABCD, "a.step", lambda step, choice: seen.append((step, choice, pair.wide)), choice=9)
    assert seen == [("a.step", 9, 0xABCD)]
    assert (pair.small, pair.odd, pair.wide) == (1, 2, 0xABCD)


def test_store_into_an_array() -> None:
    """An element of an array is stored like a field."""
    array = (ctypes.c_uint16 * 4)()
    store(array, 2, 0xFFFF)
    assert list(array) == [0, 0, 0xFFFF, 0]


@pytest.mark.parametrize(("field", "value"), [("small", 256), ("small", -1), ("wide", 65536)])
def test_store_refuses_what_does_not_fit(field: str, value: int) -> None:
    """A value that ctypes would cut is refused, nothing is stored, and nothing reported."""
    pair = Pair(1, 2, 3)
    with pytest.raises(UsageError, match="does not fit"):
        store(pair, field, value, "a.step", lambda _step, _choice: pytest.fail("reported"))
    assert (pair.small, pair.odd, pair.wide) == (1, 2, 3)


def test_store_refuses_misalignment_and_range() -> None:
    """A field that the processor might store in two pieces, and an element that is not there, are refused."""
    array = (ctypes.c_uint16 * 4)()
    with pytest.raises(UsageError, match="aligned"):
        store(Packed(), "wide", 1)
    for index in (4, -1):
        with pytest.raises(UsageError, match="no element"):
            store(array, index, 1)


def test_fence_can_be_used_again() -> None:
    """The fence takes its lock and leaves it free."""
    full_fence()
    full_fence()


def test_store_alone() -> None:
    """It stores what ``store`` does, and refuses what the field cannot hold; where nobody else sees the memory."""
    shared, alone = Pair.from_buffer(bytearray(4)), Pair.from_buffer(bytearray(4))
    for field, value in (("small", 255), ("odd", 1), ("wide", 65535), ("wide", 7)):
        store(shared, field, value)
        store_alone(alone, field, value)
        assert bytes(shared) == bytes(alone)
    for value in (256, -1):
        with pytest.raises(UsageError, match="does not fit into small"):
            store_alone(alone, "small", value)


def test_field_at() -> None:
    """Where a field is in a structure, an element in an array; an element that is not there is none."""
    assert [field_at(Pair, name) for name in ("small", "odd", "wide")] == [(0, 1), (1, 1), (2, 2)]
    assert [field_at(ctypes.c_uint16 * 3, number) for number in range(3)] == [(0, 2), (2, 2), (4, 2)]
    for number in (-1, 3):
        with pytest.raises(UsageError, match=f"no element {number} among 3"):
            field_at(ctypes.c_uint16 * 3, number)
