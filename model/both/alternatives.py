"""The alternatives that are the same on both rings, as edits of either table. model.both.gaps says what each means.

A step's id begins with its ring's name, so each function here asks the table which ring it is of.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from model.both.counters import first_counter, pending
from model.both.words import ENTRIES, RUNNING
from model.record import State, assign_initial
from model.steps import Add, Edit, GuardOf, Procedure, Remove, Replace, Step, Table
from model.terms import Term, all_of, any_of, count, forall, negate

__all__ = [
    "always", "counter_count", "counter_one", "counter_zero", "device_greatest", "device_last", "every_kick", "in_",
    "never_signal", "new", "nothing_pending", "region_kept", "region_kept_alive", "signal_on_mismatch", "until_publish",
]  # fmt: skip

new = Procedure("gaps")
"""Where steps that only gaps have are declared; `in_` then says of which procedure each is."""


def in_(procedure: str, step: Step) -> Step:
    """Give the step as one of a procedure."""
    return replace(step, procedure=procedure)


# counters


def counter_one(table: Table) -> list[Edit]:
    """Let the counter begin with 1."""

    def restore(s: Any) -> None:
        s.counter = first_counter(s, 1)

    return [Replace(f"{table.ring}.counter", {"do": restore})]


def counter_zero(table: Table) -> list[Edit]:
    """Let the counter begin again at 0."""

    def restore(s: Any) -> None:
        s.counter = 0

    sentence = "Set the global counter to 0."
    return [Replace(f"{table.ring}.counter", {"do": restore, "sentence": sentence})]


def counter_count(table: Table) -> list[Edit]:
    """Let the counter go on at the number of inflight entries."""

    def restore(s: Any) -> None:
        s.counter = count(ENTRIES, lambda h: s.region.desc[h].inflight == 1)

    sentence = "Set the global counter to the number of inflight entries."
    return [Replace(f"{table.ring}.counter", {"do": restore, "sentence": sentence})]


@new.step("queue.other", choice="head", text="gap counter-scope", when=lambda s, _: s.recover.at == RUNNING)
def other_queue(s: Any, i: Term) -> None:
    """Another queue of the device fetches, and counts on in the same counter."""
    s.counter = s.counter + 1 + i


@new.step("queue.other", choice="head", text="gap counter-scope", when=lambda s, _: s.recover.at == RUNNING)
def recovered_later(s: Any, i: Term) -> None:
    """Another queue of the device recovers after this one, and sets the counter past its own entries alone."""
    s.counter = i


def device_greatest(_: Table) -> list[Edit]:
    """Have one counter for the device, which recovery never lowers."""
    return [Add(in_("device", other_queue))]


def device_last(_: Table) -> list[Edit]:
    """Have one counter for the device, set by the queue that recovers last."""
    return [Add(in_("device", recovered_later))]


# fetch-in-batch


def until_publish(_: Table) -> list[Edit]:
    """Fetch as long as the batch is not published."""
    return [GuardOf("fetch", lambda s: s.supply.open < 2)]


def always(_: Table) -> list[Edit]:
    """Fetch whenever there is something."""
    return [GuardOf("fetch", lambda _: all_of())]


# signal-at-start


def nothing_pending(s: Any) -> Term:
    """Whether nothing is left to resubmit."""
    return forall(ENTRIES, lambda h: negate(pending(s, h)))


def never_signal(table: Table) -> list[Edit]:
    """Let recovery not notify."""
    return [
        Remove(f"{table.ring}.reconnect.signal"),
        Replace(f"{table.ring}.reconnect.ready", {"at": ("resubmit",), "when": nothing_pending}),
    ]


def signal_on_mismatch(table: Table) -> list[Edit]:
    """Let recovery notify only where it found a batch in progress."""
    at = {
        "at": ("resubmit", "signalled"),
        "when": lambda s: any_of(s.recover.at == "signalled", all_of(s.recover.mismatch == 0, nothing_pending(s))),
    }
    mismatch = {"when": lambda s: all_of(s.recover.mismatch == 1, nothing_pending(s))}
    return [
        Replace(f"{table.ring}.reconnect.ready", at),
        Replace(f"{table.ring}.reconnect.signal", mismatch),
    ]


# recovery-start, reset


@new.step(
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
    """Let every kick fd start recovery."""
    return [Add(in_("crash", second_kick_fd))]


def region_kept(table: Table) -> list[Edit]:
    """Keep the region when the VM resets."""

    def reset(s: State) -> None:
        assign_initial(s, [v.name for v in table.vars.values() if v.kind in ("ring", "eventfd", "driver")])

    sentence = "The VM resets: a new driver and ring, the old region."
    return [Replace("driver.reset", {"do": reset, "sentence": sentence})]


def region_kept_alive(table: Table) -> list[Edit]:
    """Keep the region when the VM resets and a back-end that lives is told."""

    def reset(s: State) -> None:
        assign_initial(s, [v.name for v in table.vars.values() if v.kind not in ("ghost", "region")])

    sentence = "The VM resets, and a back-end that lives is told: its rings stop; a new driver, the old region."
    return [Replace("connection.reset", {"do": reset, "sentence": sentence})]
