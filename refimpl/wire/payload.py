"""The payloads of vhost-user's messages as values and as bytes, in native byte order; no I/O.

Each class says how many bytes it has, packs itself and unpacks itself. Which message carries which is codec.py's.
"""

import dataclasses
import struct
from dataclasses import dataclass
from typing import ClassVar, Final, Self

MAX_REGIONS: Final = 8
"""Most regions of guest memory in one table, and so most file descriptors with one message."""

MAX_CONFIG: Final = 256
"""Most bytes of a device's configuration space."""

VRING_LOG: Final = 1
"""VHOST_VRING_F_LOG, a flag of a ring's addresses: what the device writes to the ring is to be logged."""


class Malformed(ValueError):  # noqa: N818  # a value's fault, turned into an error that names a culprit
    """Raised by ``Payload.unpack`` for bytes that are no such payload; the parser adds who sent them."""


@dataclass(frozen=True, slots=True)
class Payload:
    """What follows a header. Without fields, it is the payload of no bytes."""

    FORMAT: ClassVar[struct.Struct] = struct.Struct("=")

    @classmethod
    def sizes(cls) -> tuple[int, int]:
        """Return the least and the greatest number of bytes that such a payload can have."""
        return cls.FORMAT.size, cls.FORMAT.size

    def pack(self) -> bytes:
        """Return the payload's bytes. Raises struct.error for a number that does not fit its field."""
        return self.FORMAT.pack(*dataclasses.astuple(self))

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        """Return the payload that ``data`` (of an allowed size) is. Raises Malformed when it is none."""
        return cls(*cls.FORMAT.unpack(data))


@dataclass(frozen=True, slots=True)
class Number(Payload):
    """One u64: feature bits, a count, a status; in an ``ack``, 0 for success."""

    FORMAT: ClassVar[struct.Struct] = struct.Struct("=Q")
    value: int


@dataclass(frozen=True, slots=True)
class VringState(Payload):
    """A ring's index and a number (u32 each): its size, its base, or whether it is enabled."""

    FORMAT: ClassVar[struct.Struct] = struct.Struct("=II")
    index: int
    num: int


@dataclass(frozen=True, slots=True)
class VringAddress(Payload):
    """Where a ring's parts are, as user addresses of the front-end (u64); used comes before avail on the wire.

    ``log`` is the guest address of the part called used, for the log of dirty pages, where ``flags`` has VRING_LOG.
    """

    FORMAT: ClassVar[struct.Struct] = struct.Struct("=IIQQQQ")
    index: int
    flags: int
    desc: int
    used: int
    avail: int
    log: int


@dataclass(frozen=True, slots=True)
class VringFd(Payload):
    """A u64: the ring's index in bits 0-7, and in bit 8 whether no file descriptor comes with it."""

    FORMAT: ClassVar[struct.Struct] = struct.Struct("=Q")
    index: int
    has_fd: bool = True

    def pack(self) -> bytes:
        """Return the u64. Raises struct.error for an index over 255."""
        if not 0 <= self.index <= 0xFF:
            raise struct.error(f"a ring's index has 8 bits, {self.index} does not fit")
        return self.FORMAT.pack(self.index | (0 if self.has_fd else 0x100))

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        """Return index and flag. Raises Malformed when a bit above bit 8 is set."""
        (value,) = cls.FORMAT.unpack(data)
        if value >> 9:
            raise Malformed(f"bits above bit 8 are set in {value:#x}")
        return cls(value & 0xFF, not value & 0x100)


@dataclass(frozen=True, slots=True)
class MemoryRegion(Payload):
    """A part of the guest's memory: four u64. ``mmap_offset`` is where it starts in its file, in bytes."""

    FORMAT: ClassVar[struct.Struct] = struct.Struct("=QQQQ")
    guest_address: int
    size: int
    user_address: int
    mmap_offset: int


@dataclass(frozen=True, slots=True)
class MemoryTable(Payload):
    """All regions of the guest's memory: their number u32, padding u32, and the regions."""

    FORMAT: ClassVar[struct.Struct] = struct.Struct("=I4x")
    regions: tuple[MemoryRegion, ...]

    @classmethod
    def sizes(cls) -> tuple[int, int]:
        """Return the sizes of a table of no region and of the most."""
        return cls.FORMAT.size, cls.FORMAT.size + MAX_REGIONS * MemoryRegion.FORMAT.size

    def pack(self) -> bytes:
        """Return the number and the regions."""
        return self.FORMAT.pack(len(self.regions)) + b"".join(region.pack() for region in self.regions)

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        """Return the regions. Raises Malformed when their number is not that of the bytes that are there."""
        (count,) = cls.FORMAT.unpack_from(data)
        if len(data) != cls.FORMAT.size + count * MemoryRegion.FORMAT.size:
            raise Malformed(f"{count} regions do not take {len(data)} bytes")
        entries = MemoryRegion.FORMAT.iter_unpack(data[cls.FORMAT.size :])
        return cls(tuple(MemoryRegion(*entry) for entry in entries))


@dataclass(frozen=True, slots=True)
class SingleRegion(Payload):
    """One region of the guest's memory, after a padding u64."""

    FORMAT: ClassVar[struct.Struct] = struct.Struct("=8xQQQQ")
    region: MemoryRegion

    def pack(self) -> bytes:
        """Return the padding and the region."""
        return self.FORMAT.pack(*dataclasses.astuple(self.region))

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        """Return the region."""
        return cls(MemoryRegion(*cls.FORMAT.unpack(data)))


@dataclass(frozen=True, slots=True)
class LogArea(Payload):
    """Where the log of dirty pages is in its file: size and offset, u64, in bytes."""

    FORMAT: ClassVar[struct.Struct] = struct.Struct("=QQ")
    size: int
    offset: int


@dataclass(frozen=True, slots=True)
class ConfigSpace(Payload):
    """A part of the configuration space: offset, size and flags (u32 each), and ``size`` bytes."""

    FORMAT: ClassVar[struct.Struct] = struct.Struct("=III")
    offset: int
    flags: int
    data: bytes

    @classmethod
    def sizes(cls) -> tuple[int, int]:
        """Return the sizes with no byte of the space and with all of it."""
        return cls.FORMAT.size, cls.FORMAT.size + MAX_CONFIG

    def pack(self) -> bytes:
        """Return the three numbers and the bytes."""
        return self.FORMAT.pack(self.offset, len(self.data), self.flags) + self.data

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        """Return the part. Raises Malformed when the size inside is not that of the bytes that are there."""
        offset, size, flags = cls.FORMAT.unpack_from(data)
        if cls.FORMAT.size + size != len(data):
            raise Malformed(f"{size} bytes of configuration do not make a payload of {len(data)}")
        return cls(offset, flags, data[cls.FORMAT.size :])


@dataclass(frozen=True, slots=True)
class Inflight(Payload):
    """The shared buffer: size and offset in its file (u64), number and size of the queues (u16).

    24 bytes: the four bytes of tail padding that C adds to the seed's 20 are on the wire.
    """

    FORMAT: ClassVar[struct.Struct] = struct.Struct("=QQHH4x")
    mmap_size: int
    mmap_offset: int
    num_queues: int
    queue_size: int


NOTHING: Final = Payload()
"""The payload of no bytes."""
