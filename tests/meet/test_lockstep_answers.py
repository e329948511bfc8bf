"""Lock-step of answers that come while requests are in flight: drawn events seldom have one; these dice are loaded."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from model.both.later import PAIR
from model.both.stopping import PAIRS
from model.interpret import Machine
from model.protocol import RINGS, Subject
from tests.meet.lockstep import Both, Run, both_of
from tests.strategies import RARE

CHOICES = [{"stop": pair} for pair in ("drain-under-drain", PAIR, "may-suspend-under-skip-drain")]
CHOICES += [{"stop": "skip-drain-under-may-suspend"}, {"stop": PAIR, "stop-batch": "left"}]

EVENTS = 300


def drawn(machine: Machine, dice: random.Random) -> tuple[list[tuple[str, int]], Counter[str]]:
    """Draw a life in which the back-end does more than the driver, is seldom asked, and seldom dies; count answers."""
    state, events, seen = machine.initial(), list[tuple[str, int]](), Counter[str]()
    for _ in range(EVENTS):
        enabled = list(machine.enabled(state))
        usual = [event for event in enabled if event[0] not in RARE]
        serving = [event for event in usual if not event[0].startswith("driver.")]
        ask = [event for event in enabled if event[0] == "stop.ask"]
        rare = [event for event in enabled if event[0] in RARE and event[0] != "stop.ask"]
        one = dice.random()
        among = ask if one < 0.02 else rare if one < 0.025 else serving if one < 0.62 else usual
        step, choice, after = dice.choice(among or usual or enabled)
        if step == "stop.answer":
            seen["in flight" if any(machine.get(state, "device.state")) else "idle"] += 1
        events.append((step, choice))
        state = after
    return events, seen


def played(both: Both, events: list[tuple[str, int]]) -> None:
    """Play them on both sides, up to where one of the judges has something to say."""
    events = both.before_it_goes_wrong(events)
    run = Run(both, events)
    run.play()
    assert run.compared == len(events)
    for number, by_model, by_reference in run.violations():
        assert by_model == by_reference, number


@pytest.mark.parametrize("choices", CHOICES, ids=lambda choices: " ".join(map("=".join, choices.items())))
@pytest.mark.parametrize("ring", RINGS)
def test_answers_with_requests_in_flight(ring: str, choices: dict[str, str]) -> None:
    """Memory, positions and the base agree event by event; where the back-end suspends, most answers are such."""
    seen = Counter[str]()
    for seed in range(8):
        dice = random.Random(seed)
        size, first = dice.choice((2, 4)), dice.choice((0, 3) if ring == "packed" else (0, 65534))
        both = both_of(Subject.of(ring, "hardened", choices), size, first, quiet=dice.random() < 0.5)
        events, answers = drawn(both.machine, dice)
        played(both, events)
        seen += answers
    suspends = PAIRS[choices["stop"]].suspends
    assert seen.total() >= 8
    assert (seen["in flight"] >= 3) == suspends, seen
