"""A Linux guest in QEMU: it writes and reads back while its back-end is killed; at the end the image is compared."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from refimpl.errors import UsageError
from tests.conftest import lacking
from tests.refimpl.backend.test_server import wait_for
from vhost_inflight.guest import crash
from vhost_inflight.guest.crash import guest_crash_test
from vhost_inflight.guest.machine import BOOT, GuestError, Machine, is_packed
from vhost_inflight.guest.prepare import MissingError, Parts, prepared
from vhost_inflight.guest.qemu import ANY_SIZE_SINCE, RELEASES, RING_MAX, beside, ring_size, version


@pytest.fixture(scope="session")
def parts() -> Parts:
    """Give the kernel and the file system; where they cannot be had, say what is missing."""
    try:
        return prepared()
    except MissingError as error:
        lacking(str(error))


def had(major: int) -> Path:
    """Return QEMU of a version; where it cannot be had, say why, and in CI fail."""
    try:
        return beside(major)
    except MissingError as error:
        lacking(str(error))


CROSSED = [
    pytest.param(major, *of, marks=() if (major, of[0]) in ((7, "split"), (10, "packed")) else pytest.mark.campaign)
    for major in RELEASES
    for of in (("split", "merged"), ("packed", "hardened"))
]
"""Each version of QEMU under one of the rings, and each ring under one of the versions; the rest are campaigns."""


@pytest.fixture(scope="session", params=RELEASES)
def qemu(request: pytest.FixtureRequest) -> Path:
    """Give each version of QEMU that is known to differ."""
    return had(request.param)


@pytest.mark.usefixtures("parts")
@pytest.mark.parametrize(("major", "ring", "revision"), CROSSED)
def test_killed_under_a_guest(major: int, ring: str, revision: str) -> None:
    """Nothing is lost, torn or hung, wherever the back-end dies; a fresh region's first stores are among the places."""
    done = guest_crash_test(ring=ring, revision=revision, queues=2, kills=16, seed=7, qemu=had(major))
    assert done.broken == []
    assert (done.kills >= 16, done.rounds > 0, done.writes > 0, done.resubmitted > 0) == (True,) * 4
    assert {f"{ring}.init.{n}" for n in (1, 2, 3)} <= set(done.steps)
    assert "2 queues" in done.disk


def serve(folder: Path, *options: str) -> subprocess.Popen[bytes]:
    """Start a back-end."""
    command = [sys.executable, "-m", "refimpl.backend.process", "--socket", str(folder / "socket")]
    with (folder / "log").open("wb") as log:
        return subprocess.Popen([*command, "--image", str(folder / "image"), *options], stderr=log)


def test_a_region_that_does_not_fit_is_told_at_once(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    """A QEMU that makes larger rings than it was told is noticed by what the back-end says, long before the disk is."""
    assert parts.kernel.is_file()
    monkeypatch.setattr(crash, "ring_size", lambda *_: 16)
    started = time.monotonic()
    with pytest.raises(UsageError, match=r"QEMU 10.* do not fit .*ring 0 has 256 entries, its region 16"):
        guest_crash_test(ring="split", revision="merged", kills=1, qemu=had(10))
    assert time.monotonic() - started < BOOT / 2


OPTIONS = {"split": ["--mem-slots", "0"], "packed": ["--packed", "--revision", "hardened"]}


@pytest.mark.parametrize(("ring", "queue_size", "queues"), [("split", 4, 1), ("packed", 1024, 4)])
@pytest.mark.campaign
def test_sizes_stop_and_reset(
    *, tmp_path: Path, parts: Parts, qemu: Path, ring: str, queue_size: int, queues: int
) -> None:
    """The smallest and the largest queue that QEMU allows; a stop of the machine, and a reset of the device.

    Newer ones let the guest choose, so that there the largest is the only one.

    The guest's memory comes as one table (SET_MEM_TABLE) for the one, region by region (ADD_MEM_REG) for the other.
    """
    (tmp_path / "image").write_bytes(bytes(9 << 20))
    packed = ring == "packed"
    queue_size = RING_MAX if version(qemu)[0] >= ANY_SIZE_SINCE else queue_size
    back_end = serve(tmp_path, "--queues", str(queues), "--log-level", "debug", *OPTIONS[ring])
    try:
        with Machine(
            parts, tmp_path, tmp_path / "socket", packed=packed, queues=queues, queue_size=queue_size, qemu=qemu
        ) as machine:
            disk = machine.booted()
            assert is_packed(disk) == packed
            assert f"{9 << 20} bytes, {queues} queues" in disk
            for _ in range(2):
                machine.say("load verify /dev/vda 8")
                machine.wait_for("LOAD", 30)
                machine.monitor("stop")
                time.sleep(0.2)
                assert machine.monitor("query-status")["status"] == "paused"
                machine.monitor("cont")
                machine.wait_for("LOAD", 30)
                machine.say("stop")
                assert machine.wait_for("RESULT", 60).startswith("RESULT ok")
                machine.say("rebind")
                machine.wait_for("DISK", 60)
        log = (tmp_path / "log").read_text()
        assert ("SET_MEM_TABLE" in log, "ADD_MEM_REG" in log) == (not packed, packed)
        assert ": split rings, event flags" in log  # the firmware's start
        assert f"ring {queues - 1}, {ring}, {queue_size} entries, starts with a fresh region" in log
        assert re.search(r"ring 0 is drained of \d+ requests? and stops", log)
        assert not re.search("back-end: the (front-end|driver): ", log)
        assert back_end.poll() is None
    finally:
        back_end.kill()
        back_end.wait()


def test_deaths_in_a_pause(tmp_path: Path, parts: Parts, qemu: Path) -> None:
    """The guest goes on, and what was in flight is tracked, though QEMU 7.2 then negotiates nothing."""
    (tmp_path / "image").write_bytes(bytes(9 << 20))
    size = ring_size(qemu, None)
    back_end = serve(tmp_path, "--mem-slots", "0", "--log-level", "info")
    try:
        with Machine(parts, tmp_path, tmp_path / "socket", queue_size=size, qemu=qemu) as machine:
            machine.booted()
            machine.say("load verify /dev/vda 8")
            machine.wait_for("LOAD", 30)
            machine.monitor("stop")
            assert machine.is_served()
            for _ in range(2):
                back_end.kill()
                back_end.wait()
                assert not machine.is_served()
                back_end = serve(tmp_path, "--mem-slots", "0", "--log-level", "info")
                wait_for(lambda: "a front-end connected" in (tmp_path / "log").read_text())
                time.sleep(0.5)
            machine.monitor("cont")
            machine.wait_for("LOAD", 30)
            machine.say("stop")
            assert machine.wait_for("RESULT", 60).startswith("RESULT ok")
        log = (tmp_path / "log").read_text()
        assert f"ring 0, split, {size} entries, starts with the region that it left" in log
        assert ("came with nothing negotiated" in log) == (version(qemu)[0] < ANY_SIZE_SINCE)
    finally:
        back_end.kill()
        back_end.wait()


@pytest.mark.needs("qemu-system-x86_64")
def test_qemu_that_does_not_start(tmp_path: Path) -> None:
    """Without a kernel QEMU ends, and the error has what it said."""
    with (
        Machine(Parts(tmp_path / "none", tmp_path / "none"), tmp_path, tmp_path / "socket") as machine,
        pytest.raises(GuestError, match=r"QEMU (ended with 1|is gone)"),
    ):
        machine.booted()


@pytest.mark.parametrize(
    ("size", "queues", "words"), [(2, 1, "4 to 1024"), (12, 1, "a power of two"), (8, 5, "1 to 4")]
)
def test_sizes_that_qemu_refuses(size: int, queues: int, words: str) -> None:
    """They are refused before anything is started."""
    with pytest.raises(UsageError, match=words):
        guest_crash_test(ring="split", revision="merged", queue_size=size, queues=queues)


def test_missing_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The Debian packages that have them are named."""
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(MissingError, match=r"apt-get install .*busybox-static.*qemu-system-x86"):
        prepared()


def test_machine_without_qemu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where QEMU cannot be started, the error says so, and nothing stays open."""
    monkeypatch.setenv("PATH", "/nowhere")
    before = sorted(Path("/proc/self/fd").iterdir())
    with pytest.raises(UsageError, match="a guest needs qemu-system-x86_64"):
        Machine(Parts(tmp_path / "none", tmp_path / "none"), tmp_path, tmp_path / "socket")
    assert sorted(Path("/proc/self/fd").iterdir()) == before


def test_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The command says where the back-end died and what the guest lost, and exits accordingly."""
    outcome = crash.GuestOutcome("packed", "merged", 4, 1, 0, kills=2, broken=["RESULT lost: sector 1 of job 0"])
    monkeypatch.setattr(crash, "guest_crash_test", lambda **_: outcome)
    path = tmp_path / "answer.json"
    assert not crash.run(ring="packed", revision="merged", queue_size=4, queues=1, kills=2, seed=0, json_file=path)
    printed = capsys.readouterr().out
    assert "broken: RESULT lost: sector 1 of job 0" in printed
    assert "not reached by this guest: packed.init.6" in printed
    assert json.loads(path.read_text())["unreached"].keys() == {"packed.init.6", "packed.init.7"}
