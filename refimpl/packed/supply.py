"""Supplying used requests to the driver of a packed ring ("When supplying used buffers to the driver"), in batches.

The loop over 1 to 5 builds the batch in the region's free list, 6 moves the used position, 7 publishes, 8 and 9 tell
the region that it was published. In which order the flags are written, the text leaves open.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from refimpl.errors import RegionError, UsageError
from refimpl.layout import EVENT_DESC, EVENT_DISABLE
from refimpl.memory import full_fence
from refimpl.packed.recover import settle_batch
from refimpl.packed.ring import used_flags
from refimpl.packed.state import PackedState


@dataclass(frozen=True, slots=True)
class _Element:
    """One request of a batch: its entry and buffer id, and slot and wrap counter of its used element."""

    entry: int
    identity: int
    slot: int
    wrap: int


@dataclass(slots=True)
class _Batch:
    """A batch: the used position when it was opened, its elements in the order built, its descriptors so far."""

    start: int
    wrap: int
    elements: list[_Element] = field(default_factory=list)
    descriptors: int = 0


def supply(state: PackedState, next_finished: Callable[[], int | None]) -> int:
    """Supply one batch; return its requests. ``next_finished`` is called once a loop; None ends the batch."""
    if state.batch != "none":
        raise UsageError("supply while a batch is open")
    entry = next_finished()
    if entry is None:
        return 0
    region = state.region
    batch = _Batch(state.slot(region.used_idx, "used_idx"), region.used_wrap_counter)
    state.batch = "open"
    while entry is not None:
        _add(state, batch, entry)
        # 5. again, if batching is possible
        entry = next_finished()
    _move(state, batch)
    _publish(state, batch)
    if state.choices.signal_when == "after-publish":
        _notify(state, batch)
    # 8. the inflight field of each head in the batch is 0
    for element in batch.elements:
        state.store(region.desc[element.entry], "inflight", 0, "packed.supply.8")
    # 9. the old fields are the new ones
    settle_batch(state)
    if state.choices.signal_when == "after-commit":
        _notify(state, batch)
    return len(batch.elements)


def _add(state: PackedState, batch: _Batch, number: int) -> None:
    """Give the entries of one finished request back to the free list (1 to 4)."""
    region = state.region
    _check_finished(state, batch, number)
    # 1. and 2. a used request, and its entry e; its used element comes after the descriptors of the batch so far
    place = state.ring.advance(batch.start, batch.wrap, batch.descriptors)
    if state.choices.used_slot == "own":
        place = state.own_slots.get(number, place)
    element = _Element(number, state.id_of(number), *place)
    batch.elements.append(element)
    state.report("packed.supply.1", number)
    if state.choices.used_element == "in-loop":
        _write_element(state, element)
    # 3. next of its last entry is free_head
    entry = region.desc[number]
    last = state.entry(entry.last, f"last of entry {number}")
    state.store(last, "next", region.free_head, "packed.supply.3")
    # 4. free_head is e
    batch.descriptors += entry.num
    state.store(region, "free_head", number, "packed.supply.4")


def _move(state: PackedState, batch: _Batch) -> None:
    """Move the used position past the batch (6)."""
    region, size = state.region, state.ring.size
    number = len(batch.elements) if state.choices.batch_size == "requests" else batch.descriptors
    slot, wrap = state.ring.advance(batch.start, batch.wrap, number)
    # 6. used_idx is increased by the size of the batch; used_wrap_counter flips if the end of the ring was passed
    if state.choices.assignments == "one":
        state.store_together("packed.supply.6a", region, {"used_idx": slot, "used_wrap_counter": wrap})
        return
    state.store(region, "used_idx", slot, "packed.supply.6a")
    if batch.start + number >= size:
        state.store(region, "used_wrap_counter", wrap, "packed.supply.6b")
    else:
        state.report("packed.supply.6b.else")


def _publish(state: PackedState, batch: _Batch) -> None:
    """Update the flags of the used elements (7): the driver sees the batch from the first element on."""
    elements = batch.elements
    ordered = elements if state.choices.flags_order == "in-order" else elements[::-1]
    for element in ordered:
        if state.choices.used_element == "with-flags":
            _write_element(state, element)
        state.ids.discard(element.identity)
        if element is elements[0]:
            state.batch = "published"  # before the hook is called, as everything that a step changes
        # 7. AVAIL and USED are the wrap counter of the slot's lap
        state.store(state.ring.desc[element.slot], "flags", used_flags(element.wrap), "packed.supply.7")


def _write_element(state: PackedState, element: _Element) -> None:
    """Write what the driver reads of a used element: the buffer id, and how many bytes the device wrote."""
    slot = state.ring.desc[element.slot]
    state.store(slot, "id", state.id_of(element.entry), "packed.supply.id")
    state.store(slot, "len", state.used_len(element.entry), "packed.supply.len")


def _notify(state: PackedState, batch: _Batch) -> None:
    """Notify the driver if it asked to be, for a descriptor in the batch."""
    # the driver stores when to be notified and then looks at the next slot: one of both sees the other's store
    full_fence()
    event = state.ring.driver_event
    flags = event.flags  # read once: the driver may store it meanwhile
    wanted = flags != EVENT_DISABLE
    state.report("packed.notify.look")
    if state.event_index:
        # the driver stores off_wrap before flags: where flags speak of it, it is there
        wanted = _is_among(state, batch, event.off_wrap) if flags == EVENT_DESC else wanted
        state.report("packed.notify.index")
    if wanted:
        state.call()
        state.report("packed.notify.call")
    else:
        state.report("packed.notify.none")


def _is_among(state: PackedState, batch: _Batch, off_wrap: int) -> bool:
    """Return whether a slot, with its wrap counter in bit 15, is among those that the batch has used."""
    offset, wrap = off_wrap & 0x7FFF, off_wrap >> 15
    ahead = offset - batch.start + (0 if wrap == batch.wrap else state.ring.size)
    return 0 <= ahead < batch.descriptors


def _check_finished(state: PackedState, batch: _Batch, number: int) -> None:
    """Refuse an entry that the device cannot have finished; of an honest device none is."""
    if not 0 <= number < state.entries:
        raise UsageError(f"entry {number} was finished in a region of {state.entries}")
    if not state.strict:
        return
    if any(element.entry == number for element in batch.elements):
        raise UsageError(f"entry {number} was finished twice")
    if not state.region.desc[number].inflight:
        raise RegionError(f"entry {number} was finished, and is not marked inflight")
    length = state.region.desc[number].num
    if not 1 <= length <= state.ring.size - batch.descriptors:
        raise RegionError(f"num of entry {number} is {length}, after {batch.descriptors} descriptors of its batch")
