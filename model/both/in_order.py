"""In-order use (VIRTIO_F_IN_ORDER), as edits of either ring's table: what both rings share.

The back-end gives requests back in the order in which it gave them to the device, and may tell of several by one used
element, that of the last of them. The driver reads an element, and then frees one request after the other, in the order
in which it made them available, up to the one that the element names.

Which request is next is not told to the back-end: it keeps a queue of what its process gave to the device (`TURN`),
which dies with it, and which a recovery begins anew as it resubmits. The device finishes in any order, as everywhere;
what is finished waits for its turn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from model.both.words import HEADS
from model.gaps import Edits
from model.record import State, Var, assign_initial
from model.steps import Add, Declare, Edit, Guard, HistoryOf, Procedure, Replace, Table
from model.terms import ModelError, Operand, Term, all_of, count, ite, negate

__all__ = ["MEANINGS", "NEVER", "Driver", "Effect", "in_order", "one_link", "then"]

Effect = Callable[..., None]

NEVER = "not-negotiated"

TURN = Var("device.turn", "volatile", 16, "in-order: as which one it is to be given back, 1 next; 0: no turn", "heads")
NAMED = Var("driver.named", "driver", 16, "in-order: the request that the used element in hand names")

MEANINGS: Mapping[str, str] = {
    "elements": "requests are given back in order, each with its used element, as the text supplies",
    "one-element": "a batch has one used element, that of its last request; each entry is linked and cleared",
    "one-element-all-flags": "likewise, and the flags of each request's first slot are updated, as step 7 says",
    "one-link": "a batch has one used element, and the entry of the request that it names is linked alone",
    "one-entry": "likewise, and that entry alone is cleared, too",
    "one-count": "a batch has one used element, and counts as one: the index moves by that request alone",
    "table-order": "as one-element, but recovery resubmits in the order of the table, as v6 does",
    "from-ring": "as one-element, but recovery resubmits nothing: what is in flight is fetched from the ring again",
}
"""What each choice means, by name; a ring has those that say something of it."""


@dataclass(frozen=True)
class Driver:
    """How a ring's driver takes what is used.

    `element`: the request that the next used element names; `first`: the next one in the order in which they were made
    available, and `none` whether there is none; `free`: free it; `seen`: history of that; `variables`: what it keeps.
    """

    element: Guard
    first: Guard
    none: Guard
    free: Effect
    seen: Effect
    variables: tuple[Var, ...] = ()


_rest = Procedure("rest")


def then(table: Table, step_id: str, effect: Effect, **changes: Any) -> Replace:
    """Let a step do something besides, with its choice where it has one."""
    step = table.step(step_id)

    def do(s: State, *args: Term) -> None:
        step.do(s, *args)
        effect(s, *args)

    return Replace(step_id, {"do": do, **changes})


def _queues(table: Table, given: Mapping[str, Callable[..., Term]]) -> list[Edit]:
    """Let the back-end keep the queue: at its end what the device gets, from its beginning what is given back."""

    def at_the_end(request: Callable[..., Term]) -> Effect:
        def give(s: Any, *args: Term) -> None:
            h = request(s, *args)
            waiting = count(HEADS, lambda x: s.device.turn[x] > 0)
            s.device.turn[h] = ite(s.device.turn[h] == 0, waiting + 1, s.device.turn[h])

        return give

    def next_one(s: Any, _: Term) -> None:
        s.device.turn.each(lambda x: ite(s.device.turn[x] == 0, 0, s.device.turn[x] - 1))

    taking = table.step(f"{table.ring}.supply.1")

    def its_turn(s: Any, i: Term) -> Term:
        return all_of(taking.when(s, i), s.device.turn[i] == 1)

    said = "Get a request that is finished, and whose turn it is: the one that the device was given first."
    return [
        *(then(table, step_id, at_the_end(request)) for step_id, request in given.items()),
        then(table, taking.id, next_one, when=its_turn, sentence=said),
    ]


def _takes(driver: Driver) -> list[Edit]:
    """Let the driver read an element first, and then free one request after the other."""

    def read(s: Any) -> None:
        s.driver.named = driver.element(s)

    def frees(s: Any, last: bool) -> Operand:
        same = driver.first(s) == s.driver.named
        return all_of(negate(driver.none(s)), same if last else negate(same))  # type: ignore[arg-type]

    virtio = "virtio: in-order use of descriptors"

    @_rest.step("driver.use.skipped", at="taking", text=virtio, when=lambda s: frees(s, last=False))
    def skipped(s: Any) -> None:
        """The next request that was made available is not the one that the element names: it is used, too."""
        driver.free(s)

    @_rest.step("driver.use.last", at="taking", to="awake", text=virtio, when=lambda s: frees(s, last=True))
    def last(s: Any) -> None:
        """It is the one that the element names: that was all of it."""
        driver.free(s)

    @_rest.step("driver.use.broken", at="taking", to="broken", text=virtio, when=driver.none)
    def broken(_: Any) -> None:
        """Nothing is left, and the request that the element names was not met: the driver takes no more."""

    said = "Read the next used element: which request does it name?"
    return [
        Replace("driver.use", {"do": read, "to": "taking", "sentence": said}), Add(skipped), Add(last), Add(broken),
        HistoryOf("driver.use", lambda _: None),
        HistoryOf(skipped.id, driver.seen), HistoryOf(last.id, driver.seen),
    ]  # fmt: skip


def _begins_anew(table: Table, *variables: Var) -> list[Edit]:
    """Let what is declared here die with the process, or with the driver, as all else of its kind does."""
    kinds = {"crash": ("volatile",), "driver.reset": ("driver",), "connection.reset": ("volatile", "driver")}

    def anew(*kind: str) -> Effect:
        return lambda s: assign_initial(s, [v.name for v in variables if v.kind in kind])

    return [then(table, step_id, anew(*kind)) for step_id, kind in kinds.items()]


def in_order(driver: Driver, given: Mapping[str, Callable[..., Term]], own: Edits) -> Edits:
    """Let requests be used in order; `given`: the steps at which the device gets one; `own`: a ring's own edits."""

    def edits(table: Table) -> list[Edit]:
        if "stop.answer" in table.steps or "ring.reset" in table.steps:
            raise ModelError("in-order use is judged of rings that are neither stopped nor reset")
        variables = (TURN, NAMED, *driver.variables)
        declared = Declare(variables).apply(table)
        shared = [*_queues(declared, given), *_takes(driver), *_begins_anew(declared, *variables)]
        return [Declare(variables), *shared, *own(declared.edited(shared))]

    return edits


def one_link(table: Table, count_one: Effect) -> list[Edit]:
    """Link the entry of the last request alone; `count_one`: take one more into the batch."""
    ring = table.ring
    link, lead = ("split.supply.2", "split.supply.3") if ring == "split" else ("packed.supply.3", "packed.supply.4")
    return [
        then(table, f"{ring}.supply.1", count_one, to="more"),
        Replace(link, {"at": ("more",)}),
        Replace(lead, {"to": "element id"}),
        Replace(f"{ring}.supply.id", {"at": ("element id",)}),
    ]
