"""The story of a split ring's recovery: what each step of the text found and did."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from vhost_inflight.recover.record import Event, Recovery
from vhost_inflight.recover.words import (
    Line,
    among,
    counted,
    counter_line,
    resubmitted_lines,
    signal_line,
    waiting_line,
)

__all__ = ["WRITERS"]


def _fresh(_recovery: Recovery, _events: list[Event]) -> Iterator[Line]:
    yield Line("start", "The region's version is 0: it is fresh, so nothing was in flight. It is initialised.")


def _adopt(_recovery: Recovery, events: list[Event]) -> Iterator[Line]:
    numbers = events[0].numbers
    yield Line(
        "start", f"The region's version is {numbers['version']}, desc_num is {numbers['desc_num']}: it is adopted."
    )


def _init(_recovery: Recovery, events: list[Event]) -> Iterator[Line]:
    for event in events:
        (store,) = event.stores
        gap = "gap fresh-used-idx" if event.step == "split.init.2" else "gap init-order"
        because = ", that of the used ring" if event.step == "split.init.2" else ""
        (name,) = store.fields
        yield Line(gap, f"{name} is set to {store.change.new}{because}.")


def _skip(_recovery: Recovery, _events: list[Event]) -> Iterator[Line]:
    yield Line("gap fresh-used-idx", "used_idx of a fresh region was left at 0, so it is not compared at this start.")


def _compare(_recovery: Recovery, events: list[Event]) -> Iterator[Line]:
    used_idx, used = events[0].numbers["used_idx"], events[0].numbers["used.idx"]
    if used_idx == used:
        yield Line("reconnecting, 1", f"used_idx is {used_idx}, and so is used.idx: every batch published was settled.")
    else:
        yield Line(
            "reconnecting, 1", f"used_idx is {used_idx}, used.idx is {used}: what was published was not settled."
        )


def _subtract(recovery: Recovery, events: list[Event]) -> Iterator[Line]:
    numbers = events[0].numbers
    used_idx, used = numbers["used_idx"], numbers["used.idx"]
    head = numbers.get("last_batch_head", numbers.get("process_head"))
    name = "process_head" if "process_head" in numbers else "last_batch_head"
    size = recovery.given.choices.batch_size
    apart = (used - used_idx) % 65536
    how = f"{used} less {used_idx} modulo 65536" if size == "mod-65536" else f"gap batch-size={size}"
    number = apart if size == "mod-65536" else sum(event.step == "split.reconnect.1b" for event in recovery.events)
    yield Line(
        "reconnecting, 1(a)",
        f"A batch of {number} was published and not settled ({how}); its list begins at {name}, entry {head}.",
    )


def _clear(_recovery: Recovery, events: list[Event]) -> Iterator[Line]:
    stores = [event.stores[0] for event in events]
    already = [store.entry for store in stores if store.change.old == 0]
    note = f"; {among(already, 'entry', 'entries')} had been cleared before the crash" if already else ""
    entries = [store.entry for store in stores]
    verb = "is" if len(entries) == 1 else "are"
    what = among(entries, "Entry", "Entries")
    yield Line("reconnecting, 1(b)", f"{what} {verb} cleared (inflight is 0), along next{note}.")


def _commit(_recovery: Recovery, events: list[Event]) -> Iterator[Line]:
    yield Line("reconnecting, 1(c)", f"used_idx is set to {events[0].stores[0].change.new}, that of the used ring.")


def _position(recovery: Recovery, events: list[Event]) -> Iterator[Line]:
    numbers = events[0].numbers
    last, used = numbers["last_avail"], numbers["used.idx"]
    entries = [mark.entry for mark in recovery.inflight]
    what = _inflight(entries)
    choice = recovery.given.choices.fetch_position
    how = {"used-idx": "used.idx", "avail-idx": "avail.idx"}.get(choice, f"used.idx ({used}) plus {len(entries)}")
    slot = last % recovery.given.queue_size
    yield Line("gap fetch-position", f"{what}. Fetching goes on at {last}, slot {slot} of the available ring: {how}.")


def _inflight(entries: list[int]) -> str:
    if not entries:
        return "No entry is inflight"
    return f"{among(entries, 'Entry', 'Entries')} {'is' if len(entries) == 1 else 'are'} inflight"


def _counter(recovery: Recovery, events: list[Event]) -> Iterator[Line]:
    yield counter_line(recovery, events[0])


def _resubmit(recovery: Recovery, events: list[Event]) -> Iterator[Line]:
    yield from resubmitted_lines(recovery, len(events), "reconnecting, 2")


def _signal(recovery: Recovery, _events: list[Event]) -> Iterator[Line]:
    yield signal_line(recovery)


def _ready(recovery: Recovery, _events: list[Event]) -> Iterator[Line]:
    if recovery.available is None and recovery.refused is None:
        yield waiting_line(recovery)


def _look(recovery: Recovery, events: list[Event]) -> Iterator[Line]:
    numbers = events[0].numbers
    last, avail = numbers["last_avail"], numbers["avail.idx"]
    number = (avail - last) % 65536
    if not number:
        yield Line("next", f"avail.idx is {avail}: nothing more is available. The back-end asks for a kick and waits.")
        return
    slot = last % recovery.given.queue_size
    yield Line("next", f"avail.idx is {avail}: the back-end fetches {counted(number, 'request')}, from slot {slot} on.")


WRITERS: Final[Mapping[str, Callable[[Recovery, list[Event]], Iterator[Line]]]] = {
    "split.start.fresh": _fresh,
    "split.start.adopt": _adopt,
    "split.start.skip": _skip,
    "split.init.1": _init,
    "split.init.2": _init,
    "split.init.3": _init,
    "split.reconnect.1": _compare,
    "split.reconnect.1a": _subtract,
    "split.reconnect.1b": _clear,
    "split.reconnect.1c": _commit,
    "split.position": _position,
    "split.counter": _counter,
    "split.reconnect.2": _resubmit,
    "split.reconnect.signal": _signal,
    "split.reconnect.ready": _ready,
    "split.fetch.look": _look,
}
"""What tells the steps of one kind that came one after the other; a step that is not here says nothing new."""
