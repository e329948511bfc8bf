"""Start and recovery of a split queue: steps, bytes, and gaps."""

from typing import Any

import pytest

from refimpl.errors import RegionError, UsageError
from refimpl.split.recover import prepare_region
from refimpl.split.state import Counter
from tests.refimpl.rig import CrashError, Rig, batch, crash_at, interrupted

INIT = ["split.init.1", "split.init.2", "split.init.3"]
REST = ["split.position", "split.counter", "split.reconnect.signal", "split.reconnect.ready"]
ELSE = ["split.reconnect.1", "split.reconnect.1.else"]


@pytest.mark.reaches(
    "split.start.fresh",
    "split.init.*",
    "split.reconnect.1.else",
    "split.position",
    "split.counter",
    "split.reconnect.signal",
    "split.reconnect.ready",
)
def test_fresh() -> None:
    """A fresh region gets its number of entries, the used index and, last, its version."""
    rig = Rig(first_index=65534)
    rig.queue().start()
    assert rig.ids() == ["split.start.fresh", *INIT, *ELSE, *REST]
    assert (rig.region.version, rig.region.desc_num, rig.region.used_idx) == (1, 4, 65534)


def test_fresh_in_v6() -> None:
    """In v6 there is no counter to set."""
    rig = Rig(revision="v6")
    rig.queue().start()
    assert rig.ids() == ["split.start.fresh", *INIT, *ELSE, *(step for step in REST if step != "split.counter")]


@pytest.mark.reaches("split.start.adopt")
def test_adopted() -> None:
    """An initialised region is adopted and not initialised again."""
    rig = Rig()
    rig.started()
    rig.queue().start()
    assert rig.ids() == ["split.start.adopt", *ELSE, *REST]


def test_version_first() -> None:
    """With version-first a crash after the first store leaves a region that says 1 and has no entries."""
    rig = Rig({"init-order": "version-first"})
    crash_at(rig, "split.init.3")
    with pytest.raises(CrashError):
        rig.queue().start()
    assert (rig.region.version, rig.region.desc_num) == (1, 0)
    rig.on_step = lambda _step, _choice: None
    with pytest.raises(RegionError, match="desc_num is 0"):
        rig.queue().start()
    rig.queue(strict=False).start()


def test_version_first_uncut() -> None:
    """With version-first the version is stored before the other two."""
    rig = Rig({"init-order": "version-first"}, first_index=5)
    rig.queue().start()
    assert rig.ids()[1:4] == ["split.init.3", "split.init.1", "split.init.2"]
    assert (rig.region.version, rig.region.desc_num, rig.region.used_idx) == (1, 4, 5)


@pytest.mark.parametrize("step", INIT)
def test_version_last_survives_a_crash(step: str) -> None:
    """With version-last a crash at any store of the initialisation leaves what the next life makes whole."""
    rig = Rig(first_index=7)
    crash_at(rig, step)
    with pytest.raises(CrashError):
        rig.queue().start()
    rig.on_step = lambda _step, _choice: None
    rig.queue().start()
    assert (rig.region.version, rig.region.desc_num, rig.region.used_idx) == (1, 4, 7)


def test_before_hand_over() -> None:
    """A region initialised before it is handed over is adopted; a fresh one is refused."""
    rig = Rig({"init-order": "before-hand-over"}, first_index=3)
    with pytest.raises(RegionError, match="version is 0"):
        rig.queue().start()
    prepare_region(rig.region, used_idx=3)
    rig.queue().start()
    assert rig.ids() == ["split.start.adopt", *ELSE, *REST]


def test_fresh_used_idx_zero() -> None:
    """With zero, a fresh region on a used ring walks an empty list as often as the ring's index says."""
    rig = Rig({"fresh-used-idx": "zero"}, first_index=9)
    rig.queue().start()
    walk = ["split.reconnect.1", "split.reconnect.1a", *["split.reconnect.1b"] * 9, "split.reconnect.1c"]
    assert rig.ids() == ["split.start.fresh", INIT[0], INIT[2], *walk, *REST]
    assert rig.region.used_idx == 9


@pytest.mark.reaches("split.start.skip")
def test_fresh_used_idx_zero_and_skip() -> None:
    """With zero-and-skip, the comparison is left out on a fresh region, and made on an adopted one."""
    rig = Rig({"fresh-used-idx": "zero-and-skip"}, first_index=2)
    rig.queue().start()
    assert rig.ids() == ["split.start.fresh", INIT[0], INIT[2], "split.start.skip", *REST]
    assert rig.region.used_idx == 0
    rig.steps.clear()
    rig.queue().start()
    assert rig.ids().count("split.reconnect.1b") == 2


@pytest.mark.reaches(
    "split.reconnect.1", "split.reconnect.1a", "split.reconnect.1b", "split.reconnect.1c", "split.reconnect.2"
)
def test_last_batch_is_cleared() -> None:
    """A batch that was published but not cleared is found through the list and cleared; the rest is resubmitted."""
    rig = interrupted()
    rig.queue().start()
    walk = ["split.reconnect.1", "split.reconnect.1a", *["split.reconnect.1b"] * 2, "split.reconnect.1c"]
    assert rig.ids() == ["split.start.adopt", *walk, *REST[:2], "split.reconnect.2", *REST[2:]]
    assert (rig.submitted, rig.inflight(), rig.region.used_idx) == ([2], [0, 0, 1, 0], 2)
    assert ("split.reconnect.2", 2) in rig.steps


def test_start_again_on_the_same_object() -> None:
    """A start forgets the batch that a crash cut off, so that the object can be another life."""
    rig = Rig()
    queue = rig.started()
    rig.fetch(queue, 2, 1)
    crash_at(rig, "split.supply.5")
    with pytest.raises(CrashError):
        queue.supply(batch(1))
    rig.on_step = lambda _step, _choice: None
    queue.start()
    assert queue.supply(batch(2)) == 1


@pytest.mark.parametrize(
    ("revision", "gaps", "choose", "order"),
    [
        ("merged", {}, None, [1, 0, 3]),
        ("v6", {}, None, [0, 1, 3]),
        ("v6", {"resubmit-order": "any"}, None, [0, 1, 3]),
        ("v6", {"resubmit-order": "any"}, max, [3, 1, 0]),
        ("v6", {}, max, [0, 1, 3]),
        ("merged", {}, max, [1, 0, 3]),
    ],
)
def test_resubmit_order(revision: str, gaps: dict[str, str], choose: Any, order: list[int]) -> None:
    """Merged resubmits in the order of fetching; v6 does not, for the heads 1 then 0 in the table's order."""
    rig = Rig(gaps, revision)
    rig.fetch(rig.started(), 1, 0, 3)
    rig.queue(**({"choose": choose} if choose else {})).start()
    assert rig.submitted == order


def test_resubmit_ties_can_be_steered() -> None:
    """Among equal counters the choice is steered; one that is not offered is refused."""
    rig = Rig()
    rig.fetch(rig.started(), 1, 0, 3)
    for entry in rig.region.desc:
        entry.counter = 5
    rig.queue().start()
    assert rig.submitted == [0, 1, 3]
    rig.queue(choose=max).start()
    assert rig.submitted == [3, 1, 0]
    with pytest.raises(UsageError, match="2 was chosen"):
        rig.queue(choose=lambda _heads: 2).start()


@pytest.mark.parametrize(
    ("gaps", "empty", "busy"),
    [
        ({}, 0, 3),
        ({"counter-start": "one"}, 1, 4),
        ({"counter-after-reconnect": "zero"}, 0, 0),
        ({"counter-after-reconnect": "zero", "counter-start": "one"}, 1, 1),
        ({"counter-after-reconnect": "count"}, 0, 2),
    ],
)
def test_counter_after_reconnect(gaps: dict[str, str], empty: int, busy: int) -> None:
    """The counter begins where the gaps say, with nothing inflight and with the first of three gone."""
    rig = Rig(gaps)
    queue = rig.started()
    assert queue.counter.value == empty
    rig.fetch(queue, 1, 0, 3)
    queue.supply(batch(1))
    assert rig.started().counter.value == busy


@pytest.mark.parametrize(
    ("scope", "before", "after"),
    [("queue", 9, 2), ("device-greatest", 9, 9), ("device-greatest", 1, 2), ("device-last", 9, 2)],
)
def test_counter_scope(scope: str, before: int, after: int) -> None:
    """A shared counter stays past every queue's with device-greatest; with device-last the last queue has its way."""
    rig = Rig({"counter-scope": scope})
    rig.fetch(rig.started(), 1, 0)
    counter = Counter(before)
    queue = rig.started(counter=counter)
    assert queue.counter.value == after
    assert (queue.counter is counter) == (scope != "queue")


@pytest.mark.reaches("queue.other")
def test_other_queue() -> None:
    """Another queue of the device changes the counter that is shared."""
    rig = Rig({"counter-scope": "device-last"})
    queue = rig.started(counter=Counter())
    queue.other_queue(12)
    assert (queue.counter.value, rig.ids()) == (12, ["queue.other"])


@pytest.mark.parametrize(("choice", "position"), [("used-plus-inflight", 2), ("used-idx", 65535), ("avail-idx", 3)])
def test_fetch_position(choice: str, position: int) -> None:
    """Fetching goes on after what is used and inflight, across the wrap of the index; the others differ."""
    rig = Rig({"fetch-position": choice}, first_index=65534)
    queue = rig.started()
    rig.fetch(queue, 0, 1, 2, 3)
    queue.supply(batch(1))
    rig.driver.use()
    rig.make(1)
    assert rig.started().last_avail == position


@pytest.mark.parametrize(
    ("gaps", "cleared"),
    [({}, [0, 0, 0, 0]), ({"batch-size": "mod-queue-size"}, [1, 1, 1, 1]), ({"batch-size": "signed"}, [0, 0, 0, 0])],
)
def test_batch_size_of_a_full_ring(gaps: dict[str, str], cleared: list[int]) -> None:
    """A batch as long as the ring is none modulo the ring's size."""
    rig = Rig(gaps)
    queue = rig.started()
    rig.fetch(queue, 0, 1, 2, 3)
    crash_at(rig, "split.supply.5")
    with pytest.raises(CrashError):
        queue.supply(batch(0, 1, 2, 3))
    rig.on_step = lambda _step, _choice: None
    rig.queue().start()
    assert rig.inflight() == cleared


@pytest.mark.parametrize(
    ("gaps", "cleared"),
    [({}, [0, 0, 1, 0]), ({"batch-size": "mod-queue-size"}, [0, 0, 1, 0]), ({"batch-size": "signed"}, [1, 1, 1, 0])],
)
def test_batch_size_across_the_wrap(gaps: dict[str, str], cleared: list[int]) -> None:
    """A difference with a sign clears nothing when the used index has wrapped."""
    rig = interrupted(gaps, first_index=65535)
    rig.queue().start()
    assert rig.inflight() == cleared
    assert rig.region.used_idx == 1


@pytest.mark.parametrize(("choice", "quiet", "mismatched"), [("always", 1, 1), ("on-mismatch", 0, 1), ("never", 0, 0)])
def test_signal_at_start(choice: str, quiet: int, mismatched: int) -> None:
    """The driver is notified at start always, after a batch was cut off, or never."""
    for rig, calls in (
        (Rig({"signal-at-start": choice}), quiet),
        (interrupted({"signal-at-start": choice}), mismatched),
    ):
        before = rig.calls
        rig.queue().start()
        assert rig.calls - before == calls
        assert rig.ids().count("split.reconnect.signal") == calls


def test_ring_at_start() -> None:
    """With look the queue looks at once, with wait it rests until the kick."""
    assert not Rig().started().resting
    assert Rig({"ring-at-start": "wait"}).started().resting


@pytest.mark.reaches("connection.kick")
def test_second_kick_fd() -> None:
    """A second kick fd repeats recovery only with every-kick, and never in a batch."""
    for choice, steps in (
        ("once", []),
        ("every-kick", ["connection.kick", *ELSE, *REST[:2], "split.reconnect.2", *REST[2:]]),
    ):
        rig = Rig({"recovery-start": choice})
        queue = rig.started()
        rig.fetch(queue, 2)
        queue.kick_fd_again()
        assert rig.ids() == steps
        assert rig.submitted == [2] * (1 + len(steps) // 3 // 2)


def test_second_kick_fd_in_a_batch() -> None:
    """Recovery does not run in the middle of a batch."""
    rig = Rig({"recovery-start": "every-kick"})
    queue = rig.started()
    rig.fetch(queue, 2)

    def again(step: str, _choice: int | None) -> None:
        if step == "split.supply.5":
            queue.kick_fd_again()

    rig.on_step = again
    with pytest.raises(UsageError, match="kick_fd_again while a batch is published"):
        queue.supply(batch(2))


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("step", ["split.reconnect.1b", "split.reconnect.1c", "split.reconnect.2"])
def test_recovery_can_be_cut_off(step: str, number: int) -> None:
    """Recovery cut off at a store, or while it resubmits, and run again, ends as if it had not been."""
    rig = interrupted()
    crash_at(rig, step, number if step == "split.reconnect.1b" else 1)
    with pytest.raises(CrashError):
        rig.queue().start()
    rig.on_step = lambda _step, _choice: None
    queue = rig.queue()
    queue.start()
    assert (rig.submitted, rig.inflight(), rig.region.used_idx) == ([2], [0, 0, 1, 0], 2)
    assert (queue.last_avail, queue.counter.value) == (3, 1)


def test_a_region_too_small_is_refused() -> None:
    """A region smaller than the ring is refused unless that was chosen; a larger one does no harm."""
    with pytest.raises(UsageError, match="a region of 2 entries for a ring of 4"):
        Rig(entries=2).queue()
    Rig(entries=8).queue().start()
    Rig({"region-size": "smaller"}, entries=2).queue().start()
