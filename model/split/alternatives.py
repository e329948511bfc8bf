"""The alternatives of the split ring's gaps, as edits of the table. model.split.gaps says what each means."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from model.record import State, assign_initial
from model.split.recover import ENTRIES, RUNNING, pending
from model.split.revisions import first_counter
from model.split.serve import forget, in_hand
from model.split.variables import VARS
from model.steps import Add, Edit, GuardOf, Procedure, Remove, Replace, Step, Table
from model.terms import Operand, Term, all_of, any_of, count, forall, ite, negate, slot, wrap

__all__ = [
    "after_publish",
    "always",
    "any_order",
    "batch_size",
    "before_hand_over",
    "before_publish",
    "counter",
    "counter_count",
    "counter_zero",
    "device_greatest",
    "device_last",
    "every_kick",
    "fields_left",
    "left_zero",
    "never_signal",
    "position",
    "region_kept",
    "signal_after_publish",
    "signal_on_mismatch",
    "skip_fresh",
    "until_publish",
    "untracked",
    "version_first",
    "wait_at_start",
]

_new = Procedure("gaps")


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
    @_new.step(
        "split.start.skip", at="compare", to="position", text="gap fresh-used-idx", when=lambda s: s.recover.fresh == 1
    )
    def skip(s: Any) -> None:
        """A fresh region has nothing to reconnect to."""

    return [Remove("split.init.2"), Add(_in(skip, "recover")),
            Replace("split.reconnect.1", {"when": lambda s: s.recover.fresh == 0})]  # fmt: skip


def _in(step: Step, procedure: str) -> Step:
    return replace(step, procedure=procedure)


# counters


def counter(start: int) -> list[Edit]:
    def restore(s: Any) -> None:
        s.counter = first_counter(s, start)

    return _replace("split.counter", do=restore)


def counter_zero(_: Table) -> list[Edit]:
    def restore(s: Any) -> None:
        s.counter = 0

    return _replace("split.counter", do=restore, sentence="Set the global counter to 0.")


def counter_count(_: Table) -> list[Edit]:
    def restore(s: Any) -> None:
        s.counter = count(ENTRIES, lambda h: s.region.desc[h].inflight == 1)

    return _replace("split.counter", do=restore, sentence="Set the global counter to the number of inflight entries.")


@_new.step("queue.other", choice="head", text="gap counter-scope", when=lambda s, _: s.recover.at == RUNNING)
def other_queue(s: Any, i: Term) -> None:
    """Another queue of the device fetches, and counts on in the same counter."""
    s.counter = s.counter + 1 + i


def device_greatest(_: Table) -> list[Edit]:
    return [Add(_in(other_queue, "device"))]


def device_last(_: Table) -> list[Edit]:
    @_new.step("queue.other", choice="head", text="gap counter-scope", when=lambda s, _: s.recover.at == RUNNING)
    def recovered_later(s: Any, i: Term) -> None:
        """Another queue of the device recovers after this one, and sets the counter past its own entries alone."""
        s.counter = i

    return [Add(_in(recovered_later, "device"))]


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

    @_new.step(_ELEMENT[0], at="elements", to="elements len", text="gap used-element", when=more)
    def write_id(s: Any) -> None:
        """Write the id of the next used element of the batch."""
        s.used.ring[where(s)].id = in_hand(s)

    @_new.step(_ELEMENT[1], at="elements len", to="elements", text="gap used-element")
    def write_len(s: Any) -> None:
        """Write the len of the next used element of the batch."""
        s.used.ring[where(s)].len = s.device.given[in_hand(s)]
        s.supply.cursor = s.supply.cursor + 1

    return [_in(write_id, "supply"), _in(write_len, "supply")]


def _done_with_elements(s: Any) -> Term:
    return s.supply.cursor >= s.supply.count  # type: ignore[no-any-return]


def before_publish(_: Table) -> list[Edit]:
    write_id, write_len = _elements_in_a_loop("idx")

    @_new.step("split.supply.elements", at="more", to="elements", text="gap used-element")
    def close(s: Any) -> None:
        """The batch is complete: write its used elements."""
        s.supply.cursor = 0

    return [
        Remove(_ELEMENT[0]), Remove(_ELEMENT[1]),
        Add(_in(close, "supply")), Add(write_id), Add(write_len),
        Replace("split.supply.5", {"at": ("elements",), "when": _done_with_elements}),
    ]  # fmt: skip


def after_publish(_: Table) -> list[Edit]:
    write_id, write_len = _elements_in_a_loop("old_idx")

    @_new.step("split.supply.elements", at="elements", to="clear", text="gap used-element", when=_done_with_elements)
    def written(s: Any) -> None:
        """The used elements are written: on to the inflight fields."""
        s.supply.cursor = 0

    return [
        Remove(_ELEMENT[0]), Remove(_ELEMENT[1]),
        Replace("split.supply.5", {"to": "elements"}), Add(write_id), Add(write_len), Add(_in(written, "supply")),
    ]  # fmt: skip


# batch-size


def batch_size(kind: str) -> list[Edit]:
    def in_progress(s: Any) -> None:
        plain = s.used.idx - s.region.used_idx
        s.recover.left = slot(wrap(plain, 16)) if kind == "queue" else ite(plain < 0, 0, plain)
        s.recover.entry = s.region.last_batch_head

    return _replace("split.reconnect.1a", do=in_progress)


# fetch-in-batch


def until_publish(_: Table) -> list[Edit]:
    return [GuardOf("fetch", lambda s: s.supply.open < 2)]


def always(_: Table) -> list[Edit]:
    return [GuardOf("fetch", lambda _: all_of())]


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


def _nothing_pending(s: Any) -> Term:
    return forall(ENTRIES, lambda h: negate(pending(s, h)))


def never_signal(_: Table) -> list[Edit]:
    return [
        Remove("split.reconnect.signal"),
        Replace("split.reconnect.ready", {"at": ("resubmit",), "when": _nothing_pending}),
    ]


def signal_on_mismatch(_: Table) -> list[Edit]:
    at = {
        "at": ("resubmit", "signalled"),
        "when": lambda s: any_of(s.recover.at == "signalled", all_of(s.recover.mismatch == 0, _nothing_pending(s))),
    }
    return [
        Replace("split.reconnect.ready", at),
        Replace("split.reconnect.signal", {"when": lambda s: all_of(s.recover.mismatch == 1, _nothing_pending(s))}),
    ]


def signal_after_publish(table: Table) -> list[Edit]:
    after = table.step("split.supply.5").to
    return [
        Replace("split.supply.5", {"to": "notify"}),
        Replace("split.notify.call", {"to": after}),
        Replace("split.notify.none", {"to": after}),
        Replace("split.supply.7", {"to": "idle"}),
    ]


def fields_left(_: Table) -> list[Edit]:
    @_new.step(
        "split.idle.unarmed",
        at="take",
        to="armed",
        text="gap event-fields",
        when=lambda s: all_of(s.fetch.seen_avail == s.fetch.last_avail, s.fetch.rested == 0),
    )
    def not_armed(s: Any) -> None:
        """Nothing is there: the wish of the process before still stands in avail_event."""

    armed = {"when": lambda s: all_of(s.fetch.seen_avail == s.fetch.last_avail, s.fetch.rested == 1)}
    return [Add(_in(not_armed, "fetch")), Replace("split.idle.arm", armed)]


# recovery-start


@_new.step(
    "connection.kick",
    text="gap recovery-start",
    world=True,
    when=lambda s: all_of(s.recover.at == RUNNING, s.fetch.at == "take", s.supply.at == "idle"),
)
def second_kick_fd(s: State) -> None:
    """The front-end sends the kick fd again, and the back-end, alive, starts recovery over."""
    begin: Any = s
    begin.recover.at = "compare"
    begin.recover.fresh = 0
    begin.recover.resubmitted.each(lambda _: 0)
    begin.fetch.at = "off"
    begin.supply.at = "off"


def every_kick(_: Table) -> list[Edit]:
    return [Add(_in(second_kick_fd, "crash"))]


# reset


def region_kept(_: Table) -> list[Edit]:
    def reset(s: State) -> None:
        assign_initial(s, [v.name for v in VARS.values() if v.kind in ("ring", "eventfd", "driver")])

    return _replace("driver.reset", do=reset, sentence="The VM resets: a new driver and ring, the old region.")


# region-size


def _tracked(h: Operand) -> Term:
    return h < ENTRIES


def untracked(table: Table) -> list[Edit]:
    """Serve heads past the region's end without tracking them."""
    first = table.step("split.fetch.1")
    mark = str(first.to)

    @_new.step(
        "split.fetch.untracked",
        at=mark,
        to="submit",
        text="gap region-size",
        when=lambda s: negate(_tracked(s.fetch.head)),
    )
    def fetch_untracked(s: Any) -> None:
        """The head is past the end of the region: it cannot be marked."""

    @_new.step(
        "split.supply.untracked",
        at="link",
        to="more",
        text="gap region-size",
        when=lambda s: negate(_tracked(s.supply.head)),
    )
    def supply_untracked(s: Any) -> None:
        """The head is past the end of the region: it cannot be linked."""
        s.supply.count = s.supply.count + 1

    @_new.step(
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
        Add(_in(fetch_untracked, "fetch")), Add(_in(supply_untracked, "supply")), Add(_in(clear_untracked, "supply")),
    ]  # fmt: skip
