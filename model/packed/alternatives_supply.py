"""The alternatives of the packed ring's gaps that change how a batch is given back, as edits of the table."""

from __future__ import annotations

from typing import Any

from model.packed import history
from model.packed.fetch import get_descriptor
from model.packed.history import backward_number, forward_number, known_slot
from model.packed.places import moved, wrapped
from model.packed.serve import element, last_entry, mark_used
from model.steps import Add, Edit, HistoryOf, Procedure, Remove, Replace, Table
from model.terms import Term, ite, negate

__all__ = ["forwards", "own_slot", "requests", "with_flags"]

_new = Procedure("supply")

# flags-order


def forwards(_: Table) -> list[Edit]:
    def update(s: Any) -> None:
        mark_used(s, forward_number(s))
        s.supply.open = 2
        s.supply.cursor = s.supply.cursor - 1

    def published(s: Any) -> None:
        history.publish(s, *history.published_slot(s, forward_number(s)))

    sentence = "Update the flags of the next used element, the first of the batch first."
    tags = frozenset({"publish forwards"})
    return [
        Replace("packed.supply.7", {"do": update, "sentence": sentence, "tags": tags}),
        HistoryOf("packed.supply.7", published),
    ]


def _in_order(table: Table) -> bool:
    return any("forwards" in tag for tag in table.step("packed.supply.7").tags)


# used-element


def with_flags(table: Table) -> list[Edit]:
    number = forward_number if _in_order(table) else backward_number

    def place(s: Any) -> Any:
        return element(s, s.supply.offset[number(s)])

    def head(s: Any) -> Term:
        return s.supply.batch[number(s)]  # type: ignore[no-any-return]

    more = lambda s: s.supply.cursor > 0  # noqa: E731

    @_new.step("packed.supply.id", at="flags", to="flags len", text="gap used-element", when=more)
    def write_id(s: Any) -> None:
        """Write the id of the used element whose flags come next."""
        place(s).id = last_entry(s, head(s)).id

    @_new.step("packed.supply.len", at="flags len", to="flags store", text="gap used-element")
    def write_len(s: Any) -> None:
        """Write its len."""
        place(s).len = s.device.given[head(s)]

    return [
        Remove("packed.supply.id"), Remove("packed.supply.len"), Add(write_id), Add(write_len),
        Replace("packed.supply.7", {"at": ("flags store",), "to": "flags"}),
    ]  # fmt: skip


# used-slot


def own_slot(table: Table) -> list[Edit]:
    in_order = _in_order(table)
    number = forward_number if in_order else backward_number
    with_its_flags = table.step("packed.supply.id").at == ("flags",)

    def take(s: Any) -> None:
        get_descriptor.do(s)
        s.device.slot[s.region.old_free_head] = s.fetch.avail_idx + 1
        s.device.slot_wrap[s.region.old_free_head] = s.fetch.avail_wrap

    def head(s: Any) -> Term:
        return s.supply.batch[number(s)] if with_its_flags else s.supply.head  # type: ignore[no-any-return]

    def place(s: Any) -> Any:
        offset = s.supply.offset[number(s)] if with_its_flags else s.supply.slots
        return s.ring.desc[known_slot(s, head(s), offset)[0]]

    def write_id(s: Any) -> None:
        place(s).id = last_entry(s, head(s)).id

    def write_len(s: Any) -> None:
        place(s).len = s.device.given[head(s)]

    def update(s: Any) -> None:
        slot, wrap_counter = history.own_slot(s, number(s))
        flags = s.ring.desc[slot].flags
        flags.next, flags.avail, flags.used = 0, wrap_counter, wrap_counter
        s.supply.open = 2 if in_order else ite(s.supply.cursor == 1, 2, 1)
        s.supply.cursor = s.supply.cursor - 1

    where = "the slot that it was fetched from (a successor does not know it: the next used slot)"
    return [
        Replace("packed.fetch.1", {"do": take}),
        Replace("packed.supply.id", {"do": write_id, "sentence": f"Write the buffer id to {where}."}),
        Replace("packed.supply.len", {"do": write_len}),
        Replace("packed.supply.7", {"do": update, "tags": frozenset({f"publish own{' forwards' if in_order else ''}"}),
                                    "sentence": "Update the flags of the next request's own slot."}),
        HistoryOf("packed.supply.7", lambda s: history.publish(s, *history.own_slot(s, number(s)))),
    ]  # fmt: skip


# batch-size


def requests(_: Table) -> list[Edit]:
    def move(s: Any) -> None:
        s.region.used_idx = moved(s.supply.start, s.supply.count)
        s.supply.cursor = s.supply.count

    def flips(s: Any) -> Term:
        return wrapped(s.supply.start, s.supply.start_wrap, s.supply.count) != s.supply.start_wrap  # type: ignore[no-any-return]

    return [
        Replace("packed.supply.6a", {"do": move}),
        Replace("packed.supply.6b", {"when": flips}),
        Replace("packed.supply.6b.else", {"when": lambda s: negate(flips(s))}),
    ]
