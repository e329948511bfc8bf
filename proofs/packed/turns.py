"""Whose turn it is, for the proof of in-order use on the packed ring: numbers of requests, the queue, the batch."""

from __future__ import annotations

from typing import Any

from model.both.words import FINISHED, IN_BATCH, WORKING
from model.terms import Term, all_of, any_of, cell, forall, ite, negate
from proofs.packed.in_order import element_begins, entry_at, one_begins
from proofs.packed.words import HEADS, SIZE, Conjunct, Places, at, iff, implies, in_batch, live, running

__all__ = ["turns"]


def _next(p: Places, s: Any) -> tuple[Term, Term]:
    """Give position and number of the request whose turn it is."""
    taken, num = at(s.supply.at, *p.supplying), s.region.desc[s.supply.head].num
    slots, count = s.supply.slots + ite(taken, num, 0), s.supply.count + ite(taken, 1, 0)
    building = s.supply.open == 1
    return s.history.used_pos + ite(building, slots, 0), s.proof.used_number + ite(building, count, 0)


def _again(s: Any) -> Term:
    """Give the number of the next request that recovery resubmits."""
    return s.proof.used_number + s.proof.resubmitted_sum[HEADS]  # type: ignore[no-any-return]


def _numbers(p: Places) -> list[Conjunct]:
    def numbers(s: Any) -> Term:
        number, got = s.proof.number, s.history.got

        def one(e: Term) -> Term:
            def other(g: Term) -> Term:
                end = got[e] + s.region.desc[e].num
                both = all_of(live(s, e), live(s, g))
                return all_of(
                    implies(all_of(both, got[g] == end), number[g] == number[e] + 1),
                    implies(all_of(both, number[e] == number[g]), e == g),
                    implies(all_of(both, got[e] < got[g]), number[e] < number[g]),
                )

            return forall(HEADS, other, lambda g: number[g], lambda g: got[g])

        return forall(HEADS, one, lambda e: number[e], lambda e: got[e])

    def ends(s: Any) -> Term:
        """Say the numbers of the first in flight, of the next to be given back, and of the last."""
        number, got = s.proof.number, s.history.got
        position, following = _next(p, s)

        def one(e: Term) -> Term:
            end = got[e] + s.region.desc[e].num
            return implies(live(s, e), all_of(
                number[e] >= s.proof.used_number, number[e] < s.proof.marked_number, got[e] >= s.history.used_pos,
                implies(got[e] == s.history.used_pos, number[e] == s.proof.used_number),
                implies(got[e] == position, number[e] == following),
                implies(end == s.proof.marked_pos, number[e] + 1 == s.proof.marked_number),
            ))  # fmt: skip

        return all_of(
            forall(HEADS, one, lambda e: number[e], lambda e: got[e]),
            implies(s.history.used_pos == s.proof.marked_pos, s.proof.used_number == s.proof.marked_number),
            implies(position == s.proof.marked_pos, following == s.proof.marked_number),
            position <= s.proof.marked_pos, implies(position < s.history.avail_pos, one_begins(s, position)),
        )  # fmt: skip

    def turns(s: Any) -> Term:
        _, following = _next(p, s)

        def one(e: Term) -> Term:
            turn, state = s.device.turn[e], s.device.state[e]
            return all_of(
                turn >= 0,
                iff(turn > 0, any_of(state == WORKING, state == FINISHED)),
                implies(turn > 0, turn == s.proof.number[e] - following + 1),
            )

        return forall(HEADS, one, lambda e: s.device.turn[e], lambda e: s.device.state[e])

    def how_many(s: Any) -> Term:
        sums, (_, following) = s.proof.turn_sum, _next(p, s)

        def one(e: Term) -> Term:
            return sums[e + 1] == sums[e] + ite(s.device.turn[e] > 0, 1, 0)  # type: ignore[no-any-return]

        fetched = s.proof.marked_number - ite(s.fetch.at == "submit", 1, 0)
        given = ite(running(s), fetched, _again(s) - ite(s.recover.at == "gather", 1, 0))
        return all_of(
            sums[0] == 0, forall(HEADS, one, lambda e: s.device.turn[e], lambda e: sums[e]),
            sums[HEADS] == given - following,
            implies(s.fetch.at == "submit", s.proof.number[s.fetch.head] == s.proof.marked_number - 1),
            implies(s.recover.at == "gather", s.proof.number[s.recover.head] == _again(s) - 1),
        )  # fmt: skip

    return [Conjunct("numbers", numbers), Conjunct("first and last number", ends), Conjunct("turns", turns),
            Conjunct("as many turns", how_many)]  # fmt: skip


def _resubmitting(p: Places) -> list[Conjunct]:
    def resubmitted(s: Any) -> Term:
        """Say that recovery has come to a position, in order, and which request is next."""
        q, got = s.proof.again_pos, s.history.got

        def one(e: Term) -> Term:
            return implies(live(s, e), all_of(
                iff(s.recover.resubmitted[e] == 1, got[e] < q), implies(got[e] == q, s.proof.number[e] == _again(s)),
            ))  # fmt: skip

        e = entry_at(s, q)
        following = all_of(e >= 0, e < HEADS, live(s, e), got[e] == q, s.recover.resubmitted[e] == 0)
        there = at(s.recover.at, p.counter_label, "resubmit", "gather", "signalled")
        return all_of(
            implies(there, all_of(
                forall(HEADS, one, lambda e: s.recover.resubmitted[e], lambda e: got[e]), q <= s.proof.marked_pos,
                any_of(q == s.proof.marked_pos, following),
                implies(q == s.proof.marked_pos, _again(s) == s.proof.marked_number),
            )),
            implies(s.recover.at == "signalled", q == s.proof.marked_pos),
        )  # fmt: skip

    def none_yet(s: Any) -> Term:
        early = negate(any_of(running(s), at(s.recover.at, "resubmit", "gather", "signalled")))
        return implies(early, s.proof.resubmitted_sum[HEADS] == 0)

    return [Conjunct("next to resubmit", resubmitted), Conjunct("none resubmitted", none_yet)]


def _batch(p: Places) -> list[Conjunct]:
    def batch(s: Any) -> Term:
        start, got = s.history.used_pos, s.history.got

        def one(e: Term) -> Term:
            return iff(in_batch(s, e), all_of(live(s, e), got[e] < start + s.supply.slots))

        def at_offset(k: Term) -> Term:
            return got[s.supply.batch[k]] == start + s.supply.offset[k]  # type: ignore[no-any-return]

        return all_of(
            implies(s.supply.open == 1, all_of(
                forall(HEADS, one, lambda e: s.proof.in_batch[e], lambda e: got[e]),
                forall(s.supply.count, at_offset, lambda k: s.supply.batch[k], lambda k: s.supply.offset[k]),
            )),
            implies(at(s.supply.at, *p.supplying), got[s.supply.head] == start + s.supply.slots),
        )  # fmt: skip

    def named(s: Any) -> Term:
        """Say that each request of the batch has its element, which ends with it."""
        start = s.history.used_pos

        def own(q: Term, e: Term) -> Term:
            return all_of(element_begins(s, q), s.proof.ends[cell(q)] == q + s.region.desc[e].num)

        def each(k: Term) -> Term:
            return own(start + s.supply.offset[k], s.supply.batch[k])

        def in_flight(k: Term) -> Term:
            q = s.proof.begins[k]
            return any_of(q < start, all_of(q < s.proof.marked_pos, one_begins(s, q)))

        written = at(s.supply.at, "element len", "link", "lead")
        return all_of(
            implies(s.supply.open == 1, forall(s.supply.count, each, lambda k: s.supply.batch[k],
                                               lambda k: s.supply.offset[k])),
            implies(written, own(start + s.supply.slots, s.supply.head)),
            forall(SIZE, in_flight, lambda k: s.proof.begins[k]),
        )  # fmt: skip

    def gathered(s: Any) -> Term:
        """Say that a complete batch has one element, in its first slot, which names its last request."""
        start, e, slots = s.history.used_pos, s.supply.head, s.supply.slots
        element = s.ring.desc[cell(start)]
        last = all_of(
            e >= 0, e < HEADS, in_batch(s, e), s.history.got[e] + s.region.desc[e].num == start + slots,
            s.device.state[e] == IN_BATCH, s.device.given[e] == s.history.content[e],
        )  # fmt: skip
        flagging = all_of(at(s.supply.at, *p.flags), s.supply.open == 1)
        complete = any_of(at(s.supply.at, *p.closing, "used wrap"), flagging)

        def published(k: Term) -> Term:
            return s.proof.begins[k] <= start  # type: ignore[no-any-return]

        return all_of(
            implies(any_of(s.supply.at == "more", complete), last),
            implies(complete, all_of(
                element.id == s.history.who[e], element_begins(s, start), s.proof.ends[cell(start)] == start + slots,
            )),
            implies(all_of(complete, negate(s.supply.at == "element len")), element.len == s.history.content[e]),
            forall(SIZE, published, lambda k: s.proof.begins[k]),
        )  # fmt: skip

    return [Conjunct("batch in order", batch),
            Conjunct("one element", gathered) if p.gathered else Conjunct("own elements", named)]  # fmt: skip


def turns(p: Places) -> list[Conjunct]:
    """Give the sentences of whose turn it is, for the labels of a table."""
    return [*_numbers(p), *_resubmitting(p), *_batch(p)]
