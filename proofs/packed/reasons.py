"""Why a mutant of the packed ring survives: which store, order or guard is not needed, and what does its work."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["REASONS"]

_NO_VERSION = "While version is 0 nothing of the region counts: the next process begins anew and sets all of it."
_COMMITS_AT_START = (
    "A first recovery finds slots or wrap counters that differ and free_head at old_free_head, takes that for a batch "
    "being settled, and commits: old_used_idx and old_used_wrap_counter are set before anything is fetched."
)
_BEFORE_COMMIT = (
    "Until receiving, 7, moves old_free_head, the entries of the chain are free ones: recovery takes free_head back "
    "and clears the mark. Only that it comes before packed.fetch.7 matters."
)
_BEFORE_PUBLISH = (
    "Until the flags of the batch's first element are written, a crash takes the whole batch back to the old values, "
    "and the driver reads no used element. Only that it comes before the last of packed.supply.7 matters."
)
_SETTLED_BY_FREE_HEAD = (
    "old_free_head is free_head by then: a crash in between is recognised by that, and recovery sets both fields again."
)
_NO_DUTY_AFTER_PUBLISH = (
    "The driver's part is over with the flags: it reads nothing of the region. A crash in between is mended by the "
    "next recovery, which commits or rolls back and signals, whatever was done before."
)
_CLEARED_AGAIN = "Clearing changes no link: after a crash in between, recovery clears the whole free list again."
_APART = (
    "Marking slots and clearing entries touch different memory, and neither reads what the other writes; "
    "packed.position still waits for both."
)
_FREE_ENTRY = (
    "There are as many entries as slots, and each slot that is fetched and not yet used holds one entry: where a "
    "descriptor is available, an entry is free. A driver that breaks the rules would need the guard."
)

REASONS: Mapping[str, str] = {
    "guard packed.init.6: cell(first) != 0": "Where the ring begins at slot 0 it stores the 0 that is there already.",
    "drop packed.init.4": _COMMITS_AT_START,
    "drop packed.init.7": _COMMITS_AT_START,
    "drop packed.idle.wake": (
        "A kick that is not taken wakes the back-end again and again: it never sleeps, which costs time, not requests."
    ),
    "drop packed.idle.disarm": "Without it the driver kicks while the back-end is at work: needless, and harmless.",
    "swap packed.init.1, packed.init.2": _NO_VERSION,
    "swap packed.init.2, packed.init.2": _NO_VERSION,
    "swap packed.init.2, packed.init.6": _NO_VERSION,
    "swap packed.init.6, packed.init.7": _NO_VERSION,
    "swap packed.init.7, packed.init.3": _NO_VERSION,
    "swap packed.init.2, packed.init.3": _NO_VERSION,
    "swap packed.init.3, packed.init.4": _NO_VERSION,
    "swap packed.init.4, packed.init.5": _COMMITS_AT_START,
    "swap packed.reconnect.1c2, packed.reconnect.1c3": _SETTLED_BY_FREE_HEAD,
    "swap packed.reconnect.1c3, packed.reconnect.2b": (
        "The commit has just made old_used_idx used_idx, so rolling used_idx back stores what is there."
    ),
    "swap packed.reconnect.2b, packed.reconnect.2c": (
        "free_head is rolled back after both. Until then it differs from old_free_head where there is anything to roll "
        "back, so the next recovery looks at d, which has not changed, and rolls back again."
    ),
    "swap packed.reconnect.2a, packed.reconnect.unmark": (
        "Which slots are marked follows from used_idx and used_wrap_counter, which are rolled back by then; they agree "
        "with the old ones, so the next recovery rolls free_head back without looking at a slot."
    ),
    "swap packed.reconnect.unmark, packed.reconnect.unmark": (
        "The driver meets none of them, since the slot before them is not marked; after a crash in between, recovery "
        "looks round the whole ring again."
    ),
    "swap packed.reconnect.unmark, packed.reconnect.3": _APART,
    "swap packed.reconnect.3, packed.reconnect.3": _CLEARED_AGAIN,
    "swap packed.reconnect.3, packed.reconnect.signal": _NO_DUTY_AFTER_PUBLISH,
    "swap packed.fetch.2a, packed.fetch.counter": _BEFORE_COMMIT,
    "swap packed.fetch.counter, packed.fetch.2b": _BEFORE_COMMIT,
    "swap packed.fetch.2b, packed.fetch.3": _BEFORE_COMMIT,
    "swap packed.fetch.2b, packed.fetch.4": _BEFORE_COMMIT,
    "swap packed.fetch.3, packed.fetch.4": _BEFORE_COMMIT,
    "swap packed.fetch.4, packed.fetch.5a": _BEFORE_COMMIT,
    "swap packed.fetch.5a, packed.fetch.5b": _BEFORE_COMMIT,
    "swap packed.fetch.5b, packed.fetch.5c": _BEFORE_COMMIT,
    "swap packed.fetch.5c, packed.fetch.5d": _BEFORE_COMMIT,
    "swap packed.fetch.5d, packed.fetch.6": _BEFORE_COMMIT,
    "swap packed.fetch.6, packed.fetch.3": _BEFORE_COMMIT,
    "swap packed.fetch.6, packed.fetch.4": _BEFORE_COMMIT,
    "swap packed.fetch.7, packed.fetch.submit": (
        "The device's own I/O dies with the process, so a request that it got before old_free_head was moved is as if "
        "it had not been fetched. Nothing is supplied while a request is in hand."
    ),
    "swap packed.supply.id, packed.supply.len": _BEFORE_PUBLISH,
    "swap packed.supply.len, packed.supply.3": _BEFORE_PUBLISH,
    "swap packed.supply.3, packed.supply.4": _BEFORE_PUBLISH,
    "swap packed.supply.4, packed.supply.id": _BEFORE_PUBLISH,
    "swap packed.supply.6a, packed.supply.6b": _BEFORE_PUBLISH,
    "swap packed.supply.8, packed.supply.8": _CLEARED_AGAIN,
    "swap packed.supply.8, packed.supply.9a": (
        "The entry leads the free list already, and free_head is old_free_head: a crash in between is recognised as a "
        "batch being settled, and recovery clears the whole free list."
    ),
    "swap packed.supply.9b, packed.supply.9c": _SETTLED_BY_FREE_HEAD,
    "swap packed.supply.9c, packed.notify.look": _NO_DUTY_AFTER_PUBLISH,
    "swap packed.supply.9c, packed.notify.call": _NO_DUTY_AFTER_PUBLISH,
    "swap packed.idle.wake, packed.idle.disarm": (
        "A kick that comes before it is taken belongs to a request that is there by then, and the look at the ring, "
        "which follows both, finds it."
    ),
    "swap packed.idle.disarm, packed.fetch.look": (
        "A request that comes between the look and the suppression is missed there, but before it rests the back-end "
        "asks to be kicked and looks again (packed.idle.look), and finds it."
    ),
    "guard packed.reconnect.1a: recover.mismatch == 1": (
        "Where they match and free_head differs, a chain was being fetched or a batch begun: used_idx has not moved, "
        "and the request in the next used slot is not used, so d is available and nothing is committed."
    ),
    "guard packed.reconnect.1.settled: recover.mismatch == 1": (
        "Where they match and free_head is old_free_head, committing stores what is there."
    ),
    "guard packed.reconnect.3: the whole ring was looked at": _APART,
    "guard packed.reconnect.3: recover.marked == 0": _APART,
    "guard packed.position: recover.marked == 0": (
        "A slot that is marked used is not passed before it is marked available, so recover.ahead stays below the "
        "ring's size, and the other half of the guard says it too."
    ),
    "guard packed.reconnect.4: choice < entries": (
        "The region has an entry for each descriptor, under the default of the gap region-size."
    ),
    "guard packed.reconnect.4.desc: recover.entry < entries": (
        "The entries of an inflight chain are linked, num of them, so each of them is an entry of the table. A region "
        "that was tampered with would need the guard."
    ),
    "guard packed.reconnect.unmark.look: recover.marked == 0": (
        "It looks at the same slot again and finds it as before."
    ),
    "guard packed.fetch.1: region.free_head < entries": _FREE_ENTRY,
    "guard packed.fetch.1: region.old_free_head < entries": _FREE_ENTRY,
    "guard packed.fetch.more: region.free_head < entries": _FREE_ENTRY,
    "guard packed.idle.arm: fetch.available == 0": (
        "Asking to be kicked while something is there is needless, and harmless: a back-end that rests with something "
        "there fetches it (packed.fetch.1) without a kick."
    ),
    "guard packed.idle.wake: fetch.available == 0": (
        "Taking the kick while something is there loses nothing: the ring is looked at afterwards."
    ),
    "guard packed.idle.wake: kick == 1": "A back-end that wakes without a kick looks at the ring in vain: it polls.",
    "guard packed.notify.call: supply.wanted == 1": "A needless notification: virtio has the driver expect such.",
}
"""By the name of the mutant."""
