"""A packed ring in shared memory: the descriptor ring and the two event suppression areas; and positions in it."""

import ctypes
from typing import Any, Final, Self

from refimpl.errors import FrontEndError, InflightError, UsageError
from refimpl.layout import DESC_AVAIL, DESC_USED, RING_SIZE_MAX, PackedDesc, PackedEvent, live_column, overlay

EVENT_BYTES: Final = 4
"""Bytes of an event suppression area."""

MARKS: Final = DESC_AVAIL | DESC_USED
"""The flags that say whether a descriptor is available or used."""


class PackedRing:
    """The three parts of a packed ring, laid over memory.

    ``size`` is the number of slots. ``desc``, ``driver_event`` (written by the driver: when it wants to be notified)
    and ``device_event`` (written by the device: when it wants a kick) are ctypes structures. ``flags`` are those of
    each slot, to be read.
    """

    def __init__(
        self,
        size: int,
        desc: memoryview,
        driver_event: memoryview,
        device_event: memoryview,
        *,
        blame: type[InflightError] = FrontEndError,
    ) -> None:
        """Lay a ring of ``size`` slots over three views, which may be longer than needed.

        Raises ``blame`` for a size that is not 1 to 32768, a view that is too short, and an address that is misaligned:
        descriptors to 16 bytes, the event suppression areas to 4.
        """
        if not 1 <= size <= RING_SIZE_MAX:
            raise blame(f"a packed ring of {size} slots is not allowed; the size is 1 to {RING_SIZE_MAX}")
        self.size = size
        try:
            self.desc: Any = overlay(PackedDesc * size, desc, f"a descriptor ring of {size}")
            self.driver_event: Any = overlay(PackedEvent, driver_event, "the driver's event area")
            self.device_event: Any = overlay(PackedEvent, device_event, "the device's event area")
        except UsageError as error:
            raise blame(f"the ring cannot be where it is said to be: {error.rule}") from error
        self.flags = live_column(self.desc, "flags")
        if ctypes.addressof(self.desc) % 16:
            raise blame("the descriptor ring is not aligned to 16 bytes")
        if any(ctypes.addressof(area) % EVENT_BYTES for area in (self.driver_event, self.device_event)):
            raise blame("an event suppression area is not aligned to 4 bytes")

    @classmethod
    def at(cls, view: memoryview, size: int) -> Self:
        """Lay a ring over one view: descriptors, the driver's event area, the device's.

        Raises UsageError when the view is shorter than ``packed_ring_bytes(size)``, and for a size that is not allowed.
        """
        if len(view) < packed_ring_bytes(size):
            raise UsageError(f"a ring of {size} needs {packed_ring_bytes(size)} bytes, there are {len(view)}")
        driver, device = packed_parts(size)
        return cls(size, view, view[driver:], view[device:], blame=UsageError)

    def begin_at(self, slot: int, wrap: int) -> None:
        """Make it a ring in use, from which all has come back: the next slot is ``slot``, in a lap of ``wrap``."""
        for number, desc in enumerate(self.desc):
            desc.flags = used_flags(wrap if number < slot else 1 - wrap)

    def copy(self, slot: int) -> PackedDesc:
        """Return a copy of the descriptor in ``slot``: what the other side writes later does not change it."""
        return PackedDesc.from_buffer_copy(self.desc[slot])

    def advance(self, slot: int, wrap: int, number: int) -> tuple[int, int]:
        """Return the slot and wrap counter ``number`` descriptors after ``slot``, whose lap has wrap counter ``wrap``.

        The wrap counter flips each time that the end of the ring is passed.
        """
        laps, after = divmod(slot + number, self.size)
        return after, wrap ^ (laps & 1)


def packed_parts(size: int) -> tuple[int, int]:
    """Return where the driver's and the device's event area begin, in bytes, when a ring lies in one piece."""
    return 16 * size, 16 * size + EVENT_BYTES


def packed_ring_bytes(size: int) -> int:
    """Return how many bytes a ring of ``size`` slots takes when it lies in one piece."""
    return 16 * size + 2 * EVENT_BYTES


def base_at(slot: int, wrap: int) -> int:
    """Return what SET_VRING_BASE says of a ring on which nothing is inflight: both next slots are ``slot``."""
    half = slot | wrap << 15
    return half << 16 | half


def used_place(base: int, size: int) -> tuple[int, int]:
    """Return the next used slot and its wrap counter, as SET_VRING_BASE says them. Raises FrontEndError."""
    for name, slot in {"available": base & 0x7FFF, "used": base >> 16 & 0x7FFF}.items():
        if slot >= size:
            raise FrontEndError(f"SET_VRING_BASE says slot {slot} is the next {name} one, in a ring of {size}")
    return base >> 16 & 0x7FFF, base >> 31 & 1


def available_flags(wrap: int) -> int:
    """Return AVAIL and USED as the driver sets them in a lap: AVAIL is the wrap counter, USED its inverse."""
    return DESC_AVAIL if wrap else DESC_USED


def used_flags(wrap: int) -> int:
    """Return AVAIL and USED as the device sets them in a lap: both are the wrap counter."""
    return MARKS if wrap else 0


def is_available(flags: int, wrap: int) -> bool:
    """Return whether flags say available in the lap of ``wrap``."""
    return flags & MARKS == available_flags(wrap)


def is_used(flags: int, wrap: int) -> bool:
    """Return whether flags say used in the lap of ``wrap``."""
    return flags & MARKS == (MARKS if wrap else 0)
