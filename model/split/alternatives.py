"""The alternatives of the split ring's gaps, as edits of the table. model.split.gaps says what each means."""

from __future__ import annotations

from typing import Any

from model.both.alternatives import in_, new
from model.both.counters import pending
from model.both.words import ENTRIES
from model.split.serve import forget, in_hand
from model.steps import Add, Edit, Remove, Replace, Step, Table
from model.terms import Operand, Term, all_of, ite, negate, slot, wrap

__all__ = [
    "after_publish",
    "any_order",
    "batch_size",
    "before_hand_over",
    "before_publish",
    "fields_left",
    "left_zero",
    "position",
    "signal_after_publish",
    "skip_fresh",
    "untracked",
    "version_first",
    "wait_at_start",
]


def _replace(step_id: str, **changes: Any) -> list[Edit]:
    return [Replace(step_id, changes)]


# init-order


def version_first(table: Table) -> list[Edit]:
    one, three = table.step("split.init.1"), table.step("split.init.3")
    return [
        Replace(three.id, {"at": ("init",), "to": "init desc_num"}),
        Replace(one.id, {"at": ("init desc_num",)}),
        Replace("split.init.2", {"to": "compare"}),
    ]


def before_hand_over(_: Table) -> list[Edit]:
    def initialised(s: Any) -> None:
        s.recover.fresh = 1
        s.region.version = 1
        s.region.desc_num = ENTRIES
        s.region.used_idx = s.used.idx

    return [
        Replace("split.start.fresh", {"do": initialised, "to": "compare", "world": True,
                                      "sentence": "The region was initialised before the front-end got hold of it."}),
        Remove("split.init.1"), Remove("split.init.2"), Remove("split.init.3"),
    ]  # fmt: skip


# fresh-used-idx


def left_zero(_: Table) -> list[Edit]:
    return [Remove("split.init.2")]


def skip_fresh(_: Table) -> list[Edit]:
    @new.step(
        "split.start.skip", at="compare", to="position", text="gap fresh-used-idx", when=lambda s: s.recover.fresh == 1
    )
    def skip(s: Any) -> None:
        """A fresh region has nothing to reconnect to."""

    return [Remove("split.init.2"), Add(in_("recover", skip)),
            Replace("split.reconnect.1", {"when": lambda s: s.recover.fresh == 0})]  # fmt: skip


# counters


# fetch-position


def position(kind: str) -> list[Edit]:
    def find(s: Any) -> None:
        s.fetch.last_avail = s.used.idx if kind == "used" else s.avail.idx

    return _replace("split.position", do=find, sentence=f"Fetching goes on at {kind}.idx.")


# used-element

_ELEMENT = ("split.supply.id", "split.supply.len")


def _nth_slot(s: Any, idx: Term) -> Term:
    return slot(wrap(idx + s.supply.cursor, 16))


def _elements_in_a_loop(idx: str) -> list[Step]:
    def where(s: Any) -> Term:
        return _nth_slot(s, getattr(s.used if idx == "idx" else s.supply, idx))

    more = lambda s: s.supply.cursor < s.supply.count  # noqa: E731

    @new.step(_ELEMENT[0], at="elements", to="elements len", text="gap used-element", when=more)
    def write_id(s: Any) -> None:
        """Write the id of the next used element of the batch."""
        s.used.ring[where(s)].id = in_hand(s)

    @new.step(_ELEMENT[1], at="elements len", to="elements", text="gap used-element")
    def write_len(s: Any) -> None:
        """Write the len of the next used element of the batch."""
        s.used.ring[where(s)].len = s.device.given[in_hand(s)]
        s.supply.cursor = s.supply.cursor + 1

    return [in_("supply", write_id), in_("supply", write_len)]


def _done_with_elements(s: Any) -> Term:
    return s.supply.cursor >= s.supply.count  # type: ignore[no-any-return]


def before_publish(_: Table) -> list[Edit]:
    write_id, write_len = _elements_in_a_loop("idx")

    @new.step("split.supply.elements", at="more", to="elements", text="gap used-element")
    def close(s: Any) -> None:
        """The batch is complete: write its used elements."""
        s.supply.cursor = 0

    return [
        Remove(_ELEMENT[0]), Remove(_ELEMENT[1]),
        Add(in_("supply", close)), Add(write_id), Add(write_len),
        Replace("split.supply.5", {"at": ("elements",), "when": _done_with_elements}),
    ]  # fmt: skip


def after_publish(_: Table) -> list[Edit]:
    write_id, write_len = _elements_in_a_loop("old_idx")

    @new.step("split.supply.elements", at="elements", to="clear", text="gap used-element", when=_done_with_elements)
    def written(s: Any) -> None:
        """The used elements are written: on to the inflight fields."""
        s.supply.cursor = 0

    return [
        Remove(_ELEMENT[0]), Remove(_ELEMENT[1]),
        Replace("split.supply.5", {"to": "elements"}), Add(write_id), Add(write_len), Add(in_("supply", written)),
    ]  # fmt: skip


# batch-size


def batch_size(kind: str) -> list[Edit]:
    def in_progress(s: Any) -> None:
        plain = s.used.idx - s.region.used_idx
        s.recover.left = slot(wrap(plain, 16)) if kind == "queue" else ite(plain < 0, 0, plain)
        s.recover.entry = s.region.last_batch_head

    return _replace("split.reconnect.1a", do=in_progress)


# fetch-in-batch


# resubmit-order, ring-at-start, signals


def any_order(_: Table) -> list[Edit]:
    return _replace("split.reconnect.2", when=lambda s, i: all_of(i < ENTRIES, pending(s, i)),
                    sentence="Resubmit an inflight entry, in any order.")  # fmt: skip


def wait_at_start(_: Table) -> list[Edit]:
    def ready(s: Any) -> None:
        s.fetch.at = "rest"
        s.fetch.seen_avail = s.fetch.last_avail
        s.supply.at = "idle"

    return _replace("split.reconnect.ready", do=ready, sentence="Recovery ends; wait for a kick.")


def signal_after_publish(table: Table) -> list[Edit]:
    after = table.step("split.supply.5").to
    return [
        Replace("split.supply.5", {"to": "notify"}),
        Replace("split.notify.call", {"to": after}),
        Replace("split.notify.none", {"to": after}),
        Replace("split.supply.7", {"to": "idle"}),
    ]


def fields_left(_: Table) -> list[Edit]:
    @new.step(
        "split.idle.unarmed",
        at="take",
        to="armed",
        text="gap event-fields",
        when=lambda s: all_of(s.fetch.seen_avail == s.fetch.last_avail, s.fetch.rested == 0),
    )
    def not_armed(s: Any) -> None:
        """Nothing is there: the wish of the process before still stands in avail_event."""

    armed = {"when": lambda s: all_of(s.fetch.seen_avail == s.fetch.last_avail, s.fetch.rested == 1)}
    return [Add(in_("fetch", not_armed)), Replace("split.idle.arm", armed)]


# recovery-start


# reset


# region-size


def _tracked(h: Operand) -> Term:
    return h < ENTRIES


def untracked(table: Table) -> list[Edit]:
    """Serve heads past the region's end without tracking them."""
    first = table.step("split.fetch.1")
    mark = str(first.to)

    @new.step(
        "split.fetch.untracked",
        at=mark,
        to="submit",
        text="gap region-size",
        when=lambda s: negate(_tracked(s.fetch.head)),
    )
    def fetch_untracked(s: Any) -> None:
        """The head is past the end of the region: it cannot be marked."""

    @new.step(
        "split.supply.untracked",
        at="link",
        to="more",
        text="gap region-size",
        when=lambda s: negate(_tracked(s.supply.head)),
    )
    def supply_untracked(s: Any) -> None:
        """The head is past the end of the region: it cannot be linked."""
        s.supply.count = s.supply.count + 1

    @new.step(
        "split.supply.6.untracked",
        at="clear",
        text="gap region-size",
        when=lambda s: all_of(s.supply.cursor < s.supply.count, negate(_tracked(in_hand(s)))),
    )
    def clear_untracked(s: Any) -> None:
        """The head is past the end of the region: there is nothing to clear."""
        forget(s)
        s.supply.cursor = s.supply.cursor + 1

    entry = [st for st in table.of("fetch") if st.at == (mark,)]
    return [
        *(Replace(st.id, {"when": lambda s: _tracked(s.fetch.head)}) for st in entry),
        Replace("split.supply.2", {"when": lambda s: _tracked(s.supply.head)}),
        Replace("split.supply.6", {"when": lambda s: all_of(s.supply.cursor < s.supply.count, _tracked(in_hand(s)))}),
        Add(in_("fetch", fetch_untracked)), Add(in_("supply", supply_untracked)), Add(in_("supply", clear_untracked)),
    ]  # fmt: skip
