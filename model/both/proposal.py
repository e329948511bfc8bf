"""What the text should say of both rings alike: sentences that belong to no numbered item."""

from __future__ import annotations

from model.proposal import Mend, Sentence
from model.proposal import Words as W  # noqa: N817

__all__ = ["NO_ORDER", "STORE_ORDER", "at_the_end", "counters", "note", "stopping", "store_order"]

NO_ORDER = Mend("no-order", "erratum", "v6 resubmits requests in an order that it does not name; merged has a counter")

STORE_ORDER = Mend("store-order", "order", "which stores must come before which")


def note(mend: str, text: str, *steps: str) -> Sentence:
    """Give a sentence that a mend adds as a whole."""
    return Sentence("", (W(text, mend, steps=steps),))


def store_order(*needed: W) -> Sentence:
    """Give the sentence about the order of stores: all of them, and those orders that a run is known to need."""
    begin = (
        "The stores are made in the order of these steps and, within a step, in the order in which it names the fields "
        "unless it says another, as far as a process that starts after a crash could tell. Known to be needed:"
    )
    return Sentence("", (W(begin, STORE_ORDER.name), *needed))


def counters(ring: str) -> tuple[Sentence, ...]:
    """Give the sentences about the global counter."""
    return (
        note(
            "counter-after-reconnect",
            "After reconnecting the global counter is one more than the greatest ``counter`` of the inflight "
            "entries, or 0 where nothing is inflight.",
            f"{ring}.counter",
        ),
        note(
            "counter-scope",
            "The global counter is one for each queue; one for all of them will do where no queue's reconnecting "
            "lowers it.",
            f"{ring}.counter",
            f"{ring}.fetch.counter",
            f"{ring}.fetch.bump",
        ),
    )


def at_the_end(ring: str) -> tuple[Sentence, ...]:
    """Give the sentences about the end of reconnecting, and about what a region belongs to."""
    return (
        note(
            "ring-at-start",
            "After reconnecting the back-end looks at the ring without waiting for a kick, which may have gone to "
            "the process before it.",
            f"{ring}.reconnect.ready",
            f"{ring}.fetch.look",
        ),
        note(
            "signal-at-start",
            "After reconnecting the back-end notifies the driver: the process before it may have died between making "
            "a batch visible and notifying.",
            f"{ring}.reconnect.signal",
        ),
        note(
            "event-fields",
            "After reconnecting the back-end asks anew to be kicked when it finds nothing to do: what the process "
            "before it asked for may never come.",
            f"{ring}.idle.arm",
        ),
        note(
            "recovery-start",
            "Reconnecting is done once for each queue of a connection, when its first kick file descriptor comes; a "
            "later one does not repeat it.",
            f"{ring}.start.adopt",
        ),
        note(
            "reset",
            "A region does not outlive a reset of the device, by its driver or with the machine, whether or not a "
            "back-end is there: the front-end drops it and asks for a new one; a back-end that is told of the reset "
            "forgets its own.",
            "driver.reset",
            "connection.reset",
        ),
        note(
            "region-size",
            "The region of a queue has as many entries as the ring has descriptors: ``desc_num`` is the ring's size.",
            f"{ring}.init.1",
        ),
    )


def stopping(ring: str) -> tuple[Sentence, ...]:
    """Give the sentences about a ring that is stopped and started again, and about one that is reset."""
    return (
        note(
            "stop",
            "``VHOST_USER_GET_VRING_BASE`` is answered when every request of the ring is completed, whatever was "
            "negotiated; ``VHOST_USER_GET_VRING_BASE_SKIP_DRAIN`` alone leaves requests in flight, recorded in the "
            "region, and the front-end hands the region on to whoever starts the ring again.",
            f"{ring}.start.adopt",
        ),
        note(
            "after-answer",
            "From the answer to either of them until the ring is started again the back-end stores nothing to the "
            "ring, to what its requests point to, or to the region, and notifies nobody; a request is not resubmitted "
            "as long as a device may still work on it.",
            f"{ring}.start.adopt",
            f"{ring}.reconnect.{'2' if ring == 'split' else '4'}",
        ),
        note(
            "stop-base",
            "Where the answer says that the ring was is where a fresh region begins; with any other, receiving goes "
            "on where ring and region say, after an answer as after a crash.",
            f"{ring}.position",
        ),
        note(
            "stop-scope",
            "An answer is for its ring alone: what the device works on for a ring that was not stopped goes on.",
            f"{ring}.start.adopt",
        ),
        note(
            "stop-death",
            "A back-end that dies before it has answered has completed nothing more: a migration does not go on then, "
            "or the region goes along.",
            f"{ring}.start.fresh",
        ),
        note(
            "ring-reset",
            "A reset of one ring is one of its share of the region: when the ring is started again, that is as in a "
            "fresh region. A back-end that is not told of it does not offer ``VIRTIO_F_RING_RESET``.",
            f"{ring}.start.fresh",
        ),
        note(
            "in-order",
            "Where in-order use is negotiated and one used element tells of a batch, every request of the batch is "
            "noted all the same: linked, cleared, and counted in the index. Inflight entries are resubmitted from the "
            "region, in the order of ``counter``, and given back in that order. A request for which the device wrote "
            "less than was asked for has a used element of its own.",
            *(
                (f"{ring}.supply.2", f"{ring}.supply.6")
                if ring == "split"
                else (f"{ring}.supply.3", f"{ring}.supply.8")
            ),
            f"{ring}.reconnect.{'2' if ring == 'split' else '4'}",
        ),
    )
