"""Marks: a test that is about a step shows that it was reached, rather than that nothing failed on the way.

``@pytest.mark.reaches("split.reconnect.1b")`` fails a test in which no queue, driver, device or connection of the
reference reported that step. A pattern (``split.init.*``) stands for every step that it fits.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from typing import Any
from unittest import mock

from refimpl.backend.device import Device
from refimpl.backend.disk_queue import BlkQueue
from refimpl.both.driver import Driver
from refimpl.hooks import STEP_IDS_OF, chain
from refimpl.packed.state import PackedState
from refimpl.split.state import SplitState

STEPS = frozenset().union(*STEP_IDS_OF.values())
"""The id of every step that the reference can report."""


def named(names: Iterable[str]) -> set[str]:
    """Return the steps that some names stand for. Raises LookupError for a name that fits none."""
    found: set[str] = set()
    for name in names:
        fitting = {step for step in STEPS if fnmatchcase(step, name)}
        if not fitting:
            raise LookupError(f"there is no step {name}")
        found |= fitting
    return found


@contextlib.contextmanager
def recorded() -> Iterator[set[str]]:
    """Give the steps that were reported so far, by whatever is made in the block."""
    steps: set[str] = set()
    with contextlib.ExitStack() as stack:
        for kind in (SplitState, PackedState, Driver, BlkQueue, Device):
            stack.enter_context(mock.patch.object(kind, "__init__", _noting(kind.__init__, steps)))
        yield steps


def _noting(begin: Any, steps: set[str]) -> Any:
    """Return an ``__init__`` that has each report noted, before its hook is called."""

    def note(step: str, _choice: int | None) -> None:
        steps.add(step)

    def noting(self: Any, *arguments: Any, **named_ones: Any) -> None:
        begin(self, *arguments, **named_ones)
        object.__setattr__(self, "hook", chain(note, self.hook))  # a device is frozen

    return noting
