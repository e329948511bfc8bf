"""The shared buffer as a front-end holds it: what the seed's patch adds to QEMU's side (hw/virtio/vhost.c).

In the seed it is a struct vhost_inflight and the functions vhost_dev_get_inflight and vhost_dev_set_inflight (with
vhost-user.c's), vhost_dev_save_inflight, vhost_dev_load_inflight, vhost_dev_resize_inflight and
vhost_dev_free_inflight; here a class, and a method each.
"""

import struct
from types import TracebackType
from typing import BinaryIO, Final, Self

from refimpl.errors import BackEndError, FrontEndError, InflightError, UsageError
from refimpl.memory import SharedMemory
from refimpl.wire.codec import Message, Request
from refimpl.wire.payload import Inflight
from refimpl.wire.transport import Connection

_SIZE: Final = struct.Struct(">Q")
_QUEUE_SIZE: Final = struct.Struct(">H")

BYTES_MAX: Final = 1 << 30
"""Bytes of a buffer that a stream may bring: a thousand queues of 32768 entries. The seed knows no limit."""


class HeldInflight:
    """A front-end's shared buffer: ``memory`` is mapped, or None; ``described`` is what SET_INFLIGHT_FD says of it."""

    def __init__(self) -> None:
        """Hold none."""
        self.memory: SharedMemory | None = None
        self.described: Inflight | None = None

    def get(self, connection: Connection, queues: int, queue_size: int) -> None:
        """Ask the back-end for a fresh buffer, check it and map it (the seed's vhost_user_get_inflight_fd).

        What was held before is freed when the new one is mapped. A reply that offers 0 bytes changes nothing, as in the
        seed: the device starts without tracking, if none was held. Raises BackEndError for a reply to something else or
        of another form, one that brings no file descriptor, and a file that is too short or cannot be mapped; nothing
        has changed then.
        """
        asked = Inflight(0, 0, queues, queue_size)
        connection.send(Message(Request.GET_INFLIGHT_FD, asked))
        with connection.receive() as received:
            message, answer = received.message, received.message.payload
            if message.request != Request.GET_INFLIGHT_FD or not isinstance(answer, Inflight):
                raise BackEndError(f"{message} answered GET_INFLIGHT_FD")
            if not answer.mmap_size:
                return
            if not received.fds:
                raise BackEndError("the reply to GET_INFLIGHT_FD brought no file descriptor")
            mapped = SharedMemory.map(received.fds[0], answer.mmap_size, answer.mmap_offset, blame=BackEndError)
        self._hold(mapped, Inflight(answer.mmap_size, answer.mmap_offset, queues, queue_size))

    def message(self) -> tuple[Message, int] | None:
        """Return SET_INFLIGHT_FD and its file descriptor; None: there is nothing to hand back (as in the seed)."""
        if self.memory is None or self.described is None:
            return None
        return Message(Request.SET_INFLIGHT_FD, self.described), self.memory.fd

    def save(self, stream: BinaryIO) -> None:
        """Write it to a migration's stream: size be64, queue size be16, the bytes; without a buffer, a size of 0."""
        if self.memory is None or self.described is None:
            stream.write(_SIZE.pack(0))
            return
        stream.write(_SIZE.pack(self.memory.size))
        stream.write(_QUEUE_SIZE.pack(self.described.queue_size))
        stream.write(self.memory.view())

    def load(self, stream: BinaryIO, queues: int) -> None:
        """Read it from a migration's stream; another size than the one at hand makes a new buffer of that size.

        A size of 0 changes nothing, as in the seed: a buffer that is held stays. The stream has no number of queues, so
        ``queues`` is the device's. Raises FrontEndError, about the one that saved it, for a stream that ends too early
        and a size that no device needs; nothing has changed then (the seed allocates what it is told, reads what there
        is, and does not look whether that was all).
        """
        (size,) = _SIZE.unpack(read(stream, _SIZE.size))
        if not size:
            return
        if size > BYTES_MAX:
            raise FrontEndError(f"a stream brings a shared buffer of {size} bytes, more than {BYTES_MAX}")
        (queue_size,) = _QUEUE_SIZE.unpack(read(stream, _QUEUE_SIZE.size))
        data = read(stream, size)
        if self.memory is None or self.memory.size != size:
            self.resize(size)
        assert self.memory is not None
        assert self.described is not None
        self.memory.view()[:] = data
        self.described = Inflight(size, self.described.mmap_offset, queues, queue_size)

    def resize(self, size: int) -> None:
        """Hold a new buffer of ``size`` zero bytes, sealed against growing, shrinking and more seals.

        Raises InflightError when it cannot be had; what was held stays then.
        """
        if not 0 < size <= BYTES_MAX:
            raise UsageError(f"a shared buffer of {size} bytes")
        queues, queue_size = (self.described.num_queues, self.described.queue_size) if self.described else (0, 0)
        self._hold(SharedMemory.create(size, "vhost-inflight"), Inflight(size, 0, queues, queue_size))

    def hold_copy(self, data: bytes, queues: int, queue_size: int) -> None:
        """Hold a new buffer, sealed likewise, that begins at offset 0 of its file. Raises InflightError likewise."""
        memory = SharedMemory.create(len(data), "vhost-inflight")
        memory.view()[:] = data
        self._hold(memory, Inflight(len(data), 0, queues, queue_size))

    def free(self) -> None:
        """Give the buffer up. A second call does nothing.

        A reset of the device, by its driver or with the whole machine, wants this: the requests that the buffer tells
        of are forgotten, and the next start asks for a fresh one (the seed's paragraph on a reset of the VM).
        """
        if self.memory is not None:
            self.memory.close()
        self.memory = self.described = None

    def __enter__(self) -> Self:
        """Return this, to be freed at the end of the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Free."""
        self.free()

    def _hold(self, memory: SharedMemory, described: Inflight) -> None:
        self.free()
        self.memory, self.described = memory, described


def read(stream: BinaryIO, size: int) -> bytes:
    """Read so many bytes. Raises FrontEndError when the stream ends before, InflightError when it cannot be read."""
    try:
        data = stream.read(size)
    except OSError as error:
        raise InflightError(f"the stream cannot be read: {error}") from error
    if len(data) != size:
        raise FrontEndError(f"the stream ends after {len(data)} of {size} bytes of a shared buffer")
    return data
