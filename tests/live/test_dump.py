"""What is dumped of our own back-end: found without help, by addresses, and by what a proxy has seen."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from refimpl.backend.blk import WRITE
from refimpl.errors import FrontEndError, InflightError, UsageError
from refimpl.frontend.connection import FrontEnd
from refimpl.frontend.guest import Guest
from refimpl.frontend.memory import GuestRam
from refimpl.wire.payload import MemoryRegion
from tests.live.rig import proxying
from tests.refimpl.backend.test_server import wait_for
from tests.refimpl.wire_rig import open_fds, spawning
from vhost_inflight.live import dump
from vhost_inflight.live.buffers import Known
from vhost_inflight.live.dump import Asked, found
from vhost_inflight.live.processes import ProcessError, open_files, opened, stopped
from vhost_inflight.live.seen import Seen, load
from vhost_inflight.live.states import PeerMemory, Ring
from vhost_inflight.recover import answer, parse, recover

QUEUES, SIZE = 2, 8
HOLD = {"hold": 6, "order": "reverse", "batch": 3, "idle": 60}


class Live:
    """A back-end of ours under a proxy, with four requests in flight on queue 0."""

    def __init__(self, folder: Path, ring: str, log: list[str], start: Any) -> None:
        """Start it."""
        self.folder, self.ring, self.log, self.start = folder, ring, log, start
        self.status, self.out = folder / "status", folder / "out"
        self.back_end: subprocess.Popen[str] = start()
        self.ram = GuestRam(QUEUES, SIZE, 512, packed=ring == "packed")
        self.front_end = FrontEnd(folder / "front.sock", self.ram)
        self.front_end.connect()
        self.front_end.start()
        self.guest = Guest(self.front_end)
        for sector in range(4):
            self.guest.submit(WRITE, sector, b"x" * 512, indirect=True)
        wait_for(lambda: self.marked() == 4 and self.rests())

    def rests(self) -> bool:
        """Return whether nobody writes to the guest's memory for a moment."""
        before = bytes(self.ram.memory.view())
        time.sleep(0.05)
        return before == bytes(self.ram.memory.view())

    def marked(self) -> int:
        """Return how many entries of queue 0 are marked inflight; none before it has started."""
        try:
            (buffer,) = found(Asked(self.back_end.pid)).buffers
        except ProcessError:
            return 0
        return len(buffer.readings[0].table(buffer.content)[0]["inflight"])

    def address(self) -> Ring:
        """Return where the ring of queue 0 is."""
        told = self.ram.ring_address(0)
        return Ring(SIZE, told.desc, told.avail, told.used)

    def close(self) -> None:
        """Close the front-end."""
        self.front_end.close()
        self.ram.close()


@pytest.fixture(params=["split", "packed"])
def live(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Live]:
    """Give a back-end of either ring."""
    (tmp_path / "hold").write_text(json.dumps(HOLD))
    (tmp_path / "out").mkdir()
    options = ["--queues", str(QUEUES), "--schedule", str(tmp_path / "hold"), "--log-level", "info"]
    options += ["--packed"] if request.param == "packed" else []
    with (
        proxying(tmp_path, out=tmp_path / "out", status=tmp_path / "status", dump_at=["GET_VRING_BASE"]) as (_, log),
        spawning(tmp_path, *options) as start,
    ):
        one = Live(tmp_path, request.param, log, start)
        try:
            yield one
        finally:
            one.close()


def test_found(live: Live) -> None:
    """In the back-end and in the front-end alike, without being told anything; nothing stays open here."""
    before = open_fds()
    for pid in (live.back_end.pid, os.getpid()):
        result = found(Asked(pid))
        assert live.front_end.inflight is not None
        kept = bytes(live.front_end.inflight.view())
        buffer = next(buffer for buffer in result.buffers if buffer.content == kept)  # tests before may have left some
        assert pid == os.getpid() or result.buffers == [buffer]
        reading = buffer.readings[0]
        assert (reading.ring, reading.layout, reading.entries, reading.queues) == (live.ring, "merged", SIZE, QUEUES)
        assert (result.state, result.torn) == (None, False)
        text = "\n".join(dump.report(pid, result))
        assert "queue 0, at byte 0: version 1, desc_num 8, " in text
        assert "; 4 inflight: 0 1 2 3\n" in text
    assert open_fds() == before


def state_of(live: Live, asked: Asked) -> dict[str, Any]:
    """Return the state that is found, which has to be what the memory holds now."""
    told = found(asked).state
    assert told is not None
    given = parse(told)
    parts = live.ram.packed_rings[0] if live.ring == "packed" else live.ram.rings[0]
    assert given.parts["descriptors"] == bytes(parts.desc)
    assert live.front_end.inflight is not None
    assert bytes(live.front_end.inflight.view()).startswith(given.region)
    return told


def test_the_ring(live: Live) -> None:
    """By addresses of either kind, with the memory told or guessed, and by what the proxy saw: the same state."""
    pid, ring, region = live.back_end.pid, live.address(), live.ram.region
    ring = ring._replace(base=live.front_end.bases[0])
    by_guest = Ring(SIZE, *(part - region.user_address + region.guest_address for part in ring[1:4]))._replace(
        base=ring.base
    )
    (memory,) = (file for file in open_files(pid) if file.name == "memfd guest")
    states = [
        state_of(live, Asked(pid, ring=ring, memory=[(region, None)])),
        state_of(live, Asked(pid, ring=by_guest, memory=[(region, memory.fds[0])])),
        state_of(live, Asked(pid, ring=ring._replace(size=0), memory=[(region, None)], stop=True)),
        state_of(live, Asked(pid, seen=load(live.status))),
        state_of(live, Asked(os.getpid(), seen=load(live.status))),
    ]
    assert all(state == states[0] for state in states)
    pieces = states[0]["memory"]
    assert [table["address"] for table in pieces[:4]] == [0x10000 + 4096 + 48 * n for n in range(4)]
    assert [len(bytes.fromhex(header["bytes"])) for header in pieces[4:]] == [16] * 4
    recovery = recover(parse(states[0]))
    asked = [one["block"] for one in answer(recovery)["resubmit"]]
    assert asked == [{"type": "write", "sector": sector, "bytes": 512} for sector in range(4)]
    assert [one.entry for one in recovery.resubmitted] == [0, 1, 2, 3]
    plain = state_of(
        live, Asked(pid, ring=Ring(SIZE, *(part - region.user_address for part in ring[1:4]))._replace(base=ring.base))
    )
    assert plain == states[0] | {"memory": plain["memory"]}  # from guest address 0: the tables are not there


def test_killed(live: Live) -> None:
    """What is written when the back-end's side closes is what its successor finds, and does what `recover` says."""
    live.back_end.kill()
    live.back_end.wait()
    wait_for(lambda: any("waiting for a back-end" in line for line in live.log[1:]))
    written = sorted(live.out.iterdir())
    assert [path.name for path in written] == ["001-queue0.json", "001-queue1.json"]
    found_there = live.folder / "found"
    live.back_end = live.start("--dump", str(found_there))
    wait_for((live.folder / "front.sock").is_socket)
    live.front_end.reconnect()
    wait_for((found_there / "ring-1.json").exists)
    for queue, path in enumerate(written):
        assert json.loads(path.read_text()) == json.loads((found_there / f"ring-{queue}.json").read_text())
    expected = recover(parse(json.loads(written[0].read_text())))
    wait_for(lambda: live.marked() == 4)
    live.back_end.terminate()
    assert live.back_end.stderr is not None
    names = [str(one.identity if live.ring == "packed" else one.entry) for one in expected.resubmitted]
    assert f"{'buffer ids' if live.ring == 'packed' else 'heads'} {', '.join(names)};" in live.back_end.stderr.read()


def test_at_a_message(live: Live) -> None:
    """Before it is passed on, so that nothing was drained yet."""
    live.front_end.connection.timeout = 30  # type: ignore[union-attr]
    live.front_end.stop()
    first = json.loads((live.out / "001-queue0.json").read_text())
    assert [one.entry for one in recover(parse(first)).resubmitted] == [0, 1, 2, 3]
    assert recover(parse(json.loads((live.out / "002-queue0.json").read_text()))).resubmitted == []
    assert "dump 001, before GET_VRING_BASE is passed on" in live.log


def test_what_cannot_be(live: Live) -> None:
    """Each mistake is told in a sentence, and nothing stays open."""
    pid, ring, region = live.back_end.pid, live.address(), live.ram.region
    seen, before = load(live.status), open_fds()
    assert seen.inflight is not None
    elsewhere = MemoryRegion(region.guest_address, region.size, ring.desc - 16, 0)
    both = MemoryRegion(ring.desc - 64, region.size, ring.desc, 0)
    for asked, kind, words in [
        (Asked(pid, fd=0), ProcessError, "no regular file as file descriptor 0"),
        (Asked(pid, known=Known(entries=4)), ProcessError, r"memfd vhost-inflight, \d+ bytes: no region of a known"),
        (Asked(pid, offset=640), ProcessError, r"memfd vhost-inflight, \d+ bytes: too short"),
        (Asked(pid, queue=2, ring=ring), UsageError, "queue 2: there are regions for 2 queues"),
        (Asked(pid, ring=ring, memory=[(MemoryRegion(0, 1 << 30, 0, 0), None)]), UsageError, "0 files may be the"),
        (Asked(pid, ring=ring, memory=[(region, 999)]), UsageError, "0 files may be the memory at file descriptor"),
        (Asked(pid, ring=ring._replace(desc=1), memory=[(region, None)]), FrontEndError, "128 bytes at 0x1 are in no"),
        (Asked(pid, ring=ring, memory=[(both, None)]), UsageError, "is a user address and a guest address"),
        (Asked(pid, seen=replace(seen, inflight=None)), UsageError, "no region was handed over"),
        (Asked(os.getppid(), seen=seen), ProcessError, "does not have what the proxy has seen"),
        (Asked(pid, queue=5, seen=replace(seen, rings={5: ring})), UsageError, "the shared buffer has 2 regions"),
        (Asked(pid, seen=replace(seen, rings={0: ring._replace(size=3)})), InflightError, "not 3|ring has"),
        (Asked(1 << 22), ProcessError, "there is no such process"),
    ]:
        if live.ring == "packed" and "size=3" in repr(asked):
            continue  # a packed ring may have any size
        with pytest.raises(kind, match=words):
            found(asked)
    found(Asked(pid, ring=ring, memory=[(elsewhere, None)]))
    assert open_fds() == before


def test_torn(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said when what was read once is not what is read the next time."""
    assert live.front_end.inflight is not None
    view = live.front_end.inflight.view()
    once = dump._read_once

    def changing(asked: Asked, files: Any) -> Any:
        result = once(asked, files)
        view[14] ^= 1  # of used_idx or old_free_head
        return result

    monkeypatch.setattr(dump, "_read_once", changing)
    assert found(Asked(live.back_end.pid)).torn
    view[14] = 0


def test_offsets() -> None:
    """A region of memory begins somewhere in its file, and ends somewhere."""
    fd = os.memfd_create("test", os.MFD_CLOEXEC)
    os.write(fd, bytes(range(256)))
    memory = PeerMemory([(MemoryRegion(0x1000, 64, 0x9000, 32), fd), (MemoryRegion(0x2000, 64, 0xA000, 96), fd)])
    assert memory.at(0x9010, 2, "x") == memory.at(0x1010, 2, "x") == memory.translate(0x1010, 2) == bytes([48, 49])
    assert memory.at(0x203F, 1, "x") == bytes([159])
    for address in (0x8FFF, 0x903F, 0x3000):
        with pytest.raises(FrontEndError, match=r"x: 2 bytes at .* are in no region"):
            memory.at(address, 2, "x")
    with pytest.raises(FrontEndError, match="not inside one region"):
        memory.translate(0x9010, 2)
    with pytest.raises(ProcessError, match="its file ends before byte 300"):
        PeerMemory([(MemoryRegion(0, 4096, 0, 0), fd)]).translate(200, 100)
    os.close(fd)


def test_stopped() -> None:
    """A process that runs goes on after it; one that was stopped stays so."""
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    with subprocess.Popen(command) as process:

        def state() -> str:
            return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0]

        try:
            with stopped(process.pid):
                assert state() == "T"
            wait_for(lambda: state() != "T")
            os.kill(process.pid, signal.SIGSTOP)
            wait_for(lambda: state() == "T")
            with stopped(process.pid):
                pass
            time.sleep(0.05)
            assert state() == "T"
        finally:
            process.kill()
    with pytest.raises(ProcessError, match="no such process"), stopped(process.pid):
        pass


def test_ended() -> None:
    """One that has ended and is not waited for yet is gone, as is one that never was."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        wait_for(lambda: ") Z " in Path(f"/proc/{process.pid}/stat").read_text())
        with pytest.raises(ProcessError, match="there is no such process, or it is gone"):
            open_files(process.pid)


def test_closed_meanwhile() -> None:
    """A descriptor that was closed, or is another file by now, is not taken for the one that was found."""
    fd = os.memfd_create("test", os.MFD_CLOEXEC)
    (file,) = (one for one in open_files(os.getpid()) if fd in one.fds)
    for other in (os.memfd_create("other", os.MFD_CLOEXEC), os.eventfd(0), -1):
        if other >= 0:
            os.dup2(other, fd)
            os.close(other)
        else:
            os.close(fd)
        with (
            pytest.raises(ProcessError, match=r"memfd test, 0 bytes: it was closed just now"),
            opened(os.getpid(), file),
        ):
            pass


def test_permission() -> None:
    """Another user's process may not be looked at, and that is said."""
    code = (
        "import os, sys\nfrom vhost_inflight.live.processes import open_files, ProcessError\n"
        "if os.geteuid() == 0: os.setuid(65534)\n"
        "try: open_files(int(sys.argv[1]))\nexcept ProcessError as error: print(error)"
    )
    pid = os.getpid() if os.geteuid() == 0 else 1
    told = subprocess.run([sys.executable, "-c", code, str(pid)], check=False, capture_output=True, text=True)
    assert "may not be looked at by this user" in told.stdout, told.stderr


def test_no_region() -> None:
    """A process without one: what it has is named."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        with pytest.raises(ProcessError, match=r"no region found. It has \d+ regular files? open, 0 of them shared"):
            found(Asked(process.pid))
        process.communicate(b"\n")


def test_status(live: Live, tmp_path: Path) -> None:
    """It comes back from JSON as it was; other documents are refused in words."""
    seen = load(live.status)
    assert sorted(seen.rings) == [0, 1]
    path = tmp_path / "other"
    path.write_text(json.dumps(seen.document()))
    assert load(path) == seen
    told = seen.document()
    changes: tuple[dict[str, Any], ...] = (
        {"format": "x"},
        {"memory": 1},
        {"rings": [{}]},
        {"inflight": {"mmap_size": -1}},
        {"ring": "x"},
    )
    for change in changes:
        path.write_text(json.dumps(told | change))
        with pytest.raises(UsageError, match="no status file of a proxy"):
            load(path)
    path.write_text("[]")
    with pytest.raises(UsageError, match="no status file of a proxy"):
        load(path)
    assert Seen().document()["inflight"] is None
