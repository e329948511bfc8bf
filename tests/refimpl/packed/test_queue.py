"""Fetch, idle and supply of a packed queue: steps, bytes, gaps, and what is refused."""

import pytest

from refimpl.choices import PACKED_GAPS, open_in
from refimpl.errors import FrontEndError, RegionError, UsageError
from refimpl.memory import store
from refimpl.packed.recover import prepare_packed_region
from refimpl.packed.state import PackedState
from tests.refimpl.packed_rig import PackedRig
from tests.refimpl.rig import batch

HEAD = ["packed.fetch.1", "packed.fetch.2a", "packed.fetch.counter", "packed.fetch.bump", "packed.fetch.2b"]
COPY = ["packed.fetch.4", *(f"packed.fetch.5{part}" for part in "abcd"), "packed.fetch.6"]
END = ["packed.fetch.7", "packed.fetch.submit"]
ELEMENT = ["packed.supply.id", "packed.supply.len"]
LIST = ["packed.supply.3", "packed.supply.4"]
MOVE = ["packed.supply.6a", "packed.supply.6b.else"]
COMMIT = ["packed.supply.8", "packed.supply.8", "packed.supply.9a", "packed.supply.9b", "packed.supply.9c"]
NOTIFY = ["packed.notify.look", "packed.notify.call"]


@pytest.mark.reaches("packed.fetch.*")
def test_take() -> None:
    """Fetching keeps a copy of each descriptor in the free list's next entries, and submits the first entry."""
    rig = PackedRig()
    queue = rig.started()
    rig.make((3, 2))
    queue.look()
    assert queue.available
    assert queue.take() == 0
    assert not queue.available
    first, last = ["packed.fetch.3.else", *COPY], ["packed.fetch.3", *COPY]
    assert rig.ids() == ["packed.fetch.look", *HEAD, *first, "packed.fetch.more", *last, *END]
    copies = [(entry.id, entry.addr, entry.len, entry.flags) for entry in rig.region.desc[:2]]
    assert copies == [(3, 0x1000, 512, 1 << 7 | 1), (3, 0x1001, 513, 1 << 7)]
    entry = rig.region.desc[0]
    assert (entry.num, entry.last, entry.counter, entry.inflight) == (2, 1, 0, 1)
    assert rig.header() == (2, 0, 1, 2, 0, 1)
    assert (rig.submitted, rig.given) == ([0], {0: [(3, 0x1000, 512), (3, 0x1001, 513)]})
    assert (queue.avail_idx, queue.avail_wrap, queue.counter.value) == (2, 1, 1)


def test_take_in_v6() -> None:
    """In v6 there is no counter."""
    rig = PackedRig(revision="v6")
    queue = rig.started()
    rig.fetch(queue, (0, 1))
    rig.make((1, 1))
    queue.look()
    assert queue.take() == 1
    assert rig.ids() == ["packed.fetch.look", *HEAD[:2], HEAD[4], "packed.fetch.3", *COPY, *END]


def test_assignments_one() -> None:
    """With one, the copy of a descriptor is one step, and so are the sentences of supplying."""
    rig = PackedRig({"assignments": "one"}, "merged")
    queue = rig.started()
    rig.make((1, 1))
    queue.look()
    queue.take()
    copy = ["packed.fetch.4", "packed.fetch.5a", "packed.fetch.6"]
    assert rig.ids() == ["packed.fetch.look", *HEAD, "packed.fetch.3", *copy, *END]
    entry = rig.region.desc[0]
    assert (entry.id, entry.addr, entry.len, entry.flags) == (1, 0x1000, 512, 1 << 7)
    rig.steps.clear()
    queue.supply(batch(0))
    supply = ["packed.supply.1", *ELEMENT, *LIST, "packed.supply.6a", "packed.supply.7", "packed.supply.8"]
    assert rig.ids() == [*supply, "packed.supply.9a", *NOTIFY]
    assert rig.header() == (0, 1, 1) * 2


@pytest.mark.parametrize("number", [1, 2, 3, 5])
def test_chains_of_every_length(number: int) -> None:
    """Chains of any length, up to the whole ring, go round and round: positions and wrap counters keep step."""
    rig = PackedRig(size=5)
    queue = rig.started(used_len=lambda _entry: 9)
    for turn in range(13):
        (entry,) = rig.fetch(queue, (turn % 5, number))
        assert queue.supply(batch(entry)) == 1
        assert rig.driver.use_all() == [(turn % 5, 9)]
        place = rig.ring.advance(0, 1, number * (turn + 1))
        assert place == (queue.avail_idx, queue.avail_wrap) == (rig.driver.next_used, rig.driver.used_wrap)
        assert rig.header()[1:3] == rig.header()[4:] == place
        assert sorted(rig.free_list()) == [0, 1, 2, 3, 4]


def supplied(gaps: dict[str, str] | None = None) -> tuple[PackedRig, list[str]]:
    """Return a rig of 8 that supplied the 2nd and the 1st of 3 requests (2, 1 and 1 descriptors), and the steps."""
    rig = PackedRig(gaps, "merged", 8)
    queue = rig.started(used_len=lambda entry: 100 + entry)
    assert rig.fetch(queue, (5, 2), (6, 1), (7, 1)) == [0, 2, 3]
    assert queue.supply(batch(2, 0)) == 2
    used = [rig.ring.desc[slot] for slot in (0, 1)]
    assert [(desc.id, desc.len, desc.flags) for desc in used] == [
        (6, 102, 1 << 15 | 1 << 7),
        (5, 100, 1 << 15 | 1 << 7),
    ]
    assert (rig.inflight()[:4], rig.free_list()[:4]) == ([0, 0, 0, 1], [0, 1, 2, 4])
    return rig, rig.ids()


BUILD = [*["packed.supply.1", *ELEMENT, *LIST] * 2, *MOVE]
SHORT = [*["packed.supply.1", *LIST] * 2, *MOVE]


@pytest.mark.parametrize(
    ("gaps", "steps"),
    [
        ({}, [*BUILD, *["packed.supply.7"] * 2, *COMMIT, *NOTIFY]),
        ({"used-element": "with-flags"}, [*SHORT, *[*ELEMENT, "packed.supply.7"] * 2, *COMMIT, *NOTIFY]),
        ({"signal-when": "after-publish"}, [*BUILD, *["packed.supply.7"] * 2, *NOTIFY, *COMMIT]),
        ({"flags-order": "in-order"}, [*BUILD, *["packed.supply.7"] * 2, *COMMIT, *NOTIFY]),
    ],
)
@pytest.mark.reaches(
    "packed.supply.id", "packed.supply.len", "packed.supply.[134678]", "packed.supply.6a", "packed.supply.9[abc]"
)
def test_supply(gaps: dict[str, str], steps: list[str]) -> None:
    """A batch is built, moves the position, is published, cleared and settled in the text's order."""
    rig, reported = supplied(gaps)
    assert reported == steps
    assert rig.header() == (0, 3, 1) * 2
    assert rig.driver.use_all() == [(6, 102), (5, 100)]


@pytest.mark.parametrize(("order", "first"), [("first-last", 1), ("in-order", 0)])
def test_flags_order(order: str, first: int) -> None:
    """By default the first element's flags are stored last, so that the driver sees the batch at once."""
    rig = PackedRig({"flags-order": order}, "merged")
    queue = rig.started()
    rig.fetch(queue, (0, 1), (1, 1))
    seen: list[list[int]] = []
    rig.on_step = lambda step, _choice: seen.append(rig.flags()) if step == "packed.supply.7" else None
    queue.supply(batch(0, 1))
    used = 1 << 15 | 1 << 7
    assert [number for number in (0, 1) if seen[0][number] == used] == [first]


@pytest.mark.reaches("packed.supply.6b", "packed.supply.6b.else")
def test_used_position_flips() -> None:
    """A batch that passes the end of the ring flips the used wrap counter, and its slots have two laps."""
    rig = PackedRig(size=3)
    queue = rig.started()
    rig.fetch(queue, (0, 2))
    queue.supply(batch(0))
    rig.driver.use_all()
    rig.fetch(queue, (0, 1), (1, 1))
    rig.steps.clear()
    queue.supply(batch(0, 1))
    assert "packed.supply.6b" in rig.ids()
    assert rig.header() == (1, 1, 0) * 2
    assert (rig.flags()[2], rig.flags()[0]) == (1 << 15 | 1 << 7, 0)


def test_batch_size_requests() -> None:
    """With requests, the used position moves by requests and no longer names the driver's next one."""
    rig = PackedRig({"batch-size": "requests"}, "merged")
    queue = rig.started()
    rig.fetch(queue, (0, 3))
    queue.supply(batch(0))
    assert rig.header()[1:3] == (1, 1)
    rig.driver.use_all()
    assert (rig.driver.next_used, rig.driver.used_wrap) == (3, 1)


@pytest.mark.reaches("packed.idle.arm", "packed.idle.look", "packed.idle.wake", "packed.idle.disarm")
def test_idle() -> None:
    """Arming enables kicks; what comes before the second look is seen, else the queue rests; a kick disables them."""
    rig = PackedRig()
    queue = rig.started()
    store(rig.ring.device_event, "flags", 1)
    queue.arm()
    assert rig.ring.device_event.flags == 0
    rig.make((0, 1))
    assert queue.look_again()
    assert not queue.resting
    queue.take()
    queue.arm()
    assert not queue.look_again()
    assert queue.resting
    queue.wake()
    assert (queue.resting, rig.kicks, rig.ring.device_event.flags) == (False, 1, 1)
    idle = [step for step in rig.ids() if "idle" in step]
    assert idle == [*["packed.idle.arm", "packed.idle.look"] * 2, "packed.idle.wake", "packed.idle.disarm"]


@pytest.mark.reaches("packed.idle.unarmed")
def test_event_fields_left() -> None:
    """With left, the event flags stay as they were found until the first kick."""
    rig = PackedRig({"event-fields": "left"}, "merged")
    queue = rig.started()
    store(rig.ring.device_event, "flags", 1)
    queue.arm()
    assert (rig.ring.device_event.flags, rig.ids()) == (1, ["packed.idle.unarmed"])
    queue.wake()
    queue.arm()
    assert rig.ids()[1:] == ["packed.idle.wake", "packed.idle.disarm", "packed.idle.arm"]


@pytest.mark.parametrize(
    ("flags", "off_wrap", "event_index", "called"),
    [
        (0, 0, False, 1),
        pytest.param(1, 0, False, 0, marks=pytest.mark.reaches("packed.notify.none")),
        (2, 9, False, 1),
        (2, 0 | 1 << 15, True, 0),
        pytest.param(2, 2 | 1 << 15, True, 1, marks=pytest.mark.reaches("packed.notify.index", "packed.notify.call")),
        (2, 0, True, 1),
        (2, 1, True, 0),
        (2, 2, True, 0),
    ],
)
@pytest.mark.reaches("packed.notify.look")
def test_notify(flags: int, off_wrap: int, event_index: bool, called: int) -> None:
    """The driver is notified unless it wants none, or wants it for a descriptor that is not in the batch.

    The batch takes slot 2 of a lap with wrap counter 1 and slot 0 of the next, of three.
    """
    rig = PackedRig(size=3, event_index=event_index)
    queue = rig.started()
    rig.fetch(queue, (0, 2))
    queue.supply(batch(0))
    rig.driver.use_all()
    (entry,) = rig.fetch(queue, (0, 2))
    store(rig.ring.driver_event, "off_wrap", off_wrap)
    store(rig.ring.driver_event, "flags", flags)
    rig.calls = 0
    rig.steps.clear()
    queue.supply(batch(entry))
    assert (rig.calls, rig.ids()[-1]) == (called, "packed.notify.call" if called else "packed.notify.none")
    assert ("packed.notify.index" in rig.ids()) == event_index


@pytest.mark.parametrize(
    ("choice", "allowed"),
    [
        ("never", set[str]()),
        ("until-publish", {"packed.supply.4", "packed.supply.6a"}),
        ("always", {"packed.supply.4", "packed.supply.6a", "packed.supply.7", "packed.supply.8"}),
    ],
)
def test_fetch_in_batch(choice: str, allowed: set[str]) -> None:
    """More may be fetched while a batch is open, or until it is settled, as the gap says."""
    rig = PackedRig({"fetch-in-batch": choice}, "merged")
    queue = rig.started()
    rig.fetch(queue, (0, 1))
    looked: set[str] = set()

    def try_to_look(step: str, _choice: int | None) -> None:
        if step in {"packed.supply.4", "packed.supply.6a", "packed.supply.7", "packed.supply.8"}:
            try:
                queue.look()
            except UsageError:
                return
            looked.add(step)

    rig.on_step = try_to_look
    queue.supply(batch(0))
    assert looked == allowed


def test_out_of_turn() -> None:
    """Nothing to take, a batch in a batch, an entry that the device does not have: the caller's mistakes."""
    rig = PackedRig()
    queue = rig.started()
    assert queue.supply(batch()) == 0
    assert rig.ids() == []
    rig.make((0, 1))
    with pytest.raises(UsageError, match="nothing to take"):
        queue.take()
    with pytest.raises(UsageError, match="entry 4 was finished"):
        rig.started().supply(batch(4))
    with pytest.raises(RegionError, match="entry 0 was finished, and is not marked"):
        rig.started().supply(batch(0))
    queue = rig.started()
    queue.look()
    queue.take()
    with pytest.raises(UsageError, match="finished twice"):
        queue.supply(batch(0, 0))
    with pytest.raises(UsageError, match="while a batch is open"):
        queue.supply(batch(0))


def test_a_queue_needs_its_own_choices_and_a_whole_region() -> None:
    """Choices of the split ring, and a region smaller than the ring, are refused; a larger one is not."""
    rig = PackedRig({"region-size": "larger"}, "merged", entries=6)
    rig.started()
    assert rig.free_list() == [0, 1, 2, 3, 4, 5]
    with pytest.raises(UsageError, match="3 entries for a ring of 4"):
        PackedRig(entries=3).queue()
    split = PackedRig()
    split.choices = type(split.choices)()
    with pytest.raises(UsageError, match="those of a split ring"):
        split.queue()
    assert isinstance(rig.queue(), PackedState)


def test_vring_base() -> None:
    """The positions as GET_VRING_BASE says them."""
    rig = PackedRig(size=3)
    queue = rig.started()
    rig.fetch(queue, (0, 2))
    queue.supply(batch(0))
    rig.driver.use_all()
    rig.fetch(queue, (0, 1))
    assert queue.vring_base == (0 | 0 << 15 | 2 << 16 | 1 << 31)


DEVIATIONS = [
    (gap, choice)
    for gap, choices in PACKED_GAPS.items()
    for choice in choices[1:]
    if (gap, choice) not in {("free-list", "zeroed"), ("first-wrap", "zero")}  # these never serve anything
]


@pytest.mark.parametrize(("gap", "choice"), DEVIATIONS)
def test_every_choice_serves(gap: str, choice: str) -> None:
    """Without a crash, and with requests of one descriptor, every other deviation serves as the default does.

    Where each used element is in the slot of its own request, they come in the order in which they were made available.
    """
    rig = PackedRig({gap: choice}, open_in(gap)[-1], 3)
    if choice == "before-hand-over":
        prepare_packed_region(rig.region)
    queue = rig.started()
    for turn in range(10):
        entries = rig.fetch(queue, (turn % 3, 1), ((turn + 1) % 3, 1))
        queue.supply(batch(*reversed(entries)))
        order = (0, 1) if choice == "own" else (1, 0)
        assert [identity for identity, _ in rig.driver.use_all()] == [(turn + n) % 3 for n in order]
    assert sorted(rig.free_list()) == [0, 1, 2]
    assert (rig.inflight(), rig.header()[:3]) == ([0, 0, 0], rig.header()[3:])


@pytest.mark.reaches("packed.fetch.7")
def test_a_smaller_region_lets_a_request_wait() -> None:
    """With region-size=smaller a chain waits for as many entries as it has descriptors, and is fetched then."""
    rig = PackedRig({"region-size": "smaller"}, "merged", 4, 3)
    queue = rig.started()
    assert rig.fetch(queue, (0, 2)) == [0]
    rig.make((1, 2))
    queue.look()
    assert (queue.seen, queue.available) == (True, False)
    with pytest.raises(UsageError, match="nothing to take"):
        queue.take()
    queue.supply(batch(0))
    assert queue.available
    queue.take()
    assert sum(rig.inflight()) == 1


def test_a_chain_longer_than_a_smaller_region() -> None:
    """No entry that comes back would ever be enough: the front-end asked for too small a region."""
    rig = PackedRig({"region-size": "smaller"}, "merged", 4, 3)
    queue = rig.started()
    rig.make((0, 4))
    with pytest.raises(FrontEndError, match="a chain has 4 descriptors, the region 3 entries"):
        queue.look()


def test_own_slot_is_forgotten_by_a_successor() -> None:
    """With used-slot=own a used element is in its request's slot; a successor, which knows none, takes the next one."""
    rig = PackedRig({"used-slot": "own"}, "merged", 4)
    queue = rig.started()
    first, second = rig.fetch(queue, (2, 1), (3, 1))
    queue.supply(batch(second))
    assert (rig.ring.desc[1].id, rig.driver.use_all()) == (3, [])
    again = rig.started()
    again.supply(batch(first))
    assert rig.ring.desc[rig.region.used_idx - 1].id == 2
