"""What the text should say of the packed ring: mends of its defects, and each order and choice that they rest on."""

from __future__ import annotations

from model.both.proposal import STORE_ORDER, at_the_end, counters, note, stopping, store_order
from model.proposal import Mend, Sentence
from model.proposal import Words as W  # noqa: N817

__all__ = ["ERRATA", "SENTENCES"]

ERRATA: tuple[Mend, ...] = (
    Mend(
        "whole-ring",
        "erratum",
        "a batch as long as the ring leaves used_idx where it was, and reconnecting misses it",
        "compare-wrap-counters",
    ),
    Mend(
        "half-rolled-back",
        "erratum",
        "free_head, rolled back first, would look like that of a batch that is being settled",
        "roll-back-free-head-last",
    ),
    Mend(
        "half-settled",
        "erratum",
        "a crash while a batch is settled leaves a slot with the wrap counter of another lap",
        "settled-by-free-head",
        ("half-rolled-back",),
    ),
    Mend(
        "marked-used",
        "erratum",
        "reconnecting rolls a batch back and leaves its slots marked used",
        "unmark-used",
    ),
)
"""The defects of the text, in an order in which each mend may be the last that is made."""


def _order(text: str, *orders: tuple[str, str]) -> W:
    return W(text, STORE_ORDER.name, orders)


_FIELDS = "``old_free_head``, ``old_used_idx`` and ``old_used_wrap_counter``"
_VALUES = "``free_head``, ``used_idx`` and ``used_wrap_counter``"
_FIRST = ", ``old_free_head`` before the other two"

_SUPPLYING = (
    Sentence(
        "supplying",
        (
            W("Increase ``used_idx`` by the size of the batch", steps=("packed.supply.6a",)),
            W(", which counts the descriptors of all its chains", "batch-size", steps=("packed.supply.6a",)),
            W(
                "; flip ``used_wrap_counter`` where that passes the end of the ring",
                steps=("packed.supply.6b", "packed.supply.6b.else"),
            ),
        ),
        "6",
    ),
    Sentence(
        "supplying",
        (
            W("Update ``d.flags`` for each request of the batch", steps=("packed.supply.7",)),
            W(
                ", for the first one last: from then on the driver may see all of them",
                "flags-order",
                (("packed.supply.7", "packed.supply.7"),),
            ),
        ),
        "7",
    ),
    Sentence(
        "supplying",
        (
            W(
                f"Settle the batch: set {_FIELDS} to {_VALUES}",
                steps=("packed.supply.9a", "packed.supply.9b", "packed.supply.9c"),
            ),
            W(_FIRST, "half-settled", (("packed.supply.9a", "packed.supply.9b"),)),
        ),
        "9",
    ),
)

_RECONNECTING = (
    Sentence(
        "reconnecting",
        (
            W("If ``used_idx`` is not ``old_used_idx``", steps=("packed.reconnect.1",)),
            W(
                ", or ``used_wrap_counter`` is not ``old_used_wrap_counter`` (a batch as long as the ring leaves "
                "``used_idx`` where it was)",
                "whole-ring",
                steps=("packed.reconnect.1",),
            ),
            W(
                ", a batch was begun and not settled, and ``inflight`` of its entries may be wrong:",
                steps=("packed.reconnect.1.else",),
            ),
        ),
        "1",
    ),
    Sentence(
        "reconnecting",
        (
            W("If "),
            W(
                "``free_head`` is ``old_free_head`` (the batch was being settled), or ",
                "half-settled",
                steps=("packed.reconnect.1.settled", "packed.reconnect.1a"),
            ),
            W("``d.flags`` are not the calculated flags", steps=("packed.reconnect.1a", "packed.reconnect.1c.else")),
            W(
                " (``AVAIL`` and ``USED`` are compared, and no other bit)",
                "flags-compare",
                steps=("packed.reconnect.1a",),
            ),
            W(
                f", the batch was published, so commit it: set {_FIELDS} to {_VALUES}",
                steps=("packed.reconnect.1c1", "packed.reconnect.1c2", "packed.reconnect.1c3"),
            ),
            W(_FIRST, "half-settled", (("packed.reconnect.1c1", "packed.reconnect.1c2"),)),
        ),
        "1(c)",
    ),
    Sentence(
        "reconnecting",
        (
            W(
                f"Roll back what is in progress: set {_VALUES} to {_FIELDS}",
                steps=("packed.reconnect.2a", "packed.reconnect.2b", "packed.reconnect.2c"),
            ),
            W(
                ", ``free_head`` after the other two",
                "half-rolled-back",
                (("packed.reconnect.2c", "packed.reconnect.2a"),),
                ("packed.reconnect.2b",),
            ),
        ),
        "2",
    ),
    Sentence(
        "reconnecting",
        (
            W(
                "After that, look at each slot of the ring after ``used_idx``, once round, with the wrap counter "
                "that it has there: where its flags say used (the driver has not met it), make them say available, "
                "with ``AVAIL`` equal to that wrap counter and ``USED`` not. All of this comes before anything is "
                "received",
                "marked-used",
                steps=(
                    "packed.reconnect.unmark.look",
                    "packed.reconnect.unmark",
                    "packed.reconnect.3",
                    "packed.position",
                ),
            ),
        ),
        "2",
    ),
)

_STORES = store_order(
    _order(
        " when receiving, ``free_head`` is moved before ``old_free_head``;",
        ("packed.fetch.6", "packed.fetch.7"),
    ),
    _order(
        " when supplying, ``free_head`` leads to the last chain of the batch before ``used_idx`` is increased,",
        ("packed.supply.4", "packed.supply.6a"),
    ),
    _order(
        " ``used_idx`` and ``used_wrap_counter`` are right before any flags are updated,",
        ("packed.supply.6a", "packed.supply.7"),
        ("packed.supply.6b", "packed.supply.7"),
    ),
    _order(
        " and ``inflight`` of an entry is cleared after all flags are updated;",
        ("packed.supply.7", "packed.supply.8"),
    ),
    _order(
        " whether the driver wants to be notified is read after all flags are updated;",
        ("packed.supply.7", "packed.notify.look"),
    ),
    _order(
        " and a back-end that finds nothing available asks to be kicked before it looks at the ring again.",
        ("packed.idle.arm", "packed.idle.look"),
    ),
)

_NOTES = (
    _STORES,
    note(
        "init-order",
        "A back-end that finds ``version`` 0 initialises the region before it uses it, when it knows where the ring "
        "is (``VHOST_USER_SET_VRING_BASE``): ``desc_num``, the free list, ``used_idx``, ``old_used_idx`` and both "
        "wrap counters, and ``version`` after them.",
        *(f"packed.init.{n}" for n in range(1, 8)),
    ),
    note(
        "free-list",
        "In a region that is initialised all entries are free: ``next`` of entry ``i`` is ``i + 1``, and "
        "``desc_num`` is the end of the list.",
        "packed.init.2",
    ),
    note(
        "first-wrap",
        "Both wrap counters of a region begin with 1 where the ring has not been used.",
        "packed.init.3",
        "packed.init.4",
    ),
    note(
        "fresh-used-idx",
        "``used_idx``, ``old_used_idx`` and both wrap counters of a region that is initialised are those of the next "
        "used slot, as ``VHOST_USER_SET_VRING_BASE`` says: the ring may have been in use before.",
        "packed.init.6",
        "packed.init.7",
        "packed.init.3",
        "packed.init.4",
    ),
    *counters("packed"),
    note(
        "fetch-position",
        "After reconnecting, receiving goes on at the slot of ``used_idx`` plus ``num`` of all inflight entries, "
        "whatever ``VHOST_USER_SET_VRING_BASE`` says.",
        "packed.position",
    ),
    note(
        "used-slot",
        "The used elements of a batch are written to the ring from ``used_idx`` on, in the order in which requests "
        "are given back, each as many slots behind the one before as that one's chain has descriptors; not to the "
        "slots that they were received from.",
        "packed.supply.id",
        "packed.supply.len",
        "packed.supply.7",
    ),
    Sentence(
        "",
        (
            W(
                "No available buffer is received from the first one of a batch until the batch is settled,",
                "fetch-in-batch",
                (("packed.supply.9c", "packed.fetch.1"),),
            ),
            W(
                " and no buffer is supplied while a chain is being received:",
                "fetch-in-batch",
                (("packed.fetch.7", "packed.supply.1"),),
            ),
            W(" both move ``free_head``.", "fetch-in-batch"),
        ),
    ),
    *at_the_end("packed"),
    *stopping("packed"),
)

SENTENCES: tuple[Sentence, ...] = (*_SUPPLYING, *_RECONNECTING, *_NOTES)
"""In the order of the text; those without a number follow its lists."""
