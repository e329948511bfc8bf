"""A ring that was stopped: it is recovered as after a crash, and what its back-end did wrong by then is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from model.both.stopping import PAIRS
from refimpl.meetings import MEETINGS
from refimpl.wire.features import GENERATIONS
from tests.test_recover import answered
from tests.test_recover_cli import Ask, ask
from vhost_inflight.judging.play.dumping import state_at
from vhost_inflight.judging.play.schedule import load
from vhost_inflight.recover.stopped import KINDS

__all__ = ["ask"]  # a fixture

RECORDED = Path(__file__).parents[1] / "proofs" / "recorded"
LOST = "hardened-stop-may-suspend-under-skip-drain-nothing-lost.json"
LOSES = "may-suspend-under-skip-drain"
SUSPENDS = "skip-drain-under-skip-drain"
DRAINS = "drain-under-skip-drain"


def stopped(ring: str) -> dict[str, Any]:
    """Return what a recorded run leaves at its last answer, requests in flight, as the player has it."""
    schedule = load(RECORDED / ring / "later" / LOST)
    last = max(number for number, event in enumerate(schedule.events, 1) if event.step == "stop.answer")
    return state_at(schedule, str(last))


@pytest.fixture(params=["split", "packed"])
def state(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Give such a state of either ring."""
    return stopped(request.param)


def kinds(document: dict[str, Any], **more: Any) -> list[str]:
    """Return the kinds of what speaks against how the ring was stopped."""
    return [doubt["kind"] for doubt in answered({**document, **more})["doubts"] if doubt["kind"] in KINDS]


def test_the_pairs_are_those_of_the_model() -> None:
    """Model and reference say the same of each: what is in flight stays, and whether the front-end knows."""
    assert {name: (m.suspends, m.believes) for name, m in PAIRS.items()} == MEETINGS
    assert list(MEETINGS) == [f"{back}-under-{front}" for back in GENERATIONS for front in GENERATIONS]


def test_a_dump_says_how_it_was_stopped(state: dict[str, Any]) -> None:
    """What is dumped at an answer has the pair and the base, and recovers as after a crash."""
    assert state["stopped"] == LOSES
    died = {name: value for name, value in state.items() if name != "stopped"}
    told = answered(state)
    assert told["resubmit"]
    assert {**answered(died), "doubts": []} == {**told, "doubts": []}
    assert kinds(died) == []


@pytest.mark.parametrize("pair", MEETINGS)
def test_what_is_in_flight(state: dict[str, Any], pair: str) -> None:
    """Something is in flight: right where that is suspended and the front-end knows, wrong everywhere else."""
    met = MEETINGS[pair]
    expected = "not-drained" if not met.suspends else "left-behind" if met.believes else None
    assert kinds(state, stopped=pair) == [expected] * (expected is not None)


def test_which_base(state: dict[str, Any]) -> None:
    """Behind what is in flight, or before it: the text does not say which; nowhere else."""
    told, base = answered(state), state["base"]
    if state["ring"] == "split":
        right, wrong = [base, told["used_position"]["used_idx"]], [base + 1, 40000]
    else:
        right, wrong = [base, base >> 16 | base >> 16 << 16], [base ^ 1, base ^ 0x8000, base ^ 1 << 31, 0]
    assert [kinds(state, stopped=SUSPENDS, base=one) for one in right] == [[]] * 2
    assert [kinds(state, stopped=SUSPENDS, base=one) for one in wrong] == [["wrong-base"]] * len(wrong)
    unsaid = {name: value for name, value in state.items() if name != "base"}
    assert kinds(unsaid, stopped=SUSPENDS) == []


def test_the_command(ask: Ask) -> None:
    """It says so on standard error and in the story, and ends with 1; a ring that was stopped well is an answer."""
    document = stopped("split")
    code, out, err = ask(document)
    (doubt,) = json.loads(out)["doubts"]
    assert (code, doubt["kind"]) == (1, "left-behind")
    assert doubt["text"] == (
        "the ring was stopped (may-suspend under skip-drain) with head 0 in flight, and the front-end takes all for "
        "completed: at the destination of a migration there is a fresh region, which does not have that"
    )
    assert err == f"vhost-inflight: doubt: {doubt['text']}\n"
    code, out, err = ask({**document, "stopped": SUSPENDS})
    assert (code, err, json.loads(out)["doubts"]) == (0, "", [])
    code, out, err = ask({**document, "stopped": DRAINS, "base": 7}, "--explain")
    assert code == 1
    assert "its back-end had to complete all first" in " ".join(out.split())
    assert "the base that was answered is 7; fetching goes on at 2, and the used ring at 1" in err


def test_no_such_pair(ask: Ask) -> None:
    """It names the pairs."""
    code, out, err = ask({**stopped("split"), "stopped": "drain"})
    assert (code, out) == (2, "")
    assert 'at stopped: "drain" is none of drain-under-drain, ' in err
