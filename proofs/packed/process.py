"""The part of the packed ring's invariant that speaks of the back-end process: recovery and fetching."""

from __future__ import annotations

from typing import Any

from model.both.words import DEAD
from model.terms import Term, all_of, any_of, cell, forall, ite, lap, negate
from proofs.packed.region import copy_of
from proofs.packed.words import (
    ENTRIES,
    HEADS,
    SIZE,
    Conjunct,
    Places,
    all_entries,
    at,
    implies,
    initialised,
    listed,
    live,
    outstanding,
    phase,
    running,
)

__all__ = ["counters", "fetching", "recovery"]


def recovery(p: Places) -> list[Conjunct]:
    """Give the sentences about recovery."""

    def alive(s: Any) -> Term:
        return all_of(
            any_of(running(s), all_of(s.fetch.at == "off", s.supply.at == "off", s.supply.open == 0)),
            implies(running(s), all_of(negate(s.fetch.at == "off"), negate(s.supply.at == "off"), initialised(s))),
            implies(running(s), implies(s.supply.open == 0, all_of(phase(s, 0), s.proof.top == s.proof.depth))),
            implies(negate(running(s)), s.proof.fill == s.proof.depth),
        )  # fmt: skip

    def stages(s: Any) -> Term:
        label = s.recover.at
        same = all_of(
            s.region.used_idx == s.region.old_used_idx, s.region.used_wrap_counter == s.region.old_used_wrap_counter
        )
        committed = (0,) if p.wrap_first else ()
        last = ("roll back free head",) if p.at_once else ()
        not_rolled_back = ("roll back", *(last if p.plain else ("roll back idx",)))
        return all_of(
            implies(label == "compared", any_of(all_of(s.recover.mismatch == 0, same),
                                                all_of(s.recover.mismatch == 1, negate(same)))),
            implies(label == "submitted?", negate(phase(s, 0))),
            implies(label == "submitted?", any_of(all_of(s.recover.submitted == 0, phase(s, 1, 2, 6)),
                                                  all_of(s.recover.submitted == 1, phase(s, 3, 4, 5, *p.wrap_first)))),
            implies(label == "commit idx", phase(s, 4, 5, *p.wrap_first)),
            implies(label == "commit wrap", phase(s, 5, *committed)),
            implies(at(label, *not_rolled_back), phase(s, 0, 1, 2, 6)),
            implies(label == "roll back wrap", phase(s, 0, 6)),
            implies(at(label, *p.repaired), all_of(phase(s, 0), s.proof.top == s.proof.depth,
                                                   s.region.free_head == s.region.old_free_head)),
            implies(label == "roll back free head", phase(s, *((0, 1, 2, 6) if p.at_once else (0,)))),
            implies(at(label, "roll back idx", "roll back wrap"),
                    all_of() if p.plain else all_of(s.proof.top == s.proof.depth,
                                                    s.region.free_head == s.region.old_free_head)),
        )  # fmt: skip

    def looking(s: Any) -> Term:
        slot = s.history.used_pos + s.recover.ahead
        return all_of(
            s.recover.ahead >= 1, any_of(s.recover.ahead <= SIZE, s.recover.ahead == 1),
            any_of(s.recover.marked == 0, s.recover.marked == 1),
            implies(negate(s.recover.at == "clear"), s.recover.marked == 0),
            implies(negate(at(s.recover.at, *p.repaired)), any_of(running(s), s.recover.ahead == 1)),
            implies(at(s.recover.at, *p.after_clear), s.recover.ahead >= SIZE),
            implies(s.recover.marked == 1, all_of(slot < s.proof.marked_pos, s.recover.ahead < SIZE)),
        )  # fmt: skip

    def walking(s: Any) -> Term:
        entry, left = s.recover.entry, s.recover.left
        rolling = at(s.recover.at, "clear", *(() if p.plain else ("roll back idx", "roll back wrap")))

        def cleared(x: Term) -> Term:
            place = s.proof.place[x]
            togo = ite(entry == ENTRIES, 0, s.proof.place[entry] + 1)
            return implies(all_of(place >= togo, place >= 0), s.region.desc[x].inflight == 0)

        return implies(
            rolling,
            all_of(
                entry >= 0, entry <= ENTRIES, left >= 0,
                implies(entry < ENTRIES, all_of(s.proof.place[entry] >= 0, left > s.proof.place[entry])),
                implies(left <= 0, entry == ENTRIES),
                forall(HEADS, cleared, lambda x: s.proof.place[x], lambda x: s.region.desc[x].inflight),
            ),
        )  # fmt: skip

    def cleared(s: Any) -> Term:
        none = forall(HEADS, lambda x: implies(s.proof.place[x] >= 0, s.region.desc[x].inflight == 0),
                      lambda x: s.region.desc[x].inflight, lambda x: s.proof.place[x])  # fmt: skip
        return implies(at(s.recover.at, *p.after_clear), none)

    def resubmitting(s: Any) -> Term:
        def one(e: Term) -> Term:
            again = s.recover.resubmitted[e]
            return all_of(
                any_of(again == 0, again == 1),
                implies(all_of(again == 1, negate(running(s))), live(s, e)),
                implies(negate(at(s.recover.at, "resubmit", "gather", "signalled")), any_of(running(s), again == 0)),
                implies(s.recover.at == "signalled", implies(live(s, e), again == 1)),
            )

        e = s.recover.head
        gathered = s.region.desc[e].num - s.recover.left
        x = s.recover.entry
        here = all_of(x >= 0, x < ENTRIES, s.proof.owner[x] == e, s.history.nth[x] == gathered)
        return all_of(
            forall(HEADS, one, lambda e: s.recover.resubmitted[e], lambda e: s.proof.live[e]),
            implies(s.recover.at == "gather", all_of(
                e >= 0, e < ENTRIES, live(s, e), s.recover.resubmitted[e] == 1, s.device.state[e] == 0,
                s.recover.left >= 0, gathered >= 0, implies(s.recover.left > 0, here))),
        )  # fmt: skip

    return [
        Conjunct("alive", alive), Conjunct("stages", stages), Conjunct("looking", looking),
        Conjunct("walking", walking), Conjunct("cleared", cleared), Conjunct("resubmitting", resubmitting),
    ]  # fmt: skip


def fetching(p: Places) -> list[Conjunct]:
    """Give the sentences about fetching."""

    def held(s: Any) -> Term:
        return at(s.fetch.at, *p.held)

    def position(s: Any) -> Term:
        here = s.proof.marked_pos + s.proof.depth - s.proof.fill
        known = any_of(running(s), at(s.recover.at, p.after_clear[0], "resubmit", "gather", "signalled"))
        return all_of(
            implies(known, all_of(s.fetch.avail_idx == cell(here), s.fetch.avail_wrap == lap(here))),
            implies(running(s), all_of(s.proof.fill >= 0, s.proof.fill <= s.proof.depth)),
            implies(all_of(running(s), negate(held(s))), s.proof.fill == s.proof.depth),
            implies(all_of(running(s), s.supply.open == 0), listed(s, s.region.free_head, s.proof.fill)),
            implies(held(s), s.supply.open == 0), implies(s.fetch.at == "submit", s.supply.open == 0),
            implies(at(s.fetch.at, "armed", "disarm"), s.supply.open == 0),
        )  # fmt: skip

    def available(s: Any) -> Term:
        return all_of(
            any_of(s.fetch.available == 0, s.fetch.available == 1), any_of(s.fetch.last == 0, s.fetch.last == 1),
            implies(all_of(at(s.fetch.at, "take", "rest", "armed"), s.fetch.available == 1),
                    s.proof.marked_pos < s.history.avail_pos),
        )  # fmt: skip

    def in_hand(s: Any) -> Term:
        e, start = s.fetch.head, s.proof.marked_pos
        i = s.ring.desc[cell(start)].id
        num, copied = s.driver.num[i], s.proof.depth - s.proof.fill
        after = s.fetch.at == "next"
        before_copy = at(s.fetch.at, "last?", "count")
        counted = at(s.fetch.at, "copy addr", "copy len", "copy flags", "copy id", "advance")
        told = any_of(s.fetch.at == "count", counted)
        last = s.region.desc[e].last
        return implies(
            held(s),
            all_of(
                e == s.region.old_free_head, e >= 0, e < ENTRIES, s.proof.place[e] == s.proof.depth - 1,
                start < s.history.avail_pos, s.history.made[i] == start, outstanding(s, i),
                s.history.got[e] == start, s.history.who[e] == i, s.history.length[e] == num,
                s.device.state[e] == 0, negate(live(s, e)),
                implies(at(s.fetch.at, "head", "mark", p.stamped, p.counted), copied == 0),
                implies(negate(after), copied < num), copied <= num, copied >= 0, implies(after, copied >= 1),
                implies(at(s.fetch.at, "mark", p.stamped, p.counted), s.region.desc[e].num == 0),
                implies(any_of(before_copy, after), s.region.desc[e].num == copied),
                implies(counted, s.region.desc[e].num == copied + 1),
                implies(told, s.fetch.last == ite(copied + 1 == num, 1, 0)),
                implies(after, s.fetch.last == ite(copied == num, 1, 0)),
                implies(all_of(told, s.fetch.last == 1), last == s.region.free_head),
                implies(all_of(after, s.fetch.last == 1),
                        all_of(last >= 0, last < ENTRIES, s.proof.place[last] == s.proof.fill)),
                implies(at(s.fetch.at, "last?", "count", "copy addr", "copy len", "copy flags", "copy id",
                           "advance", "next"), s.region.desc[e].inflight == 1),
            ),
        )  # fmt: skip

    def partly(s: Any) -> Term:
        x = s.region.free_head
        here = s.proof.marked_pos + s.proof.depth - s.proof.fill
        d, copy = s.ring.desc[cell(here)], s.region.desc[x]

        def behind(*labels: str) -> Term:
            return at(s.fetch.at, *(label for label in labels if label in p.held))

        return all_of(
            implies(behind("copy len", "copy flags", "copy id", "advance"), copy.addr == d.addr),
            implies(behind("copy flags", "copy id", "advance"), copy.len == d.len),
            implies(behind("copy id", "advance"), copy.flags.next == d.flags.next),
            implies(s.fetch.at == "advance", copy.id == d.id),
        )

    def filled(s: Any, x: Term) -> Term:
        place, e = s.proof.place[x], s.fetch.head
        num = s.driver.num[s.history.who[e]]
        inside = all_of(place >= s.proof.fill, place < s.proof.depth)
        return all_of(
            implies(all_of(held(s), inside), all_of(
                s.history.held[x] == s.proof.marked_pos,
                copy_of(s, x, s.proof.depth - 1 - place, num, s.history.who[e]))),
            implies(all_of(held(s), s.history.held[x] == s.proof.marked_pos), inside),
        )  # fmt: skip

    def submitting(s: Any) -> Term:
        e = s.fetch.head
        return implies(
            s.fetch.at == "submit",
            all_of(e >= 0, e < ENTRIES, live(s, e), s.device.state[e] == 0,
                   s.history.got[e] + s.region.desc[e].num == s.proof.marked_pos),
        )  # fmt: skip

    return [
        Conjunct("fetch position", position), Conjunct("available", available), Conjunct("in hand", in_hand),
        Conjunct("partly copied", partly),
        Conjunct("filled", all_entries(filled, lambda s, x: s.proof.place[x], lambda s, x: s.history.held[x])),
        Conjunct("submitting", submitting),
    ]  # fmt: skip


def counters(p: Places) -> list[Conjunct]:
    """Give the sentences about counters and the order of requests."""

    def by_age(s: Any) -> Term:
        def one(e: Term) -> Term:
            return forall(
                HEADS,
                lambda g: implies(
                    all_of(live(s, e), live(s, g), s.history.got[e] < s.history.got[g]),
                    s.region.desc[e].counter < s.region.desc[g].counter,
                ),
                lambda g: s.region.desc[g].counter,
            )

        return forall(HEADS, one, lambda e: s.region.desc[e].counter)

    def counter(s: Any) -> Term:
        e = s.fetch.head

        def below(limit: Term) -> Term:
            return forall(HEADS, lambda g: implies(live(s, g), s.region.desc[g].counter < limit),
                          lambda g: s.region.desc[g].counter)  # fmt: skip

        fetching = [label for label in p.held if label not in ("head", "mark", p.stamped)]
        return all_of(
            s.counter >= 0,
            forall(HEADS, lambda g: s.region.desc[g].counter >= 0, lambda g: s.region.desc[g].counter),
            implies(any_of(running(s), at(s.recover.at, "resubmit", "gather", "signalled")), below(s.counter)),
            implies(s.fetch.at == p.stamped, s.region.desc[e].counter <= s.counter),
            implies(at(s.fetch.at, *fetching), s.region.desc[e].counter < s.counter),
            implies(at(s.fetch.at, p.stamped, *fetching), below(s.region.desc[e].counter)),
        )  # fmt: skip

    def in_order(s: Any) -> Term:
        given = s.history.last_given
        submitting = all_of(s.fetch.at == "submit", given >= s.history.got[s.fetch.head])
        before = at(s.recover.at, DEAD, *(label for label in p.labels["recover"]
                                          if label not in ("resubmit", "gather", "signalled", "running")))  # fmt: skip
        return all_of(
            s.history.in_order == 1, given < s.proof.marked_pos, given >= -1, negate(submitting),
            implies(before, given == -1),
            forall(HEADS, lambda e: implies(all_of(live(s, e), negate(running(s))), (
                all_of(implies(s.recover.resubmitted[e] == 1, s.history.got[e] <= given),
                       implies(s.recover.resubmitted[e] == 0, s.history.got[e] > given)))),
                   lambda e: s.history.got[e], lambda e: s.recover.resubmitted[e]),
        )  # fmt: skip

    group = "base" if p.in_order else "counters"  # which turn it is, is read off the counters
    return [
        Conjunct("counters by age", by_age, group), Conjunct("counter", counter, group),
        Conjunct("in order", in_order, "order"),
    ]  # fmt: skip
