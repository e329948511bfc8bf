"""Many questions and answers through a pipe: JSON lines in, JSON lines out, one for one and in order."""

from __future__ import annotations

from typing import BinaryIO, TextIO

from refimpl.documents import DocumentError, read_json, read_lines
from refimpl.errors import UsageError
from vhost_inflight.recover import vector
from vhost_inflight.recover.answer import FORMAT, as_line
from vhost_inflight.recover.asking import Question, line
from vhost_inflight.recover.given import GivenError
from vhost_inflight.recover.vector import Named

__all__ = ["answer_lines"]


def answer_lines(source: BinaryIO, target: TextIO, question: Question) -> bool:
    """Answer each line of ``source`` by a line of ``target``, written at once.

    A line may be the id of a vector of the small set instead of a state, as a JSON string. One that is neither is
    answered by an error that has its number, and the next line is read. No more than one line is kept. Returns False if
    an answer does not hold. Raises UsageError, at the end, if a line was no state.
    """
    holds, wrong, first = True, 0, 0
    for number, state in enumerate(read_lines(source), 1):
        try:
            asked = read_json(state)
            answers = question.ask(vector.state(Named(asked, None)) if isinstance(asked, str) else asked)
        except (DocumentError, GivenError, UsageError) as error:
            wrong, first = wrong + 1, first or number
            told = as_line({"format": FORMAT, "line": number, "error": {"rule": error.rule, "culprit": "input"}})
        else:
            holds = holds and all(answered.holds for answered in answers)
            told = line(answers)
        target.write(told)
        target.write("\n")
        target.flush()
    if wrong:
        raise UsageError(f"{wrong} of the lines {'is' if wrong == 1 else 'are'} no state, the first is line {first}")
    return holds
