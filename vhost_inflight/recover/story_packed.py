"""The story of a packed ring's recovery: what each step of the text found and did."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from refimpl.layout import PackedDesc
from refimpl.packed.ring import available_flags
from vhost_inflight.recover.answer import committed, rolled_back
from vhost_inflight.recover.record import Event, Recovery
from vhost_inflight.recover.words import (
    Line,
    among,
    changed,
    counted,
    counter_line,
    listed,
    resubmitted_lines,
    signal_line,
    waiting_line,
)

__all__ = ["WRITERS"]


def _fresh(recovery: Recovery, _events: list[Event]) -> Iterator[Line]:
    yield Line("start", "The region's version is 0: it is fresh, so nothing was in flight. It is initialised.")
    if recovery.given.choices.fresh_used_idx == "from-base":
        base = recovery.given.base
        told = "The state has no base: as that of a new ring" if base is None else f"SET_VRING_BASE said {base:#x}"
        slot, wrap = (0, 1) if base is None else (base >> 16 & 0x7FFF, base >> 31)
        yield Line("gap fresh-used-idx", f"{told}, the next used slot is {slot}, with wrap counter {wrap}.")


def _adopt(_recovery: Recovery, events: list[Event]) -> Iterator[Line]:
    numbers = events[0].numbers
    yield Line(
        "start", f"The region's version is {numbers['version']}, desc_num is {numbers['desc_num']}: it is adopted."
    )


def _init(_recovery: Recovery, events: list[Event]) -> Iterator[Line]:
    for event in events:
        (store,) = event.stores
        (name,) = store.fields
        gap = "gap first-wrap" if name.endswith("wrap_counter") else "gap init-order"
        yield Line(gap, f"{name} is set to {store.change.new}.")


def _link(_recovery: Recovery, events: list[Event]) -> Iterator[Line]:
    end = events[-1].stores[0].change.new
    yield Line("gap free-list", f"next of each entry is set to the one after it, of the last to {end}, the list's end.")


def _compare(recovery: Recovery, events: list[Event]) -> Iterator[Line]:
    new, old = (_used(events[0], prefix) for prefix in ("", "old_"))
    hardened = recovery.given.revision == "hardened"
    same = new == old if hardened else new[0] == old[0]
    verdict = "they match, so there is no batch to commit" if same else "a batch was begun and not settled"
    yield Line("reconnecting, 1", f"{_names(new, old, hardened=hardened)}: {verdict}.")


def _used(event: Event, prefix: str) -> tuple[int, int]:
    return event.numbers[f"{prefix}used_idx"], event.numbers[f"{prefix}used_wrap_counter"]


def _names(new: tuple[int, int], old: tuple[int, int], *, hardened: bool) -> str:
    if hardened:
        return (
            f"used_idx and used_wrap_counter are {new[0]} and {new[1]}, "
            f"old_used_idx and old_used_wrap_counter {old[0]} and {old[1]}"
        )
    return f"used_idx is {new[0]}, old_used_idx {old[0]}"


def _settled(_recovery: Recovery, events: list[Event]) -> Iterator[Line]:
    head = events[0].numbers["free_head"]
    yield Line(
        "hardened reconnecting, 1(c)",
        f"free_head is old_free_head, {head}: the batch was being settled, so it was published.",
    )


def _read(recovery: Recovery, events: list[Event]) -> Iterator[Line]:
    numbers = events[0].numbers
    slot, wrap = numbers["old_used_idx"], numbers["old_used_wrap_counter"]
    found = PackedDesc.from_buffer_copy(
        recovery.before["descriptors"], slot * 16
    ).flags  # recovery has changed none yet
    wanted = available_flags(wrap)
    calculated = f"AVAIL and USED of an available one are {wanted:#06x} there (old_used_wrap_counter is {wrap})"
    published = "packed.reconnect.1c.else" not in recovery.steps
    verdict = (
        "they differ, so the batch was published" if published else "they are equal, so the batch was not published"
    )
    yield Line(
        "reconnecting, 1(a) to 1(c)", f"Slot {slot}, old_used_idx, has flags {found:#06x}; {calculated}: {verdict}."
    )


def _commit(recovery: Recovery, events: list[Event]) -> Iterator[Line]:
    if any(event.stores for event in events):
        yield Line("reconnecting, 1(c)", f"It is committed: {changed(committed(recovery))}.")


def _roll_back(recovery: Recovery, _events: list[Event]) -> Iterator[Line]:
    fields = rolled_back(recovery)
    names = listed_names(list(fields))
    if all(change.old == change.new for change in fields.values()):
        yield Line("reconnecting, 2", f"{names} are as the old ones: nothing is rolled back.")
    else:
        yield Line("reconnecting, 2", f"What was in progress is rolled back: {changed(fields)}.")


def listed_names(names: list[str]) -> str:
    """Write names as ``a, b and c``."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _unmark(_recovery: Recovery, events: list[Event]) -> Iterator[Line]:
    slots = [store.entry for event in events for store in event.stores]
    if not slots:
        yield Line("hardened reconnecting, 2", "No slot past the used position is marked used.")
        return
    what = among(slots, "Slot", "Slots")
    verb = "was" if len(slots) == 1 else "were"
    yield Line(
        "hardened reconnecting, 2", f"{what} {verb} marked used in the batch that is rolled back: available again."
    )


def _clear(_recovery: Recovery, events: list[Event]) -> Iterator[Line]:
    stores = [event.stores[0] for event in events]
    marked = [store.entry for store in stores if store.change.old]
    note = f"it was still set in {among(marked, 'entry', 'entries')}" if marked else "it was 0 already"
    yield Line(
        "reconnecting, 3",
        f"The free list is {listed(store.entry for store in stores)}: inflight of each is set to 0; {note}.",
    )


def _position(recovery: Recovery, events: list[Event]) -> Iterator[Line]:
    numbers = events[0].numbers
    entries = [mark.entry for mark in recovery.inflight]
    total = counted(sum(mark.length for mark in recovery.inflight), "descriptor")
    verb = "is" if len(entries) == 1 else "are"
    what = f"{among(entries, 'Entry', 'Entries')} {verb} inflight, with {total}" if entries else "No entry is inflight"
    how = {
        "used-position": "the used position",
        "base": "the beginning of the ring",
    }.get(recovery.given.choices.fetch_position, f"the used position (slot {numbers['used_idx']}) plus {total}")
    place = f"slot {numbers['avail_idx']}, wrap counter {numbers['avail_wrap']}"
    yield Line("gap fetch-position", f"{what}. Fetching goes on at {place}: {how}.")


def _counter(recovery: Recovery, events: list[Event]) -> Iterator[Line]:
    yield counter_line(recovery, events[0])


def _resubmit(recovery: Recovery, events: list[Event]) -> Iterator[Line]:
    number = sum(event.step == "packed.reconnect.4.submit" for event in events)
    yield from resubmitted_lines(recovery, number, "reconnecting, 4")


def _signal(recovery: Recovery, _events: list[Event]) -> Iterator[Line]:
    yield signal_line(recovery)


def _ready(recovery: Recovery, _events: list[Event]) -> Iterator[Line]:
    if recovery.available is None:
        yield waiting_line(recovery)


def _look(recovery: Recovery, events: list[Event]) -> Iterator[Line]:
    numbers = events[0].numbers
    slot = numbers["avail_idx"]
    flags = PackedDesc.from_buffer_copy(recovery.after["descriptors"], slot * 16).flags if recovery.after else 0
    if recovery.available:
        yield Line("next", f"Slot {slot} has flags {flags:#06x}, available: the back-end fetches from there.")
    else:
        what = f"Slot {slot} has flags {flags:#06x}, not available in this lap"
        yield Line("next", f"{what}. The back-end asks for a kick and waits.")


WRITERS: Final[Mapping[str, Callable[[Recovery, list[Event]], Iterator[Line]]]] = {
    "packed.start.fresh": _fresh,
    "packed.start.adopt": _adopt,
    "packed.init.1": _init,
    "packed.init.2": _link,
    "packed.init.3": _init,
    "packed.init.4": _init,
    "packed.init.5": _init,
    "packed.reconnect.1": _compare,
    "packed.reconnect.1.settled": _settled,
    "packed.reconnect.1a": _read,
    "packed.reconnect.1c": _commit,
    "packed.reconnect.2": _roll_back,
    "packed.reconnect.unmark": _unmark,
    "packed.reconnect.3": _clear,
    "packed.position": _position,
    "packed.counter": _counter,
    "packed.reconnect.4": _resubmit,
    "packed.reconnect.signal": _signal,
    "packed.reconnect.ready": _ready,
    "packed.fetch.look": _look,
}
"""What tells the steps of one kind that came one after the other; a step that is not here says nothing new."""
