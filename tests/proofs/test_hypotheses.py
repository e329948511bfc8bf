"""What goals are proved from is true of states of witnesses; a fact that is not is found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import z3

from model import protocol
from model.interpret import Machine
from model.protocol import Subject
from proofs.challenges import witnesses
from proofs.challenges.hypotheses import believable, subjects
from proofs.induction.kits import induction_of
from proofs.induction.proof import Proof
from proofs.induction.solver import Translator
from proofs.induction.work import StepWork, Work
from tests.model.runs import name_of, random_run

DEFAULTS = [Subject("split", "v6"), Subject("split", "merged"), Subject("packed", "hardened")]
MERGED = DEFAULTS[1]


@pytest.mark.parametrize("subject", [MERGED], ids=name_of)
def test_each_set_of_hypotheses_is_true_of_a_state(subject: Subject) -> None:
    """Of each step, in each of its cases; of the initial state, of any, and of one in which nothing is owed."""
    found = believable(subject)
    assert found.faults == []
    assert found.sets >= 50
    assert found.goals > 2000


@pytest.mark.campaign
@pytest.mark.parametrize("subject", [s for r in ("split", "packed") for s in subjects(r) if s != MERGED],
                         ids=name_of)  # fmt: skip
def test_those_of_other_forms_too(subject: Subject) -> None:
    """Of the packed ring, and of other revisions: `verify` says so of these in each run."""
    assert believable(subject).faults == []


SHAPES = {"split": ((4, 0), (2, 65534)), "packed": ((3, 2), (2, 0), (4, 5))}
"""By ring: sizes and first indexes of random runs."""

NOWHERE = {
    "elements": {"driver.use.broken", "driver.use.skipped"},
    "one-element": {"driver.use.broken", "packed.reconnect.unmark", "packed.supply.7"},
    "one-element-all-flags": {"driver.use.broken"},
}
"""Steps, or cases of them, that no run comes to: of a back-end that goes wrong; of an element that skips something,
where each has its own; of flags besides the first, where there are none."""


@pytest.mark.parametrize(
    ("ring", "choice"),
    [
        ("split", "elements"),
        ("split", "one-element"),
        *(pytest.param("packed", choice, marks=pytest.mark.campaign) for choice in NOWHERE),
    ],
)
def test_those_of_in_order_use_are_true_of_runs(monkeypatch: pytest.MonkeyPatch, ring: str, choice: str) -> None:
    """It has no recorded witnesses: random runs stand for them."""
    subject, played = Subject.of(ring, "hardened", {"in-order": choice}), []
    table = induction_of(ring).with_ghosts(protocol.table(subject))
    for seed in range(60):
        sizes = protocol.sizes(subject, *SHAPES[ring][seed % len(SHAPES[ring])])
        run = random_run(Machine(table, sizes), seed, 250, rarely=(0.002, 0.01, 0.05)[seed % 3])
        events = tuple((step, chosen) if chosen >= 0 else (step,) for step, chosen, _ in run)
        played.append(witnesses.Witness(subject, f"run {seed}", sizes, events))
    monkeypatch.setattr(witnesses, "load", lambda _: tuple(played))
    told = believable(subject)
    assert all(fault.endswith("true of no witness's state") for fault in told.faults), told.faults
    left = {fault.split(": ")[1].split(", ")[0] for fault in told.faults}
    assert left == {
        step for step in NOWHERE[choice] if not step.startswith(("split", "packed")) or step.startswith(ring)
    }


BELIEVED: dict[str, Callable[[Translator], Any]] = {
    "a contradiction": lambda t: t.size < 1,
    "small sizes": lambda t: t.size <= 4,
    "small positions": lambda t: t.first < 65000,
    "no request past 65530": lambda t: t.world("")["history.avail_pos"] < 65530,
    "nothing": lambda _: z3.BoolVal(False),
}


@pytest.mark.parametrize("name", BELIEVED)
@pytest.mark.parametrize(
    "subject", [pytest.param(s, marks=pytest.mark.campaign if s.ring == "packed" else ()) for s in DEFAULTS[1:]],
    ids=name_of,
)  # fmt: skip
def test_a_false_fact_is_found(monkeypatch: pytest.MonkeyPatch, name: str, subject: Subject) -> None:
    """It is true of some states at most, and witnesses have others."""
    told = Proof.axioms
    monkeypatch.setattr(Proof, "axioms", lambda self, t: [*told(self, t), BELIEVED[name](t)])
    assert any("not true of a witness's state" in fault for fault in believable(subject).faults)


def test_a_false_fact_of_finite_sets_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """No stuck state has requests to be resubmitted, so it is looked at elsewhere."""
    monkeypatch.setattr("proofs.split.stuck.z3.Or", lambda none, *_: none)
    assert any("not true of two requests or more" in fault for fault in believable(MERGED).faults)


def test_a_false_fact_of_one_step_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is believed at one step alone, of large rings and of arrays that the step makes."""
    told = StepWork._mentioned
    cut = lambda work: [*told(work), *([work.before["supply.count"] < 0] if work.id == "split.supply.5" else [])]  # noqa: E731
    monkeypatch.setattr(StepWork, "_mentioned", cut)
    (fault, *_) = believable(MERGED).faults
    assert "split.supply.5: not true" in fault


def test_a_case_that_never_is_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its step and its number."""
    more = property(lambda work: [[], [work.translator.size > 4]] if work.id == "crash" else [[]])
    monkeypatch.setattr(StepWork, "cases", more)
    assert believable(MERGED).faults == ["split merged: crash, case 2: true of no witness's state"]


def test_a_step_that_no_witness_takes_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the witnesses that take it."""
    few = [w for w in witnesses.load("split") if w.name == "exactly-once"]
    monkeypatch.setattr(witnesses, "load", lambda _: few)
    assert "split merged: driver.reset, case 1: true of no witness's state" in believable(MERGED).faults


def test_a_false_atom_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hypothesis that is translated wrongly is no sentence that was evaluated elsewhere."""
    told = Work.hypothesis
    monkeypatch.setattr(Work, "hypothesis", lambda self, atom: z3.Not(told(self, atom)))
    assert any("not true of a witness's state" in fault for fault in believable(MERGED).faults)
