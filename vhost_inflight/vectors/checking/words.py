"""What an adapter says in words of its own: its end alone is kept, and no terminal obeys what is shown of it."""

from __future__ import annotations

from typing import Final

from vhost_inflight.telling import printable

__all__ = ["KEPT", "Tail"]

KEPT: Final = 4096
"""How many bytes are kept of what an adapter writes to standard error: the last ones."""


class Tail:
    """The last bytes of what was written, however much that was."""

    def __init__(self) -> None:
        """Begin with none."""
        self._kept = bytearray()

    def add(self, piece: bytes) -> None:
        """Take what was written next."""
        self._kept += piece[-KEPT:]
        del self._kept[:-KEPT]

    def lines(self) -> list[str]:
        """Give them as lines that can be shown, without empty ones at the beginning and the end."""
        return [printable(line) for line in self._kept.decode(errors="replace").strip().splitlines()]
