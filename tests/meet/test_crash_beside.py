"""Rings that run on while ring 0 is stopped: each generation, by real processes; and each check, broken on purpose."""

from __future__ import annotations

import json
import os
import select
import socket
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from refimpl.backend import process
from refimpl.backend.connection import Backend
from refimpl.backend.queue import position
from refimpl.backend.reins import Order, packet
from refimpl.backend.ring import Vring
from refimpl.backend.steered import SteeredVring
from refimpl.errors import UsageError
from refimpl.wire.features import GENERATIONS
from refimpl.wire.payload import Payload
from refimpl.wire.transport import Received
from tests.meet.test_crash_stops import LOSES, REVISIONS, notifies
from vhost_inflight.judging.crash import stopping
from vhost_inflight.judging.crash.campaign import crash_test
from vhost_inflight.judging.crash.command import run
from vhost_inflight.judging.crash.outcome import Outcome
from vhost_inflight.judging.crash.steering import BackEndReins, DriverReins
from vhost_inflight.judging.crash.stops import WAYS, Pair


def killed(
    ring: str, back: str, front: str, *, kills: int = 25, seed: int = 1, queues: int = 2, revision: str = ""
) -> Outcome:
    """Run the test with a pair, and rings beside."""
    revision = revision or REVISIONS[ring]
    return crash_test(ring=ring, revision=revision, kills=kills, seed=seed, pair=Pair(back, front), queues=queues)


def told(outcome: Outcome) -> dict[str, Any]:
    """Return all that an outcome says, but for the time that it took."""
    return {**outcome.document(), "seconds": 0, "events": outcome.events}


def of_ring(outcome: Outcome, ring: int) -> set[str]:
    """Return the properties that were violated of a ring beside."""
    return {broken.property for broken in outcome.broken if broken.reason.startswith(f"ring {ring}: ")}


@pytest.mark.parametrize("ring", REVISIONS)
@pytest.mark.parametrize(("back", "front"), [("skip-drain", "skip-drain"), ("drain", "may-suspend")])
def test_the_other_ring_runs_on(ring: str, back: str, front: str) -> None:
    """Nothing is violated on either; the other one is killed at its own stores, too, and recovered."""
    outcome = killed(ring, back, front, kills=30)
    assert (outcome.kills, outcome.broken) == (30, [])
    stops = outcome.stops
    assert stops is not None
    assert set(stops.again) == set(WAYS)
    assert stops.ran_on >= stops.alone > 15
    assert stops.requests > stops.ran_on
    assert stops.resubmitted > 10
    assert sum(step.startswith("1:") for step in outcome.steps) > 2
    assert (set(stops.in_flight) == {0}) == (back == "drain")
    assert sum(event[0].startswith("1:") for event in outcome.events) > 1000


@pytest.mark.parametrize("ring", REVISIONS)
def test_more_rings(ring: str) -> None:
    """Those that have stopped rest while others are asked to."""
    outcome = killed(ring, "drain", "drain", kills=6, seed=11, queues=4)
    assert (outcome.kills, outcome.broken) == (6, [])
    assert any(step.startswith("3:") for step, *_ in outcome.events)


@pytest.mark.parametrize(
    ("ring", "queues", "ways"),
    [("split", 4, WAYS[:1]), ("packed", 3, WAYS[:1]), ("split", 2, WAYS), ("packed", 2, WAYS)],
)
def test_a_driver_that_had_all_back_makes_more_later(
    monkeypatch: pytest.MonkeyPatch, ring: str, queues: int, ways: tuple[str, ...]
) -> None:
    """It sleeps, and nobody is to notify it; it has what it waits for: neither is a back-end's fault."""
    monkeypatch.setattr(stopping, "_BUSY", 0)
    monkeypatch.setattr(stopping, "WAYS", ways)
    outcome = killed(ring, "skip-drain", "skip-drain", queues=queues, revision="hardened")
    assert (outcome.kills, outcome.broken) == (25, [])


@pytest.mark.campaign
@pytest.mark.parametrize(("ring", "size", "back", "queues"), [
    ("split", 256, "drain", 2), ("split", 128, "skip-drain", 4), ("packed", 32, "skip-drain", 4),
    ("packed", 2048, "drain", 1), ("packed", 256, "may-suspend", 2),
])  # fmt: skip
def test_large_rings(ring: str, size: int, back: str, queues: int) -> None:
    """They take long to finish, and are waited for."""
    pair = Pair(back, back)
    for seed in (1, 2):
        outcome = crash_test(
            ring=ring, revision="hardened", queue_size=size, kills=3, seed=seed, pair=pair, queues=queues
        )
        assert (outcome.kills, outcome.broken) == (3, [])


@pytest.mark.parametrize("ring", REVISIONS)
@pytest.mark.parametrize(("back", "front"), list(product(GENERATIONS, GENERATIONS)))
@pytest.mark.parametrize("queues", [2, 4])
@pytest.mark.campaign
def test_each_pair(ring: str, back: str, front: str, queues: int) -> None:
    """The pair that loses does so here, too; no other does."""
    outcome = killed(ring, back, front, kills=100, seed=2, queues=queues)
    assert bool(outcome.broken) == (Pair(back, front) == LOSES)
    assert outcome.broken or outcome.kills == 100


def test_in_runs_as_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same seed does the same on both rings, also where each process is told each of its moves."""
    first, second = (killed("split", "skip-drain", "may-suspend", kills=12, seed=4) for _ in range(2))
    assert told(first) == told(second)
    for reins in (BackEndReins, DriverReins):
        monkeypatch.setattr(reins, "run", lambda self, _moves: [self.go()])
    assert told(killed("split", "skip-drain", "may-suspend", kills=12, seed=4)) == told(first)


@pytest.mark.parametrize(("ring", "seed"), [("packed", 103), ("split", 101)])
def test_a_ring_that_is_given_up_while_others_run(ring: str, seed: int) -> None:
    """The back-end comes to rest before it is judged: the same seed says the same of the others, too."""
    first, second = (killed(ring, LOSES.back, LOSES.front, kills=12, seed=seed, queues=3) for _ in range(2))
    assert "the back-end gave up: ring " in first.properties["drains"].reason
    assert told(first) == told(second)


def test_what_is_heard_first() -> None:
    """That a ring was given up; then an answer; then what is said by the reins, before there is another order."""

    def gone() -> None:
        raise InterruptedError

    reins, err = BackEndReins(gone), os.eventfd(0)
    ours, theirs = socket.socketpair()
    with ours, theirs, reins.theirs:
        reins.watch(ours.fileno(), err)
        theirs.send(b"an answer")
        reins.theirs.send(packet("1:split.supply.5", None))
        assert reins.go_or_answer() is None
        ours.recv(100)
        assert reins.go_or_answer() == Order("1:split.supply.5", None)
        assert reins.theirs.recv(100) == b"go"
        theirs.send(b"another")
        assert not reins.settled()
        reins.theirs.send(packet("rest", 0))
        assert reins.settled()
        os.eventfd_write(err, 1)
        for hear in (reins.hear, reins.listen):
            with pytest.raises(InterruptedError):
                hear()
        assert select.select([reins.theirs], [], [], 0) == ([], [], [])
    reins.close()
    os.close(err)


def test_what_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """How often the others ran on, and what came back meanwhile; and the command has the number of queues."""
    path = tmp_path / "answer.json"
    options: dict[str, Any] = {"ring": "split", "revision": "merged", "queue_size": 4, "seed": 2, "pair": LOSES}
    assert not run(kills=40, queues=3, json_file=path, **options)
    answer, printed = json.loads(path.read_text()), capsys.readouterr().out
    beside = answer["stops"]["beside"]
    assert beside["rings"] == 2
    assert beside["came_back_meanwhile"] >= 2 * beside["stopped_alone"] > 0
    assert f"2 rings beside: ring 0 was stopped alone {beside['stopped_alone']} time" in printed
    assert " --front-end-stop skip-drain --queues 3 " in answer["again"]
    assert "--record" not in printed
    with pytest.raises(UsageError, match="several queues are for rings that are stopped"):
        crash_test(revision="merged", kills=1, queues=2)


def test_order_is_kept_on_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """The text before counters resubmits out of order; each ring's judge sees it."""
    monkeypatch.setattr(stopping, "WAYS", WAYS[1:2])
    assert of_ring(killed("split", "skip-drain", "skip-drain", revision="v6"), 1) >= {"order"}


# Broken on purpose

SERVED: list[Backend] = []
"""In the back-end's process: its connection."""


@pytest.fixture(autouse=True)
def _served(monkeypatch: pytest.MonkeyPatch) -> None:
    handle = Backend.handle

    def noting(backend: Backend, received: Received) -> None:
        SERVED[:] = [backend]
        handle(backend, received)

    monkeypatch.setattr(Backend, "handle", noting)


STOP, SUSPEND, REPORT = Backend._stop, SteeredVring.suspend, SteeredVring._report


def stops_all(backend: Backend, received: Received, *, suspend: bool) -> Payload:
    """Stop the device, and not the ring: what the text leaves open (stop-scope)."""
    answer = STOP(backend, received, suspend=suspend)
    for ring in backend.rings:
        ring.drop()
    return answer


def drains_all(backend: Backend, received: Received, *, suspend: bool) -> Payload:
    """Stop the device in an orderly way."""
    answer = STOP(backend, received, suspend=suspend)
    for ring in backend.rings:
        ring.stop()
    return answer


def disables_all(backend: Backend, received: Received, *, suspend: bool) -> Payload:
    """Leave the other ring running, and fetch nothing there."""
    answer = STOP(backend, received, suspend=suspend)
    for ring in backend.rings:
        ring.enable(enabled=False)
    return answer


def clears_others(backend: Backend, received: Received, *, suspend: bool) -> Payload:
    """Forget what the other ring has in flight."""
    answer = STOP(backend, received, suspend=suspend)
    assert backend.inflight is not None
    for entry in backend.inflight.region(1).desc:
        entry.inflight = 0
    return answer


@pytest.mark.parametrize("ring", REVISIONS)
@pytest.mark.parametrize("generation", ["drain", "skip-drain"])
@pytest.mark.parametrize("mistake", [stops_all, drains_all, disables_all])
def test_a_device_that_stops_as_a_whole(
    monkeypatch: pytest.MonkeyPatch, ring: str, generation: str, mistake: Callable[..., Payload]
) -> None:
    """The other ring was not asked to stop: nothing comes back on it, and nobody waits for that for a minute."""
    monkeypatch.setattr(Backend, "_stop", mistake)
    outcome = killed(ring, generation, generation)
    assert "others do not go on with " in outcome.properties["drains"].reason
    assert outcome.seconds < 20


def forgets_one(backend: Backend, received: Received, *, suspend: bool) -> Payload:
    """Forget one request of the other ring that the device has finished."""
    answer = STOP(backend, received, suspend=suspend)
    for ring in backend.rings[1:]:
        if ring.blk is not None and ring.blk.held:
            ring.blk.held.pop(0)
    return answer


def forgets_the_round(backend: Backend, received: Received, *, suspend: bool) -> Payload:
    """Forget what the other ring has finished of a round."""
    answer = STOP(backend, received, suspend=suspend)
    for ring in backend.rings[1:]:
        if ring.blk is not None:
            ring.blk.round.clear()
    return answer


@pytest.mark.parametrize("ring", REVISIONS)
@pytest.mark.parametrize("mistake", [forgets_one, forgets_the_round])
def test_nothing_of_another_ring_is_forgotten(
    monkeypatch: pytest.MonkeyPatch, ring: str, mistake: Callable[..., Payload]
) -> None:
    """What the other ring had is missed while ring 0 is stopped: the next crash would give it back."""
    monkeypatch.setattr(Backend, "_stop", mistake)
    assert "others do not go on with " in killed(ring, "skip-drain", "skip-drain", kills=40).properties["drains"].reason


@pytest.mark.parametrize("ring", REVISIONS)
def test_what_others_have_in_flight_is_kept(monkeypatch: pytest.MonkeyPatch, ring: str) -> None:
    """Entries of the other ring are cleared with those of the one that is stopped: its requests are lost.

    So says its judge, of a back-end that looks at nothing; one that looks finds it at once, and gives the ring up.
    """
    monkeypatch.setattr(Backend, "_stop", clears_others)
    reason = killed(ring, "skip-drain", "skip-drain").broken[0].reason
    assert "ring 1 stops: the region: " in reason or reason.startswith("ring 1: ")
    monkeypatch.setattr(process, "_shows", lambda _choices: True)
    assert of_ring(killed(ring, "skip-drain", "skip-drain", seed=3), 1) & {"nothing-lost", "well-formed"}


def runs_on(ring: Vring) -> int:
    """Answer, and go on as if nothing had been asked."""
    return SUSPEND(ring) if ring.queue is None else position(ring.queue)


def moves_on(ring: Vring) -> int:
    """Say another place each time that one is asked."""
    base = SUSPEND(ring)
    ring.base = (base + 1) % 65536
    return base


def elsewhere(ring: Vring) -> int:
    """Say of the other ring that fetching goes on at another place."""
    left = ring.blk.unsupplied if ring.blk is not None and ring.number else 0
    base = SUSPEND(ring)
    return base ^ 1 if left else base


@pytest.mark.parametrize("ring", REVISIONS)
@pytest.mark.parametrize(
    ("mistake", "name", "says"),
    [
        (runs_on, "suspended", "between the answer and the next start it went on ("),
        (moves_on, "ring-position", "asked again, the back-end says "),
        (elsewhere, "ring-position", "ring 1: the ring was stopped at "),
    ],
)
def test_how_each_ring_stops(
    monkeypatch: pytest.MonkeyPatch, ring: str, mistake: Callable[[Vring], int], name: str, says: str
) -> None:
    """A back-end that serves ring 0 after its answer; and what it answers when every ring is stopped."""
    monkeypatch.setattr(SteeredVring, "suspend", mistake)
    assert says in killed(ring, "skip-drain", "skip-drain").properties[name].reason


def to_the_region(backend: Backend) -> None:
    """Store to ring 0's region what belongs to that of ring 1."""
    assert backend.inflight is not None
    backend.inflight.region(0).desc[1].next ^= 1


def to_the_ring(backend: Backend) -> None:
    """Store to ring 0 itself, or to its buffers."""
    queue = backend.rings[1].queue
    assert queue is not None
    address = backend.rings[0].address
    assert address is not None
    backend.memory.at_user(address.used, 1, "a test")[0] ^= 1


@pytest.mark.parametrize("ring", REVISIONS)
@pytest.mark.parametrize(
    ("mistake", "says"),
    [
        (to_the_region, "the region changed"),
        (to_the_ring, "the guest's memory changed"),
        (notifies, "a notification came"),
    ],
)
def test_what_serving_another_ring_must_not_do(
    monkeypatch: pytest.MonkeyPatch, ring: str, mistake: Callable[[Backend], None], says: str
) -> None:
    """A store at a wrong place, while ring 1 is served and ring 0 is stopped: seen at the step that did it."""
    wrong = {"split": "split.supply.3", "packed": "packed.supply.3"}[ring]

    def report(vring: SteeredVring, step: str, choice: int | None) -> None:
        if vring.number and step == wrong and SERVED[0].rings[0].queue is None:
            mistake(SERVED[0])
        REPORT(vring, step, choice)

    monkeypatch.setattr(SteeredVring, "_report", report)
    monkeypatch.setattr(stopping, "WAYS", WAYS[:2])
    first = killed(ring, "skip-drain", "skip-drain").properties["suspended"]
    assert says in first.reason
    assert first.step in (f"1:{wrong}", "after its answer")
