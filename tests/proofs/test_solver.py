"""The solver's side: terms mean there what they mean on plain numbers, and what is wrong is not proved."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import z3

from model import protocol
from model.packed.places import moved
from model.packed.revisions import HARDENED_EDITS, MERGED, V6
from model.record import State, record_term
from model.steps import Edit, Replace, Table
from model.terms import (
    Term,
    all_of,
    any_of,
    constant,
    exists,
    forall,
    ite,
    negate,
    parameter,
    show,
    total,
    wrap,
)
from proofs.challenges.numbers import untrue
from proofs.induction import show as induction
from proofs.induction.atoms import atoms
from proofs.induction.engine import prove_all
from proofs.induction.proof import Proof
from proofs.induction.show import Query
from proofs.induction.solver import Translator
from proofs.packed import slots as packed_slots
from proofs.split.slots import slot_lemma

SPLIT = protocol.Subject.of("split", "merged", {})
PACKED = protocol.Subject.of("packed", "hardened", {})


def test_slot_lemma() -> None:
    """The two facts about slots hold for every size that virtio allows."""
    assert slot_lemma()


def _value(term: Term, **numbers: int) -> Any:
    translator = Translator(protocol.table(SPLIT))
    world: Mapping[str, Any] = {name: z3.IntVal(value) for name, value in numbers.items()}
    return z3.simplify(z3.substitute(translator.expr(term, world), (translator.size, z3.IntVal(4))))


@pytest.mark.parametrize(
    ("term", "value"),
    [
        (wrap(constant(65535) + 1, 16), 0),
        (wrap(constant(3) - constant(5), 16), 65534),
        (wrap(wrap(constant(65530), 16) + wrap(constant(65531), 16), 16), 65525),
        (ite(constant(1) < 2, 7, 8), 7),
        (parameter("size") + 1, 5),
    ],
)
def test_numbers(term: Term, value: int) -> None:
    """Arithmetic and wrapping."""
    assert _value(term).as_long() == value, show(term)


@pytest.mark.parametrize(
    ("term", "truth"),
    [
        (all_of(), True),
        (any_of(), False),
        (negate(constant(1) == 1), False),
        (forall(4, lambda h: h < 4), True),
        (forall(4, lambda h: h < 3), False),
        (forall(4, lambda h: h > 1, low=2), True),
        (exists(4, lambda h: h == 3), True),
        (exists(3, lambda h: h == 3), False),
        (forall(4, lambda h: forall(4, lambda k: h <= k, low=h)), True),
        (forall(4, lambda h: forall(4, lambda k: h <= k)), False),
    ],
)
def test_truth(term: Term, truth: bool) -> None:
    """Quantifiers, with their limits."""
    solver = z3.Solver()
    solver.add(_value(term) if truth is False else z3.Not(_value(term)))
    assert solver.check() == z3.unsat, show(term)


def test_atoms_say_what_the_sentence_says() -> None:
    """A sentence is taken apart at conjunctions, below quantifiers and conditions too."""

    def sentence(s: State) -> Term:
        return all_of(s.kick == 0, ite(s.call == 1, all_of(s.kick == 1, s.kick == 2), all_of()))

    table = protocol.table(SPLIT)
    parts = [show(part) for part in atoms(record_term(table.vars, sentence))]
    assert len(parts) == 3
    assert [("kick" in part, "call" in part) for part in parts] == [(True, False), (True, True), (True, True)]


def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the solver try each goal once, shortly; those of the right steps are proved in much less."""
    monkeypatch.setattr(induction, "TRIES", ((0.3, 0),))


def _instead(monkeypatch: pytest.MonkeyPatch, subject: protocol.Subject, table: Table) -> None:
    """Let a subject's table be another one."""
    original = protocol.table

    def broken(asked: protocol.Subject, *, quiet: bool = False) -> Table:
        return table if asked == subject else original(asked, quiet=quiet)

    monkeypatch.setattr(protocol, "table", broken)


def _drop(subject: protocol.Subject, step_id: str, name: str) -> Edit:
    """Make a step that does all it did but one store."""
    step = protocol.table(subject).step(step_id)

    def do(s: State, *args: Term) -> None:
        step.do(s, *args)
        s._assigns[:] = [a for a in s._assigns if a.name != name]

    return Replace(step_id, {"do": do})


DROPPED = {
    SPLIT: (
        ("split.fetch.2", "region.desc[].inflight", "nothing-lost"),
        ("split.fetch.counter", "region.desc[].counter", "order"),
        ("split.supply.2", "region.desc[].next", "no-used-resubmitted"),
        ("split.supply.3", "region.last_batch_head", "no-used-resubmitted"),
        ("split.supply.6", "region.desc[].inflight", "no-used-resubmitted"),
        ("split.supply.7", "region.used_idx", "well-formed"),
        ("split.reconnect.1b", "region.desc[].inflight", "no-used-resubmitted"),
        ("split.reconnect.signal", "call", "drains"),
        ("split.idle.arm", "used.avail_event", "drains"),
        ("split.notify.call", "call", "drains"),
        ("split.supply.id", "used.ring[].id", "exactly-once"),
        ("split.supply.len", "used.ring[].len", "intact"),
    ),
    PACKED: (
        ("packed.fetch.2b", "region.desc[].inflight", "nothing-lost"),
        ("packed.fetch.counter", "region.desc[].counter", "order"),
        ("packed.fetch.5d", "region.desc[].id", "intact"),
        ("packed.supply.id", "ring.desc[].id", "exactly-once"),
        ("packed.supply.len", "ring.desc[].len", "intact"),
        ("packed.supply.9b", "region.old_used_idx", "ring-position"),
        ("packed.reconnect.2b", "region.used_idx", "ring-position"),
        ("packed.reconnect.3", "region.desc[].inflight", "well-formed"),
        ("packed.reconnect.unmark", "ring.desc[].flags.used", "exactly-once"),
        ("packed.reconnect.signal", "call", "drains"),
        ("packed.idle.arm", "device_event.flags", "drains"),
        ("packed.notify.call", "call", "drains"),
    ),
}
"""Stores, and a property whose proof each costs."""


@pytest.mark.parametrize(
    ("subject", "step_id", "field", "lost"), [(s, *store) for s, stores in DROPPED.items() for store in stores],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_wrong_step_is_not_proved(
    monkeypatch: pytest.MonkeyPatch, subject: protocol.Subject, step_id: str, field: str, lost: str
) -> None:
    """A store dropped from a step costs the proof of the property that needs it."""
    _quickly(monkeypatch)
    _instead(monkeypatch, subject, protocol.table(subject).edited([_drop(subject, step_id, field)]))
    outcome = prove_all([subject], properties={subject: {lost}}, only={step_id})
    assert not outcome.failed
    assert outcome.unproved(subject) != []
    assert lost not in outcome.properties(subject)


REPAIRS = {
    "compare-wrap-counters": "packed.reconnect.1",
    "settled-by-free-head": "packed.supply.9b",
    "roll-back-free-head-last": "packed.reconnect.2a",
    "unmark-used": "packed.position",
}
"""The edits of `hardened`, and a step whose goals need it: without the second, used index and lap move together."""


@pytest.mark.parametrize("edit", HARDENED_EDITS)
def test_no_edit_of_hardened_can_be_left_out(monkeypatch: pytest.MonkeyPatch, edit: str) -> None:
    """Without one of them, some goal of a step that needs it is not proved."""
    _quickly(monkeypatch)
    others = [e for name, edits in HARDENED_EDITS.items() if name != edit for e in edits]
    _instead(monkeypatch, PACKED, V6.edited([*MERGED, *others]))
    outcome = prove_all([PACKED], properties={PACKED: {"no-used-resubmitted"}}, only={REPAIRS[edit]})
    assert not outcome.failed
    assert outcome.unproved(PACKED) != []


def test_right_steps_are_proved(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same goals, of the steps as they are, are proved: the tests above do not fail for another reason."""
    monkeypatch.setattr(induction, "TRIES", ((0.3, 0), (1, 0)))
    for subject, stores in DROPPED.items():
        steps, wanted = {s for s, _, _ in stores}, {lost for _, _, lost in stores}
        if subject == PACKED:
            steps |= set(REPAIRS.values())
        outcome = prove_all([subject], properties={subject: wanted}, only=steps)
        assert outcome.unproved(subject) == []
        assert {q.work for q in outcome.asked[subject]} == steps


@pytest.mark.parametrize(
    ("subject", "step_id"),
    [
        (SPLIT, "split.supply.5"),
        (SPLIT, "split.reconnect.2"),
        (PACKED, "packed.fetch.7"),
        (PACKED, "packed.supply.7"),
        (PACKED, "packed.supply.9b"),
        (PACKED, "packed.reconnect.1.settled"),
        (PACKED, "packed.reconnect.unmark"),
        (PACKED, "driver.use"),
        (PACKED, "crash"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_assumed_of_a_step_is_no_contradiction(subject: protocol.Subject, step_id: str) -> None:
    """Within the time in which goals are proved, nothing is found wrong with the facts and the whole invariant."""
    proof = Proof(subject)
    work = induction.proof_works(proof)[step_id]
    known = [*work.facts, *(work.hypothesis(atom) for atom in proof.atoms.values())]
    for case in work.cases:
        assert not induction.proves([*known, *case], z3.BoolVal(False), ((0.5, 0),))


def test_a_contradiction_would_be_found() -> None:
    """The same test of a step, with a guard that the invariant forbids, finds it."""
    proof = Proof(PACKED)
    work = induction.proof_works(proof)["packed.supply.9b"]
    known = [*work.facts, *(work.hypothesis(atom) for atom in proof.atoms.values()), work.before["supply.open"] == 1]
    assert induction.proves(known, z3.BoolVal(False), ((0.5, 0),))


def _sums(proof: Proof) -> dict[str, Query]:
    """Give the goals, one of each name, that say that the total of recovery is an element of an array of sums."""
    asked = [q for q in induction.queries(proof, {}) if q.work == "packed.position"]
    return {q.name: q for q in asked if q.kind == "sum"}


def test_a_total_is_an_element_of_an_array_of_sums() -> None:
    """Three goals say so, and are proved."""
    proof = Proof(PACKED)
    asked = _sums(proof)
    assert set(asked) == {"proof.live_sum counts from 0", "proof.live_sum counts on", "proof.live_sum has an end"}
    assert {r.status for r in induction.solve(proof, asked.values(), {})} == {"proved"}


@pytest.mark.parametrize(
    ("condition", "value"),
    [
        (lambda s, e: s.region.desc[e].inflight == 1, lambda s, e: s.region.desc[e].num + 1),
        (lambda s, e: s.region.desc[e].inflight == 0, lambda s, e: s.region.desc[e].num),
        (lambda _s, _e: all_of(), lambda s, e: s.region.desc[e].num),
    ],
    ids=["another value", "another condition", "no condition"],
)
def test_another_total_is_not_that_element(
    monkeypatch: pytest.MonkeyPatch, condition: Callable[..., Term], value: Callable[..., Term]
) -> None:
    """A step that adds up something else cannot be given the array's element."""

    def find(s: Any) -> None:
        slots = total(parameter("entries"), lambda e: condition(s, e), lambda e: value(s, e))
        s.fetch.avail_idx = moved(s.region.used_idx, slots)

    _quickly(monkeypatch)
    _instead(monkeypatch, PACKED, protocol.table(PACKED).edited([Replace("packed.position", {"do": find})]))
    proof = Proof(PACKED)
    (result,) = induction.solve(proof, [_sums(proof)["proof.live_sum counts on"]], {})
    assert result.status == "unknown"


def _never_flips(slot: Any, lap_: Any, by: Any, size: Any) -> tuple[Any, Any]:
    return z3.If(slot + by < size, slot + by, slot + by - size), lap_


def _one_round_only(slot: Any, lap_: Any, by: Any, size: Any) -> tuple[Any, Any]:
    return z3.If(slot + by < size, slot + by, slot + by - size), z3.If(slot + by < size, lap_, 1 - lap_)


@pytest.mark.parametrize("moved_wrongly", [_never_flips, _one_round_only])
def test_a_wrong_axiom_of_slots_is_found(monkeypatch: pytest.MonkeyPatch, moved_wrongly: Callable[..., Any]) -> None:
    """By the lemma, and by numbers."""
    assert packed_slots.place_lemma()
    monkeypatch.setattr(packed_slots, "_moved", moved_wrongly)
    assert not packed_slots.place_lemma()
    assert list(untrue("packed", 2)) != []


def test_what_needs_more_than_its_hint_is_not_shared() -> None:
    """Its key names the hinted sentences alone: another subject may not have the others."""
    proof, known = Proof(SPLIT), induction.hints("split")
    query = next(
        q for q in induction.queries(proof, known)
        if q.work == "split.fetch.2" and q.kind == "kept" and known.get(induction.hint_key(q.work, q.name))
    )  # fmt: skip
    (as_hinted,) = induction.solve(proof, [query], known)
    (without,) = induction.solve(proof, [query], {induction.hint_key(query.work, query.name): []})
    assert (as_hinted.status, as_hinted.shared) == ("proved", True)
    assert (without.status, without.shared) == ("proved", False)


def test_what_one_goal_is_asked_with_is_gone_for_the_next() -> None:
    """A solver serves the goals of a place: neither what one rests on nor that it was denied is left there."""
    at = induction._At(induction.proof_works(Proof(SPLIT))["crash"], induction.TRIES[:1])
    goal, nonsense = at.goals[0], z3.BoolVal(False)
    assert at.proves([nonsense], goal, nonsense)
    assert not at.proves([], goal, nonsense)
    assert at.proves([], goal, z3.BoolVal(True))
    assert not at.proves([], goal, nonsense)
