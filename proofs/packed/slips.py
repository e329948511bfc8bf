"""Slips of the packed ring's steps: each makes one thing wrong that a property speaks of, and nothing else.

They are for the conjuncts that no mutant breaks alone (proofs.challenges.conjuncts).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from model.both.words import ENTRIES, SIZE
from model.packed.history import known_slot
from model.packed.places import advanced
from model.packed.recover import begin_walk
from model.packed.serve import element, lead_list
from model.steps import After, Edit, Procedure, Replace
from model.terms import Term, all_of, any_of, ite
from proofs.induction.kits import Slip
from proofs.packed.guards import SUPPLY_ANY
from proofs.search.bounds import Bounds

__all__ = ["SLIPS"]

_new = Procedure("fetch")

ONE, ONE_CRASH = Bounds(2, 1, 0), Bounds(2, 1, 1)
TWO, OF_THREE = Bounds(2, 2, 0), Bounds(3, 2, 0, states=300_000)
SMALLEST = Bounds(1, 1, 1, states=50_000)
"""For what goes on for ever."""


def _nothing(_: Any) -> None:
    """Nothing happened."""


# The region


def _next_in_a_circle(s: Any) -> None:
    following = s.recover.entry + 1
    s.region.desc[s.recover.entry].next = ite(following == ENTRIES, 0, following)
    s.recover.entry = following


@_new.step("packed.fetch.link", text="a slip")
def link_nowhere(s: Any) -> None:
    """Set the next field of the chain's last entry to one that is not there."""
    s.region.desc[s.region.desc[s.fetch.head].last].next = ENTRIES + 1


@_new.step("packed.fetch.mark", text="a slip")
def mark_with_two(s: Any) -> None:
    """Set the inflight field of the entry to 2, unless it is the head's."""
    s.region.desc[s.region.free_head].inflight = ite(s.region.free_head == s.fetch.head, 1, 2)


def _stay_at_last(s: Any) -> None:
    stays = all_of(s.fetch.last == 1, s.region.free_head != s.fetch.head)
    s.region.free_head = ite(stays, s.region.free_head, s.region.desc[s.region.free_head].next)
    s.fetch.avail_idx, s.fetch.avail_wrap = advanced(s.fetch.avail_idx, s.fetch.avail_wrap, 1)


def _past_the_end(s: Any) -> None:
    s.region.used_idx = s.supply.start + s.supply.slots
    s.supply.cursor = s.supply.count


def _wrap_of_two(s: Any) -> None:
    s.region.used_wrap_counter = 3 - s.supply.start_wrap


def _region() -> Iterator[Slip]:
    yield Slip("the free list is a circle", "The last entry's next is 0.",
               (Replace("packed.init.2", {"do": _next_in_a_circle}),), (ONE,))  # fmt: skip
    yield Slip("an entry links to nowhere", "The last entry of a request links to one that is not there.",
               (After("packed.fetch.7", link_nowhere),), (ONE_CRASH, TWO))  # fmt: skip
    yield Slip("an entry is marked with 2", "The inflight field of entries that are no head's is set to 2.",
               (After("packed.fetch.5d", mark_with_two),), (ONE_CRASH, OF_THREE))  # fmt: skip
    yield Slip("the last entry stays free", "free_head does not move past the last of several descriptors.",
               (Replace("packed.fetch.6", {"do": _stay_at_last}),), (ONE_CRASH, OF_THREE))  # fmt: skip
    yield Slip("used_idx leaves the ring", "used_idx is increased past the end of the ring.",
               (Replace("packed.supply.6a", {"do": _past_the_end}),), (ONE_CRASH,))  # fmt: skip
    yield Slip("used_wrap_counter is 2", "used_wrap_counter is set to 2 instead of 0.",
               (Replace("packed.supply.6b", {"do": _wrap_of_two}),), (ONE_CRASH,))  # fmt: skip
    yield Slip("recovery leaves old_free_head", "Recovery neither commits free_head nor rolls it back.",
               (Replace("packed.reconnect.1c1", {"do": _nothing}), Replace("packed.reconnect.2a", {"do": begin_walk})),
               (ONE_CRASH,))  # fmt: skip
    yield Slip("recovery leaves old_used_wrap_counter", "Recovery neither commits used_wrap_counter nor rolls it back.",
               (Replace("packed.reconnect.1c3", {"do": _nothing}), Replace("packed.reconnect.2c", {"do": _nothing})),
               (ONE_CRASH,))  # fmt: skip


# A request's descriptors


def _as_large_as_the_ring() -> tuple[Edit, ...]:
    """Take the region for one of as many entries as the ring has descriptors."""

    def made(s: Any) -> Term:
        return any_of(s.recover.at == "init wrap", s.recover.entry >= SIZE)

    def free(s: Any) -> Term:
        return all_of(s.fetch.available == 1, s.region.free_head < SIZE, s.region.old_free_head < SIZE)

    return (
        Replace("packed.init.2", {"when": lambda s: s.recover.entry < SIZE}),
        Replace("packed.init.3", {"when": made}),
        Replace("packed.fetch.1", {"when": free}),
        Replace("packed.fetch.more", {"when": lambda s: all_of(s.fetch.last == 0, s.region.free_head < SIZE)}),
        Replace("packed.reconnect.4.desc", {"when": lambda s: s.recover.left > 0}),
    )


def _gather_one_more(s: Any, e: Term) -> None:
    s.recover.resubmitted[e] = 1
    s.recover.head = e
    s.recover.entry = e
    s.recover.left = s.region.desc[e].num + 1


def _goes_on(s: Any) -> None:
    flags, d = s.region.desc[s.region.free_head].flags, s.ring.desc[s.fetch.avail_idx].flags
    flags.next, flags.avail, flags.used = 1, d.avail, d.used


def _link_and_go_on(s: Any) -> None:
    s.region.desc[s.region.old_free_head].last = s.region.free_head
    s.fetch.last = 0


def _descriptors() -> Iterator[Slip]:
    yield Slip("the region is taken for the ring", "Entries are used that a smaller region does not have.",
               _as_large_as_the_ring(), (ONE_CRASH,), entries=1)  # fmt: skip
    yield Slip("one more is gathered", "One descriptor more than the chain has is gathered.",
               (Replace("packed.reconnect.4", {"do": _gather_one_more}),), (ONE_CRASH,))  # fmt: skip
    yield Slip("each copy goes on", "Each copy says that the chain goes on.",
               (Replace("packed.fetch.5c", {"do": _goes_on}),), (ONE_CRASH,))  # fmt: skip
    yield Slip("no descriptor is the last", "The last descriptor of a chain is taken for one that is not.",
               (Replace("packed.fetch.3", {"do": _link_and_go_on}), Replace("packed.fetch.5c", {"do": _goes_on})),
               (ONE,))  # fmt: skip


# What is published, by choice


def _next_slot(s: Any) -> Any:
    return element(s, s.supply.slots)


def _its_own_slot(s: Any) -> Any:
    return s.ring.desc[known_slot(s, s.supply.head, s.supply.slots)[0]]


def _always_zero(field: str, slot: Callable[[Any], Any]) -> Edit:
    def write(s: Any) -> None:
        setattr(slot(s), field, 0)

    return Replace(f"packed.supply.{field}", {"do": write})


def _lead_exchanged(s: Any) -> None:
    """Lead the free list; of two requests the first is marked in the second's slot, and the second in the first's."""
    s.supply.offset[s.supply.count] = 1 - s.supply.slots
    lead_list.do(s)


def _published() -> Iterator[Slip]:
    forwards, own = {"flags-order": "in-order"}, {"used-slot": "own"}
    for choices in (forwards, own, {**forwards, **own}):
        how = " ".join(choices.values())
        slot = _its_own_slot if "used-slot" in choices else _next_slot
        exchanged = (Replace("packed.supply.4", {"do": _lead_exchanged}),) if choices == forwards else ()
        yield Slip(f"{how}: no length", "The used element's len is set to 0.",
                   (_always_zero("len", slot),), (ONE,), choices)  # fmt: skip
        yield Slip(f"{how}: one name", "Each used element names the buffer id 0.",
                   (_always_zero("id", slot), *exchanged), (TWO,), choices)  # fmt: skip
        if choices != own:  # there the text itself does that
            yield Slip(f"{how}: unfinished", "A request is supplied while the device still works on it.",
                       (SUPPLY_ANY,), (SMALLEST,), choices)  # fmt: skip
        yield Slip(f"{how}: again", "A request is resubmitted again and again.",
                   (Replace("packed.reconnect.4", {"when": _inflight}),), (SMALLEST,), choices)  # fmt: skip


def _inflight(s: Any, e: Term) -> Term:
    return all_of(e < ENTRIES, s.region.desc[e].inflight == 1)


SLIPS = (*_region(), *_descriptors(), *_published())
