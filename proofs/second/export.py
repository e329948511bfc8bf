"""Writes all goals as SMT-LIB 2, a file each, so that any other solver can be asked: the answer has to be ``unsat``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from model import protocol
from model.protocol import Subject
from proofs.induction.engine import groups_for
from proofs.induction.goals import goals_of
from proofs.induction.kits import induction_of
from proofs.induction.proof import Proof
from proofs.induction.show import TRIES, hints, proof_works, proves, queries
from proofs.induction.smtlib import Writer
from proofs.second.questions import Asked, Question, head
from proofs.verdicts import recorded, subjects

__all__ = ["export", "files"]

UNSAID = re.compile(r"[^A-Za-z0-9.=_-]+")


def export(folder: Path, rings: Iterable[str], revision: str | None, progress: Callable[[int], None]) -> int:
    """Write the goals of what is recorded as proved; give the number of files, which `progress` is told as it grows."""
    number = 0
    for ring in rings:
        for name, text in files(ring, [revision] if revision else protocol.revisions(ring)):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            number += 1
            progress(number)
    return number


def files(ring: str, revisions: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Give the name and the text of each file: of each goal once, of whichever subjects it is; then of the lemmas.

    A goal is written from the sentences that its hint names, if Z3 proves it from these; otherwise from more.
    """
    known, seen = hints(ring), set[str]()
    for subject, groups in _proved(ring, revisions):
        proof = Proof(subject)
        goals = {name: goals_of(work) for name, work in proof_works(proof).items()}
        for query in queries(proof, known):
            if query.group not in groups or query.key in seen:
                continue
            seen.add(query.key)
            asked = Asked(proof, query, goals[query.work][query.number], known)
            for case, question in enumerate(_enough(asked)):
                part = f"-{case + 1}" if len(asked.cases) > 1 else ""
                path = f"{ring}/{query.work}/{query.kind}-{query.name}-{query.key[:12]}{part}.smt2"
                yield "/".join(UNSAID.sub("-", name) for name in path.split("/")), head(asked, case) + question.text
        proof_works.cache_clear()
    for name, sentences in induction_of(ring).questions():
        said = f"; ring: {ring}\n; lemma: the axioms about functions of positions: {name}\n(set-info :status unsat)\n"
        yield f"{ring}/lemmas/{UNSAID.sub('-', name)}.smt2", said + Question(list(sentences), Writer()).text


def _enough(asked: Asked) -> list[Question]:
    """Give the questions of a goal with as much of the invariant as Z3 needs."""
    questions: list[Question] = []
    for _, names in asked.attempts():
        questions = list(asked.questions(names))
        if all(proves(q.sentences[:-1], asked.goal_said, TRIES[:1]) for q in questions):
            break
    return questions


def _proved(ring: str, revisions: Iterable[str]) -> Iterator[tuple[Subject, set[str]]]:
    """Give the subjects of which something is recorded as proved, with the groups of goals that it rests on."""
    record = {(v.subject(), v.property) for v in recorded(ring) if v.verdict == "proved"}
    for subject in subjects(ring, revisions):
        if properties := {name for whose, name in record if whose == subject}:
            yield subject, groups_for(properties)
