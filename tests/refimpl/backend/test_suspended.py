"""A device whose rings are all suspended stores nothing, notifies nobody, says nothing, and still answers.

Each of these is looked at, over time; what the device held back is due from the moment of the stop on. And each is
broken on purpose, to see that it is looked at.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from refimpl.backend.connection import Backend
from refimpl.backend.disk_queue import BlkQueue, Schedule
from refimpl.backend.queue import position
from refimpl.backend.ring import Vring
from refimpl.choices import Choices
from refimpl.errors import BackEndError
from refimpl.frontend.connection import FrontEnd
from refimpl.frontend.guest import Guest
from refimpl.frontend.memory import GuestRam
from refimpl.wire.codec import Message, Request
from refimpl.wire.payload import ConfigSpace, Number, VringFd
from refimpl.wire.transport import Received
from tests.refimpl.stopping_rig import KEPT, REQUESTS, SIZE, Observed, asked, pattern
from tests.refimpl.wire_rig import Served, serving

SECONDS = 0.2
"""How long to look on."""

SCHEDULE = Schedule(hold=REQUESTS, keep=KEPT, order="reverse", batch=1, idle=3600)
CHOICES = {"split": Choices(), "packed": Choices(ring="packed", revision="hardened")}
STOPS = [("may-suspend", "may-suspend"), ("skip-drain", "skip-drain")]


@dataclass(frozen=True)
class Snapshot:
    """All that a suspended device leaves alone, and what it must not say."""

    memory: bytes
    region: bytes
    disk: bytes

    @classmethod
    def take(cls, front_end: FrontEnd, served: Served) -> Snapshot:
        """Copy it."""
        assert front_end.inflight is not None
        return cls(bytes(front_end.ram.memory.view()), bytes(front_end.inflight.view()), served.image.read_bytes())


def taken(fd: int) -> int:
    """Return what an eventfd counts, and count from 0 again."""
    try:
        return os.eventfd_read(fd)
    except BlockingIOError:
        return 0


class Stop:
    """How rings are suspended: ``stop`` does it, and then what the device held back is due.

    ``devices`` are those of the rings suspended, ``before`` is what there was at that moment: it is copied before the
    answer, by who answers, so that nothing comes in between.
    """

    def __init__(self, stop: Callable[[Vring], int]) -> None:
        """Begin with none."""
        self.stop = stop
        self.devices: list[BlkQueue] = []
        self.watched: tuple[FrontEnd, Served] | None = None
        self.before: Snapshot | None = None

    def __call__(self, ring: Vring) -> int:
        """Suspend a ring."""
        assert ring.blk is not None
        ring.blk.schedule = replace(ring.blk.schedule, idle=0)
        self.devices.append(ring.blk)
        base = self.stop(ring)
        if self.watched is not None:
            self.before = Snapshot.take(*self.watched)
            for call in self.watched[0].calls:
                taken(call)
        return base

    def broken(self) -> set[str]:
        """Look on, as everything that was held back is due; return what happened that must not."""
        assert self.watched is not None
        assert self.before is not None
        front_end, served = self.watched
        assert front_end.connection is not None
        said = False
        end = time.monotonic() + SECONDS
        while time.monotonic() < end and not said:
            try:
                asked(front_end)  # it answers
                front_end._ask(Request.GET_CONFIG, ConfigSpace(0, 0, bytes(60)), ConfigSpace)
            except BackEndError:
                said = True  # something else came before the reply
                continue
            front_end._send(Request.SET_VRING_CALL, VringFd(0), front_end.calls[0])
            os.eventfd_write(front_end.kicks[0], 1)
            time.sleep(SECONDS / 20)
            said = front_end.connection.poll() is not None
        after, before = Snapshot.take(front_end, served), self.before
        found = {name for name in ("memory", "region", "disk") if getattr(before, name) != getattr(after, name)}
        notified = any(taken(call) for call in front_end.calls)
        return found | ({"notification"} if notified else set()) | ({"message"} if said else set())


@pytest.fixture(name="stop", autouse=True)
def watched_stop(monkeypatch: pytest.MonkeyPatch) -> Stop:
    """Let each ring that is suspended be so by one of these."""
    stop = Stop(Vring.suspend)
    monkeypatch.setattr(Vring, "suspend", lambda ring: stop(ring))  # noqa: PLW0108  # a function becomes a method
    return stop


def suspend(stop: Stop, front_end: FrontEnd, served: Served) -> Observed:
    """Start the device, have three requests come back of six, and stop it."""
    front_end.connect()
    front_end.start()
    observed = Observed(Guest(front_end))
    observed.make(range(REQUESTS))
    observed.wait_for(REQUESTS - KEPT)
    stop.watched = front_end, served
    front_end.stop()
    return observed


@pytest.mark.parametrize("ring", list(CHOICES))
@pytest.mark.parametrize(("back", "front"), STOPS)
def test_suspended(tmp_path: Path, stop: Stop, ring: str, back: str, front: str) -> None:
    """After the answer nothing happens; then the same connection starts it again, and everything comes back once."""
    with (
        GuestRam(1, SIZE, 512, packed=ring == "packed") as ram,
        FrontEnd(tmp_path / "socket", ram, generation=front) as front_end,
    ):
        with serving(tmp_path, choices=CHOICES[ring], schedule=SCHEDULE, generation=back) as served:
            observed = suspend(stop, front_end, served)
            assert stop.broken() == set()
            observed.look()
            assert observed.times.total() == REQUESTS - KEPT
            front_end.start()
            asked(front_end)
        observed.look()
        assert observed.times == dict.fromkeys(range(REQUESTS), 1)
        assert served.image.read_bytes()[: 512 * REQUESTS] == b"".join(map(pattern, range(REQUESTS)))
    assert served.log == []


def runs_on(ring: Vring) -> int:
    """Answer, and go on as if nothing had been asked."""
    assert ring.queue is not None
    return position(ring.queue)


def finishes(backend: Backend, held: list[BlkQueue]) -> None:
    """Do what the device held back."""
    for blk in held:
        for request in blk.held:
            request.perform(backend.device.disk)
        blk.held.clear()


def counts(backend: Backend, _held: list[BlkQueue]) -> None:
    """Store to the region."""
    assert backend.inflight is not None
    backend.inflight.region(0).desc[0].counter += 1


def notifies(backend: Backend, _held: list[BlkQueue]) -> None:
    """Notify the driver."""
    call = backend.rings[0].call_fd
    assert call is not None
    os.eventfd_write(call, 1)


def speaks(backend: Backend, _held: list[BlkQueue]) -> None:
    """Say something that nobody asked for."""
    if not backend.spoken:  # type: ignore[attr-defined]
        backend.connection.send(Message(Request.GET_QUEUE_NUM, Number(1), reply=True))
    backend.spoken = True  # type: ignore[attr-defined]


Mistake = Callable[[Backend, list[BlkQueue]], None]


@pytest.mark.parametrize(
    ("mistake", "seen"),
    [
        (finishes, {"memory", "disk"}),
        (counts, {"region"}),
        (notifies, {"notification"}),
        (speaks, {"message"}),
    ],
)
def test_what_a_suspended_device_does_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: Stop, mistake: Mistake, seen: set[str]
) -> None:
    """Each thing that it must not do, done at a message that it only had to answer."""
    handle = Backend.handle

    def spoiled(backend: Backend, received: Received) -> None:
        request = received.message.request
        handle(backend, received)
        if stop.devices and request is Request.SET_VRING_CALL:
            mistake(backend, stop.devices)

    monkeypatch.setattr(Backend, "spoken", False, raising=False)
    monkeypatch.setattr(Backend, "handle", spoiled)
    with (
        serving(tmp_path, schedule=SCHEDULE, generation="skip-drain") as served,
        GuestRam(1, SIZE, 512) as ram,
        FrontEnd(served.path, ram, generation="skip-drain") as front_end,
    ):
        suspend(stop, front_end, served)
        assert stop.broken() == seen


@pytest.mark.parametrize("ring", list(CHOICES))
def test_a_ring_that_runs_on_is_seen(tmp_path: Path, stop: Stop, ring: str) -> None:
    """The answer alone is not enough: what is held back falls due, is done, and published."""
    stop.stop = runs_on
    with (
        serving(tmp_path, choices=CHOICES[ring], schedule=SCHEDULE, generation="may-suspend") as served,
        GuestRam(1, SIZE, 512, packed=ring == "packed") as ram,
        FrontEnd(served.path, ram, generation="may-suspend") as front_end,
    ):
        suspend(stop, front_end, served)
        assert {"memory", "region", "disk"} <= stop.broken()


@pytest.mark.parametrize("ring", list(CHOICES))
@pytest.mark.parametrize(("back", "front"), STOPS)
def test_the_other_rings_run_on(tmp_path: Path, ring: str, back: str, front: str) -> None:
    """One of two rings is suspended: the other one serves, and does not touch it; then that one starts again, alone."""
    with (
        GuestRam(2, SIZE, 512, packed=ring == "packed") as ram,
        FrontEnd(tmp_path / "socket", ram, generation=front) as front_end,
    ):
        with serving(tmp_path, 2, CHOICES[ring], SCHEDULE, generation=back) as served:
            front_end.connect()
            front_end.start()
            guest = Guest(front_end)
            first, second = Observed(guest), Observed(guest)
            first.make(range(REQUESTS))
            first.wait_for(REQUESTS - KEPT)
            front_end.stop_ring(0)
            before = of_first_ring(front_end)
            second.make(range(REQUESTS), queue=1)
            second.wait_for(REQUESTS - KEPT, queue=1)
            assert of_first_ring(front_end) == before
            front_end.start_ring(0)
            asked(front_end)
        first.look()
        second.look(queue=1)
        assert first.times == second.times == dict.fromkeys(range(REQUESTS), 1)
    assert served.log == []


def of_first_ring(front_end: FrontEnd) -> tuple[bytes, bytes]:
    """Copy what the first of two rings has of the guest's memory and of the shared buffer."""
    assert front_end.inflight is not None
    end, region = front_end.ram.places[1].ring, len(front_end.inflight.view()) // 2
    return bytes(front_end.ram.memory.view()[:end]), bytes(front_end.inflight.view()[:region])
