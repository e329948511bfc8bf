"""Rings that are stopped, and reset, as choices: what the nine pairs come to, and what the edits do."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any

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
                if r.stores(table.vars) and (r.step.procedure in BACK_END or r.step.id in ("stop.late", "stop.back"))
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


UNUSUAL = ("crash", "stop.", "connection.", "driver.reset")


class Walk:
    """A run by dice through a table in which the ring is stopped by `PAIR`, until what is wanted has come."""

    def __init__(self, ring: str, **gaps: str) -> None:
        """Begin before the first process."""
        table = protocol.table(Subject.of(ring, "hardened", {"stop": PAIR, **gaps}), quiet=True)
        self.machine = Machine(table, Sizes(2, 2), check=True)
        self.state, self.dice = self.machine.initial(), random.Random(7)

    def get(self, name: str) -> Any:
        """Give a variable's value."""
        return self.machine.get(self.state, name)

    def possible(self) -> set[str]:
        """Give the steps that may be taken."""
        return {step for step, _, _ in self.machine.enabled(self.state)}

    def take(self, step: str) -> None:
        """Take a step that has no choice."""
        self.state = self.machine.take(self.state, step)

    def until(self, wanted: Callable[[], bool]) -> None:
        """Let driver, device and back-end go on, and nobody stop, reset or kill anything."""
        for _ in range(20_000):
            if wanted():
                return
            usual = [
                s for s in self.machine.enabled(self.state) if not s[0].startswith(("crash", "stop", "connection"))
            ]
            self.state = self.dice.choice([s for s in usual if s[0] != "driver.reset"])[2]
        raise AssertionError("it did not come")


@pytest.mark.parametrize("ring", RINGS)
def test_a_crash_may_come_between_request_and_answer(ring: str) -> None:
    """While recovery is under way, and when all has ended; then nobody has asked any more, and somebody may again."""
    walk = Walk(ring)
    walk.take(f"{ring}.start.fresh")
    walk.take("stop.ask")
    assert "crash" in walk.possible()
    walk.until(lambda: "stop.answer" in walk.possible())
    assert "crash" in walk.possible()
    walk.take("crash")
    assert walk.get("stop.at") == "running"
    walk.take(f"{ring}.start.adopt")
    for _ in range(2):
        walk.take("stop.ask")
        walk.until(lambda: "stop.answer" in walk.possible())
        walk.take("stop.answer")
        walk.take(f"{ring}.start.adopt")


@pytest.mark.parametrize(("choice", "at_once"), [("finished", False), ("left", True)])
@pytest.mark.parametrize("ring", RINGS)
def test_a_batch_that_is_open_is_finished_before_the_answer(ring: str, choice: str, at_once: bool) -> None:
    """But where it is left; and until the ring is started again no step of the back-end is possible."""
    walk = Walk(ring, **({} if choice == "finished" else {"stop-batch": choice}))
    walk.until(lambda: walk.get("supply.open") == 1)
    walk.take("stop.ask")
    assert ("stop.answer" in walk.possible()) == at_once
    walk.until(lambda: "stop.answer" in walk.possible())
    assert (walk.get("supply.open") == 0) == (not at_once)
    walk.take("stop.answer")
    assert not {s for s in walk.possible() if s.startswith(f"{ring}.") and ".start." not in s}


@pytest.mark.parametrize("ring", RINGS)
def test_a_batch_that_is_being_built_is_taken_back(ring: str) -> None:
    """Once somebody has asked nothing else comes of it: what it had goes on being in flight, the list is as before."""
    walk = Walk(ring, **{"stop-batch": "taken-back"})
    walk.until(lambda: (walk.get("supply.open"), walk.get("supply.at")) == (1, "more"))
    assert "stop.back" not in walk.possible()
    marks = walk.get("region.desc[].inflight")
    walk.take("stop.ask")
    assert not {s for s in walk.possible() if s.startswith(f"{ring}.supply")}
    walk.take("stop.back")
    assert not {s for s in walk.possible() if s.startswith((f"{ring}.supply", f"{ring}.fetch"))}
    assert walk.get("region.desc[].inflight") == marks
    assert sum(marks) > 0
    if ring == "packed":
        assert walk.get("region.free_head") == walk.get("region.old_free_head")
    walk.take("stop.answer")
    walk.take(f"{ring}.start.adopt")


@pytest.mark.parametrize("ring", RINGS)
def test_a_batch_that_is_being_published_is_not_taken_back(ring: str) -> None:
    """It is finished before the answer."""
    walk = Walk(ring, **{"stop-batch": "taken-back"})
    walk.until(lambda: walk.get("supply.open") == 2)
    walk.take("stop.ask")
    assert not {"stop.back", "stop.answer"} & walk.possible()
    walk.until(lambda: "stop.answer" in walk.possible())
    assert walk.get("supply.open") == 0


def test_the_packed_base_is_the_next_used_slot() -> None:
    """With requests in flight and in either lap; a region that is made later, elsewhere, begins there."""
    table = Subject.of("packed", "hardened", {"stop": "may-suspend-under-skip-drain"})
    walk = Walk("packed")
    walk.machine = Machine(protocol.table(table, quiet=True), Sizes(2, 2), check=True)
    walk.state = walk.machine.initial()

    def used() -> tuple[int, int]:
        return walk.get("region.used_idx"), walk.get("region.used_wrap_counter")

    def in_flight_at(place: tuple[int, int]) -> bool:
        ahead = (walk.get("fetch.avail_idx"), walk.get("fetch.avail_wrap")) != place
        return used() == place and ahead and "packed.fetch.look" in walk.possible()

    for place in ((0, 1), (1, 1), (0, 0), (1, 0)):
        walk.until(partial(in_flight_at, place))
        walk.take("stop.ask")
        walk.until(lambda: "stop.answer" in walk.possible())
        walk.take("stop.answer")
        assert (walk.get("base.idx"), walk.get("base.wrap")) == place
        walk.take("packed.start.adopt")


@pytest.mark.parametrize("ring", RINGS)
def test_a_migration_goes_on_without_a_back_end_that_was_asked(ring: str) -> None:
    """Once, and only where it died before it answered; then the region is fresh."""
    subject = Subject.of(ring, "hardened", {"stop": "drain-under-drain", "stop-death": "moves"})
    walk = Walk(ring)
    walk.machine = Machine(protocol.table(subject, quiet=True), Sizes(2, 2), check=True)
    walk.state = walk.machine.initial()
    walk.until(lambda: sum(walk.get("region.desc[].inflight")) > 0)
    walk.take("crash")
    assert "stop.move.dead" not in walk.possible()
    walk.take(f"{ring}.start.adopt")
    walk.take("stop.ask")
    walk.take("crash")
    walk.take("stop.move.dead")
    assert (walk.get("region.version"), sum(walk.get("region.desc[].inflight"))) == (0, 0)
    assert "stop.move.dead" not in walk.possible()
    walk.take(f"{ring}.start.fresh")
    for pair, met in ((name, met) for name, met in PAIRS.items() if met.suspends):
        said = "this pair leaves the region behind, and loses requests by itself" if met.believes else "comes along"
        with pytest.raises(ModelError, match=said):
            protocol.table(Subject.of(ring, "hardened", {"stop": pair, "stop-death": "moves"}))


@pytest.mark.parametrize("ring", RINGS)
def test_what_is_judged_apart_is_not_mixed(ring: str) -> None:
    """A ring that is stopped is not reset; and one that drains leaves no batch."""
    for gaps, words in (
        ({"stop": PAIR, "ring-reset": "told"}, "of rings that are not stopped"),
        ({"stop": "drain-under-drain", "stop-batch": "left"}, "a back-end that drains finishes"),
        ({"stop": "drain-under-drain", "stop-batch": "taken-back"}, "a back-end that drains finishes"),
    ):
        with pytest.raises(ModelError, match=words):
            protocol.table(Subject.of(ring, "hardened", gaps))


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
