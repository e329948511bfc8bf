"""The flags of a packed descriptor in words."""

from __future__ import annotations

from refimpl.layout import DESC_AVAIL, DESC_INDIRECT, DESC_NEXT, DESC_USED, DESC_WRITE

__all__ = ["lap_words", "words"]

_NAMES = {
    DESC_AVAIL: "AVAIL",
    DESC_USED: "USED",
    DESC_NEXT: "NEXT",
    DESC_WRITE: "WRITE",
    DESC_INDIRECT: "INDIRECT",
}


def words(flags: int) -> str:
    """Name the flags that are set; "no flags" if none is."""
    return " ".join(name for bit, name in _NAMES.items() if flags & bit) or "no flags"


def lap_words(flags: int) -> str:
    """Say what AVAIL and USED mean: available or used, and in a lap of which wrap counter."""
    avail, used = bool(flags & DESC_AVAIL), bool(flags & DESC_USED)
    return f"{'used' if avail == used else 'available'} in lap {int(avail)}"
