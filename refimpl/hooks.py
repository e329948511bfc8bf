"""Hooks: what is called after each step, and the one that kills its own process.

The back-end, the device and the driver of the reference report every step to a hook, right after it was made: the
step's id (as in docs/architecture.md), and the step's choice where it has one (the head that was picked), else None.
A crash is what a hook does that does not return: a SIGKILL, or an exception, which nothing in the reference catches.
"""

import os
import re
import signal
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from refimpl.errors import UsageError
from refimpl.names import no_such

Hook = Callable[[str, int | None], None]
"""Called after each step with its id and its choice (a head, an entry, a buffer id) or None."""

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

CONNECTION_STORES: Final = frozenset({"connection.reset"})
"""RESET_DEVICE to a back-end that lives: its rings stop, and with the driver the ring begins anew, on either ring."""

DEVICE_STEPS: Final = frozenset({"device.finish"})
"""The steps of the device, which touches no shared memory that is tracked here."""

DRIVER_STORES: Final = frozenset(
    {"driver.make.1", "driver.make.2", "driver.make.3", "driver.sleep.1", "driver.reset"},
)
"""The steps of the driver that store to shared memory: ``.make.1`` and ``.reset`` do several stores, the others one."""

_DRIVER_COMMON: Final = frozenset(
    {
        "driver.kick.look",
        "driver.kick.1",
        "driver.kick.none",
        "driver.use",
        "driver.sleep.again",
        "driver.sleep.2",
        "driver.wake",
    }
)

DRIVER_STEPS: Final = DRIVER_STORES | _DRIVER_COMMON
"""All steps of the driver."""

STORING_STEP_IDS: Final = BACKEND_STORES | DRIVER_STORES | CONNECTION_STORES
"""The ids of the steps that store to shared memory."""

STEP_IDS: Final = BACKEND_STEPS | CONNECTION_STORES | DEVICE_STEPS | DRIVER_STEPS
"""The id of every step of the split ring that the reference can report."""

PACKED_BACKEND_STORES: Final = frozenset(
    {
        *(f"packed.init.{n}" for n in range(1, 8)),
        *(f"packed.reconnect.{n}" for n in ("1c1", "1c2", "1c3", "2a", "2b", "2c", "unmark", "3")),
        *(f"packed.fetch.{n}" for n in ("2a", "counter", "2b", "3", "4", "5a", "5b", "5c", "5d", "6", "7")),
        "packed.idle.arm",
        "packed.idle.disarm",
        *(f"packed.supply.{n}" for n in ("id", "len", "3", "4", "6a", "6b", "7", "8", "9a", "9b", "9c")),
    }
)
"""The steps of a packed ring's back-end that do one store each; with assignments=one some do several."""

PACKED_BACKEND_STEPS: Final = PACKED_BACKEND_STORES | {
    "packed.start.fresh",
    "packed.start.adopt",
    *(f"packed.reconnect.{n}" for n in ("1", "1.else", "1a", "1c.else", "1.settled", "unmark.look")),
    "packed.position",
    "packed.counter",
    *(f"packed.reconnect.{n}" for n in ("4", "4.desc", "4.submit", "signal", "ready")),
    *(f"packed.fetch.{n}" for n in ("look", "1", "bump", "3.else", "more", "submit")),
    *(f"packed.idle.{n}" for n in ("look", "wake", "unarmed")),
    *(f"packed.supply.{n}" for n in ("1", "6b.else")),
    *(f"packed.notify.{n}" for n in ("look", "index", "call", "none")),
    "connection.kick",
    "queue.other",
}
"""All steps of a packed ring's back-end."""

PACKED_DRIVER_STORES: Final = frozenset(
    {
        *(f"driver.make.{n}" for n in ("1", "more", "desc", "last", "head")),
        "driver.sleep.index",
        "driver.sleep.1",
        "driver.wake.quiet",
        "driver.reset",
    }
)
"""The steps of a packed ring's driver that store to shared memory: ``.make.1``, ``.make.desc`` and ``.reset`` several
times, ``.make.more`` and ``.make.last`` once or, at the first descriptor, not at all, the others once."""

PACKED_DRIVER_STEPS: Final = PACKED_DRIVER_STORES | _DRIVER_COMMON
"""All steps of a packed ring's driver."""

BACKEND_STORES_OF: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {"split": BACKEND_STORES, "packed": PACKED_BACKEND_STORES}
)
"""The storing steps of the back-end, by ring."""

BACKEND_STEPS_OF: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {"split": BACKEND_STEPS, "packed": PACKED_BACKEND_STEPS}
)
"""All steps of the back-end, by ring."""

DRIVER_STEPS_OF: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {"split": DRIVER_STEPS, "packed": PACKED_DRIVER_STEPS}
)
"""All steps of the driver, by ring."""

STORING_STEP_IDS_OF: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {"split": STORING_STEP_IDS, "packed": PACKED_BACKEND_STORES | CONNECTION_STORES | PACKED_DRIVER_STORES}
)
"""The ids of the steps that store to shared memory, by ring."""

STEP_IDS_OF: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {"split": STEP_IDS, "packed": PACKED_BACKEND_STEPS | CONNECTION_STORES | DEVICE_STEPS | PACKED_DRIVER_STEPS}
)
"""The id of every step that the reference can report, by ring."""


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

    ``where`` is ``STEP`` or ``STEP:N``, N counting from 1 (the default). Raises UsageError for a step that no back-end
    takes, naming those near it, and for an N that is no positive number.
    """
    step_id, colon, number = where.partition(":")
    known = sorted(frozenset().union(DEVICE_STEPS, *BACKEND_STEPS_OF.values()))
    if step_id not in known:
        raise UsageError(no_such("step of a back-end", step_id, known))
    if colon and not re.fullmatch("0*[1-9][0-9]{0,17}", number):
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
