"""Front-ends that differ: how they describe the memory, and how large a region they ask for."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from refimpl.backend.disk import WRITE
from refimpl.frontend.connection import WANTED_PROTOCOL, FrontEnd
from refimpl.frontend.guest import Guest, check
from refimpl.frontend.memory import GuestRam
from refimpl.wire.features import PROTOCOL_CONFIGURE_MEM_SLOTS
from tests.refimpl.backend.test_server import wait_for
from tests.refimpl.wire_rig import Spawn, spawning

SMALLER = {ring: ["--gap", "region-size=smaller"] + ["--packed"] * (ring == "packed") for ring in ("split", "packed")}


@pytest.fixture(name="start")
def starter(tmp_path: Path) -> Iterator[Spawn]:
    """Start back-ends on one image."""
    with spawning(tmp_path) as start:
        yield start


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("offered", [True, False])
@pytest.mark.parametrize("accepted", [True, False])
def test_memory_tables(tmp_path: Path, start: Spawn, *, packed: bool, offered: bool, accepted: bool) -> None:
    """Memory comes region by region where both sides want that, else as one table; after a kill likewise."""
    options = ["--revision", "hardened", *(["--packed"] if packed else []), *([] if offered else ["--no-mem-slots"])]
    features = WANTED_PROTOCOL if accepted else WANTED_PROTOCOL & ~PROTOCOL_CONFIGURE_MEM_SLOTS
    process = start(*options)
    with (
        GuestRam(1, 8, 512, packed=packed) as ram,
        FrontEnd(tmp_path / "socket", ram, timeout=20, protocol_features=features) as front_end,
    ):
        front_end.connect()
        assert bool(front_end.protocol_features & PROTOCOL_CONFIGURE_MEM_SLOTS) == (offered and accepted)
        front_end.start()
        guest = Guest(front_end)
        guest.write(3, b"\3" * 512)
        process.kill()
        start(*options)
        guest.submit(WRITE, 4, b"\4" * 512)
        assert len(check(guest.wait())) == 1
        assert [guest.read(sector, 512)[0] for sector in (3, 4)] == [3, 4]


@pytest.mark.parametrize("ring", ["split", "packed"])
def test_region_smaller_than_the_ring(tmp_path: Path, start: Spawn, ring: str) -> None:
    """With region-size=smaller, 16 slots are served with 6 entries; what was tracked comes back after a kill."""
    packed = ring == "packed"
    first = start(*SMALLER[ring], "--crash-at", f"{ring}.fetch.submit:2")
    with (
        GuestRam(1, 16, 512, packed=packed) as ram,
        FrontEnd(tmp_path / "socket", ram, timeout=20, region_entries=6) as front_end,
    ):
        front_end.connect()
        front_end.start()
        guest = Guest(front_end)
        for sector in range(2):
            guest.submit(WRITE, sector, bytes([sector]) * 512, head=None if packed else sector, indirect=True)
        assert first.wait(20) == -signal.SIGKILL
        start(*SMALLER[ring])
        assert len(check(guest.wait())) == 2
        for begin in range(0, 120, 12):
            for sector in range(begin, begin + 12):
                guest.submit(WRITE, sector, bytes([sector]) * 512, indirect=True)
            assert len(check(guest.wait())) == 12
        assert [guest.read(sector, 512)[0] for sector in range(120)] == list(range(120))


@pytest.mark.parametrize("ring", ["split", "packed"])
def test_hardened_wants_an_entry_for_each_slot(tmp_path: Path, start: Spawn, ring: str) -> None:
    """Otherwise what waits or is not tracked would break what is proved: it is refused, and who can mend it is said."""
    process = start("--revision", "hardened", *(["--packed"] if ring == "packed" else []))
    with (
        GuestRam(1, 16, 512, packed=ring == "packed") as ram,
        FrontEnd(tmp_path / "socket", ram, timeout=2, region_entries=6) as front_end,
    ):
        front_end.connect()
        front_end.start()
        wait_for(front_end.lost)
    process.terminate()
    assert process.wait(20) == 0
    assert process.stderr is not None
    assert "ring 0 has 16 entries, its region 6: the front-end should ask" in process.stderr.read()
