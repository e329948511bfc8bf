"""What the packed ring's text says in one way, and back-ends or drivers may do in another: open in no revision.

A reading is a named choice as a gap's is, with the text's own way first; it is judged. No back-end here can be asked
for one, so its runs are played on the model.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise, permutations
from typing import Any

from model.gaps import Alternative as A  # noqa: N817
from model.gaps import Edits, Gap
from model.packed import history
from model.packed.serve import close_batch, mark_used
from model.steps import Edit, HistoryOf, Remove, Replace, Table
from model.terms import all_of, ite

__all__ = ["READINGS", "others_forwards", "settled_as"]

# settle-order

Store = Callable[[Any], None]


def _free_head(s: Any) -> None:
    s.region.old_free_head = s.region.free_head


def _used_idx(s: Any) -> None:
    s.region.old_used_idx = s.region.used_idx


def _wrap_counter(s: Any) -> None:
    s.region.old_used_wrap_counter = s.region.used_wrap_counter


_STORES: dict[str, tuple[str, Store]] = {
    "head": ("packed.supply.9a", _free_head),
    "idx": ("packed.supply.9b", _used_idx),
    "wrap": ("packed.supply.9c", _wrap_counter),
}
"""By a word of the choice: the step of a store of supplying 9, and the store."""


def _closing(store: Store) -> Store:
    def last(s: Any) -> None:
        store(s)
        close_batch(s)

    return last


def settled_as(order: tuple[str, ...]) -> Edits:
    """Let the stores of supplying 9 come in another order: the first begins when all is cleared, the last ends all."""

    def edits(table: Table) -> list[Edit]:
        first, last = table.step("packed.supply.9a"), table.step("packed.supply.9c")
        labels = (*first.at, "settle 2", "settle 3", str(last.to))
        changed: list[Edit] = []
        for word, (at, to) in zip(order, pairwise(labels), strict=True):
            step_id, store = _STORES[word]
            ends, begins = word == order[-1], word == order[0]
            changed.append(
                Replace(step_id, {
                    "at": (at,), "to": to, "do": _closing(store) if ends else store,
                    "when": first.when if begins else lambda _: all_of(), "tags": last.tags if ends else frozenset(),
                })
            )  # fmt: skip
        return changed

    return edits


def _orders() -> tuple[A, ...]:
    fields = {"head": "old_free_head", "idx": "old_used_idx", "wrap": "old_used_wrap_counter"}
    return tuple(
        A("-".join(order), ", ".join(fields[word] for word in order), settled_as(order) if number else lambda _: [])
        for number, order in enumerate(permutations(fields))
    )


# flags-of-others


def others_forwards(_: Table) -> list[Edit]:
    """Update the flags of the second element first, those of the first still last."""

    def update(s: Any) -> None:
        mark_used(s, history.others_number(s))
        s.supply.open = ite(s.supply.cursor == 1, 2, 1)
        s.supply.cursor = s.supply.cursor - 1

    tags = frozenset({"publish others"})
    sentence = "Update the flags of the next used element: of the second, and so on to the last, and then of the first."
    return [
        Replace("packed.supply.7", {"do": update, "sentence": sentence, "tags": tags}),
        HistoryOf(
            "packed.supply.7", lambda s: history.publish(s, *history.published_slot(s, history.others_number(s)))
        ),
    ]


# batches, chains


def batches_of_one(_: Table) -> list[Edit]:
    """Publish after each request."""
    return [Replace("packed.supply.1", {"at": ("idle",), "sentence": "Get the entry of one request that is finished."})]


def chains_of_one(_: Table) -> list[Edit]:
    """Let each chain end with its first descriptor."""
    return [Remove("driver.make.more"), Remove("driver.make.desc")]


_TEXTS = ("hardened",)
_ALL = ("merged", "hardened")
_NOBODY = ("none",)

_READINGS = (
    Gap(
        "settle-order",
        "in which order are the three fields of supplying 9 set?",
        _orders(),
        "the text's own: old_free_head first tells a batch that is being settled from any other",
        _NOBODY,
        _TEXTS,
    ),
    Gap(
        "flags-of-others",
        "in which order are the flags of a batch updated before those of its first element?",
        (
            A("last-first", "from the last to the second"),
            A("in-order", "from the second to the last", others_forwards),
        ),
        "the text does not say; nothing shows them before the first element's",
        _NOBODY,
        _TEXTS,
    ),
    Gap(
        "batches",
        "how many requests has a batch?",
        (A("any", "any number"), A("one", "one: it is published at once", batches_of_one)),
        "the text supplies batches; a back-end that never batches does less",
        _NOBODY,
        _ALL,
    ),
    Gap(
        "chains",
        "how many descriptors has a chain?",
        (
            A("any", "any number"),
            A("one", "one, as with a driver that uses none, or indirect descriptors", chains_of_one),
        ),
        "virtio has chains; a driver that makes none does less",
        _NOBODY,
        _ALL,
    ),
)

READINGS: dict[str, Gap] = {gap.name: gap for gap in _READINGS}
"""They, by name."""
