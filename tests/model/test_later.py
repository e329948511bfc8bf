"""Rings that are stopped, and reset, as choices: what the nine pairs come to, and what the edits do."""

from __future__ import annotations

import re
from itertools import product

import pytest

from model import protocol
from model.both.later import PAIR
from model.both.stopping import GENERATIONS, PAIRS, meet
from model.interpret import Machine, Sizes
from model.properties import NAMES
from model.protocol import RINGS, Subject
from model.terms import ModelError

BACK_END = ("recover", "fetch", "supply")


def test_nine_pairs() -> None:
    """What a front-end believes and a back-end does agree in eight: the ninth has bit 20 in two meanings."""
    assert set(PAIRS) == {f"{b}-under-{f}" for b, f in product(GENERATIONS, repeat=2)}
    assert [name for name, met in PAIRS.items() if met.suspends and met.believes] == ["may-suspend-under-skip-drain"]
    assert [name for name, met in PAIRS.items() if met.message == 45] == ["skip-drain-under-skip-drain"]
    assert not meet("skip-drain", "may-suspend").suspends  # the third generation drains at 11


@pytest.mark.parametrize("ring", RINGS)
def test_no_other_subject_has_it(ring: str) -> None:
    """What is not stopped has neither the steps, nor the variable, nor the property."""
    plain = Subject.of(ring, "hardened", {})
    table = protocol.table(plain)
    assert not any(step.startswith(("stop.", "ring.")) for step in table.steps)
    assert "stop.at" not in table.vars
    assert protocol.properties(plain) == NAMES
    assert protocol.properties(Subject.of(ring, "hardened", {"ring-reset": "told"})) == NAMES
    assert protocol.properties(Subject.of(ring, "hardened", {"stop": PAIR})) == (*NAMES, "suspended")


@pytest.mark.parametrize("ring", RINGS)
def test_each_store_is_judged(ring: str) -> None:
    """Each step of the back-end that stores to what others see carries the tag, and no other step does."""
    for gap in protocol.later(ring).values():
        for one in gap.alternatives[1:]:
            table = protocol.table(Subject.of(ring, "hardened", {**dict(gap.along), gap.name: one.name}))
            storing = {
                r.step.id
                for r in table.recorded()
                if r.stores(table.vars) and (r.step.procedure in BACK_END or r.step.id == "stop.late")
            }
            tagged = {s.id for s in table.steps.values() if "stores" in s.tags}
            assert tagged == (storing if gap.name.startswith(("stop", "after")) else set()), one.name


@pytest.mark.parametrize("ring", RINGS)
@pytest.mark.parametrize("gap", ["stop-batch", "after-answer", "stop-base"])
def test_a_choice_of_a_stop_needs_one(ring: str, gap: str) -> None:
    """Of a ring that is never stopped there is nothing to choose."""
    choice = protocol.later(ring)[gap].alternatives[1].name
    with pytest.raises(ModelError, match="choose a pair of generations"):
        protocol.table(Subject.of(ring, "hardened", {gap: choice}))


@pytest.mark.parametrize("ring", RINGS)
def test_the_text_leaves_none_of_it_open(ring: str) -> None:
    """No revision of the chapter speaks of it, so nobody but the model may be asked."""
    assert all(gap.revisions == ("none",) for gap in protocol.later(ring).values())
    with pytest.raises(ModelError, match="does not leave stop open"):
        Subject.of(ring, "merged", {"stop": PAIR})


@pytest.mark.parametrize("ring", RINGS)
def test_an_answer_forgets_what_a_crash_forgets(ring: str) -> None:
    """Both throw away all that the process alone knew; an answer that leaves something says what."""
    table = protocol.table(Subject.of(ring, "hardened", {"stop": PAIR}))
    steps = {r.step.id: r for r in table.recorded()}
    kept = {"stop.at", "base.idx", "base.wrap"}
    answer, crash = ({a.name for a in steps[name].assigns} - kept for name in ("stop.answer", "crash"))
    assert answer == crash == {v.name for v in table.vars.values() if v.kind == "volatile"} - kept


@pytest.mark.parametrize(("ring", "start"), [("split", "split.start.adopt"), ("packed", "packed.start.adopt")])
def test_stopped_and_started_again(ring: str, start: str) -> None:
    """An answer comes between two procedures alone, and the next start finds a region that counts."""
    machine = Machine(protocol.table(Subject.of(ring, "hardened", {"stop": PAIR}), quiet=True), Sizes(2, 2), check=True)
    state = machine.initial()

    def go(name: str) -> None:
        nonlocal state
        (state,) = (after for step, _, after in machine.enabled(state) if step == name)

    def possible() -> set[str]:
        return {step for step, _, _ in machine.enabled(state)}

    go(f"{ring}.start.fresh")
    go("stop.ask")
    assert "stop.answer" not in possible()  # recovery is under way
    while "stop.answer" not in possible():
        state = next(after for step, _, after in machine.enabled(state) if step.startswith(f"{ring}."))
    assert not {f"{ring}.fetch.look", f"{ring}.fetch.1"} & possible()
    go("stop.answer")
    assert {step for step in possible() if not step.startswith(("driver.", "stop."))} == {start}
    go(start)
    assert machine.get(state, "stop.at") == "running"


def _renumbered(row: str) -> str:
    """Give bound numbers the names that they would have if they were the only ones."""
    names = dict.fromkeys(re.findall(r"'(q\d+)'", row))
    numbers = {name: f"'n{number}'" for number, name in enumerate(names)}
    return re.sub(r"'(q\d+)'", lambda m: numbers[m[1]], row)


@pytest.mark.parametrize("ring", RINGS)
def test_pairs_that_are_alike_have_one_table(ring: str) -> None:
    """What is proved of the first is proved of the others: each step is written alike, as terms."""

    def written(subject: Subject) -> list[str]:
        rows = (
            repr((r.step.id, r.step.at, r.step.to, sorted(r.step.tags), r.guard, r.assigns, r.history))
            for r in protocol.table(subject).recorded()
        )
        return [_renumbered(row) for row in rows]

    subjects = [Subject.of(ring, "hardened", {"stop": name}) for name in PAIRS]
    assert all(written(s) == written(protocol.like(s)) for s in subjects)
    firsts = {protocol.like(s) for s in subjects}
    assert len(firsts) == 4
    for one in firsts:
        assert all(written(one) != written(other) for other in firsts - {one})
    plain = Subject.of(ring, "hardened", {"ring-reset": "told"})
    assert protocol.like(plain) == plain
