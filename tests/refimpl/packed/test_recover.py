"""Start and recovery of a packed queue: steps, bytes, and gaps."""

import pytest

from refimpl.errors import RegionError, UsageError
from refimpl.memory import store
from refimpl.packed.recover import prepare_packed_region
from refimpl.split.state import Counter
from tests.refimpl.packed_rig import PackedRig, crash_at
from tests.refimpl.rig import CrashError, batch

INIT = ["packed.init.1", *["packed.init.2"] * 4, "packed.init.3", "packed.init.4", "packed.init.5"]
ELSE = ["packed.reconnect.1", "packed.reconnect.1.else"]
BACK = ["packed.reconnect.2a", "packed.reconnect.2b", "packed.reconnect.2c"]
COMMIT = ["packed.reconnect.1c1", "packed.reconnect.1c2", "packed.reconnect.1c3"]
REST = ["packed.position", "packed.counter"]
READY = ["packed.reconnect.signal", "packed.reconnect.ready"]


def free(number: int) -> list[str]:
    """Return the steps that clear ``number`` free entries."""
    return ["packed.reconnect.3"] * number


def crashed(rig: PackedRig, step: str, number: int = 1) -> PackedRig:
    """Fetch 3 requests of 1, 2 and 1 descriptors, supply the second and the first, and die at a step of that."""
    queue = rig.started()
    assert rig.fetch(queue, (2, 1), (0, 2), (1, 1)) == [0, 1, 3]
    crash_at(rig, step, number)
    with pytest.raises(CrashError):
        queue.supply(batch(1, 0))
    rig.on_step = lambda _step, _choice: None
    rig.steps.clear()
    return rig


@pytest.mark.parametrize("revision", ["v6", "merged"])
@pytest.mark.reaches(
    "packed.start.fresh",
    "packed.init.[1-5]",
    "packed.reconnect.1",
    "packed.reconnect.1.else",
    "packed.position",
    "packed.reconnect.signal",
    "packed.reconnect.ready",
)
def test_fresh(revision: str) -> None:
    """A fresh region gets its number of entries, a free list of all of them, wrap counters of 1, and its version."""
    rig = PackedRig(revision=revision)
    queue = rig.queue()
    queue.start()
    rest = REST[: 1 if revision == "v6" else 2]
    assert rig.ids() == ["packed.start.fresh", *INIT, *ELSE, *BACK, *free(4), *rest, *READY]
    assert (rig.region.version, rig.region.desc_num, rig.free_list()) == (1, 4, [0, 1, 2, 3])
    assert rig.header() == (0, 0, 1, 0, 0, 1)
    assert (queue.avail_idx, queue.avail_wrap, rig.calls) == (0, 1, 1)


@pytest.mark.reaches("packed.counter", "packed.reconnect.2[abc]", "packed.reconnect.3", "packed.reconnect.unmark.look")
def test_fresh_in_hardened() -> None:
    """Hardened rolls free_head back last and looks at every slot but the first."""
    rig = PackedRig()
    rig.queue().start()
    looks = ["packed.reconnect.unmark.look"] * 3
    back = [BACK[1], BACK[2], BACK[0]]
    assert rig.ids() == ["packed.start.fresh", *INIT, *ELSE, *back, *looks, *free(4), *REST, *READY]


@pytest.mark.reaches("packed.start.adopt")
def test_adopted() -> None:
    """An initialised region is adopted and not initialised again."""
    rig = PackedRig(revision="merged")
    rig.started()
    rig.queue().start()
    assert rig.ids() == ["packed.start.adopt", *ELSE, *BACK, *free(4), *REST, *READY]


@pytest.mark.parametrize("step", sorted(set(INIT)))
def test_version_last_survives_a_crash(step: str) -> None:
    """With version-last a crash at any store of the initialisation leaves what the next life makes whole."""
    rig = PackedRig()
    crash_at(rig, step)
    with pytest.raises(CrashError):
        rig.queue().start()
    rig.on_step = lambda _step, _choice: None
    rig.queue().start()
    assert (rig.region.version, rig.free_list(), rig.header()) == (1, [0, 1, 2, 3], (0, 0, 1, 0, 0, 1))


def test_version_first() -> None:
    """With version-first a crash after the first store leaves a region that says 1 and has no entries."""
    rig = PackedRig({"init-order": "version-first"}, "merged")
    crash_at(rig, "packed.init.5")
    with pytest.raises(CrashError):
        rig.queue().start()
    assert rig.ids() == ["packed.start.fresh", "packed.init.5"]
    rig.on_step = lambda _step, _choice: None
    with pytest.raises(RegionError, match="desc_num is 0"):
        rig.queue().start()


def test_before_hand_over() -> None:
    """A region initialised before it is handed over is adopted; a fresh one is refused."""
    rig = PackedRig({"init-order": "before-hand-over"}, "merged")
    with pytest.raises(RegionError, match="version is 0"):
        rig.queue().start()
    prepare_packed_region(rig.region)
    rig.queue().start()
    assert rig.ids()[0] == "packed.start.adopt"
    assert (rig.free_list(), rig.header()) == ([0, 1, 2, 3], (0, 0, 1, 0, 0, 1))


def test_free_list_zeroed() -> None:
    """With zeroed the entries are left as they are, and the free list never ends: it is refused, or walked so far."""
    rig = PackedRig({"free-list": "zeroed"}, "merged")
    with pytest.raises(RegionError, match="does not end after 4"):
        rig.queue().start()
    assert "packed.init.2" not in rig.ids()
    assert rig.free_list() == [0]
    rig.queue(strict=False).start()
    assert rig.ids().count("packed.reconnect.3") == 4 + 4


def test_first_wrap_zero() -> None:
    """With zero the back-end and the driver begin in different laps, so nothing is ever seen."""
    rig = PackedRig({"first-wrap": "zero"}, "merged")
    queue = rig.started()
    assert rig.header() == (0, 0, 0, 0, 0, 0)
    rig.make((0, 1))
    queue.look()
    assert not queue.available


@pytest.mark.parametrize(
    ("step", "number", "revision", "steps"),
    [
        ("packed.supply.4", 1, "merged", ELSE),
        ("packed.supply.6a", 1, "merged", ["packed.reconnect.1", "packed.reconnect.1a", "packed.reconnect.1c.else"]),
        ("packed.supply.7", 1, "merged", ["packed.reconnect.1", "packed.reconnect.1a", "packed.reconnect.1c.else"]),
        ("packed.supply.7", 2, "merged", ["packed.reconnect.1", "packed.reconnect.1a", *COMMIT]),
        ("packed.supply.8", 1, "merged", ["packed.reconnect.1", "packed.reconnect.1a", *COMMIT]),
        ("packed.supply.9a", 1, "merged", ["packed.reconnect.1", "packed.reconnect.1a", *COMMIT]),
        pytest.param(
            "packed.supply.9a",
            1,
            "hardened",
            ["packed.reconnect.1", "packed.reconnect.1.settled", *COMMIT],
            marks=pytest.mark.reaches("packed.reconnect.1.settled"),
        ),
        ("packed.supply.9b", 1, "merged", ELSE),
        ("packed.supply.9b", 1, "hardened", ELSE),
        ("packed.supply.7", 2, "hardened", ["packed.reconnect.1", "packed.reconnect.1a", *COMMIT]),
    ],
)
def test_last_batch(step: str, number: int, revision: str, steps: list[str]) -> None:
    """A batch that was published is committed, one that was not is rolled back."""
    rig = crashed(PackedRig(revision=revision), step, number)
    queue = rig.queue()
    queue.start()
    assert rig.ids()[1 : 1 + len(steps)] == steps
    published = step in {"packed.supply.8", "packed.supply.9a", "packed.supply.9b"} or number == 2
    assert rig.submitted == ([3] if published else [0, 1, 3])
    assert rig.header() == ((0, 3, 1) * 2 if published else (4, 0, 1) * 2)
    assert (queue.avail_idx, queue.avail_wrap) == (0, 0)
    assert sorted(rig.free_list()) == ([0, 1, 2] if published else [])
    assert rig.inflight() == ([0, 0, 0, 1] if published else [1, 1, 0, 1])


@pytest.mark.reaches("packed.reconnect.1c.else", "packed.reconnect.unmark")
def test_unmark() -> None:
    """Hardened makes a slot of a batch that is rolled back available again, and touches no other."""
    rig = crashed(PackedRig(), "packed.supply.7")
    before = rig.flags()
    rig.queue().start()
    assert rig.ids().count("packed.reconnect.unmark") == 1
    assert [number for number, flags in enumerate(rig.flags()) if flags != before[number]] == [2]
    assert rig.flags()[2] == 1 << 7


@pytest.mark.reaches("packed.supply.6b", "packed.reconnect.1a", "packed.reconnect.1c[123]")
def test_wrap_counters_are_compared_in_hardened() -> None:
    """A batch of the whole ring leaves used_idx where it was; hardened sees it by the wrap counters."""
    for revision, resubmitted in (("merged", [0]), ("hardened", [])):
        rig = PackedRig(revision=revision)
        queue = rig.started()
        rig.fetch(queue, (1, 4))
        crash_at(rig, "packed.supply.7")
        with pytest.raises(CrashError):
            queue.supply(batch(0))
        assert rig.driver.used_waiting
        rig.on_step = lambda _step, _choice: None
        rig.queue().start()
        assert rig.submitted == resubmitted


@pytest.mark.reaches("packed.reconnect.4", "packed.reconnect.4.*")
def test_resubmission() -> None:
    """Each request is begun with its entry, one descriptor after the other is gathered, and it is submitted."""
    rig = PackedRig()
    rig.fetch(rig.started(), (3, 1), (1, 3))
    given = dict(rig.given)
    rig.queue().start()
    one, three = (["packed.reconnect.4.desc"] * number + ["packed.reconnect.4.submit"] for number in (1, 3))
    begin = "packed.reconnect.4"
    assert rig.ids()[-10:-2] == [begin, *one, begin, *three]
    assert [choice for step, choice in rig.steps if step == begin] == [0, 1]
    assert rig.given == given
    assert rig.given[1] == [(1, 0x2000 + part, 512 + part) for part in range(3)]


def test_order_of_resubmission() -> None:
    """Merged resubmits by the counter, v6 by the table; with any, whoever is asked chooses."""
    for revision, gaps, order in (
        ("v6", {}, [0, 1]),
        ("v6", {"resubmit-order": "any"}, [1, 0]),
        ("merged", {}, [1, 0]),
    ):
        rig = PackedRig(gaps, revision, size=2)
        queue = rig.started()
        rig.fetch(queue, (0, 1), (1, 1))
        queue.supply(batch(0))
        rig.driver.use_all()
        assert rig.fetch(queue, (0, 1)) == [0]  # after entry 1
        rig.queue(choose=max).start()
        assert rig.submitted == order
    with pytest.raises(UsageError, match="9 was chosen"):
        rig.queue(choose=lambda _candidates: 9).start()


@pytest.mark.parametrize(
    ("gap", "choice", "position"),
    [("fetch-position", "used-position", (2, 1)), ("fetch-position", "base", (0, 1)), ("reset", "kept", (0, 0))],
)
def test_position(gap: str, choice: str, position: tuple[int, int]) -> None:
    """Fetching goes on after what is used and inflight, or where the gap says."""
    rig = PackedRig({gap: choice}, "merged")
    queue = rig.started()
    rig.fetch(queue, (0, 2), (1, 2))
    queue.supply(batch(0))
    queue = rig.queue()
    queue.start()
    assert (queue.avail_idx, queue.avail_wrap) == position


@pytest.mark.parametrize(
    ("gap", "choice", "value"),
    [
        ("counter-start", "one", 4),
        ("counter-after-reconnect", "zero", 0),
        ("counter-after-reconnect", "count", 2),
        ("counter-scope", "device-greatest", 9),
        ("counter-scope", "device-last", 3),
    ],
)
def test_counters(gap: str, choice: str, value: int) -> None:
    """The gaps of the counter are those of the split ring."""
    rig = PackedRig({gap: choice}, "merged")
    counter = Counter()
    queue = rig.started(counter=counter)
    rig.fetch(queue, (0, 1), (1, 1), (2, 1))
    queue.supply(batch(0))
    queue.other_queue(9)
    again = rig.queue(counter=counter)
    again.start()
    assert again.counter.value == value
    assert rig.ids()[-1] == "packed.reconnect.ready"


@pytest.mark.parametrize(("choice", "committed"), [("both", True), ("used", False), ("avail", True), ("whole", True)])
def test_flags_compare(choice: str, committed: bool) -> None:
    """What counts as equal depends on which bits are compared; here AVAIL alone differs, as on a bad driver."""
    rig = crashed(PackedRig({"flags-compare": choice}, "merged"), "packed.supply.6a")
    store(rig.ring.desc[0], "flags", 0)
    rig.queue().start()
    assert ("packed.reconnect.1c1" in rig.ids()) == committed


def test_flags_compare_whole() -> None:
    """With whole, an available descriptor that is written to does not equal the calculated flags."""
    for choice, committed in (("both", False), ("whole", True)):
        rig = crashed(PackedRig({"flags-compare": choice}, "merged"), "packed.supply.6a")
        store(rig.ring.desc[0], "flags", 1 << 7 | 2)
        rig.queue().start()
        assert ("packed.reconnect.1c1" in rig.ids()) == committed


def test_assignments_one() -> None:
    """With one, the assignments of a sentence are one step."""
    rig = crashed(PackedRig({"assignments": "one"}, "merged"), "packed.supply.7", 2)
    rig.queue().start()
    head = ["packed.start.adopt", "packed.reconnect.1", "packed.reconnect.1a", COMMIT[0], BACK[0], *free(3)]
    assert rig.ids()[: len(head)] == head
    assert rig.header() == (0, 3, 1) * 2


def test_settle_wide() -> None:
    """With wide, the used position is settled by one store, so that no free_head has to tell what was going on."""
    gaps = {"settle": "wide"}
    rig = crashed(PackedRig(gaps), "packed.supply.9a")
    store(rig.region.padding, 0, 7)
    rig.queue().start()
    assert rig.ids()[1:5] == ["packed.reconnect.1", "packed.reconnect.1a", *COMMIT[:2]]
    assert rig.ids()[5:8] == BACK
    assert (rig.header(), rig.region.padding[0]) == ((0, 3, 1) * 2, 7)


@pytest.mark.parametrize(
    ("choice", "published", "calls"), [("on-mismatch", True, 1), ("on-mismatch", False, 0), ("never", True, 0)]
)
def test_signal_at_start(choice: str, published: bool, calls: int) -> None:
    """The driver is told after recovery as the gap says."""
    step = "packed.supply.7" if published else "packed.supply.4"
    rig = crashed(PackedRig({"signal-at-start": choice}, "merged"), step, 2)
    rig.calls = 0
    rig.queue().start()
    assert rig.calls == calls


def test_ring_at_start() -> None:
    """With wait, the queue rests until a kick though there may be something to fetch."""
    queue = PackedRig({"ring-at-start": "wait"}, "merged").queue()
    queue.start()
    assert queue.resting


@pytest.mark.reaches("connection.kick")
def test_kick_fd_again() -> None:
    """Another kick fd starts a recovery with every-kick only, and never inside a batch."""
    rig = PackedRig(revision="merged")
    rig.started().kick_fd_again()
    assert rig.ids() == []
    rig = PackedRig({"recovery-start": "every-kick"}, "merged")
    queue = rig.started()
    rig.fetch(queue, (0, 1))
    queue.kick_fd_again()
    assert rig.ids()[0] == "connection.kick"
    assert rig.submitted == [0, 0]
    rig.on_step = lambda step, _choice: queue.kick_fd_again() if step == "packed.supply.4" else None
    with pytest.raises(UsageError, match="while a batch is open"):
        queue.supply(batch(0))


@pytest.mark.parametrize(("revision", "header"), [("hardened", (0, 1, 0)), ("merged", (0, 1, 1))])
def test_crash_between_the_last_two_assignments(revision: str, header: tuple[int, int, int]) -> None:
    """A slot inside an older chain still looks available: hardened, seeing free_head settled, does not look at it.

    The batch passes the end of the ring, and old_used_idx is set already, old_used_wrap_counter not yet: together they
    name a slot of the lap before, of which the flags say nothing of this batch. Merged takes the batch for not
    submitted, and keeps the wrap counter of the lap before.
    """
    rig = PackedRig(revision=revision, size=3)
    queue = rig.started()
    for turn in range(2):
        rig.fetch(queue, (turn, 2))
        if turn:
            crash_at(rig, "packed.supply.9b")
            with pytest.raises(CrashError):
                queue.supply(batch(0))
            rig.on_step = lambda _step, _choice: None
        else:
            queue.supply(batch(0))
        rig.driver.use_all()
    again = rig.queue()
    again.start()
    assert rig.header() == header * 2
    assert ((again.avail_idx, again.avail_wrap) == (rig.driver.next_avail, rig.driver.avail_wrap)) == (
        revision == "hardened"
    )


@pytest.mark.parametrize("slot", [0, pytest.param(2, marks=pytest.mark.reaches("packed.init.[67]"))])
def test_fresh_on_a_ring_in_use(slot: int) -> None:
    """used_idx and the wrap counters are what SET_VRING_BASE says; a slot that is not 0 is stored, and that twice."""
    rig = PackedRig()
    queue = rig.queue(base=(slot, 0))
    queue.start()
    assert [step for step in rig.ids() if step in {"packed.init.6", "packed.init.7"}] == (
        ["packed.init.6", "packed.init.7"] if slot else []
    )
    assert rig.header() == (0, slot, 0, 0, slot, 0)
    assert (queue.avail_idx, queue.avail_wrap) == (slot, 0)


def test_a_fresh_region_ignores_the_base() -> None:
    """With fresh-used-idx=zero a fresh region begins at slot 0 with 1, wherever the ring is."""
    rig = PackedRig({"fresh-used-idx": "zero"}, "merged")
    rig.queue(base=(2, 0)).start()
    assert rig.header() == (0, 0, 1, 0, 0, 1)


def test_an_adopted_region_ignores_the_base() -> None:
    """What the region says counts: the base of a front-end that comes back is stale."""
    rig = PackedRig()
    rig.queue(base=(2, 0)).start()
    queue = rig.queue(base=(0, 1))
    queue.start()
    assert rig.header() == (0, 2, 0, 0, 2, 0)
    assert (queue.avail_idx, queue.avail_wrap) == (2, 0)
