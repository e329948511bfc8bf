"""Start of a packed queue: initialise a fresh region or adopt one, reconnect, find the position, resubmit.

Each function is a block of the text ("When reconnecting"), and each comment a step of it. A crash may come after any
step; a new process then begins with ``start`` again.
"""

from collections.abc import Iterator
from itertools import chain
from typing import Any

from refimpl.errors import RegionError
from refimpl.layout import DESC_AVAIL, DESC_USED, VERSION, live_column
from refimpl.memory import store
from refimpl.packed.padding import begins_early
from refimpl.packed.resubmit import find_position, inflight_entries, resubmit, set_counter
from refimpl.packed.ring import MARKS, available_flags, used_flags
from refimpl.packed.state import PackedState

_COMPARED = {"both": DESC_AVAIL | DESC_USED, "used": DESC_USED, "avail": DESC_AVAIL, "whole": 0xFFFF}


def prepare_packed_region(region: Any, slot: int = 0, wrap: int = 1, *, linked: bool = True) -> None:
    """Initialise a region before a front-end gets it (gap init-order, before-hand-over): unseen, so no steps.

    ``slot`` and ``wrap`` are the next used position, as far as it is known then; ``linked`` is the gap free-list.
    """
    store(region, "desc_num", len(region.desc))
    if linked:
        for number, entry in enumerate(region.desc):
            store(entry, "next", number + 1)
    for field, value in (("used_idx", slot), ("used_wrap_counter", wrap)):
        store(region, field, value)
        store(region, f"old_{field}", value)
    store(region, "version", VERSION)


def start(state: PackedState) -> None:
    """Begin to serve a queue, fresh or after a crash. Raises RegionError for a region that nobody can have left."""
    _initialise(state)
    state.batch = "none"
    state.events_left = state.choices.event_fields == "left"
    _recover(state)


def recover_again(state: PackedState) -> None:
    """Reconnect in the living process, because a kick fd came again (gap recovery-start, every-kick)."""
    state.report("connection.kick")
    _recover(state)


def _recover(state: PackedState) -> None:
    """Reconnect: 1 to 3 settle the last batch, 4 resubmits; then tell the driver and be ready."""
    _commit_last_batch(state)
    _roll_back(state)
    if state.hardened:
        _unmark(state)
    _clear_free_entries(state)
    inflight = inflight_entries(state)
    find_position(state, inflight)
    if state.choices.counted:
        set_counter(state, inflight)
    resubmit(state, inflight)
    # the driver may have missed the notification of what was published last
    signal = state.choices.signal_at_start
    if signal == "always" or (signal == "on-mismatch" and state.mismatch):
        state.call()
        state.report("packed.reconnect.signal")
    state.resting = state.choices.ring_at_start == "wait"
    state.report("packed.reconnect.ready")


def _initialise(state: PackedState) -> None:
    """Initialise the region if it is fresh, else check it."""
    region, choices = state.region, state.choices
    if region.version != 0:
        _check_region(state)
        state.report("packed.start.adopt")
        return
    if choices.init_order == "before-hand-over":
        raise RegionError("version is 0, but the region was initialised before it was handed over")
    state.report("packed.start.fresh")
    version_first = choices.init_order == "version-first"
    # 5. (gap init-order: version-first)
    if version_first:
        state.store(region, "version", VERSION, "packed.init.5")
    # 1. desc_num is the number of entries
    state.store(region, "desc_num", state.entries, "packed.init.1")
    # 2. every entry is free: each leads to the one after it, and the last to desc_num, which is the end
    if choices.free_list == "linked":
        for number, entry in enumerate(region.desc):
            state.store(entry, "next", number + 1, "packed.init.2")
    # 6. and 7. the ring may have been in use: then SET_VRING_BASE says where its next used slot is
    slot, wrap = (0, 1) if choices.fresh_used_idx == "zero" else state.base
    if slot:
        state.store(region, "used_idx", slot, "packed.init.6")
        state.store(region, "old_used_idx", slot, "packed.init.7")
    # 3. and 4. so do the wrap counters; those of a new ring begin with 1
    if choices.first_wrap == "zero":
        wrap = 0
    state.store(region, "used_wrap_counter", wrap, "packed.init.3")
    state.store(region, "old_used_wrap_counter", wrap, "packed.init.4")
    # 5. the version says that the region is initialised: last, so that a crash before it leaves a fresh region
    if not version_first:
        state.store(region, "version", VERSION, "packed.init.5")


def _check_region(state: PackedState) -> None:
    """Check what an adopted region says about itself."""
    region = state.region
    if region.version != VERSION:
        raise RegionError(f"version is {region.version}; this back-end knows {VERSION}")
    if not state.strict:
        return
    if region.desc_num != state.entries:
        raise RegionError(f"desc_num is {region.desc_num}; the region has {state.entries} entries")
    limits = {
        **dict.fromkeys(("free_head", "old_free_head"), state.entries),  # desc_num: no entry is free
        **dict.fromkeys(("used_idx", "old_used_idx"), state.ring.size - 1),
        **dict.fromkeys(("used_wrap_counter", "old_used_wrap_counter"), 1),
    }
    for field, limit in limits.items():
        if getattr(region, field) > limit:
            raise RegionError(f"{field} is {getattr(region, field)}, more than {limit}")
    if begins_early(region):
        raise RegionError(
            "its entries begin at byte 29, where the fields of the header end, and not at 32, as in C: whoever made it "
            "leaves out the padding, and nobody else can go on with it"
        )


def _commit_last_batch(state: PackedState) -> None:
    """Commit the last batch if it was published but not yet settled ("When reconnecting", 1)."""
    region = state.region
    # 1. does used_idx match old_used_idx? (hardened: and the wrap counters each other?)
    state.mismatch = region.used_idx != region.old_used_idx
    if state.hardened:
        state.mismatch |= region.used_wrap_counter != region.old_used_wrap_counter
    settling = region.free_head == region.old_free_head
    state.report("packed.reconnect.1")
    if not state.mismatch:
        state.report("packed.reconnect.1.else")
        return
    if state.hardened and not state.wide and settling:
        # (hardened) old_free_head is set first of the three: the batch was being settled, so it was published
        state.report("packed.reconnect.1.settled")
        published = True
    else:
        published = _is_published(state)
    # (c) flags that differ say that the batch was published: the old fields are set to the new ones
    if published:
        _settle(state, "packed.reconnect.1c", ("1", "2", "3"))
    else:
        state.report("packed.reconnect.1c.else")


def _is_published(state: PackedState) -> bool:
    """Return whether the first slot of the last batch is no longer available, as the flags say (gap flags-compare)."""
    region = state.region
    # (a) the ring's entry at old_used_idx, and (b) the flags of an available one there
    flags = state.ring.desc[state.slot(region.old_used_idx, "old_used_idx")].flags
    calculated = available_flags(region.old_used_wrap_counter)
    compared = _COMPARED[state.choices.flags_compare]
    state.report("packed.reconnect.1a")
    return bool((flags ^ calculated) & compared)


def settle_batch(state: PackedState) -> None:
    """Let the old fields be the new ones ("When supplying used buffers to the driver", 9)."""
    _settle(state, "packed.supply.9", ("a", "b", "c"))


def _settle(state: PackedState, step: str, parts: tuple[str, str, str]) -> None:
    """Set old_free_head, old_used_idx and old_used_wrap_counter, in this order; a batch is settled by the last."""
    region = state.region
    if state.choices.assignments == "one":
        values = {f"old_{field}": getattr(region, field) for field in ("free_head", "used_idx", "used_wrap_counter")}
        state.batch = "none"
        state.store_together(step + parts[0], region, values)
        return
    state.store(region, "old_free_head", region.free_head, step + parts[0])
    if state.wide:
        state.batch = "none"
        state.settle_position(step + parts[1])
        return
    state.store(region, "old_used_idx", region.used_idx, step + parts[1])
    state.batch = "none"
    state.store(region, "old_used_wrap_counter", region.used_wrap_counter, step + parts[2])


def _roll_back(state: PackedState) -> None:
    """Forget what was in progress ("When reconnecting", 2)."""
    region = state.region
    # 2. free_head, used_idx, used_wrap_counter are the old ones
    fields = {"a": "free_head", "b": "used_idx", "c": "used_wrap_counter"}
    if state.choices.assignments == "one":
        old = {field: getattr(region, f"old_{field}") for field in fields.values()}
        state.store_together("packed.reconnect.2a", region, old)
        return
    # (hardened) free_head last: until then it tells a batch that is rolled back from one that was being settled
    order = "bca" if state.hardened and not state.wide else "abc"
    for part in order:
        field = fields[part]
        state.store(region, field, getattr(region, f"old_{field}"), f"packed.reconnect.2{part}")


def _unmark(state: PackedState) -> None:
    """Mark available again what a batch that was not published had marked used already (hardened)."""
    region, ring = state.region, state.ring
    first, first_wrap = state.slot(region.used_idx, "used_idx"), region.used_wrap_counter
    ahead, behind = used_flags(first_wrap), used_flags(first_wrap ^ 1)
    # the slots after the first one, once around; the flags of each are read when it is looked at
    to_the_end = (flags & MARKS == ahead for flags in ring.flags[first + 1 :])
    from_slot_0 = (flags & MARKS == behind for flags in ring.flags[:first])
    for number in state.looks("packed.reconnect.unmark.look", chain(to_the_end, from_slot_0)):
        slot, wrap = ring.advance(first, first_wrap, number + 1)
        state.store(ring.desc[slot], "flags", available_flags(wrap), "packed.reconnect.unmark")


def _clear_free_entries(state: PackedState) -> None:
    """Let no free entry be inflight ("When reconnecting", 3)."""
    # 3. the inflight field of a free entry is 0
    state.store_each(state.region.desc, _free_entries(state), "inflight", 0, "packed.reconnect.3")


def _free_entries(state: PackedState) -> Iterator[int]:
    """Walk the free list from its head to its end; where the next entry is, is read when that is asked for."""
    # No list has more than all entries: one that does not end there cycles, and is walked no further.
    number, walked = state.region.free_head, 0
    following, end = live_column(state.region.desc, "next"), state.entries
    while number < end:
        if walked == end:
            if state.strict:
                raise RegionError(f"the free list does not end after {walked} entries")
            return
        yield number
        number = following[number]
        walked += 1
