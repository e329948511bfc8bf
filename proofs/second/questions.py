"""Goals as questions in SMT-LIB 2: whether there is a state in which all that is known holds, and the goal does not.

A goal is shown in one case or in several; each is a question of its own, and all have to be answered with *no*.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

import z3

from proofs.induction import show
from proofs.induction.atoms import KINDS, Goal
from proofs.induction.proof import Proof
from proofs.induction.show import Query, hint_key, proof_works
from proofs.induction.smtlib import Writer, script
from proofs.induction.work import StepWork, Work
from proofs.second.beside import thoughts

__all__ = ["Asked", "Question", "head"]


class Question:
    """Sentences, asked whether they can all be true; proved is what has the answer ``unsat``."""

    def __init__(self, sentences: list[Any], writer: Writer) -> None:
        """Take the sentences, the negated goal last."""
        self.sentences, self._writer = sentences, writer

    @cached_property
    def text(self) -> str:
        """Write it."""
        return script(self._writer, self.sentences)

    @cached_property
    def thoughtful(self) -> str:
        """Write it with what to think of besides."""
        return script(self._writer, [*self.sentences, *thoughts(self.sentences)])


class Asked:
    """A goal of one subject, to be asked: what it may be shown from, and in which cases."""

    def __init__(self, proof: Proof, query: Query, goal: Goal, known: Mapping[str, list[str]]) -> None:
        """Take the goal, and the hints; nothing is translated before it is needed."""
        self.proof, self.query, self.goal = proof, query, goal
        self.work: Work = proof_works(proof)[query.work]
        self.usable = self.work.usable(goal)
        hint = known.get(hint_key(query.work, goal.name))
        self.hinted = None if hint is None else [name for name in hint if name in self.usable]
        self._writer = Writer()

    @cached_property
    def goal_said(self) -> Any:
        """Translate the goal: before what is known, since facts may come of that."""
        return self.goal.expr()

    @property
    def negated(self) -> Any:
        """Give the goal, negated."""
        return z3.Not(self.goal_said)

    @cached_property
    def cases(self) -> list[list[Any]]:
        """Give the cases in which it is shown; that there is no other is a goal of its own."""
        return self.work.cases if self.goal.kind != "case" else [[]]

    def known(self, names: list[str]) -> list[Any]:
        """Give what is known in each case: facts, and some atoms of the invariant."""
        _ = self.goal_said
        return [*self.work.facts, *self.goal.facts(), *(self.work.hypothesis(self.usable[n]) for n in names)]

    def questions(self, names: list[str]) -> Iterator[Question]:
        """Give the question of each case, with some atoms of the invariant."""
        known = self.known(names)
        for case in self.cases:
            yield Question([*known, *case, self.negated], self._writer)

    def attempts(self) -> Iterator[tuple[bool, list[str]]]:
        """Give what to show it from, in turn: what the hint names; what Z3 needed of all atoms; all of them.

        Whether it is the first says that no more is used than the query's key names.
        """
        if self.hinted is not None:
            yield True, self.hinted
            needed = self._needed()
            if needed is not None:
                yield False, needed
        yield self.hinted is None, list(self.usable)

    def _needed(self) -> list[str] | None:
        """Find atoms that Z3 proves the goal from, where the hint is of a goal that needs fewer."""
        hypotheses = {name: self.work.hypothesis(atom) for name, atom in self.usable.items()}
        found: dict[str, None] = {}
        for case in self.cases:
            found |= dict.fromkeys(show.core_of([*self.known([]), *case], hypotheses, self.goal_said))
        return list(found) if len(found) < len(hypotheses) else None


def head(asked: Asked, case: int) -> str:
    """Say in comments what a file asks: of which subject, at which step, what the sentence is."""
    query, subject, goal = asked.query, asked.proof.subject, asked.goal
    told = {
        "ring": subject.ring,
        "revision": subject.revision,
        "choices": ", ".join(f"{gap}={choice}" for gap, choice in subject.choices) or "every gap at its default",
        "step": query.work,
        "which": asked.work.step.sentence if isinstance(asked.work, StepWork) else "",
        "kind": f"{query.kind}: {KINDS[query.kind]}",
        "sentence": query.name,
        "group": query.group,
        "term": goal.text,
        "case": f"{case + 1} of {len(asked.cases)}" if len(asked.cases) > 1 else "",
    }
    lines = [f"; {name}: {' '.join(text.split())}" for name, text in told.items() if text]
    source = _quoted(f"vhost-inflight, {subject.ring} {subject.name}: {query.work}, {query.kind}, {query.name}")
    lines += ["(set-info :smt-lib-version 2.6)", f"(set-info :source |{source}|)", "(set-info :status unsat)"]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return text.replace("|", "/").replace("\\", "/")
