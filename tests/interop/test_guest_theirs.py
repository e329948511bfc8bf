"""Anybody's back-end under a Linux guest: the one in C survives its deaths, and with a mistake the guest notices."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from refimpl.choices import Choices
from refimpl.errors import UsageError
from tests.conformance import c
from tests.conftest import lacking
from tests.refimpl.backend.test_server import wait_for
from vhost_inflight.conformance import ptrace, under_guest
from vhost_inflight.conformance.campaign import Campaign
from vhost_inflight.conformance.foreign.prepare import backend_command
from vhost_inflight.conformance.life import Setup
from vhost_inflight.conformance.points import Case
from vhost_inflight.conformance.process import Command, listening
from vhost_inflight.conformance.ptrace import TracingError
from vhost_inflight.conformance.under_guest import Asked, TheirOutcome, tried
from vhost_inflight.guest import crash
from vhost_inflight.guest.machine import GuestError
from vhost_inflight.guest.plan import GuestPlan
from vhost_inflight.guest.prepare import MissingError
from vhost_inflight.guest.sides import Side
from vhost_inflight.judging.crash.plan import Kill


def outcome(asked: Asked) -> TheirOutcome:
    """Try it; where a guest cannot be had, say what is missing."""
    try:
        return tried(asked)
    except MissingError as error:
        lacking(str(error))


def test_a_right_one_dies_at_a_store_and_nothing_is_lost(tmp_path: Path) -> None:
    done = outcome(Asked(c.command(tmp_path), kills=3, at="split-mixed-7-after", writers=4))
    assert done.broken == []
    assert sum(count for where, count in done.steps.items() if "inflight by split_supply" in where) == 3
    assert (done.writes > 0, done.kills, "1 queues" in done.disk) == (True, 3, True)


@pytest.mark.parametrize(
    ("mistake", "ring", "case"),
    [("SETTLED_BEFORE_CLEARED", "split", "split-mixed-7-after"),
     pytest.param("FREE_NOT_CLEARED", "packed", "packed-mixed-14-after", marks=pytest.mark.campaign)],
)  # fmt: skip
def test_a_guest_notices_a_mistake(tmp_path: Path, mistake: str, ring: str, case: str) -> None:
    """The right one is killed at the store of the same name without harm, above."""
    done = outcome(Asked(c.command(tmp_path, mistake), ring=ring, kills=6, at=case))
    assert done.broken
    assert "the guest did not boot" not in done.broken[0]


@pytest.mark.campaign
@pytest.mark.parametrize(
    ("case", "writers", "wrong"),
    [
        ("split-mixed-6-before", 1, True), ("split-mixed-3-after", 16, False), ("packed-mixed-5-before", 16, True),
        ("packed-mixed-24-after", 16, True), ("packed-mixed-126-after", 16, True), ("packed-mixed-21-after", 16, False),
    ],
)  # fmt: skip
def test_what_a_guest_sees_of_a_program_on_dpdk(case: str, writers: int, *, wrong: bool) -> None:
    """As docs/implementations.md has it: what it sees, and deaths of the same program that it survives."""
    try:
        command = backend_command("dpdk")
    except MissingError as error:
        lacking(str(error))
    done = outcome(Asked(command, ring=case.partition("-")[0], kills=8, at=case, writers=writers))
    assert bool(done.broken) == wrong, done.broken


@pytest.mark.campaign
@pytest.mark.parametrize("ring", ["split", "packed"])
def test_a_right_one_dies_anywhere(tmp_path: Path, ring: str) -> None:
    done = outcome(Asked(c.command(tmp_path), ring=ring, kills=30))
    assert done.broken == []
    assert len(done.steps) > 15


@pytest.mark.campaign
def test_one_that_a_wrapper_starts_dies_at_its_store_too(tmp_path: Path) -> None:
    told = f"/bin/sh -c '{c.built(tmp_path)} $0 $1; exit $?' {{socket}} {{image}}"
    done = outcome(Asked(told, kills=3, at="split-mixed-7-after", writers=4))
    assert done.broken == []
    assert sum(count for where, count in done.steps.items() if "inflight by split_supply" in where) == 3


@pytest.mark.needs("sleep", "setsid")
@pytest.mark.parametrize("how", ["", "setsid -w "])
def test_who_listens_is_traced_and_ended_whoever_started_it(tmp_path: Path, how: str) -> None:
    """A wrapper starts it without exec, or in a session of its own; what it ends of is told."""
    image = tmp_path / "image"
    image.write_bytes(bytes(1 << 20))
    program = c.built(tmp_path)
    told = Command(f"/bin/sh -c '{how}{program} $0 $1; sleep 60' {{socket}} {{image}}")
    aims = under_guest._aims(Campaign(Setup(told, Choices())), Case.read("split-mixed-7-after"))
    back_end = under_guest._BackEnd(tmp_path, image, told, aims)
    for step in ("", *aims):
        back_end.start(Kill(step, 1))
        assert back_end._process is not None
        pid = listening(back_end.socket, back_end._process.pid)
        assert pid is not None
        assert pid != back_end._process.pid
        assert Path(f"/proc/{pid}/exe").readlink() == program
        assert back_end._tracer is None or back_end._tracer.pid == pid
        if step:
            os.kill(pid, signal.SIGTERM)
            wait_for(back_end._process.ended)
            with pytest.raises(GuestError, match="is gone: what listened has ended, and what started it has not"):
                back_end.died()
        back_end.kill()
        assert not Path(f"/proc/{pid}/exe").exists()


def test_who_listens_unseen_has_to_be_what_was_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_guest, "listening", lambda *_: None)
    told = Command(f"/bin/sh -c '{c.built(tmp_path)} $0 $1; exit $?' {{socket}} {{image}}")
    (tmp_path / "image").write_bytes(bytes(1 << 20))
    aims = under_guest._aims(Campaign(Setup(told, Choices())), Case.read("split-mixed-7-after"))
    back_end = under_guest._BackEnd(tmp_path, tmp_path / "image", told, aims)
    with pytest.raises(TracingError, match=r"^tracing: \S+ is not mapped, .*; where something else .* with exec$"):
        back_end.start(Kill(next(iter(aims)), 1))
    back_end.kill()


def test_one_that_ends_by_itself_is_told(tmp_path: Path) -> None:
    """Before it listens, and after: neither is a death that was asked for."""
    ends = under_guest._BackEnd(tmp_path, tmp_path, Command("/bin/sh -c 'exit 3' {socket} {image}"), {})
    with pytest.raises(GuestError, match="ended with exit status 3 and does not listen"):
        ends.start()
    told = "/bin/sh -c ': > $0; /bin/sleep 0.1; echo my words; exit 4' {socket} {image}"
    later = under_guest._BackEnd(tmp_path, tmp_path, Command(told), {})
    later.start()
    wait_for(lambda: later._process is not None and later._process.ended())
    with pytest.raises(UsageError, match="ended with exit status 4; it says: my words"):
        later.complain()
    with pytest.raises(GuestError, match="ended with exit status 4"):
        later.died()
    later.kill()


def test_cases_of_another_ring_and_without_a_store_are_refused() -> None:
    for case, told in (("packed-mixed-3-after", "--ring packed"), ("split-mixed-calm", "no store to die at")):
        with pytest.raises(UsageError, match=told):
            tried(Asked("x {socket} {image}", at=case))


def test_where_nobody_may_trace_a_store_cannot_be_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ptrace, "supported", lambda: "not on this processor")
    with pytest.raises((UsageError, MissingError)) as error:
        tried(Asked(c.command(tmp_path), at="split-mixed-3-after"))
    if error.type is MissingError:
        lacking(str(error.value))
    assert "not on this processor" in str(error.value)


def test_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The command says where it died and what the guest lost, exits accordingly, and says nothing of our revisions."""
    told = TheirOutcome(
        "split", "merged", 16, 1, 0, kills=2, broken=["RESULT hung"], command="x", unreached=["after y"]
    )
    monkeypatch.setattr(under_guest, "tried", lambda *_: told)
    file = tmp_path / "answer.json"
    assert not under_guest.run(Asked("x", kills=2), file)
    printed = capsys.readouterr().out
    assert "broken: RESULT hung" in printed
    assert "never done under this guest: after y" in printed
    document = json.loads(file.read_text())
    assert document["command"] == "x"
    assert "revision" not in document


def test_a_back_end_that_ended_by_itself_is_not_called_a_guest_that_hangs(tmp_path: Path) -> None:
    """While it is left alone, too, so that the guest may get on."""

    class Machine:
        def lines(self) -> Iterator[str]:
            return iter(())

    told = "/bin/sh -c ': > $0; exit 5' {socket} {image}"
    back_end = under_guest._BackEnd(tmp_path, tmp_path, Command(told), {})
    side: Any = Side(Machine(), back_end)  # type: ignore[arg-type]  # it says nothing
    outcome = TheirOutcome("split", "merged", 16, 1, 0)
    nowhere: Any = None
    campaign = crash._Campaign(side, nowhere, outcome, nowhere, 1)
    with pytest.raises(GuestError, match="ended with exit status 5"):
        campaign._has_to_move()
    back_end.kill()


class _FakeGuest:
    """A guest that is always well, served once it was looked at five times."""

    def __init__(self) -> None:
        self.happened: list[str] = []

    def lines(self) -> Iterator[str]:
        return iter(())

    def is_served(self) -> bool:
        self.happened.append("looked")
        return self.happened.count("looked") > 5

    def say(self, line: str) -> None:
        self.happened.append(line)

    def wait_for(self, start: str, *_: object) -> str:
        return f"{start} ok 1 rounds 1 writes"


class _FakeBackEnd:
    """It dies as soon as it is to, if told so."""

    def __init__(self, happened: list[str], *, dies: bool) -> None:
        self.happened, self.dies = happened, dies

    def start(self, kill: Kill | None = None) -> None:
        self.happened.append(f"started {kill.step if kill is not None else 'to live'}")

    def died(self) -> bool:
        return self.dies

    def kill(self) -> None:
        self.happened.append("killed")


def faked(*, dies: bool) -> tuple[crash._Campaign, list[str]]:
    """Give a campaign of them, and what happens to them."""
    guest = _FakeGuest()
    side: Any = Side(guest, _FakeBackEnd(guest.happened, dies=dies))  # type: ignore[arg-type]  # what is used of them
    plan = GuestPlan("split", "merged", Random(1))
    nowhere: Any = None
    return crash._Campaign(side, plan, TheirOutcome("split", "merged", 16, 1, 0), nowhere, 1), guest.happened


def test_nobody_dies_at_a_random_time_before_it_serves() -> None:
    """QEMU 7.2 hangs after a death among its first messages: that would be said of the back-end."""
    campaign, happened = faked(dies=False)
    campaign._live(Kill(seconds=0.0), lambda _what: None)
    assert happened == ["looked"] * 6 + ["killed"]


def test_a_guest_without_a_load_does_not_have_to_get_on() -> None:
    """While it takes the device anew it writes nothing, however long that takes; at its load it has to."""
    campaign, happened = faked(dies=True)
    campaign.moved = -1e9
    campaign._rebind(lambda _what: None)
    assert [what for what in happened if what != "killed"] == [
        "started to live", "stop", "started split.init.1", "rebind", "started split.init.2", "started split.init.3",
        "started to live", "load verify /dev/vda 1",
    ]  # fmt: skip
    campaign.moved = -1e9
    with pytest.raises(GuestError, match="somebody else killed the back-end"):
        campaign._gets_on_at_times()
