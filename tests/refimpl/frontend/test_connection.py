"""The front-end: the order of its messages, what it refuses of a back-end, and that it comes back."""

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from refimpl.errors import BackEndError
from refimpl.frontend.connection import FrontEnd
from refimpl.frontend.guest import Guest
from refimpl.frontend.memory import GuestRam
from refimpl.wire.codec import Message, Request
from refimpl.wire.payload import NOTHING, ConfigSpace, Inflight, Number, Payload, VringState
from refimpl.wire.transport import Connection, Disconnected, Received
from tests.refimpl.wire_rig import open_fds, serving

ALL = 0xFFFF_FFFF_FFFF_FFFF
FIRST = [1, 15, 16, 17, 36, 21, 3, 1, 13, 14, 24]
AGAIN = FIRST[:-1]
START = [2, 40, 39, 31, 32, 13, 2, 40, 37, 8, 10, 9, 12, 18, 39]
START_AGAIN = [number for number in START if number != 31]

Answer = tuple[Request, Payload, list[int]]


class Scripted:
    """A back-end that says what a test wants: the default answers, or those of ``overrides``."""

    def __init__(self, path: Path) -> None:
        """Listen."""
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen(1)
        self.seen: list[Received] = []
        self.overrides: dict[Request, Callable[[], Answer]] = {}
        self.status = self.first_status = 0
        self.close_after: Request | None = None
        self.closed = threading.Event()
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self) -> None:
        """Serve connections until the listener is shut down."""
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            with Connection(sock, replies=False) as connection:
                self._connection(connection)
            self.closed.set()

    def _connection(self, connection: Connection) -> None:
        """Answer one connection until it ends."""
        self.status = self.first_status
        with contextlib.suppress(Disconnected):
            while self._answer(connection):
                pass

    def _answer(self, connection: Connection) -> bool:
        """Answer one message; return whether to go on."""
        received = connection.receive()
        received.close()
        self.seen.append(received)
        request = received.message.request
        if self.close_after == request:
            self.close_after = None
            return False
        if isinstance(said := received.message.payload, Number) and request is Request.SET_STATUS:
            self.status = said.value
        if request is Request.GET_STATUS and request not in self.overrides:
            connection.send(Message(request, Number(self.status), reply=True))
            return True
        override = self.overrides.get(request)
        answer = default(received.message) if override is None else override()
        if answer is not None:
            connection.send(Message(answer[0], answer[1], reply=True), answer[2])
        return True

    def close(self) -> None:
        """Stop listening."""
        self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join(10)
        self.listener.close()

    @property
    def ids(self) -> list[int]:
        """The messages that came."""
        return [received.message.request for received in self.seen]


def default(message: Message) -> Answer | None:
    """Answer as a willing back-end does, without giving a shared buffer."""
    numbers = {Request.GET_QUEUE_NUM: 1, Request.GET_MAX_MEM_SLOTS: 8}
    if message.request in {Request.GET_FEATURES, Request.GET_PROTOCOL_FEATURES, *numbers}:
        return message.request, Number(numbers.get(message.request, ALL)), []
    if message.request == Request.GET_CONFIG:
        return message.request, message.payload, []
    return (message.request, Number(0), []) if message.need_reply else None


@pytest.fixture(name="scripted")
def make_scripted(tmp_path: Path) -> Iterator[Scripted]:
    """Give a scripted back-end that offers everything."""
    scripted = Scripted(tmp_path / "socket")
    yield scripted
    scripted.close()


@pytest.fixture(name="front_end")
def make_front_end(tmp_path: Path) -> Iterator[FrontEnd]:
    """Give a front-end that is not connected yet; it leaves nothing open."""
    with GuestRam(1, 8, 512) as ram, FrontEnd(tmp_path / "socket", ram) as front_end:
        yield front_end


def buffer(size: int) -> int:
    """Return a file of ``size`` bytes."""
    fd = os.memfd_create("buffer")
    os.ftruncate(fd, size)
    return fd


def test_order_of_messages(scripted: Scripted, front_end: FrontEnd) -> None:
    """Messages come in QEMU's order: at first, after the back-end was lost, and after a stop."""
    fd = buffer(192)
    scripted.overrides[Request.GET_INFLIGHT_FD] = lambda: (Request.GET_INFLIGHT_FD, Inflight(192, 0, 1, 8), [fd])
    scripted.overrides[Request.GET_VRING_BASE] = lambda: (Request.GET_VRING_BASE, VringState(0, 3), [])
    front_end.connect()
    front_end.start()
    front_end.stop()
    assert front_end.bases == [3]
    assert scripted.ids == [*FIRST, *START, 18, 11]
    scripted.seen.clear()
    front_end.ram.rings[0].used.idx = 0x1234
    front_end.reconnect()
    front_end.stop()
    assert scripted.ids == [*AGAIN, *START_AGAIN, 18, 11]
    said = {received.message.request: received.message.payload for received in scripted.seen}
    scripted.seen.clear()
    front_end.start()  # on the same connection: the device is reset first, and given everything again
    front_end.stop()
    assert scripted.ids == [39, *START_AGAIN, 18, 11]
    assert said[Request.SET_VRING_BASE] == VringState(0, 0x1234)
    assert said[Request.SET_INFLIGHT_FD] == Inflight(192, 0, 1, 8)
    os.close(fd)


def test_reconnects_until_a_back_end_stays(scripted: Scripted, front_end: FrontEnd) -> None:
    """A back-end that is lost in the middle of a reconnect is waited for again; the buffer is asked for once."""
    fd = buffer(192)
    scripted.overrides[Request.GET_INFLIGHT_FD] = lambda: (Request.GET_INFLIGHT_FD, Inflight(192, 0, 1, 8), [fd])
    front_end.connect()
    front_end.start()
    assert not front_end.lost()
    scripted.close_after = Request.GET_QUEUE_NUM
    front_end.reconnect()
    assert front_end.reconnects == 1
    assert scripted.ids.count(Request.GET_INFLIGHT_FD) == 1
    os.close(fd)


@pytest.mark.parametrize(
    ("answer", "size", "rule"),
    [
        (Inflight(192, 0, 1, 8), None, "no file descriptor"),
        (Inflight(193, 0, 1, 8), 192, "too short"),
        (Inflight(192, 1, 1, 8), 192, "too short"),
        (Inflight(1 << 63, 0, 1, 8), 192, "cannot be mapped"),
    ],
)
def test_refused_shared_buffer(  # fixtures and cases
    scripted: Scripted, front_end: FrontEnd, answer: Inflight, size: int | None, rule: str
) -> None:
    """A shared buffer of no use is the back-end's error; the connection is closed and nothing leaked."""
    fds = [] if size is None else [buffer(size)]
    scripted.overrides[Request.GET_INFLIGHT_FD] = lambda: (Request.GET_INFLIGHT_FD, answer, fds)
    front_end.connect()
    with pytest.raises(BackEndError, match=rule):
        front_end.start()
    assert front_end.connection is None
    assert front_end.inflight is None
    for fd in fds:
        os.close(fd)


def test_no_shared_buffer(scripted: Scripted, front_end: FrontEnd) -> None:
    """A back-end that offers 0 bytes is used without tracking, and asked again at the next start."""
    scripted.overrides[Request.GET_INFLIGHT_FD] = lambda: (Request.GET_INFLIGHT_FD, Inflight(0, 0, 1, 8), [])
    scripted.overrides[Request.GET_VRING_BASE] = lambda: (Request.GET_VRING_BASE, VringState(0, 3), [])
    front_end.connect()
    for _ in range(2):
        front_end.start()
        assert front_end.inflight is None
        front_end.stop()
    assert (scripted.ids.count(Request.GET_INFLIGHT_FD), scripted.ids.count(Request.SET_INFLIGHT_FD)) == (2, 0)


def test_file_that_cannot_be_mapped(scripted: Scripted, front_end: FrontEnd, tmp_path: Path) -> None:
    """A file that may only be read cannot hold the regions."""
    path = tmp_path / "file"
    path.write_bytes(bytes(192))
    fd = os.open(path, os.O_RDONLY)
    scripted.overrides[Request.GET_INFLIGHT_FD] = lambda: (Request.GET_INFLIGHT_FD, Inflight(192, 0, 1, 8), [fd])
    front_end.connect()
    with pytest.raises(BackEndError, match="cannot be mapped"):
        front_end.start()
    os.close(fd)


@pytest.mark.parametrize(
    ("request_", "answer", "rule"),
    [
        (Request.GET_INFLIGHT_FD, (Request.GET_FEATURES, Number(0), []), "answered GET_INFLIGHT_FD"),
        (Request.GET_FEATURES, (Request.GET_QUEUE_NUM, Number(0), []), "answered GET_FEATURES"),
        (Request.GET_FEATURES, (Request.GET_FEATURES, Number(0), []), "are not offered"),
        (Request.GET_QUEUE_NUM, (Request.GET_QUEUE_NUM, Number(0), []), "0 queues, 1 are needed"),
        (Request.GET_MAX_MEM_SLOTS, (Request.GET_MAX_MEM_SLOTS, Number(0), []), "no room"),
        (Request.SET_BACKEND_REQ_FD, (Request.SET_BACKEND_REQ_FD, Number(1), []), "refused SET_BACKEND_REQ_FD with 1"),
        (Request.GET_CONFIG, (Request.GET_CONFIG, NOTHING, []), "answered GET_CONFIG"),
        (Request.GET_CONFIG, (Request.GET_CONFIG, ConfigSpace(0, 0, bytes(3)), []), "3 bytes of configuration"),
    ],
)
def test_refused_replies(  # fixtures and cases
    scripted: Scripted, front_end: FrontEnd, request_: Request, answer: Answer, rule: str
) -> None:
    """A wrong reply is the back-end's error, and the connection is closed."""
    scripted.overrides[request_] = lambda: answer

    def talk() -> None:
        front_end.connect()
        front_end.start()

    with pytest.raises(BackEndError, match=rule):
        talk()
    assert front_end.connection is None


def test_wrong_size_of_the_reply(tmp_path: Path, front_end: FrontEnd) -> None:
    """The 20 bytes that the seed's table adds up to are no reply to GET_INFLIGHT_FD."""
    ours, theirs = socket.socketpair()
    front_end.connection = Connection(ours, replies=True, timeout=5)
    theirs.send(b"".join(number.to_bytes(4, "little") for number in (31, 5, 20)) + bytes(20))
    with pytest.raises(BackEndError, match="20 bytes, not of 24"):
        front_end.held.get(front_end.connection, 1, 8)
    theirs.close()
    assert not (tmp_path / "socket").exists()


def test_nobody_listens(tmp_path: Path) -> None:
    """Without a back-end, connecting ends with an error after the time that was given."""
    before = open_fds()
    with GuestRam(1, 8, 512) as ram, FrontEnd(tmp_path / "socket", ram, timeout=0.05) as front_end:
        with pytest.raises(BackEndError, match="nobody listens"):
            front_end.connect()
        assert front_end.lost()
        with pytest.raises(Disconnected):
            front_end.start()
    assert before == open_fds()


def test_unasked_message(scripted: Scripted, front_end: FrontEnd) -> None:
    """A message that nobody asked for is the back-end's error: instead of a reply, and while nothing is awaited."""
    scripted.overrides[Request.SET_OWNER] = lambda: (Request.GET_CONFIG, NOTHING, [])
    with pytest.raises(BackEndError, match="answered GET_FEATURES"):
        front_end.connect()
    ours, theirs = socket.socketpair()
    with Connection(ours, replies=True) as front_end.connection, Connection(theirs, replies=False) as back_end:
        assert not front_end.lost()
        back_end.send(Message(Request.GET_FEATURES, Number(0), reply=True))
        with pytest.raises(BackEndError, match="nobody asked for"):
            front_end.lost()


def test_small_front_end(tmp_path: Path) -> None:
    """Without event indexes and indirect tables the disk works as well."""
    with serving(tmp_path) as served, GuestRam(1, 8, 512) as ram:
        features = 1 << 30 | 1 << 32
        with FrontEnd(served.path, ram, features=features) as front_end:
            front_end.connect()
            front_end.start()
            assert not front_end.event_index
            guest = Guest(front_end)
            guest.write(1, b"x" * 512)
            assert guest.read(1, 512) == b"x" * 512
        assert served.log == []
