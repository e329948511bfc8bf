"""All cases of a back-end: its stores are found, and it is killed before and after each of them."""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import replace
from typing import Final

from refimpl.errors import InflightError
from vhost_inflight.conformance.life import Setup
from vhost_inflight.conformance.load import LOADS, Load
from vhost_inflight.conformance.points import ENDS, Case, Deaths, Point
from vhost_inflight.conformance.trying import Verdict, stores_after, stride_of, try_case
from vhost_inflight.telling import Ending

__all__ = ["Campaign"]

_GOLDEN: Final = (5**0.5 - 1) / 2
"""Multiples of it, without their whole part, are spread evenly from 0 to 1 however many there are."""

_PR_SET_PDEATHSIG: Final = 1
"""Of prctl(2)."""

_AHEAD: Final = 4
"""Cases for each process that are begun before the first of them is asked for."""


class Campaign:
    """All cases of a back-end on a ring."""

    def __init__(self, setup: Setup) -> None:
        """Prepare: nothing runs yet."""
        self.setup = setup
        self._points: dict[tuple[str, Deaths], list[Point]] = {}
        self._seconds: dict[str, float] = {}
        self._strides: dict[str, int | None] = {}

    def setup_for(self, load: Load) -> Setup:
        """Give the setup of a load: of several queues with what is known of where their regions lie."""
        if load.queues == 1:
            return self.setup
        if load.name not in self._strides:
            self._strides[load.name] = stride_of(self.setup, load)
        return replace(self.setup, stride=self._strides[load.name])

    def unseen(self, load: Load) -> str | None:
        """Say which regions were not found, so that they are not judged; None: all were."""
        if load.queues == 1 or self.setup_for(load).stride is not None:
            return None
        return (
            f"{self.setup.ring} {load.name}: only the first queue's region was found in the shared buffer, as no other "
            "has the same version and desc_num: what a death leaves in the others is not judged"
        )

    # What there is to try

    def points(self, load: Load, deaths: Deaths = ()) -> list[Point]:
        """Give the stores of the life after some deaths. Raises TracingError where it cannot be traced."""
        key = load.name, deaths
        if key not in self._points:
            case = self._case(load, *deaths)
            aims = self.aims(case)
            self._points[key] = [] if aims is None else stores_after(self.setup_for(load), case, aims)
        return self._points[key]

    def cases(self, load: Load) -> list[Case]:
        """Give the cases with one crash: at each store, with each of ENDS."""
        return [self._case(load, (point.number, end)) for point in self.points(load) for end in ENDS]

    def second(self, load: Load, most: int) -> Iterator[Case]:
        """Give cases with a second crash, about so many at most: in the life after one crash at each instruction.

        There it is each store of an instruction that the life before did not come to, which is recovery, and some of
        each other one.
        """
        served = self.points(load)
        firsts = _each_instruction(served)
        room = most // max(1, len(firsts))
        for number, first in enumerate(firsts):
            death = first.number, "after"
            for point in _chosen(self.points(load, (death,)), served, room, number):
                yield self._case(load, death, (point.number, "after"))

    def random(self, load: Load, number: int) -> list[Case]:
        """Give cases that die at a random time."""
        return [Case.drawn(self.setup.ring, load.name, each) for each in range(1, number + 1)]

    def steady(self, load: Load) -> bool:
        """Look for the stores once more, and return whether they are the same."""
        first = self._points.pop((load.name, ()), [])
        return first == self.points(load)

    def _case(self, load: Load, *deaths: tuple[int, str]) -> Case:
        return Case(self.setup.ring, load.name, deaths)

    def aims(self, case: Case) -> list[Point] | None:
        """Give the stores that a case's lives end at; None, where there is none of such a number."""
        found = []
        for number, (store, _) in enumerate(() if case.random else case.deaths):
            known = self.points(LOADS[case.load], case.deaths[:number])
            if store > len(known):
                return None
            found.append(known[store - 1])
        return found

    def _in_short_life(self, case: Case) -> int:
        """Give how many stores the first life of a case has that has too few."""
        lives = [
            (store, self._points.get((case.load, case.deaths[:n]), [])) for n, (store, _) in enumerate(case.deaths)
        ]
        return next(len(known) for store, known in lives if store > len(known))

    # Trying it

    def run(self, case: Case) -> Verdict:
        """Try a case, and judge it. Raises InflightError where there is nothing to judge."""
        aims = self.aims(case)
        if aims is None:
            why = f"there are fewer stores in this life: {self._in_short_life(case)}"
            return Verdict(case, "skip", why=why)
        return try_case(self.setup_for(LOADS[case.load]), case, aims, self._time_of(case))

    def run_all(self, cases: Iterable[Case], jobs: int) -> Generator[Verdict, None, None]:
        """Try cases in so many processes at once, and give the verdicts in the order of the cases."""
        if jobs == 1:
            yield from map(self.run, cases)
            return
        context = multiprocessing.get_context("fork")
        pool = ProcessPoolExecutor(jobs, context, initializer=_begin, initargs=(os.getpid(),))
        try:
            begun: deque[Future[Verdict]] = deque()
            left = iter(cases)
            while True:
                for case in itertools.islice(left, _AHEAD * jobs - len(begun)):
                    aims = self.aims(case)
                    if aims is not None:
                        told = self.setup_for(LOADS[case.load]), case, aims, self._time_of(case)
                        begun.append(pool.submit(_tried, *told))
                if not begun:
                    return
                yield begun.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

    def calm(self, load: Load) -> Verdict:
        """Try a load without a crash: how long it serves is what random times are drawn from."""
        verdict = self.run(self._case(load))
        self._seconds[load.name] = verdict.served
        return verdict

    def _time_of(self, case: Case) -> float:
        if case.random and case.load not in self._seconds:
            self.calm(LOADS[case.load])
        return self._seconds.get(case.load, 0.0)

    def look_at(self, verdict: Verdict) -> None:
        """Add the stores of all lives of a case to its verdict, that after the last death too: one more life each."""
        if not verdict.case.random:
            load, deaths = LOADS[verdict.case.load], verdict.case.deaths
            verdict.lives = tuple(self.points(load, deaths[:n]) for n in range(len(deaths)))
            with contextlib.suppress(InflightError):  # what that life ends of is in the verdict already
                verdict.after = self.points(load, deaths)


def _begin(asks: int) -> None:
    """Let Ctrl-C be for the process that ``asks``; the kernel ends this one when that one is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != asks:  # gone before that was said
        os._exit(1)


def _tried(setup: Setup, case: Case, aims: Sequence[Point], seconds: float) -> Verdict:
    """Try a case in a process that is one of many; where that is ended, the back-end and the files go first."""
    ending = Ending()
    try:
        with ending.heard():
            verdict = try_case(setup, case, aims, seconds)
            ending.again()
    except SystemExit:
        os._exit(1)  # the pool would go on
    return verdict


def _each_instruction(found: Sequence[Point]) -> list[Point]:
    """Give one store of each instruction: the one in the middle, when most is in flight."""
    groups: dict[tuple[str, int], list[Point]] = {}
    for point in found:
        groups.setdefault(point.instruction, []).append(point)
    return sorted((group[len(group) // 2] for group in groups.values()), key=lambda point: point.number)


def _chosen(found: Sequence[Point], served: Sequence[Point], most: int, turn: int) -> list[Point]:
    """Give the stores of instructions that have not ``served``, and of the others as many as there is room for.

    Those are spread over the life evenly, each ``turn`` at other places.
    """
    known = {point.instruction for point in served}
    new = [point for point in found if point.instruction not in known]
    others = [point for point in found if point.instruction in known]
    room = max(1, most - len(new)) if others else 0
    spread = {int((turn * room + each) * _GOLDEN % 1 * len(others)) for each in range(room)}
    return sorted([*new, *(others[at] for at in spread)], key=lambda point: point.number)
