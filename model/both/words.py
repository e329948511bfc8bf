"""Words of the state that mean the same on both rings: sizes, labels, what the device does with a request."""

from __future__ import annotations

from model.terms import parameter

__all__ = ["DEAD", "ENTRIES", "FINISHED", "FIRST", "HEADS", "IN_BATCH", "RUNNING", "SIZE", "WORKING"]

SIZE = parameter("size")
"""Descriptors of the ring."""

ENTRIES = parameter("entries")
"""Entries of the region."""

HEADS = parameter("heads")
"""The length of arrays by head: as many as the ring has descriptors, or the region entries, whichever is more."""

FIRST = parameter("first")
"""The ring's index, or position, when the region is made: 0 for a new ring, anything for one that was in use."""

DEAD, RUNNING = "dead", "running"
"""Labels of `recover`: there is no back-end process; recovery has ended."""

WORKING, FINISHED, IN_BATCH = 1, 2, 3
"""States of the device for a request: works on it, finished, in the batch that is being supplied; 0: nothing."""
