"""Supplying used requests to the driver of a split ring ("When supplying used buffers to the driver"), in batches.

The loop over 1 to 4 builds the batch in the region's list, 5 publishes it, 6 and 7 tell the region that it was
published. Where the used elements are written and when the driver is notified, the text leaves open.
"""

from collections.abc import Callable

from refimpl.errors import RegionError, UsageError
from refimpl.layout import AVAIL_NO_INTERRUPT
from refimpl.memory import full_fence
from refimpl.split.state import SplitState


def supply(state: SplitState, next_finished: Callable[[], int | None]) -> int:
    """Supply one batch; return its size. ``next_finished`` is called once a loop; None ends the batch."""
    if state.batch != "none":
        raise UsageError("supply while a batch is open")
    head = next_finished()
    if head is None:
        return 0
    choices = state.choices
    old = state.ring.used.idx
    state.batch = "open"
    batch = _build(state, old, head, next_finished)
    if choices.used_element == "before-publish":
        state.report("split.supply.elements")
        _write_elements(state, old, batch)
    _publish(state, old, len(batch))
    if choices.used_element == "after-publish":
        _write_elements(state, old, batch)
        state.report("split.supply.elements")
    if choices.signal_when == "after-publish":
        _notify(state, old)
    _commit(state, batch)
    if choices.signal_when == "after-commit":
        _notify(state, old)
    return len(batch)


def _build(state: SplitState, old: int, first: int, next_finished: Callable[[], int | None]) -> list[int]:
    """Put each finished request at the front of the region's list (1 to 4); return the batch in its order."""
    region = state.region
    batch: list[int] = []
    head: int | None = first
    while head is not None:
        _check_finished(state, head, batch)
        # 1. the head of a used request
        state.report("split.supply.1", head)
        if state.choices.used_element == "in-loop":
            _write_element(state, old, len(batch), head)
        if state.tracked(head):
            # 2. its next is the list head
            state.store(region.desc[head], "next", region.last_batch_head, "split.supply.2")
            # 3. it is the list head
            state.store(region, "last_batch_head", head, "split.supply.3")
        else:
            state.report("split.supply.untracked")
        batch.append(head)
        # 4. again, if batching is possible
        head = next_finished()
    return batch


def _publish(state: SplitState, old: int, count: int) -> None:
    """Increase the idx value of the used ring by the size of the batch (5): the driver sees it from here on."""
    state.batch = "published"  # before the hook is called, as everything that a step changes
    state.store(state.ring.used, "idx", (old + count) % 65536, "split.supply.5")


def _commit(state: SplitState, batch: list[int]) -> None:
    """Tell the region what was published (6 and 7): nothing of the batch is inflight."""
    region = state.region
    # 6. the inflight field of each entry in the batch is 0
    for head in batch:
        if state.tracked(head):
            state.store(region.desc[head], "inflight", 0, "split.supply.6")
        else:
            state.report("split.supply.6.untracked")
    # 7. used_idx is the idx value of the used ring
    state.batch = "none"
    state.store(region, "used_idx", state.ring.used.idx, "split.supply.7")


def _write_elements(state: SplitState, old: int, batch: list[int]) -> None:
    """Write the used elements of the whole batch (gap used-element)."""
    for count, head in enumerate(batch):
        _write_element(state, old, count, head)


def _write_element(state: SplitState, old: int, count: int, head: int) -> None:
    """Write one used element: the head, and how many bytes the device wrote."""
    element = state.ring.used.ring[(old + count) % state.ring.size]
    state.store(element, "id", head, "split.supply.id")
    state.store(element, "len", state.used_len(head), "split.supply.len")


def _notify(state: SplitState, old: int) -> None:
    """Notify the driver if it asked to be, for an index in the batch; ``old`` is the used index before it."""
    # the driver stores when to be notified and then looks at the used index: one of both sees the other's store
    full_fence()
    if state.event_index:
        ahead = (state.ring.used_event.event - old) % 65536
        wanted = ahead < (state.ring.used.idx - old) % 65536
    else:
        wanted = not state.ring.avail.flags & AVAIL_NO_INTERRUPT
    state.report("split.notify.look")
    if wanted:
        state.call()
        state.report("split.notify.call")
    else:
        state.report("split.notify.none")


def _check_finished(state: SplitState, head: int, batch: list[int]) -> None:
    """Refuse a head that the device cannot have finished; of an honest device none is."""
    if not 0 <= head < state.ring.size:
        raise UsageError(f"head {head} was finished in a ring of {state.ring.size}")
    if not state.strict:
        return
    if head in batch:
        raise UsageError(f"head {head} was finished twice")
    if state.tracked(head) and not state.region.desc[head].inflight:
        raise RegionError(f"head {head} was finished, and is not marked inflight")
