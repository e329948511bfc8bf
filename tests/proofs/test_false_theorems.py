"""Theorems that were once proved and are false: each is refuted by a plain run, and no proof of it may be found.

The kind of mistake is named; siblings of it stand beside the example.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from model import protocol
from model.both.words import ENTRIES
from model.interpret import Machine
from model.packed.places import advanced
from model.protocol import Subject
from model.steps import Edit, Replace, Table
from model.terms import ModelError, Term, count, follow, ite, total, wrap
from proofs.induction.kits import induction_of
from proofs.induction.proof import Proof
from proofs.induction.show import hints, queries, solve
from proofs.induction.words import Conjunct
from proofs.search.bounds import Bounds
from proofs.search.breadth_first import explore, table_for
from proofs.search.judges import Judge
from tests.model.runs import random_run
from tests.proofs.proving import HARDENED, MERGED, unproved


def _split_loop(limit: Term) -> list[Edit]:
    """Count what is inflight in a loop with another limit."""

    def find(s: Any) -> None:
        inflight = count(limit, lambda h: s.region.desc[h].inflight == 1)
        s.fetch.last_avail = wrap(s.used.idx + inflight, 16)

    return [Replace("split.position", {"do": find})]


def _packed_loop(limit: Term) -> list[Edit]:
    """Add up what is inflight in a loop with another limit."""

    def find(s: Any) -> None:
        def inflight(e: Term) -> Any:
            return s.region.desc[e].inflight == 1

        slots = total(limit, inflight, lambda e: s.region.desc[e].num)
        idx, lap = advanced(s.region.used_idx, s.region.used_wrap_counter, slots)
        s.fetch.avail_idx, s.fetch.avail_wrap = idx, lap

    return [Replace("packed.position", {"do": find})]


LIMITS: dict[str, Callable[[], Term]] = {
    "in a uint8_t": lambda: wrap(ENTRIES, 8),
    "one too few": lambda: ENTRIES - 1,
    "one too many": lambda: ENTRIES + 1,
}


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize(
    ("subject", "loop"), [(MERGED, _split_loop), (HARDENED, _packed_loop)], ids=["split", "packed"]
)
def test_a_sum_ends_where_its_term_says(subject: Subject, loop: Callable[[Term], list[Edit]], limit: str) -> None:
    """A loop over another number of entries finds another fetch position."""
    assert unproved(subject, loop(LIMITS[limit]()), "nothing-lost")


@pytest.mark.parametrize(
    ("subject", "loop"), [(MERGED, _split_loop), (HARDENED, _packed_loop)], ids=["split", "packed"]
)
def test_the_right_sum_is_the_tables_own(subject: Subject, loop: Callable[[Term], list[Edit]]) -> None:
    """What the tests above change is the limit alone: with the right one, no goal is another."""
    with pytest.raises(AssertionError, match="changes no goal"):
        unproved(subject, loop(ENTRIES), "nothing-lost")


def test_a_loop_in_a_byte_loses_a_request() -> None:
    """At queue size 256 such a loop counts nothing, and a plain run finds it."""
    machine = Machine(protocol.table(MERGED).edited(_split_loop(wrap(ENTRIES, 8))), protocol.sizes(MERGED, 256))
    judge = Judge(machine, protocol.judgements("split"), ["nothing-lost"])
    broken: list[str] = []
    for seed in range(20):
        before = machine.initial()
        for step_id, chosen, after in random_run(machine, seed, 60, rarely=0.1):
            broken += judge.event(before, (machine.index[step_id], chosen, after))
            before = after
    assert "nothing-lost" in broken


# restartable


def _toggle_a_link() -> list[Edit]:
    """Let resubmission change a link of the chain's last entry."""
    step = protocol.table(HARDENED).step("packed.reconnect.4.submit")

    def submit(s: Any) -> None:
        step.do(s)
        last = s.region.desc[s.region.desc[s.recover.head].last]
        last.next = ite(last.next == 0, 1, 0)

    return [Replace(step.id, {"do": submit})]


def _counter_first(ring: str) -> list[Edit]:
    """Let recovery restore the counter before it looks at anything: from marks that are not repaired yet."""
    table = protocol.table(MERGED if ring == "split" else HARDENED)
    position, version = table.step(f"{ring}.position"), {"split": "split.init.3", "packed": "packed.init.5"}[ring]
    counter = table.step(f"{ring}.counter")
    return [
        Replace(position.id, {"to": counter.to}),
        Replace(counter.id, {"at": ("restore",), "to": "compare"}),
        Replace(f"{ring}.start.adopt", {"to": "restore"}),
        Replace(version, {"to": "restore"}),
    ]


def _marks_on_the_way(ring: str) -> list[Edit]:
    """Let recovery mark what it resubmits with another value than it found."""
    step = protocol.table(MERGED if ring == "split" else HARDENED).step(f"{ring}.reconnect.signal")

    def signal(s: Any) -> None:
        s.region.desc_num = s.region.desc_num + 1

    return [Replace(step.id, {"do": signal})]


RECOVERIES: dict[str, tuple[Subject, list[Edit]]] = {
    "a link is changed": (HARDENED, _toggle_a_link()),
    "split: the counter comes first": (MERGED, _counter_first("split")),
    "packed: the counter comes first": (HARDENED, _counter_first("packed")),
    "split: desc_num is counted": (MERGED, _marks_on_the_way("split")),
    "packed: desc_num is counted": (HARDENED, _marks_on_the_way("packed")),
}


@pytest.mark.parametrize("name", RECOVERIES)
def test_a_recovery_that_ends_otherwise_is_not_restartable(name: str) -> None:
    """Found marks may be stale, and more is left than marks: two runs are compared in all that they leave."""
    subject, edits = RECOVERIES[name]
    assert unproved(subject, edits, "restartable")


@pytest.mark.parametrize("name", ["split: the counter comes first"])
def test_a_search_compares_the_same(name: str) -> None:
    """The search finds the two runs that end otherwise."""
    subject, edits = RECOVERIES[name]
    only = frozenset({"restartable"})
    table = table_for(subject, only).edited(edits)
    found = explore(table, protocol.sizes(subject, 2), Bounds(2, 2, 2), only)
    assert set(found.violations) == {"restartable"}


def test_search_and_proof_compare_the_same_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    """A field that the proof leaves out of what recovery leaves is noticed before anything is proved."""
    ring = induction_of("packed")

    def all_but_one(table: Table) -> dict[str, Any]:
        return {name: said for name, said in ring.leaves(table).items() if name != "region.desc[].next"}

    monkeypatch.setattr("proofs.induction.proof.induction_of", lambda _: replace(ring, leaves=all_but_one))
    with pytest.raises(ModelError, match=r"region.desc\[\].next"):
        Proof(HARDENED)


# What is written as a function of positions


def test_an_index_is_shown_to_be_what_it_is_written_as(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the sentences that say so, nothing that rests on it is proved; nor is a wrong publish."""
    ring = induction_of("split")

    def without(table: Table) -> list[Conjunct]:
        return [c for c in ring.invariant(table) if c.name not in ("indexes", "slots")]

    monkeypatch.setattr("proofs.induction.proof.induction_of", lambda _: replace(ring, invariant=without))
    proof, known = Proof(MERGED), hints("split")
    asked = [q for q in queries(proof, known) if q.kind == "index"]
    assert {q.group for q in asked} == {"base"}
    assert [r.status for r in solve(proof, asked, {}, tries=((0.3, 0),))] == ["unknown"] * len(ring.indexes)


def test_a_wrong_publish_is_not_proved() -> None:
    """used.idx rises by one too much."""
    step = protocol.table(MERGED).step("split.supply.5")

    def publish(s: Any) -> None:
        s.supply.old_idx = s.used.idx
        s.used.idx = wrap(s.used.idx + s.supply.count + 1, 16)
        s.supply.open = 2
        s.supply.cursor = 0

    assert unproved(MERGED, [Replace(step.id, {"do": publish})], "ring-position")


# What a term is recognised by


def test_a_walk_in_a_store_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """A walk that a step of the text takes, not its history, is shown like any other before its end is named."""
    ring = induction_of("packed")
    free = ring.walks["well-formed"]
    monkeypatch.setattr(
        "proofs.induction.proof.induction_of",
        lambda _: replace(ring, walks={**ring.walks, "packed.reconnect.signal": free}),
    )

    def walks(s: Any) -> None:
        s.recover.entry = follow(
            s.region.free_head, ENTRIES, lambda x: x < ENTRIES, lambda x: s.region.desc[x].next + 1
        )

    edits = [Replace("packed.reconnect.signal", {"do": walks})]
    kinds = {q.kind for q in unproved(HARDENED, edits, "well-formed")}
    assert "walk" in kinds
