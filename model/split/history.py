"""History of the split ring: what happened to which request. No program has it, no step reads it."""

from __future__ import annotations

from typing import Any

from model.both.words import DEAD, RUNNING, WORKING
from model.record import assign_initial
from model.split.variables import VARS
from model.steps import History
from model.terms import Term, all_of, any_of, exists, ite, place, slot

__all__ = ["history", "shown"]

history = History()


@history.on("driver.make.1", "driver.make.2", "driver.sleep.1")
def disturbed(s: Any, *_: Term) -> None:
    """The driver has done something; it matters to `restartable` while there is a recovery."""
    s.history.undisturbed = ite(any_of(s.recover.at == DEAD, s.recover.at == RUNNING), 1, 0)


@history.on("split.reconnect.ready")
def recovered(s: Any) -> None:
    """This recovery has ended."""
    s.history.undisturbed = 1


@history.on("driver.make.3")
def made_available(s: Any) -> None:
    """The head now stands for a new request."""
    disturbed(s)
    s.history.made[s.driver.head] = s.history.avail_pos
    s.history.content[s.driver.head] = s.table[s.driver.head]
    s.history.avail_pos = s.history.avail_pos + 1


@history.on("split.fetch.1")
def fetched(s: Any) -> None:
    """The back-end has taken the request that the head stands for now."""
    head = s.avail.ring[slot(s.fetch.last_avail)]
    s.history.got[head] = s.history.made[head]


def shown(s: Any, h: Term) -> Term:
    """Whether the elements that are about to be published name the head."""
    start = s.history.used_pos
    return exists(start + s.supply.count, lambda p: s.used.ring[place(p)].id == h, low=start)


@history.on("split.supply.5")
def published(s: Any) -> None:
    """What the published elements name is visible as used, whatever the back-end meant."""
    s.history.done.each(lambda h: ite(shown(s, h), s.history.got[h], s.history.done[h]))
    s.history.used_pos = s.history.used_pos + s.supply.count


@history.on("driver.use")
def seen(s: Any) -> None:
    """The driver has read one more used element."""
    s.history.seen_pos = s.history.seen_pos + 1


def _given(s: Any, h: Term) -> None:
    s.history.in_order = ite(all_of(s.history.in_order == 1, s.history.last_given < s.history.got[h]), 1, 0)
    s.history.last_given = s.history.got[h]
    s.history.finished[h] = 0
    s.history.twice[h] = ite(s.device.state[h] == WORKING, 1, s.history.twice[h])


@history.on("split.fetch.submit")
def given(s: Any) -> None:
    """The device has got the request."""
    _given(s, s.fetch.head)


@history.on("split.reconnect.2")
def given_again(s: Any, i: Term) -> None:
    """The device has got the request again."""
    _given(s, i)


@history.on("device.finish")
def finished(s: Any, i: Term) -> None:
    """The device has finished the request."""
    s.history.finished[i] = 1


@history.on("crash")
def died(s: Any) -> None:
    """The next process starts with nothing given."""
    s.history.last_given = -1
    s.history.in_order = 1
    s.history.undisturbed = 1
    s.history.twice.each(lambda _: 0)
    s.history.finished.each(lambda _: 0)


@history.on("driver.reset", "connection.reset")
def forgotten(s: Any) -> None:
    """A new ring: nothing has happened on it."""
    assign_initial(s, [v.name for v in VARS.values() if v.kind == "ghost"])
