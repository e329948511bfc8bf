"""The guest's disk client against a back-end in a thread: data, batches, several queues, a stop and a new start."""

import json
import threading
from pathlib import Path

import pytest

from refimpl.backend.blk import READ, WRITE
from refimpl.backend.disk import UNSUPPORTED
from refimpl.backend.disk_queue import Schedule
from refimpl.choices import GAPS, ONLY_IN, Choices
from refimpl.errors import BackEndError, UsageError
from refimpl.frontend.connection import FrontEnd
from refimpl.frontend.guest import Guest, check
from refimpl.frontend.memory import GuestRam
from tests.refimpl.stopping_rig import asked
from tests.refimpl.wire_rig import open_fds, serving

DEVIATIONS = [(gap, choice) for gap, choices in GAPS.items() for choice in choices[1:]]


def pattern(number: int) -> bytes:
    """Return a sector's worth of bytes that tells which one it is."""
    return number.to_bytes(8, "little") * 64


@pytest.mark.parametrize("indirect", [False, True])
@pytest.mark.parametrize("order", ["shuffle", "reverse", "fifo"])
def test_many_requests(tmp_path: Path, order: str, indirect: bool) -> None:
    """Many rounds of full rings, on two queues, in any order of completion: every sector holds what was written."""
    before = open_fds()
    schedule = Schedule(hold=3, order=order)
    with serving(tmp_path, queues=2, schedule=schedule) as served, GuestRam(2, 16, 512) as ram:
        with FrontEnd(served.path, ram) as front_end:
            front_end.connect()
            front_end.start()
            guest = Guest(front_end)
            for start in range(0, 120, 10):
                for sector in range(start, start + 10):
                    guest.submit(WRITE, sector, pattern(sector), queue=sector % 2, indirect=indirect)
                assert len(check(guest.wait())) == 10
            guest.flush()
            for sector in range(120):
                guest.submit(READ, sector, length=512, queue=sector % 2, indirect=indirect)
                for done in check(guest.wait()):
                    assert done.data == pattern(sector)
                    assert done.used_len == 513
        image = served.image.read_bytes()
        assert served.log == []
    assert image[: 512 * 120] == b"".join(pattern(sector) for sector in range(120))
    assert before == open_fds()


def test_stop_and_start(tmp_path: Path) -> None:
    """After a stop nothing is in flight; a new start on the same connection goes on where it was."""
    with serving(tmp_path) as served, GuestRam(1, 8, 512) as ram, FrontEnd(served.path, ram) as front_end:
        front_end.connect()
        front_end.start()
        guest = Guest(front_end)
        for _ in range(3):
            guest.write(0, pattern(1))
        guest.submit(WRITE, 5, pattern(5))
        guest.wait()
        front_end.stop()
        assert front_end.bases == [4]
        guest.submit(WRITE, 6, pattern(6))
        front_end.start()
        guest.wait()
        assert guest.read(6, 512) == pattern(6)
        assert served.log == []


def test_stop_drains(tmp_path: Path) -> None:
    """GET_VRING_BASE is answered when everything that was fetched has been supplied."""
    schedule = Schedule(hold=100, idle=3600)
    with (
        serving(tmp_path, schedule=schedule) as served,
        GuestRam(1, 16, 512) as ram,
        FrontEnd(served.path, ram) as front_end,
    ):
        front_end.connect()
        front_end.start()
        guest = Guest(front_end)
        for sector in range(4):
            guest.submit(WRITE, sector, pattern(sector))
        asked(front_end)
        with pytest.raises(BackEndError, match="4 of 4 requests did not come back"):
            guest.wait(timeout=0.1)
        front_end.stop()
        assert front_end.bases == [4]
        assert len(check(guest.collect())) == 4


def test_disconnect_of_the_front_end(tmp_path: Path) -> None:
    """What is held back when the front-end goes away is resubmitted when it comes back to the same process."""
    schedule = Schedule(hold=4, idle=3600, order="fifo", batch=1)
    trace = tmp_path / "trace"
    with (
        serving(tmp_path, schedule=schedule, trace=trace) as served,
        GuestRam(1, 16, 512) as ram,
        FrontEnd(served.path, ram) as front_end,
    ):
        front_end.connect()
        front_end.start()
        guest = Guest(front_end)
        for sector in range(3):
            guest.submit(WRITE, sector, pattern(sector))
        asked(front_end)
        with pytest.raises(BackEndError):
            guest.wait(timeout=0.1)
        front_end.reconnect()
        guest.submit(WRITE, 3, pattern(3))
        assert len(check(guest.wait())) == 4
        lines = [json.loads(line) for line in trace.read_text().splitlines()]
    steps = [(line["step"], line["sector"], line["tag"]) for line in lines]
    tags = [pattern(sector)[:8].hex() for sector in range(4)]
    assert steps == [
        *(("split.fetch.submit", sector, tags[sector]) for sector in range(3)),
        *(("split.reconnect.2", sector, tags[sector]) for sector in range(3)),
        ("split.fetch.submit", 3, tags[3]),
        *(("device.finish", sector, tags[sector]) for sector in range(4)),
    ]


def test_hooks_report_both_sides(tmp_path: Path) -> None:
    """The steps of driver, back-end and device are reported as one request goes its way."""
    steps: list[str] = []
    driver: list[str] = []
    with (
        serving(tmp_path, hook=lambda step, _: steps.append(step)) as served,
        GuestRam(1, 8, 512) as ram,
        FrontEnd(served.path, ram) as front_end,
    ):
        front_end.connect()
        front_end.start()
        Guest(front_end, lambda step, _: driver.append(step)).write(0, pattern(0))
    assert steps[:2] == ["split.start.fresh", "split.init.1"]
    request = ["split.fetch.1", "split.fetch.counter", "split.fetch.bump", "split.fetch.2", "split.fetch.submit"]
    start = steps.index("split.fetch.1")
    assert steps[start : start + 5] == request
    supply = ["device.finish", "split.supply.1", "split.supply.id", "split.supply.len", "split.supply.2"]
    finish = steps.index("device.finish")
    assert steps[finish : finish + 5] == supply
    assert driver[:4] == ["driver.make.1", "driver.make.2", "driver.make.3", "driver.kick.look"]


@pytest.mark.parametrize(("gap", "choice"), DEVIATIONS)
def test_every_choice_serves(tmp_path: Path, gap: str, choice: str) -> None:
    """Without a crash, and with nothing made available before the start, a fresh disk works under each deviation."""
    choices = Choices.from_mapping({gap: choice}, ONLY_IN.get(gap, "merged"))
    ready = threading.Event()

    def hook(step: str, _choice: int | None) -> None:
        if step == "split.reconnect.ready":
            ready.set()

    with (
        serving(tmp_path, choices=choices, hook=hook) as served,
        GuestRam(1, 8, 512) as ram,
        FrontEnd(served.path, ram) as front_end,
    ):
        front_end.connect()
        front_end.start()
        assert ready.wait(10)
        guest = Guest(front_end)
        for start in range(0, 20, 2):
            for sector in (start, start + 1):
                guest.submit(WRITE, sector, pattern(sector))
            check(guest.wait())
        assert guest.read(7, 512) == pattern(7)
        assert served.log == []


def test_wrong_use(tmp_path: Path) -> None:
    """Too much data, a head in use and a full ring are the caller's error; an unknown request fails in the device."""
    with serving(tmp_path) as served, GuestRam(1, 4, 512) as ram, FrontEnd(served.path, ram) as front_end:
        front_end.connect()
        front_end.start()
        guest = Guest(front_end)
        with pytest.raises(UsageError, match="there is room for 512"):
            guest.submit(WRITE, 0, bytes(513))
        guest.submit(WRITE, 0, bytes(512), head=2)
        with pytest.raises(UsageError):
            guest.submit(WRITE, 0, bytes(512), head=2)
        with pytest.raises(UsageError):
            guest.submit(WRITE, 0, bytes(512))
        guest.wait()
        with pytest.raises(BackEndError, match=f"status {UNSUPPORTED}"):
            guest._one(guest.submit(11))
        assert guest.identity() == b"vhost-inflight".ljust(20, b"\0")
