"""A state as raw bytes: the shared buffer in a file, the ring in another one, made into the document of a state."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, NamedTuple

from refimpl.choices import PROVED, RINGS
from refimpl.errors import UsageError
from refimpl.layout import HEADER_PADDING, RING_SIZE_MAX, VERSION, region_size, region_type
from refimpl.names import no_such
from refimpl.packed.ring import packed_parts, packed_ring_bytes
from refimpl.split.ring import parts, ring_bytes
from vhost_inflight.recover.given import FORMAT

__all__ = ["EARLY", "RING_FORM", "Raw", "state", "strides"]

RING_FORM: Final = (
    "the parts of the ring, one after the other. split: descriptors (16 bytes an entry), available ring (flags, idx, "
    "ring, used_event: 6 + 2 bytes an entry), zeros up to a multiple of 4, used ring (flags, idx, ring, avail_event: "
    "6 + 8 bytes an entry). packed: descriptors (16 bytes a slot), the driver's event area (4), the device's (4); both "
    "may be missing"
)
EARLY: Final = "a header of 29 bytes"
"""What makes one of the strides: C's padding between the header of a packed region and its entries is missing."""

_BYTES_MAX: Final = 64 << 20


class Raw(NamedTuple):
    """The files, and how to read them.

    ``region`` is a file with the shared buffer, in which the first queue's region begins at ``offset``; the region of
    queue ``queue`` begins so many times ``stride`` after that, which is found where it is None. ``entries`` are those
    of each region, None: as many as the ring has. ``base`` is what SET_VRING_BASE carried, None where nobody says it;
    ``stopped`` is by which pair of generations the ring was stopped, None where its back-end died.
    """

    region: Path
    ring: Path
    kind: str
    size: int
    entries: int | None = None
    offset: int = 0
    queue: int = 0
    stride: int | None = None
    base: int | None = None
    stopped: str | None = None


def state(raw: Raw, revision: str = "") -> dict[str, Any]:
    """Return the document of a state that has the bytes of two files.

    Raises UsageError for a kind or a size that does not exist, for a ring's file that does not have the bytes of such a
    ring, and where no stride, or more than one, leads to a region; OSError when a file cannot be read.
    """
    if raw.kind not in RINGS:
        raise UsageError(no_such("ring", raw.kind, RINGS))
    entries, revision = raw.size if raw.entries is None else raw.entries, revision or PROVED[raw.kind]
    if not (1 <= raw.size <= RING_SIZE_MAX and 1 <= entries <= RING_SIZE_MAX):
        raise UsageError(f"a queue has 1 to {RING_SIZE_MAX} entries, and so has its region")
    buffer = _content(raw.region)
    begin = raw.offset
    if raw.queue:
        stride = raw.stride or _found(buffer[begin:], raw, revision, entries)
        begin += raw.queue * stride
    if begin >= len(buffer):
        raise UsageError(f"{raw.region}: it has {len(buffer)} bytes, and the region of queue {raw.queue} is at {begin}")
    region = buffer[begin:]
    if raw.kind == "packed" and len(region) == _plain(raw, revision, entries) - HEADER_PADDING:
        region += bytes(HEADER_PADDING)  # the last one of those whose header has 29 bytes, which recovery tells of
    said = {"base": raw.base, "stopped": raw.stopped}
    return {name: value for name, value in said.items() if value is not None} | {
        "format": FORMAT,
        "ring": raw.kind,
        "queue_size": raw.size,
        "region_size": entries,
        "region": region.hex(),
        "ring_memory": {name: part.hex() for name, part in _ring(_content(raw.ring), raw).items()},
    }


def _content(file: Path) -> bytes:
    """Return the bytes of a file; it may be a device that has no end."""
    with file.open("rb") as opened:
        content = opened.read(_BYTES_MAX + 1)
    if len(content) > _BYTES_MAX:
        raise UsageError(f"{file}: more than {_BYTES_MAX >> 20} MiB, more than any region or ring has")
    return content


def _ring(content: bytes, raw: Raw) -> dict[str, bytes]:
    """Cut the bytes of a ring into its parts."""
    size = raw.size
    there = len(content)
    if raw.kind == "split":
        avail, used = parts(size)
        if there != ring_bytes(size):
            raise _no_ring(raw, there, f"{ring_bytes(size)}: available ring at {avail}, used ring at {used}")
        return {
            "descriptors": content[:avail],
            "available": content[avail : avail + 6 + 2 * size],
            "used": content[used:],
        }
    driver, device = packed_parts(size)
    if there == driver:
        return {"descriptors": content}
    if there != packed_ring_bytes(size):
        raise _no_ring(raw, there, f"{packed_ring_bytes(size)}, or {driver} without its event areas")
    return {"descriptors": content[:driver], "driver_event": content[driver:device], "device_event": content[device:]}


def _no_ring(raw: Raw, there: int, needed: str) -> UsageError:
    return UsageError(f"{raw.ring}: it has {there} bytes; a {raw.kind} ring of {raw.size} has {needed} (see --help)")


def _found(buffer: bytes, raw: Raw, revision: str, entries: int) -> int:
    """Return the one stride at which every region up to the queue's looks like one."""
    known = strides(raw.kind, revision, entries)
    fit = [stride for stride in known if _fits(buffer, raw, region_type(raw.kind, revision, entries), stride)]
    if len(fit) == 1:
        return fit[0]
    told = ", ".join(f"{stride} ({what})" for stride, what in known.items())
    what = "none leads to an initialised region of so many entries" if not fit else "more than one leads to regions"
    raise UsageError(
        f"{raw.region}: the strides tried are {told}, and {what} for queue {raw.queue}: say --stride BYTES"
    )


def strides(ring: str, revision: str, entries: int) -> dict[int, str]:
    """Return how many bytes apart back-ends are known to put the regions of a buffer, each with what makes it so."""
    plain = region_size(ring, revision, entries, "none")
    known = {region_size(ring, revision, entries): "rounded up to 64 bytes", plain: "not rounded"}
    if ring == "packed":
        known[plain - HEADER_PADDING] = EARLY
    return known


def _plain(raw: Raw, revision: str, entries: int) -> int:
    """Return the bytes of one region that is not rounded up."""
    return region_size(raw.kind, revision, entries, "none")


def _fits(buffer: bytes, raw: Raw, structure: Any, stride: int) -> bool:
    """Return whether an initialised region of the right size begins at each multiple of a stride."""
    header = structure.desc_num.offset + structure.desc_num.size
    for queue in range(raw.queue + 1):
        begin = queue * stride
        fields = buffer[begin : begin + header].ljust(header, b"\xff")
        seen: Any = structure.from_buffer_copy(fields.ljust(stride + HEADER_PADDING + 64, b"\0"))
        if (seen.version, seen.desc_num) != (VERSION, len(seen.desc)):
            return False
    return True
