"""The part of the packed ring's invariant that speaks of the ring, the driver, and the driver's requests."""

from __future__ import annotations

from functools import partial
from typing import Any

from model.packed.places import is_available, is_used
from model.terms import Operand, Term, all_of, any_of, cell, forall, ite, lap, negate
from proofs.packed.words import (
    FIRST,
    HEADS,
    SIZE,
    Conjunct,
    Places,
    all_entries,
    at,
    implies,
    in_hand,
    in_progress,
    initialised,
    live,
    outstanding,
    phase,
    running,
    to_see,
    waiting,
    written_end,
)

__all__ = ["may_be_marked", "ring"]


def _flags(s: Any, q: Term) -> Any:
    return s.ring.desc[cell(q)].flags


def _id(s: Any, q: Operand) -> Term:
    return s.ring.desc[cell(q)].id  # type: ignore[arg-type, no-any-return]


def _slots(body: Any, low: Any, high: Any) -> Any:
    """Say something of every position from one to another."""
    return lambda s: forall(high(s), lambda q: body(s, q), cell, low=low(s))


def _positions(p: Places, s: Any) -> Term:
    h = s.history
    return all_of(
        h.seen_pos >= FIRST, h.seen_pos <= h.used_pos, h.used_pos <= s.proof.marked_pos,
        s.proof.marked_pos <= h.avail_pos, h.avail_pos - h.seen_pos <= SIZE,
        implies(in_progress(s), all_of(s.driver.length >= 1, h.avail_pos + s.driver.length - h.seen_pos <= SIZE)),
        s.driver.num_free == SIZE - (h.avail_pos - h.seen_pos) - ite(in_progress(s), s.driver.length, 0),
        implies(negate(initialised(s)), s.proof.marked_pos == (h.used_pos if p.kept_base else FIRST)),
        implies(s.driver.at == "chained", s.driver.num_free >= 1),
    )  # fmt: skip


def _places(s: Any) -> Term:
    h = s.history
    last = h.avail_pos + s.driver.length - 1
    return all_of(
        s.driver.avail_idx == cell(h.avail_pos), s.driver.avail_wrap == lap(h.avail_pos),
        s.driver.used_idx == cell(h.seen_pos), s.driver.used_wrap == lap(h.seen_pos),
        implies(in_progress(s), all_of(s.driver.slot == cell(last), s.driver.slot_wrap == lap(last))),
    )  # fmt: skip


def _bits(s: Any) -> Term:
    def one(k: Term) -> Term:
        flags = s.ring.desc[k].flags
        return all_of(*(any_of(bit == 0, bit == 1) for bit in (flags.next, flags.avail, flags.used)),
                      s.ring.desc[k].id >= 0, s.ring.desc[k].id < SIZE)  # fmt: skip

    return forall(SIZE, one, lambda k: s.ring.desc[k].flags.avail, lambda k: s.ring.desc[k].flags.used,
                  lambda k: s.ring.desc[k].flags.next, lambda k: s.ring.desc[k].id)  # fmt: skip


def may_be_marked(p: Places, s: Any, q: Term) -> Term:
    """Whether the slot at a position after the first not visible one may be marked used already."""
    building = all_of(s.supply.open == 1, at(s.supply.at, *p.flags), q < s.history.used_pos + s.supply.slots)
    left_over = q >= s.history.used_pos + s.recover.ahead
    return all_of(q > s.history.used_pos, q < s.proof.marked_pos, ite(running(s), building, left_over))


def _flag_laws(p: Places) -> list[Conjunct]:
    def made(s: Any, q: Term) -> Term:
        return _flags(s, q).avail == lap(q)  # type: ignore[no-any-return]

    def not_made(s: Any, q: Term) -> Term:
        written = all_of(q > s.history.avail_pos, q < written_end(s), is_available(_flags(s, q), lap(q)))
        return any_of(_flags(s, q).avail == 1 - lap(q), written)

    def not_used(s: Any, q: Term) -> Term:
        return any_of(_flags(s, q).used == 1 - lap(q), may_be_marked(p, s, q))

    def written(s: Any, q: Term) -> Term:
        return all_of(is_available(_flags(s, q), lap(q)))

    def settled_slot(s: Any) -> Term:
        first = s.history.used_pos - s.proof.slots
        return implies(phase(s, 3, 4), _flags(s, first).used == lap(first))

    return [
        Conjunct("bits", _bits),
        Conjunct("made available", _slots(made, lambda s: s.history.seen_pos, lambda s: s.history.avail_pos)),
        Conjunct("not made", _slots(not_made, lambda s: s.history.avail_pos, lambda s: s.history.seen_pos + SIZE)),
        Conjunct("written", _slots(written, lambda s: s.history.avail_pos + 1, written_end)),
        Conjunct("not used", _slots(not_used, lambda s: s.history.used_pos, lambda s: s.history.avail_pos)),
        Conjunct("settled slot", settled_slot),
    ]


def _to_fetch_laws() -> list[Conjunct]:
    def to_fetch(s: Any, q: Term) -> Term:
        i = _id(s, q)
        end = s.history.made[i] + s.driver.num[i]
        return all_of(
            outstanding(s, i), s.history.made[i] >= s.proof.marked_pos, s.history.made[i] <= q, q < end,
            end <= s.history.avail_pos, _flags(s, q).next == ite(q + 1 == end, 0, 1),
        )  # fmt: skip

    def next_chain(s: Any) -> Term:
        """Say that behind each chain begins another; of two positions, so that no sentence calls for itself."""

        def behind(q: Term) -> Term:
            i = _id(s, q)

            def begins(r: Term) -> Term:
                return implies(r == s.history.made[i] + s.driver.num[i], s.history.made[_id(s, r)] == r)

            return forall(s.history.avail_pos, begins, cell, low=s.proof.marked_pos)

        return forall(s.history.avail_pos, behind, cell, low=s.proof.marked_pos)

    def first(s: Any) -> Term:
        here = s.proof.marked_pos
        return implies(here < s.history.avail_pos, s.history.made[_id(s, here)] == here)

    def one_chain(s: Any) -> Term:
        """Say that the slots of a chain have one id."""

        def of(q: Term) -> Term:
            i = _id(s, q)
            end = s.history.made[i] + s.driver.num[i]

            def same(r: Term) -> Term:
                return implies(all_of(s.history.made[i] <= r, r < end), _id(s, r) == i)

            return forall(s.history.avail_pos, same, cell, low=s.proof.marked_pos)

        return forall(s.history.avail_pos, of, cell, low=s.proof.marked_pos)

    return [
        Conjunct("to fetch", _slots(to_fetch, lambda s: s.proof.marked_pos, lambda s: s.history.avail_pos)),
        Conjunct("first to fetch", first),
        Conjunct("next to fetch", next_chain),
        Conjunct("one chain", one_chain),
    ]


def _chain_laws() -> list[Conjunct]:
    def as_written(s: Any, q: Term) -> Term:
        slot = s.ring.desc[cell(q)]
        return all_of(s.history.pos[cell(q)] == q, slot.addr == s.history.addr[cell(q)],
                      slot.len == s.history.addr[cell(q)])  # fmt: skip

    def being_made(s: Any, q: Term) -> Term:
        last = all_of(s.driver.at == "complete", q + 1 == s.history.avail_pos + s.driver.length)
        written = all_of(q > s.history.avail_pos, q < written_end(s))
        return all_of(_id(s, q) == s.driver.id, implies(written, _flags(s, q).next == ite(last, 0, 1)))

    def length(s: Any) -> Term:
        return ite(in_progress(s), s.driver.length, 0)

    avail = lambda s: s.history.avail_pos  # noqa: E731
    end = lambda s: s.history.avail_pos + length(s)  # noqa: E731
    return [
        Conjunct("as written", _slots(as_written, lambda s: s.proof.marked_pos, end)),
        *_to_fetch_laws(),
        Conjunct("being made", _slots(being_made, avail, end)),
    ]


def _ids() -> list[Conjunct]:
    def ages(s: Any, i: Term) -> Term:
        h = s.history
        return all_of(
            h.done[i] <= h.made[i], h.done[i] >= -1, h.made[i] < h.avail_pos, s.driver.num[i] >= 0,
            any_of(s.driver.owns[i] == 0, s.driver.owns[i] == 1),
            implies(all_of(negate(outstanding(s, i)), h.made[i] >= 0), h.made[i] < s.proof.marked_pos),
        )  # fmt: skip

    def out(s: Any, i: Term) -> Term:
        h, e = s.history, s.proof.entry[i]
        fetched = all_of(e >= 0, e < HEADS, live(s, e), s.history.who[e] == i, s.history.got[e] == h.made[i])
        return implies(
            outstanding(s, i),
            all_of(i < SIZE, s.driver.owns[i] == 1, negate(in_hand(s, i)), s.driver.num[i] >= 1,
                   h.made[i] + s.driver.num[i] <= h.avail_pos,
                   implies(h.made[i] < s.proof.marked_pos, fetched)),
        )  # fmt: skip

    def wait(s: Any, i: Term) -> Term:
        return implies(waiting(s, i), _id(s, s.history.made[i]) == i)

    def apart(s: Any) -> Term:
        made = s.history.made

        def one(i: Term) -> Term:
            return forall(HEADS, lambda j: implies(all_of(made[i] == made[j], made[i] >= 0), i == j),
                          lambda j: made[j])  # fmt: skip

        return forall(HEADS, one, lambda i: made[i])

    def in_hand_owned(s: Any) -> Term:
        i = s.driver.id
        return all_of(i >= 0, i < SIZE, implies(in_progress(s), s.driver.owns[i] == 1))

    hints = (lambda s, i: s.history.made[i], lambda s, i: s.history.done[i], lambda s, i: s.driver.owns[i])
    return [
        Conjunct("ages", all_entries(ages, *hints, lambda s, i: s.driver.num[i])),
        Conjunct("outstanding", all_entries(out, *hints)),
        Conjunct("waiting", all_entries(wait, lambda s, i: s.history.made[i])),
        Conjunct("made apart", apart),
        Conjunct("id in hand", in_hand_owned),
    ]


def _used() -> list[Conjunct]:
    def seen_next(s: Any, i: Term) -> Term:
        h, p = s.history, s.proof.used_at[i]
        end = p + s.driver.num[i]
        return implies(
            to_see(s, i),
            all_of(
                p >= h.seen_pos, end <= h.used_pos, _id(s, p) == i,
                is_used(_flags(s, p), lap(p)),
            ),
        )  # fmt: skip

    def behind(s: Any) -> Term:
        def one(i: Term) -> Term:
            def follows(q: Term) -> Term:
                end = s.proof.used_at[i] + s.driver.num[i]
                j = _id(s, q)
                return implies(all_of(to_see(s, i), q == end), all_of(to_see(s, j), s.proof.used_at[j] == q))

            return forall(s.history.used_pos, follows, cell, low=s.history.seen_pos)

        return forall(HEADS, one, lambda i: s.proof.used_at[i])

    def long(s: Any, i: Term) -> Term:
        return implies(to_see(s, i), s.driver.num[i] >= 1)

    def first(s: Any) -> Term:
        here = s.history.seen_pos
        i = _id(s, here)
        return implies(here < s.history.used_pos, all_of(to_see(s, i), s.proof.used_at[i] == here))

    def disjoint(s: Any) -> Term:
        def one(i: Term) -> Term:
            def other(j: Term) -> Term:
                p, q = s.proof.used_at[i], s.proof.used_at[j]
                before = any_of(p + s.driver.num[i] <= q, q + s.driver.num[j] <= p)
                return implies(all_of(to_see(s, i), to_see(s, j), negate(i == j)), before)

            return forall(HEADS, other, lambda j: s.proof.used_at[j])

        return forall(HEADS, one, lambda i: s.proof.used_at[i])

    return [
        Conjunct("to see", all_entries(seen_next, lambda s, i: s.proof.used_at[i])),
        Conjunct("length to see", all_entries(long, lambda s, i: s.driver.owns[i], lambda s, i: s.driver.num[i])),
        Conjunct("first to see", first),
        Conjunct("next to see", behind),
        Conjunct("elements apart", disjoint),
    ]


def ring(p: Places) -> list[Conjunct]:
    """Give the sentences about the ring and the driver."""
    labels = Conjunct("driver labels", lambda s: at(s.driver.at, *p.labels["driver"]))
    return [
        labels, Conjunct("positions", partial(_positions, p)), Conjunct("places", _places), *_flag_laws(p),
        *_chain_laws(), *_ids(), *([] if p.in_order else _used()),
    ]  # fmt: skip
