"""Falsehoods: a table, a kit or a property that is wrong in one place, put through the prover that shows the truth.

A goal that says nothing is proved as easily as one that says something. So for each kind of goal there is something
false here, with the goal that must then fail: if it is proved, the prover does not say what its name promises.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from model import protocol
from model.both.words import DEAD, ENTRIES, FIRST, SIZE
from model.properties import Judgement
from model.record import Vars
from model.steps import Edit, Replace
from model.terms import Term, as_term, constant, count, total, wrap
from proofs.challenges.canaries import SUBJECTS
from proofs.induction.goals import goals_of
from proofs.induction.kits import induction_of
from proofs.induction.proof import Proof
from proofs.induction.show import given, proof_works, proves
from proofs.induction.walks import Along
from proofs.induction.words import Conjunct

__all__ = ["Falsehood", "falsehoods", "is_believed"]

EFFORT = ((0.05, 0),)
"""How long a goal is tried: one that says nothing takes no time at all."""


@dataclass(frozen=True)
class Falsehood:
    """What is wrong, and the goal that must fail: its kind, where it is shown, how its name begins."""

    ring: str
    kind: str
    what: str
    work: str
    goal: str
    proof: Callable[[], Proof]


def is_believed(falsehood: Falsehood) -> bool:
    """Whether the goal is proved all the same; where it is not there at all, too: nothing would fail."""
    work = proof_works(falsehood.proof())[falsehood.work]
    goals = [g for g in goals_of(work) if g.kind == falsehood.kind and g.name.startswith(falsehood.goal)]
    return all(proves(facts, goal.expr(), EFFORT) for goal in goals for facts in given(work, goal))


def falsehoods(ring: str) -> Iterator[Falsehood]:
    """Give the falsehoods of a ring."""
    for kind, what, work, goal, edits in _TABLES[ring]:
        yield Falsehood(ring, kind, what, work, goal, lambda e=edits: _edited(ring, e()))  # type: ignore[misc]
    for kind, what, work, goal, changes in (*_KITS[ring], *_restarts(ring)):
        yield Falsehood(ring, kind, what, work, goal, lambda c=changes: _changed(ring, **c()))  # type: ignore[misc]
    yield Falsehood(ring, "initial", "the region begins initialised", "initial", "version", lambda: _begun(ring))
    yield Falsehood(ring, "initial", "all rings are small", "initial", "small", lambda: _small(ring))
    step = {"split": "driver.make.3", "packed": "driver.make.head"}[ring]
    yield Falsehood(ring, "kept", "a property rests on what is for another alone", step, "few", lambda: _few(ring))
    yield from _judgements(ring)


def _edited(ring: str, edits: list[Edit]) -> Proof:
    return Proof(SUBJECTS[ring], protocol.table(SUBJECTS[ring]).edited(edits))


def _changed(ring: str, **changes: Any) -> Proof:
    return Proof(SUBJECTS[ring], ring=replace(induction_of(ring), **changes))


def _begun(ring: str) -> Proof:
    table = protocol.table(SUBJECTS[ring])
    changed = (replace(v, initial=1) if v.name == "region.version" else v for v in table.vars.values())
    return Proof(SUBJECTS[ring], replace(table, vars=Vars(*changed)))


def _small(ring: str) -> Proof:
    """Put a sentence into the invariant that is true if it is assumed, and not otherwise."""
    told = induction_of(ring).invariant
    return _changed(ring, invariant=lambda table: [*told(table), Conjunct("small", lambda _: SIZE <= 16384)])


def _few(ring: str) -> Proof:
    """Put in a sentence that would follow from another, which is false, and is for `drains` alone."""
    told = induction_of(ring).invariant
    more = (
        Conjunct("few", lambda s: s.history.avail_pos - FIRST < 65000),
        Conjunct("none", lambda s: s.history.avail_pos == FIRST, "drains"),
    )
    return _changed(ring, invariant=lambda table: [*told(table), *more])


def _judgements(ring: str) -> Iterator[Falsehood]:
    """Say of each property, where it is judged first, that no request was ever made."""
    seen: set[str] = set()
    tags = {tag: step.id for step in protocol.table(SUBJECTS[ring]).steps.values() for tag in step.tags}
    for judgement in protocol.judgements(ring):
        if judgement.property not in seen and judgement.tag in tags:
            seen.add(judgement.property)
            wrong = Judgement(judgement.property, judgement.tag, judgement.before, _none_made)
            yield Falsehood(
                ring, "judged", f"{judgement.property}: no request was ever made", tags[judgement.tag],
                f"{judgement.property}:0", lambda w=wrong: Proof(SUBJECTS[ring], judgements=[w]),  # type: ignore[misc]
            )  # fmt: skip


def _none_made(s: Any, *_: Term) -> Term:
    return s.history.avail_pos == 0  # type: ignore[no-any-return]


# Tables: what a step stores.

Row = tuple[str, str, str, str, Callable[[], Any]]
"""The kind, what is wrong, the work, how the goal's name begins, and what is put in."""


def _instead(step_id: str, do: Callable[..., None]) -> list[Edit]:
    return [Replace(step_id, {"do": do})]


def _besides(ring: str, step_id: str, more: Callable[..., None]) -> list[Edit]:
    old = protocol.table(SUBJECTS[ring]).step(step_id).do

    def both(s: Any, *args: Term) -> None:
        old(s, *args)
        more(s)

    return [Replace(step_id, {"do": both, "world": True})]


def _nothing(_s: Any, *_: Term) -> None:
    """Store nothing."""


def _version_0(s: Any) -> None:
    s.region.version = 0


def _too_wide(s: Any) -> None:
    s.region.desc_num = ENTRIES + 65536


def _past_the_end(head: Callable[[Any], Term]) -> Callable[..., None]:
    def mark(s: Any) -> None:
        s.region.desc[head(s) + ENTRIES].inflight = 1

    return mark


def _split_sum(limit: Term, condition: int) -> list[Edit]:
    def find(s: Any) -> None:
        inflight = count(limit, lambda h: s.region.desc[h].inflight == condition)
        s.fetch.last_avail = wrap(s.used.idx + inflight, 16)

    return _instead("split.position", find)


def _packed_sum(limit: Term, condition: int) -> list[Edit]:
    def find(s: Any) -> None:
        slots = total(limit, lambda e: s.region.desc[e].inflight == condition, lambda e: s.region.desc[e].num)
        s.fetch.avail_idx, s.fetch.avail_wrap = s.region.used_idx + slots, s.region.used_wrap_counter

    return _instead("packed.position", find)


_SUM = "proof.live_sum"
_TABLES: Mapping[str, tuple[Row, ...]] = {
    "split": (
        ("kept", "a request is not marked", "split.fetch.2", "marks", lambda: _instead("split.fetch.2", _nothing)),
        ("kept", "a crash unmakes the region", "crash", "version", lambda: _besides("split", "crash", _version_0)),
        ("kept", "the driver keeps its place", "driver.use", "indexes", lambda: _instead("driver.use", _nothing)),
        ("kept", "a reset leaves all as it is", "driver.reset", "", lambda: _instead("driver.reset", _nothing)),
        ("fits", "desc_num is too wide", "split.init.1", "region.desc_num fits",
         lambda: _instead("split.init.1", _too_wide)),
        ("fits", "an entry that is not there", "split.fetch.2", "region.desc[].inflight has the element",
         lambda: _instead("split.fetch.2", _past_the_end(lambda s: s.fetch.head))),
        ("sum", "what is not inflight is counted", "split.position", f"{_SUM} counts on",
         lambda: _split_sum(ENTRIES, 0)),
        ("sum", "up to a number below 0", "split.position", f"{_SUM} has an end",
         lambda: _split_sum(ENTRIES - 40000, 1)),
    ),
    "packed": (
        ("kept", "a request is not marked", "packed.fetch.2b", "", lambda: _instead("packed.fetch.2b", _nothing)),
        ("kept", "a crash unmakes the region", "crash", "version", lambda: _besides("packed", "crash", _version_0)),
        ("kept", "the driver keeps its place", "driver.use", "", lambda: _instead("driver.use", _nothing)),
        ("kept", "a reset leaves all as it is", "driver.reset", "", lambda: _instead("driver.reset", _nothing)),
        ("fits", "desc_num is too wide", "packed.init.1", "region.desc_num fits",
         lambda: _instead("packed.init.1", _too_wide)),
        ("fits", "an entry that is not there", "packed.fetch.2b", "region.desc[].inflight has the element",
         lambda: _instead("packed.fetch.2b", _past_the_end(lambda s: s.region.old_free_head))),
        ("sum", "what is not inflight is added", "packed.position", f"{_SUM} counts on",
         lambda: _packed_sum(ENTRIES, 0)),
        ("sum", "up to a number below 0", "packed.position", f"{_SUM} has an end",
         lambda: _packed_sum(ENTRIES - 40000, 1)),
    ),
}  # fmt: skip


# Kits: what the proof is told.


def _walks(**changes: Any) -> dict[str, Any]:
    """Say something else of the walk over the free list."""
    told = induction_of("packed").walks
    free = told["well-formed"]
    assert isinstance(free.cases, Along)
    return {"walks": {**told, "well-formed": replace(free, cases=replace(free.cases, **changes))}}


def _published_alone() -> dict[str, Any]:
    """Leave out the case in which nothing becomes visible."""
    told = induction_of("packed").walks
    published = told["packed.supply.7"]
    assert not isinstance(published.cases, Along)
    one = replace(published, cases=published.cases[:1])
    return {"walks": {name: one if walk is published else walk for name, walk in told.items()}}


def _one_ahead(ring: str, name: str) -> dict[str, Any]:
    told = induction_of(ring).indexes
    ahead: Callable[..., Any] = lambda s: as_term(told[name](s)) + 1  # noqa: E731
    return {"indexes": {**told, name: ahead}}


def _another_array(ring: str, array: str) -> dict[str, Any]:
    return {"counts": dict.fromkeys(induction_of(ring).counts, array)}


def _no_rank() -> dict[str, Any]:
    return {"rank": lambda _: [lambda _: constant(0)]}


def _dead() -> dict[str, Any]:
    return {"stuck": lambda _: [("nobody is there", lambda s: s.recover.at == DEAD)]}


def _false_lemma(ring: str) -> dict[str, Any]:
    def lemmas(_name: str, _translator: Any, world: Any) -> list[tuple[str, Any, Any]]:
        return [("the sum is 7", world[_SUM][7] == 7, world[_SUM][7] == 7)]

    return {"stuck": lambda table: induction_of(ring).stuck(table)[:1], "stuck_lemmas": lemmas}


def _fewer_cases() -> dict[str, Any]:
    return {"cases": {step: cases[:-1] for step, cases in induction_of("packed").cases.items()}}


_KITS: Mapping[str, tuple[Row, ...]] = {
    "split": (
        ("index", "avail.idx is one ahead", "any state", "avail.idx", lambda: _one_ahead("split", "avail.idx")),
        ("rewrite", "the fetch position is one ahead", "split.fetch.1", "fetch.last_avail",
         lambda: {"rewrites": {"split.fetch.1": {"fetch.last_avail": lambda s: wrap(s.proof.marked_pos + 1, 16)}}}),
        ("sum", "an array that does not begin with 0", "split.position", "proof.list_at counts from 0",
         lambda: _another_array("split", "proof.list_at")),
        ("rank", "the rank is always 0", "driver.use", "the rank falls", _no_rank),
        ("stuck", "there is no process", "drains", "nobody is there", _dead),
        ("stuck", "a false lemma", "drains", "the process runs: the sum is 7", lambda: _false_lemma("split")),
    ),
    "packed": (
        ("index", "a slot is one ahead", "any state", "driver.used_idx",
         lambda: _one_ahead("packed", "driver.used_idx")),
        ("sum", "an array that does not begin with 0", "packed.position", "proof.place counts from 0",
         lambda: _another_array("packed", "proof.place")),
        ("walk", "it ends at the last entry", "packed.supply.9c", "the walk stops",
         lambda: _walks(last=lambda _: ENTRIES - 1)),
        ("walk", "it is one longer", "packed.supply.9c", "the walk", lambda: _walks(count=lambda s: s.proof.depth + 1)),
        ("walk", "it is never cut", "packed.supply.9c", "the walk is not cut",
         lambda: _walks(count=lambda _: ENTRIES + 1)),
        ("walk", "a case is left out", "packed.supply.7", "there is no other case", _published_alone),
        ("case", "a case is left out", "packed.supply.7", "there is no other case", _fewer_cases),
        ("rank", "the rank is always 0", "driver.use", "the rank falls", _no_rank),
        ("stuck", "there is no process", "drains", "nobody is there", _dead),
        ("stuck", "a false lemma", "drains", "the process runs: the sum is 7", lambda: _false_lemma("packed")),
    ),
}  # fmt: skip


def _restarts(ring: str) -> Iterator[Row]:
    """Say something false of what recovery leaves, and of the order in which it resubmits."""
    told, one = induction_of(ring), "region.desc_num"

    def leaves(said: Callable[..., Any]) -> Callable[[], dict[str, Any]]:
        return lambda: {"leaves": lambda table: {**told.leaves(table), one: said}}

    def key(said: Callable[..., Any]) -> Callable[[], dict[str, Any]]:
        return lambda: {"key": lambda _: said}

    table = protocol.table(SUBJECTS[ring])
    (end,) = (step.id for step in table.steps.values() if "recovered" in step.tags)
    (again,) = (step.id for step in table.steps.values() if "resubmit" in step.tags)
    yield "restart", "it leaves one entry more", end, f"{one} is left", leaves(lambda _s, x, _i: x == ENTRIES + 1)
    yield "restart", "it may leave anything", end, f"{one} is one", leaves(lambda _s, x, _i: x >= 0)
    yield (
        "restart",
        "it leaves what a loop has left",
        "crash",
        f"{one} stays",
        leaves(lambda s, x, _i: x == s.recover.left),
    )
    yield "restart", "all keys are the same", again, "the keys rise", key(lambda _s, _i: constant(0))
    yield "restart", "the key is what a loop has left", "crash", "the key stays", key(lambda s, i: s.recover.left + i)
