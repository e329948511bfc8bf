"""In-order use on the packed ring, for its proof: ghost state, the sentences of the invariant, what the driver walks.

The driver's `order` has at each slot at which a request begins that request's id, until the driver has it back; behind
each begins the next. A request's number counts those fetched before it, and its turn is how far it is behind those that
are being given back. A used element stands for the requests up to the one that it names: where that ends is `ends`, by
the element's slot.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from model.both.words import FIRST
from model.packed.places import is_used
from model.record import State, Var, assign_initial
from model.steps import Table
from model.terms import Term, all_of, any_of, cell, forall, ite, lap, negate
from proofs.induction.ordered import used_in_order
from proofs.induction.walks import Steps, Walk
from proofs.packed.words import (
    HEADS,
    SIZE,
    Conjunct,
    Places,
    iff,
    implies,
    in_hand,
    in_progress,
    outstanding,
)

__all__ = [
    "GHOSTS", "effects", "element_begins", "entry_at", "in_order", "one_begins", "otherwise",
    "owned",
]  # fmt: skip

GHOSTS: tuple[Var, ...] = (
    Var("proof.begins", "ghost", 0, "the position of the used element in the slot", "size", -1),
    Var("proof.ends", "ghost", 0, "the position behind the request that it names", "size"),
    Var("proof.taking_end", "ghost", 0, "the same, of the element that the driver has in hand", initial=FIRST),
    Var("proof.number", "ghost", 0, "how many requests were fetched before that of the entry", "heads"),
    Var("proof.marked_number", "ghost", 0, "how many requests were fetched whole"),
    Var("proof.used_number", "ghost", 0, "how many are visible"),
    Var("proof.again_pos", "ghost", 0, "position of the next request that recovery resubmits", initial=FIRST),
    Var("proof.turn_sum", "ghost", 0, "entries below that have a turn", "sums"),
)


def effects(*, gathered: bool) -> dict[str, Callable[..., None]]:
    """Give what steps do to this ghost state, by id; `gathered`: a batch has one element."""

    def count(s: Any, e: Term, by: int) -> None:
        s.proof.turn_sum.each(lambda k: s.proof.turn_sum[k] + ite(e < k, by, 0))

    def fetched(s: Any) -> None:
        s.proof.number[s.region.old_free_head] = s.proof.marked_number
        s.proof.marked_number = s.proof.marked_number + 1

    def written(s: Any) -> None:
        first = s.history.used_pos
        behind = first + s.supply.slots
        begins = first if gathered else behind
        s.proof.begins[cell(begins)] = begins
        s.proof.ends[cell(begins)] = behind if gathered else behind + s.region.desc[s.supply.head].num

    def published(s: Any) -> None:
        now = s.supply.cursor == 1
        s.proof.used_number = s.proof.used_number + ite(now, s.supply.count, 0)

    def again(s: Any, e: Term) -> None:
        s.proof.again_pos = s.proof.again_pos + s.region.desc[e].num

    def begun(s: Any) -> None:
        s.proof.again_pos = s.history.used_pos

    def read(s: Any) -> None:
        s.proof.taking_end = s.proof.ends[cell(s.history.seen_pos)]

    def died(s: Any) -> None:
        s.proof.turn_sum.each(lambda _: 0)

    def forgotten(s: State) -> None:
        assign_initial(s, [v.name for v in GHOSTS])

    return {
        "packed.fetch.7": fetched,
        "packed.fetch.submit": lambda s: count(s, s.fetch.head, 1),
        "packed.position": begun,
        "packed.reconnect.4": again,
        "packed.reconnect.4.submit": lambda s: count(s, s.recover.head, 1),
        "packed.supply.1": lambda s, e: count(s, e, -1),
        "packed.supply.id": written,
        "packed.supply.7": published,
        "driver.use": read,
        "crash": died,
        "driver.reset": forgotten,
        "connection.reset": forgotten,
    }


# What the driver walks over


def otherwise(table: Table) -> Mapping[str, Mapping[str, Any]]:
    """Give what the kit says otherwise where requests are used in order, see `Induction.otherwise`."""
    if not used_in_order(table):
        return {}
    return {"walks": _walks(table), "beside": {"packed.supply.7": _of_the_batch}}


def _of_the_batch(s: Any, number: Term) -> list[Term]:
    """Give what the batch has of the request that began at a position; or of an id's, and of the one behind it."""
    offset, batch = s.supply.offset, s.supply.batch
    here, k = s.proof.batch_place[entry_at(s, number)], s.proof.batch_place[s.proof.entry[number]]
    of_id = [s.proof.live[number], offset[k], offset[k + 1], batch[k], batch[k + 1]]
    of_request = [batch[here], offset[here], batch[here + 1], offset[here + 1]]
    return [*of_id, *of_request, *(cell(s.history.used_pos + offset[n + 1]) for n in (k, here))]


def _walks(table: Table) -> Mapping[str, Walk]:
    """Give the driver's walk over the used elements that it meets when a slot is marked used."""
    one = Places(table).gathered
    now = Steps(
        when=lambda s: s.supply.cursor == 1,
        count=lambda s: 1 if one else s.supply.count,
        where=lambda s, k: s.history.used_pos + (0 if one else s.supply.offset[k]),
        last=lambda s: s.history.used_pos + s.supply.slots,
        hints=(lambda s, k: s.supply.batch[k], lambda s, k: s.supply.offset[k]),
    )
    nothing = Steps(
        when=lambda s: s.supply.cursor != 1,
        count=lambda _: 0,
        where=lambda s, _: s.history.used_pos,
        last=lambda s: s.history.used_pos,
    )
    walk = Walk(cases=(now, nothing), named=lambda _s, _x: all_of())
    return {"packed.supply.7": walk, "intact": walk, "exactly-once": walk}


def owned(s: Any, i: Term) -> Term:
    """Whether the driver has not had the id's request back."""
    return s.history.made[i] >= s.history.seen_pos  # type: ignore[no-any-return]


# Sentences


def id_at(s: Any, position: Term) -> Any:
    """Give the id of the request that begins at a position."""
    return s.driver.order[cell(position)]


def entry_at(s: Any, position: Term) -> Any:
    """Give the entry to which that request was fetched."""
    return s.proof.entry[id_at(s, position)]


def _end(s: Any, i: Term) -> Term:
    return s.history.made[i] + s.driver.num[i]  # type: ignore[no-any-return]


def one_begins(s: Any, position: Term) -> Term:
    """Whether a request begins at a position."""
    return s.history.made[id_at(s, position)] == position  # type: ignore[no-any-return]


def _at(s: Any, body: Callable[[Term], Term]) -> Term:
    """Say it of any position from `seen_pos` on, so that no sentence calls for itself."""
    h = s.history
    return forall(h.avail_pos, body, lambda r: s.driver.order[cell(r)], low=h.seen_pos)


def element_begins(s: Any, position: Term) -> Term:
    """Whether there is a used element at a position, once that is visible."""
    return s.proof.begins[cell(position)] == position  # type: ignore[no-any-return]


def _requests() -> list[Conjunct]:
    def not_back(s: Any) -> Term:
        def one(i: Term) -> Term:
            there = all_of(
                i < SIZE, s.driver.owns[i] == 1, negate(in_hand(s, i)), s.driver.num[i] >= 1,
                _end(s, i) <= s.history.avail_pos,
                _at(s, lambda r: implies(r == s.history.made[i], id_at(s, r) == i)),
                iff(outstanding(s, i), s.history.made[i] >= s.history.used_pos),
            )  # fmt: skip
            return all_of(implies(owned(s, i), there), s.history.done[i] < s.history.used_pos)

        return forall(HEADS, one, lambda i: s.history.made[i], lambda i: s.driver.owns[i])

    def apart(s: Any) -> Term:
        def one(i: Term) -> Term:
            def other(j: Term) -> Term:
                before = any_of(_end(s, i) <= s.history.made[j], _end(s, j) <= s.history.made[i], i == j)
                return implies(all_of(owned(s, i), owned(s, j)), before)

            return forall(HEADS, other, lambda j: s.history.made[j])

        return forall(HEADS, one, lambda i: s.history.made[i])

    def order(s: Any) -> Term:
        h = s.history

        def next_one(i: Term) -> Term:
            return implies(owned(s, i), _at(s, lambda r: implies(r == _end(s, i), one_begins(s, r))))

        def at_used(here: Term) -> Term:
            return implies(here < h.avail_pos, one_begins(s, here))

        ids = forall(SIZE, lambda k: all_of(s.driver.order[k] >= 0, s.driver.order[k] < SIZE),
                     lambda k: s.driver.order[k])  # fmt: skip
        return all_of(
            ids, implies(in_progress(s), id_at(s, h.avail_pos) == s.driver.id),
            forall(HEADS, next_one, lambda i: s.driver.num[i]), at_used(h.seen_pos), at_used(h.used_pos),
        )  # fmt: skip

    return [Conjunct("not back", not_back), Conjunct("requests apart", apart), Conjunct("order of requests", order)]


def _elements() -> list[Conjunct]:
    def elements(s: Any) -> Term:
        h, ends = s.history, s.proof.ends

        def one(q: Term) -> Term:
            end, i = ends[cell(q)], s.ring.desc[cell(q)].id
            return implies(element_begins(s, q), all_of(
                q < end, end <= h.used_pos, h.made[i] >= q, _end(s, i) == end,
                is_used(s.ring.desc[cell(q)].flags, lap(q)),
                forall(h.used_pos, lambda r: implies(r == end, element_begins(s, r)), lambda r: s.proof.begins[cell(r)],
                       low=h.seen_pos),
            ))  # fmt: skip

        waits = all_of(h.seen_pos < h.used_pos, negate(s.rest.at == "taking"))
        return all_of(
            forall(h.used_pos, one, lambda q: ends[cell(q)], lambda q: s.ring.desc[cell(q)].id,
                   lambda q: s.ring.desc[cell(q)].flags.avail, lambda q: s.ring.desc[cell(q)].flags.used,
                   low=h.seen_pos),
            implies(waits, element_begins(s, h.seen_pos)),
        )  # fmt: skip

    def taking(s: Any) -> Term:
        h, end, i = s.history, s.proof.taking_end, s.driver.named
        return all_of(
            i >= 0, i < SIZE,
            implies(s.rest.at == "taking", all_of(
                h.seen_pos < end, end <= h.used_pos, owned(s, i), _end(s, i) == end,
                implies(end < h.used_pos, element_begins(s, end)),
            )),
        )  # fmt: skip

    return [Conjunct("elements in order", elements), Conjunct("taking", taking)]


def in_order() -> list[Conjunct]:
    """Give the sentences of requests, and of the used elements that stand for them."""
    return [*_requests(), *_elements()]
