"""Processes of somebody's: whether one rests, or waits for a processor, is told from what the system says of it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from refimpl.choices import Choices
from tests.conformance import c
from tests.refimpl.backend.test_server import wait_for
from vhost_inflight.conformance import life
from vhost_inflight.conformance.life import Rig, Setup
from vhost_inflight.conformance.load import LOADS
from vhost_inflight.conformance.process import Command, Process, had_time, resting, wants_to_run
from vhost_inflight.telling import Ending


def test_one_that_polls_has_had_time_and_one_that_sleeps_rests(programs: Path, tmp_path: Path) -> None:
    setup = Setup(Command(c.command(programs)), Choices(), patience=0.3)
    with contextlib.ExitStack() as stack:
        rig = stack.enter_context(Rig(setup, LOADS["mixed"], tmp_path))
        polls, sleeps = (
            subprocess.Popen(words) for words in ([sys.executable, "-c", "while True: pass"], ["sleep", "60"])
        )
        for process in (polls, sleeps):
            stack.callback(process.wait)
            stack.callback(process.kill)
        rig.serving = polls.pid
        wait_for(lambda: wants_to_run(polls.pid))
        had = had_time(polls.pid)
        assert rig._waits_for_a_processor(had, 1.0), "it has had none since then"
        assert not rig._waits_for_a_processor(had, 11.0), "for ever it is not waited"
        wait_for(lambda: had_time(polls.pid) - had > 0.3)
        assert not rig._waits_for_a_processor(had, 1.0)
        assert not resting(polls.pid)
        rig.serving = sleeps.pid
        wait_for(lambda: resting(sleeps.pid))
        assert not rig._waits_for_a_processor(had_time(sleeps.pid), 1.0)
    assert had_time(polls.pid) == 0.0


def test_one_that_was_just_started_is_ended_by_a_signal_too(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The signal comes when the process is there, and nobody has its name yet."""
    started = []

    class Interrupted(Process):
        def __init__(self, words: Sequence[str], log: Path) -> None:
            super().__init__(words, log)
            started.append(self.pid)
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(life, "Process", Interrupted)
    rig = Rig(Setup(Command(c.command(programs)), Choices()), LOADS["mixed"], tmp_path)
    with pytest.raises(SystemExit), Ending().heard(), rig:
        rig.live()
    (pid,) = started
    with pytest.raises(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
