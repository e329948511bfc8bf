"""Where file descriptors run out, whatever is made of several says so and holds none of them."""

from __future__ import annotations

import contextlib
import os
import random
import resource
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from refimpl import hooks
from refimpl.backend.device import Device
from refimpl.backend.disk import Disk
from refimpl.backend.disk_queue import Schedule, Trace
from refimpl.backend.server import Server
from refimpl.choices import Choices
from refimpl.errors import InflightError
from refimpl.frontend.connection import FrontEnd
from refimpl.frontend.memory import GuestRam
from vhost_inflight.guest.machine import Machine
from vhost_inflight.guest.prepare import Parts
from vhost_inflight.judging.crash.guest import CrashGuest
from vhost_inflight.judging.crash.rig import Rig, Shape
from vhost_inflight.judging.crash.steered_guest import SteeredGuest

MANY = 40


def held() -> set[int]:
    """Return the file descriptors that are open."""
    names = [int(path.name) for path in Path("/proc/self/fd").iterdir()]
    return {fd for fd in names if _is_open(fd)}


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


@contextlib.contextmanager
def so_many_more(number: int) -> Iterator[None]:
    """Let so many more file descriptors be opened in the block."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = [fd for fd in range(max(held()) + MANY + 2) if fd not in held()]
    resource.setrlimit(resource.RLIMIT_NOFILE, (free[number], limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def close_pipes(fds: set[int]) -> None:
    """Close one pair: CPython's multiprocessing leaves it where it can make its first pipe and not its second."""
    for fd in sorted(fds)[:2]:
        if Path(f"/proc/self/fd/{fd}").readlink().name.startswith("pipe:"):
            os.close(fd)


def machine(folder: Path) -> AbstractContextManager[Any]:
    """Start what is not QEMU, if that can be."""
    return Machine(Parts(folder / "none", folder / "none"), folder, folder / "socket")


def server(folder: Path) -> AbstractContextManager[Any]:
    """Listen."""
    image = folder / "image"
    image.write_bytes(bytes(4096))
    with Disk(image, 1) as disk, Trace(None) as trace:
        device = Device(
            disk=disk, choices=Choices(), hook=hooks.silent, schedule=Schedule(), trace=trace, rng=random.Random(0)
        )
        return Server(folder / "socket", device, print)


def front_end(folder: Path) -> AbstractContextManager[Any]:
    """Make a front-end of four queues."""
    with GuestRam(4, 4, 512) as ram:
        return FrontEnd(folder / "socket", ram)


def rig(kind: type[CrashGuest]) -> Callable[[Path], AbstractContextManager[Any]]:
    """Start the driver of a crash test."""
    return lambda folder: Rig(folder, Shape(Choices(), 4, 4), 0, kind)


MADE = {
    "machine": machine,
    "server": server,
    "front-end": front_end,
    "memory": lambda _: GuestRam(2, 4, 512),
    "free rig": rig(CrashGuest),
    "steered rig": rig(SteeredGuest),
}


@pytest.mark.parametrize("name", MADE)
def test_descriptors_run_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """From none to enough: an error of the system's or of ours, and as many are open as before."""
    (tmp_path / "qemu-system-x86_64").symlink_to("/bin/true")
    monkeypatch.setenv("PATH", str(tmp_path))
    before, refused = held(), 0
    for number in range(MANY):
        with so_many_more(number):
            try:
                made = MADE[name](tmp_path)
            except (OSError, InflightError):
                made, refused = None, refused + 1
        if made is not None:
            with made:
                assert held() > before
        if "rig" in name:
            close_pipes(held() - before)
        assert held() == before, f"with {number}"
        if made is not None:
            break
    assert 0 < refused < MANY
