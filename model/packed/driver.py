"""The driver of a packed ring: it acts whenever virtio allows it to, and does not die."""

from __future__ import annotations

from typing import Any

from model.both.words import DEAD, RUNNING, SIZE
from model.packed.fetch import BETWEEN
from model.packed.places import advanced, at, is_used, moved
from model.packed.variables import VARS
from model.record import State, assign_initial
from model.steps import Procedure
from model.terms import Term, all_of, ite, negate

__all__ = ["driver", "next_used", "reset", "rest"]

driver = Procedure("driver")
rest = Procedure("rest")
reset = Procedure("reset")


def _write(s: Any, slot: Term, buffer_id: Term) -> None:
    """Write a descriptor but for its flags, without which nobody reads it."""
    s.ring.desc[slot].addr = s.driver.written
    s.ring.desc[slot].len = s.driver.written
    s.ring.desc[slot].id = buffer_id
    s.driver.written = s.driver.written + 1
    s.driver.num_free = s.driver.num_free - 1


def _mark(s: Any, slot: Term, wrap_counter: Term, more: Term | int) -> None:
    """Write a descriptor's flags: available, and whether the chain goes on."""
    flags = s.ring.desc[slot].flags
    flags.next, flags.avail, flags.used = more, wrap_counter, 1 - wrap_counter


@driver.step(
    "driver.make.1",
    at="idle",
    to="described",
    choice="head",
    text="virtio: descriptor ring",
    world=True,
    when=lambda s, i: all_of(i < SIZE, s.driver.owns[i] == 0, s.driver.num_free > 0),
)
def describe(s: Any, i: Term) -> None:
    """Take a free buffer id and write the first descriptor of a chain, but for its flags."""
    _write(s, s.driver.avail_idx, i)
    s.driver.requests = s.driver.requests + 1
    s.driver.id = i
    s.driver.length = 1
    s.driver.slot = s.driver.avail_idx
    s.driver.slot_wrap = s.driver.avail_wrap
    s.driver.owns[i] = 1


def _is_first(s: Any) -> Term:
    return s.driver.length == 1  # type: ignore[no-any-return]


@driver.step(
    "driver.make.more",
    at="described",
    to="chained",
    text="virtio: descriptor ring",
    world=True,
    when=lambda s: s.driver.num_free > 0,
)
def chain_on(s: Any) -> None:
    """Another descriptor will follow: write the flags of this one, unless it is the first, which comes last."""
    flags = s.ring.desc[s.driver.slot].flags
    first = _is_first(s)
    flags.next = ite(first, flags.next, 1)
    flags.avail = ite(first, flags.avail, s.driver.slot_wrap)
    flags.used = ite(first, flags.used, 1 - s.driver.slot_wrap)


@driver.step("driver.make.desc", at="chained", to="described", text="virtio: descriptor ring", world=True)
def describe_next(s: Any) -> None:
    """Write the next descriptor of the chain, but for its flags."""
    _write(s, moved(s.driver.slot, 1), s.driver.id)
    s.driver.length = s.driver.length + 1
    s.driver.slot, s.driver.slot_wrap = advanced(s.driver.slot, s.driver.slot_wrap, 1)


@driver.step("driver.make.last", at="described", to="complete", text="virtio: descriptor ring", world=True)
def end_chain(s: Any) -> None:
    """The chain ends here: write the flags of its last descriptor, unless it is the first too."""
    flags = s.ring.desc[s.driver.slot].flags
    first = _is_first(s)
    flags.next = ite(first, flags.next, 0)
    flags.avail = ite(first, flags.avail, s.driver.slot_wrap)
    flags.used = ite(first, flags.used, 1 - s.driver.slot_wrap)


@driver.step("driver.make.head", at="complete", to="published", text="virtio: descriptor ring", tags=("available",))
def make_available(s: Any) -> None:
    """Write the flags of the first descriptor: the back-end may see the request from here on."""
    _mark(s, s.driver.avail_idx, s.driver.avail_wrap, ite(_is_first(s), 0, 1))
    s.driver.num[s.driver.id] = s.driver.length
    s.driver.avail_idx, s.driver.avail_wrap = advanced(s.driver.avail_idx, s.driver.avail_wrap, s.driver.length)


@driver.step("driver.kick.look", at="published", to="kick", text="virtio: available buffer notification")
def look_whether_to_kick(s: Any) -> None:
    """Read whether the back-end wants to be kicked."""
    s.driver.wants_kick = ite(s.device_event.flags == 0, 1, 0)


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
    """The back-end does not want to be kicked."""


def next_used(s: Any) -> Term:
    """Whether the next used slot is marked used."""
    return is_used(s.ring.desc[s.driver.used_idx].flags, s.driver.used_wrap)


@rest.step("driver.use", at="awake", text="virtio: descriptor ring", when=next_used)
def use(s: Any) -> None:
    """Read the next used element: its buffer id is free again, and the slots of its chain."""
    buffer_id = s.ring.desc[s.driver.used_idx].id
    num = s.driver.num[buffer_id]
    s.driver.owns[buffer_id] = 0
    s.driver.num_free = s.driver.num_free + num
    s.driver.used_idx, s.driver.used_wrap = advanced(s.driver.used_idx, s.driver.used_wrap, num)


@rest.step(
    "driver.sleep.1",
    at="awake",
    to="checking",
    text="virtio: used buffer notification",
    when=lambda s: negate(next_used(s)),
)
def ask_to_be_notified(s: Any) -> None:
    """Nothing is there: ask to be notified."""
    s.driver_event.flags = 0


@rest.step("driver.sleep.again", at="checking", to="awake", text="virtio: look again after asking", when=next_used)
def stay_awake(s: Any) -> None:
    """Look again: something has come, so do not sleep."""


@rest.step(
    "driver.sleep.2",
    at="checking",
    to="asleep",
    text="virtio: look again after asking",
    when=lambda s: negate(next_used(s)),
)
def fall_asleep(s: Any) -> None:
    """Look again: still nothing, so sleep until the notification."""


@rest.step("driver.wake", at="asleep", to="woken", text="the call eventfd", when=lambda s: s.call == 1)
def wake_up(s: Any) -> None:
    """Take the notification."""
    s.call = 0


@rest.step("driver.wake.quiet", at="woken", to="awake", text="virtio: used buffer notification")
def want_no_more(s: Any) -> None:
    """Ask not to be notified as long as there is something to read."""
    s.driver_event.flags = 1


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
    when=lambda s: all_of(s.recover.at == RUNNING, at(s.fetch.at, *BETWEEN), s.supply.at == "idle"),
)
def reset_while_alive(s: State) -> None:
    """The VM resets, and a back-end that lives is told: its rings stop; a new driver, a new ring, and a new region."""
    assign_initial(s, [v.name for v in VARS.values() if v.kind != "ghost"])
