"""What an adapter says in words of its own: its end alone is kept, and no terminal obeys what is shown of it."""

from __future__ import annotations

from typing import Final

__all__ = ["KEPT", "Tail", "printable"]

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


def printable(said: str) -> str:
    r"""Write what is no letter of a line (NUL, ESC, a line's end ...) as Python does, ``\x1b``; a tab may stay."""
    if said.isprintable():
        return said
    return "".join(
        one if one.isprintable() or one == "\t" else one.encode("unicode_escape").decode("ascii") for one in said
    )
