"""What `verify` says of several solvers and of certificates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from proofs.induction.engine import Outcome
from proofs.induction.kits import kit
from proofs.induction.show import Query, Result
from proofs.second.asking import Beside, By

__all__ = ["Told", "told"]

MEANT = {"z3": "Z3", "cvc5": "cvc5"}


@dataclass
class Told:
    """Lines to print, and whether all is well: no disagreement, and no proof that the checker refused."""

    notes: list[str] = field(default_factory=list)
    good: bool = True


@dataclass(frozen=True)
class _Asked:
    name: str
    kind: str
    beside: Beside


def told(by: By, ring: str, outcome: Outcome, besides: Mapping[str, Beside]) -> Told:
    """Say what each solver answered, goal by goal where it is not ``proved``; and sum the certificates up.

    `besides`: what was asked that is no goal of a step, by name.
    """
    found = Told()
    if by == By():
        return found
    also = (_Asked(f"{ring}: {name}", "besides", beside) for name, beside in besides.items())
    goals = [*_goals(outcome), *_lemmas(by, ring), *also]
    for solver in ("z3", "cvc5"):
        _answers(found, solver, goals)
    for goal in goals:
        if goal.beside.disagree:
            found.good = False
            found.notes.append(
                f"DISAGREE: {goal.name}: Z3 says it is {goal.beside.z3}, cvc5 that it is {goal.beside.cvc5}"
            )
    if by.certify:
        _certificates(found, goals)
    return found


def _answers(found: Told, solver: str, goals: Iterable[_Asked]) -> None:
    answers = {goal.name: getattr(goal.beside, solver) for goal in goals}
    answers = {name: answer for name, answer in answers.items() if answer is not None}
    if answers:
        proved = sum(answer == "proved" for answer in answers.values())
        found.notes.append(f"{MEANT[solver]} proves {proved} of {len(answers)} goals and lemmas")
    found.notes += [f"{answer} to {MEANT[solver]}: {name}" for name, answer in answers.items() if answer != "proved"]


def _certificates(found: Told, goals: Iterable[_Asked]) -> None:
    """Sum up by kind; name each goal without a certificate, and each whose certificate was refused."""
    kinds: dict[str, list[_Asked]] = {}
    for goal in goals:
        kinds.setdefault(goal.kind, []).append(goal)
    found.notes.append("certificates, checked without a solver:  goals  accepted     steps      KB       s")
    for kind, asked in kinds.items():
        known = [goal.beside.certificate for goal in asked if goal.beside.certificate]
        accepted = sum(not c.refused for c in known)
        steps, size, seconds = (sum(getattr(c, what) for c in known) for what in ("steps", "size", "seconds"))
        found.notes.append(f"  {kind:<38} {len(asked):>6} {accepted:>9} {steps:>9} {size // 1000:>7} {seconds:>7.1f}")
    for goal in (goal for asked in kinds.values() for goal in asked):
        if goal.beside.certificate is None:
            found.notes.append(f"no certificate: {goal.name}")
        elif goal.beside.certificate.refused:
            found.good = False
            found.notes.append(f"certificate REFUSED: {goal.name}: {goal.beside.certificate.refused}")


def _goals(outcome: Outcome) -> Iterator[_Asked]:
    """Give each different goal once, and those that subjects had to show for themselves."""
    subjects = {query.key: subject for subject, asked in reversed(outcome.asked.items()) for query in asked}
    for key, result in outcome.results.items():
        yield _asked(subjects[key].name, result)
    for (subject, _), result in outcome.own.items():
        yield _asked(subject.name, result)


def _asked(subject: str, result: Result) -> _Asked:
    query: Query = result.query
    beside = result.beside if isinstance(result.beside, Beside) else Beside(z3=result.status)
    return _Asked(f"{query.ring} {subject}: {query.work}, {query.kind}, {query.name}", query.kind, beside)


def _lemmas(by: By, ring: str) -> Iterator[_Asked]:
    """Ask for the lemmas about functions of positions too; Z3 has been asked already."""
    proof = kit(ring).induction
    for name, sentences in proof.questions() if proof else ():
        yield _Asked(f"{ring}: the lemma about {name}", "lemma", by.lemma(sentences))
