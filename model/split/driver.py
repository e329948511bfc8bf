"""The driver of a split ring: it acts whenever virtio allows it to, and does not die."""

from __future__ import annotations

from typing import Any

from model.both.words import DEAD, RUNNING, SIZE
from model.record import State, assign_initial
from model.split.serve import BETWEEN
from model.split.variables import VARS
from model.steps import Procedure
from model.terms import Term, all_of, any_of, ite, slot, wrap

__all__ = ["driver", "reset", "rest"]


driver = Procedure("driver")
rest = Procedure("rest")
reset = Procedure("reset")


@driver.step(
    "driver.make.1",
    at="idle",
    to="described",
    choice="head",
    text="virtio: descriptor table",
    when=lambda s, i: all_of(i < SIZE, s.driver.owns[i] == 0, s.driver.num_free > 0),
)
def describe(s: Any, i: Term) -> None:
    """Take a free head and write its chain into the descriptor table."""
    s.table[i] = s.driver.requests
    s.driver.requests = s.driver.requests + 1
    s.driver.head = i
    s.driver.owns[i] = 1
    s.driver.num_free = s.driver.num_free - 1


@driver.step("driver.make.2", at="described", to="listed", text="virtio: available ring")
def list_head(s: Any) -> None:
    """Write the head into the next slot of the available ring."""
    s.avail.ring[slot(s.avail.idx)] = s.driver.head


@driver.step("driver.make.3", at="listed", to="published", text="virtio: available ring", tags=("available",))
def make_available(s: Any) -> None:
    """Increase the idx value of the available ring: the back-end may see the request from here on."""
    s.avail.idx = wrap(s.avail.idx + 1, 16)


@driver.step("driver.kick.look", at="published", to="kick", text="virtio: available ring notification")
def look_whether_to_kick(s: Any) -> None:
    """Read whether the back-end asked to be kicked for the request just made available."""
    s.driver.wants_kick = ite(s.used.avail_event == wrap(s.avail.idx - 1, 16), 1, 0)


@driver.step("driver.kick.1", at="kick", to="idle", text="the kick eventfd", when=lambda s: s.driver.wants_kick == 1)
def kick(s: Any) -> None:
    """Kick."""
    s.kick = 1


@driver.step(
    "driver.kick.none",
    at="kick",
    to="idle",
    text="virtio: notification suppression",
    when=lambda s: s.driver.wants_kick == 0,
)
def kick_none(s: Any) -> None:
    """The back-end did not ask to be kicked."""


@rest.step("driver.use", at="awake", text="virtio: used ring", when=lambda s: s.driver.next_used != s.used.idx)
def use(s: Any) -> None:
    """Read the next used element: its head is free again."""
    head = s.used.ring[slot(s.driver.next_used)].id
    s.driver.owns[head] = 0
    s.driver.num_free = s.driver.num_free + 1
    s.driver.next_used = wrap(s.driver.next_used + 1, 16)


@rest.step(
    "driver.sleep.1",
    at="awake",
    to="checking",
    text="virtio: used ring notification",
    when=lambda s: s.driver.next_used == s.used.idx,
)
def ask_to_be_notified(s: Any) -> None:
    """Nothing is there: ask to be notified of the next used element."""
    s.avail.used_event = s.driver.next_used


@rest.step(
    "driver.sleep.again",
    at="checking",
    to="awake",
    text="virtio: look again after asking",
    when=lambda s: s.driver.next_used != s.used.idx,
)
def stay_awake(s: Any) -> None:
    """Look again: something has come, so do not sleep."""


@rest.step(
    "driver.sleep.2",
    at="checking",
    to="asleep",
    text="virtio: look again after asking",
    when=lambda s: s.driver.next_used == s.used.idx,
)
def fall_asleep(s: Any) -> None:
    """Look again: still nothing, so sleep until the notification."""


@rest.step("driver.wake", at="asleep", to="awake", text="the call eventfd", when=lambda s: s.call == 1)
def wake_up(s: Any) -> None:
    """Take the notification."""
    s.call = 0


@reset.step(
    "driver.reset",
    text="seed: retrieve a new buffer when the VM resets; gap reset",
    world=True,
    when=lambda s: s.recover.at == DEAD,
)
def reset_all(s: State) -> None:
    """The VM resets while there is no back-end: a new driver, a new ring, and a new region from the front-end."""
    assign_initial(s, [v.name for v in VARS.values() if v.kind in ("region", "ring", "eventfd", "driver")])


@reset.step(
    "connection.reset",
    text="vhost-user: RESET_DEVICE; gap reset",
    world=True,
    when=lambda s: all_of(
        s.recover.at == RUNNING, any_of(*(s.fetch.at == label for label in BETWEEN)), s.supply.at == "idle"
    ),
)
def reset_while_alive(s: State) -> None:
    """The VM resets, and a back-end that lives is told: its rings stop; a new driver, a new ring, and a new region."""
    assign_initial(s, [v.name for v in VARS.values() if v.kind != "ghost"])
