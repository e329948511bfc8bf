"""Fetching from a split ring ("When receiving available buffers from the driver"), and resting when there is nothing.

What is read of the ring is checked before it is used: the driver may write anything at any time.
"""

from refimpl.errors import DriverError, UsageError
from refimpl.memory import full_fence
from refimpl.split.state import SplitState

_ALLOWED = {"never": {"none"}, "until-publish": {"none", "open"}, "always": {"none", "open", "published"}}


def look(state: SplitState) -> None:
    """Read how far the driver has made requests available."""
    _check_turn(state, "look")
    _read_avail_idx(state)
    state.report("split.fetch.look")


def take(state: SplitState) -> int:
    """Fetch one request that was seen available and give it to the device; return its head."""
    _check_turn(state, "take")
    if state.seen_avail == state.last_avail:
        raise UsageError("there is nothing to take")
    # 1. the next head from the available ring
    head: int = state.ring.avail.ring[state.last_avail % state.ring.size]
    _check_head(state, head)
    state.last_avail = (state.last_avail + 1) % 65536
    state.report("split.fetch.1")
    if state.tracked(head):
        if state.merged:
            # (merged) the entry's counter is the global counter, which counts on
            state.store(state.region.desc[head], "counter", state.counter.value, "split.fetch.counter")
            state.counter.value += 1
            state.report("split.fetch.bump")
        # 2. the head is inflight
        state.store(state.region.desc[head], "inflight", 1, "split.fetch.2")
    else:
        state.report("split.fetch.untracked")
    state.submit(head)
    state.report("split.fetch.submit")
    return head


def arm(state: SplitState) -> None:
    """Ask for a kick when the driver makes the next request available."""
    _check_turn(state, "arm")
    if state.events_left:
        state.report("split.idle.unarmed")
        return
    if state.event_index:
        state.store(state.ring.avail_event, "event", state.last_avail, "split.idle.arm")
    else:
        state.store(state.ring.used, "flags", 0, "split.idle.arm")


def look_again(state: SplitState) -> None:
    """Read the available index once more: what came before the driver could see ``arm`` brings no kick."""
    _check_turn(state, "look_again")
    full_fence()
    _read_avail_idx(state)
    state.resting = state.seen_avail == state.last_avail
    state.report("split.idle.look")


def wake(state: SplitState) -> None:
    """Take a kick, and rest no longer."""
    _check_turn(state, "wake")
    state.kick_taken()
    state.resting = False
    state.events_left = False
    state.report("split.idle.wake")


def _check_turn(state: SplitState, method: str) -> None:
    """Refuse to fetch in a batch unless the gap fetch-in-batch allows it."""
    choice = state.choices.fetch_in_batch
    if state.batch not in _ALLOWED[choice]:
        raise UsageError(f"{method} while a batch is {state.batch}, and fetch-in-batch is {choice}")


def _read_avail_idx(state: SplitState) -> None:
    """Read the available index; check that it is no further ahead than the ring is long."""
    seen = state.ring.avail.idx
    ahead = (seen - state.last_avail) % 65536
    if state.strict and ahead > state.ring.size:
        behind = 65536 - ahead
        if behind <= state.ring.size:
            where = f"avail.idx is {seen}, {behind} before {state.last_avail}, where fetching goes on"
            raise DriverError(f"{where}: it went back, or more is used or marked inflight than was made available")
        raise DriverError(f"avail.idx is {seen}: {ahead} past {state.last_avail}, but the ring has {state.ring.size}")
    state.seen_avail = seen


def _check_head(state: SplitState, head: int) -> None:
    """Check a head read from the available ring."""
    if head >= state.ring.size:
        raise DriverError(f"head {head} was made available in a ring of {state.ring.size}")
    # between publish and clear the driver may rightly have made a head of the batch available again
    cleared = state.batch != "published"
    if state.strict and cleared and state.tracked(head) and state.region.desc[head].inflight:
        raise DriverError(f"head {head} was made available while it is inflight")
