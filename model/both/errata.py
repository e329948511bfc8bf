"""The entries of docs/errata-2026.md: what the specification raised around the chapter, by the names of that page.

Most are settled by a sentence of `proposal`; two are corrections of what is said of a message, which no mend touches.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["SINCE", "Erratum"]


@dataclass(frozen=True)
class Erratum:
    """Its name, what it is about, and either the mend that settles it and a recorded run, or the correction."""

    name: str
    about: str
    mend: str = ""
    run: str = ""
    """The recorded run of the page, by ring, folder and name."""
    correction: str = ""
    rings: tuple[str, ...] = ("split", "packed")


SINCE = (
    Erratum(
        "bit-20",
        "GET_VRING_BASE under bit 20 leaves requests in flight in one version of the text, and drains in a later one",
        "stop",
        "split/later/hardened-stop-may-suspend-under-skip-drain-nothing-lost",
    ),
    Erratum(
        "base-of-45",
        "which base GET_VRING_BASE_SKIP_DRAIN answers, and whether fetching goes on there, is not said",
        "stop-base",
        "split/later/hardened-stop-skip-drain-under-skip-drain-stop-base-behind-plus-nothing-lost",
    ),
    Erratum(
        "after-the-answer",
        "a suspended device may clear entries, or work on, since the region is no guest memory",
        "after-answer",
        "split/later/hardened-after-answer-clears-stop-skip-drain-under-skip-drain-nothing-lost",
    ),
    Erratum(
        "dead-source",
        "what becomes of a migration whose back-end dies before it answers is not said",
        "stop-death",
        "split/later/hardened-stop-drain-under-drain-stop-death-moves-nothing-lost",
    ),
    Erratum(
        "one-ring",
        "what becomes of the device's work for rings that were not stopped is not said",
        "stop-scope",
        "split/later/hardened-stop-skip-drain-under-skip-drain-stop-scope-device-drains",
    ),
    Erratum(
        "free-running",
        "free-running indices of 15 bits do not name a slot of a packed ring of any size",
        correction="An index is a slot of the ring, and the wrap counter is of the driver's lap there",
        rings=("packed",),
    ),
    Erratum(
        "ring-reset",
        "what becomes of the region's share when one ring is reset is not said",
        "ring-reset",
        "split/later/hardened-ring-reset-kept-no-used-resubmitted",
    ),
    Erratum(
        "in-order",
        "what the region notes when one used element tells of a whole batch is not said",
        "in-order",
        "split/later/hardened-in-order-one-entry-no-used-resubmitted",
    ),
    Erratum(
        "get-inflight-fd",
        "the description of GET_INFLIGHT_FD gives it a payload and no reply; the list of messages gives it one",
        correction="The reply's payload is the inflight description, and a file descriptor comes with it",
    ),
)
"""In the order of the page."""
