"""The recorded schedules in lock-step, and what lock-step would notice."""

import json
from pathlib import Path
from typing import Any

import pytest

from model.protocol import Subject
from refimpl.hooks import BACKEND_STORES
from refimpl.split.state import SplitState
from tests.meet.lockstep import Run, both_of
from tests.meet.test_replay import FILES, RECORDED
from vhost_inflight.judging.play.player import DivergenceError
from vhost_inflight.judging.play.schedule import parse

STEPS = RECORDED / "split" / "witnesses" / "merged-steps.json"


def run_of(document: dict[str, Any]) -> Run:
    """Give the run of both over the events of a file."""
    subject = Subject.of(document["ring"], document["revision"], document["gaps"])
    both = both_of(subject, document["queue_size"], document["first_index"], quiet=not document["notifications"])
    return Run(both, [(event[0], event[1] if len(event) > 1 else -1) for event in document["schedule"]])


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parents[1].name}-{path.stem}")
def test_lock_step(path: Path) -> None:
    """Every recorded schedule leaves the same bytes on both sides after each event."""
    document = json.loads(path.read_text())
    if document["mutant"] is not None:
        pytest.skip("a mutant of the text, which the reference does not have")
    if why := parse(document).not_the_references():
        pytest.skip(f"{why}: the reference cannot be asked for it")
    if document.get("memory"):
        pytest.skip("the reference has no say in what a compiler or a processor does")
    run = run_of(document)
    run.play()
    assert run.compared == len(document["schedule"])


@pytest.mark.parametrize("step", sorted(BACKEND_STORES))
def test_a_store_dropped(step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reference that leaves out any one store is found out, by a schedule that takes every step."""
    store = SplitState.store

    def drop(self: SplitState, target: Any, field: str | int, value: int, reported: str) -> None:
        if reported == step:
            self.report(step)
        else:
            store(self, target, field, value, reported)

    run = run_of(json.loads(STEPS.read_text()))
    monkeypatch.setattr(SplitState, "store", drop)
    with pytest.raises((AssertionError, DivergenceError)):
        run.play()


@pytest.mark.parametrize("step", ["split.fetch.1", "split.fetch.bump", "split.notify.call", "split.reconnect.signal"])
def test_a_report_dropped(step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reference that does not take a step that stores nothing is found out too."""
    report = SplitState.report
    run = run_of(json.loads(STEPS.read_text()))
    monkeypatch.setattr(SplitState, "report", lambda self, name, *choice: name == step or report(self, name, *choice))
    with pytest.raises(DivergenceError, match=step):
        run.play()
