"""The end of a packed queue's recovery: where fetching goes on, the counter, and what is given to the device again."""

from itertools import compress

from refimpl.both.resubmission import resubmission
from refimpl.errors import RegionError
from refimpl.layout import PackedDesc, column
from refimpl.packed.state import PackedState


def inflight_entries(state: PackedState) -> list[int]:
    """Return the inflight entries in table order. Raises RegionError for one that cannot be."""
    inflight = list(compress(range(state.entries), column(state.region.desc, "inflight")))
    for number in inflight:
        mark = state.region.desc[number].inflight
        if state.strict and mark > 1:
            raise RegionError(f"the inflight field of entry {number} is {mark}, neither 0 nor 1")
        _check_length(state, number)
    return inflight


def _check_length(state: PackedState, number: int) -> None:
    """Check how long the chain of an inflight entry says that it is."""
    length = state.region.desc[number].num
    if state.strict and not 1 <= length <= state.ring.size:
        raise RegionError(f"num of entry {number} is {length}; the ring has {state.ring.size} slots")


def find_position(state: PackedState, inflight: list[int]) -> None:
    """Set the position of the next fetch (gap fetch-position): each descriptor before it is used or inflight."""
    region, ring = state.region, state.ring
    total = sum(region.desc[number].num for number in inflight)
    if state.strict and total > ring.size:
        raise RegionError(f"{total} descriptors are inflight; the ring has {ring.size} slots")
    used = state.slot(region.used_idx, "used_idx")
    match state.choices.fetch_position:
        case "used-position":
            state.avail_idx, state.avail_wrap = used, region.used_wrap_counter
        case "base":
            state.avail_idx, state.avail_wrap = 0, 1
        case _:
            state.avail_idx, state.avail_wrap = ring.advance(used, region.used_wrap_counter, total)
    state.seen = False  # nothing is seen before the next look
    state.report("packed.position")


def set_counter(state: PackedState, inflight: list[int]) -> None:
    """Set the global counter past that of each inflight entry (gaps counter-*)."""
    counters = [state.region.desc[number].counter for number in inflight]
    first = 1 if state.choices.counter_start == "one" else 0
    match state.choices.counter_after_reconnect:
        case "zero":
            value = first
        case "count":
            value = len(counters)
        case _:
            value = max(counters) + 1 if counters else first
    if value >= 1 << 64:
        raise RegionError("the counter of an inflight entry is at its end")
    if state.choices.counter_scope == "device-greatest":
        value = max(value, state.counter.value)
    state.counter.value = value
    state.report("packed.counter")


def resubmit(state: PackedState, inflight: list[int]) -> None:
    """Resubmit each inflight entry ("When reconnecting", 4): merged in the order of the counter, v6 in no order."""
    state.ids = {state.id_of(number) for number in inflight}
    counted = state.choices.counted
    counters = {number: state.region.desc[number].counter if counted else 0 for number in inflight}
    steered = counted or state.choices.resubmit_order == "any"
    for number in resubmission(counters, state.choose if steered else None):
        _resubmit_one(state, number)


def _resubmit_one(state: PackedState, first: int) -> None:
    """Give one request to the device again, from the copies of its descriptors in the region."""
    # 4. as many descriptors as num says
    length = state.region.desc[first].num
    state.given = []
    state.report("packed.reconnect.4", first)
    number = first
    what = f"the chain of entry {first}"
    for _ in range(length):
        # each is in the entry that next of the one before leads to
        entry = state.entry(number, what)
        state.given.append(PackedDesc(entry.addr, entry.len, entry.id, entry.flags))
        number = entry.next
        state.report("packed.reconnect.4.desc")
    state.submit(first)
    state.report("packed.reconnect.4.submit")
