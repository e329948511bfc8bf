"""`recover --region FILE --ring FILE`: raw bytes are what the same bytes are in JSON; a queue's place is found."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from refimpl.layout import region_size, region_type
from refimpl.packed.driver import PackedDriver
from refimpl.packed.ring import packed_ring_bytes
from refimpl.split.ring import ring_bytes
from tests.refimpl.packed_rig import PackedRig
from tests.refimpl.rig import Rig
from tests.test_recover import AnyRig, answered, interrupted, state
from vhost_inflight import cli

Ask = Callable[..., tuple[int, str, str]]


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Ask:
    """Run the command in this process, in a folder of its own; give exit code, output and errors."""
    monkeypatch.chdir(tmp_path)

    def asks(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["vhost-inflight", "recover", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return asks


def served(ring: str, size: int = 4) -> AnyRig:
    """Return a ring with requests in flight."""
    if ring == "split":
        split = Rig(revision="merged", size=size)
        split.fetch(split.started(), 1, 0)
        return split
    packed = PackedRig(size=size)
    packed.fetch(packed.started(), (1, 2), (0, 1))
    return packed


def bytes_of(rig: AnyRig) -> tuple[bytes, bytes]:
    """Return the region's bytes and the ring's, as they lie in memory."""
    size = rig.ring.size
    content = bytes(rig.view)
    return bytes(rig.region), content[: ring_bytes(size) if isinstance(rig, Rig) else packed_ring_bytes(size)]


def options(ring: str, size: int = 4) -> list[str]:
    return ["--region", "region", "--ring", "ring", "--ring-kind", ring, "--queue-size", str(size)]


def without_extra(told: dict[str, Any]) -> dict[str, Any]:
    """Return an answer without the region's bytes past its entries, which one of both has."""
    return told | {"region_after": told["region_after"][: 2 * 16]}


@pytest.mark.parametrize("ring", ["split", "packed"])
def test_raw_bytes_are_a_state(ask: Ask, ring: str) -> None:
    """The answer is that to the same bytes as JSON; the event areas of a packed ring may be missing."""
    rig = served(ring)
    region, content = bytes_of(rig)
    Path("region").write_bytes(region)
    for content in [content, *([content[:64]] if ring == "packed" else [])]:  # noqa: B020
        Path("ring").write_bytes(content)
        code, out, _ = ask(*options(ring))
        assert code == 0
        assert without_extra(json.loads(out)) == without_extra(answered(state(rig)))


def in_use(slot: int, wrap: int) -> PackedRig:
    """Return a fresh region and a ring that has been in use, with requests available from a slot of a lap on."""
    rig = PackedRig(size=5)
    rig.ring.begin_at(slot, wrap)
    rig.driver = PackedDriver(rig.ring, start=(slot, wrap))
    rig.make((1, 2), (0, 1))
    return rig


@pytest.mark.parametrize(("slot", "wrap"), [(3, 1), (2, 0), (0, 0)])
def test_a_fresh_region_begins_at_the_base(ask: Ask, slot: int, wrap: int) -> None:
    """On a packed ring in use SET_VRING_BASE says where: what a process does that was told the same; in JSON too."""
    rig = in_use(slot, wrap)
    base = (slot | wrap << 15) * (1 | 1 << 16)
    region, ring = bytes_of(rig)
    Path("region").write_bytes(region)
    Path("ring").write_bytes(ring)
    Path("state").write_text(json.dumps(state(rig) | {"base": base}), encoding="utf-8")
    for arguments in (
        [*options("packed", 5), "--base", hex(base)],
        [*options("packed", 5), "--base", str(base)],
        ["state"],
    ):
        code, out, _ = ask(*arguments)
        told = json.loads(out)
        assert (code, told["fresh"], told["available"]) == (0, True, True)
        assert told["fetch_position"] == told["used_position"] == {"slot": slot, "wrap_counter": wrap}
    queue = rig.queue(base=(slot, wrap))
    queue.start()
    assert told["region_after"] == bytes(rig.region).hex()
    code, out, _ = ask("--explain", "state")
    assert f"SET_VRING_BASE said {base:#x}, the next used slot is {slot}, with wrap counter {wrap}." in " ".join(
        out.split()
    )
    assert json.loads(ask(*options("packed", 5))[1])["fetch_position"] == {"slot": 0, "wrap_counter": 1}


def test_a_base_that_names_no_slot(ask: Ask) -> None:
    """The front-end broke a rule, where somebody goes by what it says: with a fresh region of a packed ring."""
    fresh = in_use(3, 1)
    for base, which in ((0x8003_8005, "available"), (0x8005_8003, "used"), (0xFFFF_8000, "used")):
        Path("state").write_text(json.dumps(state(fresh) | {"base": base}), encoding="utf-8")
        code, _, err = ask("state", "--json", "-")
        assert code == 1
        assert "the next " + which + " one, in a ring of 5" in err
    assert json.loads(ask("state", "--json", "-")[1])["error"]["culprit"] == "front-end"
    for rig in (served("packed"), served("split"), Rig(revision="merged", size=4)):
        told = state(rig)
        Path("state").write_text(json.dumps(told | {"base": 0xFFFF_FFFF}), encoding="utf-8")
        code, out, _ = ask("state")
        assert (code, json.loads(out)) == (0, answered(told))


@pytest.mark.parametrize("ring", ["split", "packed"])
@pytest.mark.parametrize("rounded", [True, False])
def test_the_stride_is_found(ask: Ask, ring: str, rounded: bool) -> None:
    """Of several queues, the one that is asked for; both ways to lay regions are tried, from an offset on."""
    revision = {"split": "merged", "packed": "hardened"}[ring]
    stride = region_size(ring, revision, 5 if ring == "packed" else 4, "64" if rounded else "none")
    size = 5 if ring == "packed" else 4
    other, rig = served(ring, size), served(ring, size)
    regions = [bytes_of(one)[0].ljust(stride, b"\0") for one in (other, other, rig)]
    if ring == "split":
        rig.region.used_idx = 0
    Path("region").write_bytes(b"\xee" * 64 + b"".join(regions))
    Path("ring").write_bytes(bytes_of(rig)[1])
    asked = [*options(ring, size), "--offset", "64", "--queue", "2"]
    code, out, _ = ask(*asked)
    assert (code, json.loads(out)["resubmit"]) == (0, answered(state(rig))["resubmit"])
    assert ask(*asked, "--stride", str(stride))[:2] == (code, out)


def test_a_header_of_29_bytes(ask: Ask) -> None:
    """It is found as a stride, and then told by its name, with whose fault it is."""
    rig = served("packed", 5)
    region, ring = bytes_of(rig)
    begin = region_type("packed", "hardened", 5).desc.offset
    short = region[: begin - 3] + region[begin:]
    Path("region").write_bytes(short * 2)
    Path("ring").write_bytes(ring)
    code, _, err = ask(*options("packed", 5), "--queue", "1")
    assert code == 1
    assert "its entries begin at byte 29" in err


def test_a_stride_that_is_not_found(ask: Ask) -> None:
    """It is asked for."""
    rig = served("split")
    region, ring = bytes_of(rig)
    Path("region").write_bytes(region + bytes(1000))
    Path("ring").write_bytes(ring)
    code, out, err = ask(*options("split"), "--queue", "1")
    assert (code, out) == (2, "")
    assert err == (
        "vhost-inflight: region: the strides tried are 128 (rounded up to 64 bytes), 80 (not rounded), and none leads "
        "to an initialised region of so many entries for queue 1: say --stride BYTES\n"
    )


WRONG: list[tuple[list[str], str]] = [
    (["--region", "region"], "raw bytes need --region, --ring, --ring-kind, --queue-size; missing: --ring"),
    (["--stride", "64"], "missing: --region, --ring"),
    (["--base", "0"], "missing: --region, --ring"),
    (
        [*options("split"), "--base", "0x100000000"],
        "a number of 32 bits is wanted, such as 0x7f001000, not '0x100000000'",
    ),
    ([*options("split"), "--base", "-1"], "a number of 32 bits is wanted"),
    ([*options("split"), "state.json"], "no FILE, no --lines"),
    ([*options("split"), "--lines"], "no FILE, no --lines"),
    (options("round"), "there is no ring 'round'"),
    (options("split", 0), "1 to 32768"),
    (options("split", 8), "ring: it has 118 bytes; a split ring of 8 has 222: available ring at 128, used ring at 152"),
    (options("packed", 4), "ring: it has 118 bytes; a packed ring of 4 has 72, or 64 without its event areas"),
    ([*options("split"), "--offset", "4000"], "region: it has 80 bytes, and the region of queue 0 is at 4000"),
    ([*options("split"), "--offset", "-1"], "'-1' is no whole number"),
    ([*options("split"), "--region-size", "65536"], "1 to 32768"),
    ([*options("split"), "--json", "ring"], "would overwrite the state"),
]


@pytest.mark.parametrize(("arguments", "why"), WRONG)
def test_bad_usage(ask: Ask, arguments: list[str], why: str) -> None:
    """Exit 2, and what to mend."""
    for name, content in zip(("region", "ring"), bytes_of(served("split")), strict=True):
        Path(name).write_bytes(content)
    code, out, err = ask(*arguments)
    assert (code, out) == (2, "")
    assert why in err


def test_a_region_that_is_too_short(ask: Ask) -> None:
    """That is told by the recovery, as of a state."""
    region, ring = bytes_of(interrupted())
    Path("region").write_bytes(region[:-1])
    Path("ring").write_bytes(ring)
    code, _, err = ask(*options("split", 8))
    assert (code, "there are 143" in err) == (1, True)


def test_a_ring_that_was_stopped(ask: Ask) -> None:
    """Raw bytes may be of one, with what was answered; elsewhere the option has no place."""
    region, ring = bytes_of(served("split"))
    Path("region").write_bytes(region)
    Path("ring").write_bytes(ring)
    told = [*options("split", 4), "--base", "7", "--stopped", "skip-drain-under-skip-drain"]
    code, out, err = ask(*told)
    assert code == 1
    assert [doubt["kind"] for doubt in json.loads(out)["doubts"]] == ["wrong-base"]
    assert "the base that was answered is 7; fetching goes on at " in err
    code, _, err = ask("--stopped", "drain-under-drain")
    assert (code, "--stopped is for raw bytes" in err) == (2, True)
