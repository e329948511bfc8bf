"""Start of a split queue: initialise a fresh region or adopt one, reconnect, find the position, resubmit.

Each function is a block of the text ("When reconnecting"), and each comment a step of it. A crash may come after any
step; a new process then begins with ``start`` again.
"""

from typing import Any

from refimpl.both.resubmission import resubmission
from refimpl.errors import RegionError
from refimpl.layout import VERSION, column
from refimpl.memory import store
from refimpl.split.state import SplitState


def prepare_region(region: Any, used_idx: int = 0) -> None:
    """Initialise a region before a front-end gets it (gap init-order, before-hand-over): unseen, so no steps.

    ``used_idx`` is that of the ring, as far as it is known then.
    """
    store(region, "desc_num", len(region.desc))
    store(region, "used_idx", used_idx)
    store(region, "version", VERSION)


def start(state: SplitState) -> None:
    """Begin to serve a queue, fresh or after a crash. Raises RegionError for a region that nobody can have left."""
    fresh = _initialise(state)
    state.batch = "none"
    state.mismatch = False
    state.events_left = state.choices.event_fields == "left"
    if fresh and state.choices.fresh_used_idx == "zero-and-skip":
        state.report("split.start.skip")
    else:
        _commit_last_batch(state)
    _go_on(state)


def recover_again(state: SplitState) -> None:
    """Reconnect in the living process, because a kick fd came again (gap recovery-start, every-kick)."""
    state.report("connection.kick")
    state.mismatch = False
    _commit_last_batch(state)
    _go_on(state)


def _initialise(state: SplitState) -> bool:
    """Initialise the region if it is fresh; return whether it was."""
    region = state.region
    if region.version != 0:
        _check_region(state)
        state.report("split.start.adopt")
        return False
    if state.choices.init_order == "before-hand-over":
        raise RegionError("version is 0, but the region was initialised before it was handed over")
    state.report("split.start.fresh")
    version_first = state.choices.init_order == "version-first"
    # 3. (gap init-order: version-first)
    if version_first:
        state.store(region, "version", VERSION, "split.init.3")
    # 1. desc_num is the number of entries
    state.store(region, "desc_num", state.entries, "split.init.1")
    # 2. used_idx is that of the used ring, which may have been in use
    if state.choices.fresh_used_idx == "from-ring":
        state.store(region, "used_idx", state.ring.used.idx, "split.init.2")
    # 3. the version says that the region is initialised: last, so that a crash before it leaves a fresh region
    if not version_first:
        state.store(region, "version", VERSION, "split.init.3")
    return True


def _check_region(state: SplitState) -> None:
    """Check what an adopted region says about itself."""
    region = state.region
    if region.version != VERSION:
        raise RegionError(f"version is {region.version}; this back-end knows {VERSION}")
    if state.strict and region.desc_num != state.entries:
        raise RegionError(f"desc_num is {region.desc_num}; the region has {state.entries} entries")


def _commit_last_batch(state: SplitState) -> None:
    """Finish the batch that was published but not yet cleared ("When reconnecting", 1)."""
    ring, region = state.ring, state.region
    # 1. does used_idx match the idx value of the used ring?
    used, stored = ring.used.idx, region.used_idx
    state.mismatch = used != stored
    state.report("split.reconnect.1")
    if not state.mismatch:
        state.report("split.reconnect.1.else")
        return
    # (a) the number of in-progress entries
    size_of_batch = _batch_size(state, used, stored)
    entry = region.last_batch_head
    state.report("split.reconnect.1a")
    # (b) they start at the list head, and are no longer inflight
    for _ in range(size_of_batch):
        if entry >= state.entries:
            raise RegionError(f"the list of the last batch leads to entry {entry} of {state.entries}")
        state.store(region.desc[entry], "inflight", 0, "split.reconnect.1b")
        entry = region.desc[entry].next
    # (c) used_idx is that of the used ring
    state.store(region, "used_idx", ring.used.idx, "split.reconnect.1c")


def _batch_size(state: SplitState, used: int, stored: int) -> int:
    """Return how many entries of the list are to be cleared (gap batch-size)."""
    match state.choices.batch_size:
        case "mod-queue-size":
            number = (used - stored) % state.ring.size
        case "signed":
            number = used - stored
        case _:
            number = (used - stored) % 65536
    # A region whose used_idx began at 0 on a ring in use owes its number to that: a walk over an empty list, harmless.
    began_at_zero = state.choices.fresh_used_idx != "from-ring"
    if state.strict and not began_at_zero and number > state.ring.size:
        raise RegionError(f"used_idx is {stored}, that of the ring {used}: a batch longer than the ring")
    return number


def _go_on(state: SplitState) -> None:
    """Find where fetching goes on, resubmit what is inflight, tell the driver, and be ready."""
    inflight = _inflight_entries(state)
    _position(state, len(inflight))
    entries = state.region.desc
    counters = {entry: entries[entry].counter if state.merged else 0 for entry in inflight}
    if state.merged:
        _set_counter(state, list(counters.values()))
    _resubmit(state, counters)
    # the driver may have missed the notification of what was published last
    signal = state.choices.signal_at_start
    if signal == "always" or (signal == "on-mismatch" and state.mismatch):
        state.call()
        state.report("split.reconnect.signal")
    state.resting = state.choices.ring_at_start == "wait"
    state.report("split.reconnect.ready")


def _inflight_entries(state: SplitState) -> list[int]:
    """Return the inflight entries in table order. Raises RegionError for one that cannot be."""
    marks = {number: mark for number, mark in enumerate(column(state.region.desc, "inflight")) if mark}
    for number, mark in marks.items():
        if number >= state.ring.size:
            raise RegionError(f"entry {number} is inflight, past the ring's {state.ring.size} entries")
        if state.strict and mark > 1:
            raise RegionError(f"the inflight field of entry {number} is {mark}, neither 0 nor 1")
    return list(marks)


def _position(state: SplitState, inflight: int) -> None:
    """Set the position of the next fetch (gap fetch-position): each request before it is used or inflight."""
    match state.choices.fetch_position:
        case "used-idx":
            state.last_avail = state.ring.used.idx
        case "avail-idx":
            state.last_avail = state.ring.avail.idx
        case _:
            state.last_avail = (state.ring.used.idx + inflight) % 65536
    state.seen_avail = state.last_avail  # nothing is seen before the next look
    state.report("split.position")


def _set_counter(state: SplitState, counters: list[int]) -> None:
    """Set the global counter past that of each inflight entry (gaps counter-*)."""
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
    state.report("split.counter")


def _resubmit(state: SplitState, counters: dict[int, int]) -> None:
    """Resubmit each inflight entry ("When reconnecting", 2): merged in the order of the counter, v6 in no order."""
    steered = state.merged or state.choices.resubmit_order == "any"
    for head in resubmission(counters, state.choose if steered else None):
        state.submit(head)
        state.report("split.reconnect.2", head)
