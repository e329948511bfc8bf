"""What a process has open, as /proc shows it. Nothing is written, and it notices nothing unless it is to be stopped."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from refimpl.errors import InflightError

__all__ = ["BUFFER_MAX", "FileId", "OpenFile", "ProcessError", "identity", "open_files", "opened", "read", "stopped"]

BUFFER_MAX: Final = 64 << 20
"""Bytes of a file that is looked at as a shared buffer; more than any region has."""

_MEMFD: Final = "/memfd:"
_DELETED: Final = " (deleted)"
_STOPPED: Final = "Tt"
_ENDED: Final = "ZXx"
_PATIENCE: Final = 1.0


class ProcessError(InflightError):
    """A process is not there, may not be looked at, or has not what is looked for. The text says which."""


class FileId(NamedTuple):
    """Which file it is, whatever descriptor it has: the device and the inode."""

    device: int
    inode: int


@dataclass(slots=True)
class OpenFile:
    """A regular file, which a memfd is too, that a process has open: under which descriptors, its name and its size.

    ``shared`` says that it is memory that may be shared: a memfd, or a file that is mapped so.
    """

    file: FileId
    name: str
    size: int
    shared: bool
    fds: list[int] = field(default_factory=list)

    @property
    def words(self) -> str:
        """Say what it is, for a table and for errors."""
        return f"file descriptor {self.fds[0]}, {self.name}, {self.size} bytes"


def identity(fd: int) -> FileId:
    """Return which file a descriptor of this process is of."""
    status = os.fstat(fd)
    return FileId(status.st_dev, status.st_ino)


def open_files(pid: int) -> list[OpenFile]:
    """Return the regular files that a process has open, each once, by their lowest descriptor.

    Raises ProcessError where there is no such process, or where it is another user's.
    """
    found: dict[FileId, OpenFile] = {}
    with _told(pid):
        if _state(pid) in _ENDED:
            raise ProcessLookupError
        mapped = _mapped_shared(pid)
        folder = Path(f"/proc/{pid}/fd")
        for fd in sorted(int(entry.name) for entry in folder.iterdir()):
            try:
                status, link = (folder / str(fd)).stat(), str((folder / str(fd)).readlink())
            except FileNotFoundError:
                continue  # closed meanwhile
            if not stat.S_ISREG(status.st_mode):
                continue
            file = FileId(status.st_dev, status.st_ino)
            name = link.removesuffix(_DELETED)
            name = f"memfd {name.removeprefix(_MEMFD)}" if name.startswith(_MEMFD) else name
            shared = link.startswith(_MEMFD) or file in mapped
            found.setdefault(file, OpenFile(file, name, status.st_size, shared)).fds.append(fd)
    return list(found.values())


@contextlib.contextmanager
def opened(pid: int, file: OpenFile) -> Iterator[int]:
    """Open a process's file for reading. Raises ProcessError when it is gone, or may not be read."""
    fd = _open_any(pid, file)
    try:
        yield fd
    finally:
        os.close(fd)


def _open_any(pid: int, file: OpenFile) -> int:
    """Open a file by one of its descriptors that the process has not closed, or given to another file, since."""
    for number in file.fds:
        try:
            with _told(pid):
                fd = os.open(f"/proc/{pid}/fd/{number}", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            continue  # a socket by now
        if identity(fd) == file.file:
            return fd
        os.close(fd)
    raise ProcessError(f"process {pid}: {file.words}: it was closed just now: try again")


def read(fd: int, offset: int, length: int, what: str) -> bytes:
    """Return bytes of a file, without mapping it: whoever cuts it meanwhile does no harm.

    Raises ProcessError, naming ``what`` they are, when the file does not have all of them.
    """
    pieces, there = [], 0
    while there < length:
        try:
            piece = os.pread(fd, min(length - there, 1 << 24), offset + there)
        except (OSError, OverflowError) as error:
            raise ProcessError(f"{what}: {length} bytes from {offset} of its file cannot be read: {error}") from error
        if not piece:
            raise ProcessError(f"{what}: its file ends before byte {offset + length}")
        pieces.append(piece)
        there += len(piece)
    return b"".join(pieces)


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Stop a process by SIGSTOP for a block, and let it go on; one that was stopped stays so. Raises ProcessError."""
    with _told(pid):
        before = _state(pid) in _STOPPED
        if not before:
            os.kill(pid, signal.SIGSTOP)
    try:
        deadline = time.monotonic() + _PATIENCE
        with _told(pid):
            while _state(pid) not in _STOPPED:
                if time.monotonic() > deadline:
                    raise ProcessError(f"process {pid}: it does not stop")
                time.sleep(0.001)
        yield
    finally:
        if not before:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def _told(pid: int) -> Iterator[None]:
    """Turn what the system refuses into words about a process."""
    try:
        yield
    except (FileNotFoundError, ProcessLookupError) as error:
        if isinstance(error, FileNotFoundError) and Path(f"/proc/{pid}/fd").exists():
            raise  # a descriptor of its
        raise ProcessError(f"process {pid}: there is no such process, or it is gone") from error
    except PermissionError as error:
        raise ProcessError(
            f"process {pid}: its files may not be looked at by this user; its own user may, and root (in a container "
            "with CAP_SYS_PTRACE)"
        ) from error


def _state(pid: int) -> str:
    """Return the letter of a process's state."""
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0]


def _mapped_shared(pid: int) -> set[FileId]:
    """Return the files that a process has mapped as shared memory."""
    found = set()
    for line in Path(f"/proc/{pid}/maps").read_text(encoding="utf-8", errors="replace").splitlines():
        _, modes, _, device, inode = line.split(maxsplit=5)[:5]
        if modes.endswith("s"):
            major, minor = (int(part, 16) for part in device.split(":"))
            found.add(FileId(os.makedev(major, minor), int(inode)))
    return found
