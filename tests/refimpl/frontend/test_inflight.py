"""The shared buffer as a front-end holds it: the stream of a migration, other sizes, seals, a reset."""

import fcntl
import io
import os
import signal
from pathlib import Path

import pytest

from refimpl.backend.blk import WRITE
from refimpl.choices import Choices
from refimpl.errors import BackEndError, FrontEndError, UsageError
from refimpl.frontend.connection import FrontEnd
from refimpl.frontend.guest import Guest, check
from refimpl.frontend.inflight import BYTES_MAX, HeldInflight
from refimpl.frontend.memory import GuestRam
from refimpl.layout import region_at
from tests.refimpl.backend.test_server import wait_for
from tests.refimpl.wire_rig import open_fds, serving, spawning

STREAM = (8).to_bytes(8, "big") + (0x102).to_bytes(2, "big") + b"abcdefgh"


def loaded(stream: bytes = STREAM, queues: int = 1) -> HeldInflight:
    """Return what a stream brings."""
    held = HeldInflight()
    held.load(io.BytesIO(stream), queues)
    return held


def saved(held: HeldInflight) -> bytes:
    """Return the stream of a buffer."""
    stream = io.BytesIO()
    held.save(stream)
    return stream.getvalue()


def test_stream() -> None:
    """Size and queue size are big-endian, then come the bytes; what was loaded is saved again."""
    with loaded(queues=3) as held:
        assert held.memory is not None
        assert (bytes(held.memory.view()), held.memory.size) == (b"abcdefgh", 8)
        assert held.described is not None
        assert (held.described.mmap_size, held.described.num_queues, held.described.queue_size) == (8, 3, 0x102)
        assert saved(held) == STREAM


def test_nothing_is_a_size_of_zero() -> None:
    """Without a buffer the stream has eight zeros; loading that leaves what is held."""
    with HeldInflight() as held:
        assert saved(held) == bytes(8)
        assert held.message() is None
    with loaded() as held:
        held.load(io.BytesIO(bytes(8)), 1)
        assert saved(held) == STREAM


def test_another_size_than_the_one_at_hand() -> None:
    """A buffer of the same size is kept, with its file; one of another size is exchanged for a sealed one."""
    before = open_fds()
    with loaded() as held:
        assert held.memory is not None
        fd, inode = held.memory.fd, os.fstat(held.memory.fd).st_ino
        held.load(io.BytesIO(STREAM.replace(b"abcdefgh", b"ABCDEFGH")), 1)
        assert (held.memory.fd, os.fstat(fd).st_ino) == (fd, inode)
        held.load(io.BytesIO((4).to_bytes(8, "big") + bytes(2) + b"abcd"), 1)
        assert (held.memory.size, bytes(held.memory.view())) == (4, b"abcd")
        wanted = fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
        assert fcntl.fcntl(held.memory.fd, fcntl.F_GET_SEALS) & wanted == wanted
    assert open_fds() == before


@pytest.mark.parametrize("end", range(len(STREAM)))
def test_a_stream_that_ends_too_early(end: int) -> None:
    """Wherever it ends, the error says so, and what was held has not changed."""
    with loaded(STREAM.replace(b"abcdefgh", b"ABCDEFGH")) as held:
        with pytest.raises(FrontEndError, match="the front-end: the stream ends after"):
            held.load(io.BytesIO(STREAM[:end]), 1)
        assert saved(held) == STREAM.replace(b"abcdefgh", b"ABCDEFGH")


def test_sizes_that_nobody_needs() -> None:
    """They are refused before any memory is asked for."""
    with HeldInflight() as held:
        with pytest.raises(FrontEndError, match="more than"):
            held.load(io.BytesIO((BYTES_MAX + 1).to_bytes(8, "big") + bytes(2)), 1)
        with pytest.raises(UsageError, match="0 bytes"):
            held.resize(0)
        held.free()
        held.free()


@pytest.mark.parametrize("ring", ["split", "packed"])
def test_renewed_at_a_reset(tmp_path: Path, ring: str) -> None:
    """After a reset the front-end asks for a fresh region; the driver's rings begin anew, and serve."""
    packed = ring == "packed"
    with (
        serving(tmp_path, choices=Choices(ring=ring)) as served,
        GuestRam(1, 8, 512, packed=packed) as ram,
        FrontEnd(served.path, ram) as front_end,
    ):
        front_end.connect()
        front_end.start()
        assert front_end.inflight is not None
        first = os.fstat(front_end.inflight.fd).st_ino
        front_end.stop()
        front_end.renew()
        assert front_end.inflight is None
        front_end.start()
        front_end.stop()  # what starts the ring has been handled when this is answered
        assert os.fstat(front_end.inflight.fd).st_ino != first
        region = region_at(front_end.inflight.view(), ring, "merged", 8)
        assert (region.version, region.used_idx) == (1, 0)


@pytest.mark.parametrize("ring", ["split", "packed"])
@pytest.mark.parametrize("renewed", [True, False])
def test_what_a_reset_forgets(tmp_path: Path, ring: str, *, renewed: bool) -> None:
    """The driver resets while no back-end lives; a region that is kept tells the next one of its requests."""
    options = ("--packed", "--revision", "hardened") if ring == "packed" else ()
    with (
        spawning(tmp_path, *options) as start,
        GuestRam(1, 8, 512, packed=ring == "packed") as ram,
        FrontEnd(tmp_path / "socket", ram, timeout=20) as front_end,
    ):
        first = start("--crash-at", f"{ring}.fetch.submit:3")
        front_end.connect()
        front_end.start()
        before = Guest(front_end)
        for sector in range(3):
            before.submit(WRITE, sector, b"\1" * 512, indirect=True)
        assert first.wait(20) == -signal.SIGKILL
        before.drivers[0].reset()
        if renewed:
            front_end.renew()
        second = start("--log-level", "info")
        front_end.connect()
        guest = Guest(front_end)
        guest.submit(WRITE, 5, b"\5" * 512, head=5, indirect=True)
        front_end.start()
        if renewed:
            assert check(guest.wait())[0].asked.head == 5
        elif ring == "split":
            wait_for(lambda: front_end.given_up(0))  # three marks are further than the driver has come
        else:
            with pytest.raises(BackEndError, match="is not outstanding"):
                guest.wait()
        second.terminate()
        assert second.wait(20) == 0
        assert second.stderr is not None
        said = second.stderr.read()
    assert ("starts with a fresh region: 0 requests resubmitted" in said) == renewed
    assert ("starts with the region that it left: 3 requests resubmitted" in said) == (not renewed and ring == "packed")
    assert ("the driver: " in said) == (not renewed and ring == "split"), said
