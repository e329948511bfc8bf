"""Crashes of a split queue's back-end at each of its stores, and what the next life makes of it."""

import pytest

from refimpl.hooks import BACKEND_STEPS, BACKEND_STORES
from tests.refimpl.rig import CrashError, Rig, batch


def serve(rig: Rig) -> list[int]:
    """Live one life: recover, fetch 1, 0, 3 as far as made available, finish 3 and 1 in one batch; return the order."""
    queue = rig.queue()
    queue.start()
    resubmitted = list(rig.submitted)
    queue.look()
    while queue.available:
        queue.take()
        queue.look()
    if {1, 3} <= set(rig.submitted):
        queue.supply(batch(3, 1))
    queue.arm()
    queue.look_again()
    return resubmitted


def wanted(rig: Rig, fetched: list[int]) -> list[int]:
    """Return the order of what has to be resubmitted: marked inflight and not visible as used."""
    visible = [rig.ring.used.ring[slot].id for slot in range(rig.ring.used.idx)]
    return [head for head in fetched if head not in visible]


def crash_points() -> list[tuple[str, int]]:
    """Return each store of a whole life after its start, as (step, how many of that step so far)."""
    rig = Rig()
    rig.make(1, 0, 3)
    rig.steps.clear()
    serve(rig)
    stores = [step for step in rig.ids() if step in BACKEND_STORES and not step.startswith("split.init")]
    return [(step, stores[: place + 1].count(step)) for place, step in enumerate(stores)]


@pytest.mark.parametrize(("step", "number"), crash_points())
def test_crash_at_each_store_of_serving(step: str, number: int) -> None:
    """After a crash at any store, the next life resubmits what was fetched and is not visible, in its order."""
    rig = Rig()
    rig.make(1, 0, 3)
    marked: list[int] = []
    left = number

    def crash(reported: str, _choice: int | None) -> None:
        nonlocal left
        if reported == "split.fetch.2":
            marked.append((1, 0, 3)[len(marked)])
        left -= reported == step
        if left == 0:
            raise CrashError

    rig.on_step = crash
    with pytest.raises(CrashError):
        serve(rig)
    expected = wanted(rig, marked)
    rig.on_step = lambda _step, _choice: None
    assert serve(rig) == expected
    assert sorted(head for head, _ in rig.driver.use_all()) == [1, 3]
    assert rig.inflight() == [1, 0, 0, 0]


def test_there_are_crash_points() -> None:
    """Every step of serving that stores is among the places where the test before this one crashes."""
    serving = {step for step in BACKEND_STORES if step.startswith(("split.fetch", "split.supply", "split.idle"))}
    assert {step for step, _ in crash_points()} == serving


def test_every_step_is_known() -> None:
    """What a whole life reports are ids that are declared, and those with a store change the memory."""
    rig = Rig()
    rig.make(1, 0, 3)
    before = bytes(rig.view)
    stored: set[str] = set()

    def compare(step: str, _choice: int | None) -> None:
        nonlocal before
        now = bytes(rig.view)
        changed = sum(one != other for one, other in zip(before, now, strict=True))
        if changed:
            assert changed <= 4
            stored.add(step)
        before = now

    rig.on_step = compare
    serve(rig)
    assert set(rig.ids()) <= BACKEND_STEPS
    assert stored <= BACKEND_STORES
    assert stored >= {"split.init.1", "split.init.3", "split.fetch.2", *(f"split.supply.{n}" for n in (2, 3, 5, 6, 7))}
