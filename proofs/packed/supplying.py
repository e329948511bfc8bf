"""The part of the packed ring's invariant that speaks of the device and of supplying."""

from __future__ import annotations

from typing import Any

from model.both.words import FINISHED, IN_BATCH, WORKING
from model.terms import Term, all_of, any_of, cell, forall, ite, lap, negate
from proofs.packed.words import (
    ENTRIES,
    HEADS,
    SIZE,
    Conjunct,
    Places,
    all_entries,
    at,
    implies,
    in_batch,
    listed,
    live,
    phase,
    running,
)

__all__ = ["supplying"]


def _device(p: Places, s: Any, e: Term) -> Term:
    state, who = s.device.state[e], s.history.who[e]
    building = any_of(
        all_of(s.supply.open == 1, in_batch(s, e)),
        all_of(s.supply.open == 2, at(s.supply.at, *p.clearing), in_batch(s, e),
               s.proof.batch_place[e] >= s.supply.cursor),
        all_of(at(s.supply.at, *p.supplying), s.supply.head == e),
    )  # fmt: skip
    in_hand = all_of(s.fetch.at == "submit", s.fetch.head == e)
    gathering = all_of(s.recover.at == "gather", s.recover.head == e)
    working = any_of(state == WORKING, state == FINISHED)
    return all_of(
        any_of(state == 0, state == IN_BATCH, working), implies(working, live(s, e)), s.history.twice[e] == 0,
        implies(all_of(any_of(state == FINISHED, state == IN_BATCH), live(s, e)),
                s.history.ready[who] == s.history.got[e]),
        implies(state == IN_BATCH, building), implies(building, state == IN_BATCH),
        implies(all_of(negate(state == 0), live(s, e)), s.device.given[e] == s.history.content[e]),
        implies(all_of(running(s), live(s, e), negate(in_hand)), negate(state == 0)),
        implies(all_of(negate(running(s)), negate(state == 0)), s.recover.resubmitted[e] == 1),
        implies(all_of(negate(running(s)), s.recover.resubmitted[e] == 1, negate(gathering)), negate(state == 0)),
        implies(all_of(any_of(state == FINISHED, state == IN_BATCH), live(s, e)),
                s.history.result[who] == s.history.content[e]),
    )  # fmt: skip


def _flagged(p: Places, s: Any, k: Term) -> Term:
    """Whether the slot of a request of the batch is marked used, before that of the first is."""
    if p.one_flag:
        return any_of()
    if p.others_forwards:
        return all_of(s.supply.at == "flags", k > 0, k + s.supply.cursor <= s.supply.count)
    return all_of(at(s.supply.at, *p.flags), k >= s.supply.cursor)


def _element(p: Places, s: Any, k: Term) -> list[Term]:
    """Say that the used element of a request of the batch is written: its id and where it is, its len."""
    if p.gathered:
        return []
    e, here = s.supply.batch[k], s.history.used_pos + s.supply.offset[k]
    who, slot = s.history.who[e], s.ring.desc[cell(here)]
    id_, len_, place = slot.id == who, slot.len == s.history.content[e], s.proof.used_at[who] == here
    if not p.with_flags:
        return [id_, len_, place]
    in_hand = k + 1 == s.supply.cursor
    id_written = any_of(_flagged(p, s, k), all_of(at(s.supply.at, "flags len", "flags store"), in_hand))
    len_written = any_of(_flagged(p, s, k), all_of(s.supply.at == "flags store", in_hand))
    return [implies(id_written, id_), implies(len_written, len_), implies(id_written, place)]


def _batch_list(p: Places, s: Any) -> Term:
    def one(k: Term) -> Term:
        e, offset = s.supply.batch[k], s.supply.offset[k]
        after = offset + s.region.desc[e].num
        next_offset = ite(k + 1 == s.supply.count, s.supply.slots, s.supply.offset[k + 1])
        slot = s.ring.desc[cell(s.history.used_pos + offset)]
        marked = slot.flags.used == lap(s.history.used_pos + offset)
        return all_of(
            e >= 0, e < ENTRIES, in_batch(s, e), s.proof.batch_place[e] == k,
            implies(s.supply.open == 1, all_of(
                live(s, e), offset >= 0, next_offset == after, *_element(p, s, k),
                implies(_flagged(p, s, k), marked),
                s.history.ready[s.history.who[e]] == s.history.got[e],
                s.history.result[s.history.who[e]] == s.history.content[e])),
        )  # fmt: skip

    return all_of(
        forall(s.supply.count, one, lambda k: s.supply.batch[k], lambda k: s.supply.offset[k]),
        implies(s.supply.open > 0, implies(s.supply.count > 0, s.supply.offset[0] == 0)),
    )


def _in_batch(s: Any, e: Term) -> Term:
    place = s.proof.batch_place[e]
    return all_of(
        any_of(s.proof.in_batch[e] == 0, in_batch(s, e)),
        implies(all_of(s.supply.open > 0, in_batch(s, e)),
                all_of(place >= 0, place < s.supply.count, s.supply.batch[place] == e)),
        implies(all_of(s.supply.open == 1, in_batch(s, e)),
                all_of(live(s, e), s.proof.place[e] >= s.proof.depth)),
        implies(all_of(s.supply.open == 2, in_batch(s, e)), all_of(negate(live(s, e)), s.proof.place[e] >= 0)),
    )  # fmt: skip


def _pushed(s: Any, x: Term) -> Term:
    building = all_of(running(s), s.supply.open == 1)
    owner = s.proof.owner[x]
    return all_of(
        implies(all_of(building, s.proof.place[x] >= s.proof.depth), in_batch(s, owner)),
        implies(all_of(building, owner >= 0, in_batch(s, owner)), s.proof.place[x] >= s.proof.depth),
        implies(all_of(running(s), s.supply.open == 0), implies(owner >= 0, s.proof.place[x] == -1)),
    )


def _offsets(s: Any) -> Term:
    offset = s.supply.offset

    def one(j: Term) -> Term:
        return forall(s.supply.count, lambda k: implies(all_of(s.supply.open == 1, j < k), offset[j] < offset[k]),
                      lambda k: offset[k])  # fmt: skip

    below = forall(s.supply.count, lambda k: implies(s.supply.open == 1, offset[k] < s.supply.slots),
                   lambda k: offset[k])  # fmt: skip
    return all_of(forall(s.supply.count, one, lambda j: offset[j]), below)


def _supply(p: Places) -> list[Conjunct]:
    last = list(p.settling)
    published = p.published[1:]
    closed = [label for label in ("idle", "notify", "which", "notified") if label not in published]

    def batch(s: Any) -> Term:
        open_, count, label = s.supply.open, s.supply.count, s.supply.at
        built = all_of(open_ == 1, at(label, "more", *p.supplying, *p.closing))
        return all_of(
            any_of(open_ == 0, open_ == 1, open_ == 2), implies(open_ == 0, all_of(count == 0, s.supply.slots == 0)),
            count >= 0, count <= s.supply.slots, s.supply.slots <= SIZE, s.supply.slots >= 0,
            implies(open_ == 1, all_of(s.supply.start == cell(s.history.used_pos),
                                       s.supply.start_wrap == lap(s.history.used_pos))),
            implies(open_ == 1, at(label, "more", "used wrap", *p.flags, *p.supplying, *p.closing)),
            implies(at(label, "more", "used wrap", *p.supplying, *p.closing), open_ == 1),
            implies(at(label, *p.flags, *published), open_ > 0), implies(at(label, *published), open_ == 2),
            implies(open_ == 2, at(label, "flags", *published)),
            implies(at(label, *closed), open_ == 0),
            implies(built, phase(s, 0)), implies(label == "used wrap", phase(s, 1)),
            implies(all_of(at(label, *p.flags), open_ == 1), phase(s, 2)),
            implies(all_of(open_ == 2, at(label, *p.clearing)), phase(s, 3)),
            *(implies(label == name, phase(s, number)) for name, number in p.phases.items()),
            implies(negate(phase(s, 0)), implies(running(s), s.proof.slots == s.supply.slots)),
            implies(at(label, "more", "used wrap", *p.flags, *p.closing), count > 0),
            implies(open_ == 1, s.proof.top == s.proof.depth + s.supply.slots),
            implies(open_ == 1, listed(s, s.region.free_head, s.proof.top)),
            implies(all_of(at(label, *p.flags), open_ == 1), s.supply.cursor >= 1),
            implies(all_of(at(label, *p.before_clearing), open_ == 2), s.supply.cursor == 0),
            implies(label == "used wrap", s.supply.cursor == (1 if p.one_flag else count)),
            implies(at(label, *p.flags, "clear"), s.supply.cursor <= count), s.supply.cursor >= 0,
            implies(at(label, *last), s.supply.cursor == count),
            implies(open_ == 1, s.history.used_pos + s.supply.slots <= s.proof.marked_pos),
        )  # fmt: skip

    def clearing(s: Any) -> Term:
        def one(e: Term) -> Term:
            done = all_of(in_batch(s, e), s.proof.batch_place[e] < s.supply.cursor)
            return implies(all_of(s.supply.open == 2, done), s.region.desc[e].inflight == 0)

        return forall(HEADS, one, lambda e: s.region.desc[e].inflight)

    def written(s: Any, slot: Any, e: Term) -> list[Term]:
        used_at = s.proof.used_at[s.history.who[e]]
        return [
            implies(at(s.supply.at, "element len", "link", "lead"),
                    all_of(slot.id == s.history.who[e], used_at == s.history.used_pos + s.supply.slots)),
            implies(at(s.supply.at, "link", "lead"), slot.len == s.history.content[e]),
        ]  # fmt: skip

    def in_hand(s: Any) -> Term:
        e = s.supply.head
        slot = s.ring.desc[cell(s.history.used_pos + s.supply.slots)]
        return implies(
            at(s.supply.at, *p.supplying),
            all_of(
                e >= 0, e < ENTRIES, live(s, e), negate(in_batch(s, e)), s.device.state[e] == IN_BATCH,
                s.supply.batch[s.supply.count] == e, s.supply.offset[s.supply.count] == s.supply.slots,
                s.device.given[e] == s.history.content[e],
                s.history.used_pos + s.supply.slots + s.region.desc[e].num <= s.proof.marked_pos,
                *(() if p.with_flags or p.gathered else written(s, slot, e)),
                implies(s.supply.at == "lead", s.region.desc[s.region.desc[e].last].next == s.region.free_head),
            ),
        )  # fmt: skip

    return [Conjunct("batch", batch), Conjunct("supply clearing", clearing), Conjunct("supply in hand", in_hand)]


def supplying(p: Places) -> list[Conjunct]:
    """Give the sentences about the device and supplying."""
    hints = (lambda s, e: s.device.state[e], lambda s, e: s.history.twice[e])
    return [
        Conjunct("device", all_entries(lambda s, e: _device(p, s, e), *hints)),
        Conjunct("batch list", lambda s: _batch_list(p, s)),
        Conjunct("in batch", all_entries(_in_batch, lambda s, e: s.proof.in_batch[e])),
        Conjunct("pushed", all_entries(_pushed, lambda s, x: s.proof.place[x], lambda s, x: s.proof.owner[x])),
        Conjunct("offsets", _offsets), *_supply(p),
    ]  # fmt: skip
