"""Asks goals of the solvers that are chosen, and has cvc5's proofs checked: what `prove_all` asks by.

What one solver proves from some sentences and the other denies from the same is a disagreement: one of them is wrong.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import z3

from proofs.certificates.check import check
from proofs.certificates.terms import Refused
from proofs.induction.goals import goals_of
from proofs.induction.proof import Proof
from proofs.induction.show import Query, Result, by_z3, proof_works, solve
from proofs.induction.smtlib import Writer
from proofs.second import cvc
from proofs.second.questions import Asked, Question

__all__ = ["SOLVERS", "Also", "Beside", "By", "Certificate"]

SOLVERS = ("z3", "cvc5", "both")


@dataclass(frozen=True)
class Certificate:
    """The proof of a goal, in all its cases: its size in bytes, its steps, the checker's seconds, what is wrong."""

    size: int = 0
    steps: int = 0
    seconds: float = 0.0
    refused: str = ""


@dataclass(frozen=True)
class Beside:
    """What was found about a goal: what each solver said (``proved``, ``unknown``, ``denied``), the certificate.

    No certificate: cvc5 found no proof, or none was asked for.
    """

    z3: str | None = None
    cvc5: str | None = None
    certificate: Certificate | None = None

    @property
    def disagree(self) -> bool:
        """Whether one solver proved what the other denied."""
        return {"proved", "denied"} == {self.z3, self.cvc5}


@dataclass(frozen=True)
class By:
    """Asks goals by Z3, by cvc5 or by both; `certify`: with certificates."""

    solver: str = "z3"
    certify: bool = False

    @property
    def names(self) -> str:
        """Name the solvers of which one, at least, proved a goal."""
        return {"z3": "Z3", "cvc5": "cvc5", "both": "Z3 or cvc5"}[self.solver]

    def need(self) -> None:
        """Raise `ModelError` where a solver that is needed is not installed."""
        if self != By():
            cvc.need()

    def __call__(self, proof: Proof, wanted: list[Query], known: dict[str, list[str]]) -> list[Result]:
        """Ask some goals of one subject."""
        first = {r.query: r for r in solve(proof, wanted, known)} if self.solver != "cvc5" else {}
        if self.solver == "z3" and not self.certify:
            return list(first.values())
        goals = {name: goals_of(proof_works(proof)[name]) for name in dict.fromkeys(q.work for q in wanted)}
        asked = (Asked(proof, query, goals[query.work][query.number], known) for query in wanted)
        return [self._joined(first.get(each.query), each) for each in asked]

    def lemma(self, sentences: Sequence[Any], of_z3: str | None = None) -> Beside:
        """Ask cvc5 for a lemma: that some sentences cannot all be true; Z3 may have said something of it."""
        return self._ask([Question(list(sentences), Writer())], Beside(of_z3))

    def _joined(self, of_z3: Result | None, asked: Asked) -> Result:
        """Join what both say: proved is what one proves and the other does not deny."""
        status = of_z3.status if of_z3 else None
        other, beside = self._by_cvc5(asked, Beside(status))
        if of_z3 is None:
            return other
        if self.solver == "z3":
            return replace(of_z3, beside=beside)
        better = of_z3 if status == "proved" else other
        seconds = of_z3.seconds + other.seconds
        return replace(better, status="denied" if beside.disagree else better.status, seconds=seconds, beside=beside)

    def _by_cvc5(self, asked: Asked, before: Beside) -> tuple[Result, Beside]:
        """Ask cvc5, from more and more of the invariant until it proves the goal."""
        started, beside = time.monotonic(), before
        names, shared = list[str](), True
        for shared, names in asked.attempts():  # noqa: B007 - what it was shown from is the last
            beside = self._ask(asked.questions(names), before)
            if beside.cvc5 == "proved" or beside.disagree:
                break
        result = Result(asked.query, str(beside.cvc5), time.monotonic() - started, tuple(names), shared, beside)
        return result, beside

    def _ask(self, cases: Iterable[Question], before: Beside) -> Beside:
        """Ask the question of each case: each has to be proved."""
        whole = Certificate()
        for question in cases:
            answer = self._answer(question)
            if answer.status == "sat":
                z3_says = "proved" if _z3_says(question) == z3.unsat else before.z3
                return replace(before, z3=z3_says if before.z3 else None, cvc5="denied")
            if answer.status == "unknown":
                return replace(before, cvc5="unknown")
            if before.z3 == "unknown" and _z3_says(question) == z3.sat:
                return replace(before, z3="denied", cvc5="proved")
            if self.certify:
                whole = _checked(whole, question.text, answer.proof)
        return replace(before, cvc5="proved", certificate=whole if self.certify else None)

    def _answer(self, question: Question) -> cvc.Answer:
        """Ask in several ways, what costs least first."""
        answer = cvc.Answer("unknown", 0.0)
        for options in cvc.TRIES:
            for thoughtful in (False, True):
                if answer.status == "unknown":
                    text = question.thoughtful if thoughtful else question.text
                    answer = cvc.ask(text, options, proof=self.certify)
        return answer


@dataclass
class Also:
    """Asks what is no goal of a step: Z3 and, where more is asked for, cvc5; `asked` has what both said, by name."""

    by: By
    asked: dict[str, Beside] = field(default_factory=dict)

    def __call__(self, name: str, facts: Sequence[Any], goal: Any) -> bool:
        """Whether the goal follows from the facts, as Z3 says."""
        shown = by_z3(name, facts, goal)
        if self.by != By():
            unique = f"{name} ({len(self.asked)})" if name in self.asked else name
            self.asked[unique] = self.by.lemma([*facts, z3.Not(goal)], "proved" if shown else "unknown")
        return shown


def _z3_says(question: Question) -> object:
    solver = z3.SimpleSolver()
    solver.set("auto_config", False)
    solver.set("smt.mbqi", False)
    solver.set("rlimit", 1_000_000)
    solver.add(*question.sentences)
    return solver.check()


def _checked(before: Certificate, question: str, proof: str) -> Certificate:
    """Check the proof of a case: of the very question, and not of what was thought of besides."""
    started = time.monotonic()
    try:
        steps, refused = check(question, proof), before.refused
    except Refused as why:
        steps, refused = 0, str(why)
    return Certificate(
        before.size + len(proof), before.steps + steps, before.seconds + time.monotonic() - started, refused
    )
