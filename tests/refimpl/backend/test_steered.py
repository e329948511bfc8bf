"""The reins of a back-end: what it says at each step, and what it does when it is told to."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path

import pytest

from refimpl.backend.blk import WRITE
from refimpl.backend.process import run_backend
from refimpl.backend.reins import PACKET, Order, Reins, packet, unpacked
from refimpl.frontend.connection import FrontEnd
from refimpl.frontend.guest import Guest
from refimpl.frontend.memory import GuestRam
from vhost_inflight.forked import fork


class Pair:
    """Both ends: orders are given before they are asked for."""

    def __init__(self, *stops: str) -> None:
        """Make them."""
        self.ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.reins = Reins(theirs.detach(), stops)

    def tell(self, *orders: bytes) -> None:
        """Give orders."""
        for order in orders:
            self.ours.send(order)

    def said(self) -> list[bytes]:
        """Return what was said since the last time."""
        heard = []
        self.ours.setblocking(False)
        try:
            while True:
                heard.append(self.ours.recv(PACKET))
        except BlockingIOError:
            return heard

    def close(self) -> None:
        """Close both."""
        self.ours.close()
        self.reins.close()


def test_packets() -> None:
    """A word or a step's id, and a number where it has one."""
    for what, choice, data in (("go", None, b"go"), ("split.supply.1", 0, b"split.supply.1 0"), ("rest", 1, b"rest 1")):
        assert packet(what, choice) == data
        assert unpacked(data) == Order(what, choice)


def test_orders_at_a_step() -> None:
    """A step is reported; what is ordered there is done, until it is to go on."""
    pair = Pair()
    done: list[Order] = []
    pair.reins.obey = done.append
    pair.tell(b"device.finish 3", b"split.fetch.look", b"go")
    pair.reins.hook("split.supply.3", 2)
    assert pair.said() == [b"split.supply.3 2", b"done", b"done"]
    assert done == [Order("device.finish", 3), Order("split.fetch.look", None)]
    pair.close()


def test_time() -> None:
    """It passes when it is told to: while nothing is to be done, up to when something is due."""
    pair = Pair()
    assert pair.reins.clock() == 0.0
    pair.tell(b"go", b"go", b"later")
    assert pair.reins.rest(0.25) is None  # a kick or a message has come: wait for it
    assert pair.reins.rest(None) is None
    assert pair.reins.clock() == 0.0
    assert pair.reins.rest(0.25) == 0.0
    assert pair.reins.clock() == 0.25
    assert pair.said() == [b"rest 1", b"rest 0", b"rest 1"]
    pair.close()


def test_free() -> None:
    """A back-end that is free says nothing more, and time passes by itself."""
    pair = Pair()
    pair.tell(b"free")
    pair.reins.hook("split.fetch.look", None)
    pair.reins.hook("split.fetch.1", None)
    assert pair.reins.ask("turn") == Order("go", None)
    assert pair.reins.rest(0.25) == 0.25
    assert abs(pair.reins.clock() - time.monotonic()) < 60
    assert pair.said() == [b"split.fetch.look"]
    pair.close()


def test_nobody_holds_them() -> None:
    """The process ends when whoever steered it is gone, before it asks or meanwhile."""
    pair = Pair()
    pair.ours.close()
    with pytest.raises(SystemExit, match="who held the reins is gone"):
        pair.reins.hook("split.fetch.look", None)
    pair.close()


def take(pair: Pair, steps: str) -> list[bytes]:
    """Take steps, each of one letter, and return the packets that were sent."""
    for step in steps.split():
        pair.reins.hook(step, None)
    return pair.said()


def test_runs() -> None:
    """Reports of moves that were allowed ahead of time come in one packet, with that of the move which waits."""
    pair = Pair("s")
    pair.tell(b"run 3", b"go", b"run 1", b"go")
    assert take(pair, "a b c d") == [b"a", b"b\nc\nd"]
    assert take(pair, "e f") == [b"e", b"f"]
    pair.tell(b"run 9", b"go", b"run 9", b"go", b"run 9")
    assert take(pair, "g h s i") == [b"g", b"h\ns", b"i"]  # a step to wait at
    assert take(pair, "j") == []
    pair.reins.wait_next()  # it has called
    assert take(pair, "k l") == [b"j\nk", b"l"]
    pair.reins.say()  # it hangs up
    assert take(pair, "m") == []
    pair.reins.say()
    assert pair.said() == [b"m"]
    pair.tell(b"later", b"free")
    assert take(pair, "n") == []
    assert pair.reins.rest(0.5) == 0.0
    assert pair.said() == [b"n\nrest 1"]
    assert take(pair, "o p") == [b"o"]
    pair.close()


def test_as_many_as_are_a_packet() -> None:
    """However many moves it has, the reports that are kept are a packet."""
    pair = Pair()
    pair.tell(b"run 30000", b"go")
    packets = take(pair, "packed.reconnect.unmark.look " * 1001)
    assert [packet.count(b"\n") + 1 for packet in packets] == [1, 1000]
    assert len(packets[1]) < PACKET
    pair.close()


def test_how_it_rests() -> None:
    """Time passes when it is told to; who may look waits for nothing, and no time passes."""
    pair = Pair()
    pair.tell(b"look", b"look", b"later", b"later", b"go")
    assert [pair.reins.rest(seconds) for seconds in (0.5, None, 0.5, None, 0.5)] == [0.0, 0.0, 0.0, None, None]
    assert pair.reins.clock() == 0.5
    assert pair.said() == [b"rest 1", b"rest 0", b"rest 1", b"rest 0", b"rest 1"]
    pair.close()


def test_whose_step_it_is(tmp_path: Path) -> None:
    """Of two rings, steps of the second have its number; ring 0 alone is asked what comes next."""
    (tmp_path / "image").write_bytes(bytes(4096))
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(20)
    pid = fork(lambda: _steered(tmp_path, theirs), 2, (theirs.fileno(),))
    theirs.close()
    try:
        with GuestRam(2, 4, 512) as ram, FrontEnd(tmp_path / "socket", ram) as front_end:
            guest = Guest(front_end)
            for queue in (0, 1):
                guest.submit(WRITE, data=bytes(512), queue=queue)
            front_end.connect()
            front_end.start()
            said: list[str] = []
            while guest.pending or said[-1] != "rest":
                if said:
                    ours.send(b"later" if said[-1] == "rest" else b"go")
                said.append(unpacked(ours.recv(PACKET)).what)
                guest.collect()
        steps = {step.partition(":")[2] for step in said if step.startswith("1:")}
        own = {step for step in said if "." in step and not step.startswith("1:")}
        assert not guest.pending
        assert own >= {"split.start.fresh", "split.fetch.submit", "device.finish", "split.supply.5"}
        assert steps >= {"split.start.fresh", "split.fetch.submit", "device.finish", "split.supply.5"}
        assert {step for step in said if "." not in step} <= {"turn", "rest"}
    finally:
        ours.close()
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _steered(folder: Path, theirs: socket.socket) -> int:
    """Be the back-end."""
    run_backend(folder / "socket", folder / "image", queues=2, reins=Reins(theirs.detach()))
    return 0
