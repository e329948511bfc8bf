"""Many questions and answers through a pipe: JSON lines in, JSON lines out, one for one and in order."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, BinaryIO, TextIO

from refimpl.documents import DocumentError, read_json, read_lines
from refimpl.errors import UsageError
from vhost_inflight.recover.answer import FORMAT, answer
from vhost_inflight.recover.doubt import doubts
from vhost_inflight.recover.given import Given, GivenError
from vhost_inflight.recover.record import recover

__all__ = ["answer_lines"]


def answer_lines(source: BinaryIO, target: TextIO, read: Callable[[Any], Given]) -> bool:
    """Answer each line of ``source`` by a line of ``target``, written at once; ``read`` makes a state of a document.

    A line that is no state is answered by an error that has its number, and the next line is read. No more than one
    line is kept. Returns False if the bytes of one broke a rule, or an answer gives the device what the ring shows as
    used. Raises UsageError, at the end, if a line was no state.
    """
    holds, wrong, first = True, 0, 0
    for number, line in enumerate(read_lines(source), 1):
        try:
            recovery = recover(read(read_json(line)))
        except (DocumentError, GivenError, UsageError) as error:
            wrong, first = wrong + 1, first or number
            told: dict[str, Any] = {"format": FORMAT, "line": number, "error": {"rule": error.rule, "culprit": "input"}}
        else:
            against = doubts(recovery)
            holds = holds and recovery.refused is None and not any(doubt.kind == "shown-as-used" for doubt in against)
            told = answer(recovery, against)
        target.write(json.dumps(told, separators=(",", ":")) + "\n")
        target.flush()
    if wrong:
        raise UsageError(f"{wrong} of the lines {'is' if wrong == 1 else 'are'} no state, the first is line {first}")
    return holds
