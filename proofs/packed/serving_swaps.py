"""Swaps of the packed ring: two neighbouring stores of fetching, resting or supplying in the other order.

Each value is what it was in the original order, as a compiler or a processor would have it. What a register would keep
is in recover.entry: only recovery uses that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from model.both.words import IN_BATCH
from model.packed.alternatives_supply import forwards
from model.packed.places import advanced, moved
from model.packed.serve import close_batch, element, last_entry, mark_used
from model.steps import Add, Edit, HistoryOf, Procedure, Replace, Table
from model.terms import Term, all_of, negate
from proofs.challenges.mutating import always, exchanged, swap, turned
from proofs.induction.kits import Mutant

__all__ = ["fetching_swaps", "notification_swaps", "supplying_swaps"]


def _d(s: Any) -> Any:
    """Give the descriptor in hand."""
    return s.ring.desc[s.fetch.avail_idx]


def _head(s: Any) -> Any:
    """Give the entry of the chain's head."""
    return s.region.desc[s.region.old_free_head]


# Fetching


def fetching_swaps(table: Table) -> Iterator[Mutant]:
    """Give the swaps of the stores of receiving."""
    last, goes_on = (lambda s: _d(s).flags.next == 0), (lambda s: _d(s).flags.next != 0)
    yield swap("packed.fetch.2a", "packed.fetch.counter", "The counter is set before num is 0.",
               *exchanged(table, "packed.fetch.2a", "packed.fetch.counter"))  # fmt: skip
    yield swap("packed.fetch.counter", "packed.fetch.2b", "The head is marked before its counter is set.",
               *exchanged(table, "packed.fetch.counter", "packed.fetch.2b"),
               Replace("packed.fetch.counter", {"do": _late_counter}))  # fmt: skip
    yield swap("packed.fetch.2b", "packed.fetch.3", "last is set before the head is marked.",
               *turned(table, "packed.fetch.2b", "packed.fetch.3", last))  # fmt: skip
    yield swap("packed.fetch.2b", "packed.fetch.4", "num is increased before the head of a longer chain is marked.",
               *turned(table, "packed.fetch.2b", "packed.fetch.4", goes_on, late={"do": _mark_first}))  # fmt: skip
    yield swap("packed.fetch.3", "packed.fetch.4", "num is increased before last is set.",
               *turned(table, "packed.fetch.3", "packed.fetch.4", last))  # fmt: skip
    for one, other, sentence in (
        ("packed.fetch.4", "packed.fetch.5a", "addr is copied before num is increased."),
        ("packed.fetch.5a", "packed.fetch.5b", "len is copied before addr."),
        ("packed.fetch.5b", "packed.fetch.5c", "flags are copied before len."),
        ("packed.fetch.5c", "packed.fetch.5d", "id is copied before flags."),
    ):
        yield swap(one, other, sentence, *exchanged(table, one, other))
    yield from _free_head_swaps(table)


def _late_counter(s: Any) -> None:
    """Set the counter that was the global one before it was increased."""
    _head(s).counter = s.counter - 1


def _mark_first(s: Any) -> None:
    """Mark the head; its descriptor is not the last."""
    _head(s).inflight = 1
    s.fetch.last = 0


def _free_head_swaps(table: Table) -> Iterator[Mutant]:
    """Give the swaps of the stores next to receiving, 6.

    What is judged there, whether the copy is right, is judged where all of it is written and free_head not yet moved.
    """
    judged, unjudged = frozenset({"copied"}), frozenset[str]()
    yield swap("packed.fetch.5d", "packed.fetch.6", "free_head is moved before id is copied.",
               *turned(table, "packed.fetch.5d", "packed.fetch.6", always,
                       early={"do": _free_head_alone, "tags": unjudged}, late={"do": _late_id}))  # fmt: skip
    yield swap("packed.fetch.6", "packed.fetch.3", "last is set to the chain's last entry before free_head is there.",
               *turned(table, "packed.fetch.6", "packed.fetch.3",
                       lambda s: all_of(s.fetch.last == 0, _following(s) == 0),
                       early={"do": _early_last, "tags": judged},
                       late={"do": _advance_to_last, "tags": unjudged}))  # fmt: skip
    yield swap("packed.fetch.6", "packed.fetch.4", "num counts the next descriptor before free_head is moved.",
               *turned(table, "packed.fetch.6", "packed.fetch.4",
                       lambda s: all_of(s.fetch.last == 0, _following(s) != 0),
                       early={"tags": judged}, late={"tags": unjudged}))  # fmt: skip
    yield swap("packed.fetch.6", "packed.fetch.7", "old_free_head is moved before free_head.",
               *turned(table, "packed.fetch.6", "packed.fetch.7", lambda s: s.fetch.last == 1,
                       early={"do": _early_old_free_head, "tags": judged}, late={"tags": unjudged}),
               HistoryOf("packed.fetch.6.late", _copied_late))  # fmt: skip
    yield swap("packed.fetch.7", "packed.fetch.submit", "The device gets the request before old_free_head is moved.",
               *turned(table, "packed.fetch.7", "packed.fetch.submit", lambda s: s.fetch.last == 1))  # fmt: skip


def _following(s: Any) -> Term:
    """Give whether the chain goes on after the next slot."""
    return s.ring.desc[moved(s.fetch.avail_idx, 1)].flags.next  # type: ignore[no-any-return]


def _free_head_alone(s: Any) -> None:
    s.recover.entry = s.region.free_head
    s.region.free_head = s.region.desc[s.region.free_head].next


def _late_id(s: Any) -> None:
    s.region.desc[s.recover.entry].id = _d(s).id
    s.fetch.avail_idx, s.fetch.avail_wrap = advanced(s.fetch.avail_idx, s.fetch.avail_wrap, 1)


def _early_last(s: Any) -> None:
    _head(s).last = s.region.desc[s.region.free_head].next


def _advance_to_last(s: Any) -> None:
    s.region.free_head = s.region.desc[s.region.free_head].next
    s.fetch.avail_idx, s.fetch.avail_wrap = advanced(s.fetch.avail_idx, s.fetch.avail_wrap, 1)
    s.fetch.last = 1


def _early_old_free_head(s: Any) -> None:
    s.region.old_free_head = s.region.desc[s.region.free_head].next


def _copied_late(s: Any) -> None:
    """Note what the history of packed.fetch.6 notes; the head is no longer old_free_head."""
    x, e, slot = s.region.free_head, s.fetch.head, s.fetch.avail_idx
    s.history.held[x] = s.history.got[e]
    s.history.nth[x] = s.history.pos[slot] - s.history.got[e]
    s.history.content[x] = s.history.addr[slot]


# Supplying


def supplying_swaps(table: Table) -> Iterator[Mutant]:
    """Give the swaps of the stores of supplying."""
    for one, other, sentence in (
        ("packed.supply.id", "packed.supply.len", "The used element's len is written before its id."),
        ("packed.supply.len", "packed.supply.3", "The chain is linked before the used element's len is written."),
    ):
        yield swap(one, other, sentence, *exchanged(table, one, other))
    yield swap("packed.supply.3", "packed.supply.4", "The list is led by a chain that is not linked yet.",
               *exchanged(table, "packed.supply.3", "packed.supply.4"),
               Replace("packed.supply.4", {"do": _early_lead}),
               Replace("packed.supply.3", {"do": _late_link}))  # fmt: skip
    yield swap("packed.supply.4", "packed.supply.id", "The next used element's id is written before the chain leads.",
               *_next_id_before_lead(table))  # fmt: skip
    yield swap("packed.supply.4", "packed.supply.6a", "used_idx is moved before the last chain leads the list.",
               *_index_before_lead(table))  # fmt: skip
    flips = table.step("packed.supply.6b").when
    passes = lambda s: all_of(flips(s))  # noqa: E731
    yield swap("packed.supply.6a", "packed.supply.6b", "used_wrap_counter is flipped before used_idx is moved.",
               *turned(table, "packed.supply.6a", "packed.supply.6b", passes))  # fmt: skip
    yield swap("packed.supply.6a", "packed.supply.7", "Flags are updated before used_idx is moved.",
               *_flags_before_index(table))  # fmt: skip
    yield swap("packed.supply.6b", "packed.supply.7", "Flags are updated before used_wrap_counter is flipped.",
               *turned(table, "packed.supply.6b", "packed.supply.7", passes, late={"to": "flags"}))  # fmt: skip
    yield swap("packed.supply.7", "packed.supply.7", "The flags are updated from the first to the last.",
               *forwards(table))  # fmt: skip
    yield swap("packed.supply.7", "packed.supply.8", "The first inflight field is cleared before the publishing.",
               *turned(table, "packed.supply.7", "packed.supply.8", lambda s: s.supply.cursor == 1,
                       early={"do": _clear_only}, late={"do": _publish_cleared}))  # fmt: skip
    yield swap("packed.supply.8", "packed.supply.8", "The inflight fields are cleared from the last to the first.",
               Replace("packed.supply.8", {"do": _clear_backwards}))  # fmt: skip
    yield swap("packed.supply.8", "packed.supply.9a", "old_free_head is moved before the last entry is cleared.",
               *turned(table, "packed.supply.8", "packed.supply.9a",
                       lambda s: all_of(table.step("packed.supply.8").when(s),
                                        s.supply.cursor + 1 == s.supply.count)))  # fmt: skip
    yield swap("packed.supply.9a", "packed.supply.9b", "old_used_idx is moved before old_free_head.",
               *turned(table, "packed.supply.9a", "packed.supply.9b",
                       lambda s: s.supply.cursor >= s.supply.count))  # fmt: skip
    yield swap("packed.supply.9b", "packed.supply.9c", "old_used_wrap_counter is set before old_used_idx.",
               *_wrap_before_index(table))  # fmt: skip


def _early_lead(s: Any) -> None:
    s.recover.entry = s.region.free_head
    s.region.free_head = s.supply.head


def _late_link(s: Any) -> None:
    last_entry(s, s.supply.head).next = s.recover.entry
    _counted(s)


def _counted(s: Any) -> None:
    s.supply.count = s.supply.count + 1
    s.supply.slots = s.supply.slots + s.region.desc[s.supply.head].num


def _next_offset(s: Any) -> Term:
    """Give the offset of the request after the one in hand."""
    return s.supply.slots + s.region.desc[s.supply.head].num  # type: ignore[no-any-return]


def _next_id_before_lead(table: Table) -> Iterator[Edit]:
    """Where another request follows, its id is written between the link and the lead of the one before."""
    get = table.step("packed.supply.1")

    def get_next(s: Any, e: Term) -> None:
        s.supply.batch[s.supply.count + 1] = e
        s.supply.offset[s.supply.count + 1] = _next_offset(s)
        s.device.state[e] = IN_BATCH
        s.recover.entry = e

    def early_id(s: Any) -> None:
        element(s, _next_offset(s)).id = last_entry(s, s.recover.entry).id

    def lead(s: Any) -> None:
        s.region.free_head = s.supply.head
        _counted(s)
        s.supply.head = s.recover.entry

    plain: dict[str, Any] = {"when": always, "choice": None}
    yield Replace(get.id, {"at": ("idle",)})
    yield Add(replace(get, id="packed.supply.1.next", at=("lead",), to="next id", do=get_next))
    yield Add(replace(get, id="packed.supply.id.next", at=("next id",), to="late lead", do=early_id, **plain))
    yield Add(replace(get, id="packed.supply.4.late", at=("late lead",), to="element len", do=lead, **plain))


def _index_before_lead(table: Table) -> Iterator[Edit]:
    """At any request of a batch, which is then its last."""
    lead, move = table.step("packed.supply.4"), table.step("packed.supply.6a")

    def early(s: Any) -> None:
        s.region.used_idx = moved(s.supply.start, _next_offset(s))

    def late(s: Any) -> None:
        s.region.free_head = s.supply.head
        s.supply.cursor = s.supply.count + 1
        _counted(s)

    yield Add(replace(move, id=f"{move.id}.early", at=lead.at, to="late lead", do=early))
    yield Add(replace(lead, id=f"{lead.id}.late", at=("late lead",), to=move.to, do=late))


def _flags_before_index(table: Table) -> Iterator[Edit]:
    """Where used_wrap_counter stays: the flags of the batch's last element come before used_idx is moved."""
    move, flags = table.step("packed.supply.6a"), table.step("packed.supply.7")
    same = table.step("packed.supply.6b.else").when
    begin = Procedure("supply")

    @begin.step("packed.supply.6", at="more", to="begun", text="v6 supplying, 6")
    def begin_loop(s: Any) -> None:
        """Begin to publish: the batch is complete."""
        s.supply.cursor = s.supply.count

    def move_alone(s: Any) -> None:
        s.region.used_idx = moved(s.supply.start, s.supply.slots)

    yield Add(begin_loop)
    yield Replace(move.id, {"at": ("begun",), "when": lambda s: negate(all_of(same(s)))})
    yield Add(replace(flags, id=f"{flags.id}.early", at=("begun",), to="late index", when=same))
    yield HistoryOf(f"{flags.id}.early", table.history[flags.id])
    yield Add(replace(move, id=f"{move.id}.late", at=("late index",), to="flags", do=move_alone))


def _clear_only(s: Any) -> None:
    s.region.desc[s.supply.batch[0]].inflight = 0


def _publish_cleared(s: Any) -> None:
    mark_used(s, s.supply.cursor - 1)
    s.supply.open = 2
    s.supply.cursor = 1
    s.device.state[s.supply.batch[0]] = 0
    s.device.given[s.supply.batch[0]] = 0


def _clear_backwards(s: Any) -> None:
    e = s.supply.batch[s.supply.count - 1 - s.supply.cursor]
    s.region.desc[e].inflight = 0
    s.device.state[e] = 0
    s.device.given[e] = 0
    s.supply.cursor = s.supply.cursor + 1


def _wrap_before_index(table: Table) -> tuple[Edit, ...]:
    """Exchange them; the batch is over after both, so what closes it goes to the later one."""
    tags = table.step("packed.supply.9c").tags

    def early(s: Any) -> None:
        s.region.old_used_wrap_counter = s.region.used_wrap_counter

    def late(s: Any) -> None:
        s.region.old_used_idx = s.region.used_idx
        close_batch(s)

    return (
        *exchanged(table, "packed.supply.9b", "packed.supply.9c"),
        Replace("packed.supply.9c", {"do": early, "tags": frozenset()}),
        Replace("packed.supply.9b", {"do": late, "tags": tags}),
    )


# Notifications


def notification_swaps(table: Table) -> Iterator[Mutant]:
    """Give the swaps of a store with a notification, or with the look that decides on one."""
    settle, look = "packed.supply.9c", "packed.notify.look"
    yield swap("packed.supply.7", look, "Whether to notify is read before publishing.",
               *turned(table, "packed.supply.7", look, lambda s: s.supply.cursor == 1, late={"to": "flags"}),
               Replace(settle, {"to": "notified"}), notifies=True)  # fmt: skip
    yield swap(settle, look, "Whether to notify is read before settling.",
               *exchanged(table, settle, look), notifies=True)  # fmt: skip
    yield swap(settle, "packed.notify.call", "The driver is notified before the batch is settled.",
               Replace(look, {"at": ("settle wrap",)}), Replace("packed.notify.call", {"to": "late settle"}),
               Replace("packed.notify.none", {"to": "late settle"}),
               Replace(settle, {"at": ("late settle",), "to": "idle"}), notifies=True)  # fmt: skip
    nothing = table.step("packed.idle.arm").when
    yield swap("packed.idle.arm", "packed.idle.look", "The ring is looked at again before asking to be kicked.",
               Replace("packed.idle.look", {"at": ("take",), "to": "armed", "when": nothing}),
               Replace("packed.idle.arm", {"at": ("armed",), "to": "rest", "when": always}), notifies=True)  # fmt: skip
    kicked = table.step("packed.idle.wake").when
    yield swap("packed.idle.wake", "packed.idle.disarm", "Kicks are suppressed before the kick is taken.",
               *turned(table, "packed.idle.wake", "packed.idle.disarm", lambda s: all_of(kicked(s))),
               notifies=True)  # fmt: skip
    yield swap("packed.idle.disarm", "packed.fetch.look", "The ring is looked at before kicks are suppressed.",
               *turned(table, "packed.idle.disarm", "packed.fetch.look", always), notifies=True)  # fmt: skip
