"""Front-ends that differ: how they describe the memory, and how large a region they ask for."""

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from refimpl.backend.blk import WRITE
from refimpl.errors import InflightError
from refimpl.frontend.connection import FrontEnd
from refimpl.frontend.guest import Guest, check
from refimpl.frontend.memory import GuestRam
from refimpl.wire.features import PROTOCOL_CONFIGURE_MEM_SLOTS, WANTED_PROTOCOL
from tests.refimpl.backend.test_server import wait_for
from tests.refimpl.wire_rig import Spawn, spawning

RECORDED = Path(__file__).parents[3] / "proofs" / "recorded"
MERGED = {"split": ["--revision", "merged"], "packed": ["--revision", "merged", "--packed"]}
SMALLER = {ring: [*options, "--gap", "region-size=smaller"] for ring, options in MERGED.items()}


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
    options = ["--revision", "hardened", *(["--packed"] if packed else []), *([] if offered else ["--mem-slots", "0"])]
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
        FrontEnd(tmp_path / "socket", ram, region_entries=6) as front_end,
    ):
        front_end.connect()
        front_end.start()
        wait_for(front_end.lost)
    process.terminate()
    assert process.wait(20) == 0
    assert process.stderr is not None
    said = process.stderr.read()
    assert "ring 0 has 16 entries, its region 6: the front-end should ask" in said
    assert "region-size=smaller" not in said


def served(folder: Path, process: subprocess.Popen[str], *, packed: bool) -> tuple[bool, str]:
    """Let a guest with rings of 16 and regions of 6 write; return whether it could, and what was logged."""
    with (
        GuestRam(1, 16, 512, packed=packed) as ram,
        FrontEnd(folder / "socket", ram, region_entries=6) as front_end,
    ):
        front_end.connect()
        guest = Guest(front_end)
        try:
            front_end.start()
            front_end.stop()  # this is answered, so that a ring which was refused is known
            front_end.start()
            for sector in range(8):
                guest.submit(WRITE, sector, b"\1" * 512, head=None if packed else sector, indirect=True)
                check(guest.wait())
            done = True
        except InflightError:
            done = False
    process.terminate()
    assert process.wait(20) == 0
    assert process.stderr is not None
    return done, process.stderr.read()


@pytest.mark.parametrize(
    ("gap", "rings"),
    [
        ("region-size=smaller", {"split", "packed"}),
        ("packed.region-size=smaller", {"packed"}),
        ("split.region-size=smaller", {"split"}),
    ],
)
@pytest.mark.parametrize("ring", ["split", "packed"])
def test_a_gap_of_one_ring_or_of_both(tmp_path: Path, start: Spawn, ring: str, gap: str, rings: set[str]) -> None:
    """A back-end of packed rings serves the firmware's split ones too: without a ring's name, a gap is for both."""
    process = start(*MERGED["packed"], "--gap", gap)
    done, said = served(tmp_path, process, packed=ring == "packed")
    assert done == (ring in rings)
    assert ("ring 0 has 16 entries, its region 6: the front-end should ask" in said) == (ring not in rings)


@pytest.mark.parametrize("ring", ["split", "packed"])
def test_the_refusal_advises_what_is_safe(tmp_path: Path, start: Spawn, ring: str) -> None:
    """It names the size that QEMU wants; never the gap, with which no revision of either ring is proved."""
    done, said = served(tmp_path, start(*MERGED[ring]), packed=ring == "packed")
    assert not done
    assert "queue-size=1024" in said
    assert "region-size" not in said


def test_no_revision_is_proved_with_a_smaller_region() -> None:
    """What the page of the gaps says, from the record: where a revision leaves the choice, something is violated."""
    for ring in ("split", "packed"):
        verdicts = json.loads((RECORDED / ring / "verdicts.json").read_text())
        mine = [v for v in verdicts if v["gaps"] == {"region-size": "smaller"}]
        assert {v["revision"] for v in mine} == {"v6", "merged"}
        for revision in ("v6", "merged"):
            broken = {v["property"] for v in mine if (v["revision"], v["verdict"]) == (revision, "violated")}
            assert {"no-used-resubmitted", "nothing-lost", "intact", "exactly-once"} <= broken
    readings = json.loads((RECORDED / "packed" / "readings.json").read_text())
    assert [r["violated"] for r in readings if (r["gap"], r["choice"]) == ("region-size", "smaller")] == [["drains"]]


def test_what_a_smaller_region_means_for_a_packed_ring_is_told(tmp_path: Path, start: Spawn) -> None:
    """That requests wait, which chains stop the ring, and what is better."""
    done, said = served(tmp_path, start(*SMALLER["packed"], "--log-level", "info"), packed=True)
    assert done
    assert "ring 0 has 16 entries, its region 6: requests wait for entries, a chain of more than 6 stops it" in said
    assert "queue-size=1024" in said


def test_untracked_heads_are_told(tmp_path: Path, start: Spawn) -> None:
    """What a crash would lose is logged: that there may be such heads, and the first one that comes."""
    done, said = served(tmp_path, start(*SMALLER["split"], "--log-level", "info"), packed=False)
    assert done
    assert "ring 0 has 16 entries, its region 6: heads from 6 on are not tracked, and lost if this process dies" in said
    assert "queue-size=1024" in said
    assert re.findall(r"ring 0: head (\d+) has no entry in its region", said) == ["6"]


def test_a_chain_longer_than_the_region(tmp_path: Path, start: Spawn) -> None:
    """It could wait for ever for entries; that is said instead."""
    process = start(*SMALLER["packed"])
    with (
        GuestRam(1, 16, 512, packed=True) as ram,
        FrontEnd(tmp_path / "socket", ram, region_entries=2) as front_end,
    ):
        front_end.connect()
        front_end.start()
        Guest(front_end).submit(WRITE, 0, bytes(512))
        wait_for(front_end.lost)
    process.terminate()
    assert process.wait(20) == 0
    assert process.stderr is not None
    assert "a chain has 3 descriptors, the region 2 entries" in process.stderr.read()
