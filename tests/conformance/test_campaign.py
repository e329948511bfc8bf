"""Cases: the right back-end passes them, each mistake fails one, and the same case does the same thing each time."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from refimpl.choices import Choices
from refimpl.errors import UsageError
from tests.conformance import c
from vhost_inflight.conformance.campaign import Campaign
from vhost_inflight.conformance.life import Setup, UnsupportedError
from vhost_inflight.conformance.load import LOADS
from vhost_inflight.conformance.points import Case
from vhost_inflight.conformance.process import Command
from vhost_inflight.conformance.trying import Verdict


def campaign(programs: Path, ring: str, mistake: str = "") -> Campaign:
    """Give a campaign of the back-end in C."""
    return Campaign(Setup(Command(c.command(programs, mistake)), Choices(ring=ring), 0.3))


def told(verdict: Verdict) -> tuple[object, ...]:
    """Give all that must be the same when a case is tried again."""
    return verdict.word, [str(point) for point in verdict.points], [(b.property, b.text) for b in verdict.broken]


@pytest.mark.parametrize("ring", ["split", "packed"])
def test_the_right_one_passes_before_and_after_each_store(programs: Path, ring: str) -> None:
    tried = campaign(programs, ring)
    cases = tried.cases(LOADS["in-use"])
    assert len(cases) > 70
    bad = [(str(case), told(verdict)) for case in cases if (verdict := tried.run(case)).word != "pass"]
    assert bad == []


@pytest.mark.parametrize("ring", ["split", "packed"])
def test_the_right_one_passes_second_crashes(programs: Path, ring: str) -> None:
    tried = campaign(programs, ring)
    cases = list(itertools.islice(tried.second(LOADS["mixed"], 60), 30))
    assert len(cases) == 30
    bad = [(str(case), told(verdict)) for case in cases if (verdict := tried.run(case)).word != "pass"]
    assert bad == []


def test_a_case_does_the_same_thing_each_time(programs: Path) -> None:
    """In processes of their own, and stores looked for anew."""
    case = Case.read("split-mixed-51-after-11-after")
    first, again = (campaign(programs, "split", "COUNTER_RESTARTS").run(case) for _ in range(2))
    assert told(first) == told(again)
    assert first.word == "fail"


def test_stores_are_told_by_their_fields(programs: Path) -> None:
    """A fresh region, one request and its way back, store by store."""
    found = [str(point) for point in campaign(programs, "split").points(LOADS["mixed"])]
    assert found[:8] == [
        "region.desc_num := 8",
        "region.version := 1",
        "region.desc[0].inflight := 1",
        "avail_event := 1",
        "used.ring[0].len := 1",
        "used.idx := 1",
        "region.desc[0].inflight := 0",
        "region.used_idx := 1",
    ]


def test_a_back_end_that_tracks_nothing_is_unsupported(tmp_path: Path) -> None:
    """The same source, without the feature."""
    told = c.changed(tmp_path, "| 1ull << 12)", ")")
    tried = Campaign(Setup(Command(told), Choices()))
    with pytest.raises(UnsupportedError, match="no INFLIGHT_SHMFD"):
        tried.calm(LOADS["mixed"])


@pytest.mark.parametrize(
    "script", ["{program} {{socket}} {{image}}; true", "{program} {{socket}} {{image}} & sleep 60"]
)
def test_what_serves_may_be_a_child_of_what_was_started(programs: Path, script: str) -> None:
    """It is found at the other end of the connection, and all of the group is ended."""
    told = f"sh -c '{script.format(program=c.built(programs))}'"
    tried = Campaign(Setup(Command(told), Choices(), 0.5))
    assert [tried.run(Case.read(f"split-in-use-{n}-after")).word for n in (1, 20)] == ["pass", "pass"]


@pytest.mark.parametrize(
    "name",
    [
        "split-mixed-23-after",
        "packed-in-use-1-before-7-after",
        "split-queues-7-asleep",
        "split-queues-calm",
        "packed-mixed-random-4",
    ],
)
def test_a_name_is_read_as_it_is_written(name: str) -> None:
    assert str(Case.read(name)) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "mixed-1-after",
        "split-1-after",
        "split-mixed",
        "split-mixed-x-after",
        "split-mixed-1",
        "split-mixed-0-after",
        "split-mixed-1-during",
        "split-mixed-٣-after",
        "split-mixed-03-after",
        "split-mixed-³-after",
        "split-mixed-3-after-03-after",
        "split-mixed-random-٣",
        "split-mixed-random-01",
        "split-mixed-random-0",
        pytest.param(f"split-mixed-{'9' * 5000}-after", id="too long for a number"),
    ],
)
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="is no case"):
        Case.read(name)


def test_a_random_kill_is_judged_too(programs: Path) -> None:
    tried = campaign(programs, "split")
    words = {tried.run(case).word for case in tried.random(LOADS["mixed"], 8)}
    assert "pass" in words
    assert words <= {"pass", "skip"}
