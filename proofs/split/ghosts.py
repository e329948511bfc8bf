"""Ghost state that only the proof needs, attached to step ids: positions, the batch list's places, sums.

The model keeps history (what happened); this keeps what makes history easy to speak of for a solver. Like history, no
step reads it, and the interpreter runs it too, so that the invariant can be evaluated on concrete runs.

A sum over the heads is kept as an array: ``sum[k]`` counts the flagged heads below ``k``. The invariant says, for each
head, that the next element is one more exactly if the head is flagged, so that the last element is the whole sum.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from model.both.words import FIRST, WORKING
from model.record import State, Var, Vars, assign_initial
from model.steps import History, Table
from model.terms import Operand, Term, ite
from proofs.induction import stopped
from proofs.split import in_order, plain
from proofs.split.differs import Differs

__all__ = ["GHOSTS", "with_ghosts"]

GHOSTS: tuple[Var, ...] = (
    Var("proof.marked_pos", "ghost", 0, "position of the next request to be marked inflight", initial=FIRST),
    Var("proof.marked", "ghost", 0, "position of the request for which the entry was last marked", "heads", -1),
    Var("proof.seen_avail_pos", "ghost", 0, "the position that fetch.seen_avail stands for", initial=FIRST),
    Var("proof.settled_pos", "ghost", 0, "the position that region.used_idx stands for", initial=FIRST),
    Var("proof.in_list", "ghost", 0, "1: the entry is on the batch list", "heads"),
    Var("proof.place", "ghost", 0, "its place on the batch list, from the end", "heads"),
    Var("proof.list_at", "ghost", 0, "the entry at a place of the batch list", "heads"),
    Var("proof.length", "ghost", 0, "entries on the batch list"),
    Var("proof.used_at", "ghost", 0, "position of the used element that last named the head", "heads", -1),
    Var("proof.live_sum", "ghost", 0, "entries below that are fetched and not visible", "sums"),
    Var("proof.rest_sum", "ghost", 0, "the same, without the batch that is being built", "sums"),
    Var("proof.working_sum", "ghost", 0, "heads below that the device works on", "sums"),
    Var("proof.resubmitted_sum", "ghost", 0, "heads below that this recovery has resubmitted", "sums"),
    Var("proof.waiting_sum", "ghost", 0, "heads below whose request waits to be fetched", "sums"),
)

_extra = History()


def _count(array: Any, head: Operand, by: Operand) -> None:
    """Count a head in (+1) or out (-1) of a sum."""
    array.each(lambda k: ite(head < k, array_at(array, k) + by, array_at(array, k)))


def array_at(array: Any, k: Term) -> Term:
    """Read an element."""
    return array[k]  # type: ignore[no-any-return]


@_extra.on("driver.make.3")
def made_available(s: Any) -> None:
    """The request waits."""
    _count(s.proof.waiting_sum, s.driver.head, 1)


@_extra.on("split.fetch.look", "split.idle.look")
def looked(s: Any) -> None:
    """The back-end knows of all requests that are available now."""
    s.proof.seen_avail_pos = s.history.avail_pos


@_extra.on("split.reconnect.ready")
def nothing_seen(s: Any) -> None:
    """The back-end knows of no request that it has not resubmitted."""
    s.proof.seen_avail_pos = s.proof.marked_pos


@_extra.on("split.fetch.2")
def marked(s: Any) -> None:
    """The request is inflight, and waits no more."""
    head = s.fetch.head
    s.proof.marked[head] = s.history.made[head]
    s.proof.marked_pos = s.proof.marked_pos + 1
    _count(s.proof.waiting_sum, head, -1)
    _count(s.proof.live_sum, head, 1)
    _count(s.proof.rest_sum, head, 1)


@_extra.on("split.supply.1")
def batch_begins(s: Any) -> None:
    """With the first request of a batch a new list begins."""
    new = s.supply.open == 0
    s.proof.in_list.each(lambda h: ite(new, 0, s.proof.in_list[h]))
    s.proof.length = ite(new, 0, s.proof.length)


@_extra.on("split.supply.id")
def element_written(s: Any) -> None:
    """The head's used element has a position."""
    s.proof.used_at[s.supply.head] = s.history.used_pos + s.supply.count


@_extra.on("split.supply.3")
def listed(s: Any) -> None:
    """The entry leads the batch list."""
    head = s.supply.head
    s.proof.in_list[head] = 1
    s.proof.place[head] = s.supply.count
    s.proof.list_at[s.supply.count] = head
    s.proof.length = s.supply.count + 1
    _count(s.proof.rest_sum, head, -1)


@_extra.on("split.supply.5")
def published(s: Any) -> None:
    """The batch is visible."""
    s.proof.live_sum.each(lambda k: s.proof.rest_sum[k])


@_extra.on("split.init.2", "split.reconnect.1c", "split.supply.7")
def settled(s: Any) -> None:
    """region.used_idx stands for the present position."""
    s.proof.settled_pos = s.history.used_pos


@_extra.on("split.fetch.submit")
def working(s: Any) -> None:
    """The device works on the request."""
    _count(s.proof.working_sum, s.fetch.head, 1)


@_extra.on("split.reconnect.2")
def working_again(s: Any, head: Term) -> None:
    """The device works on the request again."""
    _count(s.proof.working_sum, head, 1)
    _count(s.proof.resubmitted_sum, head, 1)


@_extra.on("device.finish")
def finished(s: Any, head: Term) -> None:
    """The device does not work on the request any more."""
    _count(s.proof.working_sum, head, -1)


@_extra.on("crash")
def died(s: Any) -> None:
    """A batch that was being built is forgotten: its requests are inflight like the others; nobody works on any."""
    s.proof.working_sum.each(lambda _: 0)
    s.proof.resubmitted_sum.each(lambda _: 0)
    s.proof.rest_sum.each(lambda k: s.proof.live_sum[k])


@_extra.on("driver.reset", "connection.reset")
def forgotten(s: State) -> None:
    """A new ring and a new region."""
    assign_initial(s, [v.name for v in GHOSTS])


def moved(s: Any) -> None:
    """A new region, when all is complete."""
    s.proof.in_list.each(lambda _: 0)
    s.proof.length = 0
    s.proof.settled_pos = s.history.used_pos


def taken_back(s: Any) -> None:
    """The batch that was being built is no batch."""
    s.proof.rest_sum.each(lambda k: s.proof.live_sum[k])


def _otherwise(table: Table) -> dict[str, Callable[..., None]]:
    """Give what differs in ghost state where the choices of gaps do."""
    differs, found = Differs(table), dict[str, Callable[..., None]]()

    def element_in_loop(s: Any) -> None:
        s.proof.used_at[s.supply.batch[s.supply.cursor]] = s.history.used_pos + s.supply.cursor

    def stands_for_nothing(s: Any) -> None:
        s.proof.settled_pos = 0

    def passed_over(s: Any) -> None:
        s.proof.marked_pos = s.history.avail_pos

    def nothing_resubmitted(s: Any) -> None:
        s.proof.resubmitted_sum.each(lambda _: 0)

    def given_again(s: Any, head: Term) -> None:
        _count(s.proof.working_sum, head, ite(s.device.state[head] == WORKING, 0, 1))
        _count(s.proof.resubmitted_sum, head, 1)

    if differs.elements_last:
        found["split.supply.id"] = element_in_loop
    if differs.stale:
        begins = "split.init.3" if "split.init.3" in table.steps else "split.start.fresh"
        found[begins] = stands_for_nothing
    if differs.skips:
        found["split.position"] = passed_over
    if differs.again:
        found |= {"connection.kick": nothing_resubmitted, "split.reconnect.2": given_again}
    return found | _of_profiles(differs)


def _of_profiles(differs: Differs) -> dict[str, Callable[..., None]]:
    """Give what differs where other people's back-ends store in another order."""
    found = dict[str, Callable[..., None]]()
    if differs.lead_first:
        found |= {"split.supply.3": lambda _: None, "split.supply.len": listed}
    if differs.commits_always:
        found["split.reconnect.1.else"] = settled
    return found


WITH_CHOICE = ("split.reconnect.2", "device.finish")
"""The steps whose choice the ghost state needs."""


def _both(first: Callable[..., None], second: Callable[..., None]) -> Callable[..., None]:
    def both(s: State, *args: Term) -> None:
        first(s, *args)
        second(s, *args)

    return both


def with_ghosts(table: Table) -> Table:
    """Add the proof's ghost state to a table."""
    history, differs = dict(table.history), Differs(table)
    ordered = differs.in_order and not differs.astray
    more = in_order.GHOSTS if ordered else ()
    if differs.astray:
        own = plain.effects(table)
    else:
        own = _extra.effects | _otherwise(table)
        own |= stopped.ghosts(table, own, moved, taken_back)
    for step_id, effect in own.items():
        if step_id not in table.steps:
            continue
        wanted = effect if step_id in WITH_CHOICE else _ignoring(effect)
        history[step_id] = _both(history[step_id], wanted) if step_id in history else wanted
    for step_id, effect in (in_order.effects(gathered=differs.gathered) if ordered else {}).items():
        history[step_id] = _both(history[step_id], effect) if step_id in history else effect
    return replace(table, vars=Vars(*table.vars.values(), *GHOSTS, *more), history=history)


def _ignoring(effect: Callable[..., None]) -> Callable[..., None]:
    def without_choice(s: State, *_: Term) -> None:
        effect(s)

    return without_choice
