"""A Linux guest is taken from one QEMU to another, while back-ends die on both sides: live migration."""

from pathlib import Path
from typing import Any

import pytest

from tests.interop.test_guest import had, parts
from vhost_inflight.guest import move
from vhost_inflight.guest.crash import guest_crash_test
from vhost_inflight.guest.machine import GuestError
from vhost_inflight.guest.move import Moves
from vhost_inflight.guest.sides import Side
from vhost_inflight.judging.crash.plan import Kill

__all__ = ["parts"]


@pytest.mark.usefixtures("parts")
@pytest.mark.parametrize(
    ("major", "ring", "revision"),
    [pytest.param(7, "packed", "hardened", marks=pytest.mark.campaign), (10, "split", "merged")],
)
def test_moved_under_kills(major: int, ring: str, revision: str) -> None:
    """Nothing is lost, torn or hung; the destination begins a region for rings in use, and dies at its first stores."""
    done = guest_crash_test(ring=ring, revision=revision, queues=2, kills=6, seed=3, moves=1, qemu=had(major))
    assert done.broken == []
    assert (done.moves, done.kills >= 6, done.rounds > 0, done.resubmitted > 0) == (1, True, True, True)
    assert done.steps["split.init.1" if ring == "split" else "packed.init.6"] > 0


class Monitor:
    """A machine as far as its monitor goes: what it was told, and what it answers."""

    def __init__(self, *told: dict[str, Any]) -> None:
        """Answer query-migrate with these, the last one again and again."""
        self.told = list(told)
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def monitor(self, command: str, **arguments: Any) -> Any:
        """Take a command."""
        self.asked.append((command, arguments))
        return (self.told.pop(0) if len(self.told) > 1 else self.told[0]) if command == "query-migrate" else {}


def moves(tmp_path: Path, number: int = 1) -> Moves:
    """Give moves to sides that wait already."""
    (tmp_path / "incoming").touch()
    nobody: Any = None
    return Moves(
        number,
        8,
        "packed",
        "hardened",
        lambda _, kill=None: Side(nobody, nobody, tmp_path / "incoming", kill),
    )


def test_when(tmp_path: Path) -> None:
    """Moves are spread among the kills; one that has begun ends some kills later, and until then none begins."""
    plan = moves(tmp_path, 2)
    machine: Any = Monitor()
    happened: list[tuple[int, str]] = []
    for kills in range(30):
        if plan.due(kills) and plan.under_way:
            machine.told = [{"status": "active"}, {"status": "completed"}]
            happened.append((kills, str(plan.end(machine).arrival)))
        elif plan.due(kills):
            machine.told = [{"status": "active", "ram": {"dirty-sync-count": 2}}]
            plan.begin(machine, kills)
            happened.append((kills, "begun"))
        assert plan.left == (len(happened) < 4)
    arrivals = [str(Kill(f"packed.init.{n}")) for n in (6, 7)]
    assert happened == [(2, "begun"), (6, arrivals[0]), (7, "begun"), (11, arrivals[1])]


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"status": "failed", "error-desc": "no room"}, "the migration failed: no room"),
        ({"status": "completed"}, "left before it was told to"),
        ({"status": "setup"}, "too short for all of the memory to be copied once"),
    ],
)
def test_what_goes_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: dict[str, Any], words: str) -> None:
    """A migration that fails, that ends by itself, or that gets nowhere, is an error that says so."""
    monkeypatch.setattr(move, "_TIME", 0.1)
    machine: Any = Monitor(told)
    with pytest.raises(GuestError, match=words):
        moves(tmp_path).begin(machine, 0)
