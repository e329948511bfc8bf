"""What is fuzzed: the codec, the connection's state machine, the contents of rings and of regions.

A target takes bytes and makes of them what a hostile peer could do. It returns how many messages or regions that were;
an error that names the culprit is what should come of them, anything else goes through.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable

from refimpl.backend.connection import Backend
from refimpl.backend.disk_queue import Schedule
from refimpl.choices import Choices
from refimpl.errors import BackEndError, DriverError, FrontEndError, RegionError
from refimpl.frontend.memory import GuestRam
from refimpl.wire.codec import Message, Parser, Request, encode
from refimpl.wire.features import FEATURES, GENERATIONS, PROTOCOL_FEATURES, PROTOCOL_STATUS, RING_PACKED
from refimpl.wire.payload import (
    NOTHING,
    ConfigSpace,
    Inflight,
    MemoryRegion,
    MemoryTable,
    Number,
    SingleRegion,
    VringAddress,
    VringFd,
    VringState,
)
from refimpl.wire.transport import Connection
from tests.fuzz.passing import between
from tests.fuzz.readers import frontend, oracle, schedule, stream
from tests.fuzz.world import WRONG_FILES, Source, chosen_rig, forget_replies, send, spoil, world
from tests.refimpl.packed_rig import PackedRig
from tests.refimpl.rig import Rig
from tests.refimpl.wire_rig import make_device

CULPRITS = (FrontEndError, DriverError, RegionError)
"""Whose fault hostile input may be found to be."""

MESSAGES = 24
"""Messages of one case of `connection`, at most."""


# The codec


def codec(data: bytes) -> int:
    """Bytes from either side, in two pieces; what is a message is the same when it is encoded and read again."""
    source = Source(data)
    replies, cut = source.pick((False, True)), source.number()
    rest = data[2:]
    parser, found = Parser(replies=replies), list[Message]()
    with contextlib.suppress(FrontEndError, BackEndError):
        found += parser.feed(rest[:cut])
        found += parser.feed(rest[cut:])
    for message in found:
        assert Parser(replies=replies).feed(encode(message)) == [message]
    return max(1, len(found))


# The connection

_NEGOTIATED = PROTOCOL_FEATURES | PROTOCOL_STATUS | GENERATIONS["skip-drain"]
_STOPS = (Request.GET_VRING_BASE, Request.GET_VRING_BASE_SKIP_DRAIN)


def _message(source: Source, ram: GuestRam, features: int) -> tuple[bytes, list[str]]:
    """Make a message that may be right, with the file descriptors that belong to it, and then perhaps spoil it."""
    queue = source.pick((0, 0, 1, 2))
    number = source.pick((0, 1, 8, 8, source.number(2), source.number(4)))
    region = source.pick((ram.region, ram.region, MemoryRegion(0x1000, 4096, source.number(4), 0)))
    requests: tuple[tuple[Message, list[str]], ...] = (
        (Message(Request.SET_FEATURES, Number(features)), []),
        (Message(Request.SET_PROTOCOL_FEATURES, Number(_NEGOTIATED)), []),
        (Message(Request.ADD_MEM_REG, SingleRegion(region)), ["memory"]),
        (Message(Request.SET_MEM_TABLE, MemoryTable((region,))), ["memory"]),
        (Message(Request.REM_MEM_REG, SingleRegion(region)), []),
        (Message(Request.SET_VRING_NUM, VringState(queue, number)), []),
        (Message(Request.SET_VRING_BASE, VringState(queue, number)), []),
        (Message(Request.SET_VRING_ADDR, ram.ring_address(queue % 2)), []),
        (Message(Request.SET_VRING_ADDR, VringAddress(queue, 0, *(source.number(8) for _ in range(4)))), []),
        (Message(Request.SET_VRING_KICK, VringFd(queue)), ["eventfd"]),
        (Message(Request.SET_VRING_CALL, VringFd(queue)), ["eventfd"]),
        (Message(Request.SET_VRING_ERR, VringFd(queue, has_fd=False)), []),
        (Message(Request.SET_VRING_ENABLE, VringState(queue, number % 2)), []),
        (Message(_STOPS[number % 2], VringState(queue, number // 512)), []),
        (Message(Request.GET_INFLIGHT_FD, Inflight(0, 0, 1 + queue, number % 65536)), []),
        (Message(Request.SET_INFLIGHT_FD, Inflight(4096, 0, 1 + queue, number % 64)), ["buffer"]),
        (Message(Request.GET_CONFIG, ConfigSpace(0, 0, bytes(1 + number % 256))), []),
        (Message(Request.SET_CONFIG, ConfigSpace(number, 0, source.take(1))), []),
        (Message(Request.SET_BACKEND_REQ_FD, NOTHING), ["pipe"]),
        *((Message(request, NOTHING), []) for request in (Request.GET_FEATURES, Request.GET_QUEUE_NUM)),
        (Message(Request.RESET_DEVICE, NOTHING), []),
        (Message(Request.SET_STATUS, Number(number)), []),
        (Message(Request.GET_STATUS, NOTHING), []),
    )
    message, files = source.pick(requests)
    data = bytearray(encode(message))
    if source.number() < 40:
        data[source.number(2) % len(data)] ^= source.number()
    if source.number() < 30:
        files = [source.pick(WRONG_FILES) for _ in range(source.number() % 10)]
    return bytes(data), files


def _prefix(ram: GuestRam, features: int) -> list[tuple[bytes, list[str]]]:
    """Give the messages that start a ring, so that what follows meets one that runs."""
    said: tuple[tuple[Message, list[str]], ...] = (
        (Message(Request.SET_FEATURES, Number(features)), []),
        (Message(Request.SET_PROTOCOL_FEATURES, Number(_NEGOTIATED)), []),
        (Message(Request.SET_INFLIGHT_FD, Inflight(4096, 0, 1, 8)), ["buffer"]),
        (Message(Request.ADD_MEM_REG, SingleRegion(ram.region)), ["memory"]),
        (Message(Request.SET_VRING_NUM, VringState(0, 8)), []),
        (Message(Request.SET_VRING_ADDR, ram.ring_address(0)), []),
        (Message(Request.SET_VRING_KICK, VringFd(0)), ["eventfd"]),
        (Message(Request.SET_VRING_ENABLE, VringState(0, 1)), []),
    )
    return [(encode(message), files) for message, files in said]


def connection(data: bytes) -> int:
    """Messages in any order, right ones and wrong ones, with files of any kind, while rings run on any contents."""
    source = Source(data)
    packed, started = source.pick((False, True)), source.pick((False, True, True))
    disk, ram, files = world(packed)
    features = FEATURES | (RING_PACKED if packed else 0)
    ram.memory.view()[: ram.places[0].ring + 256] = bytes(ram.places[0].ring + 256)
    ram.memory.view()[ram.places[0].ring :][:200] = source.take(200)
    os.pwrite(files["buffer"], bytes(4096) if source.number() < 200 else source.take(192).ljust(4096, b"\0"), 0)
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    choices = Choices(ring="packed", revision="hardened") if packed else None
    device = make_device(disk, choices, Schedule(hold=2, keep=1, idle=0), "skip-drain", status=True)
    backend = Backend(Connection(theirs, replies=False), device)
    said = _prefix(ram, features) if started else []
    count = 0
    try:
        with contextlib.suppress(*CULPRITS):
            while said or (not source.over and count < MESSAGES):
                message, names = said.pop(0) if said else _message(source, ram, features)
                count += 1
                send(ours, message, [files[name] for name in names])
                _handle(backend)
                forget_replies(ours)
    finally:
        backend.close()
        forget_replies(ours)
        ours.close()
    return max(1, count)


def _handle(backend: Backend) -> None:
    """Let the back-end do what it was told, and what its rings want."""
    received = backend.connection.poll()
    if received is not None:
        backend.handle(received)
    for ring in backend.rings:
        ring.woken()
        ring.turn()


# Rings and regions


def _serve(rig: Rig | PackedRig, source: Source, spoiled: memoryview) -> None:
    """Recover and serve for a while, on memory that goes on changing."""
    queue = rig.queue()
    queue.start()
    held = list(rig.submitted)
    for _ in range(4):
        queue.look()
        while queue.available and len(held) < 8:
            held.append(queue.take())
            queue.look()
        if held:
            queue.supply(iter([held.pop(), None]).__next__)
        queue.arm()
        queue.look_again()
        if not source.over:
            spoil(source, spoiled)


def region(data: bytes) -> int:
    """Recover from a region of any contents and serve it, while it changes."""
    source = Source(data)
    rig, offset = chosen_rig(source)
    view = rig.view[offset:]
    spoil(source, view)
    with contextlib.suppress(*CULPRITS):
        _serve(rig, source, view)
    return 1


def ring(data: bytes) -> int:
    """Serve a ring of any contents, while it changes; the region is right."""
    source = Source(data)
    rig, offset = chosen_rig(source)
    view = rig.view[:offset]
    spoil(source, view)
    with contextlib.suppress(*CULPRITS):
        _serve(rig, source, view)
    return 1


# The proxy


def proxy(data: bytes) -> int:
    """Messages from both sides of a proxy, right ones and wrong ones: passed on is what was sent, no file twice."""
    source = Source(data)
    packed = source.pick((False, True))
    _, ram, files = world(packed)
    features = FEATURES | (RING_PACKED if packed else 0)
    log: list[str] = []
    with between(log.append) as (passing, front, back):
        sent, came = ({front: b"", back: b""} for _ in range(2))
        files_left = {front: 0, back: 0}
        said, count = _prefix(ram, features) if source.pick((False, True, True)) else [], 0

        def arrives(other: socket.socket) -> None:
            """Take what has come out at the other side: the beginning of what was sent, and no more files."""
            content, number = forget_replies(other)
            came[other] += content
            files_left[other] -= number
            assert sent[other].startswith(came[other])
            assert files_left[other] >= 0

        while passing.turn() and (said or (not source.over and count < MESSAGES)):
            message, names = said.pop(0) if said else _message(source, ram, features)
            side, other = (back, front) if not said and source.number() < 80 else (front, back)
            if side is back:
                message = message[:4] + bytes([message[4] | 4]) + message[5:]
            count += 1
            sent[other] += message
            files_left[other] += len(names)
            send(side, message, [files[name] for name in names])
            passing.turn()
            arrives(other)
            if source.number() > 250:
                passing.dump()
        arrives(front)
        arrives(back)
    assert count == 0 or len(log) > 1
    return max(1, count)


TARGETS: dict[str, Callable[[bytes], int]] = {
    "codec": codec, "connection": connection, "ring": ring, "region": region,
    "frontend": frontend, "stream": stream, "oracle": oracle, "schedule": schedule,
    "proxy": proxy,
}  # fmt: skip
"""By name."""
