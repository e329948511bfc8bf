"""The properties of the packed ring, as predicates of a state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from model.both.words import ENTRIES, RUNNING, SIZE, WORKING
from model.packed.history import (
    Walk,
    backward_number,
    forward_number,
    newly_used,
    others_number,
    own_slot,
    published_slot,
)
from model.packed.places import to_fetch
from model.packed.recover import slots_inflight
from model.properties import Judgement
from model.terms import (
    Operand,
    Term,
    all_of,
    any_of,
    cell,
    exists,
    follow,
    forall,
    ite,
    lap,
    met,
    negate,
)

__all__ = ["JUDGEMENTS", "all_seen", "beyond_the_ring", "idle_driver", "on_free_list", "outstanding", "stands_for"]


def outstanding(s: Any, i: Operand) -> Term:
    """Whether the id stands for a request that was made available and is not visible as used."""
    return s.history.made[i] > s.history.done[i]  # type: ignore[no-any-return]


def not_used(s: Any, e: Term) -> Term:
    """The entry's request, as the back-end knows it, is not visible as used."""
    return s.history.got[e] > s.history.done[s.history.who[e]]  # type: ignore[no-any-return]


def not_used_in_hand(s: Any) -> Term:
    """The request in hand is not visible as used."""
    return not_used(s, s.fetch.head)


def gathered_as_made(s: Any) -> Term:
    """The copy that is gathered next is that of the chain's next descriptor, as the driver made it."""
    e, x = s.recover.head, s.recover.entry
    nth = s.region.desc[e].num - s.recover.left
    copy = s.region.desc[x]
    return all_of(
        x < ENTRIES, s.history.held[x] == s.history.got[e], s.history.nth[x] == nth,
        copy.addr == s.history.content[x], copy.len == s.history.content[x], copy.id == s.history.who[e],
        copy.flags.next == ite(nth + 1 == s.history.length[e], 0, 1),
    )  # fmt: skip


def gathered_whole(s: Any) -> Term:
    """As many descriptors were gathered as the chain has."""
    whole = s.region.desc[s.recover.head].num == s.history.length[s.recover.head]
    return all_of(s.recover.left <= 0, whole)


def copied_as_made(s: Any) -> Term:
    """The copy just made, and the slot that it was made of, say what the driver wrote."""
    x, e, slot = s.region.free_head, s.region.old_free_head, s.fetch.avail_idx
    nth = s.history.pos[slot] - s.history.got[e]
    copy = s.region.desc[x]
    return all_of(
        nth == s.region.desc[e].num - 1,
        copy.addr == s.history.addr[slot], copy.len == s.history.addr[slot], copy.id == s.history.who[e],
        s.fetch.last == ite(nth + 1 == s.history.length[e], 1, 0), copy.flags.next == 1 - s.fetch.last,
    )  # fmt: skip


def fetched_whole(s: Any) -> Term:
    """The chain in hand has as many descriptors as the driver made, and its head's entry holds the first of them."""
    e = s.fetch.head
    return all_of(
        s.region.desc[e].num == s.history.length[e], s.history.held[e] == s.history.got[e], s.history.nth[e] == 0,
        s.region.desc[e].addr == s.history.content[e],
    )  # fmt: skip


def stands_for(s: Any, e: Operand, i: Operand) -> Term:
    """Whether the entry's request is the one that the id stands for now."""
    return s.history.got[e] == s.history.made[i]  # type: ignore[no-any-return]


def _id(s: Any, q: Term) -> Term:
    return s.ring.desc[cell(q)].id  # type: ignore[no-any-return]


Number = Callable[[Any], Term]
Place = Callable[[Any, Term], tuple[Term, Term]]


def names_finished(s: Any, number: Number = backward_number, place: Place = published_slot) -> Term:
    """Each used element that becomes visible names a request that the device has finished, with its length."""

    def finished(q: Term) -> Term:
        i = _id(s, q)
        return all_of(s.history.ready[i] == s.history.made[i], s.ring.desc[cell(q)].len == s.history.result[i])

    return negate(newly_used(s, *place(s, number(s)), lambda q: negate(finished(q))))


def names_once(s: Any, number: Number = backward_number, place: Place = published_slot) -> Term:
    """Each used element that becomes visible names a request that is neither visible yet nor worked on, and once."""
    slot, wrap_counter = place(s, number(s))

    def again(q: Term) -> Term:
        return newly_used(s, slot, wrap_counter, lambda r: all_of(negate(r == q), _id(s, r) == _id(s, q)))

    def once(q: Term) -> Term:
        def at_work(e: Term) -> Term:
            working = any_of(s.device.state[e] == WORKING, s.history.twice[e] == 1)
            return all_of(stands_for(s, e, _id(s, q)), working)

        return all_of(outstanding(s, _id(s, q)), negate(exists(ENTRIES, at_work)), negate(again(q)))

    return negate(newly_used(s, slot, wrap_counter, lambda q: negate(once(q))))


def unused_in_queue(s: Any, i: Operand) -> Term:
    """Whether the id's request is to be fetched at the recovered position, by slots and wrap counters."""
    return s.history.avail_pos - s.history.made[i] <= to_fetch(s)  # type: ignore[no-any-return]


def resubmitted(s: Any, i: Operand) -> Term:
    """Whether this recovery has resubmitted the id's request."""
    return exists(ENTRIES, lambda e: all_of(s.recover.resubmitted[e] == 1, stands_for(s, e, i)))


def exactly_one_of_both(s: Any) -> Term:
    """Each outstanding request was resubmitted, or is to be fetched, and not both."""

    def one(i: Term) -> Term:
        again, later = resubmitted(s, i), unused_in_queue(s, i)
        return ite(outstanding(s, i), any_of(all_of(again, negate(later)), all_of(negate(again), later)), all_of())

    return forall(SIZE, one)


def in_order(s: Any) -> Term:
    """This process has given requests to the device in the order in which they were made available."""
    return s.history.in_order == 1  # type: ignore[no-any-return]


def _free_list(s: Any) -> Walk:
    return s.region.free_head, ENTRIES, lambda x: x < ENTRIES, lambda x: s.region.desc[x].next


def on_free_list(s: Any, x: Term) -> Term:
    """Whether the entry is on the free list."""
    return met(*_free_list(s), lambda y: y == x)


def _owned(s: Any, x: Term) -> Term:
    """Whether the entry holds a descriptor of a request that is inflight."""
    return exists(
        ENTRIES, lambda e: all_of(s.region.desc[e].inflight == 1, s.history.held[x] == s.history.got[e], not_used(s, e))
    )


def well_formed(s: Any) -> Term:
    """Version and size are set, indexes are in range, old and new agree, the free list is what nobody owns."""
    r = s.region  # that free_head is in range need not be said: a list that begins beyond its end does not end there
    return all_of(
        r.version == 1, r.desc_num == ENTRIES, r.used_idx < SIZE, r.used_wrap_counter <= 1,
        r.old_free_head == r.free_head, r.old_used_idx == r.used_idx, r.old_used_wrap_counter == r.used_wrap_counter,
        forall(ENTRIES, lambda x: all_of(r.desc[x].next <= ENTRIES, r.desc[x].inflight <= 1)),
        follow(*_free_list(s)) == ENTRIES,
        forall(ENTRIES, lambda x: ite(on_free_list(s, x), negate(_owned(s, x)), _owned(s, x))),
        forall(ENTRIES, lambda x: ite(on_free_list(s, x), r.desc[x].inflight == 0, all_of())),
    )  # fmt: skip


def at_the_drivers_place(s: Any) -> Term:
    """The next used slot is where the driver looks next; fetching goes on at the first request that nobody has."""
    pos, h = s.history.avail_pos - to_fetch(s), s.history

    def waits(i: Term) -> Term:
        return all_of(outstanding(s, i), negate(resubmitted(s, i)))

    return all_of(
        s.region.used_idx == cell(h.used_pos), s.region.used_wrap_counter == lap(h.used_pos),
        forall(SIZE, lambda i: ite(waits(i), h.made[i] >= pos, all_of())),
        any_of(pos == h.avail_pos, exists(SIZE, lambda i: all_of(waits(i), h.made[i] == pos))),
    )  # fmt: skip


JUDGEMENTS: tuple[Judgement, ...] = (
    Judgement("no-used-resubmitted", "resubmit", True, not_used),
    Judgement("no-used-resubmitted", "fetched", True, not_used_in_hand),
    Judgement("nothing-lost", "recovered", False, exactly_one_of_both),
    Judgement("order", "recovered", False, in_order),
    Judgement("order", "fetched", False, in_order),
    Judgement("intact", "gather", True, gathered_as_made),
    Judgement("intact", "gathered", True, gathered_whole),
    Judgement("intact", "copied", True, copied_as_made),
    Judgement("intact", "fetched", True, fetched_whole),
    Judgement("intact", "publish", True, names_finished),
    Judgement("exactly-once", "publish", True, names_once),
    Judgement("intact", "publish forwards", True, lambda s: names_finished(s, forward_number)),
    Judgement("exactly-once", "publish forwards", True, lambda s: names_once(s, forward_number)),
    Judgement("intact", "publish others", True, lambda s: names_finished(s, others_number)),
    Judgement("exactly-once", "publish others", True, lambda s: names_once(s, others_number)),
    Judgement("intact", "publish own", True, lambda s: names_finished(s, backward_number, own_slot)),
    Judgement("exactly-once", "publish own", True, lambda s: names_once(s, backward_number, own_slot)),
    Judgement("intact", "publish own forwards", True, lambda s: names_finished(s, forward_number, own_slot)),
    Judgement("exactly-once", "publish own forwards", True, lambda s: names_once(s, forward_number, own_slot)),
    Judgement("well-formed", "recovered", False, well_formed),
    Judgement("well-formed", "settled", False, well_formed),
    Judgement("ring-position", "recovered", False, at_the_drivers_place),
)


def all_seen(s: Any) -> Term:
    """The driver has every buffer back."""
    return forall(SIZE, lambda i: s.driver.owns[i] == 0, lambda i: s.driver.owns[i])


def idle_driver(s: Any) -> Term:
    """The driver is not in the middle of making a request available."""
    return s.driver.at == "idle"  # type: ignore[no-any-return]


def beyond_the_ring(s: Any) -> Term:
    """Whether a back-end that has gone wrong fetches, finds inflight, or supplies at once more than the ring holds.

    A search goes no further there: every back-end must take the first for a broken driver, the second for a broken
    region; and the third it cannot write, since slots and wrap counters name no more than one round.
    """
    return any_of(
        all_of(s.recover.at == RUNNING, to_fetch(s) > SIZE), all_of(s.recover.at == "clear", slots_inflight(s) > SIZE),
        s.supply.slots > SIZE,
    )  # fmt: skip
