"""The command ``dump``: which region a process has, what it holds, and with its ring, the input of ``recover``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from refimpl.errors import UsageError
from refimpl.names import counted
from refimpl.wire.payload import MemoryRegion
from vhost_inflight.live.buffers import Known, Reading, readings, sure
from vhost_inflight.live.processes import (
    BUFFER_MAX,
    FileId,
    OpenFile,
    ProcessError,
    open_files,
    opened,
    read,
    stopped,
)
from vhost_inflight.live.seen import Seen
from vhost_inflight.live.states import PeerMemory, Ring, state

__all__ = ["FORMAT", "Asked", "Buffer", "Found", "document", "found", "report"]

FORMAT: Final = "vhost-inflight region 1"
"""What the answer says that it is."""

_MANY: Final = 16


@dataclass(frozen=True)
class Asked:
    """What is asked for: the process, and what is known already.

    ``fd`` is the buffer's file descriptor in the process, ``offset`` where the buffer begins in its file; ``ring`` has
    the ring's size (0: as many entries as the region) and addresses; ``memory`` has regions of the guest's memory, each
    perhaps with a file descriptor of the process; ``seen`` is what a proxy has seen, and wins.
    """

    pid: int
    fd: int | None = None
    offset: int = 0
    known: Known = field(default_factory=Known)
    queue: int = 0
    ring: Ring | None = None
    memory: Sequence[tuple[MemoryRegion, int | None]] = ()
    seen: Seen | None = None
    stop: bool = False


class Buffer(NamedTuple):
    """A file of the process that holds regions: its bytes, and how they can be read, the best way first."""

    file: OpenFile
    content: bytes
    readings: list[Reading]


class Found(NamedTuple):
    """What came of it: the buffers that were found, and the document of one queue's state if its ring is known.

    ``torn`` says that what was read changed while it was read.
    """

    buffers: list[Buffer]
    state: dict[str, Any] | None
    torn: bool


def found(asked: Asked) -> Found:
    """Look for the shared buffer in a process, and read it, and the ring if it is known where that is.

    Raises ProcessError for a process that is not there or has no such thing, UsageError for what leaves several ways
    open where one is needed, FrontEndError for addresses outside the guest's memory.
    """
    with stopped(asked.pid) if asked.stop else contextlib.nullcontext():
        files = open_files(asked.pid)
        first, again = (_read_once(asked, files) for _ in range(2))
    torn = (first.state, [buffer.content for buffer in first.buffers]) != (
        again.state,
        [buffer.content for buffer in again.buffers],
    )
    return again._replace(torn=torn)


def _read_once(asked: Asked, files: list[OpenFile]) -> Found:
    if asked.seen is not None:
        return _as_seen(asked, asked.seen, files)
    buffers = list(_buffers(asked, files))
    if not buffers:
        raise ProcessError(_none(asked, files))
    if asked.ring is None:
        return Found(buffers, None, torn=False)
    return Found(buffers, ring_state(asked, buffers, files), torn=False)


def _as_seen(asked: Asked, seen: Seen, files: list[OpenFile]) -> Found:
    """Read what a proxy has seen; the process has the same files."""
    by_id = {file.file: file for file in files}
    with contextlib.ExitStack() as stack:
        fds: dict[FileId, int] = {}

        def fd_of(file: FileId) -> int:
            if file not in by_id:
                raise ProcessError(
                    f"process {asked.pid}: it does not have what the proxy has seen (inode {file.inode}); is it one of "
                    "the two that the proxy is between, and the file the proxy's present status?"
                )
            if file not in fds:
                fds[file] = stack.enter_context(opened(asked.pid, by_id[file]))
            return fds[file]

        reading, content = seen.buffer(fd_of)
        assert seen.inflight is not None, "a buffer that was not seen"
        buffer = Buffer(by_id[seen.inflight[1]], content, [reading])
        return Found([buffer], seen.state(asked.queue, fd_of) if asked.queue in seen.rings else None, torn=False)


def _buffers(asked: Asked, files: list[OpenFile]) -> Iterator[Buffer]:
    """Yield the files that hold regions: that of a descriptor, or each that is shared memory and not too long."""
    if asked.fd is not None and not any(asked.fd in file.fds for file in files):
        raise ProcessError(f"process {asked.pid}: it has no regular file as file descriptor {asked.fd}")
    for file in files:
        wanted = file.shared if asked.fd is None else asked.fd in file.fds
        length = file.size - asked.offset
        if wanted and 0 < length <= BUFFER_MAX:
            with opened(asked.pid, file) as fd:
                content = read(fd, asked.offset, length, f"process {asked.pid}, {file.words}")
            ways = readings(content, asked.known)
            if ways:
                yield Buffer(file, content, ways)


def _none(asked: Asked, files: list[OpenFile]) -> str:
    """Say that there is no region, and what was looked at."""
    looked = [file for file in files if (file.shared if asked.fd is None else asked.fd in file.fds)]
    told = "; ".join(f"{file.words}{_why_not(asked, file)}" for file in looked)
    return (
        f"process {asked.pid}: no region found. It has {counted(len(files), 'regular file')} open, "
        f"{len(looked)} of them shared memory" + (f" ({told})" if looked else "")
    )


def _why_not(asked: Asked, file: OpenFile) -> str:
    if not 0 < file.size - asked.offset <= BUFFER_MAX:
        return ": too long" if file.size > asked.offset else ": too short"
    with opened(asked.pid, file) as fd:
        zeros = not any(read(fd, asked.offset, file.size - asked.offset, file.words))
    return ": nothing but zeros, a fresh region perhaps" if zeros else ": no region of a known layout"


def ring_state(asked: Asked, buffers: list[Buffer], files: list[OpenFile]) -> dict[str, Any]:
    """Return the document of a queue's state. Raises UsageError where it is not clear of which region or memory."""
    assert asked.ring is not None, "a state without a ring"
    if len(buffers) > 1:
        told = ", ".join(str(buffer.file.fds[0]) for buffer in buffers)
        raise UsageError(f"process {asked.pid} has several shared buffers: say --fd, one of {told}")
    buffer = buffers[0]
    reading = chosen(buffer)
    if asked.queue >= reading.queues:
        raise UsageError(f"queue {asked.queue}: there are regions for {counted(reading.queues, 'queue')}")
    ring = asked.ring if asked.ring.size else asked.ring._replace(size=reading.entries)
    with contextlib.ExitStack() as stack:
        pieces = [
            (region, stack.enter_context(opened(asked.pid, file)))
            for region, file in _memory(asked, buffer.file, files)
        ]
        return state(reading, buffer.content, asked.queue, ring, PeerMemory(pieces))


def chosen(buffer: Buffer) -> Reading:
    """Return the way to read a buffer. Raises UsageError where several are as good."""
    if not sure(buffer.readings):
        told = "; or ".join(reading.words for reading in buffer.readings)
        raise UsageError(
            f"{buffer.file.words}: it can be read in several ways: {told}: say --ring-kind, --layout, --region-size, "
            "--queues or --stride"
        )
    return buffer.readings[0]


def _memory(asked: Asked, buffer: OpenFile, files: list[OpenFile]) -> Iterator[tuple[MemoryRegion, OpenFile]]:
    """Yield the regions of the guest's memory, each with its file."""
    others = [file for file in files if file.shared and file.file != buffer.file]
    if not asked.memory:
        only = _only(asked, others, "guest's memory: say --memory")
        yield MemoryRegion(0, only.size, 0, 0), only
    for region, fd in asked.memory:
        if fd is None:
            large = [file for file in others if file.size >= region.mmap_offset + region.size]
            yield region, _only(asked, large, "guest's memory: say its file descriptor, --memory ...@FD")
        else:
            named = [file for file in files if fd in file.fds]
            yield region, _only(asked, named, f"memory at file descriptor {fd}")


def _only(asked: Asked, files: list[OpenFile], what: str) -> OpenFile:
    if len(files) != 1:
        told = "; ".join(file.words for file in files) or "none"
        raise UsageError(f"process {asked.pid}: {len(files)} files may be the {what} ({told})")
    return files[0]


def report(pid: int, result: Found) -> Iterator[str]:
    """Yield the lines of a table of the regions that were found."""
    for buffer in result.buffers:
        yield f"process {pid}, {buffer.file.words}:"
        for number, reading in enumerate(buffer.readings):
            prefix = "" if sure(buffer.readings) and not number else "can also be read as: " if number else "can be: "
            yield f"  {prefix}{reading.words}"
        for row in buffer.readings[0].table(buffer.content):
            yield f"  {_row(row)}"


def _row(row: Mapping[str, Any]) -> str:
    if not row["version"]:
        return f"queue {row['queue']}, at byte {row['offset']}: fresh"
    skipped = {"queue", "offset", "features", "inflight"}
    header = ", ".join(f"{name} {value}" for name, value in row.items() if name not in skipped)
    marks = row["inflight"]
    listed = " ".join(map(str, marks[:_MANY])) + (" ..." if len(marks) > _MANY else "")
    return f"queue {row['queue']}, at byte {row['offset']}: {header}; {len(marks)} inflight{': ' * bool(marks)}{listed}"


def document(pid: int, result: Found) -> dict[str, Any]:
    """Return the answer as JSON has it."""
    return {
        "format": FORMAT,
        "pid": pid,
        "torn": result.torn,
        "buffers": [
            {
                "fd": buffer.file.fds[0],
                "name": buffer.file.name,
                "bytes": buffer.content.hex(),
                "sure": sure(buffer.readings),
                "readings": [_way(reading, buffer.content) for reading in buffer.readings],
            }
            for buffer in result.buffers
        ],
    }


def _way(reading: Reading, content: bytes) -> dict[str, Any]:
    told = {name: getattr(reading, name) for name in ("ring", "layout", "entries", "stride", "apart")}
    return told | {"queues": reading.table(content)}
