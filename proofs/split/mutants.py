"""Mutants of the split ring's text: a store dropped, two neighbouring ones swapped, a guard weakened.

A mutant is a list of edits of a revision's table. Drops and weakened guards are generated from the table, so that a new
step brings its mutants along. Swaps are written by hand: each value is what it was in the original order, as a compiler
or a processor would have it, and that is the part that no rule gets right for a loop.

Where nothing kills a mutant, proofs.split.reasons says which store, order or guard is not needed, and why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from model.both.counters import pending
from model.both.words import IN_BATCH
from model.split.quiet import NOTIFICATIONS
from model.split.serve import in_hand
from model.steps import Add, Edit, Procedure, Replace, Table
from model.terms import Term, all_of, forall, ite, negate, parameter, slot, wrap
from proofs.challenges.mutating import add, drops, exchanged, guards, swap
from proofs.challenges.rounds import rounds
from proofs.induction.kits import Mutant
from proofs.split.guards import GUARDS

__all__ = ["mutants"]

_new = Procedure("mutants")


def mutants(table: Table) -> tuple[Mutant, ...]:
    """Give the mutants of a revision's table, in the order of kind and step."""
    return (
        *drops(table, NOTIFICATIONS, "split.supply.5"), *_swaps(table), *guards(table, NOTIFICATIONS, GUARDS),
        *rounds(table),
    )  # fmt: skip


# Two neighbours swapped


def _swaps(table: Table) -> Iterator[Mutant]:
    for one, other, sentence in (
        ("split.init.1", "split.init.2", "used_idx is set before desc_num."),
        ("split.init.2", "split.init.3", "version is set before used_idx: the region counts before it is right."),
        ("split.fetch.2", "split.fetch.submit", "The device gets the request before the head is marked."),
        ("split.supply.id", "split.supply.len", "The used element's len is written before its id."),
        ("split.supply.len", "split.supply.2", "The entry is linked before the used element's len is written."),
    ):
        yield swap(one, other, sentence, *exchanged(table, one, other))
    if "split.fetch.counter" in table.steps:
        yield swap("split.fetch.counter", "split.fetch.2", "The head is marked before its counter is set.",
                   *exchanged(table, "split.fetch.counter", "split.fetch.2"),
                   Replace("split.fetch.counter", {"do": _late_counter}))  # fmt: skip
    yield swap("split.supply.2", "split.supply.3", "The list is led by an entry that is not linked yet.",
               Replace("split.supply.3", {"at": ("link",), "to": "lead", "do": _early_lead}),
               Replace("split.supply.2", {"at": ("lead",), "to": "more", "do": _late_link}))  # fmt: skip
    yield swap("split.supply.3", "split.supply.id", "The next used element's id is written before the entry leads.",
               *_next_id_before_lead(table))  # fmt: skip
    yield swap("split.supply.3", "split.supply.5", "The batch is published before its last entry leads the list.",
               Replace("split.supply.2", {"do": _link_to_register}), Replace("split.supply.3", {"do": _count_only}),
               Replace("split.supply.5", {"to": "late lead"}), add(late_lead, "supply"))  # fmt: skip
    yield swap("split.supply.5", "split.supply.6", "The first inflight field is cleared before the publishing.",
               add(early_clear, "supply"),
               Replace("split.supply.5", {"at": ("cleared",), "do": _publish_cleared}))  # fmt: skip
    yield swap("split.supply.6", "split.supply.6", "The inflight fields are cleared from the last to the first.",
               Replace("split.supply.6", {"do": _clear_backwards}))  # fmt: skip
    yield swap("split.supply.6", "split.supply.7", "The batch is settled before its last inflight field is cleared.",
               Replace("split.supply.6", {"when": lambda s: s.supply.cursor + 1 < s.supply.count}),
               Replace("split.supply.7", {"when": lambda s: s.supply.cursor + 1 >= s.supply.count, "to": "late clear",
                                          "do": _settle_only}),
               add(late_clear, "supply"))  # fmt: skip
    yield from _notification_swaps()
    yield from _recovery_swaps()


def _late_counter(s: Any) -> None:
    """Set the counter that was the global one before it was increased."""
    s.region.desc[s.fetch.head].counter = s.counter - 1


def _early_lead(s: Any) -> None:
    """Keep the old head of the list in a register; old_idx is one that nothing uses before the publishing."""
    s.supply.old_idx = s.region.last_batch_head
    s.region.last_batch_head = s.supply.head


def _late_link(s: Any) -> None:
    s.region.desc[s.supply.head].next = s.supply.old_idx
    s.supply.count = s.supply.count + 1


def _next_id_before_lead(table: Table) -> tuple[Edit, ...]:
    """Where another request follows, its id is written between the link and the lead of the one before.

    A request is then in hand while the next is being got, so a second step gets the next one at the lead.
    """
    get = table.step("split.supply.1")

    def get_next(s: Any, i: Term) -> None:
        s.supply.batch[s.supply.count + 1] = i
        s.device.state[i] = IN_BATCH
        s.supply.old_idx = i

    def early_id(s: Any) -> None:
        s.used.ring[slot(wrap(s.used.idx + s.supply.count + 1, 16))].id = s.supply.old_idx

    def lead(s: Any) -> None:
        s.region.last_batch_head = s.supply.head
        s.supply.head = s.supply.old_idx
        s.supply.count = s.supply.count + 1

    def part(name: str, at: str, to: str, do: Callable[..., None], **other: Any) -> Add:
        return Add(replace(get, id=name, at=(at,), to=to, do=do, **other))

    always = {"when": lambda _: all_of(), "choice": None}
    return (
        Replace("split.supply.1", {"at": ("idle",)}),
        part("split.supply.1.next", "lead", "next id", get_next),
        part("split.supply.id.next", "next id", "late lead", early_id, **always),
        part("split.supply.3.late", "late lead", "element len", lead, **always),
    )


def _link_to_register(s: Any) -> None:
    """Link to the head of the list as a register has it: memory has the one before the batch."""
    first = s.supply.count == 0
    s.region.desc[s.supply.head].next = ite(first, s.region.last_batch_head, s.supply.batch[s.supply.count - 1])


def _count_only(s: Any) -> None:
    s.supply.count = s.supply.count + 1


@_new.step("split.supply.3.late", at="late lead", to="clear", text="v6 supplying, 3")
def late_lead(s: Any) -> None:
    """Set the head of the batch list, after the publishing."""
    s.region.last_batch_head = s.supply.batch[s.supply.count - 1]


@_new.step("split.supply.6.early", at="more", to="cleared", text="v6 supplying, 6")
def early_clear(s: Any) -> None:
    """Set the inflight field of the first entry of the batch to 0, before the publishing."""
    s.region.desc[s.supply.batch[0]].inflight = 0


def _publish_cleared(s: Any) -> None:
    s.supply.old_idx = s.used.idx
    s.used.idx = wrap(s.used.idx + s.supply.count, 16)
    s.supply.open = 2
    s.supply.cursor = 1
    s.device.state[s.supply.batch[0]] = 0
    s.device.given[s.supply.batch[0]] = 0


def _clear_backwards(s: Any) -> None:
    head = s.supply.batch[s.supply.count - 1 - s.supply.cursor]
    s.region.desc[head].inflight = 0
    s.device.state[head] = 0
    s.device.given[head] = 0
    s.supply.cursor = s.supply.cursor + 1


def _settle_only(s: Any) -> None:
    s.region.used_idx = s.used.idx


@_new.step("split.supply.6.late", at="late clear", to="notify", text="v6 supplying, 6")
def late_clear(s: Any) -> None:
    """Set the inflight field of the last entry of the batch to 0, after the batch was settled."""
    s.region.desc[in_hand(s)].inflight = 0
    s.device.state[in_hand(s)] = 0
    s.device.given[in_hand(s)] = 0
    s.supply.open = 0
    s.supply.count = 0


def _cleared(s: Any) -> Term:
    return s.supply.cursor >= s.supply.count  # type: ignore[no-any-return]


def _nothing_there(s: Any) -> Term:
    return s.fetch.seen_avail == s.fetch.last_avail  # type: ignore[no-any-return]


def _notification_swaps() -> Iterator[Mutant]:
    """Give the swaps of a store with a notification, or with the look that decides on one."""

    def look_before(s: Any) -> None:
        s.supply.wanted = ite(wrap(s.avail.used_event - s.used.idx, 16) < s.supply.count, 1, 0)

    yield swap("split.supply.5", "split.notify.look", "Whether to notify is read before publishing.",
               Replace("split.notify.look", {"at": ("more",), "to": "looked", "do": look_before}),
               Replace("split.supply.5", {"at": ("looked",)}), Replace("split.supply.7", {"to": "notified"}),
               notifies=True)  # fmt: skip
    yield swap("split.supply.7", "split.notify.look", "Whether to notify is read before settling.",
               Replace("split.notify.look", {"at": ("clear",), "to": "settle", "when": _cleared}),
               Replace("split.supply.7", {"at": ("settle",), "to": "notified"}), notifies=True)  # fmt: skip
    yield swap("split.supply.7", "split.notify.call", "The driver is notified before the batch is settled.",
               Replace("split.notify.look", {"at": ("clear",), "when": _cleared}),
               Replace("split.notify.call", {"to": "settle"}), Replace("split.notify.none", {"to": "settle"}),
               Replace("split.supply.7", {"at": ("settle",), "to": "idle"}), notifies=True)  # fmt: skip
    yield swap("split.idle.arm", "split.idle.look", "The ring is looked at again before asking to be kicked.",
               Replace("split.idle.look", {"at": ("take",), "to": "armed", "when": _nothing_there}),
               Replace("split.idle.arm", {"at": ("armed",), "to": "rest", "when": lambda _: all_of()}),
               notifies=True)  # fmt: skip
    woken = lambda s: all_of(_nothing_there(s), s.kick == 1)  # noqa: E731
    yield swap("split.idle.wake", "split.fetch.look", "The ring is looked at before the kick is taken.",
               Replace("split.idle.wake", {"at": ("woken",), "to": "take", "when": lambda _: all_of()}),
               Add(replace(look_then_take, procedure="fetch", when=woken)), notifies=True)  # fmt: skip
    yield swap("split.reconnect.1c", "split.reconnect.signal", "Recovery notifies before it commits used_idx.",
               Replace("split.reconnect.signal", {"at": ("clear",), "to": "signalled clear",
                                                  "when": lambda s: s.recover.left <= 0}),
               Replace("split.reconnect.1c", {"at": ("signalled clear",)}),
               Replace("split.reconnect.1.else", {"to": "unsignalled"}), add(signal_alone, "recover"),
               Replace("split.reconnect.ready", {"at": ("resubmit",), "when": _nothing_pending}),
               notifies=True)  # fmt: skip


@_new.step("split.fetch.look.early", at="rest", to="woken", text="virtio: available ring")
def look_then_take(s: Any) -> None:
    """Read the idx value of the available ring; the kick is taken afterwards."""
    s.fetch.seen_avail = s.avail.idx


@_new.step("split.reconnect.signal.else", at="unsignalled", to="position", text="gap signal-at-start")
def signal_alone(s: Any) -> None:
    """Notify the driver where there was nothing to repair."""
    s.call = 1


def _nothing_pending(s: Any) -> Term:
    return forall(parameter("entries"), lambda h: negate(pending(s, h)))


def _recovery_swaps() -> Iterator[Mutant]:
    yield swap("split.reconnect.1b", "split.reconnect.1b", "Of two in-progress entries the second is cleared first.",
               Replace("split.reconnect.1b", {"when": lambda s: s.recover.left == 1}),
               add(clear_second, "recover"), add(clear_first, "recover"))  # fmt: skip
    yield swap("split.reconnect.1b", "split.reconnect.1c", "used_idx is committed before the last entry is cleared.",
               Replace("split.reconnect.1b", {"when": lambda s: s.recover.left > 1}),
               Replace("split.reconnect.1c", {"when": lambda s: s.recover.left <= 1, "to": "late clear"}),
               add(clear_late, "recover"))  # fmt: skip


@_new.step("split.reconnect.1b.second", at="clear", to="clear first", text="v6 reconnecting, 1(b)",
           when=lambda s: s.recover.left > 1)  # fmt: skip
def clear_second(s: Any) -> None:
    """Set the inflight field of the in-progress entry after the next to 0."""
    s.region.desc[s.region.desc[s.recover.entry].next].inflight = 0


@_new.step("split.reconnect.1b.first", at="clear first", to="clear", text="v6 reconnecting, 1(b)")
def clear_first(s: Any) -> None:
    """Set the inflight field of the next in-progress entry to 0, and go on after both."""
    s.region.desc[s.recover.entry].inflight = 0
    s.recover.entry = s.region.desc[s.region.desc[s.recover.entry].next].next
    s.recover.left = s.recover.left - 2


@_new.step("split.reconnect.1b.late", at="late clear", to="position", text="v6 reconnecting, 1(b)")
def clear_late(s: Any) -> None:
    """Set the inflight field of the last in-progress entry to 0, after used_idx was committed."""
    s.region.desc[s.recover.entry].inflight = 0
