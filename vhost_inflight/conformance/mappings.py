"""What a process has mapped: the files that its instructions come from, and the memory that it shares."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from vhost_inflight.conformance.ptrace import TracingError

__all__ = ["Mappings", "Shared"]

_SYSCALL: Final = b"\x0f\x05"
_CODE_MAX: Final = 1 << 22


class Shared(NamedTuple):
    """A shared mapping: its addresses, whether it may be written, and the file by offset, device and inode."""

    start: int
    end: int
    writable: bool
    offset: int
    device: int
    inode: int

    def pages(self, device: int, inode: int, first: int, end: int) -> tuple[int, int] | None:
        """Return the addresses of some bytes of a file; None where they are not in this mapping."""
        low, high = max(first, self.offset), min(end, self.offset + self.end - self.start)
        if (device, inode) != (self.device, self.inode) or low >= high:
            return None
        return self.start + low - self.offset, self.start + high - self.offset


class Mappings:
    """The mappings of a process, as they were when they were read last."""

    def __init__(self, pid: int) -> None:
        """Read them."""
        self._pid = pid
        self.shared: list[Shared] = []
        self._code: list[tuple[int, int, int, str]] = []
        self.read()

    def read(self) -> None:
        """Read them anew."""
        self._code, self.shared = [], []
        with Path(f"/proc/{self._pid}/maps").open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                words = line.split(None, 5)
                start, end = (int(number, 16) for number in words[0].split("-"))
                offset, path = int(words[2], 16), words[5].rstrip("\n") if len(words) == 6 else ""
                if words[1][2] == "x":
                    self._code.append((start, end, offset, path))
                if words[1][3] == "s":
                    device = os.makedev(*(int(number, 16) for number in words[3].split(":")))
                    self.shared.append(Shared(start, end, words[1][1] == "w", offset, device, int(words[4])))

    def place(self, address: int) -> tuple[str, int]:
        """Return the file that an instruction is in, and where in it; its address, where it is in none."""
        for _ in range(2):
            for start, end, offset, path in self._code:
                if start <= address < end:
                    return path, address - start + offset
            self.read()
        return "", address

    def address(self, module: str, offset: int) -> int:
        """Return where an instruction is now. Raises TracingError where its file is not mapped."""
        if not module:
            return offset
        for start, end, begin, path in self._code:
            if path == module and begin <= offset < begin + end - start:
                return start + offset - begin
        raise TracingError(f"{module} is not mapped, as it was when its stores were looked for")

    def syscall(self, memory: int) -> int:
        """Return where a syscall instruction is, to borrow; ``memory`` is the process's, as a file."""
        for start, end in self._likely():
            with contextlib.suppress(OSError):
                at = os.pread(memory, min(end - start, _CODE_MAX), start).find(_SYSCALL)
                if at >= 0:
                    return start + at
        raise TracingError("the process has no syscall instruction to borrow")

    def _likely(self) -> Iterator[tuple[int, int]]:
        """Give addresses of code, those that the kernel adds to each process first."""
        for start, end, _, path in sorted(self._code, key=lambda code: code[3] != "[vdso]"):
            if path != "[vsyscall]":
                yield start, end
