"""Finds the stores of each load, kills a back-end before and after each of them, and judges each case."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from refimpl.choices import Choices
from vhost_inflight.conformance.judge import SEVERITIES, Broken, judge_memory, state_of, word
from vhost_inflight.conformance.life import Ending, Rig, Setup
from vhost_inflight.conformance.load import LOADS, Load
from vhost_inflight.conformance.points import Case, Point, points

__all__ = ["Campaign", "Verdict"]

_GOLDEN: Final = (5**0.5 - 1) / 2
"""Multiples of it, without their whole part, are spread evenly from 0 to 1 however many there are."""

_AGAIN: Final = 3
"""How often a case is tried that came otherwise than expected."""


@dataclass
class Verdict:
    """What came of a case: ``word`` is one of WORDS, ``points`` the stores at which its lives ended.

    ``lives`` are all stores of those lives; ``state`` is the memory as `recover` takes it, after the last death.
    """

    case: Case
    word: str
    points: tuple[Point, ...] = ()
    broken: list[Broken] = field(default_factory=list)
    why: str = ""
    seconds: float = 0.0
    lives: tuple[list[Point], ...] = ()
    state: dict[str, Any] | None = None

    @property
    def bad(self) -> bool:
        """Whether it counts against the back-end."""
        return self.word in {"fail", "reject", "wedged"}

    @property
    def severity(self) -> str:
        """What a guest suffers at worst; "" where nothing is wrong."""
        found = [severity for name, severity in SEVERITIES.items() if any(one.property == name for one in self.broken)]
        return min(found, key=list(SEVERITIES.values()).index, default="")


class Campaign:
    """All cases of a back-end on a ring; ``told`` is called with each verdict as it comes."""

    def __init__(self, setup: Setup, choices: Choices, told: Callable[[Verdict], None] = lambda _verdict: None) -> None:
        """Prepare: nothing runs yet."""
        self.setup, self.choices, self._told = setup, choices, told
        self.verdicts: list[Verdict] = []
        self._points: dict[tuple[str, tuple[tuple[int, bool], ...]], list[Point]] = {}
        self._seconds: dict[str, float] = {}

    # What there is to try

    def points(self, load: Load, deaths: tuple[tuple[int, bool], ...] = ()) -> list[Point]:
        """Give the stores of the life after some deaths. Raises TracingError where it cannot be traced."""
        key = load.name, deaths
        if key not in self._points:
            with _Housed(self.setup, load) as rig:
                if self._deaths(rig, load, deaths, []) is not None:
                    return []
                ending = rig.live(seek=True)
            seen = ending.tracer.seen if ending.tracer is not None else []
            self._points[key] = points(seen, self.setup.ring, self.choices.revision)
        return self._points[key]

    def cases(self, load: Load) -> list[Case]:
        """Give the cases with one crash: before and after each store."""
        return [self._case(load, (point.number, after)) for point in self.points(load) for after in (False, True)]

    def second(self, load: Load, most: int) -> Iterator[Case]:
        """Give cases with a second crash, about so many at most: in the life after one crash at each instruction.

        There it is each store of an instruction that the life before did not come to, which is recovery, and some of
        each other one.
        """
        served = self.points(load)
        firsts = _each_instruction(served)
        room = most // max(1, len(firsts))
        for number, first in enumerate(firsts):
            death = first.number, True
            for point in _chosen(self.points(load, (death,)), served, room, number):
                yield self._case(load, death, (point.number, True))

    def random(self, load: Load, number: int) -> list[Case]:
        """Give cases that die at a random time."""
        return [Case.drawn(self.setup.ring, load.name, each) for each in range(1, number + 1)]

    def steady(self, load: Load) -> bool:
        """Look for the stores once more, and return whether they are the same."""
        first = self._points.pop((load.name, ()), None)
        told = [(point.seen.module, point.seen.offset, point.said) for point in first or ()]
        return told == [(point.seen.module, point.seen.offset, point.said) for point in self.points(load)]

    def _case(self, load: Load, *deaths: tuple[int, bool]) -> Case:
        return Case(self.setup.ring, load.name, deaths)

    # Trying it

    def run(self, case: Case) -> Verdict:
        """Try a case, and judge it. Raises InflightError where there is nothing to judge."""
        begin = time.monotonic()
        for _ in range(_AGAIN):
            verdict = self._run(case)
            if verdict.word != "skip":
                break
        verdict.seconds = time.monotonic() - begin
        self.verdicts.append(verdict)
        self._told(verdict)
        return verdict

    def _run(self, case: Case) -> Verdict:
        load = LOADS[case.load]
        met: list[Point] = []
        broken: list[Broken] = []
        with _Housed(self.setup, load) as rig:
            if case.random:
                skipped = self._random(rig, load, case, broken)
            else:
                skipped = self._deaths(rig, load, case.deaths, met, broken)
            if skipped is not None:
                return Verdict(case, "skip", tuple(met), why=skipped)
            state = state_of(rig, self.choices)
            ending = rig.live()
            if ending.how == "done" and not rig.client.wrong:
                rig.client.judge_disk(rig.disk)
                broken += judge_memory(rig, self.choices)
            broken += [Broken(name, "driver", text) for name, text in rig.client.wrong]
        if ending.how != "done":
            broken.append(Broken("drains", "life", ending.why))
        ends = (tuple(case.deaths[:number]) for number in range(len(met)))
        lives = tuple(self.points(load, deaths) for deaths in ends)
        told = word(ending, broken)
        return Verdict(case, told, tuple(met), broken, ending.why, lives=lives, state=state if told != "pass" else None)

    def calm(self, load: Load) -> Verdict:
        """Try a load without a crash: how long it takes is what random times are drawn from."""
        begin = time.monotonic()
        verdict = self.run(self._case(load))
        self._seconds[load.name] = time.monotonic() - begin
        return verdict

    def _random(self, rig: Rig, load: Load, case: Case, broken: list[Broken]) -> str | None:
        """Live until a random time; say why that did not come, None if it did."""
        if load.name not in self._seconds:
            self.calm(load)
            self.verdicts.pop()
        number, after = case.deaths[0]
        ending = rig.live(seconds=random.Random(number).uniform(0, self._seconds[load.name]))  # noqa: S311  # no secret
        if ending.how != "killed":
            return f"it was not killed in time: {ending.how} {ending.why}".rstrip()
        broken += judge_memory(rig, self.choices)
        _between(rig, load, active=after)
        return None

    def _deaths(
        self,
        rig: Rig,
        load: Load,
        deaths: Sequence[tuple[int, bool]],
        met: list[Point],
        broken: list[Broken] | None = None,
    ) -> str | None:
        """Live through the deaths of a case, judging each; say why it could not be, None if it could."""
        for number, (store, after) in enumerate(deaths):
            known = self.points(load, tuple(deaths[:number]))
            if store > len(known):
                return f"there are {len(known)} stores in this life"
            point = known[store - 1]
            ending = rig.live(point.aim(after=after))
            if ending.how != "killed":
                return f"it did not come to store {store}, {point}: {ending.how} {ending.why}".rstrip()
            if _other(ending, point, self):
                return f"store {store} was another one than {point}"
            met.append(point)
            if broken is not None:
                broken += judge_memory(rig, self.choices)
            _between(rig, load, active=after)
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
    for queue in range(rig.ram.queues if client.drivers else 0):
        for request in list(client.visible(queue)):
            client.look(request)
        if active:
            client.collect(queue)
    if active and client.drivers and not client.wrong:
        client.make(load.dead)
    rig.rounds = [load.end]


def _other(ending: Ending, point: Point, campaign: Campaign) -> bool:
    """Whether a store that a process died at is another one than expected."""
    assert ending.tracer is not None
    assert ending.tracer.hit is not None
    (told,) = points([ending.tracer.hit], campaign.setup.ring, campaign.choices.revision)
    return [(said.queue, said.field) for said in told.said] != [(said.queue, said.field) for said in point.said]


def _each_instruction(found: Sequence[Point]) -> list[Point]:
    """Give one store of each instruction: the one in the middle, when most is in flight."""
    groups: dict[tuple[str, int], list[Point]] = {}
    for point in found:
        groups.setdefault((point.seen.module, point.seen.offset), []).append(point)
    return sorted((group[len(group) // 2] for group in groups.values()), key=lambda point: point.number)


def _chosen(found: Sequence[Point], served: Sequence[Point], most: int, turn: int) -> list[Point]:
    """Give the stores of instructions that have not ``served``, and of the others as many as there is room for.

    Those are spread over the life evenly, each ``turn`` at other places.
    """
    known = {(point.seen.module, point.seen.offset) for point in served}
    new = [point for point in found if (point.seen.module, point.seen.offset) not in known]
    others = [point for point in found if (point.seen.module, point.seen.offset) in known]
    room = max(1, most - len(new)) if others else 0
    spread = {int((turn * room + each) * _GOLDEN % 1 * len(others)) for each in range(room)}
    return sorted([*new, *(others[at] for at in spread)], key=lambda point: point.number)
