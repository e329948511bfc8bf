"""Why the split ring drains: a rank, numbers compared from the left, that every step that somebody owes lowers.

Owed are all steps but those of `proofs.search.judges.UNFAIR`: a new request, a crash, a reset. The sentences of the
group ``drains`` say who will wake whom.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from model.both.words import DEAD, RUNNING
from model.split.properties import outstanding
from model.steps import Guard, Recorded, Table
from model.terms import Term, all_of, any_of, constant, forall, ite, negate, place, wrap
from proofs.induction.ordered import first_has_its_turn
from proofs.induction.stopped import owed_first, waiting_link
from proofs.search.judges import UNFAIR
from proofs.split.differs import Differs
from proofs.split.in_order import head_at
from proofs.split.words import HEADS, SIZE, Conjunct, Places, at, implies, live

__all__ = ["drains", "fair_steps", "rank", "stuck"]


def fair_steps(steps: Iterable[Recorded]) -> list[Recorded]:
    """Give the steps that are owed."""
    return [r for r in steps if r.step.id not in UNFAIR]


def _stage(label: Term, order: list[str]) -> Term:
    """Number the labels: the last in the list is 0."""
    value: Term = constant(0)
    for number, name in enumerate(reversed(order)):
        if number:
            value = ite(label == name, number, value)
    return value


def _recover_stage(table: Table) -> list[str]:
    begins = ["init", "init used_idx", "init version", "init desc_num"]
    if Differs(table).desc_num_late:
        begins = ["init", "init desc_num", "init used_idx"]
    if (signal := table.steps.get("split.reconnect.signal")) and signal.at == ("signal",) and signal.to != "resubmit":
        begins = ["init", "signal", *begins[1:]]
    order, label = [DEAD, *begins, "compare", "compared", "clear", "position"], "position"
    while label != RUNNING:
        following = sorted({s.to for s in table.of("recover") if label in s.at and s.to and s.to != label})
        label = next((name for name in following if name != RUNNING), RUNNING)
        order.append(label)
    return order


def _to_ask(s: Any) -> Term:
    """Give how often the back-end asks again to be kicked, if nobody makes a request meanwhile."""
    seen, event, available = s.fetch.seen_avail, s.used.avail_event, s.avail.idx
    looked = ite(seen == event, 0, 1) + ite(seen == available, 0, 1)
    armed = ite(s.fetch.at == "armed", ite(event == available, 0, 1), ite(s.fetch.at == "looked", looked, 0))
    return ite(s.fetch.at == "arm", ite(seen == available, 0, 1), armed)


def rank(table: Table) -> list[Guard]:
    """Give the parts of the rank, the weightiest first; each is a natural number."""
    p = Places(table)
    recover = _recover_stage(table)
    in_hand, label = [], table.step("split.fetch.1").to
    while label in p.in_hand:
        in_hand.append(label)
        label = next(s.to for s in table.of("fetch") if label in s.at)
    fetch = ["off", "submit", "look", "take", "armed", "rest", *in_hand]
    if p.looking:
        fetch = ["off", "submit", "look", "arm", "armed", "looked", "take", "rest", *in_hand]
    supply = ["off", "clear", "notify", "notified", "idle", "more", *p.supplying]
    if p.published != ["clear"]:
        supply = ["off", "notify", "notified", "clear", "idle", "more", *p.supplying]
    supply += p.closing
    making = ["described", "listed", "published", "kick", "idle"]

    def to_see(s: Any) -> Term:
        return s.history.used_pos - s.history.seen_pos  # type: ignore[no-any-return]

    def resting(s: Any) -> Term:
        behind, caught_up = ["checking", "awake", "asleep", "taking"], ["awake", "checking", "asleep"]
        return ite(to_see(s) > 0, _stage(s.rest.at, behind), _stage(s.rest.at, caught_up))

    def to_fetch(s: Any) -> Term:
        begun = ite(at(s.driver.at, "described", "listed"), 1, 0)
        return s.history.avail_pos - s.proof.marked_pos + begun  # type: ignore[no-any-return]

    def to_clear(s: Any) -> Term:
        return ite(s.supply.at == "clear", s.supply.count - s.supply.cursor, 0)

    def to_write(s: Any) -> Term:
        left = s.supply.count - s.supply.cursor
        return ite(at(s.supply.at, *p.writing), left + left + ite(s.supply.at == "elements", 1, 0), 0)

    return [
        *owed_first(table),
        lambda s: _stage(s.recover.at, recover),
        lambda s: ite(s.recover.at == "clear", s.recover.left, 0),
        lambda s: ite(s.recover.at == RUNNING, 0, HEADS - s.proof.resubmitted_sum[HEADS]),
        to_fetch,
        lambda s: _stage(s.driver.at, making),
        lambda s: s.kick,
        *([_to_ask] if p.looking else []),
        lambda s: _stage(s.fetch.at, fetch),
        lambda s: s.proof.working_sum[HEADS],
        lambda s: s.proof.live_sum[HEADS],
        lambda s: s.proof.rest_sum[HEADS],
        lambda s: _stage(s.supply.at, supply),
        *([to_write] if p.writing else []),
        to_clear,
        lambda s: s.call,
        to_see,
        resting,
    ]


def stuck(table: Table) -> list[tuple[str, Guard]]:
    """Give what holds where nothing that is owed can happen, in an order in which each follows from those before.

    Between the last two, the solver is given that the sum over no live request is 0 (shown by induction).
    """

    def everywhere(body: Guard) -> Guard:
        hints = (lambda s, h: s.device.state[h], lambda s, h: s.proof.marked[h])
        return lambda s: forall(HEADS, lambda h: body(s, h), *(lambda h, hint=hint: hint(s, h) for hint in hints))

    chain: list[tuple[str, Guard]] = [
        ("the process runs", lambda s: s.recover.at == RUNNING),
        ("the driver is not making a request available", lambda s: s.driver.at == "idle"),
        ("no request is in hand", lambda s: at(s.fetch.at, "look", "take", "armed", "rest")),
        ("no batch is open", lambda s: all_of(s.supply.at == "idle", s.supply.open == 0)),
        ("the back-end rests", lambda s: s.fetch.at == "rest"),
        ("it has not been kicked", lambda s: s.kick == 0),
        ("there is nothing to fetch", lambda s: s.history.avail_pos == s.proof.marked_pos),
        *(first_has_its_turn(lambda s: head_at(s, s.history.used_pos)) if Differs(table).in_order else ()),
        ("the device does nothing", everywhere(lambda s, h: s.device.state[h] == 0)),
        ("nothing is live", everywhere(lambda s, h: negate(live(s, h)))),
        ("everything is visible", lambda s: s.history.used_pos == s.proof.marked_pos),
        ("everything is seen", lambda s: s.history.seen_pos == s.history.used_pos),
        ("no head is owned", lambda s: forall(SIZE, lambda h: s.driver.owns[h] == 0, lambda h: s.driver.owns[h])),
    ]
    return waiting_link(table, chain, "everything is visible", "the back-end rests")


def _kicking(s: Any) -> Term:
    """Whether the driver is about to kick, or to look whether it should."""
    return any_of(s.driver.at == "published", all_of(s.driver.at == "kick", s.driver.wants_kick == 1))


def _armed(p: Places, s: Any) -> Term:
    """Say which wish of the back-end stands while it rests."""
    if p.differs.arms_at_fetch:
        resting = all_of(s.fetch.at == "rest", s.proof.seen_avail_pos == s.proof.marked_pos)
        return implies(resting, any_of(s.used.avail_event == wrap(s.proof.marked_pos, 16), s.kick == 1))
    if p.looking:
        resting = all_of(s.fetch.at == "rest", s.kick == 0)
        asked = any_of(at(s.fetch.at, "take", *p.in_hand, "submit"), resting)
        return implies(asked, s.used.avail_event == wrap(s.proof.seen_avail_pos, 16))
    return implies(at(s.fetch.at, "armed", "rest"), s.used.avail_event == wrap(s.proof.marked_pos, 16))


def _stands(p: Places, s: Any) -> Term:
    """Say that the wish for what was seen stands from the second look on, and that all of it is fetched in the end."""
    seen, available = s.proof.seen_avail_pos, s.history.avail_pos
    asked = all_of(at(s.fetch.at, "looked", "take", *p.in_hand, "submit"), s.used.avail_event == wrap(seen, 16))
    coming = any_of(available == seen, s.kick == 1, all_of(available == seen + 1, _kicking(s)))
    return all_of(implies(asked, coming), implies(s.fetch.at == "rest", seen == s.proof.marked_pos))


def _one_in_progress(s: Any) -> Term:
    """Say it of a difference that is looked at, so that no process aborts."""
    said = all_of(s.recover.at == "compared", s.recover.mismatch == 1)
    return implies(said, wrap(s.used.idx - s.region.used_idx, 16) == 1)


def _armed_at_fetch(p: Places) -> Guard:
    def armed_at_fetch(s: Any) -> Term:
        """The wish of the last fetch stands, or that of one that was cut off before its mark; a fresh ring has none."""
        marked, event, available = s.proof.marked_pos, s.used.avail_event, s.history.avail_pos
        begun = any_of(s.region.version == 0, all_of(s.recover.fresh == 1, negate(s.recover.at == RUNNING)))
        done = all_of(at(s.fetch.at, *p.in_hand), negate(s.fetch.at == p.in_hand_first))
        coming = any_of(available == marked, s.kick == 1, all_of(available == marked + 1, _kicking(s)))
        return all_of(
            any_of(event == wrap(marked, 16), all_of(event == wrap(marked + 1, 16), marked < available)),
            implies(done, event == wrap(marked + 1, 16)),
            implies(begun, all_of(event == wrap(marked, 16), coming)),
        )

    return armed_at_fetch


def drains(p: Places) -> list[Conjunct]:
    """Give the sentences that say who will wake whom."""

    def bits(s: Any) -> Term:
        return all_of(
            any_of(s.kick == 0, s.kick == 1), any_of(s.call == 0, s.call == 1),
            implies(s.driver.at == "kick", any_of(s.driver.wants_kick == 0, s.driver.wants_kick == 1)),
            implies(s.supply.at == "notified", any_of(s.supply.wanted == 0, s.supply.wanted == 1)),
            at(s.rest.at, "awake", "checking", "asleep", *(["taking"] if p.differs.in_order else [])),
            at(s.driver.at, "idle", "described", "listed", "published", "kick"),
        )  # fmt: skip

    def back_end_sleeps(s: Any) -> Term:
        seen, h = s.proof.seen_avail_pos, s.history
        return all_of(
            _armed(p, s),
            implies(
                all_of(s.fetch.at == "rest", seen == s.proof.marked_pos),
                any_of(h.avail_pos == seen, s.kick == 1, all_of(h.avail_pos == seen + 1, _kicking(s))),
            ),
            _stands(p, s) if p.looking else implies(s.fetch.at == "armed", seen == s.proof.marked_pos),
        )

    def driver_sleeps(s: Any) -> Term:
        h = s.history
        behind = h.used_pos - h.seen_pos
        window = all_of(
            at(s.supply.at, *p.to_notify),
            s.supply.old_idx == wrap(h.seen_pos, 16),
        )  # fmt: skip
        early = all_of(negate(s.recover.at == RUNNING), negate(s.recover.at == "signalled"))
        will_call = any_of(
            at(s.recover.at, *p.signalling) if p.differs.signals_early else early,
            all_of(s.recover.at == RUNNING, any_of(window, all_of(s.supply.at == "notified", s.supply.wanted == 1))),
        )
        return all_of(
            implies(at(s.rest.at, "checking", "asleep"), s.avail.used_event == wrap(h.seen_pos, 16)),
            implies(all_of(s.rest.at == "asleep", behind > 0), any_of(s.call == 1, will_call)),
        )

    def owned(s: Any) -> Term:
        def one(h: Term) -> Term:
            making = all_of(at(s.driver.at, "described", "listed"), s.driver.head == h)
            used_at = s.proof.used_at[h]
            to_see_it = all_of(
                used_at >= s.history.seen_pos, used_at < s.history.used_pos, s.used.ring[place(used_at)].id == h
            )  # fmt: skip
            if p.differs.in_order:
                to_see_it = s.history.made[h] >= s.history.seen_pos
            return any_of(s.driver.owns[h] == 0, making, outstanding(s, h), to_see_it)

        return forall(SIZE, one, lambda h: s.driver.owns[h])

    def labels(s: Any) -> Term:
        return all_of(
            at(s.recover.at, *p.labels["recover"], RUNNING), at(s.fetch.at, "off", *p.labels["fetch"]),
            at(s.supply.at, "off", *p.labels["supply"], *p.labels["stop"]),
        )  # fmt: skip

    return [
        Conjunct("bits", bits, "drains"), Conjunct("back-end sleeps", back_end_sleeps, "drains"),
        *([Conjunct("one in progress", _one_in_progress, "drains")] if p.differs.by_counters else []),
        *([Conjunct("armed at fetch", _armed_at_fetch(p), "drains")] if p.differs.arms_at_fetch else []),
        Conjunct("driver sleeps", driver_sleeps, "drains"), Conjunct("labels", labels, "drains"),
        Conjunct("why owned", owned, "drains"),
    ]  # fmt: skip
