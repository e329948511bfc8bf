"""What a right back-end does otherwise than ours is not wrong; and what a wrong one does is seen all the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance import c
from vhost_inflight.conformance import command
from vhost_inflight.conformance.command import Asked
from vhost_inflight.conformance.life import Rig
from vhost_inflight.conformance.regions import stride_in
from vhost_inflight.conformance.report import Report, lines

SIZE = "told.queues * region_stride(told.queue_size);"
INCLUDED = '#include "../vectors/adapters/recover.c"'
WAITS = "poll(events, 1 + QUEUES_MAX, -1)"
WRITES = "status = pwritev(image, work->buffers, work->readable, (off_t)(header.sector * SECTOR)) != (ssize_t)length;"
NOTIFIES = (
    "(({ for (i = 0; i < QUEUES_MAX; i++) if (rings[i].started) notify_driver(&rings[i].q); }), "
    "poll(events, 1 + QUEUES_MAX, 5))"
)
NEVER = (
    "    if (ring->q.packed ? packed_supply",
    "    if (ring->batches == 3) return;\n    if (ring->q.packed ? packed_supply",
)


def tried(told: str, load: str, ring: str = "split", **options: object) -> Report:
    """Try it under one load."""
    return command.tried(Asked(told, ring=ring, loads=[load], second=0, **options))  # type: ignore[arg-type]


def told(report: Report) -> str:
    """Give the lines of a report."""
    return "\n".join(lines(report))


@pytest.mark.parametrize("ring", ["split", "packed"])
@pytest.mark.parametrize("size", ["+ 64", "/ 4096 * 4096 + 4096"])
def test_regions_with_room_behind_them(tmp_path: Path, ring: str, size: str) -> None:
    """How far one is from the next is the back-end's business, and so is what comes after the last."""
    report = tried(c.changed(tmp_path, SIZE, f"{SIZE[:-1]} {size};"), "queues", ring)
    assert report.passed, told(report)
    stores = {said.field for verdict in report.verdicts for point in verdict.points for said in point.said}
    assert any(field.endswith("inflight") for field in stores)


def test_a_mistake_in_the_second_region_is_seen_wherever_that_is(tmp_path: Path) -> None:
    """Of a buffer that is rounded up to pages, too."""
    mistaken = (INCLUDED, f"#define MISTAKE_MARKED_BEFORE_COUNTER\n{INCLUDED}")
    report = tried(c.changed(tmp_path, SIZE, f"{SIZE[:-1]} / 4096 * 4096 + 4096;", *mistaken), "queues")
    texts = [broken.text for verdict in report.bad for broken in verdict.broken if broken.property == "order"]
    assert any(text.startswith("queue 1: ") for text in texts), told(report)


def test_how_far_apart_regions_are() -> None:
    """It is seen in what a back-end has written to each."""
    assert stride_in(bytes(4096), 2, "split", "merged", 8) is None
    started = bytes(8) + b"\1\0\10\0"
    one = started.ljust(192, b"\0")
    assert stride_in((one + one).ljust(4096, b"\0"), 2, "split", "merged", 8) == 192
    assert stride_in(one.ljust(4096, b"\0"), 2, "split", "merged", 8) is None
    assert stride_in(one[:100], 2, "split", "merged", 8) is None
    plain = started.ljust(29 + 8 * 32, b"\0")  # without the padding of C at the header's end
    assert stride_in(plain * 3, 3, "packed", "merged", 8) == 285


def test_where_a_region_is_not_found_its_memory_is_unjudged(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And that is no pass."""
    monkeypatch.setattr(Rig, "found_stride", lambda _: None)
    report = tried(c.command(programs), "queues")
    assert report.bad == []
    assert not report.passed
    assert "split queues: only the first queue's region was found in the shared buffer" in told(report)


def test_no_flush_is_asked_of_one_that_does_not_offer_it(tmp_path: Path) -> None:
    """It would be refused."""
    told_ = c.changed(tmp_path, "| BLK_FLUSH ", "", "status = fdatasync(image) != 0;", "status = 2;")
    report = tried(told_, "mixed", at="split-mixed-calm")
    assert report.passed, told(report)


def test_a_notification_without_anything_gives_no_more_time(tmp_path: Path) -> None:
    """One that owes something and notifies on and on hangs its guest all the same; one that owes nothing is right."""
    report = tried(c.changed(tmp_path, WAITS, NOTIFIES, *NEVER), "mixed", at="split-mixed-calm")
    assert [verdict.word for verdict in report.verdicts] == ["wedged"]
    assert "did not give back request" in told(report)
    report = tried(c.changed(tmp_path, WAITS, NOTIFIES), "mixed", at="split-mixed-calm")
    assert report.passed, told(report)


def test_patience_is_what_was_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than that in which one that does not rest has to give something back."""
    monkeypatch.setattr("vhost_inflight.conformance.life._BUSY", 0.3)
    slow = c.changed(tmp_path, NEVER[0], f"    if (ring->batches == 1) usleep(1000000);\n{NEVER[0]}")
    assert tried(slow, "in-use", at="split-in-use-calm", patience=20.0).passed
    assert not tried(slow, "in-use", at="split-in-use-calm", patience=0.4).passed


def test_a_write_that_nobody_asked_for_is_seen(tmp_path: Path) -> None:
    """On the disk, elsewhere than where requests write."""
    more = f'{{ {WRITES} if (pwrite(image, "\\1", 1, (off_t)(header.sector + 100) * SECTOR) != 1) status = 1; }}'
    report = tried(c.changed(tmp_path, WRITES, more), "mixed", at="split-mixed-calm")
    assert not report.passed
    assert "and no request asks for that" in told(report)
