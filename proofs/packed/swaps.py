"""Swaps of the packed ring: two neighbouring stores of recovery, fetching or supplying in the other order.

Each value is what it was in the original order, as a compiler or a processor would have it. What a register would keep
is in recover.entry while the back-end serves: recovery alone uses that.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from model.both.counters import pending
from model.both.words import ENTRIES, SIZE
from model.packed.places import is_used, moved, wrapped
from model.packed.recover import list_ended
from model.packed.variables import BASE
from model.steps import Add, Edit, Procedure, Replace, Table
from model.terms import Term, all_of, any_of, forall, ite, negate
from proofs.challenges.mutating import always, exchanged, swap, turned
from proofs.induction.kits import Mutant

__all__ = ["recovery_swaps", "start_swaps"]


def start_swaps(table: Table) -> Iterator[Mutant]:
    """Give the swaps of the stores that make a region."""
    three, six = table.step("packed.init.3"), table.step("packed.init.6")
    yield swap("packed.init.1", "packed.init.2", "The first link is set before desc_num.",
               *turned(table, "packed.init.1", "packed.init.2", always, late={"to": "init next"}))  # fmt: skip
    yield swap("packed.init.2", "packed.init.2", "The free list is linked from its end to its beginning.",
               Replace("packed.init.2", {"do": _link_backwards}))  # fmt: skip
    yield swap("packed.init.2", "packed.init.6", "On a ring in use, used_idx is set before the last link.",
               *turned(table, "packed.init.2", "packed.init.6",
                       lambda s: _last_link(s, negate(BASE == 0))))  # fmt: skip
    yield swap("packed.init.6", "packed.init.7", "On a ring in use, old_used_idx is set before used_idx.",
               *turned(table, "packed.init.6", "packed.init.7", lambda s: all_of(six.when(s))))  # fmt: skip
    yield swap("packed.init.7", "packed.init.3", "On a ring in use, used_wrap_counter is set before old_used_idx.",
               *turned(table, "packed.init.7", "packed.init.3", always))  # fmt: skip
    yield swap("packed.init.2", "packed.init.3", "used_wrap_counter is set before the last link.",
               *turned(table, "packed.init.2", "packed.init.3", lambda s: _last_link(s, BASE == 0)))  # fmt: skip
    yield swap("packed.init.3", "packed.init.4", "old_used_wrap_counter is set before used_wrap_counter.",
               *turned(table, "packed.init.3", "packed.init.4", lambda s: all_of(three.when(s))))  # fmt: skip
    yield swap("packed.init.4", "packed.init.5",
               "version is set before old_used_wrap_counter: the region counts before it is right.",
               *exchanged(table, "packed.init.4", "packed.init.5"))  # fmt: skip


def _last_link(s: Any, ring: Term) -> Term:
    return all_of(s.recover.entry + 1 == ENTRIES, ring)


def _link_backwards(s: Any) -> None:
    s.region.desc[ENTRIES - 1 - s.recover.entry].next = ENTRIES - s.recover.entry
    s.recover.entry = s.recover.entry + 1


def recovery_swaps(table: Table) -> Iterator[Mutant]:
    """Give the swaps of the stores of reconnecting, up to the notification at its end."""
    commit = lambda s: s.recover.submitted == 1  # noqa: E731
    yield swap("packed.reconnect.1c1", "packed.reconnect.1c2", "old_used_idx is committed before old_free_head.",
               *turned(table, "packed.reconnect.1c1", "packed.reconnect.1c2", commit))  # fmt: skip
    yield swap("packed.reconnect.1c2", "packed.reconnect.1c3", "The old wrap counter is committed before old_used_idx.",
               *exchanged(table, "packed.reconnect.1c2", "packed.reconnect.1c3"))  # fmt: skip
    yield swap("packed.reconnect.1c3", "packed.reconnect.2b",
               "After a commit used_idx is rolled back before old_used_wrap_counter is committed.",
               *turned(table, "packed.reconnect.1c3", "packed.reconnect.2b", always))  # fmt: skip
    yield swap("packed.reconnect.2b", "packed.reconnect.2c", "used_wrap_counter is rolled back before used_idx.",
               *exchanged(table, "packed.reconnect.2b", "packed.reconnect.2c"))  # fmt: skip
    yield swap("packed.reconnect.2c", "packed.reconnect.2a", "free_head is rolled back before used_wrap_counter.",
               *exchanged(table, "packed.reconnect.2c", "packed.reconnect.2a"))  # fmt: skip
    yield swap("packed.reconnect.2a", "packed.reconnect.unmark",
               "The first slot is marked available again before free_head is rolled back.",
               *_unmark_before_free_head(table))  # fmt: skip
    yield swap("packed.reconnect.unmark", "packed.reconnect.unmark",
               "The slots are marked available again from the last to the first.",
               Replace("packed.reconnect.unmark.look", {"do": _look_behind}),
               Replace("packed.reconnect.unmark", {"do": _unmark_behind}))  # fmt: skip
    yield swap("packed.reconnect.unmark", "packed.reconnect.3",
               "The first free entry is cleared before a slot is marked available again.",
               Replace("packed.reconnect.3", {"when": _clear_at_once}))  # fmt: skip
    yield swap("packed.reconnect.3", "packed.reconnect.3", "Of two free entries the second is cleared first.",
               *_second_first(table))  # fmt: skip
    yield swap("packed.reconnect.3", "packed.reconnect.signal", "Recovery notifies before the last entry is cleared.",
               *_signal_before_last(table), notifies=True)  # fmt: skip


def _slot(s: Any, ahead: Term) -> tuple[Any, Term]:
    """Give a slot after the used one, and its wrap counter."""
    used = s.region.used_idx
    return s.ring.desc[moved(used, ahead)], wrapped(used, s.region.used_wrap_counter, ahead)


def _looked_round(s: Any) -> Term:
    return all_of(s.recover.ahead >= SIZE, s.recover.marked == 0)


def _unmark_before_free_head(table: Table) -> Iterator[Edit]:
    """Look, up to the first slot that is marked used, before free_head is rolled back; unmark it there."""
    look, unmark = table.step("packed.reconnect.unmark.look"), table.step("packed.reconnect.unmark")
    (place,) = table.step("packed.reconnect.2a").at
    copies = Procedure("recover")
    copies.step(f"{look.id}.early", at=place, text=look.text, when=look.when)(look.do)
    copies.step(f"{unmark.id}.early", at=place, to="late 2a", text=unmark.text, when=unmark.when)(unmark.do)
    rolled = table.step("packed.reconnect.2a")
    copies.step(f"{rolled.id}.late", at="late 2a", to="clear", text=rolled.text)(rolled.do)
    yield from (Add(step) for step in copies.steps)
    yield Replace(rolled.id, {"when": _looked_round})


def _look_behind(s: Any) -> None:
    slot, wrap_counter = _slot(s, SIZE - s.recover.ahead)
    marked = is_used(slot.flags, wrap_counter)
    s.recover.ahead, s.recover.marked = ite(marked, s.recover.ahead, s.recover.ahead + 1), ite(marked, 1, 0)


def _unmark_behind(s: Any) -> None:
    slot, wrap_counter = _slot(s, SIZE - s.recover.ahead)
    slot.flags.next, slot.flags.avail, slot.flags.used = 0, wrap_counter, 1 - wrap_counter
    s.recover.marked, s.recover.ahead = 0, s.recover.ahead + 1


def _clear_at_once(s: Any) -> Term:
    first = all_of(s.recover.marked == 1, s.recover.left == ENTRIES)
    return all_of(any_of(first, _looked_round(s)), negate(list_ended(s)))


def _next_is_end(s: Any) -> Term:
    return s.region.desc[s.recover.entry].next >= ENTRIES  # type: ignore[no-any-return]


def _second_first(table: Table) -> tuple[Edit, ...]:
    clear = table.step("packed.reconnect.3")
    two = lambda s: all_of(clear.when(s), negate(_next_is_end(s)))  # noqa: E731
    pair = Procedure("recover")

    @pair.step("packed.reconnect.3.second", at="clear", to="clear first", text="v6 reconnecting, 3", when=two)
    def clear_second(s: Any) -> None:
        """Set the inflight field of the free entry after the next to 0."""
        s.region.desc[s.region.desc[s.recover.entry].next].inflight = 0

    @pair.step("packed.reconnect.3.first", at="clear first", to="clear", text="v6 reconnecting, 3")
    def clear_first(s: Any) -> None:
        """Set the inflight field of the next free entry to 0, and go on after both."""
        s.region.desc[s.recover.entry].inflight = 0
        s.recover.entry = s.region.desc[s.region.desc[s.recover.entry].next].next
        s.recover.left = s.recover.left - 2

    last = lambda s: all_of(clear.when(s), _next_is_end(s))  # noqa: E731
    return Add(clear_second), Add(clear_first), Replace(clear.id, {"when": last})


def _signal_before_last(table: Table) -> Iterator[Edit]:
    clear, position = table.step("packed.reconnect.3"), table.step("packed.position")
    late = Procedure("recover")
    late.step(f"{clear.id}.late", at="signalled clear", text=clear.text, when=clear.when)(clear.do)
    yield from (Add(step) for step in late.steps)
    yield Replace(clear.id, {"when": lambda s: all_of(clear.when(s), negate(_next_is_end(s)))})
    yield Replace(position.id, {"at": ("signalled clear",)})
    yield Replace("packed.reconnect.signal", {"at": ("clear",), "to": "signalled clear", "when": _nearly_done})
    yield Replace("packed.reconnect.ready", {"at": ("resubmit",), "when": _nothing_pending})


def _nearly_done(s: Any) -> Term:
    """Whether the ring was looked at, and at most one free entry is left to clear."""
    return all_of(_looked_round(s), ite(list_ended(s), all_of(), _next_is_end(s)))


def _nothing_pending(s: Any) -> Term:
    return forall(ENTRIES, lambda e: negate(pending(s, e)))
