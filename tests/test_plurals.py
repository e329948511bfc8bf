"""One of a thing is said in the singular."""

import re
from pathlib import Path

import pytest
from rich.console import Console

from proofs.report import show, show_files
from proofs.search.bounds import Bounds
from refimpl.names import counted
from vhost_inflight.guest.back_end import GuestOutcome
from vhost_inflight.judging.crash.campaign import crash_test
from vhost_inflight.judging.crash.command import _report

WRONG = re.compile(r"[ ,]1 [a-z]+s\b")
"""One of several."""


def test_counted() -> None:
    """None and two are several."""
    assert [counted(n, "queue") for n in range(3)] == ["0 queues", "1 queue", "2 queues"]


def test_bounds() -> None:
    """Of a search."""
    assert Bounds(1, 1, 1, 1).text() == "queue size 1, 1 request, 1 crash, 1 rare event, first index 0"
    assert Bounds(2, 2, 0, 2).text() == "queue size 2, 2 requests, 0 crashes, 2 rare events, first index 0"


def test_reports(capsys: pytest.CaptureFixture[str]) -> None:
    """Of both crash tests, and of verify."""
    outcome = GuestOutcome("split", "merged", 16, 1, 0, kills=1, moves=1, resubmitted=1, rounds=1, writes=1, seconds=2)
    told = next(iter(outcome.report()))
    assert "1 queue, seed 0: moved 1 time, 1 kill in 2 seconds, 1 resubmission; " in told
    assert told.endswith("the guest checked 1 write in 1 round")
    crashed = next(iter(_report(crash_test(revision="merged", kills=1))))
    assert ": 1 kill in " in crashed
    assert not WRONG.search(crashed)
    console = Console(width=200)
    show(console, [], [], 1.0)
    show_files(console, [Path("out/a.json")], Path("out"))
    said = capsys.readouterr().out
    assert "0 verdicts in 1 s" in said
    assert "1 counterexample written to out" in said
