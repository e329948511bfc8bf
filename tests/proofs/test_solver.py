"""The solver's side: terms mean there what they mean on plain numbers, and what is wrong is not proved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import z3

from model import protocol
from model.record import State, record_term
from model.steps import Edit, Replace
from model.terms import Term, all_of, any_of, constant, exists, forall, ite, negate, parameter, show, wrap
from proofs import engine
from proofs.engine import prove_all
from proofs.goals import atoms
from proofs.solver import Translator
from proofs.split.slots import slot_lemma

MERGED = protocol.Subject.of("split", "merged", {})


def test_slot_lemma() -> None:
    """The two facts about slots hold for every size that virtio allows."""
    assert slot_lemma()


def _value(term: Term, **numbers: int) -> Any:
    translator = Translator(protocol.table(MERGED))
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

    table = protocol.table(MERGED)
    parts = [show(part) for part in atoms(record_term(table.vars, sentence))]
    assert len(parts) == 3
    assert [("kick" in part, "call" in part) for part in parts] == [(True, False), (True, True), (True, True)]


def _drop(step_id: str, name: str) -> Edit:
    """Make a step that does all it did but one store."""
    step = protocol.table(MERGED).step(step_id)

    def do(s: State, *args: Term) -> None:
        step.do(s, *args)
        s._assigns[:] = [a for a in s._assigns if a.name != name]

    return Replace(step_id, {"do": do})


@pytest.mark.parametrize(
    ("step_id", "field", "lost"),
    [
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
    ],
)
def test_wrong_step_is_not_proved(monkeypatch: pytest.MonkeyPatch, step_id: str, field: str, lost: str) -> None:
    """A store dropped from a step costs the proof of the property that needs it."""
    original, edit = protocol.table, _drop(step_id, field)

    def broken(subject: protocol.Subject, *, quiet: bool = False) -> Any:
        return original(subject, quiet=quiet).edited([edit])

    monkeypatch.setattr(protocol, "table", broken)
    monkeypatch.setattr(engine, "PATIENCE", 1)
    outcome = prove_all([MERGED], properties={MERGED: {lost}}, only={step_id})
    assert lost not in outcome.properties(MERGED)


def test_right_step_is_proved() -> None:
    """The same goals, of the step as it is, are proved: the test above does not fail for another reason."""
    steps = {"split.fetch.2", "split.reconnect.ready"}
    outcome = prove_all([MERGED], properties={MERGED: {"nothing-lost", "drains"}}, only=steps)
    assert outcome.properties(MERGED) == {"nothing-lost", "drains"}
