"""A question as the command has it, and all that comes of it: one answer or two, doubts, what a back-end did wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from refimpl.choices import Choices, open_in
from refimpl.errors import UsageError
from vhost_inflight.recover.answer import FORMAT, answer, answer_line, as_line
from vhost_inflight.recover.did import Fault, faults
from vhost_inflight.recover.doubt import Doubt, doubts
from vhost_inflight.recover.given import Given, GivenError, parse
from vhost_inflight.recover.record import Recovery
from vhost_inflight.recover.running import recover
from vhost_inflight.recover.stopped import KINDS
from vhost_inflight.recover.story import story

__all__ = ["BOTH", "Answered", "Question", "document", "line", "stories"]

BOTH: Final = "both"
"""Asks for the answers of merged and of hardened."""


@dataclass(frozen=True)
class Answered:
    """A recovery, what speaks against it, and what a back-end did wrong with its bytes, None if nobody asked."""

    recovery: Recovery
    against: list[Doubt]
    wrong: list[Fault] | None

    @property
    def holds(self) -> bool:
        """Whether nothing is refused, given to the device that is shown as used, stopped wrongly, or done wrong."""
        fault = any(doubt.kind in ("shown-as-used", *KINDS) for doubt in self.against)
        return not self.wrong and not fault and (self.recovery.refused is None or self.wrong is not None)

    @property
    def silent(self) -> bool:
        """Whether there is nothing but a rule that is broken, which standard error is enough for without --json."""
        return self.recovery.refused is not None and self.wrong is None

    @property
    def document(self) -> dict[str, Any]:
        """As JSON."""
        told = answer(self.recovery, self.against)
        if self.wrong is not None:
            told["did"] = [
                {name: value for name, value in fault._asdict().items() if value is not None} for fault in self.wrong
            ]
        return told

    @property
    def line(self) -> str:
        """As a line of JSON."""
        return answer_line(self.recovery, self.against) if self.wrong is None else as_line(self.document)

    def lines(self) -> list[str]:
        """Say what is wrong, a sentence each."""
        refused = self.recovery.refused
        return [
            *([str(refused)] if refused else []),
            *(f"doubt: {doubt.text}" for doubt in self.against),
            *(f"done wrong: {fault.text}" for fault in self.wrong or ()),
        ]


@dataclass(frozen=True)
class Question:
    """What is asked of each state: a revision ("" for the state's own, or BOTH), gaps, and what a back-end did."""

    revision: str = ""
    gaps: Mapping[str, str] | None = None
    did: Any = None

    def ask(self, document: Any) -> list[Answered]:
        """Answer for a state, with one answer, or two. Raises GivenError and UsageError as `parse` and `faults` do."""
        given = parse(document, "merged" if self.revision == BOTH else self.revision, self.gaps)
        found = [given, _as_hardened(given)] if self.revision == BOTH else [given]
        return [self._answered(recover(one)) for one in found]

    def _answered(self, recovery: Recovery) -> Answered:
        try:
            wrong = faults(recovery, self.did) if self.did is not None else None
        except GivenError as error:
            raise UsageError(f"--did: {error}") from error
        return Answered(recovery, doubts(recovery), wrong)


def document(answers: list[Answered]) -> dict[str, Any]:
    """Return one answer as JSON, or two and whether they agree."""
    if len(answers) == 1:
        return answers[0].document
    return {"format": FORMAT, "agree": _agree(answers), "answers": [one.document for one in answers]}


def line(answers: list[Answered]) -> str:
    """Return `document` as a line of JSON."""
    if len(answers) == 1:
        return answers[0].line
    both = as_line({"format": FORMAT, "agree": _agree(answers), "answers": []})
    return both.replace('"answers":[]', f'"answers":[{",".join(one.line for one in answers)}]')


def _agree(answers: list[Answered]) -> bool:
    return not any(doubt.kind == "revisions-disagree" for one in answers for doubt in one.against)


def stories(answers: list[Answered]) -> str:
    """Return the story of each answer."""
    return "\n\n".join(story(one.recovery, one.against) for one in answers)


def _as_hardened(given: Given) -> Given:
    """Return an input of merged as hardened reads it, which leaves fewer gaps open."""
    gaps = {gap: choice for gap, choice in given.choices.changed().items() if "hardened" in open_in(gap)}
    return replace(given, choices=Choices.from_mapping(gaps, "hardened", given.ring))
