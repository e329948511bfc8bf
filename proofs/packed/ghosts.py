"""Ghost state that only the packed ring's proof needs, attached to step ids: positions, the free list, sums.

The free list is a stack: `proof.place` numbers its entries from the end of the list (0) to its head, `proof.depth` is
how many are on the list that old_free_head leads, `proof.top` on that which free_head leads while a batch is built, and
`proof.fill` how many are left while a chain is fetched. `proof.phase` says how far a batch has come in the region:

    0 used_idx and old_used_idx name the first slot that is not visible
    1, 2 used_idx, then used_wrap_counter has moved: the batch is not published
    3 published; 4 old_free_head, 5 old_used_idx has followed (then 0 again)
    6 rolling back: used_idx is back, used_wrap_counter not yet
    7 as 5, where old_used_wrap_counter follows before old_used_idx
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from model.both.words import ENTRIES, FIRST
from model.record import State, Var, Vars, assign_initial
from model.steps import History, Table
from model.terms import Operand, Term, all_of, any_of, ite
from proofs.induction import stopped
from proofs.induction.ordered import used_in_order
from proofs.packed import in_order
from proofs.packed.words import counts_inflight

__all__ = ["GHOSTS", "with_ghosts"]

GHOSTS: tuple[Var, ...] = (
    Var("proof.marked_pos", "ghost", 0, "position of the next request to be fetched whole", initial=FIRST),
    Var("proof.live", "ghost", 0, "1: the entry's request is fetched whole and not visible", "heads"),
    Var("proof.owner", "ghost", 0, "the live request in whose chain the entry is; -1: none", "heads", -1),
    Var("proof.entry", "ghost", 0, "the entry to which the id's request was fetched", "heads", -1),
    Var("proof.used_at", "ghost", 0, "position of the used element that last named the id", "heads", -1),
    Var("proof.place", "ghost", 0, "place on the free list, from its end; -1: none", "heads", -1),
    Var("proof.depth", "ghost", 0, "entries on the list that old_free_head leads"),
    Var("proof.top", "ghost", 0, "entries on the list that free_head leads, but for a chain that is being fetched"),
    Var("proof.fill", "ghost", 0, "entries on the list that are left while a chain is fetched"),
    Var("proof.phase", "ghost", 0, "how far a batch has come in the region"),
    Var("proof.slots", "ghost", 0, "slots of that batch"),
    Var("proof.kept_head", "ghost", 0, "what free_head is when recovery ends"),
    Var("proof.in_batch", "ghost", 0, "1: the request is in the batch that is open", "heads"),
    Var("proof.batch_place", "ghost", 0, "its place there", "heads"),
    Var("proof.live_sum", "ghost", 0, "slots of the live requests in the entries below", "sums"),
    Var("proof.rest_sum", "ghost", 0, "the same, without the batch that is being built", "sums"),
    Var("proof.working_sum", "ghost", 0, "entries below that the device works on", "sums"),
    Var("proof.resubmitted_sum", "ghost", 0, "entries below that this recovery has resubmitted", "sums"),
)

INFLIGHT_SUM = Var("proof.inflight_sum", "ghost", 0, "entries below that are marked inflight", "sums")
"""Where the global counter goes on at how many are inflight, the number of those."""

_extra = History()


def _count(array: Any, e: Operand, by: Operand) -> None:
    """Add to a sum from the entry on."""
    array.each(lambda k: ite(e < k, array[k] + by, array[k]))


@_extra.on("packed.init.5")
def initialised(s: Any) -> None:
    """All entries are free."""
    s.proof.place.each(lambda x: ENTRIES - 1 - x)
    s.proof.depth = ENTRIES
    s.proof.top = ENTRIES
    s.proof.fill = ENTRIES


@_extra.on("packed.fetch.6")
def copied(s: Any) -> None:
    """One entry fewer is left."""
    s.proof.fill = s.proof.fill - 1


@_extra.on("packed.fetch.7")
def taken(s: Any) -> None:
    """The request is fetched whole: its entries are not free any more."""
    head = s.region.old_free_head
    num = s.region.desc[head].num
    s.proof.owner.each(
        lambda x: ite(all_of(s.proof.place[x] >= s.proof.fill, s.proof.owner[x] == -1), head, s.proof.owner[x])
    )
    s.proof.place.each(lambda x: ite(s.proof.place[x] >= s.proof.fill, -1, s.proof.place[x]))
    s.proof.depth = s.proof.fill
    s.proof.top = s.proof.fill
    s.proof.kept_head = s.region.free_head
    s.proof.marked_pos = s.proof.marked_pos + num
    s.proof.live[head] = 1
    s.proof.entry[s.history.who[head]] = head
    _count(s.proof.live_sum, head, num)
    _count(s.proof.rest_sum, head, num)


@_extra.on("packed.supply.1")
def batch_begins(s: Any) -> None:
    """With the first request of a batch a new one begins."""
    new = s.supply.open == 0
    s.proof.in_batch.each(lambda e: ite(new, 0, s.proof.in_batch[e]))


@_extra.on("packed.supply.id")
def element_written(s: Any) -> None:
    """The id's used element has a position."""
    s.proof.used_at[s.history.who[s.supply.head]] = s.history.used_pos + s.supply.slots


@_extra.on("packed.supply.4")
def pushed(s: Any) -> None:
    """The chain leads the list."""
    e = s.supply.head
    num = s.region.desc[e].num
    s.proof.place.each(lambda x: ite(s.proof.owner[x] == e, s.proof.top + num - 1 - s.history.nth[x], s.proof.place[x]))
    s.proof.top = s.proof.top + num
    s.proof.in_batch[e] = 1
    s.proof.batch_place[e] = s.supply.count
    _count(s.proof.rest_sum, e, 0 - num)


@_extra.on("packed.supply.6a")
def moved_idx(s: Any) -> None:
    """used_idx is past the batch."""
    s.proof.phase = 1
    s.proof.slots = s.supply.slots


@_extra.on("packed.supply.6b", "packed.supply.6b.else")
def moved_wrap(s: Any) -> None:
    """So is used_wrap_counter."""
    s.proof.phase = 2


@_extra.on("packed.supply.7")
def published(s: Any) -> None:
    """With the flags of the first used element the batch is visible."""
    now = s.supply.cursor == 1
    batch = s.proof.in_batch
    s.proof.phase = ite(now, 3, s.proof.phase)
    s.proof.live_sum.each(lambda k: ite(now, s.proof.rest_sum[k], s.proof.live_sum[k]))
    s.proof.owner.each(
        lambda x: ite(all_of(now, s.proof.owner[x] >= 0, batch[s.proof.owner[x]] == 1), -1, s.proof.owner[x])
    )
    s.proof.live.each(lambda e: ite(all_of(now, batch[e] == 1), 0, s.proof.live[e]))
    s.proof.kept_head = ite(now, s.region.free_head, s.proof.kept_head)


@_extra.on("packed.supply.9a", "packed.reconnect.1c1")
def settled_head(s: Any) -> None:
    """old_free_head leads the whole list."""
    s.proof.depth = s.proof.top
    s.proof.fill = s.proof.top
    s.proof.phase = ite(s.proof.phase == 3, 4, s.proof.phase)


@_extra.on("packed.supply.9b", "packed.reconnect.1c2")
def settled_idx(s: Any) -> None:
    """old_used_idx names the first slot that is not visible."""
    s.proof.phase = ite(s.proof.phase == 4, 5, s.proof.phase)


def settled_idx_last(s: Any) -> None:
    """old_used_idx names the first slot that is not visible, as old_used_wrap_counter does, or will."""
    s.proof.phase = ite(s.proof.phase == 4, 5, ite(s.proof.phase == 7, 0, s.proof.phase))


def settled_wrap_first(s: Any) -> None:
    """old_used_wrap_counter is that of the first slot that is not visible; old_used_idx is not there yet."""
    s.proof.phase = 7


def settled_at_once(s: Any) -> None:
    """All three fields have followed by one store."""
    s.proof.depth = s.proof.top
    s.proof.fill = s.proof.top
    s.proof.phase = 0


def moved_at_once(s: Any) -> None:
    """Slot and wrap counter are past the batch by one store."""
    s.proof.phase = 2
    s.proof.slots = s.supply.slots


def rolled_back_at_once(s: Any) -> None:
    """All three fields are back by one store."""
    rolled_back(s)
    s.proof.phase = 0


def written_with_flags(s: Any) -> None:
    """The used element of the request whose flags come next has a position."""
    number = s.supply.cursor - 1
    s.proof.used_at[s.history.who[s.supply.batch[number]]] = s.history.used_pos + s.supply.offset[number]


@_extra.on("packed.supply.9c", "packed.reconnect.1c3")
def settled_wrap(s: Any) -> None:
    """So does old_used_wrap_counter."""
    s.proof.phase = 0


@_extra.on("packed.reconnect.1.else")
def nothing_in_progress(s: Any) -> None:
    """Slots and wrap counters agree, so whatever had moved stands for the same slot."""
    s.proof.phase = 0


@_extra.on("packed.reconnect.2a")
def rolled_back(s: Any) -> None:
    """free_head leads what old_free_head leads."""
    s.proof.place.each(lambda x: ite(s.proof.place[x] >= s.proof.depth, -1, s.proof.place[x]))
    s.proof.top = s.proof.depth
    s.proof.fill = s.proof.depth


@_extra.on("packed.reconnect.2b")
def rolled_back_idx(s: Any) -> None:
    """used_idx is back."""
    s.proof.phase = ite(any_of(s.proof.phase == 1, s.proof.phase == 0), 0, 6)


@_extra.on("packed.reconnect.2c")
def rolled_back_wrap(s: Any) -> None:
    """So is used_wrap_counter."""
    s.proof.phase = 0


@_extra.on("packed.fetch.submit")
def working(s: Any) -> None:
    """The device works on the request."""
    _count(s.proof.working_sum, s.fetch.head, 1)


@_extra.on("packed.reconnect.4")
def begun_again(s: Any, e: Term) -> None:
    """The request is being resubmitted."""
    _count(s.proof.resubmitted_sum, e, 1)


@_extra.on("packed.reconnect.4.submit")
def working_again(s: Any) -> None:
    """The device works on the request again."""
    _count(s.proof.working_sum, s.recover.head, 1)


@_extra.on("device.finish")
def finished(s: Any, e: Term) -> None:
    """The device does not work on the request any more."""
    _count(s.proof.working_sum, e, -1)


@_extra.on("crash")
def died(s: Any) -> None:
    """A batch that was being built is forgotten, a chain that was being fetched too; nobody works on any request."""
    s.proof.working_sum.each(lambda _: 0)
    s.proof.resubmitted_sum.each(lambda _: 0)
    s.proof.rest_sum.each(lambda k: s.proof.live_sum[k])
    s.proof.in_batch.each(lambda _: 0)
    s.proof.fill = s.proof.depth


@_extra.on("driver.reset", "connection.reset")
def forgotten(s: State) -> None:
    """A new ring and a new region."""
    assign_initial(s, [v.name for v in GHOSTS])


def moved(s: State) -> None:
    """A new region, when all is complete: there is no free list yet."""
    names = ("place", "depth", "top", "fill", "kept_head", "in_batch", "batch_place")
    assign_initial(s, [f"proof.{name}" for name in names])


def taken_back(s: Any) -> None:
    """The batch that was being built is no batch, and its chains are off the list."""
    rolled_back(s)
    s.proof.rest_sum.each(lambda k: s.proof.live_sum[k])
    s.proof.in_batch.each(lambda _: 0)


WITH_CHOICE = ("packed.reconnect.4", "device.finish")
"""The steps whose choice the ghost state needs."""


def _both(first: Callable[..., None], second: Callable[..., None]) -> Callable[..., None]:
    def both(s: State, *args: Term) -> None:
        first(s, *args)
        second(s, *args)

    return both


def _ignoring(effect: Callable[..., None]) -> Callable[..., None]:
    def without_choice(s: State, *_: Term) -> None:
        effect(s)

    return without_choice


def _marked(s: Any) -> None:
    _count(s.proof.inflight_sum, s.region.old_free_head, 1 - s.region.desc[s.region.old_free_head].inflight)


def _given_back(s: Any) -> None:
    e = s.supply.batch[s.supply.cursor]
    _count(s.proof.inflight_sum, e, 0 - s.region.desc[e].inflight)


def _cleared(s: Any) -> None:
    _count(s.proof.inflight_sum, s.recover.entry, 0 - s.region.desc[s.recover.entry].inflight)


def _all_gone(s: State) -> None:
    forgotten(s)
    assign_initial(s, [INFLIGHT_SUM.name])


_COUNTED: dict[str, Callable[..., None]] = {
    "packed.fetch.2b": _marked, "packed.supply.8": _given_back, "packed.reconnect.3": _cleared,
    "driver.reset": _all_gone, "connection.reset": _all_gone,
}  # fmt: skip
"""What changes the number of marks; no other ghost turns on the first three."""


def _effects(table: Table) -> dict[str, Callable[..., None]]:
    """Give what each step does to the ghosts; where one store does what several do, all of it has happened."""
    effects = dict(_extra.effects)
    for both, last in (("packed.supply.9b", "packed.supply.9c"), ("packed.reconnect.1c2", "packed.reconnect.1c3")):
        if last not in table.steps:
            effects[both] = effects[last]
    if "packed.supply.9b" not in table.steps:
        effects["packed.supply.9a"] = effects["packed.reconnect.1c1"] = settled_at_once
        effects["packed.supply.6a"], effects["packed.reconnect.2a"] = moved_at_once, rolled_back_at_once
    elif (
        "packed.supply.9c" in table.steps and table.step("packed.supply.9a").to == table.step("packed.supply.9c").at[0]
    ):
        effects["packed.supply.9b"] = effects["packed.reconnect.1c2"] = settled_idx_last
        effects["packed.supply.9c"] = settled_wrap_first
    if table.step("packed.supply.id").at == ("flags",):
        effects["packed.supply.id"] = written_with_flags
    effects |= _COUNTED if counts_inflight(table) else {}
    return effects | stopped.ghosts(table, effects, moved, taken_back)


def with_ghosts(table: Table) -> Table:
    """Add the proof's ghost state to a table."""
    effects, history = _effects(table), dict(table.history)
    more: tuple[Var, ...] = (INFLIGHT_SUM,) if counts_inflight(table) else ()
    for step_id, effect in effects.items():
        if step_id not in table.steps:
            continue
        wanted = effect if step_id in WITH_CHOICE else _ignoring(effect)
        history[step_id] = _both(history[step_id], wanted) if step_id in history else wanted
    if used_in_order(table):
        more += in_order.GHOSTS
        for step_id, effect in in_order.effects(gathered=table.step("packed.supply.id").at == ("more",)).items():
            history[step_id] = _both(history[step_id], effect) if step_id in history else effect
    return replace(table, vars=Vars(*table.vars.values(), *GHOSTS, *more), history=history)
