"""What is fuzzed: the codec, the connection's state machine, the contents of rings and of regions.

A target takes bytes and makes of them what a hostile peer could do. It returns how many messages or regions that were;
an error that names the culprit is what should come of them, anything else goes through.
"""

from __future__ import annotations

import array
import contextlib
import functools
import io
import json
import os
import socket
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from jsonschema import Draft202012Validator

from refimpl.backend import Backend
from refimpl.blk import Disk
from refimpl.blk_queue import Schedule
from refimpl.choices import Choices
from refimpl.codec import Message, Parser, Request, encode
from refimpl.codec_features import FEATURES, PROTOCOL_FEATURES, RING_PACKED
from refimpl.codec_payload import (
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
from refimpl.errors import BackEndError, DriverError, FrontEndError, InflightError, RegionError
from refimpl.frontend import FrontEnd
from refimpl.frontend_inflight import HeldInflight
from refimpl.guest_memory import GuestRam
from refimpl.state_dump import ring_parts
from refimpl.transport import Connection, Disconnected
from tests.refimpl.packed_rig import PackedRig
from tests.refimpl.rig import Rig
from tests.refimpl.wire_rig import make_device
from vhost_inflight.recover import answer, load, recover, schema, story

T = TypeVar("T")

CULPRITS = (FrontEndError, DriverError, RegionError)
"""Whose fault hostile input may be found to be."""

MESSAGES = 24
"""Messages of one case of `connection`, at most."""


class Source:
    """Reads choices from bytes; zeros come after their end."""

    def __init__(self, data: bytes) -> None:
        """Begin at the first byte."""
        self._data, self._place = data, 0

    @property
    def over(self) -> bool:
        """Whether all bytes were read."""
        return self._place >= len(self._data)

    def take(self, size: int) -> bytes:
        """Give the next bytes."""
        taken = self._data[self._place : self._place + size]
        self._place += size
        return taken.ljust(size, b"\0")

    def number(self, size: int = 1) -> int:
        """Give a number of so many bytes."""
        return int.from_bytes(self.take(size), "little")

    def pick(self, those: Sequence[T]) -> T:
        """Give one of some."""
        return those[self.number() % len(those)]


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


@functools.cache
def _world(packed: bool) -> tuple[Disk, GuestRam, dict[str, Any]]:
    """Make the disk, the guest's memory and files of all kinds once: making them is slower than any case."""
    folder = Path(tempfile.mkdtemp(prefix="vhost-inflight-fuzz-"))
    image = folder / "image"
    image.write_bytes(bytes(512 * 16))
    disk = Disk(image, 2)
    ram = GuestRam(2, 8, 512, packed=packed)
    files: dict[str, Any] = {
        "memory": ram.memory.fd,
        "short": os.memfd_create("short", os.MFD_CLOEXEC),
        "buffer": os.memfd_create("buffer", os.MFD_CLOEXEC),
        "eventfd": os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK),
        "pipe": os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)[0],
        "null": os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC),
        "read-only": os.open(image, os.O_RDONLY | os.O_CLOEXEC),
        "folder": os.open(folder, os.O_RDONLY | os.O_CLOEXEC),
    }
    os.ftruncate(files["short"], 100)
    os.ftruncate(files["buffer"], 4096)
    return disk, ram, files


_WRONG_FILES = ("short", "buffer", "eventfd", "null", "read-only", "folder")


def _message(source: Source, ram: GuestRam, features: int) -> tuple[bytes, list[str]]:
    """Make a message that may be right, with the file descriptors that belong to it, and then perhaps spoil it."""
    queue = source.pick((0, 0, 1, 2))
    number = source.pick((0, 1, 8, 8, source.number(2), source.number(4)))
    region = source.pick((ram.region, ram.region, MemoryRegion(0x1000, 4096, source.number(4), 0)))
    requests: tuple[tuple[Message, list[str]], ...] = (
        (Message(Request.SET_FEATURES, Number(features)), []),
        (Message(Request.SET_PROTOCOL_FEATURES, Number(PROTOCOL_FEATURES)), []),
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
        (Message(Request.GET_VRING_BASE, VringState(queue, 0)), []),
        (Message(Request.GET_INFLIGHT_FD, Inflight(0, 0, 1 + queue, number % 65536)), []),
        (Message(Request.SET_INFLIGHT_FD, Inflight(4096, 0, 1 + queue, number % 64)), ["buffer"]),
        (Message(Request.GET_CONFIG, ConfigSpace(0, 0, bytes(1 + number % 256))), []),
        (Message(Request.SET_CONFIG, ConfigSpace(number, 0, source.take(1))), []),
        (Message(Request.SET_BACKEND_REQ_FD, NOTHING), ["pipe"]),
        *((Message(request, NOTHING), []) for request in (Request.GET_FEATURES, Request.GET_QUEUE_NUM)),
        (Message(Request.RESET_DEVICE, NOTHING), []),
    )
    message, files = source.pick(requests)
    data = bytearray(encode(message))
    if source.number() < 40:
        data[source.number(2) % len(data)] ^= source.number()
    if source.number() < 30:
        files = [source.pick(_WRONG_FILES) for _ in range(source.number() % 10)]
    return bytes(data), files


def _prefix(ram: GuestRam, features: int) -> list[tuple[bytes, list[str]]]:
    """Give the messages that start a ring, so that what follows meets one that runs."""
    said: tuple[tuple[Message, list[str]], ...] = (
        (Message(Request.SET_FEATURES, Number(features)), []),
        (Message(Request.SET_PROTOCOL_FEATURES, Number(PROTOCOL_FEATURES)), []),
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
    disk, ram, files = _world(packed)
    features = FEATURES | (RING_PACKED if packed else 0)
    ram.memory.view()[: ram.places[0].ring + 256] = bytes(ram.places[0].ring + 256)
    ram.memory.view()[ram.places[0].ring :][:200] = source.take(200)
    os.pwrite(files["buffer"], bytes(4096) if source.number() < 200 else source.take(192).ljust(4096, b"\0"), 0)
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    device = make_device(disk, Choices(ring="packed", revision="hardened") if packed else None, Schedule(idle=0))
    backend = Backend(Connection(theirs, replies=False), device)
    said = _prefix(ram, features) if started else []
    count = 0
    try:
        with contextlib.suppress(*CULPRITS):
            while said or (not source.over and count < MESSAGES):
                message, names = said.pop(0) if said else _message(source, ram, features)
                count += 1
                _send(ours, message, [files[name] for name in names])
                _handle(backend)
                _forget_replies(ours)
    finally:
        backend.close()
        _forget_replies(ours)
        ours.close()
    return max(1, count)


def _send(ours: socket.socket, message: bytes, fds: list[int]) -> None:
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    ours.sendmsg([message], ancillary)


def _handle(backend: Backend) -> None:
    """Let the back-end do what it was told, and what its rings want."""
    received = backend.connection.poll()
    if received is not None:
        backend.handle(received)
    for ring in backend.rings:
        ring.woken()
        ring.turn()


def _forget_replies(ours: socket.socket) -> None:
    """Read what came back, and close its files."""
    with contextlib.suppress(OSError):
        while True:
            data, ancillary, _, _ = ours.recvmsg(4096, 1024, socket.MSG_CMSG_CLOEXEC)
            for _, _, fds in ancillary:
                for fd in array.array("i", fds):
                    os.close(fd)
            if not data:
                return


# Rings and regions


@functools.cache
def _rig(ring: str, revision: str) -> Rig | PackedRig:
    return PackedRig({}, revision, 4) if ring == "packed" else Rig({}, revision, 4)


@functools.cache
def _served(ring: str, revision: str, number: int) -> bytes:
    """Give the bytes of a rig that has fetched some requests and supplied one, for hostile input to spoil."""
    rig = _rig(ring, revision)
    rig.view[:] = bytes(len(rig.view))
    rig.driver._begin()
    queue = rig.queue()
    queue.start()
    if isinstance(rig, PackedRig):
        rig.make(*((n, 1) for n in range(number)))
    else:
        rig.make(*range(number))
    entries = []
    queue.look()
    while queue.available:
        entries.append(queue.take())
        queue.look()
    if entries:
        queue.supply(iter([entries[0], None]).__next__)
    return bytes(rig.view)


def _chosen(source: Source) -> tuple[Rig | PackedRig, int]:
    """Give a rig that has served a little, and where its region begins."""
    ring, revision = source.pick(("split", "packed")), source.pick(("v6", "merged", "hardened"))
    rig = _rig(ring, revision)
    rig.view[:] = _served(ring, revision, source.number() % 4)
    rig.steps.clear()
    offset = len(rig.view) - len(bytes(rig.region))
    return rig, offset


def _spoil(source: Source, view: memoryview) -> None:
    """Change some bytes, or all."""
    if source.number() < 32:
        view[:] = source.take(len(view))
        return
    for _ in range(1 + source.number() % 6):
        view[source.number(2) % len(view)] = source.number()


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
            _spoil(source, spoiled)


def region(data: bytes) -> int:
    """Recover from a region of any contents and serve it, while it changes."""
    source = Source(data)
    rig, offset = _chosen(source)
    view = rig.view[offset:]
    _spoil(source, view)
    with contextlib.suppress(*CULPRITS):
        _serve(rig, source, view)
    return 1


def ring(data: bytes) -> int:
    """Serve a ring of any contents, while it changes; the region is right."""
    source = Source(data)
    rig, offset = _chosen(source)
    view = rig.view[:offset]
    _spoil(source, view)
    with contextlib.suppress(*CULPRITS):
        _serve(rig, source, view)
    return 1


# The other two readers: the front-end, and the oracle


def _replies(source: Source, features: int, *, again: bool) -> list[tuple[bytes, list[str]]]:
    """Give what a back-end says until a device has started, and then perhaps spoil it."""
    size = source.pick((192, 4096, 4096, source.number(8)))
    offset = source.pick((0, 0, 0, 4096, source.number(8)))
    asked = Message(Request.GET_INFLIGHT_FD, Inflight(size, offset, source.number(2), source.number(2)), reply=True)
    numbers = (
        (Request.GET_FEATURES, features),
        (Request.GET_PROTOCOL_FEATURES, PROTOCOL_FEATURES),
        (Request.GET_QUEUE_NUM, 2),
        (Request.GET_MAX_MEM_SLOTS, source.number() % 3),
        (Request.SET_BACKEND_REQ_FD, 0),
        (Request.GET_FEATURES, features),
    )
    said: list[tuple[Message, list[str]]] = [(Message(r, Number(n), reply=True), []) for r, n in numbers]
    if not again:
        said.append((Message(Request.GET_CONFIG, ConfigSpace(0, 0, bytes(60)), reply=True), []))
    said += [(asked, ["buffer"]), (Message(Request.ADD_MEM_REG, Number(0), reply=True), [])]
    spoiled = []
    for message, files in said:
        data = bytearray(encode(message))
        if source.number() > 243:
            data[source.number(2) % len(data)] ^= source.number()
        wrong = [source.pick(_WRONG_FILES) for _ in range(source.number() % 10)] if source.number() > 243 else files
        if source.number() < 250:
            spoiled.append((bytes(data), wrong))
    return spoiled


def frontend(data: bytes) -> int:
    """Connect, start and resume with a back-end that answers anything; the shared buffer may come from anywhere."""
    source = Source(data)
    packed, again = source.pick((False, True)), source.pick((False, True))
    _, ram, files = _world(packed)
    said = _replies(source, FEATURES | (RING_PACKED if packed else 0), again=again)
    ours, theirs = socket.socketpair()
    with theirs, FrontEnd(Path(os.devnull), ram) as front_end:
        front_end.connection = Connection(ours, replies=True, timeout=0)
        for message, names in said:
            _send(theirs, message, [files[name] for name in names])
        with contextlib.suppress(BackEndError, Disconnected):
            front_end._negotiate(again=again)
            front_end.start()
            if front_end.inflight is not None:
                bytes(front_end.inflight.view())
            front_end.lost()
    return max(1, len(said))


def stream(data: bytes) -> int:
    """Load a migration's stream of any bytes into a front-end that has a shared buffer, or has none."""
    source = Source(data)
    with HeldInflight() as held:
        if source.pick((False, True)):
            held.resize(64)
        size = source.pick((0, 64, 128, source.number(8), source.number(3)))
        with contextlib.suppress(FrontEndError):
            held.load(io.BytesIO(size.to_bytes(8, "big") + data[2:]), 1)
        if held.memory is not None:
            assert len(bytes(held.memory.view())) == held.memory.size
    return 1


_VALUES: tuple[Any, ...] = (None, True, -1, 0, 1, 4, 65536, 1 << 70, 0.5, "", "zz", "0" * 64, [], {}, "v6", "hardened")


def oracle(data: bytes) -> int:
    """Ask what is to be made of any state: its bytes spoiled, its fields of any type, its JSON cut."""
    source = Source(data)
    rig, _ = _chosen(source)
    _spoil(source, rig.view)
    document: dict[str, Any] = {
        "format": "vhost-inflight state 1", "ring": rig.choices.ring, "revision": rig.choices.revision,
        "queue_size": source.pick((4, 4, 4, 2, source.number(2))), "region": bytes(rig.region).hex(),
        "ring_memory": {name: part.hex() for name, part in ring_parts(rig.ring).items()},
        "memory": [{"address": source.number(8), "bytes": source.take(32).hex()}],
    }  # fmt: skip
    if source.number() < 60:
        document[source.pick([*document, "gaps", "encoding", "region_size"])] = source.pick(_VALUES)
    text = bytearray(json.dumps(document).encode())
    if source.number() < 30:
        text[source.number(2) % len(text)] = source.number()
    with contextlib.suppress(InflightError):
        given = load(bytes(text))
        recovery = recover(given)
        validator().validate(answer(recovery))
        assert story(recovery)
    return 1


@functools.cache
def validator() -> Draft202012Validator:
    """Give what checks an answer's form."""
    return Draft202012Validator(schema("output"))


TARGETS: dict[str, Callable[[bytes], int]] = {
    "codec": codec, "connection": connection, "ring": ring, "region": region,
    "frontend": frontend, "stream": stream, "oracle": oracle,
}  # fmt: skip
"""By name."""
