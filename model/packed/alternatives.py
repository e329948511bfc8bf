"""The alternatives of the packed ring's gaps, as edits of the table. model.packed.gaps says what each means."""

from __future__ import annotations

from typing import Any

from model.both.alternatives import in_, new
from model.both.counters import pending
from model.both.words import ENTRIES, SIZE
from model.packed.places import is_available, moved, wrapped
from model.packed.recover import begin_walk, slots_inflight
from model.packed.serve import close_batch
from model.packed.variables import BASE
from model.record import assign_each
from model.steps import Add, Edit, Remove, Replace, Table
from model.terms import Term, all_of, any_of, cell, follow, ite, negate

__all__ = [
    "any_order", "base", "before_hand_over", "compare",
    "fields_left", "left_zero", "one",
    "signal_after_publish", "used_position", "version_first",
    "wait_at_start", "whole_chains", "wide", "wrap_zero", "zeroed",
]  # fmt: skip


def _replace(step_id: str, **changes: Any) -> list[Edit]:
    return [Replace(step_id, changes)]


# init-order, free-list, first-wrap


def version_first(_: Table) -> list[Edit]:
    return [
        Replace("packed.init.5", {"at": ("init",), "to": "init desc_num"}),
        Replace("packed.init.1", {"at": ("init desc_num",)}),
        Replace("packed.init.4", {"to": "compare"}),
    ]


def before_hand_over(_: Table) -> list[Edit]:
    def initialised(s: Any) -> None:
        s.recover.fresh = 1
        s.region.version = 1
        s.region.desc_num = ENTRIES
        assign_each(s, "region.desc[].next", lambda i: i + 1)
        s.region.used_wrap_counter = 1
        s.region.old_used_wrap_counter = 1

    return [
        Replace("packed.start.fresh", {"do": initialised, "to": "compare", "world": True,
                                       "sentence": "The region was initialised before the front-end got hold of it."}),
        Replace("packed.init.3", {"at": ("init wrap",)}),
        *(Remove(f"packed.init.{n}") for n in (2, 1, 6, 7, 3, 4, 5)),
    ]  # fmt: skip


def zeroed(_: Table) -> list[Edit]:
    in_use = negate(BASE == 0)
    return [
        Remove("packed.init.2"),
        Replace("packed.init.6", {"when": lambda _: in_use}),
        Replace("packed.init.3", {"when": lambda s: any_of(s.recover.at == "init wrap", negate(in_use))}),
    ]


def wrap_zero(_: Table) -> list[Edit]:
    def new(s: Any) -> None:
        s.region.used_wrap_counter = 0

    def old(s: Any) -> None:
        s.region.old_used_wrap_counter = 0

    return [
        Replace("packed.init.3", {"do": new, "sentence": "Set used_wrap_counter to 0."}),
        Replace("packed.init.4", {"do": old, "sentence": "Set old_used_wrap_counter to 0."}),
    ]


# fresh-used-idx


def left_zero(table: Table) -> list[Edit]:
    def new(s: Any) -> None:
        s.region.used_wrap_counter = 1

    def old(s: Any) -> None:
        s.region.old_used_wrap_counter = 1

    def no_more(s: Any) -> Term:
        return s.recover.entry >= ENTRIES  # type: ignore[no-any-return]

    linked = "packed.init.2" in table.steps
    return [
        *(Remove(step_id) for step_id in ("packed.init.6", "packed.init.7")),
        Replace("packed.init.3", {"at": ("init next",), "when": no_more if linked else lambda _: all_of(),
                                  "do": new, "sentence": "Set used_wrap_counter to 1, as virtio's begins."}),
        Replace("packed.init.4", {"do": old, "sentence": "Set old_used_wrap_counter to 1."}),
    ]  # fmt: skip


# counters


# fetch-position


def used_position(_: Table) -> list[Edit]:
    def find(s: Any) -> None:
        s.fetch.avail_idx = s.region.used_idx
        s.fetch.avail_wrap = s.region.used_wrap_counter

    return _replace("packed.position", do=find, sentence="Fetching goes on at the used slot.")


def base(_: Table) -> list[Edit]:
    def find(s: Any) -> None:
        s.fetch.avail_idx = 0
        s.fetch.avail_wrap = 1

    return _replace("packed.position", do=find, sentence="Fetching goes on where SET_VRING_BASE says: slot 0, lap 1.")


# flags-compare


def compare(kind: str) -> list[Edit]:
    def look(s: Any) -> None:
        flags, wrap_counter = s.ring.desc[s.region.old_used_idx].flags, s.region.old_used_wrap_counter
        equal = {
            "used": flags.used != wrap_counter,
            "avail": flags.avail == wrap_counter,
            "whole": all_of(is_available(flags, wrap_counter), flags.next == 0),
        }[kind]
        s.recover.submitted = ite(equal, 0, 1)

    return _replace("packed.reconnect.1a", do=look)


# assignments


def one(_: Table) -> list[Edit]:
    def commit(s: Any) -> None:
        r = s.region
        r.old_free_head, r.old_used_idx, r.old_used_wrap_counter = r.free_head, r.used_idx, r.used_wrap_counter

    def roll_back(s: Any) -> None:
        r = s.region
        r.free_head, r.used_idx, r.used_wrap_counter = r.old_free_head, r.old_used_idx, r.old_used_wrap_counter
        begin_walk(s)

    def settle(s: Any) -> None:
        commit(s)
        close_batch(s)

    def move(s: Any) -> None:
        start, wrap_counter, slots = s.supply.start, s.supply.start_wrap, s.supply.slots
        s.region.used_idx = moved(start, slots)
        s.region.used_wrap_counter = wrapped(start, wrap_counter, slots)
        s.supply.cursor = s.supply.count

    def copy(s: Any) -> None:
        entry, d = s.region.desc[s.region.free_head], s.ring.desc[s.fetch.avail_idx]
        entry.addr, entry.len, entry.id = d.addr, d.len, d.id
        entry.flags.next, entry.flags.avail, entry.flags.used = d.flags.next, d.flags.avail, d.flags.used

    together = {"packed.reconnect.1c1": commit, "packed.reconnect.2a": roll_back, "packed.supply.9a": settle,
                "packed.supply.6a": move, "packed.fetch.5a": copy}  # fmt: skip
    gone = ("reconnect.1c3", "reconnect.1c2", "reconnect.2c", "reconnect.2b", "supply.9c", "supply.9b", "supply.6b",
            "supply.6b.else", "fetch.5d", "fetch.5c", "fetch.5b")  # fmt: skip
    return [
        *(Replace(step_id, {"do": do, "world": True}) for step_id, do in together.items()),
        Replace("packed.supply.9a", {"tags": frozenset({"settled"})}),
        *(Remove(f"packed.{step_id}") for step_id in gone),
    ]


# region-size


def whole_chains(table: Table) -> list[Edit]:
    """Let a request wait until as many entries are free as its chain has descriptors."""
    available = table.step("packed.fetch.1").when

    def fits(s: Any) -> Term:
        first = s.fetch.avail_idx
        last = follow(first, SIZE, lambda q: s.ring.desc[cell(q)].flags.next == 1, lambda q: q + 1)
        return last - first + 1 <= ENTRIES - slots_inflight(s)  # type: ignore[no-any-return]

    return _replace("packed.fetch.1", when=lambda s: all_of(available(s), fits(s)))


# settle, in hardened alone


def wide(_: Table) -> list[Edit]:
    def commit(s: Any) -> None:
        s.region.old_used_idx = s.region.used_idx
        s.region.old_used_wrap_counter = s.region.used_wrap_counter

    def settle(s: Any) -> None:
        commit(s)
        close_batch(s)

    sentence = "Set old_used_idx and old_used_wrap_counter to used_idx and used_wrap_counter, in one store of 8 bytes."
    store = {"world": True, "sentence": sentence}
    return [
        Remove("packed.reconnect.1.settled"),
        Replace("packed.reconnect.1a", {"when": lambda s: s.recover.mismatch == 1}),
        Replace("packed.reconnect.2a", {"at": ("roll back",), "to": "roll back idx"}),
        Replace("packed.reconnect.2b", {"at": ("roll back idx",)}),
        Replace("packed.reconnect.2c", {"to": "clear"}),
        Replace("packed.reconnect.1c2", {"do": commit, **store}),
        Remove("packed.reconnect.1c3"),
        Replace("packed.supply.9b", {"do": settle, "tags": frozenset({"settled"}), **store}),
        Remove("packed.supply.9c"),
    ]


# fetch-in-batch


# resubmit-order, ring-at-start, signals


def any_order(_: Table) -> list[Edit]:
    return _replace("packed.reconnect.4", when=lambda s, e: all_of(e < ENTRIES, pending(s, e)),
                    sentence="Resubmit an inflight entry, in any order: begin with its num descriptors.")  # fmt: skip


def wait_at_start(_: Table) -> list[Edit]:
    def ready(s: Any) -> None:
        s.fetch.at = "rest"
        s.fetch.available = 0
        s.supply.at = "idle"

    return _replace("packed.reconnect.ready", do=ready, sentence="Recovery ends; wait for a kick.")


def signal_after_publish(table: Table) -> list[Edit]:
    settle = next(s for s in table.of("supply") if s.to == "notify")
    return [
        Replace("packed.notify.look", {"at": ("flags",), "when": lambda s: s.supply.cursor == 0}),
        Replace("packed.notify.call", {"to": "clear"}),
        Replace("packed.notify.none", {"to": "clear"}),
        Replace("packed.supply.8", {"at": ("clear",)}),
        Replace(settle.id, {"to": "idle"}),
    ]


def fields_left(_: Table) -> list[Edit]:
    @new.step(
        "packed.idle.unarmed",
        at="take",
        to="armed",
        text="gap event-fields",
        when=lambda s: all_of(s.fetch.available == 0, s.fetch.rested == 0),
    )
    def not_armed(s: Any) -> None:
        """Nothing is there: the wish of the process before still stands in the device event flags."""

    armed = {"when": lambda s: all_of(s.fetch.available == 0, s.fetch.rested == 1)}
    return [Add(in_("fetch", not_armed)), Replace("packed.idle.arm", armed)]


# recovery-start, reset
