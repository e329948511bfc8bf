"""Fetch, idle and supply of a split queue: steps, bytes, gaps, fences, and what is refused."""

from typing import Any

import pytest

from refimpl.errors import RegionError, UsageError
from refimpl.memory import store
from refimpl.split.chain import Buffer
from tests.refimpl.rig import Rig, batch

TAKE = ["split.fetch.1", "split.fetch.counter", "split.fetch.bump", "split.fetch.2", "split.fetch.submit"]
ELEMENT = ["split.supply.id", "split.supply.len"]
ELEMENTS = "split.supply.elements"
LIST = ["split.supply.2", "split.supply.3"]
COMMIT = ["split.supply.6", "split.supply.6", "split.supply.7"]
NOTIFY = ["split.notify.look", "split.notify.call"]


@pytest.mark.reaches(
    "split.fetch.look",
    "split.fetch.1",
    "split.fetch.counter",
    "split.fetch.bump",
    "split.fetch.2",
    "split.fetch.submit",
)
def test_take() -> None:
    """Fetching takes the head, counts it, marks it inflight and submits it, in this order."""
    rig = Rig()
    queue = rig.started()
    rig.make(3)
    queue.look()
    assert queue.available
    assert queue.take() == 3
    assert not queue.available
    assert rig.ids() == ["split.fetch.look", *TAKE]
    assert (rig.submitted, rig.inflight(), queue.counter.value) == ([3], [0, 0, 0, 1], 1)


def test_take_in_v6() -> None:
    """In v6 there is no counter."""
    rig = Rig(revision="v6")
    queue = rig.started()
    rig.make(3)
    queue.look()
    queue.take()
    assert rig.ids() == ["split.fetch.look", TAKE[0], *TAKE[3:]]


def test_nothing_to_take() -> None:
    """Without a look that saw something there is nothing to take, after a start at any index too."""
    rig = Rig(first_index=5)
    queue = rig.started()
    rig.make(0)
    assert not queue.available
    with pytest.raises(UsageError, match="nothing to take"):
        queue.take()


def test_counters_count() -> None:
    """Each request gets the next value of the counter, by the order of fetching and not by the head."""
    rig = Rig()
    rig.fetch(rig.started(), 3, 0, 2)
    assert [entry.counter for entry in rig.region.desc] == [1, 0, 2, 0]


@pytest.mark.reaches("split.notify.*")
def test_indexes_wrap() -> None:
    """Many requests across the wrap of the 16-bit indexes come back one after the other."""
    rig = Rig(first_index=65530, size=2)
    queue = rig.started()
    for number in range(20):
        rig.fetch(queue, number % 2)
        queue.supply(batch(number % 2))
        assert rig.driver.use() == (number % 2, 0)
    assert (rig.ring.used.idx, rig.region.used_idx, queue.last_avail) == (14, 14, 14)


@pytest.mark.reaches("split.idle.arm", "split.idle.look", "split.idle.wake")
def test_idle() -> None:
    """Arming stores the position; what comes before the second look is seen, else the queue rests until the kick."""
    rig = Rig()
    queue = rig.started()
    rig.fetch(queue, 0)
    queue.arm()
    assert rig.ring.avail_event.event == 1
    rig.make(1)
    assert queue.look_again()
    assert not queue.resting
    queue.take()
    queue.arm()
    assert not queue.look_again()
    assert queue.resting
    queue.wake()
    assert (queue.resting, rig.kicks) == (False, 1)
    assert [step for step in rig.ids() if "idle" in step] == [
        *["split.idle.arm", "split.idle.look"] * 2,
        "split.idle.wake",
    ]


def test_idle_by_flags() -> None:
    """Without event indexes, arming clears the flag that says that no kick is wanted."""
    rig = Rig(event_index=False)
    queue = rig.started()
    store(rig.ring.used, "flags", 1)
    queue.arm()
    assert (rig.ring.used.flags, rig.ids()) == (0, ["split.idle.arm"])


@pytest.mark.reaches("split.idle.unarmed")
def test_event_fields_left() -> None:
    """With left, the event index stays as it was found until the first kick."""
    rig = Rig({"event-fields": "left"})
    queue = rig.started()
    rig.fetch(queue, 0)
    queue.arm()
    assert (rig.ring.avail_event.event, rig.ids()) == (0, ["split.idle.unarmed"])
    queue.wake()
    queue.arm()
    assert rig.ring.avail_event.event == 1
    assert rig.ids() == ["split.idle.unarmed", "split.idle.wake", "split.idle.arm"]


def supplied(gaps: dict[str, str] | None = None, **more: Any) -> tuple[Rig, list[str]]:
    """Return a rig that supplied 2 and 0 of 0, 1, 2 in one batch, and the steps of that."""
    rig = Rig(gaps, **more)
    queue = rig.started(used_len=lambda head: 100 + head)
    rig.fetch(queue, 0, 1, 2)
    assert queue.supply(batch(2, 0)) == 2
    assert [(element.id, element.len) for element in rig.ring.used.ring][:2] == [(2, 102), (0, 100)]
    assert (rig.ring.used.idx, rig.region.used_idx, rig.region.last_batch_head) == (2, 2, 0)
    assert (rig.inflight(), rig.region.desc[0].next, rig.region.desc[2].next) == ([0, 1, 0, 0], 2, 0)
    return rig, rig.ids()


@pytest.mark.parametrize(
    ("gaps", "steps"),
    [
        ({}, [*["split.supply.1", *ELEMENT, *LIST] * 2, "split.supply.5", *COMMIT, *NOTIFY]),
        pytest.param(
            {"used-element": "before-publish"},
            [*["split.supply.1", *LIST] * 2, ELEMENTS, *ELEMENT * 2, "split.supply.5", *COMMIT, *NOTIFY],
            marks=pytest.mark.reaches("split.supply.elements"),
        ),
        (
            {"used-element": "after-publish"},
            [*["split.supply.1", *LIST] * 2, "split.supply.5", *ELEMENT * 2, ELEMENTS, *COMMIT, *NOTIFY],
        ),
        (
            {"signal-when": "after-publish"},
            [*["split.supply.1", *ELEMENT, *LIST] * 2, "split.supply.5", *NOTIFY, *COMMIT],
        ),
        (
            {"signal-when": "after-publish", "used-element": "after-publish"},
            [*["split.supply.1", *LIST] * 2, "split.supply.5", *ELEMENT * 2, ELEMENTS, *NOTIFY, *COMMIT],
        ),
    ],
)
@pytest.mark.reaches("split.supply.id", "split.supply.len", "split.supply.[1-7]")
def test_supply(gaps: dict[str, str], steps: list[str]) -> None:
    """A batch is built, published, cleared and made known in the text's order; the gaps move two pieces."""
    rig, ids = supplied(gaps)
    assert ids == steps
    assert [choice for step, choice in rig.steps if step == "split.supply.1"] == [2, 0]


def test_supply_nothing() -> None:
    """Without a finished request nothing happens at all."""
    rig = Rig()
    assert rig.started().supply(batch()) == 0
    assert rig.steps == []


def test_supply_a_full_ring_across_the_wrap() -> None:
    """A batch as long as the ring, across the wrap of the index, is used in the order in which it was built."""
    rig = Rig(first_index=65534)
    queue = rig.started()
    rig.fetch(queue, 0, 1, 2, 3)
    queue.supply(batch(3, 1, 0, 2))
    assert [head for head, _ in rig.driver.use_all()] == [3, 1, 0, 2]
    assert rig.ids()[-3:] == ["driver.use"] * 3


@pytest.mark.parametrize(("event", "called"), [(65534, 0), (65535, 1), (0, 1), (1, 0), (2, 0)])
def test_notify_by_event_index(event: int, called: int) -> None:
    """The driver is called if its event index is one of the batch's, here 65535 and 0."""
    rig = Rig(first_index=65535)
    queue = rig.started()
    rig.fetch(queue, 0, 1)
    store(rig.ring.used_event, "event", event)
    before = rig.calls
    queue.supply(batch(0, 1))
    assert rig.calls - before == called
    assert rig.ids()[-1] == ("split.notify.call" if called else "split.notify.none")


@pytest.mark.parametrize("unwanted", [0, 1])
def test_notify_by_flags(unwanted: int) -> None:
    """Without event indexes the driver is called unless its flag says that it does not want to be."""
    rig = Rig(event_index=False)
    queue = rig.started()
    rig.fetch(queue, 0)
    store(rig.ring.avail, "flags", unwanted)
    before = rig.calls
    queue.supply(batch(0))
    assert rig.calls - before == 1 - unwanted


@pytest.mark.parametrize(
    ("choice", "step", "allowed"),
    [
        ("never", "split.supply.3", False),
        ("never", "split.supply.5", False),
        ("never", "split.supply.7", True),
        ("until-publish", "split.supply.3", True),
        ("until-publish", "split.supply.5", False),
        ("until-publish", "split.supply.6", False),
        ("always", "split.supply.3", True),
        ("always", "split.supply.5", True),
        ("always", "split.supply.6", True),
    ],
)
def test_fetch_in_batch(choice: str, step: str, *, allowed: bool) -> None:
    """Whether the main loop may fetch inside a batch, and until when, is a choice; otherwise it is refused."""
    rig = Rig({"fetch-in-batch": choice})
    queue = rig.started()
    rig.fetch(queue, 0)
    rig.make(3)

    def fetch(reported: str, _choice: int | None) -> None:
        if reported == step:
            queue.look()
            queue.take()

    rig.on_step = fetch
    if allowed:
        queue.supply(batch(0))
        assert rig.inflight() == [0, 0, 0, 1]
    else:
        with pytest.raises(UsageError, match="look while a batch is"):
            queue.supply(batch(0))


@pytest.mark.reaches("split.fetch.2", "split.supply.6")
def test_fetch_in_batch_loses_a_head_that_comes_back() -> None:
    """With always, a head used and made available again before it is cleared is fetched, and its mark then cleared."""
    rig = Rig({"fetch-in-batch": "always"})
    queue = rig.started()
    rig.fetch(queue, 0)

    def again(step: str, _choice: int | None) -> None:
        if step == "split.supply.5":
            rig.driver.use()
            rig.fetch(queue, 0)

    rig.on_step = again
    queue.supply(batch(0))
    assert (rig.submitted, rig.inflight()) == ([0, 0], [0, 0, 0, 0])


def test_supply_refuses() -> None:
    """A head that is not marked, none of the ring, twice in one batch, or a batch in a batch, is refused."""
    for heads in ((4,), (-1,), (1,), (0, 0)):
        rig = Rig()
        queue = rig.started()
        rig.fetch(queue, 0)
        with pytest.raises((UsageError, RegionError), match="was finished"):
            queue.supply(batch(*heads))
    rig = Rig()
    queue = rig.started()
    rig.fetch(queue, 0, 1)

    def inside(step: str, _choice: int | None) -> None:
        if step == "split.supply.1":
            queue.supply(batch(1))

    rig.on_step = inside
    with pytest.raises(UsageError, match="supply while a batch is open"):
        queue.supply(batch(0))


@pytest.mark.reaches("split.*.untracked")
def test_region_smaller_than_the_ring() -> None:
    """A head without an entry is served but not tracked: no counter, mark, list or clear."""
    rig = Rig({"region-size": "smaller"}, entries=2)
    queue = rig.started()
    rig.make(3)
    queue.look()
    queue.take()
    assert rig.ids() == ["split.fetch.look", TAKE[0], "split.fetch.untracked", TAKE[-1]]
    assert queue.counter.value == 0
    rig.steps.clear()
    queue.supply(batch(3))
    kept = ["split.supply.untracked", "split.supply.5", "split.supply.6.untracked", "split.supply.7"]
    assert rig.ids() == ["split.supply.1", *ELEMENT, *kept, *NOTIFY]
    assert rig.driver.use() == (3, 0)


def test_fences(monkeypatch: pytest.MonkeyPatch) -> None:
    """The full fence stands between a publish or an armed event index and the look that depends on it."""
    rig = Rig()
    for module in ("split.fetch", "split.supply", "both.driver"):
        monkeypatch.setattr(f"refimpl.{module}.full_fence", lambda: rig.steps.append(("fence", None)))
    queue = rig.started()
    rig.driver.make([Buffer(0, 1)], 0)
    queue.look()
    queue.take()
    queue.supply(batch(0))
    queue.arm()
    queue.look_again()
    rig.driver.use_all()
    rig.driver.try_sleep()
    looks = ("driver.kick.look", "split.notify.look", "split.idle.look", "driver.sleep.2")
    steps = rig.ids()
    assert [steps[place - 1] for place, step in enumerate(steps) if step in looks] == ["fence"] * 4
    assert steps.count("fence") == 4


@pytest.mark.parametrize(("method", "waiting"), [("sleep", False), ("sleep_again", True)])
def test_fences_of_single_steps(monkeypatch: pytest.MonkeyPatch, method: str, *, waiting: bool) -> None:
    """The driver's look before it sleeps has a fence when it is played as a step of its own, too."""
    rig = Rig()
    monkeypatch.setattr("refimpl.both.driver.full_fence", lambda: rig.steps.append(("fence", None)))
    queue = rig.started()
    rig.fetch(queue, 0)
    if waiting:
        queue.supply(batch(0))
    rig.steps.clear()
    getattr(rig.driver, method)()
    assert rig.ids()[0] == "fence"


@pytest.mark.reaches("split.reconnect.2")
def test_v6_resubmits_in_the_wrong_order() -> None:
    """The driver made 1 and then 0 available; v6, in the table's order, resubmits 0 before 1; merged does not."""
    for revision, order in (("v6", [0, 1]), ("merged", [1, 0])):
        rig = Rig(revision=revision)
        rig.fetch(rig.started(), 1, 0)
        rig.started()
        assert rig.submitted == order
