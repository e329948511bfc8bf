"""What the targets of fuzzing share: choices read from bytes, files of all kinds, and rigs that have served."""

from __future__ import annotations

import array
import contextlib
import functools
import os
import socket
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from refimpl.backend.disk import Disk
from refimpl.frontend.memory import GuestRam
from tests.refimpl.packed_rig import PackedRig
from tests.refimpl.rig import Rig

T = TypeVar("T")


class Source:
    """Reads choices from bytes; zeros come after their end."""

    def __init__(self, data: bytes) -> None:
        """Begin at the first byte."""
        self._data, self._place = data, 0

    @property
    def over(self) -> bool:
        """Whether all bytes were read."""
        return self._place >= len(self._data)

    def take(self, size: int) -> bytes:
        """Give the next bytes."""
        taken = self._data[self._place : self._place + size]
        self._place += size
        return taken.ljust(size, b"\0")

    def number(self, size: int = 1) -> int:
        """Give a number of so many bytes."""
        return int.from_bytes(self.take(size), "little")

    def pick(self, those: Sequence[T]) -> T:
        """Give one of some."""
        return those[self.number() % len(those)]


@functools.cache
def world(packed: bool) -> tuple[Disk, GuestRam, dict[str, Any]]:
    """Make the disk, the guest's memory and files of all kinds once: making them is slower than any case."""
    with tempfile.TemporaryDirectory(prefix="vhost-inflight-fuzz-") as name:  # what is open stays when it is gone
        folder = Path(name)
        image = folder / "image"
        image.write_bytes(bytes(512 * 16))
        disk = Disk(image, 2)
        ram = GuestRam(2, 8, 512, packed=packed)
        files: dict[str, Any] = {
            "memory": ram.memory.fd,
            "short": os.memfd_create("short", os.MFD_CLOEXEC),
            "buffer": os.memfd_create("buffer", os.MFD_CLOEXEC),
            "eventfd": os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK),
            "pipe": os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)[0],
            "null": os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC),
            "read-only": os.open(image, os.O_RDONLY | os.O_CLOEXEC),
            "folder": os.open(folder, os.O_RDONLY | os.O_CLOEXEC),
        }
    os.ftruncate(files["short"], 100)
    os.ftruncate(files["buffer"], 4096)
    return disk, ram, files


WRONG_FILES = ("short", "buffer", "eventfd", "null", "read-only", "folder")


def send(ours: socket.socket, message: bytes, fds: list[int]) -> None:
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    ours.sendmsg([message], ancillary)


def forget_replies(ours: socket.socket) -> tuple[bytes, int]:
    """Read what came back, and close its files; return its bytes, and how many files there were."""
    came, files = b"", 0
    with contextlib.suppress(OSError):
        while True:
            data, ancillary, _, _ = ours.recvmsg(4096, 1024, socket.MSG_CMSG_CLOEXEC)
            for _, _, fds in ancillary:
                for fd in array.array("i", fds):
                    os.close(fd)
                    files += 1
            if not data:
                break
            came += data
    return came, files


@functools.cache
def _rig(ring: str, revision: str) -> Rig | PackedRig:
    return PackedRig({}, revision, 4) if ring == "packed" else Rig({}, revision, 4)


@functools.cache
def _served(ring: str, revision: str, number: int) -> bytes:
    """Give the bytes of a rig that has fetched some requests and supplied one, for hostile input to spoil."""
    rig = _rig(ring, revision)
    rig.view[:] = bytes(len(rig.view))
    rig.driver._begin()
    queue = rig.queue()
    queue.start()
    if isinstance(rig, PackedRig):
        rig.make(*((n, 1) for n in range(number)))
    else:
        rig.make(*range(number))
    entries = []
    queue.look()
    while queue.available:
        entries.append(queue.take())
        queue.look()
    if entries:
        queue.supply(iter([entries[0], None]).__next__)
    return bytes(rig.view)


def chosen_rig(source: Source) -> tuple[Rig | PackedRig, int]:
    """Give a rig that has served a little, and where its region begins."""
    ring, revision = source.pick(("split", "packed")), source.pick(("v6", "merged", "hardened"))
    rig = _rig(ring, revision)
    rig.view[:] = _served(ring, revision, source.number() % 4)
    rig.steps.clear()
    offset = len(rig.view) - len(bytes(rig.region))
    return rig, offset


def spoil(source: Source, view: memoryview) -> None:
    """Change some bytes, or all."""
    if source.number() < 32:
        view[:] = source.take(len(view))
        return
    for _ in range(1 + source.number() % 6):
        view[source.number(2) % len(view)] = source.number()
