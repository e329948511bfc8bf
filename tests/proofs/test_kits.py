"""Two rings, one machinery: what each has to say of itself is said, and what is not written yet is no error."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from model import protocol
from model.both.words import DEAD, RUNNING
from model.interpret import Machine
from model.properties import NAMES
from model.protocol import Subject
from model.terms import ModelError
from proofs import verify
from proofs.challenges import witnesses
from proofs.induction import kits
from proofs.induction import show as induction
from proofs.induction.engine import prove_all
from proofs.induction.kits import Induction, Kit, NoProofError, induction_of, kit
from proofs.search.bounds import Bounds
from proofs.search.breadth_first import explore, table_for
from proofs.search.judges import UNFAIR, Restarts
from proofs.search.runs import left, runs

MERGED = Subject("split", "merged")
SAFE = frozenset(NAMES) - {"drains"}


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take from every ring what is written of its proof."""
    for module in (kits, verify, witnesses):
        monkeypatch.setattr(module, "kit", lambda _: Kit())


@pytest.mark.parametrize("ring", protocol.RINGS)
def test_what_the_judges_look_at_is_there(ring: str) -> None:
    """Every step and variable that judging and searching name exists, in each revision."""
    told = runs(ring)
    for revision in protocol.revisions(ring):
        table = protocol.table(Subject(ring, revision))
        named = {told.resubmit, told.made, "crash", "driver.make.1", "driver.reset", "connection.reset"}
        assert named <= set(table.steps)
        assert table.steps[told.resubmit].choice is not None
        assert {*told.end, "recover.left", "recover.resubmitted", "driver.requests"} <= set(table.vars)
        assert {label for s in table.of("recover") for label in (*s.at, s.to)} >= {DEAD, RUNNING}
        assert set(told.quiet(table).steps) < set(table.steps)


@pytest.mark.parametrize("ring", protocol.RINGS)
def test_a_ring_is_searched(ring: str) -> None:
    """Runs of both rings are judged, for every property; v6 is searched through within the smallest bounds."""
    subject = Subject(ring, "v6")
    for properties in (SAFE, frozenset({"drains"})):
        bounds = Bounds(1, 1, 1)
        found = explore(table_for(subject, properties), protocol.sizes(subject, 1), bounds, properties, every=True)
        assert found.complete
        assert found.states > 100


@pytest.mark.parametrize("ring", protocol.RINGS)
def test_recovery_of_an_idle_ring_has_one_outcome(ring: str) -> None:
    """It resubmits nothing, and ends with as many numbers as the ring says."""
    machine = Machine(protocol.table(Subject(ring, "merged")), protocol.sizes(Subject(ring, "merged"), 2))
    (outcome,) = Restarts(machine).outcomes(machine.initial())
    there, resubmitted = outcome
    assert resubmitted == ()
    assert isinstance(there, tuple)
    assert len(there) + 1 == len(left(ring, machine.table.vars))


def test_there_is_no_third_ring() -> None:
    """The error says which there are."""
    with pytest.raises(ModelError, match="there are: split, packed"):
        runs("round")


def test_a_ring_without_a_folder_has_an_empty_kit() -> None:
    """Nothing is written, so nothing is proved; asking for the proof is an error that names the ring."""
    assert kit("round") == Kit()
    with pytest.raises(NoProofError, match="round"):
        induction_of("round")


def test_a_mistake_in_a_kit_is_not_taken_for_a_missing_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that a kit imports and that does not exist stays an error."""
    import proofs

    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "kit.py").write_text("import proofs.no_such_module\n")
    monkeypatch.setattr(proofs, "__path__", [*proofs.__path__, str(tmp_path)])
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        kit("broken")


@pytest.mark.usefixtures("bare")
def test_without_an_invariant_nothing_is_proved() -> None:
    """The subject failed, with a reason; no property is proved."""
    outcome = prove_all([MERGED])
    assert outcome.failed == {MERGED: "the split ring has no invariant to prove anything with"}
    assert outcome.properties(MERGED) == set()


@pytest.mark.usefixtures("bare")
def test_without_an_invariant_searches_judge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What no record knows is bounded, or violated, by a search; that there is no proof is said."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(verify, "recorded", lambda _: [])
    monkeypatch.setattr(verify, "default_bounds", lambda *_: (Bounds(2, 1, 1),))
    asked = {"ring": "split", "revision": "merged", "search": False}
    assert verify.run(property_name="intact", gaps={"reset": "kept"}, **asked)  # type: ignore[arg-type]
    out = capsys.readouterr().out
    assert "bounded" in out
    assert "1 without a proof: the split ring has no invariant" in out
    assert not verify.run(property_name="intact", gaps={"used-element": "after-publish"}, **asked)  # type: ignore[arg-type]
    assert "violated" in capsys.readouterr().out


def test_goals_of_two_rings_are_never_one_query(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key of a query says of which ring it is: their axioms differ."""
    from proofs.induction.proof import Proof

    proof = Proof(MERGED)
    here = {q.key for q in induction.queries(proof, {})}
    judged = protocol.judgements("split")
    monkeypatch.setattr(protocol, "judgements", lambda _: judged)
    monkeypatch.setattr(proof, "subject", Subject("packed", "merged"))
    assert not here & {q.key for q in induction.queries(proof, {})}


def test_hints_are_those_of_the_ring() -> None:
    """A ring without a folder has none."""
    assert induction.hints("split")
    assert induction.hints("round") == {}


def test_the_kit_of_the_split_ring_is_complete() -> None:
    """All three parts; what it names is there: of the table, or, for in-order use alone, of that table."""
    told = kit("split")
    assert isinstance(told.induction, Induction)
    assert told.mutation is not None
    assert told.witnessing is not None
    assert set(told.witnessing.marks) == set(NAMES)
    table = told.induction.with_ghosts(protocol.table(MERGED))
    named = {
        *told.induction.indexes,
        *told.induction.leaves(table),
        *told.induction.triggers,
        *told.induction.counts.values(),
    }
    of_order = protocol.table(Subject.of("split", "hardened", {"in-order": "elements"}))
    assert named - set(table.vars) == {"proof.turn_sum"} <= set(told.induction.with_ghosts(of_order).vars)
    assert UNFAIR & set(table.steps)
    assert all(lemma() for lemma in told.induction.lemmas.values())


def test_judging_needs_no_solver() -> None:
    """Whoever plays a schedule does not wait for Z3 to load."""
    code = "import sys, proofs.search.breadth_first, proofs.search.judges, proofs.verdicts; print('z3' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
