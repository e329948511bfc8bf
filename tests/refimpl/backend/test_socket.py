"""A front-end that misbehaves at the socket: it stalls, it goes away at any byte, it never reads, there are two."""

import array
import functools
import os
import socket
import threading
import time
from pathlib import Path

import pytest

from refimpl.backend import server as backend_server
from refimpl.frontend.connection import FrontEnd
from refimpl.frontend.guest import Guest
from refimpl.frontend.memory import GuestRam
from refimpl.wire.codec import Message, Request, encode
from refimpl.wire.features import FEATURES, PROTOCOL_FEATURES
from refimpl.wire.payload import NOTHING, Inflight, Number, SingleRegion, VringFd, VringState
from refimpl.wire.transport import Connection
from tests.refimpl.backend.test_server import wait_for
from tests.refimpl.wire_rig import open_fds, serving


def write_one(path: Path, ram: GuestRam) -> None:
    """Check that a front-end is served: it connects, starts, and a write comes back."""
    with FrontEnd(path, ram) as front_end:
        front_end.connect()
        front_end.start()
        Guest(front_end).write(0, bytes(512))
        front_end.stop()


def started(ram: GuestRam, buffer: int, event: int) -> list[tuple[bytes, list[int]]]:
    """Give the messages of a front-end up to a ring that runs, with their file descriptors."""
    said: list[tuple[Message, list[int]]] = [
        (Message(Request.SET_FEATURES, Number(FEATURES)), []),
        (Message(Request.SET_PROTOCOL_FEATURES, Number(PROTOCOL_FEATURES)), []),
        (Message(Request.GET_INFLIGHT_FD, Inflight(0, 0, 1, 8)), []),
        (Message(Request.SET_INFLIGHT_FD, Inflight(4096, 0, 1, 8)), [buffer]),
        (Message(Request.ADD_MEM_REG, SingleRegion(ram.region)), [ram.memory.fd]),
        (Message(Request.SET_VRING_NUM, VringState(0, 8)), []),
        (Message(Request.SET_VRING_ADDR, ram.ring_address(0)), []),
        (Message(Request.SET_VRING_CALL, VringFd(0)), [event]),
        (Message(Request.SET_VRING_KICK, VringFd(0)), [event]),
        (Message(Request.SET_VRING_ENABLE, VringState(0, 1)), []),
    ]
    return [(encode(message), fds) for message, fds in said]


def test_disconnect_at_every_byte(tmp_path: Path) -> None:
    """Wherever a front-end's messages end, nothing of it is left, and the next one is served."""
    with serving(tmp_path) as served, GuestRam(1, 8, 512) as ram:
        buffer, event = os.memfd_create("buffer"), os.eventfd(0)
        os.ftruncate(buffer, 4096)
        messages = started(ram, buffer, event)
        before = open_fds()
        asked, cuts = encode(Message(Request.GET_INFLIGHT_FD, Inflight(0, 0, 1, 8))), 0
        for last, (data, _) in enumerate(messages):
            for cut in range(len(data)):
                with socket.socket(socket.AF_UNIX) as sock:
                    sock.connect(str(served.path))
                    for number, (whole, fds) in enumerate(messages[: last + 1]):
                        sent = whole if number < last else whole[:cut]
                        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
                        if sent:
                            sock.sendmsg([sent], rights)
                        if sent == asked:  # a back-end whose reply is not taken reads no further
                            os.close(socket.recv_fds(sock, 100, 1)[1][0])
                cuts += 1
        wait_for(lambda: open_fds() <= before)
        write_one(served.path, ram)
        os.close(buffer)
        os.close(event)
    total = sum(len(data) for data, _ in messages)
    between = len(messages)  # there the front-end broke no rule
    assert (cuts, len(served.log)) == (total, total - between)
    assert all("in the middle of" in line for line in served.log)


def test_stall_in_the_middle_of_a_message(tmp_path: Path) -> None:
    """A front-end that says half a message does not keep its rings from being served, and may say the rest."""
    with serving(tmp_path) as served, GuestRam(1, 8, 512) as ram, FrontEnd(served.path, ram) as front_end:
        front_end.connect()
        front_end.start()
        data = encode(Message(Request.GET_VRING_BASE, VringState(0, 0)))
        assert front_end.connection is not None
        raw = socket.socket(fileno=os.dup(front_end.connection.fileno()))
        with raw:
            for number in range(len(data)):
                raw.sendall(data[number : number + 1])
                Guest(front_end).write(number, bytes(512))
                if number == len(data) - 2:
                    break
            raw.sendall(data[-1:])
        with front_end.connection.receive() as reply:
            assert reply.message.payload == VringState(0, len(data) - 1)
    assert served.log == []


def test_two_at_once(tmp_path: Path) -> None:
    """The second front-end waits until the first has gone; then it is served."""
    with serving(tmp_path) as served, GuestRam(1, 8, 512) as ram, GuestRam(1, 8, 512) as other:
        with FrontEnd(served.path, ram) as front_end:
            front_end.connect()
            front_end.start()
            second = threading.Thread(target=write_one, args=(served.path, other))
            second.start()
            for sector in range(20):
                Guest(front_end).write(sector, bytes(512))
            time.sleep(0.1)
            assert second.is_alive()
        second.join(20)
        assert not second.is_alive()
    assert served.log == []


def test_never_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A front-end that asks and asks and reads no reply costs its connection alone."""
    monkeypatch.setattr(backend_server, "Connection", functools.partial(Connection, timeout=0.2))
    with serving(tmp_path) as served, GuestRam(1, 8, 512) as ram:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(served.path))
            question = encode(Message(Request.GET_FEATURES, NOTHING)) * 100_000
            with pytest.raises(OSError, match=r"Broken pipe|reset"):
                sock.sendall(question)
        write_one(served.path, ram)
    assert served.log == ["the front-end: did not take the reply to GET_FEATURES for 0.2 seconds"]
