"""In-order use on the split ring, for its proof: ghost state, the sentences of the invariant, what the driver walks.

What is in flight are the requests from `used_pos` to `marked_pos`, and each lies in the available ring's slot of its
position until the driver has it back. A request's turn is how far it is behind those that are being given back. A used
element stands for the requests up to the one that it names: where that ends is `ends`, by the element's slot.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from model.both.words import FINISHED, FIRST, RUNNING, WORKING
from model.record import State, Var, assign_initial
from model.steps import Table
from model.terms import Term, all_of, any_of, forall, ite, negate, place
from proofs.induction.ordered import used_in_order
from proofs.induction.walks import Steps, Walk
from proofs.split.words import HEADS, SIZE, Conjunct, Places, at, iff, implies, in_list, live

__all__ = ["GHOSTS", "effects", "head_at", "in_order", "otherwise", "owned"]

GHOSTS: tuple[Var, ...] = (
    Var("proof.begins", "ghost", 0, "the position of the used element in the slot", "size"),
    Var("proof.ends", "ghost", 0, "the position behind the request that it names", "size"),
    Var("proof.taking_end", "ghost", 0, "the same, of the element that the driver has in hand", initial=FIRST),
    Var("proof.turn_sum", "ghost", 0, "heads below that have a turn", "sums"),
)


def effects(*, gathered: bool) -> dict[str, Callable[..., None]]:
    """Give what steps do to this ghost state, by id; `gathered`: a batch has one element."""

    def count(s: Any, head: Term, by: int) -> None:
        s.proof.turn_sum.each(lambda k: s.proof.turn_sum[k] + ite(head < k, by, 0))

    def nobody(s: Any) -> None:
        s.proof.turn_sum.each(lambda _: 0)

    def written(s: Any) -> None:
        first = s.history.used_pos
        behind = first + s.supply.count
        begins, ends = (first, behind) if gathered else (behind, behind + 1)
        s.proof.begins[place(begins)] = begins
        s.proof.ends[place(begins)] = ends

    def read(s: Any) -> None:
        s.proof.taking_end = s.proof.ends[place(s.history.seen_pos)]

    def forgotten(s: State) -> None:
        assign_initial(s, [v.name for v in GHOSTS])

    return {
        "split.fetch.submit": lambda s: count(s, s.fetch.head, 1),
        "split.reconnect.2": lambda s, head: count(s, head, 1),
        "split.supply.1": lambda s, head: count(s, head, -1),
        "split.supply.id": written,
        "driver.use": read,
        "crash": nobody,
        "driver.reset": forgotten,
        "connection.reset": forgotten,
    }


# What the driver walks over


def _own_slots(s: Any) -> Term:
    """Whether the first element of the batch names its first request: then each has its own, or there is one alone."""
    start = s.history.used_pos
    return s.proof.ends[place(start)] == start + 1  # type: ignore[no-any-return]


_WALK = Walk(
    cases=(
        Steps(
            when=_own_slots,
            count=lambda s: s.supply.count,
            where=lambda s, k: s.history.used_pos + k,
            last=lambda s: s.history.used_pos + s.supply.count,
            hints=(lambda s, k: place(s.history.used_pos + k),),
        ),
        Steps(
            when=lambda s: negate(_own_slots(s)),
            count=lambda _: 1,
            where=lambda s, k: s.history.used_pos + k,
            last=lambda s: s.history.used_pos + s.supply.count,
            hints=(lambda s, k: place(s.history.used_pos + k),),
        ),
    ),
    named=lambda _s, _x: all_of(),
)


def otherwise(table: Table) -> Mapping[str, Mapping[str, Any]]:
    """Give what the kit says otherwise where requests are used in order, see `Induction.otherwise`."""
    walked = {"split.supply.5": _WALK, "intact": _WALK, "exactly-once": _WALK}
    return {"walks": walked} if used_in_order(table) else {}


# Sentences


def head_at(s: Any, position: Term) -> Any:
    """Give the head that was made available at a position."""
    return s.avail.ring[place(position)]


def _making(s: Any, h: Term) -> Term:
    return all_of(at(s.driver.at, "described", "listed"), s.driver.head == h)


def _begins(s: Any, position: Term) -> Term:
    """Whether there is a used element at a position, once that is visible."""
    return s.proof.begins[place(position)] == position  # type: ignore[no-any-return]


def owned(s: Any, h: Term) -> Term:
    """Whether the driver has not had the head's request back."""
    return s.history.made[h] >= s.history.seen_pos  # type: ignore[no-any-return]


def _requests() -> list[Conjunct]:
    def in_flight(s: Any) -> Term:
        h = s.history

        def one(q: Term) -> Term:
            head = head_at(s, q)
            return all_of(
                h.made[head] == q, s.proof.marked[head] == q, s.driver.owns[head] == 1, negate(_making(s, head)),
                ite(q < h.used_pos, h.done[head] == q, h.done[head] < q),
            )  # fmt: skip

        return forall(s.proof.marked_pos, one, place, low=h.seen_pos)

    def by_position(s: Any) -> Term:
        h = s.history

        def one(head: Term) -> Term:
            return all_of(
                implies(h.made[head] >= h.seen_pos, head_at(s, h.made[head]) == head),
                iff(live(s, head), s.proof.marked[head] >= h.used_pos), h.done[head] < h.used_pos,
            )  # fmt: skip

        return forall(HEADS, one, lambda head: h.made[head], lambda head: s.proof.marked[head])

    def elements(s: Any) -> Term:
        h, ends = s.history, s.proof.ends

        def one(q: Term) -> Term:
            end = ends[place(q)]
            return implies(_begins(s, q), all_of(
                q < end, end <= h.used_pos, s.used.ring[place(q)].id == head_at(s, end - 1),
                implies(end < h.used_pos, _begins(s, end)),
            ))  # fmt: skip

        waits = all_of(h.seen_pos < h.used_pos, negate(s.rest.at == "taking"))
        return all_of(
            forall(h.used_pos, one, lambda q: ends[place(q)], low=h.seen_pos), implies(waits, _begins(s, h.seen_pos))
        )

    def taking(s: Any) -> Term:
        h, end = s.history, s.proof.taking_end
        return all_of(
            at(s.rest.at, "awake", "checking", "asleep", "taking"),
            implies(s.rest.at == "taking", all_of(
                h.seen_pos < end, end <= h.used_pos, s.driver.named == head_at(s, end - 1),
                implies(end < h.used_pos, _begins(s, end)),
            )),
        )  # fmt: skip

    return [
        Conjunct("in flight", in_flight), Conjunct("by position", by_position), Conjunct("elements in order", elements),
        Conjunct("taking", taking),
    ]  # fmt: skip


def _turns(p: Places) -> list[Conjunct]:
    def next_pos(s: Any) -> Term:
        """Give the position of the request whose turn it is."""
        batch = s.supply.count + ite(at(s.supply.at, *p.supplying), 1, 0)
        return s.history.used_pos + ite(s.supply.open == 1, batch, 0)  # type: ignore[no-any-return]

    def again(s: Any) -> Term:
        """Give the position of the next request that recovery resubmits."""
        return s.history.used_pos + s.proof.resubmitted_sum[HEADS]  # type: ignore[no-any-return]

    def turns(s: Any) -> Term:
        def one(h: Term) -> Term:
            turn, state = s.device.turn[h], s.device.state[h]
            return all_of(
                turn >= 0, iff(turn > 0, any_of(state == WORKING, state == FINISHED)),
                implies(turn > 0, turn == s.proof.marked[h] - next_pos(s) + 1),
            )  # fmt: skip

        return forall(HEADS, one, lambda h: s.device.turn[h], lambda h: s.device.state[h])

    def how_many(s: Any) -> Term:
        sums = s.proof.turn_sum

        def one(h: Term) -> Term:
            return sums[h + 1] == sums[h] + ite(s.device.turn[h] > 0, 1, 0)  # type: ignore[no-any-return]

        given = ite(s.recover.at == RUNNING, s.proof.marked_pos - ite(s.fetch.at == "submit", 1, 0), again(s))
        return all_of(
            sums[0] == 0, forall(HEADS, one, lambda h: s.device.turn[h], lambda h: sums[h]),
            sums[HEADS] == given - next_pos(s), next_pos(s) <= given, given <= s.proof.marked_pos,
        )  # fmt: skip

    def resubmitted(s: Any) -> Term:
        """Say that recovery has come to a position, in order, and which request is next."""
        down, q = negate(s.recover.at == RUNNING), again(s)

        def one(h: Term) -> Term:
            return implies(live(s, h), iff(s.recover.resubmitted[h] == 1, s.proof.marked[h] < q))

        following = all_of(live(s, head_at(s, q)), s.recover.resubmitted[head_at(s, q)] == 0)
        return all_of(
            implies(down, all_of(
                forall(HEADS, one, lambda h: s.recover.resubmitted[h], lambda h: s.proof.marked[h]),
                any_of(q == s.proof.marked_pos, following),
            )),
            implies(s.recover.at == "signalled", q == s.proof.marked_pos),
        )  # fmt: skip

    return [Conjunct("turns", turns), Conjunct("as many turns", how_many), Conjunct("next to resubmit", resubmitted)]


def _batch(p: Places) -> list[Conjunct]:
    def batch(s: Any) -> Term:
        start, head = s.history.used_pos, s.supply.head

        def one(h: Term) -> Term:
            return all_of(
                iff(in_list(s, h), all_of(s.proof.marked[h] >= start, s.proof.marked[h] < start + s.supply.count)),
                implies(in_list(s, h), s.proof.marked[h] == start + s.proof.place[h]),
            )

        return all_of(
            implies(s.supply.open == 1, forall(HEADS, one, lambda h: s.proof.in_list[h], lambda h: s.proof.marked[h])),
            implies(at(s.supply.at, *p.supplying), s.proof.marked[head] == start + s.supply.count),
        )

    def named(s: Any) -> Term:
        """Say that each request of the batch has its element, which ends with it."""
        start = s.history.used_pos

        def own(q: Term) -> Term:
            return all_of(_begins(s, q), s.proof.ends[place(q)] == q + 1)

        each = forall(start + s.supply.count, own, place, low=start)
        in_hand = implies(at(s.supply.at, *p.named), own(start + s.supply.count))
        return all_of(implies(s.supply.open == 1, each), in_hand)

    def gathered(s: Any) -> Term:
        """Say that a complete batch has one element, in its first slot, which names its last request."""
        start, head, count = s.history.used_pos, s.supply.head, s.supply.count
        element = s.used.ring[place(start)]
        last = all_of(in_list(s, head), s.proof.place[head] == count - 1)

        def published(k: Term) -> Term:
            return s.proof.begins[k] <= start  # type: ignore[no-any-return]

        return all_of(
            implies(at(s.supply.at, "more", *p.closing), last),
            implies(at(s.supply.at, *p.closing), all_of(
                element.id == head, _begins(s, start), s.proof.ends[place(start)] == start + count,
            )),
            implies(s.supply.at == "publish", element.len == s.history.content[head]),
            forall(SIZE, published, lambda k: s.proof.begins[k]),
        )  # fmt: skip

    return [Conjunct("batch in order", batch),
            Conjunct("one element", gathered) if p.differs.gathered else Conjunct("own elements", named)]  # fmt: skip


def in_order(p: Places) -> list[Conjunct]:
    """Give the sentences of in-order use, for the labels of a table."""
    return [*_requests(), *_turns(p), *_batch(p)]
