"""What holds of the region whatever happens to requests: the invariant of a table whose history goes wrong.

Where a choice lets a request be lost or served twice (`Differs.astray`), the sentences about history break, and with
them all that rests on them. `well-formed` does not: it speaks of the region's own fields. These are its sentences, and
ghost state of their own: `marked_pos` is the position that fetch.last_avail stands for, `live_sum` counts the marks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from model.both.words import DEAD, RUNNING
from model.record import assign_initial, record
from model.steps import Table
from model.terms import Operand, Term, all_of, any_of, forall, ite, wrap
from proofs.split.words import ENTRIES, HEADS, SIZE, Conjunct, Places, at, below, implies, indexes

__all__ = ["effects", "plain"]


def _marked(s: Any, h: Operand) -> Term:
    return s.region.desc[h].inflight == 1  # type: ignore[no-any-return]


def plain(p: Places) -> list[Conjunct]:
    """Give the sentences, for the labels of a table."""

    def version(s: Any) -> Term:
        return all_of(
            any_of(s.region.version == 0, s.region.version == 1),
            implies(s.region.version == 1, s.region.desc_num == ENTRIES),
            implies(s.region.version == 0, at(s.recover.at, DEAD, *p.unsettled)),
            implies(at(s.recover.at, *p.unsettled), s.region.version == 0),
            implies(at(s.recover.at, "init used_idx", "init version"), s.region.desc_num == ENTRIES),
        )

    def alive(s: Any) -> Term:
        running, matches = s.recover.at == RUNNING, s.region.used_idx == s.used.idx
        return all_of(
            any_of(running, all_of(s.fetch.at == "off", s.supply.at == "off")),
            implies(at(s.recover.at, *p.repaired), matches),
            implies(all_of(s.recover.at == "compared", s.recover.mismatch == 0), matches),
        )

    def fields(s: Any) -> Term:
        desc = s.region.desc
        return all_of(
            below(s.region.last_batch_head, ENTRIES),
            forall(HEADS, lambda h: below(desc[h].next, ENTRIES), lambda h: desc[h].next),
            forall(HEADS, lambda h: any_of(desc[h].inflight == 0, _marked(s, h)), lambda h: desc[h].inflight),
        )

    def heads(s: Any) -> Term:
        tracked, supplying = s.supply.head < ENTRIES, at(s.supply.at, "lead")
        return all_of(
            below(s.driver.head, SIZE), below(s.fetch.head, SIZE), below(s.supply.head, SIZE),
            below(s.recover.entry, ENTRIES), implies(supplying, tracked),
            forall(SIZE, lambda q: below(s.avail.ring[q], SIZE), lambda q: s.avail.ring[q]),
            forall(SIZE, lambda q: below(s.used.ring[q].id, SIZE), lambda q: s.used.ring[q].id),
            forall(s.supply.count, lambda k: below(s.supply.batch[k], SIZE), lambda k: s.supply.batch[k]),
            s.supply.count >= 0, s.supply.cursor >= 0,
        )  # fmt: skip

    def in_hand(s: Any) -> Term:
        return implies(at(s.supply.at, *p.supplying), s.supply.batch[s.supply.count] == s.supply.head)

    def position(s: Any) -> Term:
        return implies(at(s.recover.at, *p.positioned), s.fetch.last_avail == wrap(s.proof.marked_pos, 16))

    def marks(s: Any) -> Term:
        sums = s.proof.live_sum

        def one(h: Term) -> Term:
            return sums[h + 1] == sums[h] + ite(_marked(s, h), 1, 0)  # type: ignore[no-any-return]

        return all_of(sums[0] == 0, forall(HEADS, one, lambda h: s.region.desc[h].inflight, lambda h: sums[h]))

    return [
        Conjunct("indexes are positions", indexes), Conjunct("version alone", version), Conjunct("begun", alive),
        Conjunct("fields", fields), Conjunct("heads of the ring", heads), Conjunct("head in hand", in_hand),
        Conjunct("position", position), Conjunct("sum of marks", marks),
    ]  # fmt: skip


def effects(table: Table) -> dict[str, Callable[..., None]]:
    """Give the ghost state that these sentences need, by step id."""

    def to_fetch(s: Any) -> None:
        position = s.history.used_pos
        s.proof.marked_pos = position if Places(table).differs.from_used else position + s.proof.live_sum[ENTRIES]

    def taken(s: Any) -> None:
        s.proof.marked_pos = s.proof.marked_pos + 1

    def set_to(s: Any, head: Term, mark: int) -> None:
        by = mark - ite(_marked(s, head), 1, 0)
        s.proof.live_sum.each(lambda k: ite(head < k, s.proof.live_sum[k] + by, s.proof.live_sum[k]))

    def forgotten(step_id: str) -> Callable[..., None]:
        step = table.step(step_id)
        renewed = {a.name for a in record(table.vars, step.do, world=True)}
        names = ["proof.marked_pos", *(["proof.live_sum"] if "region.desc[].inflight" in renewed else [])]
        return lambda s, *_: assign_initial(s, names)

    return {
        "split.position": to_fetch,
        "split.fetch.1": taken,
        "split.fetch.2": lambda s: set_to(s, s.fetch.head, 1),
        "split.supply.6": lambda s: set_to(s, s.supply.batch[s.supply.cursor], 0),
        "split.reconnect.1b": lambda s: set_to(s, s.recover.entry, 0),
        **{i: forgotten(i) for i in ("driver.reset", "connection.reset", "ring.reset") if i in table.steps},
    }
