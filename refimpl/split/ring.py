"""A split ring in shared memory: the descriptor table, the available and the used ring, and their event indexes."""

import ctypes
from typing import Any, Self

from refimpl.errors import FrontEndError, InflightError, UsageError
from refimpl.layout import RING_SIZE_MAX, VringDesc, VringEvent, avail_type, overlay, used_type


class SplitRing:
    """The three parts of a split ring, laid over memory.

    ``size`` is the number of entries. ``desc``, ``avail``, ``used`` are ctypes structures with virtio's field names;
    ``used_event`` (behind the available ring) and ``avail_event`` (behind the used ring) have one field, ``event``.
    """

    def __init__(
        self,
        size: int,
        desc: memoryview,
        avail: memoryview,
        used: memoryview,
        *,
        blame: type[InflightError] = FrontEndError,
    ) -> None:
        """Lay a ring of ``size`` entries over three views, which may be longer than needed.

        Raises ``blame`` for a size that is no power of two up to 32768, a view that is too short, and an address that
        is misaligned: descriptors to 16 bytes, the available ring to 2, the used ring to 4.
        """
        if size not in {1 << shift for shift in range(RING_SIZE_MAX.bit_length())}:
            raise blame(f"a split ring of {size} entries is not allowed; the size is a power of two to {RING_SIZE_MAX}")
        self.size = size
        try:
            self.desc: Any = overlay(VringDesc * size, desc, f"a descriptor table of {size}")
            self.avail: Any = overlay(avail_type(size), avail, f"an available ring of {size}")
            self.used: Any = overlay(used_type(size), used, f"a used ring of {size}")
            self.used_event: Any = overlay(VringEvent, avail[4 + 2 * size :], "used_event, behind the available ring,")
            self.avail_event: Any = overlay(VringEvent, used[4 + 8 * size :], "avail_event, behind the used ring,")
        except UsageError as error:
            raise blame(f"the ring cannot be where it is said to be: {error.rule}") from error
        if ctypes.addressof(self.desc) % 16:
            raise blame("the descriptor table is not aligned to 16 bytes")

    @classmethod
    def at(cls, view: memoryview, size: int) -> Self:
        """Lay a ring over one view: descriptors, available ring, used ring, each as early as its alignment allows.

        Raises UsageError when the view is shorter than ``ring_bytes(size)``, and for a size that is not allowed.
        """
        if len(view) < ring_bytes(size):
            raise UsageError(f"a ring of {size} needs {ring_bytes(size)} bytes, there are {len(view)}")
        avail, used = parts(size)
        return cls(size, view, view[avail:], view[used:], blame=UsageError)


def parts(size: int) -> tuple[int, int]:
    """Return where the available and the used ring begin, in bytes, when a ring of ``size`` lies in one piece."""
    avail = 16 * size
    used = avail + 4 + 2 * size + 2
    return avail, (used + 3) // 4 * 4


def ring_bytes(size: int) -> int:
    """Return how many bytes a ring of ``size`` entries takes when it lies in one piece."""
    return parts(size)[1] + 4 + 8 * size + 2
