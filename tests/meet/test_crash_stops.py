"""The crash test that stops rings: each pair of generations, by real processes; and each check, broken on purpose."""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from refimpl.backend.connection import Backend
from refimpl.backend.queue import position
from refimpl.backend.ring import Vring
from refimpl.backend.steered import SteeredVring
from refimpl.errors import UsageError
from refimpl.frontend.connection import FrontEnd
from refimpl.frontend.memory import USER_BASE
from refimpl.wire.codec import Request
from refimpl.wire.features import GENERATIONS
from refimpl.wire.transport import Received
from vhost_inflight.judging.crash import stopping, stopping_rig
from vhost_inflight.judging.crash.campaign import crash_test
from vhost_inflight.judging.crash.command import run
from vhost_inflight.judging.crash.outcome import Outcome
from vhost_inflight.judging.crash.stops import WAYS, Pair

REVISIONS = {"split": "merged", "packed": "hardened"}
LOSES = Pair("may-suspend", "skip-drain")
"""The back-end leaves requests in flight, and the front-end takes that for drained: a migration does not bring them."""

STOP = frozenset({Request.GET_VRING_BASE, Request.GET_VRING_BASE_SKIP_DRAIN})


def killed(ring: str, back: str, front: str, *, kills: int = 25, seed: int = 1) -> Outcome:
    """Run the test with a pair."""
    return crash_test(ring=ring, revision=REVISIONS[ring], kills=kills, seed=seed, pair=Pair(back, front))


OFTEN = {("drain", "split"), ("may-suspend", "packed"), ("skip-drain", "split"), ("skip-drain", "packed")}
"""The newest generation on both rings, each of the others on one; the rest are campaigns."""


@pytest.mark.parametrize(
    ("generation", "ring"),
    [pytest.param(*of, marks=() if of in OFTEN else pytest.mark.campaign) for of in product(GENERATIONS, REVISIONS)],
)
def test_both_of_one_generation(ring: str, generation: str) -> None:
    """Nothing is violated, however it is stopped and started again; what is in flight then is what the pair says."""
    outcome = killed(ring, generation, generation)
    assert (outcome.kills, outcome.broken) == (25, [])
    stops = outcome.stops
    assert stops is not None
    assert set(stops.again) == set(WAYS)
    assert len(stops.asked) > 2
    assert stops.killed.total() > 0
    assert stops.answers.total() == stops.asked.total() - stops.killed.total() > 10
    assert set(stops.answers) == {"GET_VRING_BASE_SKIP_DRAIN" if generation == "skip-drain" else "GET_VRING_BASE"}
    assert (set(stops.in_flight) == {0}) == (generation == "drain")


@pytest.mark.parametrize("ring", REVISIONS)
@pytest.mark.parametrize(("back", "front"), list(product(GENERATIONS, GENERATIONS)))
@pytest.mark.campaign
def test_each_pair(ring: str, back: str, front: str) -> None:
    """One of nine pairs loses requests; what says so depends on what is done about them next."""
    outcome = killed(ring, back, front, kills=150, seed=2)
    assert bool(outcome.broken) == (Pair(back, front) == LOSES)
    if not outcome.broken:
        assert outcome.kills == 150


def test_the_pair_that_loses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Requests are lost in a migration, and the seed that is told repeats it."""
    path = tmp_path / "answer.json"
    options: dict[str, Any] = {"ring": "packed", "revision": "hardened", "queue_size": 4, "seed": 2, "pair": LOSES}
    assert not run(kills=40, json_file=path, **options)
    answer, printed = json.loads(path.read_text()), capsys.readouterr().out
    assert "nothing-lost" in [violation["property"] for violation in answer["violations"]]
    assert answer["stops"]["started_again"]["migrated"] > 0
    assert answer["again"].startswith(
        "vhost-inflight crash-test --ring packed --revision hardened --stop may-suspend --front-end-stop skip-drain "
    )
    assert f"to run it again: {answer['again']}\n" in printed
    assert "nothing-lost was violated" in printed
    assert "asked to stop " in printed
    assert "--record" not in printed
    again = crash_test(ring="packed", revision="hardened", kills=answer["kills"], seed=2, pair=LOSES)
    assert {**again.document(), "seconds": 0} == {**answer, "seconds": 0}


@pytest.mark.parametrize("ring", REVISIONS)
def test_not_migrated_it_loses_nothing(monkeypatch: pytest.MonkeyPatch, ring: str) -> None:
    """Where the memory stays, so does the region, whatever the front-end believes."""
    monkeypatch.setattr(stopping, "WAYS", WAYS[:2])
    outcome = killed(ring, LOSES.back, LOSES.front)
    assert (outcome.kills, outcome.broken) == (25, [])
    assert outcome.stops is not None
    assert max(outcome.stops.in_flight) > 0


def test_the_same_seed_does_the_same() -> None:
    """Each step, each stop, each death."""
    first, second = (killed("split", "skip-drain", "may-suspend", kills=15, seed=4) for _ in range(2))
    assert first.events == second.events
    assert {**first.document(), "seconds": 0} == {**second.document(), "seconds": 0}


def test_without_stops_nothing_is_said_of_them() -> None:
    """The default is as it was."""
    outcome = crash_test(revision="merged", kills=2)
    assert outcome.stops is None
    assert "stops" not in outcome.document()


def test_what_does_not_go_together() -> None:
    """Generations that do not exist, and processes that nobody steers."""
    with pytest.raises(UsageError, match="no generation 'drains'; perhaps: drain"):
        Pair("drain", "drains")
    with pytest.raises(UsageError, match="run free"):
        crash_test(revision="merged", kills=1, free=True, pair=LOSES)


# Broken on purpose: what a back-end or a front-end must not do

SUSPEND, STOPPED = SteeredVring.suspend, SteeredVring.stop


def runs_on(ring: Vring) -> int:
    """Answer, and go on as if nothing had been asked: it publishes what it had."""
    return SUSPEND(ring) if ring.queue is None else position(ring.queue)


def half_settled(ring: Vring) -> int:
    """Answer in the middle of a batch: it is published, and the region not told."""
    queue, blk = ring.queue, ring.blk
    if queue is None or blk is None or not blk.unsupplied:
        return SUSPEND(ring)

    def halt(step: str, _choice: int | None) -> None:
        if step in ("split.supply.5", "packed.supply.8"):
            raise InterruptedError

    queue.hook = halt
    blk.finish()
    with contextlib.suppress(InterruptedError):
        queue.supply(blk.next_finished)
    return SUSPEND(ring)


def before_them(ring: Vring) -> int:
    """Say that fetching goes on before what is in flight."""
    left = ring.blk.unsupplied if ring.blk is not None else 0
    return (SUSPEND(ring) - left) % 65536


def at_once(ring: Vring) -> int:
    """Answer that everything is drained, and finish nothing."""
    return SUSPEND(ring)


def marks(ring: Vring) -> int:
    """Leave a mark when all is drained."""
    region = ring.queue.region if ring.queue is not None else None
    base = STOPPED(ring)
    if region is not None:
        region.desc[0].inflight = 1
    return base


@pytest.mark.parametrize("ring", REVISIONS)
@pytest.mark.parametrize(
    ("method", "mistake", "pair", "seen"),
    [
        ("suspend", runs_on, ("skip-drain", "skip-drain"), {"suspended"}),
        ("suspend", runs_on, ("may-suspend", "may-suspend"), {"suspended"}),
        ("suspend", half_settled, ("may-suspend", "may-suspend"), {"well-formed"}),
        ("suspend", before_them, ("skip-drain", "skip-drain"), {"ring-position"}),
        ("stop", at_once, ("drain", "drain"), {"drains"}),
        ("stop", marks, ("drain", "may-suspend"), {"well-formed"}),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_how_a_ring_stops(
    *,
    monkeypatch: pytest.MonkeyPatch,
    ring: str,
    method: str,
    mistake: Callable[[Vring], int],
    pair: tuple[str, str],
    seen: set[str],
) -> None:
    """What a back-end makes wrong of it is seen at its answer."""
    monkeypatch.setattr(SteeredVring, method, mistake)
    outcome = killed(ring, *pair)
    assert seen <= set(outcome.properties)


def clears(backend: Backend) -> None:
    """Forget what is in flight."""
    assert backend.inflight is not None
    for entry in backend.inflight.region(0).desc:
        entry.inflight = 0


def writes(backend: Backend) -> None:
    """Write to the guest's memory."""
    backend.memory.at_user(USER_BASE, 1, "a test")[0] ^= 1


def notifies(backend: Backend) -> None:
    """Notify the driver."""
    call = backend.rings[0].call_fd
    assert call is not None
    os.eventfd_write(call, 1)


def overwrites(backend: Backend) -> None:
    """Write to the disk, where the first request of ring 0 does."""
    os.pwrite(backend.device.disk.fd, b"old", 0)


@pytest.mark.parametrize("ring", REVISIONS)
@pytest.mark.parametrize(
    ("mistake", "says"),
    [
        (clears, "the region changed"),
        (writes, "the guest's memory changed"),
        (notifies, "a notification came"),
        (overwrites, "the disk changed"),
    ],
)
@pytest.mark.parametrize("when", ["at once", "later"])
def test_what_a_suspended_device_does(
    monkeypatch: pytest.MonkeyPatch, ring: str, mistake: Callable[[Backend], None], says: str, when: str
) -> None:
    """Each thing that it must not do, right after its answer, or when it is asked something else."""
    handle = Backend.handle
    asked: list[Request] = []

    def spoiled(backend: Backend, received: Received) -> None:
        asked.append(received.message.request)
        handle(backend, received)
        before, last = ([None, *asked])[-2:]
        if (last if when == "at once" else before) in STOP:
            mistake(backend)

    monkeypatch.setattr(Backend, "handle", spoiled)
    outcome = killed(ring, "skip-drain", "skip-drain")
    first = outcome.properties["suspended"]
    assert says in first.reason


@pytest.mark.parametrize(("ring", "queues"), [("split", 1), ("packed", 1), ("split", 3)])
def test_held_requests_that_are_written_after_the_answer(
    monkeypatch: pytest.MonkeyPatch, ring: str, queues: int
) -> None:
    """Old data, at the next message that comes: nothing but the disk tells. It is the stopped ring's part of it."""
    handle = Backend.handle
    late: list[tuple[int, int, bytes]] = []

    def holds(ring: Vring) -> int:
        for request in ring.blk.held if ring.blk is not None else ():
            assert ring.blk is not None
            late.append((ring.blk.disk.fd, request.sector * 512, b"".join(request.incoming)))
        return SUSPEND(ring)

    def spoiled(backend: Backend, received: Received) -> None:
        while late:
            fd, place, data = late.pop()
            os.pwrite(fd, data, place)
        handle(backend, received)

    monkeypatch.setattr(SteeredVring, "suspend", holds)
    monkeypatch.setattr(Backend, "handle", spoiled)
    pair = Pair("skip-drain", "skip-drain")
    outcome = crash_test(ring=ring, revision=REVISIONS[ring], kills=25, seed=1, pair=pair, queues=queues)
    assert outcome.properties["suspended"].reason == "between the answer and the next start the disk changed"


def test_what_a_back_end_does_that_was_left_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The source of a migration, disconnected and alive, must not write either."""
    close = Backend.close

    def spoiled(backend: Backend) -> None:
        writes(backend)
        close(backend)

    monkeypatch.setattr(Backend, "close", spoiled)
    monkeypatch.setattr(stopping, "WAYS", WAYS[2:])
    assert "the guest's memory changed" in killed("split", "drain", "drain").properties["suspended"].reason


@pytest.mark.parametrize("ring", REVISIONS)
def test_a_front_end_that_forgets_the_region(monkeypatch: pytest.MonkeyPatch, ring: str) -> None:
    """The destination asks for a fresh one, though requests were suspended."""

    def saves_nothing(_front_end: FrontEnd, stream: io.BytesIO) -> None:
        stream.write(b"")

    monkeypatch.setattr(FrontEnd, "save", saves_nothing)
    outcome = killed(ring, "skip-drain", "skip-drain", seed=2)
    assert {"nothing-lost", "drains"} & set(outcome.properties)


def test_a_back_end_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told from one that has much to do by how many moves it makes."""

    def never(ring: SteeredVring) -> int:
        while ring.queue is not None:
            ring.device.hook("split.fetch.look", None)
        return 0

    monkeypatch.setattr(SteeredVring, "stop", never)
    monkeypatch.setattr(stopping_rig, "_MOVES", 300)
    assert "does not answer GET_VRING_BASE" in killed("split", "drain", "drain").properties["drains"].reason


@pytest.mark.parametrize("ring", REVISIONS)
def test_a_large_ring_has_more_to_drain(monkeypatch: pytest.MonkeyPatch, ring: str) -> None:
    """How many moves are waited for is by how many requests there can be."""
    monkeypatch.setattr(stopping_rig, "_MOVES", 0)
    outcome = crash_test(ring=ring, revision="hardened", queue_size=64, kills=3, seed=1, pair=Pair("drain", "drain"))
    assert (outcome.kills, outcome.broken) == (3, [])
    monkeypatch.setattr(stopping_rig, "_FOR_EACH", 1)
    outcome = crash_test(ring=ring, revision="hardened", queue_size=64, kills=3, seed=1, pair=Pair("drain", "drain"))
    assert "does not answer" in outcome.properties["drains"].reason
