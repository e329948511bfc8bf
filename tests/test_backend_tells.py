"""What a back-end tells: its log, and the bytes that it finds, of which the oracle says what it then did."""

import json
import re
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from refimpl.backend.blk import WRITE
from refimpl.frontend.connection import FrontEnd
from refimpl.frontend.guest import Guest, check
from refimpl.frontend.memory import GuestRam
from tests.refimpl.stopping_rig import asked
from tests.refimpl.wire_rig import Spawn, killed_and_next
from vhost_inflight.recover import answer, load, recover

KILLED = {
    "split": ("split.supply.5", ["--revision", "merged"]),
    "packed": ("packed.supply.8", ["--revision", "hardened", "--packed"]),
}


@pytest.fixture(name="start")
def starter(tmp_path: Path) -> Iterator[Spawn]:
    """Start back-ends on one image, which hold eight requests back."""
    with killed_and_next(tmp_path) as start:
        yield start


def served_twice(folder: Path, start: Spawn, ring: str, *second: str) -> str:
    """Let a back-end be killed within a batch of 3 of 8 writes, and another finish; return what that one logged."""
    where, options = KILLED[ring]
    first = start("--crash-at", where, *options)
    packed = ring == "packed"
    with GuestRam(1, 16, 512, packed=packed) as ram, FrontEnd(folder / "socket", ram, timeout=20) as front_end:
        front_end.connect()
        front_end.start()
        guest = Guest(front_end)
        for sector in range(8):
            guest.submit(WRITE, sector, bytes([sector]) * 512, indirect=True)
        assert first.wait(20) == -signal.SIGKILL
        successor = start(*options, "--trace", str(folder / "trace"), *second)
        check(guest.wait())
        front_end.stop()
    successor.terminate()
    assert successor.wait(20) == 0
    assert successor.stderr is not None
    return successor.stderr.read()


@pytest.mark.parametrize("ring", ["split", "packed"])
def test_the_oracle_says_what_was_done(tmp_path: Path, start: Spawn, ring: str) -> None:
    """Of the bytes that a successor found, the oracle gives the requests that it resubmitted, and their tables."""
    served_twice(tmp_path, start, ring, "--dump", str(tmp_path / "a" / "found"))
    given = load((tmp_path / "a" / "found" / "ring-0.json").read_bytes())
    told = answer(recover(given))
    lines = [json.loads(line) for line in (tmp_path / "trace").read_text().splitlines()]
    step = "packed.reconnect.4.submit" if ring == "packed" else "split.reconnect.2"
    done = [line["head"] for line in lines if line["step"] == step]
    name = "entry" if ring == "packed" else "head"
    assert [request[name] for request in told["resubmit"]] == done
    assert len(done) == 5
    assert all(len(request["descriptors"][0]["table"]) == 3 for request in told["resubmit"])
    assert (given.ring, given.revision, given.queue_size) == (ring, KILLED[ring][1][1], 16)


@pytest.mark.parametrize(("ring", "names", "place"), [
    ("split", "heads", "index 8"), ("packed", "buffer ids", "slot 8 with wrap counter 1"),
])  # fmt: skip
def test_what_happened_is_logged(tmp_path: Path, start: Spawn, ring: str, names: str, place: str) -> None:
    """At level info, a line for each thing that happened, in the order in which it did."""
    log = served_twice(tmp_path, start, ring, "--log-level", "info")
    goes_on = f"fetching goes on at {place}"
    order = rf"in this order: {names} \d+(, \d+){{4}}"
    images = f"image {re.escape(str(tmp_path))}/image of 256 sectors, 1 queue"
    rings = "split rings by merged" if ring == "split" else "split rings by hardened, packed rings by hardened"
    wanted = [
        f"listening at {re.escape(str(tmp_path))}/socket: {images}, {rings}",
        "a front-end connected",
        r"the front-end accepted protocol features 0x[0-9a-f]+",
        rf"the front-end accepted features 0x[0-9a-f]+: {ring} rings, event index",
        "got the regions of 1 queue of 16 entries",
        rf"ring 0, {ring}, 16 entries, starts with the region that it left: 5 requests resubmitted {order}; {goes_on}",
        f"ring 0 is drained of 0 requests and stops; {goes_on}",
        "the front-end is disconnected",
    ]
    assert re.fullmatch("".join(f"back-end: {line}\n" for line in wanted), log), log


@pytest.mark.parametrize("ring", ["split", "packed"])
def test_how_many_were_in_flight_is_logged(tmp_path: Path, start: Spawn, ring: str) -> None:
    """When a ring is stopped: those that the device has, finished or not, that nobody was told of."""
    packed = ring == "packed"
    back_end = start(*KILLED[ring][1], "--schedule", str(tmp_path / "patient"), "--log-level", "info")
    with GuestRam(1, 16, 512, packed=packed) as ram, FrontEnd(tmp_path / "socket", ram, timeout=20) as front_end:
        front_end.connect()
        front_end.start()
        guest = Guest(front_end)
        for sector in range(5):  # fewer than are held back
            guest.submit(WRITE, sector, bytes([sector]) * 512, indirect=True)
        asked(front_end)  # else the stop may be heard before the kick, and what was not fetched stays in the ring
        front_end.stop()
        check(guest.wait())
    back_end.terminate()
    assert back_end.wait(20) == 0
    assert back_end.stderr is not None
    assert re.search(r"^back-end: ring 0 is drained of 5 requests and stops; ", back_end.stderr.read(), re.MULTILINE)


def test_messages_are_logged_at_debug(tmp_path: Path, start: Spawn) -> None:
    """At level debug each message too, with its bytes."""
    log = served_twice(tmp_path, start, "split", "--log-level", "debug")
    assert "SET_VRING_NUM" in log
    assert "SET_INFLIGHT_FD" in log
    assert re.search(r"^back-end: received 01 00 00 00 01( 00){7}$", log, re.MULTILINE)  # GET_FEATURES


def test_errors_alone(tmp_path: Path, start: Spawn) -> None:
    """At level error, nothing is told of what went well."""
    assert not served_twice(tmp_path, start, "packed", "--log-level", "error")


@pytest.mark.parametrize(("options", "rings"), [
    ([], "1 queue, split rings by merged"),
    (["--packed"], "1 queue, split rings by merged, packed rings by hardened"),
    (["--queues", "3", "--packed", "--revision", "merged", "--gap", "packed.reset=kept"],
     "3 queues, split rings by merged, packed rings by merged reset=kept"),
])  # fmt: skip
def test_a_back_end_says_that_it_listens(tmp_path: Path, options: list[str], rings: str) -> None:
    """At the level that the command has by default: where, on which image, and by which revision each ring."""
    image, socket = tmp_path / "image", tmp_path / "socket"
    image.write_bytes(bytes(4096))
    command = [sys.executable, "-m", "vhost_inflight", "backend", "--socket", str(socket), "--image", str(image)]
    with subprocess.Popen([*command, *options], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        readable, _, _ = select.select([process.stderr], [], [], 20)
        said = process.stderr.readline() if readable else "nothing"
        process.terminate()
        assert process.wait(20) == 0
    assert said == f"back-end: listening at {socket}: image {image} of 8 sectors, {rings}\n"
