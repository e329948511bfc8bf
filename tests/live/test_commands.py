"""The commands dump and proxy as a user meets them: what is printed and written, exit codes, signals."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from refimpl.frontend.connection import FrontEnd
from refimpl.frontend.memory import GuestRam
from tests.refimpl.backend.test_server import wait_for
from tests.refimpl.wire_rig import spawning
from tests.test_door import Run, run
from vhost_inflight.recover import parse

__all__ = ["run"]

COMMAND = [sys.executable, "-m", "vhost_inflight"]


class Served:
    """A back-end of ours, a proxy as a process, and a front-end that has started one queue."""

    def __init__(self, folder: Path, back_end: subprocess.Popen[str], ram: GuestRam) -> None:
        """Start the proxy, and the front-end."""
        self.folder, self.back_end, self.ram = folder, back_end, ram
        command = [*COMMAND, "proxy", "--listen", str(folder / "front.sock"), "--connect", str(folder / "socket")]
        command += ["--out", str(folder / "out"), "--status", str(folder / "status")]
        self.proxy = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.front_end = FrontEnd(folder / "front.sock", ram)
        self.front_end.connect()
        self.front_end.start()
        wait_for(lambda: self.ram.rings[0].avail_event is not None and self.begun())

    def begun(self) -> bool:
        """Return whether the region is initialised."""
        return self.front_end.inflight is not None and self.front_end.inflight.view()[8] == 1

    def ended(self, number: int) -> tuple[int, str]:
        """End the proxy by a signal; return its exit status and all that it said."""
        self.proxy.send_signal(number)
        said, _ = self.proxy.communicate(timeout=20)
        return self.proxy.returncode, said


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """Give them, of a split ring of 4."""
    with spawning(tmp_path) as start, GuestRam(1, 4, 512) as ram:
        one = Served(tmp_path, start(), ram)
        try:
            yield one
        finally:
            one.front_end.close()
            one.proxy.kill()
            one.proxy.communicate()


def test_dump(served: Served, run: Run, tmp_path: Path) -> None:
    """A table, the same as JSON, and the input of `recover`, to a file or to standard output alone."""
    pid = str(served.back_end.pid)
    code, out, err = run("dump", "--pid", pid)
    assert (code, err) == (0, "")
    assert f"process {pid}, file descriptor " in out
    assert "memfd vhost-inflight, 128 bytes:\n  split ring, layout of merged, 1 queue of 4 entries\n" in out
    assert "can also be read as: split ring, layout of v6, 2 queues of 4 entries, 64 bytes apart" in out
    assert "queue 0, at byte 0: version 1, desc_num 4, last_batch_head 0, used_idx 0; 0 inflight\n" in out
    told = json.loads(run("dump", "--pid", pid, "--json", "-")[1])
    assert (told["format"], told["buffers"][0]["readings"][0]["ring"]) == ("vhost-inflight region 1", "split")
    assert bytes.fromhex(told["buffers"][0]["bytes"])[8:12] == b"\1\0\4\0"

    place, region = served.ram.ring_address(0), served.ram.region
    parts = ["--desc", hex(place.desc), "--avail", hex(place.avail), "--used", str(place.used)]
    memory = ["--memory", f"{region.guest_address:#x}:{region.size:#x}:{region.user_address:#x}"]
    by_address = run("dump", "--pid", pid, "--out", "-", "--base", "0x0", *parts, *memory)
    by_proxy = run("dump", "--pid", pid, "--out", "-", "--proxy", str(tmp_path / "status"))
    assert (by_address[0], by_address[2]) == (0, "")
    assert by_proxy == by_address
    assert parse(json.loads(by_address[1])).queue_size == 4
    assert "base" not in json.loads(run("dump", "--pid", pid, "--out", "-", *parts, *memory)[1])
    code, out, _ = run("dump", "--pid", pid, "--out", "state.json", "--proxy", str(tmp_path / "status"))
    assert (code, out.splitlines()[-1]) == (0, "queue 0 and its region written to state.json")
    assert json.loads(Path("state.json").read_text()) == json.loads(by_address[1])
    assert run("recover", "state.json")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--pid", "4194304"), "process 4194304: there is no such process, or it is gone"),
        (("--pid", "0"), "Invalid value for '--pid'"),
        (("--pid", "1", "--out", "x"), "--out needs to know where the ring is"),
        (("--pid", "1", "--desc", "0x10"), "--desc, --avail and --used go together"),
        (("--pid", "1", "--queue-size", "4"), "--queue-size and --base are those of the ring"),
        (("--pid", "1", "--base", "4"), "--queue-size and --base are those of the ring"),
        (("--pid", "1", "--base", "", "--desc", "1", "--avail", "1", "--used", "1"), "a number of 32 bits is wanted"),
        (("--pid", "1", "--base", "0x100000000", "--desc", "1", "--avail", "1", "--used", "1"), "of 32 bits is wanted"),
        (("--pid", "1", "--desc", "y", "--avail", "1", "--used", "1"), "a number of 64 bits is wanted"),
        (("--pid", "1", "--desc", "1" * 21, "--avail", "1", "--used", "1"), "a number of 64 bits is wanted"),
        (("--pid", "1", "--memory", "1"), "--memory 1: wanted is GUEST:SIZE"),
        (("--pid", "1", "--memory", "1:2@x"), "--memory 1:2@x: wanted is GUEST:SIZE"),
        (("--pid", "1", "--ring-kind", "x"), "there is no ring 'x'"),
        (("--pid", "1", "--layout", "hardened"), "there is no layout 'hardened'"),
        (("--pid", "1", "--out", "-", "--json", "-"), "both want standard output"),
        (("--pid", "1", "--out", "/nowhere/x"), "there is no such folder"),
        (("--pid", "1", "--proxy", "missing"), "missing: No such file"),
        (("--pid", "1", "--proxy", "x", "--fd", "3"), "--proxy knows where all is"),
    ],
)
def test_dump_refuses(run: Run, arguments: tuple[str, ...], words: str) -> None:
    """Exit 2, a sentence, no traceback."""
    code, out, err = run("dump", *arguments)
    assert (code, out) == (2, "")
    assert words in " ".join(err.replace("│", " ").split())
    assert "Traceback" not in err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals(served: Served, number: int, tmp_path: Path) -> None:
    """SIGUSR1 has region and ring written, SIGTERM and Ctrl-C end it cleanly: nothing stays but what was written."""
    served.proxy.send_signal(signal.SIGUSR1)
    wait_for((tmp_path / "out" / "001-queue0.json").exists)
    assert (tmp_path / "status").exists()
    code, said = served.ended(number)
    assert code == 0
    assert "Traceback" not in said
    assert "proxy: front-end: SET_VRING_ADDR: queue 0, desc 0x7f0000000000, avail 0x7f0000000040, used" in said
    assert "proxy: dump 001, asked for by a signal\nproxy: wrote queue 0 and its region to" in said
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"image", "socket", "out"}


def test_the_disk_is_full(served: Served, tmp_path: Path) -> None:
    """What cannot be written is told, and ends no connection."""
    (tmp_path / "out").rmdir()
    served.proxy.send_signal(signal.SIGUSR1)
    time.sleep(0.2)
    served.front_end.stop()
    code, said = served.ended(signal.SIGTERM)
    assert code == 0
    assert "proxy: not written: " in said
    assert "001-queue0.json: No such file or directory" in said
    assert "the reply to GET_VRING_BASE: queue 0, base 0" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--listen", "x" * 108, "--connect", "b"), "longer than the 107 bytes"),
        (("--listen", "a", "--connect", "x" * 108), "longer than the 107 bytes"),
        (("--listen", "there", "--connect", "b"), "a file that is no socket is there"),
        (("--listen", "missing/a", "--connect", "b"), "socket missing/a: No such file or directory"),
        (("--listen", "a", "--connect", "b", "--out", "there/out"), "there/out: Not a directory"),
        (("--listen", "a", "--connect", "b", "--out", "o", "--dump-at", "SET_VRING"), "perhaps: SET_VRING_"),
        (("--listen", "a", "--connect", "b", "--dump-at", "SET_OWNER"), "--dump-at needs a folder"),
        (("--listen", "a"), "Missing option '--connect'"),
    ],
)
def test_proxy_refuses(run: Run, arguments: tuple[str, ...], words: str) -> None:
    """Exit 2, a sentence, no traceback, and no socket."""
    Path("there").touch()
    code, out, err = run("proxy", *arguments)
    assert (code, out) == (2, "")
    assert words in " ".join(err.replace("│", " ").split())
    assert not any(path.is_socket() for path in Path().iterdir())


def test_a_stale_socket(tmp_path: Path) -> None:
    """One that a killed proxy left is replaced."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "front.sock"))
    with socket.socket(socket.AF_UNIX) as back:
        back.bind(str(tmp_path / "socket"))
        back.listen(1)
        command = [*COMMAND, "proxy", "--listen", str(tmp_path / "front.sock"), "--connect", str(tmp_path / "socket")]
        process: Any = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        with process:
            assert "is there; listening at" in process.stdout.readline()
            os.kill(process.pid, signal.SIGTERM)
        assert process.returncode == 0
    assert not (tmp_path / "front.sock").exists()
