"""A back-end that a test drives message by message."""

import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from refimpl.backend.connection import Backend
from refimpl.backend.disk import Disk
from refimpl.choices import Choices
from refimpl.frontend.memory import GuestRam
from refimpl.hooks import Hook, silent
from refimpl.wire.codec import Message, Request
from refimpl.wire.features import FEATURES, PROTOCOL_FEATURES
from refimpl.wire.payload import NOTHING, Number, Payload, SingleRegion, VringFd, VringState
from refimpl.wire.transport import Connection, Received
from tests.refimpl.wire_rig import make_device, make_image, open_fds

QUEUE_SIZE = 8


class Peer:
    """A back-end with two queues, driven message by message."""

    def __init__(
        self,
        disk: Disk,
        choices: Choices | None = None,
        generation: str = "drain",
        *,
        hook: Hook = silent,
        status: bool = False,
    ) -> None:
        """Connect it."""
        ours, theirs = socket.socketpair()
        self.ours = Connection(ours, replies=True, timeout=5)
        device = make_device(disk, choices, generation=generation, hook=hook, status=status)
        self.backend = Backend(Connection(theirs, replies=False), device)
        self.ram = GuestRam(2, QUEUE_SIZE, 512)

    def say(self, request: Request, payload: Payload = NOTHING, *fds: int, need_reply: bool = False) -> None:
        """Send one message, and let the back-end handle it."""
        self.ours.send(Message(request, payload, need_reply=need_reply), fds)
        self.backend.handle(self.backend.connection.receive())

    def ask(self, request: Request, payload: Payload = NOTHING, *fds: int, need_reply: bool = False) -> Received:
        """Likewise, and return the reply."""
        self.say(request, payload, *fds, need_reply=need_reply)
        return self.ours.receive()

    def number(self, request: Request) -> int:
        """Ask for a number."""
        payload = self.ask(request).message.payload
        assert isinstance(payload, Number)
        return payload.value

    def negotiate(self, more: int = 0) -> None:
        """Accept everything, and of protocol features ``more``."""
        self.say(Request.SET_FEATURES, Number(FEATURES))
        self.say(Request.SET_PROTOCOL_FEATURES, Number(PROTOCOL_FEATURES | more))

    def describe(self, queue: int = 0, size: int = QUEUE_SIZE, *, logged: bool = False) -> None:
        """Give memory and addresses of a queue, and say whether it is to be logged."""
        self.say(Request.ADD_MEM_REG, SingleRegion(self.ram.region), self.ram.memory.fd)
        self.say(Request.SET_VRING_NUM, VringState(queue, size))
        self.say(Request.SET_VRING_ADDR, self.ram.ring_address(queue, logged=logged))

    def start(self, queue: int = 0) -> None:
        """Give a kick fd, and enable the queue."""
        self.kick(queue)
        self.say(Request.SET_VRING_ENABLE, VringState(queue, 1))

    def kick(self, queue: int = 0) -> None:
        """Give a kick fd."""
        fd = os.eventfd(0)
        self.say(Request.SET_VRING_KICK, VringFd(queue), fd)
        os.close(fd)

    def close(self) -> None:
        """Close both ends."""
        self.backend.close()
        self.ours.close()
        self.ram.close()


@contextlib.contextmanager
def peers(directory: Path, queues: int = 2) -> Iterator[Callable[..., Peer]]:
    """Give what makes back-ends, as Peer does, on a disk of so many queues; at the end they have left nothing open."""
    before = open_fds()
    made: list[Peer] = []
    with Disk(make_image(directory), queues=queues) as disk:

        def make(*given: Any, **more: Any) -> Peer:
            made.append(Peer(disk, *given, **more))
            return made[-1]

        yield make
        for peer in made:
            peer.close()
    assert before == open_fds()
