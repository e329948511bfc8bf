"""What back-ends of others do on the packed ring, as edits of the table.

model.profiles.packed says of each whose it is, and takes them in an order in which one may speak of a step as the one
before it has left it.
"""

from __future__ import annotations

from typing import Any

from model.both.words import ENTRIES, SIZE
from model.packed import history
from model.packed.places import advanced, is_used
from model.packed.recover import slots_inflight
from model.packed.serve import close_batch, element
from model.record import assign_each
from model.steps import Add, After, Edit, HistoryOf, Procedure, Remove, Replace, Table
from model.terms import Term, all_of, cell, ite, lap, negate

__all__ = [
    "avail_alone",
    "free_not_cleared",
    "from_old_free_head",
    "indexes_first",
    "kicks_wanted",
    "last_each_time",
    "len_before_id",
    "made_before_hand_over",
    "mark_instead_of_flags",
    "next_kept",
    "no_len",
    "position_from_old",
    "roll_back_unsubmitted_alone",
    "used_idx_in_two_stores",
    "used_stays",
]

_recover, _supply = Procedure("recover"), Procedure("supply")


# A fresh region


def made_before_hand_over(_: Table) -> list[Edit]:
    """Make free list and wrap counters with the buffer; desc_num and version come later."""

    def start(s: Any) -> None:
        s.recover.fresh = 1
        s.region.used_wrap_counter = 1
        s.region.old_used_wrap_counter = 1
        assign_each(s, "region.desc[].next", lambda i: i + 1)

    said = "The region was made before the front-end got it: both wrap counters 1, next of entry i is i + 1."
    return [
        Replace("packed.start.fresh", {"do": start, "world": True, "sentence": said}),
        *(Remove(f"packed.init.{n}") for n in (2, 3, 4)),
    ]


# Recovery


def mark_instead_of_flags(_: Table) -> list[Edit]:
    """Tell a published batch by a mark instead of the slot's flags."""

    def look(s: Any) -> None:
        s.recover.submitted = ite(s.region.desc[s.region.old_used_idx].inflight == 0, 1, 0)

    said = "Take the slot old_used_idx for the number of an entry: is that entry not marked inflight?"
    return [Replace("packed.reconnect.1a", {"do": look, "sentence": said})]


def indexes_first(_: Table) -> list[Edit]:
    """Commit old_used_idx, its wrap counter, then old_free_head; nothing is rolled back after that."""
    submitted = lambda s: s.recover.submitted == 1  # noqa: E731
    return [
        Replace("packed.reconnect.1c2", {"at": ("submitted?",), "when": submitted}),
        Replace("packed.reconnect.1c3", {"to": "commit head"}),
        Replace("packed.reconnect.1c1", {"at": ("commit head",), "to": "roll back", "when": lambda _: all_of()}),
    ]


def roll_back_unsubmitted_alone(_: Table) -> list[Edit]:
    """Roll back used_idx, its wrap counter, then free_head, and only what is taken for not submitted."""
    return [
        Replace("packed.reconnect.1.else", {"to": "clear"}),
        Replace("packed.reconnect.1c1", {"to": "clear"}),
        Replace("packed.reconnect.2b", {"at": ("roll back",)}),
        Replace("packed.reconnect.2c", {"to": "roll back head"}),
        Replace("packed.reconnect.2a", {"at": ("roll back head",), "to": "clear"}),
    ]


def free_not_cleared(_: Table) -> list[Edit]:
    """Leave the marks of free entries."""
    return [Remove("packed.reconnect.3"), Replace("packed.position", {"when": lambda _: all_of()})]


def position_from_old(_: Table) -> list[Edit]:
    """Begin at the old fields; used elements are written at a position of the process's own, begun there, too."""

    def find(s: Any) -> None:
        r = s.region
        last = r.old_used_idx + slots_inflight(s)
        s.fetch.avail_idx = cell(last)
        s.fetch.avail_wrap = ite(r.old_used_wrap_counter == 1, lap(last), 1 - lap(last))
        s.supply.start = r.old_used_idx
        s.supply.start_wrap = r.old_used_wrap_counter

    def take(s: Any, e: Term) -> None:
        s.supply.head = e
        s.supply.open = 1
        s.supply.batch[0] = e
        s.supply.offset[0] = 0
        s.device.state[e] = 3

    def settle(s: Any) -> None:
        s.region.old_used_wrap_counter = s.region.used_wrap_counter
        s.supply.start, s.supply.start_wrap = advanced(s.supply.start, s.supply.start_wrap, s.supply.slots)
        close_batch(s)

    where = "at the slot and wrap counter of old_used_idx and old_used_wrap_counter"
    said = (
        f"Used elements go on {where}, fetching there plus num of each entry that is marked (nowhere, past the ring)."
    )
    own = "Set old_used_wrap_counter to used_wrap_counter; the process's own used position moves on by the chain."
    return [
        Replace("packed.position", {"do": find, "when": lambda s: s.region.old_used_idx < SIZE, "sentence": said}),
        Replace("packed.supply.1", {"do": take}),
        Replace("packed.supply.9c", {"do": settle, "sentence": own}),
    ]


def kicks_wanted(_: Table) -> list[Edit]:
    """Store the wish to be kicked at the start, and never take it back."""

    @_recover.step("packed.start.wish", text="virtio: available buffer notification")
    def wish(s: Any) -> None:
        """Ask to be kicked."""
        s.device_event.flags = 0

    def nothing(_: Any) -> None:
        """Do nothing."""

    return [
        After("packed.counter", wish),
        Replace("packed.idle.arm", {"do": nothing, "sentence": "Nothing is there: the wish to be kicked stands."}),
        Replace("packed.idle.disarm", {"do": nothing, "sentence": "The wish to be kicked stands; look at the ring."}),
    ]


# Fetch


def last_each_time(_: Table) -> list[Edit]:
    """Store last for each descriptor, after its copy; num comes right after the mark."""

    def link(s: Any) -> None:
        s.region.desc[s.region.old_free_head].last = s.region.free_head
        s.fetch.last = ite(s.ring.desc[s.fetch.avail_idx].flags.next == 0, 1, 0)

    said = "Set desc[old_free_head].last to free_head, of whichever descriptor of the chain d is."
    return [
        Remove("packed.fetch.3.else"),
        Replace("packed.fetch.2b", {"to": "count"}),
        Replace("packed.fetch.5d", {"to": "last each"}),
        Replace("packed.fetch.3", {
            "at": ("last each",), "to": "advance", "when": lambda _: all_of(), "do": link, "sentence": said,
        }),
        Replace("packed.fetch.more", {"to": "count"}),
    ]  # fmt: skip


def from_old_free_head(table: Table) -> list[Edit]:
    """Begin a chain at old_free_head, whatever free_head is; free_head is stored, and only read within a chain."""
    hand = history.entry_after_head

    def of_hand(field: str) -> Any:
        def copy(s: Any) -> None:
            entry, d = s.region.desc[hand(s)], s.ring.desc[s.fetch.avail_idx]
            setattr(entry, field, getattr(d, field))

        return copy

    def flags(s: Any) -> None:
        copy, d = s.region.desc[hand(s)].flags, s.ring.desc[s.fetch.avail_idx].flags
        copy.next, copy.avail, copy.used = d.next, d.avail, d.used

    def link(s: Any) -> None:
        s.region.desc[s.region.old_free_head].last = hand(s)
        s.fetch.last = ite(s.ring.desc[s.fetch.avail_idx].flags.next == 0, 1, 0)

    def move(s: Any) -> None:
        s.region.free_head = s.region.desc[hand(s)].next
        s.fetch.avail_idx, s.fetch.avail_wrap = advanced(s.fetch.avail_idx, s.fetch.avail_wrap, 1)

    def in_hand(step_id: str) -> str:
        return table.step(step_id).sentence.replace("free_head]", "the entry in hand]")

    there = lambda s: all_of(s.fetch.available == 1, s.region.old_free_head < ENTRIES)  # noqa: E731
    return [
        Replace("packed.fetch.1", {"when": there}),
        *(
            Replace(f"packed.fetch.5{letter}", {"do": do, "sentence": in_hand(f"packed.fetch.5{letter}")})
            for letter, do in zip("abcd", (of_hand("addr"), of_hand("len"), flags, of_hand("id")), strict=True)
        ),
        Replace("packed.fetch.3", {"do": link, "sentence": "Set desc[old_free_head].last to the entry in hand."}),
        Replace("packed.fetch.6", {
            "do": move, "tags": frozenset(), "sentence": in_hand("packed.fetch.6"),
        }),
        HistoryOf("packed.fetch.6", lambda s: history.copied_to(s, hand(s))),
    ]  # fmt: skip


# Supply


def used_idx_in_two_stores(_: Table) -> list[Edit]:
    """Add to used_idx, and subtract where the sum is past the ring; the region's fields move by themselves."""

    def add(s: Any) -> None:
        s.region.used_idx = s.region.used_idx + s.region.desc[s.supply.head].num
        s.supply.cursor = s.supply.count

    def flip(s: Any) -> None:
        s.region.used_wrap_counter = 1 - s.region.used_wrap_counter

    past = lambda s: s.region.used_idx >= ENTRIES  # noqa: E731

    @_supply.step("packed.supply.6a.wrap", at="used wrap", to="used flip", text="v6 supplying, 6", when=past)
    def subtract(s: Any) -> None:
        """It is past the region's entries: subtract desc_num from used_idx."""
        s.region.used_idx = s.region.used_idx - ENTRIES

    return [
        Replace("packed.supply.6a", {"do": add, "sentence": "Add the chain's num to used_idx, past the end, too."}),
        Add(subtract),
        Replace("packed.supply.6b", {"at": ("used flip",), "when": lambda _: all_of(), "do": flip}),
        Replace("packed.supply.6b.else", {"when": lambda s: s.region.used_idx < ENTRIES}),
    ]


def no_len(_: Table) -> list[Edit]:
    """Store no len in a used element."""
    return [Remove("packed.supply.len")]


def len_before_id(_: Table) -> list[Edit]:
    """Store the len of a used element before its id."""
    return [
        Replace("packed.supply.len", {"at": ("element id",), "to": "element len"}),
        Replace("packed.supply.id", {"at": ("element len",), "to": "link"}),
    ]


def used_stays(table: Table) -> list[Edit]:
    """Give nothing back where the next used slot is marked used in this lap."""
    finished = table.step("packed.supply.1").when

    def used(s: Any) -> Term:
        return is_used(s.ring.desc[s.supply.start].flags, s.supply.start_wrap)

    @_supply.step(
        "packed.supply.1.else", at="idle", choice="head", text="SPDK's own",
        when=lambda s, e: all_of(finished(s, e), used(s)),
    )  # fmt: skip
    def forget(s: Any, e: Term) -> None:
        """The next used slot is marked used: forget the request."""
        s.device.state[e] = 0

    return [
        Replace("packed.supply.1", {"when": lambda s, e: all_of(finished(s, e), negate(used(s)))}),
        Add(forget),
    ]


def avail_alone(_: Table) -> list[Edit]:
    """Take a slot for available by AVAIL alone."""

    def look(s: Any) -> None:
        available = s.ring.desc[s.fetch.avail_idx].flags.avail == s.fetch.avail_wrap
        s.fetch.available = ite(available, 1, 0)

    said = "Read AVAIL of the next slot, and not USED: is its descriptor available?"
    return [Replace(step, {"do": look, "sentence": said}) for step in ("packed.fetch.look", "packed.idle.look")]


def next_kept(_: Table) -> list[Edit]:
    """Change AVAIL and USED of a used slot, and keep its NEXT."""

    def update(s: Any) -> None:
        flags = element(s, s.supply.offset[s.supply.cursor - 1]).flags
        flags.avail, flags.used = s.supply.start_wrap, s.supply.start_wrap
        s.supply.open = 2
        s.supply.cursor = s.supply.cursor - 1

    return [Replace("packed.supply.7", {"do": update, "sentence": "Update AVAIL and USED of the next used element."})]
