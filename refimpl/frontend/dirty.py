"""A front-end's log of dirty pages: the bitmap that its back-end sets bits in, for a live migration."""

import ctypes

from refimpl.atomics import clear_bit
from refimpl.backend.dirty import PAGE
from refimpl.memory import SharedMemory
from refimpl.wire.payload import LogArea


class DirtyPages:
    """A bitmap for guest addresses below ``end``; it outlives a connection, and so the back-end's process."""

    def __init__(self, end: int) -> None:
        """Make one with no bit set."""
        self.memory = SharedMemory.create(-(-end // PAGE // 8), "vhost-log")
        self._bits = self.memory.view()
        self._address = ctypes.addressof(ctypes.c_char.from_buffer(self._bits))

    @property
    def area(self) -> LogArea:
        """What SET_LOG_BASE says of it."""
        return LogArea(self.memory.size, 0)

    def take(self) -> set[int]:
        """Return the pages that were logged since the last time, by their guest address; their bits are cleared.

        The bits that were seen are cleared one by one and no others, so that one which is set meanwhile stays. A page
        has to be copied after that, not before.
        """
        seen = {8 * n + bit for n, byte in enumerate(bytes(self._bits)) for bit in range(8) if byte >> bit & 1}
        for page in seen:
            clear_bit(self._address, page)
        return {page * PAGE for page in seen}

    def close(self) -> None:
        """Give it up."""
        self._bits.release()
        self.memory.close()
