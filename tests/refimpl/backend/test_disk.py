"""The device: requests cut into buffers in any way, what they do to the file, and in which order they are finished."""

import itertools
import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refimpl.backend.blk import FLUSH, GET_ID, HEADER, READ, WRITE
from refimpl.backend.disk import IO_ERROR, OK, UNSUPPORTED, BlkRequest, Disk
from refimpl.backend.disk_queue import BlkQueue, Schedule, Trace
from refimpl.errors import DriverError, InflightError, UsageError
from refimpl.split.chain import MappedBuffer
from tests.refimpl.wire_rig import make_image, open_fds


@pytest.fixture(name="disk")
def make_disk(tmp_path: Path) -> Iterator[Disk]:
    """Give a disk of 256 sectors."""
    with Disk(make_image(tmp_path)) as disk:
        yield disk


def buffers(*parts: tuple[bytearray, bool]) -> list[MappedBuffer]:
    """Return a chain of buffers, each with whether the device writes it."""
    return [MappedBuffer(0, len(data), writable, memoryview(data)) for data, writable in parts]


def run(disk: Disk, kind: int, sector: int, data: bytes = b"", room: int = 0) -> tuple[int, int, bytes]:
    """Perform one request in one piece; return status, used length and what the device wrote."""
    readable = bytearray(HEADER.pack(kind, 0, sector) + data)
    writable = bytearray(b"\xff" * (room + 1))
    used = BlkRequest(0, buffers((readable, False), (writable, True))).perform(disk)
    return writable[-1], used, bytes(writable[:-1])


def test_write_read_flush(disk: Disk) -> None:
    """What is written to a sector is read from it, and is in the file."""
    data = bytes(range(256)) * 4
    assert run(disk, WRITE, 3, data) == (OK, 1, b"")
    assert run(disk, FLUSH, 0) == (OK, 1, b"")
    assert run(disk, READ, 3, room=1024) == (OK, 1025, data)
    assert run(disk, READ, 4, room=512) == (OK, 513, data[512:])


def test_identity_and_unsupported(disk: Disk) -> None:
    """The identity fits its 20 bytes; what is not known is answered by status 2."""
    assert run(disk, GET_ID, 0, room=20) == (OK, 21, b"vhost-inflight".ljust(20, b"\0"))
    assert run(disk, 11, 0)[0] == UNSUPPORTED


@pytest.mark.parametrize(("sector", "size"), [(256, 512), (255, 1024), (0, 511), ((1 << 64) - 1, 512)])
def test_out_of_range(disk: Disk, sector: int, size: int) -> None:
    """Data past the end, or not whole sectors, is an I/O error in both directions, and nothing is written."""
    assert run(disk, READ, sector, room=size)[0] == IO_ERROR
    assert run(disk, WRITE, sector, data=bytes([1]) * size)[0] == IO_ERROR
    assert run(disk, READ, 0, room=512 * 256)[2] == bytes(512 * 256)


def test_shorter_file(disk: Disk, tmp_path: Path) -> None:
    """A file that has become shorter gives an I/O error, no endless loop."""
    (tmp_path / "image").write_bytes(bytes(512))
    assert run(disk, READ, 1, room=512)[0] == IO_ERROR


@given(cuts=st.lists(st.integers(0, 16 + 512), max_size=4), room_cuts=st.lists(st.integers(0, 513), max_size=4))
def test_any_cut(tmp_path_factory: pytest.TempPathFactory, cuts: list[int], room_cuts: list[int]) -> None:
    """Header, data and status may be cut into buffers anywhere, empty ones among them."""
    data = random.Random(7).randbytes(512)
    written = cut(HEADER.pack(WRITE, 0, 5) + data, cuts)
    status = bytearray(1)
    with Disk(make_image(tmp_path_factory.mktemp("cut"))) as disk:
        assert BlkRequest(0, buffers(*((part, False) for part in written), (status, True))).perform(disk) == 1
        room = cut(b"\xff" * 513, room_cuts)
        header = bytearray(HEADER.pack(READ, 0, 5))
        request = BlkRequest(0, buffers((header, False), *((part, True) for part in room)))
        assert request.perform(disk) == 513
        assert b"".join(room) == data + b"\0"


def cut(data: bytes, cuts: Sequence[int]) -> list[bytearray]:
    """Cut bytes into pieces."""
    places = [0, *sorted(cuts), len(data)]
    return [bytearray(data[start:end]) for start, end in itertools.pairwise(places)]


def test_wrong_chains() -> None:
    """A chain without room for a header or for the status is the driver's error, naming the head."""
    with pytest.raises(DriverError, match="head 9: 15 bytes are no header"):
        BlkRequest(9, buffers((bytearray(15), False), (bytearray(1), True)))
    with pytest.raises(DriverError, match="head 9: no byte for the status"):
        BlkRequest(9, buffers((bytearray(16), False)))


def test_config(disk: Disk) -> None:
    """The configuration space has QEMU's 60 bytes; more is zero, past the end is nothing."""
    config = disk.config(0, 60)
    assert config is not None
    assert int.from_bytes(config[0:8], "little") == 256
    assert int.from_bytes(config[12:16], "little") == 126
    assert int.from_bytes(config[20:24], "little") == 512
    assert config[32] == 1
    assert int.from_bytes(config[34:36], "little") == 1
    assert disk.config(0, 256) == config + bytes(196)
    assert disk.config(34, 2) == b"\1\0"
    assert disk.config(200, 57) is None


@pytest.mark.parametrize("name", ["missing", "."])
def test_wrong_image(tmp_path: Path, name: str) -> None:
    """An image that is missing or a directory is refused by name, and nothing stays open."""
    before = open_fds()
    with pytest.raises(InflightError, match="image"):
        Disk(tmp_path / name)
    with pytest.raises(InflightError, match="neither a file nor a block device"):
        Disk(Path("/dev/zero"))
    assert before == open_fds()


# Holding back and finishing


def finish_all(disk: Disk, schedule: Schedule, heads: Sequence[int], seed: int = 0) -> list[list[int]]:
    """Submit writes with these heads, and finish all; return the heads of each batch."""

    def read(head: int) -> BlkRequest:
        header = bytearray(HEADER.pack(WRITE, 0, head) + bytes([head]) * 512)
        return BlkRequest(head, buffers((header, False), (bytearray(1), True)))

    reported: list[tuple[str, int | None]] = []
    queue = BlkQueue(
        disk,
        read,
        number=0,
        schedule=schedule,
        rng=random.Random(seed),
        trace=Trace(None),
        hook=lambda step, choice: reported.append((step, choice)),
    )
    for head in heads:
        queue.submit(head)
    batches = []
    while queue.busy:
        queue.finish()
        batches.append(list(iter(queue.next_finished, None)))
    assert reported == [("device.finish", head) for batch in batches for head in batch]
    return batches


def test_orders(disk: Disk) -> None:
    """Each order of a schedule is kept, in batches of the size it says."""
    heads = [4, 1, 3, 2]
    assert finish_all(disk, Schedule(order="fifo", batch=3), heads) == [[4, 1, 3], [2]]
    assert finish_all(disk, Schedule(order="reverse", batch=2), heads) == [[2, 3], [1, 4]]
    assert finish_all(disk, Schedule(order=(2, 7, 4), batch=1), heads) == [[2], [4], [1], [3]]


def test_shuffle_is_the_seeds(disk: Disk) -> None:
    """A seed fixes order and batches; all are finished whatever it is, and not always in one order."""
    heads = list(range(20))
    seeds = {seed: finish_all(disk, Schedule(), heads, seed) for seed in range(10)}
    assert all(sorted(itertools.chain(*batches)) == heads for batches in seeds.values())
    assert seeds[3] == finish_all(disk, Schedule(), heads, 3)
    assert len({str(batches) for batches in seeds.values()}) > 1
    assert all(len(batch) <= 8 for batches in seeds.values() for batch in batches)


def test_hold_and_idle(disk: Disk) -> None:
    """Nothing is due before ``hold`` requests are there, unless nothing comes for ``idle`` seconds."""

    def queue(idle: float) -> BlkQueue:
        def read(head: int) -> BlkRequest:
            return BlkRequest(head, buffers((bytearray(HEADER.pack(FLUSH, 0, 0)), False), (bytearray(1), True)))

        schedule = Schedule(hold=2, order="fifo", batch=1, idle=idle)
        return BlkQueue(
            disk, read, number=0, schedule=schedule, rng=random.Random(0), trace=Trace(None), hook=lambda *_: None
        )

    slow = queue(3600)
    assert slow.deadline is None
    slow.submit(0)
    assert not slow.due()
    slow.submit(1)
    assert slow.due()
    slow.finish()
    assert slow.due(), "a round that began goes on to its end"
    slow.finish()
    assert not slow.due()
    quick = queue(0)
    quick.submit(0)
    assert quick.due()


def test_keep(disk: Disk) -> None:
    """Of a full round the last ones are held back, in the order in which they came, until nothing more comes."""

    def read(head: int) -> BlkRequest:
        return BlkRequest(head, buffers((bytearray(HEADER.pack(FLUSH, 0, 0)), False), (bytearray(1), True)))

    now = 0.0
    queue = BlkQueue(
        disk, read, number=0, schedule=Schedule(hold=5, order="reverse", batch=8, idle=10, keep=2),
        rng=random.Random(0), trace=Trace(None), hook=lambda *_: None, clock=lambda: now,
    )  # fmt: skip
    for head in range(5):
        queue.submit(head)
    queue.finish()
    assert (list(queue.finished), [request.head for request in queue.held]) == ([4, 3, 2], [0, 1])
    assert queue.unsupplied == 5
    assert not queue.due()
    now = 10.0
    assert queue.due()
    queue.finish()
    assert (list(queue.finished), queue.busy) == ([4, 3, 2, 1, 0], False)


def test_schedule_file(tmp_path: Path) -> None:
    """A schedule file is read; what it leaves out has the default."""
    path = tmp_path / "schedule.json"
    path.write_text(json.dumps({"hold": 2, "order": [1, 0], "batch": 2}))
    assert Schedule.load(path) == Schedule(hold=2, order=(1, 0), batch=2, idle=0.2)
    path.write_text(json.dumps({"order": "reverse", "idle": 1}))
    assert Schedule.load(path) == Schedule(order="reverse", idle=1)


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"hold": 0}',
        '{"hold": true}',
        '{"batch": "2"}',
        '{"order": "random"}',
        '{"order": ["a"]}',
        '{"order": {}}',
        '{"idle": -1}',
        '{"idle": "soon"}',
        '{"wait": 1}',
        '{"keep": -1}',
        '{"keep": true}',
        '{"hold": 2, "keep": 2}',
    ],
)
def test_wrong_schedule_file(tmp_path: Path, content: str) -> None:
    """A schedule that cannot be is refused when it is read."""
    path = tmp_path / "schedule.json"
    path.write_text(content)
    with pytest.raises(InflightError, match="schedule"):
        Schedule.load(path)
    with pytest.raises(InflightError, match="schedule"):
        Schedule.load(tmp_path / "missing")


def test_wrong_schedule() -> None:
    """A schedule made in code is checked as one from a file is."""
    with pytest.raises(UsageError):
        Schedule(hold=0)


def test_wrong_trace(tmp_path: Path) -> None:
    """A trace that cannot be opened is refused by name."""
    with pytest.raises(InflightError, match="trace"):
        Trace(tmp_path / "missing" / "trace")
