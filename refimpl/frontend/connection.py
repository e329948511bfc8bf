"""The front-end: negotiates, asks for the shared buffer, hands it back at every start, and comes back after a crash.

The order of messages is QEMU's. Everything that the back-end answers is checked before it is used.
"""

import contextlib
import os
import socket
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

from refimpl.backend.disk import CONFIG_BYTES
from refimpl.errors import BackEndError, InflightError
from refimpl.frontend.dirty import DirtyPages
from refimpl.frontend.inflight import HeldInflight
from refimpl.frontend.memory import GuestRam
from refimpl.memory import SharedMemory
from refimpl.names import counted
from refimpl.packed.ring import base_at
from refimpl.wire.codec import Message, Request
from refimpl.wire.features import (
    EVENT_IDX,
    NEEDED,
    PROTOCOL_BACKEND_REQ,
    PROTOCOL_CONFIG,
    PROTOCOL_CONFIGURE_MEM_SLOTS,
    PROTOCOL_INFLIGHT_SHMFD,
    PROTOCOL_MQ,
    PROTOCOL_REPLY_ACK,
    RING_PACKED,
    VHOST_LOG_ALL,
    WANTED,
    WANTED_PROTOCOL,
)
from refimpl.wire.payload import (
    NOTHING,
    ConfigSpace,
    MemoryTable,
    Number,
    Payload,
    SingleRegion,
    VringFd,
    VringState,
)
from refimpl.wire.transport import Connection, Disconnected

PACKED_BASE: Final = base_at(0, 1)
"""The base of a packed ring that has not run: slot 0 with wrap counter 1, available and used."""

_P = TypeVar("_P", bound=Payload)


class FrontEnd:
    """A front-end for the rings of one guest.

    ``kicks``, ``calls`` and ``errs`` are an eventfd for each queue; they and the shared buffer, which is ``held``,
    outlive a connection. ``config`` is the configuration space as last read, ``offered`` are the features that the
    back-end offered last, None before it was asked.
    """

    def __init__(
        self,
        path: Path,
        ram: GuestRam,
        *,
        region_entries: int | None = None,
        timeout: float = 10.0,
        features: int = WANTED,
        protocol_features: int = WANTED_PROTOCOL,
    ) -> None:
        """Prepare; ``connect`` and ``start`` come next.

        ``region_entries`` is the queue size asked for in GET_INFLIGHT_FD, by default the rings' own (gap region-size);
        ``timeout`` is how many seconds to wait for a reply, and for a back-end to come (back); ``features`` and
        ``protocol_features`` are accepted as far as they are offered.
        """
        self.path = path
        self.ram = ram
        self.region_entries = ram.queue_size if region_entries is None else region_entries
        self.timeout = timeout
        packed = RING_PACKED if ram.packed else 0
        self.wanted = features | packed
        self.needed = NEEDED | packed
        self.wanted_protocol = protocol_features
        self.connection: Connection | None = None
        self.held = HeldInflight()
        self.offered: int | None = None
        self.features = 0
        self.protocol_features = 0
        self.config = b""
        self.bases = [PACKED_BASE if ram.packed else 0] * ram.queues
        self.reconnects = 0
        self.log: DirtyPages | None = None
        self._ours: socket.socket | None = None
        self.kicks: list[int] = []
        self.calls: list[int] = []
        self.errs: list[int] = []
        with contextlib.ExitStack() as stack:
            stack.callback(self.close)
            for _ in range(ram.queues):
                for fds in (self.kicks, self.calls, self.errs):
                    fds.append(os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK))
            stack.pop_all()

    @property
    def inflight(self) -> SharedMemory | None:
        """The mapped shared buffer, None before the first start and after ``renew``."""
        return self.held.memory

    @property
    def event_index(self) -> bool:
        """Whether event indexes were negotiated."""
        return bool(self.features & EVENT_IDX)

    # Connections

    def connect(self, *, again: bool = False) -> None:
        """Connect and negotiate; wait for a back-end to listen.

        Raises BackEndError for a wrong reply, for features that are missing, and when none listens in time;
        Disconnected when the back-end goes away. The connection is closed then.
        """
        self.disconnect()
        self.connection = self._wait_for_backend()
        try:
            self._negotiate(again=again)
        except InflightError:
            self.disconnect()
            raise

    def start(self) -> None:
        """Start the device: hand over the shared buffer (asking for one first if there is none), memory and rings.

        Raises as ``connect`` does, and BackEndError for a shared buffer of no use. The connection is closed then.
        """
        try:
            self._start()
        except InflightError:
            self.disconnect()
            raise

    def stop(self) -> None:
        """Stop the device: every ring is disabled, then drained; ``bases`` is where fetching goes on. Raises as above.

        The connection stays, and ``start`` may follow.
        """
        for queue in range(self.ram.queues):
            self._send(Request.SET_VRING_ENABLE, VringState(queue, 0))
        for queue in range(self.ram.queues):
            self.bases[queue] = self._ask(Request.GET_VRING_BASE, VringState(queue, 0), VringState).num

    def renew(self) -> None:
        """Forget the shared buffer and where the rings were, as a reset of the device wants; ``start`` comes next.

        The driver begins its rings anew; the device is stopped first, if the back-end lives.
        """
        self.held.free()
        self.bases = [PACKED_BASE if self.ram.packed else 0] * self.ram.queues

    def log_to(self, log: DirtyPages | None) -> None:
        """Let the back-end that runs log what it writes, as at the begin of a migration; None: no more.

        A back-end that comes later is told too. The log stays the caller's. Raises as above.
        """
        self.log = log
        self._give_log()
        self._send(Request.SET_FEATURES, Number(self._accepted))
        for queue in range(self.ram.queues):
            self._send(Request.SET_VRING_ADDR, self.ram.ring_address(queue, logged=log is not None))

    def reconnect(self) -> None:
        """Come back after the back-end was lost: connect, and start with the same shared buffer.

        A back-end that goes away meanwhile is waited for again, as long as ``timeout`` allows. Raises BackEndError when
        none stays, or for a wrong reply.
        """
        deadline = time.monotonic() + self.timeout
        while True:
            try:
                self.connect(again=True)
                # of a split ring the driver's memory says what was used, whatever the lost back-end would have said;
                # of a packed one nothing does: the base is stale, as QEMU's is
                if not self.ram.packed:
                    self.bases = [ring.used.idx for ring in self.ram.rings]
                self.start()
            except Disconnected as error:
                if time.monotonic() > deadline:
                    raise BackEndError(f"it was lost again and again for {self.timeout} seconds") from error
                time.sleep(0.01)
            else:
                self.reconnects += 1
                return

    def lost(self) -> bool:
        """Return whether the back-end closed the connection. Raises BackEndError when it sent something unasked."""
        if self.connection is None:
            return True
        try:
            received = self.connection.poll()
        except Disconnected:
            self.disconnect()
            return True
        if received is not None:
            received.close()
            raise BackEndError(f"{received.message} came, which nobody asked for")
        return False

    def given_up(self, queue: int) -> bool:
        """Return whether the back-end said by the err eventfd that it gave a queue up, since it was asked last."""
        try:
            return os.eventfd_read(self.errs[queue]) > 0
        except BlockingIOError:
            return False

    def disconnect(self) -> None:
        """Close the connection, if there is one; everything else stays."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None
        if self._ours is not None:
            self._ours.close()
            self._ours = None

    def close(self) -> None:
        """Close everything. A second call does nothing."""
        self.disconnect()
        self.held.free()
        fds = self.kicks + self.calls + self.errs
        self.kicks, self.calls, self.errs = [], [], []
        for fd in fds:
            os.close(fd)

    def __enter__(self) -> Self:
        """Return this front-end, to be closed at the end of the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()

    # In the order of messages

    def _wait_for_backend(self) -> Connection:
        """Connect, trying again until a back-end listens."""
        deadline = time.monotonic() + self.timeout
        while True:
            try:
                return Connection.connect(str(self.path), self.timeout)
            except OSError as error:
                if time.monotonic() > deadline:
                    raise BackEndError(f"nobody listens at {self.path}: {error}") from error
                time.sleep(0.001)

    def _negotiate(self, *, again: bool) -> None:
        """Say what QEMU says when a connection is new: 1, 15, 16, 17, 36, 21, 3, 1, 13, 14, and 24 the first time."""
        self.offered = self._ask_number(Request.GET_FEATURES)
        if self.needed & ~self.offered:
            raise BackEndError(f"the features {self.needed & ~self.offered:#x} are not offered")
        offered_protocol = self._ask_number(Request.GET_PROTOCOL_FEATURES)
        self.protocol_features = offered_protocol & self.wanted_protocol
        self._send(Request.SET_PROTOCOL_FEATURES, Number(self.protocol_features))
        if self._has(PROTOCOL_MQ):
            queues = self._ask_number(Request.GET_QUEUE_NUM)
            if queues < self.ram.queues:
                raise BackEndError(f"it has {counted(queues, 'queue')}, {self.ram.queues} are needed")
        if self._has(PROTOCOL_CONFIGURE_MEM_SLOTS) and self._ask_number(Request.GET_MAX_MEM_SLOTS) < 1:
            raise BackEndError("it has no room for a region of memory")
        if self._has(PROTOCOL_BACKEND_REQ):
            self._give_request_socket()
        self._send(Request.SET_OWNER)
        self.features = self._ask_number(Request.GET_FEATURES) & self.wanted
        self._give_calls()
        for queue, err in enumerate(self.errs):
            self._send(Request.SET_VRING_ERR, VringFd(queue), err)
        if self._has(PROTOCOL_CONFIG) and not again:
            asked = ConfigSpace(0, 0, bytes(CONFIG_BYTES))
            self.config = self._ask(Request.GET_CONFIG, asked, ConfigSpace).data
            if len(self.config) != CONFIG_BYTES:
                raise BackEndError(f"{len(self.config)} bytes of configuration, {CONFIG_BYTES} were asked for")

    def _start(self) -> None:
        """Say what QEMU says at each start: 2, 31 without a buffer, 32, 13, 2, 37 or 5, 8, 10, 9, 12, [6,] 18."""
        self._send(Request.SET_FEATURES, Number(self._accepted))
        if self._has(PROTOCOL_INFLIGHT_SHMFD):
            if self.inflight is None:
                self.held.get(self._connected(), self.ram.queues, self.region_entries)
            handed = self.held.message()
            if handed is not None:
                self._send(Request.SET_INFLIGHT_FD, handed[0].payload, handed[1])
        self._give_calls()
        self._send(Request.SET_FEATURES, Number(self._accepted))
        self._give_memory()
        for queue in range(self.ram.queues):
            self._send(Request.SET_VRING_NUM, VringState(queue, self.ram.queue_size))
            self._send(Request.SET_VRING_BASE, VringState(queue, self.bases[queue]))
            self._send(Request.SET_VRING_ADDR, self.ram.ring_address(queue, logged=self.log is not None))
            self.give_kick(queue)
        self._give_log()
        for queue in range(self.ram.queues):
            self._send(Request.SET_VRING_ENABLE, VringState(queue, 1))

    def give_kick(self, queue: int) -> None:
        """Give the back-end a queue's kick eventfd; once more, where it has it."""
        self._send(Request.SET_VRING_KICK, VringFd(queue), self.kicks[queue])

    @property
    def _accepted(self) -> int:
        """The features that are accepted now."""
        return self.features | (VHOST_LOG_ALL if self.log is not None else 0)

    def _give_log(self) -> None:
        """Give the back-end the log of dirty pages, if there is one."""
        if self.log is not None:
            self._send(Request.SET_LOG_BASE, self.log.area, self.log.memory.fd)
            self._reply(Request.SET_LOG_BASE, Number)

    def _give_request_socket(self) -> None:
        """Give the back-end a socket for its own requests; none is expected on it."""
        ours, theirs = socket.socketpair()
        self._ours = ours
        with theirs:
            self._send(Request.SET_BACKEND_REQ_FD, NOTHING, theirs.fileno(), need_reply=self._has(PROTOCOL_REPLY_ACK))

    def _give_calls(self) -> None:
        """Give the back-end each queue's call eventfd."""
        for queue, call in enumerate(self.calls):
            self._send(Request.SET_VRING_CALL, VringFd(queue), call)

    def _give_memory(self) -> None:
        """Give the back-end the guest's memory, all in one region."""
        region, fd = self.ram.region, self.ram.memory.fd
        acked = self._has(PROTOCOL_REPLY_ACK)
        if self._has(PROTOCOL_CONFIGURE_MEM_SLOTS):
            self._send(Request.ADD_MEM_REG, SingleRegion(region), fd, need_reply=acked)
        else:
            self._send(Request.SET_MEM_TABLE, MemoryTable((region,)), fd, need_reply=acked)

    # Messages

    def _has(self, feature: int) -> bool:
        """Return whether a protocol feature was negotiated."""
        return bool(self.protocol_features & feature)

    def _connected(self) -> Connection:
        """Return the connection. Raises Disconnected when there is none."""
        if self.connection is None:
            raise Disconnected("there is no connection")
        return self.connection

    def _send(
        self, request: Request, payload: Payload = NOTHING, fd: int | None = None, *, need_reply: bool = False
    ) -> None:
        """Send a request that has no reply of its own, and check the ack if one is asked for."""
        connection = self._connected()
        connection.send(Message(request, payload, need_reply=need_reply), [] if fd is None else [fd])
        if need_reply:
            status = self._reply(request, Number).value
            if status:
                raise BackEndError(f"it refused {request.name} with {status}")

    def _ask(self, request: Request, payload: Payload, kind: type[_P]) -> _P:
        """Send a request and return the reply's payload."""
        self._connected().send(Message(request, payload))
        return self._reply(request, kind)

    def _ask_number(self, request: Request) -> int:
        """Send a request without payload and return the number that answers it."""
        return self._ask(request, NOTHING, Number).value

    def _reply(self, request: Request, kind: type[_P]) -> _P:
        """Wait for the reply to ``request``. Raises BackEndError when something else comes."""
        with self._connected().receive() as received:
            payload = received.message.payload
            if received.message.request != request or not isinstance(payload, kind):
                raise BackEndError(f"{received.message} with {payload} answered {request.name}")
            return payload


def drain(fd: int) -> None:
    """Take what an eventfd counts, if anything."""
    with contextlib.suppress(BlockingIOError):
        os.eventfd_read(fd)
