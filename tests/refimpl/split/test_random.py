"""Random runs, with crashes at any step and a driver that acts between any two: nothing lost, in order, once."""

import random

import pytest

from refimpl.choices import Choices
from refimpl.split.queue import SplitQueue
from tests.refimpl.rig import CrashError, Rig

FIRST = 65530  # so that every longer run crosses the wrap of the indexes


class World:
    """A rig, a driver that acts at random in the hook, a device that finishes at random, and what truly happened."""

    def __init__(self, seed: int, revision: str) -> None:
        """Begin with an empty ring; ``published`` is every head in the order in which it was made available."""
        self.dice = random.Random(seed)
        self.rig = Rig(revision=revision, size=self.dice.choice([1, 2, 4]), first_index=FIRST)
        self.published: list[int] = []
        self.open: dict[int, int] = {}  # head -> place in published
        self.crash_rate = 0.02
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
        """Use what is there, or make a request."""
        driver = self.rig.driver
        if driver.used_waiting and self.dice.random() < 0.5:
            del self.open[driver.use()[0]]  # raises BackEndError for one that is used twice
        elif driver.free and len(self.published) < 60:
            head = self.dice.choice(driver.free)
            self.open[head] = len(self.published)
            self.published.append(head)
            self.rig.make(head)

    def finish(self) -> int | None:
        """Finish a request, any that the device has, or end the batch."""
        held = self.rig.submitted
        if not held or self.dice.random() < 0.2:
            return None
        return held.pop(self.dice.randrange(len(held)))

    def life(self) -> None:
        """Recover, judge, serve until there is nothing left, or die."""
        rig = self.rig
        queue = rig.queue()
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

    def judge(self, queue: SplitQueue) -> None:
        """Compare what was resubmitted with what was fetched and is not visible, in the order of making available."""
        ring = self.rig.ring
        slots = range(
            self.rig.driver.next_used, self.rig.driver.next_used + (ring.used.idx - self.rig.driver.next_used) % 65536
        )
        visible = {ring.used.ring[slot % ring.size].id for slot in slots}
        fetched = (queue.last_avail - FIRST) % 65536
        expected = [head for head, place in self.open.items() if head not in visible and place < fetched]
        expected.sort(key=self.open.__getitem__)
        self.disordered += self.rig.submitted != expected
        assert sorted(self.rig.submitted) == sorted(expected)
        assert fetched <= len(self.published)


@pytest.mark.parametrize("revision", ["v6", "merged"])
def test_random_runs(revision: str) -> None:
    """With the defaults, merged loses nothing and keeps the order in every run; v6 loses nothing, but the order."""
    disordered = 0
    lives = 0
    for seed in range(150):
        world = World(seed, revision)
        assert world.rig.choices == Choices(revision=revision)
        while len(world.published) < 60 or world.open:
            world.drive()
            lives += 1
            if len(world.published) == 60 and not world.rig.driver.free:
                world.crash_rate = 0.0
            try:
                world.life()
            except CrashError:
                continue
        disordered += world.disordered
        assert world.rig.inflight() == [0] * world.rig.ring.size
    assert lives > 500
    assert (disordered == 0) == (revision == "merged")
