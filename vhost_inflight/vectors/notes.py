"""What a crash right after a step leaves, which mistake that shows, and what the mistake does to a guest."""

from __future__ import annotations

from typing import Final

__all__ = ["LIVED", "note_of"]

Note = tuple[str, str]

LIVED: Final[Note] = (
    (
        "A life, op by op: a store that is missing, to the wrong place or in the wrong order shows here and in no "
        "single state; the next process then resubmits what is used or forgets what is not."
    ),
    "corrupts",
)

_INIT: Final[Note] = (
    (
        "The region is not finished and its version is 0: a back-end that adopts it takes zeros for a list, or an "
        "index of 0 for the ring's, and goes on at the wrong place."
    ),
    "hangs",
)
_MARKING: Final[Note] = (
    (
        "The request is not marked yet, or not all of it: a back-end that resubmits it, or goes on behind it, does it "
        "twice or never."
    ),
    "loses",
)
_MARKED: Final[Note] = (
    (
        "The request is inflight and nobody works on it any more: a back-end that does not resubmit it, with its "
        "counter's place in the order, loses it or lets later ones overtake it."
    ),
    "loses",
)
_BUILDING: Final[Note] = (
    "A batch is being built and nothing of it is visible: a back-end that takes its entries for done forgets requests.",
    "loses",
)
_PUBLISHED: Final[Note] = (
    (
        "The batch is visible and its inflight fields are still set: a back-end that resubmits by them gives the "
        "device what the driver has back, whose buffers may be in use for something else."
    ),
    "corrupts",
)
_SETTLING: Final[Note] = (
    (
        "The batch is being settled: a back-end that judges by the one field that has not moved yet rolls a visible "
        "batch back, or walks it again."
    ),
    "corrupts",
)
_SETTLED: Final[Note] = (
    (
        "All is settled and the process died before it notified: a back-end that repairs something here breaks it, and "
        "one that does not notify leaves a driver asleep."
    ),
    "hangs",
)
_RECOVERING: Final[Note] = (
    (
        "Recovery itself was cut off here: a back-end whose second recovery does not end where the first would have "
        "loses its place in the ring, or resubmits what it had cleared."
    ),
    "corrupts",
)
_RESUBMITTED: Final[Note] = (
    "Recovery was cut off while it resubmitted: the next one has to resubmit all of it again, in the same order.",
    "reorders",
)

_BY_STEP: Final[dict[str, Note]] = {
    "init": _INIT,
    "start": _INIT,
    "fetch": _MARKING,
    "split.fetch.2": _MARKED,
    "packed.fetch.7": _MARKED,
    "fetch.submit": _MARKED,
    "idle": _MARKED,
    "supply": _BUILDING,
    "packed.supply.6": (
        (
            "The batch's end is noted and no flags are updated: a back-end that takes it for visible forgets requests "
            "that the driver waits for; where the batch fills the ring, used_idx stays: the wrap counter tells."
        ),
        "loses",
    ),
    "packed.supply.7": (
        (
            "Flags are updated, the first slot's last: until that one nothing is visible, and what is marked behind it "
            "has to be taken back; with it all of the batch is."
        ),
        "corrupts",
    ),
    "split.supply.5": _PUBLISHED,
    "split.supply.6": _PUBLISHED,
    "packed.supply.8": _PUBLISHED,
    "packed.supply.9": _SETTLING,
    "split.supply.7": _SETTLED,
    "packed.supply.9c": _SETTLED,
    "notify": _SETTLED,
    "reconnect": _RECOVERING,
    "position": _RECOVERING,
    "counter": _RECOVERING,
    "split.reconnect.2": _RESUBMITTED,
    "packed.reconnect.4": _RESUBMITTED,
    "driver": _MARKING,
}


def note_of(step: str) -> Note:
    """Give the note and the severity of a crash after a step: those of the longest name that it begins with."""
    known = [n for n in _BY_STEP if step.startswith(n) or step.partition(".")[2].startswith(n)]
    return _BY_STEP[max(known, key=len)] if known else _MARKED
