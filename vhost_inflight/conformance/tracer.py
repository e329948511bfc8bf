"""Traces one life of a back-end: where it stores to the memory that it shares, or its death at one of those stores.

To find the stores, the pages of ring and region are made read-only in the traced process, by a system call that it is
made to do. A store to them is a SIGSEGV: the page is opened, one instruction is done with all other threads stopped,
and the page is closed. What the store was follows from the memory before and after. To kill, there is a breakpoint at
one instruction alone, and the process runs freely in between; of its hits those count that change the memory.

The memory is this process's own mapping of the same files, so nothing has to be read from the traced one.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from vhost_inflight.conformance import ptrace
from vhost_inflight.conformance.mappings import Mappings
from vhost_inflight.conformance.process import threads_of
from vhost_inflight.conformance.ptrace import TracingError

__all__ = ["Aim", "Area", "Change", "Seen", "Tracer"]

_ALL: Final = 0x40000000  # __WALL
_MINE: Final = _ALL | 0x20000000  # __WNOTHREAD: what this thread traces, and no other thread's
_PAGE: Final = 4096
_READ: Final = 1
_READ_WRITE: Final = 3
_MPROTECT: Final = 10
_MAPPING: Final = frozenset({9, 10, 11, 25, 30, 67})  # mmap, mprotect, munmap, mremap, shmat, shmdt
_BEGINS: Final = (1 << 64) - 38  # what rax is at the begin of a system call
_SYSCALL_STOP: Final = signal.SIGTRAP | 0x80
_BREAK: Final = b"\xcc"


@dataclass(frozen=True)
class Area:
    """A part of shared memory that is watched: its name, the file, where in it, and our own view of those bytes."""

    name: str
    fd: int
    offset: int
    view: memoryview


@dataclass(frozen=True, slots=True)
class Change:
    """An area that one instruction changed: its bytes before and after."""

    area: str
    old: bytes
    new: bytes


@dataclass(frozen=True, slots=True)
class Seen:
    """An instruction that changed the memory: ``offset`` in the file of its program or library, and what changed."""

    module: str
    offset: int
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Aim:
    """Where a process is to die: before or after an instruction changes the memory for the ``occurrence``-th time.

    ``blind``: where nobody here has that memory, each time that the instruction is done counts, whatever it changes.
    """

    module: str
    offset: int
    occurrence: int
    after: bool
    blind: bool = False


@dataclass
class Tracer:
    """Traces process ``pid`` in a thread of its own; without an ``aim`` it finds the stores, in ``seen``.

    ``hit`` is what changed, or would have changed next, where the aim was met; ``failure`` what ended the tracing.
    Whoever looks at the memory meanwhile holds ``looking``: at an aim an instruction may be done and undone.
    """

    pid: int
    aim: Aim | None = None
    seen: list[Seen] = field(default_factory=list)
    hit: Seen | None = None
    failure: Exception | None = None
    status: int | None = None

    def __post_init__(self) -> None:
        """Prepare; `start` begins."""
        self.looking = threading.Lock()
        self._areas: list[Area] = []
        self._watched: list[tuple[int, int, int, int]] = []
        self._ranges: list[tuple[int, int]] = []
        self._look = False
        self._threads: dict[int, int] = {}
        self._held: list[int] = []
        self._count = 0
        self._attached = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tracer", daemon=True)

    # For other threads

    def start(self, areas: Sequence[Area]) -> None:
        """Attach, and go on. Raises TracingError where that is not possible."""
        self.watch(areas)
        self._thread.start()
        self._attached.wait()
        if self.failure is not None:
            raise self.failure

    def watch(self, areas: Sequence[Area]) -> None:
        """Watch these areas from now on; they are mapped at the latest by a system call that is still to come."""
        watched = []
        for area in areas:
            told = os.fstat(area.fd)
            first = area.offset // _PAGE * _PAGE
            end = -(-(area.offset + len(area.view)) // _PAGE) * _PAGE
            watched.append((told.st_dev, told.st_ino, first, end))
        self._areas, self._watched, self._look = list(areas), watched, True

    def join(self) -> None:
        """Wait until the process is gone."""
        self._thread.join()

    # The tracer's thread

    def _run(self) -> None:
        try:
            self._attach()
            self._attached.set()
            while self._threads:
                thread, status = os.waitpid(-1, _MINE)
                self._came(thread, status)
        except ChildProcessError:
            pass
        except Exception as error:  # noqa: BLE001  # whoever asked has to be told, whatever it was
            self.failure = error
            if self._threads:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.pid, signal.SIGKILL)
        finally:
            self._attached.set()
            self._reap()
            if getattr(self, "_memory", -1) >= 0:
                os.close(self._memory)

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while True:
                thread, status = os.waitpid(-1, _MINE)
                if os.WIFSTOPPED(status):  # it is to die: SIGKILL has been sent
                    with contextlib.suppress(ProcessLookupError):
                        ptrace.continue_(thread)
                elif thread == self.pid:
                    self.status = status

    def _attach(self) -> None:
        """Trace all threads, set the breakpoint."""
        known: set[int] = set()
        while new := threads_of(self.pid) - known:
            for thread in new:
                ptrace.attach(thread)
                self._threads[thread] = 0
            known |= new
        self._memory = os.open(f"/proc/{self.pid}/mem", os.O_RDWR | os.O_CLOEXEC)
        ptrace.interrupt(self.pid)
        stopped, status = os.waitpid(self.pid, _ALL)
        if not os.WIFSTOPPED(status):
            raise ProcessLookupError(f"process {stopped} ended")
        self._mappings = Mappings(self.pid)
        if self.aim is None:
            self._gate = self._mappings.syscall(self._memory)
            for thread in known - {self.pid}:  # each has to stop once: only then its system calls are seen
                with contextlib.suppress(ProcessLookupError):
                    ptrace.interrupt(thread)
        else:
            self._break_at = self._mappings.address(self.aim.module, self.aim.offset)
            self._byte = os.pread(self._memory, 1, self._break_at)
            os.pwrite(self._memory, _BREAK, self._break_at)
        self._go_on(self.pid)

    def _go_on(self, thread: int, told: int = 0) -> None:
        """Let a stopped thread go on."""
        with contextlib.suppress(ProcessLookupError):  # killed meanwhile: a wait will tell
            if self.aim is None:
                ptrace.until_syscall(thread, told)
            else:
                ptrace.continue_(thread, told)

    def _came(self, thread: int, status: int) -> None:
        """Take what a wait told: a thread ended, or stopped."""
        if not os.WIFSTOPPED(status):
            self._threads.pop(thread, None)
            if thread == self.pid:
                self.status = status
            return
        told, event = os.WSTOPSIG(status), status >> 16
        self._threads.setdefault(thread, 0)
        try:
            if event:
                told = 0
            elif told == _SYSCALL_STOP:
                self._at_syscall(thread)
                told = 0
            elif told == signal.SIGSEGV and self._is_store(thread):
                self._store(thread)
                told = 0
            elif told == signal.SIGTRAP and self._at_breakpoint(thread):
                if self._breakpoint(thread):
                    return
                told = 0
        except ProcessLookupError:
            return  # killed meanwhile
        self._go_on(thread, told)

    # Finding stores

    def _is_store(self, thread: int) -> bool:
        address, code = ptrace.fault_address(thread)
        return code == ptrace.SEGV_ACCERR and any(start <= address < end for start, end in self._ranges)

    def _store(self, thread: int) -> None:
        """Let one instruction store, with all other threads stopped."""
        address = ptrace.fault_address(thread)[0]
        pages = next((start, end) for start, end in self._ranges if start <= address < end)
        others = self._hold_others(thread)
        where = ptrace.registers(thread).rip
        before = self._now()
        self._protect(thread, pages, _READ_WRITE)
        self._step(thread)
        changes = _changes(before)
        self._protect(thread, pages, _READ)
        if changes:
            self.seen.append(Seen(*self._mappings.place(where), changes))
        self._let_go(others)

    def _now(self) -> list[tuple[Area, bytes]]:
        """Return what is watched, with its bytes."""
        return [(area, bytes(area.view)) for area in self._areas]

    def _at_syscall(self, thread: int) -> None:
        """Look at the mappings again where they may have changed, or where other areas are watched now."""
        told = ptrace.registers(thread)
        if told.rax == _BEGINS:
            return  # a thread can be made to do something else at the end of a system call, and not at its begin
        if self._look or told.orig_rax in _MAPPING:
            self._look = False
            self._protect_all(thread)

    def _protect_all(self, thread: int) -> None:
        """Make all pages of watched areas read-only, wherever they are mapped."""
        self._ranges = []
        self._mappings.read()
        for mapping in self._mappings.shared:
            for file in self._watched:
                pages = mapping.pages(*file)
                if pages is not None:
                    self._ranges.append(pages)
                    if mapping.writable:
                        self._protect(thread, pages, _READ)

    def _protect(self, thread: int, pages: tuple[int, int], how: int) -> None:
        """Let a stopped thread do an mprotect, and be as it was."""
        kept = ptrace.registers(thread)
        asked: Any = type(kept).from_buffer_copy(kept)
        asked.rip, asked.rax, asked.orig_rax = self._gate, _MPROTECT, (1 << 64) - 1
        asked.rdi, asked.rsi, asked.rdx = pages[0], pages[1] - pages[0], how
        ptrace.set_registers(thread, asked)
        self._step(thread)
        result = ptrace.registers(thread).rax
        ptrace.set_registers(thread, kept)
        if result:
            raise TracingError(f"the process cannot protect {pages[0]:#x} to {pages[1]:#x}: error {(1 << 64) - result}")

    # Stopping

    def _step(self, thread: int) -> None:
        """Let a stopped thread do one instruction; signals that come meanwhile come again after it."""
        came = []
        while True:
            ptrace.step(thread)
            _, status = os.waitpid(thread, _ALL)
            if not os.WIFSTOPPED(status):
                raise ProcessLookupError(f"thread {thread} ended")
            told, event = os.WSTOPSIG(status), status >> 16
            if told == signal.SIGTRAP and not event:
                break
            if told == signal.SIGSEGV:
                raise TracingError("an instruction stores to two places that are watched, or fails by itself")
            if not event:
                came.append(told)
        for told in came:
            os.kill(self.pid, told)

    def _hold_others(self, thread: int) -> list[tuple[int, int]]:
        """Stop all other threads; return them with the signals that are to go to them."""
        held = []
        for other in [each for each in self._threads if each != thread]:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                ptrace.interrupt(other)
                _, status = os.waitpid(other, _ALL)
                if not os.WIFSTOPPED(status):
                    del self._threads[other]
                    continue
                held.append((other, self._pending(other, status)))
        return held

    def _pending(self, thread: int, status: int) -> int:
        """Return the signal that a thread which was stopped is to get; what it was about to do it does again."""
        told, event = os.WSTOPSIG(status), status >> 16
        if event:
            return 0
        if told == _SYSCALL_STOP:
            self._at_syscall(thread)
            return 0
        if told == signal.SIGSEGV and self._is_store(thread):
            return 0
        if told == signal.SIGTRAP and self._at_breakpoint(thread):
            return 0
        return told

    def _let_go(self, held: list[tuple[int, int]]) -> None:
        for thread, told in held:
            self._go_on(thread, told)

    # Killing

    def _at_breakpoint(self, thread: int) -> bool:
        """Return whether a thread came to the breakpoint; it is right before the instruction then."""
        if self.aim is None:
            return False
        told = ptrace.registers(thread)
        if told.rip != self._break_at + 1:
            return False
        told.rip = self._break_at
        ptrace.set_registers(thread, told)
        return True

    def _breakpoint(self, thread: int) -> bool:
        """Let a thread go on behind the breakpoint, all others stopped; return whether the process was killed there."""
        others = self._hold_others(thread)
        with self.looking:
            if self._is_met(thread):
                return True
        os.pwrite(self._memory, _BREAK, self._break_at)
        self._let_go(others)
        return False

    def _is_met(self, thread: int) -> bool:
        """Do the instruction, and kill the process where the aim is met; return whether it is."""
        assert self.aim is not None
        os.pwrite(self._memory, self._byte, self._break_at)
        if self.aim.blind:
            return self._is_met_blindly(thread, self.aim)
        before = self._now()
        self._step(thread)
        changes = _changes(before)
        self._count += bool(changes)
        if not changes or self._count != self.aim.occurrence:
            return False
        self.hit = Seen(self.aim.module, self.aim.offset, changes)
        if not self.aim.after:  # nobody runs, so this is the memory as it was right before the instruction
            for area, old in before:
                area.view[:] = old
        os.kill(self.pid, signal.SIGKILL)
        return True

    def _is_met_blindly(self, thread: int, aim: Aim) -> bool:
        """Likewise, where each execution counts: before it, the instruction is not done at all."""
        self._count += 1
        met = self._count == aim.occurrence
        if aim.after or not met:
            self._step(thread)
        if met:
            self.hit = Seen(aim.module, aim.offset, ())
            os.kill(self.pid, signal.SIGKILL)
        return met


def _changes(before: Sequence[tuple[Area, bytes]]) -> tuple[Change, ...]:
    """Return which areas differ from what they were."""
    now = ((area, old, bytes(area.view)) for area, old in before)
    return tuple(Change(area.name, old, new) for area, old, new in now if old != new)
