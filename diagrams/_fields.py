"""C fields and the model's variables: of a packed descriptor's flags each bit is a variable, and all are one field."""

from __future__ import annotations

__all__ = ["BITS", "field"]

BITS = ("next", "avail", "used")
"""The bits of a packed descriptor's flags that are variables of the model."""


def field(name: str) -> str:
    """Give the C field that a variable is, or is a bit of."""
    whole, _, bit = name.rpartition(".")
    return whole if bit in BITS and whole.endswith(".flags") else name
