"""The invariant of the split ring, as named sentences.

Each is a predicate in the model's terms, so that it is evaluated on plain numbers and proved by Z3 from one writing.
Words: *live* is fetched (marked) and not visible; *waiting* is available and not marked; the batch list is *owed* while
a published batch is not settled (region.used_idx lags behind the ring's).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from model.both.stopping import ANSWERED
from model.both.words import DEAD, FIRST, RUNNING, WORKING
from model.split.properties import outstanding
from model.steps import Guard, Table
from model.terms import Operand, Term, all_of, any_of, forall, ite, negate, place, slot, wrap
from proofs.induction.left import restarting
from proofs.induction.stopped import sentences
from proofs.split.in_order import in_order
from proofs.split.obligations import key
from proofs.split.plain import plain
from proofs.split.process import process
from proofs.split.rank import drains
from proofs.split.words import (
    ENTRIES,
    HEADS,
    SIZE,
    Conjunct,
    Places,
    at,
    below,
    implies,
    in_list,
    indexes,
    live,
    owed,
    rest,
    stale,
    waiting,
)

__all__ = ["invariant"]


def _ring(p: Places) -> list[Conjunct]:  # a list of sentences
    def positions(s: Any) -> Term:
        h = s.history
        return all_of(
            h.seen_pos <= h.used_pos, h.used_pos <= s.proof.marked_pos, s.proof.marked_pos <= h.avail_pos,
            h.seen_pos >= 0, h.avail_pos - h.seen_pos <= SIZE,
        )  # fmt: skip

    def free_heads(s: Any) -> Term:
        used = s.history.avail_pos - s.history.seen_pos
        busy = ite(at(s.driver.at, "described", "listed"), used + 1, used)
        return all_of(s.driver.num_free == SIZE - busy, s.driver.num_free >= 0)

    def slots(s: Any) -> Term:
        h = s.history
        return all_of(
            slot(s.avail.idx) == place(h.avail_pos), slot(s.used.idx) == place(h.used_pos),
            slot(s.driver.next_used) == place(h.seen_pos),
        )  # fmt: skip

    def in_range(s: Any) -> Term:
        return all_of(
            s.driver.head >= 0, s.driver.head < SIZE,
            forall(SIZE, lambda q: below(s.avail.ring[q], SIZE), lambda q: s.avail.ring[q]),
            forall(SIZE, lambda q: below(s.used.ring[q].id, SIZE), lambda q: s.used.ring[q].id),
        )  # fmt: skip

    def to_fetch(s: Any) -> Term:
        def one(q: Term) -> Term:
            head = s.avail.ring[place(q)]
            return all_of(s.history.made[head] == q, s.proof.marked[head] < q)

        return forall(s.history.avail_pos, one, place, low=s.proof.marked_pos)

    def listed(s: Any) -> Term:
        return implies(s.driver.at == "listed", s.avail.ring[place(s.history.avail_pos)] == s.driver.head)

    def to_use(s: Any) -> Term:
        def one(q: Term) -> Term:
            head = s.used.ring[place(q)].id
            return all_of(
                s.driver.owns[head] == 1, s.history.made[head] == s.history.done[head], s.proof.used_at[head] == q,
                negate(all_of(at(s.driver.at, "described", "listed"), s.driver.head == head)),
            )  # fmt: skip

        return forall(s.history.used_pos, one, place, low=s.history.seen_pos)

    return [
        Conjunct("positions", positions), Conjunct("free heads", free_heads), Conjunct("indexes", indexes),
        Conjunct("slots", slots), Conjunct("heads in range", in_range), Conjunct("to fetch", to_fetch),
        Conjunct("listed", listed), *([] if p.differs.in_order else [Conjunct("to use", to_use)]),
    ]  # fmt: skip


def _requests(p: Places) -> list[Conjunct]:
    def per_head(body: Callable[[Any, Term], Term], *hints: Callable[[Any, Term], Term]) -> Guard:
        return lambda s: forall(HEADS, lambda h: body(s, h), *(lambda h, hint=hint: hint(s, h) for hint in hints))

    def to_come(s: Any, h: Term) -> Term:
        """Whether the request waits and is not passed over."""
        waits = waiting(s, h)
        return all_of(waits, s.history.made[h] >= s.proof.marked_pos) if p.differs.skips else waits

    def ages(s: Any, h: Term) -> Term:
        return all_of(
            s.history.done[h] <= s.proof.marked[h], s.proof.marked[h] <= s.history.got[h],
            s.history.got[h] <= s.history.made[h], s.history.made[h] < s.history.avail_pos,
            s.proof.marked[h] < s.proof.marked_pos, s.history.done[h] >= -1,
            implies(waiting(s, h), s.history.made[h] >= (0 if p.differs.skips else s.proof.marked_pos)),
            implies(to_come(s, h), s.avail.ring[place(s.history.made[h])] == h),
            implies(live(s, h), s.history.got[h] == s.proof.marked[h]),
            implies(live(s, h), s.history.made[h] == s.proof.marked[h]),
            implies(h >= SIZE, all_of(s.history.made[h] == -1)),
        )  # fmt: skip

    def owned(s: Any, h: Term) -> Term:
        return implies(
            outstanding(s, h),
            all_of(s.driver.owns[h] == 1, s.table[h] == s.history.content[h],
                   negate(all_of(at(s.driver.at, "described", "listed"), s.driver.head == h))),
        )  # fmt: skip

    def making(s: Any) -> Term:
        h = s.driver.head
        return implies(
            at(s.driver.at, "described", "listed"),
            all_of(s.driver.owns[h] == 1, s.history.made[h] == s.history.done[h]),
        )

    ages_hint = (lambda s, h: s.history.made[h], lambda s, h: s.proof.marked[h], lambda s, h: s.history.done[h],
                 lambda s, h: s.history.got[h])  # fmt: skip
    return [
        Conjunct("ages", per_head(ages, *ages_hint)),
        Conjunct("owned", per_head(owned, lambda s, h: s.driver.owns[h], lambda s, h: s.table[h],
                                   lambda s, h: s.history.made[h])),
        Conjunct("making", making),
    ]  # fmt: skip


def _region(p: Places) -> list[Conjunct]:  # noqa: C901  # a list of sentences
    def version(s: Any) -> Term:
        return all_of(
            any_of(s.region.version == 0, s.region.version == 1),
            desc_num(s, s.region.version == 1),
            implies(s.region.version == 1, s.region.used_idx == wrap(s.proof.settled_pos, 16)),
            implies(s.region.version == 0, s.history.used_pos == s.proof.marked_pos),
            implies(s.region.version == 0, all_of(s.proof.settled_pos == s.history.used_pos, s.proof.length == 0)),
            implies(s.region.version == 0, at(s.recover.at, DEAD, *p.unsettled)),
            implies(fresh(s, at(s.recover.at, *p.unsettled)), s.region.version == 0),
            *([adopted(s)] if p.differs.known_late else []),
            desc_num(s, at(s.recover.at, "init used_idx", "init version", *p.opening_fresh)),
            *([] if p.differs.stale else [used_idx_set(s)]),
        )  # fmt: skip

    def fresh(s: Any, said: Term) -> Term:
        """Say it of a process that initialises its region."""
        return all_of(said, s.recover.fresh == 1) if p.differs.known_late else said

    def used_idx_set(s: Any) -> Term:
        return implies(fresh(s, s.recover.at == "init version"), s.region.used_idx == s.used.idx)

    def adopted(s: Any) -> Term:
        there = all_of(at(s.recover.at, *p.unsettled), s.recover.fresh == 0)
        return all_of(any_of(s.recover.fresh == 0, s.recover.fresh == 1), implies(there, s.region.version == 1))

    def desc_num(s: Any, when: Term) -> Term:
        if p.differs.attached:
            return implies(negate(at(s.recover.at, DEAD, "init")), s.region.desc_num == ENTRIES)
        return all_of() if p.differs.desc_num_late else implies(when, s.region.desc_num == ENTRIES)

    def never_set(s: Any) -> Term:
        h, unset = s.history, stale(s)
        return all_of(
            h.used_pos >= FIRST,
            implies(s.region.version == 0, all_of(s.region.used_idx == 0, h.used_pos == FIRST)),
            implies(unset, all_of(h.used_pos == FIRST, s.proof.marked_pos == FIRST, s.proof.settled_pos == 0)),
            implies(unset, s.proof.length == 0),
            implies(unset, at(s.recover.at, DEAD, *p.unready, *p.opening, "compare", "compared", "clear")),
            implies(unset, forall(HEADS, lambda h: negate(live(s, h)), lambda h: s.proof.marked[h])),
            implies(at(s.recover.at, *p.unready), all_of(s.proof.length == 0, implies(owed(s), unset))),
        )

    def marks(s: Any) -> Term:
        def one(h: Term) -> Term:
            mark = s.region.desc[h].inflight
            return all_of(
                any_of(mark == 0, mark == 1),
                implies(live(s, h), mark == 1),
                implies(mark == 1, any_of(live(s, h), all_of(owed(s), in_list(s, h)))),
            )

        return forall(HEADS, one, lambda h: s.region.desc[h].inflight)

    def batch_list(s: Any) -> Term:
        def entry(h: Term) -> Term:
            return implies(
                in_list(s, h),
                all_of(s.proof.place[h] >= 0, s.proof.place[h] < s.proof.length, s.proof.list_at[s.proof.place[h]] == h,
                       h < SIZE),
            )  # fmt: skip

        def position(k: Term) -> Term:
            h = s.proof.list_at[k]
            return all_of(h >= 0, h < SIZE, in_list(s, h), s.proof.place[h] == k)

        return all_of(
            s.proof.length >= 0,
            forall(HEADS, entry, lambda h: s.proof.place[h], lambda h: s.proof.in_list[h]),
            forall(s.proof.length, position, lambda k: s.proof.list_at[k]),
            forall(HEADS, lambda h: any_of(s.proof.in_list[h] == 0, in_list(s, h)), lambda h: s.proof.in_list[h]),
        )

    def links(s: Any) -> Term:
        def one(h: Term) -> Term:
            following = s.region.desc[h].next
            return all_of(
                following >= 0, following < SIZE,
                implies(all_of(in_list(s, h), s.proof.place[h] > 0),
                        all_of(in_list(s, following), s.proof.place[following] == s.proof.place[h] - 1)),
            )  # fmt: skip

        head = s.region.last_batch_head
        return all_of(
            head >= 0, head < SIZE,
            forall(HEADS, one, lambda h: s.region.desc[h].next),
            implies(s.proof.length > 0, all_of(in_list(s, head), s.proof.place[head] == s.proof.length - 1)),
        )  # fmt: skip

    def one_at_a_time(s: Any) -> Term:
        return all_of(
            s.proof.length <= 1,
            implies(at(s.supply.at, *p.supplying), s.supply.count == 0),
            implies(s.supply.at == "more", s.supply.count == 1),
            *([implies(at(s.supply.at, *p.led), s.region.last_batch_head == s.supply.head)] if p.led else []),
        )

    def counted(s: Any) -> Term:
        """Say that what was ever fetched has a counter, which begins with 1."""
        counter = s.region.desc

        def one(h: Term) -> Term:
            known = any_of(live(s, h), in_list(s, h))
            return all_of(counter[h].counter >= 0, implies(known, counter[h].counter >= 1))

        hints = lambda h: counter[h].counter, lambda h: s.proof.marked[h], lambda h: s.proof.in_list[h]
        unused = forall(HEADS, lambda h: counter[h].counter == 0, lambda h: counter[h].counter)
        return all_of(
            forall(HEADS, one, *hints), implies(any_of(stale(s), s.region.version == 0), unused),
            implies(at(s.recover.at, *p.counter_known), s.counter >= 1),
            implies(at(s.fetch.at, *p.stamped, *p.counted), counter[s.fetch.head].counter >= 1),
        )  # fmt: skip

    def kick(s: Any) -> Term:
        return any_of(s.kick == 0, s.kick == 1)

    def debt(s: Any) -> Term:
        return all_of(
            p.walkable(s, implies(owed(s), s.history.used_pos - s.proof.settled_pos == s.proof.length)),
            s.proof.settled_pos <= s.history.used_pos, s.proof.settled_pos >= 0, s.proof.length <= SIZE,
            implies(owed(s), any_of(s.supply.open == 2, negate(s.recover.at == RUNNING))),
            implies(owed(s), forall(HEADS, lambda h: implies(in_list(s, h), negate(live(s, h))),
                                    lambda h: s.proof.in_list[h])),
        )  # fmt: skip

    return [
        Conjunct("version", version), Conjunct("marks", marks), Conjunct("batch list", batch_list),
        Conjunct("links", links), Conjunct("debt", debt),
        *([Conjunct("kick", kick)] if p.differs.kicks_itself else []),
        *([Conjunct("counted", counted)] if p.differs.by_counters else []),
        *([Conjunct("one at a time", one_at_a_time)] if p.differs.one else []),
        *([Conjunct("used_idx never set", never_set)] if p.differs.stale else []),
    ]  # fmt: skip


def _sums(p: Places) -> list[Conjunct]:
    def total(array: Callable[[Any], Any], flag: Callable[[Any, Operand], Term]) -> Guard:
        def holds(s: Any) -> Term:
            def one(h: Term) -> Term:
                return array(s)[h + 1] == array(s)[h] + ite(flag(s, h), 1, 0)  # type: ignore[no-any-return]

            return all_of(array(s)[0] == 0, forall(HEADS, one, lambda h: s.proof.marked[h], lambda h: s.device.state[h],
                                                        lambda h: s.recover.resubmitted[h]))  # fmt: skip

        return holds

    def rises(array: Callable[[Any], Any]) -> Guard:
        def holds(s: Any) -> Term:
            def from_here(j: Term) -> Term:
                def steadily(k: Term) -> Term:
                    rise = array(s)[k] - array(s)[j]
                    return all_of(rise >= 0, rise <= k - j)

                return forall(HEADS + 1, steadily, lambda k: array(s)[k], low=j)

            return forall(HEADS + 1, from_here, lambda j: array(s)[j])

        return holds

    def totals(s: Any) -> Term:
        fetched, all_live = s.proof.marked_pos - s.history.used_pos, s.proof.live_sum[HEADS]
        in_batch = ite(s.supply.open == 1, s.supply.count, 0)
        if p.differs.skips:
            return all_of(all_live <= fetched, s.proof.rest_sum[HEADS] == all_live - in_batch)
        return all_of(
            all_live == fetched,
            s.proof.rest_sum[HEADS] == fetched - in_batch,
            s.proof.waiting_sum[SIZE] == s.history.avail_pos - s.proof.marked_pos,
        )

    return [
        Conjunct("live sum", total(lambda s: s.proof.live_sum, live)),
        Conjunct("rest sum", total(lambda s: s.proof.rest_sum, rest)),
        Conjunct("waiting sum", total(lambda s: s.proof.waiting_sum, waiting)),
        Conjunct("live sum rises", rises(lambda s: s.proof.live_sum)),
        Conjunct("rest sum rises", rises(lambda s: s.proof.rest_sum)),
        Conjunct("working sum", total(lambda s: s.proof.working_sum, lambda s, h: s.device.state[h] == WORKING)),
        Conjunct("working sum rises", rises(lambda s: s.proof.working_sum)),
        Conjunct(
            "resubmitted sum", total(lambda s: s.proof.resubmitted_sum, lambda s, h: s.recover.resubmitted[h] == 1)
        ),
        Conjunct("resubmitted sum rises", rises(lambda s: s.proof.resubmitted_sum)),
        Conjunct("totals", totals),
    ]


def invariant(table: Table) -> list[Conjunct]:
    """Give the invariant for a table: its sentences, in order."""
    p = Places(table)
    if p.differs.astray:
        return plain(p)
    restart = restarting(table, live, lambda s, h: s.proof.marked[h], key(table))

    def base(s: Any) -> Term:
        """Say that what the front-end will say, and what recovery was told, is where the used ring is."""
        told = any_of(s.stop.at == ANSWERED, negate(at(s.recover.at, DEAD, RUNNING)))
        return implies(told, s.base.idx == wrap(s.history.used_pos, 16))

    by_base = [Conjunct("base", base)] if "base.idx" in table.vars else []
    stopping = sentences(table, lambda s: all_of(s.history.used_pos == s.proof.marked_pos, negate(owed(s))))
    ordered = in_order(p) if p.differs.in_order else []
    own = [*_ring(p), *_requests(p), *_region(p), *_sums(p), *process(p), *ordered]
    return [*own, *by_base, *stopping, *drains(p), *restart]
