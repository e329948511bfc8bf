"""Messages with file descriptors over a unix socket: the right ones arrive, wrong ones are refused, none is leaked."""

import array
import collections
import contextlib
import itertools
import os
import socket
from collections.abc import Iterator, Sequence

import pytest

from refimpl.errors import BackEndError, FrontEndError
from refimpl.wire.codec import Message, Request, encode
from refimpl.wire.payload import Inflight, MemoryRegion, MemoryTable, Number, VringFd, VringState
from refimpl.wire.transport import Connection, Disconnected
from tests.refimpl.wire_rig import open_fds

KICK = Message(Request.SET_VRING_KICK, VringFd(0))
SET_INFLIGHT = Message(Request.SET_INFLIGHT_FD, Inflight(1, 0, 1, 1))


@contextlib.contextmanager
def ends(timeout: float = 5.0) -> Iterator[tuple[socket.socket, Connection]]:
    """Give a front-end's bare socket, and the back-end's connection; nothing may be left open at the end."""
    before = open_fds()
    ours, theirs = socket.socketpair()
    with ours, Connection(theirs, replies=False, timeout=timeout) as connection:
        yield ours, connection
    assert before == open_fds()


@contextlib.contextmanager
def files(number: int) -> Iterator[list[int]]:
    """Give some file descriptors to send."""
    fds = [os.eventfd(0) for _ in range(number)]
    try:
        yield fds
    finally:
        for fd in fds:
            os.close(fd)


def send(sock: socket.socket, data: bytes, fds: Sequence[int] = ()) -> None:
    """Send bytes with file descriptors, checked by nobody."""
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    sock.sendmsg([data], rights)


def test_both_ways() -> None:
    """A request with two file descriptors and its reply arrive whole; the descriptors are open and not inherited."""
    region = MemoryRegion(0, 1, 0, 0)
    request = Message(Request.SET_MEM_TABLE, MemoryTable((region, region)), need_reply=True)
    before = open_fds()
    left, right = socket.socketpair()
    with Connection(left, replies=True) as front, Connection(right, replies=False) as back, files(2) as fds:
        front.send(request, fds)
        with back.receive() as received:
            assert received.message == request
            assert len(received.fds) == 2
            assert not any(os.get_inheritable(fd) for fd in received.fds)
            taken = received.take_fd()
        os.eventfd_write(taken, 3)
        assert os.eventfd_read(fds[0]) == 3
        os.close(taken)
        reply = Message(Request.SET_MEM_TABLE, Number(0), reply=True)
        back.send(reply)
        assert front.receive().message == reply
    assert before == open_fds()


def test_messages_that_arrive_together() -> None:
    """Descriptors stay with their message when several messages are there at once."""
    with ends() as (sock, connection), files(2) as fds:
        send(sock, encode(Message(Request.SET_OWNER)))
        send(sock, encode(KICK), fds[:1])
        send(sock, encode(Message(Request.SET_OWNER)))
        send(sock, encode(SET_INFLIGHT), fds[1:])
        counts = []
        for _ in range(4):
            with connection.receive() as received:
                counts.append(len(received.fds))
        assert counts == [0, 1, 0, 1]


def test_byte_by_byte() -> None:
    """A message that comes byte by byte is put together; before its end there is none."""
    with ends() as (sock, connection), files(1) as fds:
        data = encode(SET_INFLIGHT)
        send(sock, data[:1], fds)
        for byte in data[1:]:
            assert connection.poll() is None
            send(sock, bytes([byte]))
        with connection.receive() as received:
            assert received.message == SET_INFLIGHT
            assert len(received.fds) == 1


@pytest.mark.parametrize(
    ("message", "number"),
    [
        (KICK, 0),
        (KICK, 2),
        (SET_INFLIGHT, 0),
        (SET_INFLIGHT, 3),
        (Message(Request.SET_OWNER), 1),
        (Message(Request.SET_VRING_KICK, VringFd(0, has_fd=False)), 1),
        (Message(Request.SET_MEM_TABLE, MemoryTable((MemoryRegion(0, 1, 0, 0),))), 2),
        (Message(Request.SET_VRING_NUM, VringState(0, 1)), 20),
    ],
)
def test_wrong_number_of_fds(message: Message, number: int) -> None:
    """Too few or too many file descriptors are the front-end's error, and all of them are closed."""
    with ends() as (sock, connection), files(number) as fds:
        send(sock, encode(message), fds)
        before = open_fds()
        with pytest.raises(FrontEndError, match="file descriptors"):
            connection.receive()
        assert before == open_fds()


def test_fds_after_the_first_byte() -> None:
    """File descriptors in the middle of a message are refused and closed."""
    with ends() as (sock, connection), files(1) as fds:
        data = encode(SET_INFLIGHT)
        send(sock, data[:5])
        assert connection.poll() is None
        send(sock, data[5:], fds)
        before = open_fds()
        with pytest.raises(FrontEndError, match="after the first byte"):
            connection.receive()
        assert before == open_fds()


@pytest.mark.parametrize("sent", [1, 11, 12, 20, 35])
def test_disconnect_in_the_middle(sent: int) -> None:
    """A peer that goes away in the middle of a message broke a rule; the descriptor that came is closed."""
    with ends() as (sock, connection), files(1) as fds:
        send(sock, encode(SET_INFLIGHT)[:sent], fds)
        sock.close()
        before = open_fds()
        with pytest.raises(FrontEndError, match=f"{(12 if sent < 12 else 36) - sent} bytes missing"):
            connection.receive()
        assert before == open_fds()


def test_disconnect_between_messages() -> None:
    """A peer that goes away between two messages broke none."""
    with ends() as (sock, connection):
        sock.close()
        with pytest.raises(Disconnected):
            connection.receive()
        with pytest.raises(Disconnected):
            connection.send(Message(Request.GET_FEATURES, Number(0), reply=True))


def test_closed_with_half_a_message() -> None:
    """Closing a connection closes the descriptor of a message that is not complete."""
    with ends() as (sock, connection), files(1) as fds:
        send(sock, encode(SET_INFLIGHT)[:20], fds)
        assert connection.poll() is None


def test_garbage_with_fds() -> None:
    """The descriptors that come with garbage are closed."""
    with ends() as (sock, connection), files(3) as fds:
        send(sock, b"\xff" * 12, fds)
        before = open_fds()
        with pytest.raises(FrontEndError):
            connection.receive()
        assert before == open_fds()


def test_timeouts() -> None:
    """A peer that sends half a message, or takes nothing, is waited for as long as said and no longer."""
    with ends(timeout=0.05) as (sock, connection):
        send(sock, encode(KICK)[:5])
        with pytest.raises(FrontEndError, match="sent no more of a message"):
            connection.receive()
        reply = Message(Request.GET_FEATURES, Number(0), reply=True)
        many = itertools.repeat(reply)
        with pytest.raises(FrontEndError, match="did not take"):
            collections.deque(map(connection.send, many), maxlen=0)


def test_reply_is_judged_as_the_back_ends() -> None:
    """What comes to a front-end is the back-end's fault."""
    ours, theirs = socket.socketpair()
    with ours, Connection(theirs, replies=True, timeout=5) as connection:
        ours.send(encode(Message(Request.GET_FEATURES)))
        with pytest.raises(BackEndError):
            connection.receive()
