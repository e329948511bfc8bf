"""Crashes of a packed queue's back-end at each of its steps, and what the next life makes of it."""

import pytest

from refimpl.hooks import PACKED_BACKEND_STEPS, PACKED_BACKEND_STORES
from tests.refimpl.packed_rig import PackedRig
from tests.refimpl.rig import CrashError, batch

CHAINS = ((1, 2), (0, 1), (3, 1), (2, 1))


def serve(rig: PackedRig) -> list[int]:
    """Live one life: recover, fetch all, finish ids 3 and 1 in one batch, rest; return the ids resubmitted."""
    queue = rig.queue()
    queue.start()
    resubmitted = [rig.given[entry][0][0] for entry in rig.submitted]
    queue.look()
    while queue.available:
        queue.take()
        queue.look()
    entries = {rig.given[entry][0][0]: entry for entry in rig.submitted}
    if {1, 3} <= entries.keys():
        queue.supply(batch(entries[3], entries[1]))
    queue.arm()
    queue.look_again()
    queue.wake()
    return resubmitted


def ready(gaps: dict[str, str] | None = None) -> PackedRig:
    """Return a rig in the middle of the ring, with four requests available, that take the ring across its end."""
    rig = PackedRig(gaps, size=5)
    queue = rig.started()
    (entry,) = rig.fetch(queue, (4, 3))
    queue.supply(batch(entry))
    rig.driver.use_all()
    rig.make(*CHAINS)
    rig.steps.clear()
    return rig


def crash_points(gaps: dict[str, str] | None = None) -> list[int]:
    """Return the number of each step of a life that stores."""
    rig = ready(gaps)
    serve(rig)
    return [place for place, step in enumerate(rig.ids(), 1) if step in PACKED_BACKEND_STORES]


def live_until(rig: PackedRig, place: int) -> None:
    """Live until the step of a number, and die there; or to the end."""
    left = place

    def crash(_step: str, _choice: int | None) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise CrashError

    rig.on_step = crash
    with pytest.raises(CrashError):
        serve(rig)
    rig.on_step = lambda _step, _choice: None


def check_next_life(rig: PackedRig) -> None:
    """Live once more: what was fetched and is not visible is resubmitted, in its order, and nothing else."""
    visible = [rig.driver.use()[0] for _ in range(4) if rig.driver.used_waiting]
    assert visible in ([], [3, 1])
    fetched = sum(step == "packed.fetch.7" for step in rig.ids())
    rig.steps.clear()
    expected = [identity for identity, _ in CHAINS[:fetched] if identity not in visible]
    assert serve(rig) == expected
    assert visible + [identity for identity, _ in rig.driver.use_all()] == [3, 1]
    assert sum(rig.inflight()) == 2
    assert len(rig.free_list()) == 5 - 2


@pytest.mark.parametrize("place", crash_points())
def test_crash_at_each_store(place: int) -> None:
    """After a crash at any store of a life, the next one resubmits what was fetched and is not visible, in order."""
    rig = ready()
    live_until(rig, place)
    check_next_life(rig)


@pytest.mark.parametrize("settle", ["plain", "wide"])
def test_crash_at_each_store_of_recovery(settle: str) -> None:
    """Nor does a crash at any step of the recovery from a crash at any store change anything."""
    gaps = {"settle": settle}
    tried = 0
    for place in crash_points(gaps):
        second = 1
        while True:
            rig = ready(gaps)
            live_until(rig, place)
            before = len(rig.steps)
            live_until(rig, second)
            step = rig.ids()[-1]
            if step.startswith(("packed.fetch", "packed.idle")):
                break
            assert len(rig.steps) == before + second
            check_next_life(rig)
            second += 1
            tried += 1
    assert tried > 500


def test_every_step_is_known() -> None:
    """What whole lives report are ids that are declared, and those that change the memory are said to store."""
    stored: set[str] = set()
    reported: set[str] = set()
    for place in [*crash_points(), 10_000]:
        rig = ready()
        before = bytes(rig.view)

        def compare(step: str, _choice: int | None, rig: PackedRig = rig) -> None:
            nonlocal before
            now = bytes(rig.view)
            if now != before:
                stored.add(step)
            before = now

        if place < 10_000:
            live_until(rig, place)
            before = bytes(rig.view)
        rig.on_step = compare
        serve(rig)
        reported |= set(rig.ids())
    assert stored <= PACKED_BACKEND_STORES
    assert reported <= PACKED_BACKEND_STEPS
    missing = {"connection.kick", "queue.other", "packed.idle.unarmed", "packed.start.fresh"}
    missing |= {f"packed.init.{number}" for number in range(1, 8)}
    missing |= {"packed.notify.none", "packed.notify.index", "packed.supply.6b.else"}
    assert missing == PACKED_BACKEND_STEPS - reported
