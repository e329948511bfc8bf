"""Crash tests side by side: each is what it would be alone, and none is left running whatever happens."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from refimpl.errors import UsageError
from tests.meet.test_crash_faults import ended_by, left
from vhost_inflight.judging.crash.campaign import crash_test
from vhost_inflight.judging.crash.command import run
from vhost_inflight.judging.crash.faults import CrashTestError
from vhost_inflight.judging.crash.outcome import Outcome
from vhost_inflight.judging.crash.plan import Kill
from vhost_inflight.judging.crash.side_by_side import side_by_side

Told = Callable[[Kill], None]


def a_few(seed: int, progress: Told) -> Outcome:
    """Kill three times."""
    return crash_test(revision="merged", kills=3, seed=seed, progress=progress)


def test_each_is_what_it_would_be_alone() -> None:
    """The same events, the same deaths; and each kill is told."""
    told: list[Kill] = []
    found = side_by_side(a_few, [5, 6], told.append)
    alone = [a_few(seed, lambda _: None) for seed in (5, 6)]
    assert [(o.seed, o.events, o.steps, o.requests) for o in found] == [
        (o.seed, o.events, o.steps, o.requests) for o in alone
    ]
    assert len(told) == 6
    assert found[0].events != found[1].events


def test_what_one_raises_is_raised() -> None:
    """Of the first that failed; the other is ended, and does not go on for its hundred thousand kills."""

    def fails(seed: int, progress: Told) -> Outcome:
        if seed == 1:
            raise UsageError("no such thing")
        return crash_test(revision="merged", kills=100_000, seed=seed, progress=progress)

    started = time.monotonic()
    with pytest.raises(UsageError, match="no such thing"):
        side_by_side(fails, [0, 1], lambda _: None)
    assert time.monotonic() - started < 30


def test_one_that_dies_is_no_verdict() -> None:
    def dies(_seed: int, _progress: Told) -> NoReturn:
        os._exit(0)

    with pytest.raises(CrashTestError, match="without a word"):
        side_by_side(dies, [0, 1], lambda _: None)


def test_interrupted_while_it_tells() -> None:
    """What one found is told whole though it is interrupted at its end."""

    def ends(seed: int, progress: Told) -> Outcome:
        found = a_few(seed, progress)
        signal.raise_signal(signal.SIGINT)
        return found

    assert [(one.kills, one.interrupted) for one in side_by_side(ends, [0, 1], lambda _: None)] == [(3, False)] * 2


@pytest.mark.parametrize("handler", [signal.SIG_IGN, signal.default_int_handler], ids=["ignored", "heard"])
def test_interrupted_before_it_begins(handler: Any) -> None:
    """It is heard after the first kill, whether Ctrl-C was ignored where all began or not."""

    def begins(seed: int, progress: Told) -> Outcome:
        signal.raise_signal(signal.SIGINT)
        return a_few(seed, progress)

    before = signal.signal(signal.SIGINT, handler)
    try:
        found = side_by_side(begins, [0, 1], lambda _: None)
    finally:
        signal.signal(signal.SIGINT, before)
    assert [(one.kills, one.interrupted) for one in found] == [(1, True)] * 2


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Kills are shared out; each is reported with its seed, and what they come to at the end; JSON has all."""
    options: dict[str, Any] = {"ring": "split", "revision": "merged", "queue_size": 4, "seed": 3}
    assert run(kills=5, jobs=2, json_file=tmp_path / "answer.json", **options)
    said = capsys.readouterr().out
    assert [f"seed {seed}: {kills} kills in" in said for seed, kills in ((3, 3), (4, 2))] == [True, True]
    assert said.splitlines()[-1].startswith("2 tests: 5 kills in ")
    assert said.endswith("no property was violated\n")
    told = json.loads((tmp_path / "answer.json").read_text())
    assert (told["kills"], [(one["seed"], one["kills"]) for one in told["tests"]]) == (5, [(3, 3), (4, 2)])


def test_a_violation(capsys: pytest.CaptureFixture[str]) -> None:
    """It is a no, with the seed, and the command that does that test again alone."""
    options: dict[str, Any] = {"ring": "split", "revision": "merged", "gaps": {"fetch-position": "used-idx"}}
    assert not run(kills=60, jobs=2, queue_size=4, seed=0, **options)
    said = capsys.readouterr().out
    assert "something was violated with seed " in said.splitlines()[-1]
    again = next(line for line in said.splitlines() if line.startswith("to run it again: "))
    assert "--jobs" not in again


def test_one_kill_is_one_test(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(ring="split", revision="merged", queue_size=4, seed=0, kills=1, jobs=4)
    assert "tests:" not in capsys.readouterr().out


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=str)
def test_signals(tmp_path: Path, number: signal.Signals, code: int) -> None:
    """The parent alone gets the signal: it passes it on, all end, and Ctrl-C shows what each found."""
    ended, out, said = ended_by(tmp_path, lambda pid: os.kill(pid, number), "--jobs", "2")
    assert (ended, said) == (code, "")
    assert out.count("interrupted: this is what was found so far\nno property was violated\n") == 2 * (code == 130)
    assert list(tmp_path.iterdir()) == []
    assert left(tmp_path) == []
