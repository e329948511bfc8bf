"""dump and proxy between QEMU and two back-ends: ours, and qemu-storage-daemon, which has no region."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.interop.test_guest import had, parts, serve
from tests.refimpl.backend.test_server import wait_for
from vhost_inflight.guest.machine import Machine
from vhost_inflight.guest.prepare import Parts
from vhost_inflight.guest.qemu import ring_size
from vhost_inflight.recover import parse, recover

__all__ = ["parts"]

FETCHED = {"split": "split.fetch.2:20", "packed": "packed.fetch.7:20"}
"""Where a back-end is killed: a request is in flight from here on."""

COMMAND = [sys.executable, "-m", "vhost_inflight"]


@contextmanager
def proxied(folder: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a proxy between front.sock and socket, which writes to the folder out; its log is proxy.log."""
    command = [*COMMAND, "proxy", "--listen", str(folder / "front.sock"), "--connect", str(folder / "socket")]
    command += ["--out", str(folder / "out"), "--status", str(folder / "status"), *options]
    with (folder / "proxy.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_for(lambda: "proxy: " in (folder / "proxy.log").read_text())
        yield process
        process.terminate()
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()


def ran(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command."""
    return subprocess.run([*COMMAND, *map(str, arguments)], check=False, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("major", "ring"),
    [
        pytest.param(7, "packed", marks=pytest.mark.campaign),
        (10, "split"),
        pytest.param(7, "split", marks=pytest.mark.campaign),
        pytest.param(10, "packed", marks=pytest.mark.campaign),
    ],
)
def test_under_a_guest(tmp_path: Path, parts: Parts, major: int, ring: str) -> None:
    """The region is found in the back-end and in QEMU; what is dumped at the kill is what the successor finds."""
    (tmp_path / "image").write_bytes(bytes(9 << 20))
    (tmp_path / "hold").write_text(json.dumps({"hold": 6, "order": "shuffle", "idle": 0.002}))
    qemu, packed = had(major), ring == "packed"
    size = ring_size(qemu, None)
    options = ["--schedule", str(tmp_path / "hold"), "--log-level", "info", *(["--packed"] if packed else [])]
    back_end = serve(tmp_path, *options)
    try:
        with (
            proxied(tmp_path) as proxy,
            Machine(parts, tmp_path, tmp_path / "front.sock", packed=packed, queue_size=size, qemu=qemu) as machine,
        ):
            machine.booted()
            machine.say("load verify /dev/vda 8")
            machine.wait_for("LOAD", 30)
            os.kill(proxy.pid, signal.SIGUSR1)
            for pid in (back_end.pid, machine.process.pid):
                found = ran("dump", "--pid", str(pid))
                assert f"{ring} ring, layout of merged, 1 queue of {size} entries" in found.stdout, found.stderr
                state = ran("dump", "--pid", str(pid), "--proxy", tmp_path / "status", "--out", "-", "--stop")
                assert recover(parse(json.loads(state.stdout))).refused is None, state.stderr
            back_end.kill()
            back_end.wait()
            back_end = serve(tmp_path, *options, "--crash-at", FETCHED[ring])
            assert back_end.wait(60) == -signal.SIGKILL
            wait_for(lambda: (tmp_path / "proxy.log").read_text().count("the back-end's side closed") == 2)
            wait_for(lambda: (tmp_path / "proxy.log").read_text().endswith("Connection refused\n"))
            state = json.loads(max((tmp_path / "out").glob("*-queue0.json")).read_text())
            back_end = serve(tmp_path, *options, "--dump", str(tmp_path / "found"))
            wait_for(lambda: "starts with the region that it left" in (tmp_path / "log").read_text())
            machine.say("stop")
            assert machine.wait_for("RESULT", 60).startswith("RESULT ok")
        seen = json.loads((tmp_path / "found" / "ring-0.json").read_text())
        assert seen["region"] == state["region"]
        expected = recover(parse(state)).resubmitted
        assert expected, "nothing was in flight"
        again = ", ".join(str(one.identity if packed else one.entry) for one in expected)
        assert f" in this order: {'buffer ids' if packed else 'heads'} {again};" in (tmp_path / "log").read_text()
    finally:
        back_end.kill()
        back_end.wait()


@pytest.mark.needs("qemu-storage-daemon")
@pytest.mark.parametrize("major", [7, pytest.param(10, marks=pytest.mark.campaign)])
def test_a_back_end_without_a_region(tmp_path: Path, parts: Parts, major: int) -> None:
    """Nobody is asked for a region, and both commands say that there is none; the guest notices nothing."""
    (tmp_path / "image").write_bytes(bytes(9 << 20))
    socket, qemu = tmp_path / "socket", had(major)
    command = ["qemu-storage-daemon", "--blockdev", f"driver=file,node-name=disk,filename={tmp_path / 'image'}"]
    export = f"type=vhost-user-blk,id=export,addr.type=unix,addr.path={socket},node-name=disk,writable=on"
    daemon = subprocess.Popen([*command, "--export", export])
    try:
        wait_for(socket.exists)
        with (
            proxied(tmp_path, "--dump-at", "GET_VRING_BASE") as proxy,
            Machine(parts, tmp_path, tmp_path / "front.sock", queue_size=ring_size(qemu, None), qemu=qemu) as machine,
        ):
            machine.booted()
            machine.say("load verify /dev/vda 8")
            machine.wait_for("LOAD", 30)
            os.kill(proxy.pid, signal.SIGUSR1)
            for pid in (daemon.pid, machine.process.pid):
                found = ran("dump", "--pid", str(pid))
                assert (found.returncode, found.stdout) == (2, "")
                assert f"process {pid}: no region found" in found.stderr
                asked = ran("dump", "--pid", str(pid), "--proxy", tmp_path / "status")
                assert (asked.returncode, asked.stdout) == (2, "")
                assert "no region was handed over" in asked.stderr
            machine.say("stop")
            assert machine.wait_for("RESULT", 60).startswith("RESULT ok")
            daemon.kill()
            daemon.wait()
            time.sleep(0.5)
        log = (tmp_path / "proxy.log").read_text()
        for why in ("asked for by a signal", "before GET_VRING_BASE is passed on", "the back-end's side closed"):
            assert f"{why}\nproxy: not written: no region was handed over" in log
        assert "INFLIGHT_FD" not in log.replace("neither GET_INFLIGHT_FD nor SET_INFLIGHT_FD", "")
        assert list((tmp_path / "out").iterdir()) == []
    finally:
        daemon.kill()
        daemon.wait()
