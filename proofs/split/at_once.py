"""Several requests made available by one store of `avail.idx` are as those made available one after the other.

The model's driver makes one request at a time: descriptors, slot, `avail.idx`, a look whether to kick, the kick. One
that writes the descriptors and slots of several, raises `avail.idx` by all of them, and looks once, does as the model's
does when all of it happens at that store, with nobody between. For that, three things are shown here:

- what it writes before that store, nobody else reads meanwhile: a chain that is read is of a head that is not the
  driver's (`driver.owns`), a slot that is read is none of the free ones from `avail.idx` on, and nobody else reads what
  is the driver's own. So it makes no difference when that is written;
- nobody else stores to what it writes, so it finds it as it left it;
- its other half, which takes what is used, reads none of it either; in order, it reads in which order it listed its
  heads, in a slot that is not free, and whether one is left, which no store of `avail.idx` changes there;
- its one look sees what one of the many would see: whether `avail_event` is among what was made available.

A back-end whose history goes wrong (`proofs.split.plain`) may read what is being written. Of it nothing is proved that
turns on what it reads there: each sentence holds of any chains, and of any heads of the ring in any slots.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import z3

from model.record import record_term
from model.steps import Recorded
from model.terms import Term, walk
from proofs.induction.proof import Proof
from proofs.induction.show import by_z3, proof_works
from proofs.induction.solver import Ask, function
from proofs.induction.work import StepWork
from proofs.split.differs import Differs

__all__ = ["at_once", "kicks"]

DRIVER, NEITHER = ("driver", "rest"), ("reset", "crash")
"""Procedures of the driver; those that happen to all, and read nothing."""

WRITTEN = frozenset({"table", "avail.ring", "avail.idx"})
"""What making a request available writes."""

EARLY = frozenset({"table", "avail.ring"})
"""What of it is written before that store."""

FROM = frozenset({"taking", "slots", "positions", "free heads", "seen avail", "fetch position", "indexes", "alive",
                  "in hand", "ages", "owned", "marks"})  # fmt: skip
"""Sentences of the invariant from which it is shown; any others would do, if they are enough."""


def at_once(proofs: Iterable[Proof], ask: Ask = by_z3) -> Iterator[str]:
    """Give what does not hold; steps and sentences that several subjects share are looked at once."""
    seen: set[tuple[str, ...]] = set()
    for proof in proofs:
        if Differs(proof.table).astray:
            yield from (f"{proof.subject.name}: {fault}" for fault in _turns_on_what_is_read(proof, ask))
        texts = [text for name, text in proof.texts.items() if name.split(":")[0] in FROM]
        for work in (w for w in proof_works(proof).values() if isinstance(w, StepWork)):
            key = (work.id, work.text, *texts)
            if work.step.procedure not in NEITHER and key not in seen:
                seen.add(key)
                yield from (f"{proof.subject.name}: {work.id} {fault}" for fault in _faults(proof, work, ask))


def _faults(proof: Proof, work: StepWork, ask: Ask) -> Iterator[str]:
    writes = {a.name for a in work.recorded.assigns}
    if work.id == "driver.kick.look":
        yield from kicks(work, ask)
    if not work.id.startswith("driver.make."):
        yield from (f"writes {name}" for name in sorted(writes & WRITTEN))
    read = list(_read(proof, work.recorded))
    if work.step.procedure == "rest":
        yield from _of_the_other_half(work, [(n, i) for n, i in read if n in WRITTEN], ask)
    if work.step.procedure in DRIVER:
        return
    yield from (f"reads {name}" for name in sorted({n for n, _ in read if n.startswith("driver.")}))
    if Differs(proof.table).astray:
        return
    for name, index in {(n, i) for n, i in read if i is not None and n in EARLY}:
        if not (_not_the_driver_s if name == "table" else _not_free)(work, index, ask):
            yield f"may read {name} where the driver writes the next request"


def _of_the_other_half(work: StepWork, read: list[tuple[str, Term | None]], ask: Ask) -> Iterator[str]:
    """Give what the driver's other half reads of what it writes, but for what makes no difference."""
    for name in sorted({n for n, _ in read}):
        indexes = [i for n, i in read if n == name and i is not None]
        if name == "avail.ring" and all(_not_free(work, i, ask, "history.seen_pos") for i in indexes):
            continue
        if name == "avail.idx" and _whatever_is_available(work, ask):
            continue
        yield f"reads {name}"


def _whatever_is_available(work: StepWork, ask: Ask) -> bool:
    """Show that whether a step is taken does not turn on how much is available; and it stores nothing of it."""
    if any(n.op == "var" and n.args[0] == "avail.idx" for a in work.recorded.assigns for n in walk(a.value)):
        return False
    before, other = work.before, z3.Int("other")
    size = work.translator.size
    may_be = z3.And(before["history.used_pos"] <= other, other <= before["history.seen_pos"] + size)
    guard = work.translator.expr(work.recorded.guard, {**before, "avail.idx": other % 65536})
    known = [*work.proof.axioms(work.translator), *_invariant(work)]  # not that the step is taken
    same = z3.Implies(may_be, guard == work.translator.expr(work.recorded.guard, before))
    return ask(f"{work.id}: it turns on what is available", known, same)


def _turns_on_what_is_read(proof: Proof, ask: Ask) -> Iterator[str]:
    """Give the sentences that do not stay true when the driver writes any chain, and lists any head in any slot."""
    translator = proof.translator()
    before, (head, slot, chain) = translator.world(""), z3.Ints("head slot chain")
    table, listed = z3.Store(before["table"], head, chain), z3.Store(before["avail.ring"], slot, head)
    after = {**before, "table": table, "avail.ring": listed}
    inside = [number >= 0 for number in (head, slot)] + [number < translator.size for number in (head, slot)]
    for atom in (a for a in proof.atoms.values() if a.reads & EARLY):
        known = [*proof.axioms(translator), *inside, translator.expr(atom.term, before)]
        fault = f"{atom.name} turns on what the driver writes early"
        if not ask(f"{proof.subject.name}: {fault}", known, translator.expr(atom.term, after)):
            yield fault


def _read(proof: Proof, recorded: Recorded) -> Iterator[tuple[str, Term | None]]:
    """Give what a step reads, and the properties that are judged at it: variables, or elements with their index."""
    judged = (j for j in proof.judgements if j.tag in recorded.step.tags)
    terms = [recorded.guard, *(a.value for a in recorded.assigns)]
    terms += [a.index for a in recorded.assigns if isinstance(a.index, Term)]
    for judgement in judged:
        args = (Term("choice"),) if judgement.before and recorded.step.choice else ()
        terms.append(record_term(proof.table.vars, judgement.predicate, *args))
    for node in (n for term in terms for n in walk(term)):
        if node.op in ("var", "at"):
            yield str(node.args[0]), node.args[1] if node.op == "at" and isinstance(node.args[1], Term) else None


def _invariant(work: StepWork) -> list[Any]:
    return [work.hypothesis(atom) for atom in work.proof.atoms.values() if atom.name.split(":")[0] in FROM]


def _known(work: StepWork) -> list[Any]:
    return [*work.facts, *_invariant(work)]


def _not_the_driver_s(work: StepWork, head: Term, ask: Ask) -> bool:
    """Show that the driver does not have a head."""
    owned = work.before["driver.owns"][work.translator.expr(head, work.rewritten)] == 1
    return ask(f"{work.id}: the head is not the driver's", _known(work), owned)


def _not_free(work: StepWork, place: Term, ask: Ask, position: str = "proof.marked_pos") -> bool:
    """Show that a slot is that of a position, and none in which the driver may list more heads: three small goals."""
    before, free = work.before, work.before["driver.num_free"]
    fetched, made = before[position], before["history.avail_pos"]
    read, more, there = work.translator.expr(place, work.rewritten), z3.Int("more"), z3.Int("there")
    slot = function("place")
    near = z3.And(fetched < made, made + free - fetched <= work.translator.size)
    apart = z3.Implies(z3.And(more >= 0, more < free), read != slot(made + more))
    here = [*work.proof.axioms(work.translator), near, read == slot(fetched), there == slot(fetched)]
    return (
        ask(f"{work.id}: what is free begins behind what is available", _known(work), near)
        and ask(f"{work.id}: the slot is that of the position", _known(work), read == slot(fetched))
        and ask(f"{work.id}: that slot is not free", here, apart)
    )


def kicks(work: StepWork, ask: Ask = by_z3) -> Iterator[str]:
    """Show that one look for all sees a wish exactly where one of the looks after each request would have seen it."""
    (looked,) = (a.value for a in work.recorded.assigns if a.name == "driver.wants_kick")
    before, many, nth = z3.Ints("before many nth")
    wish = work.translator.world("")["used.avail_event"]

    def one(index: Any) -> Any:
        return work.translator.expr(looked, {**work.translator.world(""), "avail.idx": index % 65536}) == 1

    sizes = [before >= 0, before < 65536, wish >= 0, wish < 65536, many >= 1, many <= 32768]
    all_of_them = (before + many - wish - 1) % 65536 < many  # virtio's vring_need_event
    fault = "sees a wish that one look for several does not"
    if not ask(f"{work.id} {fault}", [*sizes, nth >= 1, nth <= many, one(before + nth)], all_of_them):
        yield fault
    fault, seen = "does not see a wish that one look for several does", z3.And(nth <= many, one(before + nth))
    if not ask(f"{work.id} {fault}", [*sizes, all_of_them, nth == (wish - before) % 65536 + 1], seen):
        yield fault
