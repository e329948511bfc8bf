"""What the tests of live systems share: a proxy in a thread, and a peer at each of its ends."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.refimpl.backend.test_server import wait_for
from tests.refimpl.wire_rig import open_fds
from vhost_inflight.live.proxy import Proxy


@contextmanager
def proxying(folder: Path, **options: Any) -> Iterator[tuple[Proxy, list[str]]]:
    """Run a proxy from front.sock to socket in a thread, and give it and its log; at the end nothing of it is left."""
    log: list[str] = []
    before = open_fds()
    with Proxy(folder / "front.sock", folder / "socket", log.append, **options) as proxy:
        thread = threading.Thread(target=proxy.serve)
        thread.start()
        try:
            yield proxy, log
        finally:
            proxy.stop()
            thread.join(20)
            assert not thread.is_alive()
    assert not (folder / "front.sock").exists()
    assert open_fds() == before


class Ends:
    """A front-end and a back-end that say whatever a test wants, with a proxy between."""

    def __init__(self, folder: Path, log: list[str]) -> None:
        """Listen, wait for the proxy, and connect to it."""
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(folder / "socket"))
            listener.listen(1)
            self.back, _ = listener.accept()
        wait_for(lambda: any("is there; listening at" in line for line in log))
        self.front = socket.socket(socket.AF_UNIX)
        self.front.connect(str(folder / "front.sock"))
        wait_for(lambda: "a front-end connected" in log)
        for sock in (self.back, self.front):
            sock.settimeout(10)

    def close(self) -> None:
        """Close both."""
        self.back.close()
        self.front.close()


@contextmanager
def between(folder: Path, **options: Any) -> Iterator[tuple[Proxy, Ends, list[str]]]:
    """Give a proxy and both its ends."""
    with proxying(folder, **options) as (proxy, log):
        ends = Ends(folder, log)
        try:
            yield proxy, ends, log
        finally:
            ends.close()
            wait_for(lambda: any("closed the connection" in line or "is ended" in line for line in log))
