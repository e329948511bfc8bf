"""In-order use on the packed ring: its edits, what the driver takes as used, and what is judged of that."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from model.both.alternatives import counter_zero
from model.both.in_order import Driver, in_order, one_link, then
from model.both.words import ENTRIES, HEADS, SIZE, WORKING
from model.gaps import Edits
from model.packed import recover
from model.packed.history import Walk, backward_number, marked_then, published_slot
from model.packed.places import advanced, moved, wrapped
from model.packed.properties import stands_for
from model.packed.serve import last_entry
from model.properties import Judgement
from model.record import Var
from model.steps import Add, Edit, HistoryOf, Procedure, Remove, Replace, Table
from model.terms import Term, all_of, any_of, cell, exists, follow, forall, ite, met, negate

__all__ = ["IN_ORDER", "JUDGEMENTS"]

_new = Procedure("recover")

# What the driver takes

_ORDER = Var("driver.order", "driver", 16, "in-order: the buffer id of the request that begins at the slot", "size")


def remember(s: Any, i: Term) -> None:
    """Remember where the request begins: its slots are the device's from here on."""
    s.driver.order[s.driver.avail_idx] = i


def next_id(s: Any) -> Term:
    """Give the id that was made available first of those that are not free again: it began at the next used slot."""
    return s.driver.order[s.driver.used_idx]  # type: ignore[no-any-return]


def free(s: Any) -> None:
    """Free it, and the slots of its chain."""
    i = next_id(s)
    num = s.driver.num[i]
    s.driver.owns[i] = 0
    s.driver.num_free = s.driver.num_free + num
    s.driver.used_idx, s.driver.used_wrap = advanced(s.driver.used_idx, s.driver.used_wrap, num)


def seen(s: Any) -> None:
    """The driver has taken one more request as used."""
    s.history.seen_pos = s.history.seen_pos + s.driver.num[next_id(s)]


_DRIVER = Driver(
    element=lambda s: s.ring.desc[s.driver.used_idx].id,
    first=next_id,
    none=lambda s: all_of(s.driver.used_idx == s.driver.avail_idx, s.driver.used_wrap == s.driver.avail_wrap),
    free=free,
    seen=seen,
    variables=(_ORDER,),
)

# History, and what is judged of it


def _id(s: Any, q: Term) -> Term:
    return s.ring.desc[cell(q)].id  # type: ignore[no-any-return]


def _is_next(s: Any, q: Term) -> Term:
    """Whether the element at a position names a request that is not used before it: made available there, or later."""
    return s.history.made[_id(s, q)] >= q  # type: ignore[no-any-return]


def _walk(s: Any) -> Walk:
    """Give the walk of the driver over the elements that it can meet as soon as the next flags are updated.

    After each it is behind the request that this names or, if that is none of those that are outstanding, behind all.
    """

    def following(q: Term) -> Term:
        i = _id(s, q)
        return ite(_is_next(s, q), s.history.made[i] + s.driver.num[i], s.history.avail_pos)

    return s.history.used_pos, SIZE, marked_then(s, *published_slot(s, backward_number(s))), following


def _taken(s: Any, i: Term) -> Term:
    """Whether the driver will take the request that the id stands for as used, as soon as these flags are updated."""
    made = s.history.made[i]
    return all_of(made >= s.history.used_pos, made < follow(*_walk(s)))


def _each_taken(s: Any, body: Callable[[Term], Term]) -> Term:
    return forall(HEADS, lambda i: any_of(negate(_taken(s, i)), body(i)))


def published(s: Any) -> None:
    """What the driver will take is visible as used, whatever the back-end meant."""
    s.history.done.each(lambda i: ite(_taken(s, i), s.history.made[i], s.history.done[i]))
    s.history.used_pos = follow(*_walk(s))


def names_finished(s: Any) -> Term:
    """Each element names a request in order, with its length; the device has finished all that the driver will take."""

    def named(q: Term) -> Term:
        return all_of(_is_next(s, q), s.ring.desc[cell(q)].len == s.history.result[_id(s, q)])

    return all_of(
        negate(met(*_walk(s), lambda q: negate(named(q)))),
        _each_taken(s, lambda i: s.history.ready[i] == s.history.made[i]),
    )


def names_once(s: Any) -> Term:
    """No element names a request that is visible or was taken before it; nothing is worked on that will be taken."""

    def at_rest(i: Term) -> Term:
        def at_work(e: Term) -> Term:
            working = any_of(s.device.state[e] == WORKING, s.history.twice[e] == 1)
            return all_of(stands_for(s, e, i), working)

        return negate(exists(ENTRIES, at_work))

    return all_of(negate(met(*_walk(s), lambda q: negate(_is_next(s, q)))), _each_taken(s, at_rest))


_TAG = "publish in order"

JUDGEMENTS: tuple[Judgement, ...] = (
    Judgement("intact", _TAG, True, names_finished),
    Judgement("exactly-once", _TAG, True, names_once),
)
"""What is judged where in-order use is negotiated, in place of what is judged at publishing elsewhere."""

# Edits


def elements(table: Table) -> list[Edit]:
    """Judge by what the driver takes."""
    return [
        then(table, "driver.make.1", remember),
        Replace("packed.supply.7", {"tags": frozenset({_TAG})}),
        HistoryOf("packed.supply.7", published),
    ]


def all_flags(table: Table) -> list[Edit]:
    """Write one used element for a batch, when it is complete: in the slot of the first, with the id of the last."""

    def write_id(s: Any) -> None:
        s.ring.desc[s.supply.start].id = last_entry(s, s.supply.head).id

    def write_len(s: Any) -> None:
        s.ring.desc[s.supply.start].len = s.device.given[s.supply.head]

    first = "the batch's first slot"
    return [
        *elements(table),
        Replace("packed.supply.1", {"to": "link"}),
        Replace("packed.supply.id", {"at": ("more",), "do": write_id,
                                     "sentence": f"The batch is complete: write its last request's id to {first}."}),
        Replace("packed.supply.len", {"to": "batch", "do": write_len,
                                      "sentence": f"Write to {first} what the device wrote for its last request."}),
        Replace("packed.supply.6a", {"at": ("batch",)}),
    ]  # fmt: skip


def one_element(table: Table) -> list[Edit]:
    """Likewise, and update the flags of that slot alone."""

    def move(s: Any) -> None:
        s.region.used_idx = moved(s.supply.start, s.supply.slots)
        s.supply.cursor = 1

    return [*all_flags(table), Replace("packed.supply.6a", {"do": move})]


def _on_one_element(more: Edits) -> Edits:
    def edits(table: Table) -> list[Edit]:
        before = one_element(table)
        return [*before, *more(table.edited(before))]

    return edits


def _count_one(s: Any, e: Term) -> None:
    s.supply.count = s.supply.count + 1
    s.supply.slots = s.supply.slots + s.region.desc[e].num


def linked_once(table: Table) -> list[Edit]:
    """Link the last entry alone."""

    def lead(s: Any) -> None:
        s.region.free_head = s.supply.head

    said = "Set free_head to the index of e."
    return [*one_link(table, _count_one), Replace("packed.supply.4", {"do": lead, "sentence": said})]


def cleared_once(table: Table) -> list[Edit]:
    """Link and clear the last entry alone."""

    def clear(s: Any) -> None:
        s.region.desc[s.supply.head].inflight = 0
        s.supply.cursor = s.supply.count

    said = "Set the inflight field of the last head entry in the batch to 0."
    return [*linked_once(table), Replace("packed.supply.8", {"do": clear, "sentence": said})]


def counted_once(_: Table) -> list[Edit]:
    """Move the index by the one element's chain."""

    def size(s: Any) -> Term:
        return s.region.desc[s.supply.head].num  # type: ignore[no-any-return]

    def move(s: Any) -> None:
        s.region.used_idx = moved(s.supply.start, size(s))
        s.supply.cursor = 1

    def flips(s: Any) -> Term:
        return wrapped(s.supply.start, s.supply.start_wrap, size(s)) != s.supply.start_wrap  # type: ignore[no-any-return]

    said = "Increase used_idx by the descriptors of the last request: the batch is one used element."
    return [
        Replace("packed.supply.6a", {"do": move, "sentence": said}),
        Replace("packed.supply.6b", {"when": flips}),
        Replace("packed.supply.6b.else", {"when": lambda s: negate(flips(s))}),
    ]


def table_order(_: Table) -> list[Edit]:
    """Resubmit as v6 does."""
    v6 = recover.resubmit
    return [Replace(v6.id, {"when": v6.when, "sentence": v6.sentence})]


def from_ring(table: Table) -> list[Edit]:
    """Fetch again what is in flight; no entry is anyone's then, so the free list begins anew."""

    def find(s: Any) -> None:
        s.fetch.avail_idx, s.fetch.avail_wrap = s.region.used_idx, s.region.used_wrap_counter
        s.recover.entry = 0

    def left(s: Any) -> Term:
        return s.recover.entry < ENTRIES  # type: ignore[no-any-return]

    @_new.step("packed.reconnect.anew.1", at="resubmit", to="anew", text="gap in-order", when=left)
    def link(s: Any) -> None:
        """Set desc[i].next to i + 1, entry by entry: all are free."""
        s.region.desc[s.recover.entry].next = s.recover.entry + 1

    @_new.step("packed.reconnect.anew.2", at="anew", to="resubmit", text="gap in-order")
    def clear(s: Any) -> None:
        """Set desc[i].inflight to 0."""
        s.region.desc[s.recover.entry].inflight = 0
        s.recover.entry = s.recover.entry + 1

    @_new.step("packed.reconnect.anew.3", at="resubmit", to="lead", text="gap in-order", when=lambda s: negate(left(s)))
    def lead(s: Any) -> None:
        """Set free_head to 0."""
        s.region.free_head = 0

    @_new.step("packed.reconnect.anew.4", at="lead", to="signal", text="gap in-order")
    def settle(s: Any) -> None:
        """Set old_free_head to 0."""
        s.region.old_free_head = 0

    said = "Fetching goes on at the used slot: what is in flight lies there, in order."
    return [
        Replace("packed.position", {"do": find, "sentence": said}), *counter_zero(table),
        *(Remove(f"packed.reconnect.4{part}") for part in (".desc", ".submit", "")),
        Add(link), Add(clear), Add(lead), Add(settle),
        Replace("packed.reconnect.signal", {"at": ("signal",), "when": lambda _: all_of()}),
    ]  # fmt: skip


_GIVEN: dict[str, Callable[..., Term]] = {
    "packed.fetch.submit": lambda s: s.fetch.head,
    "packed.reconnect.4.submit": lambda s: s.recover.head,
}
_OWN: dict[str, Edits] = {
    "elements": elements,
    "one-element": one_element,
    "one-element-all-flags": all_flags,
    "one-link": _on_one_element(linked_once),
    "one-entry": _on_one_element(cleared_once),
    "one-count": _on_one_element(counted_once),
    "table-order": _on_one_element(table_order),
    "from-ring": _on_one_element(from_ring),
}

IN_ORDER: dict[str, Edits] = {name: in_order(_DRIVER, _GIVEN, own) for name, own in _OWN.items()}
"""The choices, by name."""
