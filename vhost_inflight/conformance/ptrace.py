"""Linux's ptrace for x86-64, by ctypes: the few calls that a tracer needs, each for one thread of a traced process.

Every call has to come from the (operating system's) thread that attached. What arm64 would need is in
docs/conformance.md: PTRACE_GETREGSET for the registers, `svc #0` to borrow, and `brk` as the breakpoint.
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from typing import Any, Final

from refimpl.errors import InflightError

__all__ = [
    "CLONE_EVENT",
    "OPTIONS",
    "SEGV_ACCERR",
    "STOP_EVENT",
    "TracingError",
    "attach",
    "continue_",
    "fault_address",
    "interrupt",
    "registers",
    "set_registers",
    "step",
    "supported",
    "until_syscall",
]


class TracingError(InflightError):
    """The system does not let a process be traced, or the traced process did what this tracer cannot follow."""

    culprit = "tracing"


_SEIZE: Final = 0x4206
_INTERRUPT: Final = 0x4207
_SINGLESTEP: Final = 9
_CONT: Final = 7
_SYSCALL: Final = 24
_GETREGS: Final = 12
_SETREGS: Final = 13
_GETSIGINFO: Final = 0x4202

_TRACESYSGOOD: Final = 1
_TRACEFORK: Final = 2
_TRACEVFORK: Final = 4
_TRACECLONE: Final = 8
_EXITKILL: Final = 1 << 20

OPTIONS: Final = _TRACESYSGOOD | _TRACECLONE | _EXITKILL
"""A system call stops as SIGTRAP | 0x80, new threads are traced too, and all end with the tracer."""

CLONE_EVENT: Final = 3
STOP_EVENT: Final = 128
"""Events, in the bits of a wait's status above the signal."""

SEGV_ACCERR: Final = 2
"""The code of a SIGSEGV at memory that is mapped, and may not be accessed so."""


class Registers(ctypes.Structure):
    """struct user_regs_struct."""

    _fields_ = tuple(
        (name, ctypes.c_uint64)
        for name in (
            *("r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi", "rdi"),
            *("orig_rax", "rip", "cs", "eflags", "rsp", "ss", "fs_base", "gs_base", "ds", "es", "fs", "gs"),
        )
    )


class _SigInfo(ctypes.Structure):
    """The beginning of siginfo_t, as SIGSEGV has it."""

    _fields_ = (
        ("signo", ctypes.c_int),
        ("errno", ctypes.c_int),
        ("code", ctypes.c_int),
        ("pad", ctypes.c_int),
        ("address", ctypes.c_uint64),
        ("rest", ctypes.c_char * 104),
    )


_libc = ctypes.CDLL(None, use_errno=True)
_ptrace = _libc.ptrace
_ptrace.restype = ctypes.c_long
_ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


def supported() -> str:
    """Say why this machine's processes cannot be traced; "" if they may be."""
    if not sys.platform.startswith("linux") or platform.machine() != "x86_64":
        return f"tracing is written for Linux on x86-64, and this is {sys.platform} on {platform.machine()}"
    return ""


def _call(request: int, thread: int, address: int = 0, data: Any = 0) -> None:
    """Make one call. Raises ProcessLookupError where the thread is gone, TracingError for anything else."""
    if _ptrace(request, thread, address, data) == -1:
        number = ctypes.get_errno()
        if number == 3:  # ESRCH
            raise ProcessLookupError(number, os.strerror(number))
        raise TracingError(f"ptrace({request:#x}) of thread {thread}: {os.strerror(number)}")


def attach(thread: int) -> None:
    """Trace a thread, which goes on. Raises TracingError where that is not allowed."""
    _call(_SEIZE, thread, 0, OPTIONS)


def interrupt(thread: int) -> None:
    """Let a thread stop soon; a wait tells of it as STOP_EVENT, unless something else stops it first."""
    _call(_INTERRUPT, thread)


def continue_(thread: int, signal: int = 0) -> None:
    """Let a stopped thread go on, with a signal or without one."""
    _call(_CONT, thread, 0, signal)


def until_syscall(thread: int, signal: int = 0) -> None:
    """Let a stopped thread go on to the begin or the end of its next system call."""
    _call(_SYSCALL, thread, 0, signal)


def step(thread: int) -> None:
    """Let a stopped thread do one instruction."""
    _call(_SINGLESTEP, thread)


def registers(thread: int) -> Any:
    """Return the registers of a stopped thread."""
    found = Registers()
    _call(_GETREGS, thread, 0, ctypes.addressof(found))
    return found


def set_registers(thread: int, values: Any) -> None:
    """Set the registers of a stopped thread."""
    _call(_SETREGS, thread, 0, ctypes.addressof(values))


def fault_address(thread: int) -> tuple[int, int]:
    """Return address and code of the SIGSEGV that a thread is stopped by."""
    found = _SigInfo()
    _call(_GETSIGINFO, thread, 0, ctypes.addressof(found))
    return found.address, found.code
