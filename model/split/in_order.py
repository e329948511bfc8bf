"""In-order use on the split ring: its edits, what the driver takes as used, and what is judged of that."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from model.both.in_order import Driver, in_order, one_link
from model.both.words import HEADS, WORKING
from model.gaps import Edits
from model.properties import Judgement
from model.split import recover
from model.steps import Edit, Guard, HistoryOf, Remove, Replace, Table
from model.terms import Operand, Term, all_of, any_of, follow, forall, ite, met, negate, parameter, place, slot, wrap

__all__ = ["IN_ORDER", "JUDGEMENTS"]

# What the driver takes


def next_head(s: Any) -> Term:
    """Give the head that was made available first of those that are not free again: where used.idx is, so is it."""
    return s.avail.ring[slot(s.driver.next_used)]  # type: ignore[no-any-return]


def free(s: Any) -> None:
    """Free it."""
    s.driver.owns[next_head(s)] = 0
    s.driver.num_free = s.driver.num_free + 1
    s.driver.next_used = wrap(s.driver.next_used + 1, 16)


def seen(s: Any) -> None:
    """The driver has taken one more request as used."""
    s.history.seen_pos = s.history.seen_pos + 1


_DRIVER = Driver(
    element=lambda s: s.used.ring[slot(s.driver.next_used)].id,
    first=next_head,
    none=lambda s: s.driver.next_used == s.avail.idx,
    free=free,
    seen=seen,
)

# History, and what is judged of it: a position is that of a request, and of the slot in which an element may name it


def whole_batch(s: Any) -> Term:
    """Give by how much used.idx goes up: the batch, counted in requests."""
    return s.supply.count  # type: ignore[no-any-return]


def one(_: Any) -> Operand:
    """Give by how much used.idx goes up: one."""
    return 1


def _element(s: Any, q: Term) -> Any:
    return s.used.ring[place(q)]


def _is_next(s: Any, q: Term) -> Term:
    """Whether the element at a position names a request that is not used before it: made available there, or later."""
    return s.history.made[_element(s, q).id] >= q  # type: ignore[no-any-return]


def _walk(s: Any, size: Guard) -> tuple[Term, Term, Callable[[Term], Operand], Callable[[Term], Operand]]:
    """Give the walk of the driver over the elements that are about to be published, as it will take them.

    It goes on as long as used.idx says that there is more. After each element it is behind the request that this names
    or, if that is none of those that are outstanding, behind all.
    """
    published = wrap(s.used.idx + size(s), 16)

    def go(q: Term) -> Term:
        return wrap(q, 16) != published

    def following(q: Term) -> Term:
        return ite(_is_next(s, q), s.history.made[_element(s, q).id] + 1, s.history.avail_pos)

    return s.history.used_pos, parameter("size"), go, following


def _taken(s: Any, h: Term, size: Guard) -> Term:
    """Whether the driver will take the request that the head stands for as used, by what is about to be published."""
    made = s.history.made[h]
    return all_of(made >= s.history.used_pos, made < follow(*_walk(s, size)))


def _each_taken(s: Any, size: Guard, body: Callable[[Term], Term]) -> Term:
    return forall(HEADS, lambda h: any_of(negate(_taken(s, h, size)), body(h)))


def publishes(size: Guard) -> Callable[[Any], None]:
    """What the driver will take is visible as used, whatever the back-end meant."""

    def published(s: Any) -> None:
        s.history.done.each(lambda h: ite(_taken(s, h, size), s.history.made[h], s.history.done[h]))
        s.history.used_pos = follow(*_walk(s, size))

    return published


def names_finished(s: Any, size: Guard) -> Term:
    """Each element names a request in order, with its length; the device has finished all that the driver will take."""

    def named(q: Term) -> Term:
        element = _element(s, q)
        return all_of(_is_next(s, q), element.len == s.history.content[element.id])

    def finished(h: Term) -> Term:
        return all_of(s.history.got[h] == s.history.made[h], s.history.finished[h] == 1)

    return all_of(negate(met(*_walk(s, size), lambda q: negate(named(q)))), _each_taken(s, size, finished))


def names_once(s: Any, size: Guard) -> Term:
    """No element names a request that is visible or was taken before it; nothing is worked on that will be taken."""

    def at_rest(h: Term) -> Term:
        return all_of(s.device.state[h] != WORKING, s.history.twice[h] == 0)

    return all_of(negate(met(*_walk(s, size), lambda q: negate(_is_next(s, q)))), _each_taken(s, size, at_rest))


_TAG, _TAG_ONE = "publish in order", "publish one in order"

JUDGEMENTS: tuple[Judgement, ...] = (
    Judgement("intact", _TAG, True, lambda s: names_finished(s, whole_batch)),
    Judgement("exactly-once", _TAG, True, lambda s: names_once(s, whole_batch)),
    Judgement("intact", _TAG_ONE, True, lambda s: names_finished(s, one)),
    Judgement("exactly-once", _TAG_ONE, True, lambda s: names_once(s, one)),
)
"""What is judged where in-order use is negotiated, in place of what is judged at publishing elsewhere."""

# Edits


def elements(_: Table) -> list[Edit]:
    """Judge by what the driver takes."""
    return [
        Replace("split.supply.5", {"tags": frozenset({_TAG})}),
        HistoryOf("split.supply.5", publishes(whole_batch)),
    ]


def one_element(table: Table) -> list[Edit]:
    """Write one element for a batch, when it is complete: in the slot of the first, with the id of the last."""

    def write_id(s: Any) -> None:
        s.used.ring[slot(s.used.idx)].id = s.supply.head

    def write_len(s: Any) -> None:
        s.used.ring[slot(s.used.idx)].len = s.device.given[s.supply.head]

    first = "the batch's first slot: the used element's"
    return [
        *elements(table),
        Replace("split.supply.1", {"to": "link"}),
        Replace("split.supply.id", {"at": ("more",), "do": write_id,
                                    "sentence": f"The batch is complete. Write, in {first} id, of the last request."}),
        Replace("split.supply.len", {"to": "publish", "do": write_len, "sentence": f"Write {first} len, likewise."}),
        Replace("split.supply.5", {"at": ("publish",)}),
    ]  # fmt: skip


def _on_one_element(more: Edits) -> Edits:
    def edits(table: Table) -> list[Edit]:
        before = one_element(table)
        return [*before, *more(table.edited(before))]

    return edits


def _count_one(s: Any, *_: Term) -> None:
    s.supply.count = s.supply.count + 1


def linked_once(table: Table) -> list[Edit]:
    """Link the last entry alone."""

    def lead(s: Any) -> None:
        s.region.last_batch_head = s.supply.head

    said = "Set the head of the batch list to i."
    return [*one_link(table, _count_one), Replace("split.supply.3", {"do": lead, "sentence": said})]


def cleared_once(table: Table) -> list[Edit]:
    """Link and clear the last entry alone."""
    publish = table.step("split.supply.5")

    def from_the_last(s: Any) -> None:
        s.supply.old_idx = s.used.idx
        s.used.idx = wrap(s.used.idx + s.supply.count, 16)
        s.supply.open = 2
        s.supply.cursor = s.supply.count - 1

    return [*linked_once(table), Replace(publish.id, {"do": from_the_last})]


def counted_once(_: Table) -> list[Edit]:
    """Increase used.idx by one, for the one element."""

    def publish(s: Any) -> None:
        s.supply.old_idx = s.used.idx
        s.used.idx = wrap(s.used.idx + 1, 16)
        s.supply.open = 2
        s.supply.cursor = 0

    said = "Increase the idx value of the used ring by 1: the batch is one used element."
    return [
        Replace("split.supply.5", {"do": publish, "sentence": said, "tags": frozenset({_TAG_ONE})}),
        HistoryOf("split.supply.5", publishes(one)),
    ]


def table_order(_: Table) -> list[Edit]:
    """Resubmit as v6 does."""
    v6 = recover.resubmit
    return [Replace(v6.id, {"when": v6.when, "sentence": v6.sentence})]


def from_ring(_: Table) -> list[Edit]:
    """Fetch again what is in flight."""

    def find(s: Any) -> None:
        s.fetch.last_avail = s.used.idx

    said = "Fetching goes on where the used ring is: what is in flight lies there, in order."
    return [
        Replace("split.position", {"do": find, "sentence": said}), Remove("split.reconnect.2"),
        Replace("split.reconnect.signal", {"when": lambda _: all_of()}),
    ]  # fmt: skip


_GIVEN: dict[str, Callable[..., Term]] = {
    "split.fetch.submit": lambda s: s.fetch.head,
    "split.reconnect.2": lambda _, i: i,
}
_OWN: dict[str, Edits] = {
    "elements": elements,
    "one-element": one_element,
    "one-link": _on_one_element(linked_once),
    "one-entry": _on_one_element(cleared_once),
    "one-count": _on_one_element(counted_once),
    "table-order": _on_one_element(table_order),
    "from-ring": _on_one_element(from_ring),
}

IN_ORDER: dict[str, Edits] = {name: in_order(_DRIVER, _GIVEN, own) for name, own in _OWN.items()}
"""The choices, by name."""
