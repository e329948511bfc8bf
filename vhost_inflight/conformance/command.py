"""The command conformance: exit 0 where a back-end passes every case, 1 where not, 2 where it cannot be tried."""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from refimpl.choices import PROVED, RINGS, Choices
from refimpl.documents import STDIO
from refimpl.errors import FewerQueuesError, InflightError, UsageError
from vhost_inflight.conformance import ptrace
from vhost_inflight.conformance.campaign import Campaign
from vhost_inflight.conformance.html import as_html
from vhost_inflight.conformance.life import Setup, UnsupportedError
from vhost_inflight.conformance.lives import as_case
from vhost_inflight.conformance.load import LOADS, Load
from vhost_inflight.conformance.points import Case
from vhost_inflight.conformance.process import Command
from vhost_inflight.conformance.ptrace import TracingError
from vhost_inflight.conformance.report import PATIENCE, Report, Ring, as_json, as_junit, lines
from vhost_inflight.conformance.symbols import symbols
from vhost_inflight.conformance.trying import Verdict
from vhost_inflight.telling import Ending, printable, write_json

__all__ = ["Asked", "run", "tried"]

SECOND: Final = "mixed"
"""The load that second crashes are tried on."""


@dataclass(frozen=True)
class Asked:
    """What was asked for: see the command's options. ``second`` and ``kills`` are how many cases of their kind.

    After so many ``failures`` a load is left; 0 is never. ``jobs`` are processes that try cases, 0: one for each core.
    Of so many failures, the shortest, all stores are looked for, those of the life after the death too: ``shown``.
    ``in_order``: its device finishes requests in the order in which it gets them, and is judged by that.
    ``successor`` is the command of each life but the first, None: the same. ``event_index``: see Setup.
    """

    command: str
    ring: str | None = None
    revision: str = ""
    loads: Sequence[str] = ()
    at: str | None = None
    second: int = 400
    random: bool = False
    kills: int = 100
    patience: float = PATIENCE
    failures: int = 50
    jobs: int = 0
    shown: int = 0
    in_order: bool = False
    successor: str | None = None
    event_index: bool = False


def run(
    asked: Asked,
    *,
    json_file: Path | None = None,
    junit: Path | None = None,
    html: Path | None = None,
    state: Path | None = None,
    case: Path | None = None,
) -> bool:
    """Try a back-end, tell what came of it, and return whether it passed. Raises InflightError where it cannot be.

    Where nothing counts against it, and something that was to be tried could not be judged, that is raised, too.
    ``state`` and ``case`` are of the shortest failure, or of the case that was asked for, and written if there is one
    that was tried.
    """
    ending = Ending()
    with ending.heard():
        report = _with_a_bar(asked)
        if not report.interrupted:  # what was found until then is told first
            ending.again()
    if json_file is not None:
        write_json(json_file, as_json(report))
    if junit is not None:
        junit.write_text(as_junit(report), encoding="utf-8")
    if html is not None:
        html.write_text(as_html(report), encoding="utf-8")
    first = _shown(report, asked)
    if state is not None:
        found = next((verdict.state for verdict in first if verdict.state is not None), None)
        if found is not None:
            write_json(state, found)
    if case is not None and first:
        write_json(case, as_case(report, first[0]))
    if json_file != STDIO:
        for line in lines(report):  # last: who reads no more than the first lines has the files all the same
            print(printable(line))
    return _came_of(report)


def _came_of(report: Report) -> bool:
    """Return whether it passed. Raises KeyboardInterrupt where that ended it, InflightError where it says nothing."""
    if report.interrupted:
        raise KeyboardInterrupt
    if report.unjudged and not report.bad:
        raise InflightError(f"no verdict: {report.unjudged[0]}")
    return report.passed


def tried(asked: Asked, told: Callable[[str, int], None] = lambda _what, _left: None) -> Report:
    """Try a back-end; ``told`` hears of each case, and how many are left of its kind."""
    command = Command(asked.command)
    successor = None if asked.successor is None else Command(asked.successor)
    if asked.at is not None:
        case = _named(asked.at, asked)
        rings, loads = [case.ring], [case.load]
    else:
        case = None
        rings, loads = [asked.ring] if asked.ring else list(RINGS), list(asked.loads or LOADS)
    report = Report(
        asked.command,
        [],
        in_order=asked.in_order,
        successor=asked.successor,
        event_index=asked.event_index,
        patience=asked.patience,
    )
    campaigns: dict[str, Campaign] = {}
    try:
        for name in rings:
            ring = Ring(name, asked.revision or PROVED[name])
            report.rings.append(ring)
            choices = Choices(ring=name, revision=ring.revision)
            setup = Setup(command, choices, asked.patience, asked.in_order, successor, asked.event_index)
            campaign = campaigns[name] = Campaign(setup)
            begin = time.monotonic()
            try:
                if case is not None:
                    _at(campaign, ring, case)
                else:
                    _on(campaign, ring, asked, [LOADS[load] for load in loads], told)
            except UnsupportedError as error:
                ring.note = str(error)
            except InflightError as error:
                if not report.verdicts:
                    raise
                ring.unjudged.append(f"{name}: {error}")
            finally:
                ring.seconds = time.monotonic() - begin
        for verdict in _shown(report, asked)[: asked.shown]:
            campaigns[verdict.case.ring].look_at(verdict)
    except KeyboardInterrupt:
        report.interrupted = True
    found = (p for v in report.verdicts for points in (v.points, *v.lives, v.after) for p in points)
    report.symbols = symbols(point.instruction for point in found)
    return report


def _shown(report: Report, asked: Asked) -> list[Verdict]:
    """Give what is shown store by store: what is bad, the shortest first, or the case that was asked for, if tried."""
    return report.bad or [one for one in report.verdicts if asked.at is not None and one.word != "skip"]


def _named(name: str, asked: Asked) -> Case:
    """Read the case that was asked for. Raises UsageError for no name, and where another option contradicts it."""
    case = Case.read(name)
    if asked.ring not in {None, case.ring}:
        raise UsageError(f"{name} is on a {case.ring} ring, and --ring {asked.ring} asks for another")
    if asked.loads and case.load not in asked.loads:
        raise UsageError(f"{name} is under the load {case.load}, and --load {asked.loads[0]} asks for another")
    if asked.random and not case.random:
        raise UsageError(f"{name} is no case that dies at a random time, and --random asks for such")
    return case


def _at(campaign: Campaign, ring: Ring, case: Case) -> None:
    """Try one case."""
    if case.random:
        ring.how = "as asked for"
    try:
        verdict = campaign.run(case)
    except TracingError as error:
        raise InflightError(f"{error}; {case} dies at a store, and cannot be repeated without ptrace") from error
    ring.verdicts.append(verdict)
    if verdict.word == "skip":
        ring.unjudged.append(f"{case} was not tried: {verdict.why}")
    elif unseen := campaign.unseen(LOADS[case.load]):
        ring.unjudged.append(unseen)


def _on(campaign: Campaign, ring: Ring, asked: Asked, loads: Sequence[Load], told: Callable[[str, int], None]) -> None:
    """Try one ring: each load without a crash, then with one, then with two."""
    for load in loads:
        if not _serves(campaign, ring, load):
            continue  # who does not need not be killed
        ring.how = _how(campaign, load, forced=asked.random)
        cases: Iterator[Case]
        if ring.how != "exact":
            cases = iter(campaign.random(load, asked.kills))
            total = asked.kills
        else:
            first = campaign.cases(load)
            ring.points[load.name] = len(campaign.points(load))
            if not campaign.steady(load):
                ring.unsteady.append(load.name)
            second = campaign.second(load, asked.second) if asked.second and load.name == SECOND else iter(())
            cases, total = itertools.chain(first, second), len(first) + (asked.second if load.name == SECOND else 0)
        failures = killed = 0
        with contextlib.closing(campaign.run_all(cases, asked.jobs or len(os.sched_getaffinity(0)))) as verdicts:
            for number, one in enumerate(verdicts):
                ring.verdicts.append(one)
                failures += one.bad
                killed += one.word != "skip"
                told(str(one.case), max(total - number - 1, 0))
                if asked.failures and failures >= asked.failures:
                    ring.left.append(load.name)
                    break
        if not killed:
            ring.unjudged.append(_none_killed(ring, load))
        if unseen := campaign.unseen(load):
            ring.unjudged.append(unseen)


def _serves(campaign: Campaign, ring: Ring, load: Load) -> bool:
    """Try a load without a crash; return whether it is served. Raises InflightError where nothing else was tried."""
    try:
        verdict = campaign.calm(load)
    except UnsupportedError:
        raise
    except InflightError as error:
        if not ring.verdicts:
            raise
        if isinstance(error.__cause__, FewerQueuesError):
            ring.untried.append(f"{ring.ring} {load.name}: not tried: {error.__cause__.rule}")
        else:
            ring.unjudged.append(f"{ring.ring} {load.name}: {error} (--load leaves it out)")
        return False
    ring.verdicts.append(verdict)
    return not verdict.bad


def _none_killed(ring: Ring, load: Load) -> str:
    """Say why a load without a death says nothing."""
    told = f"{ring.ring} {load.name}: nothing was killed, so nothing is known"
    if ring.how == "exact" and not ring.points[load.name]:
        return f"{told}: it served requests, and no store of it was seen (forked when connected to?)"
    return f"{told}: no case came to its death"


def _how(campaign: Campaign, load: Load, *, forced: bool) -> str:
    """Find out whether stores can be found; say "exact", or why processes die at random times instead."""
    if forced:
        return "as asked for"
    if why := ptrace.supported():
        return why
    try:
        campaign.points(load)
    except TracingError as error:
        return str(error)
    return "exact"


def _with_a_bar(asked: Asked) -> Report:
    """Try a back-end, with a progress bar on a terminal."""
    from rich.console import Console  # noqa: PLC0415  # what prints needs it, what imports this may not
    from rich.progress import Progress  # noqa: PLC0415

    terminal = Console(stderr=True)
    with Progress(console=terminal, auto_refresh=False, disable=not terminal.is_terminal) as bar:
        task = bar.add_task("looking for stores", total=None)
        done = 0

        def told(what: str, left: int) -> None:
            nonlocal done
            done += 1
            bar.update(task, completed=done, total=done + left, description=what, refresh=done % 10 == 0)

        return tried(asked, told)
