"""A second solver: goals as SMT-LIB, asked of cvc5, whose proofs are checked; what is said where it does not agree."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import z3

from model import layout, protocol
from model.protocol import Subject
from model.terms import ModelError
from proofs import queues
from proofs.certificates.syntax import problem
from proofs.challenges import canaries as birds
from proofs.induction.engine import Outcome
from proofs.induction.goals import goals_of
from proofs.induction.kits import induction_of
from proofs.induction.proof import Proof
from proofs.induction.show import Query, hints, proof_works, queries
from proofs.induction.smtlib import Writer, script
from proofs.second import asking, cvc, told
from proofs.second.asking import Beside, By, Certificate
from proofs.second.beside import thoughts
from proofs.second.export import export, files
from proofs.second.questions import Asked, Question
from vhost_inflight import cli

SUBJECTS = {"split": Subject("split", "merged"), "packed": Subject("packed", "hardened")}


@cache
def proof_of(ring: str) -> Proof:
    return Proof(SUBJECTS[ring])


def some(ring: str, each: int) -> list[Query]:
    """Give a few goals of each kind."""
    kinds: dict[str, list[Query]] = {}
    for query in queries(proof_of(ring), hints(ring)):
        kinds.setdefault(query.kind, []).append(query)
    return [mine[n * len(mine) // each] for mine in kinds.values() for n in range(min(each, len(mine)))]


def asked_of(ring: str, query: Query) -> Asked:
    goals = goals_of(proof_works(proof_of(ring))[query.work])
    return Asked(proof_of(ring), query, goals[query.number], hints(ring))


def questions(ring: str, each: int = 1) -> Iterator[Question]:
    for query in some(ring, each):
        asked = asked_of(ring, query)
        yield from asked.questions(asked.hinted if asked.hinted is not None else list(asked.usable))


# SMT-LIB.


@pytest.mark.parametrize("ring", protocol.RINGS)
def test_what_is_written_is_what_is_asked(ring: str) -> None:
    """Z3 reads the text as what was written: written again it is the same text, and no sentence is missing."""
    for question in questions(ring):
        read = list(z3.parse_smt2_string(question.text))
        assert script(Writer(), read) == question.text
        sentences = list({s.get_id(): s for s in question.sentences}.values())
        assert len(problem(question.text).sentences) == len(read)
        for sentence, other in zip(sentences, read, strict=True):
            if not any(sign in sentence.sexpr() for sign in ("!", "forall", "exists")):  # what is not numbered anew
                solver = z3.Solver()
                solver.add(z3.Not(sentence == other))
                assert solver.check() == z3.unsat


def test_the_text_is_the_same_each_time_and_no_variable_is_captured() -> None:
    x, k, other = z3.Int("x!7"), z3.Int("k!3"), z3.Int("k!9")
    said = [z3.ForAll([x], x + k > other), k == -1, z3.Const("two words", z3.IntSort()) == other]
    text = script(Writer(), said)
    assert text == script(Writer(), said)
    assert "(forall ((x?1 Int)) (> (+ x?1 k!1) k!2))" in text
    assert "(= k!1 (- 1))" in text
    assert "(declare-fun |two words| () Int)" in text
    with pytest.raises(AssertionError, match="is two things"):
        script(Writer(), [k == 1, z3.Array("k!3", z3.IntSort(), z3.IntSort())[0] == 1])
    with pytest.raises(AssertionError, match="bound variables alone"):
        script(Writer(), [z3.Int("a?1") == 1])


def test_each_file_says_what_it_is_and_any_solver_can_be_asked(tmp_path: Path) -> None:
    found = dict(islice(files("split", ["merged"]), 30))
    assert len(found) == 30
    for name, text in found.items():
        assert name.endswith(".smt2")
        for line in ("; ring: split", "; revision: merged", "; step: ", "; kind: ", "; sentence: ", "; term: "):
            assert line in text
        assert ":status unsat" in text
        solver = z3.Solver()
        solver.from_string(text)
        assert solver.check() == z3.unsat
    name, text = next(iter(found.items()))
    (tmp_path / "one.smt2").write_text(text, encoding="utf-8")
    assert cvc.ask(text).status == "unsat"


def test_the_lemmas_are_files_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proofs.second.export.recorded", lambda _: [])
    numbers: list[int] = []
    assert export(tmp_path, protocol.RINGS, None, numbers.append) == 17 == numbers[-1]
    assert len(list(tmp_path.glob("*/lemmas/*.smt2"))) == 17


# Asking.


@pytest.mark.parametrize("ring", protocol.RINGS)
def test_both_solvers_prove_and_the_proofs_are_checked(ring: str) -> None:
    """A few goals of each kind."""
    results = By("both", certify=True)(proof_of(ring), some(ring, 1), hints(ring))
    for result in results:
        assert (result.beside.z3, result.beside.cvc5) == ("proved", "proved"), result
        assert result.beside.certificate.steps > 0
        assert not result.beside.certificate.refused


@pytest.mark.parametrize("ring", protocol.RINGS)
def test_a_lemma_has_a_certificate(ring: str) -> None:
    *_, (_, sentences) = induction_of(ring).questions()
    beside = By("cvc5", certify=True).lemma(sentences)
    assert beside.cvc5 == "proved"
    assert beside.certificate is not None
    assert not beside.certificate.refused


@pytest.mark.parametrize("ring", protocol.RINGS)
def test_cvc5_proves_nothing_false(ring: str) -> None:
    """One of each kind: not by itself, and not with what it is told to think of besides."""
    seen: dict[str, int] = {}
    for canary in birds.canaries(ring):
        seen[canary.kind] = seen.get(canary.kind, 0) + 1
        if seen[canary.kind] == 1:
            question = Question([*canary.facts, z3.Not(canary.goal)], Writer())
            assert cvc.ask(question.text).status != "unsat", canary.name
            assert cvc.ask(question.thoughtful).status != "unsat", canary.name


@pytest.mark.parametrize("ring", protocol.RINGS)
def test_what_is_thought_of_besides_is_true(ring: str) -> None:
    for question in questions(ring, 3):
        for thought in thoughts(question.sentences):
            solver = z3.Solver()
            solver.add(z3.Not(thought))
            assert solver.check() == z3.unsat, thought


# Where they do not agree.


def _told(by: By, monkeypatch: pytest.MonkeyPatch, answer: cvc.Answer) -> tuple[Any, told.Told]:
    """Ask one goal, cvc5 answering what we say."""
    monkeypatch.setattr(cvc, "ask", lambda *_, **__: answer)
    query = some("split", 1)[3]
    results = by(proof_of("split"), [query], hints("split"))
    outcome = Outcome(asked={SUBJECTS["split"]: [query]}, results={query.key: results[0]})
    monkeypatch.setattr(told, "_lemmas", lambda *_: ())
    return results[0], told.told(by, "split", outcome, {})


def test_a_disagreement_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    result, said = _told(By("both"), monkeypatch, cvc.Answer("sat", 0.0))
    assert result.status == "denied"
    assert not said.good
    assert any(note.startswith("DISAGREE: split merged: ") for note in said.notes)


def test_what_z3_denies_is_a_disagreement_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "solve", lambda _, wanted, __: [_unknown(q) for q in wanted])
    monkeypatch.setattr(asking, "_z3_says", lambda _: z3.sat)
    result, said = _told(By("both"), monkeypatch, cvc.Answer("unsat", 0.0))
    assert result.beside == Beside("denied", "proved")
    assert not said.good


def _unknown(query: Query) -> Any:
    from proofs.induction.show import Result

    return Result(query, "unknown", 0.0)


def test_what_is_unknown_to_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    result, said = _told(By("both"), monkeypatch, cvc.Answer("unknown", 0.0))
    assert result.status == "proved"
    assert said.good
    assert "Z3 proves 1 of 1 goals and lemmas" in said.notes
    assert "cvc5 proves 0 of 1 goals and lemmas" in said.notes
    assert any(note.startswith("unknown to cvc5: split merged: ") for note in said.notes)
    result, _ = _told(By("cvc5"), monkeypatch, cvc.Answer("unknown", 0.0))
    assert result.status == "unknown"


@pytest.mark.parametrize("proof", ["", "((assume h false) (step t (cl) :rule resolution :premises (h)))"])
def test_a_proof_that_is_refused_is_a_failure(monkeypatch: pytest.MonkeyPatch, proof: str) -> None:
    result, said = _told(By("z3", certify=True), monkeypatch, cvc.Answer("unsat", 0.0, proof))
    assert result.status == "proved"
    assert result.beside.certificate.refused
    assert not said.good
    assert any(note.startswith("certificate REFUSED: split merged: ") for note in said.notes)


def test_a_goal_without_a_certificate_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    _, said = _told(By("z3", certify=True), monkeypatch, cvc.Answer("unknown", 0.0))
    assert any(note.startswith("no certificate: split merged: ") for note in said.notes)


def test_certificates_are_summed_up_by_kind() -> None:
    one = told._Asked("a", "kept", Beside("proved", "proved", Certificate(2000, 7, 0.5)))
    other = told._Asked("b", "kept", replace(one.beside, certificate=Certificate(3000, 8, 0.25, "wrong")))
    said = told.Told()
    told._certificates(said, [one, other])
    assert said.notes[1].split() == ["kept", "2", "1", "15", "5", "0.8"]
    assert not said.good


def test_a_proof_of_another_goal_is_refused() -> None:
    """The proof of each goal is checked against the question of the next."""
    several = list(islice(questions("split"), 6))
    proofs = [cvc.ask(q.text, proof=True).proof for q in several]
    assert all(asking._checked(Certificate(), q.text, p).refused == "" for q, p in zip(several, proofs, strict=True))
    for question, proof in zip(several, [*proofs[1:], proofs[0]], strict=True):
        if "not in the problem" not in (why := asking._checked(Certificate(), question.text, proof).refused):
            assert "unknown symbol" in why


def test_without_cvc5_it_is_said_who_must_mend_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cvc, "find_spec", lambda _: None)
    By().need()
    for by in (By("cvc5"), By("both"), By(certify=True)):
        with pytest.raises(ModelError, match="cvc5 is not installed: pip install"):
            by.need()


def test_there_is_no_third_solver(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["vhost-inflight", "verify", "--solver", "z4"])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 2
    assert "z3" in capsys.readouterr().err


# What is no goal of a step: queues, several requests at once.


def test_what_is_asked_besides_has_a_certificate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Z3 decides; what cvc5 says of it is told, with its certificate, and a disagreement of the two is a failure."""
    number, also = z3.Int("number"), asking.Also(By("z3", certify=True))
    assert also("above", [number >= 1], number >= 0)
    assert also("above", [number >= 2], number >= 0)
    assert not also("below", [number >= -1], number >= 0)
    assert [(name, b.z3, b.cvc5, b.certificate is not None) for name, b in also.asked.items()] == [
        ("above", "proved", "proved", True),
        ("above (1)", "proved", "proved", True),
        ("below", "unknown", "denied", False),
    ]
    monkeypatch.setattr(told, "_lemmas", lambda *_: ())
    said = told.told(also.by, "split", Outcome(), also.asked)
    assert said.good
    assert "no certificate: split: below" in said.notes
    wrong = {"above": Beside("proved", "denied")}
    assert not told.told(also.by, "split", Outcome(), wrong).good
    asking.Also(By())("quiet", [], z3.BoolVal(True))


def test_regions_of_several_queues_are_apart_by_certificate() -> None:
    also = asking.Also(By("z3", certify=True))
    assert also("product", [], queues._product(*z3.Ints("one other")))
    assert list(queues.regions(layout.region("packed", "merged"), 64, also)) == []
    assert len(also.asked) == 7
    assert all(b.certificate and not b.certificate.refused for b in also.asked.values())
