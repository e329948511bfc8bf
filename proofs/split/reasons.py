"""Why a mutant of the split ring survives: which store, order or guard is not needed, and what does its work."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["REASONS"]

_BEFORE_PUBLISH = (
    "Nobody reads the batch list or the used element before used.idx moves: a crash before that leaves used_idx and "
    "used.idx equal, and recovery does not walk the list. Only that it comes before split.supply.5 matters."
)
_NO_DUTY_AFTER_PUBLISH = (
    "The driver's part is over with used.idx: it reads nothing of the region. A crash in between is mended by the "
    "next recovery, which commits used_idx and signals, whatever was done before."
)

REASONS: Mapping[str, str] = {
    "drop split.init.2": (
        "Recovery mends it: where used_idx differs from used.idx, step 1 walks a list that was never begun, clears "
        "fields that are 0, and commits used_idx. Nothing is inflight yet, so there is nothing to clear wrongly."
    ),
    "drop split.idle.wake": (
        "A kick that is not taken wakes the back-end again and again: it never sleeps, which costs time, not requests."
    ),
    "swap split.init.1, split.init.2": (
        "While version is 0 nothing of the region counts: the next process begins anew and sets both."
    ),
    "swap split.init.2, split.init.3": (
        "As without used_idx at all: a crash in between leaves a used_idx that differs, and reconnecting, step 1, "
        "commits it before anything is inflight."
    ),
    "swap split.fetch.2, split.fetch.submit": (
        "The device's own I/O dies with the process, so a request that it got and that is not marked is as if it had "
        "not been fetched: recovery finds its place by counting marks. Nothing is supplied while a request is in hand, "
        "so the mark is there before the request can become visible."
    ),
    "swap split.supply.id, split.supply.len": _BEFORE_PUBLISH,
    "swap split.supply.len, split.supply.2": _BEFORE_PUBLISH,
    "swap split.supply.2, split.supply.3": _BEFORE_PUBLISH,
    "swap split.supply.3, split.supply.id": _BEFORE_PUBLISH,
    "swap split.supply.6, split.supply.6": (
        "Until used_idx is settled, recovery clears every entry of the batch again, cleared or not."
    ),
    "swap split.supply.7, split.notify.look": _NO_DUTY_AFTER_PUBLISH,
    "swap split.supply.7, split.notify.call": _NO_DUTY_AFTER_PUBLISH,
    "swap split.idle.wake, split.fetch.look": (
        "A request that comes between the look and the taking of the kick is missed there, but before it rests the "
        "back-end asks to be kicked and looks again (split.idle.look), and finds it."
    ),
    "swap split.reconnect.1c, split.reconnect.signal": _NO_DUTY_AFTER_PUBLISH,
    "swap split.reconnect.1b, split.reconnect.1b": (
        "A crash between them leaves used_idx as it was, and the next recovery walks the whole list again: clearing "
        "changes no link."
    ),
    "guard split.reconnect.1a: recover.mismatch == 1": (
        "Where used_idx matches, the count is 0: nothing is cleared, and what is committed is what is there."
    ),
    "guard split.reconnect.2: choice < entries": (
        "The region has an entry for each head, under the default of the gap region-size."
    ),
    "guard split.idle.arm: fetch.seen_avail == fetch.last_avail": (
        "Asking to be kicked while something is there is needless, and harmless: a back-end that rests with something "
        "there fetches it (split.fetch.1) without a kick."
    ),
    "guard split.idle.wake: fetch.seen_avail == fetch.last_avail": (
        "Taking the kick while something is there loses nothing: the ring is looked at afterwards."
    ),
    "guard split.idle.wake: kick == 1": "A back-end that wakes without a kick looks at the ring in vain: it polls.",
    "guard split.notify.call: supply.wanted == 1": "A needless notification: virtio has the driver expect such.",
    "guard fetch: not after publishing": (
        "Until the batch is visible the driver cannot use its heads again, so what is fetched meanwhile is no entry of "
        "the batch list, and recovery does not clear it. This is the choice until-publish of the gap fetch-in-batch."
    ),
    "guard supply: no request in hand": (
        "The request in hand is not marked, or marked and not in the batch, and fetching stands still while a batch is "
        "open: the two do not touch the same entry."
    ),
}
"""By the name of the mutant; the same in both revisions."""
