"""The main loop of one ring, turn by turn: when it fetches, and what it does not overlook."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from refimpl.backend.blk import WRITE
from refimpl.backend.disk import Disk
from refimpl.backend.disk_queue import Schedule
from refimpl.backend.ring import Vring
from refimpl.choices import Choices
from refimpl.frontend.connection import FrontEnd
from refimpl.frontend.guest import Guest
from refimpl.wire.codec import Request
from refimpl.wire.payload import VringState
from tests.refimpl.wire_peer import Peer
from tests.refimpl.wire_rig import make_image


class Bench:
    """A ring of a back-end, a guest on the same memory, and the steps that were reported; nothing runs by itself."""

    def __init__(self, disk: Disk, choices: Choices) -> None:
        """Start the ring; it has had no turn yet."""
        self.steps: list[str] = []
        self.make_at: str | None = None
        self.peer = Peer(disk, choices)
        self.front_end = FrontEnd(Path("/nowhere"), self.peer.ram)
        self.front_end.features = 1 << 29
        self.guest = Guest(self.front_end)
        schedule = Schedule(hold=1, order="fifo", batch=1)
        for ring in self.peer.backend.rings:
            ring.device = replace(ring.device, hook=self.hook, schedule=schedule)
        self.peer.negotiate()
        self.peer.describe()
        self.peer.start()
        self.ring: Vring = self.peer.backend.rings[0]

    def hook(self, step: str, _choice: int | None) -> None:
        """Record a step; right after the one that a test chose, the driver makes another request available."""
        self.steps.append(step)
        if step == self.make_at:
            self.make_at = None
            self.make()

    def make(self) -> None:
        """Make a request available."""
        self.guest.submit(WRITE, 0, bytes(512))

    def run(self) -> None:
        """Let the ring do turns until it has nothing to do."""
        while self.ring.ready:
            self.ring.turn()

    def close(self) -> None:
        """Close everything."""
        self.front_end.close()
        self.peer.close()


@pytest.fixture(name="bench")
def make_bench(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Bench]:
    """Give a bench with the gap's choice that the test is parametrized with, or the defaults."""
    with Disk(make_image(tmp_path), queues=2) as disk:
        bench = Bench(disk, Choices(fetch_in_batch=getattr(request, "param", "never")))
        yield bench
        bench.close()


@pytest.mark.parametrize(
    ("bench", "made_at", "before"),
    [
        ("never", "split.supply.1", None),
        ("until-publish", "split.supply.1", "split.supply.5"),
        ("until-publish", "split.supply.5", None),
        ("always", "split.supply.1", "split.supply.5"),
        ("always", "split.supply.5", "split.supply.7"),
    ],
    indirect=["bench"],
)
def test_fetch_in_batch(bench: Bench, made_at: str, before: str | None) -> None:
    """A request that comes while a batch is open is fetched before that step of the batch, or after the batch."""
    bench.make()
    bench.make_at = made_at
    bench.run()
    first = bench.steps.index("split.fetch.1")
    second = bench.steps.index("split.fetch.1", first + 1)
    assert bench.steps.index(made_at) < second
    committed = bench.steps.index("split.supply.7")
    if before is None:
        assert committed < second
    else:
        assert second < bench.steps.index(before)
    assert len(bench.guest.collect()) == 2


def test_rest(bench: Bench) -> None:
    """A ring with nothing to do rests, after it has armed and looked again; a kick wakes it."""
    bench.run()
    assert bench.steps[-3:] == ["split.fetch.look", "split.idle.arm", "split.idle.look"]
    bench.make()
    assert not bench.ring.ready, "only a kick tells"
    bench.ring.woken()
    bench.run()
    assert len(bench.guest.collect()) == 1


def test_comes_while_arming(bench: Bench) -> None:
    """A request that comes between the look and the arming is seen by the second look, without a kick."""
    bench.make_at = "split.idle.arm"
    bench.run()
    assert len(bench.guest.collect()) == 1


def test_disabled_ring_fetches_nothing(bench: Bench) -> None:
    """What comes while a ring is disabled is fetched once it is enabled, though its kick was not taken."""
    bench.run()
    bench.peer.say(Request.SET_VRING_ENABLE, VringState(0, 0))
    bench.make()
    bench.ring.turn()
    bench.run()
    assert "split.fetch.1" not in bench.steps
    bench.peer.say(Request.SET_VRING_ENABLE, VringState(0, 1))
    bench.run()
    assert len(bench.guest.collect()) == 1
    assert bench.steps.count("split.position") == 1


def test_kick_lost_with_the_old_fd(bench: Bench) -> None:
    """A kick that went to the kick fd before the present one is not missed."""
    bench.run()
    bench.make()
    bench.peer.kick()
    bench.run()
    assert len(bench.guest.collect()) == 1
    assert bench.steps.count("split.position") == 1
