"""One vector after the other is put to an adapter; one that wedges is started anew, and the rest goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from vhost_inflight.vectors.checking.compare import Verdict, judge, unsupported, wedged
from vhost_inflight.vectors.checking.process import Adapter, WedgedError
from vhost_inflight.vectors.form import Vector
from vhost_inflight.vectors.messages import Ready

__all__ = ["Checked", "check"]


@dataclass(slots=True)
class Checked:
    """What came of all vectors: a verdict each, and ``ending``, what was wrong with how the adapter stopped."""

    ready: Ready
    verdicts: list[Verdict] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    ending: str | None = None

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
    """Ask about all vectors; ``told`` hears each verdict. Raises AdapterError when the adapter cannot be asked."""
    adapter = Adapter(command, form, limit)
    checked = Checked(adapter.ready)
    alive: Adapter | None = adapter
    try:
        for vector in vectors:
            begun = time.monotonic()
            lacks = checked.ready.lacks(vector)
            if lacks is not None:
                verdict = unsupported(vector, lacks)
            else:
                adapter = alive or Adapter(command, form, limit)
                alive = adapter
                verdict = _ask(adapter, vector)
                if verdict.word == "wedged":
                    alive = None
                    adapter.close()
            checked.verdicts.append(verdict)
            checked.seconds.append(time.monotonic() - begun)
            told(verdict)
        if alive is not None:
            checked.ending = alive.stop()
    finally:
        adapter.close()
    return checked


def _ask(adapter: Adapter, vector: Vector) -> Verdict:
    try:
        return judge(vector, adapter.run(vector), adapter.ready.choices)
    except WedgedError as error:
        return wedged(vector, str(error))
