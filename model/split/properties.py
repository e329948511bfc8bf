"""The properties of the split ring, as predicates of a state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from model.both.words import ENTRIES, SIZE, WORKING
from model.properties import Judgement
from model.terms import Operand, Term, all_of, any_of, count, forall, ite, negate, place, wrap

__all__ = ["JUDGEMENTS", "all_seen", "idle_driver", "outstanding"]


def outstanding(s: Any, h: Operand) -> Term:
    """Whether the head stands for a request that was made available and is not visible as used."""
    return s.history.made[h] > s.history.done[h]  # type: ignore[no-any-return]


def not_used(s: Any, h: Term) -> Term:
    """The request that the head stands for, as the back-end knows it, is not visible as used."""
    return s.history.got[h] > s.history.done[h]  # type: ignore[no-any-return]


def not_used_in_hand(s: Any) -> Term:
    """The request in hand is not visible as used."""
    return not_used(s, s.fetch.head)


def as_made_available(s: Any, h: Term) -> Term:
    """The chain says what it said when the driver made it available."""
    return s.table[h] == s.history.content[h]  # type: ignore[no-any-return]


def in_hand_as_made_available(s: Any) -> Term:
    """The chain in hand says what it said when the driver made it available."""
    return as_made_available(s, s.fetch.head)


def _each_element(s: Any, body: Callable[[Term], Term], limit: Operand | None = None) -> Term:
    """Say it of the positions of the elements that are about to be published, or of those before `limit`."""
    start = s.history.used_pos
    return forall(start + s.supply.count if limit is None else limit, body, place, low=start)


def _element(s: Any, position: Term) -> Any:
    return s.used.ring[place(position)]


def names_finished(s: Any) -> Term:
    """Each element about to be published names a request that the device has finished, with its length."""

    def finished(k: Term) -> Term:
        head = _element(s, k).id
        return all_of(s.history.finished[head] == 1, _element(s, k).len == s.history.content[head])

    return _each_element(s, finished)


def names_once(s: Any) -> Term:
    """Each element about to be published names a request that is not visible yet, nor named twice, nor worked on."""

    def once(k: Term) -> Term:
        head = _element(s, k).id
        return all_of(
            s.history.got[head] > s.history.done[head],
            s.device.state[head] != WORKING,
            s.history.twice[head] == 0,
            _each_element(s, lambda j: _element(s, j).id != head, k),
        )

    return _each_element(s, once)


def unused_in_queue(s: Any, h: Operand) -> Term:
    """Whether the head is to be fetched at the recovered position, by the indexes of the available ring."""
    to_fetch = wrap(s.avail.idx - s.fetch.last_avail, 16)
    return s.history.avail_pos - s.history.made[h] <= to_fetch  # type: ignore[no-any-return]


def resubmitted(s: Any, h: Operand) -> Term:
    """Whether this recovery has resubmitted the head."""
    return all_of(h < ENTRIES, s.recover.resubmitted[h] == 1)


def exactly_one_of_both(s: Any) -> Term:
    """Each outstanding request was resubmitted, or is to be fetched, and not both."""

    def one(h: Term) -> Term:
        again, later = resubmitted(s, h), unused_in_queue(s, h)
        return ite(outstanding(s, h), any_of(all_of(again, negate(later)), all_of(negate(again), later)), all_of())

    return forall(SIZE, one)


def in_order(s: Any) -> Term:
    """This process has given requests to the device in the order in which they were made available."""
    return s.history.in_order == 1  # type: ignore[no-any-return]


def well_formed(s: Any) -> Term:
    """Version and size are set, indexes are in range, used_idx is the used ring's."""
    return all_of(
        s.region.version == 1,
        s.region.desc_num == ENTRIES,
        s.region.last_batch_head < ENTRIES,
        s.region.used_idx == s.used.idx,
        forall(ENTRIES, lambda h: all_of(s.region.desc[h].next < ENTRIES, s.region.desc[h].inflight <= 1)),
    )


def at_the_drivers_place(s: Any) -> Term:
    """As many requests are to be fetched as the driver has made available and nobody has resubmitted."""
    waiting = count(SIZE, lambda h: all_of(outstanding(s, h), negate(resubmitted(s, h))))
    return all_of(s.used.idx == wrap(s.history.used_pos, 16), wrap(s.avail.idx - s.fetch.last_avail, 16) == waiting)


JUDGEMENTS: tuple[Judgement, ...] = (
    Judgement("no-used-resubmitted", "resubmit", True, not_used),
    Judgement("no-used-resubmitted", "fetched", True, not_used_in_hand),
    Judgement("nothing-lost", "recovered", False, exactly_one_of_both),
    Judgement("order", "recovered", False, in_order),
    Judgement("order", "fetched", False, in_order),
    Judgement("intact", "resubmit", True, as_made_available),
    Judgement("intact", "fetched", True, in_hand_as_made_available),
    Judgement("intact", "publish", True, names_finished),
    Judgement("exactly-once", "publish", True, names_once),
    Judgement("well-formed", "recovered", False, well_formed),
    Judgement("well-formed", "settled", False, well_formed),
    Judgement("ring-position", "recovered", False, at_the_drivers_place),
)


def all_seen(s: Any) -> Term:
    """The driver has every head back."""
    return forall(SIZE, lambda h: s.driver.owns[h] == 0, lambda h: s.driver.owns[h])


def idle_driver(s: Any) -> Term:
    """The driver is not in the middle of making a request available."""
    return s.driver.at == "idle"  # type: ignore[no-any-return]
