"""The part of the packed ring's invariant that speaks of the region: fields, chains, the free list, sums."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from model.both.words import DEAD, WORKING
from model.steps import Guard
from model.terms import Operand, Term, all_of, any_of, cell, forall, ite, lap, negate
from proofs.packed.words import (
    ENTRIES,
    HEADS,
    SIZE,
    Conjunct,
    Places,
    all_entries,
    at,
    free,
    implies,
    in_batch,
    initialised,
    listed,
    live,
    outstanding,
    phase,
    running,
)

__all__ = ["at_base", "copy_of", "region"]


def at_base(p: Places, s: Any) -> Term:
    """Whether what the front-end will say in SET_VRING_BASE is the first position that is not visible."""
    idx, wrap_counter = p.base(s)
    return all_of(idx == cell(s.history.used_pos), wrap_counter == lap(s.history.used_pos))


def _fields(p: Places) -> list[Conjunct]:
    def version(s: Any) -> Term:
        r, base_wrap = s.region, p.base(s)[1]
        return all_of(
            any_of(r.version == 0, r.version == 1), implies(r.version == 1, r.desc_num == ENTRIES),
            implies(negate(initialised(s)), at(s.recover.at, DEAD, *p.unsettled)),
            implies(at(s.recover.at, *p.unsettled), r.version == 0),
            implies(at(s.recover.at, *p.unsettled[1:]), r.desc_num == ENTRIES),
            implies(at(s.recover.at, "init old wrap", "init version"), r.used_wrap_counter == base_wrap),
            implies(s.recover.at == "init version", r.old_used_wrap_counter == base_wrap),
            implies(r.version == 0, all_of(r.free_head == 0, r.old_free_head == 0, phase(s, 0), s.proof.top == 0,
                                           s.proof.depth == 0, s.proof.kept_head == 0)),
        )  # fmt: skip

    def first_list(s: Any) -> Term:
        linked = forall(s.recover.entry, lambda x: s.region.desc[x].next == x + 1, lambda x: s.region.desc[x].next)
        done = forall(ENTRIES, lambda x: s.region.desc[x].next == x + 1, lambda x: s.region.desc[x].next)
        return all_of(
            implies(s.recover.at == "init", s.recover.entry == 0),
            implies(s.recover.at == "init next", all_of(s.recover.entry >= 0, s.recover.entry <= ENTRIES, linked)),
            implies(at(s.recover.at, *p.unsettled[2:]), done),
        )

    def used_place(s: Any) -> Term:
        u, n, r = s.history.used_pos, s.proof.slots, s.region
        phases = (0, 1, 2, 3, 4, 5, 6, *p.wrap_first)
        return all_of(
            any_of(*(s.proof.phase == k for k in phases)),
            implies(initialised(s), r.used_idx == cell(ite(phase(s, 1, 2), u + n, u))),
            implies(initialised(s), r.old_used_idx == cell(ite(phase(s, 3, 4, *p.wrap_first), u - n, u))),
            implies(initialised(s), r.used_wrap_counter == lap(ite(phase(s, 2, 6), u + n, u))),
            implies(initialised(s), r.old_used_wrap_counter == lap(ite(phase(s, 3, 4, 5), u - n, u))),
            implies(negate(phase(s, 0)), all_of(n >= 1, n <= SIZE)),
            implies(phase(s, 1, 2, 6), u + n <= s.proof.marked_pos), implies(phase(s, 3, 4, 5, *p.wrap_first), n <= u),
        )  # fmt: skip

    def fresh_place(s: Any) -> Term:
        """Say of a fresh region that its slots are 0 or where the ring began; which, the label says."""
        r, base = s.region, p.base(s)[0]
        idx_set = at(s.recover.at, "init old wrap", "init version")
        return implies(
            negate(initialised(s)),
            all_of(
                any_of(r.used_idx == 0, r.used_idx == base), any_of(r.old_used_idx == 0, r.old_used_idx == base),
                implies(any_of(idx_set, at(s.recover.at, "init old idx", "init wrap")), r.used_idx == base),
                implies(any_of(idx_set, s.recover.at == "init wrap"), r.old_used_idx == base),
            ),
        )  # fmt: skip

    def heads(s: Any) -> Term:
        r, proof = s.region, s.proof
        return implies(
            initialised(s),
            all_of(
                listed(s, r.old_free_head, proof.depth),
                implies(negate(phase(s, 0)), listed(s, r.free_head, proof.top)),
                proof.depth == ENTRIES - proof.marked_pos + s.history.used_pos - ite(phase(s, 3), proof.slots, 0),
                proof.depth >= 0, proof.depth <= proof.top, proof.top <= ENTRIES,
                implies(phase(s, 3), proof.top == proof.depth + proof.slots),
                implies(phase(s, 4, 5, *p.wrap_first), proof.top == proof.depth),
                proof.kept_head == ite(phase(s, 3), r.free_head, r.old_free_head),
            ),
        )  # fmt: skip

    def pushed(s: Any) -> Term:
        """Until it is rolled back, the batch leads the list (where free_head is rolled back first, not so long)."""
        return implies(phase(s, 1, 2, 6), s.proof.top == s.proof.depth + s.proof.slots)

    def together(s: Any) -> Term:
        """Slot and wrap counter are never apart."""
        return negate(phase(s, 5))

    def base(s: Any) -> Term:
        """Say that a fresh region begins where the ring is."""
        return implies(s.region.version == 0, at_base(p, s))

    kept = [Conjunct("base", base)] if p.kept_base else []
    return [*kept, Conjunct("version", version), Conjunct("first list", first_list), Conjunct("used place", used_place),
            Conjunct("list heads", heads),
            Conjunct("pushed slots", pushed) if p.plain else Conjunct("moved together", together),
            Conjunct("fresh place", fresh_place)]  # fmt: skip


def copy_of(s: Any, x: Operand, nth: Term, num: Term, who: Operand) -> Term:
    """Whether the entry's copy is that of a chain's descriptor as the driver made it."""
    copy = s.region.desc[x]
    return all_of(
        s.history.nth[x] == nth, copy.addr == s.history.content[x], copy.len == s.history.content[x], copy.id == who,
        copy.flags.next == ite(nth + 1 == num, 0, 1),
    )  # fmt: skip


def _stack() -> list[Conjunct]:
    def place(s: Any, x: Term) -> Term:
        place = s.proof.place[x]
        return all_of(
            place >= -1, place < s.proof.top,
            implies(initialised(s), implies(free(s, x), place >= 0)),
            implies(all_of(place >= 0, place < s.proof.depth), free(s, x)),
            implies(negate(phase(s, 3)), implies(place >= s.proof.depth, negate(free(s, x)))),
            implies(phase(s, 3), implies(place >= s.proof.depth, free(s, x))),
        )  # fmt: skip

    def links(s: Any, x: Term) -> Term:
        place, following = s.proof.place[x], s.region.desc[x].next
        return all_of(
            following >= 0,
            following <= ENTRIES,
            implies(place == 0, following == ENTRIES),
            implies(place > 0, all_of(following < ENTRIES, s.proof.place[following] == place - 1)),
        )

    def apart(s: Any) -> Term:
        place = s.proof.place

        def one(x: Term) -> Term:
            return forall(HEADS, lambda y: implies(all_of(place[x] == place[y], place[x] >= 0), x == y),
                          lambda y: place[y])  # fmt: skip

        return forall(HEADS, one, lambda x: place[x])

    return [
        Conjunct("free list", all_entries(place, lambda s, x: s.proof.place[x], lambda s, x: s.proof.owner[x])),
        Conjunct("links", all_entries(links, lambda s, x: s.region.desc[x].next, lambda s, x: s.proof.place[x])),
        Conjunct("places apart", apart),
    ]


def _chains(p: Places) -> list[Conjunct]:
    def request(s: Any, e: Term) -> Term:
        who, num = s.history.who[e], s.region.desc[e].num
        last = s.region.desc[e].last
        return all_of(
            any_of(s.proof.live[e] == 0, live(s, e)),
            implies(
                live(s, e),
                all_of(
                    who >= 0, who < SIZE, s.proof.entry[who] == e, s.history.got[e] == s.history.made[who],
                    outstanding(s, who), s.history.made[who] < s.proof.marked_pos,
                    s.proof.owner[e] == e, s.history.nth[e] == 0, num >= 1, num <= SIZE, num == s.history.length[e],
                    num == s.driver.num[who],
                    last >= 0, last < ENTRIES, s.proof.owner[last] == e, s.history.nth[last] == num - 1,
                    s.region.desc[e].inflight == 1,
                    s.history.got[e] + num <= s.proof.marked_pos,
                ),
            ),
        )  # fmt: skip

    def owned(s: Any, x: Term) -> Term:
        e, nth = s.proof.owner[x], s.history.nth[x]
        num, following = s.region.desc[e].num, s.region.desc[x].next
        chained = all_of(following >= 0, following < ENTRIES, s.proof.owner[following] == e,
                         s.history.nth[following] == nth + 1)  # fmt: skip
        return all_of(
            e >= -1, e < ENTRIES,
            implies(
                negate(free(s, x)),
                all_of(
                    live(s, e), s.history.held[x] == s.history.got[e], nth >= 0, nth < num,
                    copy_of(s, x, nth, num, s.history.who[e]),
                    implies(nth == 0, x == e), implies(nth + 1 == num, x == s.region.desc[e].last),
                    implies(nth + 1 < num, chained),
                ),
            ),
        )  # fmt: skip

    def apart(s: Any) -> Term:
        owner, nth = s.proof.owner, s.history.nth

        def one(x: Term) -> Term:
            def other(y: Term) -> Term:
                return implies(all_of(owner[x] == owner[y], owner[x] >= 0, nth[x] == nth[y]), x == y)

            return forall(HEADS, other, lambda y: owner[y])

        return forall(HEADS, one, lambda x: owner[x])

    def held(s: Any) -> Term:
        def one(x: Term) -> Term:
            return forall(
                HEADS,
                lambda e: implies(all_of(live(s, e), s.history.held[x] == s.history.got[e]), s.proof.owner[x] == e),
                lambda e: s.history.got[e],
            )

        return forall(HEADS, one, lambda x: s.history.held[x])

    def marks(s: Any, e: Term) -> Term:
        mark, place = s.region.desc[e].inflight, s.proof.place[e]
        clearing = all_of(s.supply.open == 2, in_batch(s, e), s.proof.batch_place[e] >= s.supply.cursor)
        settling = all_of(clearing, at(s.supply.at, *p.clearing))
        fetching = all_of(
            negate(at(s.fetch.at, "look", "take", "rest", "armed", "disarm", "submit")), e == s.fetch.head
        )
        return all_of(
            any_of(mark == 0, mark == 1),
            implies(mark == 1, any_of(live(s, e), all_of(free(s, e), place >= 0))),
            implies(running(s), implies(mark == 1, any_of(live(s, e), settling, fetching))),
            implies(negate(initialised(s)), mark == 0),
            implies(live(s, e), mark == 1),
        )

    hints = (lambda s, e: s.proof.live[e], lambda s, e: s.history.who[e], lambda s, e: s.history.got[e])
    return [
        Conjunct("requests", all_entries(request, *hints)),
        Conjunct("chains", all_entries(owned, lambda s, x: s.proof.owner[x], lambda s, x: s.history.nth[x])),
        Conjunct("chains apart", apart), Conjunct("held once", held),
        Conjunct("marks", all_entries(marks, lambda s, e: s.region.desc[e].inflight)),
    ]  # fmt: skip


def _sums_up(
    array: Callable[[Any], Any], value: Callable[[Any, Operand], Term], *hints: Callable[[Any, Term], Term]
) -> Guard:
    """Say that an array of sums begins with 0, and adds the value of each entry."""

    def holds(s: Any) -> Term:
        one = lambda e: array(s)[e + 1] == array(s)[e] + value(s, e)  # noqa: E731
        return all_of(array(s)[0] == 0, forall(HEADS, one, *(lambda e, h=h: h(s, e) for h in hints)))

    return holds


def _rises(array: Callable[[Any], Any]) -> Guard:
    """Say that an array of sums never falls."""

    def holds(s: Any) -> Term:
        def from_here(j: Term) -> Term:
            return forall(HEADS + 1, lambda k: array(s)[k] >= array(s)[j], lambda k: array(s)[k], low=j)

        return forall(HEADS + 1, from_here, lambda j: array(s)[j])

    return holds


def _rises_by_ones(array: Callable[[Any], Any]) -> Guard:
    """Say that an array of sums never falls, nor rises by more than 1 from an entry to the next."""

    def holds(s: Any) -> Term:
        def from_here(j: Term) -> Term:
            def one(k: Term) -> Term:
                rise = array(s)[k] - array(s)[j]
                return all_of(rise >= 0, rise <= k - j)

            return forall(HEADS + 1, one, lambda k: array(s)[k], low=j)

        return forall(HEADS + 1, from_here, lambda j: array(s)[j])

    return holds


def _sums(p: Places) -> list[Conjunct]:
    def slots(s: Any, e: Operand) -> Term:
        return ite(live(s, e), s.region.desc[e].num, 0)

    def rest(s: Any, e: Operand) -> Term:
        built = all_of(s.supply.open == 1, in_batch(s, e))
        return ite(all_of(live(s, e), negate(built)), s.region.desc[e].num, 0)

    def totals(s: Any) -> Term:
        fetched = s.proof.marked_pos - s.history.used_pos
        return all_of(
            s.proof.live_sum[HEADS] == fetched,
            s.proof.rest_sum[HEADS] == fetched - ite(s.supply.open == 1, s.supply.slots, 0),
        )

    def working(s: Any, e: Operand) -> Term:
        return ite(s.device.state[e] == WORKING, 1, 0)

    def resubmitted(s: Any, e: Operand) -> Term:
        return ite(s.recover.resubmitted[e] == 1, 1, 0)

    def marked(s: Any, e: Operand) -> Term:
        return ite(s.region.desc[e].inflight == 1, 1, 0)

    marks = _sums_up(lambda s: s.proof.inflight_sum, marked, lambda s, e: s.region.desc[e].inflight)
    live_hint = lambda s, e: s.proof.live[e]  # noqa: E731
    working_sum, resubmitted_sum = lambda s: s.proof.working_sum, lambda s: s.proof.resubmitted_sum
    return [
        Conjunct("live sum", _sums_up(lambda s: s.proof.live_sum, slots, live_hint)),
        Conjunct("rest sum", _sums_up(lambda s: s.proof.rest_sum, rest, live_hint)),
        Conjunct("totals", totals),
        *([Conjunct("inflight sum", marks)] if p.counts_inflight else []),
        Conjunct("live sum rises", _rises(lambda s: s.proof.live_sum)),
        Conjunct("rest sum rises", _rises(lambda s: s.proof.rest_sum)),
        Conjunct("working sum", _sums_up(working_sum, working, lambda s, e: s.device.state[e])),
        Conjunct("working sum rises", _rises_by_ones(working_sum)),
        Conjunct("resubmitted sum", _sums_up(resubmitted_sum, resubmitted, lambda s, e: s.recover.resubmitted[e])),
        Conjunct("resubmitted sum rises", _rises_by_ones(resubmitted_sum)),
    ]


def region(p: Places) -> list[Conjunct]:
    """Give the sentences about the region."""
    return [*_fields(p), *_stack(), *_chains(p), *_sums(p)]
