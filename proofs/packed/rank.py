"""Why the packed ring drains: a rank, numbers compared from the left, that every step that somebody owes lowers.

Owed are all steps but those of `proofs.search.judges.UNFAIR`: a new request or one more descriptor for it, a crash, a
reset. The sentences of the group ``drains`` say who will wake whom.
"""

from __future__ import annotations

from typing import Any

from model.both.words import DEAD, RUNNING
from model.steps import Guard, Table
from model.terms import Term, all_of, any_of, constant, forall, ite, negate
from proofs.induction.ordered import first_has_its_turn
from proofs.induction.stopped import owed_first, waiting_link
from proofs.packed.in_order import entry_at
from proofs.packed.in_order import owned as not_back
from proofs.packed.sleep import driver_sleeps
from proofs.packed.words import (
    ENTRIES,
    HEADS,
    SIZE,
    Conjunct,
    Places,
    at,
    implies,
    in_hand,
    live,
    outstanding,
    running,
    to_see,
)

__all__ = ["drains", "rank", "stuck"]


def _stage(label: Term, order: list[str]) -> Term:
    """Number the labels: the last in the list is 0."""
    value: Term = constant(0)
    for number, name in enumerate(reversed(order)):
        if number:
            value = ite(label == name, number, value)
    return value


def _recover_stages(p: Places) -> list[str]:
    roll_back = ["roll back", "roll back idx", "roll back wrap", "roll back free head"]
    return [DEAD, *p.unsettled, "compare", "compared", "submitted?", "commit idx", "commit wrap", *roll_back, "clear",
            p.counter_label, "resubmit", "signalled", RUNNING]  # fmt: skip


def rank(table: Table) -> list[Guard]:
    """Give the parts of the rank, the weightiest first; each is a natural number."""
    p = Places(table)
    recover = _recover_stages(p)
    in_chain = [table.step("packed.fetch.2a").at[0], "mark", p.stamped, p.counted, "last?", "count", "copy addr",
                "copy len", "copy flags", "copy id", "advance"]  # fmt: skip
    in_chain = list(dict.fromkeys(label for label in in_chain if label in p.held))
    fetch = ["off", "next", "submit", "disarm", "look", "take", "armed", "rest", *in_chain]
    which = ["which"] if p.by_index else []
    publishing, called = ["clear", *p.settling], ["notify", *which, "notified"]
    given_back = [*called, *publishing] if p.calls_early else [*publishing, *called]
    supply = ["off", *given_back, "idle", "more", *p.supplying, *p.closing, "used wrap", "flags"]
    asking = ["asking"] if p.by_index else []

    def unread(s: Any) -> Term:
        return s.history.used_pos - s.history.seen_pos  # type: ignore[no-any-return]

    def resting(s: Any) -> Term:
        behind = ["woken", *asking, "checking", "awake", "asleep", "taking"]
        caught_up = ["woken", "awake", *asking, "checking", "asleep"]
        return ite(unread(s) > 0, _stage(s.rest.at, behind), _stage(s.rest.at, caught_up))

    def supply_stage(s: Any) -> Term:
        published = all_of(s.supply.at == "flags", s.supply.open == 2)
        flags = _stage(constant("flags"), supply)
        stage = (
            ite(at(s.supply.at, *p.flags), flags, _stage(s.supply.at, supply))
            if p.with_flags
            else (_stage(s.supply.at, supply))
        )
        return ite(published, len(supply), stage)

    def in_loop(s: Any) -> Term:
        flags = all_of(at(s.supply.at, *p.flags), s.supply.open == 1)
        return ite(flags, s.supply.cursor, ite(s.supply.at == "clear", s.supply.count - s.supply.cursor, 0))

    def recovering(s: Any) -> Term:
        return ite(s.recover.at == "gather", _stage(constant("resubmit"), recover), _stage(s.recover.at, recover))

    def walk_left(s: Any) -> Term:
        init = ite(s.recover.at == "init next", ENTRIES - s.recover.entry, 0)
        return ite(at(s.recover.at, "clear", "gather"), s.recover.left, init)

    return [
        *owed_first(table),
        recovering,
        lambda s: ite(all_of(s.recover.at == "clear", s.recover.ahead < SIZE), SIZE - s.recover.ahead, 0),
        lambda s: ite(s.recover.at == "clear", 1 - s.recover.marked, 0),
        lambda s: ite(running(s), 0, HEADS - s.proof.resubmitted_sum[HEADS]),
        lambda s: ite(s.recover.at == "gather", 1, 0),
        walk_left,
        lambda s: _stage(s.driver.at, ["chained", "described", "complete", "idle"]),
        lambda s: s.history.avail_pos - s.proof.marked_pos - ite(running(s), s.proof.depth - s.proof.fill, 0),
        lambda s: _stage(s.driver.at, ["published", "kick", "idle"]),
        lambda s: s.kick,
        lambda s: _stage(s.fetch.at, fetch),
        lambda s: s.proof.working_sum[HEADS],
        lambda s: s.proof.live_sum[HEADS],
        lambda s: s.proof.rest_sum[HEADS],
        supply_stage,
        in_loop,
        *([lambda s: _stage(s.supply.at, p.flags)] if p.with_flags else []),
        lambda s: s.call,
        unread,
        resting,
    ]


def stuck(table: Table) -> list[tuple[str, Guard]]:
    """Give what holds where nothing that is owed can happen, in an order in which each follows from those before.

    Between the last two, the solver is given that the sum over no live request is 0 (shown by induction).
    """

    def everywhere(body: Any) -> Guard:
        hints = (lambda s, e: s.device.state[e], lambda s, e: s.proof.live[e])
        return lambda s: forall(HEADS, lambda e: body(s, e), *(lambda e, hint=hint: hint(s, e) for hint in hints))

    def not_to_see(s: Any) -> Term:
        if Places(table).in_order:
            return forall(HEADS, lambda i: negate(not_back(s, i)), lambda i: s.driver.owns[i])
        seen_before = lambda i: implies(to_see(s, i), s.proof.used_at[i] < s.history.seen_pos)  # noqa: E731
        return forall(HEADS, seen_before, lambda i: s.driver.owns[i])

    chain: list[tuple[str, Guard]] = [
        ("the process runs", lambda s: s.recover.at == RUNNING),
        ("the driver is not making a request available", lambda s: s.driver.at == "idle"),
        ("no chain is in hand", lambda s: at(s.fetch.at, "look", "take", "armed", "rest", "disarm")),
        ("no batch is open", lambda s: all_of(s.supply.at == "idle", s.supply.open == 0)),
        ("the back-end rests", lambda s: s.fetch.at == "rest"),
        ("it has not been kicked", lambda s: all_of(s.fetch.available == 0, s.kick == 0)),
        ("there is nothing to fetch", lambda s: s.history.avail_pos == s.proof.marked_pos),
        *(first_has_its_turn(lambda s: entry_at(s, s.history.used_pos)) if Places(table).in_order else ()),
        ("the device does nothing", everywhere(lambda s, e: s.device.state[e] == 0)),
        ("nothing is live", everywhere(lambda s, e: negate(live(s, e)))),
        ("everything is visible", lambda s: s.history.used_pos == s.proof.marked_pos),
        ("everything is seen", lambda s: s.history.seen_pos == s.history.used_pos),
        ("no element is left to see", not_to_see),
        ("no buffer is owned", lambda s: forall(SIZE, lambda i: s.driver.owns[i] == 0, lambda i: s.driver.owns[i])),
    ]
    return waiting_link(table, chain, "everything is visible", "the back-end rests")


def drains(p: Places) -> list[Conjunct]:
    """Give the sentences that say who will wake whom."""

    def bits(s: Any) -> Term:
        return all_of(
            any_of(s.kick == 0, s.kick == 1), any_of(s.call == 0, s.call == 1),
            implies(s.driver.at == "kick", any_of(s.driver.wants_kick == 0, s.driver.wants_kick == 1)),
            implies(s.supply.at == "notified", any_of(s.supply.wanted == 0, s.supply.wanted == 1)),
            at(s.rest.at, "awake", "checking", "asleep", "woken", *(["asking"] if p.by_index else []),
               *(["taking"] if p.in_order else [])),
        )  # fmt: skip

    def back_end_sleeps(s: Any) -> Term:
        kicking = any_of(s.driver.at == "published", all_of(s.driver.at == "kick", s.driver.wants_kick == 1))
        behind = s.proof.marked_pos < s.history.avail_pos
        return all_of(
            implies(at(s.fetch.at, "armed", "rest"), any_of(s.device_event.flags == 0)),
            implies(all_of(s.fetch.at == "rest", s.fetch.available == 0, behind), any_of(s.kick == 1, kicking)),
        )

    def owned(s: Any) -> Term:
        def one(i: Term) -> Term:
            return any_of(
                s.driver.owns[i] == 0, in_hand(s, i), outstanding(s, i), (not_back if p.in_order else to_see)(s, i)
            )

        return forall(SIZE, one, lambda i: s.driver.owns[i])

    def labels(s: Any) -> Term:
        return all_of(
            at(s.recover.at, *p.labels["recover"], RUNNING), at(s.fetch.at, "off", *p.labels["fetch"]),
            at(s.supply.at, "off", *p.labels["supply"], *p.labels["stop"]),
        )  # fmt: skip

    return [
        Conjunct("sleepers' bits", bits, "drains"), Conjunct("back-end sleeps", back_end_sleeps, "drains"),
        *driver_sleeps(p), Conjunct("labels", labels, "drains"),
        Conjunct("why owned", owned, "drains"),
    ]  # fmt: skip
