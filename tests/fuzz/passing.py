"""A proxy with both of its sides in this process, for fuzzing."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from vhost_inflight.live.proxy import Proxy

__all__ = ["Passing", "between"]


class Passing:
    """A proxy that is moved by hand, and never waits."""

    def __init__(self, proxy: Proxy) -> None:
        """Take it."""
        self._proxy = proxy

    def turn(self) -> bool:
        """Let it pass on what is there; return whether both sides are still connected."""
        for _ in range(3):
            self._proxy.ask_for_dump()  # so that there is something to wake up for
            if self._proxy._lanes:
                self._proxy._turn()
        return bool(self._proxy._lanes)

    def dump(self) -> None:
        """Let it write down what it knows."""
        self._proxy._dump("asked for")


@functools.cache
def _place() -> tuple[Path, socket.socket]:
    """Make a folder and the back-end's socket in it, once."""
    made = tempfile.mkdtemp(prefix="vhost-inflight-fuzz-", dir="/dev/shm")
    atexit.register(shutil.rmtree, made)
    folder = Path(made)
    (folder / "out").mkdir()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(folder / "back"))
    listener.listen()
    return folder, listener


@contextlib.contextmanager
def between(log: Callable[[str], None]) -> Iterator[tuple[Passing, socket.socket, socket.socket]]:
    """Give a proxy with a front-end and a back-end connected, and the socket of each."""
    folder, listener = _place()
    proxy = Proxy(
        folder / "front",
        folder / "back",
        log,
        out=folder / "out",
        dump_at=["SET_VRING_KICK"],
        status=folder / "status",
    )
    with proxy, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as front:
        proxy._seek()
        back, _ = listener.accept()
        with back:
            front.connect(os.fspath(folder / "front"))
            proxy._turn()
            for side in (front, back):
                side.setblocking(False)
            yield Passing(proxy), front, back
    for path in (folder / "out").iterdir():
        path.unlink()
