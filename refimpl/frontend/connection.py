"""The front-end: negotiates, asks for the shared buffer, hands it back at every start, and comes back after a crash.

The order of messages is QEMU's. Everything that the back-end answers is checked before it is used.
"""

import contextlib
import os
import socket
import time
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self

from refimpl.backend.disk import CONFIG_BYTES
from refimpl.errors import BackEndError, FewerQueuesError, InflightError
from refimpl.frontend import migration
from refimpl.frontend.asking import Asking
from refimpl.frontend.dirty import DirtyPages
from refimpl.frontend.inflight import HeldInflight
from refimpl.frontend.memory import GuestRam
from refimpl.memory import SharedMemory
from refimpl.names import counted
from refimpl.packed.ring import base_at
from refimpl.wire.codec import Request
from refimpl.wire.features import (
    EVENT_IDX,
    GENERATIONS,
    NEEDED,
    PROTOCOL_BACKEND_REQ,
    PROTOCOL_CONFIG,
    PROTOCOL_CONFIGURE_MEM_SLOTS,
    PROTOCOL_GET_VRING_BASE_INFLIGHT,
    PROTOCOL_INFLIGHT_SHMFD,
    PROTOCOL_MQ,
    PROTOCOL_REPLY_ACK,
    RING_PACKED,
    SKIP_DRAIN,
    VHOST_LOG_ALL,
    WANTED,
    WANTED_PROTOCOL,
)
from refimpl.wire.payload import (
    NOTHING,
    ConfigSpace,
    MemoryTable,
    Number,
    SingleRegion,
    VringFd,
    VringState,
)
from refimpl.wire.transport import Connection, Disconnected

PACKED_BASE: Final = base_at(0, 1)
"""The base of a packed ring that has not run: slot 0 with wrap counter 1, available and used."""


class FrontEnd(Asking):
    """A front-end for the rings of one guest.

    ``kicks``, ``calls`` and ``errs`` are an eventfd for each queue; they and the shared buffer, which is ``held``,
    outlive a connection. ``config`` is the configuration space as last read, ``offered`` are the features that the
    back-end offered last, None before it was asked. ``complete`` is whether this front-end believes, since it stopped
    its rings, that every request has been completed: then a migration does not bring the buffer.
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
        generation: str = "drain",
    ) -> None:
        """Prepare; ``connect`` and ``start`` come next.

        ``region_entries`` is the queue size asked for in GET_INFLIGHT_FD, by default the rings' own (gap region-size);
        ``timeout`` is how many seconds to wait for a reply, and for a back-end to come (back); ``features`` and
        ``protocol_features`` are accepted as far as they are offered; ``generation``, one of GENERATIONS, says how
        rings are stopped, and what that means, and has protocol features of its own.
        """
        super().__init__()
        self.path = path
        self.ram = ram
        self.region_entries = ram.queue_size if region_entries is None else region_entries
        self.timeout = timeout
        packed = RING_PACKED if ram.packed else 0
        self.wanted = features | packed
        self.needed = NEEDED | packed
        self.generation = generation
        self.wanted_protocol = protocol_features | GENERATIONS[generation]
        self.held = HeldInflight()
        self.offered: int | None = None
        self.features = 0
        self.complete = False
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
        """Stop the device: every ring is disabled, then stopped; ``bases`` is where fetching goes on. Raises as above.

        The connection stays, and ``start`` may follow.
        """
        for queue in range(self.ram.queues):
            self._send(Request.SET_VRING_ENABLE, VringState(queue, 0))
        for queue in range(self.ram.queues):
            self.stop_ring(queue)
        suspended = self.stops_by is Request.GET_VRING_BASE_SKIP_DRAIN
        self.complete = not (suspended or self.generation == "may-suspend")

    @property
    def stops_by(self) -> Request:
        """The message that stops a ring: the one of its generation, where the back-end knows that."""
        if self.generation == "skip-drain" and not SKIP_DRAIN & ~self.protocol_features:
            return Request.GET_VRING_BASE_SKIP_DRAIN
        return Request.GET_VRING_BASE

    def stop_ring(self, queue: int) -> None:
        """Stop one ring; the others run on. Raises BackEndError for a base of a split ring with reserved bits.

        One that does not offer GET_VRING_BASE_INFLIGHT may follow a text that reserves none: there they are left out.
        """
        base = self._ask(self.stops_by, VringState(queue, 0), VringState).num
        if not self.ram.packed and base > 0xFFFF:
            if self.has(PROTOCOL_GET_VRING_BASE_INFLIGHT):
                raise BackEndError(f"ring {queue} stopped at {base:#x}: bits 16 to 31 of a split ring's base are 0")
            base &= 0xFFFF
        self.bases[queue] = base

    def start_ring(self, queue: int) -> None:
        """Start one ring that was stopped, and enable it."""
        self._give_ring(queue)
        self._send(Request.SET_VRING_ENABLE, VringState(queue, 1))

    def save(self, stream: BinaryIO) -> None:
        """Write what a migration of today brings of the shared buffer: nothing, where all is believed complete."""
        if not self.complete:
            migration.save(self.held, stream)

    def load(self, stream: BinaryIO) -> None:
        """Read that; nothing in the stream leaves it to the next start to ask for a fresh one. Raises FrontEndError."""
        migration.load(self.held, stream, self.ram.queues, "packed" if self.ram.packed else "split")

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
        self._negotiate_protocol(self.wanted_protocol)
        if self.has(PROTOCOL_MQ):
            queues = self._ask_number(Request.GET_QUEUE_NUM)
            if queues < self.ram.queues:
                raise FewerQueuesError(f"it has {counted(queues, 'queue')}, {self.ram.queues} are needed")
        if self.has(PROTOCOL_CONFIGURE_MEM_SLOTS) and self._ask_number(Request.GET_MAX_MEM_SLOTS) < 1:
            raise BackEndError("it has no room for a region of memory")
        if self.has(PROTOCOL_BACKEND_REQ):
            self._give_request_socket()
        self._send(Request.SET_OWNER)
        self.features = self._ask_number(Request.GET_FEATURES) & self.wanted
        self._give_calls()
        for queue, err in enumerate(self.errs):
            self._send(Request.SET_VRING_ERR, VringFd(queue), err)
        if self.has(PROTOCOL_CONFIG) and not again:
            asked = ConfigSpace(0, 0, bytes(CONFIG_BYTES))
            self.config = self._ask(Request.GET_CONFIG, asked, ConfigSpace).data
            if len(self.config) != CONFIG_BYTES:
                raise BackEndError(f"{len(self.config)} bytes of configuration, {CONFIG_BYTES} were asked for")

    def _start(self) -> None:
        """Say what QEMU says: 2, 40, 39, 31 without a buffer, 32, 13, 2, 40, 37 or 5, 8, 10, 9, 12, [6,] 18, 39."""
        self._begins_anew()
        self._give_features(self._accepted)
        if self.has(PROTOCOL_INFLIGHT_SHMFD):
            if self.inflight is None:
                self.held.get(self._connected(), self.ram.queues, self.region_entries)
            handed = self.held.message()
            if handed is not None:
                self._send(Request.SET_INFLIGHT_FD, handed[0].payload, handed[1])
        self._give_calls()
        self._give_features(self._accepted)
        self._give_memory()
        self.complete = False
        for queue in range(self.ram.queues):
            self._give_ring(queue)
        self._give_log()
        for queue in range(self.ram.queues):
            self._send(Request.SET_VRING_ENABLE, VringState(queue, 1))
        self._runs()

    def _give_ring(self, queue: int) -> None:
        """Say how large a ring is, where it goes on and where it is, and give its kick eventfd."""
        self._send(Request.SET_VRING_NUM, VringState(queue, self.ram.queue_size))
        self._send(Request.SET_VRING_BASE, VringState(queue, self.bases[queue]))
        self._send(Request.SET_VRING_ADDR, self.ram.ring_address(queue, logged=self.log is not None))
        self.give_kick(queue)

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
            self._send(Request.SET_BACKEND_REQ_FD, NOTHING, theirs.fileno(), need_reply=self.has(PROTOCOL_REPLY_ACK))

    def _give_calls(self) -> None:
        """Give the back-end each queue's call eventfd."""
        for queue, call in enumerate(self.calls):
            self._send(Request.SET_VRING_CALL, VringFd(queue), call)

    def _give_memory(self) -> None:
        """Give the back-end the guest's memory, all in one region."""
        region, fd = self.ram.region, self.ram.memory.fd
        acked = self.has(PROTOCOL_REPLY_ACK)
        if self.has(PROTOCOL_CONFIGURE_MEM_SLOTS):
            self._send(Request.ADD_MEM_REG, SingleRegion(region), fd, need_reply=acked)
        else:
            self._send(Request.SET_MEM_TABLE, MemoryTable((region,)), fd, need_reply=acked)


def drain(fd: int) -> None:
    """Take what an eventfd counts, if anything."""
    with contextlib.suppress(BlockingIOError):
        os.eventfd_read(fd)
