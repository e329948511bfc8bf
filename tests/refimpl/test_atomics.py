"""Single bits, set and cleared while another process does the same to their neighbours."""

import ctypes
import multiprocessing
import os
import platform

import pytest

from refimpl import atomics
from refimpl.atomics import clear_bit, set_bit
from refimpl.errors import InflightError
from refimpl.memory import SharedMemory

TIMES = 20_000


def at(view: memoryview) -> int:
    """Return the address of a view."""
    return ctypes.addressof(ctypes.c_char.from_buffer(view))


@pytest.mark.parametrize("offset", [0, 1, 3, 4])
def test_bits(offset: int) -> None:
    """Each is where the log of dirty pages has it, whatever the alignment, and no other changes."""
    with SharedMemory.create(64, "bits") as memory:
        view = memory.view()
    for number in (0, 7, 8, 31, 32, 100, 255):
        for _ in range(2):
            set_bit(at(view) + offset, number)
            assert view[offset + number // 8] == 1 << number % 8
            assert sum(view) == 1 << number % 8
        for _ in range(2):
            clear_bit(at(view) + offset, number)
            assert not any(view)


def flip(fd: int, bit: int, times: int) -> None:
    """Set and clear a bit so many times; end with 1 if it is not as it was left at once."""
    with SharedMemory.map(fd, 64) as memory:
        view = memory.view()
    for _ in range(times):
        set_bit(at(view), bit)
        if not view[0] >> bit & 1:
            os._exit(1)
        clear_bit(at(view), bit)
        if view[0] >> bit & 1:
            os._exit(1)


def test_two_processes() -> None:
    """Neither loses what it did to a bit of the byte in which the other changes another."""
    with SharedMemory.create(64, "bits") as memory:
        context = multiprocessing.get_context("fork")
        both = [context.Process(target=flip, args=(memory.fd, bit, TIMES)) for bit in (0, 1)]
        for process in both:
            process.start()
        for process in both:
            process.join(120)
    assert [process.exitcode for process in both] == [0, 0]


def test_a_file_that_was_cut() -> None:
    """Where there is no page any more, it is an error, and not the end of the process."""
    fd = os.memfd_create("bits")
    os.ftruncate(fd, 8192)
    with SharedMemory.map(fd, 8192) as memory:
        view = memory.view()
    os.ftruncate(fd, 4096)
    os.close(fd)
    set_bit(at(view), 0)
    for change in (set_bit, clear_bit):
        with pytest.raises(OSError, match="Bad address"):
            change(at(view), 8 * 4096)


def test_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system call is not known, that is said."""
    monkeypatch.setattr(platform, "machine", lambda: "pdp11")
    with pytest.raises(InflightError, match="no atomic change of memory is known on pdp11"):
        atomics.set_bit(0, 0)
