"""History of the packed ring: what happened to which request. No program has it, no step reads it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from model.both.words import DEAD, RUNNING, SIZE, WORKING
from model.packed.places import advanced, is_used, moved
from model.packed.variables import VARS
from model.record import assign_initial
from model.steps import History
from model.terms import Operand, Term, all_of, any_of, cell, follow, ite, lap, met, negate

__all__ = [
    "Walk",
    "backward_number",
    "copied_to",
    "entry_after_head",
    "forward_number",
    "history",
    "known_slot",
    "marked_then",
    "newly_used",
    "newly_used_end",
    "others_number",
    "own_slot",
    "publish",
    "published_slot",
]

history = History()


@history.on("driver.make.more", "driver.make.last", "driver.sleep.index", "driver.sleep.1", "driver.wake.quiet")
def disturbed(s: Any, *_: Term) -> None:
    """The driver has done something; it matters to `restartable` while there is a recovery."""
    s.history.undisturbed = ite(any_of(s.recover.at == DEAD, s.recover.at == RUNNING), 1, 0)


@history.on("packed.reconnect.ready")
def recovered(s: Any) -> None:
    """This recovery has ended."""
    s.history.undisturbed = 1


@history.on("driver.make.1")
def described(s: Any, _: Term) -> None:
    """The first descriptor of a chain is written."""
    disturbed(s)
    s.history.pos[s.driver.avail_idx] = s.history.avail_pos
    s.history.addr[s.driver.avail_idx] = s.driver.written


@history.on("driver.make.desc")
def described_next(s: Any) -> None:
    """Another descriptor of the chain is written."""
    disturbed(s)
    slot = moved(s.driver.slot, 1)
    s.history.pos[slot] = s.history.avail_pos + s.driver.length
    s.history.addr[slot] = s.driver.written


@history.on("driver.make.head")
def made_available(s: Any) -> None:
    """The id now stands for a new request."""
    disturbed(s)
    s.history.made[s.driver.id] = s.history.avail_pos
    s.history.avail_pos = s.history.avail_pos + s.driver.length


@history.on("packed.fetch.1")
def fetched(s: Any) -> None:
    """The back-end has taken the request at the slot, to the entry of the chain's head."""
    e, slot = s.region.old_free_head, s.fetch.avail_idx
    position = s.history.pos[slot]
    s.history.got[e] = position
    s.history.who[e] = s.ring.desc[slot].id
    s.history.length[e] = s.driver.num[s.ring.desc[slot].id]
    s.history.held.each(lambda x: ite(s.history.held[x] == position, -1, s.history.held[x]))


@history.on("packed.fetch.6")
def copied(s: Any) -> None:
    """An entry holds one more descriptor of the request."""
    copied_to(s, s.region.free_head)


def copied_to(s: Any, x: Term) -> None:
    """That entry holds it."""
    e, slot = s.region.old_free_head, s.fetch.avail_idx
    s.history.held[x] = s.history.got[e]
    s.history.nth[x] = s.history.pos[slot] - s.history.got[e]
    s.history.content[x] = s.history.addr[slot]


def entry_after_head(s: Any) -> Term:
    """Give the entry of the descriptor in hand, where a chain begins at old_free_head whatever free_head is."""
    return ite(s.region.desc[s.region.old_free_head].num <= 1, s.region.old_free_head, s.region.free_head)


def backward_number(s: Any) -> Term:
    """Give the request of the batch whose flags come next, from the last to the first."""
    return s.supply.cursor - 1  # type: ignore[no-any-return]


def forward_number(s: Any) -> Term:
    """Give the request of the batch whose flags come next, from the first to the last (gap flags-order)."""
    return s.supply.count - s.supply.cursor  # type: ignore[no-any-return]


def others_number(s: Any) -> Term:
    """Give the request of the batch whose flags come next: the second to the last, and then the first."""
    return ite(s.supply.cursor == 1, 0, s.supply.count - s.supply.cursor + 1)


def published_slot(s: Any, number: Term) -> tuple[Term, Term]:
    """Give the slot of a request of the batch, and the wrap counter of that slot."""
    offset = s.supply.offset[number]
    return advanced(s.supply.start, s.supply.start_wrap, offset)


def known_slot(s: Any, e: Term, offset: Term) -> tuple[Term, Term]:
    """Give the slot that a request was fetched from, and its wrap counter; else its next used one (gap used-slot)."""
    known = negate(s.device.slot[e] == 0)
    slot, wrap_counter = advanced(s.supply.start, s.supply.start_wrap, offset)
    return ite(known, s.device.slot[e] - 1, slot), ite(known, s.device.slot_wrap[e], wrap_counter)


def own_slot(s: Any, number: Term) -> tuple[Term, Term]:
    """Give that slot of a request of the batch."""
    return known_slot(s, s.supply.batch[number], s.supply.offset[number])


Walk = tuple[Term, Term, Callable[[Term], Operand], Callable[[Term], Operand]]
"""Where a walk starts, after how many steps it is cut, whether it goes on from a place, and to which."""


def marked_then(s: Any, slot: Term, wrap_counter: Term) -> Callable[[Term], Term]:
    """Give whether the slot of a position is marked used, as soon as one slot more is."""
    return lambda q: ite(cell(q) == slot, lap(q) == wrap_counter, is_used(s.ring.desc[cell(q)].flags, lap(q)))


def _walk(s: Any, slot: Term, wrap_counter: Term) -> Walk:
    """Give the walk over the used elements that the driver can meet as soon as one slot is marked used."""

    def following(q: Term) -> Term:
        num = s.driver.num[s.ring.desc[cell(q)].id]
        return q + ite(num == 0, 1, num)

    return s.history.used_pos, SIZE, marked_then(s, slot, wrap_counter), following


def newly_used(s: Any, slot: Term, wrap_counter: Term, test: Callable[[Term], Operand]) -> Term:
    """Whether a used element that becomes visible passes a test of its position."""
    return met(*_walk(s, slot, wrap_counter), test)


def newly_used_end(s: Any, slot: Term, wrap_counter: Term) -> Term:
    """Give the position up to which the driver can read used elements from now on."""
    return follow(*_walk(s, slot, wrap_counter))


def publish(s: Any, slot: Term, wrap_counter: Term) -> None:
    """What the driver can meet now is visible as used, whatever the back-end meant."""

    def named(h: Term) -> Term:
        return newly_used(s, slot, wrap_counter, lambda q: s.ring.desc[cell(q)].id == h)

    s.history.done.each(lambda h: ite(named(h), s.history.made[h], s.history.done[h]))
    s.history.used_pos = newly_used_end(s, slot, wrap_counter)


@history.on("packed.supply.7")
def published(s: Any) -> None:
    """The flags of a slot are updated."""
    publish(s, *published_slot(s, backward_number(s)))


@history.on("driver.use")
def seen(s: Any) -> None:
    """The driver has read one more used element."""
    s.history.seen_pos = s.history.seen_pos + s.driver.num[s.ring.desc[s.driver.used_idx].id]


def _given(s: Any, e: Term) -> None:
    s.history.in_order = ite(all_of(s.history.in_order == 1, s.history.last_given < s.history.got[e]), 1, 0)
    s.history.last_given = s.history.got[e]
    s.history.ready[s.history.who[e]] = -1
    s.history.twice[e] = ite(s.device.state[e] == WORKING, 1, s.history.twice[e])


@history.on("packed.fetch.submit")
def given(s: Any) -> None:
    """The device has got the request."""
    _given(s, s.fetch.head)


@history.on("packed.reconnect.4")
def given_again(s: Any, e: Term) -> None:
    """The device is to get the request again."""
    _given(s, e)


@history.on("device.finish")
def finished(s: Any, e: Term) -> None:
    """The device has finished the request."""
    s.history.ready[s.history.who[e]] = s.history.got[e]
    s.history.result[s.history.who[e]] = s.device.given[e]


@history.on("crash")
def died(s: Any) -> None:
    """The next process starts with nothing given."""
    s.history.last_given = -1
    s.history.in_order = 1
    s.history.undisturbed = 1
    s.history.twice.each(lambda _: 0)
    s.history.ready.each(lambda _: -1)


@history.on("driver.reset", "connection.reset")
def forgotten(s: Any) -> None:
    """A new ring: nothing has happened on it."""
    assign_initial(s, [v.name for v in VARS.values() if v.kind == "ghost"])
