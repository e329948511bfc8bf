"""Fetching from a packed ring ("When receiving available buffers from the driver"), and resting when there is nothing.

What is read of the ring is checked before it is used: the driver may write anything at any time.
"""

from typing import Any

from refimpl.errors import DriverError, FrontEndError, UsageError
from refimpl.layout import DESC_NEXT, EVENT_DISABLE, EVENT_ENABLE, PackedDesc
from refimpl.memory import full_fence
from refimpl.packed.ring import is_available
from refimpl.packed.state import PackedState

_ALLOWED = {"never": {"none"}, "until-publish": {"none", "open"}, "always": {"none", "open", "published"}}


def look(state: PackedState) -> None:
    """Read whether the next slot is available."""
    _check_turn(state, "look")
    _read_flags(state)
    state.report("packed.fetch.look")


def available(state: PackedState) -> bool:
    """Return whether a request was seen available that can be fetched.

    In a region smaller than the ring (gap region-size) it has to wait until as many entries are free as its chain has
    descriptors.
    """
    if not state.seen or state.choices.region_size != "smaller":
        return state.seen
    taken: int = sum(entry.num for entry in state.region.desc if entry.inflight)
    return _chain_length(state) <= state.entries - taken


def _check_length(state: PackedState) -> None:
    """Raise FrontEndError for a chain longer than a region smaller than the ring: no entries would ever be enough."""
    if state.seen and state.strict and state.choices.region_size == "smaller":
        length = _chain_length(state)
        if length > state.entries:
            what = f"a chain has {length} descriptors, the region {state.entries} entries"
            raise FrontEndError(f"{what}; it should be as large as the ring")


def _chain_length(state: PackedState) -> int:
    """Return how many descriptors the chain in the next slot has, as far as there are slots."""
    length, slot = 1, state.avail_idx
    while state.ring.desc[slot].flags & DESC_NEXT and length <= state.ring.size:
        slot, _ = state.ring.advance(slot, 0, 1)
        length += 1
    return length


def take(state: PackedState) -> int:
    """Fetch the chain that was seen available and give it to the device; return the entry of its first descriptor."""
    _check_turn(state, "take")
    if not available(state):
        raise UsageError("there is nothing to take")
    region = state.region
    first = region.old_free_head
    entry = _free_entry(state, first)
    state.seen = False
    # 1. the next available descriptor, d; it is a head
    d = state.ring.copy(state.avail_idx)
    state.given = [d]
    if state.choices.used_slot == "own":
        state.own_slots[first] = state.avail_idx, state.avail_wrap
    state.report("packed.fetch.1")
    # 2. (a) desc[old_free_head].num is 0
    state.store(entry, "num", 0, "packed.fetch.2a")
    if state.choices.counted:
        # (merged) the entry's counter is the global counter, which counts on
        state.store(entry, "counter", state.counter.value, "packed.fetch.counter")
        state.counter.value += 1
        state.report("packed.fetch.bump")
    # (b) desc[old_free_head] is inflight
    state.store(entry, "inflight", 1, "packed.fetch.2b")
    _keep(state, entry, d)
    while d.flags & DESC_NEXT:
        # 1. again: the next descriptor of the chain
        d = state.ring.copy(state.avail_idx)
        state.given.append(d)
        state.report("packed.fetch.more")
        _keep(state, entry, d)
    # 7. d is the last: old_free_head is free_head
    state.store(region, "old_free_head", region.free_head, "packed.fetch.7")
    state.submit(first)
    state.report("packed.fetch.submit")
    return int(first)


def _keep(state: PackedState, head: Any, d: PackedDesc) -> None:
    """Keep a copy of one descriptor in the first free entry (3 to 6)."""
    region = state.region
    last = not d.flags & DESC_NEXT
    if last:
        _take_id(state, d.id)
    elif len(state.given) >= state.ring.size:
        raise DriverError(f"a chain is longer than the ring's {state.ring.size} slots")
    free = region.free_head
    entry = _free_entry(state, free)
    # 3. if d is the last, desc[old_free_head].last is free_head
    if last:
        state.store(head, "last", free, "packed.fetch.3")
    else:
        state.report("packed.fetch.3.else")
    # 4. desc[old_free_head].num is one more
    state.store(head, "num", head.num + 1, "packed.fetch.4")
    # 5. desc[free_head] is a copy of d
    if state.choices.assignments == "one":
        copies = {"addr": d.addr, "len": d.len, "flags": d.flags, "id": d.id}
        state.store_together("packed.fetch.5a", entry, copies)
    else:
        state.store(entry, "addr", d.addr, "packed.fetch.5a")
        state.store(entry, "len", d.len, "packed.fetch.5b")
        state.store(entry, "flags", d.flags, "packed.fetch.5c")
        state.store(entry, "id", d.id, "packed.fetch.5d")
    # 6. free_head is desc[free_head].next; the next available descriptor is in the next slot
    state.avail_idx, state.avail_wrap = state.ring.advance(state.avail_idx, state.avail_wrap, 1)
    state.store(region, "free_head", entry.next, "packed.fetch.6")


def arm(state: PackedState) -> None:
    """Ask for a kick when the driver makes the next request available."""
    _check_turn(state, "arm")
    if state.events_left:
        state.report("packed.idle.unarmed")
    else:
        state.store(state.ring.device_event, "flags", EVENT_ENABLE, "packed.idle.arm")


def look_again(state: PackedState) -> None:
    """Look once more: what came before the driver could see ``arm`` brings no kick."""
    _check_turn(state, "look_again")
    full_fence()
    _read_flags(state)
    state.resting = not state.seen
    state.report("packed.idle.look")


def wake(state: PackedState) -> None:
    """Take a kick, rest no longer, and ask for no more kicks until the next ``arm``."""
    _check_turn(state, "wake")
    state.kick_taken()
    state.resting = False
    state.events_left = False
    state.report("packed.idle.wake")
    state.store(state.ring.device_event, "flags", EVENT_DISABLE, "packed.idle.disarm")


def _check_turn(state: PackedState, method: str) -> None:
    """Refuse to fetch in a batch unless the gap fetch-in-batch allows it."""
    choice = state.choices.fetch_in_batch
    if state.batch not in _ALLOWED[choice]:
        raise UsageError(f"{method} while a batch is {state.batch}, and fetch-in-batch is {choice}")


def _read_flags(state: PackedState) -> None:
    """Read whether the next slot is available; the flags of a chain's first descriptor say it of the whole chain."""
    state.seen = is_available(state.ring.desc[state.avail_idx].flags, state.avail_wrap)
    _check_length(state)


def _free_entry(state: PackedState, number: int) -> Any:
    """Return an entry that the free list leads to. Raises DriverError at the end of the list.

    The region has as many entries as the ring has slots, so a list that ends too early says that the driver made more
    descriptors available than the ring can hold.
    """
    if number >= state.entries:
        raise DriverError(f"slot {state.avail_idx} was made available while no entry is free")
    return state.region.desc[number]


def _take_id(state: PackedState, identity: int) -> None:
    """Remember the buffer id of a chain, which is in its last descriptor."""
    if state.strict and identity in state.ids:
        raise DriverError(f"buffer id {identity} was made available while it is inflight")
    state.ids.add(identity)
