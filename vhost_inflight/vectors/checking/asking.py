"""One vector after the other is put to an adapter; one that wedges is started anew, and the rest goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from vhost_inflight.vectors.checking.compare import Verdict, judge, unsupported, wedged
from vhost_inflight.vectors.checking.process import Adapter, AdapterError, WedgedError
from vhost_inflight.vectors.form import Vector
from vhost_inflight.vectors.messages import Ready

__all__ = ["Checked", "check"]

_STARTS: Final = 2
"""How often in a row an adapter that wedged may fail to start again."""

_AGAIN: Final = f"the adapter did not start again, {_STARTS} times in a row"

_LATE: Final = 5
"""After so many answers in a row that did not come in time no more are asked for: a set has thousands of vectors."""


@dataclass(slots=True)
class Checked:
    """What came of all vectors: a verdict each, and ``ending``.

    That is what was wrong with how the adapter stopped, or that it did not start again; None: nothing was wrong.
    ``source`` is the file or folder of the vectors, None where they are the small set.
    """

    ready: Ready
    verdicts: list[Verdict] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    ending: str | None = None
    source: Path | None = None

    def count(self, word: str) -> int:
        """Give how many verdicts are this word."""
        return sum(verdict.word == word for verdict in self.verdicts)

    @property
    def bad(self) -> list[Verdict]:
        """The verdicts that count against the program."""
        return [verdict for verdict in self.verdicts if verdict.bad]


def check(
    command: Sequence[str], vectors: Iterable[Vector], form: str, limit: float, told: Callable[[Verdict], None]
) -> Checked:
    """Ask about all vectors; ``told`` hears each verdict.

    Raises AdapterError when the adapter cannot be asked at all; of one that does not start *again* the rest is wedged.
    """
    running = _Running(command, form, limit)
    checked = Checked(running.ready)
    try:
        for vector in vectors:
            begun = time.monotonic()
            lacks = checked.ready.lacks(vector)
            verdict = running.ask(vector) if lacks is None else unsupported(vector, lacks)
            checked.verdicts.append(verdict)
            checked.seconds.append(time.monotonic() - begun)
            told(verdict)
        checked.ending = running.stop()
    finally:
        running.close()
    return checked


class _Running:
    """The adapter that is asked now; where one wedged, the next one is started for the next vector.

    Where none starts any more, or none answers in time, it is given up: that takes long, and there are many vectors.
    """

    def __init__(self, command: Sequence[str], form: str, limit: float) -> None:
        """Start the first one. Raises AdapterError."""
        self._begun: Callable[[], Adapter] = lambda: Adapter(command, form, limit)
        self._limit, self._late = limit, 0
        self._adapter: Adapter | None = self._begun()
        self._wedged = ""
        self._lost: AdapterError | None = None
        self.ready = self._adapter.ready

    def ask(self, vector: Vector) -> Verdict:
        """Ask about a vector, and judge."""
        if self._late == _LATE:
            return wedged(vector, self._gave_up)
        adapter, begun = self._alive(), time.monotonic()
        if adapter is None:
            assert self._lost is not None
            return wedged(vector, f"it was not asked: after {self._wedged} {_AGAIN}", self._lost.why)
        try:
            answer, self._late = adapter.run(vector), 0
            return judge(vector, answer, adapter.ready.choices)
        except WedgedError as error:
            self._late = self._late + 1 if time.monotonic() - begun >= self._limit else 0
            self._wedged = vector.id
            self.close()
            return wedged(vector, *error.lines)

    @property
    def _gave_up(self) -> str:
        return f"it was not asked: {_LATE} answers in a row, the last to {self._wedged}, did not come in time"

    def _alive(self) -> Adapter | None:
        """Give one that can be asked, started where there is none; None where none starts any more."""
        if self._adapter is None and self._lost is None:
            self._start_again()
        return self._adapter

    def _start_again(self) -> None:
        for _ in range(_STARTS):
            try:
                self._adapter, self._lost = self._begun(), None
            except AdapterError as error:
                self._lost = error
            else:
                return

    def stop(self) -> str | None:
        """Tell it to end; say what is wrong with that, or with how it did not start again; None: nothing is."""
        if self._lost is not None:
            return f"after {self._wedged} {_AGAIN}: {self._lost}"
        if self._late == _LATE:
            return f"the adapter was given up: {_LATE} answers in a row did not come within {self._limit:g} seconds"
        return self._adapter.stop() if self._adapter is not None else None

    def close(self) -> None:
        """End it, if there is one."""
        if self._adapter is not None:
            self._adapter.close()
            self._adapter = None
