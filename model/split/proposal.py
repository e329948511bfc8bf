"""What the text should say of the split ring: a sentence for each order and each choice that the proof rests on."""

from __future__ import annotations

from model.both.proposal import STORE_ORDER, at_the_end, counters, note, stopping, store_order
from model.proposal import Sentence
from model.proposal import Words as W  # noqa: N817

__all__ = ["SENTENCES"]


def _order(text: str, *orders: tuple[str, str]) -> W:
    return W(text, STORE_ORDER.name, orders)


SENTENCES: tuple[Sentence, ...] = (
    Sentence(
        "reconnecting",
        (
            W(
                "Count the entries of the last batch: the ``idx`` value of the used ring less ``used_idx``",
                steps=("split.reconnect.1a",),
            ),
            W(", modulo 65536", "batch-size", steps=("split.reconnect.1a",)),
        ),
        "1(a)",
    ),
    store_order(
        _order(
            " when receiving, ``counter`` of an entry is set before its ``inflight``;",
            ("split.fetch.counter", "split.fetch.2"),
        ),
        _order(
            " when supplying, ``last_batch_head`` leads to the last entry of the batch before the ``idx`` value of "
            "the used ring is increased,",
            ("split.supply.3", "split.supply.5"),
        ),
        _order(
            " ``inflight`` of its entries is cleared after that,",
            ("split.supply.5", "split.supply.6"),
        ),
        _order(
            " and ``used_idx`` is set after the last of them is cleared;",
            ("split.supply.6", "split.supply.7"),
        ),
        _order(
            " when reconnecting, too, ``used_idx`` is set after the last ``inflight`` is cleared;",
            ("split.reconnect.1b", "split.reconnect.1c"),
        ),
        _order(
            " whether the driver wants to be notified is read after the ``idx`` value has been increased;",
            ("split.supply.5", "split.notify.look"),
        ),
        _order(
            " and a back-end that finds nothing available asks to be kicked before it looks at the ring again.",
            ("split.idle.arm", "split.idle.look"),
        ),
    ),
    note(
        "init-order",
        "A back-end that finds ``version`` 0 initialises the region before it uses it: ``desc_num`` and "
        "``used_idx``, and ``version`` after them.",
        "split.init.1",
        "split.init.2",
        "split.init.3",
    ),
    note(
        "fresh-used-idx",
        "``used_idx`` of a region that is initialised is the ``idx`` value of the used ring, which may have been in "
        "use before.",
        "split.init.2",
    ),
    *counters("split"),
    note(
        "fetch-position",
        "After reconnecting, receiving goes on at the ``idx`` value of the used ring plus the number of inflight "
        "entries, whatever ``VHOST_USER_SET_VRING_BASE`` says.",
        "split.position",
    ),
    note(
        "used-element",
        "The used ring's elements of a batch are written before its ``idx`` value is increased.",
        "split.supply.id",
        "split.supply.len",
        "split.supply.5",
    ),
    Sentence(
        "",
        (
            W(
                "No available buffer is received from the first one of a batch until ``used_idx`` is set: a head "
                "that the driver has back may come again at once, and would lose its ``inflight`` with the batch.",
                "fetch-in-batch",
                (("split.supply.7", "split.fetch.1"),),
            ),
        ),
    ),
    *at_the_end("split"),
    *stopping("split"),
)
"""In the order of the text; those without a number follow its lists."""
