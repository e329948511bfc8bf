"""Random runs, with crashes at any step and a driver that acts between any two: nothing lost, in order, once."""

import random

import pytest

from refimpl.errors import InflightError
from refimpl.packed.queue import PackedQueue
from refimpl.packed.ring import is_used
from tests.refimpl.packed_rig import PackedRig
from tests.refimpl.rig import CrashError

REQUESTS = 40


class WrongError(Exception):
    """What is raised when a property does not hold."""


class World:
    """A rig, a driver that acts at random in the hook, a device that finishes at random, and what truly happened.

    ``published`` is the chain of each request, as (id, address, length) of its descriptors, in the order of making
    available; ``open`` is {id: place in published} of those that are not used yet.
    """

    def __init__(self, seed: int, revision: str, gaps: dict[str, str] | None = None) -> None:
        """Begin with an empty ring."""
        self.dice = random.Random(seed)
        self.rig = PackedRig(gaps, revision, self.dice.choice([1, 2, 3, 4, 5]))
        self.published: list[list[tuple[int, int, int]]] = []
        self.open: dict[int, int] = {}
        self.slots = 0
        self.crash_rate = 0.03
        self.finished: list[int] = []
        self.disordered = 0
        self.rig.on_step = self.between

    def between(self, step: str, _choice: int | None) -> None:
        """Let the driver act after a step of the back-end, or the back-end die."""
        if step.startswith("driver."):
            return
        if self.dice.random() < self.crash_rate:
            raise CrashError
        if self.crash_rate and self.dice.random() < 0.3:
            self.drive()

    def drive(self) -> None:
        """Use what is there, or make a request of any length that fits."""
        driver = self.rig.driver
        if driver.used_waiting and self.dice.random() < 0.5:
            identity, length = driver.use()  # raises BackEndError for one that is used twice
            if length != self.open.pop(identity) + 1:
                raise WrongError("a used element has the length of another request")
        elif driver.room and len(self.published) < REQUESTS:
            identity, number = self.dice.choice(driver.free), self.dice.randint(1, driver.room)
            self.open[identity] = len(self.published)
            address = 0x1000 * (self.rig.made + 1)
            self.published.append([(identity, address + part, 512 + part) for part in range(number)])
            self.slots += number
            self.rig.make((identity, number))

    def finish(self) -> int | None:
        """Finish a request, any that the device has, or end the batch."""
        held = self.rig.submitted
        if not held or self.dice.random() < 0.2:
            return None
        return held.pop(self.dice.randrange(len(held)))

    def used_len(self, entry: int) -> int:
        """Return what tells a request from any other: its place, from 1."""
        return self.published.index(self.rig.given[entry]) + 1

    def life(self) -> None:
        """Recover, judge, serve until there is nothing left, or die."""
        rig = self.rig
        queue = rig.queue(used_len=self.used_len)
        queue.start()
        self.judge(queue)
        while True:
            queue.look()
            while queue.available:
                queue.take()
                queue.look()
            queue.supply(self.finish)
            queue.arm()
            if not queue.look_again() and not rig.submitted:
                return

    def visible(self) -> set[int]:
        """Return the ids that the driver meets from its next used position."""
        driver, ring = self.rig.driver, self.rig.ring
        slot, wrap = driver.next_used, driver.used_wrap
        found: set[int] = set()
        while is_used(ring.desc[slot].flags, wrap) and len(found) < len(self.open):
            identity = ring.desc[slot].id
            found.add(identity)
            slot, wrap = ring.advance(slot, wrap, driver.lengths[identity])
        return found

    def judge(self, queue: PackedQueue) -> None:
        """Compare what was resubmitted with what was fetched and is not visible; and the state with what it must be."""
        rig, visible = self.rig, self.visible()
        places = sorted(place for identity, place in self.open.items() if identity not in visible)
        given = [rig.given[entry] for entry in rig.submitted]
        expected = [self.published[place] for place in places[: len(given)]]
        if sorted(given) != sorted(expected):
            raise WrongError("what was resubmitted is not what is inflight")
        self.disordered += given != expected
        fetched = sum(len(chain) for chain in self.published) - sum(
            len(self.published[place]) for place in places[len(given) :]
        )
        if (queue.avail_idx, queue.avail_wrap) != rig.ring.advance(0, 1, fetched):
            raise WrongError("fetching does not go on at the next request")
        taken = sum(len(chain) for chain in given)
        owned = {number for entry in rig.submitted for number in self.chain(entry)}
        free = rig.free_list()
        if len(owned) != taken or sorted([*free, *owned]) != list(range(len(rig.region.desc))):
            raise WrongError("the free list is not what nobody owns")

    def chain(self, entry: int) -> list[int]:
        """Return the entries of a chain."""
        found = [entry]
        while len(found) < self.rig.region.desc[entry].num:
            found.append(self.rig.region.desc[found[-1]].next)
        return found


def run(world: World) -> int:
    """Live as many lives as the requests need; return how many. Raises what shows that a property does not hold."""
    lives = 0
    while len(world.published) < REQUESTS or world.open:
        world.drive()
        lives += 1
        if len(world.published) == REQUESTS:
            world.crash_rate = 0.0
        try:
            world.life()
        except CrashError:
            continue
        if world.crash_rate == 0.0:
            while world.rig.driver.used_waiting:
                world.drive()
            if len(world.published) == REQUESTS and world.open:
                raise WrongError("a request never comes back")
    return lives


@pytest.mark.parametrize("settle", ["plain", "wide"])
def test_hardened(settle: str) -> None:
    """With hardened, every property holds in every run, in order too."""
    lives = 0
    for seed in range(120):
        world = World(seed, "hardened", {"settle": settle})
        lives += run(world)
        assert world.disordered == 0, f"seed {seed}"
        assert not any(world.rig.inflight())
    assert lives > 500


@pytest.mark.parametrize("revision", ["v6", "merged"])
def test_the_text_as_it_is(revision: str) -> None:
    """With v6 and merged, some crash goes wrong."""
    wrong = 0
    for seed in range(120):
        world = World(seed, revision)
        try:
            run(world)
        except (WrongError, InflightError):
            wrong += 1
    assert wrong
