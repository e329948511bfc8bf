"""The shared buffer in a migration's stream of 2026: its bytes, what is refused of it, and what it cannot say."""

import fcntl
import io
import os
import re

import pytest

from refimpl.errors import FrontEndError
from refimpl.frontend.inflight import BYTES_MAX, HeldInflight
from refimpl.frontend.migration import BUFFER, DEVICE, header, load, save
from refimpl.layout import STRIDES, region_size
from tests.refimpl.wire_rig import open_fds

CONTENT = bytes(range(192))
FIELDS = (192).to_bytes(8, "big") + (8).to_bytes(2, "big")
STREAM = b"\x05\x17vhost-user-blk/inflight\0\0\0\1" + FIELDS + b"\x05\x1cvhost-inflight-region/buffer\0\0\0\0" + CONTENT


def stream(size: int = 192, queue_size: int = 8, content: bytes = CONTENT) -> bytes:
    """Return a stream that says so."""
    fields = size.to_bytes(8, "big") + queue_size.to_bytes(2, "big")
    return header(*DEVICE) + fields + header(*BUFFER) + content


def saved(held: HeldInflight) -> bytes:
    """Return the stream of what is held."""
    out = io.BytesIO()
    save(held, out)
    return out.getvalue()


def test_bytes() -> None:
    """Written out; loaded into a sealed file of its own, at offset 0, it is the same again."""
    before = open_fds()
    with HeldInflight() as held:
        source = io.BytesIO(STREAM + b"what follows")
        assert load(held, source, 1, "split")
        assert source.read() == b"what follows"
        assert held.memory is not None
        assert held.described is not None
        assert bytes(held.memory.view()) == CONTENT
        assert (held.described.mmap_size, held.described.mmap_offset) == (192, 0)
        assert (held.described.num_queues, held.described.queue_size) == (1, 8)
        wanted = fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
        assert fcntl.fcntl(held.memory.fd, fcntl.F_GET_SEALS) & wanted == wanted
        assert saved(held) == STREAM
    assert open_fds() == before


def test_nothing() -> None:
    """Without a buffer nothing is written; a stream at its end brings none, and leaves what is held."""
    with HeldInflight() as held:
        assert saved(held) == b""
        assert not load(held, io.BytesIO(), 1, "split")
        held.hold_copy(CONTENT, 1, 8)
        assert not load(held, io.BytesIO(), 1, "split")
        assert saved(held) == STREAM


def test_always_a_file_of_its_own() -> None:
    """A buffer of the same size is exchanged too: who has the old file keeps an old file."""
    with HeldInflight() as held:
        held.hold_copy(bytes(192), 1, 8)
        assert held.memory is not None
        before = os.fstat(held.memory.fd).st_ino
        load(held, io.BytesIO(STREAM), 1, "split")
        assert os.fstat(held.memory.fd).st_ino != before


def refused(data: bytes, rule: str, queues: int = 1, kind: str = "split") -> None:
    """See that a stream is refused by name, and that what was held has not changed."""
    before = open_fds()
    with HeldInflight() as held:
        held.hold_copy(bytes(192), 1, 8)
        kept = saved(held)
        with pytest.raises(FrontEndError, match=f"^the front-end: .*{re.escape(rule)}"):
            load(held, io.BytesIO(data), queues, kind)
        assert saved(held) == kept
    assert open_fds() == before


@pytest.mark.parametrize("end", range(1, len(STREAM)))
def test_a_stream_that_ends_too_early(end: int) -> None:
    """Wherever it ends."""
    refused(STREAM[:end], "the stream ends after")


@pytest.mark.parametrize(
    ("size", "queue_size", "rule"),
    [
        (0, 8, f"0 bytes, not of 1 to {BYTES_MAX}"),
        (BYTES_MAX + 1, 8, f"{BYTES_MAX + 1} bytes, not of"),
        (2**64 - 1, 8, f"{2**64 - 1} bytes, not of"),
        (192, 0, "queues of 0 entries"),
        (192, 32769, "queues of 32769 entries"),
        (191, 8, "191 bytes; 1 queue of 8 entries with split rings have one of these sizes: 48, 64, 144, 192"),
        (193, 8, "193 bytes; 1 queue"),
        (384, 8, "384 bytes; 1 queue"),
        (192, 128, "one of these sizes: 528, 576, 2064, 2112"),
    ],
)
def test_sizes(size: int, queue_size: int, rule: str) -> None:
    """Hostile and foreign ones, before any memory is asked for: the bytes are not there, and are not missed."""
    refused(stream(size, queue_size, b""), rule)


def test_a_size_of_other_queues_or_rings() -> None:
    """The stream does not say how many queues there are, nor of which kind: the destination knows, and compares."""
    refused(STREAM, "2 queues of 8 entries", queues=2)
    refused(STREAM, "packed rings have one of these sizes", kind="packed")


@pytest.mark.parametrize("kind", ["split", "packed"])
@pytest.mark.parametrize("revision", ["v6", "merged"])
@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("queues", [1, 3])
def test_each_layout(kind: str, revision: str, stride: str, queues: int) -> None:
    """Of each that is known the size is taken."""
    size = queues * region_size(kind, revision, 8, stride)
    with HeldInflight() as held:
        assert load(held, io.BytesIO(stream(size, 8, bytes(size))), queues, kind)


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (b"\x04" + STREAM[1:], "has byte 0x04 where the subsection vhost-user-blk/inflight begins"),
        (STREAM.replace(b"user-blk/", b"user-net/"), "a subsection 'vhost-user-net/inflight' where"),
        (STREAM.replace(b"flight\0\0\0\1", b"flight\0\0\0\2"), "version 2 of the subsection vhost-user-blk/inflight"),
        (
            STREAM.replace(FIELDS + b"\x05", FIELDS + b"\x00"),
            "has byte 0x00 where the subsection vhost-inflight",
        ),
        (STREAM.replace(b"region/buffer", b"region/bigger"), "'vhost-inflight-region/bigger' where"),
        (STREAM.replace(b"/inflight", b"/\xfffflight"), r"\xff"),
    ],
)
def test_other_subsections(data: bytes, rule: str) -> None:
    """The buffer's is mandatory: a stream without it, or with another one there, is refused by name."""
    refused(data, rule)
