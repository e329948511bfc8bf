"""A Linux guest is moved while its requests are in flight, and nobody is killed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from refimpl.errors import InflightError
from refimpl.wire.features import PROTOCOL_GET_VRING_BASE_INFLIGHT
from tests.interop.test_guest import had, parts
from vhost_inflight.guest import moved
from vhost_inflight.guest.back_end import BackEnd, Left
from vhost_inflight.guest.machine import GuestError
from vhost_inflight.guest.moved import MovedOutcome, guest_move_test, held
from vhost_inflight.guest.sides import WRITERS, Side

__all__ = ["parts"]

REVISIONS = {"split": "merged", "packed": "hardened"}
LOST = "import sys; from refimpl.backend import process, ring; ring.Vring.stop = ring.Vring.suspend; process.main()"
"""A back-end that answers GET_VRING_BASE at once, whatever is in flight."""


class Undrained(BackEnd):
    """Its processes leave requests in flight when they are asked to stop, and nobody takes the region along."""

    def __init__(self, *given: Any) -> None:
        """Start another program."""
        super().__init__(*given)
        at = self._command.index("-m")
        self._command[at : at + 2] = ["-c", LOST]


@pytest.mark.usefixtures("parts")
@pytest.mark.parametrize(
    ("major", "ring", "queues"),
    [
        (10, "packed", 2),
        pytest.param(7, "split", 1, marks=pytest.mark.campaign),
        pytest.param(7, "packed", 1, marks=pytest.mark.campaign),
        pytest.param(10, "split", 4, marks=pytest.mark.campaign),
    ],
)
def test_moved_with_requests_in_flight(major: int, ring: str, queues: int) -> None:
    """Nothing is lost, torn or hung; each ring says what it had in flight, and QEMU has it drained."""
    done = guest_move_test(ring=ring, revision=REVISIONS[ring], queues=queues, moves=1, qemu=had(major))
    assert (done.broken, done.unjudged) == ([], [])
    assert (done.moves, done.kills, done.resubmitted, done.rounds > 0) == (1, 0, 0, True)
    assert [(sorted(left.drained), left.suspended) for left in done.left] == [(list(range(queues)), {})]
    assert all(sum(left.drained.values()) > 0 and left.accepted for left in done.left)
    assert any("accepted neither of the protocol features 20 and 23" in line for line in done.report())


@pytest.mark.usefixtures("parts")
@pytest.mark.campaign
@pytest.mark.parametrize("ring", ["split", "packed"])
def test_a_back_end_that_does_not_drain_is_found(monkeypatch: pytest.MonkeyPatch, ring: str) -> None:
    """The guest waits for what was in flight, for ever. On a split ring one move may pass."""
    monkeypatch.setattr(moved, "BackEnd", Undrained)
    done = guest_move_test(ring=ring, revision=REVISIONS[ring], moves=3, qemu=had(10))
    assert done.broken
    assert all(left.suspended and not left.drained for left in done.left)


@pytest.mark.usefixtures("parts")
@pytest.mark.campaign
def test_a_move_with_nothing_in_flight_shows_nothing() -> None:
    """A back-end that finishes each request at once: nothing is wrong, and no verdict."""
    at_once = {"hold": 1, "order": "fifo", "idle": 0}
    done = guest_move_test(ring="split", revision="merged", moves=1, qemu=had(10), schedule=at_once)
    assert (done.broken, done.moves, sum(done.left[0].drained.values())) == ([], 1, 0)
    assert done.unjudged == [
        "in move 1 no request was in flight when the guest left, so that it shows nothing; try again"
    ]


def test_what_is_held_back() -> None:
    """On each ring something is kept, and something is finished."""
    for queues in range(1, 5):
        schedule = held(queues)
        assert 1 < schedule["keep"] < schedule["hold"] <= WRITERS // queues


def test_what_a_back_end_says_of_its_stops(tmp_path: Path) -> None:
    """Each stop is told once, so that those of the firmware are not taken for those of a move."""
    back_end = BackEnd(tmp_path, tmp_path, MovedOutcome("split", "merged", 16, 2, 0), held(2))
    accepted, drained = (
        "the front-end accepted protocol features 0xb22b",
        "requests and stops; fetching goes on at index",
    )
    back_end.log.write_text(f"back-end: {accepted}\nback-end: ring 0 is drained of 0 {drained} 1\n")
    assert back_end.left() == Left({0: 0}, {}, 0xB22B)
    assert back_end.left() == Left({}, {}, 0xB22B)
    with back_end.log.open("a") as log:
        log.write(
            f"back-end: ring 0 is drained of 1 request and stops; …\nback-end: ring 1 is drained of 5 {drained} 7\n"
        )
    assert back_end.left() == Left({0: 1, 1: 5}, {}, 0xB22B)
    with back_end.log.open("a") as log:
        log.write("back-end: ring 1 is suspended with 3 requests in flight; fetching goes on at index 8\n")
    assert back_end.left() == Left({}, {1: 3}, 0xB22B)


def journey(queues: int, *left: Left, qemu: str = "10.0.13") -> Any:
    """Give a guest that has moved, with what its back-ends said."""
    nobody: Any = None
    outcome = MovedOutcome("split", "merged", 16, queues, 0, qemu, left=list(left))
    return moved._Journey(lambda _number, _kill=None: Side(nobody, nobody), outcome)


@pytest.mark.parametrize(
    ("drained", "suspended", "said"),
    [
        ({0: 0, 1: 0}, {}, "in move 1 no request was in flight when the guest left"),
        ({0: 3}, {}, "in move 1 the back-end said of no stop of ring 1"),
        ({}, {}, "in move 1 the back-end said of no stop of ring 0, 1"),
        ({0: 0, 1: 1}, {}, None),
        ({}, {0: 2, 1: 0}, None),
    ],
)
def test_what_a_move_shows(drained: Mapping[int, int], suspended: Mapping[int, int], said: str | None) -> None:
    """Something, if each ring was stopped, and at least one had something in flight."""
    guest = journey(2, Left(drained, suspended, 0))
    guest._judge()
    assert [text.split(", so")[0] for text in guest.outcome.unjudged] == ([said] if said else [])


@pytest.mark.parametrize(
    ("qemu", "text", "judged"),
    [
        ("7.2.22", "[ 8.1] BUG: unable to handle page fault for address: ffff", False),
        ("7.2.22", "[ 8.1] Modules linked in: virtio_blk virtio_pci", False),
        ("7.2.22", "RESULT lost: sector 1 of job 0", True),
        ("7.2.22", "[ 8.1] virtio_blk virtio0: req.0:id 0 is not a head!", True),
        ("10.0.13", "[ 8.1] BUG: unable to handle page fault for address: ffff", True),
    ],
)
def test_a_kernel_that_an_old_qemu_crashes_is_no_verdict(
    monkeypatch: pytest.MonkeyPatch, qemu: str, text: str, *, judged: bool
) -> None:
    """It does so without any back-end. What the guest finds wrong is a verdict everywhere."""
    guest = journey(1, qemu=qemu)
    monkeypatch.setattr(guest, "boot", lambda: None)

    def crashes(*_: Any) -> None:
        raise GuestError(text)

    monkeypatch.setattr(guest, "_go_on", crashes)
    if judged:
        with pytest.raises(GuestError):
            guest.run(1, print)
    else:
        guest.run(1, print)
    assert bool(guest.outcome.unjudged) != judged


def test_a_back_end_that_somebody_else_kills_is_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    """The guest hangs then, and it is not the back-end's fault."""
    guest = journey(1)
    monkeypatch.setattr(guest, "watch", lambda: None)
    monkeypatch.setattr(guest, "machine", Machine())
    monkeypatch.setattr(guest, "back_end", Killed())
    guest.lives_through(guest.gets_on)
    assert guest.outcome.broken == []
    assert guest.outcome.unjudged[0].startswith("somebody else killed the back-end")
    assert list(guest.outcome.verdict()) == [f"not shown: {guest.outcome.unjudged[0]}"]


class Machine:
    """One that says nothing."""

    console: list[str] = []  # noqa: RUF012

    def lines(self) -> list[str]:
        """Say nothing."""
        return []


class Killed:
    """A back-end that is dead of SIGKILL."""

    def died(self) -> bool:
        """Say that it is dead."""
        return True


@pytest.fixture(name="outcome")
def outcomes(monkeypatch: pytest.MonkeyPatch) -> MovedOutcome:
    """Give what the test comes to."""
    outcome = MovedOutcome("packed", "hardened", 16, 2, 0, "7.2.22", moves=1, rounds=1, writes=24, seconds=9)
    outcome.left = [Left({0: 5, 1: 0}, {}, 0xB22B)]
    monkeypatch.setattr(moved, "guest_move_test", lambda **_: outcome)
    return outcome


def run(file: Path | None = None) -> bool:
    """Run the command."""
    return moved.run(ring="packed", revision="hardened", queue_size=16, queues=2, moves=1, seed=0, json_file=file)


def test_report(outcome: MovedOutcome, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command says that nobody was killed, what was in flight, and what was real."""
    assert run(tmp_path / "answer.json")
    printed = capsys.readouterr().out.splitlines()
    assert (
        ": moved 1 time, nobody killed, in 9 seconds, 0 resubmissions; the guest checked 24 writes in 1 round"
        in printed[0]
    )
    assert printed[1] == "in flight when the guest left, move 1: 5 of ring 0, drained; 0 of ring 1, drained"
    assert printed[2].endswith(
        "accepted neither of the protocol features 20 and 23, which were offered, so GET_VRING_BASE has to drain them"
    )
    assert printed[3].startswith("not real: ")
    assert printed[4:] == ["nothing was lost, torn or hung, and the image is what the guest reads"]
    document = json.loads((tmp_path / "answer.json").read_text())
    assert (document["kills"], document["moves"], document["unjudged"], document["broken"]) == (0, 1, [], [])
    in_flight = [{"ring": 0, "requests": 5, "became": "drained"}, {"ring": 1, "requests": 0, "became": "drained"}]
    assert document["moved"] == [{"protocol_features": 0xB22B, "in_flight": in_flight}]
    assert not document.keys() & {"at", "steps", "unreached"}
    outcome.left = [Left({}, {0: 5, 1: 2}, 0xB22B | PROTOCOL_GET_VRING_BASE_INFLIGHT)]
    assert any("it accepted 20 of the protocol features 20 and 23" in line for line in outcome.report())
    outcome.left = [Left({}, {0: 5, 1: 2}, None)]
    assert any("its back-end did not say what it accepted" in line for line in outcome.report())


def test_how_it_ends(outcome: MovedOutcome, capsys: pytest.CaptureFixture[str]) -> None:
    """What was not shown is no verdict; what is broken is one, whatever else was not shown."""
    outcome.unjudged = ["in move 1 no request was in flight"]
    with pytest.raises(InflightError, match="no verdict: in move 1 no request was in flight"):
        run()
    printed = capsys.readouterr().out
    assert "not shown: in move 1" in printed
    assert "nothing was lost" not in printed
    outcome.broken = ["RESULT hung"]
    assert not run()
    assert "broken: RESULT hung" in capsys.readouterr().out
