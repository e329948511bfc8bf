"""Shared memory: sealed memfds, the one place where it is stored to, and the one full fence.

A store is one aligned native store of the field's width: assigning a field of a ctypes structure (or an element of a
ctypes array) that lies over the mapping makes CPython copy exactly that many bytes by a memcpy of constant size, which
compilers turn into one move. ``struct.pack_into`` and slices of a memoryview promise nothing of the kind.

Memory order is claimed for x86-64: stores become visible in program order, loads are made in program order, and only a
load may overtake an earlier store to another place. Where virtio must not have that (publish, then read whether to
notify; store the event index, then look again) stands ``full_fence``.
"""

import contextlib
import ctypes
import fcntl
import mmap
import os
import threading
import weakref
from collections.abc import Iterator
from ctypes import addressof
from functools import lru_cache
from types import TracebackType
from typing import Any, Final, Self

from refimpl.errors import FrontEndError, InflightError, UsageError
from refimpl.hooks import Hook, silent

_SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
_SIZE_MAX: Final = 1 << 62  # far more than can be mapped, and sums of two do not leave 63 bits
_MAP_FAILED: Final = ctypes.c_void_p(-1).value

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
_libc.munmap.restype = ctypes.c_int
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]

_fence_lock = threading.Lock()


def full_fence() -> None:
    """Let every store before the call be visible to others before any load after it is made.

    To take a free lock, CPython does an atomic compare-and-exchange (in ``sem_trywait`` or in a mutex of its own). On
    x86-64 that is an instruction with a ``lock`` prefix, which is a full barrier for ordinary memory as ``mfence`` is;
    and no compiler moves the accesses of other bytecodes across the call. The lock is free unless two threads of this
    process are here at once, and then the one that waits has taken it in the end too. On other machines taking a lock
    is weaker: nothing is claimed there.
    """
    with _fence_lock:
        pass


def store(
    target: Any,
    field: str | int,
    value: int,
    step: str = "",
    hook: Hook = silent,
    *,
    choice: int | None = None,
) -> None:
    """Store ``value`` in one field of shared memory by one aligned native store, then report the step to ``hook``.

    ``target`` is a ctypes structure with ``field`` its field's name, or a ctypes array with ``field`` an index. Every
    store of the reference to the memory it shares, other than the device's data, is made here.

    Raises UsageError for a value that the field cannot hold, a misaligned field and an index outside the array; nothing
    is stored then.
    """
    offset, width = field_at(target.__class__, field)
    if value >> (8 * width):  # what is negative stays so
        raise UsageError(f"{value} does not fit into the {width} bytes of {field}")
    if (addressof(target) + offset) % width:
        raise UsageError(f"{field} is not aligned to its {width} bytes")
    if isinstance(field, str):
        setattr(target, field, value)
    else:
        target[field] = value
    hook(step, choice)


def store_alone(target: Any, field: str, value: int) -> None:
    """Store ``value`` in one field of memory that nobody shares, as ``store`` does: nobody can see half of it.

    Raises UsageError for a value that the field cannot hold.
    """
    setattr(target, field, value)
    if getattr(target, field) != value:
        raise UsageError(f"{value} does not fit into {field}")


def place(target: Any, field: str | int) -> tuple[int, int]:
    """Return where a field or an array's element of ``target`` is in this process, and its width in bytes."""
    offset, width = field_at(target.__class__, field)
    return addressof(target) + offset, width


@lru_cache(maxsize=1024)
def field_at(kind: Any, field: str | int) -> tuple[int, int]:
    """Return where a field is in a kind of structure, or an element in a kind of array, and its width, in bytes."""
    if isinstance(field, str):
        descriptor: Any = getattr(kind, field)
        return descriptor.offset, descriptor.size
    if not 0 <= field < kind._length_:
        raise UsageError(f"there is no element {field} among {kind._length_}")
    width = ctypes.sizeof(kind._type_)
    return field * width, width


class SharedMemory:
    """A mapped part of a file, usually of a memfd, shared with other processes.

    ``fd`` is this object's own descriptor and is closed by ``close``, at once. The mapping itself goes when the last
    view of it (``view``, a ctypes structure made from one) has gone, so that no view ever points to nothing.
    """

    def __init__(self, fd: int, size: int, offset: int) -> None:
        """Map ``size`` bytes from ``offset`` of ``fd``, and own ``fd``. Use ``create`` or ``map``."""
        self.fd = fd
        self.size = size
        self.offset = offset
        below = offset % mmap.PAGESIZE
        self._bytes: memoryview | None = _mapped(fd, below + size, offset - below)[below:]

    @classmethod
    def create(cls, size: int, name: str) -> Self:
        """Return ``size`` zero bytes in a new memfd, sealed against shrinking, growing and other seals.

        Raises UsageError for a size that is not positive, InflightError when the system has no such memory.
        """
        if not 0 < size <= _SIZE_MAX:
            raise UsageError(f"{size} bytes of shared memory cannot be had")
        try:
            fd = os.memfd_create(name, os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
        except OSError as error:
            raise InflightError(f"no memfd: {error}") from error
        with _closed_on_error(fd):
            try:
                os.ftruncate(fd, size)
                fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
                return cls(fd, size, 0)
            except OSError as error:
                raise InflightError(f"no shared memory of {size} bytes: {error}") from error

    @classmethod
    def map(
        cls,
        fd: int,
        size: int,
        offset: int = 0,
        *,
        blame: type[InflightError] = FrontEndError,
        sealed: bool = False,
    ) -> Self:
        """Map ``size`` bytes from ``offset`` of a received ``fd``; the offset need not be a multiple of a page.

        ``fd`` stays the caller's: it is duplicated. Raises ``blame`` when the part is empty or not wholly inside the
        file, when it cannot be mapped, and, with ``sealed``, when the file could still be shrunk (after which an access
        would kill this process).
        """
        if not (0 < size <= _SIZE_MAX and 0 <= offset <= _SIZE_MAX):
            raise blame(f"{size} bytes from {offset} of a file cannot be mapped")
        try:
            length = os.fstat(fd).st_size
        except OSError as error:
            raise blame(f"the file descriptor is of no use: {error}") from error
        if length < offset + size:
            raise blame(f"the file has {length} bytes, too short for {size} from {offset}")
        if sealed and not _is_sealed(fd):
            raise blame("the file is not sealed against shrinking")
        try:
            own = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 0)
            with _closed_on_error(own):
                return cls(own, size, offset)
        except OSError as error:
            raise blame(f"{size} bytes from {offset} of the file cannot be mapped: {error}") from error

    def view(self, offset: int = 0, size: int | None = None) -> memoryview:
        """Return ``size`` bytes (default: the rest) from ``offset`` of the mapped part, to be read and written.

        Raises UsageError when they are not wholly inside, or when this memory has been closed.
        """
        if self._bytes is None:
            raise UsageError("the shared memory is closed")
        size = self.size - offset if size is None else size
        if min(offset, size) < 0 or offset + size > self.size:
            raise UsageError(f"{size} bytes from {offset} are not inside {self.size} bytes")
        return self._bytes[offset : offset + size]

    def close(self) -> None:
        """Close the descriptor and give up the mapping. A second call does nothing."""
        if self._bytes is not None:
            self._bytes = None
            os.close(self.fd)
            self.fd = -1

    def __enter__(self) -> Self:
        """Return this memory, to be closed at the end of the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()


@contextlib.contextmanager
def _closed_on_error(fd: int) -> Iterator[None]:
    """Close ``fd`` when the block ends in an exception of any kind."""
    try:
        yield
    except BaseException:
        os.close(fd)
        raise


def _is_sealed(fd: int) -> bool:
    """Return whether the file can no longer be shrunk; a file that knows no seals can."""
    try:
        return bool(fcntl.fcntl(fd, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK)
    except OSError:
        return False


def _mapped(fd: int, length: int, offset: int) -> memoryview:
    """Return a shared mapping, unmapped when the last view of it goes. Raises OSError when there is none.

    Python's own mmap object keeps a duplicate of the descriptor for as long as any view lives; this one keeps none.
    """
    address = _libc.mmap(None, length, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED, fd, offset)
    if address == _MAP_FAILED:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))

    mapping = _mapping_type(length).from_address(address)
    weakref.finalize(mapping, _libc.munmap, address, length).atexit = False
    return memoryview(mapping).cast("B")


@lru_cache(maxsize=64)
def _mapping_type(length: int) -> Any:
    """Return a type for the bytes of a mapping; a class of its own, because only such instances can be watched."""
    return type("Mapping", (ctypes.c_ubyte * length,), {"__doc__": f"A mapping of {length} bytes."})
