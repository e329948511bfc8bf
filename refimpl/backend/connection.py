"""The back-end's side of one connection: every message of the front-end, and what it changes.

``Backend.handle`` is the state machine; it does no waiting, that is backend_server.py's. A request that breaks a rule
raises FrontEndError, after which the connection is of no use and has to be closed.
"""

import logging
import os
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from refimpl.backend.asked import accepted, assumed, base_given, payload_of, ring_to_stop, status_given
from refimpl.backend.device import Device
from refimpl.backend.dirty import DirtyLog
from refimpl.backend.disk import WCE_OFFSET
from refimpl.backend.memory import InflightBuffer, MappedMemory, create_inflight
from refimpl.backend.ring import Vring
from refimpl.backend.steered import SteeredVring
from refimpl.errors import FrontEndError, InflightError
from refimpl.layout import RING_SIZE_MAX
from refimpl.names import counted
from refimpl.split.state import Counter
from refimpl.wire.codec import KINDS, Message, Request
from refimpl.wire.features import (
    EVENT_IDX,
    NEEDS,
    PROTOCOL_REPLY_ACK,
    RING_PACKED,
    SUSPEND,
    VHOST_LOG_ALL,
    VHOST_USER_PROTOCOL_FEATURES,
)
from refimpl.wire.payload import (
    NOTHING,
    ConfigSpace,
    Inflight,
    MemoryTable,
    Number,
    Payload,
    SingleRegion,
    VringAddress,
    VringFd,
    VringState,
)
from refimpl.wire.transport import Connection, Received


class Backend:
    """One connection, from its first message to its end; what outlives it is in ``device``."""

    def __init__(self, connection: Connection, device: Device) -> None:
        """Own ``connection``, and begin with nothing negotiated."""
        self.connection = connection
        self.device = device
        self.features = 0
        self.protocol_features = 0
        self.status = 0
        self._negotiated = False
        self.last: Request | None = None
        self.memory = MappedMemory(device.mem_slots)
        self.log = DirtyLog()
        counter, kind = Counter(), Vring if device.reins is None else SteeredVring
        self.rings = [kind(number, device, self.memory, counter, self.log) for number in range(device.disk.queues)]
        self.inflight: InflightBuffer | None = None
        self._request_fd: int | None = None

    def handle(self, received: Received) -> None:
        """Do what a message asks for and answer it.

        Raises FrontEndError for a message that is not negotiated, not known, or wrong in its place, and as the start of
        a ring does; Disconnected when the answer cannot be sent. The message's file descriptors are closed or owned.
        """
        with received:
            message = received.message
            self.last = message.request
            _LOG.debug("%s %s, %d file descriptors", message, message.payload, len(received.fds))
            missing = NEEDS.get(message.request, 0) & ~self.protocol_features
            if missing:
                features = 0 if self._negotiated else self.features
                self.protocol_features = assumed(message, missing, features, self.device.protocol_features)
            reply = _HANDLERS[message.request](self, received)
            ack = message.need_reply and KINDS[message.request].reply is None
            if ack and self.protocol_features & PROTOCOL_REPLY_ACK:
                reply = Number(0)
            if reply is not None:
                self.connection.send(Message(message.request, reply, reply=True))

    def close(self) -> None:
        """Close the connection, and everything that it brought. What is inflight stays so in the region."""
        for ring in self.rings:
            ring.close()
        self._drop_inflight()
        self.memory.clear()
        self.log.close()
        if self._request_fd is not None:
            os.close(self._request_fd)
            self._request_fd = None
        self.connection.close()

    def stop(self) -> None:
        """Finish and supply what is in flight on every ring, as at an orderly end."""
        for ring in self.rings:
            ring.stop()

    def signal_errors(self) -> None:
        """Tell the front-end through every err file descriptor that the back-end gives up."""
        for ring in self.rings:
            try:
                ring.signal_error()
            except InflightError:
                continue  # the connection is being closed because of an error already

    # Features, memory, configuration

    @property
    def _kind(self) -> str:
        """The kind of ring that was negotiated."""
        return "packed" if self.features & RING_PACKED else "split"

    def set_features(self, received: Received) -> None:
        """Take the virtio features; without protocol features, rings need not be enabled."""
        before, self.features = self.features, accepted(received, self.device.features)
        if self.features != before:
            events = "event index" if self.features & EVENT_IDX else "event flags"
            _LOG.info("the front-end accepted features %#x: %s rings, %s", self.features, self._kind, events)
        self.log.everything = bool(self.features & VHOST_LOG_ALL)
        for ring in self.rings:
            ring.kind = self._kind if ring.queue is None else ring.kind
            ring.event_index = bool(self.features & EVENT_IDX)
            if not self.features & VHOST_USER_PROTOCOL_FEATURES:
                ring.enable(enabled=True)

    def set_protocol_features(self, received: Received) -> None:
        """Take the protocol features."""
        self.protocol_features = accepted(received, self.device.protocol_features)
        _LOG.info("the front-end accepted protocol features %#x", self.protocol_features)
        self._negotiated = True

    def set_owner(self, _received: Received) -> None:
        """Do nothing: the connection has one owner anyway."""

    def set_mem_table(self, received: Received) -> None:
        """Map all of the guest's memory anew."""
        table = payload_of(received, MemoryTable)
        self.memory.clear()
        for region, fd in zip(table.regions, received.fds, strict=True):
            self.memory.add(region, fd)
        self._lay_again()

    def add_mem_reg(self, received: Received) -> None:
        """Map one more region, or one anew."""
        self.memory.add(payload_of(received, SingleRegion).region, received.fds[0])
        self._lay_again()

    def rem_mem_reg(self, received: Received) -> None:
        """Unmap one region."""
        self.memory.remove(payload_of(received, SingleRegion).region)
        self._lay_again()

    def set_backend_req_fd(self, received: Received) -> None:
        """Take the socket for requests of the back-end; it sends none."""
        if self._request_fd is not None:
            os.close(self._request_fd)
        self._request_fd = received.take_fd()

    def get_config(self, received: Received) -> Payload:
        """Return a part of the configuration space, zeros beyond the known fields; nothing when it is not all in it."""
        asked = payload_of(received, ConfigSpace)
        data = self.device.disk.config(asked.offset, len(asked.data))
        return NOTHING if data is None else ConfigSpace(asked.offset, asked.flags, data)

    def set_config(self, received: Received) -> None:
        """Take the byte that switches the write cache, the only one that may be written."""
        written = payload_of(received, ConfigSpace)
        if written.offset != WCE_OFFSET or written.data not in {b"\0", b"\1"}:
            raise FrontEndError(f"SET_CONFIG at {written.offset} of {len(written.data)} bytes; wce alone can be set")
        self.device.disk.write_cache = written.data[0]

    # Inflight

    def get_inflight_fd(self, received: Received) -> None:
        """Create a fresh shared buffer and reply with it; it is used once the front-end has handed it back."""
        choices = self.device.choices_of(self._kind)
        memory, payload = create_inflight(payload_of(received, Inflight), len(self.rings), choices, self.device.stride)
        with memory:
            what = counted(payload.num_queues, "queue"), payload.queue_size, payload.mmap_size
            _LOG.info("made fresh regions for %s of %d entries, %d bytes in all", *what)
            self.connection.send(Message(Request.GET_INFLIGHT_FD, payload, reply=True), [memory.fd])

    def set_inflight_fd(self, received: Received) -> None:
        """Take the shared buffer that the rings use from now on."""
        if any(ring.queue is not None for ring in self.rings):
            raise FrontEndError("SET_INFLIGHT_FD came while a ring runs")
        payload = payload_of(received, Inflight)
        choices = self.device.choices_of(self._kind)
        fresh = InflightBuffer(payload, received.fds[0], len(self.rings), choices, self.device.stride)
        self._drop_inflight()
        self.inflight = fresh
        _LOG.info("got the regions of %s of %d entries", counted(payload.num_queues, "queue"), payload.queue_size)

    # Rings

    def set_vring_num(self, received: Received) -> None:
        """Take a ring's size."""
        ring, state = self._stopped(received)
        power = ring.kind == "packed" or not state.num & (state.num - 1)  # a packed ring may have any size
        if not 1 <= state.num <= RING_SIZE_MAX or not power:
            rule = "is not 1" if ring.kind == "packed" else "is no power of two"
            raise FrontEndError(f"SET_VRING_NUM {state.num} {rule} to {RING_SIZE_MAX}")
        ring.size = state.num

    def set_vring_addr(self, received: Received) -> None:
        """Take where a ring is."""
        address = payload_of(received, VringAddress)
        self._ring(address.index, received).describe(address)

    def set_vring_base(self, received: Received) -> None:
        """Take where the front-end thinks that fetching goes on; the region and the used ring know better."""
        ring, _ = self._stopped(received)
        ring.base = base_given(received, ring.kind, self.protocol_features)

    def get_vring_base(self, received: Received) -> Payload:
        """Stop a ring, and say where fetching went on; what is in flight is finished first, or stays in the region.

        The latter if this back-end is of the generation may-suspend, and the front-end has accepted that.
        """
        may = self.device.generation == "may-suspend" and not SUSPEND & ~self.protocol_features
        return self._stop(received, suspend=may)

    def get_vring_base_skip_drain(self, received: Received) -> Payload:
        """Stop a ring at once, and say where fetching went on; what is in flight stays in the region."""
        return self._stop(received, suspend=True)

    def _stop(self, received: Received, *, suspend: bool) -> Payload:
        """Stop a ring; one whose requests no region tells of is drained in any case, as nobody could make them good."""
        ring = self._ring(ring_to_stop(received, self.protocol_features), received)
        if suspend and self.inflight is None and ring.queue is not None:
            _LOG.warning("ring %d has no region to leave its requests in, so it is drained", ring.number)
            suspend = False
        return VringState(ring.number, ring.suspend() if suspend else ring.stop())

    def set_vring_kick(self, received: Received) -> None:
        """Take the kick file descriptor, which starts an enabled ring the first time."""
        payload = payload_of(received, VringFd)
        ring = self._ring(payload.index, received)
        if not payload.has_fd:
            raise FrontEndError(f"SET_VRING_KICK without a file descriptor for ring {ring.number}; polling is not done")
        ring.set_fd("kick_fd", received.take_fd())
        if ring.queue is not None:
            ring.kick_fd_again()
        self._start(ring)

    def set_vring_call(self, received: Received) -> None:
        """Take the call file descriptor, or none."""
        self._set_fd(received, "call_fd").call_again()

    def set_vring_err(self, received: Received) -> None:
        """Take the err file descriptor, or none."""
        self._set_fd(received, "err_fd")

    def set_vring_enable(self, received: Received) -> None:
        """Enable or disable a ring; enabling starts one that has its kick file descriptor."""
        state = payload_of(received, VringState)
        ring = self._ring(state.index, received)
        if state.num not in {0, 1}:
            raise FrontEndError(f"SET_VRING_ENABLE is {state.num}, neither 0 nor 1")
        ring.enable(enabled=state.num == 1)
        self._start(ring)

    def set_status(self, received: Received) -> None:
        """Take the device status; 0 resets the device, as RESET_DEVICE does."""
        self.status = status_given(received)
        if not self.status:
            self.reset_device(received)

    def reset_device(self, _received: Received) -> None:
        """Stop and disable every ring without finishing anything, and forget the shared buffer: so has the driver.

        It is a step only where a ring runs: of one that was stopped, the next start takes nothing from this process.
        """
        self.status = 0
        ran = self._stop_rings()
        if self.device.choices_of(self._kind).reset != "kept-alive":
            self._drop_inflight()
        if ran:
            self.device.hook("connection.reset", None)

    def reset_owner(self, _received: Received) -> None:
        """Stop and disable every ring without finishing anything. The driver knows nothing of it: the buffer stays."""
        self._stop_rings()

    def _stop_rings(self) -> bool:
        """Stop and disable every ring without finishing anything; return whether one ran."""
        ran = any(ring.queue is not None for ring in self.rings)
        for ring in self.rings:
            ring.drop()
            ring.enable(enabled=False)
            ring.base = None
        if ran:
            _LOG.info("reset: every ring is stopped, and nothing finished")
        return ran

    def _start(self, ring: Vring) -> None:
        """Start a ring that has all it needs and does not run."""
        if ring.queue is None and ring.enabled and ring.kick_fd is not None:
            buffer = self.inflight
            if buffer is not None and buffer.choices.ring != ring.kind:
                raise FrontEndError(f"the shared buffer is for {buffer.choices.ring} rings; ring {ring.number} is not")
            ring.start(None if buffer is None else lambda: buffer.region(ring.number))

    def _set_fd(self, received: Received, name: str) -> Vring:
        """Take a call or err file descriptor, and return its ring."""
        payload = payload_of(received, VringFd)
        ring = self._ring(payload.index, received)
        ring.set_fd(name, received.take_fd() if payload.has_fd else None)
        return ring

    def _ring(self, index: int, received: Received) -> Vring:
        """Return the ring of an index. Raises FrontEndError when there is none."""
        if index >= len(self.rings):
            raise FrontEndError(f"{received.message} for ring {index}; there are {len(self.rings)}")
        return self.rings[index]

    def _stopped(self, received: Received) -> tuple[Vring, VringState]:
        """Return the ring and the number of a message that may only come while the ring is stopped."""
        state = payload_of(received, VringState)
        ring = self._ring(state.index, received)
        if ring.queue is not None:
            raise FrontEndError(f"{received.message} came while ring {ring.number} runs")
        return ring, state

    def _lay_again(self) -> None:
        """Find the running rings in the changed memory."""
        for ring in self.rings:
            ring.lay_again()

    def _drop_inflight(self) -> None:
        """Unmap the shared buffer."""
        if self.inflight is not None:
            self.inflight.close()
            self.inflight = None


_LOG: Final = logging.getLogger(__name__)

Handler = Callable[[Backend, Received], Payload | None]
"""Returns the reply; None: an ack if asked for, or the reply was sent already, with a file descriptor."""

_HANDLERS: Final[Mapping[Request, Handler]] = MappingProxyType(
    {
        Request.GET_FEATURES: lambda backend, _: Number(backend.device.features),
        Request.SET_FEATURES: Backend.set_features,
        Request.SET_OWNER: Backend.set_owner,
        Request.RESET_OWNER: Backend.reset_owner,
        Request.SET_MEM_TABLE: Backend.set_mem_table,
        Request.SET_LOG_BASE: lambda backend, received: backend.log.take(received),
        Request.SET_LOG_FD: lambda backend, received: backend.log.take_fd(received),
        Request.SET_VRING_NUM: Backend.set_vring_num,
        Request.SET_VRING_ADDR: Backend.set_vring_addr,
        Request.SET_VRING_BASE: Backend.set_vring_base,
        Request.GET_VRING_BASE: Backend.get_vring_base,
        Request.SET_VRING_KICK: Backend.set_vring_kick,
        Request.SET_VRING_CALL: Backend.set_vring_call,
        Request.SET_VRING_ERR: Backend.set_vring_err,
        Request.GET_PROTOCOL_FEATURES: lambda backend, _: Number(backend.device.protocol_features),
        Request.SET_PROTOCOL_FEATURES: Backend.set_protocol_features,
        Request.GET_QUEUE_NUM: lambda backend, _: Number(backend.device.disk.queues),
        Request.SET_VRING_ENABLE: Backend.set_vring_enable,
        Request.SET_BACKEND_REQ_FD: Backend.set_backend_req_fd,
        Request.GET_CONFIG: Backend.get_config,
        Request.SET_CONFIG: Backend.set_config,
        Request.GET_INFLIGHT_FD: Backend.get_inflight_fd,
        Request.SET_INFLIGHT_FD: Backend.set_inflight_fd,
        Request.RESET_DEVICE: Backend.reset_device,
        Request.GET_MAX_MEM_SLOTS: lambda backend, _: Number(backend.device.mem_slots),
        Request.ADD_MEM_REG: Backend.add_mem_reg,
        Request.REM_MEM_REG: Backend.rem_mem_reg,
        Request.SET_STATUS: Backend.set_status,
        Request.GET_STATUS: lambda backend, _: Number(backend.status),
        Request.GET_VRING_BASE_SKIP_DRAIN: Backend.get_vring_base_skip_drain,
    },
)
