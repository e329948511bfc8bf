"""A guest that another back-end served before: other features, other memory slots, another layout of the regions."""

import argparse
import re
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from refimpl.backend.blk import DISCARD, WRITE, WRITE_ZEROES
from refimpl.backend.disk import IO_ERROR, OK, SEGMENT, UNSUPPORTED, Disk
from refimpl.backend.memory import InflightBuffer, MappedMemory, create_inflight
from refimpl.backend.process import main, read_bits
from refimpl.choices import Choices
from refimpl.errors import FrontEndError, RegionError
from refimpl.frontend.connection import FrontEnd
from refimpl.frontend.guest import Guest, check
from refimpl.frontend.memory import GuestRam
from refimpl.memory import SharedMemory
from refimpl.packed.padding import _make_sense
from refimpl.wire.features import BLK_CONFIG_WCE, BLK_DISCARD, BLK_WRITE_ZEROES, MORE_FEATURES, WANTED
from refimpl.wire.payload import Inflight, MemoryRegion
from refimpl.wire.transport import Disconnected
from tests.refimpl.backend.test_disk import run
from tests.refimpl.packed_rig import PackedRig, crash_at
from tests.refimpl.rig import CrashError, batch
from tests.refimpl.wire_rig import Spawn, make_image, spawning

THEIRS = 0x6C02
"""What another back-end offers, and ours does not: SIZE_MAX, TOPOLOGY, CONFIG_WCE, DISCARD, WRITE_ZEROES."""


@pytest.fixture(name="start")
def starter(tmp_path: Path) -> Iterator[Spawn]:
    """Start back-ends on one image."""
    with spawning(tmp_path, "--revision", "merged") as start:
        yield start


def test_features_of_an_earlier_back_end(tmp_path: Path, start: Spawn) -> None:
    """Without being told, the back-end refuses them and says what to tell it; told, it goes on with that guest."""
    first = start("--offer", "0x6c02")
    with (
        GuestRam(1, 8, 512) as ram,
        FrontEnd(tmp_path / "socket", ram, features=WANTED | THEIRS) as front_end,
    ):
        front_end.connect()
        assert front_end.features & THEIRS == THEIRS
        front_end.start()
        guest = Guest(front_end)
        guest.write(1, b"\1" * 512)
        first.kill()
        first.wait()
        front_end.disconnect()
        second = start()
        front_end.connect()
        front_end.features |= THEIRS  # the guest has them, whatever is offered now
        with pytest.raises(Disconnected):
            front_end.start()
        second.terminate()
        assert second.wait(20) == 0
        assert second.stderr is not None
        said = "accepts 0x6c02, which was not offered (an earlier back-end may have done so: --offer 0x6c02)"
        assert said in second.stderr.read()
        start("--offer", str(THEIRS))
        guest.submit(WRITE, 2, b"\2" * 512)
        assert len(check(guest.wait())) == 1
        assert [guest.read(sector, 512)[0] for sector in (1, 2)] == [1, 2]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--offer", "0x800000000"], "0x800000000 cannot be offered besides; 0x6c02 can"),
        (["--mem-slots", "513"], "there can be 0 to 512"),
        (["--mem-slots", "-1"], "there can be 0 to 512"),
        (["--stride", "128"], "there are: 64, none"),
        (["--stop", "suspend"], "there is no generation 'suspend'; perhaps: may-suspend"),
        (["--stop", "never"], "there are: drain, may-suspend, skip-drain"),
    ],
)
def test_wrong_arguments(tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str) -> None:
    """What cannot be is refused, and what can be is said."""
    given = ["--socket", str(tmp_path / "socket"), "--image", str(make_image(tmp_path)), *arguments]
    assert main(given) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "a", "-1", "0x"])
def test_no_bits(text: str) -> None:
    """Bits are a number."""
    with pytest.raises(argparse.ArgumentTypeError, match=f"wanted is a number such as 0x6c02, not '{text}'"):
        read_bits(text)


@pytest.mark.parametrize("slots", [32, 64, 512])
def test_memory_slots(tmp_path: Path, start: Spawn, slots: int) -> None:
    """As many are offered as the back-end is told; QEMU refuses fewer than an earlier back-end had."""
    process = start("--mem-slots", str(slots), "--log-level", "debug")
    with GuestRam(1, 8, 512) as ram, FrontEnd(tmp_path / "socket", ram, timeout=20) as front_end:
        front_end.connect()
        front_end.start()
        Guest(front_end).write(0, bytes(512))
    process.terminate()
    assert process.wait(20) == 0
    assert process.stderr is not None
    replies = re.findall("reply to GET_MAX_MEM_SLOTS, .*: .* 08 00 00 00 (.*)", process.stderr.read())
    assert replies == [" ".join(f"{byte:02x}" for byte in slots.to_bytes(8, "little"))]


@pytest.mark.parametrize(("slots", "most"), [(0, 8), (32, 32), (64, 64)])
def test_no_more_regions_than_slots(slots: int, most: int) -> None:
    """One more is refused; those of one table always fit."""
    with SharedMemory.create(4096, "memory") as file:
        memory = MappedMemory(slots)
        for number in range(most):
            memory.add(MemoryRegion(4096 * number, 4096, 4096 * number, 0), file.fd)
        with pytest.raises(FrontEndError, match=f"more than {most} regions"):
            memory.add(MemoryRegion(1 << 40, 4096, 1 << 40, 0), file.fd)
        memory.clear()


@pytest.fixture(name="disk")
def make_disk(tmp_path: Path) -> Iterator[Disk]:
    """Give a disk of 256 sectors that offers everything."""
    with Disk(make_image(tmp_path), features=MORE_FEATURES) as disk:
        run(disk, WRITE, 0, b"\7" * 256 * 512)
        yield disk


def test_zeroes(disk: Disk, tmp_path: Path) -> None:
    """WRITE_ZEROES writes zeros to each segment and nowhere else; DISCARD leaves what is there."""
    assert run(disk, WRITE_ZEROES, 0, SEGMENT.pack(1, 2, 0) + SEGMENT.pack(5, 1, 1)) == (OK, 1, b"")
    assert run(disk, DISCARD, 0, SEGMENT.pack(0, 256, 0)) == (OK, 1, b"")
    content = (tmp_path / "image").read_bytes()
    assert [content[512 * n] for n in range(8)] == [7, 0, 0, 7, 7, 0, 7, 7]


@pytest.mark.parametrize("kind", [DISCARD, WRITE_ZEROES])
@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"", IO_ERROR),
        (bytes(15), IO_ERROR),
        (SEGMENT.pack(256, 1, 0), IO_ERROR),
        (SEGMENT.pack((1 << 64) - 1, 1, 0), IO_ERROR),
        (SEGMENT.pack(0, (1 << 16) + 1, 0), IO_ERROR),
        (SEGMENT.pack(0, 1, 0) * 33, IO_ERROR),
        (SEGMENT.pack(0, 1, 2), UNSUPPORTED),
    ],
)
def test_wrong_segments(disk: Disk, tmp_path: Path, kind: int, data: bytes, status: int) -> None:
    """Segments past the end, too many, too long or cut, and unknown flags change nothing."""
    assert run(disk, kind, 0, data)[0] == status
    assert set((tmp_path / "image").read_bytes()) == {7}


@pytest.mark.parametrize("features", [0, BLK_DISCARD, BLK_WRITE_ZEROES])
def test_only_what_is_offered(tmp_path: Path, features: int) -> None:
    """A request whose feature is not offered is not known; its limits are told only where it is."""
    with Disk(make_image(tmp_path), features=features) as disk:
        done = {kind: run(disk, kind, 0, SEGMENT.pack(0, 1, 0))[0] for kind in (DISCARD, WRITE_ZEROES)}
        config = disk.config(0, 60)
    offered = {DISCARD: bool(features & BLK_DISCARD), WRITE_ZEROES: bool(features & BLK_WRITE_ZEROES)}
    assert done == {kind: OK if is_offered else UNSUPPORTED for kind, is_offered in offered.items()}
    assert config is not None
    limits = struct.unpack_from("<II", config, 36)[1], struct.unpack_from("<II", config, 48)[1]
    assert tuple(map(bool, limits)) == tuple(offered.values())


@pytest.mark.parametrize("write_cache", [0, 1])
def test_without_a_write_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_cache: int) -> None:
    """Where the driver switched it off (CONFIG_WCE), what is written is on the disk before it is used."""
    synced: list[int] = []
    with Disk(make_image(tmp_path), features=BLK_CONFIG_WCE | BLK_WRITE_ZEROES) as disk:
        monkeypatch.setattr("refimpl.backend.disk.os.fdatasync", synced.append)
        disk.write_cache = write_cache
        run(disk, WRITE, 0, bytes(512))
        run(disk, WRITE_ZEROES, 0, SEGMENT.pack(0, 1, 0))
        assert len(synced) == (0 if write_cache else 2)


@pytest.mark.parametrize("stride", ["64", "none"])
def test_stride(stride: str) -> None:
    """Regions lie as far apart as the back-end is told; a buffer of the other kind is refused with its name."""
    apart = {"64": 192, "none": 144}[stride]
    memory, payload = create_inflight(Inflight(0, 0, 2, 8), 2, Choices(init_order="before-hand-over"), stride)
    with memory:
        assert payload.mmap_size == 2 * apart
        buffer = InflightBuffer(payload, memory.fd, 2, Choices(), stride)
        assert [buffer.region(queue).desc_num for queue in (0, 1)] == [8, 8]
        buffer.close()
        if stride == "none":
            with pytest.raises(FrontEndError, match=r"288 bytes are too few for 2 regions of 192 .*\(stride none\)"):
                InflightBuffer(payload, memory.fd, 2, Choices())


def test_one_region_needs_no_stride() -> None:
    """Of a buffer for one queue, nothing but the region is needed."""
    with SharedMemory.create(144, "region") as memory:
        buffer = InflightBuffer(Inflight(144, 0, 1, 8), memory.fd, 1, Choices())
        assert len(buffer.region(0).desc) == 8
        buffer.close()


def test_size_of_a_header_without_padding() -> None:
    """A packed buffer that is too short by C's padding is told as such."""
    with (
        SharedMemory.create(29 + 32 * 8, "region") as memory,
        pytest.raises(FrontEndError, match="headers of 29 bytes"),
    ):
        InflightBuffer(Inflight(29 + 32 * 8, 0, 1, 8), memory.fd, 1, Choices(ring="packed"))


@pytest.mark.parametrize("revision", ["v6", "merged", "hardened"])
@pytest.mark.parametrize("step", [None, "packed.supply.7", "packed.supply.9b"])
def test_a_header_without_padding(revision: str, step: str | None) -> None:
    """A region whose entries begin at byte 29 is told as such, not as a list without an end; nothing is changed."""
    rig = PackedRig(revision=revision)
    queue = rig.started()
    if step is not None:
        rig.fetch(queue, (2, 1), (0, 2), (1, 1))
        crash_at(rig, step, 1)
        with pytest.raises(CrashError):
            queue.supply(batch(1, 0))
        rig.on_step = lambda _step, _choice: None
    content = bytes(rig.region)
    view = memoryview(rig.region).cast("B")
    view[:] = content[:29] + content[32:] + bytes(3)
    theirs = bytes(rig.region)
    with pytest.raises(RegionError, match=r"entries begin at byte 29, .* and not at 32"):
        rig.queue().start()
    assert bytes(rig.region) == theirs
    view[:] = content
    rig.queue().start()


def test_a_region_that_makes_sense_either_way() -> None:
    """In a region of one entry, a mark looks like the end of a list, three bytes before: it is adopted."""
    rig = PackedRig(size=1)
    queue = rig.started()
    crash_at(rig, "packed.fetch.2b", 1)
    with pytest.raises(CrashError):
        rig.fetch(queue, (0, 1))
    rig.on_step = lambda _step, _choice: None
    assert _make_sense(type(rig.region.desc).from_buffer_copy(bytes(rig.region), 29), {rig.region.free_head})
    rig.queue().start()
