"""Tries one case: a back-end lives and dies as the case says, lives once more, and is judged."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from vhost_inflight.conformance.driver import Request
from vhost_inflight.conformance.judge import SEVERITIES, Broken, judge_memory, state_of, word
from vhost_inflight.conformance.life import Ending, Rig, Setup
from vhost_inflight.conformance.load import LOADS, Load
from vhost_inflight.conformance.points import Case, Point, points

__all__ = ["LastLife", "Verdict", "last_life", "stores_after", "stride_of", "try_case"]

_AGAIN: Final = 3
"""How often a case is tried that came otherwise than expected."""

_DRAWS: Final = 6
"""How often a random time is drawn, each time half as long as before, for one that was not killed in time."""


@dataclass
class Verdict:
    """What came of a case: ``word`` is one of WORDS, ``points`` the stores at which its lives ended.

    ``lives`` are all stores of those lives, ``after`` those of the life after them, where somebody looked for them;
    ``state`` is the memory as `recover` takes it, after the last death; ``served`` the seconds of the last life.
    """

    case: Case
    word: str
    points: tuple[Point, ...] = ()
    broken: list[Broken] = field(default_factory=list)
    why: str = ""
    seconds: float = 0.0
    lives: tuple[Sequence[Point], ...] = ()
    after: Sequence[Point] = ()
    state: dict[str, Any] | None = None
    served: float = 0.0

    @property
    def bad(self) -> bool:
        """Whether it counts against the back-end."""
        return self.word in {"fail", "reject", "wedged"}

    @property
    def severity(self) -> str:
        """What a guest suffers at worst; "" where nothing is wrong."""
        found = [severity for name, severity in SEVERITIES.items() if any(one.property == name for one in self.broken)]
        return min(found, key=list(SEVERITIES.values()).index, default="")


def try_case(setup: Setup, case: Case, aims: Sequence[Point], seconds: float = 0.0) -> Verdict:
    """Try a case, and judge it: its lives end at ``aims``; a random one ends within ``seconds``.

    Raises InflightError where there is nothing to judge.
    """
    begin = time.monotonic()
    for again in range(_DRAWS if case.random else _AGAIN):
        verdict = _tried(setup, case, aims, seconds / 2**again)
        if verdict.word != "skip":
            break
    verdict.seconds = time.monotonic() - begin
    return verdict


def _tried(setup: Setup, case: Case, aims: Sequence[Point], seconds: float) -> Verdict:
    load = LOADS[case.load]
    broken: list[Broken] = []
    with _Housed(setup, load) as rig:
        skipped = _random(rig, load, case, broken, seconds) if case.random else _deaths(rig, load, case, aims, broken)
        if skipped is not None:
            return Verdict(case, "skip", tuple(aims), why=skipped)
        state = state_of(rig, setup.choices)
        ending = rig.live()
        if ending.how == "done" and not rig.client.wrong:
            rig.client.judge_disk(rig.disk)
            broken += judge_memory(rig, setup.choices)
        broken += [Broken(name, "driver", text) for name, text in rig.client.wrong]
    if ending.how != "done":
        broken.append(Broken("drains", "life", ending.why))
    told = word(ending, broken)
    return Verdict(case, told, tuple(aims), broken, ending.why, state=state, served=ending.seconds)


def stride_of(setup: Setup, load: Load) -> int | None:
    """Return how far apart regions lie in the shared buffer, as a life without a crash shows; None where it does not.

    Raises InflightError where it cannot be started, or lacks what it takes.
    """
    with _Housed(setup, load) as rig:
        rig.live()
        return rig.found_stride()


def stores_after(setup: Setup, case: Case, aims: Sequence[Point]) -> list[Point]:
    """Give the stores of the life after the deaths of a case; none, where it did not come to them.

    Raises TracingError where it cannot be traced.
    """
    return last_life(setup, case, aims).points


@dataclass(frozen=True)
class LastLife:
    """The life after the deaths of a case: its stores, how it ended ("" where it did not begin), and all requests.

    ``made`` is what was made available at once, by life, with the times between two of them; ``event_index`` whether
    event indexes were negotiated.
    """

    points: list[Point]
    how: str
    made: list[list[list[Request]]]
    event_index: bool = False


def last_life(setup: Setup, case: Case, aims: Sequence[Point]) -> LastLife:
    """Live through the deaths of a case, and give the life after them. Raises TracingError."""
    load = LOADS[case.load]
    with _Housed(setup, load) as rig:
        if _deaths(rig, load, case, aims, []) is not None:
            return LastLife([], "", rig.client.made)
        ending = rig.live(seek=True)
    seen = ending.tracer.seen if ending.tracer is not None else []
    found = points(seen, setup.ring, setup.choices.revision)
    return LastLife(found, ending.how, rig.client.made, rig.front_end.event_index)


def _deaths(rig: Rig, load: Load, case: Case, aims: Sequence[Point], broken: list[Broken]) -> str | None:
    """Live through the deaths of a case, judging each; say why it could not be, None if it could."""
    for point, (store, end) in zip(aims, case.deaths, strict=True):
        ending = rig.live(point.aim(end))
        if ending.how != "killed":
            return f"it did not come to store {store}, {point}: {ending.how} {ending.why}".rstrip()
        if _other(ending, point, rig.setup):
            return f"store {store} was another one than {point}"
        broken += judge_memory(rig, rig.setup.choices)
        _between(rig, load, active=end == "after")
    return None


def _random(rig: Rig, load: Load, case: Case, broken: list[Broken], seconds: float) -> str | None:
    """Live until a random time; say why that did not come, None if it did."""
    number, end = case.deaths[0]
    ending = rig.live(seconds=random.Random(number).uniform(0, seconds))  # noqa: S311  # no secret
    if ending.how != "killed":
        return f"it was not killed in time: {ending.how} {ending.why}".rstrip()
    broken += judge_memory(rig, rig.setup.choices)
    _between(rig, load, active=end == "after")
    return None


class _Housed:
    """A rig in a folder of its own, both gone at the end of the block."""

    def __init__(self, setup: Setup, load: Load) -> None:
        self._setup, self._load = setup, load

    def __enter__(self) -> Rig:
        self._folder = tempfile.TemporaryDirectory(prefix="conformance-")
        try:
            self._rig = Rig(self._setup, self._load, Path(self._folder.name))
        except BaseException:
            self._folder.cleanup()
            raise
        return self._rig

    def __exit__(self, *_: object) -> None:
        with self._folder:
            self._rig.__exit__(None, None, None)


def _between(rig: Rig, load: Load, *, active: bool) -> None:
    """Do what the driver does while the back-end is dead: it sleeps, or (``active``) looks, and makes more requests."""
    client = rig.client
    client.made.append([])
    for queue in range(rig.ram.queues if client.drivers else 0):
        for request in list(client.visible(queue)):
            client.look(request)
        if active:
            client.collect(queue)
    if active and client.drivers and not client.wrong:
        client.make(load.dead)
    rig.rounds = [load.end]
    client.made.append([])


def _other(ending: Ending, point: Point, setup: Setup) -> bool:
    """Whether a store that a process died at is another one than expected."""
    assert ending.tracer is not None
    assert ending.tracer.hit is not None
    (told,) = points([ending.tracer.hit], setup.ring, setup.choices.revision)
    return [(said.queue, said.field) for said in told.said] != [(said.queue, said.field) for said in point.said]
