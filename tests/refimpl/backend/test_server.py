"""The serving loop: where it listens, and what it survives."""

import os
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from refimpl.backend.disk import Disk
from refimpl.backend.reins import PACKET, Reins
from refimpl.backend.server import Server, listen
from refimpl.choices import Choices
from refimpl.errors import BackEndError, InflightError
from refimpl.frontend.connection import FrontEnd
from refimpl.frontend.guest import Guest
from refimpl.frontend.memory import GuestRam
from refimpl.wire.transport import Connection
from tests.refimpl.wire_rig import make_device, make_image, open_fds, serving


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until something is so; fail after a minute: the machine may have other things to do."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_stale_socket_is_replaced(tmp_path: Path) -> None:
    """The socket file of a dead back-end is no obstacle."""
    path = tmp_path / "socket"
    listen(path).close()
    assert path.is_socket()
    listen(path).close()


def test_busy_socket_is_refused(tmp_path: Path) -> None:
    """A path where another back-end listens is refused, and that back-end goes on."""
    with serving(tmp_path) as served:
        with pytest.raises(InflightError, match="another back-end listens"):
            listen(served.path)
        with GuestRam(1, 8, 512) as ram, FrontEnd(served.path, ram) as front_end:
            front_end.connect()
            front_end.start()
            with pytest.raises(InflightError, match="another back-end listens"):
                listen(served.path)
            Guest(front_end).write(0, bytes(512))
        assert served.log == []
    assert not served.path.exists()


def test_no_socket_there(tmp_path: Path) -> None:
    """A file that is no socket is refused and stays; so is a directory that is missing."""
    path = tmp_path / "file"
    path.write_text("precious")
    with pytest.raises(InflightError, match="no socket"):
        listen(path)
    assert path.read_text() == "precious"
    with pytest.raises(InflightError):
        listen(tmp_path / "missing" / "socket")


def test_nothing_is_leaked(tmp_path: Path) -> None:
    """Connections that come and go, in order and not, leave no file descriptor behind."""
    with serving(tmp_path) as served, GuestRam(2, 8, 512) as ram:
        before = open_fds()
        for _ in range(3):
            with FrontEnd(served.path, ram) as front_end, pytest.raises(BackEndError, match="1 queue, 2 are needed"):
                front_end.connect()
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(served.path))
            sock.send(b"\1\0\0")
        with Connection.connect(str(served.path)) as last:
            last.close()
        wait_for(lambda: any("disconnected in the middle of a message" in line for line in served.log))
        wait_for(lambda: open_fds() <= before)


def test_garbage_closes_the_connection_only(tmp_path: Path) -> None:
    """After garbage, and after a kick fd that is no eventfd, the next front-end is served."""
    with serving(tmp_path) as served:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(served.path))
            sock.send(b"\xff" * 12)
            assert sock.recv(1) == b""
        with GuestRam(1, 8, 512) as ram, FrontEnd(served.path, ram) as front_end:
            pipe = os.pipe()
            front_end.connect()
            front_end.kicks[0], eventfd = pipe[0], front_end.kicks[0]
            front_end.start()
            os.close(pipe[1])
            wait_for(front_end.lost)
            os.close(eventfd)
        with GuestRam(1, 8, 512) as ram, FrontEnd(served.path, ram) as front_end:
            front_end.connect()
            front_end.start()
            Guest(front_end).write(0, bytes(512))
    assert "version 3" in served.log[0]
    assert "the kick fd is no eventfd" in served.log[1]


def test_stop_supplies_what_is_held(tmp_path: Path) -> None:
    """A server that is stopped finishes what is in flight first; a second close does nothing."""
    log: list[str] = []
    with Disk(make_image(tmp_path)) as disk:
        server = Server(tmp_path / "socket", make_device(disk), log.append)
        server.stop()
        server.serve()
        server.close()
        server.close()


def test_more_queues_than_there_are(tmp_path: Path) -> None:
    """A front-end that leaves because it wants more queues leaves a word in the log; one that stays for more, none."""
    with serving(tmp_path) as served, GuestRam(2, 8, 512) as two, GuestRam(1, 8, 512) as one:
        with FrontEnd(served.path, two) as front_end, pytest.raises(BackEndError, match="1 queue, 2 are needed"):
            front_end.connect()
        with FrontEnd(served.path, one) as front_end:
            front_end.connect()
            front_end.start()
    assert served.log == [
        "the front-end left when it was told of 1 queue: it may want more (--queues)",
    ]


def test_call_fd_of_no_use(tmp_path: Path) -> None:
    """A call fd that cannot be written is the front-end's error; the back-end goes on to the next one."""
    with serving(tmp_path) as served, GuestRam(1, 8, 512) as ram:
        with FrontEnd(served.path, ram) as front_end:
            reading, writing = os.pipe()
            front_end.connect()
            os.close(front_end.calls[0])
            front_end.calls[0] = reading
            front_end.start()
            wait_for(front_end.lost)
            os.close(writing)
        with FrontEnd(served.path, ram) as front_end:
            front_end.connect()
            front_end.start()
            Guest(front_end).write(0, bytes(512))
        assert served.log == ["the front-end: the call fd cannot be written: [Errno 9] Bad file descriptor"]


def test_without_a_shared_buffer(tmp_path: Path) -> None:
    """A front-end that never speaks of inflight requests is served, each gap of the region's start included."""
    for order in ("version-last", "before-hand-over"):
        with (
            serving(tmp_path, choices=Choices(init_order=order)) as served,
            GuestRam(1, 8, 512) as ram,
            FrontEnd(served.path, ram, protocol_features=0) as front_end,
        ):
            front_end.connect()
            front_end.start()
            guest = Guest(front_end)
            guest.write(0, b"y" * 512)
            assert guest.read(0, 512) == b"y" * 512
            assert front_end.inflight is None
            assert served.log == []


def test_who_is_steered_tells_all_before_it_hangs_up(tmp_path: Path) -> None:
    """Whoever steers takes the end of the connection for the end of what it is told."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    reins, path = Reins(theirs.detach()), tmp_path / "socket"
    with ours, Disk(make_image(tmp_path)) as disk:
        device = replace(make_device(disk), reins=reins)
        with Server(path, device, lambda _: None) as server, socket.socket(socket.AF_UNIX) as front_end:
            front_end.connect(str(path))
            server._accept()
            ours.settimeout(10)
            ours.send(b"run 2")
            reins.hook("split.fetch.look", None)
            reins.hook("split.fetch.1", 3)
            server._disconnect()
            assert [ours.recv(PACKET) for _ in range(2)] == [b"split.fetch.look", b"split.fetch.1 3"]
            assert front_end.recv(1) == b""
        reins.close()
