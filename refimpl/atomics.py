"""Atomic changes of single bits in memory that others change too, by a system call, since Python has no such operation.

FUTEX_WAKE_OP is meant for waking two kinds of waiters, but what it does to the word at its second address is an atomic
read, change and write, with any instruction that another processor makes. And where the word has no page any more, as
in a file that was cut after it was mapped, a system call fails, where an instruction would kill this process.
"""

import ctypes
import os
import platform
import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from refimpl.errors import InflightError

_CALLS: Final[Mapping[str, int]] = MappingProxyType({"x86_64": 202, "aarch64": 98, "riscv64": 98})
"""The number of the system call futex, by machine."""

_WAKE_OP_PRIVATE: Final = 5 | 128
_OR: Final = 2
_ANDN: Final = 3
_ARGUMENT_IS_A_BIT: Final = 8

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def set_bit(address: int, number: int) -> None:
    """Set a bit of the bytes at ``address``, atomically: bit ``number`` % 8 of byte ``number`` // 8.

    Raises OSError where that byte has no memory, InflightError on a machine whose system call is not known.
    """
    _change(address, number, _OR)


def clear_bit(address: int, number: int) -> None:
    """Clear a bit likewise."""
    _change(address, number, _ANDN)


def _change(address: int, number: int, operation: int) -> None:
    """Change one bit of the aligned word of 4 bytes that has it."""
    call = _CALLS.get(platform.machine())
    if call is None:
        raise InflightError(f"no atomic change of memory is known on {platform.machine()}")
    place = address + number // 8
    byte = place % 4 if sys.byteorder == "little" else 3 - place % 4
    word = ctypes.c_void_p(place - place % 4)
    bit = 8 * byte + number % 8
    what = (operation | _ARGUMENT_IS_A_BIT) << 28 | bit << 12
    # nobody waits at this word, so nobody is woken: the first address is of no consequence
    if _libc.syscall(call, word, _WAKE_OP_PRIVATE, 0, None, word, ctypes.c_uint(what)) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
