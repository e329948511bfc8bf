"""Hooks: what is called after each step, and the one that kills its own process.

The back-end, the device and the driver of the reference report every step to a hook, right after it was made: the
step's id (as in docs/architecture.md), and the step's choice where it has one (the head that was picked), else None.
A crash is what a hook does that does not return: a SIGKILL, or an exception, which nothing in the reference catches.
"""

import os
import re
import signal
from collections.abc import Callable
from typing import Final

from refimpl.errors import UsageError

Hook = Callable[[str, int | None], None]
"""Called after each step with its id and its choice (a head) or None."""

BACKEND_STORES: Final = frozenset(
    {
        "split.init.1",
        "split.init.2",
        "split.init.3",
        "split.reconnect.1b",
        "split.reconnect.1c",
        "split.fetch.counter",
        "split.fetch.2",
        "split.idle.arm",
        "split.supply.id",
        "split.supply.len",
        "split.supply.2",
        "split.supply.3",
        "split.supply.5",
        "split.supply.6",
        "split.supply.7",
    },
)
"""The steps of the back-end that do one store to shared memory each."""

BACKEND_STEPS: Final = BACKEND_STORES | {
    "split.start.fresh",
    "split.start.adopt",
    "split.reconnect.1",
    "split.reconnect.1.else",
    "split.reconnect.1a",
    "split.position",
    "split.counter",
    "split.reconnect.2",
    "split.reconnect.signal",
    "split.reconnect.ready",
    "split.fetch.look",
    "split.fetch.1",
    "split.fetch.bump",
    "split.fetch.submit",
    "split.idle.look",
    "split.idle.wake",
    "split.supply.1",
    "split.notify.look",
    "split.notify.call",
    "split.notify.none",
    "connection.kick",
    "queue.other",
    "split.start.skip",
    "split.idle.unarmed",
    "split.fetch.untracked",
    "split.supply.untracked",
    "split.supply.6.untracked",
    "split.supply.elements",
}
"""All steps of the back-end; those from ``connection.kick`` on are taken in alternatives of a gap only."""

DEVICE_STEPS: Final = frozenset({"device.finish"})
"""The steps of the device, which touches no shared memory that is tracked here."""

DRIVER_STORES: Final = frozenset(
    {"driver.make.1", "driver.make.2", "driver.make.3", "driver.sleep.1", "driver.reset"},
)
"""The steps of the driver that store to shared memory: ``.make.1`` and ``.reset`` do several stores, the others one."""

DRIVER_STEPS: Final = DRIVER_STORES | {
    "driver.kick.look",
    "driver.kick.1",
    "driver.kick.none",
    "driver.use",
    "driver.sleep.again",
    "driver.sleep.2",
    "driver.wake",
}
"""All steps of the driver."""

STORING_STEP_IDS: Final = BACKEND_STORES | DRIVER_STORES
"""The ids of the steps that store to shared memory."""

STEP_IDS: Final = BACKEND_STEPS | DEVICE_STEPS | DRIVER_STEPS
"""The id of every step of the split ring that the reference can report."""


def silent(_step: str, _choice: int | None) -> None:
    """Do nothing: the hook of those who have none."""


def chain(*hooks: Hook) -> Hook:
    """Return a hook that calls each of ``hooks``, in their order."""

    def call_each(step: str, choice: int | None) -> None:
        for hook in hooks:
            hook(step, choice)

    return call_each


def crash_at(where: str) -> Hook:
    """Return a hook that kills its own process by SIGKILL right after the Nth report of a step.

    ``where`` is ``STEP`` or ``STEP:N``, N counting from 1 (the default). Raises UsageError for an unknown step, naming
    those there are, and for an N that is no positive number.
    """
    step_id, colon, number = where.partition(":")
    if step_id not in STEP_IDS:
        raise UsageError(f"there is no step {step_id!r}; the steps are {', '.join(sorted(STEP_IDS))}")
    if colon and not re.fullmatch("0*[1-9][0-9]*", number):
        raise UsageError(f"{number!r} in {where!r} is no positive number")
    left = int(number) if colon else 1

    def count_down(step: str, _choice: int | None) -> None:
        nonlocal left
        if step != step_id:
            return
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    return count_down
