"""What back-ends of others do otherwise on the split ring, as edits of the table; model.profiles.split says who."""

from __future__ import annotations

from typing import Any

from model.both.alternatives import in_, nothing_pending
from model.both.counters import pending
from model.both.words import ENTRIES, HEADS
from model.split.serve import used_slot
from model.steps import Add, After, Edit, GuardOf, Procedure, Remove, Replace, Table
from model.terms import Term, all_of, any_of, count, forall, greatest, ite, negate, wrap

__all__ = [
    "WINDOW",
    "arm_at_fetch",
    "arm_at_look",
    "assert_one",
    "batch_of_one",
    "clear_one",
    "commit_always",
    "counter_of_all",
    "desc_num_at_each_start",
    "element_at_once",
    "fresh_by_counters",
    "kick_if_adopted",
    "kick_itself",
    "lead_first",
    "never_resubmitted",
    "no_link",
    "no_version",
    "one_at_a_time",
    "own_still_counted",
    "signal_before",
    "signal_before_resubmitting",
    "signal_first",
    "version_by_get",
    "windowed",
]  # fmt: skip

_new = Procedure("profiles")

_NOTE = "virtio: available ring notification"


# A fresh region


def desc_num_at_each_start(table: Table) -> list[Edit]:
    """Store desc_num of an adopted region, too; only then is it asked whether the region is fresh."""
    asked = str(table.step("split.init.1").to)

    @_new.step("split.start.known", at=asked, to="compare", text="adopted", when=lambda s: s.recover.fresh == 0)
    def known(_: Any) -> None:
        """The region has a version: it is adopted."""

    fresh = [Replace(s.id, {"when": lambda s: s.recover.fresh == 1}) for s in table.of("recover") if s.at == (asked,)]
    return [Replace("split.start.adopt", {"to": "init"}), *fresh, Add(in_("recover", known))]


def no_version(_: Table) -> list[Edit]:
    """Take a region of zeros for one that counts: there is no version, which the world sets here."""

    def begins(s: Any) -> None:
        s.recover.fresh = 1
        s.region.version = 1

    sentence = "The region is all zero: nobody reads version, so it counts from here on."
    return [
        Replace("split.start.fresh", {"do": begins, "world": True, "sentence": sentence}),
        Remove("split.init.2"), Remove("split.init.3"), Replace("split.start.adopt", {"to": "init"}),
    ]  # fmt: skip


def version_by_get(_: Table) -> list[Edit]:
    """Let the region count before the front-end has it; used_idx stays 0."""

    def initialised(s: Any) -> None:
        s.recover.fresh = 1
        s.region.version = 1
        s.region.desc_num = ENTRIES

    return [Replace("split.start.fresh", {"do": initialised})]


def fresh_by_counters(_: Table) -> list[Edit]:
    """Take a region in which every counter is 0 for a fresh one."""

    def compare(s: Any) -> None:
        unused = forall(ENTRIES, lambda h: s.region.desc[h].counter == 0)
        s.recover.mismatch = ite(any_of(unused, s.region.used_idx == s.used.idx), 0, 1)

    sentence = "Has an entry a counter, and does used_idx not match the idx value of the used ring?"
    return [Replace("split.reconnect.1", {"do": compare, "sentence": sentence})]


# Reconnecting


def clear_one(_: Table) -> list[Edit]:
    """Clear one entry, however many are in progress."""

    def one(s: Any) -> None:
        s.recover.left = 1
        s.recover.entry = s.region.last_batch_head

    def clear(s: Any) -> None:
        s.region.desc[s.recover.entry].inflight = 0
        s.recover.left = s.recover.left - 1

    return [
        Replace("split.reconnect.1a", {"do": one, "sentence": "One entry is in progress: last_batch_head."}),
        Replace("split.reconnect.1b", {"do": clear, "sentence": "Set the inflight field of that entry to 0."}),
    ]


def assert_one(_: Table) -> list[Edit]:
    """Abort where more than one is in progress: no step goes on there."""

    def one(s: Any) -> Term:
        return all_of(s.recover.mismatch == 1, wrap(s.used.idx - s.region.used_idx, 16) == 1)

    return [Replace("split.reconnect.1a", {"when": one})]


def commit_always(_: Table) -> list[Edit]:
    """Store used_idx where it matches, too."""

    def store(s: Any) -> None:
        s.region.used_idx = s.used.idx

    sentence = "They match, or the region is fresh: set used_idx all the same."
    return [Replace("split.reconnect.1.else", {"do": store, "sentence": sentence})]


def counter_of_all(_: Table) -> list[Edit]:
    """Go on past the greatest counter of all entries."""

    def restore(s: Any) -> None:
        s.counter = greatest(ENTRIES, lambda _: all_of(), lambda h: s.region.desc[h].counter + 1, 1)

    sentence = "Set the global counter past the greatest of all entries, inflight or not."
    return [Replace("split.counter", {"do": restore, "sentence": sentence})]


def own_still_counted(table: Table) -> list[Edit]:
    """Add the marks to what the process counts as in use already: nothing, where a process recovers once."""
    if "connection.kick" not in table.steps:
        return []

    def find(s: Any) -> None:
        marked = count(ENTRIES, lambda h: s.region.desc[h].inflight == 1)
        in_use = count(HEADS, lambda h: s.device.state[h] != 0)
        s.fetch.last_avail = wrap(s.used.idx + marked + in_use, 16)

    sentence = "Fetching goes on where the used ring is, plus what is inflight, plus what was in use before."
    return [Replace("split.position", {"do": find, "sentence": sentence})]


# Sorting

WINDOW = 2
"""The window of the comparison, 2048 in the source: scaled down, so that a search comes to its end."""


def _first_in_list(s: Any, one: Term, other: Term) -> Term:
    """Whether an entry stands before another in the list, which a merge sort of two entries makes of the comparison.

    The comparison says that the second's counter is greater by less than the window, or else that the first stands
    first; asked of two, the first is that of the smaller head.
    """
    mine, others = s.region.desc[one].counter, s.region.desc[other].counter
    less = all_of(others > mine, others - mine < WINDOW)
    more = all_of(mine > others, mine - others < WINDOW)
    return ite(one < other, negate(less), more)


def windowed(_: Table) -> list[Edit]:
    """Resubmit from the list's end, and go on with the counter of the entry that stands first, where it is in order."""

    def last(s: Any, i: Term) -> Term:
        others = forall(ENTRIES, lambda h: any_of(h == i, negate(pending(s, h)), _first_in_list(s, h, i)))
        return all_of(i < ENTRIES, pending(s, i), others)

    def restore(s: Any) -> None:
        def first(h: Term) -> Term:
            return forall(ENTRIES, lambda g: any_of(g == h, negate(pending(s, g)), _first_in_list(s, h, g)))

        s.counter = greatest(
            ENTRIES, lambda h: all_of(pending(s, h), first(h)), lambda h: s.region.desc[h].counter + 1, 0
        )

    return [
        Replace("split.counter", {"do": restore, "sentence": "Set the global counter past that of the list's first."}),
        Replace("split.reconnect.2", {"when": last, "sentence": "Resubmit the list's last entry."}),
    ]


# Starting


def _signal(table: Table, *after: str) -> list[Edit]:
    """Notify right after some steps, and no more when recovery ends."""
    always = {"at": ("signal",), "to": table.step(after[0]).to, "when": lambda _: all_of()}
    return [
        *(Replace(step_id, {"to": "signal"}) for step_id in after), Replace("split.reconnect.signal", always),
        Replace("split.reconnect.ready", {"at": ("resubmit",), "when": nothing_pending}),
    ]  # fmt: skip


def signal_before(table: Table) -> list[Edit]:
    """Notify once desc_num is stored, before anything is compared."""
    return _signal(table, "split.init.1")


def signal_first(table: Table) -> list[Edit]:
    """Notify before anything else."""
    return _signal(table, "split.start.fresh", "split.start.adopt")


def signal_before_resubmitting(table: Table) -> list[Edit]:
    """Notify once the list is made."""
    return _signal(table, "split.counter")


def kick_itself(_: Table) -> list[Edit]:
    """Write to the kick eventfd, and wait for it."""

    def ready(s: Any) -> None:
        s.kick = 1
        _rest(s)

    return [Replace("split.reconnect.ready", {"do": ready, "sentence": "Recovery ends; kick oneself, and wait."})]


def kick_if_adopted(_: Table) -> list[Edit]:
    """Write to the kick eventfd where the region was adopted; wait for a kick in either case."""

    def ready(s: Any) -> None:
        s.kick = ite(s.recover.fresh == 1, s.kick, 1)
        _rest(s)

    sentence = "Recovery ends; kick oneself if the region was adopted, and wait."
    return [Replace("split.reconnect.ready", {"do": ready, "sentence": sentence})]


def _rest(s: Any) -> None:
    s.fetch.at = "rest"
    s.fetch.seen_avail = s.fetch.last_avail
    s.supply.at = "idle"


_ENDS = ("split.reconnect.signal", "split.reconnect.ready")


def never_resubmitted(table: Table) -> list[Edit]:
    """Resubmit nothing."""
    return [
        Replace("split.reconnect.2", {"when": lambda _, i: i < 0, "sentence": "Nothing is resubmitted."}),
        *(Replace(s.id, {"when": lambda _: all_of()}) for s in table.of("recover") if s.id in _ENDS),
    ]


# Fetching


def arm_at_fetch(table: Table) -> list[Edit]:
    """Store avail_event at each fetch; when idle, look once and rest. Known requests are fetched without a look."""

    @_new.step("split.fetch.arm", text=_NOTE)
    def arm(s: Any) -> None:
        """Ask to be kicked for the request after this one."""
        s.used.avail_event = s.fetch.last_avail

    def known(s: Any) -> Term:
        return s.fetch.seen_avail == s.fetch.last_avail  # type: ignore[no-any-return]

    return [
        After("split.fetch.1", arm), Remove("split.idle.arm"),
        Replace("split.idle.look", {"at": ("take",), "to": "rest", "when": known,
                                    "sentence": "No request is known: read the idx value of the available ring."}),
        Replace("split.idle.wake", {"to": "take", "sentence": "Take the kick."}),
        Replace(table.step("split.fetch.submit").id, {"to": "take"}),
    ]  # fmt: skip


def arm_at_look(_: Table) -> list[Edit]:
    """Store avail_event at each look, for what was seen, until a second look sees no more; then fetch all of it."""

    @_new.step(
        "split.idle.again",
        at="looked",
        to="arm",
        text=_NOTE,
        when=lambda s: s.fetch.seen_avail != _event(s),
    )
    def again(_: Any) -> None:
        """There is more by now: ask again."""

    @_new.step(
        "split.idle.same",
        at="looked",
        to="take",
        text=_NOTE,
        when=lambda s: s.fetch.seen_avail == _event(s),
    )
    def same(_: Any) -> None:
        """There is no more: fetch what is there."""

    @_new.step(
        "split.idle.rest",
        at="take",
        to="rest",
        text=_NOTE,
        when=lambda s: s.fetch.seen_avail == s.fetch.last_avail,
    )
    def rest(_: Any) -> None:
        """All of it is fetched: wait for a kick."""

    def arm(s: Any) -> None:
        s.used.avail_event = s.fetch.seen_avail

    asks = {"at": ("arm",), "do": arm, "when": lambda _: all_of(), "sentence": "Ask to be kicked for what comes next."}
    return [
        Replace("split.fetch.look", {"to": "arm"}), Replace("split.idle.arm", asks),
        Replace("split.fetch.1", {"at": ("take",)}),
        Replace("split.idle.look", {"to": "looked"}), Replace("split.fetch.submit", {"to": "take"}),
        *(Add(in_("fetch", step)) for step in (again, same, rest)),
    ]  # fmt: skip


def _event(s: Any) -> Term:
    return s.used.avail_event  # type: ignore[no-any-return]


def one_at_a_time(_: Table) -> list[Edit]:
    """Fetch only where the one before was given back, and the driver was notified."""

    def nothing_in_hand(s: Any) -> Term:
        idle = any_of(s.supply.at == "idle", s.supply.at == "off")
        nothing = forall(HEADS, lambda h: s.device.state[h] == 0, lambda h: s.device.state[h])
        return all_of(s.supply.open == 0, idle, nothing)

    return [GuardOf("fetch", nothing_in_hand)]


# Supplying


def batch_of_one(_: Table) -> list[Edit]:
    """Publish each request before the next is given back."""
    return [Replace("split.supply.1", {"at": ("idle",)})]


def no_link(_: Table) -> list[Edit]:
    """Leave next as it is."""
    return [Remove("split.supply.2")]


def element_at_once(_: Table) -> list[Edit]:
    """Store the used element as a whole."""

    def write(s: Any) -> None:
        s.used.ring[used_slot(s)].id = s.supply.head
        s.used.ring[used_slot(s)].len = s.device.given[s.supply.head]

    sentence = "Write the used element, by one store."
    return [Replace("split.supply.id", {"do": write, "world": True, "sentence": sentence}), Remove("split.supply.len")]


def lead_first(table: Table) -> list[Edit]:
    """Set the head of the batch list before the used element is written; nothing is linked."""

    def lead(s: Any) -> None:
        s.region.last_batch_head = s.supply.head

    def write_len(s: Any) -> None:
        s.used.ring[used_slot(s)].len = s.device.given[s.supply.head]
        s.supply.count = s.supply.count + 1

    begin, then = table.step("split.supply.id").at, table.step("split.supply.3")
    return [
        Replace("split.supply.id", {"at": then.at}), Replace("split.supply.len", {"to": then.to, "do": write_len}),
        Replace("split.supply.3", {"at": begin, "to": then.at[0], "do": lead}),
    ]  # fmt: skip
