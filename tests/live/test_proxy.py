"""The proxy between peers that say anything: every byte and every file descriptor comes through, and none is kept."""

from __future__ import annotations

import array
import contextlib
import os
import random
import resource
import socket
import tempfile
from pathlib import Path

import pytest

from refimpl.errors import InflightError
from refimpl.wire.codec import HEADER, Message, Request, encode
from refimpl.wire.payload import (
    Inflight,
    MemoryRegion,
    MemoryTable,
    Number,
    Payload,
    SingleRegion,
    VringAddress,
    VringState,
)
from refimpl.wire.transport import close_fds
from tests.live.rig import Ends, between, proxying
from tests.refimpl.backend.test_server import wait_for
from tests.refimpl.wire_rig import open_fds
from vhost_inflight.live.frames import PAYLOAD_MAX
from vhost_inflight.live.lane import Lane, LaneError
from vhost_inflight.live.proxy import Proxy


def memfd(size: int = 4096) -> int:
    """Make a file that can be mapped."""
    fd = os.memfd_create("test", os.MFD_CLOEXEC)
    os.truncate(fd, size)
    return fd


def send(sock: socket.socket, content: bytes, fds: list[int] | None = None) -> None:
    """Send bytes with file descriptors, and close these."""
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    try:
        assert sock.sendmsg([content], ancillary) == len(content)
    finally:
        close_fds(fds or ())


def say(sock: socket.socket, request: Request, payload: Payload, *fds: int) -> None:
    """Send a request."""
    send(sock, encode(Message(request, payload)), list(fds))


def take(sock: socket.socket, size: int) -> tuple[bytes, list[int]]:
    """Receive so many bytes, and the file descriptors that come with them."""
    content, fds = b"", list[int]()
    while len(content) < size:
        piece, more, _, _ = socket.recv_fds(sock, size - len(content), 253)
        assert piece, "closed"
        content, fds = content + piece, fds + more
    return content, fds


def files(fds: list[int]) -> list[int]:
    """Return which files descriptors are of, and close these."""
    inodes = [os.fstat(fd).st_ino for fd in fds]
    close_fds(fds)
    return inodes


def test_both_directions_whatever_is_said(tmp_path: Path) -> None:
    """Known messages and unknown ones, well formed or not, of any version, with many file descriptors or none."""
    dice = random.Random(4)
    with between(tmp_path) as (_, ends, log):
        for _ in range(300):
            number = dice.choice([*range(1, 41), 99, 1 << 31])
            size = dice.choice([0, 1, 8, 12, 20, 24, 40, 200, 9000, PAYLOAD_MAX])
            content = HEADER.pack(number, dice.getrandbits(32), size) + dice.randbytes(size)
            fds = [memfd() for _ in range(dice.choice([0, 0, 1, 8, 9, 253]))]
            there = [os.fstat(fd).st_ino for fd in fds]
            source, target = (ends.front, ends.back)[:: dice.choice([1, -1])]
            send(source, content[:1], fds)
            if len(content) > 1:
                source.sendall(content[1:])
            got, more = take(target, len(content))
            assert (got, files(more)) == (content, there)
        assert any(line.startswith("front-end: message 99: ") for line in log)
        assert any("not as the text has them" in line for line in log)


def test_in_pieces(tmp_path: Path) -> None:
    """A message that comes byte by byte, with file descriptors in its middle, is one message with all of them."""
    content = encode(Message(Request.SET_VRING_NUM, VringState(1, 8)))
    with between(tmp_path) as (_, ends, log):
        one, two = memfd(), memfd()
        there = [os.fstat(fd).st_ino for fd in (one, two)]
        for number, byte in enumerate(content):
            send(ends.front, bytes([byte]), {0: [one], 5: [two]}.get(number))
        got, fds = take(ends.back, len(content))
        assert (got, files(fds)) == (content, there)
        assert log[-1] == "front-end: SET_VRING_NUM: queue 1, 8 entries, 2 file descriptors"


def test_a_payload_of_hostile_size(tmp_path: Path) -> None:
    """Both sides are closed, with a word; the next front-end is served."""
    with proxying(tmp_path) as (_, log):
        for sender in ("front", "back"):
            (tmp_path / "socket").unlink(missing_ok=True)
            log.clear()
            ends = Ends(tmp_path, log)
            getattr(ends, sender).sendall(HEADER.pack(5, 1, PAYLOAD_MAX + 1))
            assert (ends.front.recv(1), ends.back.recv(1)) == (b"", b"")
            ends.close()
            assert "the connection is ended: message 5 announces 65537 bytes, more than the 65536" in "\n".join(log)


@pytest.mark.parametrize("first", ["front", "back"])
def test_the_end(tmp_path: Path, first: str) -> None:
    """What was said before one side closes comes through, an unfinished message too; then the other side is closed."""
    with between(tmp_path) as (_, ends, log):
        sender, receiver = (ends.front, ends.back) if first == "front" else (ends.back, ends.front)
        content = encode(Message(Request.SET_OWNER)) * 5 + b"\1\0\0"
        sender.sendall(content)
        sender.close()
        assert take(receiver, len(content)) == (content, [])
        assert receiver.recv(1) == b""
        assert f"the {first}-end closed the connection in the middle of a message, 9 bytes missing" in log
        wait_for(lambda: not (tmp_path / "front.sock").exists())  # nobody listens at the other end


def test_a_reply_before_the_back_end_leaves(tmp_path: Path) -> None:
    """It comes through though the front-end goes on speaking to nobody."""
    with between(tmp_path) as (_, ends, _):
        content = encode(Message(Request.GET_FEATURES, Number(1), reply=True))
        ends.back.sendall(content * 100)
        ends.back.close()
        ends.front.sendall(encode(Message(Request.GET_FEATURES)) * 10)
        assert take(ends.front, len(content) * 100) == (content * 100, [])


def test_one_side_takes_nothing_for_a_while(tmp_path: Path) -> None:
    """The other side has to wait, and nothing is lost, nor any file descriptor there twice."""
    content = HEADER.pack(99, 1, PAYLOAD_MAX) + bytes(PAYLOAD_MAX)
    with between(tmp_path) as (_, ends, _):
        ends.front.settimeout(0.5)
        file = memfd()
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < 1 << 30:
                rest = content[sent % len(content) :]
                sent += socket.send_fds(ends.front, [rest], [file] * (rest == content))
        assert 0 < sent < 1 << 30
        number = -(-sent // len(content))
        got, fds = take(ends.back, (number - 1) * len(content))
        ends.front.sendall(content[sent % len(content) :] if sent % len(content) else b"")
        more, others = take(ends.back, len(content))
        assert got + more == content * number
        assert files(fds + others) == files([file]) * number


def test_no_room_for_file_descriptors(tmp_path: Path) -> None:
    """A message that would lose some is not passed on."""
    with between(tmp_path) as (_, ends, log):
        fds = [memfd() for _ in range(20)]
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(fds) + 5, hard))
        try:
            send(ends.front, encode(Message(Request.SET_OWNER)), fds)
            wait_for(lambda: any("is ended" in line for line in log))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert "the connection is ended: file descriptors came that could not be received" in "\n".join(log)
        assert ends.back.recv(1) == b""


def test_listens_only_while_the_back_end_does(tmp_path: Path) -> None:
    """A front-end is refused where it would be without the proxy, and comes through when a back-end is there."""
    with proxying(tmp_path) as (_, log):
        wait_for(lambda: bool(log))
        assert log == [f"waiting for a back-end at {tmp_path / 'socket'}: No such file or directory"]
        assert not (tmp_path / "front.sock").exists()
        for _ in range(2):
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(str(tmp_path / "socket"))
                listener.listen(1)
                wait_for((tmp_path / "front.sock").is_socket)
                listener.accept()[0].close()
            (tmp_path / "socket").unlink()
            wait_for(lambda: not (tmp_path / "front.sock").exists())


def test_nobody_is_let_in_before_the_back_end_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not for a moment, while it looks whether it can listen: a front-end that comes then would be cut off."""
    listened: list[int] = []

    class Listens(socket.socket):
        def listen(self, *backlog: int) -> None:
            listened.append(self.fileno())
            super().listen(*backlog)

    monkeypatch.setattr(socket, "socket", Listens)
    with Proxy(tmp_path / "front.sock", tmp_path / "socket", print):
        assert not listened
        assert not (tmp_path / "front.sock").exists()


def test_paths(tmp_path: Path) -> None:
    """One that is too long, one with a file, one where somebody listens; a stale socket is replaced."""
    long = tmp_path / ("x" * 108)
    with pytest.raises(InflightError, match="longer than the 107 bytes"):
        Proxy(long, tmp_path / "socket", print)
    with pytest.raises(InflightError, match="longer than the 107 bytes"):
        Proxy(tmp_path / "front.sock", long, print)
    (tmp_path / "file").touch()
    with pytest.raises(InflightError, match="a file that is no socket is there"):
        Proxy(tmp_path / "file", tmp_path / "socket", print)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "front.sock"))
        listener.listen(1)
        with pytest.raises(InflightError, match="another back-end listens there"):
            Proxy(tmp_path / "front.sock", tmp_path / "socket", print)
    with proxying(tmp_path):
        pass


INFLIGHT = Inflight(4096, 0, 1, 8)
REGION = MemoryRegion(0, 4096, 1 << 40, 0)


def test_descriptors_are_kept_as_long_as_they_are_needed(tmp_path: Path) -> None:
    """One for each file of the memory table and the shared buffer; replaced ones are closed, one twice there is one."""
    with between(tmp_path) as (proxy, ends, _):
        mine = open_fds()

        def keeps(number: int, request: Request, payload: Payload, *fds: int) -> None:
            content = encode(Message(request, payload))
            send(ends.front, content, list(fds))
            files(take(ends.back, len(content))[1])
            wait_for(lambda: open_fds() - mine == number)

        keeps(1, Request.SET_INFLIGHT_FD, INFLIGHT, memfd())
        for _ in range(5):
            keeps(1, Request.SET_INFLIGHT_FD, INFLIGHT, memfd())
            keeps(9, Request.SET_MEM_TABLE, MemoryTable((REGION,) * 8), *(memfd() for _ in range(8)))
            same = memfd()
            keeps(2, Request.SET_MEM_TABLE, MemoryTable((REGION,) * 2), same, os.dup(same))
            keeps(1, Request.SET_MEM_TABLE, MemoryTable(()))
            keeps(2, Request.ADD_MEM_REG, SingleRegion(REGION), memfd())
            keeps(2, Request.ADD_MEM_REG, SingleRegion(REGION), memfd())
            keeps(1, Request.REM_MEM_REG, SingleRegion(REGION))
        keeps(1, Request.SET_MEM_TABLE, MemoryTable((REGION,)), memfd(), memfd())
        assert len(proxy.watch.files) == 1


def test_a_front_end_that_floods(tmp_path: Path) -> None:
    """No more regions and rings are kept than any front-end has."""
    with between(tmp_path) as (proxy, ends, _):
        content = b"".join(
            encode(Message(Request.SET_VRING_ADDR, VringAddress(n, 0, 1, 2, 3, 0))) for n in (0, 1023, 1024, 1 << 31)
        )
        ends.front.sendall(content)
        take(ends.back, len(content))
        assert sorted(proxy.watch.seen.rings) == [0, 1023]
        same = memfd()
        for number in range(600):
            region = MemoryRegion(number << 12, 4096, number << 12, 0)
            message = encode(Message(Request.ADD_MEM_REG, SingleRegion(region)))
            send(ends.front, message, [os.dup(same)])
            files(take(ends.back, len(message))[1])
        os.close(same)
        assert len(proxy.watch.seen.memory) == 512


def test_the_last_bytes_may_be_too_long_a_message() -> None:
    """Who closed the connection had begun a message that is not passed on: none of it is left, nor is missing."""
    (front, source), (target, back) = (socket.socketpair() for _ in range(2))
    with front, source, target, back:
        for sock in (source, target):
            sock.setblocking(False)
        front.sendall(HEADER.pack(1, 1, PAYLOAD_MAX + 1))
        front.close()
        lane = Lane(source, target, lambda *_: None)
        with pytest.raises(LaneError, match="announces 65537 bytes"):
            lane.read()
        lane.close()
        assert lane.missing == 0
        lane.flush()
        back.setblocking(False)
        with pytest.raises(BlockingIOError):
            back.recv(1)


@pytest.mark.parametrize("seed", range(4))
def test_random_bytes(seed: int) -> None:
    """Whatever comes from either side, the proxy serves the next front-end, and keeps no descriptor."""
    dice = random.Random(seed)
    with tempfile.TemporaryDirectory() as name, proxying(Path(name)) as (_, log):
        for _ in range(20):
            folder = Path(name)
            (folder / "socket").unlink(missing_ok=True)
            log.clear()
            ends = Ends(folder, log)
            for _ in range(dice.randrange(12)):
                sock = dice.choice([ends.front, ends.back])
                header = HEADER.pack(dice.randrange(45), dice.choice([1, 5, 9, 3]), dice.choice([0, 8, 24, 40, 70000]))
                content = header + dice.randbytes(dice.randrange(60)) if dice.random() < 0.7 else dice.randbytes(40)
                try:
                    send(sock, content, [memfd() for _ in range(dice.randrange(3))])
                except OSError:
                    break  # the connection was ended
            ends.close()
            wait_for(lambda: any("closed the connection" in line or "is ended" in line for line in log))
