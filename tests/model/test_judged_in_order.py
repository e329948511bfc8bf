"""What is judged where requests are used in order: each part of it, on a state of a run in which one thing is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from model import protocol
from model.both.words import WORKING
from model.interpret import Machine, StateTuple
from model.packed import in_order as packed
from model.properties import Judgement
from model.protocol import Subject
from model.split import in_order as split
from proofs.induction.goals import goals_of, works
from proofs.induction.proof import Proof
from tests.model.runs import random_run

STEP = {"split": "split.supply.5", "packed": "packed.supply.7"}
TAG = "publish in order"
OF = {"split": split.JUDGEMENTS, "packed": packed.JUDGEMENTS}


def about_to_publish(ring: str, size: int = 4) -> tuple[Machine, StateTuple]:
    """Give a state in which a batch of three or more, with one element, is complete and not visible."""
    subject = Subject.of(ring, "hardened", {"in-order": "one-element"})
    machine = Machine(protocol.table(subject, quiet=True), protocol.sizes(subject, size))
    for seed in range(200):
        state = machine.initial()
        for name, _, after in random_run(machine, seed, 600):
            if name == STEP[ring] and machine.get(state, "supply.open") == 1 and machine.get(state, "supply.count") > 2:
                return machine, state
            state = after
    raise AssertionError("no such batch in these runs")


def put(machine: Machine, state: StateTuple, name: str, at: int | None, value: int) -> StateTuple:
    """Give the state with another number in one place."""
    place, changed = machine.place[name], list(state)
    if at is None:
        changed[place] = value
    else:
        changed[place] = tuple(value if n == at else was for n, was in enumerate(state[place]))
    return tuple(changed)


def holds(machine: Machine, state: StateTuple, ring: str) -> dict[str, bool]:
    """Say of each property that is judged there whether it holds."""
    judged: list[Judgement] = [one for one in OF[ring] if one.tag == TAG]
    assert [one.property for one in judged] == ["intact", "exactly-once"]
    return {one.property: machine.predicate(one.predicate)(state) for one in judged}


def parts(machine: Machine, state: StateTuple, ring: str) -> tuple[int, int, int]:
    """Give the entry of the batch's first request, which has no element, what stands for it, and that of the last."""
    first = machine.get(state, "supply.batch")[0]
    who = first if ring == "split" else machine.get(state, "history.who")[first]
    return first, who, machine.get(state, "supply.head")


@pytest.mark.parametrize("ring", protocol.RINGS)
def test_what_is_judged(ring: str) -> None:
    """The right state passes; a wrong length fails, and what is not finished, worked on, given twice, named again."""
    machine, state = about_to_publish(ring)
    first, who, last = parts(machine, state, ring)
    assert holds(machine, state, ring) == {"intact": True, "exactly-once": True}
    seen: dict[str, dict[str, bool]] = {}

    def wrong(what: str, name: str, at: int | None, value: Any) -> None:
        seen[what] = holds(machine, put(machine, state, name, at, value), ring)

    if ring == "split":
        slot = machine.get(state, "used.idx") % machine.sizes.size
        wrong("length", "used.ring[].len", slot, machine.get(state, "used.ring[].len")[slot] + 1)
        wrong("not finished", "history.finished", who, 0)
        wrong("not fetched", "history.got", who, machine.get(state, "history.got")[who] - 1)
        wrong("named again", "history.made", last, machine.get(state, "history.used_pos") - 1)
    else:
        slot, name = machine.get(state, "supply.start"), "ring.desc[].len"
        wrong("length", name, slot, machine.get(state, name)[slot] + 1)
        wrong("not finished", "history.ready", who, -1)
        named = machine.get(state, "history.who")[last]
        wrong("named again", "history.made", named, machine.get(state, "history.used_pos") - 1)
    wrong("worked on", "device.state", first, WORKING)
    wrong("twice", "history.twice", first, 1)
    assert {what for what, told in seen.items() if not told["intact"]} == {
        "length", "not finished", "named again", *({"not fetched"} if ring == "split" else ()),
    }  # fmt: skip
    assert {what for what, told in seen.items() if not told["exactly-once"]} == {"named again", "worked on", "twice"}


JUDGED = {"intact": 2, "exactly-once": 2}
"""By property: so many sentences are shown where a batch becomes visible, of elements and of what they stand for."""


@pytest.mark.parametrize(
    ("ring", "choice"),
    [("split", "elements"), ("split", "one-element"), ("packed", "elements"), ("packed", "one-element")],
)
def test_all_of_it_is_shown(ring: str, choice: str) -> None:
    """The goals of the proof are as many as there are sentences in what is judged."""
    proof = Proof(Subject.of(ring, "hardened", {"in-order": choice}))
    found = [goal.group for goal in goals_of(works(proof)[STEP[ring]]) if goal.kind == "judged"]
    assert {name: found.count(name) for name in set(found)} == JUDGED
