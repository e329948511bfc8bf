"""The part of the split ring's invariant that speaks of the back-end process: its three procedures and the device."""

from __future__ import annotations

from typing import Any

from model.both.words import DEAD, FINISHED, IN_BATCH, RUNNING, WORKING
from model.terms import Term, all_of, any_of, forall, negate, place, slot, wrap
from proofs.split.words import HEADS, SIZE, Conjunct, Places, at, implies, in_list, live, owed, stale, waiting

__all__ = ["process"]


def _recover(p: Places) -> list[Conjunct]:
    def alive(s: Any) -> Term:
        running = s.recover.at == RUNNING
        return all_of(
            any_of(running, all_of(s.fetch.at == "off", s.supply.at == "off", s.supply.open == 0)),
            implies(running, all_of(negate(s.fetch.at == "off"), negate(s.supply.at == "off"))),
            implies(s.recover.at == DEAD, forall(HEADS, lambda h: s.recover.resubmitted[h] == 0,
                                                 lambda h: s.recover.resubmitted[h])),
            implies(running, s.region.version == 1),
            implies(at(s.recover.at, *p.repaired), negate(owed(s))),
            implies(s.recover.at == "compared", any_of(
                all_of(s.recover.mismatch == 0, matches(s)), all_of(s.recover.mismatch == 1, differs(s)))),
        )  # fmt: skip

    def matches(s: Any) -> Term:
        return any_of(negate(owed(s)), stale(s)) if p.differs.by_counters else negate(owed(s))

    def differs(s: Any) -> Term:
        return all_of(owed(s), negate(stale(s))) if p.differs.by_counters else owed(s)

    def clearing(s: Any) -> Term:
        left, entry = s.recover.left, s.recover.entry
        return implies(
            s.recover.at == "clear",
            all_of(
                owed(s), left >= 0, p.walkable(s, left <= s.proof.length), entry >= 0, entry < SIZE,
                p.walkable(s, implies(left > 0, all_of(in_list(s, entry), s.proof.place[entry] == left - 1))),
                forall(HEADS, lambda h: implies(all_of(in_list(s, h), s.proof.place[h] >= left),
                                                s.region.desc[h].inflight == 0), lambda h: s.proof.place[h]),
            ),
        )  # fmt: skip

    def resubmitting(s: Any) -> Term:
        def one(h: Term) -> Term:
            again = s.recover.resubmitted[h]
            return all_of(
                any_of(again == 0, again == 1),
                implies(all_of(again == 1, negate(s.recover.at == RUNNING)), live(s, h)),
            )

        before = at(s.recover.at, *p.before_resubmit)
        return all_of(
            forall(HEADS, one, lambda h: s.recover.resubmitted[h]),
            implies(before, forall(HEADS, lambda h: s.recover.resubmitted[h] == 0, lambda h: s.recover.resubmitted[h])),
            implies(s.recover.at == "signalled",
                    forall(HEADS, lambda h: implies(live(s, h), s.recover.resubmitted[h] == 1),
                           lambda h: s.proof.marked[h], lambda h: s.recover.resubmitted[h])),
        )  # fmt: skip

    def named(s: Any) -> Term:
        """Say again that a live request is marked, where the solver thinks of what is resubmitted."""
        marks = s.region.desc
        return forall(HEADS, lambda h: implies(live(s, h), marks[h].inflight == 1), lambda h: s.recover.resubmitted[h])

    return [
        Conjunct("alive", alive), Conjunct("clearing", clearing), Conjunct("resubmitting", resubmitting),
        *([Conjunct("resubmitted is marked", named, "nothing-lost")] if p.differs.unsignalled else []),
    ]  # fmt: skip


def _fetch(p: Places) -> list[Conjunct]:
    def all_passed(s: Any) -> Term:
        found = all_of(at(s.recover.at, *p.repaired[1:]), s.history.undisturbed == 1)
        return implies(found, s.proof.marked_pos == s.history.avail_pos)

    def fetch_position(s: Any) -> Term:
        known = at(s.recover.at, *p.positioned)
        ahead = at(s.fetch.at, *p.in_hand)
        last, pos = s.fetch.last_avail, s.proof.marked_pos
        return all_of(
            implies(all_of(known, negate(ahead)), all_of(last == wrap(pos, 16), s_slot(s) == place(pos))),
            implies(all_of(known, ahead), all_of(last == wrap(pos + 1, 16), s_slot(s) == place(pos + 1))),
            implies(ahead, pos < s.history.avail_pos),
        )

    def seen_avail(s: Any) -> Term:
        seen = s.proof.seen_avail_pos
        known = implies(
            at(s.fetch.at, "take", "rest", "armed", *p.looking),
            all_of(s.fetch.seen_avail == wrap(seen, 16), s.proof.marked_pos <= seen, seen <= s.history.avail_pos),
        )
        if not p.differs.known_first:
            return known
        still = all_of(s.fetch.seen_avail == wrap(seen, 16), seen <= s.history.avail_pos)
        return all_of(
            known,
            implies(at(s.fetch.at, *p.in_hand), all_of(still, s.proof.marked_pos < seen)),
            implies(s.fetch.at == "submit", all_of(still, s.proof.marked_pos <= seen)),
        )

    def in_hand(s: Any) -> Term:
        h = s.fetch.head
        return all_of(
            h >= 0, h < SIZE,
            implies(at(s.fetch.at, *p.in_hand, "submit"), all_of(s.device.state[h] == 0, negate(s.supply.open == 2))),
            implies(at(s.fetch.at, *p.in_hand, "submit", "armed", *p.looking), p.may_fetch(s)),
            implies(at(s.fetch.at, *p.in_hand),
                    all_of(s.history.made[h] == s.proof.marked_pos, s.history.got[h] == s.history.made[h],
                           waiting(s, h))),
            implies(s.fetch.at == "submit",
                    all_of(live(s, h), s.proof.marked[h] == s.proof.marked_pos - 1)),
        )  # fmt: skip

    def alone(s: Any) -> Term:
        return implies(at(s.fetch.at, *p.in_hand, "submit", "armed", *p.looking), p.guard(s))

    def in_order(s: Any) -> Term:
        given = s.history.last_given
        return all_of(
            s.history.in_order == 1, given < s.proof.marked_pos, given >= -1,
            implies(at(s.recover.at, DEAD, *p.before_resubmit), given == -1),
            implies(s.fetch.at == "submit", given < s.proof.marked_pos - 1),
            forall(HEADS, lambda h: implies(all_of(live(s, h), negate(s.recover.at == RUNNING)), (
                all_of(implies(s.recover.resubmitted[h] == 1, s.proof.marked[h] <= given),
                       implies(s.recover.resubmitted[h] == 0, s.proof.marked[h] > given)))),
                   lambda h: s.proof.marked[h], lambda h: s.recover.resubmitted[h]),
        )  # fmt: skip

    return [
        Conjunct("fetch position", fetch_position), Conjunct("seen avail", seen_avail), Conjunct("in hand", in_hand),
        *([Conjunct("one request in hand", alone)] if p.waits_for_device else []),
        *([Conjunct("in order", in_order, "order")] if p.stamped else []),
        *([Conjunct("all passed over", all_passed, "restartable")] if p.differs.skips else []),
    ]  # fmt: skip


def s_slot(s: Any) -> Term:
    """Give the slot of the available ring that is fetched next."""
    return slot(s.fetch.last_avail)


def _counters(p: Places) -> list[Conjunct]:
    def by_age(s: Any) -> Term:
        def one(h: Term) -> Term:
            return forall(
                HEADS,
                lambda g: implies(
                    all_of(live(s, h), live(s, g), s.proof.marked[h] < s.proof.marked[g]),
                    s.region.desc[h].counter < s.region.desc[g].counter,
                ),
                lambda g: s.region.desc[g].counter,
            )

        return forall(HEADS, one, lambda h: s.region.desc[h].counter)

    def apart(s: Any) -> Term:
        """Live requests have different ages."""

        def one(h: Term) -> Term:
            return forall(
                HEADS,
                lambda g: implies(
                    all_of(live(s, h), live(s, g), s.proof.marked[h] == s.proof.marked[g]),
                    h == g,
                ),
                lambda g: s.proof.marked[g],
            )

        return forall(HEADS, one, lambda h: s.proof.marked[h])

    def counter(s: Any) -> Term:
        h = s.fetch.head

        def below(limit: Term) -> Term:
            return forall(
                HEADS,
                lambda g: implies(live(s, g), s.region.desc[g].counter < limit),
                lambda g: s.region.desc[g].counter,
            )

        return all_of(
            s.counter >= 0,
            forall(HEADS, lambda g: s.region.desc[g].counter >= 0, lambda g: s.region.desc[g].counter),
            implies(at(s.recover.at, *p.counter_known), below(s.counter)),
            implies(at(s.fetch.at, *p.stamped), s.region.desc[h].counter <= s.counter),
            implies(at(s.fetch.at, *p.counted), s.region.desc[h].counter < s.counter),
            implies(at(s.fetch.at, *p.stamped, *p.counted), below(s.region.desc[h].counter)),
        )  # fmt: skip

    group = "base" if p.differs.in_order else "counters"  # which turn it is, is read off the counters
    return [
        Conjunct("ages apart", apart),
        *([Conjunct("counters by age", by_age, group), Conjunct("counter", counter, group)] if p.stamped else []),
    ]


def _supply(p: Places) -> list[Conjunct]:  # noqa: C901  # a list of sentences
    def restarted(s: Any) -> Term:
        """Whether the device has nothing but what recovery has resubmitted."""
        return s.recover.at == DEAD if p.differs.again else negate(s.recover.at == RUNNING)

    def device(s: Any) -> Term:
        def one(h: Term) -> Term:
            state, once = s.device.state[h], s.history.twice[h] == 0
            building = any_of(
                all_of(s.supply.open == 1, in_list(s, h)),
                all_of(s.supply.open == 2, in_list(s, h), s.proof.place[h] >= s.supply.cursor),
                all_of(at(s.supply.at, *p.supplying), s.supply.head == h),
            )
            in_hand = all_of(s.fetch.at == "submit", s.fetch.head == h)
            working = any_of(state == WORKING, state == FINISHED)
            return all_of(
                any_of(state == 0, state == IN_BATCH, working),
                implies(working, live(s, h)),
                any_of(once, s.history.twice[h] == 1) if p.differs.again else once,
                implies(any_of(state == FINISHED, state == IN_BATCH), s.history.finished[h] == 1),
                implies(state == IN_BATCH, building),
                implies(building, state == IN_BATCH),
                implies(all_of(negate(state == 0), live(s, h)), s.device.given[h] == s.history.content[h]),
                implies(all_of(s.recover.at == RUNNING, live(s, h), negate(in_hand)), negate(state == 0)),
                implies(all_of(restarted(s), negate(state == 0)), s.recover.resubmitted[h] == 1),
                implies(all_of(negate(s.recover.at == RUNNING), s.recover.resubmitted[h] == 1), negate(state == 0)),
            )

        return forall(
            HEADS, one, lambda h: s.device.state[h], lambda h: s.history.twice[h], lambda h: s.history.finished[h]
        )

    def as_listed(s: Any) -> Term:
        batch, listed = s.supply.batch, s.proof.list_at
        return forall(s.supply.count, lambda k: batch[k] == listed[k], lambda k: batch[k])

    def batch(s: Any) -> Term:
        open_, count = s.supply.open, s.supply.count
        return all_of(
            any_of(open_ == 0, open_ == 1, open_ == 2),
            implies(open_ == 0, count == 0), count >= 0, implies(open_ > 0, s.proof.length == count),
            implies(open_ == 2, all_of(at(s.supply.at, *p.published),
                                       s.history.used_pos - s.proof.settled_pos == count)),
            implies(all_of(s.recover.at == RUNNING, negate(open_ == 2)), negate(owed(s))),
            implies(at(s.supply.at, *p.published), open_ == 2),
            implies(all_of(open_ == 2, negate(s.supply.at == "clear")), s.supply.cursor == 0),
            implies(open_ == 1, at(s.supply.at, "more", *p.supplying, *p.writing, *p.closing)),
            implies(at(s.supply.at, "more", *p.supplying, *p.writing, *p.closing), open_ == 1),
            implies(at(s.supply.at, "more", *p.writing, *p.closing), count > 0),
            implies(open_ == 1, as_listed(s)),
            implies(open_ == 1, forall(HEADS, lambda h: implies(in_list(s, h), live(s, h)),
                                       lambda h: s.proof.in_list[h])),
            implies(open_ == 2, as_listed(s)),
        )  # fmt: skip

    def supplying(s: Any) -> Term:
        h = s.supply.head
        return all_of(
            h >= 0, h < SIZE,
            implies(at(s.supply.at, *p.supplying),
                    all_of(live(s, h), negate(in_list(s, h)), s.supply.batch[s.supply.count] == h,
                           s.device.state[h] == IN_BATCH, s.device.given[h] == s.history.content[h])),
            implies(at(s.supply.at, *p.named), all_of(
                s.used.ring[place(s.history.used_pos + s.supply.count)].id == h,
                s.proof.used_at[h] == s.history.used_pos + s.supply.count)),
            implies(at(s.supply.at, *p.sized),
                    s.used.ring[place(s.history.used_pos + s.supply.count)].len == s.history.content[h]),
            *([] if p.differs.unlinked else
              [implies(s.supply.at == "lead", s.region.desc[h].next == s.region.last_batch_head)]),
        )  # fmt: skip

    def elements(s: Any) -> Term:
        def one(q: Term) -> Term:
            element = s.used.ring[place(q)]
            return all_of(
                in_list(s, element.id), s.proof.place[element.id] == q - s.history.used_pos,
                element.len == s.history.content[element.id], s.proof.used_at[element.id] == q,
            )  # fmt: skip

        def listed(s: Any, h: Term) -> Term:
            return all_of(in_list(s, h), *([s.proof.place[h] < p.written(s)] if p.writing else []))

        start = s.history.used_pos
        return all_of(
            implies(s.supply.open == 1, forall(start + p.written(s), one, place, low=start)),
            implies(s.supply.open == 1, forall(HEADS, lambda h: implies(listed(s, h), all_of(
                s.proof.used_at[h] == start + s.proof.place[h], s.used.ring[place(s.proof.used_at[h])].id == h)),
                lambda h: s.proof.in_list[h])),
        )  # fmt: skip

    def writing(s: Any) -> Term:
        cursor, count = s.supply.cursor, s.supply.count
        head, element = s.supply.batch[cursor], s.used.ring[place(s.history.used_pos + cursor)]
        return all_of(
            implies(at(s.supply.at, *p.writing), all_of(cursor >= 0, cursor <= count)),
            implies(s.supply.at == p.writing[1], all_of(
                cursor < count, element.id == head, s.proof.used_at[head] == s.history.used_pos + cursor)),
            implies(s.supply.open == 1, forall(HEADS, lambda h: implies(
                in_list(s, h), s.device.given[h] == s.history.content[h]), lambda h: s.device.given[h])),
        )  # fmt: skip

    def clearing(s: Any) -> Term:
        return implies(
            s.supply.open == 2,
            all_of(
                s.supply.cursor >= 0, s.supply.cursor <= s.supply.count,
                forall(HEADS, lambda h: implies(all_of(in_list(s, h), s.proof.place[h] < s.supply.cursor),
                                                s.region.desc[h].inflight == 0), lambda h: s.proof.place[h]),
            ),
        )  # fmt: skip

    return [
        Conjunct("device", device), Conjunct("batch", batch), Conjunct("supplying", supplying),
        *([] if p.differs.gathered else [Conjunct("elements", elements)]), Conjunct("supply clearing", clearing),
        *([Conjunct("elements written", writing)] if p.writing else []),
    ]  # fmt: skip


def process(p: Places) -> list[Conjunct]:
    """Give the sentences about the process, for the labels of a table."""
    return [*_recover(p), *_fetch(p), *_counters(p), *_supply(p)]
