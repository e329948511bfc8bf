"""Adapters for check-vectors, each a file that is complete: to read, to copy, to begin with.

``reference.py`` is over our reference; the others have nothing of ours: ``recover.c`` is a recovery for both rings,
with fetch and supply, in C, ``split.rs`` and ``split.go`` one for split rings, in Rust and in Go.
"""

from importlib.resources import files
from typing import Final

__all__ = ["SOURCES", "source"]

SOURCES: Final = ("recover.c", "split.rs", "split.go", "reference.py")
"""The adapters, by their files."""


def source(name: str) -> str:
    """Give the text of an adapter."""
    return files("vhost_inflight.vectors.adapters").joinpath(name).read_text(encoding="utf-8")
